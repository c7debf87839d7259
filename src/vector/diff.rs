//! What changed from one version of a vector to another.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Range;

use super::Vector;
use super::cursor::Pair;
use crate::error::Result;
use crate::node::MapValues;

/// One difference between two vectors, the old and the new.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DiffItem<'a, T> {
    /// The items at this position, the same in both vectors, differ.
    Changed {
        /// Position in both.
        index: usize,
        /// The item of the old vector.
        old: &'a T,
        /// The item of the new vector.
        new: &'a T,
    },
    /// The old vector has an item that the new one lacks.
    Removed {
        /// Position in the old vector.
        index: usize,
        /// The item.
        old: &'a T,
    },
    /// The new vector has an item that the old one lacks.
    Added {
        /// Position in the new vector.
        index: usize,
        /// The item.
        new: &'a T,
    },
}

impl<'a, T> DiffItem<'a, T> {
    /// Returns the position: in the old vector of what was removed, in the new one of what was added, in both of what changed.
    ///
    /// ```
    /// use perennial::vector::DiffItem;
    /// let change = DiffItem::Changed { index: 3, old: &'a', new: &'b' };
    /// assert_eq!((change.index(), change.old(), change.new()), (3, Some(&'a'), Some(&'b')));
    /// ```
    pub fn index(&self) -> usize {
        match *self {
            Self::Added { index, .. } | Self::Removed { index, .. } | Self::Changed { index, .. } => index,
        }
    }

    /// Returns the item of the old vector, unless it was added.
    pub fn old(&self) -> Option<&'a T> {
        match *self {
            Self::Added { .. } => None,
            Self::Removed { old, .. } | Self::Changed { old, .. } => Some(old),
        }
    }

    /// Returns the item of the new vector, unless it was removed.
    #[expect(clippy::new_ret_no_self, reason = "the opposite of `old`")]
    pub fn new(&self) -> Option<&'a T> {
        match *self {
            Self::Removed { .. } => None,
            Self::Added { new, .. } | Self::Changed { new, .. } => Some(new),
        }
    }
}

/// Walks over the differences of two vectors; see [`Vector::diff`].
pub struct Diff<'a, T> {
    pair: Pair<'a, T, false>,
    index: usize,
    /// Items to compare before one side ends.
    both: usize,
    removed: usize,
    added: usize,
}

impl<'a, T: PartialEq> Diff<'a, T> {
    pub(super) fn new(old: &'a Vector<T>, new: &'a Vector<T>) -> Self {
        let shorter = old.len().min(new.len());
        let mut pair = Pair::new(old, new);
        let prefix = pair.skip_equal(shorter);
        let suffix = Pair::<T, true>::new(old, new).skip_equal(shorter - prefix);
        let both = shorter - prefix - suffix;
        let [removed, added] = [old, new].map(|vector| vector.len() - shorter);
        Self { pair, index: prefix, both, removed, added }
    }
}

impl<'a, T: PartialEq> Iterator for Diff<'a, T> {
    type Item = DiffItem<'a, T>;

    fn next(&mut self) -> Option<DiffItem<'a, T>> {
        let equal = self.pair.skip_equal(self.both);
        self.both -= equal;
        self.index += equal;
        let index = self.index;
        self.index += 1;
        if self.both > 0 {
            self.both -= 1;
            return self.pair.next_items().map(|(old, new)| DiffItem::Changed { index, old, new });
        }
        if self.removed > 0 {
            self.removed -= 1;
            return self.pair.next_old().map(|old| DiffItem::Removed { index, old });
        }
        self.added = self.added.checked_sub(1)?;
        self.pair.next_new().map(|new| DiffItem::Added { index, new })
    }
}

impl<T: PartialEq> FusedIterator for Diff<'_, T> {}

impl<T> Clone for Diff<'_, T> {
    fn clone(&self) -> Self {
        Self { pair: self.pair.clone(), ..*self }
    }
}

impl<T: PartialEq + fmt::Debug> fmt::Debug for Diff<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<T: PartialEq + Clone + 'static> MapValues for Vector<T> {
    type Item<'a> = &'a T;
    type Mapped<W: Clone + 'static> = Vector<W>;

    fn map_since<W: Clone + 'static>(
        &self,
        earlier: Option<(&Self, &Vector<W>)>,
        mut map: impl for<'a> FnMut(&'a T) -> Result<W>,
    ) -> Result<Vector<W>> {
        let Some((earlier, mapped)) = earlier else { return self.iter().map(map).collect() };
        let (mut earlier, mut mapped) = (earlier.clone(), mapped.clone());
        // A window that moves on: without what it lost at the front, the rest stands where it stood.
        if let Some(first) = self.first()
            && earlier.first().is_some_and(|item| item != first)
            && let Some(lost) = earlier.iter().position(|item| item == first)
            && earlier.get(lost + 1) == self.get(1)
        {
            earlier = earlier.split_off(lost);
            mapped = mapped.split_off(lost);
        }
        // Positions of removed items are those of the earlier version, and there is one run of them.
        let mut gone = None;
        for edit in earlier.diff(self) {
            match edit {
                DiffItem::Changed { index, new, .. } => drop(mapped.set(index, map(new)?)),
                DiffItem::Added { index, new } => mapped.insert(index, map(new)?),
                DiffItem::Removed { index, .. } => {
                    gone = Some(gone.map_or(index..index + 1, |gone: Range<_>| gone.start..index + 1))
                }
            }
        }
        if let Some(gone) = gone {
            drop(mapped.drain(gone));
        }
        Ok(mapped)
    }
}
