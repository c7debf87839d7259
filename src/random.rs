//! Random numbers, which a system that has none does not stop.
//!
//! std's `RandomState` panics where the system refuses to give random bytes (a sandbox without `getrandom`, without
//! `/dev/urandom`). What is drawn here tells things apart (stores, openings, seeds of hashers): it is no secret of
//! cryptography, and there is something to tell things apart by on every system.

use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use std::io::Read;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "store")]
use rustix::rand::{GetRandomFlags, getrandom};

/// A map that needs no randomness of the system to be made.
pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, Keyed>;
/// A set that needs no randomness of the system to be made.
pub(crate) type HashSet<T> = std::collections::HashSet<T, Keyed>;
/// A set of addresses in memory, which nobody chooses: it needs no key.
pub(crate) type PointerSet<T> = std::collections::HashSet<*const T, BuildHasherDefault<DefaultHasher>>;

/// Draws a random number that is not 0.
pub(crate) fn random_u64() -> u64 {
    mixed(from_system().or_else(from_device)).max(1)
}

/// The system's random bytes; `None` if it refuses.
#[cfg(feature = "store")]
fn from_system() -> Option<u64> {
    if cfg!(miri) {
        return Some(from_std()); // which runs no system call of rustix's
    }
    let mut bytes = [0; 8];
    let filled = getrandom(&mut bytes, GetRandomFlags::NONBLOCK).ok()?;
    (filled == bytes.len()).then(|| u64::from_ne_bytes(bytes))
}

/// Leaves it to the device on systems that have one: std panics there if it is refused, and only there.
#[cfg(not(feature = "store"))]
fn from_system() -> Option<u64> {
    (cfg!(miri) || !cfg!(unix)).then(from_std)
}

fn from_std() -> u64 {
    std::collections::hash_map::RandomState::new().hash_one(0)
}

fn from_device() -> Option<u64> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).ok()?;
    Some(u64::from_ne_bytes(bytes))
}

/// Mixes what the system drew, if anything, with what tells this draw from every other one: time, process, where the
/// system placed the stack, and a count.
fn mixed(drawn: Option<u64>) -> u64 {
    static DRAWS: AtomicU64 = AtomicU64::new(0);
    let mut hasher = DefaultHasher::new();
    drawn.hash(&mut hasher);
    std::time::SystemTime::now().hash(&mut hasher);
    std::time::Instant::now().hash(&mut hasher);
    std::process::id().hash(&mut hasher);
    std::ptr::from_ref(&hasher).addr().hash(&mut hasher);
    DRAWS.fetch_add(1, Ordering::Relaxed).hash(&mut hasher);
    hasher.finish()
}

/// Makes the hashers of maps of this crate's own: std's, keyed once a process.
#[derive(Clone, Copy, Default)]
pub(crate) struct Keyed;

impl BuildHasher for Keyed {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        static KEY: OnceLock<u64> = OnceLock::new();
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(*KEY.get_or_init(random_u64));
        hasher
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_differ_with_and_without_the_system() {
        let with: std::collections::BTreeSet<_> = (0..1000).map(|_| random_u64()).collect();
        assert_eq!(with.len(), 1000);
        let without: std::collections::BTreeSet<_> = (0..1000).map(|_| mixed(None)).collect();
        assert_eq!(without.len(), 1000);
        // Bits are as often set as not, about.
        let ones: u32 = without.iter().map(|number| number.count_ones()).sum();
        assert!((31_000..33_000).contains(&ones), "{ones}");
        assert!(from_device().is_some());
        #[cfg(feature = "store")]
        assert!(from_system().is_some());
    }
}
