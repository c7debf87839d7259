//! Whose files these are: looked at before one is replaced or removed.
//!
//! Files of another store get into a directory when somebody restores a backup, or synchronises two directories, while
//! the store is open, or mixes the files of two. The manifest and the header of every segment carry the store's random
//! identity; manifests are numbered as well, so an older one of the same store is known from the one before.
//!
//! That costs one look-up of a name for each commit, and one read of the manifest for each replacement of it.

use super::directory::{Directory, MANIFEST};
use super::manifest::Manifest;
use super::segment;
use super::slots::{Refused, Slots};
use crate::error::{Error, Result};
use crate::storage::Identity;

impl Directory {
    /// Puts the manifest that was written last into its place again if somebody removed it: without it the segments are no
    /// store.
    ///
    /// # Errors
    ///
    /// [`Error::Foreign`] if something else is in its place; [`Error::Io`] if the system refuses.
    pub(crate) fn keep_manifest(&self) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let Some((identity, last)) = &mut *manifest else { return Ok(()) };
        match self.identity_of_manifest()? {
            found if found == *identity => Ok(()),
            None => {
                Slots::create(self, last)?;
                *identity = self.identity_of_manifest()?;
                Ok(())
            }
            Some(_) => {
                Err(self.foreign(MANIFEST, "another file was put into its place while the store was open"))
            }
        }
    }

    /// Replaces the manifest, if the one that is there is the one before this.
    ///
    /// # Errors
    ///
    /// [`Error::Foreign`] if it is not; [`Error::Io`] if the system refuses.
    pub(crate) fn replace_manifest(&self, slots: &mut Slots, next: &Manifest) -> Result<(), Refused> {
        self.expect_manifest_before(next).map_err(Refused::in_doubt)?;
        slots.replace(self, next)?;
        let identity = self.identity_of_manifest().map_err(Refused::in_doubt)?;
        *self.manifest.lock() = Some((identity, next.clone()));
        Ok(())
    }

    fn identity_of_manifest(&self) -> Result<Option<Identity>> {
        self.storage.identity_of(MANIFEST).map_err(|e| self.io_error("look at", MANIFEST, e))
    }

    /// Refuses to replace a manifest that is not the one before `next`. One that is missing, or damaged, can be replaced.
    ///
    /// # Errors
    ///
    /// [`Error::Foreign`]; [`Error::Io`] if the system refuses.
    fn expect_manifest_before(&self, next: &Manifest) -> Result<()> {
        let found = match Manifest::read(self) {
            Ok(Some(found)) => found,
            Err(error @ (Error::Io { .. } | Error::FormatVersion { .. })) => return Err(error),
            Ok(None) | Err(_) => return Ok(()),
        };
        if found.store_id != next.store_id {
            return Err(self.foreign(MANIFEST, other_store(next.store_id, found.store_id)));
        }
        if found.sequence.checked_add(1) != Some(next.sequence) {
            let before = next.sequence.wrapping_sub(1);
            let what =
                format!("number {before} of its MANIFESTs was expected, found number {}", found.sequence);
            return Err(self.foreign(MANIFEST, what));
        }
        Ok(())
    }

    /// Refuses the file of a segment whose header says that it belongs to another store. A file that is missing, or has
    /// no whole header, is no store's.
    ///
    /// # Errors
    ///
    /// [`Error::Foreign`]; [`Error::Io`] if the system refuses.
    pub(crate) fn expect_own_segment(&self, store_id: u64, name: &str) -> Result<()> {
        let Some(region) = self.map_whole(name)? else { return Ok(()) };
        match segment::store_of(&region)?.filter(|found| *found != store_id) {
            Some(found) => Err(self.foreign(name, other_store(store_id, found))),
            None => Ok(()),
        }
    }

    /// Refuses to copy a directory into itself, by whatever paths the two were opened.
    ///
    /// # Errors
    ///
    /// [`Error::SameDirectory`]; [`Error::Io`] if the system refuses.
    pub(crate) fn expect_other(&self, to: &Self) -> Result<()> {
        let identity = |of: &Self| of.storage.identity().map_err(|e| of.io_error("look at", "", e));
        match identity(self)? {
            Some(own) if identity(to)? == Some(own) => {
                Err(Error::SameDirectory { from: self.path.clone(), to: to.path.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Says that a file is not what the store left there.
    pub(crate) fn foreign(&self, name: &str, found: impl Into<String>) -> Error {
        Error::Foreign { path: self.path.join(name), found: found.into() }
    }
}

/// Says whose it is.
pub(crate) fn other_store(expected: u64, found: u64) -> String {
    format!("it belongs to another store (store {expected:016x} was expected, found store {found:016x})")
}
