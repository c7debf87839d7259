//! The order in which a leaf's entries are met: a function of them, and not of where earlier changes left them.
//!
//! The place of an entry in its leaf depends on history: it is appended, and the last one moves to where one was removed.
//! Keeping leaves sorted would move, and so write, half of them with every insertion. Instead a leaf is sorted when it is
//! iterated over: by the tags of its entries, which are a byte of their hashes; entries of equal tags by a hash of their
//! keys that every map has in common. That one is made where `K: Hash` is known ([`KeyHash`]), so iteration asks for no
//! bound, and it runs for entries of equal tags alone.

use std::hash::{BuildHasher, Hash, Hasher};

use super::hasher::{SeededHasher, SeededState};
use crate::node::{KeyHash, LeafRef};

/// Entries of an ordinary leaf; a larger one holds keys whose hashes are equal in all bits.
const FEW: usize = 32;

/// The hash that orders entries of equal tags.
pub(super) struct TieHasher(SeededHasher);

impl Default for TieHasher {
    fn default() -> Self {
        Self(SeededState::new(0).build_hasher())
    }
}

impl Hasher for TieHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

/// The order of entries of equal tags; `None` in a map that never had a key.
pub(super) type Ties<K> = Option<KeyHash<K>>;

/// The hash that orders keys of equal tags.
pub(super) fn ties_of<K: Hash>() -> Ties<K> {
    Some(KeyHash::with::<TieHasher>())
}

/// The positions of a leaf's entries in the order of iteration, as far as they are to come.
#[derive(Clone)]
pub(super) struct LeafOrder {
    few: [u8; FEW],
    /// All of them, where they are more.
    many: Vec<u32>,
    next: usize,
    len: usize,
}

impl LeafOrder {
    pub(super) const NONE: Self = Self { few: [0; FEW], many: Vec::new(), next: 0, len: 0 };

    /// The order of the entries of a leaf.
    pub(super) fn of<K, V>(leaf: LeafRef<'_, (K, V)>, ties: Ties<K>) -> Self {
        let (entries, tags) = (leaf.items(true), leaf.tags());
        let mut order = Self { len: entries.len(), ..Self::NONE };
        let tie = |index: usize| ties.map_or(0, |ties| ties.of(&entries[index].0));
        if entries.len() > FEW {
            order.many = (0..entries.len() as u32).collect();
            order.many.sort_by_cached_key(|&index| (tags[index as usize], tie(index as usize)));
            return order;
        }
        // Each entry goes to the place of its rank, which is how many tags are below its own: 32 comparisons at once.
        let mut group = [u8::MAX; FEW];
        group[..tags.len()].copy_from_slice(tags);
        let (mut taken, mut has_ties) = (0u32, false);
        for (index, &tag) in tags.iter().enumerate() {
            let mut rank = group.iter().map(|&other| u8::from(other < tag)).sum::<u8>();
            while taken & 1 << rank != 0 {
                (rank, has_ties) = (rank + 1, true);
            }
            taken |= 1 << rank;
            order.few[usize::from(rank)] = index as u8;
        }
        if has_ties {
            let places = &mut order.few[..tags.len()];
            for tied in places.chunk_by_mut(|&one, &two| tags[usize::from(one)] == tags[usize::from(two)]) {
                if tied.len() > 1 {
                    tied.sort_by_cached_key(|&index| tie(usize::from(index)));
                }
            }
        }
        order
    }
}

impl Iterator for LeafOrder {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.next == self.len {
            return None;
        }
        let index = if self.many.is_empty() {
            usize::from(self.few[self.next % FEW])
        } else {
            self.many[self.next] as usize
        };
        self.next += 1;
        Some(index)
    }
}
