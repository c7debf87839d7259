//! Names decide: what is written is read by the names of its fields and variants, or refused; never by position alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::{DeserializeOwned, Error as _};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::storage::MemoryStorage;
use crate::store::{Error, Options, Store, VerifyOptions};
use crate::{HashMap, OrdMap, OrdSet, Vector};

fn store() -> Store {
    Options::new().open_storage(Arc::new(MemoryStorage::new())).unwrap()
}

/// Writes an `A`, alone and in a vector, and reads it as a `B` in a store that knows nothing yet of types.
fn read_as<A, B>(value: A) -> Result<B, Error>
where
    A: Serialize + DeserializeOwned + Clone + 'static,
    B: DeserializeOwned + Clone + PartialEq + std::fmt::Debug + 'static,
{
    let storage = Arc::new(MemoryStorage::new());
    let state = (value.clone(), Vector::from_iter(std::iter::repeat_n(value, 300)));
    let store = Options::new().open_storage(storage.clone()).unwrap();
    store.checkpoint(&state)?;
    drop(store);
    let store = Options::new().open_storage(storage).unwrap();
    let (one, many): (B, Vector<B>) = store.latest()?.unwrap();
    for item in many.try_iter()? {
        assert_eq!(*item?, one);
    }
    assert_eq!(many.len(), 300);
    Ok(one)
}

fn mismatch<A, B>(value: A, expected: &str)
where
    A: Serialize + DeserializeOwned + Clone + 'static,
    B: DeserializeOwned + Clone + PartialEq + std::fmt::Debug + 'static,
{
    match read_as::<A, B>(value) {
        Err(error @ Error::ShapeMismatch { .. }) => {
            let text = error.to_string();
            let first = text.lines().find(|line| line.starts_with("- ")).unwrap_or_default();
            assert!(first.contains(expected), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

/// Refused at the checkpoint.
fn refused<T: Serialize + DeserializeOwned + 'static>(value: T, expected: &[&str]) {
    let store = store();
    for again in 0..2 {
        match store.checkpoint(&value) {
            Err(error @ Error::Encode { .. }) => {
                let text = error.to_string();
                assert!(expected.iter().all(|word| text.contains(word)), "{text}");
            }
            other => panic!("{again}: {other:?}"),
        }
    }
    assert_eq!(store.checkpoints().count(), 0);
    store.checkpoint(&1u8).unwrap();
}

macro_rules! versions {
    ($($version:ident { $($item:item)* })*) => {$(
        mod $version {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
                #[allow(dead_code)]
                $item
            )*
        }
    )*};
}

#[test]
fn fields_with_aliases_are_read_by_their_names_wherever_they_stand() {
    versions! {
        plain { pub struct Point { pub x: u32, pub y: u32 } }
        aliased { pub struct Point { #[serde(alias = "ex")] pub x: u32, pub y: u32 } }
        swapped { pub struct Point { pub y: u32, #[serde(alias = "ex")] pub x: u32 } }
        renamed { pub struct Point { #[serde(alias = "x")] pub right: u32, #[serde(alias = "y", alias = "above")] pub up: u32 } }
        others { pub struct Point { #[serde(alias = "ex")] pub a: u32, pub b: u32 } }
        grown { pub struct Point { #[serde(alias = "z", default)] pub w: u32, pub y: u32, #[serde(alias = "ex")] pub x: u32 } }
        merged { pub struct Point { #[serde(alias = "x", alias = "y")] pub both: u32 } }
    }
    let plain = plain::Point { x: 1, y: 2 };
    let aliased = aliased::Point { x: 1, y: 2 };
    assert_eq!(read_as::<_, aliased::Point>(plain.clone()).unwrap(), aliased);
    assert_eq!(read_as::<_, plain::Point>(aliased.clone()).unwrap(), plain);
    assert_eq!(read_as::<_, swapped::Point>(aliased.clone()).unwrap(), swapped::Point { y: 2, x: 1 });
    assert_eq!(read_as::<_, swapped::Point>(plain.clone()).unwrap(), swapped::Point { y: 2, x: 1 });
    assert_eq!(read_as::<_, renamed::Point>(plain.clone()).unwrap(), renamed::Point { right: 1, up: 2 });
    assert_eq!(read_as::<_, renamed::Point>(aliased.clone()).unwrap(), renamed::Point { right: 1, up: 2 });
    assert_eq!(read_as::<_, grown::Point>(plain.clone()).unwrap(), grown::Point { w: 0, y: 2, x: 1 });
    assert_eq!(read_as::<_, grown::Point>(aliased.clone()).unwrap(), grown::Point { w: 0, y: 2, x: 1 });
    mismatch::<_, others::Point>(aliased.clone(), "field `x|ex: u32` of Point was removed");
    mismatch::<_, merged::Point>(plain, "fields `x` and `y` of Point are one field now");
    // That it once had the other name does not make it the field that has that name now.
    versions! { reused { pub struct Point { pub ex: u32, pub y: u32 } } }
    mismatch::<_, reused::Point>(aliased, "field `x|ex: u32` of Point was removed");
}

#[test]
fn variants_with_aliases_are_read_by_their_names_wherever_they_stand() {
    versions! {
        plain { pub enum Event { Deposit(u32), Withdraw(u32) } }
        aliased { pub enum Event { #[serde(alias = "Add")] Deposit(u32), Withdraw(u32) } }
        swapped { pub enum Event { Withdraw(u32), #[serde(alias = "Add")] Deposit(u32) } }
        renamed { pub enum Event { #[serde(alias = "Deposit")] Add(u32), #[serde(alias = "Withdraw")] Zap(u32) } }
        others { pub enum Event { #[serde(alias = "x")] A(u32), #[serde(alias = "z")] B(u32) } }
    }
    for deposit in [true, false] {
        let pick = |deposit: bool| if deposit { plain::Event::Deposit(7) } else { plain::Event::Withdraw(7) };
        let alias =
            |deposit: bool| if deposit { aliased::Event::Deposit(7) } else { aliased::Event::Withdraw(7) };
        let swap =
            |deposit: bool| if deposit { swapped::Event::Deposit(7) } else { swapped::Event::Withdraw(7) };
        let rename = |deposit: bool| if deposit { renamed::Event::Add(7) } else { renamed::Event::Zap(7) };
        assert_eq!(read_as::<_, aliased::Event>(pick(deposit)).unwrap(), alias(deposit));
        assert_eq!(read_as::<_, plain::Event>(alias(deposit)).unwrap(), pick(deposit));
        assert_eq!(read_as::<_, swapped::Event>(alias(deposit)).unwrap(), swap(deposit));
        assert_eq!(read_as::<_, swapped::Event>(pick(deposit)).unwrap(), swap(deposit));
        assert_eq!(read_as::<_, renamed::Event>(pick(deposit)).unwrap(), rename(deposit));
        assert_eq!(read_as::<_, swapped::Event>(swap(deposit)).unwrap(), swap(deposit));
        // The name under which a variant is written is recorded, though serde lists it behind the alias.
        assert_eq!(read_as::<_, renamed::Event>(rename(deposit)).unwrap(), rename(deposit));
    }
    mismatch::<_, others::Event>(aliased::Event::Deposit(7), "of Event was removed");
    versions! { later { pub enum Event { Zap(u32), Add(u32) } } }
    assert_eq!(read_as::<_, later::Event>(renamed::Event::Add(7)).unwrap(), later::Event::Add(7));
    assert_eq!(read_as::<_, later::Event>(renamed::Event::Zap(7)).unwrap(), later::Event::Zap(7));
}

#[test]
fn a_skipped_variant_in_the_middle_does_not_shift_those_behind_it() {
    versions! {
        skip { pub enum Event { Open, #[serde(skip)] Local(u8), Deposit(u32), Withdraw(u32) } }
        deserializing { pub enum Event { Open, #[serde(skip_deserializing)] Local(u8), Deposit(u32), Withdraw(u32) } }
        serializing { pub enum Event { Open, #[serde(skip_serializing)] Local(u8), Deposit(u32), Withdraw(u32) } }
        without { pub enum Event { Open, Deposit(u32), Withdraw(u32) } }
    }
    macro_rules! check {
        ($($version:ident)*) => {$(
            for event in [$version::Event::Deposit(5), $version::Event::Withdraw(6), $version::Event::Open] {
                assert_eq!(read_as::<_, $version::Event>(event.clone()).unwrap(), event);
            }
            assert_eq!(
                read_as::<_, without::Event>($version::Event::Withdraw(6)).is_ok(),
                stringify!($version) != "serializing",
            );
        )*};
    }
    check! { skip deserializing serializing without }
    refused(vec![skip::Event::Local(1)], &["cannot be serialized"]);
    refused(
        vec![deserializing::Event::Local(1)],
        &["variant `Local` of Event is written, and Deserialize does not know it"],
    );
}

#[test]
fn a_variant_first_seen_long_after_the_first_checkpoint_is_written_by_its_name() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[allow(dead_code, reason = "nobody makes what is skipped")]
    enum Event {
        #[serde(skip)]
        Local,
        #[serde(alias = "A")]
        Quit,
        Deposit {
            amount: u32,
        },
        #[serde(skip_deserializing)]
        Gone,
        Withdraw {
            amount: u32,
        },
    }
    let storage = Arc::new(MemoryStorage::new());
    let mut store = Options::new().open_storage(storage.clone()).unwrap();
    let mut log: Vector<Event> = Vector::new();
    let mut versions = Vec::new();
    for n in 0..200 {
        log.push_back(match n {
            0..100 => Event::Quit,
            100..150 => Event::Deposit { amount: n },
            _ => Event::Withdraw { amount: n },
        });
        versions.push((store.checkpoint(&log).unwrap().id, log.clone()));
        if n == 110 {
            drop(store);
            store = Options::new().open_storage(storage.clone()).unwrap();
            log = store.latest().unwrap().unwrap();
        }
    }
    log.push_back(Event::Gone);
    let error = store.checkpoint(&log).unwrap_err();
    assert!(error.to_string().contains("variant `Gone`"), "{error}");
    drop(store);
    let store = Options::new().open_storage(storage).unwrap();
    for (id, version) in versions {
        assert_eq!(store.restore::<Vector<Event>>(id).unwrap(), version);
    }
    assert!(store.verify_with(VerifyOptions::new().states::<Vector<Event>>()).unwrap().is_clean());
}

/// Accepts no made-up value.
#[derive(Clone, Debug, PartialEq)]
struct Picky(String);

impl Serialize for Picky {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Picky {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.starts_with("picky") {
            true => Ok(Self(text)),
            false => Err(D::Error::custom("not picky enough")),
        }
    }
}

#[test]
fn what_stands_behind_a_value_that_cannot_be_made_up_is_compared() {
    let picky = || Picky("picky 7".into());
    assert_eq!(read_as::<_, (Picky, u32)>((picky(), 7u32)).unwrap(), (picky(), 7u32));
    mismatch::<_, (Picky, i32)>((picky(), 7u32), "the state.0.1 is stored as u32 and asked for as i32");
    assert_eq!(read_as::<_, (Picky, u64)>((picky(), 7u32)).unwrap(), (picky(), 7u64));
    versions! {
        one { pub struct Point { pub x: u32, pub y: u32 } pub enum Event { #[serde(skip)] Never, Open, Close(Point) } }
        two { pub struct Point { pub y: u32, pub x: u32 } pub enum Event { Close(Point), Open } }
        three { pub struct Point { pub a: u32, pub b: u32 } pub enum Event { Open, Close(Point) } }
    }
    type One = (Picky, one::Event, Vec<(Picky, one::Point)>);
    type Two = (Picky, two::Event, Vec<(Picky, two::Point)>);
    type Three = (Picky, three::Event, Vec<(Picky, three::Point)>);
    let value: One = (picky(), one::Event::Close(one::Point { x: 1, y: 2 }), Vec::new());
    let read: Two = read_as(value.clone()).unwrap();
    assert_eq!(read, (picky(), two::Event::Close(two::Point { x: 1, y: 2 }), Vec::new()));
    mismatch::<_, Three>(value.clone(), "field `x: u32` of Point was removed");
    assert_eq!(read_as::<_, One>(value.clone()).unwrap(), value);
    // It is there later only.
    let store = store();
    let mut state: Vector<Option<(Picky, one::Point)>> = [None, None].into_iter().collect();
    let first = store.checkpoint(&state).unwrap().id;
    state.push_back(Some((picky(), one::Point { x: 1, y: 2 })));
    let second = store.checkpoint(&state).unwrap().id;
    assert_eq!(store.restore::<Vector<Option<(Picky, one::Point)>>>(second).unwrap(), state);
    assert_eq!(store.restore::<Vector<Option<(Picky, one::Point)>>>(first).unwrap().len(), 2);
    let read: Vector<Option<(Picky, two::Point)>> = store.restore(second).unwrap();
    assert_eq!(read[2], Some((picky(), two::Point { x: 1, y: 2 })));
    let error = store.restore::<Vector<Option<(Picky, three::Point)>>>(second).unwrap_err();
    assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
}

/// A range that is checked as a whole when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "(u8, u8)", into = "(u8, u8)")]
struct Ascending(u8, u8);

impl From<Ascending> for (u8, u8) {
    fn from(range: Ascending) -> Self {
        (range.0, range.1)
    }
}

impl TryFrom<(u8, u8)> for Ascending {
    type Error = String;

    fn try_from((low, high): (u8, u8)) -> Result<Self, String> {
        if low < high { Ok(Self(low, high)) } else { Err(format!("{low} is not below {high}")) }
    }
}

#[test]
fn a_value_of_several_parts_that_cannot_be_made_up_is_taken_as_a_sample() {
    let value = (Ascending(3, 4), [Ascending(5, 9); 2], vec![(1u16, Ascending(1, 2), 2u16)], 4u32);
    type Read<A, B> = (Ascending, [Ascending; 2], Vec<(u16, Ascending, A)>, B);
    assert_eq!(read_as::<_, Read<u16, u32>>(value.clone()).unwrap(), value);
    mismatch::<_, Read<u16, i32>>(value.clone(), "u32 and asked for as i32");
    mismatch::<_, Read<i16, u32>>(value, "u16 and asked for as i16");
}

mod disagree {
    use super::*;

    pub fn write_pair<S: Serializer>(pair: &(u32, u32), serializer: S) -> Result<S::Ok, S::Error> {
        pair.serialize(serializer)
    }

    pub fn read_pair<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(u32, u32), D::Error> {
        <(u32, u32)>::deserialize(deserializer).map(|(one, two)| (two, one))
    }

    #[derive(Serialize)]
    struct Written {
        x: u32,
        y: u32,
    }

    #[derive(Deserialize)]
    struct Read {
        y: u32,
        x: u32,
    }

    pub fn write_named<S: Serializer>(pair: &(u32, u32), serializer: S) -> Result<S::Ok, S::Error> {
        Written { x: pair.0, y: pair.1 }.serialize(serializer)
    }

    pub fn read_named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(u32, u32), D::Error> {
        Read::deserialize(deserializer).map(|read| (read.x, read.y))
    }

    pub fn write_signed<S: Serializer>(pair: &(u32, u32), serializer: S) -> Result<S::Ok, S::Error> {
        (pair.0 as i32, pair.1 as i32).serialize(serializer)
    }

    pub fn write_list<S: Serializer>(pair: &(u32, u32), serializer: S) -> Result<S::Ok, S::Error> {
        vec![pair.0, pair.1].serialize(serializer)
    }
}

#[test]
fn a_pair_of_functions_that_disagree_is_refused_at_the_first_checkpoint() {
    macro_rules! state {
        ($name:ident, $write:literal, $read:literal) => {
            #[derive(Clone, Serialize, Deserialize)]
            struct $name {
                #[serde(serialize_with = $write, deserialize_with = $read)]
                pair: (u32, u32),
            }
        };
    }
    state!(Swapped, "disagree::write_pair", "disagree::read_pair");
    state!(Named, "disagree::write_named", "disagree::read_named");
    state!(Signed, "disagree::write_signed", "disagree::read_pair");
    state!(Listed, "disagree::write_list", "disagree::read_pair");
    for depth in 0..3 {
        macro_rules! at {
            ($state:expr, $expected:expr) => {
                match depth {
                    0 => refused($state, $expected),
                    1 => refused(Vector::from_iter([$state]), $expected),
                    _ => refused(HashMap::from([(1u8, Vector::from_iter([Some($state)]))]), $expected),
                }
            };
        }
        at!(
            Swapped { pair: (1, 2) },
            &["field `pair` of Swapped reads back as another value", "deserialize_with"]
        );
        at!(Named { pair: (1, 2) }, &["field `y` of Written is read, and not written at its place"]);
        at!(Signed { pair: (1, 2) }, &["i32 is written where u32 is read"]);
        at!(Listed { pair: (1, 2) }, &["a sequence is written where (u32, u32) is read"]);
    }
}

/// Writes its fields under other names from the second value on.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Fickle {
    one: u8,
    two: u8,
}

impl Serialize for Fickle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Fickle", 2)?;
        let (first, second) = if self.one < 100 { ("one", "two") } else { ("two", "one") };
        fields.serialize_field(first, &self.one)?;
        fields.serialize_field(second, &self.two)?;
        fields.end()
    }
}

#[test]
fn names_are_checked_at_every_write() {
    let store = store();
    let mut state: Vector<Fickle> = (0..90).map(|one| Fickle { one, two: 1 }).collect();
    for _ in 0..5 {
        store.checkpoint(&state).unwrap();
    }
    state.push_back(Fickle { one: 100, two: 1 });
    let error = store.checkpoint(&state).unwrap_err();
    assert!(error.to_string().contains("field `one` of Fickle"), "{error}");
    state.pop_back();
    store.checkpoint(&state).unwrap();
}

#[test]
fn a_field_that_is_skipped_on_one_side_only_is_refused_by_name() {
    #[derive(Clone, Serialize, Deserialize)]
    #[allow(dead_code, reason = "nobody reads what is not written")]
    struct Unwritten {
        a: u32,
        #[serde(skip_serializing, default)]
        b: u32,
        #[serde(default)]
        c: u32,
    }
    refused(Unwritten { a: 1, b: 2, c: 3 }, &["field `b` of Unwritten is read, and not written"]);
    #[derive(Clone, Serialize, Deserialize)]
    struct Unread {
        a: u32,
        #[serde(skip_deserializing)]
        b: u32,
        #[serde(default)]
        c: u32,
    }
    refused(
        Unread { a: 1, b: 2, c: 3 },
        &["field `b` of Unread is written, and Deserialize does not know it"],
    );
    #[derive(Clone, Serialize, Deserialize)]
    struct Split {
        #[serde(rename(serialize = "one", deserialize = "two"))]
        a: u32,
    }
    refused(Split { a: 1 }, &["field `one` of Split is written"]);
}

#[test]
fn a_name_on_one_side_that_is_an_alias_on_the_other_is_the_one_recorded() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Split {
        #[serde(rename(serialize = "z", deserialize = "a"), alias = "z")]
        value: u32,
        other: u32,
    }
    let value = Split { value: 1, other: 2 };
    assert_eq!(read_as::<_, Split>(value.clone()).unwrap(), value);
    versions! {
        z { pub struct Split { pub other: u32, pub z: u32 } }
        a { pub struct Split { pub other: u32, pub a: u32 } }
    }
    assert_eq!(read_as::<_, z::Split>(value.clone()).unwrap(), z::Split { other: 2, z: 1 });
    mismatch::<_, a::Split>(value, "field `z|a: u32` of Split was removed");
}

#[test]
fn a_variant_for_all_other_names_does_not_shift_those_before_it() {
    versions! {
        other { pub enum Event { #[serde(alias = "X", alias = "Y")] Open, #[serde(skip)] Local, Close, Deposit(u32), #[serde(other)] Rest } }
        without { pub enum Event { Close, Open, Deposit(u32) } }
    }
    for event in
        [other::Event::Open, other::Event::Close, other::Event::Deposit(7), other::Event::Rest].into_iter()
    {
        assert_eq!(read_as::<_, other::Event>(event.clone()).unwrap(), event);
    }
    assert_eq!(read_as::<_, other::Event>(without::Event::Close).unwrap(), other::Event::Close);
    assert_eq!(read_as::<_, other::Event>(without::Event::Open).unwrap(), other::Event::Open);
    // First met when nothing is read back any more.
    let store = store();
    let mut log: Vector<other::Event> = Vector::new();
    for n in 0..40 {
        log.push_back(match n {
            0..30 => other::Event::Rest,
            30..35 => other::Event::Close,
            _ => other::Event::Deposit(n),
        });
        let id = store.checkpoint(&log).unwrap().id;
        assert_eq!(store.restore::<Vector<other::Event>>(id).unwrap(), log);
    }
}

/// Written as one text, in the order of its table.
mod as_text {
    use std::collections::HashMap;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(map: &HashMap<u8, u8>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&serde_json::to_string(map).unwrap())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HashMap<u8, u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        // Made up values are to be read as well.
        if text.is_empty() {
            Ok(HashMap::new())
        } else {
            serde_json::from_str(&text).map_err(D::Error::custom)
        }
    }
}

#[test]
fn a_map_that_is_written_as_one_text_may_have_another_order_and_nothing_else() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Texts {
        #[serde(with = "as_text")]
        map: std::collections::HashMap<u8, u8>,
    }
    #[derive(Clone, Serialize, Deserialize)]
    struct Beside {
        #[serde(with = "as_text")]
        map: std::collections::HashMap<u8, u8>,
        #[serde(serialize_with = "disagree::write_pair", deserialize_with = "disagree::read_pair")]
        pair: (u32, u32),
    }
    for size in [2, 3, 20] {
        for _ in 0..20 {
            let map: std::collections::HashMap<u8, u8> = (0..size).map(|n| (n, n * 2)).collect();
            let state = Texts { map: map.clone() };
            assert_eq!(read_as::<_, Texts>(state.clone()).unwrap(), state);
            refused(Beside { map, pair: (1, 2) }, &["of Beside reads back as another value"]);
        }
    }
}

#[test]
fn what_is_encoded_once_more_is_encoded_by_the_same_names() {
    versions! {
        skip { pub enum Event { #[serde(skip)] Local, Open, Deposit(u32) } }
    }
    type Item = (skip::Event, Option<(Picky, u32)>);
    let store = store();
    let mut state: HashMap<u32, Item> = (0..300).map(|n| (n, (skip::Event::Deposit(n), None))).collect();
    for n in 0..20 {
        state.insert(n, (skip::Event::Open, (n > 10).then(|| (Picky("picky".into()), n))));
        let id = store.checkpoint(&state).unwrap().id;
        assert_eq!(store.restore::<HashMap<u32, Item>>(id).unwrap(), state);
    }
}

#[test]
fn types_of_std_agree_with_themselves() {
    use std::borrow::Cow;
    use std::cell::{Cell, RefCell};
    use std::collections::{BTreeMap, BTreeSet, BinaryHeap, LinkedList, VecDeque};
    use std::ffi::{CString, OsString};
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
    use std::num::{NonZeroI8, NonZeroU64, Wrapping};
    use std::ops::{Bound, Range, RangeInclusive};
    use std::path::PathBuf;
    use std::time::{Duration, SystemTime};

    fn comes_back<T: Serialize + DeserializeOwned + 'static>(value: T) {
        let store = store();
        let made = store.checkpoint(&value).and_then(|made| store.restore::<T>(made.id));
        made.unwrap_or_else(|error| panic!("{}: {error}", std::any::type_name::<T>()));
    }
    comes_back((Duration::new(1, 2), SystemTime::UNIX_EPOCH + Duration::new(5, 6)));
    comes_back((1..5u8, 1..=5i64, Bound::Included(7u16), [Bound::Excluded(1u8), Bound::Unbounded]));
    comes_back::<(Range<String>, RangeInclusive<u8>)>(("a".into().."b".into(), 0..=1));
    comes_back([Ok::<u8, String>(1), Err("no".into())]);
    comes_back((IpAddr::from([1, 2, 3, 4]), IpAddr::V6(Ipv6Addr::LOCALHOST), Ipv4Addr::LOCALHOST));
    comes_back((SocketAddr::from(([1, 2, 3, 4], 80)), SocketAddr::from((Ipv6Addr::LOCALHOST, 81))));
    comes_back((PathBuf::from("a/b"), OsString::from("c"), CString::new("d").unwrap()));
    comes_back((NonZeroU64::MIN, NonZeroI8::MAX, Wrapping(7u8), std::cmp::Reverse(7i32)));
    comes_back((Cell::new(1u8), RefCell::new("b".to_string()), std::sync::Mutex::new(vec![1u8])));
    comes_back((std::sync::atomic::AtomicU32::new(7), Box::new([1u8, 2]), Cow::Borrowed("c")));
    comes_back((VecDeque::from([1u8, 2]), LinkedList::from([1u8]), BinaryHeap::from([3u8, 1, 2])));
    comes_back((BTreeMap::from([(1u8, 'a')]), BTreeSet::from([1i128, i128::MIN]), u128::MAX));
    comes_back((
        std::marker::PhantomData::<u8>,
        (),
        [(); 3],
        [0u8; 0],
        f32::NAN,
        -0.0f64,
        usize::MAX,
        isize::MIN,
    ));
}

/// Checkpoints each value, reopens, and restores it as the same type.
fn comes_back<T: Serialize + DeserializeOwned + Clone + PartialEq + std::fmt::Debug + 'static>(values: &[T]) {
    let storage = Arc::new(MemoryStorage::new());
    let open = || Options::new().open_storage(storage.clone()).unwrap();
    let store = open();
    let made: Vec<_> = values.iter().map(|value| store.checkpoint(value).unwrap().id).collect();
    drop(store);
    let store = open();
    for (id, value) in made.into_iter().zip(values) {
        assert_eq!(&store.restore::<T>(id).unwrap(), value);
    }
    assert!(store.verify_with(VerifyOptions::new().states::<T>()).unwrap().is_clean());
    store.checkpoint(&values[0]).unwrap();
}

#[test]
fn a_type_that_holds_itself_without_names_comes_back() {
    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct Items(Vec<Items>);
    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct Next(Option<Box<Next>>);
    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct ByName(BTreeMap<String, ByName>);
    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct Pair(u8, Vec<Pair>);
    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct Link(u8, Option<Box<Link>>);
    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct Ordered(OrdMap<String, Ordered>);
    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct Row(Vector<Row>);
    #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
    struct Key {
        n: u8,
        below: OrdSet<Key>,
        beside: OrdSet<Key>,
    }
    let leaf = Items(vec![]);
    comes_back(&[leaf.clone(), Items(vec![leaf.clone(), Items(vec![leaf])])]);
    comes_back(&[Next(None), Next(Some(Box::new(Next(None))))]);
    comes_back(&[ByName([("a".to_owned(), ByName(BTreeMap::new()))].into())]);
    comes_back(&[Pair(1, vec![]), Pair(2, vec![Pair(3, vec![])])]);
    comes_back(&[Link(1, None), Link(2, Some(Box::new(Link(3, None))))]);
    comes_back(&[Ordered([("a".to_owned(), Ordered(OrdMap::new()))].into())]);
    comes_back(&[Row(Vector::new()), Row([Row(Vector::new())].into_iter().collect())]);
    let key = |n, below: OrdSet<Key>| Key { n, below, beside: OrdSet::new() };
    comes_back(&[key(1, OrdSet::new()), key(2, [key(3, OrdSet::new())].into_iter().collect())]);
}

#[test]
fn a_tuple_is_not_written_where_a_struct_with_names_is_read() {
    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    #[serde(into = "(u8, u8)")]
    struct Point {
        a: u8,
        b: u8,
    }
    impl From<Point> for (u8, u8) {
        fn from(point: Point) -> Self {
            (point.b, point.a)
        }
    }
    let refused = store().checkpoint(&Point { a: 1, b: 1 });
    let Err(error @ Error::Encode { .. }) = refused else { panic!("{refused:?}") };
    assert!(error.to_string().contains("a tuple of 2 parts"), "{error}");
}

#[test]
fn a_type_that_holds_itself_and_shows_no_name_is_refused() {
    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    #[serde(transparent)]
    struct Bare {
        children: Vec<Bare>,
    }
    let refused = store().checkpoint(&Bare { children: vec![] });
    let Err(error @ Error::Encode { .. }) = refused else { panic!("{refused:?}") };
    assert!(error.to_string().contains("transparent"), "{error}");
}

#[test]
fn fields_behind_one_with_an_alias_have_their_own_types() {
    mod old {
        use super::*;
        #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
        pub struct Player {
            pub hp: u32,
            pub gold: u32,
            pub items: Vec<String>,
            pub tags: Vector<u64>,
        }
        #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
        pub enum Event {
            Moved { x: u8, how: String, to: Option<u32> },
        }
        #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
        pub struct Signs {
            #[serde(alias = "x")]
            pub a: u8,
            pub v: Vec<u32>,
            pub e: Vec<i32>,
        }
    }
    mod new {
        use super::*;
        #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
        pub struct Player {
            #[serde(alias = "hp", alias = "life")]
            pub health: u32,
            pub gold: u32,
            pub items: Vec<String>,
            pub tags: Vector<u64>,
        }
        #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
        pub enum Event {
            Moved {
                #[serde(alias = "x")]
                left: u8,
                how: String,
                to: Option<u32>,
            },
        }
        #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
        pub struct Signs {
            pub a: u8,
            pub v: Vec<i32>,
            pub e: Vec<i32>,
        }
        #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
        pub struct Same {
            pub a: u8,
            pub v: Vec<u32>,
            pub e: Vec<i32>,
        }
    }
    let store = Options::new().open_storage(Arc::new(MemoryStorage::new())).unwrap();
    let (items, tags) = (vec!["sword".to_owned()], (0..1000).collect::<Vector<u64>>());
    let id = store
        .checkpoint(&old::Player { hp: 1, gold: 2, items: items.clone(), tags: tags.clone() })
        .unwrap()
        .id;
    let player = new::Player { health: 1, gold: 2, items, tags };
    assert_eq!(store.restore::<new::Player>(id).unwrap(), player);
    comes_back(&[player]);
    let id = store.checkpoint(&old::Event::Moved { x: 1, how: "fast".to_owned(), to: Some(7) }).unwrap().id;
    let event = new::Event::Moved { left: 1, how: "fast".to_owned(), to: Some(7) };
    assert_eq!(store.restore::<new::Event>(id).unwrap(), event);
    comes_back(&[event]);
    let mut signs = old::Signs { a: 1, v: vec![], e: vec![] };
    store.checkpoint(&signs).unwrap();
    store.checkpoint(&signs).unwrap();
    signs.v.push(200_000);
    let id = store.checkpoint(&signs).unwrap().id;
    let refused = store.restore::<new::Signs>(id);
    assert!(matches!(refused, Err(Error::ShapeMismatch { .. })), "{refused:?}");
    assert_eq!(store.restore::<new::Same>(id).unwrap(), new::Same { a: 1, v: vec![200_000], e: vec![] });
    comes_back(&[signs]);
}
