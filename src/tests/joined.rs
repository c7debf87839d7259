//! Parts of several checkpoints of one store in one state: each part stays readable as long as the state needs it, and a
//! checkpoint that is acknowledged refers to nothing that compaction removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::compaction::Noise;
use super::seeds;
use crate::footprint::{Evict, Eviction};
use crate::retention::keep_last;
use crate::storage::MemoryStorage;
use crate::store::{Options, Store};
use crate::{Error, HashMap, HashSet, OrdMap, OrdSet, Vector};

fn options() -> Options {
    Options::new().segment_bytes(0).block_bytes(512).cache_bytes(0).compact_below(1.0)
}

fn store() -> Store {
    options().open_storage(Arc::new(MemoryStorage::new())).unwrap()
}

/// Drops all checkpoints but the newest, and gives back what nothing else needs.
fn collect(store: &Store) {
    store.retain(&keep_last(1)).unwrap();
    store.compact().unwrap();
}

fn expect_clean(store: &Store) {
    let verified = store.verify().unwrap();
    assert!(verified.is_clean(), "{:?}", verified.damage);
}

/// Two lazily restored checkpoints with others between and after, joined; then the second is collected.
fn join_two<T>(
    len: u32,
    make: impl Fn(std::ops::Range<u32>) -> T,
    join: impl Fn(&mut T, T),
    change: impl Fn(&mut T),
) where
    T: Serialize + serde::de::DeserializeOwned + Clone + PartialEq + std::fmt::Debug + 'static,
{
    let store = store();
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(store.checkpoint(&make(n * 1000..n * 1000 + len)).unwrap().id);
    }
    let mut state: T = store.restore(ids[0]).unwrap();
    join(&mut state, store.restore(ids[2]).unwrap());
    collect(&store);
    change(&mut state);
    let mut expected = make(0..len);
    join(&mut expected, make(2000..2000 + len));
    change(&mut expected);
    store.checkpoint(&state.clone()).unwrap();
    expect_clean(&store);
    assert_eq!(state, expected);
    collect(&store);
    expect_clean(&store);
    assert_eq!(store.latest::<T>().unwrap().unwrap(), expected);
}

#[test]
fn an_ordered_map_holds_what_was_appended_to_it() {
    for len in [1, 5, 50, 60, 150, 700] {
        let make = |range: std::ops::Range<u32>| range.map(|n| (n, n)).collect::<OrdMap<u32, u32>>();
        join_two(len, make, |one, mut two| one.append(&mut two), |_| ());
        join_two(
            len,
            make,
            |one, two| *one = two.union(one),
            |map| {
                map.remove(&0);
            },
        );
        let set = |range: std::ops::Range<u32>| range.collect::<OrdSet<u32>>();
        join_two(
            len,
            set,
            |one, mut two| one.append(&mut two),
            |set| {
                set.insert(77_777);
            },
        );
    }
}

#[test]
fn a_vector_holds_what_was_appended_to_it() {
    // Of the second one a part, so that the seam lies at every kind of edge.
    for (len, from) in
        (1..24).flat_map(|n| [(n * 160, 0), (n * 290, n * 100), (1000, n * 40), (n * n * 10, n * 7)])
    {
        let from = from as usize;
        let make = |range: std::ops::Range<u32>| range.collect::<Vector<u32>>();
        let join =
            |one: &mut Vector<u32>, two: Vector<u32>| one.append(&mut two.slice(from.min(two.len())..));
        join_two(len, make, join, |vector| vector.push_back(7));
        let insert = |one: &mut Vector<u32>, mut two: Vector<u32>| {
            let mut rest = one.split_off(one.len() / 3);
            one.append(&mut two);
            one.append(&mut rest);
        };
        join_two(len, make, insert, |vector| vector.push_front(7));
        join_two(len, make, |one, mut two| one.append(&mut two), |vector| vector.push_back(7));
        join_two(
            len,
            make,
            |one, two| drop(one.splice(one.len() / 2..one.len() / 2, two)),
            |vector| vector.push_front(7),
        );
    }
}

#[test]
fn a_hash_map_holds_what_was_merged_into_it() {
    for len in [1, 50, 700] {
        let make = |range: std::ops::Range<u32>| {
            range.map(|n| (n, (0..n % 90).collect())).collect::<HashMap<u32, Vector<u32>>>()
        };
        join_two(
            len,
            make,
            |one, two| *one = one.union(&two),
            |map| {
                map.remove(&0);
            },
        );
        join_two(len, make, |one, two| *one = two.merge_with(one, |_, mine, _| mine.clone()), |_| ());
    }
}

/// A vector whose last copy that was decoded stays with the thread, without what would hold its records.
#[derive(Clone, Serialize)]
struct Kept(Vector<u32>);

std::thread_local!(static KEPT: std::cell::RefCell<Option<Vector<u32>>> = const { std::cell::RefCell::new(None) });

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let vector = Vector::deserialize(deserializer)?;
        KEPT.set(Some(Vector::clone(&vector)));
        Ok(Self(vector))
    }
}

#[test]
fn an_address_that_is_no_longer_there_is_an_error_before_anything_is_acknowledged() {
    let store = store();
    store.checkpoint(&Kept((0..5000).collect())).unwrap();
    // Of the trial, which is over: nothing holds what it read.
    let stray = KEPT.take().expect("the type was tried");
    let mut changed = stray.clone();
    changed.push_back(7);
    store.checkpoint(&1u8).unwrap();
    collect(&store);
    for state in [stray, changed] {
        assert!(matches!(store.checkpoint(&state), Err(Error::Corrupt { .. })));
        assert_eq!(store.latest::<u8>().unwrap(), Some(1));
        expect_clean(&store);
    }
    store.checkpoint(&2u8).unwrap();
    expect_clean(&store);
}

/// One of each collection, and one in another.
#[derive(Clone, Default, Serialize, Deserialize, PartialEq, Debug)]
struct World {
    names: HashMap<u32, String>,
    bags: HashMap<u32, Vector<u32>>,
    marks: HashSet<u32>,
    scores: OrdMap<u32, String>,
    ranks: OrdSet<u32>,
    log: Vector<u32>,
}

impl Evict for World {
    fn evict(&mut self, eviction: &mut Eviction<'_>) {
        self.names.evict(eviction);
        self.bags.evict(eviction);
        self.marks.evict(eviction);
        self.scores.evict(eviction);
        self.ranks.evict(eviction);
        self.log.evict(eviction);
    }
}

/// The same in collections of std's, which no store sees.
#[derive(Clone, Default, PartialEq, Debug)]
struct Model {
    names: BTreeMap<u32, String>,
    bags: BTreeMap<u32, Vec<u32>>,
    marks: BTreeSet<u32>,
    scores: BTreeMap<u32, String>,
    ranks: BTreeSet<u32>,
    log: Vec<u32>,
}

#[derive(Clone, Default)]
struct Twins {
    world: World,
    model: Model,
}

impl Twins {
    fn change(&mut self, noise: &mut Noise, changes: u32) {
        let (world, model) = (&mut self.world, &mut self.model);
        // States differ by ranges of keys, so that whole nodes pass from one to another.
        let base = 1000 * noise.below(4);
        for _ in 0..changes {
            let key = base + noise.below(400);
            match noise.below(12) {
                0..3 => {
                    let text = format!("{key} {}", noise.below(1000));
                    world.names.insert(key, text.clone());
                    world.scores.insert(key, text.clone());
                    model.names.insert(key, text.clone());
                    model.scores.insert(key, text);
                }
                3 => {
                    world.names.remove(&key);
                    world.scores.remove(&key);
                    world.marks.remove(&key);
                    world.ranks.remove(&key);
                    model.names.remove(&key);
                    model.scores.remove(&key);
                    model.marks.remove(&key);
                    model.ranks.remove(&key);
                }
                4..6 => {
                    world.marks.insert(key);
                    world.ranks.insert(key);
                    model.marks.insert(key);
                    model.ranks.insert(key);
                }
                6..8 => {
                    let bag = key % 30;
                    world.bags.entry(bag).or_default().push_back(key);
                    model.bags.entry(bag).or_default().push(key);
                }
                8 if !model.log.is_empty() => {
                    let at = key as usize % model.log.len();
                    world.log.insert(at, key);
                    model.log.insert(at, key);
                }
                9 if !model.log.is_empty() => {
                    let at = key as usize % model.log.len();
                    world.log.remove(at);
                    model.log.remove(at);
                }
                _ => {
                    world.log.extend(key..key + 20);
                    model.log.extend(key..key + 20);
                }
            }
        }
    }

    /// Takes parts of another state over.
    fn take(&mut self, other: &Self, noise: &mut Noise) {
        let (world, model) = (&mut self.world, &mut self.model);
        let (mut theirs, their) = (other.world.clone(), other.model.clone());
        match noise.below(9) {
            0 => {
                world.names = world.names.union(&theirs.names);
                for (key, text) in their.names {
                    model.names.entry(key).or_insert(text);
                }
            }
            1 => {
                for bag in 0..30 {
                    if let Some(items) = theirs.bags.get_mut(&bag) {
                        world.bags.entry(bag).or_default().append(&mut items.clone());
                        model.bags.entry(bag).or_default().extend(&their.bags[&bag]);
                    }
                }
            }
            2 => {
                world.marks = world.marks.union(&theirs.marks);
                model.marks.extend(&their.marks);
                world.ranks.append(&mut theirs.ranks);
                model.ranks.extend(&their.ranks);
            }
            3 => {
                // The low part of one, the high part of the other.
                let key = noise.below(4000);
                drop(world.scores.split_off(&key));
                let mut high = theirs.scores.split_off(&key);
                world.scores.append(&mut high);
                model.scores.retain(|&k, _| k < key);
                model.scores.extend(their.scores.into_iter().filter(|&(k, _)| k >= key));
            }
            4 => {
                world.scores = world.scores.union(&theirs.scores);
                for (key, text) in their.scores {
                    model.scores.entry(key).or_insert(text);
                }
            }
            5 => {
                let base = OrdMap::new();
                world.scores = world
                    .scores
                    .three_way_merge(&base, &theirs.scores, |_, _, mine, theirs| mine.or(theirs).cloned());
                for (key, text) in their.scores {
                    model.scores.entry(key).or_insert(text);
                }
            }
            6 => {
                world.log.append(&mut theirs.log);
                model.log.extend(&their.log);
            }
            _ => {
                let at = noise.below(model.log.len() as u32 + 1) as usize;
                let from = noise.below(their.log.len() as u32 + 1) as usize;
                let mut rest = world.log.split_off(at);
                world.log.append(&mut theirs.log.slice(from..));
                world.log.append(&mut rest);
                let rest = model.log.split_off(at);
                model.log.extend(&their.log[from..]);
                model.log.extend(rest);
            }
        }
        if model.log.len() > 4000 {
            world.log.truncate(1000);
            model.log.truncate(1000);
        }
        for (bag, items) in model.bags.iter_mut().filter(|(_, items)| items.len() > 500) {
            items.truncate(100);
            if let Some(items) = world.bags.get_mut(bag) {
                items.truncate(100);
            }
        }
    }

    fn check(&self, what: &str) {
        let World { names, bags, marks, scores, ranks, log } = &self.world;
        let found = Model {
            names: names.iter().map(|(key, text)| (*key, text.clone())).collect(),
            bags: bags.iter().map(|(key, items)| (*key, items.iter().copied().collect())).collect(),
            marks: marks.iter().copied().collect(),
            scores: scores.iter().map(|(key, text)| (*key, text.clone())).collect(),
            ranks: ranks.iter().copied().collect(),
            log: log.iter().copied().collect(),
        };
        assert!(found == self.model, "another state: {what}");
    }
}

/// States that come and go, take parts of each other, and are saved, let go of and collected meanwhile.
fn live_through(seed: u64, rounds: u32) {
    let storage = Arc::new(MemoryStorage::new());
    let mut store = options().open_storage(storage.clone()).unwrap();
    let mut noise = Noise(seed);
    let mut states = vec![Twins::default()];
    let mut saved = Vec::new();
    states[0].change(&mut noise, 400);
    for round in 0..rounds {
        let what = format!("seed {seed}, round {round}");
        let at = noise.below(states.len() as u32) as usize;
        match noise.below(20) {
            0..3 => {
                let changes = 1 + noise.below(40);
                states[at].change(&mut noise, changes);
            }
            3..6 => {
                let id = store.checkpoint(&states[at].world).unwrap().id;
                saved.push((id, states[at].model.clone()));
            }
            6..9 if !saved.is_empty() => {
                let (id, model) = &saved[noise.below(saved.len() as u32) as usize];
                let world: World = store.restore(*id).unwrap();
                states.push(Twins { world, model: model.clone() });
            }
            9..13 => {
                // Often one that nobody holds any more once it has given what it has.
                let at_rest = noise.below(2) == 0 && !saved.is_empty();
                let other = match at_rest.then(|| noise.below(saved.len() as u32) as usize) {
                    Some(at) => {
                        let (id, model) = &saved[at];
                        Twins { world: store.restore(*id).unwrap(), model: Model::clone(model) }
                    }
                    None => states[noise.below(states.len() as u32) as usize].clone(),
                };
                states[at].take(&other, &mut noise);
                drop(other);
                if noise.below(3) == 0 {
                    // Nobody needs what was there before, but what took from it.
                    store.checkpoint(&World::default()).unwrap();
                    saved.clear();
                    collect(&store);
                    let id = store.checkpoint(&states[at].world).unwrap().id;
                    saved.push((id, states[at].model.clone()));
                    expect_clean(&store);
                }
            }
            13..15 => {
                let target = u64::from(noise.below(3) * noise.below(20)) << 10;
                store.evict(&mut states[at].world, target).unwrap();
            }
            15 if states.len() > 1 => drop(states.swap_remove(at)),
            16..18 => {
                let depth = if noise.below(2) == 0 { 1 } else { 2 + noise.below(4) };
                let kept = store.retain(&keep_last(depth.into())).unwrap().kept;
                saved.retain(|(id, _)| kept.contains(id));
                store.compact().unwrap();
            }
            18 => {
                let copy = states[at].clone();
                states.push(copy);
            }
            19 if round % 3 == 0 => states[at].clone().check(&what),
            19 if round % 7 == 0 => {
                drop(store);
                store = options().open_storage(storage.clone()).unwrap();
            }
            _ => {}
        }
        if states.len() > 4 {
            states.remove(0);
        }
        if round % 20 == 19 {
            expect_clean(&store);
        }
    }
    while let Some(twins) = states.pop() {
        let id = store.checkpoint(&twins.world).unwrap().id;
        collect(&store);
        expect_clean(&store);
        let world: World = store.restore(id).unwrap();
        Twins { world, model: twins.model.clone() }.check("restored");
        twins.check("in memory");
    }
}

#[test]
fn states_take_parts_of_each_other_and_lose_nothing() {
    for seed in seeds(if cfg!(miri) { 1 } else { 24 }) {
        live_through(seed, 160);
    }
}
