//! A reader that keeps the leaf of the last item, for indexes that lie near each other.

use std::fmt;
use std::ops::{Range, RangeBounds};

use super::iter::Iter;
use super::{Part, Vector, leaf_items, positions};

/// A reader of a [`Vector`], or of a range of it, that keeps the leaf it read last; see [`Vector::focus`].
pub struct Focus<'a, T> {
    vector: &'a Vector<T>,
    /// The positions of the vector that can be read.
    range: Range<usize>,
    /// The leaf at hand, and the position of its first item.
    leaf: &'a [T],
    start: usize,
    /// Whether the leaf lies in reverse, as the first items of a vector do.
    is_reversed: bool,
}

impl<T> Vector<T> {
    /// Returns a reader for indexes that lie near each other. **O(1)**.
    ///
    /// Where [`get`](Self::get) walks from the root each time, the reader first looks into the leaf of the last item:
    /// **O(1)** there, **O(log n)** for another leaf. Plain iteration is faster still.
    ///
    /// ```
    /// let heights: perennial::Vector<i32> = (0..1000).map(|n| n % 7).collect();
    /// let mut focus = heights.focus();
    /// let is_peak = |n: &usize| focus.get(n - 1) < focus.get(*n) && focus.get(n + 1) < focus.get(*n);
    /// assert_eq!((1..999).filter(is_peak).count(), 142);
    /// ```
    pub fn focus(&self) -> Focus<'_, T> {
        Focus { vector: self, range: 0..self.len(), leaf: &[], start: 0, is_reversed: false }
    }
}

impl<'a, T> Focus<'a, T> {
    /// Counts the items that can be read. **O(1)**.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Tells whether there are none. **O(1)**.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Returns the item at `index`, `None` past the end. **O(1)** in the leaf of the last item, else **O(log n)**.
    ///
    /// # Panics
    /// Panics with the store's error if the item's node is not in memory and cannot be loaded.
    ///
    /// ```
    /// let vector = perennial::Vector::from([1, 2, 3]);
    /// let mut focus = vector.focus();
    /// assert_eq!((focus.get(2), focus.get(0), focus.get(3)), (Some(&3), Some(&1), None));
    /// ```
    #[inline]
    pub fn get(&mut self, index: usize) -> Option<&'a T> {
        if index >= self.range.len() {
            return None;
        }
        let at = self.range.start + index;
        if at.wrapping_sub(self.start) >= self.leaf.len() {
            self.enter(at)?;
        }
        let inner = at.wrapping_sub(self.start);
        let inner = if self.is_reversed { self.leaf.len() - 1 - inner } else { inner };
        self.leaf.get(inner)
    }

    /// Goes to the leaf of position `at`, which there is.
    #[cold]
    #[inline(never)]
    fn enter(&mut self, at: usize) -> Option<()> {
        let vector = self.vector;
        let (leaf, start, is_reversed) = match vector.locate(at)? {
            Part::Head(_) => (leaf_items(&vector.head, vector.head_len), 0, true),
            Part::Tree(index) => {
                let (leaf, inner) = vector.tree.leaf_at(index)?;
                (leaf, at - inner, false)
            }
            Part::Tail(index) => (leaf_items(&vector.tail, vector.tail_len), at - index, false),
        };
        (self.leaf, self.start, self.is_reversed) = (leaf, start, is_reversed);
        Some(())
    }

    /// Narrows the reader to the positions of `range`, counted from its first item. **O(1)**.
    ///
    /// # Panics
    /// Panics if the range starts after its end or ends past the reader's.
    ///
    /// ```
    /// let vector = perennial::Vector::from([1, 2, 3, 4]);
    /// let mut focus = vector.focus().narrow(1..3);
    /// assert_eq!((focus.len(), focus.get(0), focus.get(2)), (2, Some(&2), None));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn narrow(self, range: impl RangeBounds<usize>) -> Self {
        let Range { start, end } = positions(range, self.len());
        Self { range: self.range.start + start..self.range.start + end, ..self }
    }

    /// Splits the reader in two: of the items before `at`, and of the others. **O(1)**.
    ///
    /// # Panics
    /// Panics if `at > len`.
    ///
    /// ```
    /// let vector = perennial::Vector::from([1, 2, 3]);
    /// let (mut left, mut right) = vector.focus().split_at(1);
    /// assert_eq!((left.get(0), left.get(1), right.get(0)), (Some(&1), None, Some(&2)));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn split_at(self, at: usize) -> (Self, Self) {
        (self.clone().narrow(..at), self.narrow(at..))
    }

    /// Iterates over the items that can be read. **O(n)** for all.
    pub fn iter(&self) -> Iter<'a, T> {
        self.vector.range(self.range.clone())
    }
}

impl<T> Clone for Focus<'_, T> {
    fn clone(&self) -> Self {
        Self { range: self.range.clone(), ..*self }
    }
}

impl<'a, T> IntoIterator for Focus<'a, T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T: fmt::Debug> fmt::Debug for Focus<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
