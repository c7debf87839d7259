//! Tests that need more than one module, or the source tree itself.

mod adversity;
mod alone;
mod as_std;
mod auto_traits;
mod compaction;
mod corpus;
mod crash;
mod damage;
mod demotion;
mod forks;
mod full;
mod fuzzed;
/// (Narrow nodes are written in another geometry.)
#[cfg(not(small_nodes))]
mod golden;
mod grown;
pub(crate) mod hooked;
mod joined;
mod keeping;
mod kill;
mod letting_go;
mod lives;
mod locks;
mod log;
mod migrate;
mod mixed;
mod moved;
mod names;
mod openings;
mod ord_map;
mod order;
mod outlived;
mod peers;
mod power;
mod reentry;
mod rehash;
mod saving;
mod schema;
mod shim;
mod small;
mod space;
mod store;
mod stress;
mod tidy;
mod tools;
mod unnamed;
mod unseen;
mod unshared;
mod unwound;
mod value;
mod vector;

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
