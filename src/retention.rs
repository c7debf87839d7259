//! Which versions to keep: rules as plain values, and what they say of a list of moments.
//!
//! A rule looks at nothing but the list it is given, so what it would do can be asked before it is done, and tested
//! over calendars that never were. The same rules thin the checkpoints of a store and the entries of a history.
//!
//! **Ages count from the newest version, not from the wall clock.** A process that slept for a week, or whose clock
//! jumped ahead and back, finds what it left; nothing is dropped because nothing happened. The newest version is
//! always kept.
//!
//! **Applying a rule often keeps what applying it once keeps.** Of the versions in one interval, [`every`] keeps the
//! *first*, which later ones cannot displace; [`every_nth`] counts versions from the beginning. So it does not matter
//! when, or how often, a store gets round to it.

use std::ops::BitOr;
use std::time::Duration;

/// One version, as a rule sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment<'a> {
    /// How many versions there were before it, those dropped meanwhile included.
    pub number: u64,
    /// When it was written, counted from any origin that is the same for all (of checkpoints: 1970).
    pub time: Duration,
    /// What it is called.
    pub name: Option<&'a str>,
}

/// A union of rules that say which versions to keep. Dropping is what is left: a version that no rule keeps goes.
///
/// ```
/// use perennial::retention::{every, keep_last, pinned};
/// use std::time::Duration;
///
/// let hours = |n: u64| Duration::from_secs(3600 * n);
/// // The last 100; one an hour for a day, one a day for a month; and what was called "release".
/// let policy = keep_last(100)
///     | every(hours(1)).for_last(hours(24)).every(hours(24)).for_last(hours(24 * 30))
///     | pinned(["release"]);
/// assert_ne!(policy, keep_last(100));
/// ```
#[derive(Clone, PartialEq, Debug)]
#[must_use = "a policy does nothing until something is bounded by it"]
pub struct Retention {
    rules: Vec<Rule>,
}

#[derive(Clone, PartialEq, Debug)]
enum Rule {
    All,
    Last(u64),
    Within(Duration),
    Every { interval: Duration, reach: Duration },
    Nth(u64),
    Named(Vec<String>),
}

/// Keeps every version.
pub fn keep_all() -> Retention {
    Rule::All.into()
}

/// Keeps the newest `count` versions. The newest is kept in any case, so 0 acts as 1.
pub fn keep_last(count: u64) -> Retention {
    Rule::Last(count).into()
}

/// Keeps the versions written at most `duration` before the newest.
pub fn keep_within(duration: Duration) -> Retention {
    Rule::Within(duration).into()
}

/// Keeps the first version of every interval; [`for_last`](Every::for_last) says how far back.
///
/// Intervals are counted from the origin of time, so hours begin on the hour (of UTC). An interval of zero keeps every
/// version.
pub fn every(interval: Duration) -> Every {
    Every { before: Vec::new(), interval }
}

/// Keeps the first version and every `n`th after it, for ever. 0 acts as 1, which keeps them all.
pub fn every_nth(n: u64) -> Retention {
    Rule::Nth(n).into()
}

/// Keeps the versions called by one of these names (of a checkpoint: its label), for ever.
pub fn pinned<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Retention {
    Rule::Named(names.into_iter().map(Into::into).collect()).into()
}

/// An interval that still needs to know how far back it reaches.
#[derive(Clone, PartialEq, Debug)]
#[must_use = "say `for_last` how long"]
pub struct Every {
    before: Vec<Rule>,
    interval: Duration,
}

impl Every {
    /// Keeps one version of each interval that began at most `duration` before the newest was written.
    pub fn for_last(self, duration: Duration) -> Retention {
        let mut rules = self.before;
        rules.push(Rule::Every { interval: self.interval, reach: duration });
        Retention { rules }
    }
}

impl From<Rule> for Retention {
    fn from(rule: Rule) -> Self {
        Self { rules: vec![rule] }
    }
}

/// Keeps what either keeps.
impl BitOr for Retention {
    type Output = Self;

    fn bitor(mut self, other: Self) -> Self {
        self.rules.extend(other.rules);
        self
    }
}

impl Retention {
    /// Adds one version an interval, as [`every`] does: chained, grandfather, father and son.
    pub fn every(self, interval: Duration) -> Every {
        Every { before: self.rules, interval }
    }

    /// Says of each of these versions whether it is kept. They are in order: numbers ascend; times should not
    /// descend, and one that does counts as the latest time before it. **O(versions x rules)**.
    ///
    /// ```
    /// use perennial::retention::{Moment, every_nth};
    /// use std::time::Duration;
    ///
    /// let moments = [0, 1, 2, 3].map(|n| Moment { number: n, time: Duration::from_secs(n), name: None });
    /// assert_eq!(every_nth(2).kept(&moments), [true, false, true, true], "the newest is always kept");
    /// ```
    #[must_use]
    pub fn kept(&self, moments: &[Moment<'_>]) -> Vec<bool> {
        let mut times: Vec<Duration> = moments.iter().map(|moment| moment.time).collect();
        for i in 1..times.len() {
            times[i] = times[i].max(times[i - 1]);
        }
        let mut kept = vec![false; moments.len()];
        for rule in &self.rules {
            rule.mark(moments, &times, &mut kept);
        }
        if let Some(newest) = kept.last_mut() {
            *newest = true;
        }
        kept
    }
}

impl Rule {
    fn mark(&self, moments: &[Moment<'_>], times: &[Duration], kept: &mut [bool]) {
        let Some(&now) = times.last() else { return };
        // The first of those written at most so long before the newest.
        let since = |reach: Duration| {
            times.partition_point(|&time| now.checked_sub(reach).is_some_and(|start| time < start))
        };
        match self {
            Self::All => kept.fill(true),
            Self::Last(count) => {
                let first = moments.len().saturating_sub(usize::try_from(*count).unwrap_or(usize::MAX));
                kept[first..].fill(true);
            }
            Self::Within(duration) => kept[since(*duration)..].fill(true),
            Self::Every { interval, reach } if interval.is_zero() => kept[since(*reach)..].fill(true),
            Self::Every { interval, reach } => {
                let interval_of = |time: Duration| time.as_nanos() / interval.as_nanos();
                let oldest = now.as_nanos().saturating_sub(reach.as_nanos());
                for (i, &time) in times.iter().enumerate() {
                    let number = interval_of(time);
                    // An interval is within reach as a whole or not at all: else its first version within reach would be
                    // another one each time.
                    let in_reach = number * interval.as_nanos() >= oldest;
                    kept[i] |= in_reach && (i == 0 || interval_of(times[i - 1]) != number);
                }
            }
            Self::Nth(n) => {
                for (kept, moment) in kept.iter_mut().zip(moments) {
                    *kept |= moment.number.is_multiple_of((*n).max(1));
                }
            }
            Self::Named(names) => {
                for (kept, moment) in kept.iter_mut().zip(moments) {
                    *kept |= moment.name.is_some_and(|name| names.iter().any(|known| known == name));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn minutes(n: u64) -> Duration {
        Duration::from_secs(60 * n)
    }

    const fn hours(n: u64) -> Duration {
        minutes(60 * n)
    }

    const fn days(n: u64) -> Duration {
        hours(24 * n)
    }

    fn calendar(times: impl IntoIterator<Item = Duration>) -> Vec<Moment<'static>> {
        let moment = |(number, time)| Moment { number: number as u64, time, name: None };
        times.into_iter().enumerate().map(moment).collect()
    }

    /// The numbers of those kept.
    fn kept(policy: &Retention, moments: &[Moment<'_>]) -> Vec<u64> {
        let kept = policy.kept(moments);
        moments.iter().zip(kept).filter(|(_, kept)| *kept).map(|(moment, _)| moment.number).collect()
    }

    /// The numbers of those kept when the policy is applied after each version.
    fn kept_step_by_step(policy: &Retention, moments: &[Moment<'static>]) -> Vec<u64> {
        let mut alive = Vec::new();
        for &moment in moments {
            alive.push(moment);
            let kept = policy.kept(&alive);
            let mut kept = kept.iter();
            alive.retain(|_| *kept.next().unwrap());
        }
        alive.iter().map(|moment| moment.number).collect()
    }

    #[test]
    fn the_last_ones_are_kept_and_the_newest_in_any_case() {
        let moments = calendar((0..10).map(minutes));
        assert_eq!(kept(&keep_last(3), &moments), [7, 8, 9]);
        assert_eq!(kept(&keep_last(0), &moments), [9]);
        assert_eq!(kept(&keep_last(u64::MAX), &moments).len(), 10);
        assert_eq!(kept(&pinned(["absent"]), &moments), [9]);
        assert!(keep_last(3).kept(&[]).is_empty());
    }

    #[test]
    fn ages_count_from_the_newest() {
        let moments = calendar([days(1), days(30), days(30) + hours(1), days(30) + hours(2)]);
        assert_eq!(kept(&keep_within(hours(1)), &moments), [2, 3], "both ends count");
        assert_eq!(kept(&keep_within(Duration::ZERO), &moments), [3]);
        assert_eq!(kept(&keep_within(Duration::MAX), &moments), [0, 1, 2, 3]);
    }

    #[test]
    fn grandfathers_fathers_and_sons_thin_out_with_age() {
        // One every ten minutes for 60 days.
        let moments = calendar((0..60 * 24 * 6).map(|n| minutes(10 * n)));
        let policy = every(hours(1)).for_last(days(1)).every(days(1)).for_last(days(30)) | keep_last(6);
        let kept = kept(&policy, &moments);
        let age = |number: u64| minutes(10 * (60 * 24 * 6 - 1 - number));
        let young: Vec<_> = kept.iter().filter(|&&n| age(n) < hours(1)).collect();
        let hourly = kept.iter().filter(|&&n| (hours(1)..days(1)).contains(&age(n)));
        let daily: Vec<_> = kept.iter().filter(|&&n| age(n) >= days(1)).collect();
        assert_eq!(young.len(), 6);
        assert_eq!(hourly.count(), 23);
        assert_eq!(daily.len(), 29);
        assert!(daily.iter().all(|&&n| n % (24 * 6) == 0), "the first of each day");
    }

    #[test]
    fn every_nth_counts_from_the_beginning_whatever_was_dropped() {
        let moments = calendar((0..20).map(minutes));
        assert_eq!(kept(&every_nth(6), &moments), [0, 6, 12, 18, 19]);
        let left: Vec<_> = moments.iter().copied().filter(|m| m.number % 2 == 0).collect();
        assert_eq!(kept(&every_nth(6), &left), [0, 6, 12, 18]);
        assert_eq!(kept(&every_nth(0), &moments).len(), 20);
    }

    #[test]
    fn names_are_kept_for_ever_and_unions_keep_what_either_keeps() {
        let mut moments = calendar((0..1000).map(days));
        moments[3].name = Some("release");
        moments[7].name = Some("draft");
        assert_eq!(kept(&(keep_last(2) | pinned(["release", "final"])), &moments), [3, 998, 999]);
        assert_eq!(kept(&keep_all(), &moments).len(), 1000);
    }

    #[test]
    fn a_clock_that_jumps_ahead_and_back_drops_nothing_more() {
        let policy = keep_within(hours(2)) | every(days(1)).for_last(days(3));
        // A jump of ten years ahead; the store's times never go back, so they stand still after the correction.
        let ahead = days(3650);
        let jumped = calendar([hours(0), hours(1), ahead, ahead, ahead]);
        assert_eq!(kept(&policy, &jumped), [2, 3, 4], "while it stands still, everything is young");
        // Times that do go back count as the latest before them.
        let back = calendar([ahead, hours(1), hours(2)]);
        assert_eq!(kept(&policy, &back), [0, 1, 2]);
        // A week asleep: the newest is as old as the others.
        let slept = calendar([hours(0), hours(1), hours(2)]);
        assert_eq!(kept(&policy, &slept), [0, 1, 2]);
    }

    #[test]
    fn an_interval_that_the_reach_cuts_keeps_its_first_or_none() {
        let policy = every(days(1)).for_last(hours(36));
        let moments = calendar((0..100).map(hours));
        // The newest is of hour 99: the reach begins at 63, in the middle of the day that begins at 48.
        assert_eq!(kept(&policy, &moments), [72, 96, 99]);
        assert_eq!(kept_step_by_step(&policy, &moments), [72, 96, 99]);
    }

    #[test]
    fn an_interval_of_zero_keeps_every_version() {
        let moments = calendar([hours(1), hours(1), hours(1)]);
        assert_eq!(kept(&every(Duration::ZERO).for_last(days(1)), &moments), [0, 1, 2]);
    }

    fn policies() -> impl Strategy<Value = Retention> {
        let one = prop_oneof![
            (0u64..20).prop_map(keep_last),
            (0u64..500).prop_map(|m| keep_within(minutes(m))),
            (0u64..100, 0u64..2000).prop_map(|(i, r)| every(minutes(i)).for_last(minutes(r))),
            (0u64..20).prop_map(every_nth),
        ];
        prop::collection::vec(one, 1..4).prop_map(|all| all.into_iter().reduce(|a, b| a | b).unwrap())
    }

    proptest! {
        #[test]
        fn applying_it_after_each_version_keeps_what_applying_it_once_keeps(
            policy in policies(),
            gaps in prop::collection::vec(prop_oneof![4 => 0u64..30, 1 => 0u64..1000], 1..200),
        ) {
            let mut time = 0;
            let moments = calendar(gaps.iter().map(|gap| { time += gap; minutes(time) }));
            let once = kept(&policy, &moments);
            let often = kept_step_by_step(&policy, &moments);
            prop_assert_eq!(once, often);
        }

        #[test]
        fn a_union_keeps_exactly_what_its_parts_keep(
            (a, b) in (policies(), policies()),
            gaps in prop::collection::vec(0u64..100, 1..100),
        ) {
            let mut time = 0;
            let moments = calendar(gaps.iter().map(|gap| { time += gap; minutes(time) }));
            let parts = [a.kept(&moments), b.kept(&moments)];
            let either: Vec<_> = parts[0].iter().zip(&parts[1]).map(|(a, b)| a | b).collect();
            prop_assert_eq!((a | b).kept(&moments), either);
        }
    }
}
