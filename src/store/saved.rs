//! Finding out that states are saved already.

use std::sync::Arc;

use super::{Checkpoint, CheckpointId, Persist, Store};
use crate::codec::{Check, FlushContext, Seen};
use crate::error::Result;
use crate::log::Commit;
use crate::record::RecordReader;

impl Store {
    /// The newest checkpoint, if it holds exactly these states under these names, and nothing else: they were restored
    /// from it, or written to it, and did not change since. Nothing is written.
    ///
    /// Identity decides: the same records, and the same bytes of what is not in collections. A state whose nodes are of
    /// another opening, or were laid out anew when they were read, is not found. Costs what encoding the states
    /// costs up to the first node that changed.
    pub(crate) fn find_saved(&self, states: &[(&str, &dyn Persist)]) -> Option<Checkpoint> {
        let commit = self.log.latest()?;
        // What fails here fails again when it is written, and is told then.
        let holds = |(name, state): &(&str, &dyn Persist)| self.holds(&commit, name, *state).unwrap_or(false);
        let is_all = commit.roots.len() == states.len() && states.iter().all(holds);
        is_all.then(|| Checkpoint::from(&*commit))
    }

    /// Returns whether this is the newest checkpoint.
    pub(crate) fn is_newest(&self, id: CheckpointId) -> bool {
        self.log.latest().is_some_and(|newest| newest.id == id.0)
    }

    /// Returns whether a commit holds exactly this state under this name.
    fn holds(&self, commit: &Commit, name: &str, state: &dyn Persist) -> Result<bool> {
        let Some(root) = commit.roots.iter().find(|root| root.name == name) else { return Ok(false) };
        let known = |known: &super::TypeInfo| (known.shape.clone(), known.recorded.contains(&root.shape));
        let known = self.types.lock().get(&state.type_of().0).map(known);
        let (shape, is_recorded) = match known {
            Some(known) => known,
            None => (Arc::new(state.shape(&self.read_shape(root.shape)?.samples)?), false),
        };
        let (mut payload, mut refs) = (Vec::new(), Vec::new());
        let save =
            FlushContext::reading(self.log.opening().tag(), Check::new(shape.clone(), Seen::default()));
        state.encode(&save, &mut payload, &mut refs)?;
        if payload != root.payload || refs != root.refs {
            return Ok(false);
        }
        Ok(is_recorded || self.read_shape(root.shape)?.says(&shape))
    }
}
