//! Verifies every rule that the structure keeps; tests call it after each step.

use super::OrdMap;
use super::node::{Leaf, LinkRef, MIN_CHILDREN};
use crate::node::{BranchLayout, NodeRef, SLOTS};

impl<K, V> OrdMap<K, V> {
    /// Walks all nodes, but does not ask keys for their order: for orders that lie.
    ///
    /// # Panics
    /// When a rule is broken.
    pub(crate) fn check_structure(&self) {
        self.check_with(&|_, _| true);
    }

    /// Walks all nodes.
    ///
    /// # Panics
    /// When a rule is broken.
    pub(crate) fn check(&self)
    where
        K: Ord,
    {
        self.check_with(&|one, two| one < two);
    }

    fn check_with(&self, below: &impl Fn(&K, &K) -> bool) {
        let Some(root) = self.tree.node() else {
            assert_eq!((self.tree.len, self.tree.height), (0, 0));
            return;
        };
        if let NodeRef::Branch(root) = root {
            assert!(root.count() > 1, "a root of one child");
        }
        let mut last = None;
        assert_eq!(check_node(root, self.tree.height, true, true, &mut last, below), self.tree.len);
        assert_eq!(self.iter().count(), self.tree.len);
    }
}

fn check_node<'a, K, V>(
    node: LinkRef<'a, K, V>,
    level: u8,
    is_root: bool,
    right: bool,
    last: &mut Option<&'a K>,
    below: &impl Fn(&K, &K) -> bool,
) -> usize {
    let branch = match node {
        NodeRef::Leaf(leaf) => {
            assert_eq!(level, 0, "a leaf at another depth");
            let least = if is_root || right { 1 } else { Leaf::<(K, V)>::LEAST };
            assert!(
                (least..=Leaf::<(K, V)>::CAPACITY).contains(&leaf.len()),
                "a leaf of {} entries",
                leaf.len()
            );
            for (key, _) in leaf.items(false) {
                assert!(last.is_none_or(|last| below(last, key)), "keys ascend");
                *last = Some(key);
            }
            return leaf.len();
        }
        NodeRef::Branch(branch) => branch,
    };
    let count = branch.count();
    assert_eq!(branch.level(), level);
    assert!(count <= SLOTS && count >= if right { 1 } else { MIN_CHILDREN }, "{count} children");
    assert_eq!(u32::from(branch.starts()), (1u32 << SLOTS) - 1, "all ranges are one slot");
    let keys = branch.extra.keys();
    assert_eq!(keys.len() + 1, count, "a separator between every two children");
    let mut entries = 0;
    for slot in 0..SLOTS {
        if slot >= count {
            assert!(branch.is_vacant(slot));
            assert_eq!(branch.size(slot), 0);
            continue;
        }
        if slot > 0 {
            assert!(
                last.is_none_or(|last| below(last, &keys[slot - 1])),
                "a separator is above what is left"
            );
        }
        let child = branch.child(slot).expect("a child");
        let mut first = None;
        if slot > 0 {
            let mut node = child;
            while let NodeRef::Branch(inner) = node {
                node = inner.child(0).expect("a child");
            }
            if let NodeRef::Leaf(leaf) = node {
                first = leaf.items(false).first();
            }
        }
        if let Some((first, _)) = first {
            assert!(
                below(&keys[slot - 1], first) || !below(first, &keys[slot - 1]),
                "a separator is at most what is right"
            );
        }
        let size = check_node(child, level - 1, false, right && slot + 1 == count, last, below);
        assert_eq!(branch.size(slot), size);
        assert_eq!(branch.extra.locate(entries), (slot, 0));
        assert_eq!(branch.extra.locate(entries + size - 1), (slot, size - 1));
        entries += size;
    }
    assert_eq!(branch.entries(), entries);
    entries
}
