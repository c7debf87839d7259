//! A simulated disk: it loses power between any two operations, and refuses, tears or loses those it is told to.
//!
//! What a running process sees and what the medium holds are kept apart. Everything between the two is *pending*, cut
//! into the smallest parts that can land on their own:
//!
//! | operation | pending parts | landed for certain by |
//! |---|---|---|
//! | a write | one for every sector of 512 bytes that it touches | `sync_data` of the file |
//! | a file that grows, or is created with a length | its length | `sync_data` of the file |
//! | create, rename, remove | a change of names | `sync_dir` |
//! | the directory itself, made just now | its name | `sync_name` |
//!
//! A [`CrashPoint`] is the disk at one moment; [`CrashPoint::image`] makes the disk that is found after a power cut
//! there, where every pending part has landed, vanished, or turned to garbage, as the caller says. A [`Fault`] is
//! planted at an operation, which are counted from 0: all that change something, syncs included.
//!
//! The same calls, fates and seeds give the same disks. Nothing here touches the file system.

mod crash;

use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::{Lock, Region, Storage, StorageFile, beyond, lend};
use crate::sync::Mutex;
pub use crash::{CrashPoint, Fate};
use crash::{Names, Part, Pending};

/// The smallest part of a file that lands as a whole.
pub const SECTOR_BYTES: usize = 512;

/// How a planted operation fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing is done, and an I/O error reported. A sync that fails so has lost what it should have written: a later
    /// sync of the file succeeds without it.
    Refuse,
    /// As `Refuse`, and the error says that the medium is full.
    Full,
    /// The first half of a write is done (nothing of anything else), and an error reported.
    Short,
    /// Everything is done, and an error reported.
    Late,
    /// Nothing is done, and success reported: a write or rename that got lost, a sync that lied.
    Lose,
    /// A write goes to the next sector boundary behind where it should, and success is reported.
    /// (Anything else is done as it should be.)
    Misdirect,
}

/// A directory of files on a simulated disk. Handles made with `clone` show the same disk.
///
/// ```
/// use perennial::storage::{Fate, SimStorage};
/// use perennial::store::Options;
/// use std::sync::Arc;
///
/// let disk = SimStorage::new();
/// let store = Options::new().open_storage(Arc::new(disk.clone()))?;
/// let first = store.checkpoint(&1u32)?;
/// disk.record(true);
/// store.checkpoint(&2u32)?;
/// drop(store);
///
/// // Wherever power fails in between, one of the two states is found, and never one before an acknowledged one.
/// for point in disk.crash_points() {
///     for lost in 0..point.pending() {
///         let found = point.image(lost as u64, |part| if part == lost { Fate::Garbage } else { Fate::Lands });
///         let store = Options::new().open_storage(Arc::new(found))?;
///         assert!(matches!(store.latest::<u32>()?, Some(1 | 2)));
///         assert_eq!(store.restore::<u32>(first.id)?, 1);
///     }
/// }
/// # Ok::<(), perennial::Error>(())
/// ```
#[derive(Clone)]
pub struct SimStorage {
    disk: Arc<Mutex<Disk>>,
}

// What a panic can leave behind is behind locks.
impl std::panic::UnwindSafe for SimStorage {}
impl std::panic::RefUnwindSafe for SimStorage {}

struct Disk {
    /// Every file that ever was; names refer to them by index.
    files: Vec<File>,
    names: Names,
    durable_names: Names,
    pending: Vec<Pending>,
    operations: u64,
    faults: BTreeMap<u64, Fault>,
    /// How many of the planted faults struck.
    struck: usize,
    capacity_bytes: Option<u64>,
    recorded: Option<Vec<CrashPoint>>,
    /// Who holds the lock: a number for each time it was taken.
    holder: Option<u64>,
    locks: u64,
}

/// The bytes of a file, shared until they change.
#[derive(Clone, Default)]
struct File {
    seen: Arc<Vec<u8>>,
    durable: Arc<Vec<u8>>,
}

impl SimStorage {
    /// Makes an empty disk.
    pub fn new() -> Self {
        Self::of(Vec::new(), Names::new())
    }

    /// Makes an empty disk whose directory was made just now: a power cut loses all of it until
    /// [`sync_name`](Storage::sync_name) was called.
    pub fn in_a_new_directory() -> Self {
        let disk = Self::new();
        disk.set_pending(Names::new(), vec![Pending { part: Part::Directory, lost: false }]);
        disk
    }

    fn set_pending(&self, durable_names: Names, pending: Vec<Pending>) {
        let mut disk = self.disk.lock();
        (disk.durable_names, disk.pending) = (durable_names, pending);
    }

    fn of(files: Vec<File>, names: Names) -> Self {
        let disk = Disk {
            files,
            durable_names: names.clone(),
            names,
            pending: Vec::new(),
            operations: 0,
            faults: BTreeMap::new(),
            struck: 0,
            capacity_bytes: None,
            recorded: None,
            holder: None,
            locks: 0,
        };
        Self { disk: Arc::new(Mutex::new(disk)) }
    }

    /// How many operations there were: calls that change something, and syncs.
    pub fn operations(&self) -> u64 {
        self.disk.lock().operations
    }

    /// Lets the operation of this number (the first one is 0) fail.
    pub fn plant(&self, operation: u64, fault: Fault) {
        self.disk.lock().faults.insert(operation, fault);
    }

    /// How many planted faults struck.
    pub fn struck(&self) -> usize {
        self.disk.lock().struck
    }

    /// Bounds the sum of the files' lengths: what would exceed it is refused as [`io::ErrorKind::StorageFull`].
    /// `None`, as at first, is no bound.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.disk.lock().capacity_bytes = bytes;
    }

    /// Starts to remember the disk before every operation (beginning with now), or forgets what was remembered.
    pub fn record(&self, on: bool) {
        let mut disk = self.disk.lock();
        disk.recorded = on.then(Vec::new);
        disk.remember();
    }

    /// The disk at every moment since [`record`](Self::record): first before any operation, then after each.
    pub fn crash_points(&self) -> Vec<CrashPoint> {
        self.disk.lock().recorded.clone().unwrap_or_default()
    }

    /// The disk at this moment.
    pub fn crash_point(&self) -> CrashPoint {
        self.disk.lock().point()
    }

    /// Frees the lock, as the death of the process that held it does. All that it wrote stays, synced or not.
    pub fn kill(&self) {
        self.disk.lock().holder = None;
    }

    /// Returns a copy of a file's bytes as a process sees them.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if there is no such file.
    pub fn contents(&self, name: &str) -> io::Result<Vec<u8>> {
        let disk = self.disk.lock();
        Ok(disk.files[disk.find(name)?].seen.to_vec())
    }

    /// Replaces a file's bytes (or makes the file), durably and without an operation: damage, or its repair.
    pub fn set_contents(&self, name: &str, bytes: Vec<u8>) {
        let mut disk = self.disk.lock();
        let bytes = Arc::new(bytes);
        let number = match disk.find(name) {
            Ok(number) => number,
            Err(_) => {
                disk.files.push(File::default());
                disk.files.len() - 1
            }
        };
        disk.names.insert(name.into(), number);
        disk.durable_names.insert(name.into(), number);
        disk.pending.retain(|pending| pending.part.file() != Some(number));
        disk.files[number] = File { seen: Arc::clone(&bytes), durable: bytes };
    }

    fn file(&self, number: usize) -> Arc<dyn StorageFile> {
        Arc::new(SimFile { disk: Arc::clone(&self.disk), number })
    }
}

impl Default for SimStorage {
    fn default() -> Self {
        Self::new()
    }
}

impl Disk {
    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn point(&self) -> CrashPoint {
        let durable = self.files.iter().map(|file| Arc::clone(&file.durable)).collect();
        CrashPoint::new(self.operations, durable, self.durable_names.clone(), self.pending.clone())
    }

    fn remember(&mut self) {
        if let Some(mut points) = self.recorded.take() {
            points.push(self.point());
            self.recorded = Some(points);
        }
    }

    /// Counts an operation and does it, unless a fault was planted there. `act` is told how much to do.
    fn operate(&mut self, act: impl FnOnce(&mut Self, Extent) -> io::Result<()>) -> io::Result<()> {
        let fault = self.faults.remove(&self.operations);
        self.operations += 1;
        self.struck += usize::from(fault.is_some());
        let planted = || io::Error::other("planted fault");
        let result = match fault {
            None => act(self, Extent::All),
            Some(Fault::Refuse) => act(self, Extent::Nothing).and_then(|()| Err(planted())),
            Some(Fault::Full) => {
                act(self, Extent::Nothing).and_then(|()| Err(io::ErrorKind::StorageFull.into()))
            }
            Some(Fault::Short) => act(self, Extent::Half).and_then(|()| Err(planted())),
            Some(Fault::Late) => act(self, Extent::All).and_then(|()| Err(planted())),
            Some(Fault::Lose) => Ok(()),
            Some(Fault::Misdirect) => act(self, Extent::Elsewhere),
        };
        self.remember();
        result
    }

    fn change_names(&mut self, goes: Option<&str>, comes: Option<(&str, usize)>) {
        let part = Part::Names {
            goes: goes.map(str::to_owned),
            comes: comes.map(|(name, number)| (name.to_owned(), number)),
        };
        part.apply_to_names(&mut self.names);
        self.pending.push(Pending { part, lost: false });
    }

    /// Refuses what would make the files longer than the disk is large.
    fn check_room(&self, more_bytes: usize) -> io::Result<()> {
        let Some(capacity) = self.capacity_bytes else { return Ok(()) };
        let used: usize = self.names.values().map(|&number| self.files[number].seen.len()).sum();
        match (used + more_bytes) as u64 <= capacity {
            true => Ok(()),
            false => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    /// Makes a file longer, of zeros, as a process sees it; pending on the medium.
    fn grow(&mut self, number: usize, len: usize) -> io::Result<()> {
        let old = self.files[number].seen.len();
        if len > old {
            self.check_room(len - old)?;
            Arc::make_mut(&mut self.files[number].seen).resize(len, 0);
            self.pending.push(Pending { part: Part::Length { file: number, len }, lost: false });
        }
        Ok(())
    }

    fn write(&mut self, number: usize, bytes: &[u8], offset: usize) -> io::Result<()> {
        self.grow(number, offset + bytes.len())?;
        Arc::make_mut(&mut self.files[number].seen)[offset..offset + bytes.len()].copy_from_slice(bytes);
        let mut at = 0;
        while at < bytes.len() {
            let end = (at + SECTOR_BYTES - (offset + at) % SECTOR_BYTES).min(bytes.len());
            let part = Part::Sector { file: number, offset: offset + at, bytes: bytes[at..end].into() };
            self.pending.push(Pending { part, lost: false });
            at = end;
        }
        Ok(())
    }

    /// Lands what is pending of a file, but for what an earlier sync that failed has lost.
    fn sync(&mut self, number: usize) {
        let mine = |pending: &Pending| pending.part.file() == Some(number);
        let synced: Vec<Part> =
            self.pending.extract_if(.., |pending| mine(pending) && !pending.lost).map(|p| p.part).collect();
        let durable = Arc::make_mut(&mut self.files[number].durable);
        for part in &synced {
            part.land(durable);
        }
        // What was written again after it was lost is there: the older bytes do not come back.
        self.pending
            .retain(|pending| !(mine(pending) && synced.iter().any(|part| part.covers(&pending.part))));
    }
}

/// How much of an operation is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Nothing,
    Half,
    All,
    Elsewhere,
}

impl Extent {
    /// Whether something that has no halves is done.
    fn is_whole(self) -> bool {
        matches!(self, Self::All | Self::Elsewhere)
    }
}

impl Storage for SimStorage {
    fn create(&self, name: &str, len_bytes: u64) -> io::Result<Arc<dyn StorageFile>> {
        let len = usize::try_from(len_bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut created = None;
        self.disk.lock().operate(|disk, extent| {
            if disk.names.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if extent == Extent::Nothing {
                return Ok(());
            }
            disk.files.push(File::default());
            let number = disk.files.len() - 1;
            disk.change_names(None, Some((name, number)));
            created = Some(number);
            if extent.is_whole() { disk.grow(number, len) } else { Ok(()) }
        })?;
        // A creation that got lost still gives a file: one without a name.
        let number = created.unwrap_or_else(|| {
            let mut disk = self.disk.lock();
            let seen = Arc::new(vec![0; len]);
            disk.files.push(File { seen, durable: Arc::default() });
            disk.files.len() - 1
        });
        Ok(self.file(number))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let number = self.disk.lock().find(name)?;
        Ok(self.file(number))
    }

    fn open_writable(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.open(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.disk.lock().names.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.lock().operate(|disk, extent| {
            let number = disk.find(from)?;
            if extent.is_whole() {
                disk.change_names(Some(from), Some((to, number)));
            }
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.lock().operate(|disk, extent| {
            disk.find(name)?;
            if extent.is_whole() {
                disk.change_names(Some(name), None);
            }
            Ok(())
        })
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.disk.lock().operate(|disk, extent| {
            if extent.is_whole() {
                disk.pending.retain(|pending| !pending.part.is_entry());
                disk.durable_names = disk.names.clone();
            }
            Ok(())
        })
    }

    fn sync_name(&self) -> io::Result<()> {
        self.disk.lock().operate(|disk, extent| {
            if extent.is_whole() {
                disk.pending.retain(|pending| !matches!(pending.part, Part::Directory));
            }
            Ok(())
        })
    }

    /// Takes the one lock of the directory, whatever its name: a store takes only one.
    fn lock(&self, _name: &str) -> io::Result<Lock> {
        let mut disk = self.disk.lock();
        if disk.holder.is_some() {
            return Ok(Lock::HeldBy(std::process::id()));
        }
        disk.locks += 1;
        disk.holder = Some(disk.locks);
        let guard: Box<dyn Any + Send + Sync> =
            Box::new(Unlock { disk: Arc::clone(&self.disk), number: disk.locks });
        Ok(Lock::Held(guard))
    }
}

struct Unlock {
    disk: Arc<Mutex<Disk>>,
    number: u64,
}

impl Drop for Unlock {
    fn drop(&mut self) {
        let mut disk = self.disk.lock();
        if disk.holder == Some(self.number) {
            disk.holder = None;
        }
    }
}

/// One open file, or a map of its first bytes.
struct SimFile {
    disk: Arc<Mutex<Disk>>,
    number: usize,
}

impl StorageFile for SimFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.disk.lock().operate(|disk, extent| match extent {
            Extent::Nothing => Ok(()),
            Extent::Half => disk.write(self.number, &bytes[..bytes.len() / 2], offset),
            Extent::All => disk.write(self.number, bytes, offset),
            Extent::Elsewhere => disk.write(self.number, bytes, (offset + 1).next_multiple_of(SECTOR_BYTES)),
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.lock().operate(|disk, extent| {
            match extent {
                Extent::All | Extent::Elsewhere => disk.sync(self.number),
                Extent::Nothing | Extent::Half => disk
                    .pending
                    .iter_mut()
                    .filter(|pending| pending.part.file() == Some(self.number))
                    .for_each(|pending| pending.lost = true),
            }
            Ok(())
        })
    }

    /// Shows the medium itself: what a sync has lost is gone.
    fn drop_cached(&self) -> io::Result<()> {
        let mut disk = self.disk.lock();
        let mine = |pending: &Pending| pending.part.file() == Some(self.number);
        if disk.pending.iter().any(|pending| mine(pending) && pending.lost) {
            disk.pending.retain(|pending| !(mine(pending) && pending.lost));
            let mut seen = disk.files[self.number].durable.to_vec();
            disk.pending.iter().filter(|pending| mine(pending)).for_each(|p| p.part.land(&mut seen));
            disk.files[self.number].seen = Arc::new(seen);
        }
        Ok(())
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files[self.number].seen.len() as u64)
    }

    fn map(&self, len_bytes: u64) -> io::Result<Arc<dyn Region>> {
        let found_bytes = self.len_bytes()?;
        if found_bytes < len_bytes {
            let what = format!("the file has {found_bytes} bytes, {len_bytes} were expected");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
        }
        let file = Self { disk: Arc::clone(&self.disk), number: self.number };
        Ok(Arc::new(SimRegion { file, len_bytes }))
    }
}

/// A window on a file, which copies what is asked for.
struct SimRegion {
    file: SimFile,
    len_bytes: u64,
}

impl Region for SimRegion {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn bytes(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        if range.end > self.len_bytes {
            return Err(beyond(&range, self.len_bytes));
        }
        Ok(Cow::Owned(lend(&self.file.disk.lock().files[self.file.number].seen, range)?.to_vec()))
    }
}
