//! The registry of the types of a store's states: their shapes, the records that say them, the way to read older ones.

use std::any::TypeId;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::{Persist, Store};
use crate::codec::{Check, FlushContext, Seen};
use crate::error::{Error, Result};
use crate::log::WriterGuard;
use crate::log::reader;
use crate::record::{Address, Tag};
use crate::schema::{Allow, Fit, Resolution, Schema, fit, shape_of, shape_with};

/// Knowledge of a Rust type.
pub(super) struct TypeInfo {
    pub(super) shape: Arc<Schema>,
    /// Names under which its parts are written.
    seen: Seen,
    /// Addresses of shape records that say the same; a new checkpoint refers to the first.
    pub(super) recorded: Vec<Address>,
    /// Those by which records are read as they are, though they may say less, or name something differently.
    same: Vec<Address>,
    /// Shape records of what the type was before it changed, how to read them, and what stands for that as an opening.
    older: Vec<(Address, Allow, Arc<Resolution>, Tag)>,
    /// Checkpoints of it in this opening.
    pub(super) uses: u64,
}

impl TypeInfo {
    pub(super) fn new(shape: Arc<Schema>) -> Self {
        Self {
            shape,
            seen: Seen::default(),
            recorded: Vec::new(),
            same: Vec::new(),
            older: Vec::new(),
            uses: 0,
        }
    }

    /// Takes over a shape that says more of the type than the one before.
    fn refine(&mut self, shape: Arc<Schema>) {
        if !self.shape.says(&shape) {
            self.recorded.clear();
        }
        self.shape = shape;
    }
}

/// Options of a restore: the state of the checkpoint, and the parts of it that may be left out.
///
/// ```
/// use perennial::store::{RestoreOptions, Store};
/// use serde::{Deserialize, Serialize};
///
/// # mod before {
/// #     use serde::{Deserialize, Serialize};
/// #     #[derive(Serialize, Deserialize)]
/// #     pub struct Player { pub name: String, pub mana: u32 }
/// # }
/// #[derive(Serialize, Deserialize)]
/// struct Player {
///     name: String, // there was a field `mana` as well
/// }
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = Store::open(dir.path().join("world"))?;
/// # let id = store.checkpoint(&before::Player { name: "ada".into(), mana: 7 })?.id;
/// assert!(store.restore::<Player>(id).is_err());
/// let player: Player = store.get(id)?.restore_with(&RestoreOptions::new().allow_removed_fields(true))?;
/// assert_eq!(player.name, "ada");
/// # Ok::<(), perennial::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    pub(super) root: Option<String>,
    pub(super) rebuild: bool,
    pub(super) allow: Allow,
}

impl RestoreOptions {
    /// Returns the options that [`Store::restore`] goes by: the only state there is, and nothing is left
    /// out.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the name of the state, where a checkpoint has several.
    pub fn root(mut self, name: impl Into<String>) -> Self {
        self.root = Some(name.into());
        self
    }

    /// Sets whether hash maps are built anew, wherever the records say that their keys belong: the way out where
    /// [`Error::HashChanged`] says that a hasher, or the `Hash` of a key, is not the one that the checkpoint was written
    /// with. **O(size)**: the maps are read at once, and the next checkpoint writes the state in full.
    pub fn rebuild(mut self, rebuild: bool) -> Self {
        self.rebuild = rebuild;
        self
    }

    /// Sets whether fields that the type no longer has may be left out. Their values are gone from the next checkpoint on.
    pub fn allow_removed_fields(mut self, allow: bool) -> Self {
        self.allow.removed_fields = allow;
        self
    }

    /// Sets whether variants that the type no longer has are accepted. A value that is one of them is an
    /// [`Error::Decode`] that names it, when it is met: now, or when the node is loaded that holds it.
    pub fn allow_removed_variants(mut self, allow: bool) -> Self {
        self.allow.removed_variants = allow;
        self
    }
}

impl Store {
    /// Writes what changed of a state; the shape by which it was written, and what the commit holds of it.
    pub(super) fn encode(
        &self,
        state: &dyn Persist,
        turn: &Rc<RefCell<WriterGuard>>,
    ) -> Result<(Arc<Schema>, Vec<u8>, Vec<Address>)> {
        let (id, _) = state.type_of();
        loop {
            let (mut payload, mut refs) = (Vec::new(), Vec::new());
            let known = self
                .types
                .lock()
                .get_mut(&id)
                .map(|known| (known.shape.clone(), std::mem::take(&mut known.seen)));
            let (shape, seen) = match known {
                Some(known) => known,
                None => {
                    let shape = Arc::new(state.shape(&[])?);
                    self.types.lock().entry(id).or_insert_with(|| TypeInfo::new(shape.clone()));
                    (shape, Seen::default())
                }
            };
            let save = FlushContext::checked(turn.clone(), Check::new(shape.clone(), seen));
            let encoded = state.encode(&save, &mut payload, &mut refs);
            if let Some(sample) = save.take_sample() {
                // A value of a type that rejects made-up ones: with it the trace sees further. Nothing was written of what
                // could not be seen.
                let samples = [&shape.samples[..], &[sample]].concat();
                let shape = Arc::new(state.shape(&samples)?);
                self.types.lock().insert(id, TypeInfo::new(shape));
                continue;
            }
            let mut types = self.types.lock();
            let known = types.entry(id).or_insert_with(|| TypeInfo::new(shape.clone()));
            if let Some((seen, renamed)) = save.into_learned()
                && Arc::ptr_eq(&known.shape, &shape)
            {
                known.seen = seen;
                if !renamed.is_empty() {
                    let mut shape = Schema::clone(&shape);
                    renamed.into_iter().for_each(|(of, name)| shape.write_as(of, name));
                    known.refine(Arc::new(shape));
                }
            }
            let shape = known.shape.clone();
            drop(types);
            return encoded.map(|()| (shape, payload, refs));
        }
    }

    /// Refuses a type that what was recorded does not fit; where it fits by names only, the plan to read it by.
    pub(super) fn check_shape<T: DeserializeOwned + 'static>(
        &self,
        recorded: Address,
        allow: Allow,
    ) -> Result<Option<(Arc<Resolution>, Tag)>> {
        let id = TypeId::of::<T>();
        let asked = match self.types.lock().get(&id) {
            Some(known) if known.recorded.contains(&recorded) || known.same.contains(&recorded) => {
                return Ok(None);
            }
            Some(known) => {
                let older =
                    known.older.iter().find(|(address, how, ..)| (*address, *how) == (recorded, allow));
                if let Some((.., plan, tag)) = older {
                    return Ok(Some((plan.clone(), *tag)));
                }
                Some(known.shape.clone())
            }
            None => None,
        };
        let stored = Arc::new(self.read_shape(recorded)?);
        // What version 1 could not see is read by position by a type that is seen no further.
        let is_blind = stored.is_of_version_1() && stored.has_unknown();
        let mut asked = match asked {
            Some(asked) if !is_blind => asked,
            _ => Arc::new(shape_of::<T>()?),
        };
        if asked.has_unknown() && !stored.samples.is_empty() {
            asked = Arc::new(shape_with::<T>(&stored.samples)?);
        }
        let fit = fit::<T>(&stored, &asked, allow).map_err(|difference| Error::ShapeMismatch {
            type_name: std::any::type_name::<T>(),
            difference,
        })?;
        let mut types = self.types.lock();
        let known = types.entry(id).or_insert_with(|| TypeInfo::new(asked.clone()));
        if known.shape.has_unknown() && !asked.has_unknown() {
            known.refine(asked.clone());
        }
        match fit {
            Fit::Same(pairs) => {
                if Arc::ptr_eq(&known.shape, &asked) {
                    let mut shape = Schema::clone(&asked);
                    shape.adopt_names(&stored, &pairs);
                    known.refine(Arc::new(shape));
                }
                match stored.says(&known.shape) {
                    true => known.recorded.push(recorded),
                    false => known.same.push(recorded),
                }
                Ok(None)
            }
            Fit::Planned(plan) => {
                let (plan, tag) = (Arc::new(plan), reader::next_tag(self.log.opening().segments_end())?);
                known.older.push((recorded, allow, plan.clone(), tag));
                Ok(Some((plan, tag)))
            }
        }
    }
}
