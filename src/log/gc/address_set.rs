//! Sets of records: a bit for each ordinal, segment by segment.

use std::sync::Arc;

use crate::record::{Address, LiveSet};

/// A set of addresses.
#[derive(Clone, Default)]
pub(crate) struct AddressSet {
    /// By segment, then 64 ordinals a word.
    segments: Vec<Vec<u64>>,
}

impl AddressSet {
    /// Adds an address; whether it was not there.
    pub(crate) fn insert(&mut self, address: Address) -> bool {
        let (segment, ordinal) = (address.segment() as usize, address.ordinal() as usize);
        if self.segments.len() <= segment {
            self.segments.resize_with(segment + 1, Vec::new);
        }
        let words = &mut self.segments[segment];
        if words.len() <= ordinal / 64 {
            words.resize(ordinal / 64 + 1, 0);
        }
        let bit = 1 << (ordinal % 64);
        let is_new = words[ordinal / 64] & bit == 0;
        words[ordinal / 64] |= bit;
        is_new
    }

    /// Adds addresses.
    pub(crate) fn extend(&mut self, addresses: impl IntoIterator<Item = Address>) {
        for address in addresses {
            self.insert(address);
        }
    }

    /// Adds all of another set.
    pub(crate) fn unite(&mut self, other: &Self) {
        if self.segments.len() < other.segments.len() {
            self.segments.resize_with(other.segments.len(), Vec::new);
        }
        for (mine, theirs) in self.segments.iter_mut().zip(&other.segments) {
            if mine.len() < theirs.len() {
                mine.resize(theirs.len(), 0);
            }
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine |= theirs);
        }
    }

    /// All addresses, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Address> + '_ {
        (0..self.segments.len() as u32).flat_map(|segment| {
            let ordinals = self.ordinals(segment, 0, Address::MAX_ORDINALS);
            ordinals.into_iter().map(move |ordinal| Address::new(segment, ordinal))
        })
    }

    /// Whether the address is in the set.
    pub(crate) fn contains(&self, address: Address) -> bool {
        let ordinal = address.ordinal() as usize;
        let words = self.segments.get(address.segment() as usize);
        words.and_then(|words| words.get(ordinal / 64)).is_some_and(|word| word & 1 << (ordinal % 64) != 0)
    }

    /// Number of addresses of a segment.
    pub(crate) fn count(&self, segment: u32) -> u64 {
        let words = self.segments.get(segment as usize).map_or(&[][..], Vec::as_slice);
        words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// The ordinals of a segment in the set, from `first` on and below `end`, ascending.
    pub(crate) fn ordinals(&self, segment: u32, first: u32, end: u32) -> Vec<u32> {
        let words = self.segments.get(segment as usize).map_or(&[][..], Vec::as_slice);
        let mut found = Vec::new();
        let last = words.len().min(end.div_ceil(64) as usize);
        for (at, &word) in words.iter().enumerate().take(last).skip(first as usize / 64) {
            let mut rest = word;
            while rest != 0 {
                let ordinal = at as u32 * 64 + rest.trailing_zeros();
                rest &= rest - 1;
                if (first..end).contains(&ordinal) {
                    found.push(ordinal);
                }
            }
        }
        found
    }
}

/// What a mark found: the nodes below its position that are reachable. Everything from there on is.
pub(crate) struct Reachable {
    pub position: Address,
    pub nodes: AddressSet,
}

impl LiveSet for Reachable {
    fn holds(&self, address: Address) -> bool {
        address >= self.position || self.nodes.contains(address)
    }
}

/// The damage that a writer heeded.
#[derive(Default)]
pub(crate) struct Doubts {
    /// Number of these damages.
    heeded: u64,
    /// End of the log then.
    from: Option<Address>,
}

impl Doubts {
    /// Trusts no record before `end`, the end of the log, to stand for a node that is in memory, if damage was met
    /// since this was last called. What a state holds is then written again, once: where in a tree the damage lies is
    /// not known from above. Returns whether there was any.
    pub(crate) fn heed(&mut self, damages: u64, end: Option<Address>) -> bool {
        if damages == self.heeded {
            return false;
        }
        *self = Self { heeded: damages, from: end };
        true
    }

    /// Returns the records that a flush may trust.
    pub(crate) fn live_set(&self, reach: Option<&Arc<Reachable>>) -> Option<Arc<dyn LiveSet>> {
        match self.from {
            None => reach.map(|reach| Arc::clone(reach) as Arc<dyn LiveSet>),
            Some(from) => Some(Arc::new(Doubt { from, reach: reach.cloned() })),
        }
    }
}

/// As another trust, but for what is in memory a record from `from` on is needed.
struct Doubt {
    from: Address,
    reach: Option<Arc<Reachable>>,
}

impl LiveSet for Doubt {
    fn holds(&self, address: Address) -> bool {
        self.reach.as_ref().is_none_or(|reach| reach.holds(address))
    }

    fn suffices(&self, address: Address) -> bool {
        address >= self.from && self.holds(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_put_in_and_what_came_after() {
        let mut set = AddressSet::default();
        let inside = [(0, 0), (0, 63), (0, 64), (2, 5), (2, 700)].map(|(s, o)| Address::new(s, o));
        assert!(inside.iter().all(|&address| set.insert(address)));
        assert!(inside.iter().all(|&address| !set.insert(address) && set.contains(address)));
        assert!(!set.contains(Address::new(1, 0)) && !set.contains(Address::new(2, 6)));
        assert_eq!(set.ordinals(0, 0, u32::MAX), [0, 63, 64]);
        assert_eq!(set.ordinals(0, 1, 64), [63]);
        assert_eq!(set.ordinals(2, 6, 701), [700]);
        assert!(set.ordinals(9, 0, 10).is_empty());
        assert!(set.iter().eq(inside));
        let mut more = AddressSet::default();
        more.insert(Address::new(1, 900));
        more.unite(&set);
        assert_eq!(more.iter().count(), 6);
        let reach = Reachable { position: Address::new(2, 600), nodes: set };
        assert!(reach.holds(Address::new(2, 5)) && reach.holds(Address::new(2, 600)));
        assert!(!reach.holds(Address::new(2, 599)));
    }
}
