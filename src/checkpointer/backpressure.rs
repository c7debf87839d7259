//! How much is unsaved, and how long a writer pauses for it.

use std::time::Duration;

use crate::sync::{AtomicU64, Ordering};

/// What an update is taken to change, in bytes, before any was seen.
const FIRST_GUESS_BYTES: u64 = 256;
/// Pauses shorter than this are saved up: the system cannot sleep for less.
const MIN_PAUSE: Duration = Duration::from_micros(100);

/// Counts of versions published, and what of them was captured and became durable. Advisory: relaxed throughout.
pub(super) struct Pressure {
    published: AtomicU64,
    captured: AtomicU64,
    durable: AtomicU64,
    bytes_per_update: AtomicU64,
    /// Pauses owed, in nanoseconds.
    owed: AtomicU64,
}

/// How a writer is to be slowed down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Backpressure {
    /// Not at all.
    Free,
    /// By a pause this long.
    Pause(Duration),
    /// Until less is unsaved, for at most this long.
    Wait(Duration),
}

impl Pressure {
    pub(super) fn new() -> Self {
        Self {
            published: AtomicU64::new(0),
            captured: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            bytes_per_update: AtomicU64::new(FIRST_GUESS_BYTES),
            owed: AtomicU64::new(0),
        }
    }

    /// Counts a version.
    pub(super) fn publish(&self) {
        self.published.fetch_add(1, Ordering::Relaxed);
    }

    /// Says that the newest version is about to be captured. The mark to give to [`set_durable`](Self::set_durable).
    pub(super) fn capture(&self) -> u64 {
        let mark = self.published.load(Ordering::Relaxed);
        self.captured.store(mark, Ordering::Relaxed);
        mark
    }

    pub(super) fn set_durable(&self, mark: u64) {
        self.durable.fetch_max(mark, Ordering::Relaxed);
    }

    /// Learns what the updates between two captures changed.
    pub(super) fn learn(&self, updates: u64, bytes: u64) {
        let Some(seen) = bytes.checked_div(updates) else { return };
        let known = self.bytes_per_update.load(Ordering::Relaxed);
        self.bytes_per_update.store((3 * known + seen) / 4, Ordering::Relaxed);
    }

    fn bytes(&self, updates: u64) -> u64 {
        updates.saturating_mul(self.bytes_per_update.load(Ordering::Relaxed))
    }

    /// Versions published since the last capture, and about how many bytes they changed.
    pub(super) fn uncaptured(&self) -> (u64, u64) {
        let published = self.published.load(Ordering::Relaxed);
        let updates = published.saturating_sub(self.captured.load(Ordering::Relaxed));
        (updates, self.bytes(updates))
    }

    /// Versions published since the capture of the last durable one, and about how many bytes they changed.
    pub(super) fn unsaved(&self) -> (u64, u64) {
        let published = self.published.load(Ordering::Relaxed);
        let updates = published.saturating_sub(self.durable.load(Ordering::Relaxed));
        (updates, self.bytes(updates))
    }

    /// How a writer is to be slowed down between these marks.
    pub(super) fn brake(&self, soft_bytes: u64, hard_bytes: u64, max_pause: Duration) -> Backpressure {
        let (_, unsaved_bytes) = self.unsaved();
        if unsaved_bytes >= hard_bytes {
            return Backpressure::Wait(max_pause);
        }
        let Some(over) = unsaved_bytes.checked_sub(soft_bytes).filter(|&over| over > 0) else {
            return Backpressure::Free;
        };
        let pause = max_pause.mul_f64(over as f64 / (hard_bytes - soft_bytes) as f64);
        let pause_ns = pause.as_nanos() as u64;
        let owed_ns = self.owed.fetch_add(pause_ns, Ordering::Relaxed) + pause_ns;
        if u128::from(owed_ns) < MIN_PAUSE.as_nanos() {
            return Backpressure::Free;
        }
        // Another writer may have taken it meanwhile.
        match self.owed.swap(0, Ordering::Relaxed) {
            0 => Backpressure::Free,
            owed_ns => Backpressure::Pause(Duration::from_nanos(owed_ns)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn published(updates: u64) -> Pressure {
        let pressure = Pressure::new();
        (0..updates).for_each(|_| pressure.publish());
        pressure
    }

    #[test]
    fn pauses_grow_in_proportion_between_the_marks() {
        let brake = |updates: u64| {
            published(updates).brake(100 * FIRST_GUESS_BYTES, 200 * FIRST_GUESS_BYTES, 10 * MS)
        };
        assert_eq!(brake(0), Backpressure::Free);
        assert_eq!(brake(100), Backpressure::Free);
        assert_eq!(brake(110), Backpressure::Pause(MS));
        assert_eq!(brake(150), Backpressure::Pause(5 * MS));
        assert_eq!(brake(200), Backpressure::Wait(10 * MS));
    }

    #[test]
    fn pauses_too_short_to_sleep_are_saved_up_not_lost() {
        let pressure = published(101);
        let brake = || pressure.brake(100 * FIRST_GUESS_BYTES, 200 * FIRST_GUESS_BYTES, 4 * MS);
        // A hundredth of 4 ms is 40 µs.
        assert_eq!((brake(), brake()), (Backpressure::Free, Backpressure::Free));
        assert_eq!(brake(), Backpressure::Pause(Duration::from_micros(120)));
        assert_eq!(brake(), Backpressure::Free);
    }

    #[test]
    fn what_is_captured_is_unsaved_until_it_is_durable() {
        let pressure = published(10);
        let mark = pressure.capture();
        (0..5).for_each(|_| pressure.publish());
        assert_eq!((pressure.uncaptured().0, pressure.unsaved().0), (5, 15));
        pressure.set_durable(mark);
        assert_eq!((pressure.uncaptured().0, pressure.unsaved().0), (5, 5));
        pressure.set_durable(0);
        assert_eq!(pressure.unsaved().0, 5, "an older mark that comes late");
    }

    #[test]
    fn the_size_of_an_update_follows_what_is_seen() {
        let pressure = published(1);
        for _ in 0..40 {
            pressure.learn(10, 10_000);
        }
        assert!((900..=1_000).contains(&pressure.unsaved().1));
        pressure.learn(0, 1 << 40);
        assert!(pressure.unsaved().1 <= 1_000, "nothing is learnt from no updates");
    }
}
