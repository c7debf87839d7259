//! One checkpoint of a store, held: it stays as long as the view does, whatever retention says.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::rebuild::Rebuilding;
use super::types::RestoreOptions;
use super::{Checkpoint, CheckpointId, DiskFootprint, STATE, Store};
use crate::error::{Error, Result};
use crate::log::commit::{Commit, Root};
use crate::log::reader::next_tag;
use crate::record::RecordReader;
use crate::schema::Allow;

/// A checkpoint that can be restored, described and dropped. It reads as the [`Checkpoint`] that it is of.
///
/// The checkpoint stays readable while the view lives, also where retention drops it meanwhile.
///
/// ```
/// use perennial::{HashMap, store::Store};
///
/// # let dir = tempfile::tempdir().unwrap();
/// let store = Store::open(dir.path().join("world"))?;
/// let mut players = HashMap::from([(1u32, "ada".to_string())]);
/// store.commit().state(&players).label("before the boss").write()?;
/// players.clear();
/// store.checkpoint(&players)?;
///
/// let before = store.checkpoints().labelled("before the boss")?.expect("a checkpoint");
/// let view = store.get(before.id)?;
/// assert_eq!(view.label.as_deref(), Some("before the boss"));
/// assert_eq!(view.restore::<HashMap<u32, String>>()?.len(), 1);
/// # Ok::<(), perennial::Error>(())
/// ```
pub struct CheckpointView<'s> {
    store: &'s Store,
    commit: Arc<Commit>,
    pin: Arc<dyn RecordReader>,
    checkpoint: Checkpoint,
}

// It reads through what is behind locks.
impl std::panic::UnwindSafe for CheckpointView<'_> {}
impl std::panic::RefUnwindSafe for CheckpointView<'_> {}

impl Deref for CheckpointView<'_> {
    type Target = Checkpoint;

    fn deref(&self) -> &Checkpoint {
        &self.checkpoint
    }
}

impl fmt::Debug for CheckpointView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CheckpointView").field(&self.checkpoint).finish()
    }
}

impl CheckpointView<'_> {
    /// Restores the state, whatever its name, where the checkpoint has one; of several, the one that
    /// [`checkpoint`](Store::checkpoint) and [`CommitBuilder::state`](super::CommitBuilder::state) write. **O(1)**: nodes load on
    /// first touch.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRoot`] if the checkpoint has several states, all of them under names of their own, with these names ([`restore_root`](Self::restore_root) takes
    /// one); [`Error::ShapeMismatch`] if it holds another type, with the difference; [`Error::Corrupt`],
    /// [`Error::Decode`] or [`Error::Io`] if it cannot be read.
    pub fn restore<T: DeserializeOwned + 'static>(&self) -> Result<T> {
        self.restore_with(&RestoreOptions::new())
    }

    /// Restores the state of this name. Otherwise as [`restore`](Self::restore).
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRoot`] if there is none, with the names there are; those of [`restore`](Self::restore).
    pub fn restore_root<T: DeserializeOwned + 'static>(&self, name: &str) -> Result<T> {
        self.decode(self.root(Some(name))?, Arc::clone(&self.pin), Allow::default())
    }

    /// Restores a state by options of your choice: another name, parts that may be left out, hash maps that are built anew.
    /// Otherwise as [`restore`](Self::restore).
    ///
    /// # Errors
    ///
    /// Those of [`restore`](Self::restore); [`Error::Decode`] if a value is of a variant that was removed.
    pub fn restore_with<T: DeserializeOwned + 'static>(&self, options: &RestoreOptions) -> Result<T> {
        let root = self.root(options.root.as_deref())?;
        let reader: Arc<dyn RecordReader> = match options.rebuild {
            // Shared: what is restored holds the checkpoint as well.
            false => Arc::clone(&self.pin),
            true => {
                let tag = next_tag(self.store.log.opening().segments_end())?;
                Arc::new(Rebuilding { backing: Arc::clone(&self.pin), tag })
            }
        };
        self.decode(root, reader, options.allow)
    }

    /// Returns the recorded shape of a state's type, as text: types, fields and variants with their names. The page
    /// [`docs::schema`](crate::docs::schema) says how to read it. **O(1)**
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRoot`], [`Error::Corrupt`], [`Error::Io`].
    pub fn schema(&self, name: &str) -> Result<String> {
        self.store.read_shape(self.root(Some(name))?.shape).map(|shape| shape.to_text())
    }

    /// Tells how many bytes on disk the checkpoint needs: in all, and it alone of those that are kept, which dropping it would
    /// free. **O(what the checkpoints reach)**
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] or [`Error::Io`] if something cannot be read.
    pub fn footprint(&self) -> Result<DiskFootprint> {
        self.store.disk_footprint(&[self.id])
    }

    /// Drops this one checkpoint, durably; compaction gives its space back. What was restored of it, and this view, go
    /// on reading. The newest checkpoint of a store cannot be dropped. **O(checkpoints)**
    ///
    /// ```
    /// # use perennial::{Error, store::Store};
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = Store::open(dir.path().join("world"))?;
    /// let ids = [1u32, 2, 3].map(|state| store.checkpoint(&state).expect("a checkpoint").id);
    /// let view = store.get(ids[1])?;
    /// view.delete()?;
    /// assert!(matches!(store.get(ids[1]), Err(Error::UnknownCheckpoint { .. })));
    /// assert_eq!(view.restore::<u32>()?, 2);
    /// assert_eq!(store.restore::<u32>(ids[0])?, 1);
    /// # Ok::<(), perennial::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::UnknownCheckpoint`] if it was dropped before; [`Error::Refused`] if it is the newest one;
    /// [`Error::Io`], [`Error::Poisoned`], [`Error::ReadOnly`].
    pub fn delete(&self) -> Result<()> {
        self.store.log.delete(self.commit.id)
    }

    pub(super) fn reader(&self) -> Arc<dyn RecordReader> {
        Arc::clone(&self.pin)
    }

    /// The root of this name; without one, the only root, or the one that [`CommitBuilder::state`](super::CommitBuilder::state)
    /// wrote.
    fn root(&self, name: Option<&str>) -> Result<&Root> {
        let roots = &self.commit.roots;
        let found = match (name, &roots[..]) {
            (None, [root]) => Some(root),
            // The one that `Store::checkpoint` would have written.
            (None, roots) => roots.iter().find(|root| root.name == STATE),
            (Some(name), roots) => roots.iter().find(|root| root.name == name),
        };
        found.ok_or_else(|| Error::UnknownRoot {
            id: self.id,
            name: name.unwrap_or_default().to_owned(),
            found: roots.iter().map(|root| format!("{:?}", root.name)).collect::<Vec<_>>().join(", "),
        })
    }

    fn decode<T: DeserializeOwned + 'static>(
        &self,
        root: &Root,
        reader: Arc<dyn RecordReader>,
        allow: Allow,
    ) -> Result<T> {
        self.store.decode_root(self.commit.address, root, reader, allow)
    }
}

impl Store {
    /// Returns the checkpoint of this id, held. **O(log checkpoints)**
    ///
    /// # Errors
    ///
    /// [`Error::UnknownCheckpoint`] if there is none, or retention dropped it; [`Error::Closed`] if the store was closed; [`Error::Corrupt`] or [`Error::Io`] if it cannot
    /// be read.
    pub fn get(&self, id: CheckpointId) -> Result<CheckpointView<'_>> {
        self.view(self.log.find(id.0)?)
    }

    /// Returns the newest checkpoint, held; `None` if there is none yet. **O(1)**
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn latest_checkpoint(&self) -> Result<Option<CheckpointView<'_>>> {
        while let Some(commit) = self.log.latest() {
            match self.view(commit) {
                // Retention dropped it just now, because there is a newer one.
                Err(Error::UnknownCheckpoint { .. }) => {}
                view => return view.map(Some),
            }
        }
        Ok(None)
    }

    pub(super) fn view(&self, commit: Arc<Commit>) -> Result<CheckpointView<'_>> {
        let pin = self.hold(&commit)?;
        self.log.expect_open()?;
        let checkpoint = Checkpoint::from(&*commit);
        Ok(CheckpointView { store: self, commit, pin, checkpoint })
    }
}
