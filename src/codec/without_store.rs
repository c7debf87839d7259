//! The codec of a build without the feature `store`: there are no records, so collections have nothing but their plain face.
//!
//! Nodes and collections are compiled as they are. What would flush them needs a [`FlushContext`], which has no values here,
//! and what would load them needs a reader of records, which nothing implements.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::portions::{Buffers, Portion, Root, RoundTrip};
use crate::error::Result;
use crate::record::recheck::Rechecks;
use crate::record::{Address, RecordHead, RecordReader, Tag};
use crate::schema::Collection;

/// A flush, of which there is none.
pub(crate) enum FlushContext {}

/// A reader by another plan, of which there is none.
pub(crate) enum ResolvingReader {}

impl FlushContext {
    pub(crate) fn once_more(&self, _: RoundTrip) -> Rc<Self> {
        match *self {}
    }

    pub(crate) fn rechecks(&self) -> Option<&Arc<Rechecks>> {
        match *self {}
    }

    pub(crate) fn flushing<T>(&self, _: impl FnOnce(bool) -> Result<T>) -> Result<T> {
        match *self {}
    }

    pub(crate) fn most_items(&self) -> usize {
        match *self {}
    }

    pub(crate) fn trial(&self) -> Option<&RoundTrip> {
        match *self {}
    }

    pub(crate) fn tag(&self) -> Tag {
        match *self {}
    }

    pub(crate) fn trusts(&self, _: Address) -> bool {
        match *self {}
    }

    pub(crate) fn suffices(&self, _: Address) -> bool {
        match *self {}
    }

    pub(crate) fn append(&self, _: RecordHead, _: &[Address], _: &[u8]) -> Result<Address> {
        match *self {}
    }

    pub(crate) fn buffers(&self) -> Buffers {
        match *self {}
    }

    pub(crate) fn recycle(&self, _: Buffers) {
        match *self {}
    }

    pub(crate) fn encode<T: Serialize + ?Sized>(
        self: &Rc<Self>,
        _: &T,
        _: &mut Vec<u8>,
        _: &mut Vec<Address>,
    ) -> Result<()> {
        match **self {}
    }

    pub(crate) fn encode_portion<T: Serialize + ?Sized>(
        self: &Rc<Self>,
        _: Portion,
        _: &T,
        _: &mut Vec<u8>,
        _: &mut Vec<Address>,
    ) -> Result<()> {
        match **self {}
    }
}

/// Decodes a portion of a collection from a record, of which there is none.
pub(crate) fn decode_portion<'de, T: Deserialize<'de>>(
    backing: &Arc<dyn RecordReader>,
    _: Portion,
    _: Address,
    _: &'de [u8],
    _: &[Address],
) -> Result<T> {
    match backing.driven() {
        Some(driven) => match *driven {},
        None => unreachable!("no type reads records in a build without the feature `store`"),
    }
}

/// Serialises a collection as `plain`, under the name that it has in every build.
///
/// # Errors
///
/// Those of `serializer`.
pub(crate) fn serialize_collection<S: Serializer>(
    serializer: S,
    collection: Collection,
    _: impl Fn(&Rc<FlushContext>) -> Result<Root>,
    plain: impl Serialize,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_newtype_struct(collection.magic(), &plain)
}

/// Deserialises a collection from what `plain` reads, under the name that it has in every build.
///
/// # Errors
///
/// Those of `deserializer`.
pub(crate) fn deserialize_collection<'de, D: Deserializer<'de>, C>(
    deserializer: D,
    collection: Collection,
    _: impl FnOnce(Root, &Arc<dyn RecordReader>) -> Result<C>,
    plain: impl Visitor<'de, Value = C>,
) -> Result<C, D::Error> {
    deserializer.deserialize_newtype_struct(collection.magic(), Plain { collection, plain })
}

struct Plain<V> {
    collection: Collection,
    plain: V,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Plain<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plain.expecting(f)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        match self.collection.is_map() {
            true => deserializer.deserialize_map(self.plain),
            false => deserializer.deserialize_seq(self.plain),
        }
    }

    // Some deserializers skip the newtype and offer the contents at once.
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.plain.visit_map(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<V::Value, A::Error> {
        self.plain.visit_seq(seq)
    }
}
