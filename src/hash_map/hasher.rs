//! Hashing that gives the same key the same place in every process, and the promise that a hasher must make.
//!
//! # Colliding keys
//!
//! Keys that collide cannot be chosen without knowledge of the seed, as far as is known. Every step is keyed by two
//! secrets, both made from the seed: the state `s`, which begins as `k`, and an odd multiplier `m`. `fold(p)` is the
//! exclusive or of the two halves of a 128-bit product `p`. In the table, to collide means: for a part of the seeds that is
//! much larger than 2^-64.
//!
//! | keys | steps | reason why two of them do not collide |
//! |---|---|---|
//! | integers of up to 8 bytes, characters, booleans | `s = fold((s ^ x) * m)` | The products of `x` and `x'` differ by `(s ^ x) - (s ^ x')` times `m`. As `m` is odd, the lower halves differ. The folded halves are equal only if the upper ones differ by the same bits, which are decided by `m` and by carries from `k`. |
//! | `u128`, pairs, tuples, structs | one such step for each word | The choice of the second words has to cancel the difference of the states behind the first ones. That difference is a pseudo-random function of `m` and `k`; a guess of it is right for about one seed in 2^62. |
//! | up to 16 bytes | two words `a`, `b` that hold all bytes: `s = fold((a ^ m) * (b ^ s ^ len * m))` | Both factors are secret. Keys of one length differ in `a` or in `b`; keys of two lengths have second factors that differ by an unknown multiple of `m`. |
//! | 17 to 128 bytes | `s = fold((a ^ m) * (b ^ s))` for each 16 bytes but the last 1 to 16, which go as above, overlapping | Each step is as above. The state behind one step is a secret factor of the next: steps do not commute, and their results are not added up. |
//! | more bytes | the same in four lanes, 64 bytes at a time, whose states are then steps of one chain | Lanes begin with four different secret states, so that exchanging parts between lanes changes the results of both. |
//! | slices, `Vec`, strings | length or an end byte, and the items | as those of a tuple |
//!
//! A step forgets the state before it if one factor is zero: `a = m` or `b = s`, which takes a guess of 64 bits (62 for `m`).
//!
//! The former algorithm hashed bytes by XXH3. For long inputs it adds up, for each lane of 8 bytes, the product of the lane's two
//! halves, each under a secret that is a public constant plus or minus the seed: for one seed in some hundred, what one lane
//! adds can be taken away in another, and 14 such pairs of lanes make 16,384 texts of one hash. Its multiplier was public too,
//! so one known hash gave away the state behind it, and with it pairs and wide integers that collide.
//!
//! Not promised: this is not a cryptographic hash. Someone who sees hashes, or the order in which a large map of known keys is iterated over
//! (it is the order of hashes), may be able to compute the seed. A seed that is known protects nothing.

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

#[cfg(feature = "store")]
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::random::random_u64;

/// A `BuildHasher` whose output depends on its seed alone: not on the process, the platform or the crate's version.
///
/// Where a persisted key lies in a map is decided by its hash, so only maps with such a hasher can be checkpointed.
/// `std::hash::RandomState`, ahash and foldhash promise no stable output and must not implement this.
///
/// The promise includes the keys: a `Hash` implementation that feeds other bytes than it did when a checkpoint was
/// written moves its keys, which is found when they are read ([`Error::HashChanged`](crate::Error::HashChanged)).
///
/// ```
/// use std::hash::BuildHasher;
/// use perennial::{HashMap, SeededState};
/// use perennial::hash_map::{SeedAccess, StableBuildHasher};
///
/// /// The default hasher under a name of one's own.
/// #[derive(Clone, Default)]
/// struct Own(SeededState);
///
/// impl BuildHasher for Own {
///     type Hasher = <SeededState as BuildHasher>::Hasher;
///     fn build_hasher(&self) -> Self::Hasher {
///         self.0.build_hasher()
///     }
/// }
///
/// impl StableBuildHasher for Own {
///     const ALGORITHM: &'static str = "own-1";
///     fn seed(&self, access: SeedAccess) -> u64 {
///         self.0.seed(access)
///     }
///     fn from_seed(seed: u64) -> Self {
///         Self(SeededState::from_seed(seed))
///     }
/// }
///
/// let mut map: HashMap<&str, u32, Own> = HashMap::default();
/// assert_eq!(map.insert("ada", 1), None);
/// ```
pub trait StableBuildHasher: BuildHasher + Clone {
    /// Name of the algorithm, stored with each map; change it when the output changes.
    const ALGORITHM: &'static str;

    /// Name of the algorithm before this one, if maps that were stored with it can still be read.
    const FORMER_ALGORITHM: Option<&'static str> = None;

    /// The seed, stored with each map. Only a store can ask for it.
    fn seed(&self, access: SeedAccess) -> u64;

    /// The hasher of this seed.
    fn from_seed(seed: u64) -> Self;

    /// The hasher of this seed whose algorithm is [`FORMER_ALGORITHM`](Self::FORMER_ALGORITHM), if there is one.
    fn from_former_seed(seed: u64) -> Self {
        Self::from_seed(seed)
    }

    /// Name of the algorithm of this hasher: the present one or the former.
    fn algorithm(&self) -> &'static str {
        Self::ALGORITHM
    }
}

/// Permission to ask a hasher for its seed. Only the code that stores a map has one, so that a seed is shown to nobody else.
#[derive(Clone, Copy, Debug)]
pub struct SeedAccess(());

impl SeedAccess {
    pub(super) const OF_STORE: Self = Self(());
}

/// The default hasher: stable, keyed, a few instructions for integers.
///
/// Without its seed nobody is known to be able to make keys that collide: see the [argument](crate::docs::collections#hashing).
/// The seed is drawn once a process from the system's randomness, so that maps which are made independently can still share
/// what they have in common. It appears in no `Debug` output and no error; a checkpoint holds it, and a restored map
/// keeps the one that it was stored with.
///
/// A map that was stored with the former algorithm keeps it. Collecting its entries into a new map gives them the
/// present algorithm and this process's seed; [`RestoreOptions::rebuild`](crate::store::RestoreOptions::rebuild) gives them the present algorithm and
/// keeps the seed.
///
/// ```
/// use std::hash::BuildHasher;
/// use perennial::SeededState;
///
/// assert_eq!(SeededState::new(7).hash_one("key"), SeededState::new(7).hash_one("key"));
/// assert_ne!(SeededState::new(7).hash_one("key"), SeededState::new(8).hash_one("key"));
/// assert_eq!(format!("{:?}", SeededState::new(7)), "SeededState { .. }");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SeededState {
    /// The state in which a hasher begins.
    key: u64,
    /// Odd. Bit 1 is set, but for [`FORMER_MULTIPLIER`], which says that the algorithm is the former one.
    multiplier: u64,
}

/// The multiplier of the former algorithm: the fractional part of sqrt(7), as 64 bits.
const FORMER_MULTIPLIER: u64 = 0xa54f_f53a_5f1d_36f1;

/// The fractional part of the golden ratio, as 64 bits.
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

/// Bit 1 of a multiplier: set where the algorithm is the present one.
const PRESENT: u64 = 2;

/// Mixes a seed into a word each bit of which depends on each bit of it (SplitMix64 of Steele, Lea and Flood).
const fn mixed(seed: u64) -> u64 {
    let word = seed.wrapping_add(GOLDEN_RATIO);
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

impl SeededState {
    /// The hasher of a seed of your choice, for results that are the same in every process.
    ///
    /// The seed is enough to make keys that collide: choose the keys yourself, or a seed that nobody else knows.
    pub const fn new(seed: u64) -> Self {
        Self { key: seed ^ GOLDEN_RATIO, multiplier: mixed(seed) | PRESENT | 1 }
    }

    const fn former(seed: u64) -> Self {
        Self { key: seed ^ GOLDEN_RATIO, multiplier: FORMER_MULTIPLIER }
    }

    #[inline]
    const fn is_former(&self) -> bool {
        self.multiplier & PRESENT == 0
    }

    /// Draws a hasher from the system's randomness.
    fn draw() -> Self {
        let mut drawn = Self::new(random_u64());
        for _ in 1..64 {
            if spreads(drawn.multiplier) {
                break;
            }
            drawn = Self::new(random_u64());
        }
        drawn
    }
}

/// Returns whether the multiples of a multiplier, modulo 2^64, are spread evenly, which keeps maps of consecutive integers
/// in shape. Two of three are. Others are close to a fraction of small terms, which shows in large terms of their continued fraction.
fn spreads(multiplier: u64) -> bool {
    let (mut above, mut below) = (1u128 << 64, u128::from(multiplier));
    while below > 1 << 44 {
        if above / below > 32 {
            return false;
        }
        (above, below) = (below, above % below);
    }
    true
}

impl Default for SeededState {
    /// The hasher of this process's seed, drawn once from the system's randomness.
    fn default() -> Self {
        static OF_PROCESS: OnceLock<SeededState> = OnceLock::new();
        *OF_PROCESS.get_or_init(Self::draw)
    }
}

impl fmt::Debug for SeededState {
    /// Shows no seed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeededState").finish_non_exhaustive()
    }
}

impl StableBuildHasher for SeededState {
    const ALGORITHM: &'static str = "fold64-2";
    const FORMER_ALGORITHM: Option<&'static str> = Some("fold64-xxh3-1");

    fn seed(&self, _: SeedAccess) -> u64 {
        self.key ^ GOLDEN_RATIO
    }

    fn from_seed(seed: u64) -> Self {
        Self::new(seed)
    }

    fn from_former_seed(seed: u64) -> Self {
        Self::former(seed)
    }

    fn algorithm(&self) -> &'static str {
        match Self::FORMER_ALGORITHM {
            Some(former) if self.is_former() => former,
            _ => Self::ALGORITHM,
        }
    }
}

impl BuildHasher for SeededState {
    type Hasher = SeededHasher;

    #[inline]
    fn build_hasher(&self) -> SeededHasher {
        SeededHasher { state: self.key, multiplier: self.multiplier }
    }
}

/// The hasher that [`SeededState`] builds.
#[derive(Clone)]
pub struct SeededHasher {
    state: u64,
    multiplier: u64,
}

impl fmt::Debug for SeededHasher {
    /// Shows no state.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeededHasher").finish_non_exhaustive()
    }
}

/// The exclusive or of the halves of a product.
#[inline]
const fn fold(one: u64, two: u64) -> u64 {
    let product = one as u128 * two as u128;
    (product >> 64) as u64 ^ product as u64
}

/// The words of 16 bytes.
#[inline]
fn words(bytes: &[u8; 16]) -> (u64, u64) {
    let words = u128::from_le_bytes(*bytes);
    (words as u64, (words >> 64) as u64)
}

/// Two words that hold all of up to 16 bytes.
#[inline]
fn words_of_few(bytes: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into());
    }
    match *bytes {
        [] => (0, 0),
        [one] => (one.into(), 0),
        [one, .., last] => (one.into(), u64::from(bytes[bytes.len() / 2]) << 8 | u64::from(last)),
    }
}

#[inline]
fn step(state: u64, bytes: &[u8; 16], key: u64) -> u64 {
    let (one, two) = words(bytes);
    fold(one ^ key, two ^ state)
}

/// The longest bytes that are hashed in one lane.
const ONE_LANE: usize = 128;

/// The state behind as many pieces as four lanes can share, and the pieces that are left. Lanes do not wait for each other.
#[inline(never)]
fn in_lanes(pieces: &[[u8; 16]], state: u64, key: u64) -> (u64, &[[u8; 16]]) {
    let (blocks, rest) = pieces.as_chunks::<4>();
    let mut lanes = [state, state ^ key, state.rotate_left(21), state.rotate_left(42) ^ key];
    for block in blocks {
        for (lane, piece) in lanes.iter_mut().zip(block) {
            *lane = step(*lane, piece, key);
        }
    }
    let state = fold(lanes[0] ^ key, lanes[1]);
    (fold(lanes[2] ^ key, lanes[3] ^ state), rest)
}

impl SeededHasher {
    #[inline]
    fn fold(&mut self, word: u64) {
        self.state = fold(self.state ^ word, self.multiplier);
    }

    /// Takes in bytes; the module's text says why in this way.
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        let key = self.multiplier;
        let mut state = self.state ^ (bytes.len() as u64).wrapping_mul(key);
        let (one, two) = match bytes.last_chunk::<16>() {
            Some(last) if bytes.len() > 16 => {
                let mut pieces = bytes[..bytes.len() - 1].as_chunks::<16>().0;
                if bytes.len() > ONE_LANE {
                    (state, pieces) = in_lanes(pieces, state, key);
                }
                for piece in pieces {
                    state = step(state, piece, key);
                }
                words(last)
            }
            _ => words_of_few(bytes),
        };
        self.state = fold(one ^ key, two ^ state);
    }

    #[cold]
    fn bytes_as_former(&mut self, bytes: &[u8]) {
        #[cfg(feature = "store")]
        self.fold(xxh3_64_with_seed(bytes, self.state));
        // Only what restores a map asks for it.
        #[cfg(not(feature = "store"))]
        self.bytes(bytes);
    }
}

impl Hasher for SeededHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        if self.multiplier & PRESENT == 0 {
            self.bytes_as_former(bytes);
        } else {
            self.bytes(bytes);
        }
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
mod tests;
