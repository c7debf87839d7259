//! Verifies every rule that the structure keeps; tests call it after each step.

use super::node::{Counts, Inner, Leaf, MIN_CHILDREN};
use super::{Vector, leaf_items};
use crate::node::{BITS, NodeRef, SLOTS};

impl<T> Vector<T> {
    /// Walks all nodes.
    ///
    /// # Panics
    /// When a rule is broken.
    pub(crate) fn check(&self) {
        for (root, len) in [(&self.head, self.head_len), (&self.tail, self.tail_len)] {
            assert_eq!(leaf_items(root, len).len(), len);
            assert_eq!(root.is_vacant(), len == 0, "an empty end has no leaf");
            assert!(len <= Leaf::<T>::CAPACITY);
        }
        match self.tree.node() {
            None => assert_eq!((self.tree.len, self.tree.height), (0, 0)),
            Some(root) => {
                assert_eq!(check_node(root, self.tree.height, true, true), self.tree.len);
                if let NodeRef::Branch(root) = root {
                    assert!(root.count() > 1, "a root of one child");
                    if root.count() == 2 && root.level() > 1 {
                        let children = (0..2).map(|slot| child_branch(root, slot).count()).sum::<usize>();
                        assert!(children > SLOTS, "a root of two small children");
                    }
                }
            }
        }
        let mut bound = Leaf::<T>::LEAST * MIN_CHILDREN;
        let mut height = 2;
        while bound <= self.tree.len.max(1) {
            (bound, height) = (bound * MIN_CHILDREN, height + 1);
        }
        assert!(
            u32::from(self.tree.height) <= height,
            "height {} for {} items",
            self.tree.height,
            self.tree.len
        );
    }
}

fn child_branch<T>(branch: &Inner<T>, slot: usize) -> &Inner<T> {
    match branch.child(slot) {
        Some(NodeRef::Branch(child)) => child,
        _ => panic!("not a branch"),
    }
}

fn check_node<T>(node: NodeRef<'_, T, Counts>, level: u8, left: bool, right: bool) -> usize {
    let branch = match node {
        NodeRef::Leaf(leaf) => {
            assert_eq!(level, 0, "a leaf at another depth");
            assert!(leaf.len() <= Leaf::<T>::CAPACITY);
            assert!(leaf.len() >= Leaf::<T>::LEAST, "a leaf of {} items", leaf.len());
            return leaf.len();
        }
        NodeRef::Branch(branch) => branch,
    };
    let count = branch.count();
    assert_eq!(branch.level(), level);
    assert!(count <= SLOTS && count >= if left || right { 1 } else { MIN_CHILDREN }, "{count} children");
    assert_eq!(u32::from(branch.starts()), (1u32 << SLOTS) - 1, "all ranges are one slot");
    let radix = Leaf::<T>::CAPACITY.ilog2() + BITS * (u32::from(level) - 1);
    let (mut items, mut regular) = (0, true);
    for slot in 0..SLOTS {
        if slot >= count {
            assert!(branch.is_vacant(slot));
            continue;
        }
        let child = branch.child(slot).expect("a child");
        let size = check_node(child, level - 1, left && slot == 0, right && slot + 1 == count);
        assert_eq!(branch.size(slot), size);
        assert_eq!(branch.extra.locate(items), (slot, 0));
        assert_eq!(branch.extra.locate(items + size - 1), (slot, size - 1));
        items += size;
        regular &= slot + 1 == count || size == 1 << radix;
    }
    assert_eq!(branch.items(), items);
    assert_eq!(branch.is_regular(), regular);
    items
}
