//! Entries, random numbers and statistics that the benches share.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

/// An entry of a state: 108 bytes, about half of them random.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Random words.
    pub position: [u64; 4],
    /// Random bytes.
    pub key: [u8; 16],
    /// Text, padded with zeros.
    pub name: [u8; 24],
    /// The same in all entries.
    pub level: u32,
    /// The same in all entries.
    pub hits: u64,
    /// The same in all entries.
    pub owner: u64,
    /// The same in all entries.
    pub flags: u64,
}

impl Entry {
    /// Appends the entry's fields, without a format of its own.
    pub fn append_raw(&self, out: &mut Vec<u8>) {
        self.position.iter().for_each(|word| out.extend(word.to_le_bytes()));
        out.extend(self.key);
        out.extend(self.name);
        out.extend(self.level.to_le_bytes());
        [self.hits, self.owner, self.flags].iter().for_each(|word| out.extend(word.to_le_bytes()));
    }
}

/// A generator of random numbers (xorshift64): the same seed gives the same run everywhere. The seed is not 0.
pub struct Random(pub u64);

impl Random {
    /// Returns the next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns a new entry.
    pub fn entry(&mut self) -> Entry {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.bits().to_le_bytes());
        key[8..].copy_from_slice(&self.bits().to_le_bytes());
        let mut name = [0; 24];
        name[..6].copy_from_slice(b"player");
        let position = std::array::from_fn(|_| self.bits());
        Entry { position, key, name, level: 7, hits: 0, owner: 1, flags: 0 }
    }
}

/// Returns the median, the upper one of two. Panics if `values` is empty.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Formats a time in microseconds or milliseconds.
pub fn us(time: Duration) -> String {
    let us = time.as_secs_f64() * 1e6;
    if us < 1e3 { format!("{us:.1} us") } else { format!("{:.1} ms", us / 1e3) }
}

/// Creates a directory for a store in the directory that the environment variable DIR names, else in the system's for
/// temporary files.
pub fn directory() -> TempDir {
    let parent = std::env::var_os("DIR").map_or_else(std::env::temp_dir, Into::into);
    tempfile::tempdir_in(&parent)
        .unwrap_or_else(|error| panic!("no directory in {}: {error}", parent.display()))
}
