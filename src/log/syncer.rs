//! Syncs the active segment, for one caller or for many at once, and remembers the first failure for good.
//!
//! The system reports a failed sync *once* for each open file. So syncs of a file take turns under a lock, and
//! each looks for an earlier failure before it believes its own success. Whoever waited for a sync that began
//! after his commit was written has nothing left to do.

use std::io;
use std::sync::Arc;

use crate::sync::{AtomicU64, Mutex, OnceLock, Ordering};

use crate::error::{Error, Result};
use crate::metrics;
use crate::storage::StorageFile;
use crate::weaken;

/// Durability and failure of one opening's writes.
#[derive(Default)]
pub(crate) struct Syncer {
    active: Mutex<Option<ActiveFile>>,
    /// Id of the newest commit that was written.
    written: AtomicU64,
    /// Id of the newest commit that is durable.
    synced: AtomicU64,
    failure: OnceLock<String>,
}

struct ActiveFile {
    file: Arc<dyn StorageFile>,
    path: std::path::PathBuf,
}

impl Syncer {
    /// Fails if an earlier write or sync failed.
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`] with the first failure.
    pub(crate) fn check(&self) -> Result<()> {
        match self.failure.get() {
            None => Ok(()),
            Some(cause) => Err(Error::Poisoned { cause: cause.clone() }),
        }
    }

    /// Remembers a failure, unless there was one before, and gives it back.
    pub(crate) fn poison(&self, error: Error) -> Error {
        if self.remember(&error) {
            metrics::poisoned();
        }
        error
    }

    /// Remembers a failure; whether it is the first.
    fn remember(&self, error: &Error) -> bool {
        let mut is_first = false;
        self.failure.get_or_init(|| {
            is_first = true;
            error.to_string()
        });
        is_first
    }

    /// Starts from a store whose commits up to `id` are durable.
    pub(crate) fn start(&self, id: u64) {
        self.written.store(id, Ordering::Release);
        self.synced.store(id, Ordering::Release);
    }

    /// Says that commit `id` is written, whole, to the active segment.
    pub(crate) fn set_written(&self, id: u64) {
        self.written.store(id, Ordering::Release);
    }

    /// The newest durable commit, 0 if there is none.
    pub(crate) fn durable(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Makes `file` the active one. Everything in the one before must be synced.
    pub(crate) fn set_active(&self, file: Arc<dyn StorageFile>, path: std::path::PathBuf) {
        *self.active.lock() = Some(ActiveFile { file, path });
    }

    /// Makes all commits written so far durable, and returns the newest of them (0: there is none).
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the sync fails, [`Error::Poisoned`] if one failed before.
    pub(crate) fn sync(&self) -> Result<u64> {
        self.sync_unless(|written| self.durable() >= written)
    }

    /// Syncs even if no commit asks for it: for what a sealed segment holds besides commits.
    ///
    /// # Errors
    ///
    /// As [`sync`](Self::sync).
    pub(crate) fn sync_all(&self) -> Result<u64> {
        self.sync_unless(|_| false)
    }

    fn sync_unless(&self, is_durable: impl Fn(u64) -> bool) -> Result<u64> {
        let early = weaken::is("failure_before_turn").then(|| self.check());
        let active = self.active.lock();
        early.unwrap_or_else(|| self.check())?;
        // Read under the lock and before the sync: a commit written after this may not be covered.
        let written = self.written.load(Ordering::Acquire);
        if is_durable(written) {
            return Ok(written);
        }
        if let Some(ActiveFile { file, path }) = active.as_ref().filter(|_| !weaken::canary("sync_skipped")) {
            let mut synced: io::Result<()> = file.sync_data();
            if synced.is_err() && weaken::canary("sync_retried") {
                synced = file.sync_data();
            }
            if let Err(source) = synced {
                let error = Error::Io { action: "sync", path: path.clone(), source: Arc::new(source) };
                let is_first = self.remember(&error);
                drop(active);
                if is_first {
                    metrics::poisoned();
                }
                return Err(error);
            }
        }
        let late = weaken::is("written_after_sync").then(|| self.written.load(Ordering::Acquire));
        self.synced.store(late.unwrap_or(written), Ordering::Release);
        Ok(written)
    }
}
