//! Any sequence of operations on a map and its versions, against std, with checkpoints and reopenings between.

use std::collections::BTreeMap as Model;

use arbitrary::Arbitrary;
use perennial::{HashMap, SeededState};

use super::versions::{Versions, merge};

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
    let (mut map, mut model) = (HashMap::<u16, String>::with_hasher(SeededState::new(1)), Model::new());
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
            Op::ExtractIf(bits, most) => {
                let gone = map.extract_if(|key, _| key & u16::from(bits) == 0).take(most.into());
                gone.for_each(|(key, value)| assert_eq!(model.remove(&key), Some(value)));
            }
            Op::Algebra(index, how) => {
                let (other, more) = versions.kept(index);
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
                let [base, theirs] = [base, theirs].map(|index| versions.kept(index));
                map = map.three_way_merge(&base.0, &theirs.0, |_, _, mine, _| mine.cloned());
                merge(&mut model, &base.1, &theirs.1);
            }
            Op::Keep => versions.keep(&map, &model),
            Op::GoBack(index) => (map, model) = versions.kept(index).clone(),
            Op::Checkpoint => versions.checkpoint(&map, &model),
            Op::Reopen => (map, model) = versions.reopen().unwrap_or((map, model)),
        }
        assert_eq!(map.len(), model.len());
    }
    versions.finish(&map, &model, |map, model| map.iter().collect::<Model<_, _>>().into_iter().eq(model));
}
