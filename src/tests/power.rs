//! Power cuts: every disk that one can leave behind of what was done to a simulated disk.

use std::fmt;

use super::compaction::Noise;
use crate::storage::{CrashPoint, Fate, SimStorage};

/// Up to so many pending parts, every subset is tried; above, as many random ones.
pub(super) const EXHAUSTIVE: usize = 12;

/// What one power cut left.
pub(super) struct Cut<'a> {
    point: &'a CrashPoint,
    fate: &'a dyn Fn(usize) -> Fate,
    number: u64,
}

impl Cut<'_> {
    /// Behind how many operations it was.
    pub fn operation(&self) -> u64 {
        self.point.operation()
    }

    /// The disk that is found.
    pub fn image(&self) -> SimStorage {
        self.point.image(self.number, self.fate)
    }

    /// True for one cut among `n`, whatever else is counted.
    pub fn is_one_in(&self, n: u64) -> bool {
        (self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).is_multiple_of(n)
    }
}

impl fmt::Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "image {}, after operation {}", self.number, self.operation())
    }
}

/// Cuts power before the first operation that the disk recorded and after each. Of what is pending then, every subset
/// lands, up to `most` parts, else as many random ones; and each part alone turns to garbage, among others that landed
/// and among others that vanished. Returns the number of disks.
pub(super) fn cut_everywhere(disk: &SimStorage, most: usize, each: &mut dyn FnMut(&Cut<'_>)) -> u64 {
    let (mut images, mut noise) = (0, Noise(1));
    for point in &disk.crash_points() {
        let mut meet = |fate: &dyn Fn(usize) -> Fate| {
            images += 1;
            each(&Cut { point, fate, number: images });
        };
        let subset = |bits: u64| {
            move |part: usize| if bits >> (part % 64) & 1 == 1 { Fate::Lands } else { Fate::Vanishes }
        };
        if point.pending() <= most {
            (0..1u64 << point.pending()).for_each(|bits| meet(&subset(bits)));
        } else {
            let mut bits = || u64::from(noise.below(u32::MAX));
            (0..1u64 << most).for_each(|_| meet(&subset(bits() << 32 | bits())));
        }
        for garbage in 0..point.pending() {
            for others in [Fate::Lands, Fate::Vanishes] {
                meet(&|part| if part == garbage { Fate::Garbage } else { others });
            }
        }
    }
    images
}
