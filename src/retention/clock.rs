//! Plausible ages, from clocks that may be wrong.
//!
//! A version carries the time that the machine's clock showed. Clocks are set, forward and back, by seconds or by decades,
//! and for a while or for good; so a time alone proves nothing about an age. A clock that is wrong still *ticks* right,
//! though: what is doubtful is only the step between two versions, and how much of it is a pause in which nothing was
//! written.
//!
//! The step between two versions is split in two:
//!
//! - *time in use*: as much of it as neighbouring versions lie at most [`IN_USE`] apart. A store writes the sum into each
//!   commit, so it is known also where the versions between the two were dropped meanwhile.
//! - *pause*: the rest, which may be negative. A pause of at most the *bound* (both directions) is believed, and one
//!   of at most twice what is usual: the second shortest of the last five. Beyond it, the clock was set or the machine
//!   slept for long, which look the same: a step forward counts as the bound, a step back as nothing. If the clock
//!   comes back to a setting it had before, what was counted is corrected to what it shows, so wrong clocks that come
//!   and go do not add up. A step back takes back no more than the bound of what steps forward counted before it.
//!
//! Plausible times never descend: after a step back, time stands still until what was taken back is over, which is the
//! bound at most.

/// Nanoseconds since the origin of time.
pub(crate) type Nanos = i128;

/// Versions that are no further apart were written in one go: 60 s.
pub(crate) const IN_USE: Nanos = 60 * 1_000_000_000;

/// Number of settings of the clock that are remembered, the present one included.
const MAX_SETTINGS: usize = 8;

/// The clocks of one version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reading {
    /// The machine's clock.
    pub time: Nanos,
    /// Time in use, counted from any origin that is the same for neighbours; `None`: it was not written down.
    pub in_use: Option<Nanos>,
}

/// The step from one version to a later one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Step {
    /// Never negative.
    pub in_use: Nanos,
    /// The time that the clock shows beyond that.
    pub pause: Nanos,
}

impl Step {
    pub(crate) fn between(before: Reading, after: Reading) -> Self {
        let gap = after.time - before.time;
        let in_use = match (before.in_use, after.in_use) {
            (Some(before), Some(after)) if after >= before => after - before,
            _ => gap.clamp(0, IN_USE),
        };
        Self { in_use, pause: gap - in_use }
    }
}

/// One setting of the machine's clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Setting {
    /// Lead of the clock over time in use and all pauses that were counted.
    skew: Nanos,
    /// The last version that was chosen by it; see [`Clock::choose`].
    chosen: Moment,
}

/// The time of a version: by the clock, and by time in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Moment {
    pub time: Nanos,
    pub in_use: Nanos,
}

/// The last pauses before a version.
#[derive(Clone, Debug, Default)]
struct Pauses {
    last: [Nanos; 5],
    count: usize,
}

impl Pauses {
    fn push(&mut self, pause: Nanos) {
        self.last[self.count % 5] = pause.max(0);
        self.count += 1;
    }

    /// Returns the usual pause: longer than one of the last five, or than none of three. So it takes more than two wrong clocks
    /// to shift it. 0 where fewer are known.
    fn usual(&self) -> Nanos {
        let known = self.count.min(5);
        let mut sorted = self.last;
        sorted[..known].sort_unstable();
        if known < 3 { 0 } else { sorted[(known - 1) / 3] }
    }
}

/// The plausible time of the newest version, for a rule that believes pauses up to a bound.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    bound: Nanos,
    in_use: Nanos,
    /// The pauses that were counted.
    paused: Nanos,
    /// The part of them that a step back may take back.
    credit: Nanos,
    /// The sum of all steps' pauses, as the clock showed them.
    offset: Nanos,
    recent: Pauses,
    /// The present one first, then by when they were left.
    settings: [Setting; MAX_SETTINGS],
    known: usize,
    now: Nanos,
}

impl Clock {
    /// Starts at the first version, whose time is believed.
    pub(crate) fn start(first: Moment, bound: Nanos) -> Self {
        let mut settings = [Setting::default(); MAX_SETTINGS];
        settings[0].chosen = first;
        Self {
            bound,
            in_use: first.time,
            paused: 0,
            credit: 0,
            offset: 0,
            recent: Pauses::default(),
            settings,
            known: 1,
            now: first.time,
        }
    }

    /// Goes on to the next version; its plausible time. With it, the last version that was chosen by the same
    /// setting of the clock, `None` if it is a setting that was not met before.
    pub(crate) fn advance(&mut self, step: Step) -> (Nanos, Option<Moment>) {
        self.in_use += step.in_use;
        self.offset += step.pause;
        let known = &self.settings[..self.known];
        // What would be counted if the clock had this setting.
        let pause = |setting: &Setting| self.offset - setting.skew - self.paused;
        let believed = self.bound.max(2 * self.recent.usual());
        let is_usual = (0..=believed).contains(&pause(&known[0]));
        let near = known.iter().position(|setting| pause(setting).abs() <= self.bound);
        let found = if is_usual { Some(0) } else { near };
        let counted = match found {
            Some(i) => pause(&known[i]).max(-self.credit),
            None if step.pause > 0 => self.bound,
            None => 0,
        };
        let chosen = found.map(|i| known[i].chosen);
        self.recent.push(step.pause);
        self.paused += counted;
        self.credit = (self.credit + counted).clamp(0, self.bound);
        let place = found.unwrap_or_else(|| {
            self.known = (self.known + 1).min(MAX_SETTINGS);
            self.known - 1
        });
        self.settings[..=place].rotate_right(1);
        self.settings[0] = Setting { skew: self.offset - self.paused, chosen: chosen.unwrap_or_default() };
        self.now = self.now.max(self.in_use + self.paused);
        (self.now, chosen)
    }

    /// Says that the newest version was chosen.
    pub(crate) fn choose(&mut self, version: Moment) {
        self.settings[0].chosen = version;
    }

    pub(crate) fn now(&self) -> Nanos {
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Nanos = 3600 * 1_000_000_000;
    const DECADE: Nanos = 87_600 * HOUR;

    /// The plausible times of versions, under a bound of ten hours.
    fn plausible(times: &[Nanos]) -> Vec<Nanos> {
        let moment = |time| Moment { time, in_use: 0 };
        let mut clock = Clock::start(moment(times[0]), 10 * HOUR);
        let reading = |time| Reading { time, in_use: None };
        let step = |pair: &[Nanos]| Step::between(reading(pair[0]), reading(pair[1]));
        let next = |pair: &[Nanos]| clock.advance(step(pair)).0;
        std::iter::once(times[0]).chain(times.windows(2).map(next)).collect()
    }

    #[test]
    fn right_clocks_are_believed_and_long_pauses_bounded() {
        let times = [0, 1, 2, 10, 12].map(|n| n * HOUR);
        assert_eq!(plausible(&times), times);
        assert_eq!(
            plausible(&[0, HOUR, 1000 * HOUR, 1001 * HOUR]),
            [0, HOUR, 11 * HOUR + IN_USE, 12 * HOUR + IN_USE]
        );
    }

    #[test]
    fn a_wrong_clock_counts_once_and_is_forgotten_when_it_is_right_again() {
        for wrong in [DECADE, -DECADE] {
            let found = plausible(&[0, HOUR, 2 * HOUR + wrong, 3 * HOUR, 4 * HOUR, 100 * HOUR]);
            assert!(found.is_sorted());
            assert!(found[2] <= 11 * HOUR + IN_USE, "{found:?}");
            // It stands still until what was counted too much is over.
            assert_eq!(found[4], if wrong > 0 { 11 * HOUR + IN_USE } else { 4 * HOUR }, "{found:?}");
        }
    }

    #[test]
    fn clocks_that_come_and_go_do_not_add_up() {
        // A machine that starts in 1970, and is set right after each first version.
        let times: Vec<_> = (0..1000).flat_map(|n| [n % 7, DECADE + n * HOUR]).collect();
        let found = plausible(&times);
        let passed = found.last().unwrap() - found[0];
        assert!((940 * HOUR..=1020 * HOUR).contains(&passed), "{} hours", passed / HOUR);
    }
}
