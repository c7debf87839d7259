//! Union, intersection, difference, merges: one map's clone, changed where the two differ.

use std::hash::{BuildHasher, Hash};

use super::HashMap;
use super::diff::{Sides, Step, Walk};

impl<K, V, S> HashMap<K, V, S>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher + Clone,
{
    /// Puts a clone of an entry here, its key as well.
    fn set(&mut self, (key, value): &(K, V)) {
        self.put(key.clone(), value.clone());
    }

    /// The map of all entries of both; of keys that both have, the entry of this one.
    ///
    /// **O(d log n)** for d differences between versions of one map, or the entries of the smaller of two maps that have
    /// little in common: the result begins as a clone of one of them (and has its hasher), and what both share is never
    /// looked at. So are the costs of the operations below.
    ///
    /// ```
    /// use perennial::HashMap;
    /// let (a, b) = (HashMap::from([(1, 'a'), (2, 'a')]), HashMap::from([(2, 'b'), (3, 'b')]));
    /// assert_eq!(a.union(&b), [(1, 'a'), (2, 'a'), (3, 'b')].into());
    /// ```
    pub fn union(&self, other: &Self) -> Self {
        let (mut union, sides) = self.and_the_smaller(other, Sides::New, Sides::Old);
        for step in Walk::new(self, other, sides) {
            match step {
                Step::New(entry) => union.set(entry),
                Step::Old(mine) | Step::Both(mine, _) if sides == Sides::Old => union.set(mine),
                _ => {}
            }
        }
        union
    }

    /// Makes the map of all entries of several; of keys that more than one has, the entry of the first. The cost is that of
    /// one [`union`](Self::union) for each.
    ///
    /// ```
    /// use perennial::HashMap;
    /// let maps = [HashMap::from([(1, 'a')]), HashMap::from([(1, 'b'), (2, 'b')]), HashMap::from([(3, 'c')])];
    /// assert_eq!(HashMap::unions(maps), [(1, 'a'), (2, 'b'), (3, 'c')].into());
    /// ```
    pub fn unions(maps: impl IntoIterator<Item = Self>) -> Self
    where
        S: Default,
    {
        maps.into_iter().reduce(|all, map| all.union(&map)).unwrap_or_default()
    }

    /// A clone of the larger map, and which entries of the other one matter.
    fn and_the_smaller(&self, other: &Self, theirs: Sides, mine: Sides) -> (Self, Sides) {
        if self.len() >= other.len() { (self.clone(), theirs) } else { (other.clone(), mine) }
    }

    /// The map of the entries of this one whose keys `other` has too. See [`union`](Self::union) for the cost.
    ///
    /// ```
    /// use perennial::HashMap;
    /// let (a, b) = (HashMap::from([(1, 'a'), (2, 'a')]), HashMap::from([(2, 'b'), (3, 'b')]));
    /// assert_eq!(a.intersection(&b), [(2, 'a')].into());
    /// ```
    pub fn intersection(&self, other: &Self) -> Self {
        let begin_with_mine = self.len() <= other.len();
        let (mut common, sides) =
            if begin_with_mine { (self.clone(), Sides::Old) } else { (other.clone(), Sides::New) };
        for step in Walk::new(self, other, sides) {
            match step {
                Step::Old((key, _)) | Step::New((key, _)) => drop(common.remove(key)),
                Step::Both(mine, _) if !begin_with_mine => common.set(mine),
                Step::Both(..) => {}
            }
        }
        common
    }

    /// The map of the entries of this one whose keys `other` has not. See [`union`](Self::union) for the cost.
    ///
    /// ```
    /// use perennial::HashMap;
    /// let (a, b) = (HashMap::from([(1, 'a'), (2, 'a')]), HashMap::from([(2, 'b'), (3, 'b')]));
    /// assert_eq!(a.difference(&b), [(1, 'a')].into());
    /// ```
    pub fn difference(&self, other: &Self) -> Self {
        if self.len() / 2 > other.len() {
            let mut rest = self.clone();
            other.keys().for_each(|key| drop(rest.remove(key)));
            return rest;
        }
        let mut rest = Self::with_hasher(self.hasher().clone());
        for step in Walk::new(self, other, Sides::Old) {
            if let Step::Old(entry) = step {
                rest.set(entry);
            }
        }
        rest
    }

    /// The map of the entries whose keys only one of both has. See [`union`](Self::union) for the cost.
    ///
    /// ```
    /// use perennial::HashMap;
    /// let (a, b) = (HashMap::from([(1, 'a'), (2, 'a')]), HashMap::from([(2, 'b'), (3, 'b')]));
    /// assert_eq!(a.symmetric_difference(&b), [(1, 'a'), (3, 'b')].into());
    /// ```
    pub fn symmetric_difference(&self, other: &Self) -> Self {
        let (few, many) = if self.len() < other.len() { (self, other) } else { (other, self) };
        if many.len() / 2 > few.len() {
            let mut either = many.clone();
            for (key, value) in few {
                if either.remove(key).is_none() {
                    either.insert(key.clone(), value.clone());
                }
            }
            return either;
        }
        let mut either = Self::with_hasher(self.hasher().clone());
        for step in Walk::new(self, other, Sides::Both) {
            match step {
                Step::Old(entry) | Step::New(entry) => either.set(entry),
                Step::Both(..) => {}
            }
        }
        either
    }

    /// The map of all entries of both; where both have a key with different values, `resolve` makes the value of key,
    /// value here and value there. The key is that of this map. Equal values stay, and are not even looked at where both share their node. See
    /// [`union`](Self::union) for the cost.
    ///
    /// ```
    /// use perennial::HashMap;
    /// let base = HashMap::from([("ada", 1), ("bob", 2)]);
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
        let (mut merged, sides) = self.and_the_smaller(other, Sides::New, Sides::Old);
        for step in Walk::new(self, other, sides) {
            match step {
                Step::Old(entry) | Step::New(entry) => merged.set(entry),
                Step::Both((key, mine), (_, theirs)) if mine != theirs => {
                    merged.put(key.clone(), resolve(key, mine, theirs));
                }
                // Of equal values too the entry of this map, whichever map the result began with.
                Step::Both(mine, _) if sides == Sides::Old => merged.set(mine),
                Step::Both(..) => {}
            }
        }
        merged
    }

    /// This map with the changes that led from `base` to `theirs`. Where this map has changed the same key otherwise,
    /// `resolve` makes of key, value in `base`, here and in `theirs` the value to keep, if any.
    ///
    /// **O(d log n)** for d differences between `base` and `theirs`: nothing else is looked at.
    ///
    /// ```
    /// use perennial::HashMap;
    /// let base = HashMap::from([("ada", 1), ("bob", 2), ("cem", 3)]);
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
}
