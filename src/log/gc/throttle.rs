//! How fast compaction goes: as slowly as its rate allows, and as fast as the growth of the log demands.
//!
//! After each pass the log gets a *limit*: the length at which as little of it is in use as the options allow, or a
//! little more than it has. When it has come a sixteenth of the way there, the next pass begins, and hurries where it has
//! come less far than the log since. From an eighth of the way on it is paid for byte by byte: there nothing of the pass must
//! be done, at the limit all, and a checkpoint that finds the pass behind by more than some *slack* waits until it is not.
//! So the log is bounded however little time the thread gets, and what a checkpoint waits for is bounded by what was
//! appended before it: for one hundredth of the way, little more than one hundredth of the pass.
//!
//! A pass does not go evenly: it syncs, and sweeps over the log for what it merges. So that its stops are no waits, checkpoints
//! *rest* already while slack is left: the less is left the longer, up to the time that the pass takes, on the average, for
//! what they add to its work.
//!
//! How far a pass has come is told in bytes of [`PASS_WORK`] times the limit. To mark what is in use counts as the log's
//! length; the steps after it share the rest by what they read, which is known when the marking is done. What a step did not
//! read of that is taken for done when it is over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::options::Options;
use crate::sync::{Condvar, Mutex};

/// The work of a pass, in lengths of the log; about half of it is to mark what is in use.
const PASS_WORK: u64 = 2;
/// A checkpoint waits for at most so much work for each byte that was appended. See [`Plan::after`].
#[cfg(test)]
const MAX_WORK: u64 = 16;
/// No checkpoint rests longer.
const MAX_DELAY: Duration = Duration::from_millis(50);
/// Work is told in pieces of this size.
const PIECE_BYTES: u64 = 64 << 10;

/// How far the log may grow, in bytes appended since the last pass, and what the next one has to do meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Plan {
    limit_bytes: u64,
    /// Of the pass.
    work_bytes: u64,
}

impl Plan {
    /// The plan for a log of `len_bytes` that may become `allowed_bytes` long.
    ///
    /// It may always grow by a sixth, so the limit is at most seven times as much as the way there, seven eighths of which
    /// are paid for: `PASS_WORK` times the limit over that is 16 at most.
    fn after(len_bytes: u64, allowed_bytes: u64, segment_bytes: u64) -> Self {
        let room = (len_bytes / 6).max(2 * segment_bytes);
        let limit = allowed_bytes.max(len_bytes + room);
        Self { limit_bytes: limit - len_bytes, work_bytes: PASS_WORK * limit }
    }

    /// Where the pass begins.
    fn begin_bytes(&self) -> u64 {
        self.limit_bytes / 16
    }

    /// How much of the pass is to be done when the log has grown so far.
    fn due(&self, grown_bytes: u64) -> u64 {
        self.part(grown_bytes, self.begin_bytes())
    }

    /// How much of the pass must be done by then: checkpoints wait for it.
    fn demanded(&self, grown_bytes: u64) -> u64 {
        self.part(grown_bytes, self.limit_bytes / 8)
    }

    /// From nothing at `from` to all at the limit.
    fn part(&self, grown_bytes: u64, from: u64) -> u64 {
        let over = grown_bytes.saturating_sub(from);
        let way = (self.limit_bytes - from).max(1);
        (u128::from(self.work_bytes) * u128::from(over) / u128::from(way)) as u64
    }
}

/// What checkpoints and compaction know of each other.
struct PassProgress {
    /// `None`: the store was empty, and its first checkpoint is all there is.
    plan: Option<Plan>,
    /// Appended since the plan was made.
    grown_bytes: u64,
    done_bytes: u64,
    /// When the pass began.
    began: Instant,
    /// What was demanded at the last checkpoint.
    asked_bytes: u64,
    /// Work that may be late: some of it shows only when it is done.
    slack_bytes: u64,
    /// What was in use at the last mark.
    live_bytes: u64,
    /// The next pass begins as soon as anything is appended.
    is_owed: bool,
    /// Somebody walks the files: compaction waits, so checkpoints do not.
    is_aside: bool,
    /// There is no thread, or it is to end.
    is_stopped: bool,
    /// Nothing is compacted.
    is_idle: bool,
    waiting: u32,
    waited: Duration,
    failure: Option<String>,
}

impl PassProgress {
    fn is_due(&self) -> bool {
        let begin_bytes = if self.is_owed { 0 } else { u64::MAX };
        self.plan.is_some_and(|plan| self.grown_bytes > plan.begin_bytes().min(begin_bytes))
    }

    /// Whether more is due than was done.
    fn is_late(&self) -> bool {
        self.done_bytes < self.plan.map_or(0, |plan| plan.due(self.grown_bytes))
    }

    /// What must be done by now, by the growth of the log.
    fn demanded(&self) -> u64 {
        self.plan.map_or(0, |plan| plan.demanded(self.grown_bytes))
    }

    /// Whether so much more is demanded than was done that nobody goes on.
    fn is_behind(&self) -> bool {
        self.done_bytes + self.slack_bytes < self.demanded() && !self.is_aside && !self.is_stopped
    }

    /// How long the next checkpoint rests, so that the slack is seldom used up: as long as the pass takes for what was
    /// demanded since the last one, where no slack is left, and less where there is.
    fn rest(&mut self) -> Duration {
        let demanded = self.demanded();
        let more = demanded.saturating_sub(std::mem::replace(&mut self.asked_bytes, demanded));
        let debt = demanded.saturating_sub(self.done_bytes).min(self.slack_bytes);
        if debt == 0 || self.done_bytes == 0 || self.is_aside || self.is_stopped {
            return Duration::ZERO;
        }
        let seconds = self.began.elapsed().as_secs_f64() * (more as f64 / self.done_bytes as f64);
        let part = debt as f64 / self.slack_bytes as f64;
        Duration::from_secs_f64((seconds * part).min(MAX_DELAY.as_secs_f64()))
    }
}

/// Shared by the checkpoints of a store and the thread that compacts it.
pub(crate) struct Throttle {
    account: Mutex<PassProgress>,
    changed: Condvar,
    /// Ends a rest.
    stopped: Condvar,
    segment_bytes: u64,
    /// Least part of the log that is to be in use.
    threshold: f64,
    bytes_per_second: Option<u64>,
}

impl Throttle {
    /// Starts with a log of this length.
    pub(crate) fn new(len_bytes: u64, options: &Options) -> Self {
        let segment_bytes = u64::from(options.segment_bytes);
        let plan = (len_bytes > 0).then(|| Plan::after(len_bytes, 0, segment_bytes));
        let account = PassProgress {
            plan,
            grown_bytes: 0,
            done_bytes: 0,
            began: Instant::now(),
            asked_bytes: 0,
            slack_bytes: 3 * segment_bytes,
            live_bytes: 0,
            is_owed: false,
            is_aside: false,
            is_stopped: false,
            is_idle: false,
            waiting: 0,
            waited: Duration::ZERO,
            failure: None,
        };
        Self {
            account: Mutex::new(account),
            changed: Condvar::default(),
            stopped: Condvar::default(),
            segment_bytes,
            threshold: options.compact_below,
            bytes_per_second: options.compact_bytes_per_second,
        }
    }

    /// Says that there is something to give back already.
    pub(crate) fn owe(&self) {
        self.account.lock().is_owed = true;
    }

    /// For a thread that compacts nothing: no pass is ever due, and no checkpoint waits.
    pub(crate) fn idle(options: &Options) -> Self {
        let pacing = Self::new(0, options);
        pacing.account.lock().is_idle = true;
        pacing
    }

    /// Returns whether the thread is to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.account.lock().is_stopped
    }

    /// Waits, before a checkpoint, until compaction has done what is demanded for those before it.
    pub(crate) fn admit(&self) {
        let mut account = self.account.lock();
        let rest = account.rest();
        if rest.is_zero() && !account.is_behind() {
            return;
        }
        let began = Instant::now();
        while !account.is_stopped {
            let left = rest.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            account = self.stopped.wait_for(account, left);
        }
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
        if account.is_idle {
            return;
        }
        account.grown_bytes += bytes;
        if account.plan.is_none() {
            // All of it is in use.
            account.plan = Some(Plan::after(bytes, 0, self.segment_bytes));
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
        account.began = Instant::now();
        account.is_owed = false;
        !account.is_stopped
    }

    /// As [`wait_until_due`](Self::wait_until_due), for so long at most; `None`: no pass is due by then.
    pub(crate) fn wait_until_due_for(&self, pause: Duration) -> Option<bool> {
        let until = Instant::now() + pause;
        let mut account = self.account.lock();
        while !account.is_due() && !account.is_stopped {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            account = self.changed.wait_for(account, left);
        }
        account.began = Instant::now();
        Some(!account.is_stopped)
    }

    /// A pass is over, and left a log of this length; or it failed.
    pub(crate) fn passed(&self, len_bytes: u64, failure: Option<String>) {
        let mut account = self.account.lock();
        // Each segment may be in use no more than the threshold says, and all together hold half of what that allows. Of
        // no threshold at all the limit is out of sight.
        let allowed = account.live_bytes as f64 * (1.0 + 1.0 / self.threshold.max(1e-9)) / 2.0;
        let allowed_bytes = (allowed as u64).min(1 << 60);
        account.plan = Some(Plan::after(len_bytes, allowed_bytes, self.segment_bytes));
        (account.grown_bytes, account.done_bytes, account.asked_bytes) = (0, 0, 0);
        account.failure = failure;
        self.changed.notify_all();
    }

    /// Lets go of everybody who waits, for good.
    pub(crate) fn stop(&self) {
        self.account.lock().is_stopped = true;
        self.changed.notify_all();
        self.stopped.notify_all();
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
    pacing: Option<Arc<Throttle>>,
    since: Instant,
    spent_bytes: u64,
    /// Spent, and not told yet.
    untold_bytes: u64,
    /// The work that is done when the step is.
    step_end: u64,
    /// Work that a byte counts for.
    scale: f64,
}

impl Pace {
    /// No waiting at all.
    pub(crate) fn free() -> Self {
        Self { pacing: None, since: Instant::now(), spent_bytes: 0, untold_bytes: 0, step_end: 0, scale: 1.0 }
    }

    /// As fast as the store's options and its growth say.
    pub(crate) fn of(pacing: &Arc<Throttle>) -> Self {
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

    /// Says how long the segments of all steps are that are left, which share what is left of the work.
    pub(crate) fn planned(&mut self, len_bytes: u64) {
        let Some(pacing) = &self.pacing else { return };
        let work_bytes = pacing.account.lock().plan.map_or(0, |plan| plan.work_bytes);
        self.scale = work_bytes.saturating_sub(self.step_end) as f64 / len_bytes.max(1) as f64;
    }

    /// Begins a step over segments of this length.
    pub(crate) fn begin_step(&mut self, len_bytes: u64) {
        let Some(pacing) = &self.pacing else { return };
        let mut account = pacing.account.lock();
        account.done_bytes = account.done_bytes.max(self.step_end);
        self.step_end += (len_bytes as f64 * self.scale) as u64;
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
        let done_bytes = account.done_bytes + (bytes as f64 * self.scale) as u64;
        account.done_bytes = done_bytes.min(self.step_end);
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
    fn what_a_checkpoint_waits_for_is_bounded() {
        for len in [0, 1, 7, 16, 63, 64, 128, 1000, 100_000].map(|mib| mib * MIB) {
            for allowed in [0, len / 2, len, len * 9 / 8, len * 5 / 4, len * 2, len * 100] {
                let plan = Plan::after(len, allowed, 8 * MIB);
                let Plan { limit_bytes, work_bytes } = plan;
                let (begin, free) = (plan.begin_bytes(), limit_bytes / 8);
                assert!(begin > 0 && begin < free, "{len} {allowed}: {plan:?}");
                assert_eq!((plan.due(begin), plan.demanded(free)), (0, 0));
                assert_eq!((plan.due(limit_bytes), plan.demanded(limit_bytes)), (work_bytes, work_bytes));
                assert!(work_bytes >= PASS_WORK * (len + limit_bytes), "the whole pass is done at the limit");
                assert!(
                    plan.demanded(free + MIB) < plan.due(free + MIB),
                    "the thread hurries before anybody waits"
                );
                assert!(plan.demanded(free + MIB) <= MAX_WORK * MIB, "{len} {allowed}: {plan:?}");
                let room = (len / 6).max(16 * MIB);
                assert!(len + limit_bytes <= allowed.max(len + room));
            }
        }
    }

    #[test]
    fn the_steps_after_the_marking_share_the_rest_of_the_work() {
        let pacing = Arc::new(Throttle::new(64 * MIB, &Options::new()));
        let mut pace = Pace::of(&pacing);
        let plan = pacing.account.lock().plan.unwrap();
        assert_eq!((plan.limit_bytes, plan.work_bytes), (16 * MIB, 160 * MIB));
        pacing.grew(plan.limit_bytes);
        pace.begin_step(64 * MIB);
        pace.planned(10 * MIB);
        pace.begin_step(10 * MIB);
        assert_eq!(pacing.account.lock().done_bytes, 64 * MIB);
        pace.spend(5 * MIB);
        let half = pacing.account.lock().done_bytes;
        assert!(half.abs_diff(112 * MIB) < MIB && pacing.account.lock().is_behind(), "{half}");
        pace.begin_step(0);
        let done = pacing.account.lock().done_bytes;
        assert!(done.abs_diff(160 * MIB) < MIB && !pacing.account.lock().is_behind(), "{done}");
    }

    #[test]
    fn checkpoints_rest_the_longer_the_less_slack_is_left() {
        let rest = |done: u64| {
            let pacing = Throttle::new(64 * MIB, &Options::new());
            pacing.grew(8 * MIB);
            let mut account = pacing.account.lock();
            let demanded = account.demanded();
            account.done_bytes = demanded - done;
            account.began = Instant::now() - Duration::from_millis(100);
            // Of what was demanded, a tenth since the last checkpoint.
            account.asked_bytes = demanded - demanded / 10;
            let rests = (account.rest(), account.rest());
            assert!(rests.1.is_zero(), "nothing more is demanded");
            rests.0
        };
        let slack = Throttle::new(0, &Options::new()).account.lock().slack_bytes;
        let rests = [0, slack / 4, slack / 2, slack].map(rest);
        assert!(rests[0].is_zero() && rests.is_sorted_by(|one, two| one < two), "{rests:?}");
        assert!(rests[3] > Duration::from_millis(10) && rests[3] <= MAX_DELAY, "{rests:?}");
    }

    /// Works through passes over logs of this length until it is stopped, and does nothing but what checkpoints wait for.
    fn work(pacing: &Arc<Throttle>, len_bytes: u64) {
        while pacing.wait_until_due() {
            let mut pace = Pace::of(pacing);
            for part in 0..2 {
                if part == 1 {
                    pace.planned(len_bytes);
                }
                for _ in 0..len_bytes / MIB {
                    pace.begin_step(MIB);
                    // Less than it might take.
                    for _ in 0..MIB / PIECE_BYTES {
                        let mut account = pacing.account.lock();
                        while account.waiting == 0 && !account.is_stopped {
                            account = pacing.changed.wait(account);
                        }
                        drop(account);
                        pace.spend(PIECE_BYTES);
                    }
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
        let pacing = Arc::new(Throttle::new(LEN, &Options::new()));
        let thread = {
            let pacing = Arc::clone(&pacing);
            std::thread::spawn(move || work(&pacing, LEN))
        };
        let mut waits = 0;
        for _ in 0..1000 {
            let account = pacing.account.lock();
            let waits_for = account.demanded().saturating_sub(account.done_bytes + account.slack_bytes);
            drop(account);
            waits += u32::from(waits_for > 0);
            assert!(waits_for <= MAX_WORK * 100_000, "{waits_for} bytes");
            pacing.admit();
            let account = pacing.account.lock();
            let limit = account.plan.unwrap().limit_bytes;
            let limit = limit + account.slack_bytes / 8;
            assert!(account.grown_bytes <= limit, "{} of {limit}", account.grown_bytes);
            drop(account);
            pacing.grew(100_000);
        }
        assert!(waits > 10, "{waits} checkpoints waited");
        assert!(pacing.waited() > Duration::ZERO);
        pacing.stop();
        thread.join().unwrap();
    }

    #[test]
    fn nobody_waits_where_compaction_must_wait_itself_or_is_no_more() {
        let options = Options::new();
        let pacing = Arc::new(Throttle::new(64 * MIB, &options));
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
        let pacing = Throttle::new(0, &Options::new());
        pacing.grew(500 * MIB);
        pacing.admit();
        assert!(!pacing.account.lock().is_due());
        assert_eq!(pacing.account.lock().plan, Some(Plan::after(500 * MIB, 0, 8 * MIB)));
    }
}
