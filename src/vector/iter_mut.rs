//! Iteration that changes items: each node is made ours when it is reached.

use std::fmt;
use std::iter::FusedIterator;
use std::mem;
use std::ops::{Range, RangeBounds};
use std::slice;

use super::node::{Counts, Leaf};
use super::{Vector, leaf_place, positions};
use crate::node::{ChildrenMut, NodeMut, Root};
use crate::record::Place;

/// The children of one branch, and the walks below the two that were begun, from either end.
struct Walk<'a, T> {
    children: ChildrenMut<'a, T, Counts>,
    /// Items to leave out at the beginning of the first child and at the end of the last one.
    skip: usize,
    cut: usize,
    front: Option<Box<Walk<'a, T>>>,
    back: Option<Box<Walk<'a, T>>>,
}

/// A node, entered: the items of a leaf, or the walk through a branch.
enum Entered<'a, T> {
    Leaf(&'a mut [T]),
    Branch(Box<Walk<'a, T>>),
}

impl<'a, T: Clone> Walk<'a, T> {
    /// Enters a node for all items but the first `skip` and the last `cut`, which are not all.
    fn enter(node: NodeMut<'a, T, Counts>, skip: usize, cut: usize) -> Entered<'a, T> {
        match node {
            NodeMut::Leaf(leaf) => {
                let to = leaf.as_ref().len() - cut;
                Entered::Leaf(leaf.into_range_mut(skip, to, Leaf::<T>::MASK_SHIFT))
            }
            NodeMut::Branch(branch) => {
                let (first, skip) = branch.extra.locate(skip);
                let (last, end) = branch.extra.locate(branch.items() - cut - 1);
                let cut = branch.size(last) - end - 1;
                let children = ChildrenMut::within(branch, first..last + 1);
                Entered::Branch(Box::new(Self { children, skip, cut, front: None, back: None }))
            }
        }
    }

    /// Enters the next child.
    fn enter_front(&mut self) -> Option<Entered<'a, T>> {
        let child = self.children.next()?;
        let cut = if self.children.is_empty() { mem::take(&mut self.cut) } else { 0 };
        Some(Self::enter(child, mem::take(&mut self.skip), cut))
    }

    /// Enters the last child that is left.
    fn enter_back(&mut self) -> Option<Entered<'a, T>> {
        let child = self.children.next_back()?;
        let skip = if self.children.is_empty() { mem::take(&mut self.skip) } else { 0 };
        Some(Self::enter(child, skip, mem::take(&mut self.cut)))
    }

    fn next_leaf(&mut self) -> Option<&'a mut [T]> {
        loop {
            if let Some(leaf) = self.front.as_mut().and_then(|walk| walk.next_leaf()) {
                return Some(leaf);
            }
            self.front = match self.enter_front() {
                Some(Entered::Leaf(leaf)) => return Some(leaf),
                Some(Entered::Branch(walk)) => Some(walk),
                None => return self.back.as_mut().and_then(|walk| walk.next_leaf()),
            };
        }
    }

    fn next_leaf_back(&mut self) -> Option<&'a mut [T]> {
        loop {
            if let Some(leaf) = self.back.as_mut().and_then(|walk| walk.next_leaf_back()) {
                return Some(leaf);
            }
            self.back = match self.enter_back() {
                Some(Entered::Leaf(leaf)) => return Some(leaf),
                Some(Entered::Branch(walk)) => Some(walk),
                None => return self.front.as_mut().and_then(|walk| walk.next_leaf_back()),
            };
        }
    }
}

/// A part of the vector, or of it what lies in a range, that is entered when iteration first comes to it.
enum Lazily<'a, T, W> {
    Closed(&'a mut Root<T, Counts>, Place, Range<usize>),
    Open(W),
}

impl<'a, T: Clone> Lazily<'a, T, slice::IterMut<'a, T>> {
    fn open(&mut self) -> &mut slice::IterMut<'a, T> {
        if let Self::Closed(..) = self
            && let Self::Closed(root, place, range) = mem::replace(self, Self::Open([].iter_mut()))
            && !range.is_empty()
            && let Some(NodeMut::Leaf(leaf)) = root.get_mut(|| place)
        {
            let items = leaf.into_range_mut(range.start, range.end, Leaf::<T>::MASK_SHIFT);
            *self = Self::Open(items.iter_mut());
        }
        match self {
            Self::Open(items) => items,
            Self::Closed(..) => unreachable!("opened above"),
        }
    }
}

impl<'a, T: Clone> Lazily<'a, T, Option<Box<Walk<'a, T>>>> {
    /// The walk; a tree of one leaf is put into `only` instead.
    fn open(&mut self, only: &mut slice::IterMut<'a, T>) -> Option<&mut Walk<'a, T>> {
        if let Self::Closed(..) = self
            && let Self::Closed(root, place, range) = mem::replace(self, Self::Open(None))
            && !range.is_empty()
            && let Some(node) = root.get_mut(|| place)
        {
            match Walk::enter(node, range.start, place.what as usize - range.end) {
                Entered::Leaf(leaf) => *only = leaf.iter_mut(),
                Entered::Branch(walk) => *self = Self::Open(Some(walk)),
            }
        }
        match self {
            Self::Open(walk) => walk.as_deref_mut(),
            Self::Closed(..) => unreachable!("opened above"),
        }
    }
}

/// Iterates over the items of a [`Vector`] to change them; see [`Vector::iter_mut`].
pub struct IterMut<'a, T> {
    head: Lazily<'a, T, slice::IterMut<'a, T>>,
    front: slice::IterMut<'a, T>,
    tree: Lazily<'a, T, Option<Box<Walk<'a, T>>>>,
    back: slice::IterMut<'a, T>,
    tail: Lazily<'a, T, slice::IterMut<'a, T>>,
    len: usize,
}

/// Iterates over the items of a [`Vector`] that lie in a range, to change them; see [`Vector::range_mut`].
pub type RangeMut<'a, T> = IterMut<'a, T>;

impl<T: Clone> Vector<T> {
    /// Iterates over all items to change them, from both ends. **O(n)** for all.
    ///
    /// A node is copied, if another version shares it, when iteration comes to it; and everything that iteration
    /// came to counts as changed: the next checkpoint writes it.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2, 3]);
    /// vector.iter_mut().for_each(|item| *item *= 2);
    /// assert_eq!(vector, [2, 4, 6]);
    /// ```
    pub fn iter_mut(&mut self) -> IterMut<'_, T> {
        self.range_mut(..)
    }

    /// Iterates over the items at the positions of `range` to change them, from both ends. **O(log n + k)** for k items.
    /// See [`iter_mut`](Self::iter_mut).
    ///
    /// # Panics
    /// When the range starts after its end or ends past the vector's, as slicing does.
    ///
    /// ```
    /// let mut vector: perennial::Vector<u32> = (0..5).collect();
    /// vector.range_mut(1..3).for_each(|item| *item *= 10);
    /// assert_eq!(vector, [0, 10, 20, 3, 4]);
    /// ```
    #[track_caller]
    pub fn range_mut(&mut self, range: impl RangeBounds<usize>) -> RangeMut<'_, T> {
        let Range { start, end } = positions(range, self.len());
        let place = self.tree.place();
        // What of the range lies in a part of `len` items that begins at `from`.
        let within =
            |from: usize, len: usize| start.saturating_sub(from).min(len)..end.saturating_sub(from).min(len);
        // The head is kept in reverse.
        let Range { start: low, end: high } = within(0, self.head_len);
        let head = self.head_len - high..self.head_len - low;
        let tree = within(self.head_len, self.tree.len);
        let tail = within(self.head_len + self.tree.len, self.tail_len);
        IterMut {
            head: Lazily::Closed(&mut self.head, leaf_place(self.head_len), head),
            front: [].iter_mut(),
            tree: Lazily::Closed(&mut self.tree.root, place, tree),
            back: [].iter_mut(),
            tail: Lazily::Closed(&mut self.tail, leaf_place(self.tail_len), tail),
            len: end - start,
        }
    }
}

impl<'a, T: Clone> IterMut<'a, T> {
    #[cold]
    #[inline(never)]
    fn refill(&mut self) -> Option<&'a mut T> {
        // The head is kept in reverse.
        if let Some(item) = self.head.open().next_back() {
            return Some(item);
        }
        if let Some(leaf) = self.tree.open(&mut self.front).and_then(Walk::next_leaf) {
            self.front = leaf.iter_mut();
        }
        self.front.next().or_else(|| self.back.next()).or_else(|| self.tail.open().next())
    }

    #[cold]
    #[inline(never)]
    fn refill_back(&mut self) -> Option<&'a mut T> {
        if let Some(item) = self.tail.open().next_back() {
            return Some(item);
        }
        if let Some(leaf) = self.tree.open(&mut self.back).and_then(Walk::next_leaf_back) {
            self.back = leaf.iter_mut();
        }
        self.back.next_back().or_else(|| self.front.next_back()).or_else(|| self.head.open().next())
    }
}

impl<'a, T: Clone> Iterator for IterMut<'a, T> {
    type Item = &'a mut T;

    #[inline]
    fn next(&mut self) -> Option<&'a mut T> {
        if self.len == 0 {
            return None;
        }
        self.len -= 1;
        match self.front.next() {
            None => self.refill(),
            item => item,
        }
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len, Some(self.len))
    }
}

impl<'a, T: Clone> DoubleEndedIterator for IterMut<'a, T> {
    #[inline]
    fn next_back(&mut self) -> Option<&'a mut T> {
        if self.len == 0 {
            return None;
        }
        self.len -= 1;
        match self.back.next_back() {
            None => self.refill_back(),
            item => item,
        }
    }
}

impl<T: Clone> ExactSizeIterator for IterMut<'_, T> {}
impl<T: Clone> FusedIterator for IterMut<'_, T> {}

impl<T> Default for IterMut<'_, T> {
    /// Makes an iterator over nothing.
    fn default() -> Self {
        let none = || Lazily::Open([].iter_mut());
        let (front, back) = ([].iter_mut(), [].iter_mut());
        Self { head: none(), front, tree: Lazily::Open(None), back, tail: none(), len: 0 }
    }
}

impl<T> fmt::Debug for IterMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IterMut").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<'a, T: Clone> IntoIterator for &'a mut Vector<T> {
    type Item = &'a mut T;
    type IntoIter = IterMut<'a, T>;

    fn into_iter(self) -> IterMut<'a, T> {
        self.iter_mut()
    }
}
