//! A branch: header, source of its lazy links, sixteen slots, and what the collection keeps beside them.
//!
//! A child may stand in an aligned *range* of slots, so that a look-up needs no count of bits: it goes straight to
//! its slot. Only the slot that starts a range (a bit in `starts`) owns the reference; the others are *aliases*,
//! plain copies of the word. Lazy loads compare-and-swap the start and fill the aliases afterwards; copying,
//! dropping and mutation walk the starts.
#![expect(unsafe_code, reason = "slots of tagged pointers, shared between threads")]

use std::sync::Arc;

use super::header::{Header, STRUCTURE};
use super::leaf::LeafRef;
use super::link::{Node, NodeMut, NodeRef, Word};
use super::slot::{publish, same_word, settle};
use super::source::Source;
use super::{BranchLayout, SMALL};
use crate::error::Result;
use crate::record::Address;
use crate::record::Place;
use crate::sync::{AtomicPtr, Ordering};
use crate::weaken;

/// Hash bits that a branch routes.
pub(crate) const BITS: u32 = if SMALL { 2 } else { 4 };
/// Slots of a branch.
pub(crate) const SLOTS: usize = 1 << BITS;

/// An inner node.
#[repr(C)]
pub(crate) struct Branch<T, X: BranchLayout> {
    pub(super) header: Header,
    pub(super) source: Option<Arc<Source<T, X>>>,
    pub(super) slots: [AtomicPtr<()>; SLOTS],
    /// What the collection keeps beside the slots.
    pub(crate) extra: X,
}

// SAFETY: a branch owns its children as an Arc does; slots change under `&` only from an address to the node that
// the address stands for.
unsafe impl<T: Send + Sync, X: BranchLayout + Send + Sync> Send for Branch<T, X> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync, X: BranchLayout + Send + Sync> Sync for Branch<T, X> {}

/// A child: in memory, or known by its address only.
pub(crate) enum Child<'a, T, X: BranchLayout> {
    /// In memory.
    Resident(NodeRef<'a, T, X>),
    /// In the log of the branch's source.
    Lazy(Address),
}

impl<T, X: BranchLayout> Branch<T, X> {
    /// An empty branch whose ranges start at the slots of `starts`, of which the first must be one.
    pub(crate) fn new(level: u8, starts: u16, extra: X) -> Box<Self> {
        debug_assert!(starts & 1 == 1);
        let mut header = Header::fresh();
        header.level = level;
        header.starts = starts;
        Box::new(Self { header, source: None, slots: no_slots(), extra })
    }

    /// The node's header.
    #[inline]
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The level given at construction.
    #[inline]
    pub(crate) fn level(&self) -> u8 {
        self.header.level
    }

    /// Bitmap of the slots that start a range.
    #[inline]
    pub(crate) fn starts(&self) -> u16 {
        self.header.starts
    }

    /// The number that the collection keeps in the header.
    #[inline]
    pub(crate) fn count(&self) -> usize {
        self.header.len as usize
    }

    /// Sets the number that the collection keeps in the header.
    pub(crate) fn set_count(&mut self, count: usize) {
        debug_assert!(count <= SLOTS);
        self.header.len = count as u32;
    }

    /// The first slot of the range that `slot` lies in.
    #[inline]
    pub(crate) fn start_of(&self, slot: usize) -> usize {
        // The first slot starts a range always.
        let below = (u32::from(self.header.starts) | 1) & ((2 << slot) - 1);
        below.ilog2() as usize
    }

    /// The slot after the range that starts at `start`.
    #[inline]
    pub(crate) fn end_of(&self, start: usize) -> usize {
        let above = u32::from(self.header.starts) >> (start + 1);
        if above == 0 { SLOTS } else { start + 1 + above.trailing_zeros() as usize }
    }

    /// The slots that start a range, in order.
    #[inline]
    pub(crate) fn ranges(&self) -> Ranges {
        Ranges(self.header.starts)
    }

    #[inline]
    pub(super) fn word(&self, slot: usize) -> Word {
        Word(self.slots[slot].load(weaken::ordering("slot", Ordering::Acquire)))
    }

    /// Whether nothing stands in `slot`.
    #[inline]
    pub(crate) fn is_vacant(&self, slot: usize) -> bool {
        self.word(slot).is_nothing()
    }

    /// The child at `slot` as it is, without loading it.
    pub(crate) fn peek(&self, slot: usize) -> Option<Child<'_, T, X>> {
        let word = self.word(slot);
        match word.address() {
            Some(address) => Some(Child::Lazy(address)),
            // SAFETY: resident words of a branch are of its types and live as long as it is borrowed.
            None => word.resident().map(|_| Child::Resident(unsafe { word.view() })),
        }
    }

    /// The children that are in memory, each once.
    pub(super) fn residents(&self) -> impl Iterator<Item = NodeRef<'_, T, X>> {
        self.ranges().filter_map(|start| match self.peek(start) {
            Some(Child::Resident(child)) => Some(child),
            _ => None,
        })
    }

    /// The child at `slot`, loaded if need be.
    ///
    /// # Panics
    /// With the store's error when it cannot be loaded; [`try_child`](Self::try_child) returns it.
    #[inline]
    pub(crate) fn child(&self, slot: usize) -> Option<NodeRef<'_, T, X>> {
        let word = self.word(slot);
        if word.resident().is_some() {
            // SAFETY: as in `peek`.
            return Some(unsafe { word.view() });
        }
        if word.is_nothing() {
            return None;
        }
        Some(loaded(self.load(slot)))
    }

    /// The child at `slot`, loaded if need be.
    ///
    /// # Errors
    /// What reading or decoding its record answered.
    #[inline]
    pub(crate) fn try_child(&self, slot: usize) -> Result<Option<NodeRef<'_, T, X>>> {
        let word = self.word(slot);
        if word.resident().is_some() {
            // SAFETY: as in `peek`.
            return Ok(Some(unsafe { word.view() }));
        }
        if word.is_nothing() {
            return Ok(None);
        }
        self.load(slot).map(Some)
    }

    /// Begins to fetch the headers of the children that start at `starts`; see [`Word::prefetch`].
    #[inline]
    pub(super) fn prefetch(&self, starts: u16) {
        for start in Ranges(starts) {
            Word(self.slots[start].load(Ordering::Relaxed)).prefetch();
        }
    }

    /// Begins to fetch the headers of all children. Asking for what is not there costs less than to ask whether it is.
    #[inline]
    pub(super) fn prefetch_all(&self) {
        for slot in &self.slots {
            Word(slot.load(Ordering::Relaxed)).prefetch();
        }
    }

    /// Another reference to the child at `slot`, loaded if need be.
    ///
    /// # Panics
    /// As [`child`](Self::child).
    pub(crate) fn child_node(&self, slot: usize) -> Option<Node<T, X>> {
        self.child(slot)?;
        let word = self.word(self.start_of(slot));
        // SAFETY: resident and alive while `self` is borrowed; the new Node owns the reference counted here.
        unsafe {
            word.header().retain();
            Some(Node::from_word(word))
        }
    }

    /// Whether the child at `slot` is a branch; it is loaded to tell, if need be.
    ///
    /// # Panics
    /// As [`child`](Self::child).
    #[inline]
    pub(super) fn holds_branch(&self, slot: usize) -> bool {
        let word = self.word(slot);
        word.is_branch()
            || word.address().is_some() && matches!(self.child_slow(slot), Some(NodeRef::Branch(_)))
    }

    /// The child at `slot` if it is a leaf; [`child`](Self::child) for those who know the level.
    ///
    /// # Panics
    /// As [`child`](Self::child).
    #[inline]
    pub(crate) fn child_leaf(&self, slot: usize) -> Option<LeafRef<'_, T>> {
        let word = self.word(slot);
        // An address may have this bit too.
        if word.is_leaf() && word.address().is_none() {
            // SAFETY: as in `peek`; the flags say that it is a leaf.
            return Some(unsafe { LeafRef::new(word.leaf()) });
        }
        match self.child_slow(slot) {
            Some(NodeRef::Leaf(leaf)) => Some(leaf),
            _ => None,
        }
    }

    #[cold]
    #[inline(never)]
    fn child_slow(&self, slot: usize) -> Option<NodeRef<'_, T, X>> {
        self.child(slot)
    }

    #[cold]
    fn load(&self, slot: usize) -> Result<NodeRef<'_, T, X>> {
        let start = self.start_of(slot);
        let place = self.extra.place(self, start);
        let word = settle(&self.slots[start], self.source.as_ref(), place)?;
        for alias in start + 1..self.end_of(start) {
            self.slots[alias].store(word.0, weaken::ordering("alias", Ordering::Release));
        }
        // SAFETY: as in `peek`.
        Ok(unsafe { word.view() })
    }

    /// Puts a loaded node where its address stood, unless it was loaded meanwhile.
    pub(crate) fn install(&self, slot: usize, node: Node<T, X>) {
        let start = self.start_of(slot);
        let word = publish(&self.slots[start], node);
        for alias in start + 1..self.end_of(start) {
            self.slots[alias].store(word.0, weaken::ordering("alias_installed", Ordering::Release));
        }
    }

    /// What the parent knows of the child that starts at `start`.
    pub(crate) fn place(&self, start: usize) -> Place {
        self.extra.place(self, start)
    }

    /// The source of the lazy links, if there ever were any.
    pub(crate) fn source(&self) -> Option<&Arc<Source<T, X>>> {
        self.source.as_ref()
    }

    /// Marks the children of `slots` (a bitmap) changed.
    #[inline]
    pub(crate) fn touch(&mut self, slots: u16) {
        self.header.touch(u32::from(slots));
    }

    /// Marks ranges, emptiness or number of children changed, beside the children of `slots`.
    pub(crate) fn touch_structure(&mut self, slots: u16) {
        self.header.touch(u32::from(slots) | STRUCTURE);
    }

    /// Changes the child at `slot`, which is loaded first if it is lazy and copied if others hold it.
    ///
    /// # Panics
    /// As [`child`](Self::child).
    #[inline]
    pub(crate) fn child_mut(&mut self, slot: usize) -> Option<NodeMut<'_, T, X>>
    where
        T: Clone,
        X: Clone,
    {
        self.child_mut_by(slot, Node::copy_of)
    }

    /// As [`child_mut`](Self::child_mut), to go on below by the slots that `slot_of` tells: what is shared on that way is
    /// copied at once, which counts less than one copy after the other.
    ///
    /// # Panics
    /// As [`child`](Self::child).
    #[inline]
    pub(crate) fn child_mut_on(
        &mut self,
        slot: usize,
        mut slot_of: impl FnMut(&Self) -> usize,
    ) -> Option<NodeMut<'_, T, X>>
    where
        T: Clone,
        X: Clone,
    {
        self.child_mut_by(slot, |node| Node::path_copy(node, &mut slot_of))
    }

    #[inline]
    fn child_mut_by(
        &mut self,
        slot: usize,
        copy: impl FnOnce(NodeRef<'_, T, X>) -> Node<T, X>,
    ) -> Option<NodeMut<'_, T, X>> {
        let start = self.start_of(slot);
        let mut word = self.word(start);
        // SAFETY: resident, and alive as this branch is.
        if word.resident().is_none() || unsafe { word.header() }.is_shared() {
            word = self.own_child(start, copy)?;
        }
        self.header.touch(1 << start);
        // SAFETY: unique now, reached through `&mut self`.
        Some(unsafe { word.view_mut() })
    }

    /// Loads the child of the range that starts at `start` if it is lazy, and copies it if others hold it; its word.
    ///
    /// # Panics
    /// As [`child`](Self::child).
    #[cold]
    #[inline(never)]
    fn own_child(
        &mut self,
        start: usize,
        copy: impl FnOnce(NodeRef<'_, T, X>) -> Node<T, X>,
    ) -> Option<Word> {
        self.child(start)?;
        let (word, end) = (self.word(start), self.end_of(start));
        // Marked with the copy, before anything is dropped: a dirty child under a branch that does not say so is not found.
        let store = |copy| {
            self.fill(start, end, copy);
            self.header.touch(1 << start);
        };
        // SAFETY: resident, owned by this branch, of which every copy of the word is overwritten.
        Some(unsafe { word.make_unique(copy, store) })
    }

    pub(super) fn fill(&mut self, start: usize, end: usize, word: Word) {
        for slot in &self.slots[start..end] {
            slot.store(word.0, Ordering::Relaxed);
        }
    }

    /// Takes the child of the range that starts at `start` out, loaded; the range then holds nothing.
    ///
    /// # Panics
    /// As [`child`](Self::child).
    pub(crate) fn take(&mut self, start: usize) -> Option<Node<T, X>> {
        debug_assert_eq!(start, self.start_of(start));
        self.child(start)?;
        let word = self.word(start);
        self.fill(start, self.end_of(start), Word::NOTHING);
        self.touch_structure(1 << start);
        // SAFETY: the start owned the reference, and every copy of the word was overwritten.
        Some(unsafe { Node::from_word(word) })
    }

    /// Lets the range that starts at `start` hold `node`; what it held is dropped.
    pub(crate) fn set(&mut self, start: usize, node: Option<Node<T, X>>) {
        debug_assert_eq!(start, self.start_of(start));
        let old = self.word(start);
        if old.is_nothing() == node.is_none() {
            self.touch(1 << start);
        } else {
            self.touch_structure(1 << start);
        }
        self.fill(start, self.end_of(start), node.map_or(Word::NOTHING, Node::into_word));
        // SAFETY: the start owned the reference, and every copy of the word was overwritten.
        unsafe { old.drop_owned::<T, X>() };
    }

    /// Cuts the empty range that starts at `start` in two; the second starts at `middle`.
    pub(crate) fn divide(&mut self, start: usize, middle: usize) {
        debug_assert!(self.is_vacant(start) && self.start_of(middle) == start && middle > start);
        self.header.starts |= 1 << middle;
        self.touch_structure(1 << start | 1 << middle);
    }

    /// Makes one of two empty, adjacent ranges; the second starts at `middle`.
    pub(crate) fn join(&mut self, start: usize, middle: usize) {
        debug_assert!(self.is_vacant(start) && self.is_vacant(middle) && self.end_of(start) == middle);
        self.header.starts &= !(1 << middle);
        self.touch_structure(1 << start);
    }

    /// Moves the leaf at `slot` into an allocation for `capacity` items; it must be unique (`child_mut` was called).
    pub(crate) fn resize_leaf(&mut self, slot: usize, capacity: usize) {
        let start = self.start_of(slot);
        // SAFETY: resident, owned by this branch; the slots are overwritten with what it returns.
        let word = unsafe { self.word(start).into_resized::<T, X>(capacity) };
        self.fill(start, self.end_of(start), word);
    }

    /// Sets the source that lazy links of this branch belong to.
    pub(super) fn set_source(&mut self, source: &Arc<Source<T, X>>) {
        self.source = Some(Arc::clone(source));
    }

    /// Makes `start..end` a range that holds the node at `address`; what it held belongs to the caller.
    pub(super) fn put_address(&mut self, start: usize, end: usize, address: Address) {
        self.fill(start, end, Word::of_address(address));
    }

    /// Moves the children of `from..from + count` of `other` to `to..` here; both branches have one-slot ranges,
    /// and the target slots hold nothing. Lazy links stay lazy where one pin holds those of both branches, and are
    /// loaded otherwise.
    ///
    /// # Panics
    /// As [`child`](Self::child), before anything moved.
    pub(crate) fn move_slots(&mut self, to: usize, other: &mut Self, from: usize, count: usize) {
        self.admit(other, from, count);
        for step in 0..count {
            let word = other.word(from + step);
            other.fill(from + step, from + step + 1, Word::NOTHING);
            debug_assert!(self.is_vacant(to + step));
            self.fill(to + step, to + step + 1, word);
        }
    }

    /// Prepares this branch for links of `other`.
    ///
    /// A branch has one source, and with it one pin, which must hold the records of all its lazy links. Links of another
    /// pin are loaded before they move: at most the slots of one branch, whatever lies below them. What is loaded is a
    /// node like any other: a leaf is complete, and a branch brings its own source.
    fn admit(&mut self, other: &Self, from: usize, count: usize) {
        let mut arriving = (from..from + count).filter(|&slot| other.is_lazy(slot)).peekable();
        if arriving.peek().is_none() {
            return;
        }
        if !self.has_lazy() {
            // Whatever it held before is in memory by now, and needs no pin.
            self.source.clone_from(&other.source);
        } else if !self.shares_pin(other) {
            for slot in arriving {
                other.child(slot);
            }
        }
    }

    /// Sees to it that [`move_slots`](Self::move_slots) between two branches cannot fail: where different pins hold their
    /// lazy links, loads them.
    ///
    /// # Errors
    /// What loading a child answered.
    pub(crate) fn admit_both(&self, other: &Self) -> Result<()> {
        if self.has_lazy() && other.has_lazy() && !self.shares_pin(other) {
            for branch in [self, other] {
                branch.ranges().try_for_each(|start| branch.try_child(start).map(drop))?;
            }
        }
        Ok(())
    }

    /// Returns whether the child at `slot` is an address.
    fn is_lazy(&self, slot: usize) -> bool {
        self.word(slot).is_address()
    }

    /// Returns whether any child is an address.
    fn has_lazy(&self) -> bool {
        self.ranges().any(|start| self.is_lazy(start))
    }

    /// Returns whether one pin holds the records of both branches' lazy links.
    fn shares_pin(&self, other: &Self) -> bool {
        matches!((&self.source, &other.source), (Some(mine), Some(theirs)) if mine.shares_pin(theirs))
    }

    /// Moves children within the branch, `from..from + count` to `to..`; what is left behind holds nothing.
    pub(crate) fn shift_slots(&mut self, from: usize, to: usize, count: usize) {
        let words: [Word; SLOTS] = std::array::from_fn(|slot| self.word(slot));
        self.fill(from, from + count, Word::NOTHING);
        for step in 0..count {
            self.fill(to + step, to + step + 1, words[from + step]);
        }
    }

    /// Whether two slots of this branch hold the same word.
    #[cfg(test)]
    pub(crate) fn same_alias(&self, start: usize, alias: usize) -> bool {
        self.word(start) == self.word(alias)
    }

    /// Whether the children at two slots of two branches are the same node, loaded or not (invariant 7).
    pub(crate) fn same_child(&self, slot: usize, other: &Self, other_slot: usize) -> bool {
        let (mine, theirs) = (self.word(slot), other.word(other_slot));
        if mine.is_nothing() || theirs.is_nothing() {
            return mine == theirs;
        }
        same_word(mine, self.source.as_ref(), theirs, other.source.as_ref())
    }
}

impl<T, X: BranchLayout> Drop for Branch<T, X> {
    fn drop(&mut self) {
        /// Goes on with the other children when dropping one panics.
        struct Rest<'a, T, X: BranchLayout>(&'a Branch<T, X>, Ranges);
        impl<T, X: BranchLayout> Rest<'_, T, X> {
            fn free(&mut self) {
                for start in self.1.by_ref() {
                    // SAFETY: the last reference was given back below, and the branch is not used again.
                    unsafe { self.0.word(start).free::<T, X>() };
                }
            }
        }
        impl<T, X: BranchLayout> Drop for Rest<'_, T, X> {
            fn drop(&mut self) {
                self.free();
            }
        }

        self.prefetch_all();
        // Most children have other holders: the references are given back first, where nothing can panic.
        let mut last = 0;
        for start in self.ranges() {
            let word = self.word(start);
            // SAFETY: the start owns a reference to its child.
            if word.resident().is_some() && unsafe { word.header() }.release() {
                last |= 1 << start;
            }
        }
        Rest(self, Ranges(last)).free();
    }
}

/// Slots that start a range, ascending.
#[derive(Clone, Copy)]
pub(crate) struct Ranges(pub(crate) u16);

impl Iterator for Ranges {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let slot = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(slot)
    }
}

/// Panics with the store's error: an infallible read met a record that cannot be loaded (invariant 11).
#[inline]
pub(crate) fn loaded<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

#[inline]
fn no_slots() -> [AtomicPtr<()>; SLOTS] {
    std::array::from_fn(|_| AtomicPtr::new(std::ptr::null_mut()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing but slots.
    struct Bare;

    impl BranchLayout for Bare {
        type Key = ();
        const TAGGED: bool = false;
        const NUMBERED: bool = false;

        fn shift<T>() -> u32 {
            0
        }

        fn place<T>(&self, _: &Branch<T, Self>, _: usize) -> Place {
            Place { what: 0, depth: 0 }
        }

        fn number(&self, _: usize) -> Option<u64> {
            None
        }

        fn rebuild<T>(_: u8, _: u16, _: u16, _: Place, _: &[u64; SLOTS]) -> Option<Self> {
            None
        }

        fn leaf_fits(_: Place, _: usize) -> bool {
            false
        }
    }

    #[test]
    fn every_slot_of_every_pattern_of_ranges_lies_in_one_range() {
        // The first slot starts a range always.
        for rest in (0..1u32 << (SLOTS - 1)).step_by(if cfg!(miri) { 4567 } else { 1 }) {
            let starts = rest << 1 | 1;
            let branch = Branch::<u8, Bare>::new(1, starts as u16, Bare);
            let naive: Vec<usize> = (0..SLOTS).filter(|slot| starts & 1 << slot != 0).collect();
            assert_eq!(branch.ranges().collect::<Vec<_>>(), naive);
            for slot in 0..SLOTS {
                let at = naive.partition_point(|&start| start <= slot) - 1;
                assert_eq!(branch.start_of(slot), naive[at], "{starts:b}, slot {slot}");
            }
            for (at, &start) in naive.iter().enumerate() {
                assert_eq!(branch.end_of(start), *naive.get(at + 1).unwrap_or(&SLOTS), "{starts:b}");
            }
        }
    }
}
