//! The one error type of the crate: what happened, where, and what to do about it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::record::{Address, CheckpointId};

/// Everything that can go wrong between a state and the disk.
///
/// Every message says what was expected, what was found, and what to do. Match on the variant; the set grows
/// with the crate.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation on a file of the store.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was being done, as a verb: "open", "write", "sync" …
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's own error.
        source: Arc<std::io::Error>,
    },

    /// The path exists but does not hold a store, or holds part of one.
    #[error("{path} is not a perennial store: {found}; {advice}")]
    NotAStore {
        /// The directory that was to be opened.
        path: PathBuf,
        /// What was found there.
        found: String,
        /// What to do.
        advice: &'static str,
    },

    /// A store was to be copied into its own directory.
    #[error(
        "cannot copy the store {from} to {to}: they are the same directory, a directory of its own was expected; nothing was changed, name one that is empty or does not exist yet"
    )]
    SameDirectory {
        /// The store's directory.
        from: PathBuf,
        /// The directory that was to hold the copy.
        to: PathBuf,
    },

    /// The store was written in a format that this version of the crate does not read.
    #[error(
        "{path} has format version {found}, this build reads versions 1 to {expected}; update perennial to the version that wrote it, or a later one"
    )]
    FormatVersion {
        /// The file that says so.
        path: PathBuf,
        /// The version found.
        found: u32,
        /// The latest version that this build reads.
        expected: u32,
    },

    /// One of the two copies of the manifest is not what was written. The other one is whole, and the store does as well with it.
    #[error(
        "copy {slot} of the two in {path} is damaged; the other one is whole and is used, and opening the store for writing makes both whole"
    )]
    ManifestSlot {
        /// The file.
        path: PathBuf,
        /// Which copy: 0 or 1.
        slot: u32,
    },

    /// A part of the store has a field that this version of the crate does not know and must not ignore.
    #[error(
        "{what} was written by a newer version of perennial: it needs field {field}, which this build does not know; open the store with the version that wrote it, or a later one"
    )]
    UnknownField {
        /// The part: the manifest, or a commit and its place.
        what: String,
        /// The tag of the field.
        field: u64,
    },

    /// The store, or the options it is opened with, need a feature of the crate that this build is without.
    #[error(
        "{what}, and this build of perennial is without its feature `{feature}`; add the feature to the dependency (features = [\"{feature}\"]), nothing was changed"
    )]
    MissingFeature {
        /// The name of the feature.
        feature: &'static str,
        /// The part that needs it.
        what: String,
    },

    /// Another process (or another `Store` of this one) is writing the store.
    #[error("{path} is being written by {}; close it there first, or open another directory", holder(*pid))]
    Locked {
        /// The store's directory.
        path: PathBuf,
        /// The process that holds the lock, 0 where it could not be read.
        pid: u32,
    },

    /// A file or directory in the place of one of the store's is not the one that the store left there: somebody restored
    /// or copied another store into its directory while it was open, or before.
    #[error(
        "{path} is not what this store left there: {found}; nothing was replaced or removed, move what was put there to a directory of its own, or close the store before another one is put into its place"
    )]
    Foreign {
        /// The file that was to be replaced, removed or read.
        path: PathBuf,
        /// The expectation and the finding.
        found: String,
    },

    /// The store was opened by a process that this one is a fork of. Nothing was changed: a store belongs to the process
    /// that opened it.
    #[error(
        "the store was opened by process {opened_by} and is used by its fork {called_in}, which may only read what it has restored; open the store in the process that is to write, after the fork, and drop this one"
    )]
    Forked {
        /// The process that opened the store.
        opened_by: u32,
        /// The process that the call was made in.
        called_in: u32,
    },

    /// Bytes that were durable are not what was written.
    #[error(
        "{}; nothing was changed, restore the directory from a backup, go back to an older checkpoint, or copy what is whole with `Store::salvage`",
        found_corrupt(*segment, *offset, what)
    )]
    Corrupt {
        /// Number of the segment.
        segment: u32,
        /// Offset in bytes into the segment's file.
        offset: u64,
        /// The expectation and the finding.
        what: String,
    },

    /// A record was read whole, but its bytes do not decode to the type asked for.
    #[error(
        "the record at {address} does not decode as {type_name}: {reason}; restore it as the type that was checkpointed"
    )]
    Decode {
        /// Where the record lies.
        address: Address,
        /// The Rust type it was decoded as.
        type_name: &'static str,
        /// What the decoder said.
        reason: String,
    },

    /// The value could not be encoded: its own `Serialize` failed, or it uses a part of serde that the binary
    /// format cannot read back. Nothing was committed.
    #[error("cannot checkpoint {type_name}: {reason}")]
    Encode {
        /// The Rust type that was to be checkpointed.
        type_name: &'static str,
        /// What is wrong and what to write instead.
        reason: String,
    },

    /// The checkpoint holds a type of another shape than the one asked for, and cannot be read as that one. See
    /// [`docs::schema`](crate::docs::schema).
    #[error("what the checkpoint holds cannot be read as {type_name}:\n{}", difference.trim_end())]
    ShapeMismatch {
        /// The Rust type asked for.
        type_name: &'static str,
        /// A line that begins with `- ` for each part that does not fit, with what to do about it; then those that begin
        /// with `+ `, for what has changed as well and would be accepted.
        difference: String,
    },

    /// A key lies where its hash would not put it: the `Hash` implementation of the key, or the map's hasher,
    /// is not the one that wrote the checkpoint. [`RestoreOptions::rebuild`](crate::store::RestoreOptions::rebuild) is the way out.
    #[error(
        "the hash of a key of {type_name} changed since the record at {address} was written; restore it with `RestoreOptions::rebuild(true)`, which builds its maps anew"
    )]
    HashChanged {
        /// The map's key type.
        type_name: &'static str,
        /// Where the record lies.
        address: Address,
    },

    /// Keys lie in an order that they do not have: the `Ord` implementation of the key is not the one that wrote the
    /// checkpoint.
    #[error(
        "the order of keys of {type_name} changed since the record at {address} was written; restore with the old Ord implementation, iterate, and collect into a new collection"
    )]
    OrderChanged {
        /// The key type.
        type_name: &'static str,
        /// Where the record lies.
        address: Address,
    },

    /// The store has no such checkpoint.
    #[error("no checkpoint {id} in this store; `checkpoints()` lists those it has")]
    UnknownCheckpoint {
        /// The identifier asked for.
        id: CheckpointId,
    },

    /// The checkpoint has no root of this name.
    #[error("checkpoint {id} has no root named {name:?}; it has: {found}")]
    UnknownRoot {
        /// The checkpoint.
        id: CheckpointId,
        /// The name asked for.
        name: String,
        /// The names it has.
        found: String,
    },

    /// An earlier write or sync failed; the store can be read but takes no more checkpoints until it is opened
    /// again.
    #[error(
        "the store takes no more checkpoints because {cause}; what is committed can be read, open it again to write"
    )]
    Poisoned {
        /// The first failure.
        cause: String,
    },

    /// The store was opened to be read only.
    #[error(
        "{path} was opened read-only, and takes no checkpoints and no other changes; open it without `Options::read_only`, where nobody else writes it"
    )]
    ReadOnly {
        /// The store's directory.
        path: PathBuf,
    },

    /// The store, or the checkpointer, was closed. What was restored can still be read.
    #[error("the {what} was closed; open or start another one to go on writing")]
    Closed {
        /// "store" or "checkpointer".
        what: &'static str,
    },

    /// The checkpointer's queue is full of requests, and its [`Overflow`](crate::checkpointer::Overflow) is to refuse.
    #[error(
        "no checkpoint was made: {limit} requests are waiting, as many as the queue holds; wait for one of their tickets, or raise `Options::queue`"
    )]
    QueueFull {
        /// Number of requests that the queue holds.
        limit: usize,
    },

    /// The call was refused before anything was begun; nothing was changed.
    #[error("{what}")]
    Refused {
        /// Why, and what to do.
        what: String,
    },

    /// Code of the user (`Serialize`, `Deserialize`, `Clone` …) panicked while a checkpoint was made in the background.
    /// Nothing was committed, and the store goes on.
    #[error(
        "code of the state's own types panicked while it was checkpointed: {message}; nothing was committed, mend it and ask again"
    )]
    Panicked {
        /// What it said.
        message: String,
    },

    /// Not every worker passed the barrier of an aligned checkpoint. Nothing was committed.
    #[error(
        "barrier {number} failed: {reason}; nothing was committed, ask again when all workers pass barriers"
    )]
    BarrierFailed {
        /// The number of the barrier, counted from 1.
        number: u64,
        /// Who failed it and why.
        reason: String,
    },

    /// The call would wait for itself: it came from code of the user's that the same store, or checkpointer, had called on
    /// this very thread (`Serialize`, `Drop`, a hook, a progress callback …). Nothing was changed.
    #[error("{what}")]
    Reentrant {
        /// The call, the code that made it, and the remedy.
        what: String,
    },

    /// A limit of the format was reached.
    #[error("{what}")]
    Limit {
        /// Which limit, its value, and what to do.
        what: String,
    },
}

/// End of the message about a missing file: nothing in it is damaged.
pub(crate) const IS_MISSING: &str = " is missing";

fn found_corrupt(segment: u32, offset: u64, what: &str) -> String {
    match what.ends_with(IS_MISSING) {
        true => format!("segment {segment} cannot be read: {what}"),
        false => format!("damaged data in segment {segment} at offset {offset}: {what}"),
    }
}

/// The process that holds a lock, for a message.
fn holder(pid: u32) -> String {
    match pid {
        0 => "another process (the lock does not say which)".to_owned(),
        pid => format!("process {pid}"),
    }
}

/// `Result` with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
