//! The tree between head and tail: a B+-tree whose keys are positions.
//!
//! 1. All leaves are at the same depth and hold `Leaf::LEAST` to `Leaf::CAPACITY` items.
//! 2. A branch has `MIN_CHILDREN` to `SLOTS` children; on the left and the right edge of the tree it may have
//!    fewer, but at least one. So appending fills branches to the brim before it starts the next, and taking
//!    leaves off an end never borrows.
//! 3. The root has at least two children; if it has exactly two branches, these have more than `SLOTS` children
//!    together. So some child off the edges exists at every level, and the depth is logarithmic in the length.
//!
//! Every edit first makes the nodes that it will change its own (which may run `T::clone`, read the log, and
//! panic), and only then moves anything: a panic leaves the tree as it was.

use super::node::{Counts, Inner, Leaf, Link, MIN_CHILDREN, items_of, level_of};
use crate::error::Result;
use crate::node::{
    BITS, Branch, Child, Descent, LeafMut, Node, NodeMut, NodeRef, OwnedLeaf, Root, SLOTS, loaded,
};
use crate::record::Place;
use crate::sync::const_fn;

/// Which end of the tree.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Front,
    Back,
}

impl End {
    /// The slot of the outermost child.
    fn slot<T>(self, branch: &Inner<T>) -> usize {
        match self {
            Self::Front => 0,
            Self::Back => branch.count() - 1,
        }
    }

    /// The slot at which another outermost child goes in.
    fn gap<T>(self, branch: &Inner<T>) -> usize {
        match self {
            Self::Front => 0,
            Self::Back => branch.count(),
        }
    }
}

/// A tree, its length and height.
pub(crate) struct Tree<T> {
    pub(crate) root: Root<T, Counts>,
    pub(crate) len: usize,
    pub(crate) height: u8,
    /// Whether every branch is regular, as far as is known: then no branch need be asked.
    regular: bool,
}

impl<T> Clone for Tree<T> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), len: self.len, height: self.height, regular: self.regular }
    }
}

impl<T> Tree<T> {
    const_fn! {
        /// A tree without nodes.
        pub(super) const fn empty() -> Self {
            Self { root: Root::empty(), len: 0, height: 0, regular: false }
        }
    }

    pub(super) fn of(node: Option<Link<T>>) -> Self {
        let mut tree = Self::empty();
        tree.set_root(node);
        tree
    }

    /// A tree whose nodes are still in the log.
    pub(super) fn unloaded(root: Root<T, Counts>, len: usize, height: u8) -> Self {
        Self { root, len, height, regular: false }
    }

    fn set_root(&mut self, node: Option<Link<T>>) {
        self.root.set(node);
        self.measure();
    }

    /// Reads length, height and regularity off the root, which is in memory.
    fn measure(&mut self) {
        (self.len, self.height) = self.node().map_or((0, 0), |node| (items_of(node), level_of(node)));
        // All but the last child of a regular branch are full: only the right edge can be irregular.
        let mut edge = self.node();
        self.regular = loop {
            match edge {
                Some(NodeRef::Branch(branch)) if branch.is_regular() => {
                    edge = match branch.peek(branch.count() - 1) {
                        Some(Child::Resident(node)) => Some(node),
                        _ => break false,
                    };
                }
                Some(NodeRef::Leaf(_)) => break true,
                _ => break false,
            }
        };
    }

    /// What is known of the root before it is loaded.
    #[inline]
    pub(crate) fn place(&self) -> Place {
        Place { what: self.len as u64, depth: u32::from(self.height) }
    }

    /// The root, loaded.
    #[inline]
    pub(crate) fn node(&self) -> Option<NodeRef<'_, T, Counts>> {
        self.root.get(|| self.place())
    }

    /// The leaf that holds item `index`, and its index there.
    ///
    /// # Panics
    /// With the store's error when a node on the way cannot be loaded.
    #[inline]
    pub(super) fn leaf_at(&self, index: usize) -> Option<(&[T], usize)> {
        let mut below = index;
        let way = if self.regular {
            below %= Leaf::<T>::CAPACITY;
            let mut shift = Leaf::<T>::CAPACITY.ilog2() + BITS * u32::from(self.height);
            self.root.descend(|_| {
                shift -= BITS;
                (index >> shift) % SLOTS
            })
        } else {
            self.root.descend(|branch| {
                let (slot, inner) = branch.extra.locate(below);
                below = inner;
                slot
            })
        };
        match way {
            Descent::Leaf(leaf) => Some((leaf.items(false), below)),
            Descent::Nothing => None,
            Descent::Lazy => self.leaf_loaded(index),
        }
    }

    #[cold]
    #[inline(never)]
    fn leaf_loaded(&self, index: usize) -> Option<(&[T], usize)> {
        loaded(self.try_leaf_at(index))
    }

    /// The lowest branch above item `index`, and the slot below which the item lies. `None` in a tree of one leaf.
    pub(super) fn parent_at(&self, mut index: usize) -> Option<(&Inner<T>, usize)> {
        let mut node = self.node()?;
        while let NodeRef::Branch(branch) = node {
            let (slot, below) = branch.extra.locate(index);
            if branch.level() == 1 {
                return Some((branch, slot));
            }
            (node, index) = (branch.child(slot)?, below);
        }
        None
    }

    /// As [`leaf_at`](Self::leaf_at), but returns the store's error.
    pub(super) fn try_leaf_at(&self, mut index: usize) -> Result<Option<(&[T], usize)>> {
        let mut node = self.root.try_get(|| self.place())?;
        loop {
            match node {
                None => return Ok(None),
                Some(NodeRef::Leaf(leaf)) => return Ok(Some((leaf.items(false), index))),
                Some(NodeRef::Branch(branch)) => {
                    let (slot, below) = branch.extra.locate(index);
                    node = branch.try_child(slot)?;
                    index = below;
                }
            }
        }
    }

    /// Loads the outermost node of every level but the leaves.
    fn walk_edge(&self, end: End) {
        let mut node = self.node();
        while let Some(NodeRef::Branch(branch)) = node {
            node = if branch.level() > 1 { branch.child(end.slot(branch)) } else { None };
        }
    }
}

impl<T: Clone> Tree<T> {
    #[inline]
    fn node_mut(&mut self) -> Option<NodeMut<'_, T, Counts>> {
        let place = self.place();
        self.root.get_mut(|| place)
    }

    /// The leaf that holds item `index`, and its index there; the whole path becomes ours and marked changed.
    #[inline]
    pub(super) fn leaf_mut(&mut self, mut index: usize) -> Option<(LeafMut<'_, T>, usize)> {
        let place = self.place();
        let mut node = self.root.get_mut_on(|| place, way_to(index))?;
        loop {
            match node {
                NodeMut::Leaf(leaf) => return Some((leaf, index)),
                NodeMut::Branch(branch) => {
                    let (slot, below) = branch.extra.locate(index);
                    node = branch.child_mut_on(slot, way_to(below))?;
                    index = below;
                }
            }
        }
    }

    /// Restores invariant 3 after children were taken away. Does not fail: what cannot be loaded now is left to the
    /// next edit.
    fn tidy(&mut self) {
        // Looked at before it is made ours: a root that is a leaf would be cloned.
        while let Some(NodeRef::Branch(_)) = self.node()
            && let Some(NodeMut::Branch(root)) = self.node_mut()
        {
            if root.count() == 2 && root.level() > 1 && root.siblings(0).is_ok_and(|total| total <= SLOTS) {
                root.level_out(0, false);
            }
            if root.count() > 1 || root.count() == 1 && root.try_child(0).is_err() {
                break;
            }
            let only = (root.count() == 1).then(|| root.remove_child(0));
            self.set_root(only);
        }
        self.measure();
    }

    /// Adds a tree of lower or equal height, or a leaf, at one end. What both have at the seam must be fit to lie
    /// inside a tree; a root of few children is evened out with its new sibling.
    fn graft(&mut self, node: Link<T>, end: End) {
        if self.len == 0 {
            return self.set_root(Some(node));
        }
        // A leaf beside a new leaf stays as it is: making it ours would clone its items.
        let over = match if self.height > 0 { self.node_mut() } else { None } {
            Some(NodeMut::Branch(root)) if root.level() > level_of(node.as_ref()) => graft(root, node, end),
            Some(NodeMut::Branch(root)) => even_out(root, node, end),
            _ => Some(node),
        };
        self.grow(over, end);
    }

    /// Puts a root above the old one and the sibling that it overflowed into, if it did.
    fn grow(&mut self, over: Option<Link<T>>, end: End) {
        let place = self.place();
        if let Some(over) = over
            && let Some(old) = self.root.take(|| place)
        {
            let mut root = Inner::at_level(level_of(old.as_ref()) + 1);
            root.insert_child(0, old);
            root.insert_child(end.gap(&root), over);
            self.root.set(Some(Node::from_branch(root)));
        }
        self.measure();
    }

    /// Does what [`push_leaf`](Self::push_leaf) may panic for.
    pub(super) fn prepare(&self, end: End) {
        self.walk_edge(end);
    }

    /// Adds a leaf of at least `Leaf::LEAST` items at one end. Does not panic after [`prepare`](Self::prepare).
    pub(super) fn push_leaf(&mut self, leaf: Link<T>, end: End) {
        self.graft(leaf, end);
    }

    /// Takes the first or last leaf out.
    pub(super) fn pop_leaf(&mut self, end: End) -> Option<Link<T>> {
        let place = self.place();
        let leaf = match if self.height > 0 { self.node_mut() } else { None } {
            Some(NodeMut::Branch(root)) => Some(pop_leaf(root, end)),
            _ => self.root.take(|| place),
        };
        self.tidy();
        leaf
    }

    /// Inserts before item `index`, which exists.
    pub(super) fn insert(&mut self, index: usize, item: T) {
        if self.height == 0
            && let Some(NodeMut::Leaf(leaf)) = self.node_mut()
            && !leaf.has_room()
            && leaf.as_ref().len() < Leaf::<T>::CAPACITY
        {
            self.root.resize_leaf(Leaf::<T>::CAPACITY);
        }
        let over = self.node_mut().and_then(|root| insert(root, index, item));
        self.grow(over, End::Back);
    }

    /// Takes item `index` out; `None` if its leaf would get too small and has no sibling to borrow from.
    pub(super) fn remove(&mut self, index: usize) -> Option<T> {
        let (mut node, mut below, mut siblings) = (self.node()?, index, 0);
        while let NodeRef::Branch(branch) = node {
            siblings = branch.count() - 1;
            let (slot, inner) = branch.extra.locate(below);
            (node, below) = (branch.child(slot)?, inner);
        }
        if siblings == 0 && items_of(node) == Leaf::<T>::LEAST {
            return None;
        }
        let item = remove(self.node_mut()?, index, true, true);
        self.tidy();
        Some(item)
    }

    /// Cuts the tree at item `at`, which exists: keeps what lies left of its leaf, returns the leaf (ours), the
    /// item's index there, and what lies right of it.
    pub(super) fn cut(&mut self, at: usize) -> Option<(Link<T>, usize, Self)> {
        self.leaf_mut(at)?;
        let place = self.place();
        let (leaf, index, right) = match self.node_mut()? {
            NodeMut::Leaf(_) => (self.root.take(|| place)?, at, None),
            NodeMut::Branch(root) => cut(root, at),
        };
        self.tidy();
        let mut right = Self::of(right);
        right.tidy();
        Some((leaf, index, right))
    }

    /// Appends all of `right`.
    pub(super) fn join(&mut self, mut right: Self) {
        if self.len == 0 {
            *self = right;
            return;
        }
        self.trim(End::Back);
        right.trim(End::Front);
        let flip = self.height < right.height;
        if flip {
            std::mem::swap(self, &mut right);
        }
        let place = right.place();
        if let Some(node) = right.root.take(|| place) {
            self.graft(node, if flip { End::Front } else { End::Back });
        }
        self.tidy();
    }

    /// Whether one edge obeys the rules for the inside of a tree already.
    fn edge_fits(&self, end: End) -> bool {
        let (mut node, mut fits) = (self.node(), true);
        while let Some(NodeRef::Branch(branch)) = node
            && branch.level() > 1
        {
            node = branch.child(end.slot(branch));
            fits &= matches!(node, Some(NodeRef::Branch(child)) if child.count() >= MIN_CHILDREN);
        }
        fits
    }

    /// Lets one edge obey the rules for the inside of a tree.
    fn trim(&mut self, end: End) {
        self.tidy();
        if !self.edge_fits(end)
            && let Some(NodeMut::Branch(root)) = self.node_mut()
        {
            trim(root, end);
        }
        self.tidy();
    }
}

/// The slots on the way to item `index`.
fn way_to<T>(mut index: usize) -> impl FnMut(&Inner<T>) -> usize {
    move |branch| {
        let (slot, below) = branch.extra.locate(index);
        index = below;
        slot
    }
}

/// Adds `node`, of a lower level, at one end below `branch`; the sibling of `branch` if it was full.
fn graft<T: Clone>(branch: &mut Inner<T>, node: Link<T>, end: End) -> Option<Link<T>> {
    let slot = end.slot(branch);
    let below = branch.level() - 1;
    let over = match if below > 0 { branch.child_mut(slot) } else { None } {
        Some(NodeMut::Branch(child)) => {
            let over = if below > level_of(node.as_ref()) {
                graft(child, node, end)
            } else {
                even_out(child, node, end)
            };
            let items = child.items();
            branch.set_size(slot, items);
            over?
        }
        _ => node,
    };
    if branch.count() == SLOTS {
        return Some(Branch::above(over));
    }
    branch.insert_child(end.gap(branch), over);
    None
}

/// Lets `branch` and a `node` of the same level obey the rules for siblings; `node` if something is left of it.
fn even_out<T: Clone>(branch: &mut Inner<T>, mut node: Link<T>, end: End) -> Option<Link<T>> {
    let NodeMut::Branch(other) = node.make_mut() else { return Some(node) };
    if branch.count() < MIN_CHILDREN || other.count() < MIN_CHILDREN {
        match end {
            End::Back => branch.balance(other, true),
            End::Front => {
                // `balance` empties the right one; here that is `branch`, which stays where it is.
                if branch.count() + other.count() <= SLOTS {
                    let give = other.count();
                    other.give_back(branch, give);
                } else {
                    other.balance(branch, false);
                }
            }
        }
    }
    (other.count() > 0).then_some(node)
}

/// Takes the outermost leaf out; `branch` may be left empty.
fn pop_leaf<T: Clone>(branch: &mut Inner<T>, end: End) -> Link<T> {
    let slot = end.slot(branch);
    if branch.level() == 1 {
        return branch.remove_child(slot);
    }
    let Some(NodeMut::Branch(child)) = branch.child_mut(slot) else {
        unreachable!("a branch above branches")
    };
    let leaf = pop_leaf(child, end);
    settle(branch, slot);
    leaf
}

/// After the child branch at `slot` lost items: counts them again, or removes the child if none are left.
fn settle<T: Clone>(branch: &mut Inner<T>, slot: usize) {
    match branch.child(slot).map_or(0, items_of) {
        0 => drop(branch.remove_child(slot)),
        items => branch.set_size(slot, items),
    }
}

/// Inserts before item `index` below `node`; the right sibling of `node` if it had to be split.
fn insert<T: Clone>(node: NodeMut<'_, T, Counts>, index: usize, item: T) -> Option<Link<T>> {
    match node {
        NodeMut::Leaf(mut leaf) if leaf.as_ref().len() < Leaf::<T>::CAPACITY => {
            leaf.insert(index, item, Leaf::<T>::MASK_SHIFT);
            None
        }
        NodeMut::Leaf(mut leaf) => {
            let middle = Leaf::<T>::LEAST;
            let mut right = OwnedLeaf::with_capacity(Leaf::<T>::CAPACITY, false);
            leaf.move_tail(middle, &mut right.as_mut(), Leaf::<T>::MASK_SHIFT);
            if index <= middle {
                leaf.insert(index, item, Leaf::<T>::MASK_SHIFT);
            } else {
                right.as_mut().insert(index - middle, item, Leaf::<T>::MASK_SHIFT);
            }
            Some(Node::from_leaf(right))
        }
        NodeMut::Branch(branch) => {
            let (slot, below) = branch.extra.locate(index);
            let size = branch.size(slot) + 1;
            if branch.level() == 1 {
                branch.child_mut(slot)?;
                branch.reserve_leaf(slot, Leaf::<T>::CAPACITY.min(size));
            }
            let over = insert(branch.child_mut(slot)?, below, item);
            branch.set_size(slot, size - over.as_ref().map_or(0, |over| items_of(over.as_ref())));
            let (over, slot) = (over?, slot + 1);
            if branch.count() < SLOTS {
                branch.insert_child(slot, over);
                return None;
            }
            let mut right = branch.split_at(MIN_CHILDREN);
            if slot <= MIN_CHILDREN {
                branch.insert_child(slot, over);
            } else {
                right.insert_child(slot - MIN_CHILDREN, over);
            }
            Some(Node::from_branch(right))
        }
    }
}

/// Takes item `index` below `node` out. `left` and `right` say whether `node` lies on that edge of the tree.
fn remove<T: Clone>(node: NodeMut<'_, T, Counts>, index: usize, left: bool, right: bool) -> T {
    let branch = match node {
        NodeMut::Leaf(mut leaf) => return leaf.remove(index, Leaf::<T>::MASK_SHIFT),
        NodeMut::Branch(branch) => branch,
    };
    let ((slot, below), last) = (branch.extra.locate(index), branch.count() - 1);
    let (left, right) = (left && slot == 0, right && slot == last);
    let pair = slot.min(last.saturating_sub(1));
    let small = match branch.child(slot) {
        Some(NodeRef::Leaf(leaf)) => leaf.len() == Leaf::<T>::LEAST,
        Some(NodeRef::Branch(child)) => child.count() == MIN_CHILDREN && !left && !right,
        None => false,
    };
    if small {
        // Nothing may fail once the item is out: the sibling that may be needed is made ours before.
        branch.child_mut(pair);
        branch.child_mut(pair + 1);
        loaded(branch.siblings(pair));
    }
    let Some(child) = branch.child_mut(slot) else {
        unreachable!("a child stands in every slot below the count")
    };
    let item = remove(child, below, left, right);
    branch.set_size(slot, branch.size(slot) - 1);
    let lacks = match branch.child(slot) {
        Some(NodeRef::Leaf(leaf)) => leaf.len() < Leaf::<T>::LEAST,
        Some(NodeRef::Branch(child)) => child.count() < MIN_CHILDREN && !left && !right,
        None => false,
    };
    if lacks {
        branch.level_out(pair, false);
    }
    item
}

/// Cuts `branch` at item `at`: what lies left of its leaf stays (perhaps nothing); the leaf, the index in it, and
/// what lies right of it.
fn cut<T: Clone>(branch: &mut Inner<T>, at: usize) -> (Link<T>, usize, Option<Link<T>>) {
    let (slot, below) = branch.extra.locate(at);
    let rest = (slot + 1 < branch.count()).then(|| branch.split_at(slot + 1));
    if branch.level() == 1 {
        return (branch.remove_child(slot), below, rest.map(Node::from_branch));
    }
    let Some(NodeMut::Branch(child)) = branch.child_mut(slot) else {
        unreachable!("a branch above branches")
    };
    let (leaf, index, right) = cut(child, below);
    settle(branch, slot);
    let rest = match (rest, right) {
        (Some(mut rest), Some(right)) => {
            rest.insert_child(0, right);
            Some(Node::from_branch(rest))
        }
        (None, right) => right.map(Branch::above),
        (rest, None) => rest.map(Node::from_branch),
    };
    (leaf, index, rest)
}

/// Lets the children at one edge of `branch`, down to the leaves, have more than the fewest children.
fn trim<T: Clone>(branch: &mut Inner<T>, end: End) {
    if branch.level() < 2 {
        return;
    }
    let few = |node: Option<NodeRef<'_, T, Counts>>| match node {
        Some(NodeRef::Branch(child)) => child.count() <= MIN_CHILDREN,
        _ => false,
    };
    // One more than the fewest, so that the child can lose one when the same is done below it.
    if branch.count() > 1 && few(branch.child(end.slot(branch))) {
        match end {
            End::Front => branch.level_out(0, true),
            End::Back => branch.level_out(branch.count() - 2, false),
        }
    }
    if let Some(NodeMut::Branch(child)) = branch.child_mut(end.slot(branch)) {
        trim(child, end);
        let items = child.items();
        branch.set_size(end.slot(branch), items);
    }
}
