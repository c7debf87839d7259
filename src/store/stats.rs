//! What is known of a store without looking for it.

use std::time::Duration;

use super::Store;
use super::checkpoint::Checkpoint;
use crate::log::gc::compaction::CompactionReport;
use crate::log::gc::thread::Compactor;
use crate::log::gc::throttle::Throttle;
use crate::log::scrub::ScrubReport;
use crate::metrics::{self, Stopwatch};

/// What a store takes on disk, as far as it costs nothing to know. See [`Store::stats`]; [`Store::usage`] looks further.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Number of segment files.
    pub segments: usize,
    /// Their length in bytes, preallocated room included.
    pub disk_bytes: u64,
    /// At most how many checkpoints are kept: fewer where crashes left gaps between the ids.
    pub checkpoints: u64,
    /// Checkpoints that states in memory hold, as they may still load something of them.
    pub pinned: u64,
    /// What checkpoints wrote since the store was opened.
    pub written: WriteStats,
    /// What compaction did since the store was opened.
    pub compacted: CompactionReport,
    /// How long checkpoints waited for compaction since the store was opened, all together: see
    /// [`Options::keep`](super::Options::keep).
    pub compaction_wait: Duration,
    /// Why the last compaction in the background failed.
    pub compaction_failure: Option<String>,
    /// Totals and findings of scrubbing in the background: see
    /// [`Options::scrub_bytes_per_second`](super::Options::scrub_bytes_per_second).
    pub scrubbed: ScrubReport,
}

impl Stats {
    /// How many bytes were written since the store was opened, compaction included, for each byte that checkpoints
    /// wrote: 1 without compaction.
    pub fn write_amplification(&self) -> f64 {
        let all = self.written.bytes + self.compacted.new_bytes;
        if all == 0 { 1.0 } else { all as f64 / self.written.bytes.max(1) as f64 }
    }
}

/// What checkpoints wrote. Divided by their number, what one costs; [`Checkpoint`] says it of each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct WriteStats {
    /// Number of checkpoints.
    pub checkpoints: u64,
    /// Nodes written for them.
    pub nodes: u64,
    /// Bytes of these nodes before compression.
    pub node_bytes: u64,
    /// Bytes written to the log, all told.
    pub bytes: u64,
}

impl Store {
    /// Tells what the store takes on disk, and what checkpoints and compaction wrote. **O(segments)**. In a fork of the
    /// process that opened the store it says nothing of compaction and scrubbing, which go on in the other process.
    ///
    /// ```
    /// use perennial::{HashMap, store::Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = Store::open(dir.path().join("world"))?;
    /// let mut state: HashMap<u32, u32> = (0..10_000).map(|n| (n, n)).collect();
    /// store.checkpoint(&state)?;
    /// let full = store.stats().written;
    /// state.insert(3, 0);
    /// store.checkpoint(&state)?;
    /// let both = store.stats().written;
    /// assert!(both.checkpoints == 2 && both.nodes - full.nodes < 6 && both.bytes < full.bytes + 1000);
    /// assert_eq!(store.stats().write_amplification(), 1.0);
    /// # Ok::<(), perennial::Error>(())
    /// ```
    pub fn stats(&self) -> Stats {
        let stats = self.log.stats();
        // In a fork, the thread that may hold these locks is not there to let go of them.
        let is_here = self.expect_owner().is_ok();
        let pacing = self.compactor.as_ref().map(Compactor::pacing).filter(|_| is_here);
        let newest = self.log.latest().map_or(0, |newest| newest.id);
        let pin_table = self.log.opening().pin_table();
        let pinned = pin_table.pinned().len() as u64;
        let checkpoints = pin_table.kept_commits.count(newest);
        drop(pin_table);
        Stats {
            segments: stats.segments,
            disk_bytes: stats.disk_bytes,
            checkpoints,
            pinned,
            written: *self.written.lock(),
            compacted: if is_here { self.log.compacted() } else { CompactionReport::default() },
            compaction_wait: pacing.map_or(Duration::ZERO, Throttle::waited),
            compaction_failure: pacing.and_then(Throttle::failure),
            scrubbed: if is_here { self.scrub.scrubbed() } else { ScrubReport::default() },
        }
    }

    /// Counts a checkpoint.
    pub(super) fn count(&self, watch: Stopwatch, checkpoint: &Checkpoint) {
        let mut written = self.written.lock();
        written.checkpoints += 1;
        written.nodes += checkpoint.nodes;
        written.node_bytes += checkpoint.node_bytes;
        written.bytes += checkpoint.bytes;
        drop(written);
        metrics::checkpointed(watch, || {
            let stats = self.stats();
            metrics::Written {
                nodes: checkpoint.nodes,
                bytes: checkpoint.bytes,
                amplification: stats.write_amplification(),
                segments: stats.segments,
                disk_bytes: stats.disk_bytes,
            }
        });
    }
}
