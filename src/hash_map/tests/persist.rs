//! Hash maps through a log: what is written, and what comes back.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::codec::tests::{Log, LogSink};
use crate::codec::{FlushContext, decode};
use crate::record::{Address, RecordReader};

/// Flushes a value into a log; what the commit would hold of it, and how many records it took.
fn save<T: Serialize>(log: &Arc<Log>, value: &T) -> (Vec<u8>, Vec<Address>, usize) {
    let before = log.len();
    let save = FlushContext::new(Rc::new(RefCell::new(LogSink(Arc::clone(log)))));
    let (mut bytes, mut refs) = (Vec::new(), Vec::new());
    save.encode(value, &mut bytes, &mut refs).unwrap();
    (bytes, refs, log.len() - before)
}

fn restore<T: DeserializeOwned>(log: &Arc<Log>, saved: &(Vec<u8>, Vec<Address>, usize)) -> T {
    let backing: Arc<dyn RecordReader> = log.clone();
    decode(&backing, Address::new(0, 0), &saved.0, &saved.1).unwrap()
}

/// Nodes from the root of 10,000 entries to a leaf, and a leaf that split.
const PATH: usize = if cfg!(small_nodes) { 12 } else { 5 };

type Nested = HashMap<String, HashMap<u32, Option<HashMap<u8, String>>>>;

#[test]
fn an_unchanged_map_writes_nothing_and_one_insert_a_path() {
    let log = Log::new();
    let mut map: HashMap<u64, u64> = (0..10_000).map(|key| (key, key)).collect();
    assert!(save(&log, &map).2 > 300);
    assert_eq!(save(&log, &map).2, 0);
    map.insert(5, 6);
    let depth = save(&log, &map).2;
    assert!((2..=PATH).contains(&depth), "{depth} records");
    assert_eq!(map.remove(&1_000_000), None);
    assert_eq!(map.get_mut(&1_000_000), None);
    assert_eq!(save(&log, &map.clone()).2, 0);
}

#[test]
fn another_log_gets_everything() {
    let (one, two) = (Log::new(), Log::new());
    let map: HashMap<u64, u64> = (0..1000).map(|key| (key, key)).collect();
    let (_, _, all) = save(&one, &map);
    let saved = save(&two, &map);
    assert_eq!(saved.2, all);
    assert_eq!(restore::<HashMap<u64, u64>>(&two, &saved), map);
    assert_eq!(save(&one, &map).2, all, "the nodes now belong to the other log");
}

#[test]
fn a_restored_map_knows_its_records() {
    let log = Log::new();
    let map: HashMap<u64, u64> = (0..10_000).map(|key| (key, key)).collect();
    let saved = save(&log, &map);
    let mut restored: HashMap<u64, u64> = restore(&log, &saved);
    assert_eq!(save(&log, &restored).2, 0);
    assert!(restored.ptr_eq(&map), "same address of the same opening");
    restored.insert(77, 0);
    assert_eq!(restored.diff(&map).count(), 1);
    assert!(save(&log, &restored).2 <= PATH);
    assert_eq!(restored.len(), 10_000);
    restored.check();
}

#[test]
fn maps_in_maps_come_back() {
    let log = Log::new();
    let mut map = Nested::new();
    for outer in 0..50u32 {
        let inner =
            (0..outer).map(|n| (n, (n % 3 == 0).then(|| HashMap::from([(1, n.to_string())])))).collect();
        map.insert(outer.to_string(), inner);
    }
    let first = save(&log, &map);
    map.get_mut("40").unwrap().get_mut(&33).unwrap().as_mut().unwrap().insert(2, "two".into());
    let second = save(&log, &map);
    assert!(second.2 < 12, "{} records for one inner change", second.2);
    let restored: Nested = restore(&log, &second);
    assert_eq!(restored, map);
    assert_eq!(restored["40"][&33].as_ref().unwrap()[&2], "two");
    assert_eq!(restore::<Nested>(&log, &first)["40"][&33].as_ref().unwrap().len(), 1);
}

#[test]
fn sets_in_maps_come_back() {
    use crate::HashSet;
    type Nested = HashMap<u32, HashSet<String>>;
    let log = Log::new();
    let mut map: Nested = (0..50).map(|outer| (outer, (0..outer).map(|n| n.to_string()).collect())).collect();
    let first = save(&log, &map);
    map.get_mut(&40).unwrap().insert("ada".into());
    let second = save(&log, &map);
    assert!(second.2 < 12, "{} records for one inner change", second.2);
    assert_eq!(restore::<Nested>(&log, &second), map);
    assert!(!restore::<Nested>(&log, &first)[&40].contains("ada"));
}

#[test]
fn a_changed_hash_is_found() {
    #[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    struct Key(u32);
    thread_local!(static SALT: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });
    impl Hash for Key {
        fn hash<H: Hasher>(&self, state: &mut H) {
            state.write_u32(self.0 + SALT.get());
        }
    }
    let log = Log::new();
    let map: HashMap<Key, u32> = (0..1000).map(|key| (Key(key), key)).collect();
    let saved = save(&log, &map);
    SALT.set(1);
    let restored: HashMap<Key, u32> = restore(&log, &saved);
    let error = restored.try_get(&Key(7)).unwrap_err();
    assert!(matches!(error, crate::Error::HashChanged { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_checkpoint_restores_as_it_was(preload in 0..600u16, ops in ops(), reopen in any::<bool>()) {
        let log = Log::new();
        let mut map: HashMap<u16, u32> = (0..preload).map(|key| (key, 0)).collect();
        let mut saved = Vec::new();
        for op in &ops {
            match *op {
                Op::Insert(key, value) => drop(map.insert(key, value)),
                Op::Remove(key) => drop(map.remove(&key)),
                Op::Change(key, value) => drop(map.get_mut(&key).map(|old| *old = value)),
                Op::Entry(key) => *map.entry(key).or_insert(7) += 1,
                Op::Retain(divisor) => map.retain(|key, _| key % divisor != 0 || key % 7 != 0),
                Op::IterMut => map.iter_mut().for_each(|(key, value)| *value ^= u32::from(*key)),
                Op::ExtractIf(divisor, most) => {
                    drop(map.extract_if(|key, _| key % divisor == 0).take(most).collect::<Vec<_>>());
                }
                Op::Algebra(..) | Op::Merge(..) if saved.is_empty() => {}
                Op::Algebra(with, how) => {
                    let (mark, model) = &saved[with % saved.len()];
                    let mine = map.iter().map(|(&key, &value)| (key, value)).collect();
                    map = check_algebra((&map, &mine), (&restore(&log, mark), model), how);
                }
                Op::Merge(base, theirs) => {
                    let [base, theirs] = [base, theirs].map(|n| restore(&log, &saved[n % saved.len()].0));
                    map = map.three_way_merge(&base, &theirs, |_, _, mine, _| mine.copied());
                }
                Op::Snapshot | Op::Rollback(_) => {
                    let mark = save(&log, &map);
                    if reopen {
                        map = restore(&log, &mark);
                    }
                    let model: Model<u16, u32> = map.iter().map(|(&key, &value)| (key, value)).collect();
                    saved.push((mark, model));
                }
            }
        }
        for (mark, model) in &saved {
            let restored: HashMap<u16, u32> = restore(&log, mark);
            prop_assert_eq!(restored.len(), model.len());
            restored.check();
            prop_assert!(restored.iter().all(|(key, value)| model.get(key) == Some(value)));
        }
    }
}

#[test]
fn a_leaf_that_grows_past_its_capacity_at_the_end_of_all_bits_is_written() {
    /// Every key collides in all 64 bits.
    #[derive(Clone, Copy, Default)]
    struct Constant;
    impl std::hash::Hasher for Constant {
        fn write(&mut self, _: &[u8]) {}
        fn finish(&self) -> u64 {
            0x1234_5678_9abc_def0
        }
    }
    impl BuildHasher for Constant {
        type Hasher = Self;
        fn build_hasher(&self) -> Self {
            *self
        }
    }
    impl StableBuildHasher for Constant {
        const ALGORITHM: &'static str = "constant";
        fn from_seed(_: u64) -> Self {
            Self
        }
        fn seed(&self, _: crate::hash_map::SeedAccess) -> u64 {
            0
        }
    }
    // Not by `==`, which takes nodes of one record for equal.
    let entries = |map: &HashMap<u64, u64, Constant>| {
        map.iter().map(|(&key, &value)| (key, value)).collect::<std::collections::BTreeMap<_, _>>()
    };
    for shared in [false, true] {
        let log = Log::new();
        let mut map: HashMap<u64, u64, Constant> = HashMap::default();
        let mut versions = Vec::new();
        for key in 0..100 {
            map.insert(key, key);
            let saved = save(&log, &map);
            versions.extend(shared.then(|| map.clone()));
            assert_eq!(entries(&restore(&log, &saved)), entries(&map), "{key}, shared: {shared}");
        }
        for key in (0..100).rev() {
            assert_eq!(map.remove(&key), Some(key));
            let saved = save(&log, &map);
            assert_eq!(entries(&restore(&log, &saved)), entries(&map), "{key}, shared: {shared}");
        }
    }
}
