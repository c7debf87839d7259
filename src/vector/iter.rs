//! Shared and owned iteration: a position at either end, and the slice that lies there.
//!
//! Each slice is found by its position, from the root down. That costs some nanoseconds per leaf, and in return an
//! iterator is small, can start anywhere and jumps in O(log n).

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Range;
use std::slice;

use super::node::{Counts, Inner};
use super::{Part, Vector, leaf_items, try_leaf_items};
use crate::error::Result;
use crate::node::{Items, NodeRef};

/// Iterates over the items of a [`Vector`] as slices; see [`Vector::chunks`].
pub struct Chunks<'a, T> {
    /// `None` in an iterator of no vector.
    vector: Option<&'a Vector<T>>,
    left: Range<usize>,
    /// The branch above the leaf at the front, and the slot after it: the next leaf without a walk from the root.
    next: Option<(&'a Inner<T>, usize)>,
}

impl<'a, T> Chunks<'a, T> {
    pub(super) fn new(vector: &'a Vector<T>, from: usize, to: usize) -> Self {
        Self { vector: Some(vector), left: from..to, next: None }
    }

    /// The slice around position `index`, and which position it starts at.
    fn around(&self, index: usize) -> Option<(&'a [T], usize)> {
        let vector = self.vector?;
        let (items, inner) = match vector.locate(index)? {
            Part::Tree(inner) => vector.tree.leaf_at(inner)?,
            Part::Tail(inner) => (leaf_items(&vector.tail, vector.tail_len), inner),
            // The head is kept in reverse: its items come one by one.
            Part::Head(inner) => (leaf_items(&vector.head, vector.head_len).get(inner..=inner)?, 0),
        };
        Some((items, index - inner))
    }
}

impl<'a, T> Iterator for Chunks<'a, T> {
    type Item = &'a [T];

    fn next(&mut self) -> Option<&'a [T]> {
        if self.left.is_empty() {
            return None;
        }
        if let Some((branch, slot)) = self.next
            && slot < branch.count()
            && let Some(NodeRef::Leaf(leaf)) = branch.child(slot)
        {
            self.next = Some((branch, slot + 1));
            let items = leaf.items(false);
            let chunk = &items[..items.len().min(self.left.len())];
            self.left.start += chunk.len();
            return Some(chunk);
        }
        let vector = self.vector?;
        if let Some(Part::Tree(index)) = vector.locate(self.left.start) {
            self.next = vector.tree.parent_at(index).map(|(branch, slot)| (branch, slot + 1));
        }
        let (items, start) = self.around(self.left.start)?;
        let chunk = &items[self.left.start - start..items.len().min(self.left.end - start)];
        self.left.start += chunk.len();
        Some(chunk)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(!self.left.is_empty()), Some(self.left.len()))
    }
}

impl<T> DoubleEndedIterator for Chunks<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.left.is_empty() {
            return None;
        }
        let (items, start) = self.around(self.left.end - 1)?;
        let chunk = &items[self.left.start.saturating_sub(start)..self.left.end - start];
        self.left.end -= chunk.len();
        Some(chunk)
    }
}

impl<T> FusedIterator for Chunks<'_, T> {}

impl<T> Default for Chunks<'_, T> {
    /// Makes an iterator over nothing.
    fn default() -> Self {
        Self { vector: None, left: 0..0, next: None }
    }
}

impl<T> Clone for Chunks<'_, T> {
    fn clone(&self) -> Self {
        Self { vector: self.vector, left: self.left.clone(), next: self.next }
    }
}

impl<T: fmt::Debug> fmt::Debug for Chunks<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// Iterates over the items of a [`Vector`]; see [`Vector::iter`] and [`Vector::range`].
pub struct Iter<'a, T> {
    front: slice::Iter<'a, T>,
    chunks: Chunks<'a, T>,
    back: slice::Iter<'a, T>,
}

impl<'a, T> Iter<'a, T> {
    pub(crate) fn new(vector: &'a Vector<T>, from: usize, to: usize) -> Self {
        Self { front: [].iter(), chunks: Chunks::new(vector, from, to), back: [].iter() }
    }

    #[cold]
    #[inline(never)]
    fn refill(&mut self) -> Option<&'a T> {
        match self.chunks.next() {
            Some(chunk) => {
                self.front = chunk.iter();
                self.front.next()
            }
            None => self.back.next(),
        }
    }

    #[cold]
    #[inline(never)]
    fn refill_back(&mut self) -> Option<&'a T> {
        match self.chunks.next_back() {
            Some(chunk) => {
                self.back = chunk.iter();
                self.back.next_back()
            }
            None => self.front.next_back(),
        }
    }
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        match self.front.next() {
            None => self.refill(),
            item => item,
        }
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.front.len() + self.chunks.left.len() + self.back.len();
        (len, Some(len))
    }

    /// Skips `n` items and returns the next. **O(log n)**.
    fn nth(&mut self, n: usize) -> Option<&'a T> {
        let Some(beyond) = n.checked_sub(self.front.len()) else { return self.front.nth(n) };
        self.front = [].iter();
        let inner = self.chunks.left.len();
        self.chunks.next = None;
        self.chunks.left.start += beyond.min(inner);
        if beyond < inner { self.refill() } else { self.back.nth(beyond - inner) }
    }

    fn count(self) -> usize {
        self.len()
    }

    fn last(mut self) -> Option<&'a T> {
        self.next_back()
    }

    fn fold<B, F: FnMut(B, &'a T) -> B>(self, init: B, mut f: F) -> B {
        let init = self.front.fold(init, &mut f);
        let init = self.chunks.fold(init, |init, chunk| chunk.iter().fold(init, &mut f));
        self.back.fold(init, f)
    }
}

impl<'a, T> DoubleEndedIterator for Iter<'a, T> {
    #[inline]
    fn next_back(&mut self) -> Option<&'a T> {
        match self.back.next_back() {
            None => self.refill_back(),
            item => item,
        }
    }

    /// Skips `n` items from the end and returns the next. **O(log n)**.
    fn nth_back(&mut self, n: usize) -> Option<&'a T> {
        let Some(beyond) = n.checked_sub(self.back.len()) else { return self.back.nth_back(n) };
        self.back = [].iter();
        let inner = self.chunks.left.len();
        self.chunks.left.end -= beyond.min(inner);
        if beyond < inner { self.refill_back() } else { self.front.nth_back(beyond - inner) }
    }
}

impl<T> ExactSizeIterator for Iter<'_, T> {}
impl<T> FusedIterator for Iter<'_, T> {}

impl<T> Default for Iter<'_, T> {
    /// Makes an iterator over nothing.
    fn default() -> Self {
        Self { front: [].iter(), chunks: Chunks::default(), back: [].iter() }
    }
}

impl<T> Clone for Iter<'_, T> {
    fn clone(&self) -> Self {
        Self { front: self.front.clone(), chunks: self.chunks.clone(), back: self.back.clone() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Iter").field(&Listed(|| self.clone())).finish()
    }
}

/// The items that an iterator hands out, as a list.
struct Listed<F>(F);

impl<I: Iterator<Item: fmt::Debug>, F: Fn() -> I> fmt::Debug for Listed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0()).finish()
    }
}

impl<'a, T> IntoIterator for &'a Vector<T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

/// Iterates over the items of a [`Vector`], or the errors that loading some of them answered; see
/// [`Vector::try_iter`].
pub struct TryIter<'a, T> {
    head: std::iter::Rev<slice::Iter<'a, T>>,
    tree: Items<'a, T, Counts>,
    tail: slice::Iter<'a, T>,
}

impl<'a, T> TryIter<'a, T> {
    pub(super) fn new(vector: &'a Vector<T>) -> Result<Self> {
        Ok(Self {
            head: try_leaf_items(&vector.head, vector.head_len)?.iter().rev(),
            tree: Items::new(vector.tree.root.try_get(|| vector.tree.place())?),
            tail: try_leaf_items(&vector.tail, vector.tail_len)?.iter(),
        })
    }
}

impl<'a, T> Iterator for TryIter<'a, T> {
    type Item = Result<&'a T>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(item) = self.head.next() {
            return Some(Ok(item));
        }
        match self.tree.try_next() {
            Ok(item) => item.or_else(|| self.tail.next()).map(Ok),
            Err(error) => Some(Err(error)),
        }
    }
}

impl<T> FusedIterator for TryIter<'_, T> {}

impl<T> fmt::Debug for TryIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryIter").finish_non_exhaustive()
    }
}

/// Takes the items out of a [`Vector`], from both ends; items that other versions share are cloned.
#[derive(Clone)]
pub struct IntoIter<T>(pub(super) Vector<T>);

impl<T: Clone> Iterator for IntoIter<T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.0.pop_front()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl<T: Clone> DoubleEndedIterator for IntoIter<T> {
    #[inline]
    fn next_back(&mut self) -> Option<T> {
        self.0.pop_back()
    }
}

impl<T: Clone> ExactSizeIterator for IntoIter<T> {}
impl<T: Clone> FusedIterator for IntoIter<T> {}

impl<T> Default for IntoIter<T> {
    /// Makes an iterator over nothing.
    fn default() -> Self {
        Self(Vector::new())
    }
}

impl<T: fmt::Debug> fmt::Debug for IntoIter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IntoIter").field(&self.0).finish()
    }
}

impl<T: Clone> IntoIterator for Vector<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    /// Takes the items out, in order. **O(n)** for all.
    fn into_iter(self) -> IntoIter<T> {
        IntoIter(self)
    }
}
