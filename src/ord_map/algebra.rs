//! Union, intersection, difference: one walk over two maps, from which a third is put together.
//!
//! What both share is taken, or left out, as whole nodes, and so is what lies between two keys of the other map. Nodes
//! are joined to the result as trees of their own, entries in between collect in leaves.

use std::mem;

use super::OrdMap;
use super::node::Leaf;
use super::tree::Tree;
use super::walk::{Part, Step, Walk};
use crate::node::{Node, OwnedLeaf};

/// Which parts of two maps belong to a third.
#[derive(Clone, Copy)]
pub(super) struct Pick {
    shared: bool,
    old: bool,
    new: bool,
}

impl Pick {
    pub(super) const UNION: Self = Self { shared: true, old: true, new: true };
    const INTERSECTION: Self = Self { shared: true, old: false, new: false };
    const DIFFERENCE: Self = Self { shared: false, old: true, new: false };
    const SYMMETRIC_DIFFERENCE: Self = Self { shared: false, old: true, new: true };

    /// The tree of what belongs to it; `both` makes the entry of a key that both have.
    pub(super) fn combine<K: Ord + Clone, V: Clone>(
        self,
        old: &Tree<K, V>,
        new: &Tree<K, V>,
        mut both: impl FnMut(&(K, V), &(K, V)) -> Option<(K, V)>,
    ) -> Tree<K, V> {
        let mut result = Result { tree: Tree::empty(), leaf: empty_leaf() };
        for step in Walk::new(old, new) {
            match step {
                Step::Shared(part) if self.shared => result.push(part),
                Step::Old(part) if self.old => result.push(part),
                Step::New(part) if self.new => result.push(part),
                Step::Both(old, new) => {
                    if let Some(entry) = both(old, new) {
                        result.push_entry(entry);
                    }
                }
                _ => {}
            }
        }
        result.finish()
    }
}

fn empty_leaf<K, V>() -> OwnedLeaf<(K, V)> {
    OwnedLeaf::with_capacity(Leaf::<(K, V)>::CAPACITY, false)
}

/// What was put together so far, and entries that come behind it.
struct Result<K, V> {
    tree: Tree<K, V>,
    leaf: OwnedLeaf<(K, V)>,
}

impl<K: Clone, V: Clone> Result<K, V> {
    fn push(&mut self, part: Part<'_, K, V>) {
        if let Part::Entry(entry) = part {
            return self.push_entry(entry.clone());
        }
        if let Some(mut more) = part.to_tree() {
            // On the right edge a branch may have one child, but no root may.
            while more.collapse() {}
            self.close_leaf();
            self.join(more);
        }
    }

    fn push_entry(&mut self, entry: (K, V)) {
        if self.leaf.as_ref().len() == Leaf::<(K, V)>::CAPACITY {
            self.close_leaf();
        }
        self.leaf.push(entry, None);
    }

    fn close_leaf(&mut self) {
        let len = self.leaf.as_ref().len();
        if len > 0 {
            let leaf = mem::replace(&mut self.leaf, empty_leaf());
            let leaf = if len < Leaf::<(K, V)>::CAPACITY {
                leaf.resized(Leaf::<(K, V)>::room_for(len))
            } else {
                leaf
            };
            self.join(Tree::of(Some(Node::from_leaf(leaf))));
        }
    }

    fn join(&mut self, more: Tree<K, V>) {
        self.tree = Tree::join(mem::replace(&mut self.tree, Tree::empty()), more);
    }

    fn finish(mut self) -> Tree<K, V> {
        self.close_leaf();
        self.tree
    }
}

impl<K: Ord + Clone, V: Clone> OrdMap<K, V> {
    /// The map of all entries of both; of keys that both have, the entry of this one.
    ///
    /// **O(d log n)** for d differences between versions of one map, or the keys of the smaller of two maps that have
    /// nothing in common: nodes that both share, and nodes between two keys of the other map, are taken over whole. So
    /// are the costs of the operations below.
    ///
    /// ```
    /// use perennial::OrdMap;
    /// let (a, b) = (OrdMap::from([(1, 'a'), (2, 'a')]), OrdMap::from([(2, 'b'), (3, 'b')]));
    /// assert_eq!(a.union(&b), [(1, 'a'), (2, 'a'), (3, 'b')].into());
    /// ```
    pub fn union(&self, other: &Self) -> Self {
        self.combined(other, Pick::UNION, |mine, _| Some(mine.clone()))
    }

    /// Makes the map of all entries of several; of keys that more than one has, the entry of the first. The cost is that of
    /// one [`union`](Self::union) for each.
    ///
    /// ```
    /// use perennial::OrdMap;
    /// let maps = [OrdMap::from([(1, 'a')]), OrdMap::from([(1, 'b'), (2, 'b')]), OrdMap::from([(3, 'c')])];
    /// assert_eq!(OrdMap::unions(maps), [(1, 'a'), (2, 'b'), (3, 'c')].into());
    /// ```
    pub fn unions(maps: impl IntoIterator<Item = Self>) -> Self {
        maps.into_iter().reduce(|all, map| all.union(&map)).unwrap_or_default()
    }

    /// The map of the entries of this one whose keys `other` has too. See [`union`](Self::union) for the cost.
    ///
    /// ```
    /// use perennial::OrdMap;
    /// let (a, b) = (OrdMap::from([(1, 'a'), (2, 'a')]), OrdMap::from([(2, 'b'), (3, 'b')]));
    /// assert_eq!(a.intersection(&b), [(2, 'a')].into());
    /// ```
    pub fn intersection(&self, other: &Self) -> Self {
        self.combined(other, Pick::INTERSECTION, |mine, _| Some(mine.clone()))
    }

    /// The map of the entries of this one whose keys `other` has not. See [`union`](Self::union) for the cost.
    ///
    /// ```
    /// use perennial::OrdMap;
    /// let (a, b) = (OrdMap::from([(1, 'a'), (2, 'a')]), OrdMap::from([(2, 'b'), (3, 'b')]));
    /// assert_eq!(a.difference(&b), [(1, 'a')].into());
    /// ```
    pub fn difference(&self, other: &Self) -> Self {
        self.combined(other, Pick::DIFFERENCE, |_, _| None)
    }

    /// The map of the entries whose keys only one of both has. See [`union`](Self::union) for the cost.
    ///
    /// ```
    /// use perennial::OrdMap;
    /// let (a, b) = (OrdMap::from([(1, 'a'), (2, 'a')]), OrdMap::from([(2, 'b'), (3, 'b')]));
    /// assert_eq!(a.symmetric_difference(&b), [(1, 'a'), (3, 'b')].into());
    /// ```
    pub fn symmetric_difference(&self, other: &Self) -> Self {
        self.combined(other, Pick::SYMMETRIC_DIFFERENCE, |_, _| None)
    }

    /// The map of all entries of both; where both have a key with different values, `resolve` makes the value of key,
    /// value here and value there. Equal values stay, and are not even looked at where both share their node. See
    /// [`union`](Self::union) for the cost.
    ///
    /// ```
    /// use perennial::OrdMap;
    /// let base = OrdMap::from([("ada", 1), ("bob", 2)]);
    /// let (mut mine, mut theirs) = (base.clone(), base);
    /// mine.insert("ada", 5);
    /// theirs.insert("ada", 7);
    /// theirs.insert("cem", 3);
    /// let merged = mine.merge_with(&theirs, |_, mine, theirs| *mine.max(theirs));
    /// assert_eq!(merged, [("ada", 7), ("bob", 2), ("cem", 3)].into());
    /// ```
    pub fn merge_with(&self, other: &Self, mut resolve: impl FnMut(&K, &V, &V) -> V) -> Self
    where
        V: PartialEq,
    {
        self.combined(other, Pick::UNION, |(key, mine), (_, theirs)| {
            let value = if mine == theirs { mine.clone() } else { resolve(key, mine, theirs) };
            Some((key.clone(), value))
        })
    }

    /// This map with the changes that led from `base` to `theirs`. Where this map has changed the same key otherwise,
    /// `resolve` makes of key, value in `base`, here and in `theirs` the value to keep, if any.
    ///
    /// **O(d log n)** for d differences between `base` and `theirs`: nothing else is looked at.
    ///
    /// ```
    /// use perennial::OrdMap;
    /// let base = OrdMap::from([("ada", 1), ("bob", 2), ("cem", 3)]);
    /// let (mut mine, mut theirs) = (base.clone(), base.clone());
    /// mine.insert("ada", 5);
    /// theirs.insert("ada", 7);
    /// mine.remove("bob");
    /// theirs.remove("cem");
    /// let merged = mine.three_way_merge(&base, &theirs, |_, base, mine, theirs| {
    ///     Some(mine? + theirs? - base?) // both increments
    /// });
    /// assert_eq!(merged, [("ada", 11)].into());
    /// ```
    pub fn three_way_merge(
        &self,
        base: &Self,
        theirs: &Self,
        mut resolve: impl FnMut(&K, Option<&V>, Option<&V>, Option<&V>) -> Option<V>,
    ) -> Self
    where
        V: PartialEq,
    {
        let mut merged = self.clone();
        for change in base.diff(theirs) {
            let key = change.key();
            match change.merged(self.get(key), &mut resolve) {
                Some(Some(value)) => drop(merged.insert(key.clone(), value)),
                Some(None) => drop(merged.remove(key)),
                None => {}
            }
        }
        merged
    }

    fn combined(
        &self,
        other: &Self,
        pick: Pick,
        both: impl FnMut(&(K, V), &(K, V)) -> Option<(K, V)>,
    ) -> Self {
        Self { tree: pick.combine(&self.tree, &other.tree, both) }
    }
}
