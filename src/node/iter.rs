//! Walks over the items of a tree in slot order: shared, exclusive, owned.
#![expect(unsafe_code, reason = "the exclusive walk holds several levels of one tree at a time")]

use std::marker::PhantomData;
use std::slice;

use super::Shape;
use super::branch::{Branch, Ranges, SLOTS, loaded};
use super::leaf::{LeafMut, OwnedLeaf};
use super::link::{Node, NodeMut, NodeOwned, NodeRef};
use crate::error::Result;

/// Deepest path of branches: as many as a 64-bit hash can route.
pub(crate) const MAX_DEPTH: usize = 64 / super::BITS as usize;

/// Shared references to all items under a node. Loads lazy nodes as it reaches them.
pub(crate) struct Items<'a, T, X: Shape> {
    stack: [Option<(&'a Branch<T, X>, Ranges)>; MAX_DEPTH],
    depth: usize,
    leaf: slice::Iter<'a, T>,
}

impl<'a, T, X: Shape> Items<'a, T, X> {
    /// Starts at the first item under `root`.
    pub(crate) fn new(root: Option<NodeRef<'a, T, X>>) -> Self {
        let mut items = Self { stack: [const { None }; MAX_DEPTH], depth: 0, leaf: [].iter() };
        if let Some(node) = root {
            items.enter(node);
        }
        items
    }

    fn enter(&mut self, node: NodeRef<'a, T, X>) {
        match node {
            NodeRef::Leaf(leaf) => self.leaf = leaf.items(X::TAGGED).iter(),
            NodeRef::Branch(branch) => {
                self.stack[self.depth] = Some((branch, branch.ranges()));
                self.depth += 1;
            }
        }
    }

    /// The next item, or the error that loading its leaf answered (and then what follows it).
    pub(crate) fn try_next(&mut self) -> Result<Option<&'a T>> {
        loop {
            if let Some(item) = self.leaf.next() {
                return Ok(Some(item));
            }
            let Some(top) = self.depth.checked_sub(1) else { return Ok(None) };
            let Some((branch, ranges)) = &mut self.stack[top] else { return Ok(None) };
            match ranges.next() {
                None => self.depth = top,
                Some(slot) => {
                    let branch: &'a Branch<T, X> = branch;
                    if let Some(node) = branch.try_child(slot)? {
                        self.enter(node);
                    }
                }
            }
        }
    }
}

impl<'a, T, X: Shape> Iterator for Items<'a, T, X> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        match self.leaf.next() {
            Some(item) => Some(item),
            None => loaded(self.try_next()),
        }
    }
}

impl<T, X: Shape> Clone for Items<'_, T, X> {
    fn clone(&self) -> Self {
        Self { stack: self.stack, depth: self.depth, leaf: self.leaf.clone() }
    }
}

/// Exclusive references to all leaves under a node, each made unique and marked changed as it is reached.
pub(crate) struct LeavesMut<'a, T, X: Shape> {
    stack: [Option<(*mut Branch<T, X>, Ranges)>; MAX_DEPTH],
    depth: usize,
    first: Option<LeafMut<'a, T>>,
    _life: PhantomData<&'a mut Branch<T, X>>,
}

// SAFETY: the raw pointers stand for `&'a mut Branch`, which may be sent when its items may.
unsafe impl<T: Send + Sync, X: Shape + Send + Sync> Send for LeavesMut<'_, T, X> {}
// SAFETY: shared access to the walk gives no access to items.
unsafe impl<T: Send + Sync, X: Shape + Send + Sync> Sync for LeavesMut<'_, T, X> {}

impl<'a, T: Clone, X: Shape + Clone> LeavesMut<'a, T, X> {
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

impl<'a, T: Clone, X: Shape + Clone> Iterator for LeavesMut<'a, T, X> {
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

/// All items under a node, moved out where the tree was the only holder and cloned where not. In no set order.
pub(crate) struct IntoItems<T, X: Shape> {
    nodes: Vec<Node<T, X>>,
    owned: Option<OwnedLeaf<T>>,
    shared: Option<(Node<T, X>, usize)>,
}

impl<T, X: Shape> IntoItems<T, X> {
    /// Starts with the items under `root`.
    pub(crate) fn new(root: Option<Node<T, X>>) -> Self {
        Self { nodes: root.into_iter().collect(), owned: None, shared: None }
    }
}

impl<T: Clone, X: Shape> Iterator for IntoItems<T, X> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        loop {
            if let Some(leaf) = &mut self.owned {
                if let Some(item) = leaf.pop() {
                    return Some(item);
                }
                self.owned = None;
            }
            if let Some((node, left)) = &mut self.shared {
                if let (NodeRef::Leaf(leaf), Some(index)) = (node.as_ref(), left.checked_sub(1)) {
                    // Counted down first: a clone that panics is not asked for again.
                    *left = index;
                    return Some(leaf.items(X::TAGGED)[index].clone());
                }
                self.shared = None;
            }
            match self.nodes.pop()?.into_owned() {
                NodeOwned::Leaf(leaf) => self.owned = Some(leaf),
                NodeOwned::SharedLeaf(node) => {
                    let NodeRef::Leaf(leaf) = node.as_ref() else { continue };
                    let len = leaf.len();
                    self.shared = Some((node, len));
                }
                NodeOwned::Branch(node) => self.nodes.extend(node.into_children()),
            }
        }
    }
}

const _: () = assert!(SLOTS <= u16::BITS as usize);
