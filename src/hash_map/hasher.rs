//! Hashing that gives the same key the same place in every process, and the promise that a hasher must make.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A `BuildHasher` whose output depends on its seed alone: not on the process, the platform or the crate's version.
///
/// Where a persisted key lies in a map is decided by its hash, so only maps with such a hasher can be checkpointed.
/// `std::hash::RandomState`, ahash and foldhash promise no stable output and must not implement this.
///
/// The promise includes the keys: a `Hash` implementation that feeds other bytes than it did when a checkpoint was
/// written moves its keys, which is found when they are read ([`Error::HashChanged`](crate::Error::HashChanged)).
pub trait StableBuildHasher: BuildHasher + Clone {
    /// Name of the algorithm, stored with each map; change it when the output changes.
    const ALGORITHM: &'static str;

    /// The seed, stored with each map.
    fn seed(&self) -> u64;

    /// The hasher of this seed.
    fn from_seed(seed: u64) -> Self;
}

/// The default hasher: stable, seeded once a process at random, a few instructions for integers.
///
/// Integers are mixed by a folded 64 x 64 -> 128 bit multiplication, byte strings by XXH3-64 (stable by its
/// specification) with the running state as seed.
///
/// ```
/// use std::hash::BuildHasher;
/// use perennial::SeededState;
///
/// assert_eq!(SeededState::new(7).hash_one("key"), SeededState::new(7).hash_one("key"));
/// assert_ne!(SeededState::new(7).hash_one("key"), SeededState::new(8).hash_one("key"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeededState {
    seed: u64,
}

impl SeededState {
    /// The hasher of a seed of your choice.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }
}

impl Default for SeededState {
    /// The hasher of this process's seed, drawn once from the system's randomness.
    fn default() -> Self {
        static SEED: OnceLock<u64> = OnceLock::new();
        Self { seed: *SEED.get_or_init(|| RandomState::new().hash_one(0x70_65_72_65)) }
    }
}

impl StableBuildHasher for SeededState {
    const ALGORITHM: &'static str = "fold64-xxh3-1";

    fn seed(&self) -> u64 {
        self.seed
    }

    fn from_seed(seed: u64) -> Self {
        Self { seed }
    }
}

impl BuildHasher for SeededState {
    type Hasher = SeededHasher;

    #[inline]
    fn build_hasher(&self) -> SeededHasher {
        SeededHasher { state: self.seed ^ 0x9e37_79b9_7f4a_7c15 }
    }
}

/// The hasher that [`SeededState`] builds.
#[derive(Clone, Debug)]
pub struct SeededHasher {
    state: u64,
}

impl SeededHasher {
    #[inline]
    fn fold(&mut self, word: u64) {
        // An odd constant without structure: the fractional part of sqrt(7), as 64 bits.
        let product = u128::from(self.state ^ word) * 0xa54f_f53a_5f1d_36f1;
        self.state = (product >> 64) as u64 ^ product as u64;
    }
}

impl Hasher for SeededHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.fold(xxh3_64_with_seed(bytes, self.state));
    }
    #[inline]
    fn write_u8(&mut self, value: u8) {
        self.fold(u64::from(value));
    }
    #[inline]
    fn write_u16(&mut self, value: u16) {
        self.fold(u64::from(value));
    }
    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.fold(u64::from(value));
    }
    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.fold(value);
    }
    #[inline]
    fn write_u128(&mut self, value: u128) {
        self.fold(value as u64);
        self.fold((value >> 64) as u64);
    }
    #[inline]
    fn write_usize(&mut self, value: usize) {
        self.fold(value as u64);
    }
    #[inline]
    fn finish(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_is_what_it_was_in_the_first_version() {
        let hasher = SeededState::new(1);
        let hashes = [
            hasher.hash_one(0u64),
            hasher.hash_one(1u64),
            hasher.hash_one("player"),
            hasher.hash_one((1u8, "x")),
        ];
        assert_eq!(hashes, GOLDEN, "stored maps would be unreadable: name a new algorithm instead");
    }

    const GOLDEN: [u64; 4] = [
        17_715_230_588_130_889_699,
        6_875_538_241_270_723_837,
        4_569_166_663_379_979_447,
        8_041_443_667_144_672_919,
    ];

    #[test]
    fn consecutive_integers_spread_over_high_and_low_bits() {
        for seed in 0..16 {
            let hasher = SeededState::new(seed);
            let (mut high, mut low) = ([0u32; 256], [0u32; 256]);
            for key in 0..65_536u64 {
                let hash = hasher.hash_one(key);
                high[(hash >> 56) as usize] += 1;
                low[(hash & 255) as usize] += 1;
            }
            for count in high.iter().chain(&low) {
                assert!(
                    (128..=512).contains(count),
                    "seed {seed}: {count} of 65,536 keys in one of 256 places"
                );
            }
        }
    }
}
