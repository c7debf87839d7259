//! The file of the manifest: two slots, each of which holds all of it.
//!
//! A manifest is written into one slot and synced, and then into the other and synced: one of the two is whole at any moment, and
//! once the second is durable the damage of either costs nothing. Nothing that only the manifest before needs is given up until
//! then. A slot is written in place, in room that it has: a full disk does not keep the manifest from being replaced. Only one that has
//! outgrown its slot is written beside, in a file with larger slots, and renamed.
//!
//! The manifest of sequence *s* goes to slot *s* mod 2 first. So if the slots hold the same, slot *s* mod 2 is durable,
//! and the next manifest begins with the other. If they do not, the process died in between, or one is damaged: an opening that is
//! to write makes them the same before anything else ([`Slots::settle`]).
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `PRNLMANI` |
//! | 8 | 4 | format version |
//! | 12 | 4 | length of the body |
//! | 16 | 8 | store id |
//! | 24 | 8 | sequence |
//! | 32 | 4 | length of a slot: a power of two; the other one begins there |
//! | 36 | 4 | number of this slot: 0, 1 |
//! | 40 | 8 | checksum of the body, seeded with the checksum of the 40 bytes before |
//! | 48 | | [body](super::manifest) |
//!
//! Every later version keeps this header: its checksum decides first, so that a flipped bit is never taken for a version.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::directory::{Directory, MANIFEST, MANIFEST_TEMP};
use super::format::{Cursor, VERSION, checksum, checksum_seeded};
use super::manifest::{KNOWN_FIELDS, MAGIC, Manifest};
use crate::error::{Error, Result};
use crate::storage::StorageFile;
use crate::weaken;

const HEADER_BYTES: usize = 48;
const MIN_CAPACITY: u32 = 4 << 10;
const ADVICE: &str =
    "copy what is whole with `Store::salvage`, or restore the directory from a backup; nothing was changed";

/// The content of the file, as far as this process knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Slots {
    /// Length of a slot; 0: the file is of version 1, which has none.
    capacity: u32,
    /// The slot that does not hold the manifest, if one does not.
    stale: Option<u32>,
    /// The name of the file is known to be durable.
    is_named: bool,
}

/// A manifest that was read.
#[derive(Debug)]
pub(crate) struct Found {
    pub manifest: Manifest,
    pub slots: Slots,
    /// The slots that are not whole.
    pub damage: Vec<Error>,
}

/// A manifest that could not be replaced.
#[derive(Debug)]
pub(crate) struct Refused {
    pub error: Error,
    /// The one before is in force, and a later attempt may succeed.
    pub is_harmless: bool,
}

impl Refused {
    /// Nothing but room was missing, before anything was in doubt.
    pub(crate) fn before(error: Error) -> Self {
        let is_harmless = matches!(&error, Error::Io { source, .. } if is_full(source));
        Self { error, is_harmless }
    }

    pub(crate) fn in_doubt(error: Error) -> Self {
        Self { error, is_harmless: false }
    }
}

/// Returns whether the system refused for want of room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The content of the place of a slot.
enum Slot {
    /// A manifest, and the length of a slot.
    Whole(Box<Manifest>, u32),
    /// Whole, and of a later version.
    Newer(u32),
    Damaged,
}

impl Slot {
    fn is_damaged(&self) -> bool {
        matches!(self, Self::Damaged)
    }

    /// Looks at the slot that begins at `at`.
    fn parse(bytes: &[u8], at: u32) -> Self {
        let parsed = || {
            let slot = bytes.get(at as usize..)?;
            let (header, rest) = slot.split_at_checked(HEADER_BYTES)?;
            let mut cursor = Cursor::new(header);
            let is_slot = cursor.take(MAGIC.len())? == MAGIC;
            let (version, body_bytes) = (cursor.u32()?, cursor.u32()?);
            let (store_id, sequence) = (cursor.u64()?, cursor.u64()?);
            let (capacity, number, stored) = (cursor.u32()?, cursor.u32()?, cursor.u64()?);
            let body = rest.get(..body_bytes as usize)?;
            let is_here = capacity.is_power_of_two() && number <= 1 && at == number * capacity && version > 1;
            if !is_slot || !is_here || checksum_seeded(body, checksum(&header[..40])) != stored {
                return None;
            }
            match version {
                VERSION => Manifest::decode(store_id, sequence, body)
                    .map(|manifest| Self::Whole(Box::new(manifest), capacity)),
                newer => Some(Self::Newer(newer)),
            }
        };
        parsed().unwrap_or(Self::Damaged)
    }

    /// The two slots of a file.
    fn both(bytes: &[u8]) -> [Self; 2] {
        let first = Self::parse(bytes, 0);
        let second = match &first {
            Self::Whole(_, capacity) => Self::parse(bytes, *capacity),
            // Only a slot itself knows where it lies.
            _ => std::iter::successors(Some(MIN_CAPACITY), |capacity| capacity.checked_mul(2))
                .take_while(|&at| (at as usize) < bytes.len())
                .map(|at| Self::parse(bytes, at))
                .find(|slot| !slot.is_damaged())
                .unwrap_or(Self::Damaged),
        };
        [first, second]
    }
}

fn whole_file(directory: &Directory) -> Result<Option<Vec<u8>>> {
    let Some(region) = directory.map_whole(MANIFEST)? else { return Ok(None) };
    // A copy: a writer beside may be writing a slot right now.
    Ok(Some(region.bytes_from(0)?.into_owned()))
}

/// Reads the manifest; `None` if there is none.
///
/// # Errors
///
/// [`Error::NotAStore`] if no slot is whole, [`Error::FormatVersion`] if one is of a later version,
/// [`Error::UnknownField`] if it has a field that must be known and is not, [`Error::Io`] if the system refuses.
pub(crate) fn read(directory: &Directory) -> Result<Option<Found>> {
    let Some(bytes) = whole_file(directory)? else { return Ok(None) };
    if bytes.is_empty() {
        return Err(directory.not_a_store("its MANIFEST is empty", ADVICE));
    }
    let path = || directory.path.join(MANIFEST);
    let slots = Slot::both(&bytes);
    let damaged = |(slot, number): (&Slot, u32)| {
        slot.is_damaged().then(|| Error::ManifestSlot { path: path(), slot: number })
    };
    let mut damage: Vec<_> = slots.iter().zip(0..).filter_map(damaged).collect();
    let (manifest, capacity, stale) = match slots {
        [Slot::Newer(found), _] | [_, Slot::Newer(found)] => {
            return Err(Error::FormatVersion { path: path(), found, expected: VERSION });
        }
        [Slot::Whole(first, capacity), Slot::Whole(second, _)] => {
            if first.store_id != second.store_id {
                let what = "the two slots of its MANIFEST belong to different stores";
                return Err(directory.not_a_store(what, ADVICE));
            }
            let is_same = first == second;
            // Of one sequence, which no crash leaves with different contents, the one that was written first.
            let age = |manifest: &Manifest, number| (manifest.sequence, manifest.sequence % 2 == number);
            let (newest, stale) = if age(&second, 1) > age(&first, 0) { (second, 0) } else { (first, 1) };
            (*newest, capacity, (!is_same).then_some(stale))
        }
        [Slot::Whole(first, capacity), Slot::Damaged] => (*first, capacity, Some(1)),
        [Slot::Damaged, Slot::Whole(second, capacity)] => (*second, capacity, Some(0)),
        [Slot::Damaged, Slot::Damaged] => {
            damage.clear();
            let Some(manifest) = Manifest::decode_version_1(&bytes) else {
                let what = match bytes.starts_with(&MAGIC) {
                    true => {
                        format!("its MANIFEST ({} bytes) is damaged, no slot of it is whole", bytes.len())
                    }
                    false => "its MANIFEST does not start as one".to_owned(),
                };
                return Err(directory.not_a_store(what, ADVICE));
            };
            (manifest, 0, None)
        }
    };
    match manifest.fields.unknown(KNOWN_FIELDS) {
        Some(field) => Err(Error::UnknownField { what: "the MANIFEST".into(), field }),
        None => Ok(Some(Found { manifest, slots: Slots { capacity, stale, is_named: false }, damage })),
    }
}

/// Reads the manifest, and looks again where a slot is not whole: a writer may be writing it right now. Which ones are damaged.
///
/// # Errors
///
/// Those of [`read`].
pub(crate) fn damage(directory: &Directory) -> Result<Vec<Error>> {
    /// Number of looks before damage is believed.
    const ATTEMPTS: u64 = 5;
    for attempt in 1.. {
        match read(directory) {
            Ok(None) => break,
            Ok(Some(found)) if found.damage.is_empty() => break,
            Ok(Some(found)) if attempt == ATTEMPTS => return Ok(found.damage),
            Err(error) if attempt == ATTEMPTS => return Err(error),
            Ok(Some(_)) | Err(_) => std::thread::sleep(Duration::from_millis(attempt)),
        }
    }
    Ok(Vec::new())
}

/// The slot that `next` goes to first, and the length of a slot: not the one that is sure to hold the manifest before it. `None`:
/// there are no slots that hold it.
fn next_slot(directory: &Directory, next: &Manifest) -> Result<Option<(u32, u32)>> {
    let last = next.sequence.wrapping_sub(1);
    let bytes = whole_file(directory)?.unwrap_or_default();
    let holds = Slot::both(&bytes).map(|slot| match slot {
        Slot::Whole(found, capacity) => {
            ((found.store_id, found.sequence) == (next.store_id, last)).then_some(capacity)
        }
        _ => None,
    });
    let sure = (last % 2) as u32;
    Ok(match (holds[sure as usize], holds[1 - sure as usize]) {
        (Some(capacity), _) => Some((1 - sure, capacity)),
        (None, Some(capacity)) => Some((sure, capacity)),
        (None, None) => None,
    })
}

/// The bytes of a slot that holds a manifest.
fn encode(manifest: &Manifest, body: &[u8], capacity: u32, number: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&manifest.store_id.to_le_bytes());
    bytes.extend_from_slice(&manifest.sequence.to_le_bytes());
    bytes.extend_from_slice(&capacity.to_le_bytes());
    bytes.extend_from_slice(&number.to_le_bytes());
    let checksum = checksum_seeded(body, checksum(&bytes));
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

impl Slots {
    /// Writes a manifest into a new file, which takes the place of one that is there, durably.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    pub(crate) fn create(directory: &Directory, manifest: &Manifest) -> Result<Self> {
        let body = manifest.encode();
        Self::replace_file(directory, manifest, &body).map_err(|refused| refused.error)
    }

    /// Returns whether both slots hold the manifest.
    pub(crate) fn is_settled(&self) -> bool {
        self.stale.is_none()
    }

    /// Makes what was read durable, and lets go of what is cached: the process before may have died, or failed, before it was.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    pub(crate) fn sync(&self, directory: &Directory) -> Result<()> {
        let file = self.open(directory)?;
        file.sync_data().map_err(|e| directory.io_error("sync", MANIFEST, e))?;
        file.drop_cached().map_err(|e| directory.io_error("drop cached pages of", MANIFEST, e))?;
        directory.storage.sync_dir().map_err(|e| directory.io_error("sync the directory of", MANIFEST, e))
    }

    /// Makes both slots hold the manifest, which is the one that was read, and durable.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    pub(crate) fn settle(&mut self, directory: &Directory, manifest: &Manifest) -> Result<()> {
        let Some(stale) = self.stale else { return Ok(()) };
        self.write(directory, &*self.open(directory)?, manifest, &manifest.encode(), stale)?;
        self.stale = None;
        Ok(())
    }

    /// Replaces the manifest, durably, by the next one. One that is missing, or damaged altogether, is written anew.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses. The manifest before or the new one is then in place.
    pub(crate) fn replace(&mut self, directory: &Directory, manifest: &Manifest) -> Result<(), Refused> {
        let body = manifest.encode();
        let bytes = (body.len() + HEADER_BYTES) as u64;
        let Some((first, capacity)) = next_slot(directory, manifest).map_err(Refused::before)? else {
            *self = Self::replace_file(directory, manifest, &body)?;
            return Ok(());
        };
        if !self.is_named {
            // The file may have been renamed to its name by a process that died then.
            let synced = directory.storage.sync_dir();
            synced
                .map_err(|e| Refused::in_doubt(directory.io_error("sync the directory of", MANIFEST, e)))?;
            self.is_named = true;
        }
        self.capacity = capacity;
        // Early, while there is room: on a full disk a manifest is to fit that is longer by the checkpoints that are kept.
        if bytes > u64::from(capacity) / 4 * 3 {
            match Self::replace_file(directory, manifest, &body) {
                Ok(slots) => {
                    *self = slots;
                    return Ok(());
                }
                Err(refused) if refused.is_harmless && bytes <= capacity.into() => {}
                Err(refused) => return Err(refused),
            }
        }
        let file = self.open(directory).map_err(Refused::before)?;
        let written = file.write_all_at(&encode(manifest, &body, capacity, first), self.offset(first));
        written.map_err(|e| Refused::before(directory.io_error("write", MANIFEST, e)))?;
        if !weaken::canary("slot_unsynced") {
            let synced = file.sync_data();
            synced.map_err(|e| Refused::in_doubt(directory.io_error("sync", MANIFEST, e)))?;
        }
        self.write(directory, &*file, manifest, &body, 1 - first).map_err(Refused::in_doubt)
    }

    fn offset(&self, number: u32) -> u64 {
        u64::from(number) * u64::from(self.capacity)
    }

    fn open(&self, directory: &Directory) -> Result<Arc<dyn StorageFile>> {
        directory.storage.open_in_place(MANIFEST).map_err(|e| directory.io_error("open", MANIFEST, e))
    }

    fn write(
        &self,
        directory: &Directory,
        file: &dyn StorageFile,
        manifest: &Manifest,
        body: &[u8],
        number: u32,
    ) -> Result<()> {
        let bytes = encode(manifest, body, self.capacity, number);
        file.write_all_at(&bytes, self.offset(number))
            .map_err(|e| directory.io_error("write", MANIFEST, e))?;
        file.sync_data().map_err(|e| directory.io_error("sync", MANIFEST, e))
    }

    /// Writes a file with room for twice as much, and renames it to its name.
    fn replace_file(directory: &Directory, manifest: &Manifest, body: &[u8]) -> Result<Self, Refused> {
        let capacity =
            u32::try_from(2 * (body.len() + HEADER_BYTES)).ok().and_then(u32::checked_next_power_of_two);
        let Some(capacity) = capacity.map(|capacity| capacity.max(MIN_CAPACITY)) else {
            let what = format!("the manifest takes {} bytes; keep fewer checkpoints", body.len());
            return Err(Refused::in_doubt(Error::Limit { what }));
        };
        let storage = &*directory.storage;
        let refuse = |action: &'static str| move |e| directory.io_error(action, MANIFEST_TEMP, e);
        let write = || {
            let created = match storage.create(MANIFEST_TEMP, 2 * u64::from(capacity)) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    // Left behind by a crash. Nobody reads it.
                    let removed = storage.remove(MANIFEST_TEMP);
                    removed.and_then(|()| storage.create(MANIFEST_TEMP, 2 * u64::from(capacity)))
                }
                created => created,
            };
            let file = created.map_err(refuse("create"))?;
            for number in [0, 1] {
                let bytes = encode(manifest, body, capacity, number);
                let at = u64::from(number) * u64::from(capacity);
                file.write_all_at(&bytes, at).map_err(refuse("write"))?;
            }
            file.sync_data().map_err(refuse("sync"))?;
            storage.rename(MANIFEST_TEMP, MANIFEST).map_err(refuse("rename"))
        };
        write().map_err(|error| {
            let refused = Refused::before(error);
            if refused.is_harmless {
                // It takes the last room there is. If it cannot be removed, the next attempt does it.
                let _ = storage.remove(MANIFEST_TEMP);
            }
            refused
        })?;
        let synced = storage.sync_dir();
        synced.map_err(|e| Refused::in_doubt(directory.io_error("sync the directory of", MANIFEST, e)))?;
        Ok(Self { capacity, stale: None, is_named: true })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::manifest::tests::{manifest, version_1};
    use super::*;
    use crate::storage::{Fate, MemoryStorage, SimStorage, Storage};

    fn directory() -> Directory {
        Directory::new(Arc::new(MemoryStorage::new()), Path::new("store"))
    }

    fn holding(bytes: &[u8]) -> Directory {
        let directory = directory();
        directory.storage.create(MANIFEST, 0).unwrap().write_all_at(bytes, 0).unwrap();
        directory
    }

    /// A manifest that was replaced once: its file, and what both slots hold.
    fn replaced() -> (Vec<u8>, Manifest) {
        let directory = directory();
        let mut slots = Slots::create(&directory, &Manifest { sequence: 5, ..manifest() }).unwrap();
        slots.replace(&directory, &manifest()).unwrap();
        (whole_file(&directory).unwrap().unwrap(), manifest())
    }

    fn next(manifest: &Manifest) -> Manifest {
        Manifest {
            sequence: manifest.sequence + 1,
            next_commit_id: manifest.next_commit_id + 7,
            ..manifest.clone()
        }
    }

    #[test]
    fn a_manifest_comes_back_and_the_next_one_takes_its_place() {
        let directory = directory();
        assert!(read(&directory).unwrap().is_none());
        let mut last = manifest();
        directory.storage.create(MANIFEST_TEMP, 5).unwrap();
        let mut slots = Slots::create(&directory, &last).unwrap();
        for turn in 0..9u32 {
            let found = read(&directory).unwrap().unwrap();
            assert_eq!((&found.manifest, found.slots.is_settled()), (&last, true));
            assert!(found.damage.is_empty());
            if turn == 5 {
                slots = found.slots;
            }
            // In the end it outgrows its slots.
            last = next(&last);
            last.fields.set(5, vec![1; 1 << (2 * turn)]);
            slots.replace(&directory, &last).unwrap();
        }
        assert!(slots.capacity > MIN_CAPACITY);
        assert_eq!(directory.storage.list().unwrap(), [MANIFEST]);
    }

    #[test]
    fn any_damage_to_one_slot_leaves_the_other() {
        let (whole, expected) = replaced();
        let used = HEADER_BYTES + expected.encode().len();
        for slot in [0, MIN_CAPACITY as usize] {
            for at in slot..slot + used {
                for bit in 0..8 {
                    let mut damaged = whole.clone();
                    damaged[at] ^= 1 << bit;
                    let directory = holding(&damaged);
                    let mut found =
                        read(&directory).unwrap_or_else(|e| panic!("byte {at}, bit {bit}: {e}")).unwrap();
                    assert_eq!(found.manifest, expected, "byte {at}");
                    assert!(
                        found.damage.len() == 1 && super::damage(&directory).unwrap().len() == 1,
                        "byte {at}"
                    );
                    found.slots.settle(&directory, &expected).unwrap();
                    assert_eq!(whole_file(&directory).unwrap().unwrap(), whole, "byte {at}");
                }
            }
        }
        // Or a slot whole: zeros, noise, the end of the file.
        for (from, to) in [(0, 4096), (4096, 8192), (100, 4096), (0, 4097 - 1)] {
            let mut damaged = whole.clone();
            damaged[from..to].fill(0xa5);
            assert_eq!(read(&holding(&damaged)).unwrap().unwrap().manifest, expected);
        }
        for len in used..whole.len() {
            assert_eq!(read(&holding(&whole[..len])).unwrap().unwrap().manifest, expected, "{len} bytes");
        }
    }

    #[test]
    fn damage_to_both_slots_is_an_error_that_shows_the_way() {
        let (whole, _) = replaced();
        for at in (0..40).chain([43, 50, 100]) {
            for other in [8, 20, 60] {
                let mut damaged = whole.clone();
                damaged[at] ^= 0x10;
                damaged[MIN_CAPACITY as usize + other] ^= 1;
                let error = read(&holding(&damaged)).unwrap_err();
                assert!(
                    matches!(error, Error::NotAStore { .. }) && error.to_string().contains("salvage"),
                    "{error}"
                );
            }
        }
        for len in 0..HEADER_BYTES + manifest().encode().len() {
            assert!(matches!(read(&holding(&whole[..len])), Err(Error::NotAStore { .. })), "{len} bytes");
        }
    }

    #[test]
    fn a_later_version_is_named_and_a_flipped_bit_is_none() {
        let (mut whole, _) = replaced();
        for slot in [0, MIN_CAPACITY as usize] {
            whole[slot + 8] = 9;
            let body_bytes = u32::from_le_bytes(whole[slot + 12..slot + 16].try_into().unwrap()) as usize;
            let body = &whole[slot + HEADER_BYTES..][..body_bytes];
            let sum = checksum_seeded(body, checksum(&whole[slot..slot + 40]));
            whole[slot + 40..slot + 48].copy_from_slice(&sum.to_le_bytes());
            let error = read(&holding(&whole)).unwrap_err();
            assert!(matches!(error, Error::FormatVersion { found: 9, expected: VERSION, .. }), "{error}");
        }
    }

    #[test]
    fn a_field_that_must_be_known_is_named() {
        let directory = directory();
        let mut manifest = manifest();
        manifest.fields.set(6, vec![]);
        Slots::create(&directory, &manifest).unwrap();
        let error = read(&directory).unwrap_err();
        assert!(matches!(error, Error::UnknownField { field: 6, .. }), "{error}");
    }

    #[test]
    fn that_of_version_1_is_read_and_replaced_by_slots() {
        let old = Manifest { fields: Default::default(), ..manifest() };
        let directory = holding(&version_1(&old));
        let mut found = read(&directory).unwrap().unwrap();
        assert_eq!(found.manifest, old);
        found.slots.settle(&directory, &old).unwrap();
        assert_eq!(whole_file(&directory).unwrap().unwrap(), version_1(&old), "nothing is written yet");
        found.slots.replace(&directory, &next(&old)).unwrap();
        let found = read(&directory).unwrap().unwrap();
        assert_eq!((found.manifest, found.slots.capacity), (next(&old), MIN_CAPACITY));
    }

    #[test]
    fn every_power_cut_of_replacing_it_leaves_the_old_one_or_the_new_one() {
        for fields_bytes in [0, 700, 5000] {
            let disk = SimStorage::new();
            let of = |disk: &SimStorage| Directory::new(Arc::new(disk.clone()), Path::new("store"));
            let mut old = manifest();
            let mut slots = Slots::create(&of(&disk), &old).unwrap();
            old = next(&old);
            slots.replace(&of(&disk), &old).unwrap();
            let mut new = next(&old);
            new.fields.set(5, vec![7; fields_bytes]);
            disk.record(true);
            slots.replace(&of(&disk), &new).unwrap();
            let points = disk.crash_points();
            for (number, point) in points.iter().enumerate() {
                for seed in 0..200 {
                    let image = match seed {
                        0 => point.image(0, |_| Fate::Lands),
                        1 => point.image(0, |_| Fate::Vanishes),
                        seed => point.random_image(seed),
                    };
                    let mut found = read(&of(&image)).unwrap().unwrap();
                    assert!([&old, &new].contains(&&found.manifest));
                    assert!(found.manifest == new || number + 1 < points.len());
                    // And so does that of making the slots the same, which comes next.
                    image.record(true);
                    found.slots.sync(&of(&image)).unwrap();
                    found.slots.settle(&of(&image), &found.manifest).unwrap();
                    for again in image.crash_points() {
                        let found_again = read(&of(&again.random_image(seed))).unwrap().unwrap();
                        assert_eq!(found_again.manifest, found.manifest);
                    }
                    // One slot is enough then.
                    for slot in 0..2usize {
                        let mut bytes = image.contents(MANIFEST).unwrap();
                        let capacity = bytes.len() / 2;
                        bytes[slot * capacity..(slot + 1) * capacity].fill(0xff);
                        assert_eq!(read(&holding(&bytes)).unwrap().unwrap().manifest, found.manifest);
                    }
                }
            }
        }
    }

    #[test]
    fn a_full_disk_does_not_keep_it_from_being_replaced_and_a_larger_one_harms_nothing() {
        let disk = SimStorage::new();
        let directory = Directory::new(Arc::new(disk.clone()), Path::new("store"));
        let mut last = manifest();
        let mut slots = Slots::create(&directory, &last).unwrap();
        disk.set_capacity(Some(2 * u64::from(MIN_CAPACITY)));
        for bytes in [0, 1000, 3500] {
            last = next(&last);
            last.fields.set(5, vec![7; bytes]);
            slots.replace(&directory, &last).unwrap();
        }
        let mut larger = next(&last);
        larger.fields.set(5, vec![7; 5000]);
        let refused = slots.replace(&directory, &larger).unwrap_err();
        assert!(refused.is_harmless, "{:?}", refused.error);
        assert_eq!(read(&directory).unwrap().unwrap().manifest, last);
        slots.replace(&directory, &next(&last)).unwrap();
        assert_eq!(disk.list().unwrap(), [MANIFEST]);
    }

    #[test]
    fn one_that_was_put_in_its_place_is_not_written_over() {
        let directory = directory();
        let mut slots = Slots::create(&directory, &manifest()).unwrap();
        let foreign = [
            Manifest { store_id: 78, ..manifest() },
            Manifest { sequence: 5, ..manifest() },
            next(&manifest()),
        ];
        for foreign in foreign {
            Slots::create(&directory, &foreign).unwrap();
            let before = whole_file(&directory).unwrap();
            let refused = directory.replace_manifest(&mut slots, &next(&manifest())).unwrap_err();
            assert!(
                !refused.is_harmless && matches!(refused.error, Error::Foreign { .. }),
                "{:?}",
                refused.error
            );
            assert_eq!(whole_file(&directory).unwrap(), before);
        }
    }
}
