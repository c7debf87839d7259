//! A read-only store beside its writer.

use std::sync::Arc;

use super::Store;
use crate::error::Result;
use crate::log::Log;
use crate::log::directory::MANIFEST;
use crate::log::identity::other_store;
use crate::sync::Mutex;

impl Store {
    /// Looks for checkpoints that were committed or dropped since a read-only store was opened, or last refreshed; whether
    /// there are any. **O(segments)**. A store that writes knows its own: nothing is done.
    ///
    /// What was restored before stays as it is. (It belongs to the opening before: comparing it with what is restored from
    /// now on costs O(size), not O(difference).)
    ///
    /// ```
    /// # use perennial::store::Store;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("world");
    /// let writer = Store::open(&path)?;
    /// writer.checkpoint(&1u32)?;
    /// let mut reader = Store::options().read_only(true).open(&path)?;
    /// writer.checkpoint(&2u32)?;
    /// assert_eq!(reader.latest::<u32>()?, Some(1));
    /// assert!(reader.refresh()?);
    /// assert_eq!(reader.latest::<u32>()?, Some(2));
    /// assert!(!reader.refresh()?);
    /// # Ok::<(), perennial::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), and [`Error::Foreign`](crate::Error::Foreign) if somebody put another store into the directory; the store
    /// is then as it was.
    pub fn refresh(&mut self) -> Result<bool> {
        if !self.options.read_only {
            return Ok(false);
        }
        let opening = self.log.opening();
        let log = Log::open(Arc::clone(&opening.directory.storage), &self.options, &self.path)?;
        let found = log.opening().store_id;
        if found != opening.store_id {
            return Err(opening.directory.foreign(MANIFEST, other_store(opening.store_id, found)));
        }
        let id = |log: &Log| log.latest().map(|commit| commit.id);
        let kept_commits = |log: &Log| log.opening().pin_table().kept_commits.clone();
        if id(&log) == id(&self.log) && kept_commits(&log) == kept_commits(&self.log) {
            return Ok(false);
        }
        self.log = Arc::new(log);
        self.types = Mutex::default();
        Ok(true)
    }
}
