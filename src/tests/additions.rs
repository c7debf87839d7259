//! What programs expect that come from std, im, imbl and rpds: each method against std's collections.

use std::collections::{self, BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use proptest::collection::{btree_map, hash_map as std_map, vec};
use proptest::prelude::*;

use crate::{HashMap, HashSet, OrdMap, OrdSet, Vector};

/// A vector of these items whose head, tree and tail all hold some: half of them came in at the front.
fn two_ended(items: &[u32], front: usize) -> Vector<u32> {
    let front = front.min(items.len());
    let mut vector = Vector::new();
    items[..front].iter().rev().for_each(|item| vector.push_front(*item));
    vector.extend(&items[front..]);
    vector
}

fn lists(runs: impl Iterator<Item = impl Iterator<Item = impl Copy + Into<u32>>>) -> Vec<Vec<u32>> {
    runs.map(|run| run.map(Into::into).collect()).collect()
}

/// Items of a small range, so that some repeat, and how many of them come in at the front.
fn items() -> impl Strategy<Value = (Vec<u32>, usize)> {
    prop_oneof![vec(0..8u32, 0..40), vec(0..200u32, 0..2000)].prop_flat_map(|items| {
        let len = items.len();
        (Just(items), 0..=len)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn windows_and_runs_are_those_of_slices((std, front) in items(), size in 1..9usize, skip in 0..5usize) {
        let vector = two_ended(&std, front);
        prop_assert_eq!(
            lists(vector.windows(size).map(Iterator::copied)),
            lists(std.windows(size).map(|run| run.iter().copied()))
        );
        prop_assert_eq!(vector.windows(size).len(), std.windows(size).len());
        prop_assert_eq!(
            lists(vector.chunks_of(size).map(Iterator::copied)),
            lists(std.chunks(size).map(|run| run.iter().copied()))
        );
        prop_assert_eq!(vector.chunks_of(size).len(), std.chunks(size).len());
        prop_assert_eq!(
            lists(vector.chunks_of(size).rev().map(Iterator::copied)),
            lists(std.chunks(size).rev().map(|run| run.iter().copied()))
        );
        prop_assert_eq!(
            vector.chunks_of(size).nth(skip).map(|run| run.copied().collect()),
            std.chunks(size).nth(skip).map(<[u32]>::to_vec)
        );
        prop_assert_eq!(
            vector.windows(size).rev().nth(skip).map(|run| run.copied().collect()),
            std.windows(size).rev().nth(skip).map(<[u32]>::to_vec)
        );
        let close = |one: &u32, two: &u32| one.abs_diff(*two) < 5;
        prop_assert_eq!(
            lists(vector.chunk_by(close).map(Iterator::copied)),
            lists(std.chunk_by(close).map(|run| run.iter().copied()))
        );
        // From both ends, until they meet.
        let (mut ours, mut theirs) = (vector.chunk_by(close), std.chunk_by(close));
        loop {
            let back = ours.next_back().map(|run| run.copied().collect());
            prop_assert_eq!(&back, &theirs.next_back().map(<[u32]>::to_vec));
            let next = ours.next().map(|run| run.copied().collect());
            prop_assert_eq!(&next, &theirs.next().map(<[u32]>::to_vec));
            if back.is_none() && next.is_none() {
                break;
            }
        }
    }

    #[test]
    fn prefixes_and_rests_are_those_of_slices((std, front) in items(), cut in 0..2000usize) {
        let vector = two_ended(&std, front);
        let cut = cut.min(std.len());
        prop_assert!(vector.split_first().map(|(item, rest)| (*item, rest.to_vec()))
            == std.split_first().map(|(item, rest)| (*item, rest.to_vec())));
        prop_assert!(vector.split_last().map(|(item, rest)| (*item, rest.to_vec()))
            == std.split_last().map(|(item, rest)| (*item, rest.to_vec())));
        let (low, high) = std.split_at(cut);
        prop_assert_eq!(vector.strip_prefix(low).map(Vec::from), Some(high.to_vec()));
        prop_assert_eq!(vector.strip_suffix(high).map(Vec::from), Some(low.to_vec()));
        let other: Vec<u32> = low.iter().map(|item| item + 1).collect();
        prop_assert_eq!(vector.strip_prefix(&other).is_some(), std.strip_prefix(&other[..]).is_some());
        prop_assert_eq!(vector.strip_suffix(&other).is_some(), std.strip_suffix(&other[..]).is_some());
        let sought = std.get(cut).copied().unwrap_or(1000);
        prop_assert_eq!(vector.index_of(&sought), std.iter().position(|item| *item == sought));
        if let Some((_, rest)) = vector.split_first() {
            rest.check();
        }
    }

    #[test]
    fn repeated_vectors_are_repeated_slices((std, front) in items(), count in 0..20usize) {
        let vector = two_ended(&std, front);
        let mut repeated = vector.repeat(count);
        repeated.check();
        let mut expected = std.repeat(count);
        prop_assert_eq!(&repeated, &expected);
        // What the repetitions share is copied when one of them changes.
        if !expected.is_empty() {
            let middle = expected.len() / 2;
            (repeated[middle], expected[middle]) = (7777, 7777);
            repeated.remove(0);
            expected.remove(0);
            repeated.check();
            prop_assert_eq!(&repeated, &expected);
        }
        prop_assert_eq!(vector, std);
    }

    #[test]
    fn a_focus_reads_what_get_reads((std, front) in items(), at in vec(0..2100usize, 0..60), cut in 0..2000usize) {
        let vector = two_ended(&std, front);
        let mut focus = vector.focus();
        for index in at.iter().flat_map(|&at| [at, at + 1, at.saturating_sub(1)]) {
            prop_assert_eq!(focus.get(index), std.get(index));
        }
        let cut = cut.min(std.len());
        let (mut low, mut high) = focus.split_at(cut);
        prop_assert_eq!((low.len(), high.len()), (cut, std.len() - cut));
        for index in at {
            prop_assert_eq!(low.get(index), std[..cut].get(index));
            prop_assert_eq!(high.get(index), std[cut..].get(index));
        }
        prop_assert!(low.iter().eq(&std[..cut]) && high.into_iter().eq(&std[cut..]));
    }

    #[test]
    fn ends_work_as_those_of_a_deque((std, front) in items(), at in 0..2000usize, odd in any::<bool>()) {
        let (mut vector, mut deque) = (two_ended(&std, front), VecDeque::from(std));
        let held = vector.clone();
        let is_odd = |item: &u32| (item % 2 == 1) == odd;
        for at in [at, 0, at / 2, deque.len()] {
            prop_assert_eq!(vector.swap_remove_back(at), deque.swap_remove_back(at));
            prop_assert_eq!(vector.swap_remove_front(at), deque.swap_remove_front(at));
            prop_assert_eq!(vector.pop_back_if(is_odd), deque.pop_back_if(|item| is_odd(item)));
            prop_assert_eq!(vector.pop_front_if(is_odd), deque.pop_front_if(|item| is_odd(item)));
            *vector.push_back_mut(at as u32) += 1;
            *deque.push_back_mut(at as u32) += 1;
            *vector.push_front_mut(at as u32) += 2;
            *deque.push_front_mut(at as u32) += 2;
            let index = at.min(deque.len());
            *vector.insert_mut(index, 5) += 3;
            deque.insert(index, 8);
        }
        vector.check();
        prop_assert_eq!(&vector, &deque);
        held.check();
    }

    #[test]
    fn sorted_insertion_keeps_order_and_stability(std in vec((0..20u8, any::<u16>()), 0..300)) {
        let mut by_key: Vector<(u8, u16)> = Vector::new();
        let mut expected: Vec<(u8, u16)> = Vec::new();
        let mut whole = Vector::new();
        for item in &std {
            let at = by_key.insert_sorted_by_key(*item, |item| item.0);
            let place = expected.partition_point(|other| other.0 <= item.0);
            expected.insert(place, *item);
            prop_assert_eq!(at, place);
            whole.insert_sorted(*item);
        }
        prop_assert_eq!(&by_key, &expected);
        prop_assert!(by_key.is_sorted_by_key(|item| item.0) && by_key.is_sorted_by(|one, two| one.0 <= two.0));
        expected.sort();
        prop_assert_eq!(&whole, &expected);
        for item in std.iter().chain(&[(99, 0)]) {
            prop_assert_eq!(whole.partition_point(|other| other < item), expected.partition_point(|other| other < item));
            prop_assert_eq!(whole.binary_search(item).is_ok(), expected.binary_search(item).is_ok());
        }
        let mut falling = Vector::new();
        std.iter().for_each(|item| _ = falling.insert_sorted_by(item.1, |one, two| two.cmp(one)));
        prop_assert_eq!(falling.is_sorted_by(|one, two| one >= two), true);
        prop_assert_eq!(by_key.is_sorted_by(|one, two| one < two), Vec::from(&by_key).is_sorted_by(|one, two| one < two));
    }

    #[test]
    fn vectors_equal_what_they_are_made_of((std, front) in items(), other in vec(0..8u32, 0..5)) {
        let vector = two_ended(&std, front);
        let deque = VecDeque::from(std.clone());
        let mut copy = std.clone();
        let (slice, changing) = (&std[..], &mut copy[..]);
        prop_assert_eq!([vector == deque, deque == vector, vector == std, std == vector], [true; 4]);
        prop_assert_eq!([vector == *slice, *slice == vector, vector == slice, slice == vector], [true; 4]);
        prop_assert_eq!([vector == changing, changing == vector], [true; 2]);
        for other in [&other, &std] {
            let theirs = Vector::from(other);
            prop_assert_eq!(vector == *other, std == *other);
            prop_assert_eq!(*other == vector, std == *other);
            prop_assert_eq!(deque == theirs, deque == *other);
            let theirs = VecDeque::from(other.clone());
            prop_assert_eq!(vector == theirs, std == *other);
        }
        prop_assert_eq!(Vec::from(vector.clone()), std.clone());
        prop_assert_eq!(Vec::from(&vector), std.clone());
        prop_assert_eq!(&Box::<[u32]>::from(vector.clone())[..], &std[..]);
        prop_assert_eq!(VecDeque::from(vector.clone()), deque.clone());
        for made in [
            Vector::from(std.clone()),
            Vector::from(&std),
            Vector::from(&std[..]),
            Vector::from(std.clone().into_boxed_slice()),
            Vector::from(deque.clone()),
            Vector::from(&deque),
        ] {
            made.check();
            prop_assert_eq!(made, std.clone());
        }
        let heap = BinaryHeap::from(std.clone());
        prop_assert_eq!(Vector::from(heap.clone()), heap.clone().into_vec());
        prop_assert_eq!(BinaryHeap::from(vector.clone()).into_sorted_vec(), heap.into_sorted_vec());
        let parts = [vector.clone(), Vector::new(), vector.clone()];
        prop_assert_eq!(parts.iter().sum::<Vector<_>>(), std.repeat(2));
        prop_assert_eq!(parts.into_iter().sum::<Vector<_>>(), std.repeat(2));
        prop_assert_eq!(&vector + &vector, std.repeat(2));
    }

    #[test]
    fn maps_come_from_std_and_go_back(std in std_map(0..500u32, 0..9u8, 0..300)) {
        let sorted: BTreeMap<u32, u8> = std.clone().into_iter().collect();
        let list: Vec<(u32, u8)> = sorted.clone().into_iter().collect();
        let (hash, ord): (HashMap<_, _>, OrdMap<_, _>) = (list.clone().into(), list.clone().into());
        for map in [
            HashMap::from(&std),
            HashMap::from(std.clone()),
            HashMap::from(&sorted),
            HashMap::from(sorted.clone()),
            HashMap::from(&list),
            HashMap::from(&list[..]),
        ] {
            prop_assert_eq!(map, hash.clone());
        }
        for map in [
            OrdMap::from(&std),
            OrdMap::from(std.clone()),
            OrdMap::from(&sorted),
            OrdMap::from(sorted.clone()),
            OrdMap::from(&list),
            OrdMap::from(&list[..]),
        ] {
            map.check();
            prop_assert_eq!(map, ord.clone());
        }
        prop_assert_eq!(collections::HashMap::<u32, u8>::from(&hash), std.clone());
        prop_assert_eq!(collections::HashMap::<u32, u8>::from(hash.clone()), std.clone());
        prop_assert_eq!(BTreeMap::from(&ord), sorted.clone());
        prop_assert_eq!(Vec::from(ord.clone()), list.clone());
        prop_assert_eq!(Vec::from(hash.clone()), hash.iter().map(|(key, value)| (*key, *value)).collect::<Vec<_>>());

        let (std, sorted): (collections::HashSet<u32>, BTreeSet<u32>) =
            (std.into_keys().collect(), sorted.into_keys().collect());
        let list: Vec<u32> = sorted.iter().copied().collect();
        let (hash, ord): (HashSet<_>, OrdSet<_>) = (list.clone().into(), list.clone().into());
        for set in [
            HashSet::from(&std),
            HashSet::from(&sorted),
            HashSet::from(sorted.clone()),
            HashSet::from(&list),
            HashSet::from(&list[..]),
        ] {
            prop_assert_eq!(set, hash.clone());
        }
        for set in [OrdSet::from(&std), OrdSet::from(std.clone()), OrdSet::from(&sorted), OrdSet::from(&list)] {
            prop_assert_eq!(set, ord.clone());
        }
        prop_assert_eq!(collections::HashSet::<u32>::from(&hash), std);
        prop_assert_eq!(BTreeSet::from(&ord), sorted);
        prop_assert_eq!(Vec::from(ord), list);
        prop_assert_eq!(Vec::from(hash.clone()).len(), hash.len());
    }

    #[test]
    fn unions_keep_the_first_entry_of_a_key(maps in vec(btree_map(0..60u16, 0..9u8, 0..40), 0..5)) {
        let mut expected = BTreeMap::new();
        for map in maps.iter().rev() {
            expected.extend(map.clone());
        }
        let hash = || maps.iter().map(HashMap::from);
        let ord = || maps.iter().map(OrdMap::from);
        prop_assert_eq!(HashMap::unions(hash()), HashMap::from(&expected));
        prop_assert_eq!(hash().sum::<HashMap<_, _>>(), HashMap::from(&expected));
        prop_assert_eq!(hash().collect::<Vec<_>>().iter().sum::<HashMap<_, _>>(), HashMap::from(&expected));
        prop_assert_eq!(OrdMap::unions(ord()), OrdMap::from(&expected));
        prop_assert_eq!(ord().collect::<Vec<_>>().iter().sum::<OrdMap<_, _>>(), OrdMap::from(&expected));
        let keys: BTreeSet<u16> = expected.into_keys().collect();
        let hash = hash().map(|map| map.into_keys().collect::<HashSet<_>>());
        let ord = ord().map(|map| map.into_keys().collect::<OrdSet<_>>());
        prop_assert_eq!(hash.clone().sum::<HashSet<_>>(), HashSet::from(&keys));
        prop_assert_eq!(HashSet::unions(hash), HashSet::from(&keys));
        prop_assert_eq!(ord.clone().sum::<OrdSet<_>>(), OrdSet::from(&keys));
        prop_assert_eq!(OrdSet::unions(ord), OrdSet::from(&keys));
    }

    #[test]
    fn submaps_are_found(
        base in btree_map(0..400u32, 0..3u8, 0..300),
        other in btree_map(0..400u32, 0..3u8, 0..9),
        keep in 1..40u32,
    ) {
        let part: BTreeMap<u32, u8> = base.clone().into_iter().filter(|(key, _)| key % keep == 0).collect();
        let mut mixed = part.clone();
        mixed.extend(other.clone());
        for (few, many) in [(&part, &base), (&base, &part), (&mixed, &base), (&base, &mixed), (&other, &base), (&base, &base)] {
            let is_submap = few.iter().all(|(key, value)| many.get(key) == Some(value));
            let is_below = few.iter().all(|(key, value)| many.get(key).is_some_and(|other| value <= other));
            let is_subset = few.keys().all(|key| many.contains_key(key));
            let (hash, all_hash) = (HashMap::from(few), HashMap::from(many));
            let (ord, all_ord) = (OrdMap::from(few), OrdMap::from(many));
            prop_assert_eq!(hash.is_submap(&all_hash), is_submap);
            prop_assert_eq!(ord.is_submap(&all_ord), is_submap);
            prop_assert_eq!(hash.is_submap_by(&all_hash, |one, two| one <= two), is_below);
            prop_assert_eq!(ord.is_submap_by(&all_ord, |one, two| one <= two), is_below);
            let is_more = few.len() < many.len();
            prop_assert_eq!(hash.is_proper_submap(&all_hash), is_submap && is_more);
            prop_assert_eq!(ord.is_proper_submap(&all_ord), is_submap && is_more);
            prop_assert_eq!(hash.is_proper_submap_by(&all_hash, |one, two| one <= two), is_below && is_more);
            prop_assert_eq!(ord.is_proper_submap_by(&all_ord, |one, two| one <= two), is_below && is_more);
            let (hash, all_hash): (HashSet<_>, HashSet<_>) =
                (hash.into_keys().collect(), all_hash.into_keys().collect());
            let (ord, all_ord): (OrdSet<_>, OrdSet<_>) = (ord.into_keys().collect(), all_ord.into_keys().collect());
            prop_assert_eq!(hash.is_subset(&all_hash), is_subset);
            prop_assert_eq!(ord.is_subset(&all_ord), is_subset);
            prop_assert_eq!(hash.is_proper_subset(&all_hash), is_subset && is_more);
            prop_assert_eq!(ord.is_proper_subset(&all_ord), is_subset && is_more);
        }
        // A version and a change of it.
        let whole = OrdMap::from(&base);
        let mut fewer = whole.clone();
        if let Some((key, _)) = fewer.pop_first() {
            prop_assert!(fewer.is_proper_submap(&whole) && !whole.is_submap(&fewer));
            fewer.insert(key, 9);
            prop_assert!(!fewer.is_submap(&whole) && fewer.is_submap_by(&whole, |_, _| true));
        }
    }

    #[test]
    fn neighbours_are_changed_alone(base in btree_map(0..900u32, 0..9u32, 0..500), at in 0..1000u32) {
        let mut expected = base.clone();
        let mut map = OrdMap::from(&base);
        let held = map.clone();
        prop_assert_eq!(
            map.get_prev_mut(&at).map(|(key, value)| { *value += 100; *key }),
            expected.range_mut(..=at).next_back().map(|(key, value)| { *value += 100; *key })
        );
        prop_assert_eq!(
            map.get_next_mut(&at).map(|(key, value)| { *value += 1000; *key }),
            expected.range_mut(at..).next().map(|(key, value)| { *value += 1000; *key })
        );
        prop_assert_eq!(
            map.get_key_value_mut(&at).map(|(key, value)| { *value += 7; *key }),
            expected.get_mut(&at).map(|value| { *value += 7; at })
        );
        prop_assert_eq!(
            map.get_index_mut(at as usize).map(|(key, value)| { *value += 9; *key }),
            expected.iter_mut().nth(at as usize).map(|(key, value)| { *value += 9; *key })
        );
        map.check();
        prop_assert_eq!(BTreeMap::from(&map), expected);
        prop_assert_eq!(BTreeMap::from(&held), base.clone());
        let mut hash = HashMap::from(&base);
        prop_assert_eq!(hash.get_key_value_mut(&at).map(|(key, value)| { *value = 77; *key }), base.get_key_value(&at).map(|entry| *entry.0));
        prop_assert_eq!(hash.get(&at).copied(), base.get(&at).map(|_| 77));
    }

    #[test]
    fn sets_give_out_what_std_gives(std in vec(0..500u32, 0..400), odd in 1..5u32, low in 0..500u32) {
        let goes = |item: &u32| item.is_multiple_of(odd);
        let (mut hash, mut ord): (HashSet<u32>, OrdSet<u32>) = (std.clone().into(), std.clone().into());
        let (hash_held, ord_held) = (hash.clone(), ord.clone());
        let mut theirs: BTreeSet<u32> = std.iter().copied().collect();
        prop_assert_eq!(&hash.extract_if(goes).collect::<BTreeSet<_>>(), &theirs.iter().copied().filter(goes).collect());
        prop_assert_eq!(
            ord.extract_if(low.., goes).collect::<Vec<_>>(),
            theirs.extract_if(low.., |item| goes(item)).collect::<Vec<_>>()
        );
        prop_assert_eq!(BTreeSet::from(ord.clone()), theirs);
        prop_assert!(hash.iter().all(|item| !goes(item)));
        prop_assert!(hash.try_iter().unwrap().map(Result::unwrap).eq(&hash));
        prop_assert!(ord.try_iter().unwrap().map(Result::unwrap).eq(&ord));
        prop_assert_eq!(hash_held.len(), ord_held.len());
    }
}

#[test]
fn a_heap_and_an_array_are_converted_whole() {
    assert_eq!(Vector::from(&[1, 2, 3]), [1, 2, 3]);
    let (pair, turned) = (&[1, 2], &[2, 1]);
    let (two, three) = (Vector::from(pair), Vector::from([1, 2, 3]));
    assert_eq!([*pair == two, pair == two, two == *pair, two == pair], [true; 4]);
    assert_eq!([*pair == three, turned == two, two == *turned, three == pair], [false; 4]);
    let long: Vector<String> = (0..300).map(|n| n.to_string()).collect();
    let array = <[String; 300]>::try_from(long.clone()).unwrap();
    assert_eq!(array, long);
    assert_eq!(<[String; 299]>::try_from(long.clone()).unwrap_err(), long);
    assert_eq!(<[u8; 0]>::try_from(Vector::new()), Ok([]));
    assert_eq!(HashMap::from(&[(1, 'a')]), HashMap::from([(1, 'a')]));
    assert_eq!(OrdMap::from(&[(1, 'a')]), OrdMap::from([(1, 'a')]));
    assert_eq!((HashSet::from(&[1, 1]).len(), OrdSet::from(&[2, 1]).first()), (1, Some(&1)));
}

#[test]
fn macros_list_what_they_make() {
    assert!(crate::vector![] == Vector::<u8>::new() && crate::vector![1, 2,] == [1, 2]);
    assert_eq!(crate::vector![String::from("x"); 3], ["x"; 3]);
    assert_eq!(crate::vector![0u8; 1000].len(), 1000);
    assert_eq!(crate::hash_map! { 1 => 'a', 2 => 'b', 1 => 'c', }, HashMap::from([(1, 'c'), (2, 'b')]));
    assert_eq!(crate::ord_map! { 2 => 'b', 1 => 'a' }, OrdMap::from([(1, 'a'), (2, 'b')]));
    assert_eq!(crate::hash_set! { 1, 1, 2, }, HashSet::from([2, 1]));
    assert_eq!(crate::ord_set! { 3, 1 }, OrdSet::from([1, 3]));
    let (hash, ord): (HashMap<u8, u8>, OrdMap<u8, u8>) = (crate::hash_map! {}, crate::ord_map! {});
    let (hashes, ords): (HashSet<u8>, OrdSet<u8>) = (crate::hash_set! {}, crate::ord_set! {});
    assert!(hash.is_empty() && ord.is_empty() && hashes.is_empty() && ords.is_empty());
}

#[test]
fn capacity_is_ignored_and_changes_nothing() {
    let mut vector = Vector::with_capacity(1 << 60);
    vector.push(1);
    vector.reserve(usize::MAX);
    vector.shrink_to_fit();
    assert_eq!(vector, [1]);
    let mut map: HashMap<u8, u8> = HashMap::with_capacity(1 << 60);
    map.reserve(usize::MAX);
    map.insert(1, 2);
    map.shrink_to_fit();
    assert_eq!(map, [(1, 2)].into());
    let mut set = HashSet::with_capacity_and_hasher(5, *map.hasher());
    set.reserve(usize::MAX);
    set.shrink_to_fit();
    assert!(set.insert(1) && HashSet::<u8>::with_capacity(9).is_empty());
    let with_hasher: HashMap<u8, u8> = HashMap::with_capacity_and_hasher(9, *map.hasher());
    assert!(with_hasher.is_empty());
}

#[test]
fn a_repetition_that_would_be_too_long_is_refused_at_once() {
    let vector: Vector<u8> = (0..200).collect();
    let message = std::panic::catch_unwind(|| vector.repeat(usize::MAX)).unwrap_err();
    assert!(message.downcast_ref::<String>().unwrap().contains("capacity overflow"));
    assert!(vector.repeat(0).is_empty() && Vector::<u8>::new().repeat(usize::MAX).is_empty());
    // Repetitions share their nodes.
    let large: Vector<u8> = vector.repeat(1 << 24);
    assert_eq!((large.len(), large[200 * 7 + 3], large.last()), (200 << 24, 3, Some(&199)));
    let held = crate::footprint::footprint(&[large]).total_bytes;
    assert!(held < 100_000, "{held} bytes");
}

#[test]
fn what_misses_copies_nothing() {
    let mut map: OrdMap<u32, u32> = (0..1000).map(|n| (2 * n, n)).collect();
    let held = map.clone();
    assert!(map.get_next_mut(&1999).is_none() && map.get_key_value_mut(&1).is_none());
    assert!(map.get_index_mut(1000).is_none() && map.get_prev_mut(&0).is_some());
    let mut map = held.clone();
    map.remove(&0);
    let without = map.clone();
    assert!(map.get_prev_mut(&1).is_none());
    assert!(map.ptr_eq(&without) && !map.ptr_eq(&held));
    let mut vector: Vector<u32> = (0..1000).collect();
    let held = vector.clone();
    assert!(vector.pop_back_if(|_| false).is_none() && vector.pop_front_if(|_| false).is_none());
    assert!(vector.swap_remove_back(1000).is_none() && vector.swap_remove_front(1000).is_none());
    assert!(vector.ptr_eq(&held));
}

/// Iterators are made empty, wherever one is left in the place of another.
#[test]
fn iterators_over_nothing_are_empty_from_both_ends() {
    fn empty<I: Iterator + Default>() {
        let mut iter = I::default();
        assert!(iter.size_hint() == (0, Some(0)) && iter.next().is_none() && iter.next().is_none());
    }
    fn both<I: DoubleEndedIterator + Default>() {
        empty::<I>();
        let mut iter = I::default();
        assert!(iter.next_back().is_none() && iter.next().is_none() && iter.nth(3).is_none());
        assert!(
            I::default().nth_back(1).is_none() && I::default().last().is_none() && I::default().count() == 0
        );
    }
    use crate::{hash_map, hash_set, ord_map, ord_set, vector};
    type K = String;
    empty::<hash_map::Iter<'_, K, K>>();
    empty::<hash_map::IterMut<'_, K, K>>();
    empty::<hash_map::IntoIter<K, K>>();
    empty::<hash_map::Keys<'_, K, K>>();
    empty::<hash_map::Values<'_, K, K>>();
    empty::<hash_map::ValuesMut<'_, K, K>>();
    empty::<hash_map::IntoKeys<K, K>>();
    empty::<hash_map::IntoValues<K, K>>();
    empty::<hash_set::Iter<'_, K>>();
    empty::<hash_set::IntoIter<K>>();
    both::<ord_map::Iter<'_, K, K>>();
    both::<ord_map::IterMut<'_, K, K>>();
    both::<ord_map::IntoIter<K, K>>();
    both::<ord_map::Keys<'_, K, K>>();
    both::<ord_map::Values<'_, K, K>>();
    both::<ord_map::ValuesMut<'_, K, K>>();
    both::<ord_map::IntoKeys<K, K>>();
    both::<ord_map::IntoValues<K, K>>();
    both::<ord_set::Iter<'_, K>>();
    both::<ord_set::IntoIter<K>>();
    both::<vector::Iter<'_, K>>();
    both::<vector::IterMut<'_, K>>();
    both::<vector::IntoIter<K>>();
    assert!(vector::Chunks::<'_, K>::default().next().is_none());
    assert!(vector::Chunks::<'_, K>::default().next_back().is_none());
}
