//! A vector with O(1) snapshots, O(log n) edits anywhere, and indexing by shifts where appends built it.

mod build;
mod capacity;
#[cfg(test)]
mod check;
mod compare;
mod convert;
mod cursor;
mod diff;
mod edit;
mod ends;
mod focus;
mod foreign;
mod gap;
mod iter;
mod iter_mut;
pub(crate) mod node;
mod order;
mod persist;
mod ranges;
mod seam;
mod slices;
mod text;
mod traits;
pub(crate) mod tree;

use std::ops::RangeBounds;

pub use diff::{Diff, DiffItem};
pub use focus::Focus;
pub use gap::CursorMut;
pub use iter::{Chunks, IntoIter, Iter, TryIter};
pub use iter_mut::{IterMut, RangeMut};
pub use ranges::ExtractIf;
pub use slices::{ChunkBy, ChunksOf, Windows};

use crate::error::Result;
use crate::node::load_all;
use crate::node::{NodeRef, Root};
use crate::record::Place;
use crate::sync::const_fn;
use node::Counts;
use tree::Tree;

/// A persistent vector: `clone` is O(1), and a clone that is changed copies only the nodes on the way to the change.
///
/// Items live in leaves of about 512 bytes under a balanced tree; the first and the last leaf are kept beside the
/// tree, so that both ends are cheap to push and pop. Indexing follows shifts through every part of the tree that
/// appending built, and counts where the vector was cut and joined. Depth stays logarithmic after any sequence of
/// edits.
///
/// | | cost |
/// |---|---|
/// | `clone`, `len`, `ptr_eq` | O(1) |
/// | `push_back`, `push_front`, `pop_back`, `pop_front` | O(1) amortised |
/// | `get`, `get_mut`, `set`, `swap` | O(log n) |
/// | `insert`, `remove`, `append`, `split_off`, `slice`, `truncate`, `splice`, `rotate_left` | O(log n) |
/// | iteration, `retain`, `dedup`, `reverse` | O(n), a slice at a time |
/// | `sort` | O(n log n), O(n) if sorted already |
/// | `==`, `diff`, comparison of versions | O(difference): shared nodes are skipped |
///
/// For many edits in one place there is a [cursor](Self::cursor_mut). Vectors of bytes are written to and read from as
/// std's are, and those of characters are text to edit: `write!` appends to both.
///
/// Skipping shared nodes means that a vector with a NaN in it equals its own clone.
///
/// Methods that may copy a shared node ask for `T: Clone`. Items are cloned only when another version shares their
/// leaf.
///
/// # Panics
/// A vector restored from a store loads its nodes when they are first touched. Where a method cannot return the
/// store's error, it panics with it; [`try_get`](Self::try_get) returns it instead.
///
/// Branches keep their counts in 32 bits. What would make a vector longer than 4,294,967,294 items panics with "capacity
/// overflow" and changes nothing.
///
/// # In a generic type
/// Nodes load when the reader of the rest has gone, so `#[derive(Deserialize)]` on a type with a parameter needs a line, which
/// names each field whose type has the parameter:
///
/// ```
/// use perennial::Vector;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// #[serde(bound(deserialize = "Vector<T>: Deserialize<'de>"))]
/// struct Board<T> {
///     items: Vector<T>,
/// }
/// let board: Board<u32> = serde_json::from_str(r#"{ "items": [7] }"#)?;
/// assert_eq!(board.items.len(), 1);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// ```
/// use perennial::Vector;
/// let mut text: Vector<char> = "hello".chars().collect();
/// let before = text.clone();
/// text.insert(0, '>');
/// assert_eq!(text.len(), 6);
/// assert_eq!(before.iter().collect::<String>(), "hello");
/// ```
pub struct Vector<T> {
    /// The first items, in reverse order, so that the front is where a leaf grows.
    pub(crate) head: Root<T, Counts>,
    pub(crate) tree: Tree<T>,
    /// The last items.
    pub(crate) tail: Root<T, Counts>,
    pub(crate) head_len: usize,
    pub(crate) tail_len: usize,
}

/// What is known of a head or tail of `len` items before it is loaded.
pub(crate) fn leaf_place(len: usize) -> Place {
    Place { what: len as u64, depth: 0 }
}

/// The items of a root that is a leaf or nothing.
fn leaf_items<T>(root: &Root<T, Counts>, len: usize) -> &[T] {
    match root.get(|| leaf_place(len)) {
        Some(NodeRef::Leaf(leaf)) => leaf.items(false),
        _ => &[],
    }
}

fn try_leaf_items<T>(root: &Root<T, Counts>, len: usize) -> Result<&[T]> {
    Ok(match root.try_get(|| leaf_place(len))? {
        Some(NodeRef::Leaf(leaf)) => leaf.items(false),
        _ => &[],
    })
}

/// Where an index lies.
pub(crate) enum Part {
    /// At this index of the head's leaf, counted in memory order.
    Head(usize),
    /// At this index of the tree.
    Tree(usize),
    /// At this index of the tail.
    Tail(usize),
}

impl<T> Vector<T> {
    const_fn! {
        /// Makes an empty vector. **O(1)**, allocates nothing.
        ///
        /// ```
        /// assert!(perennial::Vector::<u8>::new().is_empty());
        /// ```
        pub const fn new() -> Self {
            Self { head: Root::empty(), tree: Tree::empty(), tail: Root::empty(), head_len: 0, tail_len: 0 }
        }
    }

    /// Loads everything that a restored vector has not loaded yet, in the order of the log and on all cores. **O(n)**.
    ///
    /// After it no read of this vector can fail. Collections inside its items load on their own.
    ///
    /// # Errors
    /// The first that reading or decoding a node answered; what could be loaded is loaded.
    pub fn load_all(&self) -> Result<()>
    where
        T: Send + Sync,
    {
        try_leaf_items(&self.head, self.head_len)?;
        try_leaf_items(&self.tail, self.tail_len)?;
        load_all(&self.tree.root, self.tree.place())
    }

    /// Counts the items. **O(1)**.
    ///
    /// ```
    /// assert_eq!(perennial::Vector::from([1, 2, 3]).len(), 3);
    /// ```
    #[inline]
    pub fn len(&self) -> usize {
        self.head_len + self.tree.len + self.tail_len
    }

    /// Tells whether there are no items. **O(1)**.
    ///
    /// ```
    /// assert!(!perennial::Vector::from([1]).is_empty());
    /// ```
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Finds the part of the vector that holds `index`, `None` past the end.
    #[inline]
    fn locate(&self, index: usize) -> Option<Part> {
        let Some(inner) = index.checked_sub(self.head_len) else {
            return Some(Part::Head(self.head_len - 1 - index));
        };
        match inner.checked_sub(self.tree.len) {
            None => Some(Part::Tree(inner)),
            Some(last) if last < self.tail_len => Some(Part::Tail(last)),
            Some(_) => None,
        }
    }

    /// Returns the item at `index`, `None` past the end. **O(log n)**: one step per level, sixteen ways each.
    ///
    /// # Panics
    /// With the store's error, if the item's node is not in memory and cannot be loaded.
    ///
    /// ```
    /// let vector = perennial::Vector::from(["a", "b"]);
    /// assert_eq!(vector.get(1), Some(&"b"));
    /// assert_eq!(vector.get(2), None);
    /// ```
    #[inline]
    pub fn get(&self, index: usize) -> Option<&T> {
        let (items, index) = match self.locate(index)? {
            Part::Tree(index) => self.tree.leaf_at(index)?,
            Part::Head(index) => (leaf_items(&self.head, self.head_len), index),
            Part::Tail(index) => (leaf_items(&self.tail, self.tail_len), index),
        };
        items.get(index)
    }

    /// Returns the item at `index`, `None` past the end. **O(log n)**.
    ///
    /// # Errors
    /// The store's error, if the item's node is not in memory and cannot be loaded.
    ///
    /// ```
    /// let vector = perennial::Vector::from([7]);
    /// assert_eq!(vector.try_get(0)?, Some(&7));
    /// # Ok::<(), perennial::Error>(())
    /// ```
    pub fn try_get(&self, index: usize) -> Result<Option<&T>> {
        let (items, index) = match self.locate(index) {
            None => return Ok(None),
            Some(Part::Tree(index)) => match self.tree.try_leaf_at(index)? {
                Some(found) => found,
                None => return Ok(None),
            },
            Some(Part::Head(index)) => (try_leaf_items(&self.head, self.head_len)?, index),
            Some(Part::Tail(index)) => (try_leaf_items(&self.tail, self.tail_len)?, index),
        };
        Ok(items.get(index))
    }

    /// Returns the first item. **O(1)** unless only the tree has items, then O(log n).
    ///
    /// ```
    /// assert_eq!(perennial::Vector::from([1, 2]).first(), Some(&1));
    /// ```
    pub fn first(&self) -> Option<&T> {
        self.get(0)
    }

    /// Returns the last item. **O(1)** unless only the tree has items, then O(log n).
    ///
    /// ```
    /// assert_eq!(perennial::Vector::from([1, 2]).last(), Some(&2));
    /// ```
    pub fn last(&self) -> Option<&T> {
        self.get(self.len().checked_sub(1)?)
    }

    /// Returns the first item, as `VecDeque` names it.
    ///
    /// ```
    /// assert_eq!(perennial::Vector::from([1, 2]).front(), Some(&1));
    /// ```
    pub fn front(&self) -> Option<&T> {
        self.first()
    }

    /// Returns the last item, as `VecDeque` names it.
    ///
    /// ```
    /// assert_eq!(perennial::Vector::from([1, 2]).back(), Some(&2));
    /// ```
    pub fn back(&self) -> Option<&T> {
        self.last()
    }

    /// Tells whether some item equals `item`. **O(n)**.
    ///
    /// ```
    /// assert!(perennial::Vector::from([1, 2]).contains(&2));
    /// ```
    pub fn contains(&self, item: &T) -> bool
    where
        T: PartialEq,
    {
        self.chunks().any(|chunk| chunk.contains(item))
    }

    /// Tells whether both are the same version: same nodes in memory, or same records of one open store. **O(1)**.
    ///
    /// ```
    /// let vector = perennial::Vector::from([1, 2]);
    /// assert!(vector.ptr_eq(&vector.clone()));
    /// assert!(!vector.ptr_eq(&perennial::Vector::from([1, 2])));
    /// ```
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.head.same(&other.head)
            && self.tree.root.same(&other.tree.root)
            && self.tail.same(&other.tail)
    }

    /// Iterates over all items in order, from both ends. **O(n)** for all, O(log n) for `nth`.
    ///
    /// ```
    /// let vector = perennial::Vector::from([1, 2, 3]);
    /// assert_eq!(vector.iter().rev().copied().collect::<Vec<_>>(), [3, 2, 1]);
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter::new(self, 0, self.len())
    }

    /// Iterates over the items at the positions of `range`. **O(log n + k)** for k items.
    ///
    /// # Panics
    /// When the range starts after its end or ends past the vector's, as slicing does.
    ///
    /// ```
    /// let vector: perennial::Vector<u32> = (0..1000).collect();
    /// assert_eq!(vector.range(998..).copied().collect::<Vec<_>>(), [998, 999]);
    /// ```
    pub fn range(&self, range: impl RangeBounds<usize>) -> Iter<'_, T> {
        let range = positions(range, self.len());
        Iter::new(self, range.start, range.end)
    }

    /// Iterates over all items of a vector that may be only partly loaded, in order. **O(n)** for all.
    ///
    /// # Errors
    /// The first says why the root or one of the ends could not be loaded; later ones, why some leaf could not. The walk
    /// goes on with what follows.
    ///
    /// ```
    /// let vector = perennial::Vector::from([1, 2]);
    /// assert_eq!(vector.try_iter()?.collect::<Result<Vec<_>, _>>()?, [&1, &2]);
    /// # Ok::<(), perennial::Error>(())
    /// ```
    pub fn try_iter(&self) -> Result<TryIter<'_, T>> {
        TryIter::new(self)
    }

    /// Iterates over the items as slices, as they lie in memory: leaves of the tree, the tail, and the items that
    /// were pushed at the front one by one (they are kept in reverse). No slice is empty. **O(n)** for all.
    ///
    /// ```
    /// let vector: perennial::Vector<u32> = (0..1000).collect();
    /// assert_eq!(vector.chunks().map(<[u32]>::len).sum::<usize>(), 1000);
    /// ```
    pub fn chunks(&self) -> Chunks<'_, T> {
        Chunks::new(self, 0, self.len())
    }

    /// Walks over what changed from `self` to `newer`, in order of position. **O(difference · log n)**: nodes that
    /// both share are skipped.
    ///
    /// What both begin and end with is set aside first. What remains is compared position by position, and if one
    /// side is longer, the rest of it is reported as added or removed. So one run of insertions or removals, or
    /// replacements anywhere, is reported as just that; several runs of insertions show as changes between the
    /// first and the last of them.
    ///
    /// ```
    /// use perennial::vector::DiffItem;
    /// let old: perennial::Vector<u32> = (0..1000).collect();
    /// let mut new = old.clone();
    /// new.insert(500, 7);
    /// assert_eq!(old.diff(&new).collect::<Vec<_>>(), [DiffItem::Added { index: 500, new: &7 }]);
    /// ```
    pub fn diff<'a>(&'a self, newer: &'a Self) -> Diff<'a, T>
    where
        T: PartialEq,
    {
        Diff::new(self, newer)
    }
}

impl<T> Clone for Vector<T> {
    /// Takes a snapshot. **O(1)**: both share all nodes until one of them is changed.
    fn clone(&self) -> Self {
        Self {
            head: self.head.clone(),
            tree: self.tree.clone(),
            tail: self.tail.clone(),
            head_len: self.head_len,
            tail_len: self.tail_len,
        }
    }
}

impl<T> Default for Vector<T> {
    /// Makes an empty vector.
    fn default() -> Self {
        Self::new()
    }
}

/// The positions of `range` in a vector of `len` items.
///
/// # Panics
/// As slicing does: when the range starts after its end, or ends past `len`.
#[track_caller]
fn positions(range: impl RangeBounds<usize>, len: usize) -> std::ops::Range<usize> {
    use std::ops::Bound;
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&start) => start.checked_add(1).expect("range starts after usize::MAX"),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&end) => end.checked_add(1).expect("range ends after usize::MAX"),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => len,
    };
    assert!(start <= end, "range starts at {start} but ends at {end}");
    assert!(end <= len, "range ends at {end} but the vector has {len} items");
    start..end
}
