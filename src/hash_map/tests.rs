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
            1 => Just(Op::IterMut),
        ],
        200,
    )
}

fn run<S: BuildHasher + Default + Clone>(preload: u16, ops: &[Op]) {
    let mut map: HashMap<u16, u32, S> = (0..preload).map(|key| (key, 0)).collect();
    let mut model: Model<u16, u32> = (0..preload).map(|key| (key, 0)).collect();
    let mut rival: imbl::HashMap<u16, u32> = model.iter().map(|(&key, &value)| (key, value)).collect();
    let mut kept = vec![(map.clone(), model.clone())];
    for op in ops {
        match *op {
            Op::Insert(key, value) => {
                rival.insert(key, value);
                assert_eq!(map.insert(key, value), model.insert(key, value));
            }
            Op::Remove(key) => {
                rival.remove(&key);
                assert_eq!(map.remove(&key), model.remove(&key));
            }
            Op::Change(key, value) => {
                if let Some(old) = rival.get_mut(&key) {
                    *old = value;
                }
                let old = model.get_mut(&key).map(|old| std::mem::replace(old, value));
                assert_eq!(map.get_mut(&key).map(|old| std::mem::replace(old, value)), old);
            }
            Op::Entry(key) => {
                *rival.entry(key).or_insert(7) += 1;
                *model.entry(key).or_insert(7) += 1;
                *map.entry(key).or_insert(7) += 1;
            }
            Op::Snapshot => kept.push((map.clone(), model.clone())),
            Op::Rollback(index) => {
                (map, model) = kept[index % kept.len()].clone();
                rival = model.iter().map(|(&key, &value)| (key, value)).collect();
            }
            Op::Retain(divisor) => {
                rival.retain(|key, _| key % divisor != 0);
                model.retain(|key, _| key % divisor != 0);
                map.retain(|key, _| key % divisor != 0);
            }
            Op::IterMut => {
                rival.iter_mut().for_each(|(key, value)| *value ^= u32::from(*key));
                model.iter_mut().for_each(|(key, value)| *value ^= u32::from(*key));
                map.iter_mut().for_each(|(key, value)| *value ^= u32::from(*key));
            }
        }
        map.check();
        assert_eq!(map.len(), model.len());
    }
    assert_eq!(rival.len(), map.len());
    assert!(rival.iter().all(|(key, value)| map.get(key) == Some(value)));
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
            for change in one.diff(two) {
                match change {
                    DiffItem::Added(&key, &value) => assert_eq!(patched.insert(key, value), None),
                    DiffItem::Removed(key, value) => assert_eq!(patched.remove(key), Some(*value)),
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
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn behaves_as_std_and_imbl_with_snapshots_held(preload in 0..600u16, ops in ops()) {
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
}
