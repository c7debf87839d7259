//! Building a map from sorted entries: full leaves, one after the other, under full branches.

use std::mem;

use super::OrdMap;
use super::node::{Inner, Leaf, Link, assert_room};
use super::tree::Tree;
use crate::node::{Node, OwnedLeaf, SLOTS};

/// A branch under construction, and the separator before it, which the first one of its level lacks.
type Open<K, V> = (Option<K>, Box<Inner<K, V>>);

/// The right edge of a tree under construction: the open leaf, and the open branch of each level, the lowest first.
struct Builder<K, V> {
    leaf: OwnedLeaf<(K, V)>,
    branches: Vec<Open<K, V>>,
}

impl<K: Clone, V> Builder<K, V> {
    fn new(len: usize) -> Self {
        Self {
            leaf: OwnedLeaf::with_capacity(Leaf::<(K, V)>::room_for(len.max(1)), false),
            branches: Vec::new(),
        }
    }

    /// Appends an entry, whose key is above all others.
    #[inline]
    fn push(&mut self, entry: (K, V)) {
        if self.leaf.as_ref().len() == self.leaf.as_ref().capacity() {
            self.close_leaf();
        }
        self.leaf.push(entry, None);
    }

    #[cold]
    #[inline(never)]
    fn close_leaf(&mut self) {
        let fresh = OwnedLeaf::with_capacity(Leaf::<(K, V)>::CAPACITY, false);
        let leaf = mem::replace(&mut self.leaf, fresh);
        self.add(0, self.key_of(&leaf), Node::from_leaf(leaf));
    }

    /// The separator before a leaf: its first key, except for the first leaf.
    fn key_of(&self, leaf: &OwnedLeaf<(K, V)>) -> Option<K> {
        (!self.branches.is_empty()).then(|| leaf.as_ref().items(false)[0].0.clone())
    }

    fn add(&mut self, level: usize, key: Option<K>, node: Link<K, V>) {
        match self.branches.get_mut(level) {
            None => self.branches.push((key, Inner::above(node))),
            Some((_, branch)) if branch.count() < SLOTS => branch.push_child(key, node),
            Some(open) => {
                let (before, full) = mem::replace(open, (key, Inner::above(node)));
                self.add(level + 1, before, Node::from_branch(full));
            }
        }
    }

    fn finish(self) -> Tree<K, V> {
        let len = self.leaf.as_ref().len();
        if len == 0 {
            return Tree::empty();
        }
        let key = self.key_of(&self.leaf);
        // What is still to be added to the level above: one node, or two where it overflowed.
        let mut rest = vec![(key, Node::from_leaf(self.leaf.resized(Leaf::<(K, V)>::room_for(len))))];
        for mut open in self.branches {
            let mut closed = Vec::new();
            for (key, node) in rest {
                if open.1.count() < SLOTS {
                    open.1.push_child(key, node);
                } else {
                    let (before, full) = mem::replace(&mut open, (key, Inner::above(node)));
                    closed.push((before, Node::from_branch(full)));
                }
            }
            closed.push((open.0, Node::from_branch(open.1)));
            rest = closed;
        }
        let mut rest = rest.into_iter();
        let mut root = rest.next().map(|(_, node)| node);
        for (key, node) in rest {
            root = root.map(|first| {
                let mut branch = Inner::above(first);
                branch.push_child(key, node);
                Node::from_branch(branch)
            });
        }
        Tree::of(root)
    }
}

impl<K: Clone, V> OrdMap<K, V> {
    /// Makes a map of entries whose keys ascend.
    fn of_sorted(entries: Vec<(K, V)>) -> Self {
        assert_room(0, entries.len());
        let mut builder = Builder::new(entries.len());
        entries.into_iter().for_each(|entry| builder.push(entry));
        Self { tree: builder.finish() }
    }
}

impl<K: Ord + Clone, V> FromIterator<(K, V)> for OrdMap<K, V> {
    /// Collects the entries; of equal keys the last one stays. **O(n)** if the keys ascend, else **O(n log n)**.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut entries: Vec<_> = entries.into_iter().collect();
        if !entries.is_sorted_by(|one, two| one.0 < two.0) {
            entries.sort_by(|one, two| one.0.cmp(&two.0));
            entries.dedup_by(|later, kept| {
                let same = later.0.cmp(&kept.0).is_eq();
                if same {
                    mem::swap(later, kept);
                }
                same
            });
        }
        Self::of_sorted(entries)
    }
}

impl<K: Ord + Clone, V: Clone> Extend<(K, V)> for OrdMap<K, V> {
    /// Inserts the entries. **O(k log n)** for k of them; **O(k + log n)** if all of them come behind the last key.
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        let mut entries = entries.into_iter();
        let Some(first) = entries.next() else { return };
        if self.last_key_value().is_some_and(|(last, _)| *last >= first.0) {
            self.insert(first.0, first.1);
            return entries.for_each(|(key, value)| drop(self.insert(key, value)));
        }
        let mut more: Self = std::iter::once(first).chain(entries).collect();
        match (self.last_key_value(), more.first_key_value()) {
            (Some((last, _)), Some((first, _))) if last >= first => {
                more.into_iter().for_each(|(key, value)| drop(self.insert(key, value)));
            }
            _ => self.append(&mut more),
        }
    }
}

impl<'a, K: Ord + Clone, V: Clone> Extend<(&'a K, &'a V)> for OrdMap<K, V> {
    /// Inserts clones of the entries.
    fn extend<I: IntoIterator<Item = (&'a K, &'a V)>>(&mut self, entries: I) {
        self.extend(entries.into_iter().map(|(key, value)| (key.clone(), value.clone())));
    }
}
