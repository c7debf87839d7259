//! What is pending at a moment, and the disks that a power cut can leave of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{File, SECTOR_BYTES, SimStorage};

/// Names of files, and their numbers.
pub(super) type Names = BTreeMap<String, usize>;

/// Something that a process sees and the medium may not have.
#[derive(Clone)]
pub(super) struct Pending {
    pub part: Part,
    /// A sync that failed has given it up: later syncs do not land it, a power cut still may.
    pub lost: bool,
}

/// The smallest change that lands on its own.
#[derive(Clone)]
pub(super) enum Part {
    /// Bytes within one sector of a file.
    Sector { file: usize, offset: usize, bytes: Arc<[u8]> },
    /// A file's new length.
    Length { file: usize, len: usize },
    /// A name that goes, one that comes: both or none.
    Names { goes: Option<String>, comes: Option<(String, usize)> },
    /// The name of the directory itself: without it nothing is found.
    Directory,
}

impl Part {
    /// The file whose sync lands it.
    pub fn file(&self) -> Option<usize> {
        match self {
            Self::Sector { file, .. } | Self::Length { file, .. } => Some(*file),
            Self::Names { .. } | Self::Directory => None,
        }
    }

    /// Returns whether a sync of the directory lands it.
    pub fn is_entry(&self) -> bool {
        matches!(self, Self::Names { .. })
    }

    /// Makes a change of bytes or length.
    pub fn land(&self, file: &mut Vec<u8>) {
        match self {
            Self::Sector { offset, bytes, .. } => {
                let end = offset + bytes.len();
                if file.len() < end {
                    file.resize(end, 0);
                }
                file[*offset..end].copy_from_slice(bytes);
            }
            Self::Length { len, .. } if file.len() < *len => file.resize(*len, 0),
            Self::Length { .. } | Self::Names { .. } | Self::Directory => {}
        }
    }

    /// Makes a change of names.
    pub fn apply_to_names(&self, names: &mut Names) {
        if let Self::Names { goes, comes } = self {
            goes.as_ref().map(|name| names.remove(name));
            names.extend(comes.clone());
        }
    }

    /// Whether it and `other` are bytes of one sector.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sector { file, offset, .. }, Self::Sector { file: theirs, offset: other, .. }) => {
                file == theirs && offset / SECTOR_BYTES == other / SECTOR_BYTES
            }
            _ => false,
        }
    }
}

/// What becomes of a pending part when power fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// The medium has it.
    Lands,
    /// The medium has what was there before.
    Vanishes,
    /// The medium has noise in its place. A length or a name that should turn to garbage vanishes.
    Garbage,
}

/// A simulated disk at one moment. Costs little: bytes are shared until they change.
#[derive(Clone)]
pub struct CrashPoint {
    operation: u64,
    durable: Vec<Arc<Vec<u8>>>,
    names: Names,
    pending: Vec<Pending>,
}

impl CrashPoint {
    pub(super) fn new(
        operation: u64,
        durable: Vec<Arc<Vec<u8>>>,
        names: Names,
        pending: Vec<Pending>,
    ) -> Self {
        Self { operation, durable, names, pending }
    }

    /// Number of operations so far on this disk.
    pub fn operation(&self) -> u64 {
        self.operation
    }

    /// How many parts were pending, each of which can land or vanish on its own.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Makes the disk that is found when power is back: `fate` says for each pending part, in the order in which they
    /// came to be, what became of it. The seed decides what garbage looks like.
    pub fn image(&self, seed: u64, mut fate: impl FnMut(usize) -> Fate) -> SimStorage {
        let (mut files, mut names) = (self.durable.clone(), self.names.clone());
        let (mut noise, mut is_found) = (seed | 1, true);
        for (number, pending) in self.pending.iter().enumerate() {
            let fate = fate(number);
            match (&pending.part, fate) {
                (Part::Directory, fate) => is_found = fate == Fate::Lands,
                (_, Fate::Vanishes) => {}
                (Part::Sector { file, offset, bytes }, Fate::Garbage) => {
                    let garbage = (0..bytes.len()).map(|_| next(&mut noise)).collect();
                    let part = Part::Sector { file: *file, offset: *offset, bytes: garbage };
                    part.land(Arc::make_mut(&mut files[*file]));
                }
                (_, Fate::Garbage) => {}
                (part, Fate::Lands) => match part.file() {
                    Some(file) => part.land(Arc::make_mut(&mut files[file])),
                    None => part.apply_to_names(&mut names),
                },
            }
        }
        if !is_found {
            return SimStorage::new();
        }
        let files = files.into_iter().map(|durable| File { seen: Arc::clone(&durable), durable }).collect();
        SimStorage::of(files, names)
    }

    /// Makes the disk that the next process finds if this one is killed now, without a power cut: all that was done is
    /// seen, and what was pending still is.
    pub fn killed(&self) -> SimStorage {
        let mut files: Vec<_> = self
            .durable
            .iter()
            .map(|durable| File { seen: Arc::clone(durable), durable: Arc::clone(durable) })
            .collect();
        let mut names = self.names.clone();
        for Pending { part, .. } in &self.pending {
            match part.file() {
                Some(file) => part.land(Arc::make_mut(&mut files[file].seen)),
                None => part.apply_to_names(&mut names),
            }
        }
        let disk = SimStorage::of(files, names);
        disk.set_pending(self.names.clone(), self.pending.clone());
        disk
    }

    /// Makes one of the disks that can be found: of the pending parts about half land, and some turn to garbage.
    pub fn random_image(&self, seed: u64) -> SimStorage {
        let mut noise = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut fates = [Fate::Lands, Fate::Lands, Fate::Vanishes, Fate::Garbage];
        if next(&mut noise).is_multiple_of(4) {
            // Nearly everything is there.
            fates[2] = Fate::Lands;
        }
        let chosen: Vec<_> = self.pending.iter().map(|_| fates[usize::from(next(&mut noise) % 4)]).collect();
        self.image(seed, |part| chosen[part])
    }
}

/// A byte that looks random (xorshift).
fn next(state: &mut u64) -> u8 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 32) as u8
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::super::Fault;
    use super::*;
    use crate::storage::{Lock, Storage};

    fn bytes(disk: &SimStorage, name: &str) -> Vec<u8> {
        disk.contents(name).unwrap()
    }

    fn synced(len: u64) -> SimStorage {
        let disk = SimStorage::new();
        disk.create("a", len).unwrap().sync_data().unwrap();
        disk.sync_dir().unwrap();
        disk
    }

    #[test]
    fn a_write_lands_sector_by_sector_until_it_is_synced() {
        let disk = synced(2048);
        let file = disk.open_writable("a").unwrap();
        file.write_all_at(&[7; 1024], 256).unwrap();
        let point = disk.crash_point();
        assert_eq!(point.pending(), 3);
        let image = point.image(0, |part| if part == 1 { Fate::Vanishes } else { Fate::Lands });
        let found = bytes(&image, "a");
        assert!(found[256..512] == [7; 256] && found[512..1024] == [0; 512] && found[1024..1280] == [7; 256]);
        let garbage = bytes(&point.image(3, |_| Fate::Garbage), "a");
        assert!(garbage[..256] == [0; 256] && garbage[256..768] != [7; 512] && garbage[1280..] == [0; 768]);
        assert_eq!(garbage, bytes(&point.image(3, |_| Fate::Garbage), "a"), "one seed, one disk");
        assert_eq!(bytes(&disk, "a")[256..1280], [7; 1024]);
        file.sync_data().unwrap();
        assert_eq!(disk.crash_point().pending(), 0);
        assert_eq!(bytes(&disk.crash_point().image(0, |_| unreachable!()), "a"), bytes(&disk, "a"));
    }

    #[test]
    fn lengths_and_names_are_changes_of_their_own() {
        let disk = SimStorage::new();
        disk.create("a", 100).unwrap();
        disk.rename("a", "b").unwrap();
        let point = disk.crash_point();
        assert_eq!(point.pending(), 3);
        let names = |fates: [Fate; 3]| point.image(0, |part| fates[part]).list().unwrap();
        use Fate::{Lands, Vanishes};
        assert_eq!(names([Vanishes, Lands, Vanishes]), Vec::<String>::new());
        assert_eq!(names([Lands, Lands, Vanishes]), ["a"]);
        assert_eq!(names([Lands, Vanishes, Lands]), ["b"]);
        assert_eq!(bytes(&point.image(0, |part| [Lands, Vanishes, Lands][part]), "b"), b"");
        disk.sync_dir().unwrap();
        disk.remove("b").unwrap();
        assert_eq!(disk.crash_point().image(0, |_| Lands).list().unwrap(), Vec::<String>::new());
        assert_eq!(disk.crash_point().image(0, |_| Vanishes).list().unwrap(), ["b"]);
    }

    #[test]
    fn a_directory_made_just_now_is_lost_until_its_name_is_synced() {
        let disk = SimStorage::in_a_new_directory();
        disk.create("a", 0).unwrap();
        disk.sync_dir().unwrap();
        let found = |fate| disk.crash_point().image(0, |_| fate).list().unwrap();
        assert_eq!((found(Fate::Vanishes), found(Fate::Lands)), (vec![], vec!["a".to_owned()]));
        disk.sync_name().unwrap();
        assert_eq!((disk.crash_point().pending(), found(Fate::Vanishes)), (0, vec!["a".to_owned()]));
    }

    #[test]
    fn the_next_process_sees_what_a_power_cut_may_still_undo() {
        let disk = synced(512);
        disk.open_writable("a").unwrap().write_all_at(b"x", 0).unwrap();
        disk.rename("a", "b").unwrap();
        disk.create("c", 10).unwrap();
        let next = disk.crash_point().killed();
        assert_eq!(next.list().unwrap(), ["b", "c"]);
        assert_eq!((bytes(&next, "b")[0], bytes(&next, "c").len()), (b'x', 10));
        assert_eq!(next.crash_point().pending(), disk.crash_point().pending());
        // It removes on the word of a rename that never lands.
        next.remove("c").unwrap();
        let point = next.crash_point();
        let last = point.pending() - 1;
        let found = point.image(0, |part| if part == last { Fate::Lands } else { Fate::Vanishes });
        assert_eq!(found.list().unwrap(), ["a"]);
        next.sync_dir().unwrap();
        assert_eq!(next.crash_point().image(0, |_| Fate::Vanishes).list().unwrap(), ["b"]);
    }

    #[test]
    fn a_sync_that_failed_has_lost_what_a_later_one_claims() {
        let disk = synced(512);
        let file = disk.open_writable("a").unwrap();
        file.write_all_at(b"x", 0).unwrap();
        disk.plant(disk.operations(), Fault::Refuse);
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        assert_eq!(bytes(&disk, "a")[0], b'x');
        assert_eq!(bytes(&disk.crash_point().image(0, |_| Fate::Vanishes), "a")[0], 0);
        file.drop_cached().unwrap();
        assert_eq!(bytes(&disk, "a")[0], 0);
    }

    #[test]
    fn each_fault_does_what_it_says() {
        for (fault, fails, found) in [
            (Fault::Refuse, true, [0, 0]),
            (Fault::Full, true, [0, 0]),
            (Fault::Short, true, [1, 0]),
            (Fault::Late, true, [1, 1]),
            (Fault::Lose, false, [0, 0]),
            (Fault::Misdirect, false, [0, 0]),
        ] {
            let disk = synced(1024);
            let file = disk.open_writable("a").unwrap();
            disk.plant(disk.operations(), fault);
            let result = file.write_all_at(&[1, 1], 0);
            assert_eq!(result.is_err(), fails, "{fault:?}");
            let full = result.is_err_and(|e| e.kind() == io::ErrorKind::StorageFull);
            assert_eq!(full, fault == Fault::Full);
            assert_eq!(bytes(&disk, "a")[..2], found, "{fault:?}");
            assert_eq!(bytes(&disk, "a")[512..514] == [1, 1], fault == Fault::Misdirect);
            assert_eq!(disk.struck(), 1);
        }
    }

    #[test]
    fn a_full_disk_refuses_to_grow_and_takes_writes_within() {
        let disk = synced(1000);
        disk.set_capacity(Some(1200));
        let full = |result: io::Result<()>| result.unwrap_err().kind() == io::ErrorKind::StorageFull;
        assert!(full(disk.create("b", 300).map(drop)));
        disk.open_writable("a").unwrap().write_all_at(&[1; 1000], 0).unwrap();
        disk.remove("b").unwrap();
        disk.create("c", 200).unwrap();
    }

    #[test]
    fn what_was_recorded_is_every_moment() {
        let disk = synced(512);
        disk.record(true);
        let file = disk.open_writable("a").unwrap();
        file.write_all_at(&[1], 0).unwrap();
        file.sync_data().unwrap();
        let pending: Vec<_> = disk.crash_points().iter().map(CrashPoint::pending).collect();
        assert_eq!(pending, [0, 1, 0]);
    }

    #[test]
    fn the_lock_falls_with_its_guard_or_its_process() {
        let disk = SimStorage::new();
        let held = |lock: io::Result<Lock>| match lock.unwrap() {
            Lock::Held(guard) => Some(guard),
            Lock::HeldBy(_) => None,
        };
        let first = held(disk.lock("LOCK")).unwrap();
        assert!(held(disk.lock("LOCK")).is_none());
        disk.kill();
        let second = held(disk.lock("LOCK")).unwrap();
        drop(first);
        assert!(held(disk.lock("LOCK")).is_none(), "a dead process holds nothing that it could release");
        drop(second);
        assert!(held(disk.lock("LOCK")).is_some());
    }
}
