//! Which commits are checkpoints: all of them, until retention drops some.
//!
//! Commits up to the *floor* are kept only if they are listed here; those after it all are. So a checkpoint costs no
//! manifest, and dropping any number of them costs one.

use super::format::Cursor;
use super::manifest::CommitRef;
use crate::node::Address;

/// The commits up to the floor that are kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Catalogue {
    /// Commits of a higher id are all kept; 0: none was ever dropped.
    pub floor: u64,
    /// Ascending by id.
    pub kept: Vec<CommitRef>,
}

impl Catalogue {
    const ENTRY_BYTES: usize = 16;

    /// The kept commit of this id, which must not be above the floor.
    pub(crate) fn find(&self, id: u64) -> Option<CommitRef> {
        self.kept.binary_search_by_key(&id, |kept| kept.id).ok().map(|i| self.kept[i])
    }

    /// The newest kept commit before `id`, of those up to the floor.
    pub(crate) fn before(&self, id: u64) -> Option<CommitRef> {
        self.kept[..self.kept.partition_point(|kept| kept.id < id)].last().copied()
    }

    /// Appends the floor, the number of commits, and id and address of each.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let entries = self.kept.iter().flat_map(|kept| [kept.id, kept.address.to_bits()]);
        for value in [self.floor, self.kept.len() as u64].into_iter().chain(entries) {
            out.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// Reads what `encode` wrote; `None` if it is not there.
    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Option<Self> {
        let floor = cursor.u64()?;
        let count = usize::try_from(cursor.u64()?).ok()?;
        if floor == 0 || count > cursor.remaining() / Self::ENTRY_BYTES {
            return None;
        }
        let mut kept: Vec<CommitRef> = Vec::with_capacity(count);
        for _ in 0..count {
            let (id, address) = (cursor.u64()?, cursor.u64()?);
            let ascending = kept.last().map_or(0, |last| last.id) < id && id <= floor;
            if !ascending || address >> Address::BITS != 0 {
                return None;
            }
            kept.push(CommitRef { id, address: Address::from_bits(address) });
        }
        Some(Self { floor, kept })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_and_refuses_what_is_out_of_order() {
        let entry = |id| CommitRef { id, address: Address::new(3, id as u32) };
        let catalogue = Catalogue { floor: 9, kept: vec![entry(2), entry(5), entry(9)] };
        let mut bytes = Vec::new();
        catalogue.encode(&mut bytes);
        assert_eq!(Catalogue::decode(&mut Cursor::new(&bytes)), Some(catalogue.clone()));
        assert!((0..bytes.len()).all(|len| Catalogue::decode(&mut Cursor::new(&bytes[..len])).is_none()));
        for floor in [0, 8] {
            let mut bytes = Vec::new();
            Catalogue { floor, ..catalogue.clone() }.encode(&mut bytes);
            assert_eq!(Catalogue::decode(&mut Cursor::new(&bytes)), None);
        }
        assert_eq!(catalogue.find(5), Some(entry(5)));
        assert_eq!((catalogue.find(4), catalogue.before(5)), (None, Some(entry(2))));
        assert_eq!((catalogue.before(2), catalogue.before(100)), (None, Some(entry(9))));
    }
}
