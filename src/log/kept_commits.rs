//! Which commits are checkpoints: all of them, until retention drops some.
//!
//! Commits up to the *floor* are kept only if they are listed here; those after it all are. So a checkpoint costs no
//! manifest, and dropping any number of them costs one. A commit can also say itself which ones it drops
//! ([`aging`](super::aging)): that is as durable as the commit is, and the next manifest lists what is left.
//!
//! Where a policy is applied with each commit, every kept commit is listed, also those after the floor: a checkpoint then
//! changes the list in O(log n).

use std::collections::BTreeMap;

use super::commit::Commit;
use super::format::Cursor;
use super::manifest::CommitRef;
use crate::error::{Error, Result};
use crate::record::Address;

/// The commits that are kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct KeptCommits {
    /// Commits of a higher id are all kept, unless the list is complete; 0: none was ever dropped.
    floor: u64,
    /// By id; up to the floor, if the list is not complete.
    kept: BTreeMap<u64, Address>,
    is_complete: bool,
}

/// The list's knowledge of an id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Listed {
    /// It is kept, and lies here.
    Kept(CommitRef),
    /// It is kept, if there is a commit of this id.
    Above,
    /// There is none, or it was dropped.
    Not,
}

impl KeptCommits {
    const ENTRY_BYTES: usize = 16;

    /// Lists the commits up to the floor that are kept.
    pub(crate) fn up_to(floor: u64, kept: impl IntoIterator<Item = CommitRef>) -> Self {
        let kept = kept.into_iter().map(|kept| (kept.id, kept.address)).collect();
        Self { floor, kept, is_complete: false }
    }

    /// Lists all commits that are kept, some of which were dropped at or before the commit `floor`.
    pub(crate) fn complete(floor: u64, kept: impl IntoIterator<Item = CommitRef>) -> Self {
        Self { is_complete: true, ..Self::up_to(floor, kept) }
    }

    /// Returns what is known of a commit.
    pub(crate) fn look(&self, id: u64) -> Listed {
        match self.kept.get(&id) {
            Some(&address) => Listed::Kept(CommitRef { id, address }),
            None if id > self.floor && !self.is_complete => Listed::Above,
            None => Listed::Not,
        }
    }

    /// The commits that are listed, ascending.
    pub(crate) fn listed(&self) -> impl Iterator<Item = CommitRef> {
        self.kept.iter().map(|(&id, &address)| CommitRef { id, address })
    }

    /// The newest listed commit before `id`.
    pub(crate) fn before(&self, id: u64) -> Option<CommitRef> {
        self.kept.range(..id).next_back().map(|(&id, &address)| CommitRef { id, address })
    }

    /// The kept commit before this one.
    pub(crate) fn previous(&self, commit: &Commit) -> Option<CommitRef> {
        match commit.previous {
            Some(previous) if previous.id > self.floor && !self.is_complete => {
                Some(CommitRef { id: previous.id, address: previous.address })
            }
            _ => self.before(commit.id),
        }
    }

    /// Returns whether all that is kept is listed.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// At most how many commits are kept, where this is the newest: fewer where crashes left gaps between the ids.
    pub(crate) fn count(&self, newest_id: u64) -> u64 {
        let above = if self.is_complete { 0 } else { newest_id.saturating_sub(self.floor) };
        self.kept.len() as u64 + above
    }

    /// Takes note of a commit and of what it drops.
    pub(crate) fn commit(&mut self, new: CommitRef, dropped: &[u64]) {
        if self.is_complete {
            self.kept.insert(new.id, new.address);
            self.remove(new.id, dropped);
        }
    }

    /// Drops commits, as the commit `floor` says or after it.
    pub(crate) fn remove(&mut self, floor: u64, dropped: &[u64]) {
        if !dropped.is_empty() {
            self.floor = self.floor.max(floor);
            for id in dropped {
                self.kept.remove(id);
            }
        }
    }

    /// Returns the part that a manifest says: the commits up to the floor.
    pub(crate) fn for_manifest(&self) -> Self {
        let kept = self.kept.range(..=self.floor).map(|(&id, &address)| (id, address)).collect();
        Self { floor: self.floor, kept, is_complete: false }
    }

    /// Takes note of what recovery found behind the manifest's point: commits, ascending, each with what it drops;
    /// `known` is the one before the point. Where one is damaged, all stays as the manifest says.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    pub(crate) fn recover(
        &mut self,
        known: Option<&Commit>,
        found: &[(CommitRef, Vec<u64>)],
        read: impl Fn(Address) -> Result<Commit>,
    ) -> Result<()> {
        let Some(last) = found.iter().rposition(|(_, dropped)| !dropped.is_empty()) else {
            return Ok(());
        };
        let found = &found[..=last];
        let mut kept = self.kept.clone();
        let mut here = known.map(|known| (known.id, known.address, known.previous));
        while let Some((id, address, previous)) = here.filter(|(id, ..)| *id > self.floor) {
            kept.insert(id, address);
            here = match previous.filter(|previous| previous.id > self.floor) {
                None => None,
                Some(link) => match read(link.address) {
                    Ok(commit) if commit.id == link.id => Some((commit.id, commit.address, commit.previous)),
                    Err(error @ Error::Io { .. }) => return Err(error),
                    _ => return Ok(()),
                },
            };
        }
        kept.extend(found.iter().map(|(found, _)| (found.id, found.address)));
        self.kept = kept;
        found.iter().for_each(|(found, dropped)| self.remove(found.id, dropped));
        Ok(())
    }

    /// Commits after it are kept, unless the list is complete.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    /// Returns whether nothing was ever dropped.
    pub(crate) fn is_trivial(&self) -> bool {
        self.floor == 0
    }

    /// Returns whether the floor lies below this id, where it has to be.
    pub(crate) fn is_below(&self, id: u64) -> bool {
        self.floor < id
    }

    /// Appends the floor, the number of commits, and id and address of each.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let entries = self.kept.iter().flat_map(|(id, address)| [*id, address.to_bits()]);
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
        let (mut kept, mut last) = (Vec::with_capacity(count), 0);
        for _ in 0..count {
            let (id, address) = (cursor.u64()?, cursor.u64()?);
            let ascending = last < id && id <= floor;
            if !ascending || address >> Address::BITS != 0 {
                return None;
            }
            last = id;
            kept.push((id, Address::from_bits(address)));
        }
        Some(Self { floor, kept: kept.into_iter().collect(), is_complete: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::commit::Link;

    fn entry(id: u64) -> CommitRef {
        CommitRef { id, address: Address::new(3, id as u32) }
    }

    fn commit(id: u64) -> Commit {
        let previous = (id > 1).then(|| Link { id: id - 1, depth: id - 2, address: entry(id - 1).address });
        Commit { previous, ..Commit::of_test(id, entry(id).address) }
    }

    fn listed(kept_commits: &KeptCommits) -> Vec<u64> {
        kept_commits.listed().map(|kept| kept.id).collect()
    }

    #[test]
    fn comes_back_and_refuses_what_is_out_of_order() {
        let kept_commits = KeptCommits::up_to(9, [2, 5, 9].map(entry));
        let mut bytes = Vec::new();
        kept_commits.encode(&mut bytes);
        assert_eq!(KeptCommits::decode(&mut Cursor::new(&bytes)), Some(kept_commits.clone()));
        assert!((0..bytes.len()).all(|len| KeptCommits::decode(&mut Cursor::new(&bytes[..len])).is_none()));
        for floor in [0, 8] {
            let mut bytes = Vec::new();
            KeptCommits { floor, ..kept_commits.clone() }.encode(&mut bytes);
            assert_eq!(KeptCommits::decode(&mut Cursor::new(&bytes)), None);
        }
        assert_eq!(kept_commits.look(5), Listed::Kept(entry(5)));
        assert_eq!((kept_commits.look(4), kept_commits.look(10)), (Listed::Not, Listed::Above));
        assert_eq!((kept_commits.before(2), kept_commits.before(5)), (None, Some(entry(2))));
        assert_eq!(kept_commits.before(100), Some(entry(9)));
    }

    #[test]
    fn a_complete_one_follows_each_commit_and_tells_the_manifest_what_lies_below_its_floor() {
        let mut kept_commits = KeptCommits::complete(0, [1, 2, 3].map(entry));
        assert_eq!((kept_commits.look(3), kept_commits.look(4)), (Listed::Kept(entry(3)), Listed::Not));
        kept_commits.commit(entry(4), &[]);
        assert!(kept_commits.for_manifest().is_trivial(), "nothing was dropped");
        kept_commits.commit(entry(5), &[1, 3]);
        kept_commits.commit(entry(6), &[]);
        assert_eq!((listed(&kept_commits), kept_commits.count(6)), (vec![2, 4, 5, 6], 4));
        assert_eq!(kept_commits.previous(&commit(4)), Some(entry(2)));
        let manifest = kept_commits.for_manifest();
        assert_eq!((listed(&manifest), manifest.look(6)), (vec![2, 4, 5], Listed::Above));
        assert_eq!(manifest.count(6), 4);
    }

    #[test]
    fn recovery_finds_what_commits_behind_the_point_dropped() {
        let read = |address: Address| Ok(commit(address.ordinal().into()));
        // Nothing was dropped before the point, which lies behind 4.
        let mut kept_commits = KeptCommits::default();
        let found = [(entry(5), vec![1, 3]), (entry(6), vec![5]), (entry(7), vec![])];
        kept_commits.recover(Some(&commit(4)), &found, read).unwrap();
        assert_eq!((listed(&kept_commits), kept_commits.look(7)), (vec![2, 4, 6], Listed::Above));
        // Nothing is dropped on the word of commits that drop nothing, nor where the list cannot be completed.
        let mut kept_commits = KeptCommits::default();
        kept_commits.recover(Some(&commit(4)), &found[2..], read).unwrap();
        assert!(kept_commits.is_trivial());
        let damaged = || Error::Corrupt { segment: 3, offset: 3, what: "damaged".into() };
        kept_commits.recover(Some(&commit(4)), &found, |_| Err(damaged())).unwrap();
        assert_eq!(kept_commits, KeptCommits::default());
        // Of what could not be read nothing is known.
        let refused = || Error::Io {
            action: "read",
            path: "a".into(),
            source: std::sync::Arc::new(std::io::ErrorKind::Other.into()),
        };
        let error = kept_commits.recover(Some(&commit(4)), &found, |_| Err(refused())).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert_eq!(kept_commits, KeptCommits::default());
    }
}
