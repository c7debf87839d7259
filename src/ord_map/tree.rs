//! The tree: a counted B+-tree (Bayer and McCreight, 1972; Comer, "The Ubiquitous B-Tree", 1979).
//!
//! 1. All leaves are at the same depth. Keys ascend, and lie between the separators around them.
//! 2. A leaf has `Leaf::LEAST` to `Leaf::CAPACITY` entries and a branch `MIN_CHILDREN` to `SLOTS` children; on the
//!    right edge of the tree it may have fewer, but at least one. So appending fills nodes to the brim.
//! 3. A root that is a branch has at least two children. The first one is not on the right edge, so the depth is
//!    logarithmic in the length.
//!
//! A key is found first, and the [`Path`] to it says where to change: whatever compares keys is done before anything
//! is copied. Then the nodes of the path are made ours, from the top, which may clone entries and panic; and only then
//! does anything move. Order is what `Ord` answers at each step: where it lies, keys are missed, and nothing worse.

use std::borrow::Borrow;

use super::node::{
    Inner, Leaf, Link, LinkRef, MIN_CHILDREN, Order, assert_room, count_low, entries_of, fill_of, level_of,
};
use crate::error::Result;
use crate::node::{
    Branch, BranchLayout, Descent, LeafMut, LeafRef, MAX_DEPTH, Node, NodeMut, NodeRef, OwnedLeaf, Root,
    SLOTS, loaded,
};
use crate::record::Place;
use crate::sync::const_fn;

/// A tree, its length and height.
pub(crate) struct Tree<K, V> {
    pub(crate) root: Root<(K, V), Order<K>>,
    pub(crate) len: usize,
    pub(crate) height: u8,
}

impl<K, V> Clone for Tree<K, V> {
    #[inline]
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), len: self.len, height: self.height }
    }
}

/// Where an entry lies, or would lie: the slots to take from the root on, and the position in the leaf.
#[derive(Clone, Copy)]
pub(crate) struct Path {
    slots: [u8; MAX_DEPTH],
    index: usize,
}

impl Path {
    const START: Self = Self { slots: [0; MAX_DEPTH], index: 0 };

    /// The slot to take in a branch of this level, of a tree of this height.
    #[inline]
    fn slot(&self, height: u8, level: u8) -> usize {
        usize::from(self.slots[usize::from(height - level)])
    }

    #[inline]
    fn set_slot(&mut self, height: u8, level: u8, slot: usize) {
        self.slots[usize::from(height - level)] = slot as u8;
    }
}

/// A leaf and where in the tree it stands.
pub(crate) struct Spot<'a, K, V> {
    /// Its entries.
    pub(crate) entries: &'a [(K, V)],
    /// The position of one of them.
    pub(crate) index: usize,
    /// The branch above it, and the slot; `None` where the root is a leaf.
    pub(crate) above: Option<(&'a Inner<K, V>, usize)>,
}

impl<K, V> Tree<K, V> {
    const_fn! {
        /// A tree without nodes.
        pub(crate) const fn empty() -> Self {
            Self { root: Root::empty(), len: 0, height: 0 }
        }
    }

    /// The tree with this root.
    pub(super) fn of(root: Option<Link<K, V>>) -> Self {
        let (len, height) =
            root.as_ref().map_or((0, 0), |root| (entries_of(root.as_ref()), level_of(root.as_ref())));
        Self { root: root.map_or_else(Root::empty, Root::from_node), len, height }
    }

    /// What is known of the root before it is loaded.
    #[inline]
    pub(crate) fn place(&self) -> Place {
        Place { what: self.len as u64, depth: u32::from(self.height) }
    }

    /// The root, loaded.
    #[inline]
    pub(crate) fn node(&self) -> Option<LinkRef<'_, K, V>> {
        self.root.get(|| self.place())
    }

    /// Takes the root out, loaded.
    pub(super) fn take(&mut self) -> Option<Link<K, V>> {
        let place = self.place();
        let root = self.root.take(|| place);
        (self.len, self.height) = (0, 0);
        root
    }

    /// The entry of a key.
    #[inline]
    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&(K, V)>
    where
        K: Borrow<Q>,
    {
        let leaf = self.leaf_of(key, |_, _| ())?;
        let entries = leaf.items(false);
        let entry = entries.get(count_low::<K, _>(entries, |entry| entry.0.borrow() < key))?;
        entry.0.borrow().cmp(key).is_eq().then_some(entry)
    }

    /// The leaf in which a key lies, if anywhere; `pass` hears the level and the slot of each step on the way.
    ///
    /// # Panics
    /// With the store's error when a node on the way cannot be loaded.
    #[inline]
    fn leaf_of<Q: Ord + ?Sized>(
        &self,
        key: &Q,
        mut pass: impl FnMut(u8, usize),
    ) -> Option<LeafRef<'_, (K, V)>>
    where
        K: Borrow<Q>,
    {
        loop {
            let way = self.root.descend(|branch| {
                let slot = branch.extra.slot_of(key);
                pass(branch.level(), slot);
                slot
            });
            match way {
                Descent::Leaf(leaf) => return Some(leaf),
                Descent::Nothing => return None,
                Descent::Lazy => loaded(self.load_path(key)),
            }
        }
    }

    /// Loads the nodes on the way to a key.
    pub(super) fn load_path<Q: Ord + ?Sized>(&self, key: &Q) -> Result<()>
    where
        K: Borrow<Q>,
    {
        let mut next = self.root.try_get(|| self.place())?;
        while let Some(NodeRef::Branch(branch)) = next {
            next = branch.try_child(branch.extra.slot_of(key))?;
        }
        Ok(())
    }

    /// The way to a key, and its entry if there is one.
    #[inline]
    pub(super) fn find<Q: Ord + ?Sized>(&self, key: &Q) -> (Path, Option<&(K, V)>)
    where
        K: Borrow<Q>,
    {
        let mut path = Path::START;
        let leaf = self.leaf_of(key, |level, slot| path.set_slot(self.height, level, slot));
        let Some(leaf) = leaf else { return (path, None) };
        let entries = leaf.items(false);
        path.index = count_low::<K, _>(entries, |entry| entry.0.borrow() < key);
        (path, entries.get(path.index).filter(|entry| entry.0.borrow().cmp(key).is_eq()))
    }

    /// How many entries have keys for which `is_low`, which must be so for the first ones; and the spot behind them.
    pub(super) fn seek(&self, is_low: impl Fn(&K) -> bool) -> (usize, Option<Spot<'_, K, V>>) {
        let (mut rank, mut above) = (0, None);
        let mut node = self.node();
        while let Some(NodeRef::Branch(branch)) = node {
            let slot = count_low::<K, _>(branch.extra.keys(), &is_low);
            rank += branch.extra.before(slot);
            above = Some((branch, slot));
            node = branch.child(slot);
        }
        let Some(NodeRef::Leaf(leaf)) = node else { return (rank, None) };
        let entries = leaf.items(false);
        let index = count_low::<K, _>(entries, |entry| is_low(&entry.0));
        (rank + index, Some(Spot { entries, index, above }))
    }

    /// The spot of the entry at position `index`.
    pub(super) fn spot(&self, mut index: usize) -> Option<Spot<'_, K, V>> {
        let (mut node, mut above) = (self.node(), None);
        while let Some(NodeRef::Branch(branch)) = node {
            let (slot, below) = branch.extra.locate(index);
            above = Some((branch, slot));
            (node, index) = (branch.child(slot), below);
        }
        match node {
            Some(NodeRef::Leaf(leaf)) => Some(Spot { entries: leaf.items(false), index, above }),
            _ => None,
        }
    }

    /// The way to the entry at position `index`.
    pub(super) fn path_to(&self, mut index: usize) -> Path {
        let (mut path, mut depth) = (Path::START, 0);
        let mut node = self.node();
        while let Some(NodeRef::Branch(branch)) = node {
            let (slot, below) = branch.extra.locate(index);
            path.slots[depth] = slot as u8;
            depth += 1;
            (node, index) = (branch.child(slot), below);
        }
        path.index = index;
        path
    }

    /// How many entries lie before a place.
    pub(super) fn rank_of(&self, path: &Path) -> usize {
        let mut rank = path.index;
        let mut node = self.node();
        while let Some(NodeRef::Branch(branch)) = node {
            let slot = path.slot(self.height, branch.level());
            rank += branch.extra.before(slot);
            node = branch.child(slot);
        }
        rank
    }

    /// The entry at a place.
    pub(super) fn entry_at(&self, path: &Path) -> Option<&(K, V)> {
        self.leaf(path)?.0.items(false).get(path.index)
    }

    /// The leaf at a place, and whether nobody else holds it or a node above.
    #[inline]
    fn leaf(&self, path: &Path) -> Option<(LeafRef<'_, (K, V)>, bool)> {
        let (mut node, mut is_ours) = (self.node()?, true);
        loop {
            match node {
                NodeRef::Branch(branch) => {
                    is_ours &= !branch.header().is_shared();
                    node = branch.child(path.slot(self.height, branch.level()))?;
                }
                NodeRef::Leaf(leaf) => return Some((leaf, is_ours && !leaf.header().is_shared())),
            }
        }
    }
}

impl<K: Clone, V: Clone> Tree<K, V> {
    /// The root, to change it.
    #[inline]
    pub(super) fn node_mut(&mut self) -> Option<NodeMut<'_, (K, V), Order<K>>> {
        let place = self.place();
        self.root.get_mut(|| place)
    }

    /// The leaf at a place, ours and its path marked changed.
    #[inline]
    fn leaf_mut(&mut self, path: &Path) -> Option<LeafMut<'_, (K, V)>> {
        let (place, height) = (self.place(), self.height);
        let slot_of = |branch: &Inner<K, V>| path.slot(height, branch.level());
        let mut node = self.root.get_mut_on(|| place, slot_of)?;
        loop {
            match node {
                NodeMut::Branch(branch) => node = branch.child_mut_on(slot_of(branch), slot_of)?,
                NodeMut::Leaf(leaf) => return Some(leaf),
            }
        }
    }

    /// The leaf at a place, ours and its path marked changed, to change its length: those above count `change` more.
    /// `is_ours` says whether it was ours before.
    #[inline]
    fn leaf_to_count(&mut self, path: &Path, is_ours: bool, change: isize) -> Option<LeafMut<'_, (K, V)>> {
        let height = self.height;
        if !is_ours {
            // What clones, and so may panic, comes before the first count.
            self.leaf_mut(path)?;
        }
        self.len = self.len.wrapping_add_signed(change);
        let mut node = self.node_mut()?;
        loop {
            match node {
                NodeMut::Branch(branch) => {
                    let slot = path.slot(height, branch.level());
                    branch.set_size(slot, branch.size(slot).wrapping_add_signed(change));
                    node = branch.child_mut(slot)?;
                }
                NodeMut::Leaf(leaf) => return Some(leaf),
            }
        }
    }

    /// The entry at a place where there is one, to change its value, or its key for an equal one.
    #[inline]
    pub(super) fn entry_mut(&mut self, path: &Path) -> Option<&mut (K, V)> {
        Some(self.leaf_mut(path)?.item_mut(path.index, false, Leaf::<(K, V)>::SHIFT))
    }

    /// Inserts an entry at a place.
    #[inline]
    pub(super) fn insert(&mut self, path: &Path, entry: (K, V)) {
        assert_room(self.len, 1);
        let most = Leaf::<(K, V)>::CAPACITY;
        match self.leaf(path) {
            Some((leaf, is_ours)) if leaf.len() < leaf.capacity().min(most) => {
                if let Some(mut leaf) = self.leaf_to_count(path, is_ours, 1) {
                    leaf.insert(path.index, entry, Leaf::<(K, V)>::SHIFT);
                }
            }
            _ => self.insert_slowly(path, entry),
        }
    }

    /// [`insert`](Self::insert) where the leaf has to grow or to be divided, or there is none yet.
    #[inline(never)]
    fn insert_slowly(&mut self, path: &Path, entry: (K, V)) {
        let height = self.height;
        let over = match self.node_mut() {
            Some(NodeMut::Branch(root)) => insert(root, path, height, true, entry),
            Some(NodeMut::Leaf(leaf)) => {
                let (len, full) = (leaf.as_ref().len(), !leaf.has_room());
                if full && len < Leaf::<(K, V)>::CAPACITY {
                    self.root.resize_leaf(Leaf::<(K, V)>::room_for(len + 1));
                }
                match self.node_mut() {
                    Some(NodeMut::Leaf(leaf)) => insert_into(leaf, path.index, true, entry),
                    _ => unreachable!("a leaf stays a leaf"),
                }
            }
            None => {
                let mut leaf = OwnedLeaf::with_capacity(Leaf::<(K, V)>::room_for(1), false);
                leaf.push(entry, None);
                self.root.set(Some(Node::from_leaf(leaf)));
                None
            }
        };
        self.len += 1;
        if let Some((key, over)) = over {
            // The root is in memory: it was just changed.
            let place = self.place();
            if let Some(old) = self.root.take(|| place) {
                let mut root = Inner::above(old);
                root.push_child(Some(key), over);
                self.root.set(Some(Node::from_branch(root)));
                self.height += 1;
                self.fit_first_leaf();
            }
        }
    }

    /// Gives back what a root leaf that was split has too much.
    fn fit_first_leaf(&mut self) {
        if self.height == 1
            && let Some(NodeMut::Branch(root)) = self.node_mut()
        {
            let room = Leaf::<(K, V)>::room_for(root.size(0));
            root.fit_leaf(0, room);
        }
    }

    /// Takes out the entry at a place where there is one.
    #[inline]
    pub(super) fn remove(&mut self, path: &Path) -> (K, V) {
        if let Some((leaf, is_ours)) = self.leaf(path)
            && leaf.len() > Leaf::<(K, V)>::LEAST
            && let Some(mut leaf) = self.leaf_to_count(path, is_ours, -1)
        {
            return leaf.remove(path.index, Leaf::<(K, V)>::SHIFT);
        }
        self.remove_slowly(*path)
    }

    /// [`remove`](Self::remove) where the leaf may have to trade with another, or to go.
    #[inline(never)]
    fn remove_slowly(&mut self, mut path: Path) -> (K, V) {
        // Everything that may fail comes before the entry is taken out; each step leaves a sound tree.
        while let Some(NodeRef::Branch(root)) = self.node()
            && root.count() == 2
        {
            // One of the two may become the root.
            root.child(0);
            root.child(1);
            let height = self.height;
            let Some(NodeMut::Branch(root)) = self.node_mut() else {
                unreachable!("a branch stays a branch")
            };
            relieve(root, &mut path, height, true);
            if !self.collapse() {
                break;
            }
            path.slots.rotate_left(1);
        }
        let height = self.height;
        let entry = match self.node_mut() {
            Some(NodeMut::Branch(root)) => remove(root, &mut path, height, true),
            Some(NodeMut::Leaf(mut leaf)) => leaf.remove(path.index, Leaf::<(K, V)>::SHIFT),
            None => unreachable!("the entry was found"),
        };
        self.len -= 1;
        if self.len == 0 {
            self.root.set(None);
            self.height = 0;
        }
        self.collapse();
        entry
    }

    /// Makes an only child of the root the root; whether there was one. It must be in memory or loadable.
    pub(super) fn collapse(&mut self) -> bool {
        match self.node() {
            Some(NodeRef::Branch(root)) if root.count() == 1 => {}
            _ => return false,
        }
        if let Some(NodeMut::Branch(root)) = self.node_mut() {
            let (_, only) = root.remove_child(0);
            self.root.set(Some(only));
            self.height -= 1;
        }
        true
    }
}

/// Inserts into a leaf that has room or is full; its right sibling and their separator, if it was split. `last` says
/// whether it is the last leaf.
#[inline]
fn insert_into<K: Clone, V>(
    mut leaf: LeafMut<'_, (K, V)>,
    index: usize,
    last: bool,
    entry: (K, V),
) -> Option<(K, Link<K, V>)> {
    let (len, shift) = (leaf.as_ref().len(), Leaf::<(K, V)>::SHIFT);
    if len < Leaf::<(K, V)>::CAPACITY {
        leaf.insert(index, entry, shift);
        return None;
    }
    // At the end of the map more is likely to follow: the full leaf stays full.
    let middle = if last && index == len { len } else { len / 2 };
    let goes_left = index <= middle && index < len;
    let key = leaf.as_ref().items(false).get(middle).unwrap_or(&entry).0.clone();
    let rest = len - middle + usize::from(!goes_left);
    let mut right = OwnedLeaf::with_capacity(Leaf::<(K, V)>::room_for(rest), false);
    leaf.move_tail(middle, &mut right.as_mut(), shift);
    if goes_left {
        leaf.insert(index, entry, shift);
    } else {
        right.as_mut().insert(index - middle, entry, shift);
    }
    Some((key, Node::from_leaf(right)))
}

/// Inserts below `branch`; its right sibling and their separator, if it had to be split. `last` says whether it lies on
/// the right edge.
fn insert<K: Clone, V: Clone>(
    branch: &mut Inner<K, V>,
    path: &Path,
    height: u8,
    last: bool,
    entry: (K, V),
) -> Option<(K, Link<K, V>)> {
    let slot = path.slot(height, branch.level());
    let edge = last && slot + 1 == branch.count();
    branch.prepare_to_divide(slot);
    let over = match branch.child_mut(slot) {
        Some(NodeMut::Branch(child)) => insert(child, path, height, edge, entry),
        Some(NodeMut::Leaf(leaf)) if leaf.has_room() || leaf.as_ref().len() >= Leaf::<(K, V)>::CAPACITY => {
            insert_into(leaf, path.index, edge, entry)
        }
        Some(NodeMut::Leaf(leaf)) => {
            let room = Leaf::<(K, V)>::room_for(leaf.as_ref().len() + 1);
            branch.resize_leaf(slot, room);
            match branch.child_mut(slot) {
                Some(NodeMut::Leaf(leaf)) => insert_into(leaf, path.index, edge, entry),
                _ => unreachable!("a leaf stays a leaf"),
            }
        }
        None => unreachable!("a child stands in every slot below the count"),
    };
    let size = branch.size(slot) + 1;
    branch.set_size(slot, size);
    let (key, over) = over?;
    branch.set_size(slot, size - entries_of(over.as_ref()));
    let room = Leaf::<(K, V)>::room_for(branch.size(slot));
    branch.fit_leaf(slot, room);
    add_child(branch, slot + 1, key, over, last)
}

/// Puts a child at `slot` of `branch`, as `insert_child` does; the right sibling of `branch` and their separator, if
/// it was full.
pub(super) fn add_child<K: Clone, V>(
    branch: &mut Inner<K, V>,
    slot: usize,
    key: K,
    child: Link<K, V>,
    last: bool,
) -> Option<(K, Link<K, V>)> {
    if branch.count() < SLOTS {
        branch.insert_child(slot, key, child);
        return None;
    }
    if last && slot == SLOTS {
        return Some((key, Node::from_branch(Branch::above(child))));
    }
    let (separator, mut right) = branch.split_at(MIN_CHILDREN);
    if slot <= MIN_CHILDREN {
        branch.insert_child(slot, key, child);
    } else {
        right.insert_child(slot - MIN_CHILDREN, key, child);
    }
    Some((separator, Node::from_branch(right)))
}

/// Sees to it that the child on the path can lose something. If it had the least, it trades with a sibling.
#[inline]
fn relieve<K: Clone, V: Clone>(branch: &mut Inner<K, V>, path: &mut Path, height: u8, last: bool) {
    let level = branch.level();
    let slot = path.slot(height, level);
    let Some(child) = branch.child(slot) else { return };
    let (fill, least) = fill_of(child);
    if fill > least || branch.count() < 2 || last && slot + 1 == branch.count() {
        return;
    }
    relieve_slowly(branch, path, usize::from(height - level), fill);
}

/// The rare half of [`relieve`]: the child, which has `fill` items or children, is at `depth` of the path.
#[cold]
#[inline(never)]
fn relieve_slowly<K: Clone, V: Clone>(branch: &mut Inner<K, V>, path: &mut Path, depth: usize, fill: usize) {
    let slot = usize::from(path.slots[depth]);
    let pair = slot.min(branch.count() - 2);
    let before = if slot > pair { branch.child(pair).map_or(0, |left| fill_of(left).0) } else { 0 };
    branch.level_out(pair, slot == pair);
    // The child may have got what its left sibling gave, or have become a part of it.
    let (slot, gained) = match branch.child(slot) {
        _ if slot == pair => (slot, 0),
        Some(child) => (slot, fill_of(child).0 - fill),
        None => (pair, before),
    };
    path.slots[depth] = slot as u8;
    match branch.level() {
        1 => path.index += gained,
        _ => path.slots[depth + 1] += gained as u8,
    }
}

/// Takes the entry on the path out; the path has been relieved in this branch.
fn remove<K: Clone, V: Clone>(branch: &mut Inner<K, V>, path: &mut Path, height: u8, last: bool) -> (K, V) {
    relieve(branch, path, height, last);
    let slot = path.slot(height, branch.level());
    let edge = last && slot + 1 == branch.count();
    if branch.size(slot) == 1 {
        branch.own_keys();
    }
    let entry = match branch.child_mut(slot) {
        Some(NodeMut::Branch(child)) => remove(child, path, height, edge),
        Some(NodeMut::Leaf(mut leaf)) => leaf.remove(path.index, Leaf::<(K, V)>::SHIFT),
        None => unreachable!("a child stands in every slot below the count"),
    };
    let size = branch.size(slot) - 1;
    branch.set_size(slot, size);
    if size == 0 {
        drop(branch.remove_child(slot));
    }
    entry
}
