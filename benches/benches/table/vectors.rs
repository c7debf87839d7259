//! Vectors: one trait, and the work that is the same for all.

use std::collections::VecDeque;
use std::hint::black_box;

use super::measure::Table;

/// Operations of the rows that copy.
const CHANGES: usize = 20_000;
/// Look-ups of a row.
const READS: usize = 200_000;
/// Cuts, joins and insertions in the middle.
const CUTS: usize = 200;

trait List: Clone + PartialEq {
    const NAME: &str;
    /// `clone` shares.
    const SHARES: bool = true;
    /// Can be cut and joined, and has a front end.
    const FULL: bool = true;
    fn empty() -> Self;
    fn push(&mut self, item: u64);
    fn at(&self, index: usize) -> u64;
    fn put(&mut self, index: usize, item: u64);
    fn sum(&self) -> u64;
    fn join(&mut self, _: Self) {}
    fn cut(&mut self, _: usize) -> Self {
        self.clone()
    }
    fn add(&mut self, _: usize, _: u64) {}
    fn take(&mut self, _: usize) {}
    fn push_first(&mut self, _: u64) {}
    fn pop_first(&mut self) {}
}

macro_rules! peer {
    ($type:ty, $name:literal, $push:ident, $append:expr $(, $extra:item)*) => {
        impl List for $type {
            const NAME: &str = $name;
            fn empty() -> Self {
                Self::new()
            }
            fn push(&mut self, item: u64) {
                self.$push(item);
            }
            fn at(&self, index: usize) -> u64 {
                self[index]
            }
            fn put(&mut self, index: usize, item: u64) {
                self[index] = item;
            }
            fn sum(&self) -> u64 {
                self.iter().fold(0, |sum: u64, item| sum.wrapping_add(*item))
            }
            fn join(&mut self, other: Self) {
                $append(self, other)
            }
            fn cut(&mut self, at: usize) -> Self {
                self.split_off(at)
            }
            fn add(&mut self, index: usize, item: u64) {
                self.insert(index, item);
            }
            fn take(&mut self, index: usize) {
                let _ = self.remove(index);
            }
            $($extra)*
        }
    };
}

/// [`peer`] with a front end.
macro_rules! deque {
    ($type:ty, $name:literal, $push:ident, $append:expr) => {
        peer!(
            $type,
            $name,
            $push,
            $append,
            fn push_first(&mut self, item: u64) {
                self.push_front(item);
            },
            fn pop_first(&mut self) {
                self.pop_front();
            }
        );
    };
}

deque!(perennial::Vector<u64>, "perennial", push_back, |a: &mut Self, mut b: Self| a.append(&mut b));
deque!(imbl::Vector<u64>, "imbl", push_back, |a: &mut Self, b: Self| a.append(b));
deque!(im::Vector<u64>, "im", push_back, |a: &mut Self, b: Self| a.append(b));
peer!(Vec<u64>, "std", push, |a: &mut Self, mut b: Self| a.append(&mut b), const SHARES: bool = false;);

impl List for rpds::VectorSync<u64> {
    const NAME: &str = "rpds";
    const FULL: bool = false;
    fn empty() -> Self {
        Self::new_sync()
    }
    fn push(&mut self, item: u64) {
        self.push_back_mut(item);
    }
    fn at(&self, index: usize) -> u64 {
        self[index]
    }
    fn put(&mut self, index: usize, item: u64) {
        self.set_mut(index, item);
    }
    fn sum(&self) -> u64 {
        self.iter().fold(0, |sum: u64, item| sum.wrapping_add(*item))
    }
}

fn measure<L: List>(table: &mut Table, count: usize) {
    let mut rows = table.of(L::NAME);
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % count as u64) as usize
    };
    let asked: Vec<usize> = (0..READS).map(|_| next()).collect();
    let changes = || asked.iter().copied().take(CHANGES);
    let build = || {
        let mut list = L::empty();
        (0..count as u64).for_each(|item| list.push(item));
        list
    };
    let mut kept = None;
    rows.bytes("bytes per element", count, || kept = Some(build()));
    drop(kept);
    let mut list = rows.time("push back (build)", count, build);
    if L::SHARES {
        rows.time("push, version alive", CHANGES, || {
            let mut longer = list.clone();
            let mut before = longer.clone();
            for item in 0..CHANGES as u64 {
                longer.push(item);
                before = longer.clone();
            }
            before
        });
    }
    rows.time("get, built by appends", READS, || {
        asked.iter().fold(0, |sum: u64, &index| sum.wrapping_add(list.at(index)))
    });
    rows.time("update in place", READS, || asked.iter().for_each(|&index| list.put(index, 1)));
    if L::SHARES {
        rows.time("update, version alive", CHANGES, || {
            let mut before = list.clone();
            for index in changes() {
                list.put(index, 2);
                before = list.clone();
            }
            before
        });
    }
    rows.time("update, one snapshot per 1,000", CHANGES, || {
        let mut before = list.clone();
        for (step, index) in changes().enumerate() {
            if step % 1_000 == 0 {
                before = list.clone();
            }
            list.put(index, 3);
        }
        before
    });
    let walks = (READS / count).max(1);
    rows.time("iterate", walks * count, || (0..walks).fold(0, |sum: u64, _| sum.wrapping_add(list.sum())));
    let mut other = list.clone();
    changes().take(10).for_each(|index| other.put(index, 3));
    list.put(0, list.at(0));
    rows.time("==, 10 elements written and equal", 1, || black_box(&list) == black_box(&other));
    drop(other);
    if L::SHARES {
        let mut versions = Vec::with_capacity(1_000);
        rows.bytes("bytes per version", 1_000, || {
            for index in changes().take(1_000) {
                versions.push(list.clone());
                list.put(index, 4);
            }
        });
    }
    if !L::FULL {
        return;
    }
    let cuts = if L::SHARES { CUTS } else { 10 };
    let mut halves: Vec<(L, L)> = Vec::new();
    for _ in 0..cuts {
        let mut left = list.clone();
        let right = left.cut(count / 2 - 1);
        halves.push((left, right));
    }
    let joined = rows.time("concat halves", cuts, || {
        halves
            .into_iter()
            .map(|(mut left, right)| {
                left.join(right);
                left
            })
            .collect::<Vec<L>>()
    });
    drop(joined);
    let clones: Vec<L> = (0..cuts).map(|_| list.clone()).collect();
    let split = rows.time("split in the middle", cuts, || {
        clones
            .into_iter()
            .map(|mut left| {
                let right = left.cut(count / 2 - 1);
                (left, right)
            })
            .collect::<Vec<(L, L)>>()
    });
    drop(split);
    rows.time("insert, remove in the middle", 2 * cuts, || {
        for index in asked.iter().take(cuts) {
            let middle = count / 4 + index / 2;
            list.add(middle, 9);
            list.take(middle + 1);
        }
    });
    // Cut and joined at many places.
    for (step, &index) in asked.iter().take(if L::SHARES { 1_000 } else { 1 }).enumerate() {
        let right = list.cut(index);
        let mut left = std::mem::replace(&mut list, right);
        if step % 2 == 0 {
            std::mem::swap(&mut left, &mut list);
        }
        list.join(left);
    }
    rows.time("get, after cuts and inserts", READS, || {
        asked.iter().fold(0, |sum: u64, &index| sum.wrapping_add(list.at(index)))
    });
    if L::SHARES {
        rows.time("push, pop front", 2 * CHANGES, || {
            (0..CHANGES as u64).for_each(|item| list.push_first(item));
            (0..CHANGES).for_each(|_| list.pop_first());
        });
    }
}

/// The front end of std's deque, which has no cut and join worth naming.
fn deque(table: &mut Table, count: usize) {
    let mut list: VecDeque<u64> = (0..count as u64).collect();
    table.of("std").time("push, pop front", 2 * CHANGES, || {
        (0..CHANGES as u64).for_each(|item| list.push_front(item));
        (0..CHANGES).for_each(|_| {
            list.pop_front();
        });
    });
}

/// `Vector` and its peers.
pub fn vectors(table: &mut Table, size: usize) {
    measure::<perennial::Vector<u64>>(table, size);
    measure::<imbl::Vector<u64>>(table, size);
    measure::<im::Vector<u64>>(table, size);
    measure::<rpds::VectorSync<u64>>(table, size);
    measure::<Vec<u64>>(table, size);
    deque(table, size);
}
