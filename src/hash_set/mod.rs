//! A hash set with O(1) snapshots: a [`HashMap`] whose values are `()`.

mod convert;
mod iter;
mod persist;
mod traits;

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::ops::{BitAnd, BitOr, BitXor, Sub};

pub use iter::{ExtractIf, IntoIter, Iter, TryIter};

use crate::error::Result;
use crate::hash_map::{self, HashMap, SeededState};
use crate::sync::const_fn;

/// A hash set whose clones share what they have in common.
///
/// It reads as [`HashSet`](std::collections::HashSet) of std does and costs what a [`HashMap`] costs. Where std returns an
/// iterator of what two sets have in common, this returns a set, which shares nodes with them.
///
/// # In a generic type
/// Nodes load when the reader of the rest has gone, so `#[derive(Deserialize)]` on a type with a parameter needs a line, which
/// names each field whose type has the parameter:
///
/// ```
/// use perennial::HashSet;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// #[serde(bound(deserialize = "HashSet<T>: Deserialize<'de>"))]
/// struct Board<T> {
///     items: HashSet<T>,
/// }
/// let board: Board<u32> = serde_json::from_str(r#"{ "items": [7] }"#)?;
/// assert_eq!(board.items.len(), 1);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// ```
/// use perennial::HashSet;
///
/// let mut set: HashSet<u32> = (0..1000).collect();
/// let before = set.clone(); // O(1)
/// set.remove(&7);
/// assert_eq!(&before - &set, [7].into());
/// assert!(set.is_subset(&before));
/// ```
pub struct HashSet<T, S = SeededState> {
    pub(crate) map: HashMap<T, (), S>,
}

impl<T> HashSet<T> {
    /// Makes an empty set with this process's seed. **O(1)**, allocates nothing.
    ///
    /// ```
    /// assert!(perennial::HashSet::<u8>::new().is_empty());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an empty set; the capacity is ignored: nodes are allocated when items come. **O(1)**, allocates nothing.
    ///
    /// ```
    /// assert!(perennial::HashSet::<u8>::with_capacity(1000).is_empty());
    /// ```
    pub fn with_capacity(_capacity: usize) -> Self {
        Self::new()
    }

    /// Makes an empty set with a seed of your choice. See [`HashMap::with_seed`].
    pub fn with_seed(seed: u64) -> Self {
        Self { map: HashMap::with_seed(seed) }
    }
}

impl<T, S> HashSet<T, S> {
    const_fn! {
        /// Makes an empty set with this hasher. **O(1)**, allocates nothing.
        pub const fn with_hasher(hash_builder: S) -> Self {
            Self { map: HashMap::with_hasher(hash_builder) }
        }
    }

    /// Makes an empty set with this hasher; the capacity is ignored. **O(1)**, allocates nothing.
    pub fn with_capacity_and_hasher(_capacity: usize, hash_builder: S) -> Self {
        Self::with_hasher(hash_builder)
    }

    /// Does nothing: nodes are allocated when items come. **O(1)**.
    pub fn reserve(&mut self, _additional: usize) {}

    /// Does nothing: leaves grow by steps, and have little spare room. **O(1)**.
    pub fn shrink_to_fit(&mut self) {}

    /// The hasher.
    pub fn hasher(&self) -> &S {
        self.map.hasher()
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

    /// Removes all items; keeps the hasher. See [`HashMap::clear`].
    pub fn clear(&mut self) {
        self.map.clear();
    }

    /// Whether both sets are one version. See [`HashMap::ptr_eq`].
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.map.ptr_eq(&other.map)
    }

    /// Loads everything that a restored set has not loaded yet. See [`HashMap::load_all`].
    ///
    /// # Errors
    /// The first that reading or decoding a node answered; what could be loaded is loaded.
    pub fn load_all(&self) -> Result<()>
    where
        T: Send + Sync,
    {
        self.map.load_all()
    }

    /// Walks over all items, in no order. See [`HashMap::iter`].
    ///
    /// ```
    /// assert_eq!(perennial::HashSet::from([1, 2]).iter().sum::<i32>(), 3);
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        self.map.keys()
    }

    /// Walks over all items of a set that may be only partly loaded. See [`HashMap::try_iter`].
    ///
    /// # Errors
    /// The first item says why the root could not be loaded; later ones, why some leaf could not.
    pub fn try_iter(&self) -> Result<TryIter<'_, T>> {
        Ok(TryIter(self.map.try_iter()?))
    }

    /// Takes all items out and leaves the set empty, at once. See [`HashMap::drain`].
    ///
    /// ```
    /// let mut set = perennial::HashSet::from([1]);
    /// assert!(set.drain().eq([1]) && set.is_empty());
    /// ```
    pub fn drain(&mut self) -> IntoIter<T>
    where
        T: Clone,
    {
        hash_map::IntoKeys(self.map.drain())
    }
}

impl<T: Hash + Eq, S: BuildHasher> HashSet<T, S> {
    /// The item that equals `item`. **O(log n)**.
    ///
    /// ```
    /// let set = perennial::HashSet::from(["ada".to_string()]);
    /// assert_eq!(set.get("ada"), Some(&"ada".to_string()));
    /// ```
    pub fn get<Q>(&self, item: &Q) -> Option<&T>
    where
        T: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
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
        Q: Hash + Eq + ?Sized,
    {
        Ok(self.map.try_get(item)?.is_some())
    }

    /// Whether the item is there. **O(log n)**.
    ///
    /// ```
    /// assert!(perennial::HashSet::from([1, 2]).contains(&2));
    /// ```
    #[inline]
    pub fn contains<Q>(&self, item: &Q) -> bool
    where
        T: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.contains_key(item)
    }

    /// Walks over what changed from this set to `newer`. See [`HashMap::diff`]. Nothing is ever `Changed`.
    ///
    /// ```
    /// use perennial::{HashSet, hash_map::DiffItem};
    /// let (old, new) = (HashSet::from([1, 2]), HashSet::from([2]));
    /// assert!(old.diff(&new).eq([DiffItem::Removed { key: &1, old: &() }]));
    /// ```
    pub fn diff<'a>(&'a self, newer: &'a Self) -> hash_map::Diff<'a, T, (), S> {
        self.map.diff(&newer.map)
    }

    /// Whether `other` has all items of this set. See [`HashMap::is_submap`] for the cost.
    ///
    /// ```
    /// use perennial::HashSet;
    /// assert!(HashSet::from([2]).is_subset(&HashSet::from([1, 2])));
    /// ```
    pub fn is_subset(&self, other: &Self) -> bool {
        self.map.is_submap(&other.map)
    }

    /// Tells whether `other` has all items of this set, and others. See [`HashMap::is_submap`] for the cost.
    ///
    /// ```
    /// use perennial::HashSet;
    /// let set = HashSet::from([1, 2]);
    /// assert!(HashSet::from([2]).is_proper_subset(&set) && !set.is_proper_subset(&set));
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
    /// use perennial::HashSet;
    /// assert!(HashSet::from([3]).is_disjoint(&HashSet::from([1, 2])));
    /// ```
    pub fn is_disjoint(&self, other: &Self) -> bool {
        let (few, many) = if self.len() < other.len() { (self, other) } else { (other, self) };
        few.is_empty() || !few.ptr_eq(many) && !few.iter().any(|item| many.contains(item))
    }
}

impl<T: Hash + Eq + Clone, S: BuildHasher> HashSet<T, S> {
    /// Inserts an item; whether it was not there. One that is there is kept, and nothing is copied. **O(log n)**.
    ///
    /// ```
    /// let mut set = perennial::HashSet::new();
    /// assert_eq!((set.insert(1), set.insert(1)), (true, false));
    /// ```
    pub fn insert(&mut self, item: T) -> bool {
        !self.map.contains_key(&item) && self.map.insert(item, ()).is_none()
    }

    /// Inserts an item, in place of one that equals it; that one. **O(log n)**.
    ///
    /// ```
    /// let mut set = perennial::HashSet::from([1]);
    /// assert_eq!((set.replace(1), set.replace(2), set.len()), (Some(1), None, 2));
    /// ```
    pub fn replace(&mut self, item: T) -> Option<T> {
        let old = self.take(&item);
        self.map.insert(item, ());
        old
    }

    /// Removes an item; whether it was there. **O(log n)**. If not, nothing is copied.
    ///
    /// ```
    /// let mut set = perennial::HashSet::from(["ada"]);
    /// assert_eq!((set.remove("ada"), set.remove("ada")), (true, false));
    /// ```
    pub fn remove<Q>(&mut self, item: &Q) -> bool
    where
        T: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.remove(item).is_some()
    }

    /// Removes an item and returns it. **O(log n)**. If it was not there, nothing is copied.
    ///
    /// ```
    /// assert_eq!(perennial::HashSet::from([1]).take(&1), Some(1));
    /// ```
    pub fn take<Q>(&mut self, item: &Q) -> Option<T>
    where
        T: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.remove_entry(item).map(|(item, ())| item)
    }

    /// Keeps the items for which `keep` answers true. See [`HashMap::retain`].
    ///
    /// ```
    /// let mut set: perennial::HashSet<u32> = (0..10).collect();
    /// set.retain(|item| item % 3 == 0);
    /// assert_eq!(set, [0, 3, 6, 9].into());
    /// ```
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.map.retain(|item, ()| keep(item));
    }

    /// Takes out, as it is iterated, the items for which `goes` answers true. See [`HashMap::extract_if`].
    ///
    /// ```
    /// let mut set: perennial::HashSet<u32> = (0..10).collect();
    /// assert_eq!(set.extract_if(|item| item % 3 == 0).count(), 4);
    /// assert_eq!(set.len(), 6);
    /// ```
    pub fn extract_if<F: FnMut(&T) -> bool>(&mut self, goes: F) -> ExtractIf<'_, T, S, F> {
        ExtractIf::new(&mut self.map, goes)
    }
}

impl<T: Hash + Eq + Clone, S: BuildHasher + Clone> HashSet<T, S> {
    /// The set of all items of both. See [`HashMap::union`] for the cost.
    ///
    /// ```
    /// use perennial::HashSet;
    /// assert_eq!(HashSet::from([1, 2]).union(&HashSet::from([2, 3])), [1, 2, 3].into());
    /// ```
    pub fn union(&self, other: &Self) -> Self {
        Self { map: self.map.union(&other.map) }
    }

    /// Makes the set of all items of several. See [`HashMap::unions`].
    ///
    /// ```
    /// use perennial::HashSet;
    /// assert_eq!(HashSet::unions([[1, 2].into(), [2, 3].into(), [4].into()]), [1, 2, 3, 4].into());
    /// ```
    pub fn unions(sets: impl IntoIterator<Item = Self>) -> Self
    where
        S: Default,
    {
        Self { map: HashMap::unions(sets.into_iter().map(|set| set.map)) }
    }

    /// The set of the items that are in both. See [`HashMap::union`] for the cost.
    ///
    /// ```
    /// use perennial::HashSet;
    /// assert_eq!(HashSet::from([1, 2]).intersection(&HashSet::from([2, 3])), [2].into());
    /// ```
    pub fn intersection(&self, other: &Self) -> Self {
        Self { map: self.map.intersection(&other.map) }
    }

    /// The set of the items that are not in `other`. See [`HashMap::union`] for the cost.
    ///
    /// ```
    /// use perennial::HashSet;
    /// assert_eq!(HashSet::from([1, 2]).difference(&HashSet::from([2, 3])), [1].into());
    /// ```
    pub fn difference(&self, other: &Self) -> Self {
        Self { map: self.map.difference(&other.map) }
    }

    /// The set of the items that are in one of both only. See [`HashMap::union`] for the cost.
    ///
    /// ```
    /// use perennial::HashSet;
    /// assert_eq!(HashSet::from([1, 2]).symmetric_difference(&HashSet::from([2, 3])), [1, 3].into());
    /// ```
    pub fn symmetric_difference(&self, other: &Self) -> Self {
        Self { map: self.map.symmetric_difference(&other.map) }
    }

    /// This set with the insertions and removals that led from `base` to `theirs`. Two sets cannot change one item in
    /// different ways, so there are no conflicts. See [`HashMap::three_way_merge`].
    ///
    /// ```
    /// use perennial::HashSet;
    /// let base = HashSet::from([1, 2, 3]);
    /// let (mine, theirs) = (HashSet::from([2, 3, 4]), HashSet::from([1, 2, 5]));
    /// assert_eq!(mine.three_way_merge(&base, &theirs), [2, 4, 5].into());
    /// ```
    pub fn three_way_merge(&self, base: &Self, theirs: &Self) -> Self {
        Self { map: self.map.three_way_merge(&base.map, &theirs.map, |_, _, _, new| new.copied()) }
    }
}

macro_rules! operator {
    ($trait:ident, $operator:ident, $method:ident, $doc:literal) => {
        impl<T: Hash + Eq + Clone, S: BuildHasher + Clone> $trait for &HashSet<T, S> {
            type Output = HashSet<T, S>;

            #[doc = $doc]
            fn $operator(self, other: Self) -> HashSet<T, S> {
                self.$method(other)
            }
        }
    };
}

operator!(BitOr, bitor, union, "The items of both. See [`HashSet::union`].");
operator!(BitAnd, bitand, intersection, "The items that are in both. See [`HashSet::intersection`].");
operator!(
    BitXor,
    bitxor,
    symmetric_difference,
    "The items of one only. See [`HashSet::symmetric_difference`]."
);
operator!(Sub, sub, difference, "The items that are not in the other. See [`HashSet::difference`].");
