//! Ordered maps against std's, with older versions held, keys that count their drops, orders that lie, and
//! user code that panics.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use proptest::prelude::*;

use crate::node::{Child, NodeRef};
use crate::ord_map::{DiffItem, Entry, Iter};
#[cfg(feature = "store")]
use crate::storage::MemoryStorage;
#[cfg(feature = "store")]
use crate::store::{Options, Store};
use crate::{OrdMap, OrdSet};

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
            model.iter().for_each(|(key, _)| assert!(std.remove(key).is_some()));
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
            model.iter().for_each(|(key, _)| assert!(std.remove(key).is_some()));
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
            DiffItem::Added { key, new: value } => {
                assert_eq!(patched.insert(key.clone(), *value), None);
                key
            }
            DiffItem::Removed { key, old: value } => {
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
    #![proptest_config(ProptestConfig { cases: super::CASES, max_shrink_iters: 2000, ..ProptestConfig::default() })]

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
}

#[cfg(feature = "store")]
proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A delta names what changed since its base, and nothing that it does not name may differ.
    #[test]
    fn every_checkpoint_restores_as_it_was(preload in 0..600u16, ops in prop::collection::vec(op(), 60), reopen in any::<bool>()) {
        let storage = Arc::new(MemoryStorage::new());
        let mut store = open(&storage);
        let (mut ours, mut std, mut held) = (OrdMap::<u16, u32>::new(), BTreeMap::new(), Vec::new());
        ours.extend((0..preload).map(|n| (n * 7, 0)));
        std.extend((0..preload).map(|n| (n * 7, 0)));
        let mut saved = Vec::new();
        for (step, op) in ops.iter().enumerate() {
            apply(op, &mut ours, &mut std, &mut held);
            if step % 4 == 0 {
                let id = store.checkpoint(&ours).unwrap().id;
                saved.push((id, std.clone()));
                if reopen && step % 12 == 0 {
                    drop(store);
                    store = open(&storage);
                    ours = store.restore(id).unwrap();
                }
            }
        }
        for (id, model) in saved {
            let restored: OrdMap<u16, u32> = store.restore(id).unwrap();
            assert_eq!(restored.len(), model.len());
            assert!(model.iter().all(|(key, value)| restored.try_get(key).unwrap() == Some(value)));
            restored.check();
            assert!(restored.iter().eq(&model));
        }
    }
}

#[cfg(feature = "store")]
fn open(storage: &Arc<MemoryStorage>) -> Store {
    Options::new().open_storage(storage.clone()).unwrap()
}

fn numbers(count: u64) -> OrdMap<u64, u64> {
    (0..count).map(|n| (n, n)).collect()
}

#[test]
fn a_no_op_copies_nothing() {
    let mut map = numbers(10_000);
    let snapshot = map.clone();
    assert_eq!(map.remove(&1_000_000), None);
    assert_eq!(map.get_mut(&1_000_000), None);
    assert!(matches!(map.entry(1_000_000), Entry::Vacant(_)));
    assert!(matches!(map.entry(1), Entry::Occupied(_)));
    assert_eq!(map.remove_range(20_000..).len(), 0);
    map.retain(|_, _| true);
    assert_eq!(map.extract_if(.., |_, _| false).count(), 0);
    assert_eq!(map.range_mut(20_000..).len(), 0);
    assert!(map.ptr_eq(&snapshot));
    assert!(map.union(&snapshot).ptr_eq(&snapshot), "what is shared is taken whole");
}

#[test]
fn bytes_are_not_wasted() {
    fn bytes<K, V>(node: crate::ord_map::node::LinkRef<'_, K, V>) -> usize {
        match node {
            NodeRef::Leaf(leaf) => leaf.allocated_bytes(false),
            NodeRef::Branch(branch) => {
                let below: usize = (0..branch.count()).map(|slot| bytes(branch.child(slot).unwrap())).sum();
                below + size_of_val(branch)
            }
        }
    }
    if cfg!(small_nodes) {
        return;
    }
    let count = 20_000u64;
    let scattered: Vec<u64> = (0..count).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let mut one_by_one = OrdMap::new();
    scattered.iter().for_each(|&key| _ = one_by_one.insert(key, key));
    let mut ascending = OrdMap::new();
    (0..count).for_each(|key| _ = ascending.insert(key, key));
    let mut descending = OrdMap::new();
    (0..count).rev().for_each(|key| _ = descending.insert(key, key));
    let at_once: OrdMap<u64, u64> = scattered.iter().map(|&key| (key, key)).collect();
    for (map, most) in [(one_by_one, 23), (ascending, 19), (descending, 23), (at_once, 19)] {
        let each = bytes(map.tree.node().unwrap()) / count as usize;
        assert!(each <= most, "{each} bytes an entry");
    }
    let small = OrdMap::from([(1u64, 1u64)]);
    assert!(bytes(small.tree.node().unwrap()) <= 96);
}

#[test]
fn set_operations_agree_with_std() {
    let (a, b): (OrdSet<u32>, OrdSet<u32>) =
        ((0..1000).filter(|n| n % 3 == 0).collect(), (500..1500).filter(|n| n % 2 == 0).collect());
    let (x, y): (BTreeSet<u32>, BTreeSet<u32>) = (a.clone().into(), b.clone().into());
    assert!((&a | &b).iter().eq(&(&x | &y)));
    assert!((&a & &b).iter().eq(&(&x & &y)));
    assert!((&a ^ &b).iter().eq(&(&x ^ &y)));
    assert!((&a - &b).iter().eq(&(&x - &y)));
    assert!((&a & &b).is_subset(&a) && (&a | &b).is_superset(&b) && !a.is_subset(&b));
    assert!((&a - &b).is_disjoint(&b) && !a.is_disjoint(&b) && !a.is_disjoint(&a));
    let mut set = a.clone();
    assert!(set.insert(1) && !set.insert(1) && set.remove(&1) && !set.remove(&1));
    assert_eq!(set, a);
    assert_eq!(
        (set.take(&3), set.contains(&3), set.replace(6), set.replace(7)),
        (Some(3), false, Some(6), None)
    );
    assert_eq!((set.pop_first(), set.pop_last(), set.remove_index(1)), (Some(0), Some(999), Some(7)));
    assert_eq!(
        (a.first(), a.last(), a.get_prev(&4), a.get_next(&4)),
        (Some(&0), Some(&999), Some(&3), Some(&6))
    );
    assert_eq!((a.rank(&5), a.index_of(&6), a.get_index(2)), (2, Some(2), Some(&6)));
    let (low, found, high) = a.split_at_item(&30);
    assert_eq!((low.len(), found, high.len()), (10, true, 323));
    assert_eq!(format!("{low:?}"), format!("{:?}", low.iter().collect::<BTreeSet<_>>()));
    assert!(low < a && a.try_contains(&30).unwrap() && a.try_iter().unwrap().count() == 334);
    low.map.check();
}

#[test]
fn items_without_size_work() {
    let mut map = OrdMap::new();
    assert_eq!((map.insert((), ()), map.insert((), ()), map.len()), (None, Some(()), 1));
    assert_eq!((map.pop_first(), map.pop_first()), (Some(((), ())), None));
    let set: OrdSet<()> = [(), ()].into();
    assert_eq!(set.len(), 1);

    /// Without size, and always above itself.
    #[derive(Clone, PartialEq, Eq)]
    struct Above;
    impl PartialOrd for Above {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }
    impl Ord for Above {
        fn cmp(&self, _: &Self) -> Ordering {
            Ordering::Greater
        }
    }
    let mut map = OrdMap::new();
    for n in 0..1000 {
        map.insert(Above, ());
        assert_eq!(map.len(), n + 1);
    }
    map.check_structure();
    assert_eq!(map.into_iter().count(), 1000);
}

#[test]
fn an_order_that_lies_does_no_worse_than_miss_keys() {
    thread_local!(static LIES: Cell<u64> = const { Cell::new(1) });
    #[derive(Clone, Debug)]
    struct Liar(Rc<u32>);
    impl PartialEq for Liar {
        fn eq(&self, other: &Self) -> bool {
            self.cmp(other).is_eq()
        }
    }
    impl Eq for Liar {}
    impl PartialOrd for Liar {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }
    impl Ord for Liar {
        fn cmp(&self, _: &Self) -> Ordering {
            LIES.set(LIES.get().wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407));
            [Ordering::Less, Ordering::Less, Ordering::Equal, Ordering::Greater]
                [(LIES.get() >> 33) as usize % 4]
        }
    }
    let liar = |n: u32| Liar(Rc::new(n));
    for round in 0..40u32 {
        LIES.set(u64::from(round));
        // (Sorting, to build at once, may notice and panic.)
        let mut map = OrdMap::new();
        (0..300).for_each(|n| _ = map.insert(liar(n), n));
        let mut held = vec![map.clone()];
        for n in 0..400 {
            match n % 10 {
                0..4 => drop(map.insert(liar(n), n)),
                4 => drop(map.remove(&liar(n))),
                5 => *map.entry(liar(n)).or_insert(0) += 1,
                6 if n % 3 == 0 => {
                    let mut high = map.split_off(&liar(n));
                    high.check_structure();
                    map.append(&mut high);
                }
                6 => drop(catch_unwind(AssertUnwindSafe(|| map.remove_range(liar(n)..liar(n + 1))))),
                7 if n % 4 == 0 => map = map.union(&held[n as usize % held.len()]),
                7 => map.retain(|_, n| n % 7 != 0),
                8 => held.push(map.clone()),
                _ => {
                    let old = &held[n as usize % held.len()];
                    assert!(old.diff(&map).count() <= old.len() + map.len());
                    let _ = (old == &map, old.cmp(&map), map.get_prev(&liar(n)), map.get_next(&liar(n)));
                    let range = AssertUnwindSafe(|| map.range(liar(n)..liar(n + 1)).count());
                    let _ = catch_unwind(range);
                }
            }
            map.check_structure();
        }
        held.iter().for_each(OrdMap::check_structure);
        assert!(map.keys().all(|key| *key.0 < 500));
    }
}

#[test]
fn deep_trees_are_dropped() {
    type Nested = OrdMap<u32, Rest>;
    #[derive(Clone, Default)]
    struct Rest(#[expect(dead_code, reason = "only held")] Option<Box<Nested>>);
    let mut map = Nested::new();
    for _ in 0..1000 {
        let inner = Rest(Some(Box::new(map)));
        map = (0..40).map(|n| (n, Rest::default())).collect();
        map.insert(20, inner);
    }
    drop(map.clone());
    drop(map);
}

#[test]
fn auto_traits_and_variance_are_those_of_std() {
    fn send_and_sync<T: Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe + Unpin>() {}
    send_and_sync::<OrdMap<String, u32>>();
    send_and_sync::<OrdSet<String>>();
    fn shorter<'a>(map: OrdMap<&'static str, &'static str>) -> OrdMap<&'a str, &'a str> {
        map
    }
    fn shorter_iter<'a, 'b>(iter: Iter<'a, &'static str, &'static str>) -> Iter<'a, &'b str, &'b str> {
        iter
    }
    let map = shorter(OrdMap::from([("a", "b")]));
    assert_eq!(shorter_iter(OrdMap::from([("a", "b")]).iter()).count(), map.len());
}

#[test]
fn other_formats_see_a_map_and_a_sequence() {
    let map = numbers(100);
    let text = serde_json::to_string(&map).unwrap();
    assert_eq!(text, serde_json::to_string(&BTreeMap::from(map.clone())).unwrap());
    assert_eq!(serde_json::from_str::<OrdMap<u64, u64>>(&text).unwrap(), map);
    let set: OrdSet<u32> = (0..100).collect();
    let text = serde_json::to_string(&set).unwrap();
    assert_eq!(text, serde_json::to_string(&BTreeSet::from(set.clone())).unwrap());
    assert_eq!(serde_json::from_str::<OrdSet<u32>>(&text).unwrap(), set);
}

#[cfg(feature = "store")]
mod persistence {
    use super::*;

    /// Nodes from the root of 100,000 entries to a leaf.
    const PATH: u64 = if cfg!(small_nodes) { 17 } else { 5 };

    #[test]
    fn a_checkpoint_writes_a_path_and_a_reopened_map_reads_one() {
        let storage = Arc::new(MemoryStorage::new());
        let store = open(&storage);
        let mut map = numbers(100_000);
        let first = store.checkpoint(&map).unwrap();
        assert!(first.nodes > 3000);
        assert_eq!(store.checkpoint(&map).unwrap().nodes, 0);
        *map.get_mut(&77).unwrap() = 0;
        let second = store.checkpoint(&map).unwrap();
        assert!(second.nodes <= PATH, "{} nodes", second.nodes);
        assert!(second.bytes < 600, "{} bytes for one value", second.bytes);
        map.insert(100_000, 1);
        assert_eq!(map.remove(&1_000_000), None);
        let third = store.checkpoint(&map).unwrap();
        assert!(third.nodes <= PATH && third.bytes < 700, "{} bytes for one entry", third.bytes);
        drop(store);

        let store = open(&storage);
        let mut newest: OrdMap<u64, u64> = store.restore(third.id).unwrap();
        let older: OrdMap<u64, u64> = store.restore(first.id).unwrap();
        assert!(newest.ptr_eq(&store.restore(third.id).unwrap()), "same address of the same opening");
        assert_eq!(newest.get(&50_000), Some(&50_000));
        assert!(resident(&newest) <= PATH as usize, "{} nodes loaded by one look-up", resident(&newest));
        assert_eq!(newest.try_get(&77).unwrap(), Some(&0));
        assert_eq!(
            older.diff(&newest).collect::<Vec<_>>(),
            [DiffItem::Changed { key: &77, old: &77, new: &0 }, DiffItem::Added { key: &100_000, new: &1 },]
        );
        assert!(resident(&newest) < 100, "{} nodes loaded by a diff", resident(&newest));
        // A restored map knows its records.
        assert_eq!(store.checkpoint(&newest).unwrap().nodes, 0);
        newest.remove(&3);
        assert!(store.checkpoint(&newest).unwrap().nodes <= PATH);
        newest.load_all().unwrap();
        newest.check();
        assert_eq!(newest, {
            map.remove(&3);
            map
        });
        assert!(newest.try_iter().unwrap().map(Result::unwrap).eq(&newest));
    }

    /// Counts the nodes in memory.
    fn resident(map: &OrdMap<u64, u64>) -> usize {
        fn count(node: crate::ord_map::node::LinkRef<'_, u64, u64>) -> usize {
            let NodeRef::Branch(branch) = node else { return 1 };
            let children = (0..branch.count()).filter_map(|slot| match branch.peek(slot) {
                Some(Child::Resident(child)) => Some(count(child)),
                _ => None,
            });
            1 + children.sum::<usize>()
        }
        map.tree.node().map_or(0, count)
    }

    #[test]
    fn restored_maps_split_and_join_without_loading() {
        let storage = Arc::new(MemoryStorage::new());
        let id = open(&storage).checkpoint(&numbers(100_000)).unwrap().id;
        let store = open(&storage);
        let mut map: OrdMap<u64, u64> = store.restore(id).unwrap();
        let gone = map.remove_range(10_000..90_000);
        assert_eq!((gone.len(), map.len()), (80_000, 20_000));
        assert!(resident(&map) + resident(&gone) < 30 * PATH as usize);
        // Parts of another opening come along.
        let other = Arc::new(MemoryStorage::new());
        let other_id = open(&other).checkpoint(&numbers(100_000)).unwrap().id;
        let elsewhere: OrdMap<u64, u64> = open(&other).restore(other_id).unwrap();
        let mut high = { elsewhere }.split_off(&95_000);
        let mut joined: OrdMap<u64, u64> = map.clone();
        joined.remove_range(94_000..);
        joined.append(&mut high);
        joined.check();
        assert_eq!(joined.len(), 10_000 + 4_000 + 5_000);
        let id = store.checkpoint(&joined).unwrap().id;
        let again: OrdMap<u64, u64> = store.restore(id).unwrap();
        assert_eq!(again, joined);
        again.check();
    }

    #[test]
    fn maps_and_sets_in_maps_come_back() {
        type Nested = OrdMap<String, OrdMap<u32, Option<OrdSet<u8>>>>;
        let storage = Arc::new(MemoryStorage::new());
        let store = open(&storage);
        let mut map: Nested = (0..50u32)
            .map(|outer| {
                let inner = (0..outer).map(|n| (n, (n % 3 == 0).then(|| OrdSet::from([1, 2, n as u8]))));
                (format!("{outer:02}"), inner.collect())
            })
            .collect();
        let first = store.checkpoint(&map).unwrap();
        map.get_mut("40").unwrap().get_mut(&33).unwrap().as_mut().unwrap().insert(9);
        let second = store.checkpoint(&map).unwrap();
        assert!(second.nodes < 20, "{} records for one inner change", second.nodes);
        drop(store);
        let store = open(&storage);
        let restored: Nested = store.restore(second.id).unwrap();
        assert_eq!(restored, map);
        assert!(restored["40"][&33].as_ref().unwrap().contains(&9));
        assert!(!store.restore::<Nested>(first.id).unwrap()["40"][&33].as_ref().unwrap().contains(&9));
    }

    #[test]
    fn keys_may_hold_collections_themselves() {
        let storage = Arc::new(MemoryStorage::new());
        let map: OrdMap<OrdSet<u32>, u32> = (0..500).map(|n| (OrdSet::from([n, n + 1]), n)).collect();
        let id = open(&storage).checkpoint(&map).unwrap().id;
        let restored: OrdMap<OrdSet<u32>, u32> = open(&storage).restore(id).unwrap();
        assert_eq!(restored.get(&OrdSet::from([300, 301])), Some(&300));
        restored.check();
        assert_eq!(restored, map);
    }

    #[test]
    fn a_changed_order_is_found() {
        thread_local!(static TURNED: Cell<bool> = const { Cell::new(false) });
        #[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        struct Key(u32);
        impl PartialOrd for Key {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for Key {
            fn cmp(&self, other: &Self) -> Ordering {
                if TURNED.get() { other.0.cmp(&self.0) } else { self.0.cmp(&other.0) }
            }
        }
        let storage = Arc::new(MemoryStorage::new());
        let map: OrdMap<Key, u32> = (0..1000).map(|n| (Key(n), n)).collect();
        let id = open(&storage).checkpoint(&map).unwrap().id;
        TURNED.set(true);
        let restored: OrdMap<Key, u32> = open(&storage).restore(id).unwrap();
        let error = restored.try_get(&Key(7)).unwrap_err();
        assert!(matches!(error, crate::Error::OrderChanged { .. }), "{error}");
    }
}

mod panics {
    use super::*;

    thread_local! {
        /// Calls of user code until one panics.
        static FUSE: Cell<usize> = const { Cell::new(usize::MAX) };
        static LIVE: Cell<isize> = const { Cell::new(0) };
    }

    fn burn() {
        let left = FUSE.get();
        FUSE.set(left.saturating_sub(if left == usize::MAX { 0 } else { 1 }));
        assert!(left != 0, "the fuse blew");
    }

    /// Counts its instances; comparing and cloning may panic.
    struct Touchy(u32);

    impl Touchy {
        fn new(number: u32) -> Self {
            LIVE.set(LIVE.get() + 1);
            Self(number)
        }
    }

    impl Drop for Touchy {
        fn drop(&mut self) {
            LIVE.set(LIVE.get() - 1);
        }
    }

    impl Clone for Touchy {
        fn clone(&self) -> Self {
            burn();
            Self::new(self.0)
        }
    }

    impl PartialEq for Touchy {
        fn eq(&self, other: &Self) -> bool {
            self.cmp(other).is_eq()
        }
    }

    impl Eq for Touchy {}

    impl PartialOrd for Touchy {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl Ord for Touchy {
        fn cmp(&self, other: &Self) -> Ordering {
            burn();
            self.0.cmp(&other.0)
        }
    }

    fn touchy(numbers: impl Iterator<Item = u32>) -> OrdMap<Touchy, Touchy> {
        numbers.map(|n| (Touchy::new(n), Touchy::new(n))).collect()
    }

    fn set_of(map: &OrdMap<Touchy, Touchy>) -> BTreeSet<u32> {
        map.keys().map(|key| key.0).collect()
    }

    #[test]
    fn user_code_may_panic_at_every_call() {
        let mut blown = 0;
        for fuse in (0..60).chain((60..400).step_by(7)) {
            for shared in [false, true] {
                let mut map = touchy((0..150).map(|n| n * 2));
                let before = shared.then(|| map.clone());
                for step in 0..16u32 {
                    let number = step * 47 % 310;
                    let (key, end) = (Touchy::new(number), Touchy::new(number + 40));
                    let keys = set_of(&map);
                    let mut other = touchy((number..number + 60).step_by(3));
                    FUSE.set(fuse);
                    let done = catch_unwind(AssertUnwindSafe(|| match step % 8 {
                        0 => drop(map.remove(&key)),
                        1 => drop(map.insert(Touchy::new(number), Touchy::new(number))),
                        2 => {
                            *map.entry(Touchy::new(number)).or_insert_with(|| Touchy::new(number)) =
                                Touchy::new(number)
                        }
                        3 => drop(map.remove_range(&key..&end)),
                        4 => {
                            let mut high = map.split_off(&key);
                            map.append(&mut high);
                        }
                        5 => map.append(&mut other),
                        6 => drop(map.pop_last()),
                        _ => drop(map.pop_first()),
                    }));
                    FUSE.set(usize::MAX);
                    blown += usize::from(done.is_err());
                    map.check();
                    let mut after = keys.clone();
                    match step % 8 {
                        0 => drop(after.remove(&number)),
                        1 | 2 => drop(after.insert(number)),
                        3 => after.retain(|n| !(number..number + 40).contains(n)),
                        5 => after.extend((number..number + 60).step_by(3)),
                        6 => drop(after.pop_last()),
                        7 => drop(after.pop_first()),
                        _ => {}
                    }
                    let found = set_of(&map);
                    // Half of a split may be all that is left, if joining the halves panicked.
                    let split = step % 8 == 4 && found.iter().all(|n| keys.contains(n));
                    // What an append had not come to is where it was, but for one entry that was on its way.
                    other.check();
                    let both: BTreeSet<u32> = found.union(&set_of(&other)).copied().collect();
                    let appended = step % 8 == 5 && both.len() + 1 >= after.len() && both.is_subset(&after);
                    assert!(
                        found == after || done.is_err() && (found == keys || split || appended),
                        "step {step}, fuse {fuse}"
                    );
                }
                if let Some(before) = before {
                    before.check();
                    assert_eq!(before.len(), 150);
                }
            }
        }
        assert!(blown > 100, "hardly any call panicked: {blown}");
        assert_eq!(LIVE.get(), 0, "entries leaked or were dropped twice");
    }

    #[test]
    fn entries_whose_drop_panics_are_still_dropped_once() {
        struct Bomb(u32, Rc<Cell<u32>>);
        impl Drop for Bomb {
            fn drop(&mut self) {
                self.1.set(self.1.get() + 1);
                assert!(self.0 != 30 || std::thread::panicking(), "the bomb went off");
            }
        }
        let dropped = Rc::new(Cell::new(0));
        let map: OrdMap<u32, Bomb> = (0..1000).map(|n| (n, Bomb(n, Rc::clone(&dropped)))).collect();
        assert!(catch_unwind(AssertUnwindSafe(|| drop(map))).is_err());
        assert_eq!(dropped.get(), 1000);
    }
}
