//! The tables of `docs::schema`, row by row: what happens when a type changes, and what serde's attributes do.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::storage::MemoryStorage;
use crate::store::{Error, Location, Options, RestoreOptions, Store, VerifyOptions};
use crate::{HashMap, HashSet, OrdMap, OrdSet, Vector};

/// The rows of the table below a heading of the page.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let page = include_str!("../docs/schema.md");
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).expect("the heading");
    let table = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    table
        .map(|line| {
            line.trim_matches('|').split(" | ").map(|cell| cell.trim_matches([' ', '|']).to_owned()).collect()
        })
        .collect()
}

const AS_IT_LIES: &str = "accepted, as it lies";
const ANEW: &str = "accepted, written anew";
const REFUSED: &str = "refused";
const UNLESS_FIELDS: &str = "refused, unless `allow_removed_fields`";
const UNLESS_VARIANTS: &str = "refused, unless `allow_removed_variants`";
const WHERE_MET: &str = "refused, also with `allow_removed_variants`, where the value is met";

/// The outcome, in the words of the table, and the errors.
struct Found {
    what: &'static str,
    errors: Vec<String>,
}

/// Writes an `A` beside a vector, and reads it as a `B`.
fn outcome<A, B>(old: A, new: B) -> Found
where
    A: Serialize + DeserializeOwned + Clone + 'static,
    B: Serialize + DeserializeOwned + PartialEq + Debug + 'static,
{
    let storage = Arc::new(MemoryStorage::new());
    let open = || Options::new().open_storage(storage.clone()).unwrap();
    let store = open();
    let beside: Vector<u16> = (0..5000).collect();
    let id = store.checkpoint(&(vec![old.clone(), old], beside.clone())).unwrap().id;
    drop(store);
    let store = open();
    let check = |restored: Result<(Vec<B>, Vector<u16>), Error>| {
        let (items, found) = restored?;
        assert!(items.len() == 2 && items.iter().all(|item| *item == new) && found == beside, "{items:?}");
        Ok::<_, Error>((items, found))
    };
    match check(store.restore(id)) {
        Ok(restored) => {
            // (The shape is a record as well.)
            let again = store.checkpoint(&restored).unwrap();
            drop(store);
            check(open().latest().map(Option::unwrap)).unwrap();
            Found { what: if again.nodes <= 1 { AS_IT_LIES } else { ANEW }, errors: Vec::new() }
        }
        Err(error @ Error::ShapeMismatch { .. }) => {
            let text = error.to_string();
            assert!(text.lines().any(|line| line.starts_with("- ")), "{text}");
            let allowing = |fields, variants| {
                let options =
                    RestoreOptions::new().allow_removed_fields(fields).allow_removed_variants(variants);
                check(store.get(id).and_then(|view| view.restore_with(&options))).map(drop)
            };
            assert!(matches!(allowing(false, false), Err(Error::ShapeMismatch { .. })));
            let what = match (allowing(true, false), allowing(false, true)) {
                (Ok(()), Err(Error::ShapeMismatch { .. })) => UNLESS_FIELDS,
                (Err(Error::ShapeMismatch { .. }), Ok(())) => UNLESS_VARIANTS,
                (Err(Error::ShapeMismatch { .. }), Err(Error::Decode { reason, .. })) => {
                    assert!(reason.contains("unknown variant"), "{reason}");
                    WHERE_MET
                }
                (Err(Error::ShapeMismatch { .. }), Err(Error::ShapeMismatch { .. })) => REFUSED,
                other => panic!("{other:?}"),
            };
            Found { what, errors: vec![text] }
        }
        Err(error) => panic!("{error}"),
    }
}

macro_rules! types {
    ($($item:item)*) => {$(
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[allow(dead_code, reason = "some variants are only read")]
        $item
    )*};
}

mod old {
    use super::*;

    types! {
        pub struct Player { pub name: String, pub hp: u32 }
        pub enum Event { Open, Deposit(u32), Withdraw { amount: u32 } }
        pub enum Skipping { Open, #[serde(skip)] Local, Deposit(u32) }
        pub struct Aliased { #[serde(alias = "label")] pub name: String, pub hp: u32 }
        pub struct Unit;
    }

    pub fn player() -> Player {
        Player { name: "ada".into(), hp: 7 }
    }

    pub fn aliased() -> Aliased {
        Aliased { name: "ada".into(), hp: 7 }
    }
}

macro_rules! versions {
    ($($version:ident { $($item:item)* })*) => {$(
        mod $version {
            use super::*;
            types! { $($item)* }
        }
    )*};
}

versions! {
    with_default { pub struct Player { #[serde(default)] pub more: u8, pub name: String, pub hp: u32 } }
    with_option { pub struct Player { pub name: String, pub more: Option<u8>, pub hp: u32 } }
    without_default { pub struct Player { pub name: String, pub hp: u32, pub more: u8 } }
    removed { pub struct Player { pub hp: u32 } pub enum Event { Open, Withdraw { amount: u32 } } }
    moved { pub struct Player { pub hp: u32, pub name: String } pub enum Event { Withdraw { amount: u32 }, Deposit(u32), Open } }
    aliased {
        pub struct Player { #[serde(alias = "name")] pub title: String, #[serde(alias = "hp")] pub health: u32 }
        pub enum Event { #[serde(alias = "Open")] Begin, #[serde(alias = "Deposit")] Add(u32), Withdraw { amount: u32 } }
    }
    renamed { pub struct Player { #[serde(rename = "name")] pub title: String, pub hp: u32 } }
    neither { pub struct Player { pub title: String, pub hp: u32 } pub enum Event { Begin, Deposit(u32), Withdraw { amount: u32 } } }
    reused { pub struct Player { pub label: String, pub hp: u32 } }
    merged { pub struct Player { #[serde(alias = "name", alias = "hp")] pub both: String } }
    longer {
        pub enum Event { Open, Deposit(u32), Withdraw { amount: u32 }, Close }
    }
    before { pub enum Event { Close, Open, Deposit(u32), Withdraw { amount: u32 } } }
    grown {
        pub enum Event { Open, Deposit(u32), Withdraw { #[serde(default)] fee: u32, amount: u32 } }
    }
    skipping { pub enum Event { #[serde(skip)] Local, Open, Deposit(u32), #[serde(skip)] Other(u8), Withdraw { amount: u32 } } }
    unskipped { pub enum Event { Open, Deposit(u32) } }
    filled { pub enum Event { Open(u8), Deposit(u32), Withdraw { amount: u32 } } }
    called { pub struct Character { pub name: String, pub hp: u32 } pub enum Message { Open, Deposit(u32), Withdraw { amount: u32 } } }
    wrapped { pub struct Meters(pub u32); pub struct Far(pub Meters); }
    tuples { pub struct Pair(pub u8, pub u8); pub struct Named { pub one: u8, pub two: u8 } pub struct Empty {} }
}

#[test]
fn every_row_of_the_table_of_changes_is_true() {
    use old::{Event, aliased as old_aliased, player};
    fn same(outcomes: impl IntoIterator<Item = Found>) -> Found {
        let mut outcomes = outcomes.into_iter();
        let mut first = outcomes.next().unwrap();
        for other in outcomes {
            assert_eq!(other.what, first.what);
            first.errors.extend(other.errors);
        }
        first
    }
    let name = || "ada".to_string();
    let (deposit, withdraw) = (|| Event::Deposit(5), || Event::Withdraw { amount: 5 });
    let found: Vec<Found> = vec![
        // Fields.
        outcome(player(), with_default::Player { more: 0, name: name(), hp: 7 }),
        outcome(player(), with_option::Player { name: name(), more: None, hp: 7 }),
        outcome(player(), without_default::Player { name: name(), hp: 7, more: 0 }),
        outcome(player(), removed::Player { hp: 7 }),
        outcome(player(), moved::Player { hp: 7, name: name() }),
        outcome(player(), aliased::Player { title: name(), health: 7 }),
        outcome(player(), renamed::Player { title: name(), hp: 7 }),
        outcome(player(), neither::Player { title: name(), hp: 7 }),
        outcome(player(), old_aliased()),
        outcome(old_aliased(), player()),
        outcome(old_aliased(), reused::Player { label: name(), hp: 7 }),
        outcome(player(), merged::Player { both: name() }),
        // Variants.
        outcome(deposit(), longer::Event::Deposit(5)),
        outcome(withdraw(), before::Event::Withdraw { amount: 5 }),
        outcome(withdraw(), moved::Event::Withdraw { amount: 5 }),
        outcome(deposit(), aliased::Event::Add(5)),
        outcome(Event::Open, neither::Event::Begin),
        outcome(withdraw(), removed::Event::Withdraw { amount: 5 }),
        outcome(deposit(), removed::Event::Open),
        outcome(withdraw(), grown::Event::Withdraw { fee: 0, amount: 5 }),
        same([
            outcome(withdraw(), skipping::Event::Withdraw { amount: 5 }),
            outcome(old::Skipping::Deposit(5), unskipped::Event::Deposit(5)),
        ]),
        outcome(deposit(), filled::Event::Deposit(5)),
        // Names of types, newtypes.
        same([
            outcome(player(), called::Character { name: name(), hp: 7 }),
            outcome(deposit(), called::Message::Deposit(5)),
        ]),
        same([
            outcome(7u32, wrapped::Far(wrapped::Meters(7))),
            outcome(wrapped::Far(wrapped::Meters(7)), 7u32),
        ]),
        // Numbers.
        same([
            outcome(200u8, 200u16),
            outcome(u16::MAX, u128::from(u16::MAX)),
            outcome(u64::MAX, u128::from(u64::MAX)),
            outcome(i8::MIN, i32::from(i8::MIN)),
            outcome(i64::MIN, i128::from(i64::MIN)),
        ]),
        same([outcome(200u8, 200i16), outcome(u32::MAX, i64::from(u32::MAX))]),
        same([outcome(7u32, 7u16), outcome(7i32, 7u64), outcome(7u32, 7i32), outcome(7i64, 7i32)]),
        outcome(0.1f32, f64::from(0.1f32)),
        same([outcome(0.5f64, 0.5f32), outcome(7u8, 7f64)]),
        same([outcome(true, 1u8), outcome('a', "a".to_string())]),
        outcome(7usize, 7u64),
        outcome(7u32, Some(7u32)),
        outcome(Some(7u32), 7u32),
        // Tuples.
        same([outcome((1u8, 2u8), tuples::Pair(1, 2)), outcome((1u8, 2u8), [1u8, 2])]),
        same([outcome((1u8, 2u8), (1u8, 2u8, 3u8)), outcome([1u8; 5], [1u8; 4])]),
        outcome((1u8, 2u8), tuples::Named { one: 1, two: 2 }),
        same([outcome(old::Unit, ()), outcome(old::Unit, tuples::Empty {})]),
        // Sequences and maps.
        same([
            outcome(vec![1u8, 2], VecDeque::from([1u8, 2])),
            outcome(vec![1u8, 2], BTreeSet::from([1u8, 2])),
        ]),
        outcome(std::collections::HashMap::from([(1u8, 2u8)]), BTreeMap::from([(1u8, 2u8)])),
        outcome(vec![1u8], Vector::from_iter([1u8])),
        outcome(HashMap::from([(1u8, 2u8)]), OrdMap::from([(1u8, 2u8)])),
        same([
            outcome(HashMap::from([(7u32, 1u8)]), HashMap::from([(7u64, 1u8)])),
            outcome(HashSet::from([player()]), HashSet::from([moved::Player { hp: 7, name: name() }])),
            outcome(OrdSet::from([deposit()]), OrdSet::from([moved::Event::Deposit(5)])),
            outcome(OrdMap::from([(7u8, 1u8)]), OrdMap::from([(Some(7u8), 1u8)])),
        ]),
    ];
    let rows = rows("What happens when a type changes");
    assert_eq!(rows.len(), found.len());
    for (row, found) in rows.iter().zip(found) {
        let [change, expected, remedy] = &row[..] else { panic!("{row:?}") };
        assert_eq!(found.what, expected, "{change}");
        assert_eq!(found.errors.is_empty(), remedy.is_empty(), "{change}");
        for error in &found.errors {
            let told = error.lines().take_while(|line| !line.starts_with("these changes"));
            let told: Vec<&str> = told.filter(|line| line.starts_with("- ")).collect();
            let codes = remedy.split('`').skip(1).step_by(2);
            codes.for_each(|code| assert!(told.iter().any(|line| line.contains(code)), "{change}: {error}"));
        }
    }
}

/// An outcome in the table of attributes.
#[derive(Debug, PartialEq)]
enum Met {
    Accepted,
    AtTheFirst,
    AtTheValue,
}

/// Checkpoints a value alone and deep inside a state, and reads it back in another opening.
fn met<T: Serialize + DeserializeOwned + Clone + PartialEq + Debug + 'static>(value: T) -> Met {
    let storage = Arc::new(MemoryStorage::new());
    let store = Options::new().open_storage(storage.clone()).unwrap();
    let state = HashMap::from([(1u8, Vector::from_iter([None, Some(value.clone())]))]);
    let (alone, deep) = (store.checkpoint(&value), store.checkpoint(&state));
    match (alone, deep) {
        (Ok(alone), Ok(deep)) => {
            drop(store);
            let store = Options::new().open_storage(storage).unwrap();
            assert_eq!(store.restore::<T>(alone.id).unwrap(), value);
            assert_eq!(store.restore::<HashMap<u8, Vector<Option<T>>>>(deep.id).unwrap(), state);
            Met::Accepted
        }
        (Err(Error::Encode { reason, .. }), Err(Error::Encode { reason: deep, .. })) => {
            assert!([&reason, &deep].iter().all(|reason| reason.len() > 40), "{reason}, {deep}");
            assert_eq!(store.checkpoints().count(), 0);
            Met::AtTheFirst
        }
        other => panic!("{other:?}"),
    }
}

/// The same of a type of which the first value is accepted.
fn met_later<T: Serialize + DeserializeOwned + Clone + PartialEq + Debug + 'static>(good: T, bad: T) -> Met {
    assert_eq!(met(good.clone()), Met::Accepted);
    let store = Options::new().open_storage(Arc::new(MemoryStorage::new())).unwrap();
    let mut state = Vector::from_iter([good]);
    for _ in 0..3 {
        store.checkpoint(&state).unwrap();
    }
    state.push_back(bad);
    match store.checkpoint(&state) {
        Err(Error::Encode { .. }) => Met::AtTheValue,
        other => panic!("{other:?}"),
    }
}

mod with {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(number: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{number:x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let text = String::deserialize(deserializer)?;
        u32::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
    }

    pub fn deserialize_decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

mod foreign {
    #[derive(Clone, Debug, PartialEq)]
    pub struct Hidden {
        inside: u32,
    }

    impl Hidden {
        pub fn new(inside: u32) -> Self {
            Self { inside }
        }

        pub fn inside(&self) -> &u32 {
            &self.inside
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "foreign::Hidden")]
struct HiddenDef {
    #[serde(getter = "foreign::Hidden::inside")]
    inside: u32,
}

impl From<HiddenDef> for foreign::Hidden {
    fn from(def: HiddenDef) -> Self {
        Self::new(def.inside)
    }
}

#[test]
fn every_row_of_the_table_of_attributes_is_true() {
    macro_rules! kinds {
        ($($(#[$attribute:meta])* $kind:ident $name:ident $body:tt)*) => {$(
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            #[allow(dead_code)]
            $(#[$attribute])*
            $kind $name $body
        )*};
    }
    kinds! {
        #[serde(rename = "other name", rename_all = "kebab-case", rename_all_fields = "SCREAMING_SNAKE_CASE")]
        enum Renamed { FirstOne, SecondOne { some_field: u8, #[serde(rename = "type")] kind: u8 } }
        struct Split { #[serde(rename(serialize = "a", deserialize = "b"))] value: u8 }
        struct SplitAlias { #[serde(rename(serialize = "a", deserialize = "b"), alias = "a")] value: u8, c: u8 }
        struct Alias { #[serde(alias = "b", alias = "z")] a: u8, #[serde(alias = "d")] c: u8 }
        enum AliasEnum { #[serde(alias = "X")] A(u8), #[serde(alias = "A2")] B { #[serde(alias = "y")] x: u8, w: u8 } }
        struct FieldDefault { #[serde(default)] a: u8, b: u8 }
        struct Skipped { a: u8, #[serde(skip)] b: u8, c: u8 }
        struct SkipSer { a: u8, #[serde(skip_serializing, default)] b: u8, #[serde(default)] c: u8 }
        struct SkipDe { a: u8, #[serde(skip_deserializing)] b: u8, #[serde(default)] c: u8 }
        struct SkipIf { #[serde(skip_serializing_if = "Option::is_none", default)] a: Option<u8>, b: u8 }
        enum SkipVariant { #[serde(skip)] Local(u8), A(u8), B(u8) }
        enum SkipDeVariant { #[serde(skip_deserializing)] Local(u8), A(u8), B(u8) }
        struct With { #[serde(with = "with")] number: u32 }
        struct WithEach { #[serde(serialize_with = "with::serialize", deserialize_with = "with::deserialize")] number: u32 }
        struct WithOther { #[serde(serialize_with = "with::serialize", deserialize_with = "with::deserialize_decimal")] number: u32 }
        #[serde(from = "(u8, String)", into = "(u8, String)")]
        struct FromInto { number: u8, text: String }
        #[serde(try_from = "u8", into = "u8")]
        struct Even { half: u8 }
        #[serde(transparent)]
        struct Transparent { number: u32 }
        struct Remote { #[serde(with = "HiddenDef")] hidden: foreign::Hidden }
        #[serde(deny_unknown_fields, expecting = "a strict one", bound = "")]
        struct Strict { a: u8, b: Cow<'static, str> }
        #[serde(untagged)]
        enum Untagged { A(u8), B(String) }
        #[serde(tag = "t")]
        enum Tagged { A { a: u8 }, #[serde(other)] Other }
        #[serde(tag = "t", content = "c")]
        enum Adjacent { A(u8), B }
        #[serde(tag = "t")]
        struct TaggedStruct { a: u8 }
        enum Other { #[serde(alias = "X")] A(u8), #[serde(skip)] Local, B, #[serde(other)] Rest }
        struct Inner { a: u8 }
        struct Flat { #[serde(flatten)] inner: Inner, b: u8 }
    }
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct AllDefault {
        a: u8,
        b: String,
    }
    impl From<(u8, String)> for FromInto {
        fn from((number, text): (u8, String)) -> Self {
            Self { number, text }
        }
    }
    impl From<FromInto> for (u8, String) {
        fn from(value: FromInto) -> Self {
            (value.number, value.text)
        }
    }
    impl TryFrom<u8> for Even {
        type Error = &'static str;
        fn try_from(number: u8) -> Result<Self, Self::Error> {
            if number.is_multiple_of(2) { Ok(Self { half: number / 2 }) } else { Err("odd") }
        }
    }
    impl From<Even> for u8 {
        fn from(value: Even) -> Self {
            value.half * 2
        }
    }
    fn same(all: impl IntoIterator<Item = Met>) -> Met {
        let mut all = all.into_iter();
        let first = all.next().unwrap();
        all.for_each(|other| assert_eq!(other, first));
        first
    }
    let found = vec![
        same([met(Renamed::FirstOne), met(Renamed::SecondOne { some_field: 1, kind: 2 })]),
        met(Split { value: 1 }),
        met(SplitAlias { value: 1, c: 2 }),
        same([met(Alias { a: 1, c: 2 }), met(AliasEnum::A(1)), met(AliasEnum::B { x: 1, w: 2 })]),
        same([met(FieldDefault { a: 1, b: 2 }), met(AllDefault { a: 1, b: "b".into() })]),
        met(Skipped { a: 1, b: 0, c: 2 }),
        same([met(SkipSer { a: 1, b: 0, c: 2 }), met(SkipDe { a: 1, b: 0, c: 2 })]),
        met_later(SkipIf { a: Some(1), b: 2 }, SkipIf { a: None, b: 2 }),
        met_later(SkipVariant::B(1), SkipVariant::Local(1)),
        met_later(SkipDeVariant::B(1), SkipDeVariant::Local(1)),
        same([met(With { number: 255 }), met(WithEach { number: 255 })]),
        met(WithOther { number: 0x16 }),
        same([met(FromInto { number: 1, text: "one".into() }), met(Even { half: 4 })]),
        met(Transparent { number: 1 }),
        met(Remote { hidden: foreign::Hidden::new(1) }),
        met(Strict { a: 1, b: "b".into() }),
        same([met(Untagged::A(1)), met(Untagged::B("b".into()))]),
        same([
            met(Tagged::A { a: 1 }),
            met(Tagged::Other),
            met(Adjacent::A(1)),
            met(Adjacent::B),
            met(TaggedStruct { a: 1 }),
        ]),
        same([met(Other::A(1)), met(Other::B), met(Other::Rest)]),
        met(Flat { inner: Inner { a: 1 }, b: 2 }),
    ];
    let rows = rows("What serde's attributes do");
    assert_eq!(rows.len(), found.len());
    for (row, found) in rows.iter().zip(found) {
        let [attribute, expected] = &row[..] else { panic!("{row:?}") };
        let expected = match expected.as_str() {
            text if text.starts_with("accepted; refused at the checkpoint of such a value") => {
                Met::AtTheValue
            }
            text if text.starts_with("accepted") => Met::Accepted,
            "refused at the first checkpoint" => Met::AtTheFirst,
            "refused at the checkpoint of a value that it skips" => Met::AtTheValue,
            other => panic!("{other}"),
        };
        assert_eq!(found, expected, "{attribute}");
    }
}

mod deep {
    use super::*;

    type Inner<K, V> = OrdMap<K, (V, HashSet<K>)>;

    /// Values and keys at every depth.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(bound(
        serialize = "K: Serialize, V: Serialize",
        deserialize = "K: DeserializeOwned + Clone + Ord + std::hash::Hash, V: DeserializeOwned + Clone"
    ))]
    pub struct World<K: Ord + std::hash::Hash + Eq, V> {
        pub one: V,
        pub plain: BTreeMap<K, Vec<Option<V>>>,
        pub hash: HashMap<K, V>,
        pub ord: OrdMap<K, V>,
        pub items: Vector<V>,
        pub set: HashSet<K>,
        pub ord_set: OrdSet<K>,
        pub nested: HashMap<u32, Vector<Inner<K, V>>>,
    }

    pub fn world<K: Ord + std::hash::Hash + Eq + Clone, V: Clone>(
        size: u32,
        key: impl Fn(u32) -> K,
        value: impl Fn(u32) -> V,
    ) -> World<K, V> {
        let inner =
            |n: u32| (0..n % 4).map(|m| (key(m), (value(m), (0..n % 3).map(&key).collect()))).collect();
        World {
            one: value(1),
            plain: (0..size.min(9)).map(|n| (key(n), vec![None, Some(value(n))])).collect(),
            hash: (0..size).map(|n| (key(n), value(n))).collect(),
            ord: (0..size).map(|n| (key(n), value(n))).collect(),
            items: (0..size).map(&value).collect(),
            set: (0..size).map(&key).collect(),
            ord_set: (0..size).map(&key).collect(),
            nested: (0..size / 4).map(|n| (n, (0..n % 3).map(|m| inner(n + m)).collect())).collect(),
        }
    }

    types! {
        pub struct OldKey { pub group: u8, pub number: u32 }
        pub struct NewKey { pub number: u64, #[serde(alias = "group")] pub team: Option<u16>, #[serde(default)] pub more: u8 }
        pub enum OldValue { Idle, Moving { x: i8, speed: u16 }, Text(String) }
        pub struct Words(pub String);
        pub enum NewValue { #[serde(alias = "Text")] Words(Option<Words>), Gone, Moving { speed: u32, #[serde(default)] z: i8, x: i64 }, Idle }
    }

    pub fn old_key(n: u32) -> OldKey {
        OldKey { group: (n % 251) as u8, number: n }
    }

    pub fn new_key(n: u32) -> NewKey {
        NewKey { number: n.into(), team: Some((n % 251) as u16), more: 0 }
    }

    pub fn old_value(n: u32) -> OldValue {
        match n % 3 {
            0 => OldValue::Idle,
            1 => OldValue::Moving { x: -(n as i8 & 0x7f), speed: n as u16 },
            _ => OldValue::Text(format!("text {n}")),
        }
    }

    pub fn new_value(n: u32) -> NewValue {
        match n % 3 {
            0 => NewValue::Idle,
            1 => NewValue::Moving { speed: u32::from(n as u16), z: 0, x: -i64::from(n as i8 & 0x7f) },
            _ => NewValue::Words(Some(Words(format!("text {n}")))),
        }
    }
}

#[test]
fn changes_of_keys_and_values_at_every_depth_are_read_by_every_way() {
    type Old = deep::World<deep::OldKey, deep::OldValue>;
    type New = deep::World<deep::NewKey, deep::NewValue>;
    for size in [0, 1, 30, 600] {
        let storage = Arc::new(MemoryStorage::new());
        let store = Options::new().open_storage(storage.clone()).unwrap();
        let mut state: Old = deep::world(size, deep::old_key, deep::old_value);
        store.checkpoint(&state).unwrap();
        // Deltas, and several roots.
        state.items.push_back(deep::old_value(size));
        state.hash.insert(deep::old_key(size), deep::old_value(size));
        let id = store.commit().roots(&[("state", &state), ("copy", &state)]).write().unwrap().id;
        drop(store);
        let mut expected: New = deep::world(size, deep::new_key, deep::new_value);
        expected.items.push_back(deep::new_value(size));
        expected.hash.insert(deep::new_key(size), deep::new_value(size));
        let store = Options::new().open_storage(storage.clone()).unwrap();
        assert_eq!(store.latest::<New>().unwrap().unwrap(), expected);
        assert_eq!(store.get(id).unwrap().restore_root::<New>("copy").unwrap(), expected);
        assert_eq!(
            store.get(id).unwrap().restore_with::<New>(&RestoreOptions::new().rebuild(true)).unwrap(),
            expected
        );
        assert_eq!(store.restore::<Old>(id).unwrap(), state);
        let verified = store.verify_with(VerifyOptions::new().states::<New>()).unwrap();
        assert!(verified.is_clean(), "{:?}", verified.damage);
        assert_eq!((verified.states, verified.other_types), (3, 0));
        // All of it, changed.
        let mut restored: New = store.latest().unwrap().unwrap();
        restored.hash.load_all().unwrap();
        restored.items.load_all().unwrap();
        for n in 0..5 {
            restored.hash.insert(deep::new_key(n), deep::NewValue::Gone);
            restored.ord.remove(&deep::new_key(n * 2));
            restored.nested.insert(n, Vector::new());
        }
        let changed = store.checkpoint(&restored).unwrap().id;
        drop(store);
        let store = Options::new().open_storage(storage).unwrap();
        assert_eq!(store.restore::<New>(changed).unwrap(), restored);
        assert_eq!(store.restore::<New>(id).unwrap(), expected);
        assert!(
            store.verify().unwrap().is_clean()
                && store.verify_with(VerifyOptions::new().states::<New>()).unwrap().is_clean()
        );
        // A migration of the type as it is now.
        let to = Arc::new(MemoryStorage::new());
        store
            .migrate(Location::storage(to.clone(), std::path::Path::new("new")), |_, state: New| Ok(state))
            .unwrap();
        let new: Store = Options::new().open_storage(to).unwrap();
        assert_eq!(new.restore::<New>(changed).unwrap(), restored);
        assert_eq!(new.restore::<New>(id).unwrap(), expected);
    }
}

#[test]
fn a_type_that_changes_again_and_again_is_read_at_every_age() {
    macro_rules! ages {
        ($($age:ident { $($body:tt)* })*) => {$(
            mod $age {
                use super::*;
                #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
                pub struct Item { $($body)* }
                pub type State = HashMap<u32, Vector<Item>>;
            }
        )*};
    }
    ages! {
        one { pub hp: u16, pub name: String }
        two { pub name: String, #[serde(alias = "hp")] pub health: u32 }
        three { pub name: Option<String>, #[serde(alias = "hp")] pub health: u32, #[serde(default)] pub hp2: u8 }
        four { #[serde(default)] pub hp2: u8, #[serde(alias = "health", alias = "hp")] pub life: i64, #[serde(alias = "name")] pub title: Option<String> }
    }
    let storage = Arc::new(MemoryStorage::new());
    let open = || Options::new().open_storage(storage.clone()).unwrap();
    let mut ids = Vec::new();
    let text = |n: u32| format!("item {n}");
    let store = open();
    let mut state: one::State =
        (0..200).map(|n| (n, Vector::from_iter([one::Item { hp: n as u16, name: text(n) }]))).collect();
    ids.push(store.checkpoint(&state).unwrap().id);
    state.remove(&199);
    ids.push(store.checkpoint(&state).unwrap().id);
    drop(store);
    let store = open();
    let mut state: two::State = store.latest().unwrap().unwrap();
    state.insert(199, Vector::from_iter([two::Item { health: 199, name: text(199) }]));
    ids.push(store.checkpoint(&state).unwrap().id);
    state.remove(&0);
    ids.push(store.checkpoint(&state).unwrap().id);
    // Of two ages in one state: what was read as grown, and what was made.
    let old: two::State = store.restore(ids[0]).unwrap();
    state.extend(old.iter().filter(|(key, _)| **key % 2 == 0).map(|(key, items)| (*key, items.clone())));
    ids.push(store.checkpoint(&state).unwrap().id);
    drop((store, state, old));
    let store = open();
    let mut state: three::State = store.latest().unwrap().unwrap();
    state.insert(7, Vector::from_iter([three::Item { name: None, health: 70_000, hp2: 1 }]));
    ids.push(store.checkpoint(&state).unwrap().id);
    drop((store, state));
    let store = open();
    for (age, id) in ids.iter().enumerate() {
        let state: four::State = store.restore(*id).unwrap();
        let items = state.iter().map(|(key, items)| (*key, items.iter().cloned().collect::<Vec<_>>()));
        let found: BTreeMap<u32, Vec<four::Item>> = items.collect();
        let keys: BTreeSet<u32> = found.keys().copied().collect();
        let expected: BTreeSet<u32> =
            (0..200).filter(|n| !(age == 1 && *n == 199 || age == 3 && *n == 0)).collect();
        assert_eq!(keys, expected, "{age}");
        for (key, items) in found {
            let plain = four::Item { hp2: 0, life: key.into(), title: Some(text(key)) };
            let seven = four::Item { hp2: 1, life: 70_000, title: None };
            assert_eq!(items, [if age == 5 && key == 7 { seven } else { plain }], "{age}");
        }
    }
    let verified = store.verify_with(VerifyOptions::new().states::<four::State>()).unwrap();
    assert!(verified.is_clean() && verified.states == 6, "{:?}", verified.damage);
}

#[test]
fn what_does_not_fit_stands_first_and_alone_each_with_its_remedy() {
    mod before {
        use super::*;
        types! {
            pub struct Item { pub name: String, pub weight: u64, pub gone: u8, pub moved: u8 }
            pub enum Event { Open, Close }
        }
    }
    mod after {
        use super::*;
        types! {
            pub struct Item { pub moved: u8, pub name: String, pub weight: u32, pub price: u32, #[serde(default)] pub note: String }
            pub enum Event { Open, Later }
        }
    }
    let store = Options::new().open_storage(Arc::new(MemoryStorage::new())).unwrap();
    let item = before::Item { name: "a".into(), weight: 1, gone: 2, moved: 3 };
    store.checkpoint(&Vector::from_iter([(item, before::Event::Open)])).unwrap();
    let error = store.latest::<Vector<(after::Item, after::Event)>>().unwrap_err();
    let Error::ShapeMismatch { difference, .. } = error else { panic!("{error}") };
    let expected = "\
- Item.weight is stored as u64 and asked for as u32: ask for what is stored, or make a store of the new type with `Store::migrate`
- field `gone: u8` of Item was removed: if it has another name now, give that field `#[serde(alias = \"gone\")]`; to leave it out, restore with `RestoreOptions::new().allow_removed_fields(true)`
- variant `Close` of Event was removed: if it has another name now, give that variant `#[serde(alias = \"Close\")]`; if no value is one, restore with `RestoreOptions::new().allow_removed_variants(true)`
- field `price: u32` of Item was added and has no default: give it `#[serde(default)]`, or make it an Option
these changes would be accepted:
+ field `moved` of Item was moved
+ variant `Later` of Event was added
+ field `note: str` of Item was added
";
    assert_eq!(difference, expected);
}

#[test]
fn a_removed_variant_that_is_met_is_an_error_and_no_panic() {
    let store = Options::new().open_storage(Arc::new(MemoryStorage::new())).unwrap();
    let log: HashMap<u32, Vector<old::Event>> = (0..500)
        .map(|n| (n, Vector::from_iter([if n == 300 { old::Event::Deposit(1) } else { old::Event::Open }])))
        .collect();
    let id = store.checkpoint(&log).unwrap().id;
    let options = RestoreOptions::new().allow_removed_variants(true);
    let restored: HashMap<u32, Vector<removed::Event>> =
        store.get(id).unwrap().restore_with(&options).unwrap();
    restored.load_all().unwrap();
    let mut failed = 0;
    for (key, events) in restored.try_iter().unwrap().map(Result::unwrap) {
        match events.try_iter().and_then(|mut events| events.try_for_each(|event| event.map(drop))) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(*key, 300);
                assert!(error.to_string().contains("unknown variant `Deposit`"), "{error}");
                failed += 1;
            }
        }
    }
    assert_eq!(failed, 1);
    // Written again, it would be lost: the checkpoint fails.
    assert!(store.checkpoint(&restored).is_err());
}
