//! What a checkpointer can be started with: one state, or the states of several workers.

use std::sync::Arc;

use super::barrier::{Gate, Workers};
use super::braking::{Follow, follow};
use super::source::Source;
use crate::state::State;
use crate::store::Persist;

/// The name of the root of a single state, as [`Store::checkpoint`](crate::store::Store::checkpoint) has it.
const STATE: &str = "state";

/// What a [`Checkpointer`](super::Checkpointer) can take versions of: `&Arc<State<T>>`, or [`Workers`].
pub trait States: sealed::IntoParts {}

impl<S: sealed::IntoParts> States for S {}

/// What a core is made of.
pub(super) struct Parts {
    pub sources: Vec<Arc<Source>>,
    /// Where the states are captured by barrier.
    pub gate: Option<Arc<Gate>>,
    /// Lets the core follow each state.
    pub follow: Vec<Follow>,
}

mod sealed {
    pub trait IntoParts {
        #[doc(hidden)]
        #[expect(private_interfaces, reason = "sealed: nobody outside can call it")]
        fn into_parts(self) -> super::Parts;
    }
}

impl<T: Persist + Send + Sync> sealed::IntoParts for &Arc<State<T>> {
    #[expect(private_interfaces, reason = "sealed: nobody outside can call it")]
    fn into_parts(self) -> Parts {
        let state = Arc::clone(self);
        Parts {
            sources: vec![Arc::new(Source::new(STATE.to_owned(), self))],
            gate: None,
            follow: vec![Box::new(move |core| follow(&state, core))],
        }
    }
}

impl sealed::IntoParts for Workers {
    #[expect(private_interfaces, reason = "sealed: nobody outside can call it")]
    fn into_parts(self) -> Parts {
        Parts { gate: Some(self.gate()), sources: self.sources, follow: self.follow }
    }
}
