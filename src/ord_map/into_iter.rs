//! Owned iteration: what is left of the leaves at either end, and the nodes between them.

use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;

use super::OrdMap;
use super::iter::{extremes, projection};
use super::node::Link;
use crate::node::{Items, NodeOwned, NodeRef, OwnedLeaf};

/// Owned entries of an [`OrdMap`] in order, cloned where another version still holds them.
pub struct IntoIter<K, V> {
    front: Option<Stock<K, V>>,
    /// Nodes between the two, in order.
    nodes: VecDeque<Link<K, V>>,
    back: Option<Stock<K, V>>,
    left: usize,
}

/// What is left of a leaf.
enum Stock<K, V> {
    /// A leaf that nobody else holds; in reverse order if the flag is set, so that the end to take from is its last.
    Owned(OwnedLeaf<(K, V)>, bool),
    /// A leaf that others hold too, and the entries to come.
    Shared(Link<K, V>, std::ops::Range<usize>),
}

impl<K: Clone, V: Clone> Stock<K, V> {
    /// The next entry from one end.
    fn next(&mut self, from_back: bool) -> Option<(K, V)> {
        match self {
            Self::Owned(leaf, reversed) => {
                if *reversed == from_back {
                    leaf.as_mut().into_items_mut(false).reverse();
                    *reversed = !from_back;
                }
                leaf.pop()
            }
            Self::Shared(node, left) => {
                // Counted down first: a clone that panics is not asked for again.
                let index = if from_back { left.next_back()? } else { left.next()? };
                match node.as_ref() {
                    NodeRef::Leaf(leaf) => leaf.items(false).get(index).cloned(),
                    NodeRef::Branch(_) => None,
                }
            }
        }
    }
}

impl<K: Clone, V: Clone> IntoIter<K, V> {
    fn next_entry(&mut self, from_back: bool) -> Option<(K, V)> {
        loop {
            let [near, far] = match from_back {
                true => [&mut self.back, &mut self.front],
                false => [&mut self.front, &mut self.back],
            };
            if let Some(entry) = near.as_mut().and_then(|stock| stock.next(from_back)) {
                self.left -= 1;
                return Some(entry);
            }
            let node = if from_back { self.nodes.pop_back() } else { self.nodes.pop_front() };
            *near = match node.map(Link::into_owned) {
                Some(NodeOwned::Leaf(leaf)) => Some(Stock::Owned(leaf, false)),
                Some(NodeOwned::SharedLeaf(node)) => {
                    let len = super::node::entries_of(node.as_ref());
                    Some(Stock::Shared(node, 0..len))
                }
                Some(NodeOwned::Branch(node)) => {
                    let children = node.into_children();
                    match from_back {
                        true => self.nodes.extend(children),
                        false => children.into_iter().rev().for_each(|child| self.nodes.push_front(child)),
                    }
                    None
                }
                // What is left is at the other end.
                None => Some(far.take()?),
            };
        }
    }
}

impl<K: Clone, V: Clone> Iterator for IntoIter<K, V> {
    type Item = (K, V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry(false)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }

    fn last(mut self) -> Option<Self::Item> {
        self.next_back()
    }

    extremes!(ascend);
}

impl<K: Clone, V: Clone> DoubleEndedIterator for IntoIter<K, V> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.next_entry(true)
    }
}

impl<K: Clone, V: Clone> ExactSizeIterator for IntoIter<K, V> {}
impl<K: Clone, V: Clone> FusedIterator for IntoIter<K, V> {}

impl<K, V> Stock<K, V> {
    /// The entries to come.
    fn rest(&self) -> Vec<&(K, V)> {
        match self {
            Self::Owned(leaf, false) => leaf.as_ref().items(false).iter().collect(),
            Self::Owned(leaf, true) => leaf.as_ref().items(false).iter().rev().collect(),
            Self::Shared(node, left) => match node.as_ref() {
                NodeRef::Leaf(leaf) => leaf.items(false)[left.clone()].iter().collect(),
                NodeRef::Branch(_) => Vec::new(),
            },
        }
    }
}

impl<K, V> IntoIter<K, V> {
    /// The entries to come.
    fn rest(&self) -> impl Iterator<Item = &(K, V)> {
        let [front, back] = [&self.front, &self.back].map(|stock| stock.iter().flat_map(Stock::rest));
        front.chain(self.nodes.iter().flat_map(|node| Items::new(Some(node.as_ref())))).chain(back)
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for IntoIter<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.rest()).finish()
    }
}

/// Owned keys of an [`OrdMap`] in order. See [`OrdMap::into_keys`].
pub struct IntoKeys<K, V>(IntoIter<K, V>);

impl<K: fmt::Debug, V> fmt::Debug for IntoKeys<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.rest().map(|(key, _)| key)).finish()
    }
}

/// Owned values of an [`OrdMap`] in order of their keys. See [`OrdMap::into_values`].
pub struct IntoValues<K, V>(IntoIter<K, V>);

impl<K, V: fmt::Debug> fmt::Debug for IntoValues<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.rest().map(|(_, value)| value)).finish()
    }
}

impl<K: Clone, V: Clone> OrdMap<K, V> {
    /// Takes the keys out, in order. **O(n)** for all.
    ///
    /// ```
    /// assert!(perennial::OrdMap::from([(2, 'b'), (1, 'a')]).into_keys().eq([1, 2]));
    /// ```
    pub fn into_keys(self) -> IntoKeys<K, V> {
        IntoKeys(self.into_iter())
    }

    /// Takes the values out, in order of their keys. **O(n)** for all.
    ///
    /// ```
    /// assert!(perennial::OrdMap::from([(2, 'b'), (1, 'a')]).into_values().eq(['a', 'b']));
    /// ```
    pub fn into_values(self) -> IntoValues<K, V> {
        IntoValues(self.into_iter())
    }
}

impl<K: Clone, V: Clone> IntoIterator for OrdMap<K, V> {
    type Item = (K, V);
    type IntoIter = IntoIter<K, V>;

    /// Takes the entries out, in order. **O(n)** for all.
    fn into_iter(mut self) -> IntoIter<K, V> {
        let left = self.len();
        IntoIter { front: None, nodes: self.tree.take().into_iter().collect(), back: None, left }
    }
}

projection!(keys ascend [] IntoKeys, K, |(key, _)| key, Clone);
projection!([] IntoValues, V, |(_, value)| value, Clone);

impl<K, V> Default for IntoIter<K, V> {
    /// Makes an iterator over nothing.
    fn default() -> Self {
        Self { front: None, nodes: VecDeque::new(), back: None, left: 0 }
    }
}

impl<K, V> Default for IntoKeys<K, V> {
    /// Makes an iterator over nothing.
    fn default() -> Self {
        Self(IntoIter::default())
    }
}

impl<K, V> Default for IntoValues<K, V> {
    /// Makes an iterator over nothing.
    fn default() -> Self {
        Self(IntoIter::default())
    }
}
