//! A checkpoint in the making: its states, and what is said of it.

use super::checkpoint::{Checkpoint, CheckpointId, CheckpointOptions};
use super::{Durability, Persist, STATE, Store};
use crate::error::Result;

/// A checkpoint that is written by [`write`](Self::write). Made by [`Store::commit`].
///
/// ```
/// use perennial::{HashMap, store::{Durability, Store}};
///
/// # let dir = tempfile::tempdir().unwrap();
/// let store = Store::open(dir.path().join("world"))?;
/// let (players, scores) = (HashMap::from([(1u32, 2u32)]), HashMap::from([(1u32, 9.5f32)]));
/// let labelled = store.commit().state(&players).label("before the boss").write()?;
/// assert_eq!(store.restore::<HashMap<u32, u32>>(labelled.id)?, players);
///
/// // Several states, in one atomic checkpoint.
/// let both = store.commit().root("players", &players).root("scores", &scores).durability(Durability::Buffered).write()?;
/// assert_eq!(store.get(both.id)?.restore_root::<HashMap<u32, f32>>("scores")?, scores);
/// # Ok::<(), perennial::Error>(())
/// ```
#[must_use = "nothing is written before `write`"]
pub struct CommitBuilder<'s> {
    store: &'s Store,
    states: Vec<(&'s str, &'s dyn Persist)>,
    options: CheckpointOptions,
}

impl<'s> CommitBuilder<'s> {
    /// Adds the state of an application that has one, under the name that [`Store::checkpoint`] uses as well.
    pub fn state<T: Persist>(self, state: &'s T) -> Self {
        self.root(STATE, state)
    }

    /// Adds a state under a name.
    pub fn root<T: Persist>(mut self, name: &'s str, state: &'s T) -> Self {
        self.states.push((name, state));
        self
    }

    /// Adds states under their names: for those whose number or types are known at run time only.
    pub fn roots(mut self, states: &[(&'s str, &'s dyn Persist)]) -> Self {
        self.states.extend_from_slice(states);
        self
    }

    /// Adds a note for people, by which the checkpoint can be found ([`labelled`](super::Checkpoints::labelled)) and kept
    /// ([`pinned`](crate::retention::pinned)).
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.options = self.options.label(label);
        self
    }

    /// Says from which checkpoint the state was derived, where that is not the newest one.
    pub fn parent(mut self, parent: CheckpointId) -> Self {
        self.options = self.options.parent(parent);
        self
    }

    /// Says how durable the checkpoint must be on return, where that is not what the store's options say.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.options = self.options.durability(durability);
        self
    }

    /// Takes label, parent and durability from options that were made elsewhere.
    pub fn options(mut self, options: &CheckpointOptions) -> Self {
        self.options = options.clone();
        self
    }

    /// Writes the checkpoint, atomically. **O(changes)**
    ///
    /// # Errors
    ///
    /// Those of [`Store::checkpoint`]; [`Error::UnknownCheckpoint`](crate::Error::UnknownCheckpoint) if there is no such
    /// parent; [`Error::Encode`](crate::Error::Encode) if two states have one name.
    ///
    /// # Panics
    ///
    /// As [`Store::checkpoint`].
    pub fn write(self) -> Result<Checkpoint> {
        self.store.write_checkpoint(&self.states, &self.options)
    }
}

impl Store {
    /// Begins a checkpoint of several states, or one with a label, a parent or a durability of its own.
    pub fn commit(&self) -> CommitBuilder<'_> {
        CommitBuilder { store: self, states: Vec::new(), options: CheckpointOptions::new() }
    }
}
