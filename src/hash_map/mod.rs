//! A persistent hash map: a canonical bucket trie with inline entries.

mod algebra;
mod convert;
mod diff;
mod entry;
mod extract;
mod hasher;
mod insert;
mod iter;
mod node;
mod order;
pub(crate) mod persist;
mod remove;
mod submap;
mod traits;

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

pub use diff::{Diff, DiffItem};
pub use entry::{Entry, OccupiedEntry, VacantEntry};
pub use extract::ExtractIf;
pub use hasher::{SeedAccess, SeededHasher, SeededState, StableBuildHasher};
pub use iter::{IntoIter, IntoKeys, IntoValues, Iter, IterMut, Keys, TryIter, Values, ValuesMut};

pub(crate) use extract::Extract;
pub(crate) use iter::Entries;
pub(crate) use node::Prefix;

use crate::error::Result;
use crate::node::load_all;
use crate::node::{IntoLeaves, LeavesMut, NodeRef};
use crate::sync::const_fn;
use node::{ROOT, Tree};
use order::{Ties, ties_of};

/// A hash map whose clones share what they have in common.
///
/// `clone` is **O(1)**; a change copies only the nodes on the way to it that a clone still holds, and nothing where
/// none does.
///
/// **Iteration order** is a function of the keys and of the hasher (its algorithm and its seed): two maps of one type with
/// equal keys and one seed are walked over in the same order, however each came to be, restored or not. So are all
/// iterators, `drain`, `retain`, `extract_if`, and what `diff` reports. It says nothing about insertion. (Keys whose hashes
/// are equal in all 64 bits, in the map's hash and in a second one, come in an order that depends on history; so does it
/// if `Hash` lies. A map restored from a type whose entries had another size may be ordered otherwise than one made anew.)
///
/// | operation | cost |
/// |---|---|
/// | `clone`, `len`, `ptr_eq` | O(1) |
/// | `get`, `insert`, `remove`, `entry` | O(log n), about log16(n / 16) branches and one leaf |
/// | `==`, `diff` of versions with k differences | O(k log n) |
/// | `union`, `intersection`, `difference`, `three_way_merge`, … of such versions | O(k log n) |
/// | iteration, `retain`, `extract_if` | O(n), and O(log n) for each entry that goes |
///
/// A map of `u64` to `u64` takes 20 to 25 bytes an entry at any size from a thousand entries on (allocated bytes).
///
/// *Algorithm:* a hash trie (Bagwell, "Ideal Hash Trees", 2001; made canonical as in Steindorfer and Vinju, "Optimizing
/// Hash-Array Mapped Tries", 2015) whose leaves are buckets probed by one-byte tags (as in Abseil's Swiss tables), with
/// bucket ranges that halve as in extendible hashing (Fagin et al., 1979). See
/// [`docs::design`](crate::docs::design).
///
/// # In a generic type
/// Nodes load when the reader of the rest has gone, so `#[derive(Deserialize)]` on a type with a parameter needs a line, which
/// names each field whose type has the parameter:
///
/// ```
/// use perennial::HashMap;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// #[serde(bound(deserialize = "HashMap<K, V>: Deserialize<'de>"))]
/// struct Board<K, V> {
///     items: HashMap<K, V>,
/// }
/// let board: Board<u32, String> = serde_json::from_str(r#"{ "items": { "7": "ada" } }"#)?;
/// assert_eq!(board.items.len(), 1);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// ```
/// use perennial::HashMap;
///
/// let mut players: HashMap<u32, &str> = HashMap::new();
/// players.insert(1, "ada");
/// let before = players.clone(); // O(1)
/// players.insert(1, "bob");
/// assert_eq!((before[&1], players[&1]), ("ada", "bob"));
/// ```
pub struct HashMap<K, V, S = SeededState> {
    tree: Tree<K, V>,
    len: usize,
    leaf_capacity: u32,
    hash_builder: S,
    /// Set anew with each key that comes in: it is of the type that the keys have then.
    ties: Ties<K>,
}

impl<K, V> HashMap<K, V> {
    /// Makes an empty map with this process's seed. **O(1)**, allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an empty map with a seed of your choice, for results that are the same in every process. **O(1)**.
    ///
    /// The seed is enough to make keys that collide.
    ///
    /// ```
    /// use perennial::HashMap;
    ///
    /// let one: HashMap<u32, u32> = (0..99).map(|n| (n, n)).collect();
    /// let mut two = HashMap::with_seed(42);
    /// two.extend(one.clone());
    /// assert_eq!(one, two); // maps of different seeds compare key by key
    /// ```
    pub fn with_seed(seed: u64) -> Self {
        Self::with_hasher(SeededState::new(seed))
    }
}

impl<K, V, S> HashMap<K, V, S> {
    const_fn! {
        /// Makes an empty map with this hasher. **O(1)**, allocates nothing.
        pub const fn with_hasher(hash_builder: S) -> Self {
            Self {
                tree: Tree::empty(),
                len: 0,
                leaf_capacity: node::leaf_capacity::<(K, V)>() as u32,
                hash_builder,
                ties: None,
            }
        }
    }

    /// The hasher.
    pub fn hasher(&self) -> &S {
        &self.hash_builder
    }

    /// The number of entries. **O(1)**.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no entries. **O(1)**.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Removes all entries; keeps the hasher. **O(1)** if a clone holds them, else **O(n)** to drop them.
    pub fn clear(&mut self) {
        self.len = 0;
        self.tree.set(None);
    }

    /// Whether both maps are one version: they share their root. **O(1)**; `false` says nothing about contents.
    ///
    /// ```
    /// let mut map = perennial::HashMap::from([(1, 2)]);
    /// let snapshot = map.clone();
    /// assert!(map.ptr_eq(&snapshot));
    /// map.insert(3, 4);
    /// assert!(!map.ptr_eq(&snapshot));
    /// ```
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.tree.same(&other.tree)
    }

    /// The root node, loaded.
    pub(crate) fn root(&self) -> Option<NodeRef<'_, (K, V), Prefix>> {
        self.tree.get(|| ROOT)
    }

    /// The entries below a node of this map.
    pub(crate) fn entries_below<'a>(&self, node: Option<NodeRef<'a, (K, V), Prefix>>) -> Entries<'a, K, V> {
        Entries::new(node, self.ties)
    }

    /// Walks over all entries. **O(1)** to start, **O(n)** for all.
    ///
    /// # Panics
    /// With the store's [`Error`](crate::Error) where an entry of a restored map cannot be loaded;
    /// [`try_iter`](Self::try_iter) returns it.
    ///
    /// ```
    /// let map = perennial::HashMap::from([(1, 10), (2, 20)]);
    /// assert_eq!(map.iter().map(|(key, value)| key * value).sum::<i32>(), 50);
    /// ```
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter::new(self.entries_below(self.root()), self.len)
    }

    /// Walks over all entries of a map that may be only partly loaded. **O(n)** for all.
    ///
    /// # Errors
    /// The first item says why the root could not be loaded; later ones, why some leaf could not. The walk goes on
    /// with what follows.
    pub fn try_iter(&self) -> Result<TryIter<'_, K, V>> {
        Ok(TryIter { entries: self.entries_below(self.tree.try_get(|| ROOT)?) })
    }

    /// Loads everything that a restored map has not loaded yet, in the order of the log and on all cores. **O(n)**.
    ///
    /// After it no read of this map can fail. Collections inside its values load on their own.
    ///
    /// # Errors
    /// The first that reading or decoding a node answered; what could be loaded is loaded.
    pub fn load_all(&self) -> Result<()>
    where
        K: Send + Sync,
        V: Send + Sync,
    {
        load_all(&self.tree, ROOT)
    }

    /// Walks over all keys. See [`iter`](Self::iter).
    pub fn keys(&self) -> Keys<'_, K, V> {
        Keys(self.iter())
    }

    /// Walks over all values. See [`iter`](Self::iter).
    pub fn values(&self) -> Values<'_, K, V> {
        Values(self.iter())
    }

    /// Takes all keys out, in the order of [`iter`](Self::iter). **O(n)** for all.
    ///
    /// ```
    /// assert!(perennial::HashMap::from([(1, 'a')]).into_keys().eq([1]));
    /// ```
    pub fn into_keys(self) -> IntoKeys<K, V>
    where
        K: Clone,
        V: Clone,
    {
        IntoKeys(self.into_iter())
    }

    /// Takes all values out, in the order of [`iter`](Self::iter). **O(n)** for all.
    ///
    /// ```
    /// assert!(perennial::HashMap::from([(1, 'a')]).into_values().eq(['a']));
    /// ```
    pub fn into_values(self) -> IntoValues<K, V>
    where
        K: Clone,
        V: Clone,
    {
        IntoValues(self.into_iter())
    }

    /// Takes all entries out and leaves the map empty, at once; the hasher stays. **O(n)** for all.
    ///
    /// ```
    /// let mut map = perennial::HashMap::from([(1, 'a')]);
    /// assert!(map.drain().eq([(1, 'a')]));
    /// assert!(map.is_empty());
    /// ```
    pub fn drain(&mut self) -> IntoIter<K, V>
    where
        K: Clone,
        V: Clone,
    {
        let tree = self.tree.take(|| ROOT);
        IntoIter::new(IntoLeaves::new(tree), self.ties, std::mem::take(&mut self.len))
    }

    /// Walks over all entries with mutable values. **O(n)**: copies, leaf by leaf as it comes to them, what a clone
    /// still holds, and counts every leaf it comes to as changed; for few changes use [`get_mut`](Self::get_mut).
    ///
    /// ```
    /// let mut map = perennial::HashMap::from([(1, 10), (2, 20)]);
    /// map.iter_mut().for_each(|(_, value)| *value += 1);
    /// assert_eq!((map[&1], map[&2]), (11, 21));
    /// ```
    pub fn iter_mut(&mut self) -> IterMut<'_, K, V>
    where
        K: Clone,
        V: Clone,
    {
        let left = self.len;
        IterMut::new(LeavesMut::new(self.tree.get_mut(|| ROOT)), self.ties, left)
    }

    /// Walks over all values, mutable. See [`iter_mut`](Self::iter_mut).
    pub fn values_mut(&mut self) -> ValuesMut<'_, K, V>
    where
        K: Clone,
        V: Clone,
    {
        ValuesMut(self.iter_mut())
    }
}

impl<K, V, S> HashMap<K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    #[inline]
    fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hash_builder.hash_one(key)
    }

    /// The value of a key. **O(log n)**, no allocation, never blocks.
    ///
    /// # Panics
    /// With the store's [`Error`](crate::Error) if a restored map cannot load what it needs;
    /// [`try_get`](Self::try_get) returns it.
    ///
    /// ```
    /// let map = perennial::HashMap::from([("ada".to_string(), 1)]);
    /// assert_eq!((map.get("ada"), map.get("bob")), (Some(&1), None));
    /// ```
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get_key_value(key).map(|(_, value)| value)
    }

    /// The entry of a key. See [`get`](Self::get).
    #[inline]
    pub fn get_key_value<Q>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.entry_of(key).map(|(key, value)| (key, value))
    }

    /// The entry of a key, as it lies in its leaf.
    #[inline]
    fn entry_of<Q>(&self, key: &Q) -> Option<&(K, V)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        node::find(&self.tree, self.hash(key), |other| other.borrow() == key).map(|(_, entry)| entry)
    }

    /// The value of a key in a map that may be only partly loaded. **O(log n)**.
    ///
    /// # Errors
    /// What reading or decoding the nodes on the way answered.
    pub fn try_get<Q>(&self, key: &Q) -> Result<Option<&V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        node::load_path(&self.tree, hash)?;
        Ok(node::find(&self.tree, hash, |other| other.borrow() == key).map(|(_, entry)| &entry.1))
    }

    /// Whether the key is there. See [`get`](Self::get).
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get(key).is_some()
    }

    /// Iterates over the changes from this map to `newer`, in an order that the two decide. **O(d log n)** for d differences: what the two share is
    /// passed over, also what neither has loaded.
    ///
    /// Maps of different seeds have no nodes in common and are compared key by key, **O(n)**.
    ///
    /// ```
    /// use perennial::{HashMap, hash_map::DiffItem};
    ///
    /// let old: HashMap<u32, u32> = (0..1000).map(|n| (n, n)).collect();
    /// let mut new = old.clone();
    /// new.insert(7, 70);
    /// let changes: Vec<_> = old.diff(&new).collect();
    /// assert_eq!(changes, [DiffItem::Changed { key: &7, old: &7, new: &70 }]);
    /// ```
    pub fn diff<'a>(&'a self, newer: &'a Self) -> Diff<'a, K, V, S>
    where
        V: PartialEq,
    {
        Diff::new(self, newer)
    }

    /// Whether keys lie at the same places in both maps.
    fn same_layout(&self, other: &Self) -> bool {
        // One probe tells two seeds apart; a hasher that answers alike here and not elsewhere is found by look-ups.
        self.leaf_capacity == other.leaf_capacity
            && [0u64, u64::MAX]
                .iter()
                .all(|probe| self.hash_builder.hash_one(probe) == other.hash_builder.hash_one(probe))
    }
}

impl<K, V, S> HashMap<K, V, S>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher,
{
    /// Inserts an entry; the value that the key had. **O(log n)**. As in std, a key that is there is kept.
    ///
    /// ```
    /// let mut map = perennial::HashMap::new();
    /// assert_eq!(map.insert("ada", 1), None);
    /// assert_eq!(map.insert("ada", 2), Some(1));
    /// ```
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let hash = self.hash(&key);
        let capacity = self.leaf_capacity as usize;
        let old = insert::insert(&mut self.tree, capacity, &self.hash_builder, hash, key, value);
        if old.is_none() {
            self.len += 1;
            self.ties = ties_of();
        }
        old
    }

    /// Removes a key; its value. **O(log n)**. If the key is absent nothing is copied or marked changed.
    pub fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.remove_entry(key).map(|(_, value)| value)
    }

    /// Removes a key; its entry. See [`remove`](Self::remove).
    pub fn remove_entry<Q>(&mut self, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let (index, _) = node::find(&self.tree, hash, |other| other.borrow() == key)?;
        Some(self.remove_at(hash, index))
    }

    fn remove_at(&mut self, hash: u64, index: usize) -> (K, V) {
        let entry = remove::remove(&mut self.tree, self.leaf_capacity as usize, hash, index);
        self.len -= 1;
        entry
    }

    /// The value of a key, to change it. **O(log n)**. If the key is absent nothing is copied or marked changed.
    ///
    /// ```
    /// let mut map = perennial::HashMap::from([("ada", 1)]);
    /// if let Some(value) = map.get_mut("ada") {
    ///     *value += 1;
    /// }
    /// assert_eq!(map["ada"], 2);
    /// ```
    pub fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let (index, _) = node::find(&self.tree, hash, |other| other.borrow() == key)?;
        node::value_mut(&mut self.tree, hash, index)
    }

    /// The place of a key, for changes that depend on whether it is there. **O(log n)**. Looking copies nothing.
    pub fn entry(&mut self, key: K) -> Entry<'_, K, V, S> {
        let hash = self.hash(&key);
        match node::find(&self.tree, hash, |other| *other == key) {
            Some((index, _)) => Entry::Occupied(OccupiedEntry { map: self, hash, index }),
            None => Entry::Vacant(VacantEntry { map: self, hash, key }),
        }
    }

    /// Makes a map of entries, each node once and full size; of equal keys the first key and the last value stay.
    fn build(hash_builder: S, entries: impl IntoIterator<Item = (K, V)>) -> Self {
        let mut map = Self::with_hasher(hash_builder);
        let hashed = entries.into_iter().map(|entry| (map.hash(&entry.0), entry)).collect();
        (map.tree, map.len) = insert::build(hashed, map.leaf_capacity as usize);
        map.ties = ties_of();
        map
    }

    /// Inserts a key that is known to be absent; its position in its leaf.
    fn insert_new(&mut self, hash: u64, key: K, value: V) -> usize {
        insert::insert(&mut self.tree, self.leaf_capacity as usize, &self.hash_builder, hash, key, value);
        self.len += 1;
        self.ties = ties_of();
        insert::newest(&self.tree, hash).expect("just inserted")
    }

    /// Inserts an entry; where the key is there, both key and value are replaced.
    fn put(&mut self, key: K, value: V) {
        let hash = self.hash(&key);
        match node::find(&self.tree, hash, |other| *other == key) {
            Some((index, _)) => {
                let place = node::entry_mut(&mut self.tree, hash, index).expect("the key was found");
                // What is replaced is dropped when the map is whole.
                let _old = std::mem::replace(place, (key, value));
                self.ties = ties_of();
            }
            None => drop(self.insert_new(hash, key, value)),
        }
    }
}

impl<K, V, S: Clone> Clone for HashMap<K, V, S> {
    /// Makes another version that shares everything. **O(1)**: one reference count.
    #[inline]
    fn clone(&self) -> Self {
        Self {
            tree: self.tree.clone(),
            len: self.len,
            leaf_capacity: self.leaf_capacity,
            hash_builder: self.hash_builder.clone(),
            ties: self.ties,
        }
    }
}

#[cfg(test)]
mod tests;
