//! Any sequence of changes, checkpoints, drops, compactions, closings, kills, faults and power cuts on a simulated disk:
//! what is found is exactly one checkpoint, not older than the last one that was acknowledged, and those before it that
//! were kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arbitrary::Arbitrary;
use perennial::retention::{Retention, every_nth, keep_last};
use perennial::storage::{Fate, Fault, SimStorage};
use perennial::store::{CheckpointOptions, Durability, Options, Store};
use perennial::{HashMap, SeededState};

/// One of them.
#[derive(Arbitrary, Debug)]
pub enum Op {
    Insert(u8, u8),
    Remove(u8),
    Checkpoint {
        durable: bool,
    },
    Sync,
    /// Keeps so many checkpoints, or some of all.
    Drop {
        count: u8,
        some: bool,
    },
    Compact,
    Evict,
    Reopen,
    Kill,
    /// Power fails after the last operation, or some before it.
    Cut {
        back: u8,
        seed: u64,
    },
    /// An operation soon fails.
    Fault {
        ahead: u8,
        kind: u8,
    },
}

type State = HashMap<u8, u8, SeededState>;
type Model = BTreeMap<u8, u8>;

fn open(disk: &SimStorage) -> Store {
    let options = Options::new().segment_bytes(4 << 10).block_bytes(256).compact_below(0.9);
    options.open_storage(Arc::new(disk.clone())).expect("a store that was only cut or killed opens")
}

/// What is known of a store by whoever uses it.
struct Known {
    /// What was checkpointed, by id.
    states: BTreeMap<u64, Model>,
    /// What may have been: an error was the answer, or nothing.
    unknown: Vec<Model>,
    /// After how many operations of the disk which checkpoint was known to be durable.
    durable: Vec<(u64, u64)>,
    /// What was to be dropped, whether it was or not.
    dropped: BTreeSet<u64>,
}

impl Known {
    fn new(states: BTreeMap<u64, Model>) -> Self {
        let newest = states.keys().next_back().copied().unwrap_or(0);
        Self { states, unknown: Vec::new(), durable: vec![(0, newest)], dropped: BTreeSet::new() }
    }

    /// Everything so far is durable.
    fn note_durable(&mut self, disk: &SimStorage) {
        let newest = self.states.keys().next_back().copied().unwrap_or(0);
        self.durable.push((disk.operations(), newest));
    }

    fn note_dropped(&mut self, store: &Store, policy: &Retention) {
        let planned = store.would_retain(policy).map(|plan| plan.dropped).unwrap_or_default();
        self.dropped.extend(planned.iter().map(|id| id.get()));
    }

    /// Holds what is found after so many operations of the disk against what is known; what is in it.
    fn check(&self, store: &Store, operation: u64) -> BTreeMap<u64, Model> {
        let verified = store.verify().expect("it can be read");
        assert!(verified.is_clean(), "{verified:?}");
        let ids = store.checkpoints().map(|checkpoint| checkpoint.expect("a commit").id);
        let restore = |id| store.restore::<State>(id).expect("it can be read");
        let found: BTreeMap<u64, Model> = ids
            .map(|id| (id.get(), restore(id).iter().map(|(key, value)| (*key, *value)).collect()))
            .collect();
        let newest = found.keys().next_back().copied().unwrap_or(0);
        let durable = self.durable.iter().rev().find(|(at, _)| *at <= operation).map_or(0, |&(_, id)| id);
        assert!(newest >= durable, "checkpoint {durable} is gone, {newest} is the newest");
        for (id, state) in &found {
            match self.states.get(id) {
                Some(expected) => assert!(state == expected, "checkpoint {id} is another one"),
                None => assert!(self.unknown.contains(state), "checkpoint {id} is a state that never was"),
            }
        }
        let kept = self.states.range(..=newest).filter(|(id, _)| !self.dropped.contains(id));
        kept.for_each(|(id, _)| assert!(found.contains_key(id), "checkpoint {id} was kept, and is gone"));
        found
    }
}

/// Runs them.
pub fn run(ops: Vec<Op>) {
    let mut disk = SimStorage::new();
    let mut store = open(&disk);
    disk.record(true);
    let empty = || State::with_hasher(SeededState::new(1));
    let (mut state, mut model) = (empty(), Model::new());
    let mut known = Known::new(BTreeMap::new());
    for op in ops.into_iter().take(200) {
        match op {
            Op::Insert(key, value) => assert_eq!(state.insert(key, value), model.insert(key, value)),
            Op::Remove(key) => assert_eq!(state.remove(&key), model.remove(&key)),
            Op::Checkpoint { durable } => {
                let durability = if durable { Durability::Sync } else { Durability::Buffered };
                let how = CheckpointOptions::new().durability(durability);
                match store.commit().roots(&[("state", &state)]).options(&how).write() {
                    Ok(made) => {
                        known.states.insert(made.id.get(), model.clone());
                        if durable {
                            known.note_durable(&disk);
                        }
                    }
                    // Whether it was made is seen at the next opening, under the next id.
                    Err(_) => known.unknown.push(model.clone()),
                }
            }
            Op::Sync => {
                if store.sync().is_ok() {
                    known.note_durable(&disk);
                }
            }
            Op::Drop { count, some } => {
                let most = keep_last(1 + u64::from(count % 8));
                let policy = if some { most | every_nth(3) } else { most };
                known.note_dropped(&store, &policy);
                let _ = store.retain(&policy);
            }
            Op::Compact => _ = store.compact(),
            Op::Evict => _ = store.evict(&mut state, 0),
            Op::Fault { ahead, kind } => {
                let fault = [Fault::Refuse, Fault::Full, Fault::Short, Fault::Late][usize::from(kind % 4)];
                disk.plant(disk.operations() + u64::from(ahead % 8), fault);
            }
            Op::Reopen | Op::Kill | Op::Cut { .. } => {
                let mut operation = u64::MAX;
                if let Op::Reopen = op {
                    let _ = std::mem::replace(&mut store, open(&SimStorage::new())).close();
                }
                let left = match op {
                    Op::Cut { back, seed } => {
                        let points = disk.crash_points();
                        let point = &points[points.len() - 1 - usize::from(back) % points.len()];
                        operation = point.operation();
                        point.random_image(seed)
                    }
                    // Faults that have not struck yet strike nobody else.
                    _ => disk.crash_point().image(0, |_| Fate::Lands),
                };
                let opened = open(&left);
                let found = known.check(&opened, operation);
                state = opened.latest().expect("it can be read").unwrap_or_else(empty);
                model = found.values().next_back().cloned().unwrap_or_default();
                (store, disk) = (opened, left);
                known = Known::new(found);
                disk.record(true);
            }
        }
    }
}
