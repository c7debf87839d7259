//! What a vector keeps in its branches, and the moves of children that every edit is made of.
//!
//! | width | value | why |
//! |---|---|---|
//! | leaf | [`fitting`], a power of two | one copy on write costs about as much as the path above it |
//! | branch | `SLOTS` | reference counts of children are most of a path copy |
//!
//! A branch is *regular* when all its children but the last hold as many items as such a child can: then the slot
//! of an item is a shift away. Whatever only appends builds is regular everywhere; other branches search `ends`.

use std::marker::PhantomData;

use crate::error::Result;
use crate::node::{
    BITS, Branch, BranchLayout, Node, NodeMut, NodeRef, OwnedLeaf, SLOTS, SMALL, fitting, loaded, mask_shift,
};
use crate::record::Place;

/// A node of a vector.
pub(crate) type Link<T> = Node<T, Counts>;
/// A branch of a vector.
pub(crate) type Inner<T> = Branch<T, Counts>;

/// Children that a branch off both edges of the tree has at least.
pub(crate) const MIN_CHILDREN: usize = SLOTS / 2;

/// The sizes of leaves of `T`.
pub(crate) struct Leaf<T>(PhantomData<T>);

impl<T> Leaf<T> {
    /// Items of a full leaf.
    pub(crate) const CAPACITY: usize = { if SMALL { 4 } else { 1 << fitting::<T>().ilog2() } };
    /// Items that every leaf of the tree has at least.
    pub(crate) const LEAST: usize = Self::CAPACITY / 2;
    /// Items that share a bit of the changed-items mask, as a power of two.
    pub(crate) const MASK_SHIFT: u32 = mask_shift(Self::CAPACITY);
}

/// Bits of an index below those that choose a child of a branch at `level`.
#[inline]
pub(super) fn radix_of<T>(level: u8) -> u32 {
    Leaf::<T>::CAPACITY.ilog2() + BITS * (u32::from(level) - 1)
}

/// The slots `from..to`, as bits.
fn bits(from: usize, to: usize) -> u16 {
    (((1u32 << to) - 1) & !((1u32 << from) - 1)) as u16
}

/// Items that a vector holds at most outside its head and its tail: branches keep their counts in 32 bits.
pub(super) const MAX_ITEMS: usize = u32::MAX as usize - 1;

/// An end in a branch.
#[inline]
fn end_of(items: usize) -> u32 {
    assert_room(0, items);
    items as u32
}

/// Panics if more items than `MAX_ITEMS` would come together.
#[inline]
#[track_caller]
pub(super) fn assert_room(len: usize, more: usize) {
    assert!(
        more <= MAX_ITEMS.saturating_sub(len),
        "capacity overflow: {len} and {more} more items, and a vector holds at most {MAX_ITEMS}"
    );
}

/// Where the items of each child end.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Counts {
    /// Of a regular branch: the shift that turns an index into a slot; 0 says "search".
    radix: u32,
    /// Items in this and all earlier children; `u32::MAX` past the last.
    ends: [u32; SLOTS],
}

impl Counts {
    const EMPTY: Self = Self { radix: 0, ends: [u32::MAX; SLOTS] };

    /// The slot that item `index` lies below, and its index there.
    #[inline]
    pub(super) fn locate(&self, index: usize) -> (usize, usize) {
        if self.radix != 0 {
            let slot = index >> self.radix;
            return (slot, index - (slot << self.radix));
        }
        self.search(index)
    }

    #[inline]
    fn search(&self, index: usize) -> (usize, usize) {
        // All ends are asked, a vector register at a time: nothing waits for the answer of another.
        let wanted = index as u32;
        let slot = self.ends.iter().map(|&end| u32::from(end <= wanted)).sum::<u32>() as usize;
        // An index past the end belongs to the last child.
        let slot = slot.min(SLOTS - 1);
        let before = if slot == 0 { 0 } else { self.ends[slot - 1] as usize };
        (slot, index - before)
    }
}

impl Counts {
    /// `radix` if a branch of `count` children is regular, else 0.
    fn radix_at(&self, count: usize, radix: u32) -> u32 {
        // No child holds more than `1 << radix`, so the sum of all but the last tells about each of them.
        let regular = count < 2 || self.ends[count - 2] as usize == (count - 1) << radix;
        if regular { radix } else { 0 }
    }
}

impl BranchLayout for Counts {
    type Key = ();

    const TAGGED: bool = false;
    const NUMBERED: bool = true;

    fn shift<T>() -> u32 {
        Leaf::<T>::MASK_SHIFT
    }

    fn place<T>(&self, branch: &Branch<T, Self>, start: usize) -> Place {
        Place { what: branch.size(start) as u64, depth: u32::from(branch.level()) - 1 }
    }

    fn number(&self, slot: usize) -> Option<u64> {
        Some(u64::from(self.ends[slot] - if slot == 0 { 0 } else { self.ends[slot - 1] }))
    }

    fn rebuild<T>(
        level: u8,
        starts: u16,
        occupied: u16,
        place: Place,
        numbers: &[u64; SLOTS],
    ) -> Option<Self> {
        let count = occupied.count_ones() as usize;
        if starts != bits(0, SLOTS) || occupied != bits(0, count) || count == 0 {
            return None;
        }
        if level == 0 || u32::from(level) != place.depth || radix_of::<T>(level) >= usize::BITS - BITS {
            return None;
        }
        let radix = radix_of::<T>(level);
        let (mut counts, mut end) = (Self::EMPTY, 0u64);
        for (slot, &size) in numbers[..count].iter().enumerate() {
            end += Some(size).filter(|size| (1..=1 << radix).contains(size))?;
            counts.ends[slot] = u32::try_from(end).ok()?;
        }
        counts.radix = counts.radix_at(count, radix);
        (end == place.what).then_some(counts)
    }

    fn leaf_fits(place: Place, len: usize) -> bool {
        place == Place { what: len as u64, depth: 0 }
    }
}

/// How far the node is from the leaves.
#[inline]
pub(crate) fn level_of<T>(node: NodeRef<'_, T, Counts>) -> u8 {
    match node {
        NodeRef::Leaf(_) => 0,
        NodeRef::Branch(branch) => branch.level(),
    }
}

/// How many items the node holds.
pub(crate) fn items_of<T>(node: NodeRef<'_, T, Counts>) -> usize {
    match node {
        NodeRef::Leaf(leaf) => leaf.len(),
        NodeRef::Branch(branch) => branch.items(),
    }
}

impl<T> Branch<T, Counts> {
    /// An empty branch, `level` steps above the leaves.
    pub(crate) fn at_level(level: u8) -> Box<Self> {
        Branch::new(level, bits(0, SLOTS), Counts::EMPTY)
    }

    /// A branch of one child, as a node.
    pub(super) fn above(child: Link<T>) -> Link<T> {
        let mut branch = Self::at_level(level_of(child.as_ref()) + 1);
        branch.insert_child(0, child);
        Node::from_branch(branch)
    }

    /// Items below.
    #[inline]
    pub(crate) fn items(&self) -> usize {
        match self.count() {
            0 => 0,
            count => self.extra.ends[count - 1] as usize,
        }
    }

    /// Items below the child at `slot`.
    #[inline]
    pub(crate) fn size(&self, slot: usize) -> usize {
        (self.extra.ends[slot] - if slot == 0 { 0 } else { self.extra.ends[slot - 1] }) as usize
    }

    /// Whether indices are turned into slots by a shift.
    pub(crate) fn is_regular(&self) -> bool {
        self.extra.radix != 0
    }

    fn sizes(&self) -> [usize; SLOTS] {
        std::array::from_fn(|slot| if slot < self.count() { self.size(slot) } else { 0 })
    }

    /// Sets how many items each of the first `count` children holds.
    pub(crate) fn set_sizes(&mut self, sizes: &[usize; SLOTS], count: usize) {
        self.set_count(count);
        let mut end = 0;
        for (slot, size) in sizes.iter().enumerate() {
            end += size;
            self.extra.ends[slot] = if slot < count { end_of(end) } else { u32::MAX };
        }
        self.find_radix();
    }

    /// Says that the child at `slot` now holds `size` items; `child_mut` marked it changed.
    pub(super) fn set_size(&mut self, slot: usize, size: usize) {
        let (old, count) = (self.size(slot), self.count());
        for end in &mut self.extra.ends[slot..count] {
            *end = end_of(*end as usize - old + size);
        }
        self.find_radix();
    }

    fn find_radix(&mut self) {
        self.extra.radix = self.extra.radix_at(self.count(), radix_of::<T>(self.level()));
    }

    /// Puts a child at `slot`; those from there on move up. There must be room.
    pub(crate) fn insert_child(&mut self, slot: usize, child: Link<T>) {
        let count = self.count();
        debug_assert!(slot <= count && count < SLOTS);
        if slot == count {
            let end = self.items() + items_of(child.as_ref());
            self.set(slot, Some(child));
            self.extra.ends[slot] = end_of(end);
            self.set_count(count + 1);
            self.find_radix();
            return;
        }
        let mut sizes = self.sizes();
        sizes[slot..=count].rotate_right(1);
        sizes[slot] = items_of(child.as_ref());
        self.shift_slots(slot, slot + 1, count - slot);
        self.set(slot, Some(child));
        self.set_sizes(&sizes, count + 1);
        self.touch_structure(bits(slot, count + 1));
    }

    /// Takes the child at `slot` out, loaded; those after it move down.
    pub(super) fn remove_child(&mut self, slot: usize) -> Link<T> {
        let (count, mut sizes) = (self.count(), self.sizes());
        let child = self.take(slot).expect("a child stands in every slot below the count");
        self.shift_slots(slot + 1, slot, count - slot - 1);
        sizes[slot..count].rotate_left(1);
        self.set_sizes(&sizes, count - 1);
        self.touch_structure(bits(slot, count));
        child
    }

    /// Moves the children from `slot` on to a new branch.
    pub(super) fn split_at(&mut self, slot: usize) -> Box<Self> {
        let mut right = Self::at_level(self.level());
        self.give_back(&mut right, self.count() - slot);
        right
    }

    /// Moves the last `give` children to the front of `right`.
    pub(super) fn give_back(&mut self, right: &mut Self, give: usize) {
        if give == 0 {
            return;
        }
        let (count, theirs) = (self.count(), right.count());
        let (mut sizes, mut their_sizes) = (self.sizes(), right.sizes());
        right.shift_slots(0, give, theirs);
        right.move_slots(0, self, count - give, give);
        their_sizes[..give + theirs].rotate_right(give);
        their_sizes[..give].copy_from_slice(&sizes[count - give..count]);
        sizes[count - give..].fill(0);
        right.set_sizes(&their_sizes, theirs + give);
        self.set_sizes(&sizes, count - give);
        right.touch_structure(bits(0, theirs + give));
        self.touch_structure(bits(count - give, count));
    }

    /// Moves the first `give` children to the end of `left`.
    pub(super) fn give_front(&mut self, left: &mut Self, give: usize) {
        if give == 0 {
            return;
        }
        let (count, theirs) = (self.count(), left.count());
        let (mut sizes, mut their_sizes) = (self.sizes(), left.sizes());
        left.move_slots(theirs, self, 0, give);
        self.shift_slots(give, 0, count - give);
        their_sizes[theirs..theirs + give].copy_from_slice(&sizes[..give]);
        sizes[..count].rotate_left(give);
        left.set_sizes(&their_sizes, theirs + give);
        self.set_sizes(&sizes, count - give);
        left.touch_structure(bits(theirs, theirs + give));
        self.touch_structure(bits(0, count));
    }

    /// Moves all children of `right` here if they fit; else evens both out, the larger half to the left if
    /// `favour_left`.
    pub(super) fn balance(&mut self, right: &mut Self, favour_left: bool) {
        let (mine, theirs) = (self.count(), right.count());
        let total = mine + theirs;
        let keep = if total <= SLOTS { total } else { (total + usize::from(favour_left)) / 2 };
        if keep >= mine {
            right.give_front(self, keep - mine);
        } else {
            self.give_back(right, mine - keep);
        }
    }

    /// Makes one of the children at `left` and `left + 1` if that fits, else evens them out. If cloning or loading
    /// panics, nothing has changed.
    pub(super) fn level_out(&mut self, left: usize, favour_left: bool)
    where
        T: Clone,
    {
        // From here on both are in memory and ours: nothing below runs the user's code or reads the log.
        self.child_mut(left + 1);
        self.child_mut(left);
        loaded(self.siblings(left));
        let mut right = self.remove_child(left + 1);
        let mut items = self.size(left);
        if let NodeRef::Leaf(leaf) = right.as_ref() {
            let total = items + leaf.len();
            self.reserve_leaf(left, Leaf::<T>::CAPACITY.min(total));
        }
        match (self.child_mut(left), right.make_mut()) {
            (Some(NodeMut::Branch(mine)), NodeMut::Branch(theirs)) => {
                mine.balance(theirs, favour_left);
                items = mine.items();
            }
            (Some(NodeMut::Leaf(mut mine)), NodeMut::Leaf(mut theirs)) => {
                let total = items + theirs.as_ref().len();
                let keep = if total <= Leaf::<T>::CAPACITY { total } else { total / 2 };
                if keep >= items {
                    theirs.move_head(keep - items, &mut mine, Leaf::<T>::MASK_SHIFT);
                } else {
                    let mut fresh = OwnedLeaf::with_capacity(Leaf::<T>::CAPACITY, false);
                    mine.move_tail(keep, &mut fresh.as_mut(), Leaf::<T>::MASK_SHIFT);
                    theirs.move_tail(0, &mut fresh.as_mut(), Leaf::<T>::MASK_SHIFT);
                    right = Node::from_leaf(fresh);
                }
                items = keep;
            }
            _ => unreachable!("siblings are at the same level"),
        }
        self.set_size(left, items);
        if items_of(right.as_ref()) > 0 {
            self.insert_child(left + 1, right);
        }
    }

    /// Counts the children of the branches at `left` and `left + 1`, and sees to it that they can move between the
    /// two: if different pins hold their links, they are loaded.
    pub(super) fn siblings(&self, left: usize) -> Result<usize> {
        let (Some(NodeRef::Branch(mine)), Some(NodeRef::Branch(theirs))) =
            (self.try_child(left)?, self.try_child(left + 1)?)
        else {
            return Ok(0);
        };
        mine.admit_both(theirs)?;
        Ok(mine.count() + theirs.count())
    }

    /// Lets the leaf at `slot`, which is ours, have room for `capacity` items.
    pub(super) fn reserve_leaf(&mut self, slot: usize, capacity: usize) {
        if let Some(NodeRef::Leaf(leaf)) = self.child(slot)
            && leaf.capacity() < capacity
        {
            self.resize_leaf(slot, Leaf::<T>::CAPACITY);
        }
    }
}
