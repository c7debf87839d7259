//! A directory of the file system: positioned writes, `fdatasync`, read-only maps, `flock`.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::{Mmap, MmapOptions};
use rustix::fs::{FallocateFlags, FlockOperation};

use super::{Lock, Region, Storage, StorageFile};
use crate::error::{Error, Result};

/// A directory of the file system.
#[derive(Debug)]
pub struct FileStorage {
    path: PathBuf,
}

impl FileStorage {
    /// Moves a directory to where there is none, or an empty one, and makes that durable.
    pub(crate) fn rename_directory(from: &Path, to: &Path) -> Result<()> {
        let io_error = |action, source| Error::Io { action, path: to.to_owned(), source };
        fs::rename(from, to).map_err(|e| io_error("move the directory to", e))?;
        sync_directory(parent_of(to)).map_err(|e| io_error("sync the parent directory of", e))
    }

    /// Refuses to copy a directory into itself, by whatever path it is called.
    pub(crate) fn expect_other(from: &Path, to: &Path) -> Result<()> {
        let identity = |path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
        match (identity(from), identity(to)) {
            (Some(one), Some(other)) if one == other => {
                Err(Error::SameDirectory { from: from.to_owned(), to: to.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// Opens the directory `path`. If there is none and `create` is set, it is made, in a parent that exists.
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
        let path = path.into();
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => Ok(Self { path }),
            Ok(_) => Err(Error::NotAStore {
                path,
                found: "it is a file, not a directory".into(),
                advice: "name the directory that holds the store",
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                if let Some(advice) = advice {
                    return Err(Error::NotAStore { path, found: "nothing is there".into(), advice });
                }
                let io_error = |action, source| Error::Io { action, path: path.clone(), source };
                let parent = parent_of(&path);
                if !parent.is_dir() {
                    return Err(Error::NotAStore {
                        found: format!(
                            "nothing is there, and its parent {} is no directory",
                            parent.display()
                        ),
                        advice: "check the path, or create the parent directory first",
                        path,
                    });
                }
                fs::create_dir(&path).map_err(|e| io_error("create the directory", e))?;
                sync_directory(parent).map_err(|e| io_error("sync the parent directory of", e))?;
                Ok(Self { path })
            }
            Err(source) => Err(Error::Io { action: "open", path, source }),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Storage for FileStorage {
    fn create(&self, name: &str, len_bytes: u64) -> io::Result<Arc<dyn StorageFile>> {
        let path = self.path.join(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        if len_bytes > 0
            && let Err(error) = reserve(&file, len_bytes)
        {
            // A part may be reserved, and is the last room there is. If it cannot be removed, it can be replaced.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Arc::new(DiskFile { file }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(DiskFile { file: File::open(self.path.join(name))? }))
    }

    fn open_writable(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.path.join(name))?;
        Ok(Arc::new(DiskFile { file }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        sync_directory(&self.path)
    }

    fn lock(&self, name: &str) -> io::Result<Lock> {
        let path = self.path.join(name);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        // flock belongs to the open file description, so a second opening by this process is refused too.
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let holder = fs::read_to_string(&path).unwrap_or_default();
                return Ok(Lock::HeldBy(holder.trim().parse().unwrap_or(0)));
            }
            Err(e) => return Err(e.into()),
        }
        // Ten digits and a newline always: nothing of a longer, older number stays behind.
        file.write_all_at(format!("{:<10}\n", std::process::id()).as_bytes(), 0)?;
        Ok(Lock::Held(Box::new(file)))
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

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// One open file.
struct DiskFile {
    file: File,
}

impl StorageFile for DiskFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        // The standard library loops over short writes and EINTR.
        self.file.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
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
        let map = unsafe { MmapOptions::new().len(len).map(&self.file)? };
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

    fn bytes(&self, range: Range<u64>) -> Option<Cow<'_, [u8]>> {
        let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
        self.map.as_deref().unwrap_or_default().get(start..end).map(Cow::Borrowed)
    }
}

#[cfg(test)]
mod tests {
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
        assert!(map.bytes(4095..4097).is_none());
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
