//! Any sequence of changes, checkpoints, closings, kills, faults and power cuts on a simulated disk: what is found is
//! exactly one checkpoint, not older than the last one that was acknowledged.
#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use perennial::HashMap;
use perennial::storage::{Fault, SimStorage};
use perennial::store::{CheckpointOptions, Durability, Options, Store};

#[derive(Arbitrary, Debug)]
enum Op {
    Insert(u8, u8),
    Remove(u8),
    Checkpoint {
        durable: bool,
    },
    Sync,
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

type State = HashMap<u8, u8>;

fn open(disk: &SimStorage) -> Store {
    let options = Options::new().segment_bytes(4 << 10).block_bytes(256);
    options.open_storage(Arc::new(disk.clone())).expect("a store that was only cut or killed opens")
}

fuzz_target!(|ops: Vec<Op>| {
    let mut disk = SimStorage::new();
    let mut store = Some(open(&disk));
    disk.record(true);
    let mut state = State::new();
    // What was checkpointed, by id; and after how many operations which one was known to be durable.
    let mut states = vec![(0, State::new())];
    let mut durable = vec![(0, 0)];
    for op in ops.into_iter().take(200) {
        let Some(open_store) = &store else { break };
        match op {
            Op::Insert(key, value) => drop(state.insert(key, value)),
            Op::Remove(key) => drop(state.remove(&key)),
            Op::Checkpoint { durable: is_durable } => {
                let durability = if is_durable { Durability::Sync } else { Durability::Buffered };
                let how = CheckpointOptions::new().durability(durability);
                let states_of = |id| (id, state.clone());
                match open_store.checkpoint_with(&[("state", &state)], &how) {
                    Ok(made) => {
                        states.push(states_of(made.id.0));
                        if is_durable {
                            durable.push((disk.operations(), made.id.0));
                        }
                    }
                    // Whether it was made is seen at the next opening, under the next id.
                    Err(_) => states.push(states_of(u64::MAX)),
                }
            }
            Op::Sync => {
                if open_store.sync().is_ok()
                    && let Some((id, _)) = states.iter().rev().find(|(id, _)| *id != u64::MAX)
                {
                    durable.push((disk.operations(), *id));
                }
            }
            Op::Fault { ahead, kind } => {
                let fault = [Fault::Refuse, Fault::Full, Fault::Short, Fault::Late][usize::from(kind % 4)];
                disk.plant(disk.operations() + u64::from(ahead % 8), fault);
            }
            Op::Reopen | Op::Kill | Op::Cut { .. } => {
                match op {
                    Op::Reopen => drop(store.take()),
                    _ => std::mem::forget(store.take()),
                }
                disk.kill();
                let mut known = durable.last().map_or(0, |&(_, id)| id);
                if let Op::Cut { back, seed } = op {
                    let points = disk.crash_points();
                    let point = &points[points.len() - 1 - usize::from(back) % points.len()];
                    let before = durable.iter().rev().find(|(at, _)| *at <= point.operation());
                    known = before.map_or(0, |&(_, id)| id);
                    disk = point.random_image(seed);
                } else {
                    // Faults that have not struck yet strike nobody else.
                    disk = disk.crash_point().image(0, |_| perennial::storage::Fate::Lands);
                }
                let opened = open(&disk);
                let found = opened.checkpoints().next().map_or(0, |newest| newest.expect("a commit").id.0);
                assert!(found >= known, "checkpoint {known} is gone, {found} is the newest");
                let restored = opened.latest::<State>().expect("it can be read").unwrap_or_default();
                assert!(opened.verify().expect("it can be read").is_clean());
                let is_it =
                    |(id, state): &&(u64, State)| (*id == found || *id == u64::MAX) && *state == restored;
                assert!(
                    states.iter().any(|pair| is_it(&pair)),
                    "checkpoint {found} is a state that never was"
                );
                states = vec![(found, restored.clone())];
                durable = vec![(0, found)];
                state = restored;
                disk.record(true);
                store = Some(opened);
            }
        }
    }
});
