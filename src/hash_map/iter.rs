//! Iterators over a hash map, all of them walks of its trie, leaf by leaf in the [order](super::order) of each.

use std::fmt;
use std::iter::FusedIterator;

use super::node::Prefix;
use super::order::{FEW, LeafOrder, Ties};
use crate::error::Result;
use crate::node::{IntoLeaves, LeafMut, Leaves, LeavesMut, NodeRef, TakenLeaf, loaded};

/// The entries below a node.
pub(crate) struct Entries<'a, K, V> {
    leaves: Leaves<'a, (K, V), Prefix>,
    leaf: &'a [(K, V)],
    order: LeafOrder,
    ties: Ties<K>,
}

impl<K, V> Clone for Entries<'_, K, V> {
    fn clone(&self) -> Self {
        Self { leaves: self.leaves.clone(), order: self.order.clone(), ..*self }
    }
}

impl<'a, K, V> Entries<'a, K, V> {
    pub(crate) fn new(root: Option<NodeRef<'a, (K, V), Prefix>>, ties: Ties<K>) -> Self {
        Self { leaves: Leaves::new(root), leaf: &[], order: LeafOrder::NONE, ties }
    }

    /// The entries below another node of the same map.
    #[cfg(feature = "rayon")]
    pub(crate) fn below(&self, node: NodeRef<'a, (K, V), Prefix>) -> Self {
        Self::new(Some(node), self.ties)
    }

    /// The next entry, or the error that loading its leaf answered (and then what follows it).
    fn try_next(&mut self) -> Result<Option<&'a (K, V)>> {
        loop {
            if let Some(index) = self.order.next() {
                return Ok(self.leaf.get(index));
            }
            if !self.try_enter()? {
                return Ok(None);
            }
        }
    }

    /// Goes on to the next leaf, if there is one.
    fn try_enter(&mut self) -> Result<bool> {
        let Some(leaf) = self.leaves.try_next()? else { return Ok(false) };
        self.leaf = leaf.items(true);
        self.order.enter(leaf, self.ties);
        Ok(true)
    }

    /// The next entry of the leaf at hand, where it is the ordinary case.
    #[inline]
    fn next_in_slot(&mut self) -> Option<&'a (K, V)> {
        self.order.next_in_slot().and_then(|index| self.leaf.get(index))
    }
}

impl<'a, K, V> Iterator for Entries<'a, K, V> {
    type Item = &'a (K, V);

    #[inline]
    fn next(&mut self) -> Option<&'a (K, V)> {
        match self.next_in_slot() {
            Some(entry) => Some(entry),
            None => loaded(self.try_next()),
        }
    }
}

/// Entries of a [`HashMap`](super::HashMap), in an order that its contents and its hasher decide. See
/// [`HashMap::iter`](super::HashMap::iter).
pub struct Iter<'a, K, V> {
    entries: Entries<'a, K, V>,
    /// The number of entries behind the leaf at hand.
    behind: usize,
}

impl<'a, K, V> Iter<'a, K, V> {
    /// The entries of a map that has `len` of them.
    pub(super) fn new(entries: Entries<'a, K, V>, len: usize) -> Self {
        Self { entries, behind: len }
    }

    /// The next entry, where it is in another leaf, or in no slot of the leaf at hand.
    #[inline(never)]
    fn next_behind(&mut self) -> Option<(&'a K, &'a V)> {
        loop {
            if let Some(index) = self.entries.order.next() {
                let (key, value) = self.entries.leaf.get(index)?;
                return Some((key, value));
            }
            if !loaded(self.entries.try_enter().map(Some))? {
                return None;
            }
            self.behind = self.behind.saturating_sub(self.entries.leaf.len());
        }
    }
}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone(), behind: self.behind }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self.entries.next_in_slot() {
            Some((key, value)) => Some((key, value)),
            None => self.next_behind(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.behind + self.entries.order.len();
        (left, Some(left))
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}
impl<K, V> FusedIterator for Iter<'_, K, V> {}

/// Entries of a [`HashMap`](super::HashMap), or the error that loading some of them answered.
/// See [`HashMap::try_iter`](super::HashMap::try_iter).
pub struct TryIter<'a, K, V> {
    pub(super) entries: Entries<'a, K, V>,
}

impl<'a, K, V> Iterator for TryIter<'a, K, V> {
    type Item = Result<(&'a K, &'a V)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.entries.try_next().map(|item| item.map(|(key, value)| (key, value))).transpose()
    }
}

/// Keys of a [`HashMap`](super::HashMap). See [`HashMap::keys`](super::HashMap::keys).
pub struct Keys<'a, K, V>(pub(super) Iter<'a, K, V>);

/// Values of a [`HashMap`](super::HashMap). See [`HashMap::values`](super::HashMap::values).
pub struct Values<'a, K, V>(pub(super) Iter<'a, K, V>);

/// Entries of a [`HashMap`](super::HashMap) with mutable values. See [`HashMap::iter_mut`](super::HashMap::iter_mut).
pub struct IterMut<'a, K, V> {
    leaves: LeavesMut<'a, (K, V), Prefix>,
    /// The entries of the leaf at hand, until they are handed out.
    leaf: Vec<Option<&'a mut (K, V)>>,
    order: LeafOrder,
    ties: Ties<K>,
    left: usize,
}

impl<'a, K: Clone, V: Clone> IterMut<'a, K, V> {
    pub(super) fn new(leaves: LeavesMut<'a, (K, V), Prefix>, ties: Ties<K>, left: usize) -> Self {
        Self { leaves, leaf: Vec::new(), order: LeafOrder::NONE, ties, left }
    }

    fn enter(&mut self, leaf: LeafMut<'a, (K, V)>) {
        self.order.enter(leaf.as_ref(), self.ties);
        self.leaf.clear();
        self.leaf.extend(leaf.into_items_mut(true).iter_mut().map(Some));
    }
}

impl<'a, K: Clone, V: Clone> Iterator for IterMut<'a, K, V> {
    type Item = (&'a K, &'a mut V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(index) = self.order.next() {
                let (key, value) = self.leaf.get_mut(index)?.take()?;
                self.left = self.left.saturating_sub(1);
                return Some((key, value));
            }
            let leaf = self.leaves.next()?;
            self.enter(leaf);
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<K: Clone, V: Clone> ExactSizeIterator for IterMut<'_, K, V> {}
impl<K: Clone, V: Clone> FusedIterator for IterMut<'_, K, V> {}

/// Mutable values of a [`HashMap`](super::HashMap). See [`HashMap::values_mut`](super::HashMap::values_mut).
#[derive(Debug)]
pub struct ValuesMut<'a, K, V>(pub(super) IterMut<'a, K, V>);

/// Owned entries of a [`HashMap`](super::HashMap), cloned where a snapshot still holds them.
pub struct IntoIter<K, V> {
    leaves: IntoLeaves<(K, V), Prefix>,
    /// The leaf at hand. One that is owned lies in reverse order.
    leaf: Option<TakenLeaf<(K, V), Prefix>>,
    /// The entries to come of a leaf that others hold too.
    order: LeafOrder,
    ties: Ties<K>,
    left: usize,
}

impl<K, V> IntoIter<K, V> {
    pub(super) fn new(leaves: IntoLeaves<(K, V), Prefix>, ties: Ties<K>, left: usize) -> Self {
        Self { leaves, leaf: None, order: LeafOrder::NONE, ties, left }
    }

    fn enter(&mut self, mut leaf: TakenLeaf<(K, V), Prefix>) {
        if let Some(leaf) = leaf.as_ref() {
            self.order.enter(leaf, self.ties);
        }
        if let TakenLeaf::Owned(leaf) = &mut leaf {
            let items = leaf.as_mut().into_items_mut(true);
            let (mut few, mut many) = ([0; FEW], Vec::new());
            let places = match few.get_mut(..items.len()) {
                Some(places) => places,
                None => {
                    many.resize(items.len(), 0);
                    &mut many[..]
                }
            };
            self.order.by_ref().zip((0..items.len()).rev()).for_each(|(index, place)| places[index] = place);
            for index in 0..items.len() {
                while places[index] != index {
                    let place = places[index];
                    items.swap(index, place);
                    places.swap(index, place);
                }
            }
        }
        self.leaf = Some(leaf);
    }

    /// The entries to come.
    fn rest(&self) -> impl Iterator<Item = &(K, V)> {
        let entries = self.leaf.as_ref().and_then(TakenLeaf::as_ref).map_or(&[][..], |leaf| leaf.items(true));
        let is_owned = matches!(self.leaf, Some(TakenLeaf::Owned(_)));
        let owned = if is_owned { entries } else { &[] };
        let shared = self.order.clone().filter_map(move |index| entries.get(index));
        let behind = self.leaves.rest().flat_map(|node| Entries::new(Some(node), self.ties));
        owned.iter().rev().chain(shared).chain(behind)
    }
}

impl<K: Clone, V: Clone> Iterator for IntoIter<K, V> {
    type Item = (K, V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match &mut self.leaf {
                Some(TakenLeaf::Owned(leaf)) => leaf.pop(),
                // Counted first: a clone that panics is not asked for again.
                Some(leaf) => {
                    self.order.next().and_then(|index| leaf.as_ref()?.items(true).get(index).cloned())
                }
                None => None,
            };
            if entry.is_some() {
                self.left = self.left.saturating_sub(1);
                return entry;
            }
            self.leaf = None;
            let leaf = self.leaves.next()?;
            self.enter(leaf);
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<K: Clone, V: Clone> ExactSizeIterator for IntoIter<K, V> {}
impl<K: Clone, V: Clone> FusedIterator for IntoIter<K, V> {}

/// Owned keys of a [`HashMap`](super::HashMap). See [`HashMap::into_keys`](super::HashMap::into_keys).
pub struct IntoKeys<K, V>(pub(crate) IntoIter<K, V>);

/// Owned values of a [`HashMap`](super::HashMap). See [`HashMap::into_values`](super::HashMap::into_values).
pub struct IntoValues<K, V>(pub(super) IntoIter<K, V>);

/// An iterator that hands on one side of another's pairs.
macro_rules! projection {
    ([$($life:lifetime)?] $name:ident, $item:ty, |$pair:pat_param| $side:expr $(, $bound:ident)?) => {
        impl<$($life,)? K $(: $bound)?, V $(: $bound)?> Iterator for $name<$($life,)? K, V> {
            type Item = $item;

            #[inline]
            fn next(&mut self) -> Option<Self::Item> {
                self.0.next().map(|$pair| $side)
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                self.0.size_hint()
            }
        }
        impl<$($life,)? K $(: $bound)?, V $(: $bound)?> ExactSizeIterator for $name<$($life,)? K, V> {}
        impl<$($life,)? K $(: $bound)?, V $(: $bound)?> FusedIterator for $name<$($life,)? K, V> {}
    };
}

projection!(['a] Keys, &'a K, |(key, _)| key);
projection!(['a] Values, &'a V, |(_, value)| value);
projection!(['a] ValuesMut, &'a mut V, |(_, value)| value, Clone);
projection!([] IntoKeys, K, |(key, _)| key, Clone);
projection!([] IntoValues, V, |(_, value)| value, Clone);

impl<K, V> Default for Iter<'_, K, V> {
    /// Makes an iterator over nothing.
    fn default() -> Self {
        Self::new(Entries::new(None, None), 0)
    }
}

impl<K: Clone, V: Clone> Default for IterMut<'_, K, V> {
    /// Makes an iterator over nothing.
    fn default() -> Self {
        Self::new(LeavesMut::new(None), None, 0)
    }
}

impl<K, V> Default for IntoIter<K, V> {
    /// Makes an iterator over nothing.
    fn default() -> Self {
        Self::new(IntoLeaves::new(None), None, 0)
    }
}

/// An iterator over one side of nothing.
macro_rules! default {
    ([$($life:lifetime)?] $name:ident $(, $bound:ident)?) => {
        impl<K $(: $bound)?, V $(: $bound)?> Default for $name<$($life,)? K, V> {
            /// Makes an iterator over nothing.
            fn default() -> Self {
                Self(Default::default())
            }
        }
    };
}

default!(['_] Keys);
default!(['_] Values);
default!(['_] ValuesMut, Clone);
default!([] IntoKeys);
default!([] IntoValues);

impl<K, V> Clone for Keys<'_, K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> Clone for Values<'_, K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Iter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<K: fmt::Debug, V> fmt::Debug for Keys<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<K, V: fmt::Debug> fmt::Debug for Values<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<K, V> fmt::Debug for IterMut<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IterMut").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for IntoIter<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.rest()).finish()
    }
}

impl<K: fmt::Debug, V> fmt::Debug for IntoKeys<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.rest().map(|(key, _)| key)).finish()
    }
}

impl<K, V: fmt::Debug> fmt::Debug for IntoValues<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.rest().map(|(_, value)| value)).finish()
    }
}

impl<K, V> fmt::Debug for TryIter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryIter").finish_non_exhaustive()
    }
}
