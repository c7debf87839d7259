//! Migration: every checkpoint in the new type, nothing mapped twice, sharing kept.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::retention::keep_last;
use crate::storage::{SimStorage, Storage};
use crate::store::{CheckpointId, CheckpointOptions, Error, Location, Options, Store, VerifyOptions};
use crate::{HashMap, OrdMap, Vector};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OldPlayer {
    name: String,
    hp: u32,
    items: Vector<u16>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct NewPlayer {
    name: String,
    level: u64,
    hp: [u32; 2],
    items: Vector<u16>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Old {
    tick: u32,
    players: HashMap<u32, OldPlayer>,
    scores: OrdMap<u32, u32>,
    log: Vector<u32>,
    notes: HashMap<u32, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct New {
    players: HashMap<u32, NewPlayer>,
    scores: OrdMap<u32, Option<u64>>,
    log: Vector<(u32, u32)>,
    notes: HashMap<u32, String>,
    tick: u64,
}

const PLAYERS: u32 = 10_000;

impl Old {
    fn begin() -> Self {
        let player =
            |n: u32| OldPlayer { name: format!("player {n}"), hp: n, items: (0..n as u16 % 3).collect() };
        Self {
            tick: 0,
            players: (0..PLAYERS).map(|n| (n, player(n))).collect(),
            scores: (0..PLAYERS).map(|n| (n, n)).collect(),
            log: (0..PLAYERS).collect(),
            notes: (0..PLAYERS).map(|n| (n, format!("note {n}"))).collect(),
        }
    }

    /// Few changes of each collection.
    fn step(&mut self) {
        self.tick += 1;
        let tick = self.tick;
        for n in 0..20 {
            let key = (tick * 997 + n * 401) % PLAYERS;
            if let Some(player) = self.players.get_mut(&key) {
                player.hp += 1;
                player.items.push_back(tick as u16);
            }
            self.scores.insert(key, tick);
            *self.log.get_mut(PLAYERS as usize / 2 + key as usize % 1000).unwrap() = tick;
            self.notes.insert(key, format!("note of {tick}"));
        }
        self.players.remove(&(tick * 13));
        self.scores.remove(&(tick * 17));
        self.log.push_back(tick);
        self.log.pop_front();
    }

    fn migrated(&self) -> New {
        New {
            players: self.players.iter().map(|(key, player)| (*key, player.migrated())).collect(),
            scores: self.scores.iter().map(|(key, score)| (*key, Some(u64::from(*score)))).collect(),
            log: self.log.iter().map(|item| (*item, 1)).collect(),
            notes: self.notes.clone(),
            tick: self.tick.into(),
        }
    }
}

impl OldPlayer {
    fn migrated(&self) -> NewPlayer {
        NewPlayer { name: self.name.clone(), level: 1, hp: [self.hp, 100], items: self.items.clone() }
    }
}

fn options() -> Options {
    Options::new().segment_bytes(1 << 20)
}

fn open(disk: &SimStorage) -> Store {
    options().open_storage(Arc::new(disk.clone())).unwrap()
}

/// What was written for all checkpoints of a store.
fn written_bytes(store: &Store) -> u64 {
    store.checkpoints().map(|checkpoint| checkpoint.unwrap().bytes).sum()
}

#[test]
fn every_checkpoint_is_migrated_nothing_is_mapped_twice_and_what_is_shared_stays_shared() {
    let (disk, to) = (SimStorage::new(), SimStorage::new());
    let store = open(&disk);
    let mut state = Old::begin();
    let mut states = Vec::new();
    for tick in 0..10 {
        state.step();
        let how = CheckpointOptions::new().label(format!("tick {tick}"));
        states.push((
            store.commit().roots(&[("state", &state)]).options(&how).write().unwrap().id,
            state.clone(),
        ));
    }
    drop(store);
    let store = open(&disk);
    let calls = [const { Cell::new(0) }; 3];
    let count = |n: usize| calls[n].set(calls[n].get() + 1);
    let migrated = store.migrate(Location::storage(Arc::new(to.clone()), Path::new("new")), |m, old: Old| {
        let players = m.map(&old.players, |m, (_, player)| {
            count(0);
            Ok(NewPlayer { items: m.keep(&player.items)?, ..player.migrated() })
        })?;
        let scores = m.map(&old.scores, |_, (_, score)| {
            count(1);
            Ok(Some(u64::from(*score)))
        })?;
        let log = m.map(&old.log, |_, item| {
            count(2);
            Ok((*item, 1))
        })?;
        Ok(New { players, scores, log, notes: m.keep(&old.notes)?, tick: old.tick.into() })
    });
    let migrated = migrated.unwrap();
    assert_eq!((migrated.states, migrated.other_types), (10, 0));
    let new = open(&to);
    for (id, old) in &states {
        assert!(new.restore::<New>(*id).unwrap() == old.migrated(), "checkpoint {id}");
    }
    let facts = |store: &Store| -> Vec<_> {
        let facts =
            |made: crate::store::Checkpoint| (made.id, made.parent, made.label, made.time, made.roots);
        store.checkpoints().map(|made| facts(made.unwrap())).collect()
    };
    assert_eq!(facts(&new), facts(&store));
    let verified = new.verify_with(VerifyOptions::new().states::<New>()).unwrap();
    assert!(verified.is_clean() && verified.states == 10, "{:?}", verified.damage);
    // Once for all of the first checkpoint, and then for what changed.
    let changes = 9 * 22;
    for calls in &calls {
        let calls = calls.get();
        assert!((PLAYERS - 30..=PLAYERS + changes).contains(&calls), "{calls} calls");
    }
    // As large as if it had been so from the beginning.
    let native = open(&SimStorage::new());
    let mut world: Option<New> = None;
    let mut before: Option<&Old> = None;
    for (_, old) in &states {
        world = Some(match (world, before) {
            (Some(world), Some(before)) => followed(world, before, old),
            _ => old.migrated(),
        });
        assert!(world.as_ref().is_some_and(|world| *world == old.migrated()));
        native.checkpoint(&world).unwrap();
        before = Some(old);
    }
    let (migrated, native) = (written_bytes(&new), written_bytes(&native));
    println!("{calls:?} calls; {migrated} bytes migrated, {native} written natively");
    assert!(migrated * 100 < native * 110, "{migrated} bytes instead of {native}");
}

/// What an application would have done, had its state been a `New`.
fn followed(mut world: New, before: &Old, now: &Old) -> New {
    for change in before.players.diff(&now.players) {
        match change.new() {
            None => drop(world.players.remove(change.key())),
            Some(player) => drop(world.players.insert(*change.key(), player.migrated())),
        }
    }
    for change in before.scores.diff(&now.scores) {
        match change.new() {
            None => drop(world.scores.remove(change.key())),
            Some(score) => drop(world.scores.insert(*change.key(), Some((*score).into()))),
        }
    }
    for change in before.notes.diff(&now.notes) {
        change.new().into_iter().for_each(|note| drop(world.notes.insert(*change.key(), note.clone())));
    }
    world.log.pop_front();
    world.log.push_back((now.tick, 1));
    for (index, item) in now.log.iter().enumerate().filter(|(_, item)| **item == now.tick) {
        world.log.set(index, (*item, 1));
    }
    world.tick = now.tick.into();
    world
}

#[test]
fn a_version_that_was_rolled_back_to_is_migrated_from_its_parent() {
    let store = open(&SimStorage::new());
    let first: HashMap<u32, u32> = (0..2000).map(|n| (n, n)).collect();
    let root = store.checkpoint(&first).unwrap().id;
    let mut other = first.clone();
    other.extend((0..1000).map(|n| (n, 0)));
    store.checkpoint(&other).unwrap();
    let mut branch = first.clone();
    branch.insert(5, 50);
    let how = CheckpointOptions::new().parent(root);
    let last = store.commit().roots(&[("state", &branch)]).options(&how).write().unwrap().id;
    let (to, calls) = (SimStorage::new(), Cell::new(0));
    let migrate = |m: &mut crate::store::Migrator, old: HashMap<u32, u32>| {
        m.map(&old, |_, (key, value)| {
            calls.set(calls.get() + 1);
            Ok(u64::from(*key) << 32 | u64::from(*value))
        })
    };
    store.migrate(Location::storage(Arc::new(to.clone()), Path::new("new")), migrate).unwrap();
    // The key 0 already had the value 0.
    assert_eq!(calls.get(), 2000 + 999 + 1);
    let found: HashMap<u32, u64> = open(&to).restore(last).unwrap();
    assert!(found.iter().all(|(key, value)| *value == u64::from(*key) << 32 | u64::from(branch[key])));
    assert_eq!(found.len(), branch.len());
}

#[test]
fn other_types_and_names_are_copied_and_a_store_without_the_type_is_refused() {
    let store = open(&SimStorage::new());
    let (numbers, texts) = (Vector::from_iter(0..3000u32), HashMap::from([(1u8, "one".to_string())]));
    store.commit().roots(&[("numbers", &numbers), ("texts", &texts)]).write().unwrap();
    store.checkpoint(&texts).unwrap();
    let to = SimStorage::new();
    let refused =
        store.migrate(Location::storage(Arc::new(to.clone()), Path::new("new")), |_, old: u8| Ok(old));
    assert!(matches!(refused, Err(Error::ShapeMismatch { .. })), "{refused:?}");
    let to = SimStorage::new();
    let migrated = store
        .migrate(Location::storage(Arc::new(to.clone()), Path::new("new")), |m, old: Vector<u32>| {
            m.map(&old, |_, item| Ok(u64::from(*item) + 1))
        });
    let migrated = migrated.unwrap();
    assert_eq!((migrated.states, migrated.other_types, migrated.checkpoints.len()), (1, 2, 2));
    let new = open(&to);
    let found: Vector<u64> = new.get(migrated.checkpoints[0]).unwrap().restore_root("numbers").unwrap();
    assert!(found.iter().eq((1..=3000u64).collect::<Vec<_>>().iter()));
    assert_eq!(
        new.get(migrated.checkpoints[0]).unwrap().restore_root::<HashMap<u8, String>>("texts").unwrap(),
        texts
    );
    assert_eq!(new.latest::<HashMap<u8, String>>().unwrap(), Some(texts));
    assert!(new.verify().unwrap().is_clean());
}

#[test]
fn a_store_that_dropped_and_compacted_is_migrated_as_it_is() {
    for compression in super::compressions() {
        let options = Options::new().segment_bytes(16 << 10).block_bytes(512).compression(compression);
        let store = options.compact_below(0.9).open_storage(Arc::new(SimStorage::new())).unwrap();
        let mut states = Vec::new();
        let mut state: HashMap<u32, Vector<u32>> = (0..500).map(|n| (n, (0..n % 40).collect())).collect();
        for tick in 0..60 {
            for n in 0..10 {
                state.get_mut(&((tick * 37 + n * 11) % 500)).unwrap().push_back(tick);
            }
            states.push((store.checkpoint(&state).unwrap().id, state.clone()));
        }
        store.retain(&keep_last(7)).unwrap();
        let compacted = store.compact().unwrap();
        assert!(compacted.removed + compacted.rewritten > 0);
        let to = SimStorage::new();
        let migrated = store.migrate(
            Location::storage(Arc::new(to.clone()), Path::new("new")),
            |m, old: HashMap<u32, Vector<u32>>| {
                m.map(&old, |m, (_, items)| m.map(items, |_, item| Ok(u64::from(*item))))
            },
        );
        let kept: Vec<CheckpointId> = states[53..].iter().map(|(id, _)| *id).collect();
        assert_eq!(migrated.unwrap().checkpoints, kept);
        let new = open(&to);
        for (id, state) in &states[53..] {
            let found: HashMap<u32, Vector<u64>> = new.restore(*id).unwrap();
            let widen =
                |items: &Vector<u32>| items.iter().map(|item| u64::from(*item)).collect::<Vector<_>>();
            assert!(
                found.len() == state.len() && state.iter().all(|(key, items)| found[key] == widen(items))
            );
        }
        assert!(
            new.verify_with(VerifyOptions::new().states::<HashMap<u32, Vector<u64>>>()).unwrap().is_clean()
        );
    }
}

#[test]
fn a_migration_that_fails_leaves_nothing_where_the_store_is_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    let store = Store::open(&old).unwrap();
    store.checkpoint(&7u32).unwrap();
    let fail = |_: &mut crate::store::Migrator, _: u32| -> Result<u64, Error> {
        Err(Error::Limit { what: "no".into() })
    };
    assert!(matches!(store.migrate(&new, fail), Err(Error::Limit { .. })));
    assert!(!new.exists());
    // What it left is no store; the next one takes its place, but not that of anything else.
    let left = dir.path().join("new.part");
    let Err(error @ Error::NotAStore { .. }) = Store::open(&left) else { panic!("it is not complete") };
    assert!(error.to_string().contains("did not complete"), "{error}");
    std::fs::write(left.join("notes"), "mine").unwrap();
    let again = store.migrate(&new, |_, old: u32| Ok(u64::from(old)));
    assert!(matches!(again, Err(Error::NotAStore { .. })));
    std::fs::remove_file(left.join("notes")).unwrap();
    store.migrate(&new, |_, old: u32| Ok(u64::from(old))).unwrap();
    assert_eq!(Store::open(&new).unwrap().latest::<u64>().unwrap(), Some(7));
    let onto = store.migrate(&new, |_, old: u32| Ok(u64::from(old)));
    assert!(matches!(onto, Err(Error::NotAStore { .. })));
}

#[test]
fn power_cuts_during_a_migration_leave_all_of_its_checkpoints_or_no_store() {
    let store = open(&SimStorage::new());
    let mut state: HashMap<u32, u32> = (0..300).map(|n| (n, n)).collect();
    let mut states = Vec::new();
    for tick in 0..6 {
        state.insert(tick * 7, tick);
        states.push((store.checkpoint(&state).unwrap().id, state.clone()));
    }
    let to = SimStorage::new();
    to.record(true);
    let widen = |m: &mut crate::store::Migrator, old: HashMap<u32, u32>| {
        m.map(&old, |_, (_, value)| Ok(u64::from(*value)))
    };
    store.migrate(Location::storage(Arc::new(to.clone()), Path::new("new")), widen).unwrap();
    let (mut images, mut whole) = (0, 0);
    for point in to.crash_points() {
        for seed in 0..20 {
            images += 1;
            let image = point.random_image(seed);
            for again in [false, true] {
                let what = format!("operation {}, seed {seed}, again: {again}", point.operation());
                let names = image.list().unwrap();
                let new = match options().open_storage(Arc::new(image.clone())) {
                    Err(Error::NotAStore { .. }) if !names.iter().any(|name| name == "MANIFEST") => continue,
                    new => new.unwrap_or_else(|error| panic!("{error}: {what}")),
                };
                let mut found: Vec<_> = new.checkpoints().map(|made| made.unwrap().id).collect();
                found.reverse();
                assert!(states.iter().map(|(id, _)| id).zip(&found).all(|(one, two)| one == two), "{what}");
                for (id, old) in &states[..found.len()] {
                    let state: HashMap<u32, u64> = new.restore(*id).unwrap();
                    assert!(state.len() == old.len(), "{what}");
                    assert!(old.iter().all(|(key, value)| state[key] == u64::from(*value)), "{what}");
                }
                // A power cut at the very beginning leaves nothing at all, and a store can be begun there.
                assert!(found.is_empty() || found.len() == states.len(), "{what}: {found:?}");
                whole += usize::from(found.len() == states.len());
            }
        }
    }
    println!("{images} images, {whole} with all checkpoints");
    assert!(images > 100 && whole > 0);
}
