//! The two ends: push and pop, and the exchange of whole leaves with the tree.

use super::node::{Counts, Leaf, assert_room};
use super::tree::End;
use super::{Vector, leaf_place};
use crate::node::{LeafMut, Node, NodeMut, OwnedLeaf, Root};

/// Capacity of the first leaf of a vector; doubled as it grows, so that small vectors stay small.
const FIRST_CAPACITY: usize = 4;

/// The leaf of a head or tail, ours.
#[inline]
pub(super) fn leaf_mut<T: Clone>(root: &mut Root<T, Counts>, len: usize) -> Option<LeafMut<'_, T>> {
    match root.get_mut(|| leaf_place(len)) {
        Some(NodeMut::Leaf(leaf)) => Some(leaf),
        _ => None,
    }
}

/// The leaf of a head or tail of fewer than `Leaf::CAPACITY` items, ours, with room for one more.
fn roomy_leaf<T: Clone>(root: &mut Root<T, Counts>, len: usize, small: bool) -> LeafMut<'_, T> {
    match leaf_mut(root, len) {
        Some(leaf) if leaf.has_room() => {}
        Some(leaf) => {
            let capacity = (leaf.as_ref().len() * 2).clamp(FIRST_CAPACITY, Leaf::<T>::CAPACITY);
            root.resize_leaf(capacity);
        }
        None => {
            let capacity = if small { FIRST_CAPACITY } else { Leaf::<T>::CAPACITY };
            root.set(Some(Node::from_leaf(OwnedLeaf::with_capacity(capacity, false))));
        }
    }
    leaf_mut(root, len).expect("a leaf was just put there")
}

impl<T: Clone> Vector<T> {
    /// Appends an item. **O(1)** amortised.
    ///
    /// ```
    /// let mut vector = perennial::Vector::new();
    /// vector.push_back(1);
    /// assert_eq!(vector, [1]);
    /// ```
    #[inline]
    pub fn push_back(&mut self, item: T) {
        if self.tail_len < Leaf::<T>::CAPACITY
            && let Some(mut leaf) = leaf_mut(&mut self.tail, self.tail_len)
            && leaf.has_room()
        {
            leaf.push(item, None, Leaf::<T>::MASK_SHIFT);
            self.tail_len += 1;
        } else {
            self.push_back_slow(item);
        }
    }

    #[cold]
    #[inline(never)]
    fn push_back_slow(&mut self, item: T) {
        if self.tail_len == Leaf::<T>::CAPACITY {
            assert_room(self.len(), 1);
            self.spill_tail();
        }
        let small = self.is_empty();
        roomy_leaf(&mut self.tail, self.tail_len, small).push(item, None, Leaf::<T>::MASK_SHIFT);
        self.tail_len += 1;
    }

    /// Prepends an item. **O(1)** amortised.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([2]);
    /// vector.push_front(1);
    /// assert_eq!(vector, [1, 2]);
    /// ```
    #[inline]
    pub fn push_front(&mut self, item: T) {
        if self.head_len < Leaf::<T>::CAPACITY
            && let Some(mut leaf) = leaf_mut(&mut self.head, self.head_len)
            && leaf.has_room()
        {
            leaf.push(item, None, Leaf::<T>::MASK_SHIFT);
            self.head_len += 1;
        } else {
            self.push_front_slow(item);
        }
    }

    #[cold]
    #[inline(never)]
    fn push_front_slow(&mut self, item: T) {
        if self.head_len == Leaf::<T>::CAPACITY {
            assert_room(self.len(), 1);
            self.spill_head();
        }
        let small = self.is_empty();
        roomy_leaf(&mut self.head, self.head_len, small).push(item, None, Leaf::<T>::MASK_SHIFT);
        self.head_len += 1;
    }

    /// Takes the last item out. **O(1)** amortised.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2]);
    /// assert_eq!(vector.pop_back(), Some(2));
    /// ```
    #[inline]
    pub fn pop_back(&mut self) -> Option<T> {
        if self.tail_len > 1 {
            let item = leaf_mut(&mut self.tail, self.tail_len)?.pop(Leaf::<T>::MASK_SHIFT);
            self.tail_len -= 1;
            return item;
        }
        self.pop_back_slow()
    }

    #[cold]
    #[inline(never)]
    fn pop_back_slow(&mut self) -> Option<T> {
        if self.tail_len == 0 {
            let Some(leaf) = self.tree.pop_leaf(End::Back) else {
                return (self.head_len > 0).then(|| self.remove_head(0));
            };
            self.tail_len = super::node::items_of(leaf.as_ref());
            self.tail.set(Some(leaf));
        }
        Some(self.remove_tail(self.tail_len - 1))
    }

    /// Takes the first item out. **O(1)** amortised.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2]);
    /// assert_eq!(vector.pop_front(), Some(1));
    /// ```
    #[inline]
    pub fn pop_front(&mut self) -> Option<T> {
        if self.head_len > 1 {
            let item = leaf_mut(&mut self.head, self.head_len)?.pop(Leaf::<T>::MASK_SHIFT);
            self.head_len -= 1;
            return item;
        }
        self.pop_front_slow()
    }

    #[cold]
    #[inline(never)]
    fn pop_front_slow(&mut self) -> Option<T> {
        if self.head_len == 0 {
            // Owned first: reversing needs the leaf to be ours, and may clone its items.
            if self.tree.leaf_mut(0).is_none() {
                return (self.tail_len > 0).then(|| self.remove_tail(0));
            }
            let leaf = self.tree.pop_leaf(End::Front)?;
            self.head_len = super::node::items_of(leaf.as_ref());
            self.head.set(Some(leaf));
            self.reverse_head();
        }
        Some(self.remove_head(self.head_len - 1))
    }

    /// Appends an item, as `Vec` names it.
    ///
    /// ```
    /// let mut vector = perennial::Vector::new();
    /// vector.push(1);
    /// assert_eq!(vector, [1]);
    /// ```
    #[inline]
    pub fn push(&mut self, item: T) {
        self.push_back(item);
    }

    /// Takes the last item out, as `Vec` names it.
    ///
    /// ```
    /// assert_eq!(perennial::Vector::from([1, 2]).pop(), Some(2));
    /// ```
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.pop_back()
    }

    /// Appends an item and returns it, to be changed. **O(1)** amortised.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1]);
    /// *vector.push_back_mut(2) += 10;
    /// assert_eq!(vector, [1, 12]);
    /// ```
    pub fn push_back_mut(&mut self, item: T) -> &mut T {
        self.push_back(item);
        self.last_mut().expect("an item was just put there")
    }

    /// Prepends an item and returns it, to be changed. **O(1)** amortised.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1]);
    /// *vector.push_front_mut(2) += 10;
    /// assert_eq!(vector, [12, 1]);
    /// ```
    pub fn push_front_mut(&mut self, item: T) -> &mut T {
        self.push_front(item);
        self.first_mut().expect("an item was just put there")
    }

    /// Appends an item and returns it, as `Vec` names it. See [`push_back_mut`](Self::push_back_mut).
    ///
    /// ```
    /// assert_eq!(perennial::Vector::new().push_mut(1), &mut 1);
    /// ```
    pub fn push_mut(&mut self, item: T) -> &mut T {
        self.push_back_mut(item)
    }

    /// Reverses the head's leaf, which turns it into a leaf of the tree and back.
    fn reverse_head(&mut self) {
        if let Some(leaf) = leaf_mut(&mut self.head, self.head_len) {
            leaf.into_items_mut(false).reverse();
        }
    }

    /// Moves a head of at least `Leaf::LEAST` items into the tree.
    pub(super) fn spill_head(&mut self) {
        self.tree.prepare(End::Front);
        self.reverse_head();
        if let Some(leaf) = self.head.take(|| leaf_place(self.head_len)) {
            self.head_len = 0;
            self.tree.push_leaf(leaf, End::Front);
        }
    }

    /// Moves a tail of at least `Leaf::LEAST` items into the tree.
    pub(super) fn spill_tail(&mut self) {
        self.tree.prepare(End::Back);
        if let Some(leaf) = self.tail.take(|| leaf_place(self.tail_len)) {
            self.tail_len = 0;
            self.tree.push_leaf(leaf, End::Back);
        }
    }

    /// Inserts at `index` of the head's leaf, in memory order; the head is not full.
    pub(super) fn insert_head(&mut self, index: usize, item: T) {
        roomy_leaf(&mut self.head, self.head_len, true).insert(index, item, Leaf::<T>::MASK_SHIFT);
        self.head_len += 1;
    }

    /// Inserts at `index` of the tail; it is not full.
    pub(super) fn insert_tail(&mut self, index: usize, item: T) {
        roomy_leaf(&mut self.tail, self.tail_len, true).insert(index, item, Leaf::<T>::MASK_SHIFT);
        self.tail_len += 1;
    }

    /// Takes out what lies at `index` of the head's leaf, in memory order. An empty head has no leaf.
    pub(super) fn remove_head(&mut self, index: usize) -> T {
        let item = remove_at(&mut self.head, self.head_len, index);
        self.head_len -= 1;
        if self.head_len == 0 {
            self.head.set(None);
        }
        item
    }

    /// Takes out what lies at `index` of the tail. An empty tail has no leaf.
    pub(super) fn remove_tail(&mut self, index: usize) -> T {
        let item = remove_at(&mut self.tail, self.tail_len, index);
        self.tail_len -= 1;
        if self.tail_len == 0 {
            self.tail.set(None);
        }
        item
    }
}

fn remove_at<T: Clone>(root: &mut Root<T, Counts>, len: usize, index: usize) -> T {
    let mut leaf = leaf_mut(root, len).expect("a head or tail with items has a leaf");
    leaf.remove(index, Leaf::<T>::MASK_SHIFT)
}
