//! A directory in memory whose owner hears of what is done with its files, and has a say in their syncs and reads.

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::storage::{Lock, MemoryStorage, Region, Storage, StorageFile};

/// Who hears of it.
pub(crate) trait Hooks: Clone + Send + Sync + 'static {
    /// A file was made, opened or written.
    fn touched(&self, _storage: &MemoryStorage) {}

    /// The file of this name is to be synced: this may take long, or fail.
    fn syncing(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    /// Bytes of the file of this name are to be read: this may fail.
    fn reading(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Clone, Default)]
pub(crate) struct Hooked<H> {
    pub(crate) storage: MemoryStorage,
    pub(crate) hooks: H,
}

struct HookedFile<H> {
    file: Arc<dyn StorageFile>,
    name: String,
    directory: Hooked<H>,
}

struct HookedRegion<H> {
    region: Arc<dyn Region>,
    name: String,
    hooks: H,
}

impl<H: Hooks> Region for HookedRegion<H> {
    fn len_bytes(&self) -> u64 {
        self.region.len_bytes()
    }

    fn bytes(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        self.hooks.reading(&self.name)?;
        self.region.bytes(range)
    }
}

impl<H: Hooks> Hooked<H> {
    fn wrap(&self, name: &str, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        self.hooks.touched(&self.storage);
        Arc::new(HookedFile { file, name: name.into(), directory: self.clone() })
    }
}

impl<H: Hooks> Storage for Hooked<H> {
    fn create(&self, name: &str, len_bytes: u64) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.wrap(name, self.storage.create(name, len_bytes)?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.wrap(name, self.storage.open(name)?))
    }

    fn open_writable(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.wrap(name, self.storage.open_writable(name)?))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.storage.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.storage.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.storage.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.storage.sync_dir()
    }

    fn lock(&self, name: &str) -> io::Result<Lock> {
        self.storage.lock(name)
    }
}

impl<H: Hooks> StorageFile for HookedFile<H> {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)?;
        self.directory.hooks.touched(&self.directory.storage);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.directory.hooks.syncing(&self.name)?;
        self.file.sync_data()
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.file.len_bytes()
    }

    fn map(&self, len_bytes: u64) -> io::Result<Arc<dyn Region>> {
        let region = self.file.map(len_bytes)?;
        let (name, hooks) = (self.name.clone(), self.directory.hooks.clone());
        Ok(Arc::new(HookedRegion { region, name, hooks }))
    }
}
