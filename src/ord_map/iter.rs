//! Shared iteration: positions at either end, and what is left of the leaves that lie there.
//!
//! A leaf is found by its position, or beside the one before it while both have one parent. So an iterator is small,
//! allocates nothing, starts anywhere and jumps in O(log n).

use std::borrow::Borrow;
use std::fmt;
use std::iter::FusedIterator;
use std::ops::{Bound, RangeBounds};
use std::slice;

use super::OrdMap;
use super::node::{Inner, Order};
use super::tree::{Spot, Tree};
use crate::error::Result;
use crate::node::Items;

/// The lowest and the highest of what comes in order of the keys.
macro_rules! extremes {
    (ascend) => {
        /// Returns the next. **O(log n)**.
        fn min(mut self) -> Option<Self::Item>
        where
            Self::Item: Ord,
        {
            self.next()
        }

        /// Returns the last. **O(log n)**.
        fn max(mut self) -> Option<Self::Item>
        where
            Self::Item: Ord,
        {
            self.next_back()
        }
    };
}
pub(super) use extremes;

/// Entries of an [`OrdMap`] in order. See [`OrdMap::iter`].
pub struct Iter<'a, K, V> {
    /// `None` in an iterator of no map.
    tree: Option<&'a Tree<K, V>>,
    front: slice::Iter<'a, (K, V)>,
    /// Positions of the entries between front and back.
    left: std::ops::Range<usize>,
    back: slice::Iter<'a, (K, V)>,
    /// Where the leaf after `front` stands, if that was looked at and has the same parent.
    next: Option<(&'a Inner<K, V>, usize)>,
}

/// Entries of an [`OrdMap`] whose keys lie in a range, in order. See [`OrdMap::range`].
pub type Range<'a, K, V> = Iter<'a, K, V>;

impl<'a, K, V> Iter<'a, K, V> {
    pub(super) fn new(tree: &'a Tree<K, V>, from: usize, to: usize) -> Self {
        Self { tree: Some(tree), front: [].iter(), left: from..to, back: [].iter(), next: None }
    }

    pub(super) fn between<Q, R>(tree: &'a Tree<K, V>, of: &str, range: &R) -> Self
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
        R: RangeBounds<Q>,
    {
        let (from, to, spot) = positions(tree, of, range);
        let mut iter = Self::new(tree, from, to);
        if let Some(spot) = spot {
            let entries = &spot.entries[spot.index..];
            iter.take_front(entries, spot.above);
        }
        iter
    }

    /// Lets `entries`, which come next, be the front, as far as they are not behind the end.
    fn take_front(&mut self, entries: &'a [(K, V)], above: Option<(&'a Inner<K, V>, usize)>) {
        let entries = &entries[..entries.len().min(self.left.len())];
        self.left.start += entries.len();
        self.front = entries.iter();
        self.next = above.map(|(branch, slot)| (branch, slot + 1));
    }

    /// Fills the front from the next leaf, if there is one before the back.
    #[cold]
    #[inline(never)]
    fn advance(&mut self) -> bool {
        if self.left.is_empty() {
            return false;
        }
        if let Some((branch, slot)) = self.next
            && slot < branch.count()
            && let Some(leaf) = branch.child_leaf(slot)
        {
            self.take_front(leaf.items(false), self.next);
        } else if let Some(Spot { entries, index, above }) = self.spot(self.left.start) {
            self.take_front(&entries[index..], above);
        }
        true
    }

    fn spot(&self, index: usize) -> Option<Spot<'a, K, V>> {
        self.tree?.spot(index)
    }

    fn advance_back(&mut self) -> bool {
        if self.left.is_empty() {
            return false;
        }
        if let Some(spot) = self.spot(self.left.end - 1) {
            let entries = &spot.entries[(spot.index + 1).saturating_sub(self.left.len())..=spot.index];
            self.left.end -= entries.len();
            self.back = entries.iter();
        }
        true
    }

    #[inline]
    fn next_entry(&mut self) -> Option<&'a (K, V)> {
        loop {
            match self.front.next() {
                None if self.advance() => {}
                None => return self.back.next(),
                entry => return entry,
            }
        }
    }
}

/// The positions that the keys of a range lie at, and the spot of the first. `of` names the collection in messages.
///
/// # Panics
/// As std's: panics if the range starts after its end, or is empty with both ends excluded, unless the map is empty.
#[track_caller]
pub(super) fn positions<'a, K, V, Q, R>(
    tree: &'a Tree<K, V>,
    of: &str,
    range: &R,
) -> (usize, usize, Option<Spot<'a, K, V>>)
where
    K: Borrow<Q>,
    Q: Ord + ?Sized,
    R: RangeBounds<Q>,
{
    if tree.len == 0 {
        return (0, 0, None);
    }
    match (range.start_bound(), range.end_bound()) {
        (Bound::Excluded(start), Bound::Excluded(end)) if start == end => {
            panic!("range start and end are equal and excluded in {of}")
        }
        (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end))
            if start > end =>
        {
            panic!("range start is greater than range end in {of}")
        }
        _ => {}
    }
    bounds(tree, range)
}

/// The positions that the keys of a range lie at, and the spot of the first; of a range that starts after its end, none.
pub(super) fn bounds<'a, K, V, Q, R>(
    tree: &'a Tree<K, V>,
    range: &R,
) -> (usize, usize, Option<Spot<'a, K, V>>)
where
    K: Borrow<Q>,
    Q: Ord + ?Sized,
    R: RangeBounds<Q>,
{
    let (from, spot) = match range.start_bound() {
        Bound::Included(start) => tree.seek(|key| key.borrow() < start),
        Bound::Excluded(start) => tree.seek(|key| key.borrow() <= start),
        Bound::Unbounded => (0, None),
    };
    let to = match range.end_bound() {
        Bound::Included(end) => tree.seek(|key| key.borrow() <= end).0,
        Bound::Excluded(end) => tree.seek(|key| key.borrow() < end).0,
        Bound::Unbounded => tree.len,
    };
    // An order that lies may answer anything.
    (from, to.max(from), spot)
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry().map(|(key, value)| (key, value))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.front.len() + self.left.len() + self.back.len();
        (len, Some(len))
    }

    /// Skips `n` entries and returns the next. **O(log n)**.
    fn nth(&mut self, n: usize) -> Option<Self::Item> {
        if let Some(beyond) = n.checked_sub(self.front.len()) {
            self.front = [].iter();
            self.next = None;
            let between = self.left.len();
            self.left.start += beyond.min(between);
            if let Some(beyond) = beyond.checked_sub(between) {
                return self.back.nth(beyond).map(|(key, value)| (key, value));
            }
            return self.next();
        }
        self.front.nth(n).map(|(key, value)| (key, value))
    }

    fn count(self) -> usize {
        self.len()
    }

    fn last(mut self) -> Option<Self::Item> {
        self.next_back()
    }

    extremes!(ascend);

    fn fold<B, F: FnMut(B, Self::Item) -> B>(mut self, mut init: B, mut f: F) -> B {
        loop {
            init = self.front.by_ref().fold(init, |init, (key, value)| f(init, (key, value)));
            if !self.advance() {
                return self.back.fold(init, |init, (key, value)| f(init, (key, value)));
            }
        }
    }
}

impl<K, V> DoubleEndedIterator for Iter<'_, K, V> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            match self.back.next_back() {
                None if self.advance_back() => {}
                None => return self.front.next_back().map(|(key, value)| (key, value)),
                entry => return entry.map(|(key, value)| (key, value)),
            }
        }
    }

    /// Skips `n` entries from the end and returns the next. **O(log n)**.
    fn nth_back(&mut self, n: usize) -> Option<Self::Item> {
        if let Some(beyond) = n.checked_sub(self.back.len()) {
            self.back = [].iter();
            let between = self.left.len();
            self.left.end -= beyond.min(between);
            if let Some(beyond) = beyond.checked_sub(between) {
                return self.front.nth_back(beyond).map(|(key, value)| (key, value));
            }
            return self.next_back();
        }
        self.back.nth_back(n).map(|(key, value)| (key, value))
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}
impl<K, V> FusedIterator for Iter<'_, K, V> {}

impl<K, V> Default for Iter<'_, K, V> {
    /// Makes an iterator over nothing.
    fn default() -> Self {
        Self { tree: None, front: [].iter(), left: 0..0, back: [].iter(), next: None }
    }
}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Self { front: self.front.clone(), left: self.left.clone(), back: self.back.clone(), ..*self }
    }
}

impl<K, V> fmt::Debug for TryIter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryIter").finish_non_exhaustive()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Iter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// Entries of an [`OrdMap`], or the error that loading some of them answered. See [`OrdMap::try_iter`].
pub struct TryIter<'a, K, V> {
    pub(super) items: Items<'a, (K, V), Order<K>>,
}

impl<'a, K, V> Iterator for TryIter<'a, K, V> {
    type Item = Result<(&'a K, &'a V)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.items.try_next().map(|item| item.map(|(key, value)| (key, value))).transpose()
    }
}

/// Keys of an [`OrdMap`] in order. See [`OrdMap::keys`].
pub struct Keys<'a, K, V>(pub(crate) Iter<'a, K, V>);

/// Values of an [`OrdMap`] in order of their keys. See [`OrdMap::values`].
pub struct Values<'a, K, V>(pub(super) Iter<'a, K, V>);

impl<'a, K, V> IntoIterator for &'a OrdMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}

/// An iterator that hands on one side of another's pairs.
macro_rules! projection {
    ($(keys $keys:tt)? [$($life:lifetime)?] $name:ident, $item:ty, |$pair:pat_param| $side:expr $(, $bound:ident)?) => {
        impl<$($life,)? K $(: $bound)?, V $(: $bound)?> Iterator for $name<$($life,)? K, V> {
            type Item = $item;

            #[inline]
            fn next(&mut self) -> Option<Self::Item> {
                self.0.next().map(|$pair| $side)
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                self.0.size_hint()
            }

            fn nth(&mut self, n: usize) -> Option<Self::Item> {
                self.0.nth(n).map(|$pair| $side)
            }

            fn count(self) -> usize {
                self.len()
            }

            fn last(mut self) -> Option<Self::Item> {
                self.next_back()
            }

            $($crate::ord_map::iter::extremes!($keys);)?

            fn fold<B, F: FnMut(B, Self::Item) -> B>(self, init: B, mut f: F) -> B {
                self.0.fold(init, |init, $pair| f(init, $side))
            }
        }
        impl<$($life,)? K $(: $bound)?, V $(: $bound)?> DoubleEndedIterator for $name<$($life,)? K, V> {
            #[inline]
            fn next_back(&mut self) -> Option<Self::Item> {
                self.0.next_back().map(|$pair| $side)
            }

            fn nth_back(&mut self, n: usize) -> Option<Self::Item> {
                self.0.nth_back(n).map(|$pair| $side)
            }
        }
        impl<$($life,)? K $(: $bound)?, V $(: $bound)?> ExactSizeIterator for $name<$($life,)? K, V> {}
        impl<$($life,)? K $(: $bound)?, V $(: $bound)?> FusedIterator for $name<$($life,)? K, V> {}
    };
}
pub(super) use projection;

projection!(keys ascend ['a] Keys, &'a K, |(key, _)| key);
projection!(['a] Values, &'a V, |(_, value)| value);

impl<K, V> Default for Keys<'_, K, V> {
    /// Makes an iterator over nothing.
    fn default() -> Self {
        Self(Iter::default())
    }
}

impl<K, V> Default for Values<'_, K, V> {
    /// Makes an iterator over nothing.
    fn default() -> Self {
        Self(Iter::default())
    }
}

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
