//! The codec through a mock collection: a vector that flushes itself as one record.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::*;
use crate::error::{Error, Result};
use crate::record::{Address, LogScan, Record, RecordHead, RecordKind, RecordReader, RecordWriter, Tag};
use crate::schema::Collection;

const LEAF: RecordHead = RecordHead { kind: RecordKind::Leaf, delta: false };

/// A log in memory: both ends.
pub(crate) struct Log {
    tag: Tag,
    records: Mutex<Vec<Record>>,
    /// Fail the append of this number.
    fail_at: usize,
}

impl Log {
    pub(crate) fn new() -> Arc<Self> {
        Self::failing_at(usize::MAX)
    }

    fn failing_at(fail_at: usize) -> Arc<Self> {
        Arc::new(Self { tag: Tag::next().unwrap(), records: Mutex::default(), fail_at })
    }

    pub(crate) fn len(&self) -> usize {
        self.records.lock().unwrap().len()
    }
}

pub(crate) struct LogSink(pub(crate) Arc<Log>);

impl RecordWriter for LogSink {
    fn tag(&self) -> Tag {
        self.0.tag
    }

    fn append(&mut self, head: RecordHead, refs: &[Address], payload: &[u8]) -> Result<Address> {
        let mut records = self.0.records.lock().unwrap();
        if records.len() == self.0.fail_at {
            return Err(Error::Poisoned { cause: "the mock disk is full".to_owned() });
        }
        let address = Address::new(1, records.len() as u32);
        assert!(refs.iter().all(|&to| to < address), "addresses point backwards");
        records.push(Record {
            address,
            head,
            refs: refs.to_vec(),
            block: payload.into(),
            payload: 0..payload.len() as u32,
        });
        Ok(address)
    }
}

impl RecordReader for Log {
    fn tag(&self) -> Tag {
        self.tag
    }

    fn read(&self, address: Address) -> Result<Record> {
        let records = self.records.lock().unwrap();
        records.get(address.ordinal() as usize).cloned().ok_or_else(|| Error::Corrupt {
            segment: address.segment(),
            offset: 0,
            what: format!("no record {address}"),
        })
    }

    fn sweep(&self) -> Box<dyn LogScan + '_> {
        struct Each<'a>(&'a Log);
        impl LogScan for Each<'_> {
            fn read(&mut self, address: Address) -> Result<Record> {
                self.0.read(address)
            }
        }
        Box::new(Each(self))
    }
}

/// A mock collection.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct Mock<T>(pub(super) Vec<T>);

impl<T: Serialize> Serialize for Mock<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let flush = |save: &Rc<FlushContext>| {
            let meta = vec![self.0.len() as u8];
            if self.0.is_empty() {
                return Ok(Root::of_tree(None, meta));
            }
            let mut buffers = save.buffers();
            for item in &self.0 {
                save.encode(item, &mut buffers.bytes, &mut buffers.refs)?;
            }
            let address = save.append(LEAF, &buffers.refs, &buffers.bytes)?;
            save.recycle(buffers);
            Ok(Root::of_tree(Some(address), meta))
        };
        serialize_collection(serializer, Collection::Vector, flush, &self.0)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Mock<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Plain<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Plain<T> {
            type Value = Mock<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Mock<T>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Mock(items))
            }
        }
        let restore = |root: Root, backing: &Arc<dyn RecordReader>| {
            let Some(address) = root.addresses[0] else { return Ok(Mock(Vec::new())) };
            let record = backing.read(address)?;
            // The mock's items all in one tuple of the length in its metadata.
            struct Items<T>(Vec<T>);
            thread_local!(static LEN: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });
            impl<'de, T: Deserialize<'de>> Deserialize<'de> for Items<T> {
                fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                    d.deserialize_tuple(LEN.get(), Plain(std::marker::PhantomData)).map(|mock| Items(mock.0))
                }
            }
            LEN.set(usize::from(*root.meta.first().unwrap_or(&0)));
            let items: Items<T> = decode(backing, record.address, record.payload(), &record.refs)?;
            Ok(Mock(items.0))
        };
        deserialize_collection(deserializer, Collection::Vector, restore, Plain(std::marker::PhantomData))
    }
}

fn save_to(log: &Arc<Log>) -> Rc<FlushContext> {
    FlushContext::new(Rc::new(RefCell::new(LogSink(log.clone()))))
}

fn write<T: Serialize + ?Sized>(log: &Arc<Log>, value: &T) -> Result<Buffers> {
    let mut buffers = Buffers::default();
    save_to(log).encode(value, &mut buffers.bytes, &mut buffers.refs)?;
    Ok(buffers)
}

fn read<'de, T: Deserialize<'de>>(log: &Arc<Log>, bytes: &'de [u8], refs: &[Address]) -> Result<T> {
    let backing: Arc<dyn RecordReader> = log.clone();
    decode(&backing, Address::new(1, 77), bytes, refs)
}

/// Writes and reads a value without collections, whose bytes must be postcard's.
#[track_caller]
fn round_trip<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(value: T) {
    let log = Log::new();
    let written = write(&log, &value).unwrap();
    assert_eq!(written.bytes, postcard::to_stdvec(&value).unwrap());
    assert_eq!(read::<T>(&log, &written.bytes, &[]).unwrap(), value);
    for cut in 0..written.bytes.len() {
        assert!(read::<T>(&log, &written.bytes[..cut], &[]).is_err(), "cut to {cut} bytes");
    }
}

#[track_caller]
fn refused(result: Result<Buffers>, words: &[&str]) {
    match result {
        Err(Error::Encode { reason, .. }) => {
            for word in words {
                assert!(reason.contains(word), "{word:?} is missing from: {reason}");
            }
        }
        Err(other) => panic!("another error: {other}"),
        Ok(buffers) => panic!("accepted as {:?}", buffers.bytes),
    }
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Player {
    name: String,
    hp: u32,
    bag: Mock<Item>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
enum Item {
    Coin,
    Potion(u8),
    Chest { inside: Option<Mock<(u16, Mock<String>)>>, locked: bool },
    Pair(char, i64),
}

fn player() -> Player {
    let notes = Mock(vec!["one".to_owned(), String::new(), "three".to_owned()]);
    let inside = Mock(vec![(1, notes), (700, Mock(vec![]))]);
    let chest = Item::Chest { inside: Some(inside), locked: true };
    let bag = Mock(vec![Item::Coin, Item::Potion(9), chest, Item::Pair('ß', -3)]);
    Player { name: "Ada".to_owned(), hp: 4_000, bag }
}

#[test]
fn primitives_round_trip() {
    round_trip((true, false, u8::MAX, i8::MIN, u16::MAX, i16::MIN, u32::MAX, i32::MIN));
    round_trip((u64::MAX, i64::MIN, u128::MAX, i128::MIN, usize::MAX, isize::MIN));
    round_trip((1.5f32, -0.1f64, f64::INFINITY, 'x', '\u{10ffff}', ()));
    round_trip(("".to_owned(), "λόγος".to_owned(), "x".repeat(300)));
}

#[test]
fn compound_types_round_trip() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Unit;
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Newtype(f32);
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Pair(u8, String);
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    enum Tree {
        Leaf,
        One(Box<Tree>),
        Two(Box<Tree>, Box<Tree>),
        Named { left: Option<Box<Tree>>, name: String },
    }
    let leaf = || Box::new(Tree::Leaf);
    round_trip((Unit, Newtype(0.5), Pair(3, "p".to_owned())));
    round_trip(vec![
        Tree::Leaf,
        Tree::One(leaf()),
        Tree::Two(leaf(), Box::new(Tree::One(leaf()))),
        Tree::Named { left: Some(leaf()), name: "n".to_owned() },
    ]);
    round_trip((Some(Some(1u8)), Some(None::<u8>), None::<Option<u8>>));
    round_trip(([7u8; 32], [1u64, 2, 3], [(); 0]));
    round_trip((Ok::<u8, String>(1), Err::<u8, String>("e".to_owned())));
}

#[test]
fn std_types_round_trip() {
    round_trip((
        Duration::new(5, 7),
        PathBuf::from("a/b"),
        Range { start: 1, end: 5 },
        RangeInclusive::new(2, 3),
    ));
    round_trip((vec![1u32, 2, 3], VecDeque::from([1i8, -1]), Box::new(5u8), Cow::Borrowed("cow")));
    round_trip(BTreeMap::from([("a".to_owned(), vec![1u8]), ("b".to_owned(), vec![])]));
    round_trip((BTreeSet::from([3, 1, 2]), HashSet::from([9u64]), HashMap::from([(1u8, 2u8)])));
    round_trip((
        "127.0.0.1".parse::<std::net::IpAddr>().unwrap(),
        std::time::UNIX_EPOCH + Duration::from_secs(9),
    ));
    round_trip((std::num::NonZeroU32::new(5).unwrap(), std::cell::Cell::new(3u8)));
    round_trip(vec![(); 1000]);
}

#[test]
fn borrowed_data_is_not_copied() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Borrowing<'a> {
        text: &'a str,
        #[serde(borrow)]
        bytes: &'a [u8],
    }
    let value = Borrowing { text: "hello", bytes: &[1, 2, 3] };
    let log = Log::new();
    let written = write(&log, &value).unwrap();
    let back: Borrowing<'_> = read(&log, &written.bytes, &[]).unwrap();
    assert_eq!(back, value);
    assert!(written.bytes.as_ptr_range().contains(&back.text.as_ptr()));
}

#[test]
fn display_is_formatted_once_and_measured() {
    struct Shown(RefCell<u32>);
    impl fmt::Display for Shown {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            *self.0.borrow_mut() += 1;
            write!(f, "{}", "é".repeat(100))
        }
    }
    impl Serialize for Shown {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }
    let log = Log::new();
    let value = (7u8, Shown(RefCell::new(0)));
    let written = write(&log, &value).unwrap();
    assert_eq!(read::<(u8, String)>(&log, &written.bytes, &[]).unwrap(), (7, "é".repeat(100)));
    assert_eq!(*value.1.0.borrow(), 1);
}

#[test]
fn collections_become_roots_at_any_depth() {
    let log = Log::new();
    let value = player();
    let written = write(&log, &value).unwrap();
    assert_eq!(written.refs.len(), 1, "the record refers to the bag only");
    // name, hp, then: one tree, reference 1, one byte of metadata, which says four items
    assert_eq!(written.bytes, [&[3][..], b"Ada", &[0xa0, 0x1f], &[1, 1, 1, 4]].concat());
    // notes, the chest's contents, the bag; the empty collection has no record
    assert_eq!(log.len(), 3);
    assert_eq!(read::<Player>(&log, &written.bytes, &written.refs).unwrap(), value);
}

#[test]
fn a_record_refers_to_each_of_its_collections() {
    let log = Log::new();
    let value: Vec<Mock<u8>> = (0..300).map(|n| Mock(vec![n as u8; n % 3])).collect();
    let written = write(&log, &value).unwrap();
    assert_eq!(written.refs.len(), 200);
    assert_eq!(read::<Vec<Mock<u8>>>(&log, &written.bytes, &written.refs).unwrap(), value);
}

#[test]
fn encode_appends() {
    let log = Log::new();
    let save = save_to(&log);
    let mut buffers = save.buffers();
    for n in 0..3u8 {
        save.encode(&Mock(vec![n]), &mut buffers.bytes, &mut buffers.refs).unwrap();
    }
    assert_eq!(buffers.bytes, [1, 1, 1, 1, 1, 2, 1, 1, 1, 3, 1, 1]);
    assert_eq!(buffers.refs.len(), 3);
}

#[test]
fn other_formats_see_ordinary_contents() {
    let text = serde_json::to_string(&player()).unwrap();
    assert!(
        text.contains(r#""bag":["Coin",{"Potion":9},{"Chest":{"inside":[[1,["one","","three"]],[700,[]]]"#),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<Player>(&text).unwrap(), player());
    let value = serde_json::to_value(player()).unwrap();
    assert_eq!(serde_json::from_value::<Player>(value).unwrap(), player());
}

/// Stores a collection as JSON text, from within the binary format.
mod as_json {
    use super::*;

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&serde_json::to_string(value).map_err(serde::ser::Error::custom)?)
    }

    pub(super) fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
        serde_json::from_str(&String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

#[test]
fn another_format_in_between_sees_ordinary_contents() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Mixed {
        before: Mock<u8>,
        #[serde(with = "as_json")]
        json: Mock<Mock<u8>>,
        after: Mock<AsJson>,
    }
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct AsJson(#[serde(with = "as_json")] Mock<u8>, Mock<u8>);
    let json = Mock(vec![Mock(vec![2]), Mock(vec![])]);
    let value =
        Mixed { before: Mock(vec![1]), json, after: Mock(vec![AsJson(Mock(vec![3]), Mock(vec![4]))]) };
    let log = Log::new();
    let written = write(&log, &value).unwrap();
    assert!(written.bytes.windows(8).any(|part| part == b"[[2],[]]"), "{:?}", written.bytes);
    assert_eq!(read::<Mixed>(&log, &written.bytes, &written.refs).unwrap(), value);
}

#[test]
fn an_error_of_the_log_comes_through_unchanged() {
    for fail_at in 0..3 {
        let log = Log::failing_at(fail_at);
        match write(&log, &player()) {
            Err(Error::Poisoned { cause }) => assert_eq!(cause, "the mock disk is full"),
            other => panic!("{:?}", other.map(|buffers| buffers.bytes)),
        }
        assert_eq!(log.len(), fail_at);
    }
}

#[test]
fn a_failed_encode_leaves_the_buffers_as_they_were() {
    let log = Log::failing_at(1);
    let (mut bytes, mut refs) = (vec![1, 2, 3], vec![Address::new(0, 0)]);
    let value = (Mock(vec![1u8]), Mock(vec![2u8]));
    save_to(&log).encode(&value, &mut bytes, &mut refs).unwrap_err();
    assert_eq!((bytes, refs), (vec![1, 2, 3], vec![Address::new(0, 0)]));
}

#[test]
fn a_lost_record_comes_through_unchanged() {
    let log = Log::new();
    let written = write(&log, &player()).unwrap();
    log.records.lock().unwrap().clear();
    match read::<Player>(&log, &written.bytes, &written.refs) {
        Err(Error::Corrupt { what, .. }) => assert_eq!(what, "no record 1:2"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_panic_in_user_code_leaves_the_next_use_clean() {
    struct Explodes;
    impl Serialize for Explodes {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("planned")
        }
    }
    #[derive(Debug)]
    struct ExplodesBack;
    impl<'de> Deserialize<'de> for ExplodesBack {
        fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("planned")
        }
    }
    let log = Log::new();
    let save = save_to(&log);
    let value = Mock(vec![Mock(vec![Explodes])]);
    let encode = || save.encode(&value, &mut Vec::new(), &mut Vec::new());
    assert!(catch_unwind(AssertUnwindSafe(encode)).is_err());
    assert_eq!(serde_json::to_string(&Mock(vec![1u8])).unwrap(), "[1]");
    let mut buffers = save.buffers();
    save.encode(&player(), &mut buffers.bytes, &mut buffers.refs).unwrap();

    let other = write(&log, &Mock(vec![Mock(vec![1u8])])).unwrap();
    let explode = || read::<Mock<Mock<ExplodesBack>>>(&log, &other.bytes, &other.refs);
    assert!(catch_unwind(AssertUnwindSafe(explode)).is_err());
    assert_eq!(serde_json::from_str::<Mock<u8>>("[1]").unwrap(), Mock(vec![1]));
    assert_eq!(read::<Player>(&log, &buffers.bytes, &buffers.refs).unwrap(), player());
}

#[test]
fn an_impostor_of_a_collection_is_refused() {
    #[derive(Serialize, Deserialize, Debug)]
    #[serde(rename = "$perennial::Vector")]
    struct Impostor(u8);
    let log = Log::new();
    refused(write(&log, &Impostor(1)), &["not a collection", "another name"]);
    let error = read::<Impostor>(&log, &[0, 0, 5], &[]).unwrap_err();
    assert!(error.to_string().contains("not a collection"), "{error}");
    assert_eq!(serde_json::to_string(&Mock(vec![1u8])).unwrap(), "[1]");
}

#[test]
fn a_skipped_field_is_refused() {
    #[derive(Serialize)]
    struct Skips {
        a: u8,
        #[serde(skip_serializing_if = "Option::is_none")]
        b: Option<u8>,
    }
    #[derive(Serialize)]
    enum SkipsToo {
        V {
            #[serde(skip_serializing_if = "Option::is_none")]
            b: Option<u8>,
        },
    }
    let words = ["field `b`", "skip_serializing_if", "remove"];
    refused(write(&Log::new(), &Skips { a: 1, b: None }), &words);
    refused(write(&Log::new(), &SkipsToo::V { b: None }), &words);
    refused(write(&Log::new(), &Mock(vec![SkipsToo::V { b: None }])), &words);
    assert!(write(&Log::new(), &Skips { a: 1, b: Some(2) }).is_ok());
}

#[test]
fn a_flattened_struct_is_refused() {
    #[derive(Serialize, Deserialize, Debug)]
    struct Outer {
        #[serde(flatten)]
        inner: Inner,
    }
    #[derive(Serialize, Deserialize, Debug)]
    struct Inner {
        a: u8,
    }
    refused(write(&Log::new(), &Outer { inner: Inner { a: 1 } }), &["flatten", "ordinary field"]);
    let error = read::<Outer>(&Log::new(), &[1, 1, 1], &[]).unwrap_err();
    assert!(matches!(&error, Error::Encode { reason, .. } if reason.contains("flatten")), "{error}");
}

#[test]
fn a_sequence_of_unknown_length_is_refused() {
    struct Odd;
    impl Serialize for Odd {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq((0..9).filter(|n| n % 2 == 1))
        }
    }
    refused(write(&Log::new(), &Odd), &["unknown length", "collect"]);
}

#[test]
fn a_wrong_count_is_refused() {
    struct Counts(usize);
    impl Serialize for Counts {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut seq = serializer.serialize_seq(Some(self.0))?;
            seq.serialize_element(&1u8)?;
            seq.serialize_element(&2u8)?;
            seq.end()
        }
    }
    struct Fields(usize);
    impl Serialize for Fields {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeStruct;
            let mut fields = serializer.serialize_struct("Fields", self.0)?;
            fields.serialize_field("a", &1u8)?;
            fields.end()
        }
    }
    refused(write(&Log::new(), &Counts(1)), &["more parts"]);
    refused(write(&Log::new(), &Counts(3)), &["fewer parts"]);
    refused(write(&Log::new(), &Fields(0)), &["Fields", "more parts"]);
    refused(write(&Log::new(), &Fields(2)), &["Fields", "fewer parts"]);
    assert!(write(&Log::new(), &Counts(2)).is_ok());
}

#[test]
fn an_error_that_user_code_ignores_is_not_lost() {
    struct Ignores<T>(T);
    impl<T: Serialize> Serialize for Ignores<T> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut seq = serializer.serialize_seq(Some(1))?;
            let _ = seq.serialize_element(&self.0);
            seq.end()
        }
    }
    struct Fails;
    impl Serialize for Fails {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }
    refused(write(&Log::new(), &Ignores(Fails)), &["ignored"]);
    let result = write(&Log::failing_at(0), &Ignores(Mock(vec![1u8])));
    assert!(matches!(result, Err(Error::Poisoned { .. })));
}

#[test]
fn the_user_s_own_message_is_kept() {
    #[derive(Debug)]
    struct Picky;
    impl Serialize for Picky {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("not on a Sunday"))
        }
    }
    impl<'de> Deserialize<'de> for Picky {
        fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Err(serde::de::Error::custom("not on a Monday"))
        }
    }
    refused(write(&Log::new(), &vec![Picky]), &["not on a Sunday"]);
    let error = read::<Vec<Picky>>(&Log::new(), &[1], &[]).unwrap_err();
    assert!(matches!(&error, Error::Decode { reason, .. } if reason == "not on a Monday"), "{error}");
}

#[test]
fn self_describing_types_are_refused_when_read() {
    #[derive(Deserialize, Debug)]
    #[serde(untagged)]
    #[expect(dead_code, reason = "only its Deserialize matters")]
    enum Untagged {
        A(u8),
    }
    #[derive(Deserialize, Debug)]
    #[serde(tag = "t")]
    #[expect(dead_code, reason = "only its Deserialize matters")]
    enum Tagged {
        A { a: u8 },
    }
    #[derive(Deserialize, Debug)]
    #[serde(tag = "t", content = "c")]
    #[expect(dead_code, reason = "only its Deserialize matters")]
    enum Adjacent {
        A { a: u8 },
    }
    fn check<T: DeserializeOwned + fmt::Debug>() {
        let error = read::<T>(&Log::new(), &[1, 1, 1, 1], &[]).unwrap_err();
        assert!(
            matches!(&error, Error::Encode { reason, .. } if reason.contains("ordinary enum")),
            "{error}"
        );
    }
    check::<Untagged>();
    check::<Tagged>();
    check::<Adjacent>();
    check::<serde_json::Value>();
}

#[test]
fn a_struct_with_an_alias_round_trips() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Aliased {
        #[serde(alias = "old")]
        new: u8,
        other: u8,
    }
    round_trip(vec![Aliased { new: 1, other: 2 }, Aliased { new: 3, other: 4 }]);
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
enum List {
    End,
    Item(u8, Box<List>),
}

#[test]
fn nesting_is_bounded_alike_on_both_sides() {
    let list = |len: u32| (0..len).fold(List::End, |tail, n| List::Item(n as u8, Box::new(tail)));
    let log = Log::new();
    let deepest = write(&log, &list(MAX_DEPTH - 1)).unwrap();
    assert!(read::<List>(&log, &deepest.bytes, &[]).is_ok());
    refused(write(&log, &list(MAX_DEPTH)), &["256 levels", "by key"]);
    let error = read::<List>(&log, &vec![1; 1 << 20], &[]).unwrap_err();
    assert!(error.to_string().contains("levels deep"), "{error}");
}

#[test]
fn nesting_through_collections_is_bounded() {
    #[derive(Serialize, Default)]
    struct Folder(Mock<Folder>);
    let mut folder = Folder::default();
    for _ in 0..100 {
        folder = Folder(Mock(vec![folder]));
    }
    write(&Log::new(), &folder).unwrap();
    for _ in 0..1000 {
        folder = Folder(Mock(vec![folder]));
    }
    refused(write(&Log::new(), &folder), &["256 levels"]);
}

#[test]
fn a_length_is_not_trusted() {
    let log = Log::new();
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 2, 3];
    assert!(read::<Vec<u64>>(&log, &huge, &[]).is_err());
    assert!(read::<Vec<()>>(&log, &huge, &[]).is_err());
    assert!(read::<BTreeMap<u8, ()>>(&log, &huge, &[]).is_err());
    assert!(read::<String>(&log, &huge, &[]).is_err());
    assert!(read::<Mock<u8>>(&log, &huge, &[]).is_err());
    assert!(read::<Mock<u8>>(&log, &[&[0][..], &huge].concat(), &[]).is_err());
    refused(write(&log, &vec![(); MAX_EMPTY_ITEMS + 1]), &["take no bytes"]);
    assert!(write(&log, &vec![(); MAX_EMPTY_ITEMS]).is_ok());
    assert!(write(&log, &vec![0u8; MAX_EMPTY_ITEMS + 1]).is_ok());
}

#[test]
fn bytes_left_over_are_refused() {
    let error = read::<u8>(&Log::new(), &[1, 2], &[]).unwrap_err();
    assert!(error.to_string().contains("1 bytes are left over"), "{error}");
}

#[test]
fn damaged_bytes_give_an_error_or_a_value() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Rich {
        player: Player,
        list: List,
        map: BTreeMap<String, Option<Vec<i128>>>,
        path: PathBuf,
        time: Duration,
        flags: (bool, char, f64),
    }
    let value = Rich {
        player: player(),
        list: List::Item(1, Box::new(List::Item(2, Box::new(List::End)))),
        map: BTreeMap::from([("k".to_owned(), Some(vec![-5, i128::MAX])), ("l".to_owned(), None)]),
        path: "some/where".into(),
        time: Duration::from_millis(1500),
        flags: (true, '→', 0.25),
    };
    let log = Log::new();
    let written = write(&log, &value).unwrap();
    assert_eq!(read::<Rich>(&log, &written.bytes, &written.refs).unwrap(), value);
    for cut in 0..written.bytes.len() {
        assert!(read::<Rich>(&log, &written.bytes[..cut], &written.refs).is_err());
    }
    for at in 0..written.bytes.len() {
        for flip in 1..=255 {
            let mut bytes = written.bytes.clone();
            bytes[at] ^= flip;
            let _ = read::<Rich>(&log, &bytes, &written.refs);
        }
    }
    assert!(read::<Rich>(&log, &written.bytes, &[]).is_err(), "an index beyond the addresses");
    // The nested records as well.
    let records = log.records.lock().unwrap().clone();
    for (at, record) in records.iter().enumerate() {
        for byte in 0..record.payload().len() {
            let mut payload = record.payload().to_vec();
            payload[byte] ^= 0x55;
            log.records.lock().unwrap()[at].block = payload.into();
            let _ = read::<Rich>(&log, &written.bytes, &written.refs);
        }
        log.records.lock().unwrap()[at].block = record.block.clone();
    }
}
