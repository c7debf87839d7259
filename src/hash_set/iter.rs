//! Iterators over a hash set: those of the map's keys, by names of their own.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::iter::FusedIterator;

use crate::error::Result;
use crate::hash_map::{self, Extract, HashMap};

/// Items of a [`HashSet`](super::HashSet). See [`HashSet::iter`](super::HashSet::iter).
pub type Iter<'a, T> = hash_map::Keys<'a, T, ()>;

/// Owned items of a [`HashSet`](super::HashSet).
pub type IntoIter<T> = hash_map::IntoKeys<T, ()>;

/// Items of a [`HashSet`](super::HashSet), or the error that loading some of them answered. See
/// [`HashSet::try_iter`](super::HashSet::try_iter).
#[derive(Debug)]
pub struct TryIter<'a, T>(pub(super) hash_map::TryIter<'a, T, ()>);

impl<'a, T> Iterator for TryIter<'a, T> {
    type Item = Result<&'a T>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|item| item.map(|(item, ())| item))
    }
}

/// Takes items out of a [`HashSet`](super::HashSet). See [`HashSet::extract_if`](super::HashSet::extract_if).
pub struct ExtractIf<'a, T, S, F> {
    extract: Extract<'a, T, (), S>,
    goes: F,
}

impl<'a, T, S, F> ExtractIf<'a, T, S, F> {
    pub(super) fn new(map: &'a mut HashMap<T, (), S>, goes: F) -> Self {
        Self { extract: Extract::new(map), goes }
    }
}

impl<T, S, F> Iterator for ExtractIf<'_, T, S, F>
where
    T: Hash + Eq + Clone,
    S: BuildHasher,
    F: FnMut(&T) -> bool,
{
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.extract.next_if(|item, ()| (self.goes)(item)).map(|(item, ())| item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.extract.size_hint()
    }
}

impl<T, S, F> FusedIterator for ExtractIf<'_, T, S, F>
where
    T: Hash + Eq + Clone,
    S: BuildHasher,
    F: FnMut(&T) -> bool,
{
}

impl<T, S, F> fmt::Debug for ExtractIf<'_, T, S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtractIf").finish_non_exhaustive()
    }
}
