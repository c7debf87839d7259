//! The list of checkpoints.

use std::fmt;
use std::iter::FusedIterator;
use std::time::SystemTime;

use super::{Checkpoint, Store};
use crate::error::Result;
use crate::log::Commits;

/// All checkpoints of a store, the newest first; each is read when it is asked for. Made by [`Store::checkpoints`].
///
/// An item that is an error ends the walk.
pub struct Checkpoints(Commits);

impl Checkpoints {
    /// Returns the newest of those that are left that has this label. **O(checkpoints)** up to that one.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`](crate::Error::Corrupt) or [`Error::Io`](crate::Error::Io) if one before it cannot be read.
    pub fn labelled(&mut self, label: &str) -> Result<Option<Checkpoint>> {
        self.find_or_fail(|checkpoint| checkpoint.label.as_deref() == Some(label))
    }

    /// Returns the state of affairs at a time: the newest of those that are left that was written then or before, by the clock of the
    /// machine that wrote it. **O(checkpoints)** up to that one.
    ///
    /// ```
    /// # use perennial::store::Store;
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = Store::open(dir.path().join("world"))?;
    /// let first = store.checkpoint(&1u32)?;
    /// let noon = std::time::SystemTime::now();
    /// # std::thread::sleep(std::time::Duration::from_millis(2));
    /// store.checkpoint(&2u32)?;
    /// assert_eq!(store.checkpoints().at(noon)?, Some(first));
    /// assert_eq!(store.checkpoints().at(std::time::UNIX_EPOCH)?, None);
    /// # Ok::<(), perennial::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`labelled`](Self::labelled).
    pub fn at(&mut self, time: SystemTime) -> Result<Option<Checkpoint>> {
        self.find_or_fail(|checkpoint| checkpoint.time <= time)
    }

    fn find_or_fail(&mut self, is_it: impl Fn(&Checkpoint) -> bool) -> Result<Option<Checkpoint>> {
        for checkpoint in self {
            let checkpoint = checkpoint?;
            if is_it(&checkpoint) {
                return Ok(Some(checkpoint));
            }
        }
        Ok(None)
    }
}

impl Iterator for Checkpoints {
    type Item = Result<Checkpoint>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|commit| commit.map(|commit| Checkpoint::from(&commit)))
    }
}

impl FusedIterator for Checkpoints {}

// It reads through what is behind locks.
impl std::panic::UnwindSafe for Checkpoints {}
impl std::panic::RefUnwindSafe for Checkpoints {}

impl fmt::Debug for Checkpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoints").finish_non_exhaustive()
    }
}

impl Store {
    /// Returns all checkpoints, the newest first. **O(1)**, and O(1) for each.
    ///
    /// # Errors
    ///
    /// An item that is an error ends the walk.
    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints(self.log.commits())
    }
}
