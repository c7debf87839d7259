//! Which versions to keep: rules as plain values, and what they say of a list of moments.
//!
//! A rule looks at nothing but the list it is given, so what it would do can be asked before it is done, and tested
//! over calendars that never were. The same rules thin the checkpoints of a store and the entries of a history.
//!
//! **Ages count from the newest version, not from the wall clock.** A process that slept for a week, or whose clock
//! jumped ahead and back, finds what it left; nothing is dropped because nothing happened. The newest version is
//! always kept.
//!
//! **Clocks may be wrong.** Versions are ordered by their numbers, never by their times. A rule believes a step of the
//! clock from one version to the next, forward or back, up to a *bound*: a quarter of what the rule reaches back, or two
//! of its intervals if that is longer; and a step forward of up to twice what has been usual of late. A larger step forward (a clock that was set, or a machine that slept) counts as the
//! bound, a larger step back as no time at all, and when the clock comes back to what it showed before, that holds
//! again. So a single version that is dated ten years ahead costs at most the oldest quarter of what a rule keeps, and
//! versions made after the clock is right again are thinned as if it had never been wrong, at the latest when
//! the bound has passed.
//!
//! **Applying a rule often keeps what applying it once keeps.** Of the versions in one interval, [`every`] keeps the
//! *first*, which later ones cannot displace; [`every_nth`] counts versions from the beginning. So it does not matter
//! when, or how often, a store gets round to it. (Where pauses are beyond the bound of a rule, see below, it may keep more.)

mod clock;
mod thinning;

use std::ops::BitOr;
use std::time::Duration;

use clock::{Clock, Nanos, Step};
pub(crate) use clock::{IN_USE, Reading};
pub(crate) use thinning::{Next, Thinning};

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
///
/// Of checkpoints in a row that hold the same state, one counts.
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

    /// Says of each of these versions whether it is kept. They are in order: numbers ascend. Times may be wrong, see
    /// [the module](self). **O(versions x rules)**.
    ///
    /// ```
    /// use perennial::retention::{Moment, every_nth, keep_within};
    /// use std::time::Duration;
    ///
    /// let moments = [0, 1, 2, 3].map(|n| Moment { number: n, time: Duration::from_secs(n), name: None });
    /// assert_eq!(every_nth(2).kept(&moments), [true, false, true, true], "the newest is always kept");
    ///
    /// // The clock of the last one is ten years ahead.
    /// let times = [0, 1, 2, 87_600].map(|hours| Duration::from_secs(3600 * hours));
    /// let moments = [0, 1, 2, 3].map(|n| Moment { number: n, time: times[n as usize], name: None });
    /// assert_eq!(keep_within(Duration::from_secs(3600 * 8)).kept(&moments), [true; 4]);
    /// ```
    #[must_use]
    pub fn kept(&self, moments: &[Moment<'_>]) -> Vec<bool> {
        let version = |moment: &Moment<'_>| Version {
            number: moment.number,
            reading: Reading { time: nanos(moment.time), in_use: None },
            name: moment.name.map(Into::into),
            contents: None,
        };
        self.kept_of(&moments.iter().map(version).collect::<Vec<_>>())
    }

    /// Returns whether it keeps all there is, whatever it is.
    pub(crate) fn keeps_all(&self) -> bool {
        self.rules.contains(&Rule::All)
    }

    /// As [`kept`](Self::kept), of versions of which more is known.
    pub(crate) fn kept_of(&self, versions: &[Version]) -> Vec<bool> {
        let mut kept = vec![false; versions.len()];
        for rule in &self.rules {
            rule.mark(versions, &mut kept);
        }
        if let Some(newest) = kept.last_mut() {
            *newest = true;
        }
        kept
    }
}

/// A version, and what a store knows of it beyond its [`Moment`].
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub number: u64,
    pub reading: Reading,
    pub name: Option<Box<str>>,
    /// Stands for what is in it; `None`: like no other.
    pub contents: Option<u64>,
}

impl Version {
    /// Returns whether it is its predecessor again, under no name of its own: nothing changed between the two.
    fn repeats(&self, before: &Self) -> bool {
        self.name.is_none() && self.contents.is_some() && self.contents == before.contents
    }

    /// Which versions [`keep_last`] counts: of those in a row that repeat one another, one. That is the newest, so that
    /// it is not the older ones of the row that are kept, unless the first has a name; then it is the first.
    fn counts(before: Option<(&Self, &mut bool)>, version: &Self) -> bool {
        match before {
            Some((before, counts)) if version.repeats(before) => {
                before.name.is_none() && std::mem::replace(counts, false)
            }
            _ => true,
        }
    }
}

fn nanos(duration: Duration) -> Nanos {
    // Far beyond any time that is met, and far from the end of the integer.
    Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX).min(Nanos::MAX / 1024)
}

impl Rule {
    /// Of a rule that looks at times: how far it reaches back, and its interval.
    fn reach(&self) -> Option<(Nanos, Nanos)> {
        match self {
            Self::Within(duration) => Some((nanos(*duration), 0)),
            Self::Every { interval, reach } => Some((nanos(*reach), nanos(*interval))),
            _ => None,
        }
    }

    /// The clock by which such a rule goes.
    fn clock(&self, first: &Version) -> Option<Clock> {
        let (reach, interval) = self.reach()?;
        Some(Clock::start(Mark::first(self, first).moment, (2 * interval).max(reach / 4)))
    }

    fn mark(&self, versions: &[Version], kept: &mut [bool]) {
        match self {
            Self::All => kept.fill(true),
            Self::Last(count) => {
                let mut counts: Vec<bool> = Vec::with_capacity(versions.len());
                for (i, version) in versions.iter().enumerate() {
                    let before = i.checked_sub(1).map(|i| (&versions[i], &mut counts[i]));
                    let own = Version::counts(before, version);
                    counts.push(own);
                }
                let counted = (0..versions.len()).rev().filter(|&i| counts[i]);
                counted.take(usize::try_from(*count).unwrap_or(usize::MAX)).for_each(|i| kept[i] = true);
            }
            Self::Within(_) | Self::Every { .. } => {
                let (Some(first), Some((reach, _))) = (versions.first(), self.reach()) else { return };
                let Some(mut clock) = self.clock(first) else { return };
                let mut marks = vec![Mark::first(self, first)];
                for pair in versions.windows(2) {
                    let before = marks[marks.len() - 1];
                    marks.push(before.next(self, &mut clock, &pair[0], &pair[1]));
                }
                for (kept, mark) in kept.iter_mut().zip(marks) {
                    *kept |= mark.is_chosen && mark.since >= clock.now() - reach;
                }
            }
            Self::Nth(_) | Self::Named(_) => {
                for (kept, version) in kept.iter_mut().zip(versions) {
                    *kept |= self.keeps_for_ever(version);
                }
            }
        }
    }

    /// Returns whether it keeps this version whatever comes after it.
    fn keeps_for_ever(&self, version: &Version) -> bool {
        match self {
            Self::All => true,
            Self::Nth(n) => version.number.is_multiple_of((*n).max(1)),
            Self::Named(names) => {
                version.name.as_deref().is_some_and(|name| names.iter().any(|known| known == name))
            }
            Self::Last(_) | Self::Within(_) | Self::Every { .. } => false,
        }
    }
}

/// The times of a version, for rules that look at them.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// It keeps the version while that is within its reach.
    is_chosen: bool,
    /// The plausible time that must be within reach: of the version, or of the beginning of its interval. (An interval
    /// is within reach as a whole or not at all: else its first version within reach would be another one each time.)
    since: Nanos,
    /// Its time in use is counted from an origin that does not change while versions are dropped, if it is known.
    moment: clock::Moment,
}

impl Mark {
    fn of(rule: &Rule, moment: clock::Moment, plausible: Nanos, is_chosen: bool) -> Self {
        let interval = rule.reach().map_or(0, |(_, interval)| interval);
        let into = if interval == 0 { 0 } else { moment.time.rem_euclid(interval) };
        Self { is_chosen, since: plausible - into, moment }
    }

    fn first(rule: &Rule, version: &Version) -> Self {
        let Reading { time, in_use } = version.reading;
        Self::of(rule, clock::Moment { time, in_use: in_use.unwrap_or(time) }, time, true)
    }

    /// Of the version `after`, which follows `before`, whose mark this is.
    fn next(self, rule: &Rule, clock: &mut Clock, before: &Version, after: &Version) -> Self {
        let step = Step::between(before.reading, after.reading);
        let Reading { time, in_use } = after.reading;
        let in_use = in_use.unwrap_or(self.moment.in_use + step.in_use);
        let moment = clock::Moment { time, in_use };
        let (plausible, reference) = clock.advance(step);
        let interval = rule.reach().map_or(0, |(_, interval)| interval);
        let begins = |earlier: Nanos, later: Nanos| later.div_euclid(interval) > earlier.div_euclid(interval);
        // The first of its interval: of another one than the last that was chosen by the same setting of the clock.
        let is_chosen = match reference {
            Some(_) if interval == 0 => true,
            None => true,
            // By the clock, unless that went back by more than an interval. Then it is the time in use that counts.
            Some(last) if time - last.time >= in_use - last.in_use - interval => begins(last.time, time),
            Some(last) => begins(last.in_use, in_use),
        };
        if is_chosen {
            clock.choose(moment);
        }
        Self::of(rule, moment, plausible, is_chosen)
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
        let moments = calendar((0..6).map(|n| days(30) + hours(n)));
        assert_eq!(kept(&keep_within(hours(2)), &moments), [3, 4, 5], "both ends count");
        assert_eq!(kept(&keep_within(Duration::ZERO), &moments), [5]);
        assert_eq!(kept(&keep_within(Duration::MAX), &moments), [0, 1, 2, 3, 4, 5]);
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
    fn one_wrong_clock_drops_no_more_than_a_quarter() {
        let policy = keep_within(days(7));
        let decade = days(3650);
        let start = days(20_000);
        let mut times: Vec<_> = (0..24 * 20).map(|n| start + hours(n)).collect();
        let right = kept(&policy, &calendar(times.iter().copied())).len();
        assert_eq!(right, 24 * 7 + 1);
        // The newest is dated ten years ahead, ten years ago, and by a clock that starts in 1970.
        for wrong in [start + decade, start - decade, hours(1)] {
            let mut times = times.clone();
            times.push(wrong);
            let left = kept_step_by_step(&policy, &calendar(times.iter().copied())).len();
            assert!((right * 3 / 4..=right + 1).contains(&left), "{left}");
            // Right again, for a month: thinned as if it had never been wrong.
            times.extend((24 * 20 + 1..24 * 50).map(|n| start + hours(n)));
            assert_eq!(kept_step_by_step(&policy, &calendar(times)).len(), right);
        }
        // Set ten years ahead, or back, and left there.
        for wrong in [start + decade, start - decade] {
            times.truncate(24 * 20);
            times.extend((24 * 20..24 * 50).map(|n| wrong + hours(n)));
            assert_eq!(kept_step_by_step(&policy, &calendar(times.iter().copied())).len(), right);
        }
    }

    #[test]
    fn one_an_interval_goes_on_through_wrong_clocks() {
        let policy = every(days(1)).for_last(days(30));
        let start = days(20_000);
        // Four a day for 90 days, in the middle of which the clock is ten years ahead, or back, for a day.
        for wrong in [start + days(3650), start - days(3650)] {
            let times =
                (0..360u64).map(|n| if (200..204).contains(&n) { wrong } else { start } + hours(6 * n));
            let left = kept_step_by_step(&policy, &calendar(times));
            assert!((30..=34).contains(&left.len()), "{left:?}");
            assert!(left.windows(2).all(|pair| pair[1] - pair[0] <= 8), "{left:?}");
        }
    }

    #[test]
    fn a_long_sleep_counts_as_the_bound() {
        let policy = keep_within(hours(8));
        let slept = calendar([hours(0), hours(1), hours(2), days(365)]);
        assert_eq!(kept(&policy, &slept), [0, 1, 2, 3]);
        // Unless it is usual.
        let sparse = calendar((0..100).map(|n| days(7 * n)));
        assert_eq!(kept(&policy, &sparse), [99]);
        assert_eq!(kept(&keep_within(days(14)), &sparse), [97, 98, 99]);
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
            (60u64..500).prop_map(|m| keep_within(minutes(m))),
            (0u64..100, 0u64..2000).prop_map(|(i, r)| every(minutes(i)).for_last(minutes(r))),
            (0u64..20).prop_map(every_nth),
        ];
        prop::collection::vec(one, 1..4).prop_map(|all| all.into_iter().reduce(|a, b| a | b).unwrap())
    }

    proptest! {
        #[test]
        fn applying_it_after_each_version_keeps_what_applying_it_once_keeps(
            policy in policies(),
            // None is beyond the bound of a rule.
            gaps in prop::collection::vec(0u64..15, 1..400),
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
