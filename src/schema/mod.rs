//! The shape of a type: traced from its serde traits, recorded as text, compared with that of a later type.

mod collection;
#[cfg(feature = "store")]
mod plan;
#[cfg(feature = "store")]
mod shape;
#[cfg(test)]
#[cfg(feature = "store")]
mod tests;
#[cfg(feature = "store")]
mod text;
#[cfg(feature = "store")]
mod trace;

pub(crate) use collection::{Collection, is_magic};
#[cfg(feature = "store")]
pub(crate) use plan::{Allow, Fit, Resolution, fit, is_nameless, parts_of, widens};
#[cfg(feature = "store")]
pub(crate) use shape::{Form, ITEMS, KEYS, Label, Name, Parts, ROOT, Schema, Slot, Ty, UNKNOWN};
#[cfg(feature = "store")]
pub(crate) use trace::{shape_of, shape_with};

/// The refusal of types that ask the format what comes next.
pub(crate) const NOT_SELF_DESCRIBING: &str = "it asks the bytes what they hold, and the binary format does not say: \
    `#[serde(untagged)]`, `#[serde(tag = ...)]`, `#[serde(flatten)]` and types like serde_json::Value cannot be read \
    back; use an ordinary enum, nest the struct as an ordinary field, or store such a value as a String";
