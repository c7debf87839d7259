//! Node to bytes and back: the user's own serde types in postcard, with the crate's collections recognised
//! inside them at any depth.
//!
//! A collection serialises itself as a newtype struct of a *magic* name around an ordinary map or sequence. To
//! any other format that is transparent. The [`serializer`] and the [`deserializer`] recognise the name and talk
//! to the collection through a thread-local slot ([`collection`]) that is armed for exactly that call: the
//! collection flushes its nodes and hands back its [`Root`], which is all that the enclosing record holds.
//!
//! Bytes are postcard's, with one addition. A collection is: number of its trees (up to the last that has a node),
//! for each the index of its address in the record's `refs`, plus one (0: no node), length of its metadata, the
//! metadata. Numbers are varints.

#[cfg(feature = "store")]
mod appender;
#[cfg(feature = "store")]
mod check;
#[cfg(feature = "store")]
mod collection;
#[cfg(feature = "store")]
mod deserializer;
#[cfg(feature = "store")]
mod error;
#[cfg(feature = "store")]
mod observe;
mod portions;
#[cfg(feature = "store")]
mod resolve;
#[cfg(feature = "store")]
mod serializer;
#[cfg(test)]
#[cfg(feature = "store")]
pub(crate) mod tests;
#[cfg(not(feature = "store"))]
mod without_store;

#[cfg(feature = "store")]
pub(crate) use check::{Check, Seen};
#[cfg(feature = "store")]
pub(crate) use collection::{Accuracy, ByField, FlushContext, deserialize_collection, serialize_collection};
#[cfg(feature = "store")]
pub(crate) use deserializer::{decode, decode_portion};
pub(crate) use portions::{Buffers, Met, Portion, Root, RoundTrip};
#[cfg(feature = "store")]
pub(crate) use resolve::ResolvingReader;
#[cfg(not(feature = "store"))]
pub(crate) use without_store::{
    FlushContext, ResolvingReader, decode_portion, deserialize_collection, serialize_collection,
};

/// Deepest nesting of sequences, maps, enums and options in one value. Derived code recurses on the stack, so
/// damaged bytes of a recursive type must meet a bound before the stack does; the writer keeps it as well, so
/// that whatever was written can be read.
const MAX_DEPTH: u32 = 256;

/// Longest sequence whose items may encode to no bytes at all. Any longer one must have a byte an item, so that a
/// damaged length cannot keep the reader busy for ages; the writer keeps it as well.
const MAX_EMPTY_ITEMS: usize = 1 << 16;
