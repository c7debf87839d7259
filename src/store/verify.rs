//! Verifying: what the log says of itself, and what states say of it.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Progress, Store, VerifyReport};
use crate::codec::{Check, FlushContext, RoundTrip};
use crate::error::{Error, Result};
use crate::log::verify;
use crate::record::RecordReader;

/// Reads the states of one type, and notes in the report what it finds; tells after each checkpoint.
type VerifyStates = fn(&Store, &mut VerifyReport, &mut dyn FnMut()) -> Result<()>;

/// The extent of a verification, and who is told how far it has got. See [`Store::verify_with`].
#[derive(Default)]
pub struct VerifyOptions<'p> {
    states: Option<VerifyStates>,
    progress: Option<Box<dyn FnMut(Progress) + 'p>>,
}

impl<'p> VerifyOptions<'p> {
    /// Returns the options that [`Store::verify`] goes by: the log alone, and nobody is told.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads every state that is a `T` as well, to the last item of every collection in it: that it decodes, that the keys of
    /// hash maps lie where their hash puts them, and those of ordered ones in order. What checkpoints share is read once.
    /// **O(bytes)**, the memory of one state and some 20 bytes for each node.
    ///
    /// States of other types are passed over and counted.
    pub fn states<T: Serialize + DeserializeOwned + 'static>(mut self) -> Self {
        self.states = Some(verify_states::<T>);
        self
    }

    /// Sets who is told how far it has got: once for each segment, and, those being done, once for each checkpoint whose states
    /// are read.
    pub fn progress(mut self, told: impl FnMut(Progress) + 'p) -> Self {
        self.progress = Some(Box::new(told));
        self
    }
}

impl fmt::Debug for VerifyOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyOptions").field("states", &self.states.is_some()).finish_non_exhaustive()
    }
}

impl Store {
    /// Reads everything and checks that it is what was written: checksums at their places, epochs, addresses that point
    /// backwards at records of the right kind, batches against their commits, both slots of the manifest. **O(bytes)**, a block of memory and a few
    /// bytes for each record that is referred to and not yet met. Others may checkpoint meanwhile.
    ///
    /// Does not know what the records hold: see [`VerifyOptions::states`].
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
        self.verify_with(VerifyOptions::new())
    }

    /// Verifies by options of your choice: the states of a type as well, progress. Otherwise as [`verify`](Self::verify).
    ///
    /// ```
    /// # use perennial::{HashMap, store::{Store, VerifyOptions}};
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = Store::open(dir.path().join("world"))?;
    /// store.checkpoint(&HashMap::from([(1u32, 2u32)]))?;
    /// let verified = store.verify_with(VerifyOptions::new().states::<HashMap<u32, u32>>())?;
    /// assert!(verified.is_clean());
    /// assert_eq!((verified.states, verified.other_types), (1, 0));
    /// # Ok::<(), perennial::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify).
    pub fn verify_with(&self, options: VerifyOptions<'_>) -> Result<VerifyReport> {
        let VerifyOptions { states, mut progress } = options;
        let mut last = Progress { done_bytes: 0, total_bytes: 0 };
        let mut tell = |now| {
            if let Some(progress) = &mut progress {
                progress(now);
            }
        };
        let mut verified = {
            let _still = self.log.hold_compaction()?;
            verify(&self.log, &mut |now| {
                last = now;
                tell(now);
            })?
        };
        verified.damage.iter().for_each(|error| self.log.opening().note_found(error));
        if let Some(states) = states {
            states(self, &mut verified, &mut || tell(last))?;
        }
        Ok(verified)
    }
}

fn verify_states<T: Serialize + DeserializeOwned + 'static>(
    store: &Store,
    verified: &mut VerifyReport,
    tell: &mut dyn FnMut(),
) -> Result<()> {
    let _large = store.log.opening().keep_large();
    let whole = RoundTrip::Whole(RefCell::default());
    let trial = FlushContext::on_trial(store.log.opening().tag(), whole, Check::nothing());
    for commit in store.log.commits() {
        let commit = match commit {
            Err(error @ Error::Io { .. }) => return Err(error),
            // The walk that came before noted it.
            Err(_) => break,
            Ok(commit) => Arc::new(commit),
        };
        for root in &commit.roots {
            let tried = store
                .view(Arc::clone(&commit))
                .and_then(|view| view.restore_root::<T>(&root.name))
                .and_then(|state| trial.encode(&state, &mut Vec::new(), &mut Vec::new()));
            match tried {
                Err(Error::ShapeMismatch { .. }) => verified.other_types += 1,
                // Retention dropped it just now.
                Err(Error::UnknownCheckpoint { .. }) => {}
                tried => verified.states += u64::from(verified.note(tried)?.is_some()),
            }
        }
        tell();
    }
    Ok(())
}
