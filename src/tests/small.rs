//! Everything once, with few items: for tools that take a thousand times as long (`.ci/miri`).

use std::sync::Arc;

use crate::storage::MemoryStorage;
use crate::store::{Options, Store, VerifyOptions};
use crate::{HashMap, HashSet, OrdMap, OrdSet, Vector};

type World = (HashMap<u16, String>, OrdMap<u16, String>, Vector<u16>, HashSet<u16>, OrdSet<String>);

/// Items of each collection: leaves, and branches of one level or two.
const COUNT: u16 = if cfg!(miri) { 48 } else { 180 };

/// As many, where the schedule matters and not the shape: more than a leaf.
const FEW: u16 = if cfg!(miri) { 40 } else { 120 };

fn store() -> Store {
    // Blocks that are read anew each time, and files without long rests of zeroes, which are looked at byte by byte.
    let options: Options = Store::options().cache_bytes(0).segment_bytes(16 << 10).clone();
    options.open_storage(Arc::new(MemoryStorage::new())).unwrap()
}

fn world() -> World {
    let pairs = || (0..COUNT).map(|n| (n, n.to_string()));
    (
        pairs().collect(),
        pairs().collect(),
        (0..COUNT).collect(),
        (0..COUNT).collect(),
        (0..COUNT).map(|n| n.to_string()).collect(),
    )
}

fn change(world: &mut World) {
    let (hash, ord, vector, set, items) = world;
    for n in (0..COUNT).step_by(23) {
        hash.insert(n, "new".into());
        hash.remove(&(n + 1));
        ord.insert(n, "new".into());
        ord.remove(&(n + 1));
        *vector.get_mut(usize::from(n)).unwrap() += 1;
        set.remove(&n);
        items.remove(&n.to_string());
    }
    vector.insert(vector.len() / 2, 7);
    vector.remove(11);
}

#[test]
fn single_edits_of_shared_and_unshared_collections() {
    let mut one = world();
    let two = one.clone();
    change(&mut one);
    assert_ne!(one, two);
    change(&mut one);
    let (hash, ord, vector, ..) = &mut one;
    *hash.entry(500).or_default() += "x";
    *ord.entry(500).or_default() += "x";
    hash.retain(|key, _| key % 3 != 0);
    ord.retain(|key, _| key % 3 != 0);
    vector.retain(|item| item % 3 != 0);
    assert_eq!(
        hash.extract_if(|key, _| key % 5 == 0).count(),
        ord.extract_if(.., |key, _| key % 5 == 0).count()
    );
    hash.values_mut().for_each(|value| value.push('!'));
    ord.values_mut().for_each(|value| value.push('!'));
    vector.iter_mut().rev().for_each(|item| *item += 1);
    assert_eq!(hash.values().filter(|value| value.ends_with('!')).count(), hash.len());
    for collection in [&one, &two] {
        collection.0.check();
        collection.1.check();
        collection.2.check();
    }
    drop(two);
    assert_eq!(one.0.into_iter().count(), one.1.into_iter().rev().count());
}

#[test]
fn cuts_joins_and_merges() {
    let (hash, mut ord, mut vector, ..) = world();
    let mut other = (hash.clone(), ord.clone());
    other.0.remove(&7);
    other.1.remove(&7);
    assert_eq!((hash.union(&other.0).len(), hash.difference(&other.0).len()), (usize::from(COUNT), 1));
    let all = usize::from(COUNT);
    assert_eq!((ord.union(&other.1).len(), ord.intersection(&other.1).len()), (all, all - 1));
    assert_eq!((hash.diff(&other.0).count(), ord.diff(&other.1).count()), (1, 1));
    let mut high = ord.split_off(&(COUNT / 3));
    assert_eq!((ord.len(), high.len()), (all / 3, all - all / 3));
    ord.append(&mut high);
    assert_eq!(ord.remove_range(10..COUNT - 10).len(), all - 20);
    let mut right = vector.split_off(all / 2);
    right.append(&mut vector);
    right.rotate_left(all - all / 2);
    assert!(right.iter().copied().eq(0..COUNT));
    drop(right.splice(10..all / 2, [1, 2, 3]));
    right.sort();
    right.reverse();
    while right.pop_front().is_some() && right.pop_back().is_some() {}
    assert_eq!(right.len(), 0);
}

#[test]
fn checkpoints_deltas_restores_and_evictions() {
    let (store, mut state) = (store(), world());
    let mut versions = Vec::new();
    for _ in 0..3 {
        versions.push((store.checkpoint(&state).unwrap().id, state.clone()));
        change(&mut state);
    }
    for (id, version) in &versions {
        assert_eq!(&store.restore::<World>(*id).unwrap(), version);
    }
    let lazy: World = store.restore(versions[2].0).unwrap();
    lazy.0.load_all().unwrap();
    let mut touched = lazy.clone();
    change(&mut touched);
    assert_eq!(touched, state);
    store.checkpoint(&touched).unwrap();
    let before = touched.0.clone();
    store.evict(&mut touched.0, 0).unwrap();
    store.evict(&mut touched.1, 0).unwrap();
    store.evict(&mut touched.2, 0).unwrap();
    assert_eq!(touched.0, before);
    assert_eq!((&touched.1, &touched.2), (&state.1, &state.2));
    store.compact().unwrap();
    assert!(store.verify_with(VerifyOptions::new().states::<World>()).unwrap().is_clean());
}

mod threads {
    use std::thread;

    use super::*;
    use crate::{Checkpointer, State};

    type Map = HashMap<u16, u16>;

    fn map(count: u16) -> Map {
        (0..count).map(|n| (n, n)).collect()
    }

    #[test]
    fn first_loads_and_copies_of_a_shared_lazy_map() {
        let store = store();
        let id = store.checkpoint(&map(FEW)).unwrap().id;
        let lazy: Map = store.restore(id).unwrap();
        thread::scope(|scope| {
            for from in 0..2u16 {
                let lazy = &lazy;
                scope.spawn(move || {
                    let mut copy = lazy.clone();
                    copy.insert(from, 500);
                    assert!((from..FEW).step_by(17).all(|n| lazy[&n] == n));
                    assert_eq!(copy[&from], 500);
                });
            }
            lazy.load_all().unwrap();
        });
        assert_eq!(lazy, map(FEW));
    }

    #[test]
    fn changes_beside_a_flush_and_an_eviction() {
        let store = store();
        let mut mine = map(FEW);
        let theirs = mine.clone();
        thread::scope(|scope| {
            scope.spawn(|| store.checkpoint(&theirs).unwrap());
            (0..FEW).step_by(13).for_each(|n| _ = mine.insert(n, 500));
        });
        let mut evicted = theirs.clone();
        thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(
                    theirs.values().map(|&n| u64::from(n)).sum::<u64>(),
                    u64::from(FEW * (FEW - 1) / 2)
                )
            });
            store.evict(&mut evicted, 0).unwrap();
        });
        assert_eq!(evicted, theirs);
        assert_eq!(store.restore::<Map>(store.checkpoint(&mine).unwrap().id).unwrap(), mine);
    }

    #[test]
    fn the_last_of_several_holders_frees() {
        let shared = map(FEW);
        thread::scope(|scope| {
            for n in 0..3 {
                let mut mine = shared.clone();
                scope.spawn(move || mine.insert(n, 500));
            }
            drop(shared);
        });
    }

    #[test]
    fn a_checkpointer_beside_updates() {
        let (store, state) = (Arc::new(store()), Arc::new(State::new(map(20))));
        let checkpointer = Checkpointer::options().every_updates(2).start(&state, &store).unwrap();
        (0..4).for_each(|n| _ = state.update(|map| map.insert(n, 500)));
        assert_eq!(checkpointer.request().wait().unwrap().version(), 4);
        drop(checkpointer);
        assert_eq!(store.latest::<Map>().unwrap().unwrap(), *state.load());
    }
}
