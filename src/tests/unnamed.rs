//! Stores of version 1, whose shapes lack names where there were aliases, and what stood behind a rejected value.

use std::path::Path;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::log::commit::Root;
use crate::log::{Draft, Log};
use crate::record::{RecordHead, RecordKind, RecordReader, RecordWriter};
use crate::storage::MemoryStorage;
use crate::store::{CheckpointId, Durability, Error, Options, Store, VerifyOptions};

fn log(storage: &Arc<MemoryStorage>) -> Log {
    Log::open(storage.clone(), &Options::new(), Path::new("store")).unwrap()
}

fn open(storage: &Arc<MemoryStorage>) -> Store {
    Options::new().open_storage(storage.clone()).unwrap()
}

/// A store with a checkpoint of each value, of a type that version 1 described so.
fn written(shape: &str, values: &[&[u8]]) -> Arc<MemoryStorage> {
    let storage = Arc::new(MemoryStorage::new());
    let log = log(&storage);
    for payload in values {
        let head = RecordHead { kind: RecordKind::Schema, delta: false };
        let shape = log.writer().unwrap().append(head, &[], shape.as_bytes()).unwrap();
        let root = Root { name: "state".into(), shape, refs: Vec::new(), payload: payload.to_vec() };
        let draft = Draft { roots: vec![root], ..Draft::default() };
        log.writer().unwrap().commit(draft, Durability::Sync).unwrap();
    }
    storage
}

/// The shape that the newest checkpoint was written by.
fn newest_shape(storage: &Arc<MemoryStorage>) -> String {
    let log = log(storage);
    let shape = log.latest().unwrap().roots[0].shape;
    String::from_utf8(log.opening().read(shape).unwrap().payload().to_vec()).unwrap()
}

macro_rules! versions {
    ($($version:ident { $($item:item)* })*) => {$(
        mod $version {
            use super::*;
            $(
                #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
                #[allow(dead_code, reason = "some variants are only read")]
                $item
            )*
        }
    )*};
}

versions! {
    plain { pub struct Point { pub x: u32, pub y: u32 } pub enum Event { Open(u32), Close(u32) } }
    aliased {
        pub struct Point { #[serde(alias = "ex")] pub x: u32, pub y: u32 }
        pub enum Event { #[serde(alias = "Begin")] Open(u32), Close(u32) }
    }
    moved { pub struct Point { pub y: u32, #[serde(alias = "x")] pub ex: u32 } pub enum Event { Close(u32), Open(u32) } }
}

const POINT: &str = "Point\nstruct Point { x: u32, y: u32 }\n";
const NAMELESS_POINT: &str = "Point\nstruct Point { _0: u32, _1: u32 }\n";
const EVENT: &str = "Event\nenum Event { Open(u32), Close(u32) }\n";
const NAMELESS_EVENT: &str = "Event\nenum Event { _0(u32), _1(u32) }\n";

#[test]
fn types_of_version_1_are_read_and_have_names_from_the_next_checkpoint_on() {
    let storage = written(POINT, &[&[1, 2]]);
    assert_eq!(open(&storage).latest().unwrap(), Some(moved::Point { ex: 1, y: 2 }));
    let store = open(&storage);
    let point: plain::Point = store.latest().unwrap().unwrap();
    assert_eq!(point, plain::Point { x: 1, y: 2 });
    store.checkpoint(&point).unwrap();
    drop(store);
    assert_eq!(newest_shape(&storage), "shape 2\nPoint\nstruct Point { x: u32, y: u32 }\n");
    assert_eq!(
        open(&storage).restore::<moved::Point>(CheckpointId(1)).unwrap(),
        moved::Point { ex: 1, y: 2 }
    );
    assert_eq!(open(&storage).latest().unwrap(), Some(moved::Point { ex: 1, y: 2 }));
    let storage = written(EVENT, &[&[1, 7]]);
    assert_eq!(open(&storage).latest().unwrap(), Some(plain::Event::Close(7)));
    assert_eq!(open(&storage).latest().unwrap(), Some(moved::Event::Close(7)));
}

#[test]
fn types_of_version_1_without_names_are_read_by_position_by_the_same_type_only() {
    let storage = written(NAMELESS_POINT, &[&[1, 2]]);
    let store = open(&storage);
    for error in [store.latest::<plain::Point>().unwrap_err(), {
        type Longer = (aliased::Point, u8);
        store.latest::<Longer>().unwrap_err()
    }] {
        assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
    }
    let error = store.latest::<plain::Point>().unwrap_err().to_string();
    assert!(error.contains("format version 1") && error.contains("checkpoint it"), "{error}");
    let point: aliased::Point = store.latest().unwrap().unwrap();
    assert_eq!(point, aliased::Point { x: 1, y: 2 });
    store.checkpoint(&point).unwrap();
    drop(store);
    assert_eq!(newest_shape(&storage), "shape 2\nPoint\nstruct Point { x|ex: u32, y: u32 }\n");
    let store = open(&storage);
    assert_eq!(store.latest().unwrap(), Some(plain::Point { x: 1, y: 2 }));
    assert_eq!(store.restore::<aliased::Point>(CheckpointId(1)).unwrap(), point);
    let storage = written(NAMELESS_EVENT, &[&[1, 7]]);
    assert_eq!(open(&storage).latest().unwrap(), Some(aliased::Event::Close(7)));
    assert!(matches!(open(&storage).latest::<plain::Event>(), Err(Error::ShapeMismatch { .. })));
}

/// Accepts no made-up value.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Picky(String);

impl<'de> Deserialize<'de> for Picky {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "ok" { Ok(Self(text)) } else { Err(D::Error::custom("not picky enough")) }
    }
}

#[test]
fn what_version_1_could_not_see_is_read_before_and_after_it_is_seen() {
    let value = |n| (Picky("ok".into()), n);
    let storage = written("(str, ?)\n", &[b"\x02ok\x05", b"\x02ok\x06"]);
    let store = open(&storage);
    assert_eq!(store.restore::<(Picky, u32)>(CheckpointId(1)).unwrap(), value(5));
    store.checkpoint(&value(7)).unwrap();
    let read = |store: &Store| {
        for (id, n) in [(3, 7), (2, 6), (1, 5)] {
            assert_eq!(store.restore::<(Picky, u32)>(CheckpointId(id)).unwrap(), value(n));
        }
    };
    read(&store);
    drop(store);
    read(&open(&storage));
    assert!(open(&storage).verify_with(VerifyOptions::new().states::<(Picky, u32)>()).unwrap().is_clean());
    let error = open(&storage).latest::<(Picky, i32)>().unwrap_err();
    assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
}
