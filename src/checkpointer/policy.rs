//! When a checkpoint is due: a pure function of what was asked for and what was measured.

use std::time::{Duration, Instant};

/// No automatic checkpoints more often than this, whatever the objectives say.
const MIN_INTERVAL: Duration = Duration::from_millis(1);

/// Why a checkpoint was made, or an interval chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Trigger {
    /// Somebody asked.
    Request,
    /// [`Options::every`](super::Options::every).
    Interval,
    /// [`Options::every_updates`](super::Options::every_updates).
    Updates,
    /// [`Options::dirty_bytes`](super::Options::dirty_bytes), or the soft mark of
    /// [`Options::unsaved_bytes`](super::Options::unsaved_bytes).
    DirtyBytes,
    /// [`Options::max_data_loss`](super::Options::max_data_loss).
    DataLoss,
    /// [`Options::max_io_bytes_per_second`](super::Options::max_io_bytes_per_second).
    IoBudget,
    /// The checkpointer is being closed.
    Close,
}

/// The triggers and objectives of [`Options`](super::Options).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Policy {
    pub every: Option<Duration>,
    pub every_updates: Option<u64>,
    pub dirty_bytes: Option<u64>,
    pub soft_unsaved_bytes: Option<u64>,
    pub max_data_loss: Option<Duration>,
    pub max_io_bytes_per_second: Option<u64>,
}

/// What the policy decides upon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Measured {
    pub now: Instant,
    /// When the last checkpoint was begun, or found to have nothing to do.
    pub last: Instant,
    /// Whether there is anything that it does not hold.
    pub is_changed: bool,
    /// Versions published since it was begun.
    pub updates: u64,
    /// About how many bytes they changed.
    pub dirty_bytes: u64,
    /// How long a checkpoint takes, from its beginning until it is as durable as asked for.
    pub latency: Duration,
    /// How many bytes a checkpoint writes.
    pub checkpoint_bytes: u64,
}

/// What the policy decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// Now, because of this.
    Now(Trigger),
    /// Look again then. (A state that was not changed is looked at, too: it may change at any time.)
    At(Instant),
    /// Not before somebody asks, or the marks are passed.
    Unknown,
}

impl Policy {
    /// Whether checkpoints are made without being asked for.
    pub(super) fn is_automatic(&self) -> bool {
        *self != Self::default()
    }

    /// The interval at present, and what decides it.
    ///
    /// Without a budget for I/O that is the shorter of the interval asked for and the one that the data-loss
    /// objective leaves. A budget makes it longer, but not longer than that objective allows.
    pub(super) fn interval(&self, latency: Duration, checkpoint_bytes: u64) -> Option<(Duration, Trigger)> {
        let loss = self.max_data_loss.map(|loss| (loss.saturating_sub(latency), Trigger::DataLoss));
        let every = self.every.map(|every| (every, Trigger::Interval));
        let budget = self.max_io_bytes_per_second.map(|budget| {
            (Duration::from_secs_f64(checkpoint_bytes as f64 / budget as f64), Trigger::IoBudget)
        });
        let wanted = match (every, loss) {
            (Some(every), _) => Some(every),
            (None, loss) => loss,
        };
        let afforded = longer(wanted, budget);
        let (interval, trigger) = match (afforded, loss) {
            (Some(afforded), Some(loss)) if loss.0 < afforded.0 => Some(loss),
            (afforded, _) => afforded,
        }?;
        Some((interval.max(MIN_INTERVAL), trigger))
    }

    /// Whether a checkpoint is due.
    pub(super) fn due(&self, measured: &Measured) -> Due {
        let is_past = |mark: Option<u64>, value: u64| mark.is_some_and(|mark| value >= mark);
        if is_past(self.every_updates, measured.updates) {
            return Due::Now(Trigger::Updates);
        }
        let dirty = |mark| measured.updates > 0 && is_past(mark, measured.dirty_bytes);
        if dirty(self.dirty_bytes) || dirty(self.soft_unsaved_bytes) {
            return Due::Now(Trigger::DirtyBytes);
        }
        let Some((interval, trigger)) = self.interval(measured.latency, measured.checkpoint_bytes) else {
            return Due::Unknown;
        };
        match measured.last.checked_add(interval) {
            Some(at) if at > measured.now => Due::At(at),
            Some(_) if measured.is_changed => Due::Now(trigger),
            Some(_) => measured.now.checked_add(interval).map_or(Due::Unknown, Due::At),
            None => Due::Unknown,
        }
    }
}

fn longer(
    one: Option<(Duration, Trigger)>,
    other: Option<(Duration, Trigger)>,
) -> Option<(Duration, Trigger)> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.0 > one.0 { other } else { one }),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn measured(since_last: Duration, updates: u64, dirty_bytes: u64) -> Measured {
        let last = Instant::now();
        let now = last + since_last;
        Measured {
            now,
            last,
            is_changed: updates > 0,
            updates,
            dirty_bytes,
            latency: 5 * MS,
            checkpoint_bytes: 100_000,
        }
    }

    #[test]
    fn nothing_is_due_without_a_trigger() {
        let policy = Policy::default();
        assert_eq!(policy.due(&measured(MS * 100_000, 1_000, 1 << 40)), Due::Unknown);
        assert!(!policy.is_automatic());
        assert!(Policy { every_updates: Some(1), ..policy }.is_automatic());
    }

    #[test]
    fn each_trigger_is_due_at_its_mark_and_not_before() {
        let policy = Policy { every_updates: Some(10), ..Policy::default() };
        assert_eq!(policy.due(&measured(MS, 9, 0)), Due::Unknown);
        assert_eq!(policy.due(&measured(MS, 10, 0)), Due::Now(Trigger::Updates));

        let policy = Policy { dirty_bytes: Some(1_000), ..Policy::default() };
        assert_eq!(policy.due(&measured(MS, 9, 999)), Due::Unknown);
        assert_eq!(policy.due(&measured(MS, 9, 1_000)), Due::Now(Trigger::DirtyBytes));

        let policy = Policy { soft_unsaved_bytes: Some(1_000), ..Policy::default() };
        assert_eq!(policy.due(&measured(MS, 9, 1_000)), Due::Now(Trigger::DirtyBytes));

        let policy = Policy { every: Some(10 * MS), ..Policy::default() };
        let early = measured(9 * MS, 1, 0);
        assert_eq!(policy.due(&early), Due::At(early.last + 10 * MS));
        assert_eq!(policy.due(&measured(10 * MS, 1, 0)), Due::Now(Trigger::Interval));
    }

    #[test]
    fn an_unchanged_state_is_looked_at_again_an_interval_later() {
        let policy = Policy { every: Some(10 * MS), dirty_bytes: Some(0), ..Policy::default() };
        let idle = measured(25 * MS, 0, 0);
        assert_eq!(policy.due(&idle), Due::At(idle.now + 10 * MS));
    }

    #[test]
    fn the_data_loss_objective_leaves_time_for_the_checkpoint_itself() {
        let policy = Policy { max_data_loss: Some(100 * MS), ..Policy::default() };
        assert_eq!(policy.interval(5 * MS, 1), Some((95 * MS, Trigger::DataLoss)));
        assert_eq!(policy.interval(500 * MS, 1), Some((MIN_INTERVAL, Trigger::DataLoss)));
        let policy = Policy { every: Some(10 * MS), ..policy };
        assert_eq!(policy.interval(5 * MS, 1), Some((10 * MS, Trigger::Interval)));
        let policy = Policy { every: Some(1_000 * MS), ..policy };
        assert_eq!(policy.interval(5 * MS, 1), Some((95 * MS, Trigger::DataLoss)));
    }

    #[test]
    fn the_budget_lengthens_the_interval_but_not_beyond_the_data_loss_objective() {
        let budget = Policy { max_io_bytes_per_second: Some(1_000_000), ..Policy::default() };
        assert_eq!(budget.interval(MS, 100_000), Some((100 * MS, Trigger::IoBudget)));
        let policy = Policy { every: Some(20 * MS), ..budget };
        assert_eq!(policy.interval(MS, 100_000), Some((100 * MS, Trigger::IoBudget)));
        assert_eq!(policy.interval(MS, 1_000), Some((20 * MS, Trigger::Interval)));
        let policy = Policy { max_data_loss: Some(51 * MS), ..budget };
        assert_eq!(policy.interval(MS, 100_000), Some((50 * MS, Trigger::DataLoss)));
        let policy = Policy { max_data_loss: Some(51 * MS), ..policy };
        assert_eq!(policy.interval(MS, 10_000), Some((50 * MS, Trigger::DataLoss)));
    }
}
