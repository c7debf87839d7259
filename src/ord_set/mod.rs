//! An ordered set with O(1) snapshots: an [`OrdMap`] whose values are `()`.

mod convert;
mod iter;
mod persist;
mod traits;

use std::borrow::Borrow;
use std::ops::{BitAnd, BitOr, BitXor, RangeBounds, Sub};

pub use iter::{ExtractIf, IntoIter, Iter, Range, TryIter};

use crate::error::Result;
use crate::ord_map::{self, OrdMap};
use crate::sync::const_fn;

/// An ordered set whose clones share what they have in common.
///
/// It reads as [`BTreeSet`](std::collections::BTreeSet) does, costs what an [`OrdMap`] costs, and knows positions besides. Where std returns an
/// iterator of what two sets have in common, this returns a set, which shares nodes with both.
///
/// # In a generic type
/// Nodes load when the reader of the rest has gone, so `#[derive(Deserialize)]` on a type with a parameter needs a line, which
/// names each field whose type has the parameter:
///
/// ```
/// use perennial::OrdSet;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// #[serde(bound(deserialize = "OrdSet<T>: Deserialize<'de>"))]
/// struct Board<T> {
///     items: OrdSet<T>,
/// }
/// let board: Board<u32> = serde_json::from_str(r#"{ "items": [7] }"#)?;
/// assert_eq!(board.items.len(), 1);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// ```
/// use perennial::OrdSet;
///
/// let mut set: OrdSet<u32> = (0..1000).collect();
/// let before = set.clone(); // O(1)
/// set.remove(&7);
/// assert!((&before - &set).iter().eq([&7]));
/// assert_eq!(set.range(5..9).len(), 3);
/// ```
pub struct OrdSet<T> {
    pub(crate) map: OrdMap<T, ()>,
}

impl<T> OrdSet<T> {
    const_fn! {
        /// Makes an empty set. **O(1)**, allocates nothing.
        ///
        /// ```
        /// assert!(perennial::OrdSet::<u8>::new().is_empty());
        /// ```
        pub const fn new() -> Self {
            Self { map: OrdMap::new() }
        }
    }

    /// The number of items. **O(1)**.
    #[inline]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there are no items. **O(1)**.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Removes all items. See [`OrdMap::clear`].
    pub fn clear(&mut self) {
        self.map.clear();
    }

    /// Whether both sets are one version. See [`OrdMap::ptr_eq`].
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.map.ptr_eq(&other.map)
    }

    /// Loads everything that a restored set has not loaded yet. See [`OrdMap::load_all`].
    ///
    /// # Errors
    /// The first that reading or decoding a node answered; what could be loaded is loaded.
    pub fn load_all(&self) -> Result<()>
    where
        T: Send + Sync,
    {
        self.map.load_all()
    }

    /// Walks over all items in order, from both ends. See [`OrdMap::iter`].
    pub fn iter(&self) -> Iter<'_, T> {
        self.map.keys()
    }

    /// Walks over all items of a set that may be only partly loaded. See [`OrdMap::try_iter`].
    ///
    /// # Errors
    /// The first item says why the root could not be loaded; later ones, why some leaf could not.
    pub fn try_iter(&self) -> Result<TryIter<'_, T>> {
        Ok(TryIter(self.map.try_iter()?))
    }

    /// The lowest item. **O(log n)**.
    pub fn first(&self) -> Option<&T> {
        self.map.first_key_value().map(|(item, ())| item)
    }

    /// The highest item. **O(log n)**.
    pub fn last(&self) -> Option<&T> {
        self.map.last_key_value().map(|(item, ())| item)
    }

    /// The item at a position in the order, `None` past the end. **O(log n)**.
    ///
    /// ```
    /// assert_eq!(perennial::OrdSet::from([30, 10, 20]).get_index(1), Some(&20));
    /// ```
    pub fn get_index(&self, index: usize) -> Option<&T> {
        self.map.get_index(index).map(|(item, ())| item)
    }
}

impl<T: Ord> OrdSet<T> {
    /// The item that equals `item`. **O(log n)**.
    pub fn get<Q>(&self, item: &Q) -> Option<&T>
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.map.get_key_value(item).map(|(item, ())| item)
    }

    /// Whether the item is there, in a set that may be only partly loaded. **O(log n)**.
    ///
    /// # Errors
    /// What reading or decoding the nodes on the way answered.
    pub fn try_contains<Q>(&self, item: &Q) -> Result<bool>
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        Ok(self.map.try_get(item)?.is_some())
    }

    /// Whether the item is there. **O(log n)**.
    ///
    /// ```
    /// assert!(perennial::OrdSet::from([1, 2]).contains(&2));
    /// ```
    #[inline]
    pub fn contains<Q>(&self, item: &Q) -> bool
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.map.contains_key(item)
    }

    /// The highest item that is not above `item`. **O(log n)**.
    pub fn get_prev<Q>(&self, item: &Q) -> Option<&T>
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.map.get_prev(item).map(|(item, ())| item)
    }

    /// The lowest item that is not below `item`. **O(log n)**.
    pub fn get_next<Q>(&self, item: &Q) -> Option<&T>
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.map.get_next(item).map(|(item, ())| item)
    }

    /// How many items are below `item`, which need not be there. **O(log n)**.
    pub fn rank<Q>(&self, item: &Q) -> usize
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.map.rank(item)
    }

    /// The position of an item in the order, if it is there. **O(log n)**.
    pub fn index_of<Q>(&self, item: &Q) -> Option<usize>
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.map.index_of(item)
    }

    /// Walks over the items in `range`, from both ends. See [`OrdMap::range`].
    ///
    /// # Panics
    /// As std's: when the range starts after its end, or is empty with both ends excluded.
    pub fn range<Q, R>(&self, range: R) -> Range<'_, T>
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
        R: RangeBounds<Q>,
    {
        ord_map::Keys(self.map.range_of("OrdSet", range))
    }

    /// Walks over what changed from this set to `newer`, in order. See [`OrdMap::diff`]. Nothing is ever `Changed`.
    ///
    /// ```
    /// use perennial::{OrdSet, ord_map::DiffItem};
    /// let (old, new) = (OrdSet::from([1, 2]), OrdSet::from([2, 3]));
    /// let changes = [DiffItem::Removed { key: &1, old: &() }, DiffItem::Added { key: &3, new: &() }];
    /// assert!(old.diff(&new).eq(changes));
    /// ```
    pub fn diff<'a>(&'a self, newer: &'a Self) -> ord_map::Diff<'a, T, ()> {
        self.map.diff(&newer.map)
    }

    /// Whether `other` has all items of this set. See [`OrdMap::is_submap`] for the cost.
    ///
    /// ```
    /// use perennial::OrdSet;
    /// assert!(OrdSet::from([2]).is_subset(&OrdSet::from([1, 2])));
    /// ```
    pub fn is_subset(&self, other: &Self) -> bool {
        self.map.is_submap(&other.map)
    }

    /// Tells whether `other` has all items of this set, and others. See [`OrdMap::is_submap`] for the cost.
    ///
    /// ```
    /// use perennial::OrdSet;
    /// let set = OrdSet::from([1, 2]);
    /// assert!(OrdSet::from([2]).is_proper_subset(&set) && !set.is_proper_subset(&set));
    /// ```
    pub fn is_proper_subset(&self, other: &Self) -> bool {
        self.map.is_proper_submap(&other.map)
    }

    /// Whether this set has all items of `other`. See [`is_subset`](Self::is_subset).
    pub fn is_superset(&self, other: &Self) -> bool {
        other.is_subset(self)
    }

    /// Whether no item is in both. Looks for each item of the smaller set in the other: **O(k log n)**.
    ///
    /// ```
    /// use perennial::OrdSet;
    /// assert!(OrdSet::from([3]).is_disjoint(&OrdSet::from([1, 2])));
    /// ```
    pub fn is_disjoint(&self, other: &Self) -> bool {
        let (few, many) = if self.len() < other.len() { (self, other) } else { (other, self) };
        few.is_empty() || !few.ptr_eq(many) && !few.iter().any(|item| many.contains(item))
    }
}

impl<T: Ord + Clone> OrdSet<T> {
    /// Inserts an item; whether it was not there. One that is there is kept. **O(log n)**.
    ///
    /// ```
    /// let mut set = perennial::OrdSet::new();
    /// assert_eq!((set.insert(1), set.insert(1)), (true, false));
    /// ```
    pub fn insert(&mut self, item: T) -> bool {
        match self.map.entry(item) {
            ord_map::Entry::Vacant(entry) => {
                entry.insert_entry(());
                true
            }
            ord_map::Entry::Occupied(_) => false,
        }
    }

    /// Inserts an item, in place of one that equals it; that one. **O(log n)**.
    pub fn replace(&mut self, item: T) -> Option<T> {
        match self.map.replace_key(item) {
            Ok(old) => Some(old),
            Err(item) => {
                self.map.insert(item, ());
                None
            }
        }
    }

    /// Removes an item; whether it was there. **O(log n)**. If not, nothing is copied.
    pub fn remove<Q>(&mut self, item: &Q) -> bool
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.map.remove(item).is_some()
    }

    /// Removes an item and returns it. **O(log n)**. If it was not there, nothing is copied.
    pub fn take<Q>(&mut self, item: &Q) -> Option<T>
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.map.remove_entry(item).map(|(item, ())| item)
    }

    /// Takes the lowest item out. **O(log n)**.
    pub fn pop_first(&mut self) -> Option<T> {
        self.map.pop_first().map(|(item, ())| item)
    }

    /// Takes the highest item out. **O(log n)**.
    pub fn pop_last(&mut self) -> Option<T> {
        self.map.pop_last().map(|(item, ())| item)
    }

    /// Takes out the item at a position in the order. **O(log n)**.
    pub fn remove_index(&mut self, index: usize) -> Option<T> {
        self.map.remove_index(index).map(|(item, ())| item)
    }

    /// Keeps the items below `item` and returns the others. See [`OrdMap::split_off`].
    pub fn split_off<Q>(&mut self, item: &Q) -> Self
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        Self { map: self.map.split_off(item) }
    }

    /// The sets of the items below and above `item`, and whether it is there itself. See [`OrdMap::split_at_key`].
    pub fn split_at_item<Q>(&self, item: &Q) -> (Self, bool, Self)
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let (low, found, high) = self.map.split_at_key(item);
        (Self { map: low }, found.is_some(), Self { map: high })
    }

    /// Moves all items of `other` here. See [`OrdMap::append`].
    pub fn append(&mut self, other: &mut Self) {
        self.map.append(&mut other.map);
    }

    /// Takes out the items in `range`. See [`OrdMap::remove_range`].
    ///
    /// # Panics
    /// As [`range`](Self::range).
    pub fn remove_range<Q, R>(&mut self, range: R) -> Self
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
        R: RangeBounds<Q>,
    {
        Self { map: self.map.remove_range_of("OrdSet", range) }
    }

    /// Keeps the items for which `keep` answers true. See [`OrdMap::retain`].
    ///
    /// ```
    /// let mut set: perennial::OrdSet<u32> = (0..10).collect();
    /// set.retain(|item| item % 3 == 0);
    /// assert_eq!(set, [0, 3, 6, 9].into());
    /// ```
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.map.retain(|item, ()| keep(item));
    }

    /// Takes out, as it is iterated, the items in `range` for which `goes` answers true. See [`OrdMap::extract_if`].
    ///
    /// # Panics
    /// As [`range`](Self::range).
    ///
    /// ```
    /// let mut set: perennial::OrdSet<u32> = (0..10).collect();
    /// assert!(set.extract_if(4.., |item| item % 3 == 0).eq([6, 9]));
    /// assert_eq!(set.len(), 8);
    /// ```
    pub fn extract_if<Q, R, F>(&mut self, range: R, goes: F) -> ExtractIf<'_, T, F>
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
        R: RangeBounds<Q>,
        F: FnMut(&T) -> bool,
    {
        ExtractIf { extract: self.map.extract(range), goes }
    }

    /// The set of all items of both. See [`OrdMap::union`] for the cost.
    ///
    /// ```
    /// use perennial::OrdSet;
    /// assert_eq!(OrdSet::from([1, 2]).union(&OrdSet::from([2, 3])), [1, 2, 3].into());
    /// ```
    pub fn union(&self, other: &Self) -> Self {
        Self { map: self.map.union(&other.map) }
    }

    /// Makes the set of all items of several. See [`OrdMap::unions`].
    ///
    /// ```
    /// use perennial::OrdSet;
    /// assert_eq!(OrdSet::unions([[1, 2].into(), [2, 3].into(), [4].into()]), [1, 2, 3, 4].into());
    /// ```
    pub fn unions(sets: impl IntoIterator<Item = Self>) -> Self {
        Self { map: OrdMap::unions(sets.into_iter().map(|set| set.map)) }
    }

    /// The set of the items that are in both. See [`OrdMap::union`] for the cost.
    ///
    /// ```
    /// use perennial::OrdSet;
    /// assert_eq!(OrdSet::from([1, 2]).intersection(&OrdSet::from([2, 3])), [2].into());
    /// ```
    pub fn intersection(&self, other: &Self) -> Self {
        Self { map: self.map.intersection(&other.map) }
    }

    /// The set of the items that are not in `other`. See [`OrdMap::union`] for the cost.
    ///
    /// ```
    /// use perennial::OrdSet;
    /// assert_eq!(OrdSet::from([1, 2]).difference(&OrdSet::from([2, 3])), [1].into());
    /// ```
    pub fn difference(&self, other: &Self) -> Self {
        Self { map: self.map.difference(&other.map) }
    }

    /// The set of the items that are in one of both only. See [`OrdMap::union`] for the cost.
    ///
    /// ```
    /// use perennial::OrdSet;
    /// assert_eq!(OrdSet::from([1, 2]).symmetric_difference(&OrdSet::from([2, 3])), [1, 3].into());
    /// ```
    pub fn symmetric_difference(&self, other: &Self) -> Self {
        Self { map: self.map.symmetric_difference(&other.map) }
    }

    /// This set with the insertions and removals that led from `base` to `theirs`. Two sets cannot change one item in
    /// different ways, so there are no conflicts. See [`OrdMap::three_way_merge`].
    ///
    /// ```
    /// use perennial::OrdSet;
    /// let base = OrdSet::from([1, 2, 3]);
    /// let (mine, theirs) = (OrdSet::from([2, 3, 4]), OrdSet::from([1, 2, 5]));
    /// assert_eq!(mine.three_way_merge(&base, &theirs), [2, 4, 5].into());
    /// ```
    pub fn three_way_merge(&self, base: &Self, theirs: &Self) -> Self {
        Self { map: self.map.three_way_merge(&base.map, &theirs.map, |_, _, _, new| new.copied()) }
    }
}

macro_rules! operator {
    ($trait:ident, $operator:ident, $method:ident, $doc:literal) => {
        impl<T: Ord + Clone> $trait for &OrdSet<T> {
            type Output = OrdSet<T>;

            #[doc = $doc]
            fn $operator(self, other: Self) -> OrdSet<T> {
                self.$method(other)
            }
        }
    };
}

operator!(BitOr, bitor, union, "The items of both. See [`OrdSet::union`].");
operator!(BitAnd, bitand, intersection, "The items that are in both. See [`OrdSet::intersection`].");
operator!(
    BitXor,
    bitxor,
    symmetric_difference,
    "The items of one only. See [`OrdSet::symmetric_difference`]."
);
operator!(Sub, sub, difference, "The items that are not in the other. See [`OrdSet::difference`].");

impl<T: Clone> IntoIterator for OrdSet<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    /// Takes the items out, in order. **O(n)** for all.
    fn into_iter(self) -> IntoIter<T> {
        self.map.into_keys()
    }
}

impl<'a, T> IntoIterator for &'a OrdSet<T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> OrdSet<T> {
    /// Tells the meter of everything in memory that this holds, and `each` of the items of nodes that the meter did not know,
    /// so that it can tell of what these hold: see [`Footprint`](crate::footprint::Footprint). Nothing is loaded.
    ///
    /// ```
    /// use perennial::footprint::{Footprint, Meter, footprint};
    /// use perennial::{OrdSet, Vector};
    ///
    /// struct World(OrdSet<Vector<u64>>);
    /// impl Footprint for World {
    ///     fn measure(&self, meter: &mut Meter) {
    ///         self.0.measure_with(meter, |meter, items| items.measure(meter));
    ///     }
    /// }
    /// let items: Vector<u64> = (0..10_000).collect();
    /// let world = World(OrdSet::from([items]));
    /// assert!(footprint(&[world]).total_bytes > 80_000);
    /// ```
    pub fn measure_with(
        &self,
        meter: &mut crate::node::Meter,
        mut each: impl FnMut(&mut crate::node::Meter, &T),
    ) {
        self.map.measure_with(meter, |meter, item, ()| each(meter, item));
    }
}

impl<T> crate::node::Footprint for OrdSet<T> {
    fn measure(&self, meter: &mut crate::node::Meter) {
        self.map.measure(meter);
    }
}

impl<T: serde::de::DeserializeOwned + Ord + Clone> crate::node::Evict for OrdSet<T> {
    fn evict(&mut self, eviction: &mut crate::node::Eviction<'_>) {
        self.map.evict(eviction);
    }
}
