//! User code that panics, at every call, where nodes come from a log and go back to it, and where versions are published: first
//! loads within every operation, evictions, checkpoints, updates and rollbacks; and closures and iterators that panic.
//!
//! Each is run once to count the calls of user code, and then once for a call that panics: the first ones, and some of those behind.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::adversity::{
    ACT, Contents, DROPPED_TWICE, DROPS_BURN, FUSE, LIVE, OPS, Op, Touchy, World, burn, pairs, touchy,
};
use crate::footprint::{Evict, Eviction};
use crate::state::KeepBusy;
use crate::storage::MemoryStorage;
use crate::store::{CheckpointId, Store};
use crate::{History, State, Vector};

impl Serialize for Touchy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        burn();
        self.number.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Touchy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u32::deserialize(deserializer)?;
        burn();
        Ok(touchy(number))
    }
}

impl Evict for World {
    fn evict(&mut self, eviction: &mut Eviction<'_>) {
        self.hash.evict(eviction);
        self.ord.evict(eviction);
        self.set.evict(eviction);
        self.items.evict(eviction);
        self.vector.evict(eviction);
    }
}

fn store() -> Store {
    Store::options().cache_bytes(0).open_storage(Arc::new(MemoryStorage::new())).unwrap()
}

/// The calls, of so many, that panic in turn. Of many calls in a row most are alike, and Miri is a thousand times slower.
fn some_of(calls: usize) -> impl Iterator<Item = usize> {
    let (dense, step) = if cfg!(miri) { (0, calls / 2 + 1) } else { (12, 11) };
    (0..dense.min(calls)).chain((dense..calls).step_by(step))
}

/// Some operations, or all.
fn some_ops() -> impl Iterator<Item = &'static Op> {
    OPS.iter().step_by(if cfg!(miri) { 17 } else { 1 })
}

/// Runs a call of which user code number `fuse` panics: its result unless it did, and how many calls it made.
fn burnt<R>(fuse: usize, call: impl FnOnce() -> R) -> (Option<R>, usize) {
    FUSE.set(fuse);
    let done = catch_unwind(AssertUnwindSafe(call));
    let left = FUSE.replace(usize::MAX);
    (done.ok(), fuse - left.min(fuse))
}

/// Says that everything was dropped, once. An item whose drop panics may leave others behind.
fn assert_dropped(what: &str) {
    assert!(!DROPPED_TWICE.get(), "{what}: an item was dropped twice");
    let leaked = LIVE.take().len();
    assert!(leaked == 0 || DROPS_BURN.get(), "{what}: {leaked} items leaked");
}

/// Another version of what is in the store: without sevens.
fn without_seven(mut world: World) -> World {
    let seven = touchy(7);
    world.hash.remove(&seven);
    world.set.remove(&seven);
    world.ord.remove(&seven);
    world.items.remove(&seven);
    if let Some(item) = world.vector.get_mut(7) {
        item.number = 8;
    }
    world
}

/// Runs an operation on a world of which nothing is in memory, and that shares its nodes with another one or not.
fn attempt_lazily(
    store: &Store,
    id: CheckpointId,
    op: &Op,
    fuse: usize,
    shared: bool,
    after: Option<&Contents>,
) -> (bool, usize, Contents) {
    let (name, atomic, run) = *op;
    let mut world: World = store.restore(id).unwrap();
    let other = if shared { world.clone() } else { store.restore(id).unwrap() };
    let other = without_seven(other);
    // What the other has loaded on its way to the seven is its own.
    let third = shared.then(|| world.clone());
    let (done, calls) = burnt(fuse, || run(&mut world, &other));
    let (found, others) = (world.numbers(), other.numbers());
    world.check();
    other.check();
    if let Some(third) = third {
        let before = World::new(name).numbers();
        assert_eq!(third.numbers(), before, "{name}, call {fuse}: another version changed");
        third.check();
        assert_ne!(others, before);
        let whole = found == before || after.is_some_and(|after| found == *after);
        let is_whole = done.is_some() || !atomic || DROPS_BURN.get() || whole;
        assert!(is_whole, "{name}, call {fuse}: done in part, {found:?}");
    }
    (done.is_some(), calls, found)
}

fn load_at_every_call(drops_burn: bool) {
    let mut panics = 0;
    for op in some_ops() {
        let store = store();
        let id = store.checkpoint(&World::new(op.0)).unwrap().id;
        DROPS_BURN.set(drops_burn);
        for shared in [false, true] {
            let (done, calls, after) = attempt_lazily(&store, id, op, usize::MAX - 1, shared, None);
            assert!(done);
            for fuse in some_of(calls) {
                let (done, ..) = attempt_lazily(&store, id, op, fuse, shared, Some(&after));
                assert!(!done, "{}: no panic at call {fuse} of {calls}", op.0);
                panics += 1;
            }
            assert_dropped(op.0);
        }
        DROPS_BURN.set(false);
        assert_eq!(store.restore::<World>(id).unwrap().numbers(), World::new(op.0).numbers());
    }
    assert!(panics > if cfg!(miri) { 10 } else { 1500 }, "{panics}");
}

#[test]
fn a_first_load_may_panic_within_every_operation() {
    load_at_every_call(false);
}

#[test]
fn drops_may_panic_within_operations_that_load() {
    load_at_every_call(true);
}

#[test]
fn drops_may_panic_at_every_call_of_an_eviction() {
    let mut panics = 0;
    for op in ["map", "ord", "vector"] {
        for shared in [false, true] {
            let mut fuse = 0;
            loop {
                let store = store();
                let mut world = World::new(op);
                let before = world.numbers();
                store.checkpoint(&world).unwrap();
                // Some is dirty, and some of the leaves are shared; or all of it.
                let other = shared.then(|| world.clone());
                world.hash.remove(&touchy(7));
                world.ord.remove(&touchy(7));
                world.vector.truncate(55);
                let changed = world.numbers();
                DROPS_BURN.set(true);
                let (done, _) = burnt(fuse, || _ = store.evict(&mut world, 0).unwrap());
                DROPS_BURN.set(false);
                world.check();
                assert_eq!(world.numbers(), changed, "{op}, call {fuse}");
                if let Some(other) = &other {
                    other.check();
                    assert_eq!(other.numbers(), before, "{op}, call {fuse}");
                }
                // Nothing is lost to the log, and the rest can go as well.
                store.evict(&mut world, 0).unwrap();
                let id = store.checkpoint(&world).unwrap().id;
                store.evict(&mut world, 0).unwrap();
                assert_eq!(world.numbers(), changed, "{op}, call {fuse}");
                assert_eq!(store.restore::<World>(id).unwrap().numbers(), changed, "{op}, call {fuse}");
                if done.is_some() {
                    break;
                }
                panics += 1;
                fuse += if cfg!(miri) { 47 } else { 1 };
            }
            // An item whose drop panics may leave others behind.
            DROPS_BURN.set(true);
            assert_dropped(op);
            DROPS_BURN.set(false);
        }
    }
    assert!(panics > if cfg!(miri) { 2 } else { 100 }, "{panics}");
}

#[test]
fn a_checkpoint_may_panic_at_every_call_and_the_next_one_holds_all() {
    let mut panics = 0;
    for op in ["map", "ord", "vector"] {
        let (store, mut world) = (store(), World::new(op));
        let first = store.checkpoint(&world).unwrap().id;
        let before = world.numbers();
        let mut number = 100;
        let mut step = |world: &mut World| {
            number += 1;
            if op == "vector" {
                world.vector.push_back(touchy(number));
            } else if op == "map" {
                world.hash.insert(touchy(number), touchy(1));
            } else {
                world.ord.insert(touchy(number), touchy(1));
            }
        };
        let mut fuse = 0;
        loop {
            step(&mut world);
            let (done, calls) = burnt(fuse, || store.checkpoint(&world).is_ok());
            if done != Some(true) {
                panics += 1;
                step(&mut world);
                store.checkpoint(&world).unwrap();
            }
            let newest: World = store.latest().unwrap().unwrap();
            assert_eq!(newest.numbers(), world.numbers(), "{op}, call {fuse}");
            newest.check();
            if done == Some(true) && calls < fuse {
                break;
            }
            fuse += if cfg!(miri) { 23 } else { 1 };
        }
        assert_eq!(store.restore::<World>(first).unwrap().numbers(), before);
        drop(world);
        assert_dropped(op);
    }
    assert!(panics > if cfg!(miri) { 2 } else { 20 }, "{panics}");
}

/// Runs an operation in an update, and rolls it back.
fn publish(op: &Op, fuse: usize, drops_burn: bool) -> bool {
    let (name, _, run) = *op;
    let state = State::new(World::new(name));
    let mut history = History::default();
    history.record(&state);
    let (before, first) = (state.load().numbers(), state.snapshot());
    let other = without_seven(World::new(name));
    DROPS_BURN.set(drops_burn);
    let (done, _) = burnt(fuse, || {
        state.update(|world| run(world, &other));
        drop(state.rollback(&first));
        state.update(|world| run(world, &other));
        history.record(&state);
        drop(history.undo(&state));
        drop(history.redo(&state));
        drop(state.replace(World::new("")));
    });
    DROPS_BURN.set(false);
    assert_eq!(first.numbers(), before, "{name}, call {fuse}: a snapshot changed");
    first.check();
    state.load().check();
    let version = state.version();
    drop(state.rollback(&first));
    assert_eq!((state.version(), state.load().numbers()), (version + 1, before), "{name}, call {fuse}");
    drop((state.snapshot().into_inner(), first.into_inner()));
    done.is_some()
}

#[test]
fn updates_rollbacks_and_histories_may_panic_at_every_call() {
    // What nobody holds is dropped where this thread sees it.
    let _busy = KeepBusy::new();
    let mut panics = 0;
    for op in some_ops().step_by(if cfg!(miri) { 2 } else { 3 }) {
        for drops_burn in [false, true] {
            for fuse in (0..).step_by(if cfg!(miri) { 83 } else { 3 }).take(if cfg!(miri) { 2 } else { 60 }) {
                if publish(op, fuse, drops_burn) {
                    break;
                }
                panics += 1;
            }
            DROPS_BURN.set(drops_burn);
            assert_dropped(op.0);
            DROPS_BURN.set(false);
        }
    }
    assert!(panics > if cfg!(miri) { 3 } else { 1000 }, "{panics}");
}

/// Numbers whose iterator panics as user code does.
fn burning(numbers: std::ops::Range<u32>) -> impl Iterator<Item = Touchy> {
    numbers.map(|number| {
        burn();
        touchy(number)
    })
}

fn burning_pairs(numbers: std::ops::Range<u32>) -> impl Iterator<Item = (Touchy, Touchy)> {
    burning(numbers).map(|key| (key, touchy(1)))
}

fn is_third(item: &Touchy) -> bool {
    burn();
    item.number.is_multiple_of(3)
}

/// Operations whose closures and iterators burn, beside all that [`OPS`] have.
const CLOSURES: &[Op] = &[
    ("map retain", false, |w, _| w.hash.retain(|key, _| is_third(key))),
    ("map extract_if", false, |w, _| w.hash.extract_if(|key, _| is_third(key)).for_each(drop)),
    ("map extend", false, |w, _| w.hash.extend(burning_pairs(50..90))),
    ("map collect", false, |w, _| w.hash = burning_pairs(0..90).collect()),
    ("map or_insert_with", true, |w, _| {
        let value = w.hash.entry(touchy(1000)).or_insert_with(|| burning(1..2).next().unwrap());
        value.number = 2;
    }),
    ("map and_modify", true, |w, _| {
        let entry = w.hash.entry(touchy(7)).and_modify(|value| value.number = 3 - u32::from(is_third(value)));
        entry.insert_entry(touchy(1)).get_mut().number = 2;
    }),
    ("map entry remove", true, |w, _| match w.hash.entry(touchy(7)) {
        crate::hash_map::Entry::Occupied(entry) => drop(entry.remove_entry()),
        crate::hash_map::Entry::Vacant(_) => unreachable!("there is a seven"),
    }),
    ("map values_mut", false, |w, _| {
        w.hash.values_mut().for_each(|value| value.number += u32::from(is_third(value)))
    }),
    ("map merge_with", true, |w, o| {
        w.hash = w
            .hash
            .merge_with(&o.hash, |_, mine, theirs| if is_third(mine) { mine.clone() } else { theirs.clone() })
    }),
    ("map three_way_merge", true, |w, o| {
        w.hash = w.hash.three_way_merge(&o.hash, &World::new("map").hash, |key, _, mine, theirs| {
            if is_third(key) { mine.cloned() } else { theirs.cloned() }
        })
    }),
    ("ord retain", false, |w, _| w.ord.retain(|key, _| is_third(key))),
    ("ord extract_if", false, |w, _| {
        w.ord.extract_if(touchy(5)..touchy(50), |key, _| is_third(key)).for_each(drop)
    }),
    ("ord extend", false, |w, _| w.ord.extend(burning_pairs(30..90))),
    ("ord collect", false, |w, _| w.items = burning(0..90).collect()),
    ("ord or_insert_with", true, |w, _| {
        w.ord.entry(touchy(1000)).or_insert_with(|| burning(1..2).next().unwrap()).number = 2
    }),
    ("ord entry remove", true, |w, _| drop(w.ord.first_entry().unwrap().remove_entry())),
    ("ord values_mut", false, |w, _| {
        w.ord.values_mut().rev().for_each(|v| v.number += u32::from(is_third(v)))
    }),
    ("ord merge_with", true, |w, o| {
        w.ord = w
            .ord
            .merge_with(&o.ord, |_, mine, theirs| if is_third(mine) { mine.clone() } else { theirs.clone() })
    }),
    ("vector retain", false, |w, _| w.vector.retain(is_third)),
    ("vector retain_mut", false, |w, _| w.vector.retain_mut(|item| is_third(item))),
    ("vector extract_if", false, |w, _| w.vector.extract_if(3..50, is_third).for_each(drop)),
    ("vector dedup_by_key", false, |w, _| w.vector.dedup_by_key(is_third)),
    ("vector extend", false, |w, _| w.vector.extend(burning(0..70))),
    ("vector collect", false, |w, _| w.vector = burning(0..90).collect()),
    ("vector splice", false, |w, _| drop(w.vector.splice(10..40, burning(0..50)))),
    ("vector resize_with", false, |w, _| w.vector.resize_with(90, || burning(7..8).next().unwrap())),
    ("vector fill_with", false, |w, _| w.vector.fill_with(|| burning(7..8).next().unwrap())),
    ("vector sort_by_key", false, |w, _| w.vector.sort_by_key(is_third)),
    ("vector sort_by_cached_key", false, |w, _| {
        w.vector.sort_by_cached_key(|item| (is_third(item), item.number))
    }),
    ("vector sort_unstable_by", false, |w, _| w.vector.sort_unstable_by_key(is_third)),
    ("vector pop_if", true, |w, _| drop(w.vector.pop_if(|item| is_third(item) || item.number == 59))),
    ("vector iter_mut", false, |w, _| {
        w.vector.iter_mut().rev().for_each(|v| v.number += u32::from(is_third(v)))
    }),
    ("vector range_mut", false, |w, _| {
        w.vector.range_mut(9..44).for_each(|v| v.number += u32::from(is_third(v)))
    }),
    ("vector slice, +", true, |w, o| {
        w.vector = w.vector.slice(9..44) + o.vector.clone() + Vector::from_iter(burning(1..9))
    }),
];

#[test]
fn closures_and_iterators_may_panic_at_every_call() {
    let mut panics = 0;
    for op in CLOSURES.iter().step_by(if cfg!(miri) { 11 } else { 1 }) {
        for (shared, drops_burn) in [(false, false), (true, false), (false, true), (true, true)] {
            let attempt = |fuse| {
                let mut world = World::new(op.0);
                let other = if shared { world.clone() } else { World::new(op.0) };
                let other = without_seven(other);
                let (before, others) = (world.numbers(), other.numbers());
                DROPS_BURN.set(drops_burn);
                let (done, calls) = burnt(fuse, || op.2(&mut world, &other));
                DROPS_BURN.set(false);
                world.check();
                other.check();
                assert_eq!(other.numbers(), others, "{}, call {fuse}: another version changed", op.0);
                let found = world.numbers();
                let whole = done.is_some() || !op.1 || drops_burn || found == before;
                assert!(whole, "{}, call {fuse}: done in part, {found:?}", op.0);
                (done.is_some(), calls)
            };
            let (done, calls) = attempt(usize::MAX - 1);
            assert!(done);
            for fuse in some_of(calls) {
                assert!(!attempt(fuse).0, "{}: no panic at call {fuse} of {calls}", op.0);
                panics += 1;
            }
            DROPS_BURN.set(drops_burn);
            assert_dropped(op.0);
            DROPS_BURN.set(false);
        }
    }
    assert!(ACT.take().is_none() && panics > if cfg!(miri) { 10 } else { 800 }, "{panics}");
    drop(pairs(0..0));
}

#[test]
fn whatever_an_operation_changes_is_written() {
    for op in some_ops().chain(CLOSURES.iter().step_by(if cfg!(miri) { 11 } else { 1 })) {
        for (lazy, shared) in [(false, false), (false, true), (true, false), (true, true)] {
            let store = store();
            let mut world = World::new(op.0);
            let first = store.checkpoint(&world).unwrap().id;
            if lazy {
                world = store.restore(first).unwrap();
            }
            let kept = shared.then(|| world.clone());
            for round in 0..3 {
                // What the operation says of the outcome need not hold a second time.
                let other = without_seven(World::new(op.0));
                let done = catch_unwind(AssertUnwindSafe(|| (op.2)(&mut world, &other)));
                assert!(done.is_ok() || round > 0);
                let id = store.checkpoint(&world).unwrap().id;
                // Item by item: `==` takes two nodes of one record for equal, whatever they hold.
                let restored: World = store.restore(id).unwrap();
                assert_eq!(restored.numbers(), world.numbers(), "{}, lazy: {lazy}, shared: {shared}", op.0);
                restored.check();
            }
            let before = World::new(op.0).numbers();
            assert!(kept.is_none_or(|kept| kept.numbers() == before), "{}", op.0);
            assert_eq!(store.restore::<World>(first).unwrap().numbers(), before, "{}", op.0);
        }
    }
}
