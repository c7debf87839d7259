//! A document of any shape: what `serde_json::Value` is elsewhere, in collections that share what versions have in common.
//!
//! `serde_json::Value` cannot be stored: it asks the format what comes next, and that of a store is binary. [`Value`] is an
//! ordinary enum to a store, and plain JSON to serde's other formats. A clone is O(1), a change copies the way to it, and a
//! checkpoint writes the nodes that changed, however large the document is.
//!
#![cfg_attr(feature = "store", doc = "```")]
#![cfg_attr(not(feature = "store"), doc = "```ignore")]
//! use perennial::{Value, store::Store};
//!
//! # let dir = tempfile::tempdir().unwrap();
//! let mut session: Value = serde_json::from_str(r#"{ "model": "small", "turns": [{ "role": "user", "text": "Hi" }] }"#).unwrap();
//! assert_eq!(session["turns"][0]["role"], "user");
//! assert!(session["turns"][1].is_null(), "what is not there is null");
//!
//! let store = Store::open(dir.path().join("sessions"))?;
//! store.checkpoint(&session)?;
//! let before = session.clone(); // O(1)
//! session["turns"].push(Value::from_iter([("role", "agent"), ("text", "Hello!")]));
//! store.checkpoint(&session)?; // writes what changed
//!
//! let restored: Value = store.latest()?.expect("a checkpoint");
//! assert_eq!(restored, session);
//! assert_eq!(before["turns"].as_array().map(|turns| turns.len()), Some(1));
//! assert_eq!(
//!     serde_json::to_string(&restored).unwrap(),
//!     r#"{"model":"small","turns":[{"role":"user","text":"Hi"},{"role":"agent","text":"Hello!"}]}"#
//! );
//! # Ok::<(), perennial::Error>(())
//! ```
//!
//! # What differs from `serde_json::Value`
//!
//! - Objects are in the order of their keys, always.
//! - A [`Number`] may be infinite or not a number. A store keeps it exactly; JSON has no such number, so
//!   serialising it to a format that people read, and converting it to a `serde_json::Value`, is an error (where
//!   serde_json silently writes `null`).
//! - There is no arbitrary precision: an integer is an `i64` or a `u64`, everything else an `f64`. (serde_json reads the text of
//!   a float to the last bit only with its feature `float_roundtrip`.)
//! - Formats that are [not human-readable](::serde::Serializer::is_human_readable) (bincode, postcard, this crate's own) see
//!   an enum of the variants `Null`, `Bool`, `Unsigned`, `Negative`, `Float`, `String`, `Array` and `Object`. What one of
//!   them wrote it reads; a map of MessagePack or CBOR that something else wrote is no `Value` to it.
//!
//! # Nesting
//!
//! A document of JSON may be nested 127 deep, which is as far as serde_json reads it; a store takes as much. What is built
//! deeper by hand is refused by the checkpoint. Comparing, printing and dropping it recurse, a step for each level.

mod access;
mod compare;
mod convert;
mod display;
#[cfg(feature = "json")]
mod json;
mod number;
mod serde;

pub use self::access::Index;
#[cfg(feature = "json")]
pub use self::json::NotJson;
pub use self::number::Number;

use crate::footprint::{Evict, Eviction, Footprint, Meter};
use crate::{OrdMap, Vector};

/// A JSON document, or a part of one. See the [module](self).
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub enum Value {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(String),
    /// A list of values.
    Array(Vector<Value>),
    /// Values by name, in the order of the names.
    Object(OrdMap<String, Value>),
}

impl Footprint for Value {
    /// Nodes and strings, at any depth.
    fn measure(&self, meter: &mut Meter) {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => {}
            Self::String(text) => measure_text(text, meter),
            Self::Array(items) => items.measure_with(meter, |meter, item| item.measure(meter)),
            Self::Object(fields) => fields.measure_with(meter, |meter, name, value| {
                measure_text(name, meter);
                value.measure(meter);
            }),
        }
    }
}

fn measure_text(text: &String, meter: &mut Meter) {
    if text.capacity() > 0 {
        meter.add(text.as_ptr(), text.capacity());
    }
}

impl Evict for Value {
    fn evict(&mut self, eviction: &mut Eviction<'_>) {
        match self {
            Self::Array(items) => items.evict(eviction),
            Self::Object(fields) => fields.evict(eviction),
            _ => {}
        }
    }
}
