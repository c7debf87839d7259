//! All children of a branch, each once, from both ends, to be changed.
#![expect(unsafe_code, reason = "hands out disjoint children of one branch")]

use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::NonNull;

use super::BranchLayout;
use super::branch::Branch;
use super::link::NodeMut;

/// Walks the slots `0..count` of a branch whose ranges are one slot each; a child is loaded, copied if others hold
/// it, and marked changed when it is reached, not before.
pub(crate) struct ChildrenMut<'a, T, X: BranchLayout> {
    branch: NonNull<Branch<T, X>>,
    slots: Range<usize>,
    _life: PhantomData<&'a mut Branch<T, X>>,
}

// SAFETY: stands for a `&mut Branch`, which may be sent where `T` may (a shared child is also read elsewhere).
unsafe impl<T: Send + Sync, X: BranchLayout + Send + Sync> Send for ChildrenMut<'_, T, X> {}
// SAFETY: nothing can be reached through `&ChildrenMut`.
unsafe impl<T: Send + Sync, X: BranchLayout + Send + Sync> Sync for ChildrenMut<'_, T, X> {}

impl<'a, T, X: BranchLayout> ChildrenMut<'a, T, X> {
    /// The children of `branch` in `slots`, which must be some of `0..count`.
    pub(crate) fn within(branch: &'a mut Branch<T, X>, slots: Range<usize>) -> Self {
        Self { branch: NonNull::from(branch), slots, _life: PhantomData }
    }

    /// Whether all children were reached.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn reach(&mut self, slot: usize) -> Option<NodeMut<'a, T, X>>
    where
        T: Clone,
        X: Clone,
    {
        // SAFETY: the branch is exclusively ours for 'a. This reference lives only for the call, and children are
        // allocations of their own, so it invalidates none that was handed out.
        let child = unsafe { self.branch.as_mut() }.child_mut(slot)?;
        // SAFETY: every slot is reached at most once, and what stands in it is unique after `child_mut` (a node in
        // two slots is counted twice, so each gets its own copy): no two of the results overlap. The node lives
        // as long as the branch keeps it, and the branch is borrowed for 'a.
        Some(unsafe { std::mem::transmute::<NodeMut<'_, T, X>, NodeMut<'a, T, X>>(child) })
    }
}

impl<'a, T: Clone, X: BranchLayout + Clone> Iterator for ChildrenMut<'a, T, X> {
    type Item = NodeMut<'a, T, X>;

    fn next(&mut self) -> Option<Self::Item> {
        let slot = self.slots.next()?;
        self.reach(slot)
    }
}

impl<T: Clone, X: BranchLayout + Clone> DoubleEndedIterator for ChildrenMut<'_, T, X> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let slot = self.slots.next_back()?;
        self.reach(slot)
    }
}
