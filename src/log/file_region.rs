//! A region of one of the store's files, which knows the file's path.
//!
//! All of the store reads its files through this. It keeps two answers apart that must never be taken for each other: the
//! file ends before these bytes (`None`: the log may end here, or the file is damaged), and the bytes could not be read
//! ([`Error::Io`]: nothing is known of them, and nothing may be concluded, least of all that the log ends).

use std::borrow::Cow;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::storage::Region;

/// The first bytes of a file of the store.
#[derive(Clone)]
pub(crate) struct FileRegion {
    region: Arc<dyn Region>,
    path: PathBuf,
}

impl FileRegion {
    pub(crate) fn new(region: Arc<dyn Region>, path: PathBuf) -> Self {
        Self { region, path }
    }

    /// Length of the region in bytes.
    pub(crate) fn len_bytes(&self) -> u64 {
        self.region.len_bytes()
    }

    /// Returns the bytes of `range`; `None` if it reaches beyond the region.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if they cannot be read. A file that became shorter than the region is one that cannot be read.
    pub(crate) fn bytes(&self, range: Range<u64>) -> Result<Option<Cow<'_, [u8]>>> {
        if range.start > range.end || range.end > self.region.len_bytes() {
            return Ok(None);
        }
        self.read(range).map(Some)
    }

    /// Returns all bytes from `start` on; none if it lies beyond the region.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if they cannot be read.
    pub(crate) fn bytes_from(&self, start: u64) -> Result<Cow<'_, [u8]>> {
        let end = self.region.len_bytes();
        self.read(start.min(end)..end)
    }

    fn read(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>> {
        let read = self.region.bytes(range);
        read.map_err(|source| Error::Io {
            action: "read",
            path: self.path.clone(),
            source: std::sync::Arc::new(source),
        })
    }
}
