//! Opening a log: to write it, or to read beside a writer.

use std::any::Any;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Log;
use super::beginning::{check_new, has_manifest, read_manifest};
use super::compression::expect_codec;
use super::directory::{Directory, LOCK, segment_name};
use super::gc::compaction;
use super::index::Index;
use super::manifest::Manifest;
use super::options::Options;
use super::reader::LogReader;
use super::slots::Slots;
use super::syncer::Syncer;
use super::writer::{Resume, Writer};
use super::{recovery, witness};
use crate::error::{Error, Result};
use crate::metrics::{self, Stopwatch};
use crate::random::random_u64;
use crate::storage::{Lock, Storage};
use crate::sync::{AtomicBool, Holder, Mutex, OwnedMutex};

/// A reader beside a writer looks this often before it believes that something is damaged.
const READ_ATTEMPTS: u32 = 5;

impl Log {
    /// Opens the log in `storage`, which messages call `path`.
    ///
    /// Costs O(1) after a clean close. Otherwise at most a segment is walked.
    ///
    /// # Errors
    ///
    /// [`Error::NotAStore`] if there is something else than a whole store, [`Error::FormatVersion`] if it is of
    /// another version, [`Error::Locked`] if it is being written, [`Error::Corrupt`] if something durable is
    /// damaged, [`Error::MissingFeature`] if this build has no such compression, [`Error::Io`] if the system refuses. None of them leaves a change behind.
    pub(crate) fn open(storage: Arc<dyn Storage>, options: &Options, path: &Path) -> Result<Self> {
        let watch = Stopwatch::start();
        expect_codec(options.compression)?;
        let directory = Arc::new(Directory::new(storage, path));
        if options.read_only {
            return Self::open_read_only(&directory, options);
        }
        if !has_manifest(&directory)? {
            check_new(&directory, options)?;
        }
        let lock = match directory.storage.lock(LOCK).map_err(|e| directory.io_error("lock", LOCK, e))? {
            Lock::Held(guard) => guard,
            Lock::HeldBy(pid) => return Err(Error::Locked { path: path.into(), pid }),
        };
        let (mut manifest, mut slots) = match read_manifest(&directory)? {
            Some(found) => found,
            None => {
                // Looked at again under the lock: somebody may have begun a store meanwhile.
                check_new(&directory, options)?;
                let manifest = Manifest::of_new_store(random_u64(), random_u64());
                let slots = Slots::create(&directory, &manifest)?;
                (manifest, slots)
            }
        };
        witness::check_files(&directory, &manifest)?;
        let named = manifest.clone();
        let opening = Arc::new(LogReader::of(Arc::clone(&directory), &manifest, options.cache_bytes)?);
        let recovered = !manifest.clean;
        let active = match recovery::add_segments(&opening, &mut manifest) {
            None => None,
            Some(segment) => {
                let file = segment.open_writable()?;
                if recovered {
                    // What is read from now on is to be what the medium has: whether the last sync of the opening
                    // before failed, nobody knows any more, and a cached page that was never written would be
                    // taken for durable.
                    let name = segment_name(segment.number(), segment.entry.generation);
                    file.sync_data().map_err(|e| directory.io_error("sync", &name, e))?;
                    file.drop_cached().map_err(|e| directory.io_error("drop cached pages of", &name, e))?;
                }
                segment.map_through(&*file)?;
                Some((segment, file))
            }
        };
        let newest =
            recovery::find_newest(&opening, &mut manifest, active.as_ref().map(|(segment, _)| &**segment))?;
        opening.set_newest(newest.clone());
        slots.settle(&directory, &named)?;
        compaction::remove_leftovers(&directory, &named, &slots)?;
        let forgotten = recovery::forget_uncommitted(&opening, &mut manifest);
        let policy = options.keep.as_ref();
        let (thinning, owes_space) =
            policy.map_or((None, false), |policy| Self::begin_thinning(&opening, policy));
        let is_thinned = thinning.is_some();
        let syncer = Arc::new(Syncer::default());
        let resume =
            Resume { manifest, slots, forgotten, newest, active, epoch: random_u64(), recovered, thinning };
        let writer = Writer::new(Arc::clone(&opening), Arc::clone(&syncer), options, resume);
        metrics::opened(watch, recovered);
        let mut log = Self::of(opening, syncer, options, Some((writer, lock)), None);
        (log.is_thinned, log.owes_space) = (is_thinned, owes_space);
        Ok(log)
    }

    /// Opens beside a writer: the manifest and the segments may change while they are looked at.
    fn open_read_only(directory: &Arc<Directory>, options: &Options) -> Result<Self> {
        let mut attempt = 1;
        loop {
            // A slot that is being written is not whole.
            let manifest = match Manifest::read(directory) {
                Err(Error::NotAStore { .. }) if attempt < READ_ATTEMPTS => {
                    std::thread::sleep(Duration::from_millis(u64::from(attempt)));
                    attempt += 1;
                    continue;
                }
                read => read?,
            };
            let Some(manifest) = manifest else {
                check_new(directory, options)?;
                return Err(directory.not_a_store("its MANIFEST was just removed", "open it again"));
            };
            let sequence = manifest.sequence;
            let opened = Self::view(directory, options, manifest);
            // A batch that was half written at the first look is whole, or further on, at the next.
            let changed = || {
                let now = Manifest::read(directory);
                Ok(now?.is_none_or(|now| now.sequence != sequence))
            };
            match opened {
                Err(Error::Corrupt { .. }) if attempt < READ_ATTEMPTS => {
                    std::thread::sleep(Duration::from_millis(u64::from(attempt)));
                }
                Err(e) if attempt >= READ_ATTEMPTS || !changed()? => return Err(e),
                Err(_) => {}
                Ok(log) => return Ok(log),
            }
            attempt += 1;
        }
    }

    /// Reads the store as one manifest shows it, and maps all of it.
    fn view(directory: &Arc<Directory>, options: &Options, mut manifest: Manifest) -> Result<Self> {
        witness::check_files(directory, &manifest)?;
        let opening = Arc::new(LogReader::of(Arc::clone(directory), &manifest, options.cache_bytes)?);
        let active = recovery::add_segments(&opening, &mut manifest);
        for segment in opening.segments() {
            segment.region()?;
        }
        let newest = recovery::find_newest(&opening, &mut manifest, active.as_deref())?;
        opening.set_newest(newest);
        manifest.kept_commits = opening.pin_table().kept_commits.for_manifest();
        manifest.index = active.map_or_else(Index::default, |active| active.with_index(Index::clone));
        Ok(Self::of(opening, Arc::default(), options, None, Some(manifest)))
    }

    fn of(
        opening: Arc<LogReader>,
        syncer: Arc<Syncer>,
        options: &Options,
        writer: Option<(Writer, Box<dyn Any + Send + Sync>)>,
        found: Option<Manifest>,
    ) -> Self {
        let epoch = writer.as_ref().map_or(0, |(writer, _)| writer.epoch());
        let (writer, lock) = writer.map(|(writer, lock)| (OwnedMutex::new(writer), lock)).unzip();
        Self {
            opening,
            syncer,
            writer,
            found,
            epoch,
            compression: options.compression,
            block_bytes: options.block_bytes,
            writing: Arc::default(),
            is_thinned: false,
            owes_space: false,
            compacting: Mutex::new(()),
            walking: Holder::default(),
            compacted: Mutex::default(),
            is_closed: AtomicBool::new(false),
            lock: Mutex::new(lock),
        }
    }
}
