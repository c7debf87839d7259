//! Any sequence of operations on a map and its versions, against std, with checkpoints and reopenings between.

use std::collections::HashMap as Model;
use std::sync::Arc;

use arbitrary::Arbitrary;
use perennial::storage::MemoryStorage;
use perennial::store::{Options, Store};
use perennial::{HashMap, SeededState};

/// One of them.
#[derive(Arbitrary, Debug)]
pub enum Op {
    Insert(u16, String),
    Remove(u16),
    Change(u16),
    Entry(u16),
    Retain(u8),
    ExtractIf(u8, u8),
    Algebra(u8, u8),
    Merge(u8, u8),
    Keep,
    GoBack(u8),
    Checkpoint,
    Reopen,
}

/// Runs them.
pub fn run(ops: Vec<Op>) {
    let storage = Arc::new(MemoryStorage::new());
    let open =
        || Options::new().segment_bytes(64 << 10).open_storage(storage.clone()).expect("a sound store");
    let mut store: Option<Store> = Some(open());
    let (mut map, mut model) = (HashMap::<u16, String>::with_hasher(SeededState::new(1)), Model::new());
    let mut kept = vec![(map.clone(), model.clone())];
    let mut saved = Vec::new();
    for op in ops {
        match op {
            Op::Insert(key, value) => assert_eq!(map.insert(key, value.clone()), model.insert(key, value)),
            Op::Remove(key) => assert_eq!(map.remove(&key), model.remove(&key)),
            Op::Change(key) => {
                map.get_mut(&key).into_iter().for_each(|value| value.push('x'));
                model.get_mut(&key).into_iter().for_each(|value| value.push('x'));
            }
            Op::Entry(key) => {
                map.entry(key).or_default().push('y');
                model.entry(key).or_default().push('y');
            }
            Op::Retain(bits) => {
                map.retain(|key, _| key & u16::from(bits) == 0);
                model.retain(|key, _| key & u16::from(bits) == 0);
            }
            Op::ExtractIf(bits, most) => {
                let gone = map.extract_if(|key, _| key & u16::from(bits) == 0).take(most.into());
                gone.for_each(|(key, value)| assert_eq!(model.remove(&key), Some(value)));
            }
            Op::Algebra(index, how) => {
                let (other, more) = &kept[usize::from(index) % kept.len()];
                map = match how % 4 {
                    0 => map.union(other),
                    1 => map.intersection(other),
                    2 => map.difference(other),
                    _ => map.symmetric_difference(other),
                };
                let mine = std::mem::take(&mut model);
                let both = |key: &u16| mine.contains_key(key) && more.contains_key(key);
                for (key, value) in more.iter().chain(&mine) {
                    let belongs = match how % 4 {
                        0 => true,
                        1 => both(key),
                        2 => !more.contains_key(key),
                        _ => !both(key),
                    };
                    if belongs {
                        model.insert(*key, value.clone());
                    }
                }
            }
            Op::Merge(base, theirs) => {
                let [base, theirs] = [base, theirs].map(|index| &kept[usize::from(index) % kept.len()]);
                map = map.three_way_merge(&base.0, &theirs.0, |_, _, mine, _| mine.cloned());
                for key in base.1.keys().chain(theirs.1.keys()) {
                    if model.get(key) == base.1.get(key) {
                        let _ = match theirs.1.get(key) {
                            Some(value) => model.insert(*key, value.clone()),
                            None => model.remove(key),
                        };
                    }
                }
            }
            Op::Keep => kept.push((map.clone(), model.clone())),
            Op::GoBack(index) => (map, model) = kept[usize::from(index) % kept.len()].clone(),
            Op::Checkpoint => {
                let id = store.as_ref().map(|store| store.checkpoint(&map).expect("a checkpoint").id);
                saved.push((id.expect("an open store"), model.clone()));
            }
            Op::Reopen => {
                store = None;
                let opened = store.insert(open());
                if let Some((id, saved)) = saved.last() {
                    (map, model) = (opened.restore(*id).expect("a sound checkpoint"), saved.clone());
                }
            }
        }
        assert_eq!(map.len(), model.len());
    }
    kept.push((map, model));
    for (map, model) in &kept {
        assert_eq!(map.len(), model.len());
        assert!(map.iter().all(|(key, value)| model.get(key) == Some(value)));
    }
    for (id, model) in saved {
        let map: HashMap<u16, String> =
            store.as_ref().expect("an open store").restore(id).expect("a sound checkpoint");
        assert_eq!(map.len(), model.len());
        assert!(map.iter().all(|(key, value)| model.get(key) == Some(value)));
    }
}
