//! Iterators over a hash map, all of them walks of its trie.

use std::fmt;
use std::iter::FusedIterator;
use std::slice;

use super::node::Prefix;
use crate::node::{IntoItems, Items, LeavesMut};

/// Entries of a [`HashMap`](super::HashMap) in the order of their hashes' leaves. See [`HashMap::iter`](super::HashMap::iter).
pub struct Iter<'a, K, V> {
    pub(super) items: Items<'a, (K, V), Prefix>,
    pub(super) left: usize,
}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), left: self.left }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (key, value) = self.items.next()?;
        self.left = self.left.saturating_sub(1);
        Some((key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}
impl<K, V> FusedIterator for Iter<'_, K, V> {}

/// Entries of a [`HashMap`](super::HashMap), or the error that loading some of them answered.
/// See [`HashMap::try_iter`](super::HashMap::try_iter).
pub struct TryIter<'a, K, V> {
    pub(super) items: Items<'a, (K, V), Prefix>,
}

impl<'a, K, V> Iterator for TryIter<'a, K, V> {
    type Item = crate::error::Result<(&'a K, &'a V)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.items.try_next().map(|item| item.map(|(key, value)| (key, value))).transpose()
    }
}

/// Keys of a [`HashMap`](super::HashMap). See [`HashMap::keys`](super::HashMap::keys).
pub struct Keys<'a, K, V>(pub(super) Iter<'a, K, V>);

/// Values of a [`HashMap`](super::HashMap). See [`HashMap::values`](super::HashMap::values).
pub struct Values<'a, K, V>(pub(super) Iter<'a, K, V>);

/// Entries of a [`HashMap`](super::HashMap) with mutable values. See [`HashMap::iter_mut`](super::HashMap::iter_mut).
pub struct IterMut<'a, K, V> {
    pub(super) leaves: LeavesMut<'a, (K, V), Prefix>,
    pub(super) leaf: slice::IterMut<'a, (K, V)>,
    pub(super) left: usize,
}

impl<'a, K: Clone, V: Clone> Iterator for IterMut<'a, K, V> {
    type Item = (&'a K, &'a mut V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.leaf.next() {
                self.left = self.left.saturating_sub(1);
                return Some((key, value));
            }
            self.leaf = self.leaves.next()?.into_items_mut(true).iter_mut();
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
    pub(super) items: IntoItems<(K, V), Prefix>,
    pub(super) left: usize,
}

impl<K: Clone, V: Clone> Iterator for IntoIter<K, V> {
    type Item = (K, V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.items.next()?;
        self.left = self.left.saturating_sub(1);
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<K: Clone, V: Clone> ExactSizeIterator for IntoIter<K, V> {}
impl<K: Clone, V: Clone> FusedIterator for IntoIter<K, V> {}

/// Owned keys of a [`HashMap`](super::HashMap). See [`HashMap::into_keys`](super::HashMap::into_keys).
#[derive(Debug)]
pub struct IntoKeys<K, V>(pub(crate) IntoIter<K, V>);

/// Owned values of a [`HashMap`](super::HashMap). See [`HashMap::into_values`](super::HashMap::into_values).
#[derive(Debug)]
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
        f.debug_map().entries(self.clone()).finish()
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

impl<K, V> fmt::Debug for IntoIter<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoIter").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<K, V> fmt::Debug for TryIter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryIter").finish_non_exhaustive()
    }
}
