//! What an ordered map keeps in its branches, and the moves of children that every edit is made of.
//!
//! | width | value | why |
//! |---|---|---|
//! | leaf | [`fitting`], at most 64 entries | a copy on write costs about as much as the path above it |
//! | branch | `SLOTS` | reference counts of children are most of a path copy |
//!
//! *Separators.* Between two children a branch keeps a clone of a key: at most every key of the right one, and above
//! every key of the left one. It could read the first key of a child instead, but then each step of a search would be a
//! miss of the cache, and in a restored map a read of the log: look-ups would load whole branches of nodes. So
//! separators lie inside the branch, are written with it, and a look-up loads the nodes on its way and no other. They
//! change only where nodes split, merge or trade, and a removed key may stay as a separator. Look-ups need no `Clone`.

use std::borrow::Borrow;
use std::marker::PhantomData;

use crate::node::{
    Branch, BranchLayout, Keys, Node, NodeMut, NodeRef, OwnedLeaf, SLOTS, SMALL, fitting, loaded, mask_shift,
};
use crate::record::Place;

/// A node of an ordered map.
pub(crate) type Link<K, V> = Node<(K, V), Order<K>>;
/// A look at a node.
pub(crate) type LinkRef<'a, K, V> = NodeRef<'a, (K, V), Order<K>>;
/// A branch of an ordered map.
pub(crate) type Inner<K, V> = Branch<(K, V), Order<K>>;

/// Children that a branch has at least, but for the right edge of the tree.
pub(crate) const MIN_CHILDREN: usize = SLOTS / 2;

/// The sizes of leaves of `T`.
pub(crate) struct Leaf<T>(PhantomData<T>);

impl<T> Leaf<T> {
    /// Entries of a full leaf.
    pub(crate) const CAPACITY: usize = match fitting::<T>() {
        _ if SMALL => 4,
        64.. => 64,
        fitting => fitting,
    };
    /// Entries that a leaf has at least, but for the last.
    pub(crate) const LEAST: usize = Self::CAPACITY / 2;
    /// Entries that share a bit of the changed-items mask, as a power of two.
    pub(crate) const SHIFT: u32 = mask_shift(Self::CAPACITY);

    /// Room to allocate for `len` entries: leaves grow by steps, small ones by smaller steps, so that bytes are not wasted.
    pub(super) const fn room_for(len: usize) -> usize {
        let step = Self::CAPACITY.div_ceil(if len <= Self::CAPACITY / 8 { 8 } else { 4 });
        let room = len.next_multiple_of(step);
        if room < Self::CAPACITY { room } else { Self::CAPACITY }
    }
}

/// The slots `from..to`, as bits.
fn bits(from: usize, to: usize) -> u16 {
    (((1u32 << to) - 1) & !((1u32 << from) - 1)) as u16
}

/// The number of items for which `is_low`, which must be so for the first ones. Where the keys are `K`.
///
/// Of keys that are as cheap as a number all are asked: nothing waits for the answer of another, be it for a comparison
/// or for a line of memory, and there is no branch to mispredict. Others are asked in turn, as std's `BTreeMap` does: a
/// binary search asks fewer, but guesses wrong half of the time, and so waits for the memory behind each key it asks.
#[inline]
pub(super) fn count_low<K, T>(items: &[T], is_low: impl Fn(&T) -> bool) -> usize {
    if size_of::<K>() <= size_of::<u64>() && !std::mem::needs_drop::<K>() {
        items.iter().map(|item| usize::from(is_low(item))).sum()
    } else {
        items.iter().position(|item| !is_low(item)).unwrap_or(items.len())
    }
}

/// Entries that a map holds at most: branches keep their counts in 32 bits.
pub(super) const MAX_ENTRIES: usize = u32::MAX as usize;

/// Panics if more entries than `MAX_ENTRIES` would come together.
#[inline]
#[track_caller]
pub(super) fn assert_room(len: usize, more: usize) {
    assert!(
        more <= MAX_ENTRIES.saturating_sub(len),
        "capacity overflow: {len} and {more} more entries, and a map holds at most {MAX_ENTRIES}"
    );
}

/// The separators of a branch, and how many entries each child has.
#[derive(Clone)]
#[repr(C)]
pub(crate) struct Order<K> {
    keys: Keys<K>,
    sizes: [u32; SLOTS],
}

impl<K> Order<K> {
    /// The slot of the child in which `key` lies, if anywhere.
    #[inline]
    pub(super) fn slot_of<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        count_low::<K, K>(self.keys.as_slice(), |separator| separator.borrow() <= key)
    }

    /// The slot of the child in which the entry at position `index` lies, and its position there.
    #[inline]
    pub(super) fn locate(&self, mut index: usize) -> (usize, usize) {
        let mut slot = 0;
        while slot < self.keys.as_slice().len() && index >= self.sizes[slot] as usize {
            index -= self.sizes[slot] as usize;
            slot += 1;
        }
        (slot, index)
    }

    /// How many entries lie in the children before `slot`.
    #[inline]
    pub(super) fn before(&self, slot: usize) -> usize {
        self.sizes[..slot].iter().sum::<u32>() as usize
    }
}

impl<K> BranchLayout for Order<K> {
    type Key = K;
    const KEYED: bool = true;
    const TAGGED: bool = false;
    const NUMBERED: bool = true;

    fn shift<T>() -> u32 {
        Leaf::<T>::SHIFT
    }

    fn place<T>(&self, branch: &Branch<T, Self>, start: usize) -> Place {
        Place { what: u64::from(self.sizes[start]), depth: u32::from(branch.level()) - 1 }
    }

    fn number(&self, slot: usize) -> Option<u64> {
        Some(u64::from(self.sizes[slot]))
    }

    fn shared(&self) -> Option<(*const (), usize)> {
        self.keys.shared()
    }

    fn keys(&self) -> &[K] {
        self.keys.as_slice()
    }

    fn set_keys(&mut self, keys: Vec<K>) -> bool {
        let fits = keys.len() + 1 == self.sizes.iter().filter(|&&size| size > 0).count();
        if fits {
            keys.into_iter().enumerate().for_each(|(at, key)| self.keys.insert(at, key));
        }
        fits
    }

    fn rebuild<T>(
        level: u8,
        starts: u16,
        occupied: u16,
        place: Place,
        numbers: &[u64; SLOTS],
    ) -> Option<Self> {
        let count = occupied.count_ones() as usize;
        let sound = starts == bits(0, SLOTS)
            && occupied == bits(0, count)
            && level > 0
            && u32::from(level) == place.depth
            && numbers[..count].iter().all(|&number| number > 0);
        let mut order = Self { keys: Keys::new(), sizes: [0; SLOTS] };
        let mut total = 0u32;
        for (size, &number) in order.sizes.iter_mut().zip(&numbers[..count]) {
            *size = u32::try_from(number).ok()?;
            total = total.checked_add(*size)?;
        }
        (sound && u64::from(total) == place.what).then_some(order)
    }

    fn leaf_fits(place: Place, len: usize) -> bool {
        place == Place { what: len as u64, depth: 0 }
    }
}

/// How far the node is from the leaves.
#[inline]
pub(super) fn level_of<K, V>(node: LinkRef<'_, K, V>) -> u8 {
    match node {
        NodeRef::Leaf(_) => 0,
        NodeRef::Branch(branch) => branch.level(),
    }
}

/// How many entries the node holds.
pub(super) fn entries_of<K, V>(node: LinkRef<'_, K, V>) -> usize {
    match node {
        NodeRef::Leaf(leaf) => leaf.len(),
        NodeRef::Branch(branch) => branch.entries(),
    }
}

/// How many items or children the node has, and how many are the fewest off the right edge.
pub(super) fn fill_of<K, V>(node: LinkRef<'_, K, V>) -> (usize, usize) {
    match node {
        NodeRef::Leaf(leaf) => (leaf.len(), Leaf::<(K, V)>::LEAST),
        NodeRef::Branch(branch) => (branch.count(), MIN_CHILDREN),
    }
}

/// How many of all items or children the left one of two siblings gets.
pub(super) fn share(total: usize, most: usize, favour_left: bool) -> usize {
    if total <= most { total } else { (total + usize::from(favour_left)) / 2 }
}

impl<K, V> Branch<(K, V), Order<K>> {
    /// Lets no copy of this branch share its separators. What moves children does it too; who must not panic once he has
    /// begun does it before.
    #[inline]
    pub(super) fn own_keys(&mut self)
    where
        K: Clone,
    {
        self.extra.keys.own();
    }

    /// Returns whether nobody else holds this branch or its separators.
    pub(super) fn is_own(&self) -> bool {
        !self.header().is_shared() && self.extra.keys.are_own()
    }

    /// Does [`own_keys`](Self::own_keys) if the child at `slot` is so full that an insertion may divide it.
    #[inline]
    pub(super) fn prepare_to_divide(&mut self, slot: usize)
    where
        K: Clone,
    {
        let full = |child| match child {
            NodeRef::Leaf(leaf) => leaf.len() == Leaf::<(K, V)>::CAPACITY,
            NodeRef::Branch(branch) => branch.count() == SLOTS,
        };
        if Keys::<K>::SHARED && self.child(slot).is_some_and(full) {
            self.own_keys();
        }
    }

    /// An empty branch, `level` steps above the leaves.
    pub(super) fn at_level(level: u8) -> Box<Self> {
        Branch::new(level, bits(0, SLOTS), Order { keys: Keys::new(), sizes: [0; SLOTS] })
    }

    /// A branch of one child.
    pub(super) fn above(child: Link<K, V>) -> Box<Self> {
        let mut branch = Self::at_level(level_of(child.as_ref()) + 1);
        branch.push_child(None, child);
        branch
    }

    /// Entries below.
    pub(super) fn entries(&self) -> usize {
        self.extra.sizes.iter().sum::<u32>() as usize
    }

    /// Entries below the child at `slot`.
    #[inline]
    pub(crate) fn size(&self, slot: usize) -> usize {
        self.extra.sizes[slot] as usize
    }

    /// Says how many entries the child at `slot` has now; `child_mut` marked it changed.
    #[inline]
    pub(super) fn set_size(&mut self, slot: usize, size: usize) {
        debug_assert!(size <= MAX_ENTRIES);
        self.extra.sizes[slot] = size as u32;
    }

    /// Appends a child; `key` separates it from the one before, if there is one.
    pub(super) fn push_child(&mut self, key: Option<K>, child: Link<K, V>) {
        let count = self.count();
        debug_assert_eq!(key.is_some(), count > 0);
        if let Some(key) = key {
            self.extra.keys.insert(count - 1, key);
        }
        self.set_size(count, entries_of(child.as_ref()));
        self.set(count, Some(child));
        self.set_count(count + 1);
    }

    /// Puts a child at `slot`; those from there on move up. `key` separates it from the one before it; the first one,
    /// from the one after it.
    pub(super) fn insert_child(&mut self, slot: usize, key: K, child: Link<K, V>)
    where
        K: Clone,
    {
        self.own_keys();
        let count = self.count();
        debug_assert!(slot <= count && count < SLOTS);
        self.extra.keys.insert(slot.saturating_sub(1), key);
        self.extra.sizes[slot..=count].rotate_right(1);
        self.set_size(slot, entries_of(child.as_ref()));
        self.shift_slots(slot, slot + 1, count - slot);
        self.set(slot, Some(child));
        self.set_count(count + 1);
        self.touch_structure(bits(slot, count + 1));
    }

    /// Takes the child at `slot` out, loaded, and the separator before it (of the first one, that after it).
    pub(super) fn remove_child(&mut self, slot: usize) -> (Option<K>, Link<K, V>)
    where
        K: Clone,
    {
        self.own_keys();
        let count = self.count();
        let child = self.take(slot).expect("a child stands in every slot below the count");
        let key = (count > 1).then(|| self.extra.keys.remove(slot.saturating_sub(1)));
        self.shift_slots(slot + 1, slot, count - slot - 1);
        self.extra.sizes[slot..count].rotate_left(1);
        self.extra.sizes[count - 1] = 0;
        self.set_count(count - 1);
        self.touch_structure(bits(slot, count));
        (key, child)
    }

    /// Moves the children from `slot` on (neither none nor all) to a new branch; the separator between the two.
    pub(super) fn split_at(&mut self, slot: usize) -> (K, Box<Self>)
    where
        K: Clone,
    {
        self.own_keys();
        let count = self.count();
        let mut right = Self::at_level(self.level());
        right.move_slots(0, self, slot, count - slot);
        right.extra.keys.take(0, &mut self.extra.keys, slot..count - 1);
        right.extra.sizes[..count - slot].copy_from_slice(&self.extra.sizes[slot..count]);
        self.extra.sizes[slot..count].fill(0);
        right.set_count(count - slot);
        self.set_count(slot);
        self.touch_structure(bits(slot, count));
        (self.extra.keys.remove(slot - 1), right)
    }

    /// Moves children between two neighbours separated by `key`, so that the left one has `keep` of them; their new
    /// separator, unless nothing is left of the right one.
    pub(super) fn trade(&mut self, right: &mut Self, key: K, keep: usize) -> Option<K>
    where
        K: Clone,
    {
        self.own_keys();
        right.own_keys();
        let (mine, theirs) = (self.count(), right.count());
        let total = mine + theirs;
        let separator = if keep < mine {
            let give = mine - keep;
            right.shift_slots(0, give, theirs);
            right.move_slots(0, self, keep, give);
            let [left, other] = [&mut self.extra, &mut right.extra];
            other.keys.insert(0, key);
            other.keys.take(0, &mut left.keys, keep..mine - 1);
            other.sizes[..total - keep].rotate_right(give);
            other.sizes[..give].copy_from_slice(&left.sizes[keep..mine]);
            left.sizes[keep..mine].fill(0);
            Some(left.keys.remove(keep - 1))
        } else {
            let give = keep - mine;
            self.move_slots(mine, right, 0, give);
            right.shift_slots(give, 0, theirs - give);
            let [left, other] = [&mut self.extra, &mut right.extra];
            left.keys.insert(mine - 1, key);
            // As many as children move, the last of them for a separator; or all there are.
            left.keys.take(mine, &mut other.keys, 0..give.min(theirs - 1));
            left.sizes[mine..keep].copy_from_slice(&other.sizes[..give]);
            other.sizes[..give].fill(0);
            other.sizes[..theirs].rotate_left(give);
            (keep < total).then(|| left.keys.remove(keep - 1))
        };
        self.set_count(keep);
        right.set_count(total - keep);
        self.touch_structure(bits(keep.min(mine), keep.max(mine)));
        right.touch_structure(bits(0, theirs.max(total - keep)));
        separator
    }

    /// Makes one of the children at `left` and `left + 1` if that fits; else evens them out, the larger half to the left
    /// if `favour_left`. If cloning or loading panics, no entry has moved.
    pub(super) fn level_out(&mut self, left: usize, favour_left: bool)
    where
        K: Clone,
        V: Clone,
    {
        drop(self.level_out_by(left, favour_left, None));
    }

    /// As [`level_out`](Self::level_out), with the separator that comes between two leaves if it was cloned before; the
    /// one that has become useless, which the caller drops when it has changed everything.
    pub(super) fn level_out_by(&mut self, left: usize, favour_left: bool, even: Option<K>) -> Option<K>
    where
        K: Clone,
        V: Clone,
    {
        let (most, shift) = (Leaf::<(K, V)>::CAPACITY, Leaf::<(K, V)>::SHIFT);
        // From here on both are in memory and ours, and so are the separators of all three.
        for slot in [left + 1, left] {
            if let Some(NodeMut::Branch(child)) = self.child_mut(slot) {
                child.own_keys();
            }
        }
        self.own_keys();
        let (mut keep, mut key) = (0, None);
        match (self.child(left), self.child(left + 1)) {
            (Some(NodeRef::Branch(mine)), Some(NodeRef::Branch(theirs))) => loaded(mine.admit_both(theirs)),
            (Some(NodeRef::Leaf(mine)), Some(NodeRef::Leaf(theirs))) => {
                let (mine, theirs) = (mine.items(false), theirs.items(false));
                keep = share(mine.len() + theirs.len(), most, favour_left);
                let first = mine.get(keep).or_else(|| theirs.get(keep - mine.len()));
                key = first.map(|entry| even.unwrap_or_else(|| entry.0.clone()));
            }
            _ => unreachable!("siblings are at the same level"),
        }
        // And nothing from here on runs the user's code or reads the log.
        let (old_key, mut right) = self.remove_child(left + 1);
        let mut old_key = Some(old_key.expect("a separator lies between two children"));
        let room = Leaf::<(K, V)>::room_for(keep.max(self.size(left)));
        self.fit_leaf(left, room);
        let (size, total) = (self.size(left), self.size(left) + entries_of(right.as_ref()));
        match (self.child_mut(left), right.make_mut()) {
            (Some(NodeMut::Branch(mine)), NodeMut::Branch(theirs)) => {
                let keep = share(mine.count() + theirs.count(), SLOTS, favour_left);
                key = old_key.take().and_then(|old_key| mine.trade(theirs, old_key, keep));
            }
            (Some(NodeMut::Leaf(mut mine)), NodeMut::Leaf(mut theirs)) if keep >= size => {
                theirs.move_head(keep - size, &mut mine, shift);
            }
            (Some(NodeMut::Leaf(mut mine)), NodeMut::Leaf(mut theirs)) => {
                let mut fresh = OwnedLeaf::with_capacity(Leaf::<(K, V)>::room_for(total - keep), false);
                mine.move_tail(keep, &mut fresh.as_mut(), shift);
                theirs.move_tail(0, &mut fresh.as_mut(), shift);
                right = Node::from_leaf(fresh);
            }
            _ => unreachable!("siblings are at the same level"),
        }
        self.set_size(left, total - entries_of(right.as_ref()));
        if let Some(key) = key {
            self.insert_child(left + 1, key, right);
        }
        old_key
    }

    /// Moves the leaf at `slot`, which is ours, if it is one, into an allocation for `room` entries.
    pub(super) fn fit_leaf(&mut self, slot: usize, room: usize) {
        if let Some(NodeRef::Leaf(leaf)) = self.child(slot)
            && leaf.capacity() != room
        {
            self.resize_leaf(slot, room);
        }
    }
}
