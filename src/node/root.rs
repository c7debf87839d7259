//! The handle's end of a tree: one slot and the source it loads from.
#![expect(unsafe_code, reason = "a slot of a tagged pointer")]

use std::sync::Arc;

use super::BranchLayout;
use super::branch::{Branch, loaded};
use super::link::{Node, NodeMut, NodeRef, Word};
use super::slot::{same_word, settle};
use super::source::Source;
use crate::error::Result;
use crate::record::Address;
use crate::record::Place;
use crate::sync::{AtomicPtr, Ordering, const_fn};
use crate::weaken;

/// The root link of a collection.
pub(crate) struct Root<T, X: BranchLayout> {
    slot: AtomicPtr<()>,
    source: Option<Arc<Source<T, X>>>,
}

// SAFETY: as for Node: a counted reference, or an address that becomes one.
unsafe impl<T: Send + Sync, X: BranchLayout + Send + Sync> Send for Root<T, X> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync, X: BranchLayout + Send + Sync> Sync for Root<T, X> {}

impl<T, X: BranchLayout> Root<T, X> {
    const_fn! {
        /// A tree without nodes.
        pub(crate) const fn empty() -> Self {
            Self { slot: AtomicPtr::new(std::ptr::null_mut()), source: None }
        }
    }

    /// A tree whose root is only in the log.
    pub(crate) fn lazy(source: Arc<Source<T, X>>, address: Address) -> Self {
        Self { slot: AtomicPtr::new(Word::of_address(address).0), source: Some(source) }
    }

    /// A tree with this root.
    pub(crate) fn from_node(node: Node<T, X>) -> Self {
        Self { slot: AtomicPtr::new(node.into_word().0), source: None }
    }

    #[inline]
    pub(super) fn word(&self) -> Word {
        Word(self.slot.load(weaken::ordering("root", Ordering::Acquire)))
    }

    /// Whether there are no nodes.
    #[cfg(test)]
    pub(crate) fn is_vacant(&self) -> bool {
        self.word().is_nothing()
    }

    /// The root node, loaded if need be (`place` says what to expect).
    ///
    /// # Panics
    /// With the store's error when it cannot be loaded; [`try_get`](Self::try_get) returns it.
    #[inline]
    pub(crate) fn get(&self, place: impl Fn() -> Place) -> Option<NodeRef<'_, T, X>> {
        let word = self.word();
        if word.resident().is_some() {
            // SAFETY: of these types, and alive while `self` is borrowed.
            return Some(unsafe { word.view() });
        }
        if word.is_nothing() {
            return None;
        }
        Some(loaded(self.load(place())))
    }

    /// The root node, loaded if need be.
    ///
    /// # Errors
    /// What reading or decoding its record answered.
    pub(crate) fn try_get(&self, place: impl Fn() -> Place) -> Result<Option<NodeRef<'_, T, X>>> {
        let word = self.word();
        if word.resident().is_some() {
            // SAFETY: as in `get`.
            return Ok(Some(unsafe { word.view() }));
        }
        if word.is_nothing() {
            return Ok(None);
        }
        self.load(place()).map(Some)
    }

    #[cold]
    fn load(&self, place: Place) -> Result<NodeRef<'_, T, X>> {
        let word = settle(&self.slot, self.source.as_ref(), place)?;
        // SAFETY: as in `get`.
        Ok(unsafe { word.view() })
    }

    /// The root node if it is in memory.
    pub(crate) fn resident(&self) -> Option<NodeRef<'_, T, X>> {
        let word = self.word();
        // SAFETY: as in `get`.
        word.resident().map(|_| unsafe { word.view() })
    }

    /// The root's address if it was not loaded yet, and its source.
    pub(crate) fn unloaded(&self) -> Option<(Address, &Arc<Source<T, X>>)> {
        self.word().address().zip(self.source.as_ref())
    }

    /// Changes the root node, which is loaded first if it is lazy and copied if others hold it.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[inline]
    pub(crate) fn get_mut(&mut self, place: impl Fn() -> Place) -> Option<NodeMut<'_, T, X>>
    where
        T: Clone,
        X: Clone,
    {
        self.get_mut_by(place, Node::copy_of)
    }

    /// As [`get_mut`](Self::get_mut), to go on below by the slots that `slot_of` tells; see
    /// [`Branch::child_mut_on`](super::Branch::child_mut_on).
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[inline]
    pub(crate) fn get_mut_on(
        &mut self,
        place: impl Fn() -> Place,
        mut slot_of: impl FnMut(&Branch<T, X>) -> usize,
    ) -> Option<NodeMut<'_, T, X>>
    where
        T: Clone,
        X: Clone,
    {
        self.get_mut_by(place, |node| Node::path_copy(node, &mut slot_of))
    }

    #[inline]
    fn get_mut_by(
        &mut self,
        place: impl Fn() -> Place,
        copy: impl FnOnce(NodeRef<'_, T, X>) -> Node<T, X>,
    ) -> Option<NodeMut<'_, T, X>> {
        let mut word = self.word();
        // SAFETY: resident, and owned by this slot.
        if word.resident().is_none() || unsafe { word.header() }.is_shared() {
            word = self.own(place, copy)?;
        }
        // SAFETY: unique now, reached through `&mut self`.
        Some(unsafe { word.view_mut() })
    }

    /// Loads the root if it is lazy, and copies it if others hold it; its word.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[cold]
    #[inline(never)]
    pub(super) fn own(
        &mut self,
        place: impl Fn() -> Place,
        copy: impl FnOnce(NodeRef<'_, T, X>) -> Node<T, X>,
    ) -> Option<Word> {
        self.get(place)?;
        let store = |word: Word| self.slot.store(word.0, Ordering::Relaxed);
        // SAFETY: resident and owned by this slot, which takes over the copy.
        Some(unsafe { self.word().make_unique(copy, store) })
    }

    /// Takes the root out, loaded.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    pub(crate) fn take(&mut self, place: impl Fn() -> Place) -> Option<Node<T, X>> {
        self.get(place)?;
        let word = self.word();
        self.slot.store(std::ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: the slot owned the reference and no longer does.
        Some(unsafe { Node::from_word(word) })
    }

    /// Sets the root; what was there is dropped.
    pub(crate) fn set(&mut self, node: Option<Node<T, X>>) {
        let old = self.word();
        self.slot.store(node.map_or(std::ptr::null_mut(), |node| node.into_word().0), Ordering::Relaxed);
        // SAFETY: the slot owned the reference and no longer does.
        unsafe { old.drop_owned::<T, X>() };
    }

    /// Puts a word where the root was, whose reference is the caller's now, or was never its own.
    pub(super) fn replace(&mut self, word: Word, source: Option<&Arc<Source<T, X>>>) {
        // What an older source kept goes when the slot holds its new word.
        let _old = source.and_then(|source| self.source.replace(Arc::clone(source)));
        self.slot.store(word.0, Ordering::Relaxed);
    }

    /// Moves a root leaf into an allocation for `capacity` items; it must be unique (`get_mut` was called).
    pub(crate) fn resize_leaf(&mut self, capacity: usize) {
        // SAFETY: resident and owned by this slot, which takes over the result.
        let word = unsafe { self.word().into_resized::<T, X>(capacity) };
        self.slot.store(word.0, Ordering::Relaxed);
    }

    /// Whether both are the same tree by identity: same node, or same address of the same opening (invariant 7).
    pub(crate) fn same(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.word(), other.word());
        if mine.is_nothing() || theirs.is_nothing() {
            return mine == theirs;
        }
        same_word(mine, self.source.as_ref(), theirs, other.source.as_ref())
    }

    /// Whether the root and the child of `branch` at `slot` are the same node, loaded or not (invariant 7).
    pub(crate) fn same_as_child(&self, branch: &Branch<T, X>, slot: usize) -> bool {
        let (mine, theirs) = (self.word(), branch.word(slot));
        !mine.is_nothing()
            && !theirs.is_nothing()
            && same_word(mine, self.source.as_ref(), theirs, branch.source())
    }
}

impl<T, X: BranchLayout> Clone for Root<T, X> {
    #[inline]
    fn clone(&self) -> Self {
        let word = self.word();
        if word.resident().is_some() {
            // SAFETY: as in `get`.
            unsafe { word.header() }.retain();
        }
        let source = if word.address().is_some() { self.source.clone() } else { None };
        Self { slot: AtomicPtr::new(word.0), source }
    }
}

impl<T, X: BranchLayout> Drop for Root<T, X> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the slot owns its reference and is not used again.
        unsafe { self.word().drop_owned::<T, X>() };
    }
}
