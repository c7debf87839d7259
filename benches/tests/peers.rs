//! The same operations on our collections, on imbl's and on rpds's, with versions of all held.

use proptest::prelude::*;

use perennial::{HashMap, HashSet, OrdMap, OrdSet, Vector};

type Ops = Vec<(u8, u16, u16)>;

fn ops(count: usize) -> impl Strategy<Value = Ops> {
    prop::collection::vec((any::<u8>(), any::<u16>(), any::<u16>()), count)
}

/// What a map of ours has to share with a peer's.
macro_rules! maps {
    ($ops:expr, $ours:ty, $theirs:ty, $rpds:ty) => {
        let (mut ours, mut theirs, mut rpds) = (<$ours>::new(), <$theirs>::new(), <$rpds>::new_sync());
        for key in 0..300u16 {
            ours.insert(key, 0u16);
            theirs.insert(key, 0);
            rpds.insert_mut(key, 0);
        }
        let mut held = Vec::new();
        for (what, key, value) in $ops {
            let key = key % 500;
            match what % 16 {
                0..6 => {
                    assert_eq!(ours.insert(key, value), theirs.insert(key, value));
                    rpds.insert_mut(key, value);
                }
                6..10 => {
                    assert_eq!(ours.remove(&key), theirs.remove(&key));
                    rpds.remove_mut(&key);
                }
                10 => {
                    *ours.entry(key).or_insert(7) ^= value;
                    *theirs.entry(key).or_insert(7) ^= value;
                    let new = rpds.get(&key).copied().unwrap_or(7) ^ value;
                    rpds.insert_mut(key, new);
                }
                11 => {
                    let change = |old: &mut u16| *old ^= value;
                    let found = ours.get_mut(&key).map(change);
                    assert_eq!(theirs.get_mut(&key).map(change), found);
                    assert_eq!(rpds.get_mut(&key).map(change), found);
                }
                12 => held.push((ours.clone(), theirs.clone(), rpds.clone())),
                13 if !held.is_empty() => {
                    let at = usize::from(value) % held.len();
                    (ours, theirs, rpds) = held[at].clone();
                }
                14 if !held.is_empty() => {
                    let (other, peer, _) = held[usize::from(value) % held.len()].clone();
                    let (mine, theirs_too) = match key % 4 {
                        0 => (ours.union(&other), theirs.clone().union(peer)),
                        1 => (ours.intersection(&other), theirs.clone().intersection(peer)),
                        2 => (ours.difference(&other), theirs.clone().relative_complement(peer)),
                        _ => (ours.symmetric_difference(&other), theirs.clone().symmetric_difference(peer)),
                    };
                    (ours, theirs) = (mine, theirs_too);
                    rpds = ours.iter().map(|(&key, &value)| (key, value)).collect();
                }
                _ => assert_eq!(ours.get_key_value(&key), theirs.get_key_value(&key)),
            }
            assert_eq!((ours.get(&key), ours.len()), (theirs.get(&key), theirs.len()));
            assert_eq!((ours.get(&key), ours.len()), (rpds.get(&key), rpds.size()));
        }
        held.push((ours, theirs, rpds));
        for (ours, theirs, rpds) in &held {
            let sorted = |mut entries: Vec<(u16, u16)>| {
                entries.sort_unstable();
                entries
            };
            let mine = sorted(ours.iter().map(|(&key, &value)| (key, value)).collect());
            assert_eq!(mine, sorted(theirs.iter().map(|(&key, &value)| (key, value)).collect()));
            assert_eq!(mine, sorted(rpds.iter().map(|(&key, &value)| (key, value)).collect()));
        }
        let (first, last) = (&held[0], &held[held.len() - 1]);
        assert_eq!(first.0 == last.0, first.1 == last.1);
        assert_eq!(first.0 == last.0, first.2 == last.2);
        assert_eq!(first.0.is_submap_of(&last.0), first.1.is_submap(&last.1));
    };
}

trait IsSubmap {
    fn is_submap_of(&self, other: &Self) -> bool;
}

impl IsSubmap for HashMap<u16, u16> {
    fn is_submap_of(&self, other: &Self) -> bool {
        !self.diff(other).any(|change| change.old().is_some())
    }
}

impl IsSubmap for OrdMap<u16, u16> {
    fn is_submap_of(&self, other: &Self) -> bool {
        !self.diff(other).any(|change| change.old().is_some())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn hash_maps_do_what_peers_do(ops in ops(200)) {
        maps!(ops, HashMap<u16, u16>, imbl::HashMap<u16, u16>, rpds::HashTrieMapSync<u16, u16>);
    }

    #[test]
    fn ordered_maps_do_what_peers_do(ops in ops(200)) {
        maps!(ops, OrdMap<u16, u16>, imbl::OrdMap<u16, u16>, rpds::RedBlackTreeMapSync<u16, u16>);
    }

    #[test]
    fn vectors_do_what_peers_do(ops in ops(200)) {
        let mut ours: Vector<u16> = (0..400).collect();
        let mut theirs: imbl::Vector<u16> = (0..400u16).collect();
        let mut model: Vec<u16> = (0..400).collect();
        let mut rpds: rpds::VectorSync<u16> = (0..400).collect();
        let mut held = Vec::new();
        for (what, at, item) in ops {
            let len = ours.len();
            let at = usize::from(at) * len / 65536;
            match what % 16 {
                0..3 => {
                    ours.push_back(item);
                    theirs.push_back(item);
                    rpds.push_back_mut(item);
                    model.push(item);
                }
                3 | 4 if len > 0 => {
                    assert_eq!(ours.set(at, item), theirs.set(at, item));
                    assert!(rpds.set_mut(at, item));
                    model[at] = item;
                }
                5 => {
                    assert_eq!(ours.pop_back(), theirs.pop_back());
                    assert_eq!(rpds.drop_last_mut(), model.pop().is_some());
                }
                6 => held.push((ours.clone(), theirs.clone(), rpds.clone())),
                7 if !held.is_empty() => {
                    (ours, theirs, rpds) = held[usize::from(item) % held.len()].clone();
                    model = ours.iter().copied().collect();
                }
                // What follows rpds has not.
                8 => {
                    ours.push_front(item);
                    theirs.push_front(item);
                    model.insert(0, item);
                }
                9 => {
                    ours.insert(at, item);
                    theirs.insert(at, item);
                    model.insert(at, item);
                }
                10 if len > 0 => {
                    assert_eq!(ours.remove(at), theirs.remove(at));
                    model.remove(at);
                }
                11 => {
                    let (left, right) = ours.split_at(at);
                    let (their_left, their_right) = theirs.split_at(at);
                    (ours, theirs) = (right + left, their_right + their_left);
                    model.rotate_left(at);
                }
                12 if len < 1000 && !held.is_empty() => {
                    let (other, peer, _) = held[usize::from(item) % held.len()].clone();
                    ours.append(&mut { other });
                    theirs.append(peer.clone());
                    model.extend(peer);
                }
                13 if len > 0 => {
                    ours.swap(at, len - 1);
                    theirs.swap(at, len - 1);
                    model.swap(at, len - 1);
                }
                14 => {
                    ours.sort();
                    theirs.sort();
                    model.sort();
                    assert_eq!(ours.binary_search(&item).is_ok(), theirs.binary_search(&item).is_ok());
                }
                15 => {
                    ours.retain(|other| other % 16 != item % 16);
                    model.retain(|other| other % 16 != item % 16);
                    // (imbl 7.0.2 keeps items here that it was told to drop.)
                    theirs = model.iter().copied().collect();
                }
                _ => {}
            }
            if what % 16 > 7 {
                rpds = model.iter().copied().collect();
            }
            assert_eq!(ours, model, "{what} {at} {item}");
            assert!(theirs.iter().eq(&model), "imbl {what} {at} {item}");
            assert_eq!((ours.get(at), ours.first(), ours.last()), (theirs.get(at), theirs.front(), theirs.back()));
            assert_eq!((ours.get(at), ours.first(), ours.last()), (rpds.get(at), rpds.first(), rpds.last()));
        }
        held.push((ours, theirs, rpds));
        for (ours, theirs, rpds) in &held {
            assert!(ours.iter().eq(theirs.iter()) && ours.iter().rev().eq(rpds.iter().rev()));
        }
        assert_eq!(held[0].0 == held[held.len() - 1].0, held[0].1 == held[held.len() - 1].1);
    }

    #[test]
    fn sets_do_what_peers_do(ops in ops(200)) {
        let (mut hash, mut ord): (HashSet<u16>, OrdSet<u16>) = (HashSet::new(), OrdSet::new());
        let (mut their_hash, mut their_ord) = (imbl::HashSet::<u16>::new(), imbl::OrdSet::<u16>::new());
        let mut rpds = rpds::HashTrieSetSync::<u16>::new_sync();
        let mut held = vec![(hash.clone(), ord.clone(), their_ord.clone())];
        for (what, item, with) in ops {
            let item = item % 500;
            match what % 8 {
                0..4 => {
                    let new = their_hash.insert(item).is_none();
                    assert_eq!((hash.insert(item), ord.insert(item)), (new, new));
                    their_ord.insert(item);
                    rpds.insert_mut(item);
                }
                4 | 5 => {
                    let found = rpds.remove_mut(&item);
                    assert_eq!((hash.remove(&item), ord.remove(&item)), (found, found));
                    assert_eq!((their_hash.remove(&item).is_some(), their_ord.remove(&item).is_some()), (found, found));
                }
                6 => held.push((hash.clone(), ord.clone(), their_ord.clone())),
                _ => {
                    let (other, others, peer) = held[usize::from(with) % held.len()].clone();
                    assert_eq!(hash.is_subset(&other), their_ord.is_subset(&peer));
                    assert_eq!(ord.is_subset(&others), their_ord.is_subset(&peer));
                    (hash, ord, their_ord) = match item % 4 {
                        0 => (&hash | &other, &ord | &others, their_ord.union(peer)),
                        1 => (&hash & &other, &ord & &others, their_ord.intersection(peer)),
                        2 => (&hash - &other, &ord - &others, their_ord.relative_complement(peer)),
                        _ => (&hash ^ &other, &ord ^ &others, their_ord.symmetric_difference(peer)),
                    };
                    their_hash = their_ord.iter().copied().collect();
                    rpds = their_ord.iter().copied().collect();
                }
            }
            assert_eq!((hash.len(), ord.len(), rpds.size()), (their_ord.len(), their_ord.len(), their_ord.len()));
            assert_eq!((ord.first(), ord.last()), (their_ord.get_min(), their_ord.get_max()));
            assert_eq!((hash.contains(&item), ord.contains(&item)), (rpds.contains(&item), rpds.contains(&item)));
            assert_eq!((ord.get_prev(&item), ord.get_next(&item)), (their_ord.get_prev(&item), their_ord.get_next(&item)));
        }
        assert!(ord.iter().eq(their_ord.iter()) && hash.iter().all(|item| rpds.contains(item)));
    }

    #[test]
    fn maps_cut_and_joined_agree_with_imbl_while_versions_live(ops in prop::collection::vec((any::<u8>(), any::<u16>()), 300)) {
        let mut ours: OrdMap<u16, u32> = (0..1000).map(|n| (n, 0)).collect();
        let mut theirs: imbl::OrdMap<u16, u32> = (0..1000u16).map(|n| (n, 0u32)).collect();
        let mut held = Vec::new();
        for (step, (what, n)) in ops.into_iter().enumerate() {
            let n = n % 2000;
            match what % 8 {
                0..3 => assert_eq!(ours.insert(n, step as u32), theirs.insert(n, step as u32)),
                3..6 => assert_eq!(ours.remove(&n), theirs.remove(&n)),
                6 => held.push((ours.clone(), theirs.clone())),
                _ => {
                    let (low, value, high) = ours.split_at_key(&n);
                    let (their_low, their_value, their_high) = theirs.split_lookup(&n);
                    assert_eq!(value, their_value);
                    assert!(low.iter().eq(their_low.iter()) && high.iter().eq(their_high.iter()));
                    ours = high.union(&low);
                    theirs = their_high.union(their_low);
                }
            }
            assert_eq!(ours.get_prev(&n), theirs.get_prev(&n));
            assert_eq!(ours.get_next(&n), theirs.get_next(&n));
        }
        held.push((ours, theirs));
        for (ours, theirs) in &held {
            assert!(ours.iter().eq(theirs.iter()));
        }
    }

    #[test]
    fn concatenation_agrees_with_imbl(cuts in prop::collection::vec((any::<u16>(), any::<u16>()), 40)) {
        let mut ours: Vector<u64> = (0..3000).collect();
        let mut theirs: imbl::Vector<u64> = (0..3000).collect();
        for (a, b) in cuts {
            let (at, from) = (usize::from(a) % (ours.len() + 1), usize::from(b) % (ours.len() + 1));
            let mut right = ours.split_off(at);
            right.append(&mut ours);
            ours = right;
            theirs = { let (left, mut right) = theirs.split_at(at); right.append(left); right };
            if from < ours.len() {
                assert_eq!(ours.remove(from), theirs.remove(from));
                ours.insert(ours.len() - from, 7);
                theirs.insert(theirs.len() - from, 7);
            }
            assert!(ours.iter().eq(theirs.iter()));
        }
    }
}
