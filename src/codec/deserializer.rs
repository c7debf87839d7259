//! The deserializer: reads what [`writer`](super::serializer) wrote, lets collections restore themselves lazily, and
//! meets any bytes with an error or a value, in time and memory bounded by their number.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::collection::{HandoffError, offer_root};
use super::error::CodecError;
use super::portions::{Portion, Root};
use super::{MAX_DEPTH, MAX_EMPTY_ITEMS};
use crate::error::{Error, Result};
use crate::record::varint;
use crate::record::{Address, RecordReader};
use crate::schema::is_magic;

/// Reads a value that [`FlushContext::encode`](super::FlushContext::encode) wrote; `bytes` must hold it and nothing else, and
/// `refs` the addresses that were collected with it. `address` is where they were found, for messages.
///
/// # Errors
///
/// `Error::Decode` where the bytes are not a `T`, `Error::Encode` where no bytes can be one because `T` uses a
/// part of serde that the format does not have; an error met while a nested collection was restored, as it is.
#[inline]
pub(crate) fn decode<'de, T: Deserialize<'de>>(
    backing: &Arc<dyn RecordReader>,
    address: Address,
    bytes: &'de [u8],
    refs: &[Address],
) -> Result<T> {
    let mut reader = RecordDeserializer::new(bytes, refs, backing);
    match T::deserialize(&mut reader) {
        Ok(value) if reader.is_done() => Ok(value),
        result => Err(failure(reader, result.err(), address, std::any::type_name::<T>())),
    }
}

/// Reads a portion of a collection, by the plan of its log where it has one; otherwise as [`decode`].
#[inline]
pub(crate) fn decode_portion<'de, T: Deserialize<'de>>(
    backing: &Arc<dyn RecordReader>,
    portion: Portion,
    address: Address,
    bytes: &'de [u8],
    refs: &[Address],
) -> Result<T> {
    match backing.driven() {
        None => decode(backing, address, bytes, refs),
        Some(driven) => driven.decode_portion(portion, address, bytes, refs),
    }
}

#[cold]
pub(super) fn failure(
    reader: RecordDeserializer<'_, '_>,
    fault: Option<CodecError>,
    address: Address,
    type_name: &'static str,
) -> Error {
    if let Some(error) = reader.raised {
        return *error;
    }
    let trailing = || CodecError::message(format!("{} bytes are left over at its end", reader.bytes.len()));
    fault.unwrap_or_else(trailing).into_decode_error(address, type_name)
}

pub(super) struct RecordDeserializer<'de, 'a> {
    bytes: &'de [u8],
    refs: &'a [Address],
    backing: &'a Arc<dyn RecordReader>,
    depth: u32,
    /// The error of a nested restore.
    raised: Option<Box<Error>>,
}

impl<'de, 'a> RecordDeserializer<'de, 'a> {
    #[inline(always)]
    pub(super) fn new(bytes: &'de [u8], refs: &'a [Address], backing: &'a Arc<dyn RecordReader>) -> Self {
        Self { bytes, refs, backing, depth: 0, raised: None }
    }

    /// Whether everything was read, and nothing failed on the way.
    #[inline(always)]
    pub(super) fn is_done(&self) -> bool {
        self.bytes.is_empty() && self.raised.is_none()
    }

    /// How many bytes are left.
    pub(super) fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// Takes a primitive, as postcard reads it.
    #[inline(always)]
    pub(super) fn take<T: Deserialize<'de>>(&mut self) -> Result<T, CodecError> {
        let (value, rest) = postcard::take_from_bytes(self.bytes).map_err(CodecError::from_postcard)?;
        self.bytes = rest;
        Ok(value)
    }

    /// Takes a varint length and as many bytes. (Through postcard this is measurably slower.)
    #[inline(always)]
    fn take_bytes(&mut self) -> Result<&'de [u8], CodecError> {
        let len = varint::take(&mut self.bytes).and_then(|len| usize::try_from(len).ok());
        let (taken, rest) = len.and_then(|len| self.bytes.split_at_checked(len)).ok_or_else(too_short)?;
        self.bytes = rest;
        Ok(taken)
    }

    #[inline(always)]
    fn take_str(&mut self) -> Result<&'de str, CodecError> {
        std::str::from_utf8(self.take_bytes()?)
            .map_err(|_| CodecError::message("a string in it is not UTF-8"))
    }

    #[inline(always)]
    pub(super) fn enter(&mut self) -> Result<(), CodecError> {
        if self.depth >= MAX_DEPTH {
            return Err(CodecError::message(format!("it is nested more than {MAX_DEPTH} levels deep")));
        }
        self.depth += 1;
        Ok(())
    }

    #[inline(always)]
    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Takes the length of a sequence or map, refusing what the bytes at hand cannot hold.
    #[inline(always)]
    pub(super) fn len(&mut self) -> Result<usize, CodecError> {
        let len = self.take::<usize>()?;
        if len > self.bytes.len() && len > MAX_EMPTY_ITEMS {
            return Err(CodecError::message(format!(
                "a length of {len} with {} bytes left",
                self.bytes.len()
            )));
        }
        Ok(len)
    }

    #[cold]
    fn root(&mut self) -> Result<Root, CodecError> {
        let cut = || CodecError::message("the root of a collection is cut short");
        let trees = varint::take(&mut self.bytes).ok_or_else(cut)?;
        let mut addresses = [None; Root::TREES];
        let trees =
            usize::try_from(trees).ok().and_then(|trees| addresses.get_mut(..trees)).ok_or_else(cut)?;
        for address in trees {
            let index = varint::take(&mut self.bytes).ok_or_else(cut)?;
            if let Some(index) = index.checked_sub(1) {
                let found = usize::try_from(index).ok().and_then(|index| self.refs.get(index));
                *address = Some(*found.ok_or_else(|| {
                    CodecError::message(format!(
                        "a collection refers to address {index} of {}",
                        self.refs.len()
                    ))
                })?);
            }
        }
        let len = varint::take(&mut self.bytes).ok_or_else(cut)?;
        let len = usize::try_from(len).ok().filter(|&len| len <= self.bytes.len()).ok_or_else(cut)?;
        let (meta, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        Ok(Root { addresses, meta: meta.to_vec() })
    }

    /// Passes over a primitive value.
    pub(super) fn skip_primitive(&mut self, name: &str) -> Result<(), CodecError> {
        match name {
            "bool" => self.take::<bool>().map(drop),
            "i8" | "u8" => self.take::<u8>().map(drop),
            "f32" => self.take::<f32>().map(drop),
            "f64" => self.take::<f64>().map(drop),
            "str" | "bytes" | "char" => self.take_bytes().map(drop),
            "()" => Ok(()),
            // Varints of any width.
            _ => self.take::<u128>().map(drop),
        }
    }

    /// Passes over a collection.
    pub(super) fn skip_root(&mut self) -> Result<(), CodecError> {
        self.root().map(drop)
    }

    #[cold]
    pub(super) fn collection<V: Visitor<'de>>(
        &mut self,
        backing: &Arc<dyn RecordReader>,
        magic: &'static str,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        let root = self.root()?;
        offer_root(root, backing, || visitor.visit_newtype_struct(&mut *self)).map_err(|broken| match broken {
            HandoffError::Raised(error) => {
                self.raised.get_or_insert(Box::new(error));
                CodecError::message("a nested collection failed")
            }
            HandoffError::Call(fault) => fault,
            HandoffError::Silent => CodecError::refused(format!(
                "a type that is not a collection of this crate calls itself `{magic}`; give it another name"
            )),
        })
    }

    /// Lets `visitor` read exactly `len` parts in order.
    #[inline(always)]
    fn parts<V: Visitor<'de>>(&mut self, len: usize, visitor: V) -> Result<V::Value, CodecError> {
        let mut left = len;
        let value = visitor.visit_seq(Parts { reader: self, left: &mut left })?;
        if left != 0 {
            return Err(CodecError::message(format!(
                "its Deserialize implementation left {left} of {len} parts unread"
            )));
        }
        Ok(value)
    }

    /// Lets `visitor` read the fields of a struct. There may be fewer than names: serde counts aliases.
    #[inline(always)]
    fn fields<V: Visitor<'de>>(&mut self, len: usize, visitor: V) -> Result<V::Value, CodecError> {
        let mut left = len;
        visitor.visit_seq(Parts { reader: self, left: &mut left })
    }
}

#[cold]
fn too_short() -> CodecError {
    CodecError::from_postcard(postcard::Error::DeserializeUnexpectedEnd)
}

macro_rules! primitives {
    ($($method:ident, $visit:ident, $type:ty;)*) => {$(
        #[inline(always)]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
            visitor.$visit(self.take::<$type>()?)
        }
    )*};
}

macro_rules! strings {
    ($($method:ident, $visit:ident, $take:ident;)*) => {$(
        #[inline(always)]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
            visitor.$visit(self.$take()?)
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut RecordDeserializer<'de, '_> {
    type Error = CodecError;

    primitives! {
        deserialize_bool, visit_bool, bool;
        deserialize_i8, visit_i8, i8;
        deserialize_i16, visit_i16, i16;
        deserialize_i32, visit_i32, i32;
        deserialize_i64, visit_i64, i64;
        deserialize_i128, visit_i128, i128;
        deserialize_u8, visit_u8, u8;
        deserialize_u16, visit_u16, u16;
        deserialize_u32, visit_u32, u32;
        deserialize_u64, visit_u64, u64;
        deserialize_u128, visit_u128, u128;
        deserialize_f32, visit_f32, f32;
        deserialize_f64, visit_f64, f64;
        deserialize_char, visit_char, char;
    }

    strings! {
        deserialize_str, visit_borrowed_str, take_str;
        deserialize_string, visit_borrowed_str, take_str;
        deserialize_bytes, visit_borrowed_bytes, take_bytes;
        deserialize_byte_buf, visit_borrowed_bytes, take_bytes;
    }

    #[inline(always)]
    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline(always)]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        if !self.take::<bool>()? {
            return visitor.visit_none();
        }
        self.enter()?;
        let value = visitor.visit_some(&mut *self)?;
        self.leave();
        Ok(value)
    }

    #[inline(always)]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        visitor.visit_unit()
    }

    #[inline(always)]
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        visitor.visit_unit()
    }

    #[inline(always)]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        if is_magic(name) {
            return self.collection(self.backing, name, visitor);
        }
        visitor.visit_newtype_struct(self)
    }

    #[inline(always)]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        let len = self.len()?;
        self.enter()?;
        let value = self.parts(len, visitor)?;
        self.leave();
        Ok(value)
    }

    #[inline(always)]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        let mut left = self.len()?;
        self.enter()?;
        let value = visitor.visit_map(Parts { reader: &mut *self, left: &mut left })?;
        if left != 0 {
            return Err(CodecError::message(format!(
                "its Deserialize implementation left {left} map entries unread"
            )));
        }
        self.leave();
        Ok(value)
    }

    #[inline(always)]
    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, CodecError> {
        self.parts(len, visitor)
    }

    #[inline(always)]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        self.parts(len, visitor)
    }

    #[inline(always)]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        self.fields(fields.len(), visitor)
    }

    #[inline(always)]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        self.enter()?;
        let value = visitor.visit_enum(&mut *self)?;
        self.leave();
        Ok(value)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, CodecError> {
        Err(CodecError::refused(crate::schema::NOT_SELF_DESCRIBING))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, CodecError> {
        Err(CodecError::refused(crate::schema::NOT_SELF_DESCRIBING))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, CodecError> {
        Err(CodecError::refused(crate::schema::NOT_SELF_DESCRIBING))
    }
}

/// The parts of a sequence, tuple, struct or map.
struct Parts<'r, 'de, 'a> {
    reader: &'r mut RecordDeserializer<'de, 'a>,
    left: &'r mut usize,
}

impl Parts<'_, '_, '_> {
    /// Bounds what a visitor allocates in advance: each part is expected to take a byte.
    #[inline(always)]
    fn hint(&self) -> Option<usize> {
        Some((*self.left).min(self.reader.bytes.len()))
    }
}

impl<'de> SeqAccess<'de> for Parts<'_, 'de, '_> {
    type Error = CodecError;

    #[inline(always)]
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, CodecError> {
        if *self.left == 0 {
            return Ok(None);
        }
        *self.left -= 1;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    #[inline(always)]
    fn size_hint(&self) -> Option<usize> {
        self.hint()
    }
}

impl<'de> MapAccess<'de> for Parts<'_, 'de, '_> {
    type Error = CodecError;

    #[inline(always)]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, CodecError> {
        self.next_element_seed(seed)
    }

    #[inline(always)]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, CodecError> {
        seed.deserialize(&mut *self.reader)
    }

    #[inline(always)]
    fn size_hint(&self) -> Option<usize> {
        self.hint()
    }
}

impl<'de> EnumAccess<'de> for &mut RecordDeserializer<'de, '_> {
    type Error = CodecError;
    type Variant = Self;

    #[inline(always)]
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), CodecError> {
        let index = self.take::<u32>()?;
        Ok((seed.deserialize(index.into_deserializer())?, self))
    }
}

impl<'de> VariantAccess<'de> for &mut RecordDeserializer<'de, '_> {
    type Error = CodecError;

    #[inline(always)]
    fn unit_variant(self) -> Result<(), CodecError> {
        Ok(())
    }

    #[inline(always)]
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, CodecError> {
        seed.deserialize(self)
    }

    #[inline(always)]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, CodecError> {
        self.parts(len, visitor)
    }

    #[inline(always)]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        self.fields(fields.len(), visitor)
    }
}
