//! Cutting a tree at a position and joining two, in O(log n).
//!
//! What may fail comes first. Separators are clones of keys, so those that a cut or a join makes are cloned before
//! anything moves ([`Seam`], [`Tree::front_key`]), and those that become useless are dropped after it. Where all that is
//! changed is in memory and not shared ([`Tree::is_own_around`]), nothing else of the user's runs, and a tree is changed
//! in place. Where it is not, cutting and joining work on a clone, and a panic on the way (cloning an entry, reading the
//! log) costs what was made so far, and nothing else.

use std::sync::Arc;

use super::node::{Inner, Leaf, Link, LinkRef, assert_room, entries_of, fill_of, share};
use super::tree::{Tree, add_child};
use crate::node::{Child, Node, NodeMut, NodeRef, OwnedLeaf, Source};

/// Nodes of a level that a cut and a join on its left or right may touch: one may be left empty, and the next one may
/// trade with the one behind it.
const BESIDE: usize = 2;

/// The separators that a join makes.
pub(super) struct Seam<K> {
    /// Between the two trees.
    between: K,
    /// Between the last two leaves of the left tree, if these are evened out.
    back: Option<K>,
    /// Between the only leaf of the left tree and the first one of the right, if these are evened out.
    first: Option<K>,
}

impl<K: Clone> Seam<K> {
    /// The separators of joining a tree and the entries of another at position `at` and behind; both have some. The first
    /// leaf of the latter has `first_leaf` entries.
    pub(super) fn of<V>(left: &Tree<K, V>, right: &Tree<K, V>, at: usize, first_leaf: usize) -> Self {
        let key_at = |index: usize| match index.checked_sub(left.len) {
            None => left.key_at(index),
            Some(index) => right.key_at(at + index),
        };
        Self {
            between: right.key_at(at),
            back: left.back_key(left.len),
            first: first_key::<K, V>(left.len, left.height == 0, first_leaf, key_at),
        }
    }

    /// The separators of joining what is left of a tree when the entries from `from` to `to` are cut out, which are
    /// neither its first nor its last; the first leaf behind them then has `first_leaf` entries.
    pub(super) fn around<V>(tree: &Tree<K, V>, from: usize, to: usize, first_leaf: usize) -> Self {
        let is_one_leaf = from <= tree.leaf_around(0).1;
        Self {
            between: tree.key_at(to),
            back: tree.back_key(from),
            first: first_key::<K, V>(from, is_one_leaf, first_leaf, |at| {
                tree.key_at(if at < from { at } else { at - from + to })
            }),
        }
    }
}

/// The separator between a left tree of one small leaf and the first leaf of a right one, if they are evened out.
fn first_key<K, V>(
    left: usize,
    is_one_leaf: bool,
    first_leaf: usize,
    key_at: impl FnOnce(usize) -> K,
) -> Option<K> {
    let total = left + first_leaf;
    let is_evened = is_one_leaf && left < Leaf::<(K, V)>::LEAST && total > Leaf::<(K, V)>::CAPACITY;
    is_evened.then(|| key_at(share(total, Leaf::<(K, V)>::CAPACITY, false)))
}

impl<K, V> Tree<K, V> {
    /// Returns whether all nodes that a cut before the entry at `at`, or a join there, may touch are in memory, of one opening,
    /// and not shared.
    pub(super) fn is_own_around(&self, at: usize) -> bool {
        if self.len == 0 {
            return true;
        }
        let Some(root) = self.root.resident() else { return false };
        let mut below = at.min(self.len - 1);
        let mut opening = None::<&Arc<Source<_, _>>>;
        // The nodes of a level that matter, in order; the one on the way is at `here`.
        let (mut level, mut here): (Vec<LinkRef<'_, K, V>>, usize) = (vec![root], 0);
        loop {
            let mut branches = Vec::with_capacity(level.len());
            for node in &level {
                let NodeRef::Branch(branch) = *node else { continue };
                if !branch.is_own() {
                    return false;
                }
                if let Some(source) = branch.source() {
                    if opening.is_some_and(|opening| !opening.shares_pin(source)) {
                        return false;
                    }
                    opening = Some(source);
                }
                branches.push(branch);
            }
            if branches.is_empty() {
                let is_shared = |node: &LinkRef<'_, K, V>| matches!(node, NodeRef::Leaf(leaf) if leaf.header().is_shared());
                return !level.iter().any(is_shared);
            }
            let (slot, inner) = branches[here].extra.locate(below);
            below = inner;
            let before = branches[..here].iter().map(|branch| branch.count()).sum::<usize>() + slot;
            let first = before.saturating_sub(BESIDE);
            let slots =
                branches.iter().flat_map(|&branch| (0..branch.count()).map(move |slot| (branch, slot)));
            level.clear();
            for (branch, slot) in slots.skip(first).take(before - first + BESIDE + 1) {
                match branch.peek(slot) {
                    Some(Child::Resident(child)) => level.push(child),
                    _ => return false,
                }
            }
            here = before - first;
        }
    }

    /// The position at which the leaf of the entry at `at` begins, and how many it has.
    fn leaf_around(&self, at: usize) -> (usize, usize) {
        self.spot(at).map_or((at, 0), |spot| (at - spot.index, spot.entries.len()))
    }

    /// A clone of the key at a position.
    fn key_at(&self, at: usize) -> K
    where
        K: Clone,
    {
        let spot = self.spot(at).expect("a position of the tree");
        spot.entries[spot.index].0.clone()
    }

    /// The separator between the first two leaves of a tree of the entries from `from` to `to`, if a cut at `from` evens
    /// them out; and how many entries the first one has then.
    pub(super) fn front_key(&self, from: usize, to: usize) -> (Option<K>, usize)
    where
        K: Clone,
    {
        if from >= to {
            return (None, 0);
        }
        let (start, len) = self.leaf_around(from);
        let first = (start + len).min(to) - from;
        if from == start || first >= Leaf::<(K, V)>::LEAST || from + first == to {
            return (None, first);
        }
        let second = self.leaf_around(from + first).1.min(to - from - first);
        let (total, most) = (first + second, Leaf::<(K, V)>::CAPACITY);
        let keep = share(total, most, true);
        ((keep < total).then(|| self.key_at(from + keep)), keep)
    }

    /// The separator between the last two leaves of a tree of the first `to` entries, if a join evens them out.
    fn back_key(&self, to: usize) -> Option<K>
    where
        K: Clone,
    {
        let last = to - self.leaf_around(to.checked_sub(1)?).0;
        let before = (to - last).checked_sub(1)?;
        let total = last + self.leaf_around(before).1;
        let is_evened = last < Leaf::<(K, V)>::LEAST && total > Leaf::<(K, V)>::CAPACITY;
        is_evened.then(|| self.key_at(to - total + share(total, Leaf::<(K, V)>::CAPACITY, false)))
    }
}

impl<K: Clone, V: Clone> Tree<K, V> {
    /// The trees of the first `at` entries and of the others.
    pub(super) fn cut(self, at: usize) -> (Self, Self) {
        let even = self.front_key(at, self.len).0;
        self.cut_by(at, even, &mut Vec::new())
    }

    /// As [`cut`](Self::cut), where [`front_key`](Self::front_key) was asked before. Separators that become useless go
    /// to `dropped`.
    pub(super) fn cut_by(mut self, at: usize, even: Option<K>, dropped: &mut Vec<K>) -> (Self, Self) {
        if at == 0 {
            return (Self::empty(), self);
        }
        if at >= self.len {
            return (self, Self::empty());
        }
        let right = match self.node_mut() {
            Some(NodeMut::Branch(root)) => cut_below(root, at, dropped),
            Some(NodeMut::Leaf(mut leaf)) => {
                let mut right =
                    OwnedLeaf::with_capacity(Leaf::<(K, V)>::room_for(leaf.as_ref().len() - at), false);
                leaf.move_tail(at, &mut right.as_mut(), Leaf::<(K, V)>::SHIFT);
                Some(Node::from_leaf(right))
            }
            None => None,
        };
        let (mut left, mut right) = (Self::of(self.take()), Self::of(right));
        while left.collapse() {}
        while right.collapse() {}
        if let Some(NodeMut::Branch(root)) = right.node_mut() {
            fill_front(root, even, dropped);
        }
        while right.collapse() {}
        (left, right)
    }

    /// The tree of the entries of `left` and then those of `right`, whose keys are all above.
    pub(super) fn join(left: Self, right: Self) -> Self {
        if left.len == 0 {
            return right;
        }
        if right.len == 0 {
            return left;
        }
        assert_room(left.len, right.len);
        let seam = Seam::of(&left, &right, 0, right.leaf_around(0).1);
        Self::join_by(left, right, seam, &mut Vec::new())
    }

    /// As [`join`](Self::join), with the separators of two trees that have entries, and not too many. Separators that
    /// become useless go to `dropped`.
    pub(super) fn join_by(mut left: Self, right: Self, seam: Seam<K>, dropped: &mut Vec<K>) -> Self {
        let Seam { between: key, back, first } = seam;
        // The right edge of the left tree gets inside, from the height of the right one down.
        let level = right.height;
        if !left.has_full_edge(level)
            && let Some(NodeMut::Branch(root)) = left.node_mut()
        {
            fill_back(root, level, back, dropped);
        }
        while left.collapse() {}
        let (lower, upper) = (left.height.min(right.height), left.height.max(right.height));
        let (at_front, mut tree, mut other) = match left.height < right.height {
            true => (true, right, left),
            false => (false, left, right),
        };
        let Some(node) = other.take() else { return tree };
        let mut first = first;
        let over = match if lower < upper { tree.node_mut() } else { None } {
            Some(NodeMut::Branch(root)) => graft(root, lower, at_front, key, node, &mut first, dropped),
            _ => Some((key, node)),
        };
        if let Some((key, over)) = over
            && let Some(old) = tree.take()
        {
            let mut root = Inner::above(old);
            root.push_child(Some(key), over);
            level_first(&mut root, &mut first, dropped);
            tree = Self::of(Some(Node::from_branch(root)));
            while tree.collapse() {}
            return tree;
        }
        Self::of(tree.take())
    }

    /// Whether every node of the right edge up to `level`, the root not counted, could lie inside a tree.
    fn has_full_edge(&self, level: u8) -> bool {
        let mut node = self.node();
        while let Some(NodeRef::Branch(branch)) = node {
            node = branch.child(branch.count() - 1);
            let (fill, least) = node.map_or((0, 0), fill_of);
            if branch.level() <= level + 1 && fill < least {
                return false;
            }
        }
        true
    }
}

/// Cuts the tree below `branch` before the entry at position `at`, which is not the first: what lies left of it stays;
/// the rest.
fn cut_below<K: Clone, V: Clone>(
    branch: &mut Inner<K, V>,
    at: usize,
    dropped: &mut Vec<K>,
) -> Option<Link<K, V>> {
    let (slot, below) = branch.extra.locate(at);
    if below == 0 {
        let (key, right) = branch.split_at(slot);
        dropped.push(key);
        return Some(Node::from_branch(right));
    }
    let rest = (slot + 1 < branch.count()).then(|| branch.split_at(slot + 1));
    let part = match branch.child_mut(slot)? {
        NodeMut::Branch(child) => cut_below(child, below, dropped)?,
        NodeMut::Leaf(mut leaf) => {
            let mut part =
                OwnedLeaf::with_capacity(Leaf::<(K, V)>::room_for(leaf.as_ref().len() - below), false);
            leaf.move_tail(below, &mut part.as_mut(), Leaf::<(K, V)>::SHIFT);
            Node::from_leaf(part)
        }
    };
    branch.set_size(slot, below);
    let mut right = Inner::above(part);
    if let Some((separator, mut rest)) = rest {
        let all = right.count() + rest.count();
        right.trade(&mut rest, separator, all);
    }
    Some(Node::from_branch(right))
}

/// Lets the first child of every branch on the left edge have enough.
fn fill_front<K: Clone, V: Clone>(branch: &mut Inner<K, V>, mut even: Option<K>, dropped: &mut Vec<K>) {
    if branch.count() > 1 && lacks(branch, 0, 1) {
        let even = if branch.level() == 1 { even.take() } else { None };
        dropped.extend(branch.level_out_by(0, true, even));
    }
    if let Some(NodeMut::Branch(child)) = branch.child_mut(0) {
        fill_front(child, even, dropped);
    }
}

/// Lets the last child of every branch on the right edge have enough to lie inside a tree, from `level` down; those above
/// enough to give to those below.
fn fill_back<K: Clone, V: Clone>(
    branch: &mut Inner<K, V>,
    level: u8,
    mut even: Option<K>,
    dropped: &mut Vec<K>,
) {
    let last = branch.count() - 1;
    let lacks = match branch.level() {
        child if child <= level + 1 => lacks(branch, last, 1),
        _ => branch.child(last).is_some_and(|child| fill_of(child).0 < 2),
    };
    if lacks && last > 0 {
        let even = if branch.level() == 1 { even.take() } else { None };
        dropped.extend(branch.level_out_by(last - 1, false, even));
    }
    let last = branch.count() - 1;
    if let Some(NodeMut::Branch(child)) = branch.child_mut(last) {
        fill_back(child, level, even, dropped);
    }
}

/// Whether the child at `slot` has too little; a branch must have `spare` more than the least, to give below.
fn lacks<K, V>(branch: &Inner<K, V>, slot: usize, spare: usize) -> bool {
    branch.child(slot).is_some_and(|child| {
        let (fill, least) = fill_of(child);
        fill < least + if branch.level() > 1 { spare } else { 0 }
    })
}

/// Evens the first child out with the second, if it has too little.
fn level_first<K: Clone, V: Clone>(branch: &mut Inner<K, V>, first: &mut Option<K>, dropped: &mut Vec<K>) {
    if lacks(branch, 0, 0) {
        let first = if branch.level() == 1 { first.take() } else { None };
        dropped.extend(branch.level_out_by(0, false, first));
    }
}

/// Adds `node`, of level `level`, at one end of the tree below `branch`; the right sibling of `branch`, and their
/// separator, if it was full.
fn graft<K: Clone, V: Clone>(
    branch: &mut Inner<K, V>,
    level: u8,
    at_front: bool,
    key: K,
    node: Link<K, V>,
    first: &mut Option<K>,
    dropped: &mut Vec<K>,
) -> Option<(K, Link<K, V>)> {
    let slot = if at_front { 0 } else { branch.count() - 1 };
    if branch.level() == level + 1 {
        let over = add_child(branch, if at_front { 0 } else { slot + 1 }, key, node, !at_front);
        if at_front {
            level_first(branch, first, dropped);
        }
        return over;
    }
    let more = entries_of(node.as_ref());
    let Some(NodeMut::Branch(child)) = branch.child_mut(slot) else {
        unreachable!("a branch above branches")
    };
    let over = graft(child, level, at_front, key, node, first, dropped);
    let size = branch.size(slot) + more;
    branch.set_size(slot, size);
    let (key, over) = over?;
    branch.set_size(slot, size - entries_of(over.as_ref()));
    add_child(branch, slot + 1, key, over, !at_front)
}
