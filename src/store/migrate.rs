//! A store of one type made into a store of another, every checkpoint of it.
//!
//! Checkpoints are migrated the oldest first, into a new store. A collection is mapped in full once; of each later version
//! only what differs from the version in the checkpoint before (by parentage) is mapped, and put into a copy of what that
//! was mapped to. Differences are found by identity (invariant 7), so what two checkpoints share is neither read nor mapped
//! again, and what is written for a checkpoint is what would have been written had it been made in the new type.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::panic::Location as Caller;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{CheckpointId, Location, Persist, Progress, Store, VerifyOptions};
use crate::codec::{Check, FlushContext, Seen, decode};
use crate::error::{Error, Result};
use crate::log::aging;
use crate::log::copy::Copied;
use crate::log::directory::Directory;
use crate::log::options::{Durability, Options};
use crate::log::unfinished::Unfinished;
use crate::log::{Commit, Draft, WriterGuard};
use crate::node::MapValues;
use crate::random::HashMap;
use crate::record::{Address, RecordReader};
use crate::schema::{Allow, Schema, shape_of};
use crate::storage::{Storage, Target};

/// What [`Store::migrate`] did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct MigrationReport {
    /// The checkpoints of the new store, the oldest first, under their own ids.
    pub checkpoints: Vec<CheckpointId>,
    /// States that were migrated.
    pub states: u64,
    /// States of other types, which were copied as they were.
    pub other_types: u64,
}

/// The call of [`Migrator::map`] that made a pair: where it stands in the code, and how many came from there before it.
type Call = (&'static Caller<'static>, usize);

/// For each call, the collection and what it was mapped to.
type Pairs = HashMap<Call, Rc<dyn Any>>;

/// Maps the collections of a state that is being migrated, see [`Store::migrate`].
pub struct Migrator {
    from: Arc<dyn RecordReader>,
    to: Arc<dyn RecordReader>,
    turn: Rc<RefCell<WriterGuard>>,
    copied: Copied,
    /// Of the checkpoint before.
    earlier: Rc<Pairs>,
    /// Of this checkpoint.
    pairs: Pairs,
    calls: HashMap<&'static Caller<'static>, usize>,
    /// Whether the values of a collection are being mapped.
    is_inside: bool,
    /// Of the types of parts that are kept.
    shapes: HashMap<TypeId, Arc<Schema>>,
}

impl Migrator {
    /// Maps the values of a [`HashMap`](crate::HashMap) or [`OrdMap`](crate::OrdMap), `map` being given key and value, or the
    /// items of a [`Vector`](crate::Vector).
    ///
    /// `map` is called once for each value that is not the same in the checkpoint before: it must make the same of the
    /// same value, whatever the checkpoint. Collections inside of values can be mapped by calling this from within `map`;
    /// those are mapped in full where the value that holds them has changed.
    ///
    /// **O(difference · log n)**, and the memory of the collection, old and new.
    ///
    /// # Errors
    ///
    /// What `map` answers.
    ///
    /// # Panics
    ///
    /// When a node cannot be read that could be when the migration began and everything was verified.
    #[track_caller]
    pub fn map<C: MapValues, W: Clone + 'static>(
        &mut self,
        values: &C,
        mut map: impl for<'a> FnMut(&mut Self, C::Item<'a>) -> Result<W>,
    ) -> Result<C::Mapped<W>> {
        if self.is_inside {
            return values.map_since(None, |item| map(self, item));
        }
        let place = Caller::caller();
        let number = self.calls.entry(place).or_default();
        let call = (place, *number);
        *number += 1;
        let earlier = self.earlier.get(&call).cloned();
        let earlier = earlier.and_then(|pair| pair.downcast::<(C, C::Mapped<W>)>().ok());
        self.is_inside = true;
        let mapped =
            values.map_since(earlier.as_deref().map(|(old, new)| (old, new)), |item| map(self, item));
        self.is_inside = false;
        let mapped = mapped?;
        self.pairs.insert(call, Rc::new((values.clone(), mapped.clone())));
        Ok(mapped)
    }

    /// Takes over a part of the old state as it is: the records of the collections in it are copied, each once, and what
    /// they share stays shared. Without this such a part is written anew in every checkpoint.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] or [`Error::Io`] if a record cannot be read, or written.
    pub fn keep<T: Serialize + DeserializeOwned + Clone + 'static>(&mut self, part: &T) -> Result<T> {
        let shape = match self.shapes.entry(TypeId::of::<T>()) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(new) => Arc::clone(new.insert(Arc::new(shape_of::<T>()?))),
        };
        let check = Check::new(shape, Seen::default());
        let (mut bytes, mut refs) = (Vec::new(), Vec::new());
        if FlushContext::reading(self.from.tag(), check).encode(part, &mut bytes, &mut refs).is_err() {
            // It was changed, or laid out anew when it was read, and has no records.
            return Ok(part.clone());
        }
        for address in &mut refs {
            *address = self.copied.copy(&*self.from, *address, &mut *self.turn.borrow_mut())?;
        }
        let address = refs.first().copied().unwrap_or(Address::from_bits(0));
        decode(&self.to, address, &bytes, &refs)
    }
}

impl Store {
    /// Makes a new store in a directory that is empty or does not exist yet, with every checkpoint of this one, `f` making
    /// a `New` of each `Old`. Ids, times, parents, labels and names stay; states of other types are copied as they are.
    ///
    /// What checkpoints share is mapped once and stays shared where `f` maps collections through the [`Migrator`]. The new
    /// store takes the room that it would have taken had all been made in the new type from the beginning. The old one is
    /// read twice, the first time to [verify](super::VerifyOptions::states) it, and is not changed.
    ///
    /// The new store is made beside the directory, under its name with `.part` added, and is moved there when it is complete
    /// and durable. What a migration that was interrupted leaves there cannot be opened and can be removed; the next one to
    /// the same place removes it.
    ///
    /// ```
    /// # use perennial::{HashMap, Vector, store::Store};
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(Serialize, Deserialize)]
    /// struct Old {
    ///     players: HashMap<u32, String>,
    ///     log: Vector<u32>,
    /// }
    /// #[derive(Serialize, Deserialize)]
    /// struct New {
    ///     players: HashMap<u32, (String, u8)>,
    ///     log: Vector<u32>,
    /// }
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    /// let store = Store::open(&old)?;
    /// store.checkpoint(&Old { players: HashMap::from([(1, "ada".into())]), log: Vector::new() })?;
    /// let migrated = store.migrate(&new, |m, old: Old| {
    ///     let players = m.map(&old.players, |_, (_, name)| Ok((name.clone(), 0)))?;
    ///     Ok(New { players, log: m.keep(&old.log)? })
    /// })?;
    /// assert_eq!(migrated.states, 1);
    /// let state: New = Store::open(&new)?.latest()?.expect("a checkpoint");
    /// assert_eq!(state.players[&1], ("ada".to_string(), 0));
    /// # Ok::<(), perennial::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ShapeMismatch`] if there are states and none of them is an `Old`; [`Error::SameDirectory`] if the new
    /// directory is the store's own, [`Error::NotAStore`] if it, or the one beside it, holds something;
    /// [`Error::Corrupt`] and its like if this store is damaged; what `f` answers; [`Error::Io`].
    pub fn migrate<'p, Old, New>(
        &self,
        to: impl Into<Location<'p>>,
        f: impl FnMut(&mut Migrator, Old) -> Result<New>,
    ) -> Result<MigrationReport>
    where
        Old: Serialize + DeserializeOwned + 'static,
        New: Persist,
    {
        let mut to = to.into();
        self.expect_owner()?;
        if let Some(storage) = to.storage.take() {
            let path = to.path.clone();
            return self.migrate_into(storage, &path, &mut to, f);
        }
        // Without a separator at its end, which would put the part into the directory.
        let target = Target::of(&to.path.components().collect::<PathBuf>())?;
        if let Some(found) = target.find()? {
            let found = Directory::new(Arc::new(found), target.path());
            self.log.opening().directory.expect_other(&found)?;
            // Another directory takes its place, so it must be empty indeed.
            found.expect_nothing_but(&[])?;
        }
        let part = target.beside(".part")?;
        let made = Arc::new(part.make()?.map(self.options.map));
        let storage = Arc::clone(&made) as Arc<dyn Storage>;
        let migrated = self.migrate_into(storage, part.path(), &mut to, f)?;
        target.replace_by(&part, &made)?;
        Ok(migrated)
    }

    /// Migrates into a storage. What an interruption leaves there cannot be opened; the next migration into it removes it.
    fn migrate_into<Old, New>(
        &self,
        to: Arc<dyn Storage>,
        path: &Path,
        told: &mut Location<'_>,
        mut f: impl FnMut(&mut Migrator, Old) -> Result<New>,
    ) -> Result<MigrationReport>
    where
        Old: Serialize + DeserializeOwned + 'static,
        New: Persist,
    {
        let directory = Directory::new(to, path);
        self.log.opening().directory.expect_other(&directory)?;
        let unfinished = Unfinished::prepare(&directory)?;
        // The first half of the way; the checkpoints are the other.
        let mut total_bytes = 0;
        let options = VerifyOptions::new().states::<Old>().progress(|now| {
            total_bytes = now.total_bytes;
            told.tell(Progress { done_bytes: now.done_bytes, total_bytes: 2 * total_bytes });
        });
        self.verify_with(options)?.into_result()?;
        let _large = self.log.opening().keep_large();
        let mut commits = self.log.commits().collect::<Result<Vec<_>>>()?;
        commits.reverse();
        self.expect_any::<Old>(&commits)?;
        let options = Options { read_only: false, create: true, keep: None, ..self.options.clone() };
        let new = Store::open_with(&options, unfinished.storage(), path)?;
        let mut migrated = MigrationReport::default();
        let (mut copied, mut done) = (Copied::default(), HashMap::<u64, Rc<Pairs>>::default());
        let (mut last, mut shapes) = (Rc::default(), HashMap::default());
        let count = commits.len().max(1) as u64;
        for (number, commit) in (1..).zip(commits.into_iter().map(Arc::new)) {
            let view = match self.view(Arc::clone(&commit)) {
                // Retention dropped it just now.
                Err(Error::UnknownCheckpoint { .. }) => continue,
                held => held?,
            };
            let from = view.reader();
            let turn = Rc::new(RefCell::new(new.log.writer()?));
            let earlier = commit.parent.and_then(|parent| done.get(&parent)).unwrap_or(&last);
            let mut migrator = Migrator {
                from,
                to: new.backing(),
                turn: Rc::clone(&turn),
                copied,
                earlier: Rc::clone(earlier),
                pairs: Pairs::default(),
                calls: HashMap::default(),
                is_inside: false,
                shapes: std::mem::take(&mut shapes),
            };
            let mut roots = Vec::with_capacity(commit.roots.len());
            for root in &commit.roots {
                let old = match view.restore_root::<Old>(&root.name) {
                    Err(Error::ShapeMismatch { .. }) => {
                        let Migrator { from, copied, .. } = &mut migrator;
                        roots.push(copied.root(&**from, root, &mut *turn.borrow_mut())?);
                        migrated.other_types += 1;
                        continue;
                    }
                    old => old?,
                };
                let state = f(&mut migrator, old)?;
                roots.push(new.write_root(&root.name, &state, &turn)?);
                migrated.states += 1;
            }
            let (parent, label) = (commit.parent, commit.label.clone());
            let draft = Draft {
                parent,
                label,
                roots,
                copy_of: Some((commit.id, commit.time_micros)),
                fields: aging::copied(&commit),
            };
            turn.borrow_mut().commit(draft, Durability::Buffered)?;
            migrated.checkpoints.push(CheckpointId(commit.id));
            last = Rc::new(migrator.pairs);
            (copied, shapes) = (migrator.copied, migrator.shapes);
            done.insert(commit.id, Rc::clone(&last));
            let done_bytes = total_bytes + total_bytes / count * number;
            told.tell(Progress { done_bytes, total_bytes: 2 * total_bytes });
        }
        new.log.writer()?.skip_ids(self.log.closed_manifest()?.next_commit_id);
        new.sync()?;
        let store_id = new.log.opening().store_id;
        new.close()?;
        unfinished.complete(store_id)?;
        Ok(migrated)
    }

    /// Makes sure that one of the states of these commits is a `T`, if there are any.
    fn expect_any<T: DeserializeOwned + 'static>(&self, commits: &[Commit]) -> Result<()> {
        let mut mismatch = Ok(());
        for root in commits.iter().flat_map(|commit| &commit.roots) {
            match self.check_shape::<T>(root.shape, Allow::default()) {
                Err(error @ Error::ShapeMismatch { .. }) => mismatch = Err(error),
                found => return found.map(drop),
            }
        }
        mismatch
    }
}
