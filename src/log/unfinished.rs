//! A copy of a store that is no store until it is complete.
//!
//! A salvage or a migration writes checkpoint after checkpoint into a new store. If it is interrupted, what is there is
//! whole as far as it goes, and would open as if nothing were missing. So until the end the manifest has another name,
//! [`PREFIX`] before its own: a directory with such a file, and without a manifest, is an unfinished copy, is refused as a
//! store, and may be cleared by the next copy into it. Nothing else that a directory holds is ever removed.
//!
//! The file is written before the first segment and removed after the last one, so there is never a moment in which the
//! copy has a segment and does not show what it is.

use std::any::Any;
use std::io;
use std::sync::Arc;

use super::directory::{Directory, LOCK, LOST_AND_FOUND, MANIFEST, parse_segment_name};
use super::manifest::Manifest;
use crate::error::{Error, Result};
use crate::storage::{Identity, Lock, Storage, StorageFile};

/// Prefix of the name of an unfinished copy's manifest.
const PREFIX: &str = "UNFINISHED-";

/// A copy in the making.
pub(crate) struct Unfinished {
    directory: Directory,
}

/// Returns whether one of these files belongs to an unfinished copy.
pub(crate) fn is_unfinished(names: &[String]) -> bool {
    names.iter().any(|name| name.starts_with(PREFIX)) && !names.iter().any(|name| name == MANIFEST)
}

impl Unfinished {
    /// Begins a copy in a directory that is empty, or holds what an interrupted one left: that is removed.
    ///
    /// # Errors
    ///
    /// [`Error::NotAStore`] if it holds something else; [`Error::Locked`] if another copy is being made there;
    /// [`Error::Io`] if the system refuses.
    pub(crate) fn prepare(directory: &Directory) -> Result<Self> {
        let storage = &directory.storage;
        let names = storage.list().map_err(|e| directory.io_error("list", "", e))?;
        let is_ours = |name: &String| name.starts_with(PREFIX) || parse_segment_name(name).is_some();
        let is_known = |name: &String| is_ours(name) || name == LOCK || name == LOST_AND_FOUND;
        let has_segments = names.iter().any(|name| parse_segment_name(name).is_some());
        // It is durable before there is a segment: segments without it are those of somebody else.
        let is_begun = names.iter().any(|name| name.strip_prefix(PREFIX) == Some(MANIFEST));
        if !names.iter().all(is_known) || has_segments && !is_begun {
            directory.expect_empty()?;
        }
        if names.iter().any(is_ours) {
            let _held = lock(directory)?;
            let (last, first): (Vec<_>, Vec<_>) =
                names.iter().filter(|name| is_ours(name)).partition(|name| name.starts_with(PREFIX));
            // Whatever a power cut takes back, a segment never outlasts the file that says what it is.
            for names in [first, last] {
                for name in names {
                    storage.remove(name).map_err(|e| directory.io_error("remove", name, e))?;
                }
                storage.sync_dir().map_err(|e| directory.io_error("sync the directory of", "", e))?;
            }
        }
        Ok(Self { directory: Directory::new(Arc::clone(storage), &directory.path) })
    }

    /// The storage to write the copy into.
    pub(crate) fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(Renamed(Arc::clone(&self.directory.storage)))
    }

    /// Makes a store of the copy, which is the closed store of this identity, durably.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] and [`Error::NotAStore`] if another copy was begun in its place; [`Error::Io`] if the system refuses.
    pub(crate) fn complete(self, store_id: u64) -> Result<()> {
        let Self { directory } = &self;
        let _held = lock(directory)?;
        let hidden = Directory::new(self.storage(), &directory.path);
        let is_there =
            Manifest::read(&hidden)?.is_some_and(|found| found.store_id == store_id && found.clean);
        if !is_there {
            return Err(directory.not_a_store(
                "somebody removed the copy before it was complete, or began another one there",
                "name a directory that nobody else writes to",
            ));
        }
        let name = renamed(MANIFEST);
        let renamed = directory.storage.rename(&name, MANIFEST);
        renamed.map_err(|e| directory.io_error("rename", &name, e))?;
        directory.storage.sync_dir().map_err(|e| directory.io_error("sync the directory of", MANIFEST, e))
    }
}

fn lock(directory: &Directory) -> Result<Box<dyn Any + Send + Sync>> {
    match directory.storage.lock(LOCK).map_err(|e| directory.io_error("lock", LOCK, e))? {
        Lock::Held(guard) => Ok(guard),
        Lock::HeldBy(pid) => Err(Error::Locked { path: directory.path.clone(), pid }),
    }
}

/// A storage in which manifests have another name.
struct Renamed(Arc<dyn Storage>);

fn renamed(name: &str) -> String {
    if name.starts_with(MANIFEST) { format!("{PREFIX}{name}") } else { name.to_owned() }
}

impl Storage for Renamed {
    fn create(&self, name: &str, len_bytes: u64) -> io::Result<Arc<dyn StorageFile>> {
        self.0.create(&renamed(name), len_bytes)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.0.open(&renamed(name))
    }

    fn open_writable(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.0.open_writable(&renamed(name))
    }

    fn open_in_place(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.0.open_in_place(&renamed(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let own = |name: String| name.strip_prefix(PREFIX).map(str::to_owned).unwrap_or(name);
        Ok(self.0.list()?.into_iter().map(own).collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(&renamed(from), &renamed(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(&renamed(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.0.sync_dir()
    }

    fn sync_name(&self) -> io::Result<()> {
        self.0.sync_name()
    }

    fn lock(&self, name: &str) -> io::Result<Lock> {
        self.0.lock(name)
    }

    fn identity(&self) -> io::Result<Option<Identity>> {
        self.0.identity()
    }

    fn identity_of(&self, name: &str) -> io::Result<Option<Identity>> {
        self.0.identity_of(&renamed(name))
    }
}
