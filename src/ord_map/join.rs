//! Cutting a tree at a position and joining two, in O(log n).
//!
//! Both work on trees of their own, clones that share nodes with those they came from: a panic on the way (cloning an
//! entry, reading the log) costs what was made so far, and nothing else.

use super::node::{Inner, Leaf, Link, assert_room, entries_of, fill_of};
use super::tree::{Tree, add_child};
use crate::node::{Node, NodeMut, NodeRef, OwnedLeaf};

impl<K: Clone, V: Clone> Tree<K, V> {
    /// The trees of the first `at` entries and of the others.
    pub(super) fn cut(mut self, at: usize) -> (Self, Self) {
        if at == 0 {
            return (Self::empty(), self);
        }
        if at >= self.len {
            return (self, Self::empty());
        }
        let right = match self.node_mut() {
            Some(NodeMut::Branch(root)) => cut_below(root, at).map(|(_, right)| right),
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
            fill_front(root);
        }
        while right.collapse() {}
        (left, right)
    }

    /// The tree of the entries of `left` and then those of `right`, whose keys are all above.
    pub(super) fn join(mut left: Self, right: Self) -> Self {
        if left.len == 0 {
            return right;
        }
        let Some(key) = right.spot(0).and_then(|spot| spot.entries.first()).map(|entry| entry.0.clone())
        else {
            return left;
        };
        assert_room(left.len, right.len);
        // The right edge of the left tree gets inside, from the height of the right one down.
        let level = right.height;
        if !left.has_full_edge(level)
            && let Some(NodeMut::Branch(root)) = left.node_mut()
        {
            fill_back(root, level);
        }
        while left.collapse() {}
        let (lower, upper) = (left.height.min(right.height), left.height.max(right.height));
        let (at_front, mut tree, mut other) = match left.height < right.height {
            true => (true, right, left),
            false => (false, left, right),
        };
        let Some(node) = other.take() else { return tree };
        let over = match if lower < upper { tree.node_mut() } else { None } {
            Some(NodeMut::Branch(root)) => graft(root, lower, at_front, key, node),
            _ => Some((key, node)),
        };
        if let Some((key, over)) = over
            && let Some(old) = tree.take()
        {
            let mut root = Inner::above(old);
            root.push_child(Some(key), over);
            level_first(&mut root);
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
/// the rest, and a separator.
fn cut_below<K: Clone, V: Clone>(branch: &mut Inner<K, V>, at: usize) -> Option<(K, Link<K, V>)> {
    let (slot, below) = branch.extra.locate(at);
    if below == 0 {
        let (key, right) = branch.split_at(slot);
        return Some((key, Node::from_branch(right)));
    }
    let rest = (slot + 1 < branch.count()).then(|| branch.split_at(slot + 1));
    let (key, part) = match branch.child_mut(slot)? {
        NodeMut::Branch(child) => cut_below(child, below)?,
        NodeMut::Leaf(mut leaf) => {
            let key = leaf.as_ref().items(false)[below].0.clone();
            let mut part =
                OwnedLeaf::with_capacity(Leaf::<(K, V)>::room_for(leaf.as_ref().len() - below), false);
            leaf.move_tail(below, &mut part.as_mut(), Leaf::<(K, V)>::SHIFT);
            (key, Node::from_leaf(part))
        }
    };
    branch.set_size(slot, below);
    let mut right = Inner::above(part);
    if let Some((separator, mut rest)) = rest {
        let all = right.count() + rest.count();
        right.trade(&mut rest, separator, all);
    }
    Some((key, Node::from_branch(right)))
}

/// Lets the first child of every branch on the left edge have enough.
fn fill_front<K: Clone, V: Clone>(branch: &mut Inner<K, V>) {
    if branch.count() > 1 && lacks(branch, 0, 1) {
        branch.level_out(0, true);
    }
    if let Some(NodeMut::Branch(child)) = branch.child_mut(0) {
        fill_front(child);
    }
}

/// Lets the last child of every branch on the right edge have enough to lie inside a tree, from `level` down; those above
/// enough to give to those below.
fn fill_back<K: Clone, V: Clone>(branch: &mut Inner<K, V>, level: u8) {
    let last = branch.count() - 1;
    let lacks = match branch.level() {
        child if child <= level + 1 => lacks(branch, last, 1),
        _ => branch.child(last).is_some_and(|child| fill_of(child).0 < 2),
    };
    if lacks && last > 0 {
        branch.level_out(last - 1, false);
    }
    let last = branch.count() - 1;
    if let Some(NodeMut::Branch(child)) = branch.child_mut(last) {
        fill_back(child, level);
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
fn level_first<K: Clone, V: Clone>(branch: &mut Inner<K, V>) {
    if lacks(branch, 0, 0) {
        branch.level_out(0, false);
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
) -> Option<(K, Link<K, V>)> {
    let slot = if at_front { 0 } else { branch.count() - 1 };
    if branch.level() == level + 1 {
        let over = add_child(branch, if at_front { 0 } else { slot + 1 }, key, node, !at_front);
        if at_front {
            level_first(branch);
        }
        return over;
    }
    let more = entries_of(node.as_ref());
    let Some(NodeMut::Branch(child)) = branch.child_mut(slot) else {
        unreachable!("a branch above branches")
    };
    let over = graft(child, level, at_front, key, node);
    let size = branch.size(slot) + more;
    branch.set_size(slot, size);
    let (key, over) = over?;
    branch.set_size(slot, size - entries_of(over.as_ref()));
    add_child(branch, slot + 1, key, over, !at_front)
}
