//! Looking for bytes that rot, a little at a time, while the store is in use.
//!
//! A *pass* goes over all segments, block by block, and makes sure that each block is what was written there: its checksum,
//! its epoch, its ordinals, that it unpacks and that its records and commits decode. That is what rot breaks.
//! [`verify`](super::verify()) looks further, at what records say of each other, but in one go, and holds up compaction.
//!
//! A pass is a sequence of [steps](Scrub::step) of a bounded number of bytes; the store's thread calls them between passes
//! of compaction, at the rate that the options name. A step takes no lock that a checkpoint, a reader or compaction waits
//! for. A segment that compaction replaces meanwhile stays mapped until it was looked at; its replacement is looked at in
//! the next pass. A pass begins at some segment and goes round, so that a process that is often restarted looks at all of
//! them in the long run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::commit::Commit;
use super::directory::segment_name;
use super::index::{BlockEntry, Index};
use super::options::Options;
use super::reader::{LogReader, read_block};
use super::segment::Segment;
use super::slots;
use crate::error::{Error, Result};
use crate::metrics;
use crate::random::random_u64;
use crate::record::Address;
use crate::sync::Mutex;

/// Totals and findings of scrubbing since the store was opened: see
/// [`Options::scrub_bytes_per_second`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ScrubReport {
    /// Bytes of blocks.
    pub bytes: u64,
    /// Number of blocks.
    pub blocks: u64,
    /// Number of times that all segments were gone over.
    pub passes: u64,
    /// Damage, as it was found when each segment was last looked at; the first
    /// [`MAX_REPORTED`](Self::MAX_REPORTED) of it.
    pub damage: Vec<Damage>,
    /// Number of findings. The same damage is counted once in every pass.
    pub damaged: u64,
    /// Damage to one slot of the manifest, or both, at the end of the last pass. The next manifest that is written mends a slot.
    pub manifest: Option<String>,
    /// The system's last refusal to let a segment be looked at. That is no damage.
    pub unreadable: Option<String>,
}

impl ScrubReport {
    /// Most damage that is listed.
    pub const MAX_REPORTED: usize = 1000;

    fn note_manifest(&mut self, error: &Error) {
        self.damaged += 1;
        self.manifest = Some(error.to_string());
    }
}

/// A place in the store that does not hold what was written there.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Damage {
    /// Number of the segment.
    pub segment: u32,
    /// Offset in bytes into the segment's file.
    pub offset: u64,
    /// Text that says what was expected and what was found.
    pub what: String,
}

impl Options {
    /// Looks for damage in the background, at this rate: goes over all segments again and again, and checks that each block
    /// is what was written. `None` (the default): only reads and [`verify`](crate::store::Store::verify) look.
    ///
    /// Findings are in [`Stats::scrubbed`](crate::store::Stats::scrubbed), and are told to the facade of the crate `metrics`
    /// behind the feature of that name. The store goes on, and whatever does not need the damaged place is as it was. As after
    /// any damage that was met, the next checkpoint of each state writes again what the state holds in memory. What else to do is
    /// said in [`docs::durability`](crate::docs::durability).
    ///
    /// The work is done in steps of up to 256 KiB on the thread of [`keep`](Self::keep), between passes of compaction; or on
    /// a thread of its own where nothing is compacted. No checkpoint, reader or compaction waits for it; closing the store waits
    /// until one block (4 KiB, or one larger record) was looked at. A pass begins a minute after the one before at
    /// the earliest. A store that is opened read-only is not looked at.
    ///
    /// The system is asked to let go of its cached copy of a segment first. What somebody has mapped and touched it
    /// keeps: that is looked at as it is in memory, not as it is on the medium. (With [`map(false)`](Self::map) nobody of this
    /// process has.)
    ///
    /// ```
    /// use perennial::store::Store;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = Store::options().scrub_bytes_per_second(Some(4 << 20)).open(dir.path().join("world"))?;
    /// store.checkpoint(&7u32)?;
    /// while store.stats().scrubbed.passes == 0 {
    ///     std::thread::sleep(std::time::Duration::from_millis(5));
    /// }
    /// assert!(store.stats().scrubbed.damage.is_empty());
    /// # Ok::<(), perennial::Error>(())
    /// ```
    #[must_use]
    pub fn scrub_bytes_per_second(mut self, bytes: Option<u64>) -> Self {
        self.scrub_bytes_per_second = bytes;
        self
    }
}

/// The state of scrubbing. Steps take turns.
#[derive(Default)]
pub(crate) struct Scrub {
    walk: Mutex<Walk>,
    pub(crate) found: Mutex<ScrubReport>,
}

/// Position of a pass.
#[derive(Default)]
struct Walk {
    visit: Option<Visit>,
    /// The segment that the pass began with, and the one it goes on with.
    pass: Option<(u32, u32)>,
    /// True if it came to the last segment, and went on with the first.
    is_round: bool,
}

/// A segment that is being looked at.
struct Visit {
    segment: Arc<Segment>,
    /// The blocks that it had when the visit began.
    index: Index,
    /// Number of them that were looked at.
    seen: usize,
}

impl Scrub {
    /// Returns the findings so far.
    pub(crate) fn scrubbed(&self) -> ScrubReport {
        self.found.lock().clone()
    }

    /// Looks at the next blocks: so many bytes of them, or up to the end of the pass, or until it `is_stopped`, which is asked
    /// before each block. Returns how many bytes it were.
    pub(crate) fn step(&self, opening: &LogReader, budget_bytes: u64, is_stopped: &dyn Fn() -> bool) -> u64 {
        let before = self.counts();
        let spent_bytes = self.step_of(&mut self.walk.lock(), opening, budget_bytes, is_stopped);
        // Told when no lock is held any more.
        let now = self.counts();
        metrics::scrubbed(now[0] - before[0], now[1] - before[1], now[2] - before[2]);
        spent_bytes
    }

    /// Bytes, passes, damage.
    fn counts(&self) -> [u64; 3] {
        let found = self.found.lock();
        [found.bytes, found.passes, found.damaged]
    }

    fn step_of(
        &self,
        walk: &mut Walk,
        opening: &LogReader,
        budget_bytes: u64,
        is_stopped: &dyn Fn() -> bool,
    ) -> u64 {
        let mut spent_bytes = 0;
        while spent_bytes < budget_bytes && !is_stopped() {
            let Some(visit) = &mut walk.visit else {
                match self.next_segment(walk, opening) {
                    true => continue,
                    false => break,
                }
            };
            let Some((entry, epoch)) = visit.index.entry(visit.seen) else {
                walk.visit = None;
                continue;
            };
            visit.seen += 1;
            let segment = &visit.segment;
            let bytes = segment.block_bytes(entry).unwrap_or(0).min(segment.entry.len_bytes.into());
            let checked = check(segment, &visit.index, entry, epoch);
            self.note(opening, segment, checked);
            spent_bytes += bytes.max(MIN_STEP_BYTES);
            let mut found = self.found.lock();
            found.bytes += bytes;
            found.blocks += 1;
        }
        spent_bytes
    }

    /// Goes to the next segment. False: the pass is over, or there is none.
    fn next_segment(&self, walk: &mut Walk, opening: &LogReader) -> bool {
        let segments = opening.segments();
        let Some((start, next)) = walk.pass else {
            let Some(first) = segments.get((random_u64() % segments.len().max(1) as u64) as usize) else {
                return false;
            };
            walk.pass = Some((first.number(), first.number()));
            walk.is_round = false;
            return true;
        };
        let mut ahead = segments.iter().filter(|segment| segment.number() >= next);
        match ahead.next().filter(|segment| !walk.is_round || segment.number() < start) {
            Some(segment) => {
                walk.pass = Some((start, segment.number() + 1));
                walk.visit = self.visit(opening, segment);
                true
            }
            None if !walk.is_round => {
                walk.is_round = true;
                walk.pass = Some((start, 0));
                true
            }
            None => {
                walk.pass = None;
                let slots = slots::damage(&opening.directory);
                let mut found = self.found.lock();
                found.passes += 1;
                match slots {
                    Err(error @ Error::Io { .. }) => found.unreadable = Some(error.to_string()),
                    Err(error) => found.note_manifest(&error),
                    Ok(damage) => match damage.first() {
                        Some(error) => found.note_manifest(error),
                        None => found.manifest = None,
                    },
                }
                // What compaction gave up is no damage any more.
                found
                    .damage
                    .retain(|damage| segments.iter().any(|segment| segment.number() == damage.segment));
                false
            }
        }
    }

    /// Begins with a segment.
    fn visit(&self, opening: &LogReader, segment: &Arc<Segment>) -> Option<Visit> {
        let number = segment.number();
        self.found.lock().damage.retain(|damage| damage.segment != number);
        if segment.entry.index_offset != 0 {
            // As far as it goes: see `Options::scrub_bytes_per_second`.
            let name = segment_name(number, segment.entry.generation);
            let _ = opening.directory.storage.open(&name).and_then(|file| file.drop_cached());
        }
        match segment.region().and_then(|_| segment.blocks()) {
            Ok(index) => Some(Visit { segment: Arc::clone(segment), index, seen: 0 }),
            Err(error) => {
                // Unless compaction replaced it just now, and its file is gone.
                if opening.segment(number).is_ok_and(|now| Arc::ptr_eq(&now, segment)) {
                    self.note(opening, segment, Err(error));
                }
                None
            }
        }
    }

    fn note(&self, opening: &LogReader, segment: &Arc<Segment>, checked: Result<()>) {
        let Err(error) = checked else { return };
        let number = segment.number();
        // What compaction replaced meanwhile stands for nothing any more.
        if opening.segment(number).is_ok_and(|now| Arc::ptr_eq(&now, segment)) {
            opening.note_found(&error);
        }
        let segment = number;
        let damage = match error {
            Error::Corrupt { segment, offset, what } => Damage { segment, offset, what },
            error @ (Error::Io { .. } | Error::MissingFeature { .. }) => {
                self.found.lock().unreadable = Some(error.to_string());
                return;
            }
            error => Damage { segment, offset: 0, what: error.to_string() },
        };
        let mut found = self.found.lock();
        found.damaged += 1;
        if found.damage.len() < ScrubReport::MAX_REPORTED {
            found.damage.push(damage);
        }
    }
}

/// Least cost of looking at a block: it has to be found, too.
const MIN_STEP_BYTES: u64 = 512;

/// Makes sure that a block is what was written.
fn check(segment: &Segment, index: &Index, entry: BlockEntry, epoch: u64) -> Result<()> {
    segment.expect_apart(index, entry)?;
    if entry.is_commit {
        let place = segment.place(entry.offset);
        return Commit::read(segment.region()?, place, entry.first_ordinal, epoch).map(drop);
    }
    let first = Address::new(segment.number(), entry.first_ordinal);
    let block = read_block(segment, entry, epoch, first)?;
    block
        .lengths()
        .try_for_each(|(ordinal, _)| block.record(Address::new(segment.number(), ordinal)).map(drop))
}

/// Time of the next step.
pub(crate) struct Rate {
    bytes_per_second: u64,
    /// Earliest begin of the next pass.
    next_pass: Instant,
    passes: u64,
}

impl Rate {
    /// Most bytes of a step.
    const STEP_BYTES: u64 = 256 << 10;
    /// Least time between the beginnings of two passes.
    const BETWEEN_PASSES: Duration = Duration::from_secs(60);

    /// The rate of a store of these options; `None`: it is not scrubbed.
    pub(crate) fn of(options: &Options) -> Option<Self> {
        let bytes_per_second = options.scrub_bytes_per_second.filter(|&bytes| bytes > 0)?;
        Some(Self { bytes_per_second, next_pass: Instant::now(), passes: 0 })
    }

    /// Does a step, and returns how long to wait before the next one.
    pub(crate) fn step(
        &mut self,
        scrub: &Scrub,
        opening: &LogReader,
        is_stopped: &dyn Fn() -> bool,
    ) -> Duration {
        // Never more than a tenth of a second's worth at a time.
        let budget = (self.bytes_per_second / 10).clamp(1, Self::STEP_BYTES);
        let is_first = scrub.walk.lock().pass.is_none();
        let now = Instant::now();
        if is_first && now < self.next_pass {
            return self.next_pass - now;
        }
        if is_first {
            self.next_pass = now + Self::BETWEEN_PASSES;
        }
        let bytes = scrub.step(opening, budget, is_stopped);
        let passes = scrub.found.lock().passes;
        if bytes == 0 && passes == self.passes {
            // There is nothing in it yet.
            self.next_pass = now;
            return Duration::from_secs(1);
        }
        self.passes = passes;
        Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64)
    }
}
