//! Tests that need more than one module, or the source tree itself.

mod adversity;
mod compaction;
mod damage;
mod demotion;
mod golden;
mod grown;
mod kill;
mod log;
mod migrate;
mod ord_map;
mod peers;
mod shim;
mod store;
mod stress;
mod tidy;
mod tools;
mod vector;
