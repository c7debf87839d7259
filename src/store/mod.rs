//! Durable checkpoints: the typed store, and under it the log.

mod backup;
mod checkpoint;
mod checkpoints;
mod commit;
mod eviction;
mod footprint;
mod location;
mod migrate;
mod persist;
mod rebuild;
mod refresh;
mod retain;
mod salvage;
mod saved;
mod stats;
#[cfg(test)]
mod tests;
mod types;
mod verify;
mod view;

use std::any::TypeId;
use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::codec::{Accuracy, ResolvingReader, decode};
pub use crate::error::Error;
use crate::error::Result;
pub(crate) use crate::log::commit::{Commit, Draft, Root};
pub use crate::log::gc::compaction::CompactionReport;
use crate::log::gc::thread::Compactor;
pub use crate::log::options::{Compression, Durability, Options};
use crate::log::pin::Pin;
use crate::log::scrub::Scrub;
pub use crate::log::scrub::{Damage, ScrubReport};
pub use crate::log::verify::{Progress, VerifyReport};
pub(crate) use crate::log::{Log, WriterGuard};
use crate::metrics::Stopwatch;
pub use crate::node::MapValues;
use crate::random::HashMap;
use crate::record::{Address, RecordHead, RecordKind, RecordReader, RecordWriter};
use crate::schema::{Allow, Schema};
use crate::storage::{FileStorage, Storage};
use crate::sync::Mutex;
pub use backup::Backup;
pub use checkpoint::{Checkpoint, CheckpointId, CheckpointOptions};
pub use checkpoints::Checkpoints;
pub use commit::CommitBuilder;
pub use footprint::{DiskFootprint, Usage};
pub use location::Location;
pub use migrate::{MigrationReport, Migrator};
pub use persist::Persist;
use persist::unreadable;
pub use retain::RetentionReport;
pub use salvage::SalvageReport;
pub use stats::{Stats, WriteStats};
pub use types::RestoreOptions;
use types::TypeInfo;
pub use verify::VerifyOptions;
pub use view::CheckpointView;

/// The name of the root that [`Store::checkpoint`] writes.
const STATE: &str = "state";

/// A directory that holds checkpoints of an application's state.
///
/// A checkpoint writes the nodes that changed since they were last written, in one append and one sync, and is there
/// as a whole or not at all. What is restored loads node by node on first touch. All methods take `&self`; the store
/// can be shared between threads, which take turns writing.
///
/// Code of the application's that a call runs (`Serialize`, `Drop`, a progress callback …) may read and restore from the same
/// store. A call from there that would wait for the one that runs it is [`Error::Reentrant`]: of whatever writes, compacts
/// or walks the files while a checkpoint is written or a state is evicted, and of whatever compacts or walks the files in a
/// progress callback.
///
/// Dropping the store leaves it clean and lets another process open it; restored states go on reading what they have
/// not loaded yet. It works on the directory that it opened, wherever that is moved, and belongs to the process that opened it:
/// in a fork of that process, every call that writes is [`Error::Forked`]. See [`docs::durability`](crate::docs::durability) for what is promised when, and
/// [`docs::format`](crate::docs::format) for what is written.
///
/// ```
/// use perennial::{HashMap, store::Store};
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("world");
/// let store = Store::open(&path)?;
/// let mut players: HashMap<u32, String> = HashMap::from([(1, "ada".to_string())]);
/// let first = store.checkpoint(&players)?;
/// players.insert(2, "bob".to_string());
/// store.checkpoint(&players)?;
/// drop(store);
///
/// let store = Store::open(&path)?;
/// let latest: HashMap<u32, String> = store.latest()?.expect("a checkpoint");
/// assert_eq!(latest, players);
/// let earlier: HashMap<u32, String> = store.restore(first.id)?;
/// assert_eq!(earlier.len(), 1);
/// # Ok::<(), perennial::Error>(())
/// ```
pub struct Store {
    /// Before the log: it stops before the log is closed.
    compactor: Option<Compactor>,
    log: Arc<Log>,
    scrub: Arc<Scrub>,
    path: PathBuf,
    options: Options,
    /// What is known of the types that came by.
    types: Mutex<HashMap<TypeId, TypeInfo>>,
    written: Mutex<WriteStats>,
}

// What a panic can leave behind is a store that is sound, or poisoned and says so: all of it is behind locks.
impl std::panic::UnwindSafe for Store {}
impl std::panic::RefUnwindSafe for Store {}

/// Returns whether a trial failed for something old that cannot be read: what was written from this place on must be readable.
fn is_unreadable(tried: &Result<()>, (segment, offset): (u32, u64)) -> bool {
    match tried {
        Err(Error::Corrupt { segment: at, offset: here, .. }) => (*at, *here) < (segment, offset),
        Err(Error::Io { .. }) => true,
        _ => false,
    }
}

impl Store {
    /// Opens the store in a directory, which is created if it does not exist. **O(1)**, also in the size of the state.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] if somebody is writing it; [`Error::NotAStore`] if the path is a file, or a directory that holds
    /// other things or only part of a store; [`Error::FormatVersion`]; [`Error::Corrupt`] if something durable is damaged;
    /// [`Error::Io`]. None of them changes anything.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(path)
    }

    /// Starts with the default options. The same as [`Options::new`].
    pub fn options() -> Options {
        Options::new()
    }

    fn open_with(options: &Options, storage: Arc<dyn Storage>, path: &Path) -> Result<Self> {
        let log = Arc::new(Log::open(storage, options, path)?);
        let scrub = Arc::default();
        Ok(Self {
            compactor: Compactor::start(&log, &scrub, options),
            log,
            scrub,
            path: path.to_owned(),
            options: options.clone(),
            types: Mutex::default(),
            written: Mutex::default(),
        })
    }

    /// Writes a checkpoint of one state. **O(changes)**; an unchanged state costs one small record.
    ///
    /// On return the checkpoint is as durable as the store's options say (by default it survives a power cut). The
    /// state is only borrowed, and is not locked: give it a snapshot where others change it.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if the type, or this value, cannot be read back; nothing is committed, and the store goes on.
    /// [`Error::Io`] if the disk refuses, or the store's files were taken away, and [`Error::Foreign`] if other ones were put
    /// in their places: the store is then [`Error::Poisoned`] until it is opened again, and the state in memory is as it was.
    /// [`Error::Reentrant`] if it is called by code that this store runs while it writes, such as a value's own `Serialize`.
    ///
    /// # Panics
    ///
    /// Panics if the value's own `Serialize` panics: nothing is committed, and the store goes on.
    pub fn checkpoint<T: Persist>(&self, state: &T) -> Result<Checkpoint> {
        self.write_checkpoint(&[(STATE, state)], &CheckpointOptions::new())
    }

    /// Writes some states under their names. As [`checkpoint`](Self::checkpoint).
    pub(crate) fn write_checkpoint(
        &self,
        states: &[(&str, &dyn Persist)],
        options: &CheckpointOptions,
    ) -> Result<Checkpoint> {
        let watch = Stopwatch::start();
        for (index, (name, state)) in states.iter().enumerate() {
            if states[..index].iter().any(|(other, _)| other == name) {
                let reason =
                    format!("two states of one checkpoint are named {name:?}; give each its own name");
                return Err(Error::Encode { type_name: state.type_of().1, reason });
            }
        }
        self.expect_owner()?;
        let parent = match options.parent {
            Some(id) => Some(self.log.expect(id.0)?),
            None => self.log.latest().map(|commit| commit.id),
        };
        // Before it waits for compaction, which may wait for the writer.
        self.log.expect_not_writing()?;
        if let Some(compactor) = &self.compactor {
            compactor.pacing().admit();
        }
        let turn = Rc::new(RefCell::new(self.log.writer()?));
        turn.borrow_mut().heed_damage();
        let root = |&(name, state): &(&str, &dyn Persist)| self.write_root(name, state, &turn);
        let roots = states.iter().map(root).collect::<Result<_>>()?;
        let draft = Draft { parent, label: options.label.clone(), roots, ..Draft::default() };
        let commit =
            turn.borrow_mut().commit(draft, options.durability.unwrap_or(self.options.durability))?;
        // Others go on; and what is told of the checkpoint runs code of the user's.
        drop(turn);
        if let Some(compactor) = &self.compactor {
            compactor.pacing().grew(commit.written_bytes);
        }
        let checkpoint = Checkpoint::from(&*commit);
        self.count(watch, &checkpoint);
        Ok(checkpoint)
    }

    /// Writes what changed of a state; what the commit says of it.
    fn write_root(&self, name: &str, state: &dyn Persist, turn: &Rc<RefCell<WriterGuard>>) -> Result<Root> {
        let from = turn.borrow().next_place();
        let mut has_heeded = false;
        loop {
            let (shape, payload, refs) = self.encode(state, turn)?;
            let (recorded, uses) = self.record_shape(state, turn, &shape)?;
            let root = Root { name: name.to_owned(), shape: recorded, refs, payload };
            // A part that is empty at first (an option, a collection) is only tried later: look again ever more rarely.
            if !uses.is_power_of_two() {
                return Ok(root);
            }
            let accuracy = if uses == 1 { Accuracy::Exact } else { Accuracy::Brief };
            turn.borrow_mut().make_readable()?;
            let tried = self.verify_round_trip(state, &shape, accuracy, &root);
            if !is_unreadable(&tried, from) {
                return tried.map(|()| root);
            }
            // The trial met an old record that is damaged. That says nothing about the type: it is tried again, now or with
            // the next checkpoint.
            if let Some(known) = self.types.lock().get_mut(&state.type_of().0) {
                known.uses = 0;
            }
            // What of the state is in memory is written again, once. The rest is only in the log.
            if has_heeded || !turn.borrow_mut().heed_damage() {
                return Ok(root);
            }
            has_heeded = true;
        }
    }

    /// The address of the shape record of a state's type, appended if there is none; and how often the type has been
    /// checkpointed in this opening.
    fn record_shape(
        &self,
        state: &dyn Persist,
        turn: &RefCell<WriterGuard>,
        shape: &Arc<Schema>,
    ) -> Result<(Address, u64)> {
        let (id, _) = state.type_of();
        let live_set = turn.borrow().live_set();
        let is_there =
            |address: &Address| live_set.as_ref().is_none_or(|live_set| live_set.suffices(*address));
        if let Some(known) = self.types.lock().get_mut(&id)
            && let Some(address) = known.recorded.iter().copied().find(is_there)
        {
            known.uses += 1;
            return Ok((address, known.uses));
        }
        // Looked for where it is likely to be, to save a few bytes. What cannot be read is written again.
        let latest = self.log.latest();
        let mut recorded = latest.iter().flat_map(|commit| &commit.roots).map(|root| root.shape);
        let found = recorded.find(|address| {
            is_there(address) && self.read_shape(*address).is_ok_and(|recorded| recorded.says(shape))
        });
        let head = RecordHead { kind: RecordKind::Schema, delta: false };
        let address = match found {
            Some(address) => address,
            None => turn.borrow_mut().append(head, &[], shape.to_text().as_bytes())?,
        };
        let mut types = self.types.lock();
        let known = types.entry(id).or_insert_with(|| TypeInfo::new(Arc::clone(shape)));
        known.recorded.insert(0, address);
        known.uses = 1;
        drop(types);
        Ok((address, 1))
    }

    /// Reads back what was just encoded, before it is acknowledged.
    fn verify_round_trip(
        &self,
        state: &dyn Persist,
        shape: &Arc<Schema>,
        accuracy: Accuracy,
        root: &Root,
    ) -> Result<()> {
        let (id, type_name) = state.type_of();
        state.read_back(shape, accuracy, &self.backing(), &root.payload, &root.refs).map_err(|error| {
            if !matches!(error, Error::Corrupt { .. } | Error::Io { .. }) {
                self.types.lock().remove(&id);
            }
            unreadable(error, type_name)
        })
    }

    fn backing(&self) -> Arc<dyn RecordReader> {
        self.log.opening().clone()
    }

    fn read_shape(&self, address: Address) -> Result<Schema> {
        let record = self.log.opening().read(address)?;
        let bad = |reason| Error::Decode { address, type_name: "the shape of a type", reason };
        if record.head.kind != RecordKind::Schema {
            return Err(bad("a node where the shape of a type was expected".to_owned()));
        }
        let text = std::str::from_utf8(record.payload()).map_err(|error| bad(error.to_string()))?;
        Schema::from_text(text).map_err(bad)
    }

    /// Restores the newest checkpoint's state; `None` if there is no checkpoint yet. **O(1)**: nodes load on
    /// first touch.
    ///
    /// # Errors
    ///
    /// Those of [`CheckpointView::restore`].
    pub fn latest<T: DeserializeOwned + 'static>(&self) -> Result<Option<T>> {
        self.latest_checkpoint()?.map(|newest| newest.restore()).transpose()
    }

    /// Restores the state of any checkpoint, where it has one. **O(log checkpoints)** to find it. What else can be done with it, and of
    /// several states one, is in the [view](Self::get) of it.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownCheckpoint`], and those of [`CheckpointView::restore`].
    pub fn restore<T: DeserializeOwned + 'static>(&self, id: CheckpointId) -> Result<T> {
        self.get(id)?.restore()
    }

    /// Holds a checkpoint before anything else of it is read: from here on it stays, whatever retention says.
    fn hold(&self, commit: &Arc<Commit>) -> Result<Arc<dyn RecordReader>> {
        let pin = Pin::take(self.log.opening(), commit);
        pin.map(|pin| pin as Arc<dyn RecordReader>).ok_or(Error::UnknownCheckpoint { id: commit.id.into() })
    }

    fn decode_root<T: DeserializeOwned + 'static>(
        &self,
        commit: Address,
        root: &Root,
        backing: Arc<dyn RecordReader>,
        allow: Allow,
    ) -> Result<T> {
        match self.check_shape::<T>(root.shape, allow)? {
            None => decode(&backing, commit, &root.payload, &root.refs),
            Some((plan, tag)) => {
                let tag = if backing.rebuilds() { backing.tag() } else { tag };
                ResolvingReader::new(backing, tag, plan).decode_root(commit, &root.payload, &root.refs)
            }
        }
    }

    /// Makes all checkpoints so far durable. Others may checkpoint meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the sync fails, which poisons the store; [`Error::Poisoned`] ever after.
    pub fn sync(&self) -> Result<()> {
        self.log.sync().map(drop)
    }

    /// Refuses a process that did not open the store: a fork of the one that did.
    pub(crate) fn expect_owner(&self) -> Result<()> {
        self.log.opening().directory.expect_owner()
    }

    /// The path that the store was opened by. The store works on the directory that it found there then, which may lie
    /// elsewhere by now.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Closes the store as dropping it does, and tells what went wrong. Stores in an application are shared: others may still have it. What
    /// they would write or restore is then refused, what they restored before can still be read, and another process can open the store. Waits for a
    /// compaction, and for whatever walks the files. Closing once more does nothing.
    ///
    /// ```
    /// # use perennial::{Error, HashMap, store::Store};
    /// # use std::sync::Arc;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("world");
    /// let store = Arc::new(Store::open(&path)?);
    /// let elsewhere = Arc::clone(&store);
    /// store.checkpoint(&7u32)?;
    /// store.close()?;
    /// assert!(matches!(elsewhere.checkpoint(&8u32), Err(Error::Closed { .. })));
    /// assert_eq!(Store::open(&path)?.latest::<u32>()?, Some(7));
    /// # Ok::<(), perennial::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it could not be left clean; the next opening recovers, and `Buffered` checkpoints may be lost to
    /// a power cut. [`Error::Forked`] in a fork of the process that opened it, where closing changes nothing. [`Error::Reentrant`] if
    /// it is called by code that this store runs.
    pub fn close(&self) -> Result<()> {
        self.expect_owner()?;
        self.log.expect_not_writing()?;
        if let Some(compactor) = &self.compactor {
            compactor.stop();
        }
        self.log.close()
    }
}

impl Options {
    /// Opens the store in a directory. See [`Store::open`].
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Store> {
        let path = path.as_ref();
        let storage = FileStorage::open_or(path, self.advice_if_absent())?.map(self.map);
        Store::open_with(self, Arc::new(storage), path)
    }

    /// Opens the store in a storage of your choice, such as [`MemoryStorage`](crate::storage::MemoryStorage).
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub fn open_storage(&self, storage: Arc<dyn Storage>) -> Result<Store> {
        Store::open_with(self, storage, Path::new("<storage>"))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}
