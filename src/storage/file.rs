//! A directory of the file system: positioned writes, `fdatasync`, read-only maps or positioned reads, `flock`.

mod directory;
mod lock;
mod positioned;
mod target;

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::{Mmap, MmapOptions};
use rustix::fs::{FallocateFlags, OFlags};

use super::{Identity, Lock, Region, Storage, StorageFile, lend};
use crate::error::{Error, Result};
use directory::HeldDirectory;
use positioned::PositionedFile;
pub(crate) use target::Target;

/// A directory of the file system.
///
/// It is held open, and everything happens in it, wherever it lies: the working directory of the process, a directory
/// that is moved, another one that takes its name make no difference. The process that opened it may change it; a fork of
/// that process may read.
///
/// A write or a sync fails when a file that was made in the directory, or opened for writing, is not found in it any more.
pub struct FileStorage {
    path: PathBuf,
    directory: Arc<HeldDirectory>,
    is_mapped: bool,
}

// What a panic can leave behind is behind locks.
impl std::panic::UnwindSafe for FileStorage {}
impl std::panic::RefUnwindSafe for FileStorage {}

impl FileStorage {
    /// Opens the directory `path`. If there is none and `create` is set, it is made, in a parent that exists; its name is
    /// durable on return.
    ///
    /// # Errors
    ///
    /// [`Error::NotAStore`] if `path` is something else than a directory, or is absent and not to be created;
    /// [`Error::Io`] if the system refuses.
    pub fn open(path: impl Into<PathBuf>, create: bool) -> Result<Self> {
        Self::open_or(path, (!create).then_some("check the path, or create the directory first"))
    }

    /// As [`open`](Self::open); an absent directory is made, or refused with this advice.
    pub(crate) fn open_or(path: impl Into<PathBuf>, advice: Option<&'static str>) -> Result<Self> {
        let path = plain(path.into())?;
        let opened = match directory::open_path(&path) {
            Ok(fd) => Self::of(&path, fd),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                target::refuse_dangling(&path)?;
                return match advice {
                    Some(advice) => Err(Error::NotAStore { path, found: "nothing is there".into(), advice }),
                    None => Target::of(&path)?.make(),
                };
            }
            Err(e) if e.kind() == io::ErrorKind::NotADirectory && path.exists() => {
                return Err(target::not_a_directory(&path));
            }
            Err(source) => return Err(Error::Io { action: "open", path, source: Arc::new(source) }),
        };
        if advice.is_none() {
            // Whoever made the empty directory may have died before its name was durable.
            let io_error = |action| move |source| Error::Io { action, path, source: Arc::new(source) };
            if opened.directory.list().map_err(io_error.clone()("list"))?.is_empty() {
                opened.directory.sync_parent().map_err(io_error("sync the parent directory of"))?;
            }
        }
        Ok(opened)
    }

    fn of(path: &Path, fd: OwnedFd) -> Self {
        Self { path: path.to_owned(), directory: Arc::new(HeldDirectory::new(fd)), is_mapped: true }
    }

    /// Reads files that are opened from now on through memory maps; `false`: by positioned reads. Default: true. See
    /// [`Options::map`](crate::store::Options::map), which is this for a store that is opened by its path.
    ///
    /// ```
    /// use perennial::storage::FileStorage;
    /// use perennial::store::{Location, Store};
    /// use std::sync::Arc;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let (old, new) = (dir.path().join("world"), dir.path().join("saved"));
    /// # Store::open(&old)?.checkpoint(&1u32)?;
    /// // A medium that refuses to be read is an error then, not a signal that kills the process.
    /// let from = FileStorage::open(&old, false)?.map(false);
    /// let to = FileStorage::open(&new, true)?;
    /// let from = Location::storage(Arc::new(from), &old);
    /// let salvaged = Store::salvage(from, Location::storage(Arc::new(to), &new))?;
    /// assert_eq!(salvaged.checkpoints.len(), 1);
    /// # Ok::<(), perennial::Error>(())
    /// ```
    #[must_use]
    pub fn map(mut self, map: bool) -> Self {
        self.is_mapped = map;
        self
    }

    /// The path that the directory was opened by. It may lead elsewhere by now.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &str, file: File) -> Arc<dyn StorageFile> {
        Arc::new(DiskFile {
            file: Arc::new(file),
            name: name.into(),
            directory: Arc::clone(&self.directory),
            is_mapped: self.is_mapped,
        })
    }
}

impl fmt::Debug for FileStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStorage").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Storage for FileStorage {
    fn create(&self, name: &str, len_bytes: u64) -> io::Result<Arc<dyn StorageFile>> {
        self.directory.expect_owner()?;
        let file = self.directory.open(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?;
        self.directory.watch(name, &file)?;
        if len_bytes > 0
            && let Err(error) = reserve(&file, len_bytes)
        {
            // A part may be reserved, and is the last room there is. If it cannot be removed, it can be replaced.
            let _ = self.directory.remove(name);
            return Err(error);
        }
        Ok(self.file(name, file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(name, self.directory.open(name, OFlags::RDONLY)?))
    }

    fn open_writable(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.directory.expect_owner()?;
        // A link could lead to a file of somebody else's.
        let file = self.directory.open(name, OFlags::RDWR | OFlags::NOFOLLOW)?;
        self.directory.watch(name, &file)?;
        Ok(self.file(name, file))
    }

    fn open_in_place(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.directory.expect_owner()?;
        Ok(self.file(name, self.directory.open(name, OFlags::RDWR | OFlags::NOFOLLOW)?))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.directory.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.directory.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.directory.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.directory.expect_owner()?;
        self.directory.sync()
    }

    fn sync_name(&self) -> io::Result<()> {
        self.directory.sync_parent()
    }

    fn lock(&self, name: &str) -> io::Result<Lock> {
        self.directory.expect_owner()?;
        let lock = lock::take(&self.directory, name)?;
        if matches!(lock, Lock::Held(_)) {
            self.directory.watch_none();
        }
        Ok(lock)
    }

    fn identity(&self) -> io::Result<Option<Identity>> {
        self.directory.identity().map(Some)
    }

    fn identity_of(&self, name: &str) -> io::Result<Option<Identity>> {
        self.directory.identity_of(name)
    }
}

/// Gives a new file its length, and its space where the file system can do so.
fn reserve(file: &File, len_bytes: u64) -> io::Result<()> {
    loop {
        match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len_bytes) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            // File systems that cannot reserve still take the length; a full disk then shows at the write.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => return file.set_len(len_bytes),
            Err(e) => return Err(e.into()),
        }
    }
}

/// The path without dots and separators at its end, which name what may not be there yet.
fn plain(path: PathBuf) -> Result<PathBuf> {
    if path.as_os_str().is_empty() {
        let found = "the path is empty".into();
        return Err(Error::NotAStore { path, found, advice: "name the directory that holds the store" });
    }
    Ok(path.components().collect())
}

/// One open file.
struct DiskFile {
    file: Arc<File>,
    /// That it was opened by.
    name: String,
    directory: Arc<HeldDirectory>,
    is_mapped: bool,
}

impl StorageFile for DiskFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.directory.expect_owner()?;
        // The standard library loops over short writes and EINTR.
        self.file.write_all_at(bytes, offset)?;
        self.directory.check(&self.name, &self.file)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.directory.expect_owner()?;
        self.file.sync_data()?;
        // Afterwards: what was removed while it was synced is not acknowledged either.
        self.directory.check(&self.name, &self.file)
    }

    fn drop_cached(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed)?;
        Ok(())
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn map(&self, len_bytes: u64) -> io::Result<Arc<dyn Region>> {
        let found_bytes = self.len_bytes()?;
        if found_bytes < len_bytes {
            let what = format!("the file has {found_bytes} bytes, {len_bytes} were expected");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
        }
        if !self.is_mapped {
            return Ok(Arc::new(PositionedFile { file: Arc::clone(&self.file), len_bytes }));
        }
        let len = usize::try_from(len_bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        if len == 0 {
            return Ok(Arc::new(MappedFile { map: None }));
        }
        #[expect(unsafe_code, reason = "mapping a file is unsafe: the file can change under the map")]
        // SAFETY: the map is read-only, and the file is at least as long as the map: that was checked just now,
        // and nothing in this crate shortens a file, so no access can fault unless a stranger truncates it (a
        // documented assumption). Bytes do change under the map, by positioned writes of the lock's holder, but
        // readers look only at ranges whose write was complete before they learnt of them; where another process
        // breaks that (a reader left over from before a recovery) the bytes are copied and checksummed as
        // plain `u8`s, which have no invalid values, before anything trusts them.
        let map = unsafe { MmapOptions::new().len(len).map(&*self.file)? };
        Ok(Arc::new(MappedFile { map: Some(map) }))
    }
}

/// The map of one file; `None` is the empty map.
struct MappedFile {
    map: Option<Mmap>,
}

impl Region for MappedFile {
    fn len_bytes(&self) -> u64 {
        self.map.as_ref().map_or(0, |map| map.len() as u64)
    }

    fn bytes(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        lend(self.map.as_deref().unwrap_or_default(), range).map(Cow::Borrowed)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn directory() -> (tempfile::TempDir, FileStorage) {
        let directory = tempfile::tempdir().unwrap();
        let storage = FileStorage::open(directory.path().join("store"), true).unwrap();
        (directory, storage)
    }

    #[test]
    fn written_bytes_show_in_a_map_made_before() {
        let (_directory, storage) = directory();
        let file = storage.create("a", 4096).unwrap();
        let map = file.map(4096).unwrap();
        file.write_all_at(b"hello", 100).unwrap();
        assert_eq!(map.bytes(100..105).unwrap().as_ref(), b"hello");
        assert!(matches!(map.bytes(100..105).unwrap(), Cow::Borrowed(_)), "a map lends");
        assert_eq!(map.bytes(4095..4097).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(map.len_bytes(), 4096);
    }

    #[test]
    fn a_map_outlives_the_removal_of_its_file() {
        let (_directory, storage) = directory();
        let file = storage.create("a", 4096).unwrap();
        file.write_all_at(b"hello", 0).unwrap();
        let map = storage.open("a").unwrap().map(4096).unwrap();
        storage.remove("a").unwrap();
        drop(file);
        assert_eq!(map.bytes(0..5).unwrap().as_ref(), b"hello");
        assert_eq!(storage.list().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn without_a_map_bytes_are_read_when_they_are_asked_for() {
        let (_directory, storage) = directory();
        let storage = storage.map(false);
        let file = storage.create("a", 4096).unwrap();
        let region = storage.open("a").unwrap().map(4096).unwrap();
        assert_eq!(file.map(4097).err().unwrap().kind(), io::ErrorKind::UnexpectedEof);
        file.write_all_at(b"hello", 100).unwrap();
        storage.remove("a").unwrap();
        assert_eq!(region.bytes(100..105).unwrap().as_ref(), b"hello", "the name alone was removed");
        assert_eq!((region.len_bytes(), region.bytes(7..7).unwrap().len()), (4096, 0));
        let backwards = std::ops::Range { start: 9, end: 8 };
        for range in [4095..4097, backwards, u64::MAX - 1..u64::MAX] {
            let error = region.bytes(range.clone()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            let asked = format!("bytes {}..{} were asked for, the region has 4096", range.start, range.end);
            assert_eq!(error.to_string(), asked);
        }
    }

    #[test]
    fn without_a_map_a_file_that_was_truncated_is_an_error_that_says_so() {
        let (_directory, storage) = directory();
        let storage = storage.map(false);
        let region = storage.create("a", 4096).unwrap().map(4096).unwrap();
        fs::File::options().write(true).open(storage.path().join("a")).unwrap().set_len(1000).unwrap();
        assert_eq!(region.bytes(0..1000).unwrap().len(), 1000);
        let error = region.bytes(999..1001).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let expected = "bytes 999..1001 were asked for; the file had 4096 when it was opened, it has 1000 bytes now: \
                        it was truncated";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn mapping_more_than_the_file_has_is_an_error() {
        let (_directory, storage) = directory();
        let file = storage.create("a", 10).unwrap();
        assert_eq!(file.map(11).err().unwrap().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn creating_a_file_twice_is_refused() {
        let (_directory, storage) = directory();
        storage.create("a", 0).unwrap();
        assert_eq!(storage.create("a", 0).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_lock_is_refused_to_its_own_process_and_names_it() {
        let (_directory, storage) = directory();
        let Lock::Held(guard) = storage.lock("LOCK").unwrap() else { panic!("the lock is free") };
        assert!(matches!(storage.lock("LOCK").unwrap(), Lock::HeldBy(pid) if pid == std::process::id()));
        drop(guard);
        assert!(matches!(storage.lock("LOCK").unwrap(), Lock::Held(_)));
    }

    #[test]
    fn a_path_that_leads_nowhere_is_named_for_what_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let refused = |path: &Path| FileStorage::open(path, true).unwrap_err().to_string();
        assert!(refused(Path::new("")).contains("the path is empty; name the directory"));
        std::os::unix::fs::symlink("gone", path.join("link")).unwrap();
        for dangling in ["link", "link/", "link/."] {
            let text = refused(&path.join(dangling));
            assert!(text.contains("a symbolic link to gone, where nothing is"), "{text}");
        }
        for new in ["d/.", "e//", "./f/./"] {
            assert!(FileStorage::open(path.join(new), true).unwrap().path().is_dir(), "{new}");
        }
        fs::create_dir(path.join("gone")).unwrap();
        FileStorage::open(path.join("link"), true).unwrap();
    }

    #[test]
    fn a_file_where_the_directory_should_be_is_not_a_store() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, b"").unwrap();
        assert!(matches!(FileStorage::open(&path, true), Err(Error::NotAStore { .. })));
        assert!(matches!(
            FileStorage::open(directory.path().join("no"), false),
            Err(Error::NotAStore { .. })
        ));
        assert!(matches!(
            FileStorage::open(directory.path().join("no/no"), true),
            Err(Error::NotAStore { .. })
        ));
    }
}
