//! Edits of whole ranges: taking out, putting in, repeating, filling.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::{Add, Range, RangeBounds};

use super::node::{Leaf, assert_room};
use super::{IntoIter, Vector, positions};

impl<T: Clone> Vector<T> {
    /// Takes out the items at the positions of `range`. **O(log n)**. If cloning panics, nothing has changed.
    ///
    /// # Panics
    /// When the range starts after its end or ends past the vector's, as slicing does.
    ///
    /// ```
    /// let mut vector: perennial::Vector<u32> = (0..1000).collect();
    /// assert_eq!(vector.remove_range(10..990).len(), 980);
    /// assert_eq!(vector.len(), 20);
    /// ```
    #[track_caller]
    pub fn remove_range(&mut self, range: impl RangeBounds<usize>) -> Self {
        self.splice(range, []).0
    }

    /// Takes out the items at the positions of `range`, which are gone at once. **O(log n)**, and **O(k)** to walk over
    /// them. See [`remove_range`](Self::remove_range).
    ///
    /// # Panics
    /// As [`remove_range`](Self::remove_range).
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2, 3]);
    /// assert!(vector.drain(..2).eq([1, 2]));
    /// assert_eq!(vector, [3]);
    /// ```
    #[track_caller]
    pub fn drain(&mut self, range: impl RangeBounds<usize>) -> IntoIter<T> {
        self.splice(range, [])
    }

    /// Puts items in the place of those at the positions of `range`, which come back; all at once. **O(log n + k)** for
    /// k new items. If cloning or the iterator panics, nothing has changed.
    ///
    /// # Panics
    /// As [`remove_range`](Self::remove_range).
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2, 5]);
    /// assert!(vector.splice(1..2, [3, 4]).eq([2]));
    /// assert_eq!(vector, [1, 3, 4, 5]);
    /// ```
    #[track_caller]
    pub fn splice(
        &mut self,
        range: impl RangeBounds<usize>,
        items: impl IntoIterator<Item = T>,
    ) -> IntoIter<T> {
        let range = positions(range, self.len());
        let mut new: Self = items.into_iter().collect();
        if range.is_empty() && new.is_empty() {
            return IntoIter(new);
        }
        assert_room(self.len() - range.len(), new.len());
        if !self.prepare_gap(&range, new.len()) {
            // Moving children between branches of different openings may load them, and fail halfway.
            let mut copy = self.clone();
            let old = copy.replace_prepared(range, &mut new);
            *self = copy;
            return IntoIter(old);
        }
        IntoIter(self.replace_prepared(range, &mut new))
    }

    /// Puts `new` in the place of the items at `range`, which come back. Fails nowhere after `prepare_gap`.
    fn replace_prepared(&mut self, range: Range<usize>, new: &mut Self) -> Self {
        let mut right = self.split_off(range.end);
        let old = self.split_off(range.start);
        self.append_prepared(new);
        self.append_prepared(&mut right);
        old
    }

    /// Takes out, as it is iterated, the items at the positions of `range` for which `goes` answers true. **O(n)**, and
    /// **O(log n)** for each one that goes; what stays is not copied. Those not iterated over stay.
    ///
    /// # Panics
    /// As [`remove_range`](Self::remove_range).
    ///
    /// ```
    /// let mut vector: perennial::Vector<u32> = (0..10).collect();
    /// assert!(vector.extract_if(4.., |item| item % 3 == 0).eq([6, 9]));
    /// assert_eq!(vector.len(), 8);
    /// ```
    #[track_caller]
    pub fn extract_if<F: FnMut(&T) -> bool>(
        &mut self,
        range: impl RangeBounds<usize>,
        goes: F,
    ) -> ExtractIf<'_, T, F> {
        let range = positions(range, self.len());
        ExtractIf { vector: self, from: range.start, to: range.end, goes }
    }

    /// Cuts the vector in two that share nodes with it. **O(log n)**.
    ///
    /// # Panics
    /// When `at` is past the end by more than none.
    ///
    /// ```
    /// let (left, right) = perennial::Vector::from([1, 2, 3]).split_at(1);
    /// assert!(left == [1] && right == [2, 3]);
    /// ```
    #[track_caller]
    pub fn split_at(&self, at: usize) -> (Self, Self) {
        let mut left = self.clone();
        let right = left.split_off(at);
        (left, right)
    }

    /// Takes the item at `index` out and puts the last one in its place. **O(log n)**, but copies less than
    /// [`remove`](Self::remove).
    ///
    /// # Panics
    /// When `index` is past the end; then nothing is copied.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2, 3]);
    /// assert_eq!(vector.swap_remove(0), 1);
    /// assert_eq!(vector, [3, 2]);
    /// ```
    #[track_caller]
    pub fn swap_remove(&mut self, index: usize) -> T {
        let len = self.len();
        assert!(index < len, "removal at {index} in a vector of {len} items");
        self.swap(index, len - 1);
        self.pop_back().expect("the vector is not empty")
    }

    /// Takes the item at `index` out and puts the last one in its place, as `VecDeque` names it; `None` past the end, and
    /// then nothing is copied. **O(log n)**.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2, 3]);
    /// assert_eq!((vector.swap_remove_back(0), vector.swap_remove_back(5)), (Some(1), None));
    /// assert_eq!(vector, [3, 2]);
    /// ```
    pub fn swap_remove_back(&mut self, index: usize) -> Option<T> {
        (index < self.len()).then(|| self.swap_remove(index))
    }

    /// Takes the item at `index` out and puts the first one in its place; `None` past the end, and then nothing is copied.
    /// **O(log n)**.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2, 3]);
    /// assert_eq!(vector.swap_remove_front(2), Some(3));
    /// assert_eq!(vector, [2, 1]);
    /// ```
    pub fn swap_remove_front(&mut self, index: usize) -> Option<T> {
        if index >= self.len() {
            return None;
        }
        self.swap(0, index);
        self.pop_front()
    }

    /// Takes the last item out if `goes` answers true for it, as `VecDeque` names it. See [`pop_if`](Self::pop_if).
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2]);
    /// assert_eq!((vector.pop_back_if(|last| *last > 1), vector.len()), (Some(2), 1));
    /// ```
    pub fn pop_back_if(&mut self, goes: impl FnOnce(&T) -> bool) -> Option<T> {
        self.pop_if(goes)
    }

    /// Takes the first item out if `goes` returns true for it. **O(1)** amortised. If not, nothing is copied.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2]);
    /// assert_eq!((vector.pop_front_if(|first| *first == 1), vector.pop_front_if(|_| false)), (Some(1), None));
    /// ```
    pub fn pop_front_if(&mut self, goes: impl FnOnce(&T) -> bool) -> Option<T> {
        if goes(self.first()?) { self.pop_front() } else { None }
    }

    /// Takes the last item out if `goes` answers true for it. **O(1)** amortised.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2]);
    /// assert_eq!((vector.pop_if(|last| *last > 1), vector.pop_if(|last| *last > 1)), (Some(2), None));
    /// ```
    pub fn pop_if(&mut self, goes: impl FnOnce(&T) -> bool) -> Option<T> {
        if goes(self.last()?) { self.pop_back() } else { None }
    }

    /// Appends clones of the items of a slice. **O(k)** for k of them.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1]);
    /// vector.extend_from_slice(&[2, 3]);
    /// assert_eq!(vector, [1, 2, 3]);
    /// ```
    pub fn extend_from_slice(&mut self, items: &[T]) {
        self.extend(items);
    }

    /// Appends clones of the items at the positions of `range`. **O(log n)**: long runs share their nodes, and at most as
    /// many items are cloned as are appended.
    ///
    /// # Panics
    /// As [`remove_range`](Self::remove_range).
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2, 3]);
    /// vector.extend_from_within(1..);
    /// assert_eq!(vector, [1, 2, 3, 2, 3]);
    /// ```
    #[track_caller]
    pub fn extend_from_within(&mut self, range: impl RangeBounds<usize>) {
        let range = positions(range, self.len());
        if range.len() > 5 * Leaf::<T>::CAPACITY {
            // A cut clones at most a leaf at either end, and so do the seam and the last leaf of this vector.
            self.append(&mut self.slice(range));
        } else {
            let items: Vec<T> = self.range(range).cloned().collect();
            self.extend(items);
        }
    }

    /// Makes the length `len`, by dropping items from the end or appending what `make` makes. **O(change)**.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1]);
    /// vector.resize_with(3, Default::default);
    /// assert_eq!(vector, [1, 0, 0]);
    /// ```
    pub fn resize_with(&mut self, len: usize, make: impl FnMut() -> T) {
        match len.checked_sub(self.len()) {
            None => self.truncate(len),
            Some(more) => self.extend(std::iter::repeat_with(make).take(more)),
        }
    }

    /// Makes every item a clone of `item`. **O(n)**.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2]);
    /// vector.fill(7);
    /// assert_eq!(vector, [7, 7]);
    /// ```
    pub fn fill(&mut self, item: T) {
        *self = std::iter::repeat_n(item, self.len()).collect();
    }

    /// Makes every item what `make` makes. **O(n)**. If `make` panics, nothing has changed.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2]);
    /// vector.fill_with(Default::default);
    /// assert_eq!(vector, [0, 0]);
    /// ```
    pub fn fill_with(&mut self, make: impl FnMut() -> T) {
        *self = std::iter::repeat_with(make).take(self.len()).collect();
    }

    /// Keeps the items for which `keep` returns true, which may change them. **O(n)**. Unlike
    /// [`retain`](Self::retain), it makes all nodes its own.
    ///
    /// If `keep` panics, nothing is removed.
    ///
    /// ```
    /// let mut vector: perennial::Vector<u32> = (0..4).collect();
    /// vector.retain_mut(|item| {
    ///     *item += 1;
    ///     *item % 2 == 0
    /// });
    /// assert_eq!(vector, [2, 4]);
    /// ```
    pub fn retain_mut(&mut self, mut keep: impl FnMut(&mut T) -> bool) {
        let kept: Vec<bool> = self.iter_mut().map(&mut keep).collect();
        let mut kept = kept.into_iter();
        self.retain(|_| kept.next().unwrap_or(true));
    }
}

/// Takes items out of a [`Vector`]; see [`Vector::extract_if`].
pub struct ExtractIf<'a, T, F> {
    vector: &'a mut Vector<T>,
    from: usize,
    to: usize,
    goes: F,
}

impl<T: Clone, F: FnMut(&T) -> bool> Iterator for ExtractIf<'_, T, F> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let rest = self.vector.range(self.from..self.to);
        self.from += rest.take_while(|item| !(self.goes)(item)).count();
        if self.from == self.to {
            return None;
        }
        let item = self.vector.remove(self.from);
        self.to -= 1;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.to - self.from))
    }
}

impl<T: Clone, F: FnMut(&T) -> bool> FusedIterator for ExtractIf<'_, T, F> {}

impl<T: fmt::Debug, F> fmt::Debug for ExtractIf<'_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peek = if self.from < self.to { self.vector.get(self.from) } else { None };
        f.debug_struct("ExtractIf").field("peek", &peek).finish_non_exhaustive()
    }
}

impl<T: Clone> Add for Vector<T> {
    type Output = Self;

    /// The items of both, those of `other` behind. **O(log n)**.
    ///
    /// ```
    /// use perennial::Vector;
    /// assert_eq!(Vector::from([1, 2]) + Vector::from([3]), [1, 2, 3]);
    /// ```
    fn add(mut self, mut other: Self) -> Self {
        self.append(&mut other);
        self
    }
}

impl<T: Clone> Add for &Vector<T> {
    type Output = Vector<T>;

    /// The items of both, those of `other` behind, in nodes that they share. **O(log n)**.
    fn add(self, other: Self) -> Vector<T> {
        self.clone() + other.clone()
    }
}
