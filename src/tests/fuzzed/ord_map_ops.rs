//! Any sequence of operations on an ordered map and its versions, against std, with checkpoints and reopenings between.

use std::collections::BTreeMap as Model;

use arbitrary::Arbitrary;
use perennial::OrdMap;

use super::versions::{Versions, merge};

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
    let (mut map, mut model) = (OrdMap::<u16, String>::new(), Model::new());
    let mut versions = Versions::new(&map, &model);
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
            Op::SplitOff(key) => versions.keep(&map.split_off(&key), &model.split_off(&key)),
            Op::Append(index) => {
                let (mut other, mut more) = versions.kept(index).clone();
                map.append(&mut other);
                model.append(&mut more);
            }
            Op::Union(index) => {
                let (other, more) = versions.kept(index);
                map = map.union(other);
                more.iter().for_each(|(key, value)| _ = model.entry(*key).or_insert_with(|| value.clone()));
            }
            Op::Merge(base, theirs) => {
                let [base, theirs] = [base, theirs].map(|index| versions.kept(index));
                map = map.three_way_merge(&base.0, &theirs.0, |_, _, mine, _| mine.cloned());
                merge(&mut model, &base.1, &theirs.1);
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
            Op::Keep => versions.keep(&map, &model),
            Op::GoBack(index) => (map, model) = versions.kept(index).clone(),
            Op::Checkpoint => versions.checkpoint(&map, &model),
            Op::Reopen => (map, model) = versions.reopen().unwrap_or((map, model)),
        }
        assert_eq!(map.len(), model.len());
    }
    versions.finish(&map, &model, |map, model| map.iter().eq(model));
}
