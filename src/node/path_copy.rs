//! Copies on write: of one node, and of what is shared on a way (path copying: Driscoll, Sarnak, Sleator and Tarjan,
//! "Making Data Structures Persistent", 1989).
#![expect(
    unsafe_code,
    reason = "writes a branch field by field; leaves a child uncounted that is replaced at once"
)]

use super::BranchLayout;
use super::branch::{Branch, Child, SLOTS};
use super::header::Header;
use super::leaf::OwnedLeaf;
use super::link::{Node, NodeRef, Word};
use crate::sync::AtomicPtr;

impl<T: Clone, X: BranchLayout + Clone> Node<T, X> {
    /// A copy of one node, dirty against the same record; children are shared.
    #[inline(never)]
    pub(super) fn copy_of(node: NodeRef<'_, T, X>) -> Self {
        match node {
            NodeRef::Leaf(leaf) => Self::from_leaf(OwnedLeaf::copy_of(leaf, X::TAGGED)),
            NodeRef::Branch(branch) => Self::from_branch(branch.copied()),
        }
    }

    /// Copies of a node and of those below it on the way that `slot_of` tells, as far as they are in memory.
    ///
    /// From the leaf up, so that no copy counts a child only to replace it by its copy.
    pub(super) fn path_copy(
        node: NodeRef<'_, T, X>,
        slot_of: &mut impl FnMut(&Branch<T, X>) -> usize,
    ) -> Self {
        if let NodeRef::Branch(branch) = node {
            let start = branch.start_of(slot_of(branch));
            if let Some(Child::Resident(child)) = branch.peek(start) {
                let child = Self::path_copy(child, slot_of);
                return Self::from_branch(branch.copied_with(start, child));
            }
        }
        Self::copy_of(node)
    }
}

impl<T, X: BranchLayout + Clone> Branch<T, X> {
    /// Copies the branch to change the copy; children are shared.
    pub(super) fn copied(&self) -> Box<Self> {
        self.copied_under(Header::copied)
    }

    /// Copies the branch; children are shared.
    pub(super) fn copied_under(&self, header: impl FnOnce(&Header) -> Header) -> Box<Self> {
        // SAFETY: every child is counted.
        unsafe { self.copied_but(header, SLOTS) }
    }

    /// Copies the branch to change the copy, in which `child` takes the place of what the range that starts at `start`
    /// holds; the other children are shared.
    pub(super) fn copied_with(&self, start: usize, child: Node<T, X>) -> Box<Self> {
        debug_assert_eq!(start, self.start_of(start));
        // SAFETY: nothing comes between the copy and the end of what it does not own.
        let mut copy = unsafe { self.copied_but(Header::copied, start) };
        copy.fill(start, self.end_of(start), child.into_word());
        copy
    }

    /// Copies the branch; children are shared, but for that of the range that starts at `except`, which is not counted.
    ///
    /// # Safety
    /// If there is such a range, the caller puts something else there before anything reads it or drops the copy.
    unsafe fn copied_but(&self, header: impl FnOnce(&Header) -> Header, except: usize) -> Box<Self> {
        self.prefetch_all();
        let mut copy = Box::<Self>::new_uninit();
        let place = copy.as_mut_ptr();
        // SAFETY: every field of the allocation is written once, in place. The user's code comes first: if cloning the extra
        // panics, nothing was counted, and the box is freed as it is.
        unsafe {
            (&raw mut (*place).extra).write(self.extra.clone());
            (&raw mut (*place).header).write(header(&self.header));
            let (starts, mut word, mut lazy) = (self.header.starts, Word::NOTHING, false);
            for slot in 0..SLOTS {
                if starts & 1 << slot != 0 {
                    word = self.word(slot);
                    if word.is_address() {
                        lazy = true;
                    } else if !word.is_nothing() && slot != except {
                        // In memory, and alive while `self` is borrowed.
                        word.header().retain();
                    }
                }
                (&raw mut (*place).slots[slot]).write(AtomicPtr::new(word.0));
            }
            (&raw mut (*place).source).write(if lazy { self.source.clone() } else { None });
            copy.assume_init()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Vector;

    /// The children that others hold too, and the others.
    fn by_holders<T, X: BranchLayout>(node: NodeRef<'_, T, X>) -> (usize, Vec<NodeRef<'_, T, X>>) {
        let NodeRef::Branch(branch) = node else { return (0, Vec::new()) };
        let own: Vec<_> = branch.residents().filter(|child| !child.header().is_shared()).collect();
        (branch.residents().count() - own.len(), own)
    }

    #[test]
    fn what_is_copied_is_counted_once_and_its_siblings_twice() {
        // Three levels, or two.
        let len = if cfg!(miri) { 700 } else { 100_000 };
        let old: Vector<u64> = (0..len).collect();
        let mut new = old.clone();
        *new.get_mut(len as usize / 2).unwrap() = 0;
        for version in [&old, &new] {
            let mut node = version.tree.node().unwrap();
            while let NodeRef::Branch(branch) = node {
                let (shared, own) = by_holders(node);
                assert_eq!((shared, own.len()), (branch.count() - 1, 1));
                node = own[0];
            }
        }
        drop(new);
        let (shared, own) = by_holders(old.tree.node().unwrap());
        assert!(shared == 0 && own.len() > 1);
    }
}
