//! Any sequence of operations on an ordered map and its versions, against std, with checkpoints and reopenings between.

use std::collections::BTreeMap as Model;
use std::sync::Arc;

use arbitrary::Arbitrary;
use perennial::OrdMap;
use perennial::storage::MemoryStorage;
use perennial::store::{Options, Store};

/// One of them.
#[derive(Arbitrary, Debug)]
pub enum Op {
    Insert(u16, String),
    Remove(u16),
    Change(u16),
    Entry(u16),
    Retain(u8),
    RemoveRange(u16, u16),
    SplitOff(u16),
    Append(u8),
    Union(u8),
    Merge(u8, u8),
    ExtractIf(u16, u8),
    RangeMut(u16, u16),
    Pop(bool),
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
    let (mut map, mut model) = (OrdMap::<u16, String>::new(), Model::new());
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
            Op::RemoveRange(a, b) => {
                let range = a.min(b)..=a.max(b);
                assert_eq!(map.range(range.clone()).len(), model.range(range.clone()).count());
                map.remove_range(range.clone());
                model.retain(|key, _| !range.contains(key));
            }
            Op::SplitOff(key) => kept.push((map.split_off(&key), model.split_off(&key))),
            Op::Append(index) => {
                let (mut other, mut more) = kept[usize::from(index) % kept.len()].clone();
                map.append(&mut other);
                model.append(&mut more);
            }
            Op::Union(index) => {
                let (other, more) = &kept[usize::from(index) % kept.len()];
                map = map.union(other);
                more.iter().for_each(|(key, value)| _ = model.entry(*key).or_insert_with(|| value.clone()));
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
            Op::ExtractIf(from, bits) => {
                let gone: Vec<_> =
                    map.extract_if(from.., |key, _| key & u16::from(bits) == 0).take(100).collect();
                for (key, value) in gone {
                    assert_eq!(model.remove(&key), Some(value));
                }
            }
            Op::RangeMut(a, b) => {
                let range = a.min(b)..=a.max(b);
                map.range_mut(range.clone()).rev().for_each(|(_, value)| value.push('z'));
                model.range_mut(range).for_each(|(_, value)| value.push('z'));
            }
            Op::Pop(true) => assert_eq!(map.pop_first(), model.pop_first()),
            Op::Pop(false) => assert_eq!(map.pop_last(), model.pop_last()),
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
        assert!(map.iter().eq(model));
    }
    for (id, model) in saved {
        let map: OrdMap<u16, String> =
            store.as_ref().expect("an open store").restore(id).expect("a sound checkpoint");
        assert!(map.iter().eq(&model));
    }
}
