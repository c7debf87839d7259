//! Tests that need more than one module, or the source tree itself.

mod adversity;
mod alone;
mod compaction;
mod corpus;
mod eviction;
mod fuzzed;
pub(crate) mod hooked;
mod joined;
mod letting_go;
mod locks;
mod ord_map;
mod power;
mod shim;
mod store;
mod unshared;
mod unwound;
mod vector;

// Narrow nodes are built under a sanitizer, which takes long, and run none of these; `golden` has another geometry.
#[cfg(not(small_nodes))]
mod additions;
#[cfg(not(small_nodes))]
mod as_std;
#[cfg(not(small_nodes))]
mod auto_traits;
#[cfg(not(small_nodes))]
mod crash;
#[cfg(not(small_nodes))]
mod damage;
#[cfg(not(small_nodes))]
mod forks;
#[cfg(not(small_nodes))]
mod full;
#[cfg(not(small_nodes))]
mod golden;
#[cfg(not(small_nodes))]
mod grown;
#[cfg(not(small_nodes))]
mod keeping;
#[cfg(not(small_nodes))]
mod kill;
#[cfg(not(small_nodes))]
mod lives;
#[cfg(not(small_nodes))]
mod log;
#[cfg(not(small_nodes))]
mod migrate;
#[cfg(not(small_nodes))]
mod mixed;
#[cfg(not(small_nodes))]
mod moved;
#[cfg(not(small_nodes))]
mod names;
#[cfg(not(small_nodes))]
mod openings;
#[cfg(not(small_nodes))]
mod order;
#[cfg(not(small_nodes))]
mod outlived;
#[cfg(not(small_nodes))]
mod reentry;
#[cfg(not(small_nodes))]
mod rehash;
#[cfg(not(small_nodes))]
mod saving;
#[cfg(not(small_nodes))]
mod schema;
#[cfg(not(small_nodes))]
mod small;
#[cfg(not(small_nodes))]
mod space;
#[cfg(not(small_nodes))]
mod stress;
#[cfg(not(small_nodes))]
mod tidy;
#[cfg(not(small_nodes))]
mod tools;
#[cfg(not(small_nodes))]
mod unmapped;
#[cfg(not(small_nodes))]
mod unnamed;
#[cfg(not(small_nodes))]
mod unreadable;
#[cfg(not(small_nodes))]
mod unseen;
#[cfg(not(small_nodes))]
mod value;
#[cfg(not(small_nodes))]
mod views;

/// Cases of a model test, of up to 200 operations each. Narrow nodes, which run under a sanitizer, reach every shape in fewer.
pub(crate) const CASES: u32 = if cfg!(small_nodes) { 256 } else { 1024 };

/// The seeds to try: `PERENNIAL_SEED` is one, `PERENNIAL_SEEDS` a number of them.
pub(crate) fn seeds(few: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    match number("PERENNIAL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PERENNIAL_SEEDS").unwrap_or(few),
    }
}
