//! Bounded memory: nodes that were let go of come back as they were, whatever happens to the log meanwhile.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::compaction::{Noise, World, open, small};
use crate::footprint::{Evict, Eviction, Footprint, Meter, footprint, resident_bytes};
use crate::retention::keep_last;
use crate::storage::{Fault, MemoryStorage, SimStorage, Storage};
use crate::store::Store;
use crate::{Error, HashMap, HashSet, OrdSet, State, Vector};

impl Evict for World {
    fn evict(&mut self, eviction: &mut Eviction<'_>) {
        self.players.evict(eviction);
        self.scores.evict(eviction);
        self.log.evict(eviction);
        self.inventories.evict(eviction);
    }
}

impl Footprint for World {
    fn measure(&self, meter: &mut Meter) {
        self.players.measure(meter);
        self.scores.measure(meter);
        self.log.measure(meter);
        self.inventories.measure(meter);
    }
}

fn map(entries: u32) -> HashMap<u32, u64> {
    (0..entries).map(|n| (n, u64::from(n))).collect()
}

/// A state and what it should be, which no store ever sees.
#[derive(Clone, Default)]
struct Twins {
    world: World,
    model: World,
}

impl Twins {
    fn step(&mut self, noise: &mut Noise, changes: u32) {
        self.model.step(&mut noise.clone(), changes);
        self.world.step(noise, changes);
    }

    fn check(&self) {
        assert!(self.world == self.model);
    }
}

fn live_through(seed: u64, rounds: u32, store: &Store) {
    let mut noise = Noise(seed);
    let (mut twins, mut snapshots) = (Twins::default(), Vec::new());
    twins.step(&mut noise, 600);
    for round in 0..rounds {
        match noise.below(16) {
            0..4 => twins.step(&mut noise, 20),
            4..6 => {
                let target = u64::from(noise.below(60)) << 10;
                let before = resident_bytes(&twins.world);
                let evicted = store.evict(&mut twins.world, target).unwrap();
                assert_eq!(evicted.resident_bytes, resident_bytes(&twins.world), "round {round}");
                assert_eq!(evicted.resident_bytes + evicted.bytes, before, "round {round}");
            }
            6..10 => {
                let budget = u64::from(noise.below(60)) << 10;
                store.checkpoint_and_evict(&mut twins.world, budget).unwrap();
                assert!(resident_bytes(&twins.world) <= budget, "round {round}");
            }
            10 => snapshots.push(twins.clone()),
            11 if !snapshots.is_empty() => {
                let at = noise.below(snapshots.len() as u32) as usize;
                twins = if noise.below(2) == 0 { snapshots.swap_remove(at) } else { snapshots[at].clone() };
            }
            12 => {
                store.retain(&keep_last(1 + u64::from(noise.below(3)))).unwrap();
                store.compact().unwrap();
            }
            13 => snapshots.truncate(3),
            14 if round % 4 == 0 => twins.check(),
            15 => {
                if let Some(latest) = store.latest::<World>().unwrap() {
                    // Evicted as it was restored: nothing of it is in memory, and what is loaded goes again.
                    let mut latest = latest;
                    assert_eq!(resident_bytes(&latest), 0);
                    let _ = latest.players.get(&7);
                    store.evict(&mut latest, 0).unwrap();
                    assert_eq!(resident_bytes(&latest), 0);
                }
            }
            _ => {}
        }
    }
    store.checkpoint_and_evict(&mut twins.world, 0).unwrap();
    store.retain(&keep_last(1)).unwrap();
    store.compact().unwrap();
    assert!(store.latest::<World>().unwrap().unwrap() == twins.model);
    snapshots.iter().chain([&twins]).for_each(Twins::check);
    assert!(store.verify().unwrap().is_clean());
}

#[test]
fn a_state_is_what_it_was_through_evictions_rollbacks_and_compactions() {
    for seed in 0..if cfg!(miri) { 1 } else { 12 } {
        live_through(seed, 150, &open(&MemoryStorage::new()));
    }
}

#[test]
fn an_eviction_while_another_thread_compacts_loses_nothing() {
    let store = open(&MemoryStorage::new());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.retain(&keep_last(1)).unwrap();
                store.compact().unwrap();
            }
        });
        // Ends the other thread when this one panics, too.
        struct Done<'a>(&'a AtomicBool);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _done = Done(&done);
        for seed in 20..26 {
            live_through(seed, 100, &store);
        }
    });
}

// Its numbers are those of nodes of ordinary width.
#[cfg(not(small_nodes))]
#[test]
fn an_evicted_state_has_nothing_to_write_and_keeps_what_serde_skips() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Game {
        board: crate::OrdMap<u32, u64>,
        #[serde(skip)]
        open_windows: u32,
    }
    impl Evict for Game {
        fn evict(&mut self, eviction: &mut Eviction<'_>) {
            self.board.evict(eviction);
        }
    }
    let store = open(&MemoryStorage::new());
    let mut game = Game { board: (0..5000).map(|n| (n, 0)).collect(), open_windows: 3 };
    assert!(store.checkpoint(&game).unwrap().nodes > 100);
    let evicted = store.evict(&mut game, 0).unwrap();
    assert!(evicted.nodes > 100 && evicted.resident_bytes == 0 && resident_bytes(&game.board) == 0);
    assert_eq!(store.checkpoint_and_evict(&mut game, 0).unwrap().nodes, 0);
    assert_eq!(game.open_windows, 3);
    game.board.insert(17, 1);
    assert!(store.checkpoint(&game).unwrap().nodes <= 5);
    assert_eq!((game.board[&17], game.board[&18], game.board.len()), (1, 0, 5000));
}

#[test]
fn all_collections_can_be_evicted() {
    let store = open(&MemoryStorage::new());
    let mut state = (
        (0..3000).collect::<HashSet<u32>>(),
        (0..3000).collect::<OrdSet<u32>>(),
        (0..3000).collect::<Vector<u32>>(),
        Some((0..3000).map(|n| (n, n)).collect::<HashMap<u32, u32>>()),
    );
    let whole = state.clone();
    store.checkpoint(&state).unwrap();
    assert_eq!(store.evict(&mut state.0, 0).unwrap().resident_bytes, 0);
    assert_eq!(store.evict(&mut state.1, 0).unwrap().resident_bytes, 0);
    assert_eq!(store.evict(&mut state.2, 0).unwrap().resident_bytes, 0);
    assert_eq!(store.evict(&mut state.3, 0).unwrap().resident_bytes, 0);
    assert!(state == whole, "they are equal by identity, though nothing is loaded");
    assert_eq!(resident_bytes(&state.2), 0);
    assert!(state.0.iter().copied().collect::<std::collections::BTreeSet<_>>().into_iter().eq(0..3000));
    assert!(state.1.iter().copied().eq(0..3000) && state.2.iter().copied().eq(0..3000));
}

#[test]
fn what_was_not_written_or_belongs_to_another_opening_stays() {
    let (one, other) = (open(&MemoryStorage::new()), open(&MemoryStorage::new()));
    let mut state = map(3000);
    let whole = resident_bytes(&state);
    assert_eq!(one.evict(&mut state, 0).unwrap().nodes, 0);
    one.checkpoint(&state).unwrap();
    assert_eq!(other.evict(&mut state, 0).unwrap().nodes, 0);
    assert_eq!(resident_bytes(&state), whole);
    // Half lazy in one store, and then all written to the other.
    one.evict(&mut state, whole / 2).unwrap();
    state.insert(5, 0);
    other.checkpoint_and_evict(&mut state, 0).unwrap();
    state.insert(6, 0);
    one.evict(&mut state, 0).unwrap();
    drop(one);
    other.checkpoint_and_evict(&mut state, 0).unwrap();
    assert!((0..3000).all(|n| state[&n] == if n == 5 || n == 6 { 0 } else { u64::from(n) }));
}

// Its numbers are those of nodes of ordinary width.
#[cfg(not(small_nodes))]
#[test]
fn the_least_recently_loaded_goes_first() {
    let store = open(&MemoryStorage::new());
    // One seed: how many leaves hold keys of several groups depends on it.
    let mut state = HashMap::<u32, u64>::with_seed(1);
    state.extend(&map(20_000));
    let whole = resident_bytes(&state);
    store.checkpoint_and_evict(&mut state, 0).unwrap();
    let some = |from: u32| (0..40).map(move |n| from + n * 97);
    // Each group is loaded, and then one round passes.
    for from in [0, 5000, 10_000, 15_000] {
        assert!(some(from).all(|key| state[&key] == u64::from(key)));
        let before = resident_bytes(&state);
        store.evict(&mut state, before - 1).unwrap();
    }
    let most = resident_bytes(&state) * 3 / 4;
    store.evict(&mut state, most).unwrap();
    let loads = |from: u32| {
        let before = resident_bytes(&state);
        assert!(some(from).all(|key| state[&key] == u64::from(key)));
        resident_bytes(&state) - before
    };
    // Some leaves hold keys of several groups.
    let (young, old) = (loads(15_000) + loads(10_000), loads(5000) + loads(0));
    assert!(
        old > 3 * young,
        "{young} bytes of the younger groups were loaded again, {old} of the older ones"
    );
    assert!(resident_bytes(&state) < whole / 4);
}

#[test]
fn what_is_written_again_and_again_stays_in_memory() {
    let store = open(&MemoryStorage::new());
    let mut state = map(20_000);
    let hot: Vec<u32> = (0..10).collect();
    store.checkpoint(&state).unwrap();
    let budget = resident_bytes(&state) / 4;
    for round in 1..20 {
        // In every other round, so that they are not the newest each time.
        if round % 2 == 0 {
            hot.iter().for_each(|key| assert!(state.insert(*key, round).is_some()));
        }
        (0..20).for_each(|n| assert!(state.contains_key(&(((round as u32) * 997 + n * 31) % 20_000))));
        store.checkpoint_and_evict(&mut state, budget).unwrap();
        let before = resident_bytes(&state);
        if round > 2 {
            assert!(hot.iter().all(|key| state.contains_key(key)));
            assert_eq!(resident_bytes(&state), before, "round {round}");
        }
    }
}

#[test]
fn a_snapshot_keeps_its_nodes_and_the_state_lets_go_of_them() {
    let store = open(&MemoryStorage::new());
    let mut state = map(10_000);
    store.checkpoint(&state).unwrap();
    let snapshot = state.clone();
    let whole = resident_bytes(&snapshot);
    let evicted = store.evict(&mut state, whole / 2).unwrap();
    assert!(evicted.resident_bytes <= whole / 2 && evicted.resident_bytes > whole / 3);
    assert_eq!(resident_bytes(&snapshot), whole);
    let both = footprint(&[&state, &snapshot]);
    assert!(both.unique_bytes[0] < whole / 10, "only branches are copied");
    assert!(state == snapshot && state.diff(&snapshot).count() == 0);
    drop(snapshot);
    assert_eq!(footprint(&[&state]).total_bytes, evicted.resident_bytes);
}

#[test]
fn the_current_version_of_a_state_is_evicted_in_an_update() {
    let store = open(&MemoryStorage::new());
    let state = State::new(map(10_000));
    store.checkpoint(&*state.load()).unwrap();
    let before = resident_bytes(&state);
    state.try_update(|map| store.evict(map, 10 << 10).map(drop)).unwrap();
    assert!(before > 150 << 10 && resident_bytes(&state) <= 10 << 10);
    assert!((0..10_000).all(|n| state.load()[&n] == u64::from(n)));
}

// Its numbers are those of nodes of ordinary width.
#[cfg(not(small_nodes))]
#[test]
fn an_evicted_state_holds_what_no_checkpoint_reaches_and_nothing_more() {
    let store = small().compact_below(1.0).open_storage(Arc::new(MemoryStorage::new())).unwrap();
    store.checkpoint(&map(20_000)).unwrap();
    let mut state: HashMap<u32, u64> = store.latest().unwrap().unwrap();
    // Deltas upon deltas, which compaction writes in full.
    for value in [2, 1, 0] {
        state.extend((0..1000).map(|key| (key * 7, value)));
        store.checkpoint_and_evict(&mut state, 0).unwrap();
    }
    assert_eq!(store.stats().pinned, 0, "the checkpoint it was restored from is nobody's any more");
    state.insert(5, 0);
    store.evict(&mut state, 0).unwrap();
    // Another state takes its place; what it let go of stays.
    let other = HashMap::<u32, u64>::new();
    store.checkpoint(&other).unwrap();
    store.retain(&keep_last(1)).unwrap();
    let done = store.compact().unwrap();
    let expected = |key| if key == 5 || key % 7 == 0 && key < 7000 { 0 } else { u64::from(key) };
    assert!(done.merged > 0 && store.usage().unwrap().used_bytes > 50_000);
    assert!((0..20_000).all(|key| state[&key] == expected(key)));
    drop(state);
    assert!(store.usage().unwrap().used_bytes < 2000);
    let disk_bytes = store.stats().disk_bytes;
    assert!(store.compact().unwrap().removed > 0 && store.stats().disk_bytes < disk_bytes / 2);
}

#[test]
fn what_cannot_be_loaded_again_is_an_error_and_no_silent_loss() {
    let disk = SimStorage::new();
    let store = small().cache_bytes(0).open_storage(Arc::new(disk.clone())).unwrap();
    let mut state = map(5000);
    store.checkpoint_and_evict(&mut state, 0).unwrap();
    let segment = disk.list().unwrap().into_iter().find(|name| name.ends_with(".segment")).unwrap();
    let bytes = disk.contents(&segment).unwrap();
    disk.set_contents(&segment, vec![0x5a; bytes.len()]);
    let failed = (0..5000).filter(|key| matches!(state.try_get(key), Err(Error::Corrupt { .. }))).count();
    assert!(failed > 0);
    let key = (0..5000).find(|key| state.try_get(key).is_err()).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| state.get(&key).is_some())).is_err());
    disk.set_contents(&segment, bytes);
    assert!((0..5000).all(|n| state[&n] == u64::from(n)), "and none is lost by it");
}

#[test]
fn a_poisoned_store_lets_go_of_nothing() {
    let disk = SimStorage::new();
    let store = small().open_storage(Arc::new(disk.clone())).unwrap();
    let mut state = map(5000);
    store.checkpoint(&state).unwrap();
    let whole = resident_bytes(&state);
    state.insert(1, 0);
    (1..5).for_each(|next| disk.plant(disk.operations() + next, Fault::Refuse));
    assert!(store.checkpoint_and_evict(&mut state, 0).is_err());
    assert!(matches!(store.evict(&mut state, 0), Err(Error::Poisoned { .. })));
    assert_eq!(resident_bytes(&state), whole);
}

#[test]
fn a_read_only_store_lets_go_as_well() {
    let storage = MemoryStorage::new();
    open(&storage).checkpoint(&map(5000)).unwrap();
    let store = small().read_only(true).open_storage(Arc::new(storage)).unwrap();
    let mut state: HashMap<u32, u64> = store.latest().unwrap().unwrap();
    state.load_all().unwrap();
    assert_eq!(store.evict(&mut state, 0).unwrap().resident_bytes, 0);
    assert!((0..5000).all(|n| state[&n] == u64::from(n)));
}

#[test]
fn a_state_larger_than_its_budget_is_right_in_every_value() {
    let store = open(&MemoryStorage::new());
    let (entries, budget) = (20_000u32, 150 << 10);
    let mut state: HashMap<u32, u64> = (0..entries).map(|n| (n, 0)).collect();
    let mut model: Vec<u64> = vec![0; entries as usize];
    assert!(resident_bytes(&state) > 2 * budget);
    let mut noise = Noise(15);
    let (mut evicted, mut most) = (0, 0);
    for round in 1..=60 {
        for _ in 0..20 {
            let key = noise.below(entries);
            assert_eq!(state.insert(key, round), Some(model[key as usize]));
            model[key as usize] = round;
        }
        if round > 1 {
            most = most.max(resident_bytes(&state));
        }
        let before = resident_bytes(&state);
        store.checkpoint_and_evict(&mut state, budget).unwrap();
        evicted += u64::from(before > budget);
        assert!(resident_bytes(&state) <= budget);
        if round % 20 == 0 {
            store.retain(&keep_last(2)).unwrap();
            store.compact().unwrap();
        }
    }
    assert!(evicted > 2 && most < 2 * budget, "let go {evicted} times, at most {most} bytes");
    assert!((0..entries).all(|key| state[&key] == model[key as usize]));
}
