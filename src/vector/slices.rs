//! Parts of a vector as slices have them: first and rest, prefix and suffix, windows and runs; and repetition.
//!
//! Items lie in leaves, so a part is either a [`Vector`] that shares nodes, or an [`Iter`] over a range.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Range;

use super::Vector;
use super::iter::Iter;
use super::node::assert_room;

impl<T> Vector<T> {
    /// Clones the items into a `Vec`, slice by slice. **O(n)**.
    ///
    /// ```
    /// assert_eq!(perennial::Vector::from([1, 2]).to_vec(), vec![1, 2]);
    /// ```
    pub fn to_vec(&self) -> Vec<T>
    where
        T: Clone,
    {
        let mut items = Vec::with_capacity(self.len());
        self.chunks().for_each(|chunk| items.extend_from_slice(chunk));
        items
    }

    /// Finds the first item that equals `item`; its position. **O(n)**.
    ///
    /// ```
    /// assert_eq!(perennial::Vector::from(["a", "b"]).index_of(&"b"), Some(1));
    /// ```
    pub fn index_of(&self, item: &T) -> Option<usize>
    where
        T: PartialEq,
    {
        self.iter().position(|other| other == item)
    }

    /// Iterates over all runs of `size` items that follow each other, which overlap; each is an iterator. **O(log n + size)**
    /// for each.
    ///
    /// # Panics
    /// Panics if `size` is 0.
    ///
    /// ```
    /// let vector = perennial::Vector::from([1, 5, 2, 8]);
    /// assert_eq!(vector.windows(2).map(|pair| pair.sum()).collect::<Vec<i32>>(), [6, 7, 10]);
    /// ```
    #[track_caller]
    pub fn windows(&self, size: usize) -> Windows<'_, T> {
        assert!(size > 0, "window size must be non-zero");
        Windows { vector: self, size, left: 0..(self.len() + 1).saturating_sub(size) }
    }

    /// Iterates over runs of `size` items, which do not overlap; the last one may be shorter. Each is an iterator.
    /// **O(log n + size)** for each. The slices that items lie in are those of [`chunks`](Self::chunks).
    ///
    /// # Panics
    /// Panics if `size` is 0.
    ///
    /// ```
    /// let vector = perennial::Vector::from([1, 2, 3, 4, 5]);
    /// assert_eq!(vector.chunks_of(2).map(|run| run.sum()).collect::<Vec<i32>>(), [3, 7, 5]);
    /// ```
    #[track_caller]
    pub fn chunks_of(&self, size: usize) -> ChunksOf<'_, T> {
        assert!(size > 0, "chunk size must be non-zero");
        ChunksOf { vector: self, size, left: 0..self.len() }
    }

    /// Iterates over the longest runs in which `same` returns true for each two neighbours; each is an iterator.
    /// **O(log n + k)** for a run of k items.
    ///
    /// ```
    /// let vector = perennial::Vector::from([1, 1, 2, 3, 3, 3]);
    /// assert_eq!(vector.chunk_by(|one, two| one == two).map(|run| run.len()).collect::<Vec<_>>(), [2, 1, 3]);
    /// ```
    pub fn chunk_by<F: FnMut(&T, &T) -> bool>(&self, same: F) -> ChunkBy<'_, T, F> {
        ChunkBy { vector: self, left: 0..self.len(), same }
    }
}

impl<T: Clone> Vector<T> {
    /// Returns the first item, and the others as a vector that shares nodes with this one. **O(log n)**.
    ///
    /// ```
    /// let vector = perennial::Vector::from([1, 2, 3]);
    /// let (first, rest) = vector.split_first().unwrap();
    /// assert!(*first == 1 && rest == [2, 3]);
    /// ```
    pub fn split_first(&self) -> Option<(&T, Self)> {
        Some((self.first()?, self.slice(1..)))
    }

    /// Returns the last item, and the others as a vector that shares nodes with this one. **O(log n)**.
    ///
    /// ```
    /// let vector = perennial::Vector::from([1, 2, 3]);
    /// let (last, rest) = vector.split_last().unwrap();
    /// assert!(*last == 3 && rest == [1, 2]);
    /// ```
    pub fn split_last(&self) -> Option<(&T, Self)> {
        Some((self.last()?, self.slice(..self.len() - 1)))
    }

    /// Returns the items behind `prefix` as a vector that shares nodes with this one, if it begins with that.
    /// **O(k + log n)** for k items of the prefix.
    ///
    /// ```
    /// let vector = perennial::Vector::from([1, 2, 3]);
    /// assert_eq!(vector.strip_prefix(&[1, 2]), Some([3].into()));
    /// assert_eq!(vector.strip_prefix(&[2]), None);
    /// ```
    pub fn strip_prefix(&self, prefix: &[T]) -> Option<Self>
    where
        T: PartialEq,
    {
        self.starts_with(prefix).then(|| self.slice(prefix.len()..))
    }

    /// Returns the items before `suffix` as a vector that shares nodes with this one, if it ends with that.
    /// **O(k + log n)** for k items of the suffix.
    ///
    /// ```
    /// let vector = perennial::Vector::from([1, 2, 3]);
    /// assert_eq!(vector.strip_suffix(&[2, 3]), Some([1].into()));
    /// ```
    pub fn strip_suffix(&self, suffix: &[T]) -> Option<Self>
    where
        T: PartialEq,
    {
        self.ends_with(suffix).then(|| self.slice(..self.len() - suffix.len()))
    }

    /// Repeats the items `count` times, in nodes that the repetitions share. **O(log n · log count)**: the vector is doubled
    /// so often as it must be, and each seam clones at most a few leaves.
    ///
    /// # Panics
    /// Panics if that makes too many items.
    ///
    /// ```
    /// assert_eq!(perennial::Vector::from([1, 2]).repeat(3), [1, 2, 1, 2, 1, 2]);
    /// assert_eq!(perennial::Vector::from([0u64; 1000]).repeat(1_000_000).len(), 1_000_000_000);
    /// ```
    #[track_caller]
    pub fn repeat(&self, mut count: usize) -> Self {
        assert_room(0, self.len().saturating_mul(count));
        let (mut whole, mut power) = (Self::new(), self.clone());
        while count > 0 {
            if count % 2 == 1 {
                whole.append(&mut power.clone());
            }
            count /= 2;
            if count > 0 {
                let mut again = power.clone();
                power.append(&mut again);
            }
        }
        whole
    }
}

/// Iterates over overlapping runs of a [`Vector`]; see [`Vector::windows`].
pub struct Windows<'a, T> {
    vector: &'a Vector<T>,
    size: usize,
    /// Positions at which the runs to come begin.
    left: Range<usize>,
}

impl<'a, T> Windows<'a, T> {
    fn at(&self, start: usize) -> Iter<'a, T> {
        self.vector.range(start..start + self.size)
    }
}

impl<'a, T> Iterator for Windows<'a, T> {
    type Item = Iter<'a, T>;

    fn next(&mut self) -> Option<Iter<'a, T>> {
        self.left.next().map(|start| self.at(start))
    }

    fn nth(&mut self, n: usize) -> Option<Iter<'a, T>> {
        self.left.nth(n).map(|start| self.at(start))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }
}

impl<T> DoubleEndedIterator for Windows<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.left.next_back().map(|start| self.at(start))
    }
}

/// Iterates over runs of a [`Vector`] of one length; see [`Vector::chunks_of`].
pub struct ChunksOf<'a, T> {
    vector: &'a Vector<T>,
    size: usize,
    left: Range<usize>,
}

impl<'a, T> Iterator for ChunksOf<'a, T> {
    type Item = Iter<'a, T>;

    fn next(&mut self) -> Option<Iter<'a, T>> {
        if self.left.is_empty() {
            return None;
        }
        let end = self.left.end.min(self.left.start.saturating_add(self.size));
        let run = self.left.start..end;
        self.left.start = end;
        Some(self.vector.range(run))
    }

    fn nth(&mut self, n: usize) -> Option<Iter<'a, T>> {
        let start = self.left.start.saturating_add(n.saturating_mul(self.size));
        self.left.start = start.min(self.left.end);
        self.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = self.left.len().div_ceil(self.size);
        (count, Some(count))
    }
}

impl<T> DoubleEndedIterator for ChunksOf<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.left.is_empty() {
            return None;
        }
        // The last run may be shorter; those before it are whole.
        let len = match self.left.len() % self.size {
            0 => self.size,
            rest => rest,
        };
        let run = self.left.end - len..self.left.end;
        self.left.end = run.start;
        Some(self.vector.range(run))
    }
}

/// Iterates over runs of a [`Vector`] whose neighbours belong together; see [`Vector::chunk_by`].
pub struct ChunkBy<'a, T, F> {
    vector: &'a Vector<T>,
    left: Range<usize>,
    same: F,
}

impl<'a, T, F: FnMut(&T, &T) -> bool> Iterator for ChunkBy<'a, T, F> {
    type Item = Iter<'a, T>;

    fn next(&mut self) -> Option<Iter<'a, T>> {
        let mut items = self.vector.range(self.left.clone());
        let mut last = items.next()?;
        let same = items.take_while(|item| (self.same)(std::mem::replace(&mut last, item), item)).count();
        let run = self.left.start..self.left.start + 1 + same;
        self.left.start = run.end;
        Some(self.vector.range(run))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(!self.left.is_empty()), Some(self.left.len()))
    }
}

impl<T, F: FnMut(&T, &T) -> bool> DoubleEndedIterator for ChunkBy<'_, T, F> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let mut items = self.vector.range(self.left.clone()).rev();
        let mut first = items.next()?;
        let same = items.take_while(|item| (self.same)(item, std::mem::replace(&mut first, item))).count();
        let run = self.left.end - 1 - same..self.left.end;
        self.left.end = run.start;
        Some(self.vector.range(run))
    }
}

impl<T> ExactSizeIterator for Windows<'_, T> {}
impl<T> ExactSizeIterator for ChunksOf<'_, T> {}
impl<T> FusedIterator for Windows<'_, T> {}
impl<T> FusedIterator for ChunksOf<'_, T> {}
impl<T, F: FnMut(&T, &T) -> bool> FusedIterator for ChunkBy<'_, T, F> {}

impl<T> Clone for Windows<'_, T> {
    fn clone(&self) -> Self {
        Self { left: self.left.clone(), ..*self }
    }
}

impl<T> Clone for ChunksOf<'_, T> {
    fn clone(&self) -> Self {
        Self { left: self.left.clone(), ..*self }
    }
}

impl<T, F: Clone> Clone for ChunkBy<'_, T, F> {
    fn clone(&self) -> Self {
        Self { vector: self.vector, left: self.left.clone(), same: self.same.clone() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Windows<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone().map(Items)).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for ChunksOf<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone().map(Items)).finish()
    }
}

impl<T: fmt::Debug, F> fmt::Debug for ChunkBy<'_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChunkBy").field(&Items(self.vector.range(self.left.clone()))).finish()
    }
}

/// A run, shown as a list of its items.
struct Items<'a, T>(Iter<'a, T>);

impl<T: fmt::Debug> fmt::Debug for Items<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.clone()).finish()
    }
}
