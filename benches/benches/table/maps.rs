//! Maps: one trait, and the work that is the same for all.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap as StdHashMap};
use std::hash::{Hash, Hasher};
use std::hint::black_box;
use std::time::{Duration, Instant};

use perennial::SeededState;

use super::measure::{Rows, Table};

/// Operations of the rows that copy.
const CHANGES: usize = 20_000;
/// Look-ups of a row.
const READS: usize = 200_000;

/// A key, made of a number.
pub trait Key: Clone + Ord + Hash {
    fn of(number: u64) -> Self;
}

impl Key for u64 {
    fn of(number: u64) -> Self {
        number
    }
}

impl Key for String {
    fn of(number: u64) -> Self {
        format!("{number:020}")
    }
}

/// A number and `N` words of plain memory, which make a large entry and cost nothing to hash or compare.
#[derive(Clone)]
pub struct Wide<const N: usize>(u64, [u64; N]);

impl<const N: usize> Key for Wide<N> {
    fn of(number: u64) -> Self {
        Self(number, [number; N])
    }
}

impl<const N: usize> Hash for Wide<N> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.hash(hasher);
    }
}

impl<const N: usize> PartialEq for Wide<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<const N: usize> Eq for Wide<N> {}

impl<const N: usize> PartialOrd for Wide<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Ord for Wide<N> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

trait Map<K: Key>: Clone + PartialEq {
    const NAME: &str;
    /// `clone` shares.
    const SHARES: bool = true;
    fn empty() -> Self;
    fn put(&mut self, key: K, value: u64);
    fn find(&self, key: &K) -> Option<u64>;
    fn cut(&mut self, key: &K);
    fn sum(&self) -> u64;
    fn of_sorted(keys: &[K]) -> Self;
    /// Number of differences, if the type knows how to find them.
    fn differences(&self, _: &Self) -> Option<usize> {
        None
    }
    fn sum_from(&self, _: &K, _: usize) -> Option<u64> {
        None
    }
}

macro_rules! peer {
    ($type:ty, $name:literal, $new:expr, $insert:ident, $remove:ident $(, $extra:item)*) => {
        impl<K: Key> Map<K> for $type {
            const NAME: &str = $name;
            fn empty() -> Self {
                $new
            }
            fn put(&mut self, key: K, value: u64) {
                let _ = self.$insert(key, value);
            }
            fn find(&self, key: &K) -> Option<u64> {
                self.get(key).copied()
            }
            fn cut(&mut self, key: &K) {
                let _ = self.$remove(key);
            }
            fn sum(&self) -> u64 {
                self.iter().fold(0, |sum: u64, (_, value)| sum.wrapping_add(*value))
            }
            fn of_sorted(keys: &[K]) -> Self {
                keys.iter().map(|key| (key.clone(), 0u64)).collect()
            }
            $($extra)*
        }
    };
}

type Imbl<K> = imbl::GenericHashMap<K, u64, SeededState, imbl::shared_ptr::DefaultSharedPtr>;
type Rpds<K> = rpds::HashTrieMapSync<K, u64, SeededState>;

peer!(
    perennial::HashMap<K, u64>, "perennial", Self::new(), insert, remove,
    fn differences(&self, other: &Self) -> Option<usize> {
        Some(self.diff(other).count())
    }
);
peer!(Imbl<K>, "imbl", Self::with_hasher(SeededState::default()), insert, remove);
peer!(im::HashMap<K, u64, SeededState>, "im", Self::with_hasher(SeededState::default()), insert, remove);
peer!(Rpds<K>, "rpds", Self::new_with_hasher_and_ptr_kind(SeededState::default()), insert_mut, remove_mut);
peer!(
    StdHashMap<K, u64, SeededState>, "std", Self::with_hasher(SeededState::default()), insert, remove,
    const SHARES: bool = false;
);
peer!(
    perennial::OrdMap<K, u64>, "perennial", Self::new(), insert, remove,
    fn differences(&self, other: &Self) -> Option<usize> {
        Some(self.diff(other).count())
    },
    fn sum_from(&self, key: &K, count: usize) -> Option<u64> {
        Some(self.range(key..).take(count).fold(0, |sum: u64, (_, value)| sum.wrapping_add(*value)))
    }
);
peer!(
    imbl::OrdMap<K, u64>, "imbl", Self::new(), insert, remove,
    fn differences(&self, other: &Self) -> Option<usize> {
        Some(self.diff(other).count())
    },
    fn sum_from(&self, key: &K, count: usize) -> Option<u64> {
        Some(self.range::<_, K>(key.clone()..).take(count).fold(0, |sum: u64, (_, value)| sum.wrapping_add(*value)))
    }
);
peer!(
    im::OrdMap<K, u64>, "im", Self::new(), insert, remove,
    fn differences(&self, other: &Self) -> Option<usize> {
        Some(self.diff(other).count())
    },
    fn sum_from(&self, key: &K, count: usize) -> Option<u64> {
        Some(self.range::<_, K>(key.clone()..).take(count).fold(0, |sum: u64, (_, value)| sum.wrapping_add(*value)))
    }
);
peer!(
    rpds::RedBlackTreeMapSync<K, u64>, "rpds", Self::new_sync(), insert_mut, remove_mut,
    fn sum_from(&self, key: &K, count: usize) -> Option<u64> {
        Some(self.range(key.clone()..).take(count).fold(0, |sum: u64, (_, value)| sum.wrapping_add(*value)))
    }
);
peer!(
    BTreeMap<K, u64>, "std", Self::new(), insert, remove,
    const SHARES: bool = false;,
    fn sum_from(&self, key: &K, count: usize) -> Option<u64> {
        Some(self.range(key..).take(count).fold(0, |sum: u64, (_, value)| sum.wrapping_add(*value)))
    }
);

/// The keys of a map in the order they come in, others that it does not have, and all keys in order.
struct Keys<K> {
    present: Vec<K>,
    /// Present ones in another order, for reads and changes.
    asked: Vec<K>,
    absent: Vec<K>,
    sorted: Vec<K>,
}

impl<K: Key> Keys<K> {
    fn new(count: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let present: Vec<K> = (0..count).map(|_| K::of(next())).collect();
        let asked = (0..READS).map(|_| present[(next() % count as u64) as usize].clone()).collect();
        let absent = (0..READS).map(|_| K::of(next())).collect();
        let mut sorted = present.clone();
        sorted.sort_unstable();
        Self { present, asked, absent, sorted }
    }
}

fn measure<K: Key, M: Map<K>>(table: &mut Table, keys: &Keys<K>) {
    let mut rows: Rows<'_> = table.of(M::NAME);
    let count = keys.present.len();
    let changes = || keys.asked.iter().take(CHANGES);
    let mut kept = None;
    rows.bytes("bytes per entry", count, || {
        let mut map = M::empty();
        keys.present.iter().for_each(|key| map.put(key.clone(), 1));
        kept = Some(map);
    });
    drop(kept);
    let mut map = rows.time("build, one by one", count, || {
        let mut map = M::empty();
        keys.present.iter().for_each(|key| map.put(key.clone(), 1));
        map
    });
    let sorted = rows.time("build from sorted", count, || M::of_sorted(&keys.sorted));
    rows.time("update in place", keys.asked.len(), || {
        keys.asked.iter().for_each(|key| map.put(key.clone(), 2));
    });
    if M::SHARES {
        rows.time("insert, update, remove, version alive", 3 * CHANGES, || {
            for (key, new) in changes().zip(&keys.absent) {
                let before = map.clone();
                map.put(new.clone(), 3);
                let between = map.clone();
                drop(before);
                map.put(key.clone(), 3);
                let before = map.clone();
                drop(between);
                map.cut(new);
                drop(before);
            }
        });
        rows.time("update, version alive", CHANGES, || {
            let mut before = map.clone();
            for key in changes() {
                map.put(key.clone(), 4);
                before = map.clone();
            }
            before
        });
    }
    if M::SHARES || count <= 100_000 {
        rows.time("update, one snapshot per 1,000", CHANGES, || {
            let mut before = map.clone();
            for (index, key) in changes().enumerate() {
                if index % 1_000 == 0 {
                    before = map.clone();
                }
                map.put(key.clone(), 5);
            }
            before
        });
    }
    rows.time("get hit", keys.asked.len(), || {
        keys.asked.iter().fold(0, |sum: u64, key| sum.wrapping_add(map.find(key).unwrap()))
    });
    rows.time("get miss", keys.absent.len(), || {
        keys.absent.iter().fold(0, |sum: u64, key| sum.wrapping_add(map.find(key).unwrap_or(1)))
    });
    if map.sum_from(&keys.asked[0], 1).is_some() {
        rows.time("range of 100", CHANGES, || {
            changes().fold(0, |sum: u64, key| sum.wrapping_add(map.sum_from(key, 100).unwrap()))
        });
    }
    let walks = (READS / count).max(1);
    rows.time("iterate", walks * count, || (0..walks).fold(0, |sum: u64, _| sum.wrapping_add(map.sum())));
    let same = map.clone();
    if M::SHARES {
        // Often, where it is over before the clock has been read; peers that compare every entry are asked a few times.
        let began = Instant::now();
        let is_same = black_box(&map) == black_box(&same);
        let times = if began.elapsed() < Duration::from_micros(100) { 1000 } else { 10 };
        let all_same = || (0..times).all(|_| black_box(&map) == black_box(&same));
        assert!(rows.time("== of an own clone", times, all_same) && is_same);
    }
    let mut other = map.clone();
    for key in changes().take(10) {
        other.put(key.clone(), 77);
    }
    // Equal lengths and 10 differences: a comparison has to find one of them; made equal again it has to pass all.
    rows.time("==, 10 keys differ", 1, || black_box(&map) == black_box(&other));
    for key in changes().take(10) {
        other.put(key.clone(), map.find(key).unwrap());
    }
    rows.time("==, 10 keys written and equal", 1, || black_box(&map) == black_box(&other));
    for key in changes().take(10) {
        other.put(key.clone(), 77);
    }
    if map.differences(&map).is_some() {
        rows.time("diff, 10 keys differ", 1, || map.differences(&other));
    }
    drop((same, other));
    if M::SHARES {
        let mut versions = Vec::with_capacity(1_000);
        rows.bytes("bytes per version", 1_000, || {
            for key in changes().take(1_000) {
                versions.push(map.clone());
                map.put(key.clone(), 6);
            }
        });
    }
    rows.time("remove all", count, || keys.present.iter().for_each(|key| map.cut(key)));
    rows.time("drop, per entry", count, || drop(sorted));
}

fn hash_maps_of<K: Key>(table: &mut Table, size: usize) {
    let keys = Keys::<K>::new(size);
    measure::<_, perennial::HashMap<K, u64>>(table, &keys);
    measure::<_, Imbl<K>>(table, &keys);
    measure::<_, im::HashMap<K, u64, SeededState>>(table, &keys);
    measure::<_, Rpds<K>>(table, &keys);
    measure::<_, StdHashMap<K, u64, SeededState>>(table, &keys);
}

fn ord_maps_of<K: Key>(table: &mut Table, size: usize) {
    let keys = Keys::<K>::new(size);
    measure::<_, perennial::OrdMap<K, u64>>(table, &keys);
    measure::<_, imbl::OrdMap<K, u64>>(table, &keys);
    measure::<_, im::OrdMap<K, u64>>(table, &keys);
    measure::<_, rpds::RedBlackTreeMapSync<K, u64>>(table, &keys);
    measure::<_, BTreeMap<K, u64>>(table, &keys);
}

/// `HashMap` and its peers with `u64` keys.
pub fn hash_maps(table: &mut Table, size: usize) {
    hash_maps_of::<u64>(table, size);
}

/// `OrdMap` and its peers with `u64` keys.
pub fn ord_maps(table: &mut Table, size: usize) {
    ord_maps_of::<u64>(table, size);
}

/// `HashMap` and its peers with keys of 20 bytes on the heap.
pub fn hash_strings(table: &mut Table, size: usize) {
    hash_maps_of::<String>(table, size);
}

/// `OrdMap` and its peers with keys of 20 bytes on the heap.
pub fn ord_strings(table: &mut Table, size: usize) {
    ord_maps_of::<String>(table, size);
}

/// `HashMap` and its peers with entries of 112 bytes.
pub fn hash_wide(table: &mut Table, size: usize) {
    hash_maps_of::<Wide<12>>(table, size);
}

/// `HashMap` and its peers with entries of 1 KiB.
pub fn hash_kib(table: &mut Table, size: usize) {
    hash_maps_of::<Wide<126>>(table, size);
}
