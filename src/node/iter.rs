//! Walks over the items of a tree in slot order: shared, exclusive, owned.
#![expect(unsafe_code, reason = "the exclusive walk holds several levels of one tree at a time")]

use std::marker::PhantomData;
use std::slice;

use super::BranchLayout;
use super::branch::{Branch, Ranges, SLOTS, loaded};
use super::leaf::{LeafMut, LeafRef, OwnedLeaf};
use super::link::{Node, NodeMut, NodeOwned, NodeRef};
use crate::error::Result;

/// Deepest path of branches: as many as a 64-bit hash can route.
pub(crate) const MAX_DEPTH: usize = 64 / super::BITS as usize;

/// All leaves under a node, in slot order. Loads lazy nodes as it reaches them.
pub(crate) struct Leaves<'a, T, X: BranchLayout> {
    stack: [Option<(&'a Branch<T, X>, Ranges)>; MAX_DEPTH],
    depth: usize,
    first: Option<LeafRef<'a, T>>,
}

impl<'a, T, X: BranchLayout> Leaves<'a, T, X> {
    /// Starts at the first leaf under `root`.
    pub(crate) fn new(root: Option<NodeRef<'a, T, X>>) -> Self {
        let mut leaves = Self { stack: [const { None }; MAX_DEPTH], depth: 0, first: None };
        leaves.first = root.and_then(|node| leaves.enter(node));
        leaves
    }

    /// The node if it is a leaf; a branch is entered.
    #[inline]
    fn enter(&mut self, node: NodeRef<'a, T, X>) -> Option<LeafRef<'a, T>> {
        match node {
            NodeRef::Leaf(leaf) => Some(leaf),
            NodeRef::Branch(branch) => {
                self.stack[self.depth] = Some((branch, branch.ranges()));
                self.depth += 1;
                None
            }
        }
    }

    /// The next leaf, or the error that loading it answered (and then what follows it).
    pub(crate) fn try_next(&mut self) -> Result<Option<LeafRef<'a, T>>> {
        if let Some(leaf) = self.first.take() {
            return Ok(Some(leaf));
        }
        loop {
            let Some(top) = self.depth.checked_sub(1) else { return Ok(None) };
            let Some((branch, ranges)) = &mut self.stack[top] else { return Ok(None) };
            match ranges.next() {
                None => self.depth = top,
                Some(slot) => {
                    let branch: &'a Branch<T, X> = branch;
                    if let Some(node) = branch.try_child(slot)?
                        && let Some(leaf) = self.enter(node)
                    {
                        return Ok(Some(leaf));
                    }
                }
            }
        }
    }
}

impl<T, X: BranchLayout> Clone for Leaves<'_, T, X> {
    fn clone(&self) -> Self {
        Self { stack: self.stack, depth: self.depth, first: self.first }
    }
}

/// Shared references to all items under a node. Loads lazy nodes as it reaches them.
pub(crate) struct Items<'a, T, X: BranchLayout> {
    leaves: Leaves<'a, T, X>,
    leaf: slice::Iter<'a, T>,
}

impl<'a, T, X: BranchLayout> Items<'a, T, X> {
    /// Starts at the first item under `root`.
    pub(crate) fn new(root: Option<NodeRef<'a, T, X>>) -> Self {
        Self { leaves: Leaves::new(root), leaf: [].iter() }
    }

    /// The next item, or the error that loading its leaf answered (and then what follows it).
    pub(crate) fn try_next(&mut self) -> Result<Option<&'a T>> {
        loop {
            if let Some(item) = self.leaf.next() {
                return Ok(Some(item));
            }
            match self.leaves.try_next()? {
                Some(leaf) => self.leaf = leaf.items(X::TAGGED).iter(),
                None => return Ok(None),
            }
        }
    }
}

impl<'a, T, X: BranchLayout> Iterator for Items<'a, T, X> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        match self.leaf.next() {
            Some(item) => Some(item),
            None => loaded(self.try_next()),
        }
    }
}

impl<T, X: BranchLayout> Clone for Items<'_, T, X> {
    fn clone(&self) -> Self {
        Self { leaves: self.leaves.clone(), leaf: self.leaf.clone() }
    }
}

/// Exclusive references to all leaves under a node, each made unique and marked changed as it is reached.
pub(crate) struct LeavesMut<'a, T, X: BranchLayout> {
    stack: [Option<(*mut Branch<T, X>, Ranges)>; MAX_DEPTH],
    depth: usize,
    first: Option<LeafMut<'a, T>>,
    _life: PhantomData<&'a mut Branch<T, X>>,
}

// SAFETY: the raw pointers stand for `&'a mut Branch`, which may be sent when its items may.
unsafe impl<T: Send + Sync, X: BranchLayout + Send + Sync> Send for LeavesMut<'_, T, X> {}
// SAFETY: shared access to the walk gives no access to items.
unsafe impl<T: Send + Sync, X: BranchLayout + Send + Sync> Sync for LeavesMut<'_, T, X> {}

impl<'a, T: Clone, X: BranchLayout + Clone> LeavesMut<'a, T, X> {
    /// Starts at the first leaf under `root`.
    pub(crate) fn new(root: Option<NodeMut<'a, T, X>>) -> Self {
        let mut walk = Self { stack: [const { None }; MAX_DEPTH], depth: 0, first: None, _life: PhantomData };
        match root {
            Some(NodeMut::Leaf(leaf)) => walk.first = Some(leaf),
            Some(NodeMut::Branch(branch)) => walk.push(branch),
            None => {}
        }
        walk
    }

    fn push(&mut self, branch: &mut Branch<T, X>) {
        self.stack[self.depth] = Some((branch, branch.ranges()));
        self.depth += 1;
    }
}

impl<'a, T: Clone, X: BranchLayout + Clone> Iterator for LeavesMut<'a, T, X> {
    type Item = LeafMut<'a, T>;

    fn next(&mut self) -> Option<LeafMut<'a, T>> {
        if let Some(leaf) = self.first.take() {
            return Some(leaf);
        }
        loop {
            let top = self.depth.checked_sub(1)?;
            let (branch, ranges) = self.stack[top].as_mut()?;
            let Some(slot) = ranges.next() else {
                self.depth = top;
                continue;
            };
            // SAFETY: the pointer came from a `&'a mut` path; every range of every branch is visited once, so the
            // leaves handed out are disjoint, and no reference to this branch itself outlives the call.
            let branch: &'a mut Branch<T, X> = unsafe { &mut **branch };
            match branch.child_mut(slot) {
                Some(NodeMut::Leaf(leaf)) => return Some(leaf),
                Some(NodeMut::Branch(child)) => self.push(child),
                None => {}
            }
        }
    }
}

/// All leaves under a node in slot order, taken out: owned where the tree was the only holder.
pub(crate) struct IntoLeaves<T, X: BranchLayout> {
    /// The leaves that are left, the next one last.
    nodes: Vec<Node<T, X>>,
}

impl<T, X: BranchLayout> IntoLeaves<T, X> {
    /// Starts with the first leaf under `root`.
    pub(crate) fn new(root: Option<Node<T, X>>) -> Self {
        Self { nodes: root.into_iter().collect() }
    }

    /// The nodes that are left, in slot order.
    pub(crate) fn rest(&self) -> impl Iterator<Item = NodeRef<'_, T, X>> {
        self.nodes.iter().rev().map(Node::as_ref)
    }
}

impl<T, X: BranchLayout> Iterator for IntoLeaves<T, X> {
    type Item = TakenLeaf<T, X>;

    fn next(&mut self) -> Option<TakenLeaf<T, X>> {
        loop {
            match self.nodes.pop()?.into_owned() {
                NodeOwned::Leaf(leaf) => return Some(TakenLeaf::Owned(leaf)),
                NodeOwned::SharedLeaf(node) => return Some(TakenLeaf::Shared(node)),
                NodeOwned::Branch(node) => self.nodes.extend(node.into_children().into_iter().rev()),
            }
        }
    }
}

/// A leaf that was taken out of a tree.
pub(crate) enum TakenLeaf<T, X: BranchLayout> {
    /// Nobody else holds it.
    Owned(OwnedLeaf<T>),
    /// Others hold it too. It is a leaf.
    Shared(Node<T, X>),
}

impl<T, X: BranchLayout> TakenLeaf<T, X> {
    /// Looks at the leaf.
    pub(crate) fn as_ref(&self) -> Option<LeafRef<'_, T>> {
        match self {
            Self::Owned(leaf) => Some(leaf.as_ref()),
            Self::Shared(node) => match node.as_ref() {
                NodeRef::Leaf(leaf) => Some(leaf),
                NodeRef::Branch(_) => None,
            },
        }
    }
}

const _: () = assert!(SLOTS <= u16::BITS as usize);
