//! A place that is written or read once, as a whole: of a backup, a salvage, a migration.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Progress;
use crate::storage::Storage;

/// The place of a copy: a directory, or a storage of your choice; and who is told how far the work has got.
///
/// Any path is one.
///
/// ```
/// use perennial::storage::MemoryStorage;
/// use perennial::store::{Location, Store};
/// use std::sync::Arc;
///
/// # let dir = tempfile::tempdir().unwrap();
/// let store = Store::open(dir.path().join("world"))?;
/// store.checkpoint(&7u32)?;
/// store.backup(dir.path().join("copy"))?;
///
/// let (memory, mut told) = (MemoryStorage::new(), 0);
/// store.backup(Location::storage(Arc::new(memory.clone()), "in memory").progress(|_| told += 1))?;
/// assert!(told > 0);
/// let copy = Store::options().open_storage(Arc::new(memory))?;
/// assert_eq!(copy.latest::<u32>()?, Some(7));
/// # Ok::<(), perennial::Error>(())
/// ```
pub struct Location<'p> {
    pub(super) path: PathBuf,
    /// `None`: the directory at the path.
    pub(super) storage: Option<Arc<dyn Storage>>,
    progress: Option<Box<dyn FnMut(Progress) + 'p>>,
}

impl<'p> Location<'p> {
    /// The directory at a path.
    pub fn directory(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), storage: None, progress: None }
    }

    /// A storage of your choice, which messages call `name`.
    pub fn storage(storage: Arc<dyn Storage>, name: impl AsRef<Path>) -> Self {
        Self { storage: Some(storage), ..Self::directory(name) }
    }

    /// Sets who is told how far the work has got: once for each segment.
    pub fn progress(mut self, told: impl FnMut(Progress) + 'p) -> Self {
        self.progress = Some(Box::new(told));
        self
    }

    pub(super) fn tell(&mut self, now: Progress) {
        if let Some(progress) = &mut self.progress {
            progress(now);
        }
    }
}

impl<P: AsRef<Path>> From<P> for Location<'_> {
    fn from(path: P) -> Self {
        Self::directory(path)
    }
}

impl fmt::Debug for Location<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_storage = self.storage.is_some();
        f.debug_struct("Location")
            .field("path", &self.path)
            .field("is_storage", &is_storage)
            .finish_non_exhaustive()
    }
}
