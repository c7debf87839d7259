//! Ordered maps against std's and imbl's, with older versions held, keys that count their drops, orders that lie, and
//! user code that panics.

use std::collections::BTreeMap;
use std::ops::Bound;

use proptest::prelude::*;

use crate::OrdMap;
use crate::ord_map::DiffItem;

#[derive(Clone, Debug)]
enum Op {
    Insert(u16, u32),
    InsertRun(u16, u8, bool),
    Remove(u16),
    RemoveRun(u16, u8),
    Change(u16, u32),
    Entry(u16),
    PopFirst,
    PopLast,
    RemoveIndex(u16),
    Range(u16, u16, u8),
    RangeMut(u16, u16, u32),
    RemoveRange(u16, u16),
    SplitOff(u16, bool),
    SplitAtKey(u16),
    Append(u8),
    Extend(u16, u8),
    Algebra(u8, u8),
    Retain(u16),
    ExtractIf(u16, u16, u16),
    IterMut(u16, u16),
    Hold,
    GoBack(u8),
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (any::<u16>(), any::<u32>()).prop_map(|(key, value)| Op::Insert(key, value)),
        6 => (any::<u16>(), any::<u8>(), any::<bool>()).prop_map(|(a, n, up)| Op::InsertRun(a, n, up)),
        6 => any::<u16>().prop_map(Op::Remove),
        6 => (any::<u16>(), any::<u8>()).prop_map(|(a, n)| Op::RemoveRun(a, n)),
        4 => (any::<u16>(), any::<u32>()).prop_map(|(key, value)| Op::Change(key, value)),
        3 => any::<u16>().prop_map(Op::Entry),
        3 => Just(Op::PopFirst),
        3 => Just(Op::PopLast),
        3 => any::<u16>().prop_map(Op::RemoveIndex),
        3 => (any::<u16>(), any::<u16>(), any::<u8>()).prop_map(|(a, b, how)| Op::Range(a, b, how)),
        2 => (any::<u16>(), any::<u16>(), any::<u32>()).prop_map(|(a, b, v)| Op::RangeMut(a, b, v)),
        2 => (any::<u16>(), any::<u16>()).prop_map(|(a, b)| Op::RemoveRange(a, b)),
        2 => (any::<u16>(), any::<bool>()).prop_map(|(a, keep)| Op::SplitOff(a, keep)),
        1 => any::<u16>().prop_map(Op::SplitAtKey),
        2 => any::<u8>().prop_map(Op::Append),
        2 => (any::<u16>(), any::<u8>()).prop_map(|(a, n)| Op::Extend(a, n)),
        4 => (any::<u8>(), any::<u8>()).prop_map(|(with, how)| Op::Algebra(with, how)),
        1 => (2..9u16).prop_map(Op::Retain),
        1 => (any::<u16>(), any::<u16>(), 1..9u16).prop_map(|(a, b, n)| Op::ExtractIf(a, b, n)),
        1 => (any::<u16>(), any::<u16>()).prop_map(|(a, b)| Op::IterMut(a, b)),
        4 => Just(Op::Hold),
        2 => any::<u8>().prop_map(Op::GoBack),
        1 => Just(Op::Clear),
    ]
}

trait Key: Ord + Clone + std::fmt::Debug + std::hash::Hash + 'static {
    fn new(n: u16) -> Self;
    fn number(&self) -> u16;
}

impl Key for u16 {
    fn new(n: u16) -> Self {
        n
    }
    fn number(&self) -> u16 {
        *self
    }
}

impl Key for String {
    fn new(n: u16) -> Self {
        format!("{n:05}")
    }
    fn number(&self) -> u16 {
        self.parse().unwrap()
    }
}

/// A key of 64 bytes, so that leaves hold eight, and few entries make high trees.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
struct Wide(u16, [u64; 7]);

impl Key for Wide {
    fn new(n: u16) -> Self {
        Self(n, [7; 7])
    }
    fn number(&self) -> u16 {
        self.0
    }
}

type Ours<K> = OrdMap<K, u32>;
type Std<K> = BTreeMap<K, u32>;

fn bounds<K: Key>(a: u16, b: u16, how: u8) -> (Bound<K>, Bound<K>) {
    let (a, b) = (K::new(a.min(b)), K::new(a.max(b)));
    let start = match how % 3 {
        0 => Bound::Included(a.clone()),
        1 if a != b => Bound::Excluded(a.clone()),
        _ => Bound::Unbounded,
    };
    let end = match how / 3 % 3 {
        0 => Bound::Included(b),
        1 => Bound::Excluded(b),
        _ => Bound::Unbounded,
    };
    (start, end)
}

fn apply<K: Key>(op: &Op, ours: &mut Ours<K>, std: &mut Std<K>, held: &mut Vec<(Ours<K>, Std<K>)>) {
    let key = |n: u16| K::new(n);
    match *op {
        Op::Insert(n, value) => assert_eq!(ours.insert(key(n), value), std.insert(key(n), value)),
        Op::InsertRun(a, n, up) => {
            for step in 0..u16::from(n) {
                let n = if up { a.wrapping_add(step) } else { a.wrapping_sub(step) };
                assert_eq!(ours.insert(key(n), 1), std.insert(key(n), 1));
            }
        }
        Op::Remove(n) => {
            let n = ours.get_next(&key(n)).map_or(n, |(key, _)| key.number());
            assert_eq!(ours.remove(&key(n)), std.remove(&key(n)));
            assert_eq!(ours.remove(&key(n)), None);
        }
        Op::RemoveRun(a, n) => {
            let from = ours.rank(&key(a));
            for _ in 0..n {
                let Some(gone) = ours.get_index(from).map(|(key, _)| key.clone()) else { break };
                assert_eq!(ours.remove(&gone), std.remove(&gone));
            }
        }
        Op::Change(n, value) => {
            let change = |old: &mut u32| std::mem::replace(old, value);
            assert_eq!(ours.get_mut(&key(n)).map(change), std.get_mut(&key(n)).map(change));
        }
        Op::Entry(n) => {
            *ours.entry(key(n)).and_modify(|value| *value ^= 1).or_insert(7) += 1;
            *std.entry(key(n)).and_modify(|value| *value ^= 1).or_insert(7) += 1;
        }
        Op::PopFirst => assert_eq!(ours.pop_first(), std.pop_first()),
        Op::PopLast => assert_eq!(ours.pop_last(), std.pop_last()),
        Op::RemoveIndex(n) => {
            let index = usize::from(n) % (std.len() + 1);
            let gone = std.keys().nth(index).cloned();
            assert_eq!(ours.get_index(index).map(|(key, _)| key), gone.as_ref());
            assert_eq!(ours.remove_index(index), gone.map(|key| std.remove_entry(&key).unwrap()));
        }
        Op::Range(a, b, how) => {
            let range = bounds::<K>(a, b, how);
            assert!(ours.range(range.clone()).eq(std.range(range.clone())));
            assert!(ours.range(range.clone()).rev().eq(std.range(range.clone()).rev()));
            let (mut mine, mut theirs) = (ours.range(range.clone()), std.range(range.clone()));
            assert_eq!(mine.len(), theirs.clone().count());
            for step in 0..mine.len() {
                match step % 3 {
                    0 => assert_eq!(mine.next_back(), theirs.next_back()),
                    1 => assert_eq!(mine.next(), theirs.next()),
                    _ => assert_eq!(mine.nth(step % 40), theirs.nth(step % 40)),
                }
            }
            let at = K::new(a);
            assert_eq!(ours.rank(&at), std.range(..at.clone()).count());
            assert_eq!(ours.get_prev(&at), std.range(..=at.clone()).next_back());
            assert_eq!(ours.get_next(&at), std.range(at.clone()..).next());
            assert_eq!(ours.index_of(&at), std.contains_key(&at).then(|| ours.rank(&at)));
        }
        Op::RangeMut(a, b, value) => {
            let range = bounds::<K>(a, b, value as u8);
            let (mut mine, mut theirs) = (ours.range_mut(range.clone()), std.range_mut(range));
            for step in 0..mine.len() {
                let (mine, theirs) = match step % 3 {
                    0 => (mine.next_back(), theirs.next_back()),
                    _ => (mine.next(), theirs.next()),
                };
                assert_eq!(mine, theirs);
                mine.into_iter().chain(theirs).for_each(|(_, place)| *place = place.wrapping_add(value));
            }
            assert_eq!((mine.next(), theirs.next()), (None, None));
        }
        Op::RemoveRange(a, b) => {
            let range = bounds::<K>(a, b, 3);
            let gone = ours.remove_range(range.clone());
            gone.check();
            let model: Vec<_> = std.range(range).map(|(key, value)| (key.clone(), *value)).collect();
            model.iter().for_each(|(key, _)| drop(std.remove(key)));
            assert!(gone.into_iter().eq(model));
        }
        Op::SplitOff(n, keep) => {
            let (high, model) = (ours.split_off(&key(n)), std.split_off(&key(n)));
            high.check();
            ours.check();
            assert!(high.iter().eq(&model) && ours.iter().eq(&*std));
            if keep {
                (*ours, *std) = (high, model);
            } else {
                held.push((high, model));
            }
        }
        Op::SplitAtKey(n) => {
            let (low, value, high) = ours.split_at_key(&key(n));
            low.check();
            high.check();
            assert_eq!(value, std.get(&key(n)).copied());
            assert!(low.iter().eq(std.range(..key(n))));
            assert!(high.iter().eq(std.range((Bound::Excluded(key(n)), Bound::Unbounded))));
        }
        Op::Append(n) if !held.is_empty() => {
            let (mut other, mut model) = held[usize::from(n) % held.len()].clone();
            ours.append(&mut other);
            std.append(&mut model);
            assert!(other.is_empty());
        }
        Op::Extend(a, n) => {
            let more = (0..u16::from(n)).map(|step| (key(a.wrapping_add(step * 3)), u32::from(step)));
            ours.extend(more.clone());
            std.extend(more);
        }
        Op::Algebra(with, how) if !held.is_empty() => {
            let (other, model) = &held[usize::from(with) % held.len()];
            let (union, intersection) = (ours.union(other), ours.intersection(other));
            let (difference, symmetric) = (ours.difference(other), ours.symmetric_difference(other));
            let merged = ours.merge_with(other, |_, mine, theirs| mine.wrapping_sub(*theirs));
            for result in [&union, &intersection, &difference, &symmetric, &merged] {
                result.check();
            }
            let mut all = model.clone();
            all.extend(std.clone());
            assert!(union.iter().eq(&all));
            assert!(intersection.iter().eq(std.iter().filter(|(key, _)| model.contains_key(*key))));
            assert!(difference.iter().eq(std.iter().filter(|(key, _)| !model.contains_key(*key))));
            assert!(
                symmetric
                    .iter()
                    .eq(all.iter().filter(|(key, _)| std.contains_key(*key) != model.contains_key(*key)))
            );
            for (key, value) in &mut all {
                if let (Some(mine), Some(theirs)) = (std.get(key), model.get(key))
                    && mine != theirs
                {
                    *value = mine.wrapping_sub(*theirs);
                }
            }
            assert!(merged.iter().eq(&all));
            *ours = match how % 8 {
                0 => union,
                1 => intersection,
                2 => difference,
                3 => symmetric,
                4 => merged,
                _ => return,
            };
            *std = ours.clone().into();
        }
        Op::Retain(n) => {
            ours.retain(|key, _| key.number() % n != 0);
            std.retain(|key, _| key.number() % n != 0);
        }
        Op::ExtractIf(a, b, n) => {
            let range = bounds::<K>(a, b, 0);
            let gone: Vec<_> =
                ours.extract_if(range.clone(), |key, _| key.number() % n == 0).take(50).collect();
            let model: Vec<_> = std
                .range(range)
                .filter(|(key, _)| key.number() % n == 0)
                .take(50)
                .map(|(key, value)| (key.clone(), *value))
                .collect();
            model.iter().for_each(|(key, _)| drop(std.remove(key)));
            assert_eq!(gone, model);
        }
        Op::IterMut(a, b) => {
            let (mut mine, mut theirs) = (ours.iter_mut(), std.iter_mut());
            let (a, b) = (usize::from(a) % (mine.len() + 1), usize::from(b) % (mine.len() + 1));
            for step in 0..a + b {
                let (mine, theirs) = match step < a {
                    true => (mine.next(), theirs.next()),
                    false => (mine.next_back(), theirs.next_back()),
                };
                assert_eq!(mine, theirs);
                mine.into_iter().chain(theirs).for_each(|(_, place)| *place ^= step as u32);
            }
            assert_eq!(mine.len(), theirs.len());
        }
        Op::Hold => held.push((ours.clone(), std.clone())),
        Op::GoBack(n) if !held.is_empty() => {
            let (version, model) = held[usize::from(n) % held.len()].clone();
            assert_eq!(version == *ours, model == *std);
            assert_eq!(version.cmp(ours), model.cmp(std));
            assert_eq!(version.partial_cmp(ours), model.partial_cmp(std));
            check_diff(&version, ours);
            (*ours, *std) = (version, model);
        }
        Op::Clear => {
            ours.clear();
            std.clear();
        }
        _ => {}
    }
}

/// Applies the differences to the old map; the new one must come out.
fn check_diff<K: Key>(old: &Ours<K>, new: &Ours<K>) {
    let mut patched: Std<K> = old.clone().into();
    let mut last: Option<K> = None;
    for change in old.diff(new) {
        let key = match change {
            DiffItem::Added(key, value) => {
                assert_eq!(patched.insert(key.clone(), *value), None);
                key
            }
            DiffItem::Removed(key, value) => {
                assert_eq!(patched.remove(key), Some(*value));
                key
            }
            DiffItem::Changed { key, old, new } => {
                assert_ne!(old, new);
                assert_eq!(patched.insert(key.clone(), *new), Some(*old));
                key
            }
        };
        assert!(last.as_ref().is_none_or(|last| last < key), "differences are in order");
        last = Some(key.clone());
    }
    assert!(new.iter().eq(&patched));
}

fn run<K: Key>(preload: u16, ops: &[Op]) {
    let (mut ours, mut std, mut held) = (OrdMap::new(), BTreeMap::new(), Vec::new());
    ours.extend((0..preload).map(|n| (K::new(n.wrapping_mul(7)), 0)));
    std.extend((0..preload).map(|n| (K::new(n.wrapping_mul(7)), 0)));
    for op in ops {
        apply::<K>(op, &mut ours, &mut std, &mut held);
        ours.check();
        assert_eq!(ours.len(), std.len(), "{op:?}");
        assert!(ours.iter().eq(&std), "{op:?}");
    }
    assert!(ours.iter().rev().eq(std.iter().rev()));
    assert!(std.iter().all(|(key, value)| ours.get(key) == Some(value)));
    for (version, model) in held {
        version.check();
        assert!(version.iter().eq(&model), "a held version changed");
        assert_eq!(BTreeMap::from(version), model);
    }
    assert!(ours.into_iter().rev().eq(std.into_iter().rev()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn edits_agree_with_std(preload in 0..2000u16, ops in prop::collection::vec(op(), 200)) {
        run::<u16>(preload, &ops);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn edits_of_wide_keys_agree_with_std(preload in 0..2000u16, ops in prop::collection::vec(op(), 200)) {
        run::<Wide>(preload, &ops);
    }

    #[test]
    fn edits_of_strings_agree_with_std(preload in 0..500u16, ops in prop::collection::vec(op(), 100)) {
        run::<String>(preload, &ops);
    }
}
