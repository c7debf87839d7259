//! Vectors against std's, with older versions held, elements that count their drops, and clones that
//! panic.

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use proptest::prelude::*;

use crate::Vector;
use crate::node::{Child, Header, Identity, NodeRef};
use crate::record::{Address, Tag};
use crate::vector::DiffItem;
use crate::vector::node::{Counts, Leaf, MIN_CHILDREN};

#[derive(Clone, Debug)]
enum Op {
    PushBack(u16),
    PushFront(u16),
    PushMany(u16, bool),
    PopBack,
    PopFront,
    PopMany(u16, bool),
    Set(u16, u16),
    Insert(u16, u16),
    Remove(u16),
    RemoveMany(u16, u8),
    InsertMany(u16, u8),
    Swap(u16, u16),
    AppendSelf(u16, u16),
    AppendHeld(u8),
    PrependHeld(u8),
    SplitOff(u16),
    TakeRight(u16),
    Truncate(u16),
    Slice(u16, u16),
    Resize(u16),
    Retain(u16),
    IterMut(u16, u16),
    RangeMut(u16, u16),
    Sort(u8),
    Dedup(u16),
    Splice(u16, u16, u16),
    ExtractIf(u16, u16, u16),
    Rotate(u16),
    Reverse,
    SwapRemove(u16),
    Extend(u16),
    Cursor(u16, Vec<(u8, u16)>),
    RetainMut(u16),
    Hold,
    GoBack(u8),
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => any::<u16>().prop_map(Op::PushBack),
        4 => any::<u16>().prop_map(Op::PushFront),
        5 => (1..400u16, any::<bool>()).prop_map(|(n, front)| Op::PushMany(n, front)),
        2 => Just(Op::PopBack),
        2 => Just(Op::PopFront),
        3 => (1..300u16, any::<bool>()).prop_map(|(n, front)| Op::PopMany(n, front)),
        4 => (any::<u16>(), any::<u16>()).prop_map(|(a, b)| Op::Set(a, b)),
        6 => (any::<u16>(), any::<u16>()).prop_map(|(a, b)| Op::Insert(a, b)),
        6 => any::<u16>().prop_map(Op::Remove),
        5 => (any::<u16>(), any::<u8>()).prop_map(|(a, b)| Op::RemoveMany(a, b)),
        4 => (any::<u16>(), any::<u8>()).prop_map(|(a, b)| Op::InsertMany(a, b)),
        2 => (any::<u16>(), any::<u16>()).prop_map(|(a, b)| Op::Swap(a, b)),
        3 => (any::<u16>(), any::<u16>()).prop_map(|(a, b)| Op::AppendSelf(a, b)),
        3 => any::<u8>().prop_map(Op::AppendHeld),
        3 => any::<u8>().prop_map(Op::PrependHeld),
        3 => any::<u16>().prop_map(Op::SplitOff),
        2 => any::<u16>().prop_map(Op::TakeRight),
        1 => any::<u16>().prop_map(Op::Truncate),
        2 => (any::<u16>(), any::<u16>()).prop_map(|(a, b)| Op::Slice(a, b)),
        1 => (0..600u16).prop_map(Op::Resize),
        1 => (1..100u16).prop_map(Op::Retain),
        2 => (any::<u16>(), any::<u16>()).prop_map(|(a, b)| Op::IterMut(a, b)),
        2 => (any::<u16>(), any::<u16>()).prop_map(|(a, b)| Op::RangeMut(a, b)),
        1 => any::<u8>().prop_map(Op::Sort),
        1 => (1..2000u16).prop_map(Op::Dedup),
        3 => (any::<u16>(), any::<u16>(), 0..300u16).prop_map(|(a, b, n)| Op::Splice(a, b, n)),
        1 => (any::<u16>(), any::<u16>(), 1..100u16).prop_map(|(a, b, n)| Op::ExtractIf(a, b, n)),
        2 => any::<u16>().prop_map(Op::Rotate),
        1 => Just(Op::Reverse),
        2 => any::<u16>().prop_map(Op::SwapRemove),
        3 => (0..1500u16).prop_map(Op::Extend),
        2 => (any::<u16>(), prop::collection::vec((any::<u8>(), any::<u16>()), 0..80))
            .prop_map(|(at, steps)| Op::Cursor(at, steps)),
        1 => any::<u16>().prop_map(Op::RetainMut),
        4 => Just(Op::Hold),
        2 => any::<u8>().prop_map(Op::GoBack),
        1 => Just(Op::Clear),
    ]
}

/// An item of 64 bytes, so that leaves hold eight, and few items make high trees.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct Wide([u64; 8]);

impl From<u16> for Wide {
    fn from(n: u16) -> Self {
        Self([u64::from(n); 8])
    }
}

trait Item: Clone + From<u16> + PartialEq + Eq + Ord + std::hash::Hash + std::fmt::Debug + 'static {}
impl<T: Clone + From<u16> + Eq + Ord + std::hash::Hash + std::fmt::Debug + 'static> Item for T {}

/// Longest vector that the model lets grow.
const MOST: usize = 6000;

fn pick(n: u16, len: usize) -> usize {
    usize::from(n) * (len + 1) / 65536
}

fn apply<T: Item>(op: &Op, ours: &mut Vector<T>, std: &mut Vec<T>, held: &mut Vec<(Vector<T>, Vec<T>)>) {
    let len = std.len();
    let item = |n: u16| T::from(n);
    match *op {
        Op::PushBack(n) => {
            ours.push_back(item(n));
            std.push(item(n));
        }
        Op::PushFront(n) => {
            ours.push_front(item(n));
            std.insert(0, item(n));
        }
        Op::PushMany(n, front) if len < MOST => {
            for n in 0..n {
                if front {
                    ours.push_front(item(n));
                } else {
                    ours.push(item(n));
                }
            }
            let more = (0..n).map(item);
            drop(if front {
                std.splice(0..0, more.rev().collect::<Vec<_>>())
            } else {
                std.splice(len.., more.collect::<Vec<_>>())
            });
        }
        Op::PopBack => assert_eq!(ours.pop_back(), std.pop()),
        Op::PopFront => assert_eq!(ours.pop_front(), (len > 0).then(|| std.remove(0))),
        Op::PopMany(n, front) => {
            for _ in 0..n {
                let (mine, theirs) = if front {
                    (ours.pop_front(), (!std.is_empty()).then(|| std.remove(0)))
                } else {
                    (ours.pop(), std.pop())
                };
                assert_eq!(mine, theirs);
            }
        }
        Op::Set(at, n) if len > 0 => {
            let at = pick(at, len - 1);
            assert_eq!(ours.set(at, item(n)), std::mem::replace(&mut std[at], item(n)));
        }
        Op::Insert(at, n) => {
            ours.insert(pick(at, len), item(n));
            std.insert(pick(at, len), item(n));
        }
        Op::Remove(at) if len > 0 => {
            let at = pick(at, len - 1);
            assert_eq!(ours.remove(at), std.remove(at));
        }
        Op::RemoveMany(at, n) => {
            for _ in 0..n {
                if std.is_empty() {
                    break;
                }
                let at = pick(at, std.len() - 1);
                assert_eq!(ours.remove(at), std.remove(at));
            }
        }
        Op::InsertMany(at, n) if len < MOST => {
            let at = pick(at, len);
            for n in 0..n {
                ours.insert(at + usize::from(n), item(n.into()));
                std.insert(at + usize::from(n), item(n.into()));
            }
        }
        Op::Swap(a, b) if len > 0 => {
            ours.swap(pick(a, len - 1), pick(b, len - 1));
            std.swap(pick(a, len - 1), pick(b, len - 1));
        }
        Op::AppendSelf(a, b) if len < MOST => {
            let (a, b) = (pick(a, len).min(pick(b, len)), pick(a, len).max(pick(b, len)));
            ours.append(&mut ours.slice(a..b));
            std.extend_from_within(a..b);
        }
        Op::AppendHeld(n) if len < MOST && !held.is_empty() => {
            let (other, model) = &held[usize::from(n) % held.len()];
            let mut other = other.clone();
            ours.append(&mut other);
            assert!(other.is_empty());
            other.check();
            std.extend(model.iter().cloned());
        }
        Op::PrependHeld(n) if len < MOST && !held.is_empty() => {
            let (other, model) = held[usize::from(n) % held.len()].clone();
            let mut joined = other;
            joined.append(ours);
            assert!(ours.is_empty());
            *ours = joined;
            std.splice(0..0, model);
        }
        Op::SplitOff(at) => {
            let at = pick(at, len);
            let right = ours.split_off(at);
            right.check();
            assert_eq!(right, std.split_off(at));
        }
        Op::TakeRight(at) => {
            let at = pick(at, len);
            let right = ours.split_off(at);
            ours.check();
            assert_eq!(*ours, std[..at]);
            *ours = right;
            std.drain(..at);
        }
        Op::Truncate(at) => {
            ours.truncate(pick(at, len + 10));
            std.truncate(pick(at, len + 10));
        }
        Op::Slice(a, b) => {
            let (a, b) = (pick(a, len).min(pick(b, len)), pick(a, len).max(pick(b, len)));
            let slice = ours.slice(a..b);
            slice.check();
            assert_eq!(slice, std[a..b]);
            assert!(ours.range(a..b).eq(&std[a..b]));
            assert!(ours.range(a..b).rev().eq(std[a..b].iter().rev()));
        }
        Op::Resize(n) => {
            ours.resize(n.into(), item(n));
            std.resize(n.into(), item(n));
        }
        Op::Retain(n) => {
            let modulus = T::from(n);
            let keep = |item: &T| *item > modulus;
            ours.retain(keep);
            std.retain(keep);
        }
        Op::IterMut(a, b) => {
            let (mut mine, mut theirs) = (ours.iter_mut(), std.iter_mut());
            for _ in 0..pick(a, len) {
                let (mine, theirs) = (mine.next(), theirs.next());
                assert_eq!(mine, theirs);
                mine.into_iter().chain(theirs).for_each(|place| *place = item(b));
            }
            for _ in 0..pick(b, len) {
                let (mine, theirs) = (mine.next_back(), theirs.next_back());
                assert_eq!(mine, theirs);
                mine.into_iter().chain(theirs).for_each(|place| *place = item(a));
            }
            assert_eq!(mine.len(), theirs.len());
        }
        Op::RangeMut(a, b) => {
            let (a, b) = (pick(a, len).min(pick(b, len)), pick(a, len).max(pick(b, len)));
            let (mut mine, mut theirs) = (ours.range_mut(a..b), std[a..b].iter_mut());
            for step in 0.. {
                let pair = match step % 3 {
                    0 => (mine.next_back(), theirs.next_back()),
                    _ => (mine.next(), theirs.next()),
                };
                assert_eq!(pair.0, pair.1);
                let (Some(mine), Some(theirs)) = pair else { break };
                (*mine, *theirs) = (item(step), item(step));
            }
            assert_eq!(mine.len(), 0);
        }
        Op::Sort(how) => {
            let sought = item(u16::from(how));
            match how % 4 {
                0 => ours.sort(),
                1 => ours.sort_by_key(|item| item.clone()),
                2 => ours.sort_unstable(),
                _ => ours.sort_by_cached_key(|item| item.clone()),
            }
            std.sort();
            assert_eq!(ours.binary_search(&sought).is_ok(), std.binary_search(&sought).is_ok());
            let low = |other: &T| *other < sought;
            assert_eq!(ours.partition_point(low), std.partition_point(low));
        }
        Op::Dedup(n) => {
            let key = |other: &T| *other < item(n);
            ours.dedup_by_key(key);
            std.dedup_by_key(|item| key(item));
        }
        Op::Splice(a, b, n) => {
            let (a, b) = (pick(a, len).min(pick(b, len)), pick(a, len).max(pick(b, len)));
            let n = if len < MOST { n } else { 0 };
            let mine = ours.splice(a..b, (0..n).map(item));
            assert!(mine.eq(std.splice(a..b, (0..n).map(item))));
        }
        Op::ExtractIf(a, b, n) => {
            let (a, b) = (pick(a, len).min(pick(b, len)), pick(a, len).max(pick(b, len)));
            let goes = |other: &T| *other < item(n);
            let gone: Vec<T> = ours.extract_if(a..b, goes).take(60).collect();
            assert!(std.extract_if(a..b, |item| goes(item)).take(60).eq(gone));
        }
        Op::Rotate(n) => {
            ours.rotate_left(pick(n, len));
            std.rotate_left(pick(n, len));
        }
        Op::Reverse => {
            ours.reverse();
            std.reverse();
        }
        Op::SwapRemove(at) if len > 0 => {
            let at = pick(at, len - 1);
            assert_eq!(ours.swap_remove(at), std.swap_remove(at));
        }
        Op::Extend(n) if len < MOST => {
            ours.extend((0..n).map(item));
            std.extend((0..n).map(item));
        }
        Op::Cursor(at, ref steps) if len < MOST => {
            let mut at = pick(at, len);
            let mut cursor = ours.cursor_mut(at);
            for &(what, n) in steps {
                match what % 8 {
                    0 | 1 => {
                        cursor.insert_before(item(n));
                        std.insert(at, item(n));
                        at += 1;
                    }
                    2 => {
                        cursor.insert_after(item(n));
                        std.insert(at, item(n));
                    }
                    3 => assert_eq!(cursor.remove_next(), (at < std.len()).then(|| std.remove(at))),
                    4 => {
                        let gone = at.checked_sub(1).map(|before| std.remove(before));
                        assert_eq!(cursor.remove_prev(), gone);
                        at -= usize::from(gone.is_some());
                    }
                    5 => {
                        for _ in 0..usize::from(n) % 40 {
                            assert_eq!(cursor.move_next(), at < std.len());
                            at = (at + 1).min(std.len());
                        }
                    }
                    6 => at -= usize::from(cursor.move_prev()),
                    _ if n % 4 == 0 => {
                        at = pick(n, std.len());
                        cursor.seek(at);
                    }
                    _ => {
                        cursor.next_mut().into_iter().for_each(|place| *place = item(n));
                        std.get_mut(at).into_iter().for_each(|place| *place = item(n));
                    }
                }
                assert_eq!((cursor.index(), cursor.len()), (at, std.len()));
                assert_eq!(cursor.peek_next(), std.get(at));
                assert_eq!(cursor.peek_prev(), at.checked_sub(1).and_then(|before| std.get(before)));
            }
        }
        Op::RetainMut(n) => {
            let keep = |place: &mut T| {
                if *place > item(n) {
                    *place = item(n);
                }
                *place != item(7)
            };
            ours.retain_mut(keep);
            std.retain_mut(keep);
        }
        Op::Hold => held.push((ours.clone(), std.clone())),
        Op::GoBack(n) if !held.is_empty() => {
            let (version, model) = held[usize::from(n) % held.len()].clone();
            assert_eq!(version == *ours, model == *std);
            assert_eq!(version.cmp(ours), model.cmp(std));
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

/// Applies the edits to the old vector; the new one must come out.
fn check_diff<T: Item>(old: &Vector<T>, new: &Vector<T>) {
    let mut patched: Vec<T> = old.iter().cloned().collect();
    let (mut removed, mut added) = (Vec::new(), Vec::new());
    for edit in old.diff(new) {
        match edit {
            DiffItem::Changed { index, old: before, new: after } => {
                assert_eq!(Some(before), old.get(index));
                assert_ne!(before, after);
                patched[index] = after.clone();
            }
            DiffItem::Removed { index, old: before } => {
                assert_eq!(Some(before), old.get(index));
                removed.push(index);
            }
            DiffItem::Added { index, new: after } => added.push((index, after.clone())),
        }
    }
    for index in removed.into_iter().rev() {
        patched.remove(index);
    }
    for (index, item) in added {
        patched.insert(index, item);
    }
    assert_eq!(*new, patched);
}

fn run<T: Item>(ops: &[Op]) {
    let (mut ours, mut std, mut held) = (Vector::new(), Vec::new(), Vec::new());
    for op in ops {
        apply::<T>(op, &mut ours, &mut std, &mut held);
        ours.check();
        assert_eq!(ours.len(), std.len(), "{op:?}");
        assert!(ours == std, "{op:?}");
    }
    assert!(ours.iter().rev().eq(std.iter().rev()));
    assert!(std.iter().enumerate().all(|(index, item)| ours.get(index) == Some(item)));
    for (version, model) in held {
        version.check();
        assert!(version == model, "a held version changed");
        assert_eq!(Vec::from(version), model);
    }
    assert_eq!(Vec::from(ours), std);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: super::CASES, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn edits_agree_with_std(ops in prop::collection::vec(op(), 200)) {
        run::<u64>(&ops);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn edits_of_wide_items_agree_with_std(ops in prop::collection::vec(op(), 100)) {
        run::<Wide>(&ops);
    }

    /// A delta names what changed since its base, and nothing that it does not name may differ.
    #[test]
    fn whatever_changed_is_marked(ops in prop::collection::vec(op(), 1..40), clean_every in 1..20usize) {
        let tag = Tag::next().unwrap();
        let mut log = Log { tag, next: 0, leaves: HashMap::new(), branches: HashMap::new() };
        let (mut ours, mut std, mut held) = (Vector::<u64>::new(), Vec::new(), Vec::new());
        for (step, op) in ops.iter().enumerate() {
            if step % clean_every == 0 {
                log.flush(&ours);
            }
            apply(op, &mut ours, &mut std, &mut held);
            log.verify(&ours);
        }
    }
}

/// What a log would hold: by address, the items of leaves, and the addresses and sizes of children.
struct Log {
    tag: Tag,
    next: u32,
    leaves: HashMap<Address, Vec<u64>>,
    branches: HashMap<Address, Vec<(Address, usize)>>,
}

impl Log {
    fn roots(vector: &Vector<u64>) -> impl Iterator<Item = NodeRef<'_, u64, Counts>> {
        [&vector.head, &vector.tree.root, &vector.tail]
            .into_iter()
            .filter_map(|root| root.get(Default::default))
    }

    fn header<'a>(node: NodeRef<'a, u64, Counts>) -> &'a Header {
        match node {
            NodeRef::Leaf(leaf) => leaf.header(),
            NodeRef::Branch(branch) => branch.header(),
        }
    }

    fn flush(&mut self, vector: &Vector<u64>) {
        Self::roots(vector).for_each(|root| {
            self.flush_node(root);
        });
    }

    fn flush_node(&mut self, node: NodeRef<'_, u64, Counts>) -> Address {
        if let Identity::Clean(_, address) = Self::header(node).identity() {
            return address;
        }
        let children = match node {
            NodeRef::Leaf(_) => Vec::new(),
            NodeRef::Branch(branch) => (0..branch.count())
                .map(|slot| (self.flush_node(branch.child(slot).unwrap()), branch.size(slot)))
                .collect(),
        };
        let address =
            Address::new(self.next >> Address::ORDINAL_BITS, self.next & (Address::MAX_ORDINALS - 1));
        self.next += 1;
        match node {
            NodeRef::Leaf(leaf) => drop(self.leaves.insert(address, leaf.items(false).to_vec())),
            NodeRef::Branch(_) => drop(self.branches.insert(address, children)),
        }
        Self::header(node).set_clean(self.tag, address, 0);
        address
    }

    fn verify(&self, vector: &Vector<u64>) {
        Self::roots(vector).for_each(|root| self.verify_node(root));
    }

    fn verify_node(&self, node: NodeRef<'_, u64, Counts>) {
        let (identity, mask) = (Self::header(node).identity(), Self::header(node).mask());
        let (base, mask) = match identity {
            Identity::Fresh => (None, 0),
            Identity::Clean(_, address) => (Some(address), 0),
            Identity::Dirty(_, address) => (Some(address), mask),
        };
        match node {
            NodeRef::Leaf(leaf) => {
                let Some(base) = base else { return };
                let before = self.leaves.get(&base).expect("the base of a leaf is a leaf");
                let shift = Leaf::<u64>::MASK_SHIFT;
                let items = leaf.items(false);
                if let Identity::Clean(..) = identity {
                    assert_eq!(items, before);
                }
                for (group, part) in items.chunks(1 << shift).enumerate() {
                    if mask >> group & 1 == 0 {
                        let from = group << shift;
                        assert_eq!(
                            Some(part),
                            before.chunks(1 << shift).nth(group),
                            "items from {from} are not marked"
                        );
                    }
                }
            }
            NodeRef::Branch(branch) => {
                let before =
                    base.map(|base| self.branches.get(&base).expect("the base of a branch is a branch"));
                let structure = mask >> 31 == 1;
                if let Some(before) = before {
                    assert!(
                        structure || before.len() == branch.count(),
                        "a changed number of children is not marked"
                    );
                }
                for slot in 0..branch.count() {
                    let Some(Child::Resident(child)) = branch.peek(slot) else { panic!("not resident") };
                    if let Some(before) = before
                        && mask >> slot & 1 == 0
                    {
                        let Identity::Clean(_, address) = Self::header(child).identity() else {
                            panic!("a changed child is not marked");
                        };
                        assert_eq!(
                            before.get(slot),
                            Some(&(address, branch.size(slot))),
                            "slot {slot} is not marked"
                        );
                    }
                    self.verify_node(child);
                }
            }
        }
    }
}

#[test]
fn every_size_around_a_capacity_builds_and_empties() {
    let leaf = Leaf::<u64>::CAPACITY;
    let slots = crate::node::SLOTS;
    let corners = [0, 1, leaf, 2 * leaf, 3 * leaf, leaf * slots, leaf * (slots + 1), leaf * slots * slots];
    for size in corners.iter().flat_map(|&corner: &usize| corner.saturating_sub(2)..corner + 3) {
        let model: Vec<u64> = (0..size as u64).collect();
        let collected: Vector<u64> = model.iter().copied().collect();
        let mut pushed = Vector::new();
        model.iter().for_each(|&item| pushed.push_back(item));
        let mut prepended = Vector::new();
        model.iter().rev().for_each(|&item| prepended.push_front(item));
        for vector in [collected, pushed, prepended] {
            vector.check();
            assert!(vector == model && vector.iter().rev().eq(model.iter().rev()));
            assert_eq!(vector.get(size), None);
            let mut from_the_front = vector.clone();
            assert!((0..size).all(|index| from_the_front.pop_front() == Some(index as u64)));
            assert_eq!(from_the_front.pop_front(), None);
            from_the_front.check();
            let mut from_the_back = vector;
            assert!((0..size).rev().all(|index| from_the_back.pop_back() == Some(index as u64)));
            assert_eq!(from_the_back.pop_back(), None);
            from_the_back.check();
        }
    }
}

#[test]
fn ten_thousand_cuts_and_joins_keep_the_tree_low() {
    let mut seed = 7u64;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize % below
    };
    let mut vector: Vector<u64> = (0..20_000).collect();
    let sum: u64 = vector.iter().sum();
    for step in 0..10_000 {
        let mut right = vector.split_off(random(20_001));
        if step % 3 == 0 {
            let mut far = right.split_off(random(right.len() + 1));
            far.append(&mut vector);
            vector = far;
        }
        right.append(&mut vector);
        vector = right;
        if step % 100 == 0 {
            vector.check();
        }
    }
    vector.check();
    assert_eq!((vector.len(), vector.iter().sum::<u64>()), (20_000, sum));
}

#[test]
fn appending_builds_a_regular_tree() {
    let vector: Vector<u64> = (0..5000).collect();
    let Some(NodeRef::Branch(root)) = vector.tree.node() else { panic!("a tree of one leaf") };
    assert!(root.is_regular());
    let mut cut = vector.clone();
    cut.remove(100);
    let Some(NodeRef::Branch(root)) = cut.tree.node() else { panic!("a tree of one leaf") };
    assert!(!root.is_regular());
}

#[test]
fn doubling_by_appending_itself_stays_low() {
    let mut vector: Vector<u8> = (0..255).collect();
    for _ in 0..20 {
        vector.append(&mut vector.clone());
    }
    assert_eq!(vector.len(), 255 << 20);
    assert_eq!(vector[255 * 1_000_000 + 7], 7);
    vector.remove(100_000_000);
    let bound = (vector.len() / Leaf::<u8>::LEAST).ilog(MIN_CHILDREN) + 2;
    assert!(u32::from(vector.tree.height) <= bound, "height {}, at most {bound}", vector.tree.height);
}

#[test]
fn a_miss_changes_nothing() {
    let vector: Vector<u64> = (0..1000).collect();
    let mut other = vector.clone();
    assert_eq!(other.get_mut(1000), None);
    other.truncate(1000);
    other.retain(|_| true);
    other.sort();
    other.dedup();
    other.rotate_left(1000);
    assert_eq!(other.drain(5..5).count() + other.extract_if(.., |_| false).count(), 0);
    assert!(other.cursor_mut(5).move_next());
    assert_eq!(other.range_mut(7..7).count(), 0);
    assert!(catch_unwind(AssertUnwindSafe(|| other.set(1000, 1))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| other.remove(1000))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| other.insert(1001, 1))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| other.split_off(1001))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| other.swap(0, 1000))).is_err());
    assert!(other.ptr_eq(&vector));
}

#[test]
fn items_without_size_are_counted() {
    let mut vector: Vector<()> = std::iter::repeat_n((), 100_000).collect();
    vector.check();
    vector.insert(5000, ());
    vector.remove(1);
    let mut right = vector.split_off(70_000);
    right.append(&mut vector);
    right.check();
    assert_eq!((right.len(), right.iter().count(), right.iter_mut().count()), (100_000, 100_000, 100_000));
}

#[test]
fn iterators_jump_and_meet_in_the_middle() {
    let mut vector: Vector<u64> = (100..1000).collect();
    (0..100).rev().for_each(|item| vector.push_front(item));
    let mut iter = vector.iter();
    assert_eq!(iter.nth(500), Some(&500));
    assert_eq!(iter.nth_back(100), Some(&899));
    assert_eq!(iter.next(), Some(&501));
    assert_eq!(iter.len(), 899 - 502);
    assert_eq!(iter.nth_back(396), Some(&502));
    assert_eq!((iter.next(), iter.next_back(), iter.nth(3)), (None, None, None));
    for from in (0..=1000).step_by(37) {
        for to in (from..=1000).step_by(41) {
            let mut range = vector.range(from..to);
            let (mut low, mut high) = (from as u64, to as u64);
            while low < high {
                assert_eq!(range.next(), Some(&low));
                low += 1;
                if low < high {
                    high -= 1;
                    assert_eq!(range.next_back(), Some(&high));
                }
            }
            assert_eq!(range.next(), None);
            assert_eq!(range.next_back(), None);
        }
    }
    let backward: Vec<u64> = vector.chunks().rev().flat_map(|chunk| chunk.iter().rev().copied()).collect();
    assert!(backward.into_iter().rev().eq(0..1000));
}

#[test]
fn mutable_iterators_meet_in_the_middle() {
    for size in [0, 1, 50, 64, 65, 130, 200, 5000] {
        for fronts in 0..4 {
            let mut vector: Vector<u64> = (0..size).collect();
            (0..fronts * 30).for_each(|item| vector.push_front(item));
            let mut model: Vec<u64> = vector.iter().copied().collect();
            let held = vector.clone();
            let (mut mine, mut theirs) = (vector.iter_mut(), model.iter_mut());
            for step in 0.. {
                let pair = if step % 3 == 0 {
                    (mine.next_back(), theirs.next_back())
                } else {
                    (mine.next(), theirs.next())
                };
                let (Some(mine), Some(theirs)) = pair else { break };
                assert_eq!(mine, theirs);
                (*mine, *theirs) = (step, step);
            }
            vector.check();
            assert_eq!(vector, model);
            assert_eq!(held.len(), model.len());
        }
    }
}

#[test]
fn an_inserted_run_shows_as_added_and_a_removed_one_as_removed() {
    let old: Vector<u64> = (0..10_000).collect();
    let mut new = old.clone();
    for item in 0..3 {
        new.insert(5000, 100_000 + item);
    }
    let edits: Vec<_> = old.diff(&new).collect();
    assert_eq!(
        edits,
        [
            DiffItem::Added { index: 5000, new: &100_002 },
            DiffItem::Added { index: 5001, new: &100_001 },
            DiffItem::Added { index: 5002, new: &100_000 }
        ]
    );
    let back: Vec<_> =
        new.diff(&old).map(|edit| matches!(edit, DiffItem::Removed { index: 5000..5003, .. })).collect();
    assert_eq!(back, [true; 3]);
}

#[test]
fn comparison_skips_what_is_shared() {
    thread_local!(static COMPARED: Cell<u32> = const { Cell::new(0) });
    #[derive(Clone, Debug)]
    struct Counted(u64);
    impl PartialEq for Counted {
        fn eq(&self, other: &Self) -> bool {
            COMPARED.set(COMPARED.get() + 1);
            self.0 == other.0
        }
    }
    let old: Vector<Counted> = (0..100_000).map(Counted).collect();
    let mut new = old.clone();
    for index in (0..10).map(|n| n * 9_000 + 5) {
        new.set(index, Counted(index as u64));
    }
    new.push_back(Counted(1));
    new.pop_back();
    assert!(old == new);
    let leaves = COMPARED.take();
    assert!(leaves as usize <= 12 * Leaf::<Counted>::CAPACITY, "{leaves} comparisons");
    // A tree that grew a root above the old one still shares it.
    let mut longer = old.clone();
    (0..200_000).for_each(|item| longer.push_back(Counted(item)));
    assert_eq!(old.diff(&longer).count(), 200_000);
    assert!(COMPARED.take() as usize <= 4 * Leaf::<Counted>::CAPACITY);
}

/// Counts how many of it are alive, and panics at a chosen clone.
#[derive(Debug)]
struct Tracked(u16, Rc<Tally>);

#[derive(Default, Debug)]
struct Tally {
    alive: Cell<i64>,
    /// Clones until one panics, 0 for never.
    fuse: Cell<u32>,
}

impl Tracked {
    fn new(n: u16, tally: &Rc<Tally>) -> Self {
        tally.alive.set(tally.alive.get() + 1);
        Self(n, Rc::clone(tally))
    }
}

impl Clone for Tracked {
    fn clone(&self) -> Self {
        let fuse = self.1.fuse.get();
        if fuse > 0 {
            self.1.fuse.set(fuse - 1);
            assert!(fuse > 1, "the clone that was to fail");
        }
        Self::new(self.0, &self.1)
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.1.alive.set(self.1.alive.get() - 1);
    }
}

fn numbers(vector: &Vector<Tracked>) -> Vec<u16> {
    vector.iter().map(|item| item.0).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_panicking_clone_breaks_and_leaks_nothing(
        ops in prop::collection::vec((0..20u8, any::<u16>(), any::<u16>(), 0..200u32), 60),
        start in 0..2000u16,
    ) {
        let tally = Rc::new(Tally::default());
        {
            let mut vector: Vector<Tracked> = (0..start).map(|n| Tracked::new(n, &tally)).collect();
            let mut held: Vec<(Vector<Tracked>, Vec<u16>)> = Vec::new();
            for (op, a, b, fuse) in ops {
                held.push((vector.clone(), numbers(&vector)));
                if held.len() > 4 {
                    held.swap_remove(usize::from(b) % 4);
                }
                let (before, len) = (numbers(&vector), vector.len());
                let mut other = held[usize::from(a) % held.len()].0.clone();
                let item = Tracked::new(a, &tally);
                tally.fuse.set(fuse);
                let outcome = catch_unwind(AssertUnwindSafe(|| match op {
                    0 => vector.push_back(item),
                    1 => vector.push_front(item),
                    2 => drop(vector.pop_back()),
                    3 => drop(vector.pop_front()),
                    4 => vector.insert(pick(b, len), item),
                    5 if len > 0 => drop(vector.remove(pick(b, len - 1))),
                    6 if len > 0 => drop(vector.set(pick(b, len - 1), item)),
                    7 => drop(vector.split_off(pick(b, len))),
                    8 => vector = vector.slice(pick(b, len)..),
                    9 if len < 4000 => vector.append(&mut other),
                    10 => vector.retain(|item| item.0 % 7 != a % 7),
                    11 if len > 0 => vector.swap(pick(a, len - 1), pick(b, len - 1)),
                    12 => vector.iter_mut().take(pick(b, len)).for_each(|item| item.0 += 1),
                    13 => drop(vector.splice(pick(b, len)..len, [item])),
                    14 => vector.rotate_left(pick(b, len)),
                    15 if len > 0 => drop(vector.swap_remove(pick(b, len - 1))),
                    16 => vector.sort_by_key(|item| item.0),
                    17 => vector.sort_unstable_by_key(|one| {
                        drop(item.clone()); // comparing may panic, too
                        one.0
                    }),
                    18 => vector.dedup_by_key(|item| item.0 / 3),
                    19 => drop(vector.extract_if(.., |item| item.0 % 7 == a % 7).next()),
                    _ => {}
                }));
                tally.fuse.set(0);
                vector.check();
                other.check();
                // Appending may have moved some items, mutable iteration may have changed some: documented.
                if outcome.is_err() && op != 9 && op != 12 {
                    let mut after = numbers(&vector);
                    let mut before = before;
                    if op == 17 {
                        after.sort_unstable();
                        before.sort_unstable();
                    }
                    assert_eq!(after, before, "operation {op}");
                }
            }
            for (version, model) in held {
                version.check();
                assert_eq!(numbers(&version), model);
            }
        }
        assert_eq!(tally.alive.get(), 0);
    }
}

#[test]
fn owned_iteration_drops_what_is_left() {
    let tally = Rc::new(Tally::default());
    let vector: Vector<Tracked> = (0..3000).map(|n| Tracked::new(n, &tally)).collect();
    let held = vector.slice(1000..2000);
    let mut items = vector.into_iter();
    assert_eq!((items.next().unwrap().0, items.next_back().unwrap().0, items.len()), (0, 2999, 2998));
    drop(items);
    assert_eq!(numbers(&held), (1000..2000).collect::<Vec<_>>());
    drop(held);
    assert_eq!(tally.alive.get(), 0);
}

#[test]
fn a_panicking_drop_frees_everything_else() {
    struct Bomb(u16, Rc<Cell<u32>>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.1.set(self.1.get() + 1);
            assert!(self.0 != 1234, "the drop that was to fail");
        }
    }
    let dropped = Rc::new(Cell::new(0));
    let vector: Vector<Bomb> = (0..3000).map(|n| Bomb(n, Rc::clone(&dropped))).collect();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(vector))).is_err());
    assert_eq!(dropped.get(), 3000);
}

#[test]
fn a_vector_of_shorter_lives_goes_where_one_of_longer_does() {
    fn shorter<'a>(long: Vector<&'static str>, _: &'a str) -> Vector<&'a str> {
        long
    }
    assert_eq!(shorter(Vector::from(["a"]), ""), ["a"]);
    fn all<T: Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe + Unpin>() {}
    all::<Vector<String>>();
}

#[test]
fn extending_fills_leaves_and_keeps_indexing_by_shifts() {
    let mut vector: Vector<u64> = (0..100).collect();
    for part in 0..50 {
        vector.extend(100 + part * 100..200 + part * 100);
    }
    vector.check();
    assert!(vector.iter().copied().eq(0..5100));
    let Some(NodeRef::Branch(root)) = vector.tree.node() else { panic!("a tree of one leaf") };
    assert!(root.is_regular());
}

#[test]
fn a_cursor_that_only_looks_copies_nothing() {
    let mut vector: Vector<u64> = (0..10_000).collect();
    let snapshot = vector.clone();
    let mut cursor = vector.cursor_mut(100);
    while cursor.move_next() {}
    cursor.seek(5);
    assert_eq!((cursor.peek_prev(), cursor.peek_next()), (Some(&4), Some(&5)));
    drop(cursor);
    assert!(vector.ptr_eq(&snapshot));
}

#[test]
fn bytes_are_read_and_written_as_std_does() {
    use std::io::{BufRead, Read, Write};
    let mut bytes = Vector::<u8>::new();
    for line in 0..2000 {
        writeln!(bytes, "line {line}").unwrap();
    }
    assert!(bytes.starts_with(b"line 0\nline 1\n") && bytes.ends_with(b"line 1999\n"));
    let lines: Vec<String> = bytes.clone().lines().map(Result::unwrap).collect();
    assert!(lines.iter().enumerate().all(|(n, line)| *line == format!("line {n}")) && lines.len() == 2000);
    let (mut text, mut part) = (String::new(), [0; 10]);
    bytes.read_exact(&mut part).unwrap();
    bytes.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("line 1999\n") && &part == b"line 0\nlin" && bytes.is_empty());
}

#[test]
fn a_vector_that_gets_too_long_says_so_and_stays_as_it_is() {
    let mut vector: Vector<u16> = (0..512).collect();
    let (last, message) = loop {
        let (len, mut other) = (vector.len(), vector.clone());
        let appended = catch_unwind(AssertUnwindSafe(|| vector.append(&mut other)));
        if let Err(message) = appended {
            assert_eq!((vector.len(), other.len()), (len, len));
            break (len - 1, message);
        }
        assert_eq!((vector.len(), vector[len], vector[len + 300 % len]), (2 * len, 0, 300));
    };
    assert!(message.downcast_ref::<String>().unwrap().starts_with("capacity overflow: 2147483648 and"));
    assert_eq!((vector[last], vector[last / 2]), (511, 511));
    vector.push(7);
    assert_eq!(vector[last + 1], 7);
}

#[test]
fn small_vectors_stay_small() {
    let vector = Vector::from([1u64]);
    let Some(NodeRef::Leaf(leaf)) = vector.tail.get(Default::default) else { panic!("no tail") };
    assert!(leaf.allocated_bytes(false) <= 64);
}
