//! What a store offers for the day when a disk lies: verify, back up, salvage.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::backup;
use super::salvage;
use super::{Backup, Progress, SalvageReport, Store, VerifyReport};
use crate::codec::{Check, FlushContext, RoundTrip};
use crate::error::{Error, Result};
use crate::log::Log;
use crate::log::directory::{Directory, MANIFEST};
use crate::log::identity::other_store;
use crate::log::verify;
use crate::record::RecordReader;
use crate::storage::{FileStorage, Storage};
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
    /// Those of [`open`](Self::open), and [`Error::Foreign`] if somebody put another store into the directory; the store
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

    /// Reads everything and checks that it is what was written: checksums at their places, epochs, addresses that point
    /// backwards at records of the right kind, batches against their commits, both slots of the manifest. **O(bytes)**, a block of memory and a few
    /// bytes for each record that is referred to and not yet met. Others may checkpoint meanwhile.
    ///
    /// Does not know what the records hold: see [`verify_as`](Self::verify_as).
    ///
    /// Sees what the store says it has. Where the newest checkpoints are damaged altogether, and the process that made them died before
    /// anything later recorded them, the opening took them for writes that never finished and cut them, whatever their
    /// durability: `verify` then finds a clean store that ends earlier. See [`docs::durability`](crate::docs::durability).
    ///
    /// ```
    /// # use perennial::{HashMap, store::Store};
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = Store::open(dir.path().join("world"))?;
    /// store.checkpoint(&HashMap::from([(1u32, 2u32)]))?;
    /// let verified = store.verify()?;
    /// assert!(verified.is_clean());
    /// assert_eq!(verified.checkpoints, 1);
    /// # Ok::<(), perennial::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses. Damage is no error: it is in the answer, which
    /// [`into_result`](VerifyReport::into_result) turns into one.
    pub fn verify(&self) -> Result<VerifyReport> {
        self.verify_with(|_| ())
    }

    /// As [`verify`](Self::verify), telling how far it has got: once for each segment.
    pub fn verify_with(&self, mut progress: impl FnMut(Progress)) -> Result<VerifyReport> {
        let _still = self.log.hold_compaction()?;
        let verified = verify(&self.log, &mut progress)?;
        verified.damage.iter().for_each(|error| self.log.opening().note_found(error));
        Ok(verified)
    }

    /// As [`verify`](Self::verify), and then reads every state that is a `T`, to the last item of every collection in it: that it decodes, that the keys of hash maps lie where their hash puts them, and those of ordered
    /// ones in order. What checkpoints share is read once. **O(bytes)**, the memory of one state and some 20 bytes for each
    /// node.
    ///
    /// States of other types are passed over and counted.
    ///
    /// ```
    /// # use perennial::{HashMap, store::Store};
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = Store::open(dir.path().join("world"))?;
    /// store.checkpoint(&HashMap::from([(1u32, 2u32)]))?;
    /// let verified = store.verify_as::<HashMap<u32, u32>>()?;
    /// assert!(verified.is_clean());
    /// assert_eq!((verified.states, verified.other_types), (1, 0));
    /// # Ok::<(), perennial::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify).
    pub fn verify_as<T: Serialize + DeserializeOwned + 'static>(&self) -> Result<VerifyReport> {
        self.verify_as_with::<T>(|_| ())
    }

    /// As [`verify_as`](Self::verify_as), telling how far it has got: once for each segment, and, those being done, once
    /// for each checkpoint.
    pub fn verify_as_with<T: Serialize + DeserializeOwned + 'static>(
        &self,
        mut progress: impl FnMut(Progress),
    ) -> Result<VerifyReport> {
        let mut last = Progress { done_bytes: 0, total_bytes: 0 };
        let mut verified = self.verify_with(|now| {
            last = now;
            progress(now);
        })?;
        let _large = self.log.opening().keep_large();
        let trial = FlushContext::on_trial(
            self.log.opening().tag(),
            RoundTrip::Whole(RefCell::default()),
            Check::nothing(),
        );
        for commit in self.log.commits() {
            // The walk that came before noted it.
            let Ok(commit) = commit.map(Arc::new) else { break };
            for root in &commit.roots {
                let tried = self
                    .decode::<T>(&commit, &root.name)
                    .and_then(|state| trial.encode(&state, &mut Vec::new(), &mut Vec::new()));
                match tried {
                    Err(Error::ShapeMismatch { .. }) => verified.other_types += 1,
                    // Retention dropped it just now.
                    Err(Error::UnknownCheckpoint { .. }) => {}
                    tried => verified.states += u64::from(verified.note(tried)?.is_some()),
                }
            }
            progress(last);
        }
        Ok(verified)
    }

    /// Copies the store as it is now, with all its checkpoints, into a directory that is empty or does not exist yet
    /// (its parent must). Everything that is copied is checked. **O(bytes)**; others may checkpoint meanwhile.
    ///
    /// The copy is a store of its own; it has the same identity and the same ids of checkpoints. Until it is complete
    /// it has no MANIFEST, and cannot be opened.
    ///
    /// ```
    /// # use perennial::{HashMap, store::Store};
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = Store::open(dir.path().join("world"))?;
    /// let state = HashMap::from([(1u32, 2u32)]);
    /// store.checkpoint(&state)?;
    /// store.backup(dir.path().join("copy"))?;
    /// let copy = Store::open(dir.path().join("copy"))?;
    /// assert_eq!(copy.latest::<HashMap<u32, u32>>()?, Some(state));
    /// # Ok::<(), perennial::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if something is damaged ([`salvage`](Self::salvage) copies the rest);
    /// [`Error::SameDirectory`] if it is the store's own, [`Error::NotAStore`] if it holds something;
    /// [`Error::Io`] if the system refuses.
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<Backup> {
        let to = to.as_ref();
        self.expect_owner()?;
        self.backup_to(Arc::new(FileStorage::open(to, true)?), to, |_| ())
    }

    /// As [`backup`](Self::backup), into a storage of your choice (which messages call `path`), telling how far it has
    /// got: once for each segment.
    pub fn backup_to(
        &self,
        to: Arc<dyn Storage>,
        path: &Path,
        mut progress: impl FnMut(Progress),
    ) -> Result<Backup> {
        self.expect_owner()?;
        let to = Directory::new(to, path);
        self.log.opening().directory.expect_other(&to)?;
        let _still = self.log.hold_compaction()?;
        backup::backup(&self.log, &to, &mut progress)
    }

    /// Copies every checkpoint that is whole out of a damaged store into a new one, and says what is lost. The old store
    /// is only read, and need not be one that opens: manifest, indexes, segments may be damaged or missing.
    /// **O(bytes)**, whatever the bytes are, and some 100 bytes of memory for each record and 200 for each branch.
    ///
    /// Checkpoints keep their ids, times, labels and names. What they share stays shared. Those that were dropped stay away, as far as
    /// it can be told, unless they stand in for lost ones ([`SalvageReport::revived`]). The new store gives no id again that
    /// the old one may have given. The new directory is no store until
    /// all is copied: what an interruption leaves there cannot be opened, and the next salvage into it removes it.
    ///
    /// ```
    /// # use perennial::{HashMap, store::Store};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let (old, new) = (dir.path().join("world"), dir.path().join("saved"));
    /// let store = Store::open(&old)?;
    /// let state = HashMap::from([(1u32, 2u32)]);
    /// let first = store.checkpoint(&state)?;
    /// drop(store);
    /// std::fs::remove_file(old.join("MANIFEST")).unwrap();
    /// assert!(Store::open(&old).is_err());
    ///
    /// let salvaged = Store::salvage(&old, &new)?;
    /// assert_eq!(salvaged.checkpoints, [first.id]);
    /// assert_eq!(Store::open(&new)?.latest::<HashMap<u32, u32>>()?, Some(state));
    /// # Ok::<(), perennial::Error>(())
    /// ```
    ///
    /// *A limit:* without a readable manifest nobody can tell the newest checkpoints from some that were made after them,
    /// never acknowledged as durable, and cut by a recovery that then wrote nothing. They are whole, and copied.
    ///
    /// # Errors
    ///
    /// [`Error::NotAStore`] if there is no store to begin with, or the new directory holds
    /// something; [`Error::SameDirectory`] if the two are one; [`Error::Io`] if the system refuses.
    pub fn salvage(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<SalvageReport> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let old = FileStorage::open_or(from, Some("name the directory that is to be salvaged"))?;
        let old = Directory::new(Arc::new(old), from);
        salvage::salvage(old, Directory::new(Arc::new(FileStorage::open(to, true)?), to), &mut |_| ())
    }

    /// As [`salvage`](Self::salvage), between storages of your choice (messages call the new one `path`), telling how far
    /// it has got: once for each segment when it was looked through, and once when it was copied.
    pub fn salvage_to(
        from: Arc<dyn Storage>,
        to: Arc<dyn Storage>,
        path: &Path,
        mut progress: impl FnMut(Progress),
    ) -> Result<SalvageReport> {
        let from = Directory::new(from, Path::new("<old>"));
        salvage::salvage(from, Directory::new(to, path), &mut progress)
    }
}
