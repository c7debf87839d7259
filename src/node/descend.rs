//! Going down from the root: what every look-up begins with, and every change of a hash map.
//!
//! Flags of a word are zero for a branch in memory alone, so one test a level goes on, and all else comes after the way.
#![expect(unsafe_code, reason = "goes from branch to branch by their words")]

use super::BranchLayout;
use super::branch::{BITS, Branch};
use super::leaf::LeafRef;
use super::link::{Node, NodeRef, Word};
use super::root::Root;
use crate::record::Place;

/// Where a descent ends.
pub(crate) enum Descent<'a, T> {
    /// At this leaf.
    Leaf(LeafRef<'a, T>),
    /// At nothing.
    Nothing,
    /// At a node that is not in memory.
    Lazy,
}

impl<T, X: BranchLayout> Root<T, X> {
    /// Goes down by the slots that `slot_of` tells for each branch, as far as nodes are in memory. Waits for nothing.
    ///
    /// # Panics
    /// When there is no such slot.
    #[inline]
    pub(crate) fn descend(&self, mut slot_of: impl FnMut(&Branch<T, X>) -> usize) -> Descent<'_, T> {
        let mut word = self.word();
        while word.is_unflagged() {
            if word.is_nothing() {
                return Descent::Nothing;
            }
            // SAFETY: the flags say that it is a branch, of the types of this tree, and it lives while `self` is borrowed.
            let branch = unsafe { &*word.0.cast::<Branch<T, X>>() };
            word = branch.word(slot_of(branch));
        }
        if word.is_address() {
            return Descent::Lazy;
        }
        // SAFETY: the flags say that it is a leaf; else as above.
        Descent::Leaf(unsafe { LeafRef::new(word.leaf()) })
    }
}

impl<T: Clone, X: BranchLayout + Clone> Root<T, X> {
    /// Goes down to the last branch on the way of `bits`, `BITS` of them a level from the top; `None` if the root is no branch. All branches on the way become
    /// ours and are marked changed, but for the child that the last one leads to.
    ///
    /// # Panics
    /// As [`get_mut`](Self::get_mut).
    #[inline]
    pub(crate) fn descend_mut(
        &mut self,
        mut bits: u64,
        place: impl Fn() -> Place,
    ) -> Option<&mut Branch<T, X>> {
        let mut word = self.word();
        // SAFETY: of the root, which lives as `self` does.
        if !unsafe { is_own_branch(word) } {
            if is_end(word) {
                return None;
            }
            let copy = |node: NodeRef<'_, T, X>| Node::path_copy(node, &mut by_bits(bits));
            word = self.own(place, copy).filter(|word| word.is_branch())?;
        }
        loop {
            // SAFETY: the root or a branch below it, which nobody else holds, reached through `&mut self` alone; references
            // to those above are not used again.
            let branch = unsafe { &mut *word.0.cast::<Branch<T, X>>() };
            let slot = top_slot(bits);
            word = branch.word(slot);
            // SAFETY: of a child, which lives as the branch does.
            if !unsafe { is_own_branch(word) } {
                match branch.own_branch(slot, bits) {
                    Some(own) => word = own,
                    None => return Some(branch),
                }
            }
            branch.touch(1 << slot);
            bits <<= BITS;
        }
    }
}

impl<T: Clone, X: BranchLayout + Clone> Branch<T, X> {
    /// The word of the child at `slot` if it is a branch, which is made ours; `bits` lead through this branch.
    #[inline]
    fn own_branch(&mut self, slot: usize, bits: u64) -> Option<Word> {
        if is_end(self.word(slot)) { None } else { self.own_lazy_or_shared(slot, bits) }
    }

    #[cold]
    #[inline(never)]
    fn own_lazy_or_shared(&mut self, slot: usize, bits: u64) -> Option<Word> {
        if !self.holds_branch(slot) {
            return None;
        }
        debug_assert_eq!((self.start_of(slot), self.end_of(slot)), (slot, slot + 1), "a branch has one slot");
        self.child_mut_on(slot, by_bits(bits << BITS));
        Some(self.word(slot))
    }
}

/// Whether this is a branch in memory that nobody else holds.
///
/// # Safety
/// If it is a node in memory, the caller keeps it alive.
#[inline]
unsafe fn is_own_branch(word: Word) -> bool {
    // SAFETY: a branch in memory, alive by the caller's word.
    word.is_branch() && !unsafe { word.header() }.is_shared()
}

/// Whether this is nothing or a leaf in memory.
#[inline]
fn is_end(word: Word) -> bool {
    word.is_nothing() || word.is_leaf() && word.address().is_none()
}

/// The slot that the top bits choose.
#[inline]
fn top_slot(bits: u64) -> usize {
    (bits >> (u64::BITS - BITS)) as usize
}

/// The slots that the bits choose, `BITS` of them a level from the top.
#[inline]
pub(crate) fn by_bits<T, X: BranchLayout>(mut bits: u64) -> impl FnMut(&Branch<T, X>) -> usize {
    move |_| {
        let slot = top_slot(bits);
        bits <<= BITS;
        slot
    }
}
