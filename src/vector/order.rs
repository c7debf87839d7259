//! Order: sorting, searching, runs of equal items, turning round.

use std::cmp::Ordering;
use std::mem;

use super::Vector;

impl<T> Vector<T> {
    /// Finds an item in a vector that is sorted; its position, or the one to insert it at. **O(log² n)**: about as many
    /// comparisons as in a slice, each after a walk from the root until they come down to one leaf.
    ///
    /// Of several equal items any may be found, as in std.
    ///
    /// # Errors
    /// The position at which the item belongs.
    ///
    /// ```
    /// let vector: perennial::Vector<u32> = (0..1000).map(|n| n * 2).collect();
    /// assert_eq!((vector.binary_search(&10), vector.binary_search(&11)), (Ok(5), Err(6)));
    /// ```
    pub fn binary_search(&self, item: &T) -> Result<usize, usize>
    where
        T: Ord,
    {
        self.binary_search_by(|other| other.cmp(item))
    }

    /// Finds an item in a vector that is sorted by a key. See [`binary_search`](Self::binary_search).
    ///
    /// # Errors
    /// The position at which the item belongs.
    ///
    /// ```
    /// let vector = perennial::Vector::from([("ada", 1), ("bob", 3)]);
    /// assert_eq!(vector.binary_search_by_key(&3, |&(_, number)| number), Ok(1));
    /// ```
    pub fn binary_search_by_key<B: Ord>(
        &self,
        key: &B,
        mut key_of: impl FnMut(&T) -> B,
    ) -> Result<usize, usize> {
        self.binary_search_by(|other| key_of(other).cmp(key))
    }

    /// Finds an item of which `order` answers how it compares with the one sought. See
    /// [`binary_search`](Self::binary_search).
    ///
    /// # Errors
    /// The position at which the item belongs.
    ///
    /// ```
    /// assert_eq!(perennial::Vector::from([1, 4, 9]).binary_search_by(|n| n.cmp(&4)), Ok(1));
    /// ```
    pub fn binary_search_by(&self, mut order: impl FnMut(&T) -> Ordering) -> Result<usize, usize> {
        let mut found = false;
        let at = self.partition_point(|other| {
            let order = order(other);
            found |= order.is_eq();
            order.is_lt()
        });
        // What was equal lies behind the partition, and was looked at: it is the first behind it.
        if found { Ok(at) } else { Err(at) }
    }

    /// Counts the items at the beginning for which `is_low` answers true; it must answer false for all behind them.
    /// **O(log² n)**.
    ///
    /// ```
    /// let vector: perennial::Vector<u32> = (0..1000).collect();
    /// assert_eq!(vector.partition_point(|&n| n < 300), 300);
    /// ```
    pub fn partition_point(&self, mut is_low: impl FnMut(&T) -> bool) -> usize {
        let (mut low, mut high, mut focus) = (0, self.len(), self.focus());
        while low < high {
            let middle = low + (high - low) / 2;
            if focus.get(middle).is_some_and(&mut is_low) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Tells whether the items ascend. **O(n)**.
    ///
    /// ```
    /// assert!(perennial::Vector::from([1, 2, 2]).is_sorted());
    /// ```
    pub fn is_sorted(&self) -> bool
    where
        T: PartialOrd,
    {
        self.iter().is_sorted()
    }

    /// Tells whether `ordered` returns true for each item and the next. **O(n)**.
    ///
    /// ```
    /// assert!(perennial::Vector::from([3, 2, 1]).is_sorted_by(|one, two| one > two));
    /// ```
    pub fn is_sorted_by<'a>(&'a self, mut ordered: impl FnMut(&'a T, &'a T) -> bool) -> bool {
        self.iter().is_sorted_by(|one, two| ordered(one, two))
    }

    /// Tells whether the keys of the items ascend. **O(n)**.
    ///
    /// ```
    /// assert!(perennial::Vector::from(["a", "bb", "ccc"]).is_sorted_by_key(|text| text.len()));
    /// ```
    pub fn is_sorted_by_key<'a, B: PartialOrd>(&'a self, key_of: impl FnMut(&'a T) -> B) -> bool {
        self.iter().map(key_of).is_sorted()
    }

    /// Tells whether the vector begins with these items. **O(k)** for k of them.
    ///
    /// ```
    /// assert!(perennial::Vector::from([1, 2, 3]).starts_with(&[1, 2]));
    /// ```
    pub fn starts_with(&self, items: &[T]) -> bool
    where
        T: PartialEq,
    {
        items.len() <= self.len() && self.range(..items.len()).eq(items)
    }

    /// Tells whether the vector ends with these items. **O(k)** for k of them.
    ///
    /// ```
    /// assert!(perennial::Vector::from([1, 2, 3]).ends_with(&[2, 3]));
    /// ```
    pub fn ends_with(&self, items: &[T]) -> bool
    where
        T: PartialEq,
    {
        self.len().checked_sub(items.len()).is_some_and(|from| self.range(from..).eq(items))
    }
}

/// The items of a vector, out of it to be sorted; they go back also when comparing panics.
struct Taken<'a, T> {
    vector: &'a mut Vector<T>,
    items: Vec<T>,
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        *self.vector = mem::take(&mut self.items).into();
    }
}

impl<T: Clone> Vector<T> {
    /// Sorts the items; equal ones keep their order. **O(n log n)**, and **O(n)** if they are sorted already: then
    /// nothing is copied. Else all items move to new nodes, or are cloned to them if another version shares theirs.
    ///
    /// If comparing panics, all items are there, in an order that nobody promises.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([3, 1, 2]);
    /// vector.sort();
    /// assert_eq!(vector, [1, 2, 3]);
    /// ```
    pub fn sort(&mut self)
    where
        T: Ord,
    {
        self.sort_by(T::cmp);
    }

    /// Sorts the items by a comparison. See [`sort`](Self::sort).
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1.5, 0.5]);
    /// vector.sort_by(f64::total_cmp);
    /// assert_eq!(vector, [0.5, 1.5]);
    /// ```
    pub fn sort_by(&mut self, order: impl FnMut(&T, &T) -> Ordering) {
        self.sort_with(order, |items, order| items.sort_by(order));
    }

    /// Sorts the items by a key. See [`sort`](Self::sort).
    ///
    /// ```
    /// let mut vector = perennial::Vector::from(["ccc", "a", "bb"]);
    /// vector.sort_by_key(|text| text.len());
    /// assert_eq!(vector, ["a", "bb", "ccc"]);
    /// ```
    pub fn sort_by_key<B: Ord>(&mut self, mut key_of: impl FnMut(&T) -> B) {
        self.sort_by(|one, two| key_of(one).cmp(&key_of(two)));
    }

    /// Sorts the items by a key, which is made at most twice for each of them. See [`sort`](Self::sort).
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([10, 9, 100]);
    /// vector.sort_by_cached_key(|number| number.to_string());
    /// assert_eq!(vector, [10, 100, 9]);
    /// ```
    pub fn sort_by_cached_key<B: Ord>(&mut self, mut key_of: impl FnMut(&T) -> B) {
        if !self.iter().is_sorted_by_key(&mut key_of) {
            self.taken().items.sort_by_cached_key(key_of);
        }
    }

    /// Sorts the items, equal ones in any order; faster than [`sort`](Self::sort), and otherwise like it.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([3, 1, 2]);
    /// vector.sort_unstable();
    /// assert_eq!(vector, [1, 2, 3]);
    /// ```
    pub fn sort_unstable(&mut self)
    where
        T: Ord,
    {
        self.sort_unstable_by(T::cmp);
    }

    /// Sorts the items by a comparison, equal ones in any order. See [`sort`](Self::sort).
    pub fn sort_unstable_by(&mut self, order: impl FnMut(&T, &T) -> Ordering) {
        self.sort_with(order, |items, order| items.sort_unstable_by(order));
    }

    /// Sorts the items by a key, equal ones in any order. See [`sort`](Self::sort).
    pub fn sort_unstable_by_key<B: Ord>(&mut self, mut key_of: impl FnMut(&T) -> B) {
        self.sort_unstable_by(|one, two| key_of(one).cmp(&key_of(two)));
    }

    /// Inserts an item into a vector that is sorted, behind those that equal it; its position. **O(log² n)** to find the
    /// place, as [`binary_search`](Self::binary_search), and **O(log n)** to insert.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 3]);
    /// assert_eq!((vector.insert_sorted(2), vector.insert_sorted(9)), (1, 3));
    /// assert_eq!(vector, [1, 2, 3, 9]);
    /// ```
    pub fn insert_sorted(&mut self, item: T) -> usize
    where
        T: Ord,
    {
        self.insert_sorted_by(item, T::cmp)
    }

    /// Inserts an item into a vector that is sorted by a comparison. See [`insert_sorted`](Self::insert_sorted).
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([9, 4, 1]);
    /// assert_eq!(vector.insert_sorted_by(5, |one, two| two.cmp(one)), 1);
    /// assert_eq!(vector, [9, 5, 4, 1]);
    /// ```
    pub fn insert_sorted_by(&mut self, item: T, mut order: impl FnMut(&T, &T) -> Ordering) -> usize {
        let at = self.partition_point(|other| order(other, &item).is_le());
        self.insert(at, item);
        at
    }

    /// Inserts an item into a vector that is sorted by a key. See [`insert_sorted`](Self::insert_sorted).
    ///
    /// ```
    /// let mut vector = perennial::Vector::from(["a", "ccc"]);
    /// assert_eq!(vector.insert_sorted_by_key("bb", |text| text.len()), 1);
    /// ```
    pub fn insert_sorted_by_key<B: Ord>(&mut self, item: T, mut key_of: impl FnMut(&T) -> B) -> usize {
        let key = key_of(&item);
        let at = self.partition_point(|other| key_of(other) <= key);
        self.insert(at, item);
        at
    }

    fn sort_with<F: FnMut(&T, &T) -> Ordering>(&mut self, mut order: F, sort: impl FnOnce(&mut [T], F)) {
        if !self.iter().is_sorted_by(|one, two| order(one, two).is_le()) {
            sort(&mut self.taken().items, order);
        }
    }

    /// Every node is made ours first, which may clone and panic; taking the items out then runs none of their code.
    fn taken(&mut self) -> Taken<'_, T> {
        self.iter_mut().for_each(drop);
        let items = mem::take(self).into_iter().collect();
        Taken { vector: self, items }
    }

    /// Removes all but the first of items in a row that are equal. **O(n)**. Nothing is copied if nothing goes.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 1, 2, 1]);
    /// vector.dedup();
    /// assert_eq!(vector, [1, 2, 1]);
    /// ```
    pub fn dedup(&mut self)
    where
        T: PartialEq,
    {
        self.dedup_by(|one, two| one == two);
    }

    /// Removes all but the first of items in a row that have the same key. See [`dedup`](Self::dedup).
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([10, 11, 25]);
    /// vector.dedup_by_key(|number| *number / 10);
    /// assert_eq!(vector, [10, 25]);
    /// ```
    pub fn dedup_by_key<B: PartialEq>(&mut self, mut key_of: impl FnMut(&T) -> B) {
        self.dedup_by(|one, two| key_of(one) == key_of(two));
    }

    /// Removes each item of which `same` answers true for it and the last one that stays. See [`dedup`](Self::dedup).
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2, 3, 10, 11]);
    /// vector.dedup_by(|item, kept| *item - *kept < 3);
    /// assert_eq!(vector, [1, 10]);
    /// ```
    pub fn dedup_by(&mut self, mut same: impl FnMut(&T, &T) -> bool) {
        let mut last: Option<&T> = None;
        let gone = self.runs_refused(|item| {
            let stays = last.is_none_or(|last| !same(item, last));
            last = if stays { Some(item) } else { last };
            stays
        });
        self.remove_runs(&gone);
    }

    /// Reverses the order of the items. **O(n)**.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2, 3]);
    /// vector.reverse();
    /// assert_eq!(vector, [3, 2, 1]);
    /// ```
    pub fn reverse(&mut self) {
        let mut items = self.iter_mut();
        while let (Some(one), Some(two)) = (items.next(), items.next_back()) {
            mem::swap(one, two);
        }
    }

    /// Moves the first `count` items to the end. **O(log n)**. If cloning panics, nothing has changed.
    ///
    /// # Panics
    /// When there are fewer than `count`.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2, 3]);
    /// vector.rotate_left(1);
    /// assert_eq!(vector, [2, 3, 1]);
    /// ```
    #[track_caller]
    pub fn rotate_left(&mut self, count: usize) {
        let len = self.len();
        assert!(count <= len, "rotation by {count} of a vector of {len} items");
        if count > 0 && count < len {
            if self.prepare_rotation(count) {
                return self.rotate_prepared(count);
            }
            // Moving children between branches of different openings may load them, and fail halfway.
            let mut rotated = self.clone();
            rotated.rotate_prepared(count);
            *self = rotated;
        }
    }

    /// Rotates; fails nowhere after `prepare_rotation`.
    fn rotate_prepared(&mut self, count: usize) {
        let mut right = self.split_off(count);
        right.append_prepared(self);
        *self = right;
    }

    /// Moves the last `count` items to the beginning. See [`rotate_left`](Self::rotate_left).
    ///
    /// # Panics
    /// When there are fewer than `count`.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2, 3]);
    /// vector.rotate_right(1);
    /// assert_eq!(vector, [3, 1, 2]);
    /// ```
    #[track_caller]
    pub fn rotate_right(&mut self, count: usize) {
        let len = self.len();
        assert!(count <= len, "rotation by {count} of a vector of {len} items");
        self.rotate_left(len - count);
    }
}
