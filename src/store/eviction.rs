//! Bounded memory: letting go of nodes that the log can give back.

use super::checkpoint::Checkpoint;
use super::{Persist, Store};
use crate::error::Result;
use crate::log::pin::Pin;
use crate::metrics;
use crate::node::{Evict, EvictReport, Eviction};
use crate::record::{Address, RecordWriter};

impl Store {
    /// Lets go of nodes of a state that can be loaded again, the least recently loaded or written first, until it holds
    /// no more than `target_bytes` in memory, or nothing else can go. They load again when they are touched.
    ///
    /// What can go is what is in a checkpoint of this opening and has not changed since. Nothing else of the state
    /// changes, nor is it marked changed. What snapshots share with it goes from the state (the branches above it are
    /// copied) and is free when they are gone as well. Of collections in the values of another one, only those go whose
    /// entry goes; what these had not loaded goes on holding the checkpoint it came from.
    ///
    /// Makes the newest checkpoint durable first. **O(nodes in memory)**; checkpoints wait meanwhile. The addresses that
    /// take the place of nodes hold what they stand for in the log, whatever retention drops. In a read-only store
    /// it works as well.
    ///
    /// ```
    /// use perennial::{HashMap, footprint::resident_bytes, store::Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = Store::open(dir.path().join("world"))?;
    /// let mut state: HashMap<u32, u32> = (0..10_000).map(|n| (n, n)).collect();
    /// store.checkpoint(&state)?;
    /// state.insert(77, 78);
    /// let evicted = store.evict(&mut state, 20 << 10)?;
    /// assert!(evicted.resident_bytes <= 20 << 10 && evicted.resident_bytes == resident_bytes(&state));
    /// assert_eq!((state[&77], state[&78]), (78, 78));
    /// # Ok::<(), perennial::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`](crate::Error::Poisoned), or [`Error::Io`](crate::Error::Io) if the sync fails: what is in
    /// memory then stays there.
    pub fn evict<T: Evict + ?Sized>(&self, state: &mut T, target_bytes: u64) -> Result<EvictReport> {
        // While this has the writer, nothing new is said to be reachable, and no flush is half done.
        let mut turn = if self.options.read_only { None } else { Some(self.log.writer()?) };
        if let Some(turn) = &mut turn {
            self.log.sync()?;
            turn.heed_damage();
        }
        let end = self.log.latest().map_or(Address::new(0, 0), |newest| newest.address);
        let reach = turn.as_ref().and_then(|turn| turn.live_set());
        // Durable is what lies before the commit that was just made so.
        let trusts = |node: Address| node < end && reach.as_ref().is_none_or(|reach| reach.suffices(node));
        let pin = Pin::of_nodes(self.log.opening());
        let opening = self.log.opening();
        let evicted = Eviction::run(state, target_bytes, pin, &trusts, opening.evicted());
        if evicted.nodes > 0 {
            opening.set_evicted(end);
            drop(turn);
            metrics::evicted(evicted.bytes);
        }
        Ok(evicted)
    }

    /// Writes a checkpoint as [`checkpoint`](Self::checkpoint) does, and then lets go of as much of the state as
    /// it holds in memory beyond `budget_bytes`, as [`evict`](Self::evict) does. So a state can be several times
    /// larger than the memory it may take.
    ///
    /// What is changed and loaded between two calls comes on top of the budget.
    ///
    /// ```
    /// use perennial::{HashMap, footprint::resident_bytes, store::Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = Store::open(dir.path().join("world"))?;
    /// let mut state: HashMap<u32, u32> = (0..10_000).map(|n| (n, n)).collect();
    /// store.checkpoint_and_evict(&mut state, 20 << 10)?;
    /// assert!(resident_bytes(&state) <= 20 << 10);
    /// assert_eq!(state[&77], 77);
    /// # Ok::<(), perennial::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`checkpoint`](Self::checkpoint), and as [`evict`](Self::evict).
    pub fn checkpoint_and_evict<T: Persist + Evict>(
        &self,
        state: &mut T,
        budget_bytes: u64,
    ) -> Result<Checkpoint> {
        let checkpoint = self.checkpoint(state)?;
        self.evict(state, budget_bytes)?;
        Ok(checkpoint)
    }
}
