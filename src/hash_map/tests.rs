//! Model tests of the hash map: against std, with snapshots held, with colliding hashes, through a log.

use std::collections::HashMap as Model;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

use proptest::prelude::*;

use super::node::{ROOT, check};
use super::*;

impl<K: Hash + Eq, V, S: BuildHasher> HashMap<K, V, S> {
    /// Checks every structural invariant.
    pub(crate) fn check(&self) {
        let count = self
            .root()
            .map_or(0, |root| check(root, ROOT, 0, self.leaf_capacity as usize, &|key| self.hash(key)));
        assert_eq!(count, self.len);
    }
}

/// Eight hashes for all keys: every leaf collides.
#[derive(Default, Clone)]
pub(crate) struct FewHashes(u64);

impl Hasher for FewHashes {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = u64::from(bytes[0] & 7);
    }
    fn finish(&self) -> u64 {
        self.0.wrapping_mul(0x2000_0000_0000_0001)
    }
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u16, u32),
    Remove(u16),
    Change(u16, u32),
    Entry(u16),
    Snapshot,
    Rollback(usize),
    Retain(u16),
    ExtractIf(u16, usize),
    Algebra(usize, u8),
    Merge(usize, usize),
    IterMut,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let key = || 0..600u16;
    prop::collection::vec(
        prop_oneof![
            8 => (key(), any::<u32>()).prop_map(|(k, v)| Op::Insert(k, v)),
            6 => key().prop_map(Op::Remove),
            3 => (key(), any::<u32>()).prop_map(|(k, v)| Op::Change(k, v)),
            2 => key().prop_map(Op::Entry),
            1 => Just(Op::Snapshot),
            1 => any::<usize>().prop_map(Op::Rollback),
            1 => (1..9u16).prop_map(Op::Retain),
            1 => (1..9u16, 0..40usize).prop_map(|(divisor, most)| Op::ExtractIf(divisor, most)),
            1 => (any::<usize>(), any::<u8>()).prop_map(|(with, how)| Op::Algebra(with, how)),
            1 => (any::<usize>(), any::<usize>()).prop_map(|(base, theirs)| Op::Merge(base, theirs)),
            1 => Just(Op::IterMut),
        ],
        200,
    )
}

/// Checks what two maps have in common and not; the map that `how` chooses.
fn check_algebra<S: BuildHasher + Default + Clone>(
    (mine, x): (&HashMap<u16, u32, S>, &Model<u16, u32>),
    (other, y): (&HashMap<u16, u32, S>, &Model<u16, u32>),
    how: u8,
) -> HashMap<u16, u32, S> {
    let resolve = |mine: u32, theirs: u32| mine.wrapping_mul(3) ^ theirs;
    let (mut results, mut models) = (Vec::new(), [(); 5].map(|()| Model::new()));
    results.push(mine.union(other));
    results.push(mine.intersection(other));
    results.push(mine.difference(other));
    results.push(mine.symmetric_difference(other));
    results.push(mine.merge_with(other, |_, mine, theirs| resolve(*mine, *theirs)));
    for key in 0..600 {
        let [mine, theirs] = [x, y].map(|model| model.get(&key).copied());
        let merged = match (mine, theirs) {
            (Some(mine), Some(theirs)) if mine != theirs => Some(resolve(mine, theirs)),
            (mine, theirs) => mine.or(theirs),
        };
        let values = [
            mine.or(theirs),
            mine.and(theirs).and(mine),
            mine.xor(theirs).and(mine),
            mine.xor(theirs),
            merged,
        ];
        for (model, value) in models.iter_mut().zip(values) {
            model.extend(value.map(|value| (key, value)));
        }
    }
    for (result, model) in results.iter().zip(models) {
        result.check();
        assert_eq!(Model::from(result.clone()), model);
    }
    results.swap_remove(usize::from(how) % 5)
}

fn run<S: BuildHasher + Default + Clone>(preload: u16, ops: &[Op]) {
    let mut map: HashMap<u16, u32, S> = (0..preload).map(|key| (key, 0)).collect();
    let mut model: Model<u16, u32> = (0..preload).map(|key| (key, 0)).collect();
    let mut kept = vec![(map.clone(), model.clone())];
    for op in ops {
        match *op {
            Op::Insert(key, value) => {
                assert_eq!(map.insert(key, value), model.insert(key, value));
            }
            Op::Remove(key) => {
                assert_eq!(map.remove(&key), model.remove(&key));
            }
            Op::Change(key, value) => {
                let old = model.get_mut(&key).map(|old| std::mem::replace(old, value));
                assert_eq!(map.get_mut(&key).map(|old| std::mem::replace(old, value)), old);
            }
            Op::Entry(key) => {
                *model.entry(key).or_insert(7) += 1;
                *map.entry(key).or_insert(7) += 1;
            }
            Op::Snapshot => kept.push((map.clone(), model.clone())),
            Op::Rollback(index) => {
                (map, model) = kept[index % kept.len()].clone();
            }
            Op::Retain(divisor) => {
                model.retain(|key, _| key % divisor != 0);
                let mut seen = Vec::new();
                map.retain(|key, _| {
                    seen.push(*key);
                    key % divisor != 0
                });
                seen.sort_unstable();
                assert!(seen.is_sorted_by(|one, two| one < two), "an entry was looked at twice");
            }
            Op::ExtractIf(divisor, most) => {
                let mut seen = std::collections::HashSet::new();
                let goes = |key: &u16, _: &u32| {
                    assert!(seen.insert(*key), "an entry was looked at twice");
                    key.is_multiple_of(divisor)
                };
                let gone: Vec<_> = map.extract_if(goes).take(most).collect();
                for (key, value) in &gone {
                    assert!(key % divisor == 0 && model.remove(key) == Some(*value));
                }
                assert!(gone.len() == most || model.keys().all(|key| key % divisor != 0));
            }
            Op::Algebra(with, how) => {
                let (other, theirs) = &kept[with % kept.len()];
                map = check_algebra((&map, &model), (other, theirs), how);
                model = map.iter().map(|(&key, &value)| (key, value)).collect();
            }
            Op::Merge(base, theirs) => {
                let (base, theirs) = (&kept[base % kept.len()], &kept[theirs % kept.len()]);
                let resolve = |base: Option<&u32>, mine: Option<&u32>, theirs: Option<&u32>| {
                    Some(base? ^ mine?.wrapping_mul(3) ^ theirs?)
                };
                map = map.three_way_merge(&base.0, &theirs.0, |_, b, m, t| resolve(b, m, t));
                for key in 0..600 {
                    let [base, mine, theirs] = [&base.1, &model, &theirs.1].map(|model| model.get(&key));
                    let merged = match () {
                        () if mine == theirs || base == theirs => mine.copied(),
                        () if base == mine => theirs.copied(),
                        () => resolve(base, mine, theirs),
                    };
                    let _ = match merged {
                        Some(value) => model.insert(key, value),
                        None => model.remove(&key),
                    };
                }
                assert!(map.iter().all(|(key, value)| model.get(key) == Some(value)));
            }
            Op::IterMut => {
                model.iter_mut().for_each(|(key, value)| *value ^= u32::from(*key));
                map.iter_mut().for_each(|(key, value)| *value ^= u32::from(*key));
            }
        }
        map.check();
        assert_eq!(map.len(), model.len());
    }
    kept.push((map, model));
    for (map, model) in &kept {
        map.check();
        assert_eq!(map.iter().len(), model.len());
        assert!(map.iter().all(|(key, value)| model.get(key) == Some(value)));
        assert!(map.clone().into_iter().all(|(key, value)| model[&key] == value));
    }
    for (one, one_model) in &kept {
        for (two, two_model) in &kept {
            assert_eq!(one == two, one_model == two_model);
            let mut patched = two_model.clone();
            for change in two.diff(one) {
                match change {
                    DiffItem::Added { key: &key, new: &value } => {
                        assert_eq!(patched.insert(key, value), None)
                    }
                    DiffItem::Removed { key, old } => assert_eq!(patched.remove(key), Some(*old)),
                    DiffItem::Changed { key, old, new } => {
                        assert_ne!(old, new);
                        assert_eq!(patched.insert(*key, *new), Some(*old));
                    }
                }
            }
            assert_eq!(&patched, one_model);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::tests::CASES))]

    #[test]
    fn behaves_as_std_with_snapshots_held(preload in 0..600u16, ops in ops()) {
        run::<SeededState>(preload, &ops);
    }

    #[test]
    fn behaves_as_std_when_hashes_collide(preload in 0..200u16, ops in ops()) {
        run::<BuildHasherDefault<FewHashes>>(preload, &ops);
    }

    #[test]
    fn shape_does_not_depend_on_history(mut keys in prop::collection::hash_set(any::<u64>(), 0..400)) {
        let mut grown: HashMap<u64, ()> = keys.iter().map(|&key| (key, ())).collect();
        grown.extend((0..500).map(|key| (key, ())));
        for key in 0..500 {
            grown.remove(&key);
        }
        keys.retain(|&key| key >= 500);
        grown.check();
        let direct: HashMap<u64, ()> = keys.iter().map(|&key| (key, ())).collect();
        prop_assert_eq!(grown, direct);
    }
}

#[test]
fn a_no_op_copies_nothing() {
    let mut map: HashMap<u64, u64> = (0..10_000).map(|key| (key, key)).collect();
    let snapshot = map.clone();
    assert_eq!(map.remove(&1_000_000), None);
    assert_eq!(map.get_mut(&1_000_000), None);
    assert!(matches!(map.entry(1_000_000), Entry::Vacant(_)));
    assert!(matches!(map.entry(1), Entry::Occupied(_)));
    assert!(map.ptr_eq(&snapshot));
}

#[test]
fn what_stays_is_not_copied() {
    let mut map: HashMap<u64, u64> = (0..10_000).map(|key| (key, key)).collect();
    let snapshot = map.clone();
    map.retain(|_, _| true);
    assert_eq!(map.extract_if(|_, _| false).count(), 0);
    assert!(map.ptr_eq(&snapshot));
    assert!(map.union(&snapshot).ptr_eq(&map) && map.intersection(&snapshot).ptr_eq(&map));
    map.retain(|key, _| *key != 77);
    let mut one = snapshot.clone();
    one.remove(&77);
    assert_eq!(map, one);
    assert_eq!(snapshot.diff(&map).count(), 1);
}

#[test]
fn merging_versions_looks_at_their_differences_only() {
    thread_local!(static COMPARED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });
    #[derive(Clone)]
    struct Counted(u64);
    impl PartialEq for Counted {
        fn eq(&self, other: &Self) -> bool {
            COMPARED.set(COMPARED.get() + 1);
            self.0 == other.0
        }
    }
    let base: HashMap<u64, Counted> = (0..100_000).map(|key| (key, Counted(key))).collect();
    let (mut mine, mut theirs) = (base.clone(), base.clone());
    for key in 0..10 {
        mine.insert(key * 1000, Counted(1));
        theirs.remove(&(key * 1000 + 500));
    }
    let merged =
        mine.three_way_merge(&base, &theirs, |_, _, _, _| unreachable!("no key changed on both sides"));
    assert_eq!(merged.len(), 99_990);
    assert_eq!(mine.union(&theirs).len(), 100_000);
    assert_eq!(mine.intersection(&theirs).len(), 99_990);
    assert_eq!(mine.symmetric_difference(&theirs).len(), 10);
    assert_eq!(mine.difference(&theirs).len(), 10);
    assert_eq!(mine.merge_with(&theirs, |_, mine, _| mine.clone()).len(), 100_000);
    assert!(COMPARED.get() < 2000, "{} comparisons", COMPARED.get());
}

#[test]
fn maps_of_different_seeds_combine() {
    let one: HashMap<u32, u32> = (0..1000).map(|n| (n, 1)).collect();
    let mut two = HashMap::with_seed(42);
    two.extend((500..2000).map(|n| (n, 2)));
    assert_eq!(one.union(&two), (0..2000).map(|n| (n, if n < 1000 { 1 } else { 2 })).collect());
    assert_eq!(one.intersection(&two), (500..1000).map(|n| (n, 1)).collect());
    assert_eq!(two.intersection(&one), (500..1000).map(|n| (n, 2)).collect());
    assert_eq!(one.difference(&two), (0..500).map(|n| (n, 1)).collect());
    assert_eq!(one.symmetric_difference(&two).len(), 1500);
    two.union(&one).check();
}

#[test]
fn auto_traits_and_variance_are_those_of_std() {
    fn all<T: Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe + Unpin>() {}
    all::<HashMap<String, u32>>();
    all::<crate::HashSet<String>>();
    fn shorter<'a>(map: HashMap<&'static str, &'static str>) -> HashMap<&'a str, &'a str> {
        map
    }
    fn shorter_iter<'a, 'b>(iter: Iter<'a, &'static str, &'static str>) -> Iter<'a, &'b str, &'b str> {
        iter
    }
    let map = HashMap::from([("a", "b")]);
    assert_eq!(shorter_iter(map.iter()).len(), shorter(map.clone()).len());
}

#[test]
fn sets_agree_with_std() {
    use std::collections::HashSet as Std;

    use crate::HashSet;
    let (a, b): (HashSet<u32>, HashSet<u32>) =
        ((0..1000).filter(|n| n % 3 == 0).collect(), (500..1500).filter(|n| n % 2 == 0).collect());
    let (x, y): (Std<u32>, Std<u32>) = (a.clone().into(), b.clone().into());
    assert_eq!(Std::from(&a | &b), &x | &y);
    assert_eq!(Std::from(&a & &b), &x & &y);
    assert_eq!(Std::from(&a ^ &b), &x ^ &y);
    assert_eq!(Std::from(&a - &b), &x - &y);
    assert!((&a & &b).is_subset(&a) && (&a | &b).is_superset(&b) && !a.is_subset(&b));
    assert!((&a - &b).is_disjoint(&b) && !a.is_disjoint(&b) && !a.is_disjoint(&a));
    let mut set = a.clone();
    assert!(set.insert(1) && !set.insert(1) && set.remove(&1) && !set.remove(&1));
    assert_eq!(set, a);
    let snapshot = set.clone();
    assert!(!set.insert(3));
    assert!(set.ptr_eq(&snapshot), "an item that is there copies nothing");
    assert_eq!(
        (set.take(&3), set.get(&6).copied(), set.replace(6), set.replace(7)),
        (Some(3), Some(6), Some(6), None)
    );
    set.map.check();
    assert_eq!((set.drain().count(), set.len(), set.iter().count()), (334, 0, 0));
    assert_eq!(format!("{:?}", HashSet::from([1])), "{1}");
    assert_eq!(a.try_iter().unwrap().map(Result::unwrap).sum::<u32>(), x.iter().sum::<u32>());
    assert!(a.try_contains(&3).unwrap() && a.clone().into_iter().all(|n| x.contains(&n)));
    let text = serde_json::to_string(&a).unwrap();
    assert_eq!(serde_json::from_str::<Std<u32>>(&text).unwrap(), x);
    assert_eq!(serde_json::from_str::<HashSet<u32>>(&text).unwrap(), a);
}

#[test]
fn collecting_builds_what_inserting_builds() {
    for count in [0, 1, 2, 3, 4, 31, 32, 33, 100, 1_000, 20_000_u64] {
        let entries = || (0..count).map(|n| (n.wrapping_mul(0x9e37) % (count / 2 + 1), n));
        let collected: HashMap<u64, u64> = entries().collect();
        collected.check();
        let mut inserted = HashMap::new();
        inserted.extend(entries());
        assert_eq!(collected, inserted, "of equal keys the last value stays");
        assert_eq!(collected.len(), inserted.len());
    }
    // As std: the first of equal keys stays.
    let mut names = [(String::from("ada"), 1), (String::from("ada"), 2)];
    let first = names[0].0.as_ptr();
    let map: HashMap<String, i32> = std::mem::take(&mut names).into();
    let (key, value) = map.get_key_value("ada").unwrap();
    assert_eq!((key.as_ptr(), *value), (first, 2));
}

#[test]
fn one_hash_for_all_keys_still_works() {
    #[derive(Default, Clone)]
    struct Constant;
    impl Hasher for Constant {
        fn write(&mut self, _: &[u8]) {}
        fn finish(&self) -> u64 {
            u64::MAX
        }
    }
    let mut map: HashMap<u32, u32, BuildHasherDefault<Constant>> = HashMap::default();
    for key in 0..300 {
        map.insert(key, key);
        map.check();
    }
    assert!((0..300).all(|key| map[&key] == key));
    for key in 0..300 {
        assert_eq!(map.remove(&key), Some(key));
        map.check();
    }
    assert!(map.is_empty());
    let map: HashMap<u32, u32, BuildHasherDefault<Constant>> = (0..300).map(|n| (n % 100, n)).collect();
    map.check();
    assert_eq!((map.len(), map[&7]), (100, 207));
}

mod panics {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind};

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

    /// Counts its instances; hashing, comparing and cloning may panic.
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
            burn();
            self.0 == other.0
        }
    }

    impl Eq for Touchy {}

    impl Hash for Touchy {
        fn hash<H: Hasher>(&self, state: &mut H) {
            burn();
            // Few hashes, so that leaves fill, split and merge often.
            state.write_u32(self.0 % 40);
        }
    }

    #[test]
    fn user_code_may_panic_at_every_call() {
        let mut blown = 0;
        for fuse in 0..160 {
            for shared in [false, true] {
                let mut map: HashMap<Touchy, Touchy> =
                    (0..120).map(|n| (Touchy::new(n), Touchy::new(n))).collect();
                let before = shared.then(|| map.clone());
                let mut keys: std::collections::BTreeSet<u32> = (0..120).collect();
                for step in 0..12u32 {
                    let number = step * 23 % 130;
                    let key = Touchy::new(number);
                    FUSE.set(fuse);
                    let done = catch_unwind(AssertUnwindSafe(|| match step % 3 {
                        0 => drop(map.remove(&key)),
                        1 => drop(map.insert(Touchy::new(number), Touchy::new(number))),
                        _ => {
                            *map.entry(Touchy::new(number)).or_insert_with(|| Touchy::new(number)) =
                                Touchy::new(number)
                        }
                    }));
                    FUSE.set(usize::MAX);
                    blown += usize::from(done.is_err());
                    map.check();
                    let found: std::collections::BTreeSet<u32> = map.keys().map(|key| key.0).collect();
                    let mut after = keys.clone();
                    let _ = if step % 3 == 0 { after.remove(&number) } else { after.insert(number) };
                    assert!(found == after || done.is_err() && found == keys, "step {step}, fuse {fuse}");
                    keys = found;
                }
                if let Some(before) = before {
                    before.check();
                    assert_eq!(before.len(), 120);
                }
            }
        }
        assert!(blown > 100, "hardly any call panicked: {blown}");
        assert_eq!(LIVE.get(), 0, "entries leaked or were dropped twice");
    }
}

#[cfg(feature = "store")]
mod persist;
