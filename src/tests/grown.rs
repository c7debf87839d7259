//! Types that changed since they were written: what has grown restores, what has become another type is refused, and
//! maps whose hash has changed are built anew.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::storage::MemoryStorage;
use crate::store::{Error, Options, RestoreOptions, Store};
use crate::{HashMap, OrdMap, Vector};

fn store() -> (Arc<MemoryStorage>, Store) {
    let storage = Arc::new(MemoryStorage::new());
    let store = Options::new().open_storage(storage.clone()).unwrap();
    (storage, store)
}

mod old {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub struct Item {
        pub name: String,
        pub weight: f32,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub enum Event {
        Joined(u64),
        Moved { x: i32, y: i32 },
        Quit,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub struct World {
        pub tick: u64,
        pub items: HashMap<u32, Vector<Item>>,
        pub sorted: OrdMap<String, Item>,
        pub log: Vector<Event>,
        pub plain: BTreeMap<u8, Option<Item>>,
        pub array: [u16; 5],
        pub pair: (Item, char),
    }
}

mod new {
    use super::*;

    fn one() -> u32 {
        1
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub struct Item {
        #[serde(default = "one")]
        pub count: u32,
        pub name: String,
        pub owner: Option<String>,
        pub weight: f32,
        #[serde(default)]
        pub marks: Vector<u8>,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub enum Event {
        Paused,
        Joined(u64),
        Spoke(String),
        Moved {
            x: i32,
            #[serde(default)]
            z: i32,
            y: i32,
        },
        Quit,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub struct World {
        #[serde(default)]
        pub title: String,
        pub tick: u64,
        pub items: HashMap<u32, Vector<Item>>,
        pub sorted: OrdMap<String, Item>,
        #[serde(default)]
        pub more: HashMap<u8, u8>,
        pub log: Vector<Event>,
        pub plain: BTreeMap<u8, Option<Item>>,
        pub array: [u16; 5],
        pub pair: (Item, char),
    }
}

fn old_item(n: u32) -> old::Item {
    old::Item { name: format!("item {n}"), weight: n as f32 }
}

fn new_item(n: u32) -> new::Item {
    new::Item { count: 1, name: format!("item {n}"), owner: None, weight: n as f32, marks: Vector::new() }
}

fn old_world(size: u32) -> old::World {
    old::World {
        tick: 7,
        items: (0..size).map(|n| (n, (0..n % 5).map(old_item).collect())).collect(),
        sorted: (0..size).map(|n| (format!("{n:05}"), old_item(n))).collect(),
        log: (0..size)
            .map(|n| match n % 3 {
                0 => old::Event::Joined(n.into()),
                1 => old::Event::Moved { x: n as i32, y: -1 },
                _ => old::Event::Quit,
            })
            .collect(),
        plain: BTreeMap::from([(1, Some(old_item(3))), (2, None)]),
        array: [1, 2, 3, 4, 5],
        pair: (old_item(9), 'x'),
    }
}

fn new_world(size: u32) -> new::World {
    new::World {
        title: String::new(),
        tick: 7,
        items: (0..size).map(|n| (n, (0..n % 5).map(new_item).collect())).collect(),
        sorted: (0..size).map(|n| (format!("{n:05}"), new_item(n))).collect(),
        more: HashMap::new(),
        log: (0..size)
            .map(|n| match n % 3 {
                0 => new::Event::Joined(n.into()),
                1 => new::Event::Moved { x: n as i32, z: 0, y: -1 },
                _ => new::Event::Quit,
            })
            .collect(),
        plain: BTreeMap::from([(1, Some(new_item(3))), (2, None)]),
        array: [1, 2, 3, 4, 5],
        pair: (new_item(9), 'x'),
    }
}

#[test]
fn fields_with_a_default_at_any_place_and_new_variants_restore() {
    for size in [0, 1, 40, 2000] {
        let (storage, store) = store();
        let mut old = old_world(size);
        store.checkpoint(&old).unwrap();
        // Deltas too.
        old.items.insert(0, Vector::new());
        let first = store.checkpoint(&old).unwrap().id;
        drop(store);
        let store = Options::new().open_storage(storage.clone()).unwrap();
        let mut grown: new::World = store.latest().unwrap().unwrap();
        let mut expected = new_world(size);
        expected.items.insert(0, Vector::new());
        assert_eq!(grown, expected, "{size}");
        // The old type still reads it, beside the new one.
        assert_eq!(store.restore::<old::World>(first).unwrap(), old);
        // Changed and checkpointed, it is a state of the new type.
        grown.log.push_back(new::Event::Spoke("hello".into()));
        grown.sorted.insert("zebra".into(), new_item(1));
        store.checkpoint(&grown).unwrap();
        drop(store);
        let store = Options::new().open_storage(storage).unwrap();
        assert_eq!(store.latest::<new::World>().unwrap().unwrap(), grown);
        assert_eq!(store.restore::<new::World>(first).unwrap(), expected);
        assert!(matches!(store.latest::<old::World>(), Err(Error::ShapeMismatch { .. })));
        assert!(store.verify().unwrap().is_clean());
    }
}

#[test]
fn what_was_read_as_grown_is_never_taken_for_a_record_of_the_new_type() {
    let (_, store) = store();
    store.checkpoint(&old_world(500)).unwrap();
    let grown: new::World = store.latest().unwrap().unwrap();
    grown.items.load_all().unwrap();
    let written = store.checkpoint(&grown).unwrap();
    assert!(written.nodes > 100, "it is another type: {} nodes", written.nodes);
    let again = store.checkpoint(&grown).unwrap();
    assert_eq!(again.nodes, 0);
    assert_eq!(store.latest::<new::World>().unwrap().unwrap(), new_world(500));
}

/// Writes an `A` and expects that a `B` is refused, with a line of the difference.
fn refused<A: Serialize + DeserializeOwned + 'static, B: DeserializeOwned + std::fmt::Debug + 'static>(
    value: A,
    line: &str,
) {
    let (_, store) = store();
    store.checkpoint(&value).unwrap();
    let error = store.latest::<B>().unwrap_err();
    assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
    assert!(error.to_string().contains(line), "{error}");
}

#[test]
fn what_is_no_growth_is_refused_at_once() {
    mod without_default {
        use super::*;
        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub struct Item {
            pub name: String,
            pub weight: f32,
            pub price: u32,
        }
    }
    refused::<_, without_default::Item>(
        old_item(1),
        "- field `price: u32` of Item was added and has no default: give it `#[serde(default)]`",
    );
    // In a collection that is empty, and in an option that is not there: it is known all the same.
    refused::<_, Vector<without_default::Item>>(
        Vector::<old::Item>::new(),
        "- field `price: u32` of Item was added and has no default: give it `#[serde(default)]`",
    );
    refused::<_, Option<without_default::Item>>(
        None::<old::Item>,
        "- field `price: u32` of Item was added and has no default: give it `#[serde(default)]`",
    );
    mod less {
        use super::*;
        #[derive(Debug, Serialize, Deserialize)]
        pub struct Item {
            pub name: String,
        }
        #[derive(Debug, Clone, Serialize, Deserialize)]
        pub enum Event {
            Joined(u64),
            Quit,
        }
    }
    refused::<_, less::Item>(old_item(1), "- field `weight: f32` of Item was removed");
    refused::<_, less::Event>(old::Event::Quit, "- variant `Moved { x: i32, y: i32 }` of Event was removed");
    mod other {
        use super::*;
        #[derive(Debug, Serialize, Deserialize)]
        pub struct Item {
            pub name: String,
            pub weight: u32,
            #[serde(default)]
            pub more: u8,
        }
    }
    refused::<_, other::Item>(old_item(1), "- Item.weight is stored as f32 and asked for as u32");
    refused::<_, Vector<u32>>(
        HashMap::from([(1u32, 2u32)]),
        "- the state is stored as HashMap<u32, u32> and asked for as Vector<u32>",
    );
}

/// A key whose hash can be told to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Key(u32);

thread_local!(static SALT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) });

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (u64::from(self.0) ^ SALT.with(std::cell::Cell::get)).hash(state);
    }
}

#[test]
fn a_hash_that_changed_is_told_and_rebuilt() {
    type Map = HashMap<Key, HashMap<Key, u32>>;
    for size in [1, 20, 3000] {
        let (storage, store) = store();
        let inner = |n: u32| (0..n % 40).map(|m| (Key(m), n)).collect();
        let map: Map = (0..size).map(|n| (Key(n), inner(n + 3))).collect();
        let id = store.checkpoint(&map).unwrap().id;
        let expected: BTreeMap<Key, BTreeMap<Key, u32>> =
            map.iter().map(|(key, inner)| (*key, inner.iter().map(|(k, v)| (*k, *v)).collect())).collect();
        drop(store);
        SALT.set(0x1234_5678_9abc);
        let store = Options::new().open_storage(storage).unwrap();
        if size > 100 {
            // (Not `load_all`: its threads have a salt of their own.)
            let restored: Map = store.restore(id).unwrap();
            let changed = restored.try_iter().and_then(|mut all| all.try_for_each(|entry| entry.map(drop)));
            let changed = changed.unwrap_err();
            assert!(matches!(changed, Error::HashChanged { .. }), "{changed}");
            assert!(changed.to_string().contains("rebuild"));
        }
        let rebuilt: Map = store.get(id).unwrap().restore_with(&RestoreOptions::new().rebuild(true)).unwrap();
        assert_eq!(rebuilt.len(), size as usize);
        for (key, inner) in &expected {
            assert_eq!(rebuilt[key].len(), inner.len());
            assert!(inner.iter().all(|(key2, value)| rebuilt[key].get(key2) == Some(value)));
        }
        let again = store.checkpoint(&rebuilt).unwrap().id;
        let restored: Map = store.restore(again).unwrap();
        assert_eq!(restored, rebuilt);
        SALT.set(0);
    }
}
