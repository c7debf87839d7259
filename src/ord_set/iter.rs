//! Iterators over an ordered set: those of the map's keys, by names of their own.

use std::fmt;
use std::iter::FusedIterator;

use crate::error::Result;
use crate::ord_map::{self, Extract};

/// Items of an [`OrdSet`](super::OrdSet) in order. See [`OrdSet::iter`](super::OrdSet::iter).
pub type Iter<'a, T> = ord_map::Keys<'a, T, ()>;

/// Items of an [`OrdSet`](super::OrdSet) that lie in a range, in order. See [`OrdSet::range`](super::OrdSet::range).
pub type Range<'a, T> = Iter<'a, T>;

/// Owned items of an [`OrdSet`](super::OrdSet) in order.
pub type IntoIter<T> = ord_map::IntoKeys<T, ()>;

/// Items of an [`OrdSet`](super::OrdSet) in order, or the error that loading some of them answered. See
/// [`OrdSet::try_iter`](super::OrdSet::try_iter).
pub struct TryIter<'a, T>(pub(super) ord_map::TryIter<'a, T, ()>);

impl<'a, T> Iterator for TryIter<'a, T> {
    type Item = Result<&'a T>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|item| item.map(|(item, ())| item))
    }
}

impl<T> fmt::Debug for TryIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryIter").finish_non_exhaustive()
    }
}

/// Takes items out of an [`OrdSet`](super::OrdSet). See [`OrdSet::extract_if`](super::OrdSet::extract_if).
pub struct ExtractIf<'a, T, F> {
    pub(super) extract: Extract<'a, T, ()>,
    pub(super) goes: F,
}

impl<T: Clone, F: FnMut(&T) -> bool> Iterator for ExtractIf<'_, T, F> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.extract.next_if(|item, ()| (self.goes)(item)).map(|(item, ())| item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.extract.size_hint()
    }
}

impl<T: Clone, F: FnMut(&T) -> bool> FusedIterator for ExtractIf<'_, T, F> {}

impl<T: fmt::Debug, F> fmt::Debug for ExtractIf<'_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peek = self.extract.peek().map(|(item, ())| item);
        f.debug_struct("ExtractIf").field("peek", &peek).finish_non_exhaustive()
    }
}
