//! Application state in copy-on-write collections: snapshots are O(1), durable checkpoints write only what changed.
//!
//! Hold the state in [`HashMap`]s, [`OrdMap`]s and [`Vector`]s, as parts of your own types. They read like those of
//! std, and a clone shares every node with its original, so that keeping a version costs only what later versions
//! change. A [`State`] publishes versions to any number of readers; a [`History`] keeps some for undo. A
//! [`Store`](store::Store) writes a version to disk as a *checkpoint*: only nodes that have changed since they were
//! last written, in one append and one sync, all or nothing. Any checkpoint can be opened again at once, whatever its
//! size: nodes load when they are first touched.
//!
#![cfg_attr(feature = "store", doc = "```")]
#![cfg_attr(not(feature = "store"), doc = "```ignore")]
//! use perennial::state::Depth;
//! use perennial::store::Store;
//! use perennial::{HashMap, History, State, Vector};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Default, Serialize, Deserialize)]
//! struct World {
//!     players: HashMap<u64, Player>,
//!     log: Vector<String>,
//! }
//!
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Player {
//!     name: String,
//!     gold: u64,
//! }
//!
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("world");
//! let store = Store::open(&path)?;
//! let state = State::new(store.latest::<World>()?.unwrap_or_default());
//! let mut history = History::new(Depth::unbounded().count(100));
//!
//! // A version: published as a whole, or not at all.
//! state.update(|world| {
//!     world.players.insert(7, Player { name: "Ada".into(), gold: 10 });
//!     world.log.push_back("Ada joined".into());
//! });
//! history.record(&state);
//! let joined = store.checkpoint(&*state.snapshot())?; // durable on return
//!
//! // Another one, which turns out to be a mistake.
//! state.update(|world| world.players.get_mut(&7).unwrap().gold = 0);
//! history.record(&state);
//! let mistake = store.checkpoint(&*state.snapshot())?;
//! history.undo(&state);
//! assert_eq!(state.load().players[&7].gold, 10);
//!
//! // A later process: the newest checkpoint, and any other.
//! drop(store);
//! let store = Store::open(&path)?;
//! let newest: World = store.latest()?.expect("there are checkpoints");
//! assert_eq!(newest.players[&7].gold, 0);
//! let earlier: World = store.restore(joined.id)?;
//! assert_eq!((earlier.players[&7].gold, earlier.log.len()), (10, 1));
//! assert!(mistake.bytes < 4096, "what changed, not the world");
//! # Ok::<(), perennial::Error>(())
//! ```
//!
//! # Where things are
//!
//! | module | what it holds |
//! |---|---|
//! | [`hash_map`](mod@hash_map), [`hash_set`](mod@hash_set) | [`HashMap`] and [`HashSet`], iterators, entries and hashers; [`diff`](HashMap::diff) of two versions, unions, merges |
//! | [`ord_map`](mod@ord_map), [`ord_set`](mod@ord_set) | [`OrdMap`] and [`OrdSet`]: keys in order, ranges, ranks, splitting and joining in O(log n) |
//! | [`vector`](mod@vector) | [`Vector`]: cheap at both ends, insertion, removal, splitting and joining anywhere in O(log n) |
//! | [`value`] | [`Value`]: any JSON document, which shares what versions of it have in common |
//! | [`state`] | [`State`], [`Snapshot`], [`History`]: versions in memory, rollback, undo |
//! | [`store`] | [`Store`](store::Store): checkpoints on disk; [`Options`](store::Options), [`Durability`](store::Durability), [`Compression`](store::Compression) |
//! | [`checkpointer`] | [`Checkpointer`]: checkpoints in the background, by policy; barriers over several states |
//! | [`footprint`] | how many bytes versions hold in memory: in all, shared, each alone; and letting go of them |
//! | [`retention`] | which versions to keep: rules for the checkpoints of a store and the entries of a history |
//! | [`storage`] | what a store writes to: a directory, memory, or a simulated disk that loses power, for tests |
//! | [`features`] | parallel iterators of rayon, strategies of proptest, input for fuzzing: each behind a feature |
//! | [`Error`] | everything that can go wrong between the two, with what to do about it |
//! | [`docs`] | how it works: design, [collections](docs::collections), [names and traps for users of std, im, imbl and rpds](docs::coming_from), format, [how types may change](docs::schema), durability, [how far back at what price](docs::depth), background checkpoints, [benchmarks](docs::benchmarks), [what else there is](docs::comparison), [names for those who come from std, im, imbl or rpds](docs::coming_from); checking your own code with [`loom`](docs::loom) |
//!
//! # Vocabulary
//!
//! | word | meaning |
//! |---|---|
//! | *state* | a value of the application's own types, with this crate's collections in it |
//! | *version* | a state at one moment; a *snapshot* holds one in memory |
//! | *checkpoint* | a version on disk: one or several states, each a *root* under a name, as a whole or not at all |
//! | *commit* | the record that ends a checkpoint, and makes it count |
//! | *node* | the unit that versions share: a *leaf* holds entries, a *branch* holds nodes |
//! | *clean*, *dirty* | a node that its record holds exactly; one that was changed since |
//! | *record* | the bytes of one node in the log, at an *address*; a *delta* says what changed since its *base*, and a *chain* is a delta with all its bases |
//! | *segment* | a file of the log; *sealed* when it is full |
//! | *durable* | on the medium: it survives a power cut |
//! | *retention* | the rules that say which checkpoints are kept; *compaction* gives back what the dropped ones took |
//! | *pin* | what keeps the records of a restored state readable, whatever retention drops |
//! | *eviction* | letting go of clean nodes in memory, which load again on first touch |
//! | *schema* | the shape of a type, recorded with its checkpoints, by which a later type reads them |
//! | *poisoned* | a store after a failed write or sync: it can be read, and takes no more checkpoints until it is opened again |
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `store` | yes | checkpoints on disk: `store`, `storage`, `checkpointer`. Without it the crate is its collections, [`State`], [`History`], [`footprint`] and [`retention`], and depends on neither the system's calls nor a codec |
//! | `zstd` | yes | [`Compression::Zstd`](store::Compression::Zstd), and reading what was written with it; includes `store`. The only part that needs a C compiler |
//! | `metrics` | | what a store tells the facade [metrics](docs::depth#metrics); includes `store` |
//! | `rayon`, `proptest`, `arbitrary`, `json` | | see [`features`] |
//!
//! Without `zstd`, a store that was written with it opens as far as nothing of it is met, and is [`Error::MissingFeature`] from there
//! on: nothing is taken for damage, cut or collected.
//!
//! # What it costs
//!
//! - **Batch changes.** The first change of a node after a snapshot copies it, the next ones are made in place: one
//!   [`update`](State::update) of a thousand changes is much cheaper than a thousand of one.
//! - **Collections of std inside the state are copied.** Every `update` clones the value, and every checkpoint writes
//!   a `Vec` or a `std::collections::HashMap` in it whole. Keep them small, or use this crate's.
//! - **A snapshot holds the nodes it shares with nobody else.** A version that changed 1,000 scattered entries of 100 bytes
//!   holds about 1 MB of copied nodes. [`Depth`](state::Depth) bounds a history.
//! - **Reads of a restored state may touch the disk**, once per node. Infallible reads (`get`, iteration, indexing)
//!   panic with the store's [`Error`] where that fails; `try_get` and `try_iter` return it. State that was never on disk
//!   cannot fail.
//! - **Reading is slower than in std's collections**, which have one version and no tree to descend.
//!
//! # What a state may consist of
//!
//! Any type with derived serde traits, with the collections of this crate at any depth. The format is binary and does
//! not describe itself, so serde's ways of looking at a value to find out what it is are refused, with an error and
//! before anything is acknowledged: `untagged`, `tag = ".."`, `flatten`, `skip_serializing_if`, and types such as
//! `serde_json::Value`, in whose place there is [`Value`]. A checkpoint records the shape of its types, and names decide how a later type reads it: fields and
//! variants may be added (with a default), moved and renamed (with an `alias`), types renamed, numbers widened. Any other
//! shape is an [error](Error::ShapeMismatch) that lists what does not fit and what to do about it.
//! [`docs::schema`] has the tables of what is accepted and what is not, of types and of serde's attributes, recipes, and the
//! little that cannot be found out.
//!
//! **Values must not change behind a shared reference.** A checkpoint writes what was reached through `&mut` since it was last
//! written. A `Mutex`, a `Cell` or an atomic inside a value that is changed behind `&` leaves its entry *clean*: the
//! checkpoint succeeds without the change. Reach the entry through [`get_mut`](HashMap::get_mut) (which marks it, whatever is
//! changed then), insert it anew, or keep such parts outside of the state. (Caches and counters that are not serialized do
//! no harm.) In builds with debug assertions each checkpoint encodes a few clean entries again and compares them with what
//! was written: where they differ, it fails with [`Error::Encode`], which names the type.

#![cfg_attr(not(feature = "store"), allow(dead_code, unused_imports, reason = "the store uses it"))]

/// By this name the targets of `fuzz/`, which share code with the tests, know the crate.
#[cfg(test)]
extern crate self as perennial;

#[cfg(feature = "store")]
pub mod checkpointer;
mod codec;
mod error;
pub mod features;
pub mod footprint;
pub mod hash_map;
pub mod hash_set;
#[cfg(all(feature = "store", any(loom, internals)))]
#[doc(hidden)]
pub mod internals;
#[cfg(feature = "store")]
mod log;
mod macros;
#[cfg(feature = "store")]
mod metrics;
mod node;
pub mod ord_map;
pub mod ord_set;
mod random;
mod record;
pub mod retention;
mod schema;
pub mod state;
#[cfg(feature = "store")]
pub mod storage;
#[cfg(feature = "store")]
pub mod store;
mod sync;
#[cfg(test)]
mod tests;
pub mod value;
pub mod vector;
mod weaken;

pub mod docs {
    //! Pages: design, collections, format, changes of types, durability, depth, background checkpoints, and checks of code
    //! that is built on the crate.
    #[doc = include_str!("docs/design.md")]
    pub mod design {}
    #[doc = include_str!("docs/collections.md")]
    pub mod collections {}
    #[doc = include_str!("docs/comparison.md")]
    pub mod comparison {}
    #[doc = include_str!("docs/coming_from.md")]
    pub mod coming_from {}
    #[doc = include_str!("docs/format.md")]
    pub mod format {}
    #[cfg(feature = "store")]
    #[doc = include_str!("docs/schema.md")]
    pub mod schema {}
    #[doc = include_str!("docs/durability.md")]
    pub mod durability {}
    #[doc = include_str!("docs/depth.md")]
    pub mod depth {}
    #[doc = include_str!("docs/checkpointer.md")]
    pub mod checkpointer {}
    #[doc = include_str!("docs/benchmarks.md")]
    pub mod benchmarks {}
    #[cfg(feature = "store")]
    #[doc = include_str!("docs/loom.md")]
    pub mod loom {}
}

#[cfg(feature = "store")]
pub use checkpointer::Checkpointer;
pub use error::Error;
pub use hash_map::{HashMap, SeededState};
pub use hash_set::HashSet;
pub use ord_map::OrdMap;
pub use ord_set::OrdSet;
pub use state::{History, Snapshot, State};
pub use value::Value;
pub use vector::Vector;

/// The program in the README is tested like those on these pages.
#[cfg(all(doctest, feature = "store"))]
#[doc = include_str!("../README.md")]
mod readme {}
