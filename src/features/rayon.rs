//! Parallel iteration with rayon, over all collections.
//!
//! Shared iteration divides the collection where it lies, by position (vectors and ordered maps, of which the length of
//! each part is known) or by subtree (hash maps). Nodes that a restored collection has not loaded are loaded by
//! whichever thread comes to them. Mutable iteration first makes every node its own, one after the other, and then
//! hands out references in parallel; owned iteration and collecting go through a `Vec`.
//!
//! ```
//! use perennial::{HashMap, Vector};
//! use rayon::prelude::*;
//!
//! let numbers: Vector<u64> = (0..10_000).collect();
//! assert_eq!(numbers.par_iter().sum::<u64>(), 49_995_000);
//! let squares: HashMap<u64, u64> = numbers.par_iter().map(|&n| (n, n * n)).collect();
//! assert!(squares.par_iter().all(|(n, square)| n * n == *square));
//! ```

use std::hash::{BuildHasher, Hash};
use std::ops::Range;

use ::rayon::iter::plumbing::{
    Consumer, Folder, Producer, ProducerCallback, UnindexedConsumer, UnindexedProducer, bridge,
    bridge_unindexed,
};
use ::rayon::prelude::*;

use crate::hash_map::{Entries, Prefix};
use crate::node::NodeRef;
use crate::{HashMap, HashSet, OrdMap, OrdSet, Vector, ord_map, vector};

/// A collection whose items have positions.
pub trait Positions<'a>: Sync {
    /// What iteration hands out.
    type Item: Send;
    /// The iterator over a range.
    type Iter: Iterator<Item = Self::Item> + DoubleEndedIterator + ExactSizeIterator;

    /// Walks over the items at these positions.
    fn between(&'a self, range: Range<usize>) -> Self::Iter;
}

impl<'a, T: Send + Sync + 'a> Positions<'a> for Vector<T> {
    type Item = &'a T;
    type Iter = vector::Iter<'a, T>;

    fn between(&'a self, range: Range<usize>) -> Self::Iter {
        self.range(range)
    }
}

impl<'a, K: Send + Sync + 'a, V: Send + Sync + 'a> Positions<'a> for OrdMap<K, V> {
    type Item = (&'a K, &'a V);
    type Iter = ord_map::Iter<'a, K, V>;

    fn between(&'a self, range: Range<usize>) -> Self::Iter {
        self.iter_between(range)
    }
}

impl<'a, T: Send + Sync + 'a> Positions<'a> for OrdSet<T> {
    type Item = &'a T;
    type Iter = ord_map::Keys<'a, T, ()>;

    fn between(&'a self, range: Range<usize>) -> Self::Iter {
        ord_map::Keys(self.map.iter_between(range))
    }
}

/// Iterates in parallel over a collection whose items have positions.
#[derive(Debug)]
pub struct ParIter<'a, C> {
    collection: &'a C,
    range: Range<usize>,
}

impl<C> Clone for ParIter<'_, C> {
    fn clone(&self) -> Self {
        Self { collection: self.collection, range: self.range.clone() }
    }
}

impl<'a, C: Positions<'a>> ParallelIterator for ParIter<'a, C> {
    type Item = C::Item;

    fn drive_unindexed<D: UnindexedConsumer<Self::Item>>(self, consumer: D) -> D::Result {
        bridge(self, consumer)
    }

    fn opt_len(&self) -> Option<usize> {
        Some(self.range.len())
    }
}

impl<'a, C: Positions<'a>> IndexedParallelIterator for ParIter<'a, C> {
    fn len(&self) -> usize {
        self.range.len()
    }

    fn drive<D: Consumer<Self::Item>>(self, consumer: D) -> D::Result {
        bridge(self, consumer)
    }

    fn with_producer<P: ProducerCallback<Self::Item>>(self, callback: P) -> P::Output {
        callback.callback(self)
    }
}

impl<'a, C: Positions<'a>> Producer for ParIter<'a, C> {
    type Item = C::Item;
    type IntoIter = C::Iter;

    fn into_iter(self) -> C::Iter {
        self.collection.between(self.range)
    }

    fn split_at(self, index: usize) -> (Self, Self) {
        let Range { start, end } = self.range;
        let middle = start + index;
        let part = |range| Self { collection: self.collection, range };
        (part(start..middle), part(middle..end))
    }
}

/// Iterates in parallel over the entries of a [`HashMap`].
pub struct ParEntries<'a, K, V> {
    nodes: Vec<NodeRef<'a, (K, V), Prefix>>,
    /// An iterator over nothing, which knows the order of entries.
    order: Entries<'a, K, V>,
}

impl<K, V> std::fmt::Debug for ParEntries<'_, K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParEntries").finish_non_exhaustive()
    }
}

impl<'a, K: Send + Sync, V: Send + Sync> ParallelIterator for ParEntries<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn drive_unindexed<D: UnindexedConsumer<Self::Item>>(self, consumer: D) -> D::Result {
        bridge_unindexed(self, consumer)
    }
}

impl<'a, K: Send + Sync, V: Send + Sync> UnindexedProducer for ParEntries<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn split(mut self) -> (Self, Option<Self>) {
        if let [NodeRef::Branch(branch)] = self.nodes[..] {
            self.nodes = branch.ranges().filter_map(|start| branch.child(start)).collect();
        }
        let right = self.nodes.split_off(self.nodes.len().div_ceil(2));
        let order = self.order.clone();
        (self, (!right.is_empty()).then_some(Self { nodes: right, order }))
    }

    fn fold_with<F: Folder<Self::Item>>(self, folder: F) -> F {
        let entries = self.nodes.into_iter().flat_map(|node| self.order.below(node));
        folder.consume_iter(entries.map(|(key, value)| (key, value)))
    }
}

impl<'a, K: Send + Sync, V: Send + Sync, S> IntoParallelIterator for &'a HashMap<K, V, S> {
    type Item = (&'a K, &'a V);
    type Iter = ParEntries<'a, K, V>;

    fn into_par_iter(self) -> Self::Iter {
        ParEntries { nodes: self.root().into_iter().collect(), order: self.entries_below(None) }
    }
}

impl<'a, T: Send + Sync, S> IntoParallelIterator for &'a HashSet<T, S> {
    type Item = &'a T;
    type Iter = ::rayon::iter::Map<ParEntries<'a, T, ()>, fn((&'a T, &'a ())) -> &'a T>;

    fn into_par_iter(self) -> Self::Iter {
        self.map.par_iter().map(|(item, _)| item)
    }
}

/// Parallel iteration over one collection: shared by position, all else by way of a `Vec`.
macro_rules! parallel {
    ($(shared [$($shared:tt)*])? $(mutable $mutable:ty, [$($change:tt)*])? owned $item:ty, [$($owned:tt)*] collect [$($collect:tt)*] $collection:ty) => {
        $(impl<'a, $($shared)*> IntoParallelIterator for &'a $collection {
            type Item = <$collection as Positions<'a>>::Item;
            type Iter = ParIter<'a, $collection>;

            fn into_par_iter(self) -> Self::Iter {
                ParIter { collection: self, range: 0..self.len() }
            }
        })?

        $(impl<'a, $($change)*> IntoParallelIterator for &'a mut $collection {
            type Item = $mutable;
            type Iter = ::rayon::vec::IntoIter<$mutable>;

            fn into_par_iter(self) -> Self::Iter {
                self.iter_mut().collect::<Vec<_>>().into_par_iter()
            }
        })?

        impl<$($owned)*> IntoParallelIterator for $collection {
            type Item = $item;
            type Iter = ::rayon::vec::IntoIter<$item>;

            fn into_par_iter(self) -> Self::Iter {
                self.into_iter().collect::<Vec<_>>().into_par_iter()
            }
        }

        impl<$($collect)*> FromParallelIterator<$item> for $collection {
            fn from_par_iter<I: IntoParallelIterator<Item = $item>>(items: I) -> Self {
                items.into_par_iter().collect::<Vec<_>>().into_iter().collect()
            }
        }

        impl<$($collect)*> ParallelExtend<$item> for $collection {
            fn par_extend<I: IntoParallelIterator<Item = $item>>(&mut self, items: I) {
                self.extend(items.into_par_iter().collect::<Vec<_>>());
            }
        }
    };
}

parallel!(
    shared [T: Send + Sync]
    mutable &'a mut T, [T: Clone + Send + Sync]
    owned T, [T: Clone + Send]
    collect [T: Clone + Send]
    Vector<T>
);
parallel!(
    shared [K: Send + Sync, V: Send + Sync]
    mutable (&'a K, &'a mut V), [K: Clone + Send + Sync, V: Clone + Send + Sync]
    owned (K, V), [K: Clone + Send, V: Clone + Send]
    collect [K: Ord + Clone + Send, V: Clone + Send]
    OrdMap<K, V>
);
parallel!(
    shared [T: Send + Sync]
    owned T, [T: Clone + Send]
    collect [T: Ord + Clone + Send]
    OrdSet<T>
);
parallel!(
    mutable (&'a K, &'a mut V), [K: Clone + Send + Sync, V: Clone + Send + Sync, S]
    owned (K, V), [K: Clone + Send, V: Clone + Send, S]
    collect [K: Hash + Eq + Clone + Send, V: Clone + Send, S: BuildHasher + Default]
    HashMap<K, V, S>
);
parallel!(
    owned T, [T: Clone + Send, S]
    collect [T: Hash + Eq + Clone + Send, S: BuildHasher + Default]
    HashSet<T, S>
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_met_once() {
        let mut vector: Vector<u64> = (100..10_000).collect();
        (0..100).rev().for_each(|item| vector.push_front(item));
        assert!(vector.par_iter().copied().collect::<Vec<_>>().into_iter().eq(0..10_000));
        assert_eq!(
            vector.par_iter().enumerate().filter(|(index, item)| *index as u64 == **item).count(),
            10_000
        );
        let ord: OrdMap<u64, u64> = vector.par_iter().map(|&n| (n, n)).collect();
        assert!(
            ord.par_iter().rev().map(|(key, _)| *key).collect::<Vec<_>>().into_iter().eq((0..10_000).rev())
        );
        let hash: HashMap<u64, u64> = ord.clone().into_par_iter().collect();
        let mut keys: Vec<u64> = hash.par_iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        assert!(keys.into_iter().eq(0..10_000));
        let (items, set): (OrdSet<u64>, HashSet<u64>) =
            (vector.clone().into_par_iter().collect(), hash.par_iter().map(|(key, _)| *key).collect());
        assert_eq!(items.par_iter().sum::<u64>(), set.par_iter().sum::<u64>());
        assert_eq!((items.into_par_iter().count(), set.into_par_iter().count()), (10_000, 10_000));
        assert_eq!(HashMap::<u8, u8>::new().par_iter().count(), 0);
    }

    #[test]
    fn items_are_changed_and_added_in_parallel() {
        let mut vector: Vector<u64> = (0..5000).collect();
        let before = vector.clone();
        vector.par_iter_mut().for_each(|item| *item *= 2);
        vector.par_extend((0..10).into_par_iter().map(|n| n + 1));
        assert!(vector.iter().copied().eq((0..5000).map(|n| n * 2).chain(1..11)));
        assert!(before.iter().copied().eq(0..5000));
        let mut map: HashMap<u64, u64> = (0..5000).map(|n| (n, n)).collect();
        map.par_iter_mut().for_each(|(key, value)| *value += key);
        map.par_extend([(7, 0)]);
        assert!(map.iter().all(|(key, value)| *value == if *key == 7 { 0 } else { 2 * key }));
        let mut ord: OrdMap<u64, u64> = map.into_par_iter().collect();
        ord.par_iter_mut().for_each(|(_, value)| *value = 1);
        assert_eq!(ord.par_iter().map(|(_, value)| *value).sum::<u64>(), 5000);
    }
}
