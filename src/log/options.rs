//! How a store is opened: compression, sizes, durability.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::retention::Retention;

/// How blocks are compressed. Every block says how it was, so the choice can change from opening to opening.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    None,
    /// LZ4: the fastest, about half the savings of Zstd.
    #[default]
    Lz4,
    /// Zstandard at level 1. Needs the feature `zstd`: without it, opening a store with this choice, and reading what was
    /// written with it, is [`Error::MissingFeature`](crate::Error::MissingFeature).
    Zstd,
}

/// When a checkpoint counts as written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Durability {
    /// When the system has it: it survives the death of the process, a power cut may undo it together with
    /// everything after it. A later `Sync` checkpoint, or closing the store, makes it durable.
    Buffered,
    /// When the medium has it: it survives a power cut.
    #[default]
    Sync,
}

/// How a store is opened.
///
/// ```
/// use perennial::store::{Compression, Store};
///
/// # let dir = tempfile::tempdir().unwrap();
/// let options = Store::options().compression(Compression::Zstd).cache_bytes(8 << 20);
/// let store = options.open(dir.path().join("world"))?;
/// assert_eq!(store.checkpoints().count(), 0);
/// # Ok::<(), perennial::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) compression: Compression,
    pub(crate) segment_bytes: u32,
    pub(crate) block_bytes: u32,
    pub(crate) cache_bytes: usize,
    pub(crate) create: bool,
    pub(crate) read_only: bool,
    pub(crate) map: bool,
    pub(crate) durability: Durability,
    pub(crate) compact_below: f64,
    pub(crate) compact_bytes_per_second: Option<u64>,
    pub(crate) keep: Option<Retention>,
    pub(crate) scrub_bytes_per_second: Option<u64>,
    pub(crate) clock: Clock,
}

/// The source of the times of checkpoints; `None`: the system.
#[derive(Clone, Default)]
pub(crate) struct Clock(Option<Arc<dyn Fn() -> SystemTime + Send + Sync>>);

// The clock is only asked, and nothing here is left half changed by its panic.
impl std::panic::UnwindSafe for Clock {}
impl std::panic::RefUnwindSafe for Clock {}

impl Clock {
    /// Microseconds since 1970; before 1970: 0.
    pub(crate) fn now_micros(&self) -> u64 {
        let now = self.0.as_ref().map_or_else(SystemTime::now, |clock| clock());
        let micros = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        // What a signed count of microseconds holds: 292,000 years.
        u64::try_from(micros).unwrap_or(u64::MAX).min(i64::MAX as u64)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "given" } else { "system" })
    }
}

impl Options {
    /// Size of a block before compression, unless the options say otherwise.
    pub(crate) const BLOCK_BYTES: u32 = 4 << 10;
    /// Size of a segment, unless the options say otherwise.
    pub(crate) const SEGMENT_BYTES: u32 = 8 << 20;
    /// Bounds of the size of a segment.
    const SEGMENT_BOUNDS: (u32, u32) = (4 << 10, 1 << 30);
    /// Bounds of the size of a block.
    const BLOCK_BOUNDS: (u32, u32) = (256, 1 << 20);

    /// The defaults: LZ4, segments of 8 MiB, blocks of 4 KiB, a cache of 32 MiB, create, read and write, `Sync`.
    pub fn new() -> Self {
        Self {
            compression: Compression::default(),
            segment_bytes: Self::SEGMENT_BYTES,
            block_bytes: Self::BLOCK_BYTES,
            cache_bytes: 32 << 20,
            create: true,
            read_only: false,
            map: true,
            durability: Durability::default(),
            compact_below: 0.6,
            compact_bytes_per_second: Some(64 << 20),
            keep: None,
            scrub_bytes_per_second: None,
            clock: Clock::default(),
        }
    }

    /// Compresses new blocks so. Default: [`Compression::Lz4`].
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Sets the size of new segments, clamped to 4 KiB – 1 GiB. Default: 8 MiB.
    ///
    /// A segment is reserved on the medium when it is begun, and is the unit of compaction.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u32) -> Self {
        self.segment_bytes = bytes.clamp(Self::SEGMENT_BOUNDS.0, Self::SEGMENT_BOUNDS.1);
        self
    }

    /// Sets the size at which a block is closed, before compression, clamped to 256 B – 1 MiB. Default: 4 KiB.
    ///
    /// Larger blocks compress better; a cold read decodes a whole block.
    #[must_use]
    pub fn block_bytes(mut self, bytes: u32) -> Self {
        self.block_bytes = bytes.clamp(Self::BLOCK_BOUNDS.0, Self::BLOCK_BOUNDS.1);
        self
    }

    /// Keeps up to `bytes` of decoded blocks in memory. Default: 32 MiB.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Whether an absent store is created; its parent directory must exist. Default: true.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// What to do where there is no store; `None` if one is made.
    pub(crate) fn advice_if_absent(&self) -> Option<&'static str> {
        match (self.read_only, self.create) {
            (true, _) => {
                Some("check the path: to only read, a store must be there, made by opening it for writing")
            }
            (_, false) => Some("check the path, or allow the store to be created"),
            (_, true) => None,
        }
    }

    /// Whether to only read, beside whoever writes: takes no lock, changes nothing, and shows the checkpoints
    /// that were committed when it was opened. Default: false.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Reads through a memory map; `false`: by positioned reads, for network file systems and for those who fear SIGBUS.
    /// Default: true. Of a store that is opened by its path, and of the copies that `backup` and `migrate` make by a path;
    /// a storage of your choice reads as it does ([`FileStorage::map`](crate::storage::FileStorage::map)).
    ///
    /// A medium that refuses to be read, or a file that a stranger truncates, kills a process that reads it through a map.
    /// Without one it is [`Error::Io`](crate::Error::Io) of the call that needed the bytes, and panics with that error where
    /// a call cannot fail (`get` of a node that is not loaded yet). *What it costs:* each block that is not in the
    /// [cache](Self::cache_bytes) takes three system calls and a copy; what is in the cache, or loaded, costs the same. And
    /// each segment that was read keeps its file open (a map does not), so that it stays readable when compaction, or another process,
    /// removes or replaces it. A read-only store opens all of them, and so does a store that is closed before the states that
    /// it restored: 128 for each GiB of the usual segments. Where the system allows fewer open files (`ulimit -n`,
    /// often 1,024), choose larger [segments](Self::segment_bytes) or raise that limit.
    ///
    /// ```
    /// use perennial::store::Store;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = Store::options().map(false).open(dir.path().join("world"))?;
    /// store.checkpoint(&7u32)?;
    /// assert_eq!(store.latest::<u32>()?, Some(7));
    /// # Ok::<(), perennial::Error>(())
    /// ```
    #[must_use]
    pub fn map(mut self, map: bool) -> Self {
        self.map = map;
        self
    }

    /// Compaction rewrites segments of which less than this part is in use, 0 to 1. Default: 0.6.
    ///
    /// A higher value keeps the store smaller and writes more: with 0.5 a segment takes at most about twice what is in use
    /// of it, and a byte that stays is written about twice more.
    #[must_use]
    pub fn compact_below(mut self, part_in_use: f64) -> Self {
        self.compact_below = if part_in_use.is_nan() { 0.6 } else { part_in_use.clamp(0.0, 1.0) };
        self
    }

    /// Keeps the checkpoints that a policy keeps, and gives back the space of the others, in a thread of the store's own.
    /// Default: everything is kept, and nothing compacted.
    ///
    /// **What is kept is decided with each checkpoint**, and is part of it: when a checkpoint is there, those that the
    /// policy drops because of it are gone, from lists, for `restore`, and for other processes as well; if a power cut
    /// undoes it, they are there again. Of a store that holds more than the policy keeps when it is opened, the rest is
    /// not shown from then on, and dropped durably by what is written first. (65,536 checkpoints at most go with
    /// one, the others with those after it.) Costs **O(rules · log checkpoints)** a checkpoint, and opening reads
    /// the commit of each checkpoint that is kept. A policy that keeps everything costs nothing. If one of them
    /// cannot be read, the store opens all the same; nothing is dropped then, and
    /// [`Stats::compaction_failure`](crate::store::Stats::compaction_failure) says why when compaction is due. A read-only
    /// store applies no policy.
    ///
    /// *Giving back the space may lag*, as far as follows.
    ///
    /// The log keeps to a *limit*: with [`compact_below`](Self::compact_below) at 0.6 one and a third times what is in use,
    /// or a sixth more than the last pass left (or two segments, if that is more). A pass begins at a sixteenth of the way,
    /// and must be over at the limit: **a checkpoint waits, before it writes, until as much of the pass is done as the log has
    /// come of its way, but for a slack of three segments**. So a checkpoint that appends a hundredth of the way waits for little
    /// more than a hundredth of a pass, however little time the thread gets. While slack is left, checkpoints rest for a part
    /// of that, for 50 ms at most, so that they seldom come upon its end; where the thread is ahead, as a rule, nobody waits. Beyond
    /// the limit go the checkpoint that passes it, the rest of its segment, and the one segment that is being replaced.
    /// Where a pass fails, nobody waits for it; [`Stats`](crate::store::Stats) says why, and how long checkpoints waited.
    ///
    /// ```
    /// use perennial::{retention::keep_last, store::Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = Store::options().keep(keep_last(100)).open(dir.path().join("world"))?;
    /// # drop(store);
    /// # Ok::<(), perennial::Error>(())
    /// ```
    #[must_use]
    pub fn keep(mut self, policy: Retention) -> Self {
        self.keep = Some(policy);
        self
    }

    /// Bounds what compaction in the background reads and writes, as long as it keeps up with the log (see
    /// [`keep`](Self::keep)); `None`: no bound. Default: 64 MiB a second.
    #[must_use]
    pub fn compact_bytes_per_second(mut self, bytes: Option<u64>) -> Self {
        self.compact_bytes_per_second = bytes;
        self
    }

    /// Takes the times of checkpoints from `clock`, which is called once for each, while the store is locked for
    /// writing: it must not use the store. Default: the system's clock.
    ///
    /// ```
    /// use perennial::{storage::MemoryStorage, store::Store};
    /// use std::{sync::Arc, time::{Duration, SystemTime}};
    ///
    /// let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(12 * 3600);
    /// let store = Store::options().clock(move || noon).open_storage(Arc::new(MemoryStorage::new()))?;
    /// assert_eq!(store.checkpoint(&1u32)?.time, noon);
    /// # Ok::<(), perennial::Error>(())
    /// ```
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Clock(Some(Arc::new(clock)));
        self
    }

    /// Sets the durability of checkpoints that do not name their own. Default: [`Durability::Sync`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_clamped_to_what_the_format_holds() {
        let options = Options::new().segment_bytes(u32::MAX).block_bytes(0);
        assert_eq!((options.segment_bytes, options.block_bytes), (1 << 30, 256));
        let options = Options::new().segment_bytes(0).block_bytes(u32::MAX);
        assert_eq!((options.segment_bytes, options.block_bytes), (4 << 10, 1 << 20));
    }
}
