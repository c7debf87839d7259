//! The write step: what to write next, capturing it, encoding it.

use std::time::{Duration, Instant};

use super::Step;
use super::at_work::AtWork;
use super::barrier::Gathered;
use super::core::{Closing, Core, Inner, Job, Version, Written, guarded};
use super::options::Durability;
use super::policy::{Due, Measured, Trigger};
use super::ticket::Saved;
use crate::error::Error;
use crate::store::{self, Checkpoint, CheckpointOptions, Persist};
use crate::sync::{Ordering, ticks_of};
use crate::weaken;

/// Checkpoints that may be written and not yet synced: one is synced while the next is encoded, and one in between.
const DOUBLE_BUFFER: usize = 2;
/// The same where a group is waited for: they hold no memory to speak of.
pub(super) const GROUP: usize = 1_024;

/// Waking a thread costs the waker tens of microseconds, and perhaps his turn on the processor. So the writing thread
/// goes to sleep only when nothing happened for [`TICKS`]; until then it looks by itself every tick.
pub(super) const TICK: Duration = Duration::from_micros(250);
/// See [`TICK`].
const TICKS: u32 = 40;

/// What to do next.
enum Next {
    Write(Job),
    /// Look at the barrier.
    Gather,
    Wait(Option<Instant>),
    End,
}

impl Core {
    /// Writes the next checkpoint, if there is something to do.
    pub(super) fn write_step(&self, now: Instant) -> Step {
        if self.store.expect_owner().is_err() {
            return Step::Idle(None);
        }
        let _shift = AtWork::of(self).begin();
        let next = self.next(&mut self.inner.lock(), now);
        match (next, &self.gate) {
            (Next::Write(job), _) => self.write(job, now),
            (Next::Gather, Some(gate)) => match gate.look(&self.sources, now) {
                Gathered::Waiting(until) => return Step::Idle(Some(until)),
                gathered => self.gathered(gathered, now),
            },
            (Next::Wait(until), _) => return Step::Idle(until),
            (Next::Gather | Next::End, _) => return Step::Idle(None),
        }
        Step::Worked
    }

    /// The writing thread.
    pub(super) fn run_writer(&self) {
        let _shift = AtWork::of(self).begin();
        let mut inner = self.inner.lock();
        let mut ticks = 0;
        loop {
            let now = Instant::now();
            match (self.next(&mut inner, now), &self.gate) {
                (Next::Wait(until), _) if ticks > 0 => {
                    ticks -= 1;
                    inner.is_lingering = true;
                    let left = until.map_or(TICK, |until| until.saturating_duration_since(now));
                    inner = self.for_writer.tick(&self.inner, inner, left.min(TICK));
                    inner.is_lingering = weaken::is("lingering_kept");
                }
                (Next::Wait(None), _) => inner = self.for_writer.wait(inner),
                (Next::Wait(Some(until)), _) => {
                    inner = self.for_writer.wait_for(inner, until.saturating_duration_since(now));
                }
                (Next::Write(job), _) => {
                    drop(inner);
                    self.write(job, now);
                    inner = self.inner.lock();
                    ticks = ticks_of(TICKS);
                }
                (Next::Gather, Some(gate)) => {
                    drop(inner);
                    self.gathered(gate.wait(&self.sources), now);
                    inner = self.inner.lock();
                    ticks = ticks_of(TICKS);
                }
                (Next::Gather | Next::End, _) => break,
            }
        }
        inner.closing = Some(Closing::Written);
        drop(inner);
        self.for_syncer.notify_all();
    }

    fn next(&self, inner: &mut Inner, now: Instant) -> Next {
        if inner.gathering.is_some() {
            return Next::Gather;
        }
        if weaken::is("close_forgets") && inner.closing.is_some() {
            return Next::End;
        }
        let most = match self.options.durability {
            Durability::Group(_) => GROUP,
            _ => DOUBLE_BUFFER,
        };
        if inner.is_writing || inner.written.len() >= most {
            return Next::Wait(None);
        }
        let job = match inner.queue.pop_front() {
            Some(job) => job,
            None => match self.unasked(inner, now) {
                Ok(trigger) => Job::unasked(self, trigger),
                Err(next) => return next,
            },
        };
        // Who waits for room in the queue looks again when the lock is free.
        self.for_application.notify_all();
        inner.stats.last_trigger = Some(job.trigger);
        match &self.gate {
            Some(gate) => {
                // Before any worker's version is taken: what comes after counts as unsaved.
                let mark = self.pressure.capture();
                gate.open(now, self.options.barrier_timeout);
                inner.gathering = Some((job, mark));
                Next::Gather
            }
            None => {
                inner.is_writing = true;
                Next::Write(job)
            }
        }
    }

    /// Whether a checkpoint is due that nobody asked for.
    fn unasked(&self, inner: &mut Inner, now: Instant) -> Result<Trigger, Next> {
        let policy = &self.options.policy;
        let is_automatic = policy.is_automatic() && !inner.is_poisoned;
        if let Some(closing) = inner.closing {
            inner.closing = Some(Closing::Last);
            let is_unsaved = inner.last_mark.is_none() || self.pressure.unsaved().0 > 0;
            return match closing == Closing::Asked && is_automatic && is_unsaved {
                true => Ok(Trigger::Close),
                false => Err(Next::End),
            };
        }
        if !is_automatic {
            return Err(Next::Wait(None));
        }
        // Before counting: a writer who passes a mark from here on tells us again.
        self.signalled.store(false, Ordering::Relaxed);
        let (updates, dirty_bytes) = self.pressure.uncaptured();
        let measured = Measured {
            now,
            last: inner.last,
            is_changed: updates > 0 || inner.last_mark.is_none(),
            updates,
            dirty_bytes,
            latency: inner.stats.latency,
            checkpoint_bytes: inner.checkpoint_bytes,
        };
        match policy.due(&measured) {
            Due::Now(trigger) => Ok(trigger),
            Due::Unknown => Err(Next::Wait(None)),
            Due::At(at) => {
                if !measured.is_changed {
                    inner.last = now;
                }
                Err(Next::Wait(Some(at)))
            }
        }
    }

    /// Goes on with a barrier that is whole or failed.
    fn gathered(&self, gathered: Gathered, began: Instant) {
        let mut inner = self.inner.lock();
        let Some((mut job, mark)) = inner.gathering.take() else { return };
        inner.is_writing = true;
        drop(inner);
        match gathered {
            Gathered::Whole(states) => {
                job.version = Some(Version { states, mark });
                self.write(job, began);
            }
            Gathered::Failed(number, reason) => {
                self.fail(job.promise, Error::BarrierFailed { number, reason });
            }
            Gathered::Waiting(_) => unreachable!("a barrier that is waited for is not taken"),
        }
    }

    /// Encodes and writes one checkpoint.
    fn write(&self, job: Job, began: Instant) {
        let Version { states, mark } = job.version.unwrap_or_else(|| self.capture());
        let versions: Vec<u64> = states.iter().map(|captured| captured.version).collect();
        let result = guarded(|| {
            let roots: Vec<(&str, &dyn Persist)> = self
                .sources
                .iter()
                .zip(&states)
                .map(|(source, captured)| (source.name.as_str(), captured.value()))
                .collect();
            let how = match job.how {
                Some(how) => how,
                None => match self.find_saved(&roots, &versions) {
                    Some(checkpoint) => return Ok((checkpoint, false)),
                    None => CheckpointOptions::new(),
                },
            };
            let made = self.store.write_checkpoint(&roots, &how.durability(store::Durability::Buffered))?;
            Ok((made, true))
        });
        // Nobody waits for this thread, so it frees what it alone holds itself.
        for captured in states {
            let dropped = guarded(|| {
                captured.drop_here();
                Ok(())
            });
            if let Err(error) = dropped {
                self.report(&error);
            }
        }
        match result {
            Ok((checkpoint, is_new)) => {
                let saved = Saved { checkpoint, versions };
                let written = Instant::now();
                self.wrote(Written { promise: job.promise, saved, is_new, mark, began, written });
            }
            Err(error) => self.fail(job.promise, error),
        }
    }

    /// The newest checkpoint of the store, if it holds exactly these states: nothing is to be written then.
    ///
    /// Versions are compared with the last ones written. Before there are any, the states may be what the store gave
    /// back; looking costs as much as encoding what is not in their collections.
    fn find_saved(&self, states: &[(&str, &dyn Persist)], versions: &[u64]) -> Option<Checkpoint> {
        let last = self.inner.lock().last_saved.clone();
        match last {
            None => self.store.find_saved(states),
            Some(last) => {
                let is_unchanged = last.versions == versions && self.store.is_newest(last.checkpoint.id);
                is_unchanged.then_some(last.checkpoint)
            }
        }
    }

    fn wrote(&self, written: Written) {
        let mut inner = self.inner.lock();
        let (bytes, node_bytes) = (written.saved.checkpoint.bytes, written.saved.checkpoint.node_bytes);
        // The first one may be a whole state, which says nothing about updates.
        if let Some(last_mark) = inner.last_mark.filter(|_| written.is_new) {
            self.pressure.learn(written.mark.saturating_sub(last_mark), node_bytes);
            inner.checkpoint_bytes = match inner.checkpoint_bytes {
                0 => bytes,
                known => (3 * known + bytes) / 4,
            };
        }
        inner.last_mark = Some(written.mark);
        inner.last_saved = Some(written.saved.clone());
        inner.last = written.began;
        inner.stats.bytes += if written.is_new { bytes } else { 0 };
        inner.is_writing = false;
        if self.options.durability == Durability::Buffered {
            let (promise, outcome) = self.saved(&mut inner, written);
            drop(inner);
            promise.give(outcome);
        } else {
            inner.written.push_back(written);
            drop(inner);
        }
        self.notify();
    }
}
