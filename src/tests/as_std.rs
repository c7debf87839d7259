//! Differences that a program would notice that goes over from std's collections: which key stays, which ranges panic, what `Debug`
//! prints.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::ops::Bound::{self, Excluded, Included, Unbounded};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{HashMap, HashSet, OrdMap, OrdSet, Vector, hash_map};

/// A key that equals others of its number, whatever its maker.
#[derive(Clone, Copy, Debug)]
struct Made(u32, char);

impl PartialEq for Made {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl Eq for Made {}
impl Hash for Made {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl PartialOrd for Made {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Made {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

fn made<C: FromIterator<(Made, char)>>(numbers: impl IntoIterator<Item = u32>, maker: char) -> C {
    numbers.into_iter().map(|number| (Made(number, maker), maker)).collect()
}

#[test]
fn append_keeps_the_keys_that_std_keeps() {
    let sizes = [(0u32, 0u32), (1, 3), (30, 10), (10, 30), (400, 3), (3, 400), (500, 600)];
    for (mine, theirs) in sizes {
        for (step, other_step, from) in [(1, 1, 0), (2, 3, 0), (3, 1, 5), (1, 4, 200), (5, 5, 1)] {
            let mine = || (0..mine).map(move |n| n * step);
            let theirs = || (0..theirs).map(move |n| n * other_step + from);
            let (mut std, mut std_other) = (made::<BTreeMap<_, _>>(mine(), 'a'), made(theirs(), 'b'));
            std.append(&mut std_other);
            let expected: Vec<_> = std.iter().map(|(key, value)| (key.0, key.1, *value)).collect();
            for shared in [false, true] {
                let (mut map, mut other) =
                    (made::<OrdMap<_, _>>(mine(), 'a'), made::<OrdMap<_, _>>(theirs(), 'b'));
                let held = shared.then(|| (map.clone(), other.clone()));
                map.append(&mut other);
                map.check();
                assert!(other.is_empty());
                assert!(map.iter().map(|(key, value)| (key.0, key.1, *value)).eq(expected.iter().copied()));
                drop(held);
            }
            let mut set: OrdSet<Made> = mine().map(|n| Made(n, 'a')).collect();
            set.append(&mut theirs().map(|n| Made(n, 'b')).collect());
            assert!(set.iter().map(|key| (key.0, key.1)).eq(expected.iter().map(|entry| (entry.0, entry.1))));
        }
    }
}

#[test]
fn versions_that_are_appended_keep_their_keys_too() {
    let base: OrdMap<Made, char> = made(0..2000, 'a');
    let mut newer = base.clone();
    for number in (0..2000).step_by(500) {
        newer.remove(&Made(number, 'x'));
        newer.insert(Made(number, 'b'), 'b');
    }
    let mut all = base.clone();
    all.append(&mut newer);
    assert!(all.keys().all(|key| key.1 == 'a'));
    assert_eq!(all.values().filter(|value| **value == 'b').count(), 4);
}

#[test]
fn a_union_never_mixes_the_key_of_one_map_with_the_value_of_the_other() {
    for (mine, theirs) in [(1000u32, 10u32), (10, 1000), (100, 100)] {
        let one: HashMap<Made, char> = made(0..mine, 'a');
        let mut two = HashMap::with_seed(1);
        two.extend(made::<Vec<_>>(0..theirs, 'b'));
        let mut same_seed = one.clone();
        same_seed.clear();
        same_seed.extend(made::<Vec<_>>(0..theirs, 'b'));
        for two in [&two, &same_seed] {
            let both = mine.min(theirs) as usize;
            for map in [one.union(two), one.merge_with(two, |_, mine, _| *mine)] {
                assert!(map.iter().all(|(key, value)| key.1 == *value), "{mine} {theirs}");
                assert_eq!(map.values().filter(|value| **value == 'a').count(), mine as usize);
            }
            for map in [one.intersection(two), one.difference(two)] {
                assert!(map.iter().all(|(key, value)| (key.1, *value) == ('a', 'a')), "{mine} {theirs}");
            }
            let merged = one.merge_with(two, |_, _, theirs| *theirs);
            assert!(merged.keys().filter(|key| key.1 == 'a').count() == mine as usize && both > 0);
            let set = |map: &HashMap<Made, char>| map.keys().copied().collect::<HashSet<_>>();
            assert!(set(&one).union(&set(two)).iter().filter(|key| key.1 == 'a').count() == mine as usize);
        }
    }
}

#[test]
fn an_occupied_entry_shows_the_key_in_the_map() {
    let mut map: HashMap<Made, char> = made(0..100, 'a');
    let mut std: std::collections::HashMap<Made, char> = made(0..100, 'a');
    for number in [7, 99, 100] {
        assert_eq!(map.entry(Made(number, 'x')).key().1, std.entry(Made(number, 'x')).key().1);
    }
    let hash_map::Entry::Occupied(mut entry) = map.entry(Made(7, 'x')) else { panic!("it is there") };
    assert_eq!((entry.key().1, *entry.get(), entry.insert('n')), ('a', 'a', 'a'));
    assert_eq!(entry.remove_entry(), (Made(7, 'a'), 'n'));
    assert_eq!(*map.entry(Made(7, 'y')).insert_entry('z').get(), 'z');
    assert_eq!(map.get_key_value(&Made(7, ' ')).map(|(key, value)| (key.1, *value)), Some(('y', 'z')));
}

/// Result of a call: a value or the message of its panic.
fn outcome<R>(run: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => other.downcast::<&str>().map_or_else(|_| "?".to_owned(), |text| (*text).to_owned()),
    })
}

#[test]
fn ranges_are_taken_or_refused_as_std_does() {
    let bounds = |n: i32| [Included(n), Excluded(n), Unbounded];
    for len in [0, 1, 2, 5, 300] {
        let mut std: BTreeMap<i32, i32> = (0..len).map(|n| (n, n)).collect();
        let mut map: OrdMap<i32, i32> = std.clone().into_iter().collect();
        let (std_set, set): (BTreeSet<i32>, OrdSet<i32>) =
            (std.keys().copied().collect(), map.keys().copied().collect());
        for start in (-1..6).flat_map(bounds) {
            for end in (-1..6).flat_map(bounds) {
                let range: (Bound<i32>, Bound<i32>) = (start, end);
                let ours = |text: String| text.replace("OrdMap", "BTreeMap").replace("OrdSet", "BTreeSet");
                let what = format!("{range:?} of {len}");
                let std_range = outcome(|| std.range(range).map(|(key, _)| *key).collect::<Vec<_>>());
                assert_eq!(
                    outcome(|| map.range(range).map(|(key, _)| *key).collect::<Vec<_>>()).map_err(ours),
                    std_range,
                    "{what}"
                );
                assert_eq!(
                    outcome(|| map.range_mut(range).map(|(key, _)| *key).collect::<Vec<_>>()).map_err(ours),
                    std_range,
                    "{what}"
                );
                assert_eq!(
                    outcome(|| set.range(range).copied().collect::<Vec<_>>()).map_err(ours),
                    outcome(|| std_set.range(range).copied().collect()),
                    "{what}"
                );
                let message = outcome(|| set.clone().remove_range(range)).err();
                assert!(message.is_none_or(|message| message.contains("OrdSet")), "{what}");
                let taken: Vec<_> = map.clone().extract_if(range, |key, _| key % 2 == 0).collect();
                assert_eq!(
                    taken,
                    std.clone().extract_if(range, |key, _| key % 2 == 0).collect::<Vec<_>>(),
                    "{what}"
                );
            }
        }
        std.clear();
        map.clear();
        let turned = (Included(5), Excluded(1));
        assert_eq!(map.range(turned).count(), std.range(turned).count());
    }
}

#[test]
fn debug_prints_what_std_prints() {
    fn same(ours: impl Debug, std: impl Debug) {
        assert_eq!(format!("{ours:?}"), format!("{std:?}"));
        assert_eq!(format!("{ours:#?}"), format!("{std:#?}"));
    }
    let mut ord = OrdMap::from([(1, 'a'), (2, 'b'), (3, 'c')]);
    let mut std = BTreeMap::from([(1, 'a'), (2, 'b'), (3, 'c')]);
    same(&ord, &std);
    same(ord.iter(), std.iter());
    same(ord.range(2..), std.range(2..));
    same((ord.keys(), ord.values()), (std.keys(), std.values()));
    same(ord.clone().into_iter(), std.clone().into_iter());
    same(
        (ord.clone().into_keys(), ord.clone().into_values()),
        (std.clone().into_keys(), std.clone().into_values()),
    );
    same(ord.entry(1), std.entry(1));
    same(ord.entry(9), std.entry(9));
    same(ord.extract_if(.., |_, _| true), std.extract_if(.., |_, _| true));
    let (mut left, mut std_left) = (ord.into_iter(), std.into_iter());
    assert_eq!((left.next(), left.next_back()), (std_left.next(), std_left.next_back()));
    same(left, std_left);

    let mut hash = HashMap::from([(1, 'a')]);
    let mut std = std::collections::HashMap::from([(1, 'a')]);
    same(&hash, &std);
    same((hash.iter(), hash.keys(), hash.values()), (std.iter(), std.keys(), std.values()));
    same(hash.clone().into_iter(), std.clone().into_iter());
    same(
        (hash.clone().into_keys(), hash.clone().into_values()),
        (std.clone().into_keys(), std.clone().into_values()),
    );
    same(hash.clone().drain(), std.clone().drain());
    same(hash.entry(1), std.entry(1));
    same(hash.entry(9), std.entry(9));
    same(hash.extract_if(|_, _| true), std.extract_if(|_, _| true));
    same(HashSet::from([1]).iter(), std::collections::HashSet::from([1]).iter());

    let (mut vector, mut std) = (Vector::from([1, 2, 3]), vec![1, 2, 3]);
    same(&vector, &std);
    same(vector.iter(), std.iter());
    same(vector.clone().into_iter(), std.clone().into_iter());
    same(vector.extract_if(.., |_| true), std.extract_if(.., |_| true));
    // Shared entries are shown as owned ones are.
    let many: HashMap<u32, u32> = (0..100).map(|n| (n, n)).collect();
    let (shown, mut rest) = (format!("{:?}", many.clone().into_iter()), many.clone().into_iter());
    assert_eq!(shown, format!("{:?}", many.iter()));
    drop(many.clone());
    let first = rest.next().unwrap();
    assert_eq!(shown.replacen(&format!("{first:?}, "), "", 1), format!("{rest:?}"));
}

thread_local!(static COMPARED: Cell<u32> = const { Cell::new(0) });

#[derive(Clone, PartialEq, Eq)]
struct Watched(u32);

impl PartialOrd for Watched {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Watched {
    fn cmp(&self, other: &Self) -> Ordering {
        COMPARED.set(COMPARED.get() + 1);
        self.0.cmp(&other.0)
    }
}

#[test]
fn the_ends_of_what_is_in_order_are_found_without_a_walk() {
    let mut map: OrdMap<Watched, u32> = (0..10_000).map(|n| (Watched(n), n)).collect();
    let mut set: OrdSet<Watched> = map.keys().cloned().collect();
    COMPARED.set(0);
    assert_eq!(map.keys().max().map(|key| key.0), Some(9999));
    assert_eq!(map.keys().min().map(|key| key.0), Some(0));
    assert_eq!(map.iter().max().map(|(key, _)| key.0), Some(9999));
    assert_eq!((map.keys().last().map(|key| key.0), map.values().last()), (Some(9999), Some(&9999)));
    assert_eq!((set.iter().max().map(|key| key.0), set.iter().min().map(|key| key.0)), (Some(9999), Some(0)));
    assert_eq!(map.iter_mut().max().map(|(key, _)| key.0), Some(9999));
    assert_eq!(
        (map.iter_mut().min().map(|(key, _)| key.0), map.values_mut().last().copied()),
        (Some(0), Some(9999))
    );
    assert_eq!(
        (map.iter().nth_back(10).map(|(key, _)| key.0), map.keys().nth_back(5000).map(|key| key.0)),
        (Some(9989), Some(4999))
    );
    assert_eq!(set.range(..).nth(77).map(|key| key.0), Some(77));
    assert_eq!(map.clone().into_keys().max().map(|key| key.0), Some(9999));
    assert_eq!(
        (map.clone().into_iter().last().map(|(key, _)| key.0), map.keys().count()),
        (Some(9999), 10_000)
    );
    assert_eq!(COMPARED.get(), 0);
    // From both ends, past each other.
    let numbers: OrdMap<u32, u32> = (0..1000).map(|n| (n, n)).collect();
    let (mut ours, mut std) = (numbers.keys(), (0..1000u32).collect::<Vec<_>>().into_iter());
    for n in [3, 0, 50, 7, 200, 1, 90] {
        assert_eq!((ours.nth_back(n).copied(), ours.nth(n).copied()), (std.nth_back(n), std.nth(n)));
    }
    assert!(ours.copied().eq(std));
    assert_eq!(
        (
            numbers.iter().nth_back(1000),
            numbers.iter().nth_back(usize::MAX),
            set.pop_first().map(|key| key.0)
        ),
        (None, None, Some(0))
    );
}

#[test]
fn maps_compare_whatever_their_keys_have() {
    /// Equal to itself, in no order. (It has one for a map to be made.)
    #[derive(Clone, PartialEq, Debug)]
    struct Unordered(u32);
    fn equal<K: PartialEq, V: PartialEq>(one: &OrdMap<K, V>, two: &OrdMap<K, V>) -> bool {
        one == two
    }
    assert!(Unordered(1) != Unordered(2) && equal(&OrdMap::<Unordered, f64>::new(), &OrdMap::new()));
    let base: OrdMap<u32, f64> = (0..3000).map(|n| (n, f64::from(n))).collect();
    let mut other = base.clone();
    assert_eq!((base == other, base.partial_cmp(&other)), (true, Some(Ordering::Equal)));
    other.insert(1500, -1.0);
    assert_eq!((base == other, base.partial_cmp(&other)), (false, Some(Ordering::Greater)));
    other.insert(1500, 1500.0);
    assert_eq!(base, other);
    // The same contents in nodes of another shape.
    let mut shaped: OrdMap<u32, f64> = OrdMap::new();
    (0..3000).rev().for_each(|n| _ = shaped.insert(n, f64::from(n)));
    assert_eq!((base == shaped, base.partial_cmp(&shaped)), (true, Some(Ordering::Equal)));
    shaped.remove(&2999);
    assert_eq!(
        (base == shaped, base.partial_cmp(&shaped), shaped.partial_cmp(&base)),
        (false, Some(Ordering::Greater), Some(Ordering::Less))
    );
    shaped.insert(2998, f64::NAN);
    assert_eq!((shaped.partial_cmp(&base), shaped == shaped.clone()), (None, true));
    for (one, two) in [(0..10, 0..11), (0..200, 1..200), (5..90, 5..90), (0..0, 0..1), (0..300, 100..300)] {
        let of = |range: &std::ops::Range<u32>| range.clone().map(|n| (n, n)).collect::<OrdMap<u32, u32>>();
        let std =
            |range: &std::ops::Range<u32>| range.clone().map(|n| (n, n)).collect::<BTreeMap<u32, u32>>();
        assert_eq!(of(&one).cmp(&of(&two)), std(&one).cmp(&std(&two)));
        assert_eq!(of(&two).partial_cmp(&of(&one)), std(&two).partial_cmp(&std(&one)));
    }
}

#[test]
fn too_many_items_are_refused_at_once() {
    let refused = |run: fn()| assert!(outcome(run).unwrap_err().contains("capacity overflow"));
    refused(|| drop(Vector::from(vec![(); usize::MAX])));
    refused(|| drop((0..usize::MAX).map(drop).collect::<Vector<()>>()));
    refused(|| Vector::from([()]).extend(std::iter::repeat_n((), usize::MAX)));
    refused(|| Vector::from([()]).resize(usize::MAX, ()));
}
