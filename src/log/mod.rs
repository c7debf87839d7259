//! The log: everything under the typed store that knows bytes but no types.

mod active;
pub(crate) mod aging;
pub(crate) mod beginning;
pub(crate) mod block;
mod block_cache;
pub(crate) mod commit;
pub(crate) mod compression;
pub(crate) mod copy;
pub(crate) mod directory;
pub(crate) mod fields;
pub(crate) mod file_region;
pub(crate) mod format;
pub(crate) mod gc;
pub(crate) mod identity;
pub(crate) mod index;
pub(crate) mod kept_commits;
mod large_block;
pub(crate) mod manifest;
mod open;
pub(crate) mod options;
pub(crate) mod pin;
pub(crate) mod reader;
pub(crate) mod record;
mod recovery;
pub(crate) mod scan;
pub(crate) mod scrub;
pub(crate) mod segment;
pub(crate) mod slots;
pub(crate) mod syncer;
pub(crate) mod unfinished;
pub(crate) mod verify;
pub(crate) mod witness;
pub(crate) mod work;
mod writer;

use std::any::Any;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use self::block::corrupt;
use self::commit::Link;
pub(crate) use self::commit::{Commit, Draft};
use self::gc::blame;
use self::gc::compaction::{CompactionReport, Pass};
use self::gc::throttle::Pace;
use self::kept_commits::Listed;
use self::manifest::{CommitRef, Manifest};
use self::options::Compression;
use self::reader::LogReader;
use self::syncer::Syncer;
pub(crate) use self::verify::verify;
use self::writer::Writer;
use crate::error::{Error, Result};
use crate::metrics::{self, Stopwatch};
use crate::record::recheck::Rechecks;
use crate::record::{Address, LiveSet, RecordHead, RecordWriter, Tag};
use crate::sync::{AtomicBool, Holder, Mutex, MutexGuard, Ordering, OwnedGuard, OwnedMutex, fence};

/// An open log. Dropping it leaves the store clean and releases the lock; what it lent out can go on reading.
pub(crate) struct Log {
    opening: Arc<LogReader>,
    syncer: Arc<Syncer>,
    /// `None`: read-only.
    writer: Option<OwnedMutex<Writer>>,
    /// Read-only: where the newest commit was found.
    found: Option<Manifest>,
    epoch: u64,
    /// What compaction takes from the options.
    compression: Compression,
    block_bytes: u32,
    /// The thread that has the writer.
    writing: Arc<Holder>,
    /// The policy of the options is applied with each commit.
    is_thinned: bool,
    /// It dropped something when the log was opened.
    owes_space: bool,
    /// Held by the one pass of compaction that runs, and by what walks the files.
    compacting: Mutex<()>,
    /// The thread that has it.
    walking: Holder,
    /// What all passes did.
    compacted: Mutex<CompactionReport>,
    /// Set under the writer's lock.
    is_closed: AtomicBool,
    /// Released last.
    lock: Mutex<Option<Box<dyn Any + Send + Sync>>>,
}

/// What a log takes on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LogStats {
    /// Number of segments.
    pub segments: usize,
    /// Their length, unused room included.
    pub disk_bytes: u64,
}

impl Log {
    /// The reading end, for lazy nodes to hold.
    pub(crate) fn opening(&self) -> &Arc<LogReader> {
        &self.opening
    }

    /// The writing end, for one checkpoint; waits while another thread has it.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`] if the log was opened so, [`Error::Closed`] if it was closed; [`Error::Reentrant`] if this thread has
    /// the writer.
    pub(crate) fn writer(&self) -> Result<WriterGuard> {
        self.opening.directory.expect_owner()?;
        let Some(writer) = &self.writer else {
            let path = self.opening.directory.path.clone();
            return Err(Error::ReadOnly { path });
        };
        self.expect_not_writing()?;
        let guard = writer.lock();
        if self.is_closed() {
            return Err(Error::Closed { what: "store" });
        }
        self.writing.set();
        Ok(WriterGuard { holder: Arc::clone(&self.writing), guard })
    }

    /// Makes sure that this thread does not have the writer: code of the user's that runs under it (`Serialize`, `Drop` …)
    /// would wait for itself.
    ///
    /// # Errors
    ///
    /// [`Error::Reentrant`] if it has.
    pub(crate) fn expect_not_writing(&self) -> Result<()> {
        if !self.writing.is_me() {
            return Ok(());
        }
        let what = "a store was written, compacted or checked from within code that it runs while it writes (Serialize, \
                    Deserialize, Clone or Drop of what is checkpointed or evicted), which would wait for itself for ever; \
                    do it after that call, or on another thread";
        Err(Error::Reentrant { what: what.to_owned() })
    }

    /// Makes sure that no write or sync has failed.
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`] if one has: which files the store consists of shows at the next opening, and none may be touched.
    pub(crate) fn expect_sound(&self) -> Result<()> {
        self.syncer.check()
    }

    /// Makes all commits so far durable, and returns the id of the newest of them (0: there is none). Does not hold
    /// the writer: others commit meanwhile, and callers who wait together share one sync.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the sync fails, which poisons the log; [`Error::Poisoned`] ever after.
    pub(crate) fn sync(&self) -> Result<u64> {
        self.opening.directory.expect_owner()?;
        if self.is_closed() {
            return Err(Error::Closed { what: "store" });
        }
        self.syncer.sync()
    }

    /// Id of the newest commit that is known to be durable; 0: none.
    #[cfg(test)]
    pub(crate) fn durable(&self) -> u64 {
        self.syncer.durable()
    }

    /// The newest commit.
    pub(crate) fn latest(&self) -> Option<Arc<Commit>> {
        self.opening.newest()
    }

    /// Finds a commit by its id, reading O(log n) others.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownCheckpoint`] if there is none; [`Error::Corrupt`] or [`Error::Io`] if one on the way cannot
    /// be read.
    pub(crate) fn find(&self, id: u64) -> Result<Arc<Commit>> {
        let listed = self.opening.pin_table().kept_commits.look(id);
        match listed {
            Listed::Kept(kept) => return read_kept(&self.opening, kept).map(Arc::new),
            Listed::Not => return Err(Error::UnknownCheckpoint { id: id.into() }),
            Listed::Above => {}
        }
        let mut here = self.latest();
        while let Some(commit) = here {
            if commit.id == id {
                return Ok(commit);
            }
            // None of these lies below the floor, where commits may be gone: the links lead no further than `id`. A
            // commit that cannot be read is gone round by the shorter link, if that leads to another one.
            let towards = [commit.jump, commit.previous].into_iter().flatten().filter(|link| link.id >= id);
            let mut found = None;
            for link in towards {
                found = Some(read_link(&self.opening, link));
                if matches!(found, Some(Ok(_))) {
                    break;
                }
            }
            here = found.transpose()?.map(Arc::new);
        }
        Err(Error::UnknownCheckpoint { id: id.into() })
    }

    /// Makes sure that there is a commit of this id, for one that says that it was derived from it. Where commits on the
    /// way to it are damaged, an id that was used by this time is taken for one: that is all that a commit says of another,
    /// and a note of where it came from must not keep a state from being saved.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownCheckpoint`].
    pub(crate) fn expect(&self, id: u64) -> Result<u64> {
        match self.find(id) {
            Ok(commit) => Ok(commit.id),
            Err(Error::Corrupt { .. } | Error::Io { .. })
                if self.latest().is_some_and(|newest| id <= newest.id) =>
            {
                Ok(id)
            }
            Err(error) => Err(error),
        }
    }

    /// All commits, the newest first; each is read when it is asked for.
    pub(crate) fn commits(&self) -> Commits {
        Commits::of(&self.opening)
    }

    /// The commits that must stay readable: those that are kept, and those that somebody holds.
    pub(crate) fn in_use(&self) -> impl Iterator<Item = Result<Arc<Commit>>> + use<> {
        // The list first: what was dropped before the walk came to it, and is held, was pinned before that.
        let opening = Arc::clone(&self.opening);
        let pinned = std::iter::once_with(move || opening.pin_table().pinned()).flatten();
        self.commits().map(|commit| commit.map(Arc::new)).chain(pinned.map(Ok))
    }

    /// Gives back the space of segments of which less than `threshold` (0 to 1) is in use.
    ///
    /// # Errors
    ///
    /// See [`Pass::step`].
    pub(crate) fn compact(&self, threshold: f64, pace: Pace) -> Result<CompactionReport> {
        self.opening.directory.expect_owner()?;
        pace.stand_aside(true);
        let alone = self.hold_compaction();
        pace.stand_aside(false);
        let alone = alone?;
        let watch = Stopwatch::start();
        let done = Pass::begin(self, threshold, pace).and_then(Pass::run);
        let done = done.inspect_err(|error| self.opening.note_found(error));
        let done = done.map_err(|error| blame::explain(self, error))?;
        drop(alone);
        metrics::compacted(watch, done.old_bytes, done.new_bytes);
        self.compacted.lock().add(done);
        Ok(done)
    }

    /// What compaction did since the log was opened.
    pub(crate) fn compacted(&self) -> CompactionReport {
        *self.compacted.lock()
    }

    /// Lets no compaction run while the guard lives: for what walks the files.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`] in a fork, where the thread that compacts may hold it for ever; [`Error::Reentrant`] if this thread holds it, or has the writer, for which a pass may wait.
    pub(crate) fn hold_compaction(&self) -> Result<Walk<'_>> {
        self.opening.directory.expect_owner()?;
        self.expect_not_writing()?;
        if self.walking.is_me() {
            let what = "a store was compacted, checked, measured or copied from within a progress callback of such a call, \
                        which would wait for itself for ever; do it after that call, or on another thread";
            return Err(Error::Reentrant { what: what.to_owned() });
        }
        let guard = self.compacting.lock();
        self.walking.set();
        Ok(Walk { holder: &self.walking, _guard: guard })
    }

    /// Returns whether the policy of the options is applied with each commit.
    pub(crate) fn is_thinned(&self) -> bool {
        self.is_thinned
    }

    /// Returns whether it dropped something when the log was opened.
    pub(crate) fn owes_space(&self) -> bool {
        self.owes_space
    }

    /// What blocks of this opening carry.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn compression(&self) -> Compression {
        self.compression
    }

    pub(crate) fn block_bytes(&self) -> u32 {
        self.block_bytes
    }

    /// What the log takes on disk.
    pub(crate) fn stats(&self) -> LogStats {
        let segments = self.opening.segments();
        let disk_bytes = segments.iter().map(|segment| u64::from(segment.entry.len_bytes)).sum();
        LogStats { segments: segments.len(), disk_bytes }
    }

    /// The manifest of a store that ends with the newest commit: what a copy of the segments needs to be one.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] if the log was closed.
    pub(crate) fn closed_manifest(&self) -> Result<Manifest> {
        match (&self.found, &self.writer) {
            (Some(found), _) => Ok(Manifest { clean: true, buffered: false, ..found.clone() }),
            (None, Some(_)) => Ok(self.writer()?.closed_manifest()),
            (None, None) => Err(Error::Closed { what: "store" }),
        }
    }

    /// Returns whether the log was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Makes sure that what holds on to the reader, of which the caller has one, can go on reading.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] if the log was closed before: its files may be anybody's by now.
    pub(crate) fn expect_open(&self) -> Result<()> {
        fence(Ordering::SeqCst);
        match self.is_closed() {
            true => Err(Error::Closed { what: "store" }),
            false => Ok(()),
        }
    }

    /// Closes the log as dropping it does, and tells what went wrong. Waits for a pass of compaction and for whatever walks the
    /// files. Nothing is written from then on, whoever still has the log; what was restored can still be read.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the store could not be left clean; the next opening recovers then, and `Buffered` commits
    /// may be lost to a power cut. [`Error::Forked`]; [`Error::Reentrant`].
    pub(crate) fn close(&self) -> Result<()> {
        self.opening.directory.expect_owner()?;
        let _still = self.hold_compaction()?;
        self.expect_not_writing()?;
        self.finish()
    }

    fn finish(&self) -> Result<()> {
        self.opening.directory.expect_owner()?;
        let Some(writer) = &self.writer else { return Ok(()) };
        let mut writer = writer.lock();
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let finished = writer.finish();
        drop(writer);
        // Still under the lock of the directory: from the moment it is free, others remove and write over files. Whoever holds on
        // to the reader now has nodes to load.
        // With the fence of `expect_open`: either it sees that the log is closed, or this sees that it holds on to the reader.
        fence(Ordering::SeqCst);
        // (The log and its writer have one each.)
        if Arc::strong_count(&self.opening) > 2 {
            self.opening.outlive(self.syncer.check().is_err());
        }
        drop(self.lock.lock().take());
        finished
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // Whoever wants to know calls `close`. The store is whole either way.
        let _ = self.finish();
    }
}

/// The writer, held by one thread for one checkpoint. A panic while it is held gives it back as it is: what was
/// appended stays in the batch.
pub(crate) struct WriterGuard {
    holder: Arc<Holder>,
    guard: OwnedGuard<Writer>,
}

impl Deref for WriterGuard {
    type Target = Writer;

    fn deref(&self) -> &Writer {
        &self.guard
    }
}

impl DerefMut for WriterGuard {
    fn deref_mut(&mut self) -> &mut Writer {
        &mut self.guard
    }
}

impl Drop for WriterGuard {
    fn drop(&mut self) {
        // Before the guard is dropped, hence before the next holder says that it has the writer.
        self.holder.clear();
    }
}

/// The files as they are, held by one thread that walks them.
pub(crate) struct Walk<'a> {
    holder: &'a Holder,
    _guard: MutexGuard<'a, ()>,
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        // As a turn ends.
        self.holder.clear();
    }
}

impl RecordWriter for WriterGuard {
    fn tag(&self) -> Tag {
        self.guard.tag()
    }

    fn live_set(&self) -> Option<Arc<dyn LiveSet>> {
        self.guard.live_set()
    }

    fn rechecks(&self) -> Option<Arc<Rechecks>> {
        self.guard.rechecks()
    }

    fn append(&mut self, head: RecordHead, refs: &[Address], payload: &[u8]) -> Result<Address> {
        self.guard.append(head, refs, payload)
    }
}

/// The kept commits of a log, the newest first. Ends after an error.
pub(crate) struct Commits {
    opening: Arc<LogReader>,
    next: Option<CommitRef>,
}

impl Commits {
    pub(crate) fn of(opening: &Arc<LogReader>) -> Self {
        let next = opening.newest().map(|newest| CommitRef { id: newest.id, address: newest.address });
        Self { opening: Arc::clone(opening), next }
    }
}

impl Iterator for Commits {
    type Item = Result<Commit>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let here = self.next.take()?;
            let commit = read_kept(&self.opening, here);
            let pin_table = self.opening.pin_table();
            match &commit {
                Ok(commit) => self.next = pin_table.kept_commits.previous(commit),
                // Retention dropped it just now.
                Err(_) if !pin_table.keeps(here.id) => {
                    self.next = pin_table.kept_commits.before(here.id);
                    continue;
                }
                Err(_) => {}
            }
            drop(pin_table);
            return Some(commit);
        }
    }
}

/// Reads a commit that retention left.
fn read_kept(opening: &LogReader, kept: CommitRef) -> Result<Commit> {
    let commit = opening.read_commit(kept.address)?;
    if commit.id != kept.id {
        let place = opening.segment(kept.address.segment())?.place(0);
        let what = format!("commit {} was expected at {}, found {}", kept.id, kept.address, commit.id);
        return Err(corrupt(place, what));
    }
    Ok(commit)
}

fn read_link(opening: &LogReader, link: Link) -> Result<Commit> {
    let commit = opening.read_commit(link.address)?;
    if commit.link() != link {
        let place = opening.segment(link.address.segment())?.place(0);
        let what = format!("commit {} was expected at {}, found {}", link.id, link.address, commit.id);
        return Err(corrupt(place, what));
    }
    Ok(commit)
}
