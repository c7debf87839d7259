//! Tests that need more than one module, or the source tree itself.

mod adversity;
mod alone;
#[cfg(feature = "store")]
mod compaction;
#[cfg(feature = "zstd")]
mod corpus;
#[cfg(feature = "store")]
mod eviction;
#[cfg(feature = "zstd")]
mod fuzzed;
#[cfg(feature = "store")]
pub(crate) mod hooked;
#[cfg(feature = "store")]
mod joined;
mod letting_go;
#[cfg(feature = "store")]
mod locks;
mod ord_map;
#[cfg(feature = "store")]
mod power;
#[cfg(feature = "store")]
mod shim;
#[cfg(feature = "store")]
mod store;
mod unshared;
#[cfg(feature = "store")]
mod unwound;
mod vector;

// Narrow nodes are built under a sanitizer, which takes long, and run none of these; `golden` has another geometry.
#[cfg(not(small_nodes))]
mod additions;
#[cfg(not(small_nodes))]
mod as_std;
#[cfg(all(feature = "store", not(small_nodes)))]
mod auto_traits;
#[cfg(all(feature = "store", not(small_nodes)))]
mod crash;
#[cfg(all(feature = "store", not(small_nodes)))]
mod damage;
#[cfg(all(feature = "store", not(small_nodes)))]
mod forks;
#[cfg(all(feature = "store", not(small_nodes)))]
mod full;
#[cfg(all(feature = "store", not(small_nodes)))]
pub(crate) mod golden;
#[cfg(all(feature = "store", not(small_nodes)))]
mod grown;
#[cfg(all(feature = "store", not(small_nodes)))]
mod keeping;
#[cfg(all(feature = "store", not(small_nodes)))]
mod kill;
#[cfg(all(feature = "store", not(small_nodes)))]
mod lives;
#[cfg(all(feature = "store", not(small_nodes)))]
mod log;
#[cfg(all(feature = "store", not(small_nodes)))]
mod migrate;
#[cfg(all(feature = "store", not(small_nodes)))]
mod mixed;
#[cfg(all(feature = "store", not(small_nodes)))]
mod moved;
#[cfg(all(feature = "store", not(small_nodes)))]
mod names;
#[cfg(all(feature = "store", not(small_nodes)))]
mod openings;
#[cfg(not(small_nodes))]
mod order;
#[cfg(all(feature = "store", not(small_nodes)))]
mod outlived;
#[cfg(all(feature = "store", not(small_nodes)))]
mod reentry;
#[cfg(all(feature = "store", not(small_nodes)))]
mod rehash;
#[cfg(all(feature = "store", not(small_nodes)))]
mod saving;
#[cfg(all(feature = "store", not(small_nodes)))]
mod schema;
#[cfg(all(feature = "store", not(small_nodes)))]
mod small;
#[cfg(all(feature = "store", not(small_nodes)))]
mod space;
#[cfg(all(feature = "store", not(small_nodes)))]
mod stress;
#[cfg(not(small_nodes))]
mod tidy;
#[cfg(all(feature = "store", not(small_nodes)))]
mod tools;
#[cfg(all(feature = "store", not(small_nodes)))]
mod unmapped;
#[cfg(all(feature = "store", not(small_nodes)))]
mod unnamed;
#[cfg(all(feature = "store", not(small_nodes)))]
mod unreadable;
#[cfg(all(feature = "store", not(small_nodes)))]
mod unseen;
#[cfg(all(feature = "store", not(small_nodes)))]
mod value;
#[cfg(all(feature = "store", not(small_nodes)))]
mod views;
#[cfg(all(feature = "store", not(feature = "zstd")))]
mod without_zstd;

/// Cases of a model test, of up to 200 operations each. Narrow nodes, which run under a sanitizer, reach every shape in fewer.
pub(crate) const CASES: u32 = if cfg!(small_nodes) { 256 } else { 1024 };

/// The compressions that this build has.
#[cfg(feature = "store")]
pub(crate) fn compressions() -> impl Iterator<Item = crate::store::Compression> {
    use crate::store::Compression;
    let all = [Compression::None, Compression::Lz4, Compression::Zstd];
    all.into_iter().filter(|compression| cfg!(feature = "zstd") || *compression != Compression::Zstd)
}

/// The seeds to try: `PERENNIAL_SEED` is one, `PERENNIAL_SEEDS` a number of them.
pub(crate) fn seeds(few: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    match number("PERENNIAL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PERENNIAL_SEEDS").unwrap_or(few),
    }
}
