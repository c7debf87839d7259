//! A store's demands on a disk: a directory of named files, written at positions and read by regions.
//!
//! Three implementations: [`FileStorage`] over a directory of the file system, [`MemoryStorage`] over nothing but
//! memory, and [`SimStorage`], a simulated disk for tests. The operations are as fine as the system calls beneath
//! them, so that the simulated disk can lose, tear or refuse each of them on its own.
//!
//! A [`Region`] is how bytes are read. It lends them where it can (a memory map), and else hands over copies of what was
//! asked for (positioned reads, a remote file, bytes that are decrypted). Reading may fail at any time: the store then says
//! which file it could not read, with [`Error::Io`](crate::Error::Io), and takes the failure for nothing else, in
//! particular not for the end of its log.
//!
//! | operation | what a power cut may undo until |
//! |---|---|
//! | [`StorageFile::write_all_at`] | [`StorageFile::sync_data`] of that file |
//! | [`Storage::create`], [`rename`](Storage::rename), [`remove`](Storage::remove) | [`Storage::sync_dir`] |
//! | the making of the directory itself | [`Storage::sync_name`] |
//! | length and preallocation given to `create` | `sync_data` of that file |

mod file;
mod memory;
mod sim;

use std::any::Any;
use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::sync::Arc;

pub use file::FileStorage;
pub(crate) use file::Target;
pub use memory::MemoryStorage;
pub use sim::{CrashPoint, Fate, Fault, SECTOR_BYTES, SimStorage};

/// A directory of named files.
///
/// Names are plain (no separators). Every method may be called from any thread.
pub trait Storage: Send + Sync {
    /// Creates the file `name`, `len_bytes` long, all zero, its space reserved where the medium can do so.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] if there is such a file, [`io::ErrorKind::StorageFull`] if the space is
    /// not there, and whatever the medium says. A failed call may leave the file behind.
    fn create(&self, name: &str, len_bytes: u64) -> io::Result<Arc<dyn StorageFile>>;

    /// Opens the file `name` for reading.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if there is no such file, and whatever the medium says.
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Opens the file `name` for reading and writing.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    fn open_writable(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Opens the file `name` to be written in place by a caller who looks after the name itself: a later removal or
    /// replacement of the file is no failure of other operations, as it may be for files from
    /// [`open_writable`](Self::open_writable).
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    fn open_in_place(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.open_writable(name)
    }

    /// Lists the names of all files, in no particular order.
    ///
    /// # Errors
    ///
    /// Whatever the medium says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Renames a file, replacing `to` in one step if it exists: a reader finds the old file or the new one.
    ///
    /// # Errors
    ///
    /// Whatever the medium says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes the name of a file. Whoever has it open or mapped keeps it.
    ///
    /// # Errors
    ///
    /// Whatever the medium says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes earlier creations, renames and removals durable.
    ///
    /// # Errors
    ///
    /// Whatever the medium says; the names are then in doubt until the directory is read again.
    fn sync_dir(&self) -> io::Result<()>;

    /// Makes the directory's own name durable, in the directory above it. Where there is none, or it may not be opened,
    /// nothing is done: such a directory was not made by this process.
    ///
    /// # Errors
    ///
    /// Whatever the medium says.
    fn sync_name(&self) -> io::Result<()> {
        Ok(())
    }

    /// Takes the exclusive lock `name`, or says who holds it. Never waits.
    ///
    /// A lock held by this very process is refused as well. The lock falls with the guard or with the process.
    ///
    /// # Errors
    ///
    /// Whatever the medium says, other than that the lock is held.
    fn lock(&self, name: &str) -> io::Result<Lock>;

    /// Returns the identity of the directory; `None` if the medium has none to tell.
    ///
    /// Two storages of one directory have the same identity, whatever they were opened by.
    ///
    /// # Errors
    ///
    /// Whatever the medium says.
    fn identity(&self) -> io::Result<Option<Identity>> {
        Ok(None)
    }

    /// Returns the identity of the file `name`; `None` if there is no such file.
    ///
    /// A file that takes the name of another one has another identity, as far as the medium can tell: the default says of
    /// every file that there is the same.
    ///
    /// # Errors
    ///
    /// Whatever the medium says.
    fn identity_of(&self, name: &str) -> io::Result<Option<Identity>> {
        match self.open(name) {
            Ok(_) => Ok(Some(Identity { device: 0, number: 0 })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// The identity of a file or directory: no other one has it at the same time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// The device that it lies on.
    pub device: u64,
    /// Its number there (the inode).
    pub number: u64,
}

/// The answer to [`Storage::lock`].
pub enum Lock {
    /// The lock is held until the guard is dropped.
    Held(Box<dyn Any + Send + Sync>),
    /// Somebody else holds the lock: the process of this id, 0 where that cannot be told.
    HeldBy(u32),
}

/// One file of a [`Storage`].
pub trait StorageFile: Send + Sync {
    /// Writes all of `bytes` at `offset`, however many system calls it takes.
    ///
    /// # Errors
    ///
    /// Whatever the medium says; any part of the bytes may then have been written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns once all earlier writes to this file, and its length, are on the medium.
    ///
    /// # Errors
    ///
    /// Whatever the medium says. What was written since the last successful sync is then in doubt for good: a
    /// second call may succeed without having written it.
    fn sync_data(&self) -> io::Result<()>;

    /// Lets go of cached copies of what this file holds on the medium, as far as the system allows, so that
    /// later reads see the medium itself. A hint: doing nothing is correct.
    ///
    /// # Errors
    ///
    /// Whatever the medium says.
    fn drop_cached(&self) -> io::Result<()> {
        Ok(())
    }

    /// Length of the file in bytes.
    ///
    /// # Errors
    ///
    /// Whatever the medium says.
    fn len_bytes(&self) -> io::Result<u64>;

    /// Gives access to the first `len_bytes` bytes for reading, by a memory map or otherwise. Later writes through any
    /// handle show in the region; it stays readable after the file was removed or replaced.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] if the file is shorter than `len_bytes`, and whatever the medium says.
    fn map(&self, len_bytes: u64) -> io::Result<Arc<dyn Region>>;
}

/// The first bytes of a file, to be read.
pub trait Region: Send + Sync {
    /// Length of the region in bytes. It never changes.
    fn len_bytes(&self) -> u64;

    /// Returns the bytes of `range`: all of them, borrowed where the region can lend them.
    ///
    /// Bytes that somebody writes at the same time are in an unknown state.
    ///
    /// ```
    /// use perennial::storage::{MemoryStorage, Region, Storage, StorageFile};
    /// use std::io::ErrorKind;
    ///
    /// let file = MemoryStorage::new().create("a", 8)?;
    /// file.write_all_at(b"hello", 2)?;
    /// let region = file.map(8)?;
    /// assert_eq!(&*region.bytes(2..7)?, b"hello");
    /// assert_eq!(region.bytes(7..9).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] if the range reaches beyond the region, or the file has become shorter than that;
    /// whatever the medium says.
    fn bytes(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>>;
}

/// Says that a range reaches beyond a region of this length.
pub(crate) fn beyond(range: &Range<u64>, len_bytes: u64) -> io::Error {
    let Range { start, end } = range;
    let what = format!("bytes {start}..{end} were asked for, the region has {len_bytes}");
    io::Error::new(io::ErrorKind::UnexpectedEof, what)
}

/// Returns the bytes of `range` of all those of a region.
pub(crate) fn lend(bytes: &[u8], range: Range<u64>) -> io::Result<&[u8]> {
    let index = |at| usize::try_from(at).ok();
    let lent = index(range.start).zip(index(range.end)).and_then(|(start, end)| bytes.get(start..end));
    lent.ok_or_else(|| beyond(&range, bytes.len() as u64))
}
