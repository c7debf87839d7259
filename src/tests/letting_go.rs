//! Acts of user code at every call beside panicking: it lets the only other holder of the nodes go, with and without a panic
//! in whatever is called next (`Drop` above all), and use another version that shares them.
//!
//! This is where a reference that is given back too early shows: the nodes that a change copies are freed in its midst.
//! Every item that can be reached afterwards must be alive. `docs::design` lists the places.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::adversity::{ACT, DROPPED_TWICE, DROPS_BURN, FUSE, LIVE, OPS, Op, World, touchy};
use crate::{HashMap, OrdMap, Vector};

thread_local! {
    /// The other holder.
    static OTHER: RefCell<Option<World>> = const { RefCell::new(None) };
    /// Which call panics after the act; `usize::MAX`: none.
    static THEN: Cell<usize> = const { Cell::new(usize::MAX) };
}

fn let_go() {
    DROPS_BURN.set(false);
    drop(OTHER.take());
    DROPS_BURN.set(true);
    FUSE.set(THEN.get());
}

fn use_the_other() {
    let Some(mut other) = OTHER.take() else { return };
    DROPS_BURN.set(false);
    for number in [3, 7, 40, 1000] {
        other.hash.insert(touchy(number), touchy(1));
        other.hash.remove(&touchy(number + 1));
        other.set.insert(touchy(number));
        other.set.remove(&touchy(number + 1));
        other.ord.insert(touchy(number), touchy(1));
        other.ord.remove(&touchy(number + 1));
        other.items.insert(touchy(number));
        other.items.remove(&touchy(number + 1));
        other.vector.insert(other.vector.len() / 2, touchy(number));
        other.vector.push_front(touchy(number));
        other.vector.pop_back();
    }
    drop(other.clone().vector.split_off(other.vector.len() / 2));
    drop(other.clone().ord.split_off(&touchy(20)));
    assert_alive(&other);
    OTHER.set(Some(other));
    DROPS_BURN.set(true);
    FUSE.set(THEN.get());
}

/// Every item that the world holds is alive, and each collection is sound.
fn assert_alive(world: &World) {
    world.check();
    let pairs = world.hash.iter().chain(world.ord.iter()).flat_map(|(key, value)| [key, value]);
    let items = world.set.iter().chain(world.items.iter()).chain(world.vector.iter());
    for item in pairs.chain(items) {
        assert!(LIVE.with_borrow(|live| live.contains(&item.id)), "item {} was dropped", item.number);
    }
}

/// Runs an operation of which call number `fuse` acts, and call number `then` after it panics; whether it came to the act.
fn attempt(op: &Op, fuse: usize, act: fn(), then: usize) -> bool {
    let (name, _, run) = *op;
    let mut world = World::new(name);
    let mut third = World::new(name);
    let seven = touchy(7);
    third.hash.remove(&seven);
    third.set.remove(&seven);
    third.ord.remove(&seven);
    third.items.remove(&seven);
    if let Some(item) = third.vector.get_mut(7) {
        item.number = 8;
    }
    OTHER.set(Some(world.clone()));
    THEN.set(then);
    ACT.set(Some(act));
    DROPS_BURN.set(false);
    FUSE.set(fuse);
    let done = catch_unwind(AssertUnwindSafe(|| run(&mut world, &third)));
    FUSE.set(usize::MAX);
    DROPS_BURN.set(false);
    let acted = ACT.take().is_none();
    assert!(
        done.is_ok() || acted && then < usize::MAX,
        "{name}, call {fuse}, then {then}: a panic of our own"
    );
    for world in [&world, &third] {
        assert_alive(world);
    }
    if let Some(other) = OTHER.take() {
        assert_alive(&other);
    }
    // What is left can still be changed, though what it says of the outcome need not hold a second time.
    let _ = catch_unwind(AssertUnwindSafe(|| run(&mut world, &third)));
    assert_alive(&world);
    acted
}

fn act_at_every_call(act: fn()) {
    let mut acts = 0;
    // Miri is a thousand times slower: some calls of some. Of many calls in a row most are alike.
    let step = if cfg!(miri) { 61 } else { 1 };
    for op in OPS.iter().step_by(if cfg!(miri) { 13 } else { 1 }) {
        for then in [usize::MAX, 0, 2].into_iter().take(if cfg!(miri) { 2 } else { 3 }) {
            for fuse in (0..40 * step).step_by(step).chain((40 * step..).step_by(11 * step)) {
                if !attempt(op, fuse, act, then) {
                    break;
                }
                acts += 1;
            }
            assert!(!DROPPED_TWICE.get(), "{}: an item was dropped twice", op.0);
            // An item whose drop panics may leave others behind.
            let leaked = LIVE.take().len();
            assert!(leaked == 0 || then < usize::MAX, "{}: {leaked} items leaked", op.0);
        }
    }
    assert!(acts > if cfg!(miri) { 8 } else { 3000 }, "{acts}");
}

#[test]
fn the_other_holder_may_let_go_at_every_call_and_the_next_may_panic() {
    act_at_every_call(let_go);
}

#[test]
fn another_version_may_be_used_at_every_call_and_the_next_may_panic() {
    act_at_every_call(use_the_other);
}

thread_local! {
    /// The only other holder of a collection, of whatever type.
    static HOLDER: RefCell<Option<Rc<dyn std::any::Any>>> = const { RefCell::new(None) };
    static DROP_PANICS: Cell<bool> = const { Cell::new(false) };
}

/// Its clone lets the other holder go, and then the first drop panics.
struct Spiteful(Box<u64>);

impl Clone for Spiteful {
    fn clone(&self) -> Self {
        if let Some(holder) = HOLDER.take() {
            drop(holder);
            DROP_PANICS.set(true);
        }
        Self(self.0.clone())
    }
}

impl Drop for Spiteful {
    fn drop(&mut self) {
        let is_alive = std::mem::take(&mut *self.0) != 0;
        assert!(is_alive, "dropped twice");
        if DROP_PANICS.take() {
            std::panic::resume_unwind(Box::new("on purpose"));
        }
    }
}

fn spiteful(number: u64) -> Spiteful {
    Spiteful(Box::new(number + 1))
}

/// Shares a collection with the holder, changes it in a way that clones, and looks at all of it.
fn spite<C: Clone + 'static>(collection: C, change: impl Fn(&mut C), sum: impl Fn(&C) -> u64) {
    let mut mine = collection;
    let before = sum(&mine);
    HOLDER.set(Some(Rc::new(mine.clone())));
    let changed = catch_unwind(AssertUnwindSafe(|| change(&mut mine)));
    assert!(
        changed.is_err() && HOLDER.take().is_none() && !DROP_PANICS.get(),
        "the holder went, and a drop panicked"
    );
    // The slot holds the copy: nothing that was freed.
    assert_eq!(sum(&mine), before);
    change(&mut mine);
    assert_eq!(sum(&mine), before);
}

#[test]
fn a_copy_is_in_its_slot_before_what_it_replaces_is_dropped() {
    for len in [3u64, if cfg!(miri) { 50 } else { 200 }] {
        let entries = move || (0..len).map(|n| (n, spiteful(n)));
        let sum_of_hash = |map: &HashMap<u64, Spiteful>| map.values().map(|item| *item.0).sum();
        spite(entries().collect(), |map: &mut HashMap<_, _>| _ = map.get_mut(&1), sum_of_hash);
        spite(entries().collect(), |map: &mut HashMap<_, _>| _ = map.iter_mut().next(), sum_of_hash);
        let sum_of_ord = |map: &OrdMap<u64, Spiteful>| map.values().map(|item| *item.0).sum();
        spite(entries().collect(), |map: &mut OrdMap<_, _>| _ = map.get_mut(&1), sum_of_ord);
        spite(entries().collect(), |map: &mut OrdMap<_, _>| _ = map.iter_mut().next_back(), sum_of_ord);
        let sum_of_vector = |vector: &Vector<Spiteful>| vector.iter().map(|item| *item.0).sum();
        let items = move || (0..len).map(spiteful);
        for index in [0, len as usize / 2, len as usize - 1] {
            spite(items().collect(), |vector: &mut Vector<_>| _ = vector.get_mut(index), sum_of_vector);
        }
        spite(items().collect(), |vector: &mut Vector<_>| _ = vector.iter_mut().next(), sum_of_vector);
    }
}

/// A key that lies inline in the branches, whose clone lets the other holder go.
#[derive(PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
struct Key(u32);

impl Clone for Key {
    fn clone(&self) -> Self {
        if let Some(holder) = HOLDER.take() {
            drop(holder);
            DROP_PANICS.set(true);
        }
        Self(self.0)
    }
}

/// A value whose drop may panic.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Grudge(Vec<u32>);

impl Drop for Grudge {
    fn drop(&mut self) {
        if DROP_PANICS.take() {
            std::panic::resume_unwind(Box::new("on purpose"));
        }
    }
}

#[cfg(feature = "store")]
#[test]
fn a_twin_is_in_its_slot_before_what_it_replaces_is_dropped() {
    use std::sync::Arc;

    use crate::storage::MemoryStorage;
    use crate::store::Store;

    let store = Store::options().open_storage(Arc::new(MemoryStorage::new())).unwrap();
    let count = if cfg!(miri) { 24 } else { 400 };
    let mut state: OrdMap<Key, Grudge> = (0..count).map(|n| (Key(n), Grudge(vec![n]))).collect();
    store.checkpoint(&state).unwrap();
    // Of two holders, whose branches the eviction of one copies.
    HOLDER.set(Some(Rc::new(state.clone())));
    let evicted = catch_unwind(AssertUnwindSafe(|| store.evict(&mut state, 0)));
    assert!(evicted.is_err() && HOLDER.take().is_none());
    assert!(state.iter().zip(0..).all(|((key, value), n)| key.0 == n && value.0 == [n]));
    store.evict(&mut state, 0).unwrap();
    assert!(state.iter().zip(0..).all(|((key, value), n)| key.0 == n && value.0 == [n]));
    assert_eq!(state.len(), count as usize);
    store.checkpoint(&state).unwrap();
}
