//! How fast compaction goes: as slowly as its rate allows, and as fast as the growth of the log demands.
//!
//! After each pass the log gets a *limit*: the length at which as little of it is in use as the options allow, or a
//! little more than it has. Somewhat below, the next pass begins, and the rest of the way is paid for byte by byte:
//! when the log has come half of it, half of the pass must be done, and at the limit all. A checkpoint that finds the
//! pass behind waits until it is not. So the log is bounded however little time the thread gets, and what a checkpoint
//! waits for is bounded by what was appended before it: 24 bytes read or written for each (`MOST_WORK`).
//!
//! A pass has a known amount of work: each segment counts for [`PASS_WORK`] times its length, and what a step did not
//! need of that is taken for done when the step is over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::options::Options;
use crate::sync::{Condvar, Mutex};

/// A pass reads and writes so many times the length of the log, at most: it marks, reads what it copies, writes that.
const PASS_WORK: u64 = 3;
/// At most so much work falls due for a byte that is appended. See [`Plan::after`].
#[cfg(test)]
const MOST_WORK: u64 = 24;
/// Work is told in pieces of this size.
const PIECE_BYTES: u64 = 64 << 10;

/// When the next pass begins, and when it must be over; in bytes appended since the last one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Plan {
    begin_bytes: u64,
    limit_bytes: u64,
    /// Of the pass, if the log is at its limit.
    work_bytes: u64,
}

impl Plan {
    /// The plan for a log of `len_bytes` that may become `allowed_bytes` long; for one that was just opened, of which
    /// nothing is known, a pass soon.
    ///
    /// `room` is a fifth of the length or more, so the limit is at most six times as much as the way there from here, of
    /// which the pass has three quarters: `PASS_WORK` times the limit over that is 24 at most.
    fn after(len_bytes: u64, allowed_bytes: u64, segment_bytes: u64, is_opened: bool) -> Self {
        let room = (len_bytes / 5).max(2 * segment_bytes);
        let limit = allowed_bytes.max(len_bytes + room);
        let limit_bytes = limit - len_bytes;
        let begin_bytes = if is_opened { room / 8 } else { limit_bytes / 4 };
        Self { begin_bytes, limit_bytes, work_bytes: PASS_WORK * limit }
    }

    /// How much of the pass must be done when the log has grown so far.
    fn due(&self, grown_bytes: u64) -> u64 {
        let over = grown_bytes.saturating_sub(self.begin_bytes);
        let way = (self.limit_bytes - self.begin_bytes).max(1);
        (u128::from(self.work_bytes) * u128::from(over) / u128::from(way)) as u64
    }
}

/// What checkpoints and compaction know of each other.
struct Account {
    /// `None`: the store was empty, and its first checkpoint is all there is.
    plan: Option<Plan>,
    /// Appended since the plan was made.
    grown_bytes: u64,
    done_bytes: u64,
    /// Work that may be late: some of it shows only when it is done.
    slack_bytes: u64,
    /// What was in use at the last mark.
    live_bytes: u64,
    /// Somebody walks the files: compaction waits, so checkpoints do not.
    is_aside: bool,
    /// There is no thread, or it is to end.
    is_stopped: bool,
    waiting: u32,
    waited: Duration,
    failure: Option<String>,
}

impl Account {
    fn is_due(&self) -> bool {
        self.plan.is_some_and(|plan| self.grown_bytes > plan.begin_bytes)
    }

    /// Whether more is due than was done.
    fn is_late(&self) -> bool {
        self.done_bytes < self.plan.map_or(0, |plan| plan.due(self.grown_bytes))
    }

    /// Whether so much more is that checkpoints wait.
    fn is_behind(&self) -> bool {
        let due = self.plan.map_or(0, |plan| plan.due(self.grown_bytes));
        self.done_bytes + self.slack_bytes < due && !self.is_aside && !self.is_stopped
    }
}

/// Shared by the checkpoints of a store and the thread that compacts it.
pub(crate) struct Pacing {
    account: Mutex<Account>,
    changed: Condvar,
    segment_bytes: u64,
    /// Least part of the log that is to be in use.
    threshold: f64,
    bytes_per_second: Option<u64>,
}

impl Pacing {
    /// Starts with a log of this length.
    pub(crate) fn new(len_bytes: u64, options: &Options) -> Self {
        let segment_bytes = u64::from(options.segment_bytes);
        let plan = (len_bytes > 0).then(|| Plan::after(len_bytes, 0, segment_bytes, true));
        let account = Account {
            plan,
            grown_bytes: 0,
            done_bytes: 0,
            slack_bytes: 2 * segment_bytes,
            live_bytes: 0,
            is_aside: false,
            is_stopped: false,
            waiting: 0,
            waited: Duration::ZERO,
            failure: None,
        };
        Self {
            account: Mutex::new(account),
            changed: Condvar::default(),
            segment_bytes,
            threshold: options.compact_below,
            bytes_per_second: options.compact_bytes_per_second,
        }
    }

    /// Waits, before a checkpoint, until compaction has done what is due for those before it.
    pub(crate) fn admit(&self) {
        let mut account = self.account.lock();
        if !account.is_behind() {
            return;
        }
        let began = Instant::now();
        account.waiting += 1;
        self.changed.notify_all();
        while account.is_behind() {
            account = self.changed.wait(account);
        }
        account.waiting -= 1;
        account.waited += began.elapsed();
    }

    /// Counts what a checkpoint appended.
    pub(crate) fn grew(&self, bytes: u64) {
        let mut account = self.account.lock();
        account.grown_bytes += bytes;
        if account.plan.is_none() {
            // All of it is in use.
            account.plan = Some(Plan::after(bytes, 0, self.segment_bytes, false));
            account.grown_bytes = 0;
        }
        if account.is_due() {
            self.changed.notify_all();
        }
    }

    /// Waits until a pass is due. False: there is to be none any more.
    pub(crate) fn wait_until_due(&self) -> bool {
        let mut account = self.account.lock();
        while !account.is_due() && !account.is_stopped {
            account = self.changed.wait(account);
        }
        !account.is_stopped
    }

    /// A pass is over, and left a log of this length; or it failed.
    pub(crate) fn passed(&self, len_bytes: u64, failure: Option<String>) {
        let mut account = self.account.lock();
        // Each segment may be in use no more than the threshold says, and all together hold half of what that allows. Of
        // no threshold at all the limit is out of sight.
        let allowed = account.live_bytes as f64 * (1.0 + 1.0 / self.threshold.max(1e-9)) / 2.0;
        let allowed_bytes = (allowed as u64).min(1 << 60);
        account.plan = Some(Plan::after(len_bytes, allowed_bytes, self.segment_bytes, false));
        (account.grown_bytes, account.done_bytes) = (0, 0);
        account.failure = failure;
        self.changed.notify_all();
    }

    /// Lets go of everybody who waits, for good.
    pub(crate) fn stop(&self) {
        self.account.lock().is_stopped = true;
        self.changed.notify_all();
    }

    /// What the last pass failed with.
    pub(crate) fn failure(&self) -> Option<String> {
        self.account.lock().failure.clone()
    }

    /// How long checkpoints waited, all together.
    pub(crate) fn waited(&self) -> Duration {
        self.account.lock().waited
    }
}

/// The pace of one pass.
pub(crate) struct Pace {
    /// `None`: as fast as can be.
    pacing: Option<Arc<Pacing>>,
    since: Instant,
    spent_bytes: u64,
    /// Spent, and not told yet.
    untold_bytes: u64,
    /// The work that is done when the step is.
    step_end: u64,
}

impl Pace {
    /// No waiting at all.
    pub(crate) fn free() -> Self {
        Self { pacing: None, since: Instant::now(), spent_bytes: 0, untold_bytes: 0, step_end: 0 }
    }

    /// As fast as the store's options and its growth say.
    pub(crate) fn of(pacing: &Arc<Pacing>) -> Self {
        Self { pacing: Some(Arc::clone(pacing)), ..Self::free() }
    }

    /// Whether nobody holds it back: a pass by hand.
    pub(crate) fn is_free(&self) -> bool {
        self.pacing.is_none()
    }

    /// Whether the work was called off.
    pub(crate) fn is_stopped(&self) -> bool {
        self.pacing.as_ref().is_some_and(|pacing| pacing.account.lock().is_stopped)
    }

    /// Says whether the pass has to wait for somebody who walks the files.
    pub(crate) fn stand_aside(&self, is_aside: bool) {
        if let Some(pacing) = &self.pacing {
            pacing.account.lock().is_aside = is_aside;
            pacing.changed.notify_all();
        }
    }

    /// Says what was found in use.
    pub(crate) fn found(&self, live_bytes: u64) {
        if let Some(pacing) = &self.pacing {
            pacing.account.lock().live_bytes = live_bytes;
        }
    }

    /// Begins a step of a segment of this length, of which a pass takes `part` in [`PASS_WORK`].
    pub(crate) fn begin_step(&mut self, part: u64, len_bytes: u64) {
        debug_assert!(part < PASS_WORK);
        let Some(pacing) = &self.pacing else { return };
        let mut account = pacing.account.lock();
        account.done_bytes = account.done_bytes.max(self.step_end);
        self.step_end += part * len_bytes;
        if account.waiting > 0 && !account.is_behind() {
            pacing.changed.notify_all();
        }
    }

    /// Counts bytes that were read or written, and waits until that many were allowed.
    pub(crate) fn spend(&mut self, bytes: u64) {
        let Some(pacing) = &self.pacing else { return };
        self.untold_bytes += bytes;
        if self.untold_bytes < PIECE_BYTES {
            return;
        }
        let bytes = std::mem::take(&mut self.untold_bytes);
        self.spent_bytes += bytes;
        let mut account = pacing.account.lock();
        account.done_bytes = (account.done_bytes + bytes).min(self.step_end);
        if account.waiting > 0 && !account.is_behind() {
            pacing.changed.notify_all();
        }
        let Some(rate) = pacing.bytes_per_second else { return };
        let allowed = self.since + Duration::from_secs_f64(self.spent_bytes as f64 / rate.max(1) as f64);
        while !account.is_late() && !account.is_stopped {
            let left = allowed.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            account = pacing.changed.wait_for(account, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_falls_due_for_a_byte_is_bounded() {
        for len in [0, 1, 7, 16, 63, 64, 128, 1000, 100_000].map(|mib| mib * MIB) {
            for allowed in [0, len / 2, len, len * 9 / 8, len * 5 / 4, len * 2, len * 100] {
                for is_opened in [false, true] {
                    let plan = Plan::after(len, allowed, 8 * MIB, is_opened);
                    let Plan { begin_bytes, limit_bytes, work_bytes } = plan;
                    assert!(begin_bytes > 0 && begin_bytes < limit_bytes, "{len} {allowed}: {plan:?}");
                    assert_eq!(plan.due(begin_bytes), 0);
                    assert_eq!(plan.due(limit_bytes), work_bytes);
                    assert!(
                        work_bytes >= PASS_WORK * (len + limit_bytes),
                        "the whole pass is done at the limit"
                    );
                    assert!(plan.due(begin_bytes + MIB) <= MOST_WORK * MIB, "{len} {allowed}: {plan:?}");
                    let room = (len / 5).max(16 * MIB);
                    assert!(len + limit_bytes <= allowed.max(len + room));
                }
            }
        }
    }

    /// Works through passes over logs of this length until it is stopped.
    fn work(pacing: &Arc<Pacing>, len_bytes: u64) {
        while pacing.wait_until_due() {
            let mut pace = Pace::of(pacing);
            for _ in 0..len_bytes / MIB {
                pace.begin_step(2, MIB);
                // Less than it might take.
                for _ in 0..MIB / PIECE_BYTES {
                    pace.spend(PIECE_BYTES);
                }
            }
            if pace.is_stopped() {
                return;
            }
            pacing.passed(len_bytes, None);
        }
    }

    #[test]
    fn a_checkpoint_waits_for_a_bounded_amount_of_work_and_the_log_keeps_to_its_limit() {
        const LEN: u64 = 64 * MIB;
        // So slow that it does nothing but what checkpoints wait for.
        let options = Options::new().compact_bytes_per_second(Some(1));
        let pacing = Arc::new(Pacing::new(LEN, &options));
        let thread = {
            let pacing = Arc::clone(&pacing);
            std::thread::spawn(move || work(&pacing, LEN))
        };
        let mut waits = 0;
        for _ in 0..3000 {
            let account = pacing.account.lock();
            let due = account.plan.unwrap().due(account.grown_bytes);
            let waits_for = due.saturating_sub(account.done_bytes + account.slack_bytes);
            drop(account);
            waits += u32::from(waits_for > 0);
            assert!(waits_for <= MOST_WORK * 100_000, "{waits_for} bytes");
            pacing.admit();
            let account = pacing.account.lock();
            let limit = account.plan.unwrap().limit_bytes;
            let limit = limit + account.slack_bytes / 4;
            assert!(account.grown_bytes <= limit, "{} of {limit}", account.grown_bytes);
            drop(account);
            pacing.grew(100_000);
        }
        assert!(waits > 100, "{waits} checkpoints waited");
        assert!(pacing.waited() > Duration::ZERO);
        pacing.stop();
        thread.join().unwrap();
    }

    #[test]
    fn nobody_waits_where_compaction_must_wait_itself_or_is_no_more() {
        let options = Options::new();
        let pacing = Arc::new(Pacing::new(64 * MIB, &options));
        Pace::of(&pacing).stand_aside(true);
        pacing.grew(1 << 30);
        pacing.admit();
        Pace::of(&pacing).stand_aside(false);
        let waiting = {
            let pacing = Arc::clone(&pacing);
            std::thread::spawn(move || pacing.admit())
        };
        while pacing.account.lock().waiting == 0 {
            std::thread::yield_now();
        }
        pacing.passed(64 * MIB, Some("the disk is full".to_owned()));
        waiting.join().unwrap();
        assert_eq!(pacing.failure().as_deref(), Some("the disk is full"));
        pacing.grew(1 << 30);
        pacing.stop();
        pacing.admit();
        assert!(!pacing.wait_until_due());
    }

    #[test]
    fn the_first_checkpoint_of_a_store_asks_for_no_pass() {
        let pacing = Pacing::new(0, &Options::new());
        pacing.grew(500 * MIB);
        pacing.admit();
        assert!(!pacing.account.lock().is_due());
        assert_eq!(pacing.account.lock().plan, Some(Plan::after(500 * MIB, 0, 8 * MIB, false)));
    }
}
