//! The order in which a hash map is walked over: a function of its contents and its seed, however it came to be.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use proptest::prelude::*;

use crate::hash_map::DiffItem;
#[cfg(feature = "store")]
use crate::storage::MemoryStorage;
#[cfg(feature = "store")]
use crate::store::Options;
use crate::{HashMap, HashSet};

type Map = HashMap<u32, u64>;

/// Keys that each way of walking over a map meets, in order.
fn walks(map: &Map) -> Vec<Vec<u32>> {
    let mut copy = map.clone();
    let mut walks = vec![
        map.iter().map(|(key, _)| *key).collect(),
        map.keys().copied().collect(),
        map.try_iter().unwrap().map(|entry| *entry.unwrap().0).collect(),
        copy.iter_mut().map(|(key, _)| *key).collect(),
        map.clone().into_iter().map(|(key, _)| key).collect(),
        map.clone().into_keys().collect(),
        copy.drain().map(|(key, _)| key).collect(),
        // Of a map that nobody shares, too.
        {
            let mut own: Map = HashMap::with_seed(7);
            own.extend(map.clone());
            own.into_iter().map(|(key, _)| key).collect()
        },
        HashMap::with_seed(7).diff(map).map(|item| *item.key()).collect(),
    ];
    let mut seen = Vec::new();
    map.clone().retain(|key, _| {
        seen.push(*key);
        true
    });
    walks.push(seen);
    #[cfg(feature = "rayon")]
    {
        use rayon::prelude::*;
        walks.push(map.par_iter().map(|(key, _)| *key).collect());
    }
    walks
}

/// Keys that an extraction of most of them meets, in order.
fn extraction(map: &Map) -> Vec<u32> {
    let (mut seen, mut less) = (Vec::new(), map.clone());
    less.extract_if(|key, _| {
        seen.push(*key);
        key % 3 != 0
    })
    .for_each(drop);
    less.check();
    seen
}

/// The map of these keys that was made in one go.
fn made(keys: impl IntoIterator<Item = u32>) -> Map {
    let mut map = HashMap::with_seed(7);
    map.extend(keys.into_iter().map(|key| (key, u64::from(key))));
    map
}

fn all_walk_as(map: &Map, expected: &[u32]) {
    map.check();
    // Leaves merge meanwhile, so the order is not that of the others; but it shows no history either.
    assert_eq!(extraction(map), extraction(&made(expected.iter().copied())));
    for (way, walk) in walks(map).into_iter().enumerate() {
        assert_eq!(walk, expected, "way {way}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 60 } else { 300 }))]

    #[test]
    fn histories_do_not_show(
        keys in proptest::collection::btree_set(0u32..4000, 0..700),
        others in proptest::collection::vec(0u32..4000, 0..700),
        shuffle in any::<u64>(),
    ) {
        let expected: Vec<u32> = made(keys.iter().copied()).iter().map(|(key, _)| *key).collect();
        // In another order.
        let mut shuffled: Vec<u32> = keys.iter().copied().collect();
        shuffled.sort_by_key(|key| u64::from(*key).wrapping_add(shuffle).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        all_walk_as(&made(shuffled.iter().copied()), &expected);
        // With keys in between that go again, and clones that hold the nodes.
        let mut map = made(others.iter().copied());
        let held = map.clone();
        shuffled.iter().for_each(|&key| _ = map.insert(key, u64::from(key)));
        let too = map.clone();
        others.iter().filter(|key| !keys.contains(key)).for_each(|key| _ = map.remove(key));
        all_walk_as(&map, &expected);
        let mut kept = too.clone();
        kept.retain(|key, _| keys.contains(key));
        all_walk_as(&kept, &expected);
        all_walk_as(&too.intersection(&made(keys.iter().copied())), &expected);
        drop((held, too));
        // The same differences, from whichever history.
        let newer = made(keys.iter().copied().chain([9000, 9001, 9002]));
        let changes = |old: &Map| old.diff(&newer).map(|change| *change.key()).collect::<Vec<_>>();
        prop_assert_eq!(changes(&map), changes(&made(keys.iter().copied())));
    }
}

#[cfg(feature = "store")]
#[test]
fn a_restored_map_is_walked_over_as_it_was() {
    let mut map = made((0..3000).map(|n| n * 7));
    (0..3000).step_by(3).for_each(|n| _ = map.remove(&(n * 7)));
    (0..500).for_each(|n| _ = map.insert(100_000 + n, 0));
    let expected: Vec<u32> = map.keys().copied().collect();
    let store = Options::new().open_storage(Arc::new(MemoryStorage::new())).unwrap();
    store.checkpoint(&map).unwrap();
    let mut restored: Map = store.latest().unwrap().unwrap();
    assert!(restored.keys().eq(&expected), "restored");
    for round in 0..20 {
        let key = expected[round * 37];
        let value = restored.remove(&key).unwrap();
        restored.insert(key, value + 1);
        store.checkpoint(&restored).unwrap();
    }
    assert!(restored.keys().eq(&expected), "changed since");
    let again: Map = store.latest().unwrap().unwrap();
    assert!(again.keys().eq(&expected), "restored from deltas");
}

#[test]
fn a_set_of_strings_is_walked_over_in_one_order() {
    let words: Vec<String> = (0..2000).map(|n| format!("word {n}")).collect();
    let mut one = HashSet::with_seed(3);
    one.extend(words.iter().cloned());
    let mut two = HashSet::with_seed(3);
    two.extend(words.iter().rev().cloned());
    assert!(one.iter().eq(two.iter()));
    assert!(one.clone().into_iter().eq(two.into_iter()));
}

#[test]
fn what_differs_is_told_in_one_order() {
    let old = made(0..1000);
    let new = made((500..1500).rev());
    let mut grown = old.clone();
    (0..500).for_each(|key| _ = grown.remove(&key));
    (1000..1500).for_each(|key| _ = grown.insert(key, u64::from(key)));
    let told = |new: &Map| {
        old.diff(new).map(|item| (*item.key(), matches!(item, DiffItem::Added { .. }))).collect::<Vec<_>>()
    };
    assert_eq!(told(&new).len(), 1000);
    assert_eq!(told(&new), told(&grown));
}

#[test]
fn a_leaf_is_put_in_order_without_an_allocation() {
    let map = made(0..10_000);
    let (mut sum, mut count) = (0, 0);
    let allocated = allocation_counter::measure(|| {
        sum = map.iter().map(|(_, value)| value).sum();
        count = map.keys().count();
    });
    assert_eq!((sum, count), ((0..10_000).sum(), 10_000));
    assert_eq!(allocated.count_total, 0);
}

/// Hashes of which only the lowest byte differs, and that by little.
#[derive(Clone, Default)]
struct Crowded(u64);

impl BuildHasher for Crowded {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        self.clone()
    }
}

impl Hasher for Crowded {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().map(|byte| u64::from(*byte)).sum();
    }

    fn finish(&self) -> u64 {
        0xf4 + self.0 % 12
    }
}

#[test]
fn crowded_tags_are_sorted_whatever_the_history() {
    // A leaf of up to 32 has slots for its entries, and the last ones find none; a larger one is sorted.
    for len in [1, 2, 12, 13, 31, 32, 33, 100] {
        let keys: Vec<u32> = (0..len).map(|n| n * 7 % 256).collect();
        let mut expected: Option<Vec<u32>> = None;
        for turn in 0..keys.len() {
            let mut map: HashMap<u32, u64, Crowded> = HashMap::default();
            let mut turned = keys.clone();
            turned.rotate_left(turn);
            map.extend(turned.iter().map(|&key| (key, 0)));
            map.insert(300 + turn as u32, 0);
            map.remove(&(300 + turn as u32));
            let walk: Vec<u32> = map.keys().copied().collect();
            assert!(walk.is_sorted_by_key(|key| Crowded::default().hash_one(key)), "{len}: {walk:?}");
            assert!(map.iter_mut().map(|(key, _)| *key).eq(walk.iter().copied()));
            assert!(map.clone().into_keys().eq(walk.iter().copied()));
            assert!(map.into_keys().eq(walk.iter().copied()));
            assert_eq!(expected.get_or_insert_with(|| walk.clone()), &walk, "{len} from {turn}");
        }
        assert_eq!(expected.map(|walk| walk.len()), Some(len as usize));
    }
}
