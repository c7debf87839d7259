//! Collections that nobody shares are changed in place: no method clones an item, or calls the `Clone` of one that
//! panics. Where a method is asked for clones (`fill`, `resize`, `extend_from_within`, …) it makes as many as std does.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::{HashMap, HashSet, OrdMap, OrdSet, Vector};

thread_local! {
    static CLONES: Cell<usize> = const { Cell::new(0) };
    /// Clones of keys that may become separators.
    static KEY_CLONES: Cell<usize> = const { Cell::new(0) };
    /// Clones until one panics.
    static ALLOWED: Cell<usize> = const { Cell::new(usize::MAX) };
    /// The number of the item that panics when it is dropped: original and clone alike.
    static PANICS: Cell<u32> = const { Cell::new(u32::MAX) };
}

/// An item whose clones are counted; `WORDS` of padding make leaves of few items.
struct Item<const WORDS: usize>(u32, [u64; WORDS]);

impl<const WORDS: usize> Item<WORDS> {
    fn new(number: u32) -> Self {
        Self(number, [0; WORDS])
    }
}

impl<const WORDS: usize> Clone for Item<WORDS> {
    fn clone(&self) -> Self {
        CLONES.set(CLONES.get() + 1);
        match ALLOWED.get() {
            0 => resume_unwind(Box::new("a clone that nobody asked for")),
            usize::MAX => {}
            left => ALLOWED.set(left - 1),
        }
        Self::new(self.0)
    }
}

impl<const WORDS: usize> Drop for Item<WORDS> {
    fn drop(&mut self) {
        if self.0 == PANICS.get() {
            resume_unwind(Box::new("a drop that panics"));
        }
    }
}

impl<const WORDS: usize> PartialEq for Item<WORDS> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<const WORDS: usize> PartialOrd for Item<WORDS> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<const WORDS: usize> Eq for Item<WORDS> {}

impl<const WORDS: usize> Ord for Item<WORDS> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl<const WORDS: usize> Hash for Item<WORDS> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// A key: its clones are counted apart, since an ordered map keeps one for every leaf as a separator.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key(u32, String);

impl Key {
    fn new(number: u32) -> Self {
        Self(number, String::new())
    }
}

impl Clone for Key {
    fn clone(&self) -> Self {
        KEY_CLONES.set(KEY_CLONES.get() + 1);
        Self::new(self.0)
    }
}

/// Lengths of which every shape comes about: no tree, one leaf and its edges, several levels.
const LENGTHS: [u32; 9] = [0, 1, 2, 7, 9, 40, 65, 200, 1500];

/// An operation on a vector of `n` items, and the number of clones it asks for.
type VectorOp<const W: usize> = (&'static str, fn(usize) -> usize, fn(&mut Vector<Item<W>>));

fn none(_: usize) -> usize {
    0
}

fn span(n: usize) -> Range<usize> {
    n / 3..n * 2 / 3
}

fn more<const W: usize>(count: u32) -> Vector<Item<W>> {
    (10_000..10_000 + count).map(Item::new).collect()
}

fn vector_ops<const W: usize>() -> Vec<VectorOp<W>> {
    vec![
        ("push_back", none, |v| (0..70).for_each(|n| v.push_back(Item::new(n)))),
        ("push_front", none, |v| (0..70).for_each(|n| v.push_front(Item::new(n)))),
        ("push, pop", none, |v| {
            v.push(Item::new(1));
            drop(v.pop());
        }),
        ("pop_back to the end", none, |v| while v.pop_back().is_some() {}),
        ("pop_front to the end", none, |v| while v.pop_front().is_some() {}),
        ("pop_if", none, |v| drop(v.pop_if(|item| item.0 % 2 == 1))),
        ("get_mut", none, |v| (0..v.len()).for_each(|at| v.get_mut(at).unwrap().0 += 1)),
        ("first_mut and last_mut", none, |v| _ = (v.first_mut().is_some(), v.last_mut().is_some())),
        ("front_mut and back_mut", none, |v| _ = (v.front_mut().is_some(), v.back_mut().is_some())),
        ("index_mut", none, |v| (0..v.len()).step_by(7).for_each(|at| v[at].0 += 1)),
        ("set", none, |v| (0..v.len()).step_by(5).for_each(|at| drop(v.set(at, Item::new(3))))),
        ("swap", none, |v| (0..v.len() / 2).for_each(|at| v.swap(at, at * 2))),
        ("swap_remove", none, |v| {
            while v.len() > 3 {
                drop(v.swap_remove(v.len() / 2))
            }
        }),
        ("insert", none, |v| (0..100).for_each(|n| v.insert(n * 7 % (v.len() + 1), Item::new(n as u32)))),
        ("remove", none, |v| {
            while !v.is_empty() {
                drop(v.remove(v.len() / 3))
            }
        }),
        ("remove from the front", none, |v| {
            while !v.is_empty() {
                drop(v.remove(v.len().min(6) - 1))
            }
        }),
        ("split_off", none, |v| drop(v.split_off(v.len() * 2 / 3))),
        ("split_off the ends", none, |v| {
            drop((v.split_off(v.len()), v.split_off(v.len().min(1)), v.split_off(0)))
        }),
        ("truncate", none, |v| v.truncate(v.len() / 2)),
        ("clear", none, |v| v.clear()),
        ("append few", none, |v| v.append(&mut more(3))),
        ("append many", none, |v| v.append(&mut more(700))),
        ("append to few", none, |v| {
            let mut all = more(3);
            all.append(v);
            *v = all;
        }),
        ("append what was cut off", none, |v| {
            let mut right = v.split_off(v.len() / 2);
            v.append(&mut right);
        }),
        ("append backwards", none, |v| {
            let mut right = v.split_off(v.len() / 3);
            right.append(v);
            *v = right;
        }),
        ("+", none, |v| *v = std::mem::take(v) + more(40)),
        ("extend", none, |v| v.extend((0..200).map(Item::new))),
        ("extend by a slice", |_| 2, |v| v.extend_from_slice(&[Item::new(1), Item::new(2)])),
        (
            "extend_from_within, few",
            |n| span(n).len().min(3),
            |v| {
                let range = span(v.len());
                v.extend_from_within(range.start..range.end.min(range.start + 3));
            },
        ),
        ("extend_from_within", |n| span(n).len(), |v| v.extend_from_within(span(v.len()))),
        ("drain", none, |v| {
            let range = span(v.len());
            assert_eq!(v.drain(range.clone()).count(), range.len());
        }),
        ("drain, dropped half way", none, |v| {
            let range = span(v.len());
            drop(v.drain(range).next());
        }),
        ("drain from both ends", none, |v| {
            let mut drained = v.drain(..);
            while drained.next().and(drained.next_back()).is_some() {}
        }),
        ("drain at the ends", none, |v| {
            drop(v.drain(..v.len().min(4)));
            drop(v.drain(v.len().saturating_sub(4)..));
        }),
        ("remove_range", none, |v| drop(v.remove_range(span(v.len())))),
        ("splice, few", none, |v| drop(v.splice(span(v.len()), (0..5).map(Item::new)))),
        ("splice, many", none, |v| drop(v.splice(span(v.len()), (0..500).map(Item::new)))),
        ("splice nothing out", none, |v| drop(v.splice(v.len() / 2..v.len() / 2, (0..5).map(Item::new)))),
        ("rotate_left", none, |v| (0..5).for_each(|count| v.rotate_left(count.min(v.len())))),
        ("rotate_right", none, |v| (0..50).step_by(9).for_each(|count| v.rotate_right(count.min(v.len())))),
        ("rotate half", none, |v| v.rotate_left(v.len() / 2)),
        ("retain half", none, |v| v.retain(|item| item.0 % 2 == 0)),
        ("retain most", none, |v| v.retain(|item| item.0 % 301 != 7)),
        ("retain few", none, |v| v.retain(|item| item.0 % 301 == 7)),
        ("retain all", none, |v| v.retain(|_| true)),
        ("retain none", none, |v| v.retain(|_| false)),
        ("retain_mut", none, |v| v.retain_mut(|item| item.0 % 3 == 0)),
        ("extract_if", none, |v| {
            let range = span(v.len());
            v.extract_if(range, |item| item.0 % 3 == 0).for_each(drop);
        }),
        ("extract_if, all", none, |v| v.extract_if(.., |_| true).for_each(drop)),
        ("dedup_by_key", none, |v| v.dedup_by_key(|item| item.0 / 3)),
        ("dedup_by", none, |v| v.dedup_by(|item, kept| item.0 - kept.0 < 120)),
        ("dedup", none, |v| v.dedup()),
        ("sort_by", none, |v| v.sort_by(|one, two| two.0.cmp(&one.0))),
        ("sort", none, |v| v.sort()),
        ("sort_by_key", none, |v| v.sort_by_key(|item| item.0 % 10)),
        ("sort_by_cached_key", none, |v| v.sort_by_cached_key(|item| item.0 % 10)),
        ("sort_unstable", none, |v| v.sort_unstable_by_key(|item| item.0 % 7)),
        ("reverse", none, |v| v.reverse()),
        ("fill", |n| n.saturating_sub(1), |v| v.fill(Item::new(1))),
        ("fill_with", none, |v| v.fill_with(|| Item::new(1))),
        ("resize, shorter", none, |v| v.resize(v.len() / 2, Item::new(1))),
        ("resize, longer", |_| 9, |v| v.resize(v.len() + 10, Item::new(1))),
        ("resize_with", none, |v| v.resize_with(v.len() + 10, || Item::new(1))),
        ("iter_mut", none, |v| v.iter_mut().for_each(|item| item.0 += 1)),
        ("iter_mut from the back", none, |v| v.iter_mut().rev().for_each(|item| item.0 += 1)),
        ("range_mut", none, |v| {
            let range = span(v.len());
            v.range_mut(range).for_each(|item| item.0 += 1);
        }),
        ("cursor_mut", none, |v| {
            let mut cursor = v.cursor_mut(v.len() / 2);
            cursor.insert_before(Item::new(1));
            cursor.insert_after(Item::new(2));
            while cursor.move_next() {}
            drop(cursor.remove_prev());
            cursor.seek(0);
            drop(cursor.remove_next());
        }),
        ("into_iter", none, |v| std::mem::take(v).into_iter().for_each(drop)),
        ("into_iter from the back", none, |v| std::mem::take(v).into_iter().rev().for_each(drop)),
        ("into_iter, half", none, |v| {
            let half = v.len() / 2;
            std::mem::take(v).into_iter().take(half).for_each(drop);
        }),
        ("into Vec", none, |v| drop(Vec::from(std::mem::take(v)))),
        ("into VecDeque", none, |v| drop(VecDeque::from(std::mem::take(v)))),
    ]
}

/// Vectors of `len` items of every make: collected; pushed at both ends; put together of pieces.
fn vectors<const W: usize>(len: u32) -> [Vector<Item<W>>; 3] {
    let collected = (0..len).map(Item::new).collect();
    let mut pushed = Vector::new();
    (0..len / 2).rev().for_each(|n| pushed.push_front(Item::new(n)));
    (len / 2..len).for_each(|n| pushed.push_back(Item::new(n)));
    let mut pieces = Vector::new();
    for start in (0..len).step_by(37) {
        pieces.append(&mut (start..len.min(start + 37)).map(Item::new).collect());
    }
    [collected, pushed, pieces]
}

fn vectors_are_changed_in_place<const W: usize>() {
    for len in LENGTHS {
        for (name, asked, op) in vector_ops::<W>() {
            for (make, mut vector) in vectors::<W>(len).into_iter().enumerate() {
                let asked = asked(len as usize);
                CLONES.set(0);
                op(&mut vector);
                let clones = CLONES.get();
                assert!(
                    clones <= asked,
                    "{name} of {len} items, make {make}: {clones} clones, {asked} asked for"
                );
                vector.check();
            }
            // And no method that is not asked to looks whether there is a `Clone`.
            for mut vector in vectors::<W>(len) {
                ALLOWED.set(asked(len as usize));
                op(&mut vector);
                ALLOWED.set(usize::MAX);
            }
        }
    }
}

#[test]
fn a_vector_that_nobody_shares_is_changed_in_place() {
    vectors_are_changed_in_place::<0>();
    vectors_are_changed_in_place::<12>();
}

type Map<const W: usize> = HashMap<Key, Item<W>>;
type MapOp<const W: usize> = (&'static str, fn(&mut Map<W>));

fn map_ops<const W: usize>() -> Vec<MapOp<W>> {
    vec![
        ("insert", |m| (0..300).for_each(|n| drop(m.insert(Key::new(n * 3), Item::new(n))))),
        ("remove", |m| (0..1500).step_by(2).for_each(|n| drop(m.remove(&Key::new(n))))),
        ("remove_entry", |m| (0..1500).for_each(|n| drop(m.remove_entry(&Key::new(n))))),
        ("get_mut", |m| (0..1500).for_each(|n| _ = m.get_mut(&Key::new(n)))),
        ("entry", |m| {
            for n in (0..2000).step_by(3) {
                m.entry(Key::new(n)).and_modify(|item| item.0 += 1).or_insert_with(|| Item::new(n));
            }
        }),
        ("entry, removed", |m| {
            for n in 0..1500 {
                if let crate::hash_map::Entry::Occupied(entry) = m.entry(Key::new(n)) {
                    drop(entry.remove_entry());
                }
            }
        }),
        ("retain", |m| m.retain(|key, _| key.0 % 3 == 0)),
        ("extract_if", |m| m.extract_if(|key, _| key.0 % 3 == 0).for_each(drop)),
        ("extend", |m| m.extend((1000..1400).map(|n| (Key::new(n), Item::new(n))))),
        ("iter_mut", |m| m.iter_mut().for_each(|(_, item)| item.0 += 1)),
        ("values_mut", |m| m.values_mut().for_each(|item| item.0 += 1)),
        ("drain", |m| m.drain().for_each(drop)),
        ("drain, dropped half way", |m| {
            let half = m.len() / 2;
            m.drain().take(half).for_each(drop);
        }),
        ("clear", |m| m.clear()),
        ("into_iter", |m| std::mem::take(m).into_iter().for_each(drop)),
        ("into_keys", |m| std::mem::take(m).into_keys().for_each(drop)),
        ("into_values", |m| std::mem::take(m).into_values().for_each(drop)),
        ("collect", |m| *m = std::mem::take(m).into_iter().collect()),
        ("into std", |m| drop(std::collections::HashMap::<_, _>::from(std::mem::take(m)))),
    ]
}

#[test]
fn a_hash_map_that_nobody_shares_is_changed_in_place() {
    for len in LENGTHS {
        for (name, op) in map_ops::<9>() {
            let mut map: Map<9> = (0..len).map(|n| (Key::new(n), Item::new(n))).collect();
            CLONES.set(0);
            KEY_CLONES.set(0);
            op(&mut map);
            assert_eq!((CLONES.get(), KEY_CLONES.get()), (0, 0), "{name} of {len} entries");
            map.check();
        }
    }
}

#[test]
fn a_hash_set_that_nobody_shares_is_changed_in_place() {
    type Set = HashSet<Key>;
    type SetOp = (&'static str, fn(&mut Set));
    let ops: [SetOp; 8] = [
        ("insert", |s| (0..300).for_each(|n| _ = s.insert(Key::new(n * 3)))),
        ("replace", |s| (0..300).for_each(|n| drop(s.replace(Key::new(n * 3))))),
        ("remove", |s| (0..300).for_each(|n| _ = s.remove(&Key::new(n)))),
        ("take", |s| (0..300).for_each(|n| drop(s.take(&Key::new(n))))),
        ("retain", |s| s.retain(|key| key.0 % 3 == 0)),
        ("extract_if", |s| s.extract_if(|key| key.0 % 3 == 0).for_each(drop)),
        ("drain", |s| s.drain().for_each(drop)),
        ("into_iter", |s| std::mem::take(s).into_iter().for_each(drop)),
    ];
    for len in LENGTHS {
        for (name, op) in ops {
            let mut set: Set = (0..len).map(Key::new).collect();
            KEY_CLONES.set(0);
            op(&mut set);
            assert_eq!(KEY_CLONES.get(), 0, "{name} of {len} items");
        }
    }
}

type Sorted<const W: usize> = OrdMap<Key, Item<W>>;

/// An operation on an ordered map of keys `0, 2 .. 2 n`, and the number of separators it may make.
type OrdOp<const W: usize> = (&'static str, fn(usize) -> usize, fn(&mut Sorted<W>));

fn pairs<const W: usize>(keys: impl Iterator<Item = u32>) -> Sorted<W> {
    let before = KEY_CLONES.get();
    let map = keys.map(|n| (Key::new(n), Item::new(n))).collect();
    KEY_CLONES.set(before);
    map
}

fn ord_ops<const W: usize>() -> Vec<OrdOp<W>> {
    // A leaf holds at least two entries, and a leaf that comes to be has one separator.
    fn leaves(n: usize) -> usize {
        n
    }
    // One more at either end of a cut and of a seam.
    fn few(_: usize) -> usize {
        4
    }
    vec![
        ("insert", |_| 300, |m| (0..300).for_each(|n| drop(m.insert(Key::new(n * 3), Item::new(n))))),
        ("replace", none, |m| {
            (0..m.len() as u32).for_each(|n| drop(m.insert(Key::new(n * 2), Item::new(n))))
        }),
        ("remove", leaves, |m| (0..3000).step_by(4).for_each(|n| drop(m.remove(&Key::new(n))))),
        ("remove_entry", leaves, |m| (0..3000).for_each(|n| drop(m.remove_entry(&Key::new(n))))),
        ("remove_index", leaves, |m| while m.remove_index(m.len() / 2).is_some() {}),
        ("pop_first", leaves, |m| while m.pop_first().is_some() {}),
        ("pop_last", leaves, |m| while m.pop_last().is_some() {}),
        ("get_mut", none, |m| (0..3000).for_each(|n| _ = m.get_mut(&Key::new(n)))),
        (
            "entry",
            |_| 1000,
            |m| {
                for n in (0..2000).step_by(3) {
                    m.entry(Key::new(n)).and_modify(|item| item.0 += 1).or_insert_with(|| Item::new(n));
                }
            },
        ),
        ("first_entry and last_entry", none, |m| {
            m.first_entry().into_iter().for_each(|mut entry| entry.get_mut().0 += 1);
            m.last_entry().into_iter().for_each(|mut entry| entry.get_mut().0 += 1);
        }),
        ("split_off", few, |m| drop(m.split_off(&Key::new(m.len() as u32)))),
        ("split_off near the end", few, |m| {
            drop(m.split_off(&Key::new((m.len() as u32).saturating_sub(2) * 2)))
        }),
        ("remove_range", few, |m| {
            let n = m.len() as u32;
            drop(m.remove_range(Key::new(n / 2)..Key::new(n)));
        }),
        ("remove_range, few", few, |m| {
            let n = m.len() as u32;
            drop(m.remove_range(Key::new(n)..Key::new(n + 5)));
        }),
        ("append behind", few, |m| m.append(&mut pairs(10_000..10_400))),
        ("append before", few, |m| {
            let mut low = std::mem::take(m);
            *m = pairs(10_000..10_400);
            m.append(&mut low);
        }),
        (
            "append what was split off",
            |_| 8,
            |m| {
                let mut high = m.split_off(&Key::new(m.len() as u32));
                m.append(&mut high);
            },
        ),
        ("append between", |n| n + 1000, |m| m.append(&mut pairs((1..2000).step_by(2)))),
        ("append equal keys", |n| n + 1000, |m| m.append(&mut pairs((0..2000).step_by(4)))),
        ("append few between", |_| 20, |m| m.append(&mut pairs((0..2000).step_by(401)))),
        (
            "append to few",
            |_| 20,
            |m| {
                let mut all = pairs((0..2000).step_by(401));
                all.append(m);
                *m = all;
            },
        ),
        ("append overlapping", |n| n + 1000, |m| m.append(&mut pairs(m.len() as u32..m.len() as u32 + 900))),
        ("extend", |_| 400, |m| m.extend((0..400).map(|n| (Key::new(n * 5), Item::new(n))))),
        ("extend behind", |_| 400, |m| m.extend((9000..9400).map(|n| (Key::new(n), Item::new(n))))),
        ("retain", leaves, |m| m.retain(|key, _| key.0 % 3 == 0)),
        ("extract_if", leaves, |m| m.extract_if(.., |key, _| key.0 % 3 == 0).for_each(drop)),
        ("iter_mut", none, |m| m.iter_mut().for_each(|(_, item)| item.0 += 1)),
        ("range_mut", none, |m| m.range_mut(Key::new(5)..).for_each(|(_, item)| item.0 += 1)),
        ("values_mut", none, |m| m.values_mut().for_each(|item| item.0 += 1)),
        ("clear", none, |m| m.clear()),
        ("into_iter", none, |m| std::mem::take(m).into_iter().for_each(drop)),
        ("into_iter from the back", none, |m| std::mem::take(m).into_iter().rev().for_each(drop)),
        ("into_keys", none, |m| std::mem::take(m).into_keys().for_each(drop)),
        ("into_values", none, |m| std::mem::take(m).into_values().for_each(drop)),
        ("into std", none, |m| drop(BTreeMap::from(std::mem::take(m)))),
    ]
}

#[test]
fn an_ordered_map_that_nobody_shares_is_changed_in_place() {
    for len in LENGTHS {
        for (name, separators, op) in ord_ops::<9>() {
            for grown in [false, true] {
                let mut map = if grown { Sorted::new() } else { pairs((0..len).map(|n| n * 2)) };
                if grown {
                    (0..len).for_each(|n| drop(map.insert(Key::new(n * 7919 % len * 2), Item::new(n))));
                }
                let separators = separators(len as usize);
                CLONES.set(0);
                KEY_CLONES.set(0);
                op(&mut map);
                assert_eq!(CLONES.get(), 0, "{name} of {len} entries");
                let keys = KEY_CLONES.get();
                assert!(
                    keys <= separators,
                    "{name} of {len} entries: {keys} clones of keys, {separators} separators"
                );
                map.check();
            }
        }
    }
}

#[test]
fn an_ordered_set_that_nobody_shares_is_changed_in_place() {
    for len in LENGTHS {
        let set = || (0..len).map(|n| Key::new(n * 2)).collect::<OrdSet<Key>>();
        let (mut one, mut two, middle) = (set(), set(), Key::new(len));
        KEY_CLONES.set(0);
        drop(one.split_off(&middle));
        drop(two.remove_range(Key::new(len / 2)..middle));
        two.into_iter().for_each(drop);
        assert!(KEY_CLONES.get() <= 6, "{} clones of {len} items", KEY_CLONES.get());
    }
}

#[test]
fn one_drop_that_panics_does_not_abort() {
    type Run = (&'static str, fn(&mut Vector<Item<12>>));
    let runs: [Run; 9] = [
        ("drain", |v| drop(v.drain(2..5))),
        ("drain, walked over", |v| v.drain(1..6).for_each(drop)),
        ("splice", |v| drop(v.splice(2..5, [Item::new(1)]))),
        ("truncate", |v| v.truncate(2)),
        ("retain", |v| v.retain(|item| item.0 % 2 == 0)),
        ("dedup_by_key", |v| v.dedup_by_key(|item| item.0 / 2)),
        ("clear", |v| v.clear()),
        ("fill", |v| v.fill(Item::new(1))),
        ("into_iter", |v| drop(std::mem::take(v).into_iter())),
    ];
    for (name, run) in runs {
        for len in [7, 70, 700] {
            for number in 0..7 {
                let mut vector: Vector<Item<12>> = (0..len).map(Item::new).collect();
                PANICS.set(number);
                let done = catch_unwind(AssertUnwindSafe(|| run(&mut vector)));
                PANICS.set(u32::MAX);
                vector.check();
                // What goes is dropped when nothing is left to be done.
                if done.is_err() && name == "retain" {
                    assert!(
                        vector.iter().all(|item| item.0 % 2 == 0),
                        "{name} of {len} items, number {number}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_change_of_a_large_collection_allocates_little() {
    let mut vector: Vector<u64> = (0..100_000).collect();
    let mut map: OrdMap<u64, u64> = (0..100_000).map(|n| (n, n)).collect();
    let mut hash: HashMap<u64, u64> = (0..100_000).map(|n| (n, n)).collect();
    let allocations = |name, most, run: &mut dyn FnMut()| {
        let info = allocation_counter::measure(&mut *run);
        assert!(info.count_total <= most, "{name}: {} allocations", info.count_total);
    };
    allocations("get_mut", 0, &mut || *vector.get_mut(50_000).unwrap() += 1);
    allocations("swap", 8, &mut || vector.swap(1, 99_999));
    allocations("drain", 60, &mut || drop(vector.drain(40_000..40_003)));
    allocations("rotate_left", 60, &mut || vector.rotate_left(777));
    allocations("remove", 0, &mut || _ = vector.remove(3000));
    allocations("get_mut of a map", 0, &mut || *hash.get_mut(&7).unwrap() += 1);
    allocations("remove of a map", 0, &mut || _ = hash.remove(&8));
    allocations("replace in a map", 0, &mut || _ = hash.insert(9, 1));
    allocations("get_mut of an ordered map", 0, &mut || *map.get_mut(&7).unwrap() += 1);
    allocations("replace in an ordered map", 0, &mut || _ = map.insert(9, 1));
    allocations("remove_range", 60, &mut || drop(map.remove_range(500..503)));
    allocations("split_off", 60, &mut || drop(map.split_off(&99_000)));
}
