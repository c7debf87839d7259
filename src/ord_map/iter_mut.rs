//! Iteration that changes values: each node is made ours when it is reached.

use std::borrow::Borrow;
use std::fmt;
use std::iter::FusedIterator;
use std::ops::RangeBounds;
use std::slice;

use super::OrdMap;
use super::iter::{extremes, positions, projection};
use super::node::{Leaf, Order};
use super::tree::Tree;
use crate::node::{ChildrenMut, NodeMut};

/// The children of one branch that are walked over, and the walks below the two that were begun, from either end.
struct Walk<'a, K, V> {
    children: ChildrenMut<'a, (K, V), Order<K>>,
    /// Entries to pass over: at the front of the first child, at the back of the last. 0 once that was reached.
    skip: (usize, usize),
    front: Option<Box<Walk<'a, K, V>>>,
    back: Option<Box<Walk<'a, K, V>>>,
}

/// A node, entered: entries of a leaf, or the walk through a branch.
enum Entered<'a, K, V> {
    Leaf(&'a mut [(K, V)]),
    Branch(Box<Walk<'a, K, V>>),
}

impl<'a, K: Clone, V: Clone> Walk<'a, K, V> {
    /// Enters a node of which `skip.0` entries at the front and `skip.1` at the back are passed over, and some left.
    fn enter(node: NodeMut<'a, (K, V), Order<K>>, skip: (usize, usize)) -> Entered<'a, K, V> {
        match node {
            NodeMut::Leaf(leaf) => {
                let to = leaf.as_ref().len() - skip.1;
                Entered::Leaf(leaf.into_range_mut(skip.0, to, Leaf::<(K, V)>::SHIFT))
            }
            NodeMut::Branch(branch) => {
                let (first, from) = branch.extra.locate(skip.0);
                let (last, to) = branch.extra.locate(branch.entries() - 1 - skip.1);
                let skip = (from, branch.size(last) - 1 - to);
                let children = ChildrenMut::within(branch, first..last + 1);
                Entered::Branch(Box::new(Self { children, skip, front: None, back: None }))
            }
        }
    }

    fn next_child(&mut self, from_back: bool) -> Option<Entered<'a, K, V>> {
        let child = if from_back { self.children.next_back()? } else { self.children.next()? };
        let only = self.children.is_empty();
        let mut skip = (0, 0);
        if only || !from_back {
            skip.0 = std::mem::take(&mut self.skip.0);
        }
        if only || from_back {
            skip.1 = std::mem::take(&mut self.skip.1);
        }
        Some(Self::enter(child, skip))
    }

    fn next_leaf(&mut self, from_back: bool) -> Option<&'a mut [(K, V)]> {
        loop {
            let near = if from_back { &mut self.back } else { &mut self.front };
            if let Some(leaf) = near.as_mut().and_then(|walk| walk.next_leaf(from_back)) {
                return Some(leaf);
            }
            let walk = match self.next_child(from_back) {
                Some(Entered::Leaf(leaf)) => return Some(leaf),
                Some(Entered::Branch(walk)) => Some(walk),
                None => {
                    let far = if from_back { &mut self.front } else { &mut self.back };
                    return far.as_mut().and_then(|walk| walk.next_leaf(from_back));
                }
            };
            *(if from_back { &mut self.back } else { &mut self.front }) = walk;
        }
    }
}

/// Entries of an [`OrdMap`] in order, with values to change. See [`OrdMap::iter_mut`].
pub struct IterMut<'a, K, V> {
    front: slice::IterMut<'a, (K, V)>,
    walk: Option<Box<Walk<'a, K, V>>>,
    back: slice::IterMut<'a, (K, V)>,
    left: usize,
}

/// Entries of an [`OrdMap`] whose keys lie in a range, with values to change. See [`OrdMap::range_mut`].
pub type RangeMut<'a, K, V> = IterMut<'a, K, V>;

/// Values of an [`OrdMap`] in order of their keys, to change. See [`OrdMap::values_mut`].
#[derive(Debug)]
pub struct ValuesMut<'a, K, V>(IterMut<'a, K, V>);

impl<'a, K: Clone, V: Clone> IterMut<'a, K, V> {
    fn new(tree: &'a mut Tree<K, V>, from: usize, to: usize) -> Self {
        let (mut walk, mut only, len) = (None, &mut [][..], tree.len);
        if from < to
            && let Some(root) = tree.node_mut()
        {
            match Walk::enter(root, (from, len - to)) {
                Entered::Leaf(leaf) => only = leaf,
                Entered::Branch(branch) => walk = Some(branch),
            }
        }
        Self { front: only.iter_mut(), walk, back: [].iter_mut(), left: to - from }
    }

    #[inline]
    fn next_entry(&mut self, from_back: bool) -> Option<&'a mut (K, V)> {
        loop {
            let (near, far) = match from_back {
                true => (&mut self.back, &mut self.front),
                false => (&mut self.front, &mut self.back),
            };
            let entry = if from_back { near.next_back() } else { near.next() };
            if entry.is_some() {
                self.left -= 1;
                return entry;
            }
            match self.walk.as_mut().and_then(|walk| walk.next_leaf(from_back)) {
                Some(leaf) => *near = leaf.iter_mut(),
                None => {
                    let entry = if from_back { far.next_back() } else { far.next() };
                    self.left -= usize::from(entry.is_some());
                    return entry;
                }
            }
        }
    }
}

impl<'a, K: Clone, V: Clone> Iterator for IterMut<'a, K, V> {
    type Item = (&'a K, &'a mut V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry(false).map(|(key, value)| (&*key, value))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }

    fn last(mut self) -> Option<Self::Item> {
        self.next_back()
    }

    extremes!(ascend);
}

impl<K: Clone, V: Clone> DoubleEndedIterator for IterMut<'_, K, V> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.next_entry(true).map(|(key, value)| (&*key, value))
    }
}

impl<K: Clone, V: Clone> ExactSizeIterator for IterMut<'_, K, V> {}
impl<K: Clone, V: Clone> FusedIterator for IterMut<'_, K, V> {}

impl<K, V> Default for IterMut<'_, K, V> {
    /// Makes an iterator over nothing.
    fn default() -> Self {
        Self { front: [].iter_mut(), walk: None, back: [].iter_mut(), left: 0 }
    }
}

impl<K, V> Default for ValuesMut<'_, K, V> {
    /// Makes an iterator over nothing.
    fn default() -> Self {
        Self(IterMut::default())
    }
}

projection!(['a] ValuesMut, &'a mut V, |(_, value)| value, Clone);

impl<K, V> fmt::Debug for IterMut<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IterMut").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<K: Clone, V: Clone> OrdMap<K, V> {
    /// Walks over all entries in order, with values to change, from both ends. **O(n)** for all.
    ///
    /// A node is copied, if another version shares it, when iteration comes to it; and everything that iteration came
    /// to counts as changed: the next checkpoint writes it. For few changes use [`get_mut`](Self::get_mut).
    ///
    /// ```
    /// let mut map = perennial::OrdMap::from([(1, 10), (2, 20)]);
    /// map.iter_mut().for_each(|(_, value)| *value += 1);
    /// assert_eq!((map[&1], map[&2]), (11, 21));
    /// ```
    pub fn iter_mut(&mut self) -> IterMut<'_, K, V> {
        let len = self.len();
        IterMut::new(&mut self.tree, 0, len)
    }

    /// Walks over all values in order of their keys, to change them. See [`iter_mut`](Self::iter_mut).
    ///
    /// ```
    /// let mut map = perennial::OrdMap::from([(1, 10), (2, 20)]);
    /// map.values_mut().for_each(|value| *value += 1);
    /// assert!(map.values().eq(&[11, 21]));
    /// ```
    pub fn values_mut(&mut self) -> ValuesMut<'_, K, V> {
        ValuesMut(self.iter_mut())
    }

    /// Walks over the entries whose keys are in `range`, with values to change. **O(log n + k)** for k of them. See
    /// [`iter_mut`](Self::iter_mut).
    ///
    /// # Panics
    /// As [`range`](Self::range).
    ///
    /// ```
    /// let mut map = perennial::OrdMap::from([(1, 10), (2, 20), (3, 30)]);
    /// map.range_mut(2..).for_each(|(_, value)| *value += 1);
    /// assert!(map.values().eq(&[10, 21, 31]));
    /// ```
    #[track_caller]
    pub fn range_mut<Q, R>(&mut self, range: R) -> RangeMut<'_, K, V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
        R: RangeBounds<Q>,
    {
        let (from, to, _) = positions(&self.tree, "OrdMap", &range);
        IterMut::new(&mut self.tree, from, to)
    }
}

impl<'a, K: Clone, V: Clone> IntoIterator for &'a mut OrdMap<K, V> {
    type Item = (&'a K, &'a mut V);
    type IntoIter = IterMut<'a, K, V>;

    fn into_iter(self) -> IterMut<'a, K, V> {
        self.iter_mut()
    }
}
