//! Links: one word that is nothing, a counted pointer to a leaf or branch, or the address of a record.
//!
//! ```text
//! 0                        nothing
//! pointer | 0              a branch in memory
//! pointer | 2              a leaf in memory
//! address << 2 | 1         a node that is only in the log; the branch's Source knows how to load it
//! ```
#![expect(unsafe_code, reason = "reference-counted, tagged pointers")]

use std::alloc::{Layout, dealloc};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::BranchLayout;
use super::branch::Branch;
use super::header::Header;
use super::leaf::{LeafHead, LeafMut, LeafRef, OwnedLeaf};
use super::source::Source;
use crate::record::Address;

const _: () =
    assert!(size_of::<usize>() == 8, "a link packs a 42-bit address into a pointer: 64-bit targets only");

const ADDRESS: usize = 1;
const LEAF: usize = 2;

/// The word of a link, not counted: whoever copies it says who owns the reference.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Word(pub(super) *mut ());

impl Word {
    pub(super) const NOTHING: Self = Self(ptr::null_mut());

    pub(super) fn of_address(address: Address) -> Self {
        Self(ptr::without_provenance_mut((address.to_bits() as usize) << 2 | ADDRESS))
    }

    #[inline]
    pub(super) fn is_nothing(self) -> bool {
        self.0.is_null()
    }

    #[inline]
    pub(super) fn is_address(self) -> bool {
        self.0.addr() & ADDRESS != 0
    }

    /// The address, if this is one.
    #[inline]
    pub(super) fn address(self) -> Option<Address> {
        self.is_address().then(|| Address::from_bits((self.0.addr() >> 2) as u64))
    }

    /// The node in memory, if this is one.
    #[inline]
    pub(super) fn resident(self) -> Option<NonNull<()>> {
        if self.is_address() { None } else { NonNull::new(self.0) }
    }

    /// # Safety
    /// The word must be a resident node that lives for `'a`.
    #[inline]
    pub(super) unsafe fn header<'a>(self) -> &'a Header {
        // SAFETY: leaf and branch both start with a Header.
        unsafe { &*self.pointer().cast() }
    }

    /// Asks the processor for the header of the node, if this is one in memory, and does not wait for it. (Other words are
    /// addresses of nothing.)
    ///
    /// Counting references is a locked operation, and these wait for one another: without this, sixteen counts that are
    /// not in the cache take sixteen times as long to come as one.
    #[inline]
    pub(super) fn prefetch(self) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: SSE is part of x86_64; a prefetch reads nothing that a program could see, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.0.cast()) }
        }
    }

    #[inline]
    pub(super) fn is_leaf(self) -> bool {
        self.0.addr() & LEAF != 0
    }

    /// Whether this is nothing or a branch in memory.
    #[inline]
    pub(super) fn is_unflagged(self) -> bool {
        self.0.addr() & (ADDRESS | LEAF) == 0
    }

    /// Whether this is a branch in memory.
    #[inline]
    pub(super) fn is_branch(self) -> bool {
        self.is_unflagged() && !self.is_nothing()
    }

    /// The word without the flag of a leaf: where the node is, if it is in memory.
    #[inline]
    fn pointer(self) -> *mut () {
        self.0.wrapping_byte_sub(self.0.addr() & LEAF)
    }

    #[inline]
    pub(super) fn leaf(self) -> NonNull<LeafHead> {
        let pointer = self.pointer().cast();
        // SAFETY: a leaf's pointer is aligned to 8, so its address without the flag is not zero.
        unsafe { NonNull::new_unchecked(pointer) }
    }

    /// # Safety
    /// The word must be a resident node of these types that lives for `'a` and is not mutated meanwhile.
    #[inline]
    pub(super) unsafe fn view<'a, T, X: BranchLayout>(self) -> NodeRef<'a, T, X> {
        // SAFETY: passed on to the caller; the flag says which of the two it is.
        unsafe {
            if self.is_leaf() {
                NodeRef::Leaf(LeafRef::new(self.leaf()))
            } else {
                NodeRef::Branch(&*self.pointer().cast::<Branch<T, X>>())
            }
        }
    }

    /// # Safety
    /// The word must be a resident node of these types that nobody else can reach during `'a`.
    #[inline]
    pub(super) unsafe fn view_mut<'a, T, X: BranchLayout>(self) -> NodeMut<'a, T, X> {
        // SAFETY: passed on to the caller.
        unsafe {
            if self.is_leaf() {
                NodeMut::Leaf(LeafMut::new(self.leaf()))
            } else {
                NodeMut::Branch(&mut *self.pointer().cast::<Branch<T, X>>())
            }
        }
    }

    /// Makes the node in a slot unique: if others hold it, `copy` copies it (invariant 9), `store` puts the copy's word
    /// into the slot, and only then is the reference of this word given back: the other holders may be gone by then, and
    /// what is dropped is the user's, who may panic or look at the slot again. The word that is in the slot afterwards.
    ///
    /// If `copy` panics, nothing has changed. If dropping panics, the slot holds the copy.
    ///
    /// # Safety
    /// The word must be resident and own a reference to a node of these types, which it gives up if `store` is called.
    /// `store` must put what it is given wherever this word stands, for the slot to own, and must not panic.
    #[inline]
    pub(super) unsafe fn make_unique<T, X: BranchLayout>(
        self,
        copy: impl FnOnce(NodeRef<'_, T, X>) -> Node<T, X>,
        store: impl FnOnce(Self),
    ) -> Self {
        // SAFETY: resident.
        if unsafe { self.header() }.is_unique() {
            return self;
        }
        // SAFETY: resident and kept alive by the reference that the word owns.
        let copy = copy(unsafe { self.view::<T, X>() });
        // SAFETY: passed on to the caller.
        unsafe { self.give_way(copy, store) }
    }

    /// As [`make_unique`](Self::make_unique), for a branch that is to be changed in nothing but how its children are held:
    /// a copy is as clean as the branch was. A leaf stays as it is.
    ///
    /// # Safety
    /// As [`make_unique`](Self::make_unique).
    pub(super) unsafe fn make_twin<T, X: BranchLayout + Clone>(self, store: impl FnOnce(Self)) -> Self {
        // SAFETY: resident, and kept alive by the reference that the word owns.
        match unsafe { self.view::<T, X>() } {
            NodeRef::Branch(branch) if branch.header().is_shared() => {
                let twin = Node::<T, X>::from_branch(branch.copied_under(Header::twin));
                // SAFETY: passed on to the caller.
                unsafe { self.give_way(twin, store) }
            }
            _ => self,
        }
    }

    /// Lets another node take the place of this one: stores first, drops after.
    ///
    /// # Safety
    /// As [`make_unique`](Self::make_unique).
    unsafe fn give_way<T, X: BranchLayout>(self, other: Node<T, X>, store: impl FnOnce(Self)) -> Self {
        // SAFETY: the word owns a reference, and stands nowhere any more when this is dropped, at the end.
        let _old = unsafe { Node::<T, X>::from_word(self) };
        let other = other.into_word();
        store(other);
        other
    }

    /// Moves a leaf into an allocation for `capacity` items.
    ///
    /// # Safety
    /// The word must own the only reference to a leaf of `T`, and must not be used again.
    pub(super) unsafe fn into_resized<T, X: BranchLayout>(self, capacity: usize) -> Self {
        debug_assert!(self.is_leaf());
        // SAFETY: passed on to the caller.
        let leaf = unsafe { OwnedLeaf::<T>::from_raw(self.leaf(), X::TAGGED) };
        Node::<T, X>::from_leaf(leaf.resized(capacity)).into_word()
    }

    /// Gives back the reference that this word owns, if it owns one.
    ///
    /// # Safety
    /// The word must own a reference to a node of these types; it must not be used again.
    pub(super) unsafe fn drop_owned<T, X: BranchLayout>(self) {
        if self.resident().is_some() {
            // SAFETY: resident, and owned by the caller.
            drop(unsafe { Node::<T, X>::from_word(self) });
        }
    }

    /// Frees the node.
    ///
    /// # Safety
    /// The word must be a resident node of these types whose last reference was just given back.
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn free<T, X: BranchLayout>(self) {
        struct Free<T, X: BranchLayout>(*mut Branch<T, X>);
        impl<T, X: BranchLayout> Drop for Free<T, X> {
            fn drop(&mut self) {
                // SAFETY: allocated by a Box of this type; its contents were dropped.
                unsafe { dealloc(self.0.cast(), Layout::new::<Branch<T, X>>()) }
            }
        }
        if self.is_leaf() {
            // SAFETY: nobody holds the leaf any more.
            drop(unsafe { OwnedLeaf::<T>::from_raw(self.leaf(), X::TAGGED) });
        } else {
            let branch = self.0.cast::<Branch<T, X>>();
            // Freed also when dropping an item below panics.
            let _free = Free(branch);
            // SAFETY: nobody holds the branch any more.
            unsafe { ptr::drop_in_place(branch) };
        }
    }
}

/// An owned, counted reference to a node in memory.
pub(crate) struct Node<T, X: BranchLayout> {
    word: NonNull<()>,
    _own: PhantomData<(T, X)>,
}

/// What a node is.
pub(crate) enum NodeRef<'a, T, X: BranchLayout> {
    /// Children.
    Branch(&'a Branch<T, X>),
    /// Items.
    Leaf(LeafRef<'a, T>),
}

impl<T, X: BranchLayout> Clone for NodeRef<'_, T, X> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T, X: BranchLayout> Copy for NodeRef<'_, T, X> {}

impl<'a, T, X: BranchLayout> NodeRef<'a, T, X> {
    /// The node's header.
    pub(super) fn header(self) -> &'a Header {
        match self {
            Self::Leaf(leaf) => leaf.header(),
            Self::Branch(branch) => branch.header(),
        }
    }

    /// Bytes of its allocations, [`shared`](Self::shared) ones included.
    pub(super) fn allocated_bytes(self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.allocated_bytes(X::TAGGED),
            Self::Branch(branch) => size_of_val(branch) + self.shared().map_or(0, |(_, bytes)| bytes),
        }
    }

    /// An allocation that copies of the node share: where it is, and its bytes.
    pub(super) fn shared(self) -> Option<(*const (), usize)> {
        match self {
            Self::Leaf(_) => None,
            Self::Branch(branch) => branch.extra.shared(),
        }
    }
}

/// A node that the caller alone can reach.
pub(crate) enum NodeMut<'a, T, X: BranchLayout> {
    /// Children.
    Branch(&'a mut Branch<T, X>),
    /// Items.
    Leaf(LeafMut<'a, T>),
}

/// What an owned node turned out to be when it was taken apart.
pub(crate) enum NodeOwned<T, X: BranchLayout> {
    /// A leaf nobody else holds.
    Leaf(OwnedLeaf<T>),
    /// A branch, perhaps shared.
    Branch(Node<T, X>),
    /// A leaf others hold too.
    SharedLeaf(Node<T, X>),
}

// SAFETY: a Node is an Arc: sharing it gives `&T` to other threads, and the last to drop it drops the `T`s.
unsafe impl<T: Send + Sync, X: BranchLayout + Send + Sync> Send for Node<T, X> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync, X: BranchLayout + Send + Sync> Sync for Node<T, X> {}

impl<T, X: BranchLayout> Node<T, X> {
    /// # Safety
    /// The word must be resident, of these types, and own a reference that it gives up.
    #[inline]
    pub(super) unsafe fn from_word(word: Word) -> Self {
        // SAFETY: resident words are not null.
        Self { word: unsafe { NonNull::new_unchecked(word.0) }, _own: PhantomData }
    }

    /// The word, without giving up the reference.
    #[inline]
    pub(super) fn word(&self) -> Word {
        Word(self.word.as_ptr())
    }

    /// The word, which now owns the reference.
    #[inline]
    pub(super) fn into_word(self) -> Word {
        let word = self.word();
        std::mem::forget(self);
        word
    }

    /// Puts a leaf under a counted reference.
    pub(crate) fn from_leaf(leaf: OwnedLeaf<T>) -> Self {
        let pointer = leaf.into_raw().as_ptr().cast::<()>();
        // SAFETY: the leaf's only reference moves into the word.
        unsafe { Self::from_word(Word(pointer.map_addr(|addr| addr | LEAF))) }
    }

    /// Puts a branch under a counted reference.
    pub(crate) fn from_branch(branch: Box<Branch<T, X>>) -> Self {
        // SAFETY: the box's allocation moves into the word; `drop` frees it with the same layout.
        unsafe { Self::from_word(Word(Box::into_raw(branch).cast())) }
    }

    /// The node's header.
    pub(crate) fn header(&self) -> &Header {
        // SAFETY: resident and kept alive by `self`.
        unsafe { self.word().header() }
    }

    /// Looks at the node.
    #[inline]
    pub(crate) fn as_ref(&self) -> NodeRef<'_, T, X> {
        // SAFETY: kept alive by `self`; mutation needs `&mut self`.
        unsafe { self.word().view() }
    }

    /// Changes the node, which is copied first if others hold it (invariant 9).
    #[inline]
    pub(crate) fn make_mut(&mut self) -> NodeMut<'_, T, X>
    where
        T: Clone,
        X: Clone,
    {
        let old = self.word();
        // SAFETY: `self` owns its word's reference, and takes over the copy's, which is no null pointer.
        unsafe {
            old.make_unique(Self::copy_of, |copy| self.word = NonNull::new_unchecked(copy.0)).view_mut()
        }
    }

    /// Lets lazy links of a branch just decoded belong to `source`.
    pub(super) fn adopt(&mut self, source: &Arc<Source<T, X>>) {
        debug_assert!(self.header().is_unique());
        if let NodeRef::Branch(_) = self.as_ref() {
            // SAFETY: just decoded: nobody else holds the node.
            if let NodeMut::Branch(branch) = unsafe { self.word().view_mut::<T, X>() } {
                branch.set_source(source);
            }
        }
    }

    /// Takes the node apart.
    pub(crate) fn into_owned(self) -> NodeOwned<T, X> {
        if !self.word().is_leaf() {
            NodeOwned::Branch(self)
        } else if self.header().is_unique() {
            // SAFETY: a leaf that only `self` holds, which gives it up.
            NodeOwned::Leaf(unsafe { OwnedLeaf::from_raw(self.into_word().leaf(), X::TAGGED) })
        } else {
            NodeOwned::SharedLeaf(self)
        }
    }

    /// Takes a leaf out to change its allocation, copying its items if others hold it.
    ///
    /// # Panics
    /// When the node is a branch: callers look first.
    pub(crate) fn into_leaf(self) -> OwnedLeaf<T>
    where
        T: Clone,
    {
        match self.into_owned() {
            NodeOwned::Leaf(leaf) => leaf,
            NodeOwned::SharedLeaf(node) => match node.as_ref() {
                NodeRef::Leaf(leaf) => OwnedLeaf::copy_of(leaf, X::TAGGED),
                NodeRef::Branch(_) => unreachable!("into_owned told a leaf"),
            },
            NodeOwned::Branch(_) => panic!("a branch where a leaf was expected"),
        }
    }

    /// The children of a branch, loaded; moved out if nobody else holds the branch.
    pub(crate) fn into_children(mut self) -> Vec<Self> {
        let word = self.word();
        let unique = self.header().is_unique();
        let NodeRef::Branch(branch) = self.as_ref() else { return Vec::new() };
        if !unique {
            return branch.ranges().filter_map(|start| branch.child_node(start)).collect();
        }
        let ranges = branch.ranges();
        let _ = &mut self;
        // SAFETY: `self` is the only holder, is borrowed mutably, and no other reference to the branch is left.
        let NodeMut::Branch(branch) = (unsafe { word.view_mut::<T, X>() }) else { return Vec::new() };
        ranges.filter_map(|start| branch.take(start)).collect()
    }
}

impl<T, X: BranchLayout> Clone for Node<T, X> {
    #[inline]
    fn clone(&self) -> Self {
        self.header().retain();
        Self { word: self.word, _own: PhantomData }
    }
}

impl<T, X: BranchLayout> Drop for Node<T, X> {
    #[inline]
    fn drop(&mut self) {
        if self.header().release() {
            // SAFETY: that was the last reference.
            unsafe { self.word().free::<T, X>() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic")]
    fn a_word_of_an_address_is_nothing_else() {
        for segment in (0..23).map(|bit| (1u32 << bit) - 1).chain([Address::MAX_SEGMENTS - 1]) {
            for ordinal in (0..19).map(|bit| (1u32 << bit) - 1).chain([Address::MAX_ORDINALS - 1]) {
                let address = Address::new(segment, ordinal);
                let word = Word::of_address(address);
                assert_eq!(word.address(), Some(address));
                assert!(word.is_address() && word.resident().is_none() && !word.is_nothing());
                assert!(!word.is_branch() && !word.is_unflagged());
            }
        }
        assert!(Word::NOTHING.is_nothing() && Word::NOTHING.address().is_none());
        assert!(
            Word::NOTHING.resident().is_none() && !Word::NOTHING.is_branch() && Word::NOTHING.is_unflagged()
        );
    }
}
