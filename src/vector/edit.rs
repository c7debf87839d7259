//! Edits anywhere: set, insert, remove, split, append, and what is made of them.

use std::mem;
use std::ops::{Range, RangeBounds};

use super::ends::leaf_mut;
use super::node::{Leaf, assert_room};
use super::tree::{End, Tree};
use super::{Part, Vector, leaf_place, positions};
use crate::node::{Node, OwnedLeaf, Root};

impl<T: Clone> Vector<T> {
    /// Returns the item at `index` to be changed, `None` past the end (and then nothing is copied). **O(log n)**.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2]);
    /// *vector.get_mut(0).unwrap() += 10;
    /// assert_eq!(vector, [11, 2]);
    /// ```
    #[inline]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let (leaf, index) = match self.locate(index)? {
            Part::Tree(index) => self.tree.leaf_mut(index)?,
            Part::Head(index) => (leaf_mut(&mut self.head, self.head_len)?, index),
            Part::Tail(index) => (leaf_mut(&mut self.tail, self.tail_len)?, index),
        };
        Some(leaf.item_mut(index, false, Leaf::<T>::MASK_SHIFT))
    }

    /// Returns the first item to be changed. **O(1)** unless only the tree has items, then O(log n).
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2]);
    /// *vector.first_mut().unwrap() = 5;
    /// assert_eq!(vector, [5, 2]);
    /// ```
    pub fn first_mut(&mut self) -> Option<&mut T> {
        self.get_mut(0)
    }

    /// Returns the last item to be changed. **O(1)** unless only the tree has items, then O(log n).
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2]);
    /// *vector.last_mut().unwrap() = 5;
    /// assert_eq!(vector, [1, 5]);
    /// ```
    pub fn last_mut(&mut self) -> Option<&mut T> {
        self.get_mut(self.len().checked_sub(1)?)
    }

    /// Returns the first item to be changed, as `VecDeque` names it.
    ///
    /// ```
    /// assert_eq!(perennial::Vector::from([1, 2]).front_mut(), Some(&mut 1));
    /// ```
    pub fn front_mut(&mut self) -> Option<&mut T> {
        self.first_mut()
    }

    /// Returns the last item to be changed, as `VecDeque` names it.
    ///
    /// ```
    /// assert_eq!(perennial::Vector::from([1, 2]).back_mut(), Some(&mut 2));
    /// ```
    pub fn back_mut(&mut self) -> Option<&mut T> {
        self.last_mut()
    }

    /// Replaces the item at `index` and returns the old one. **O(log n)**.
    ///
    /// # Panics
    /// When `index` is past the end; then nothing is copied.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2]);
    /// assert_eq!(vector.set(0, 5), 1);
    /// ```
    #[track_caller]
    pub fn set(&mut self, index: usize, item: T) -> T {
        let len = self.len();
        match self.get_mut(index) {
            Some(place) => mem::replace(place, item),
            None => panic!("index {index} is past the end of a vector of {len} items"),
        }
    }

    /// Swaps two items. **O(log n)**.
    ///
    /// # Panics
    /// When an index is past the end; then nothing is copied.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2, 3]);
    /// vector.swap(0, 2);
    /// assert_eq!(vector, [3, 2, 1]);
    /// ```
    #[track_caller]
    pub fn swap(&mut self, a: usize, b: usize) {
        let len = self.len();
        assert!(a < len && b < len, "swap of {a} and {b} in a vector of {len} items");
        let mut between = self.range_mut(a.min(b)..=a.max(b));
        if let (Some(one), Some(two)) = (between.next(), between.next_back()) {
            mem::swap(one, two);
        }
    }

    /// Inserts an item before the one at `index`, or at the end. **O(log n)**.
    ///
    /// # Panics
    /// When `index` is past the end by more than none; then nothing is copied.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 3]);
    /// vector.insert(1, 2);
    /// assert_eq!(vector, [1, 2, 3]);
    /// ```
    #[track_caller]
    pub fn insert(&mut self, index: usize, item: T) {
        let len = self.len();
        assert!(index <= len, "insertion at {index} in a vector of {len} items");
        assert_room(len, 1);
        if index == len {
            return self.push_back(item);
        }
        if index == 0 {
            return self.push_front(item);
        }
        match self.locate(index) {
            Some(Part::Head(place)) if self.head_len < Leaf::<T>::CAPACITY => {
                self.insert_head(place + 1, item)
            }
            Some(Part::Tail(place)) if self.tail_len < Leaf::<T>::CAPACITY => self.insert_tail(place, item),
            Some(Part::Tree(place)) => self.tree.insert(place, item),
            Some(Part::Head(_)) => {
                self.spill_head();
                self.tree.insert(index, item);
            }
            _ => {
                self.spill_tail();
                self.tree.insert(index - self.head_len, item);
            }
        }
    }

    /// Inserts an item as [`insert`](Self::insert) does and returns it, to be changed. **O(log n)**.
    ///
    /// # Panics
    /// Panics if `index > len`; then nothing is copied.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 3]);
    /// *vector.insert_mut(1, 2) += 10;
    /// assert_eq!(vector, [1, 12, 3]);
    /// ```
    #[track_caller]
    pub fn insert_mut(&mut self, index: usize, item: T) -> &mut T {
        self.insert(index, item);
        self.get_mut(index).expect("an item was just put there")
    }

    /// Takes the item at `index` out. **O(log n)**.
    ///
    /// # Panics
    /// When `index` is past the end; then nothing is copied.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2, 3]);
    /// assert_eq!(vector.remove(1), 2);
    /// assert_eq!(vector, [1, 3]);
    /// ```
    #[track_caller]
    pub fn remove(&mut self, index: usize) -> T {
        let len = self.len();
        match self.locate(index) {
            Some(Part::Head(place)) => self.remove_head(place),
            Some(Part::Tail(place)) => self.remove_tail(place),
            Some(Part::Tree(place)) => {
                self.tree.remove(place).unwrap_or_else(|| self.remove_by_cutting(index))
            }
            None => panic!("removal at {index} in a vector of {len} items"),
        }
    }

    /// Removes from a smallest leaf that has no sibling: cut, pop and join keep every rule by themselves.
    fn remove_by_cutting(&mut self, index: usize) -> T {
        self.splice(index..index + 1, []).next().expect("the cut took the item out")
    }

    /// Keeps the items before `at` and returns the others. **O(log n)**.
    ///
    /// # Panics
    /// When `at` is past the end by more than none; then nothing is copied.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2, 3]);
    /// assert_eq!(vector.split_off(1), [2, 3]);
    /// assert_eq!(vector, [1]);
    /// ```
    #[track_caller]
    pub fn split_off(&mut self, at: usize) -> Self {
        let len = self.len();
        assert!(at <= len, "split at {at} in a vector of {len} items");
        if at == 0 {
            return mem::take(self);
        }
        let mut right = Self::new();
        match self.locate(at) {
            None => {}
            Some(Part::Tail(0)) => right = self.take_tail(),
            Some(Part::Tail(index)) => {
                if let Some(mut leaf) = leaf_mut(&mut self.tail, self.tail_len) {
                    let mut rest = OwnedLeaf::with_capacity(Leaf::<T>::CAPACITY, false);
                    leaf.move_tail(index, &mut rest.as_mut(), Leaf::<T>::MASK_SHIFT);
                    right.set_tail(rest);
                    self.tail_len = index;
                }
            }
            Some(Part::Head(place)) => {
                if let Some(mut leaf) = leaf_mut(&mut self.head, self.head_len) {
                    // In memory order the items that stay lie behind those that go.
                    let mut stay = OwnedLeaf::with_capacity(Leaf::<T>::CAPACITY, false);
                    leaf.move_tail(place + 1, &mut stay.as_mut(), Leaf::<T>::MASK_SHIFT);
                    self.head_len = place + 1;
                    right = mem::take(self);
                    self.set_head(stay);
                }
            }
            Some(Part::Tree(index)) => {
                let Some((leaf, index, rest)) = self.tree.cut(index) else {
                    unreachable!("the tree has the item")
                };
                // Ours since the cut: nothing is cloned.
                let mut leaf = leaf.into_leaf();
                right = self.take_tail();
                right.tree = rest;
                let mut stay = OwnedLeaf::with_capacity(Leaf::<T>::CAPACITY, false);
                leaf.as_mut().move_head(index, &mut stay.as_mut(), Leaf::<T>::MASK_SHIFT);
                leaf.as_mut().into_items_mut(false).reverse();
                self.set_tail(stay);
                right.set_head(leaf);
            }
        }
        right
    }

    /// A vector of the tail, which is taken out.
    fn take_tail(&mut self) -> Self {
        let tail_len = mem::take(&mut self.tail_len);
        Self { tail: mem::replace(&mut self.tail, Root::empty()), tail_len, ..Self::new() }
    }

    fn set_head(&mut self, leaf: OwnedLeaf<T>) {
        self.head_len = leaf.as_ref().len();
        self.head.set((self.head_len > 0).then(|| Node::from_leaf(leaf)));
    }

    fn set_tail(&mut self, leaf: OwnedLeaf<T>) {
        self.tail_len = leaf.as_ref().len();
        self.tail.set((self.tail_len > 0).then(|| Node::from_leaf(leaf)));
    }

    /// Moves all items of `other` to the end of this vector. **O(log n)**. If cloning a leaf that another version shares
    /// panics, nothing has moved.
    ///
    /// # Panics
    /// Panics if that makes too many items (a vector can be doubled some 30 times); nothing has moved then.
    ///
    /// ```
    /// let mut a = perennial::Vector::from([1, 2]);
    /// let mut b = perennial::Vector::from([3]);
    /// a.append(&mut b);
    /// assert_eq!(a, [1, 2, 3]);
    /// assert!(b.is_empty());
    /// ```
    #[track_caller]
    pub fn append(&mut self, other: &mut Self) {
        assert_room(self.len(), other.len());
        if self.is_empty() || other.is_empty() || self.prepare_append(other) {
            self.append_prepared(other);
        } else {
            // Moving children between branches of different openings may load them, and fail halfway.
            let mut joined = self.clone();
            joined.append_prepared(&mut other.clone());
            *self = joined;
            other.clear();
        }
    }

    /// Appends `other`. Fails nowhere if what it touches is in memory and not shared.
    pub(super) fn append_prepared(&mut self, other: &mut Self) {
        if self.is_empty() {
            mem::swap(self, other);
        } else if other.tree.len == 0 {
            while let Some(item) = other.pop_front() {
                self.push_back(item);
            }
        } else if self.tree.len == 0 {
            while let Some(item) = self.pop_back() {
                other.push_front(item);
            }
            mem::swap(self, other);
        } else {
            self.append_large(other);
        }
    }

    /// Appends `other`; both have trees. The leaf or two between them are made of this tail and that head.
    fn append_large(&mut self, other: &mut Self) {
        leaf_mut(&mut self.tail, self.tail_len);
        leaf_mut(&mut other.head, other.head_len);
        while other.head_len > 0
            && let Some(item) = other.pop_front()
        {
            self.push_back(item);
        }
        if self.tail_len >= Leaf::<T>::LEAST {
            self.spill_tail();
        } else if self.tail_len > 0 {
            self.spill_small_tail();
        }
        self.tree.join(mem::replace(&mut other.tree, Tree::empty()));
        self.tail = mem::replace(&mut other.tail, Root::empty());
        self.tail_len = mem::take(&mut other.tail_len);
    }

    /// Moves a tail of less than `Leaf::LEAST` items into the tree, with items of the tree's last leaf.
    fn spill_small_tail(&mut self) {
        // Both leaves are ours from here on: nothing below runs the user's code.
        let last = self.tree.len - 1;
        self.tree.leaf_mut(last);
        leaf_mut(&mut self.tail, self.tail_len);
        let tail = self.tail.take(|| leaf_place(self.tail_len));
        let (Some(leaf), Some(tail)) = (self.tree.pop_leaf(End::Back), tail) else { return };
        let (mut leaf, mut tail) = (leaf.into_leaf(), tail.into_leaf());
        self.tail_len = 0;
        let total = leaf.as_ref().len() + tail.as_ref().len();
        if leaf.as_ref().capacity() < Leaf::<T>::CAPACITY.min(total) {
            leaf = leaf.resized(Leaf::<T>::CAPACITY);
        }
        let mut rest = OwnedLeaf::with_capacity(Leaf::<T>::CAPACITY, false);
        if total > Leaf::<T>::CAPACITY {
            leaf.as_mut().move_tail(Leaf::<T>::LEAST, &mut rest.as_mut(), Leaf::<T>::MASK_SHIFT);
            tail.as_mut().move_tail(0, &mut rest.as_mut(), Leaf::<T>::MASK_SHIFT);
        } else {
            tail.as_mut().move_tail(0, &mut leaf.as_mut(), Leaf::<T>::MASK_SHIFT);
        }
        self.tree.push_leaf(Node::from_leaf(leaf), End::Back);
        if rest.as_ref().len() > 0 {
            self.tree.push_leaf(Node::from_leaf(rest), End::Back);
        }
    }

    /// Keeps the first `len` items and drops the others. Does nothing if there are not more. **O(log n)** and what
    /// dropping takes.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2, 3]);
    /// vector.truncate(1);
    /// assert_eq!(vector, [1]);
    /// ```
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            drop(self.split_off(len));
        }
    }

    /// Returns the items at the positions of `range` as a vector that shares nodes with this one. **O(log n)**.
    ///
    /// # Panics
    /// When the range starts after its end or ends past the vector's, as slicing does.
    ///
    /// ```
    /// let vector: perennial::Vector<u32> = (0..1000).collect();
    /// assert_eq!(vector.slice(10..12), [10, 11]);
    /// ```
    #[track_caller]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        let range = positions(range, self.len());
        let mut slice = self.clone();
        slice.truncate(range.end);
        slice.split_off(range.start)
    }

    /// Makes the length `len`, by dropping items from the end or appending clones of `item`. **O(change)**.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1]);
    /// vector.resize(3, 0);
    /// assert_eq!(vector, [1, 0, 0]);
    /// ```
    pub fn resize(&mut self, len: usize, item: T) {
        match len.checked_sub(self.len()) {
            None => self.truncate(len),
            Some(more) => self.extend(std::iter::repeat_n(item, more)),
        }
    }

    /// Keeps the items for which `keep` returns true, in order; `keep` sees each item once. **O(n)**.
    ///
    /// If nothing is removed, nothing is copied; long runs of kept items keep their nodes. If `keep` or cloning an
    /// item panics, nothing has changed. What goes is dropped last.
    ///
    /// ```
    /// let mut vector: perennial::Vector<u32> = (0..6).collect();
    /// vector.retain(|item| item % 2 == 0);
    /// assert_eq!(vector, [0, 2, 4]);
    /// ```
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        let gone = self.runs_refused(keep);
        self.remove_runs(&gone);
    }

    /// The positions of the items for which `keep` returns false, as runs that ascend and do not touch.
    pub(super) fn runs_refused<'a>(&'a self, mut keep: impl FnMut(&'a T) -> bool) -> Vec<Range<usize>> {
        let mut gone: Vec<Range<usize>> = Vec::new();
        for (index, item) in self.iter().enumerate() {
            if keep(item) {
                continue;
            }
            match gone.last_mut() {
                Some(run) if run.end == index => run.end += 1,
                _ => gone.push(index..index + 1),
            }
        }
        gone
    }
}

impl<T> Vector<T> {
    /// Drops all items. **O(1)** and what dropping takes.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1]);
    /// vector.clear();
    /// assert!(vector.is_empty());
    /// ```
    pub fn clear(&mut self) {
        drop(mem::take(self));
    }
}
