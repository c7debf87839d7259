//! A disk that forgets what was not synced, and whose syncs fail on demand.

use std::collections::BTreeMap;
use std::io;
// Std's on purpose: see `perennial::internals`. What threads do to a file, loom sees below, in `MemoryStorage`.
use std::sync::{Arc, Mutex, MutexGuard};

use perennial::storage::{Lock, MemoryStorage, Region, Storage, StorageFile};

/// A directory in memory, beside what a power cut would leave of it.
///
/// Names are durable at once, bytes when a sync of their file that began after they were written has succeeded. What
/// was not synced when one fails is lost for good, although it can still be read: a second sync says nothing of it.
#[derive(Clone, Default)]
pub struct Disk {
    cache: MemoryStorage,
    medium: Arc<Mutex<Medium>>,
}

/// What a power cut would leave.
#[derive(Clone, Default)]
pub struct Image(BTreeMap<String, Vec<u8>>);

#[derive(Default)]
struct Medium {
    image: Image,
    /// Writes that no sync has begun for.
    pending: Vec<Write>,
    syncs: usize,
    failing: bool,
}

struct Write {
    name: String,
    offset: usize,
    bytes: Vec<u8>,
}

impl Disk {
    /// Makes an empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the next sync fail, and no other.
    pub fn fail_next_sync(&self) {
        self.medium().failing = true;
    }

    /// How many syncs of files have begun.
    pub fn syncs(&self) -> usize {
        self.medium().syncs
    }

    /// What a power cut would leave now.
    pub fn image(&self) -> Image {
        self.medium().image.clone()
    }

    fn medium(&self) -> MutexGuard<'_, Medium> {
        self.medium.lock().unwrap()
    }

    fn file(&self, name: &str, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(DiskFile { disk: self.clone(), name: name.to_owned(), file })
    }
}

impl Image {
    /// A directory that holds this.
    pub fn storage(&self) -> Arc<MemoryStorage> {
        let storage = MemoryStorage::new();
        for (name, bytes) in &self.0 {
            storage.create(name, bytes.len() as u64).unwrap().write_all_at(bytes, 0).unwrap();
        }
        Arc::new(storage)
    }
}

impl Storage for Disk {
    fn create(&self, name: &str, len_bytes: u64) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.cache.create(name, len_bytes)?;
        self.medium().image.0.insert(name.to_owned(), vec![0; len_bytes as usize]);
        Ok(self.file(name, file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(name, self.cache.open(name)?))
    }

    fn open_writable(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(name, self.cache.open_writable(name)?))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.cache.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.cache.rename(from, to)?;
        let mut medium = self.medium();
        let bytes = medium.image.0.remove(from).unwrap_or_default();
        medium.image.0.insert(to.to_owned(), bytes);
        medium
            .pending
            .iter_mut()
            .filter(|write| write.name == from)
            .for_each(|write| write.name = to.to_owned());
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.cache.remove(name)?;
        self.medium().image.0.remove(name);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, name: &str) -> io::Result<Lock> {
        self.cache.lock(name)
    }
}

struct DiskFile {
    disk: Disk,
    name: String,
    file: Arc<dyn StorageFile>,
}

impl StorageFile for DiskFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)?;
        let write = Write { name: self.name.clone(), offset: offset as usize, bytes: bytes.to_vec() };
        self.disk.medium().pending.push(write);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        // Others may write before the sync begins, and before it ends.
        self.file.len_bytes()?;
        let (fails, covered) = {
            let mut medium = self.disk.medium();
            medium.syncs += 1;
            let covered: Vec<_> = medium.pending.extract_if(.., |write| write.name == self.name).collect();
            (std::mem::take(&mut medium.failing), covered)
        };
        self.file.len_bytes()?;
        if fails {
            return Err(io::Error::other("the medium refuses"));
        }
        let mut medium = self.disk.medium();
        let image = medium.image.0.entry(self.name.clone()).or_default();
        for write in covered {
            let end = write.offset + write.bytes.len();
            image.resize(image.len().max(end), 0);
            image[write.offset..end].copy_from_slice(&write.bytes);
        }
        Ok(())
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.file.len_bytes()
    }

    fn map(&self, len_bytes: u64) -> io::Result<Arc<dyn Region>> {
        self.file.map(len_bytes)
    }
}
