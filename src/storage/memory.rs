//! A directory that lives in memory: the twin of [`FileStorage`](super::FileStorage) for tests.

use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::sync::{Mutex, RwLock};

use super::{Lock, Region, Storage, StorageFile, beyond, lend};

/// A directory of files that live in memory.
///
/// Handles made with `clone` show the same files, so a test can close a store and open it again. Nothing is
/// durable, and every operation takes effect at once.
#[derive(Clone, Default)]
pub struct MemoryStorage {
    directory: Arc<Directory>,
}

// What a panic can leave behind is behind locks.
impl std::panic::UnwindSafe for MemoryStorage {}
impl std::panic::RefUnwindSafe for MemoryStorage {}

#[derive(Default)]
struct Directory {
    files: Mutex<BTreeMap<String, Arc<MemoryFile>>>,
    locked: Arc<Mutex<bool>>,
}

impl MemoryStorage {
    /// Makes an empty directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Copies all files into a directory of its own, which nobody holds a lock on: what a killed process leaves.
    pub fn copy(&self) -> Self {
        let files = self.directory.files.lock();
        let copies = files
            .iter()
            .map(|(name, file)| (name.clone(), Arc::new(MemoryFile::new(file.bytes.read().clone()))));
        let directory = Directory { files: Mutex::new(copies.collect()), locked: Arc::default() };
        Self { directory: Arc::new(directory) }
    }

    fn find(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        match self.directory.files.lock().get(name) {
            Some(file) => Ok(Arc::clone(file) as Arc<dyn StorageFile>),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Storage for MemoryStorage {
    fn create(&self, name: &str, len_bytes: u64) -> io::Result<Arc<dyn StorageFile>> {
        let mut files = self.directory.files.lock();
        if files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let len = usize::try_from(len_bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let file = Arc::new(MemoryFile::new(vec![0; len]));
        files.insert(name.into(), Arc::clone(&file));
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.find(name)
    }

    fn open_writable(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.find(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.directory.files.lock().keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.directory.files.lock();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.into(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match self.directory.files.lock().remove(name) {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    /// Takes the one lock of the directory, whatever its name: a store takes only one.
    fn lock(&self, _name: &str) -> io::Result<Lock> {
        if std::mem::replace(&mut *self.directory.locked.lock(), true) {
            return Ok(Lock::HeldBy(std::process::id()));
        }
        let guard: Box<dyn Any + Send + Sync> =
            Box::new(Unlock { locked: Arc::clone(&self.directory.locked) });
        Ok(Lock::Held(guard))
    }
}

struct Unlock {
    locked: Arc<Mutex<bool>>,
}

impl Drop for Unlock {
    fn drop(&mut self) {
        *self.locked.lock() = false;
    }
}

/// One file; handles and maps share its bytes.
#[derive(Clone)]
struct MemoryFile {
    bytes: Arc<RwLock<Vec<u8>>>,
}

impl MemoryFile {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: Arc::new(RwLock::new(bytes)) }
    }
}

impl StorageFile for MemoryFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = start.checked_add(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        let mut file = self.bytes.write();
        if file.len() < end {
            file.resize(end, 0);
        }
        file[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.bytes.read().len() as u64)
    }

    fn map(&self, len_bytes: u64) -> io::Result<Arc<dyn Region>> {
        let found_bytes = self.len_bytes()?;
        if found_bytes < len_bytes {
            let what = format!("the file has {found_bytes} bytes, {len_bytes} were expected");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
        }
        Ok(Arc::new(MemoryRegion { file: self.clone(), len_bytes }))
    }
}

/// A window on a file, which copies what is asked for.
struct MemoryRegion {
    file: MemoryFile,
    len_bytes: u64,
}

impl Region for MemoryRegion {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn bytes(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        if range.end > self.len_bytes {
            return Err(beyond(&range, self.len_bytes));
        }
        Ok(Cow::Owned(lend(&self.file.bytes.read(), range)?.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_unlocked_and_goes_its_own_way() {
        let storage = MemoryStorage::new();
        let file = storage.create("a", 4).unwrap();
        let _guard = storage.lock("LOCK").unwrap();
        assert!(matches!(storage.lock("LOCK").unwrap(), Lock::HeldBy(_)));
        let copy = storage.copy();
        assert!(matches!(copy.lock("LOCK").unwrap(), Lock::Held(_)));
        file.write_all_at(b"x", 0).unwrap();
        let bytes = |storage: &MemoryStorage| {
            storage.open("a").unwrap().map(4).unwrap().bytes(0..4).unwrap().into_owned()
        };
        assert_eq!(bytes(&storage), b"x\0\0\0");
        assert_eq!(bytes(&copy), b"\0\0\0\0");
    }

    #[test]
    fn a_rename_replaces_and_a_map_keeps_what_it_maps() {
        let storage = MemoryStorage::new();
        storage.create("a", 1).unwrap().write_all_at(b"a", 0).unwrap();
        storage.create("b", 1).unwrap().write_all_at(b"b", 0).unwrap();
        let old = storage.open("b").unwrap().map(1).unwrap();
        storage.rename("a", "b").unwrap();
        assert_eq!(storage.list().unwrap(), ["b"]);
        assert_eq!(old.bytes(0..1).unwrap().as_ref(), b"b");
        assert_eq!(storage.open("b").unwrap().map(1).unwrap().bytes(0..1).unwrap().as_ref(), b"a");
        assert_eq!(old.bytes(0..2).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(storage.open("b").unwrap().map(2).err().unwrap().kind(), io::ErrorKind::UnexpectedEof);
    }
}
