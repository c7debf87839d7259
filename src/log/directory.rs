//! The store's directory: its storage, its path in messages, the names of its files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file_region::FileRegion;
use super::manifest::Manifest;
use crate::error::{Error, Result};
use crate::record::Address;
use crate::storage::{Identity, Storage};
use crate::sync::Mutex;

/// The file that the writer locks.
pub(crate) const LOCK: &str = "LOCK";
/// The file that says which segments make up the store, and up to where they are durable.
pub(crate) const MANIFEST: &str = "MANIFEST";
/// The next manifest, until it is renamed.
pub(crate) const MANIFEST_TEMP: &str = "MANIFEST.tmp";

/// The directory that a fresh ext file system has in its root. It is none of ours, and in nobody's way.
pub(crate) const LOST_AND_FOUND: &str = "lost+found";

/// Name of the file of a segment. Compaction replaces a segment by one of the next generation.
pub(crate) fn segment_name(number: u32, generation: u32) -> String {
    format!("{number:07}-{generation}.segment")
}

/// The number and the generation of the segment whose file has this name.
pub(crate) fn parse_segment_name(name: &str) -> Option<(u32, u32)> {
    let (number, generation) = name.strip_suffix(".segment")?.split_once('-')?;
    let parsed = (number.parse().ok()?, generation.parse().ok()?);
    (parsed.0 < Address::MAX_SEGMENTS && segment_name(parsed.0, parsed.1) == name).then_some(parsed)
}

/// The store's directory.
pub(crate) struct Directory {
    pub storage: Arc<dyn Storage>,
    /// The path that the directory was opened by, for messages only.
    pub path: PathBuf,
    /// The process that opened it.
    opened_by: u32,
    /// The manifest that this opening put into place last, and the identity of its file.
    pub(crate) manifest: Mutex<Option<(Option<Identity>, Manifest)>>,
}

impl Directory {
    pub(crate) fn new(storage: Arc<dyn Storage>, path: &Path) -> Self {
        Self { storage, path: path.into(), opened_by: std::process::id(), manifest: Mutex::default() }
    }

    /// Refuses a process that did not open the store: a fork of the one that did.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`].
    pub(crate) fn expect_owner(&self) -> Result<()> {
        expect_process(self.opened_by)
    }

    /// Says which operation on which file failed.
    pub(crate) fn io_error(&self, action: &'static str, name: &str, source: io::Error) -> Error {
        Error::Io { action, path: self.path.join(name), source: Arc::new(source) }
    }

    /// Says that the directory does not hold a whole store.
    pub(crate) fn not_a_store(&self, found: impl Into<String>, advice: &'static str) -> Error {
        Error::NotAStore { path: self.path.clone(), found: found.into(), advice }
    }

    /// Makes sure that nothing is there yet that a store would share the directory with.
    pub(crate) fn expect_empty(&self) -> Result<()> {
        self.expect_nothing_but(&[LOST_AND_FOUND])
    }

    /// Makes sure that nothing is there yet but files of these names.
    pub(crate) fn expect_nothing_but(&self, allowed: &[&str]) -> Result<()> {
        let names = self.storage.list().map_err(|e| self.io_error("list", "", e))?;
        let Some(name) = names.iter().find(|name| !allowed.contains(&name.as_str())) else { return Ok(()) };
        let found = format!("it holds {name:?} already");
        Err(self.not_a_store(found, "name a directory that is empty, or does not exist yet"))
    }

    /// Removes the file of a segment that no manifest names any more. One that belongs to another store is left alone.
    ///
    /// # Errors
    ///
    /// [`Error::Foreign`] if it belongs to another store, [`Error::Io`] if the system refuses.
    pub(crate) fn remove_segment(&self, store_id: u64, number: u32, generation: u32) -> Result<()> {
        let name = segment_name(number, generation);
        self.expect_own_segment(store_id, &name)?;
        self.storage.remove(&name).map_err(|e| self.io_error("remove", &name, e))
    }

    /// Maps the whole of a file; `None` if there is no such file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    pub(crate) fn map_whole(&self, name: &str) -> Result<Option<FileRegion>> {
        let file = match self.storage.open(name) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.io_error("open", name, e)),
        };
        let region = file.len_bytes().and_then(|len| file.map(len));
        let region = region.map_err(|e| self.io_error("map", name, e))?;
        Ok(Some(FileRegion::new(region, self.path.join(name))))
    }
}

/// Refuses another process than this: one that was forked from it.
///
/// # Errors
///
/// [`Error::Forked`].
pub(crate) fn expect_process(opened_by: u32) -> Result<()> {
    match std::process::id() {
        called_in if called_in == opened_by => Ok(()),
        called_in => Err(Error::Forked { opened_by, called_in }),
    }
}
