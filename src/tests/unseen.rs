//! Values changed behind a shared reference: a checkpoint does not see that, and a build with debug assertions says so.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::storage::{MemoryStorage, Storage};
use crate::store::{Compression, Options, Store};
use crate::{Error, HashMap, OrdMap, Vector};

/// A number that can be changed behind `&`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "u32", into = "u32")]
struct Shared(Arc<AtomicU32>);

impl From<u32> for Shared {
    fn from(number: u32) -> Self {
        Self(Arc::new(AtomicU32::new(number)))
    }
}

impl From<Shared> for u32 {
    fn from(shared: Shared) -> Self {
        shared.0.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn set(&self, number: u32) {
        self.0.store(number, Ordering::Relaxed);
    }
}

fn memory() -> (MemoryStorage, Store) {
    let storage = MemoryStorage::new();
    let store =
        Options::new().compression(Compression::None).open_storage(Arc::new(storage.clone())).unwrap();
    (storage, store)
}

/// Checkpoints until the change is found: each looks at some of the leaves.
fn found<T: crate::store::Persist>(store: &Store, state: &T) -> Option<String> {
    (0..2000).find_map(|_| match store.checkpoint(state) {
        Ok(_) => None,
        Err(Error::Encode { reason, .. }) => Some(reason),
        Err(error) => panic!("{error}"),
    })
}

#[test]
#[cfg(debug_assertions)]
fn a_value_changed_behind_a_shared_reference_is_found_and_named() {
    let (_, store) = memory();
    for len in [1, 20, 3000] {
        let map: HashMap<u32, Shared> = (0..len).map(|n| (n, n.into())).collect();
        store.checkpoint(&map).unwrap();
        assert_eq!(store.checkpoint(&map).unwrap().nodes, 0);
        map[&(len / 2)].set(1_000_000);
        let reason = found(&store, &map).expect("the change is found");
        assert!(reason.contains("get_mut") && reason.contains("behind a shared reference"), "{reason}");
        // What to do about it: touched by `get_mut`, it is saved.
        let mut map = map;
        map.get_mut(&(len / 2)).unwrap();
        store.checkpoint(&map).unwrap();
        let restored: HashMap<u32, Shared> = store.latest().unwrap().unwrap();
        assert_eq!(u32::from(restored[&(len / 2)].clone()), 1_000_000);
        assert_eq!(found(&store, &map), None);
    }
    let map: OrdMap<u32, Shared> = (0..100).map(|n| (n, n.into())).collect();
    let vector: Vector<Shared> = (0..3000).map(Into::into).collect();
    store.checkpoint(&(map.clone(), vector.clone())).unwrap();
    vector[1700].set(9);
    assert!(found(&store, &(map, vector)).is_some());
}

#[test]
#[cfg(debug_assertions)]
fn a_change_beside_one_that_was_seen_is_found_too() {
    // The leaf is written as a delta, which leaves the unseen change out.
    let (_, store) = memory();
    let mut map: OrdMap<u32, Shared> = (0..8).map(|n| (n, n.into())).collect();
    store.checkpoint(&map).unwrap();
    map[&6].set(600);
    map.insert(2, 20.into());
    let first = store.checkpoint(&map).err();
    assert!(first.is_some() || found(&store, &map).is_some());
}

#[test]
#[cfg(debug_assertions)]
fn a_collection_changed_behind_a_shared_reference_is_found() {
    #[derive(Debug, Default, Serialize, Deserialize)]
    struct Held(std::sync::Mutex<Vector<u32>>);
    impl Clone for Held {
        fn clone(&self) -> Self {
            Self(self.0.lock().unwrap().clone().into())
        }
    }
    let (_, store) = memory();
    let map: HashMap<u32, Held> = (0..10).map(|n| (n, Held(Vector::from([n; 50]).into()))).collect();
    store.checkpoint(&map).unwrap();
    *map[&3].0.lock().unwrap().get_mut(7).unwrap() = 0;
    assert!(found(&store, &map).is_some());
}

#[test]
#[cfg(debug_assertions)]
fn a_value_in_a_collection_in_another_is_found_too() {
    let (_, store) = memory();
    let map: HashMap<u32, Vector<Shared>> =
        (0..20).map(|n| (n, (0..200).map(Into::into).collect())).collect();
    store.checkpoint(&map).unwrap();
    map[&7][150].set(9);
    assert!(found(&store, &map).is_some());
}

/// Encodes a set in the order of its table, which a decoded one does not share; and a number that is not equal to itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Odd {
    set: HashSet<u32>,
    float: f64,
}

impl Odd {
    fn new(n: u32) -> Self {
        Self { set: (n..n + 30).collect(), float: f64::NAN }
    }
}

#[test]
fn what_is_encoded_in_another_order_after_it_was_decoded_is_no_change() {
    let (storage, store) = memory();
    let mut map: HashMap<u32, Odd> = (0..60).map(|n| (n, Odd::new(n))).collect();
    store.checkpoint(&map).unwrap();
    assert_eq!(found(&store, &map), None);
    for round in 0..20 {
        store.evict(&mut map, 0).unwrap();
        map.load_all().unwrap();
        map.get_mut(&round).unwrap().float = 0.0;
        assert!(store.checkpoint(&map).unwrap().nodes > 0);
        let other: HashMap<u32, Odd> = store.latest().unwrap().unwrap();
        other.load_all().unwrap();
        assert_eq!(found(&store, &other), None);
    }
    drop(store);
    let store = Options::new().open_storage(Arc::new(storage)).unwrap();
    let restored: HashMap<u32, Odd> = store.latest().unwrap().unwrap();
    restored.load_all().unwrap();
    assert_eq!(found(&store, &restored), None);
}

#[test]
fn a_state_that_is_saved_in_two_stores_by_turns_is_no_change() {
    let (one, two) = (memory().1, memory().1);
    let mut map: HashMap<u32, Vector<u32>> = (0..200).map(|n| (n, (0..n).collect())).collect();
    for n in 0..40 {
        map.entry(n).or_default().push_back(n);
        for store in [&one, &two, &one] {
            store.checkpoint(&map).unwrap();
            store.retain(&crate::retention::keep_last(1)).unwrap();
            store.compact().unwrap();
        }
    }
}

#[test]
fn the_look_behind_reads_nothing_from_the_disk() {
    let (storage, store) = memory();
    let state: OrdMap<u32, String> = (0..500).map(|n| (n, n.to_string())).collect();
    store.checkpoint(&state).unwrap();
    for name in storage.list().unwrap().iter().filter(|name| name.ends_with(".segment")) {
        // Nothing of what was written can be read any more.
        let file = storage.open_writable(name).unwrap();
        file.write_all_at(&[0xff; 4096], 512).unwrap();
    }
    for _ in 0..100 {
        assert_eq!(store.checkpoint(&state).unwrap().nodes, 0);
    }
}

#[test]
fn the_look_behind_is_bounded() {
    static ENCODED: AtomicU64 = AtomicU64::new(0);
    #[derive(Clone, Deserialize)]
    struct Counted(u32);
    impl Serialize for Counted {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            ENCODED.fetch_add(1, Ordering::Relaxed);
            serializer.serialize_newtype_struct("Counted", &self.0)
        }
    }
    let (_, store) = memory();
    let vector: Vector<Counted> = (0..50_000).map(Counted).collect();
    store.checkpoint(&vector).unwrap();
    let before = ENCODED.load(Ordering::Relaxed);
    store.checkpoint(&vector).unwrap();
    // Its items may be read back on trial, a leaf of each tree.
    assert!(ENCODED.load(Ordering::Relaxed) - before < 5000);
}
