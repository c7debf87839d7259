//! Building a vector from an iterator: full leaves, one after the other, without a look at what is there already.

use std::mem;

use super::Vector;
use super::ends::leaf_mut;
use super::node::{Inner, Leaf, Link, assert_room};
use super::tree::Tree;
use crate::node::{Node, OwnedLeaf, Root, SLOTS};

/// The right edge of a tree of full leaves: the branch under construction at each level, from the lowest.
#[expect(clippy::vec_box, reason = "the boxes become nodes as they are")]
struct Builder<T>(Vec<Box<Inner<T>>>);

impl<T> Builder<T> {
    fn push(&mut self, mut node: Link<T>) {
        for level in 0.. {
            if level == self.0.len() {
                self.0.push(Inner::at_level(level as u8 + 1));
            }
            let branch = &mut self.0[level];
            branch.insert_child(branch.count(), node);
            if branch.count() < SLOTS {
                break;
            }
            node = Node::from_branch(mem::replace(branch, Inner::at_level(level as u8 + 1)));
        }
    }

    fn finish(self) -> Tree<T> {
        let mut below: Option<Link<T>> = None;
        let top = self.0.len();
        for (level, mut branch) in self.0.into_iter().enumerate() {
            if let Some(node) = below.take() {
                branch.insert_child(branch.count(), node);
            }
            below = match branch.count() {
                0 => None,
                1 if level + 1 == top => Some(branch.remove_child(0)),
                _ => Some(Node::from_branch(branch)),
            };
        }
        Tree::of(below)
    }
}

impl<T> FromIterator<T> for Vector<T> {
    /// Collects the items. **O(n)**; every leaf but the last is full.
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut items = items.into_iter();
        // At once, where they are known to be too many, and not after so many steps.
        assert_room(0, items.size_hint().0);
        let first = items.size_hint().0.clamp(4, Leaf::<T>::CAPACITY);
        let (mut leaf, mut builder) = (OwnedLeaf::with_capacity(first, false), Builder(Vec::new()));
        for item in items.by_ref() {
            let len = leaf.as_ref().len();
            if len == Leaf::<T>::CAPACITY {
                let full = mem::replace(&mut leaf, OwnedLeaf::with_capacity(Leaf::<T>::CAPACITY, false));
                builder.push(Node::from_leaf(full));
            } else if len == leaf.as_ref().capacity() {
                leaf = leaf.resized((len * 2).min(Leaf::<T>::CAPACITY));
            }
            leaf.push(item, None);
        }
        let tail_len = leaf.as_ref().len();
        let tail = if tail_len == 0 { Root::empty() } else { Root::from_node(Node::from_leaf(leaf)) };
        Self { tail, tail_len, tree: builder.finish(), ..Self::new() }
    }
}

impl<T: Clone> Extend<T> for Vector<T> {
    /// Appends the items. **O(k)** for k of them: leaves are filled in one go.
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        if self.is_empty() {
            *self = items.into_iter().collect();
            return;
        }
        let mut items = items.into_iter().fuse();
        assert_room(self.len(), items.size_hint().0);
        // Each time this leaves a tail that is ours, with room behind what it holds.
        while let Some(item) = items.next() {
            self.push_back(item);
            let Some(mut leaf) = leaf_mut(&mut self.tail, self.tail_len) else { continue };
            while leaf.has_room()
                && let Some(item) = items.next()
            {
                leaf.push(item, None, Leaf::<T>::MASK_SHIFT);
                self.tail_len += 1;
            }
        }
    }
}

impl<'a, T: Clone + 'a> Extend<&'a T> for Vector<T> {
    /// Appends clones of the items. **O(k)** for k of them.
    fn extend<I: IntoIterator<Item = &'a T>>(&mut self, items: I) {
        self.extend(items.into_iter().cloned());
    }
}
