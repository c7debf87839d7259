//! Decoding that follows the recorded shape instead of the type asked for, where the two differ.
//!
//! A struct is offered by the names of the fields that it was written with, in their order, so serde fills in the
//! defaults of the others; a variant is named, so its number may have changed; a number is read as what was written and
//! handed over as what is asked for, where that loses nothing. What is read of a collection in this
//! way is not what its records hold: its nodes belong to an opening of their own (a [`Tag`] that no log has), to
//! which nothing is clean, and the next checkpoint writes them anew.

mod convert;

use std::sync::Arc;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::deserializer::{RecordDeserializer, failure};
use super::error::CodecError;
use super::portions::Portion;
use crate::error::Result;
use crate::record::{Address, LogScan, Record, RecordReader, Tag};
use crate::schema::is_magic;
use crate::schema::{Form, ITEMS, KEYS, Parts as Places, ROOT, Schema, Slot, Ty, UNKNOWN};
use crate::schema::{Resolution, is_nameless, parts_of};

/// A log that is read by a plan.
pub(crate) struct ResolvingReader {
    backing: Arc<dyn RecordReader>,
    tag: Tag,
    plan: Arc<Resolution>,
    /// The place of the items of the collection that reads; at first that of the state.
    item: Slot,
}

impl ResolvingReader {
    /// Reads `backing` by a plan; `tag` stands for the two together.
    pub(crate) fn new(backing: Arc<dyn RecordReader>, tag: Tag, plan: Arc<Resolution>) -> Arc<Self> {
        Arc::new(Self { backing, tag, plan, item: ROOT })
    }

    /// Decodes a state, as [`decode`](super::decode) does.
    pub(crate) fn decode_root<'de, T: Deserialize<'de>>(
        self: &Arc<Self>,
        address: Address,
        bytes: &'de [u8],
        refs: &[Address],
    ) -> Result<T> {
        self.decode(self.item, address, bytes, refs)
    }

    /// Decodes a portion of a collection.
    pub(crate) fn decode_portion<'de, T: Deserialize<'de>>(
        &self,
        portion: Portion,
        address: Address,
        bytes: &'de [u8],
        refs: &[Address],
    ) -> Result<T> {
        let place = match portion {
            Portion::Item => self.item,
            Portion::Items => self.item + ITEMS,
            Portion::Keys => self.item + KEYS,
        };
        self.decode(place, address, bytes, refs)
    }

    fn decode<'de, T: Deserialize<'de>>(
        &self,
        place: Slot,
        address: Address,
        bytes: &'de [u8],
        refs: &[Address],
    ) -> Result<T> {
        let mut reader = RecordDeserializer::new(bytes, refs, &self.backing);
        match T::deserialize(Follower { reader: &mut reader, driven: self, place }) {
            Ok(value) if reader.is_done() => Ok(value),
            result => Err(failure(reader, result.err(), address, std::any::type_name::<T>())),
        }
    }

    /// The same for the items of a collection.
    fn of_items(&self, item: Slot) -> Arc<dyn RecordReader> {
        Arc::new(Self {
            backing: Arc::clone(&self.backing),
            tag: self.tag,
            plan: Arc::clone(&self.plan),
            item,
        })
    }

    fn shape(&self) -> &Schema {
        &self.plan.stored
    }
}

impl RecordReader for ResolvingReader {
    fn tag(&self) -> Tag {
        self.tag
    }

    fn read(&self, address: Address) -> Result<Record> {
        self.backing.read(address)
    }

    fn decoded(&self, address: Address, node: usize) {
        self.backing.decoded(address, node);
    }

    fn sweep(&self) -> Box<dyn LogScan + '_> {
        self.backing.sweep()
    }

    fn driven(&self) -> Option<&ResolvingReader> {
        Some(self)
    }

    fn rebuilds(&self) -> bool {
        self.plan.rebuilt.contains(&self.item) || self.backing.rebuilds()
    }
}

/// The deserializer of one place.
struct Follower<'r, 'de, 'a> {
    reader: &'r mut RecordDeserializer<'de, 'a>,
    driven: &'a ResolvingReader,
    place: Slot,
}

impl<'r, 'de, 'a> Follower<'r, 'de, 'a> {
    /// The type at the place, behind newtypes.
    fn ty(&self) -> Ty {
        let shape = self.driven.shape();
        shape.ty(shape.peel(self.place))
    }

    /// What a named type consists of.
    fn form(&self) -> Option<Form> {
        match self.ty() {
            Ty::Named(definition) => Some(self.driven.shape().form(definition)),
            _ => None,
        }
    }

    /// The same at another place.
    fn at(self, place: Slot) -> Self {
        Self { place, ..self }
    }

    fn parts<V: Visitor<'de>>(self, places: Places, visitor: V) -> Result<V::Value, CodecError> {
        let mut left = places;
        let value = visitor.visit_seq(Parts { reader: self.reader, driven: self.driven, left: &mut left })?;
        match left.len {
            0 => Ok(value),
            left => {
                Err(CodecError::message(format!("its Deserialize implementation left {left} parts unread")))
            }
        }
    }

    /// A tuple of `len` parts, by whatever name.
    fn tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, CodecError> {
        let shape = self.driven.shape();
        // A struct of one part is a newtype.
        if let (1, Ty::Named(definition)) = (len, shape.ty(self.place))
            && let Form::Newtype(inner) = shape.form(definition)
        {
            return self.parts(Places { start: inner, len: 1, step: 1 }, visitor);
        }
        match parts_of(shape, shape.peel(self.place)) {
            Some(parts) if parts.len as usize == len => self.parts(parts, visitor),
            _ => Err(unlike()),
        }
    }

    fn fields<V: Visitor<'de>>(
        self,
        places: Places,
        asked: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        let shape = self.driven.shape();
        let labels = || places.iter().map(|place| shape.label(place)).enumerate();
        // Unchanged structs go by order; so do those of which no names were recorded.
        let is_unchanged = places.len as usize == asked.len()
            && labels().all(|(at, label)| label.is_some_and(|label| label.name == asked[at]));
        if is_unchanged || places.len > 0 && labels().all(|(at, label)| is_nameless(shape, label, at)) {
            let mut left = places;
            return visitor.visit_seq(Parts { reader: self.reader, driven: self.driven, left: &mut left });
        }
        let mut fields =
            Fields { reader: self.reader, driven: self.driven, asked, left: places, value: UNKNOWN };
        let value = visitor.visit_map(&mut fields)?;
        // Code that does not ask for them all would leave their bytes to the next part.
        match fields.left.len {
            0 => Ok(value),
            left => {
                Err(CodecError::message(format!("its Deserialize implementation left {left} fields unread")))
            }
        }
    }
}

#[cold]
fn unlike() -> CodecError {
    CodecError::message("it asks for something else than the recorded shape of its type says")
}

#[cold]
fn no_variant(number: u32, variants: Places) -> CodecError {
    CodecError::message(format!("variant {number} of an enum that had {}", variants.len))
}

/// Hands on what must be what was written.
macro_rules! plain {
    ($($method:ident $($name:literal)*;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
            match self.ty() {
                Ty::Primitive($($name)|*) => self.reader.$method(visitor),
                _ => Err(unlike()),
            }
        }
    )*};
}

macro_rules! numbers {
    ($($method:ident $name:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
            self.number($name, visitor)
        }
    )*};
}

macro_rules! refused {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
            self.reader.$method(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Follower<'_, 'de, '_> {
    type Error = CodecError;

    plain! {
        deserialize_bool "bool";
        deserialize_char "char";
        deserialize_str "str";
        deserialize_string "str";
        deserialize_bytes "bytes";
        deserialize_byte_buf "bytes";
    }

    numbers! {
        deserialize_i8 "i8"; deserialize_i16 "i16"; deserialize_i32 "i32"; deserialize_i64 "i64"; deserialize_i128 "i128";
        deserialize_u8 "u8"; deserialize_u16 "u16"; deserialize_u32 "u32"; deserialize_u64 "u64"; deserialize_u128 "u128";
        deserialize_f32 "f32"; deserialize_f64 "f64";
    }

    refused! { deserialize_any deserialize_ignored_any deserialize_identifier }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        let shape = self.driven.shape();
        match parts_of(shape, shape.peel(self.place)) {
            Some(parts) if parts.len == 0 => visitor.visit_unit(),
            _ => Err(unlike()),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        // What was always there became an option.
        let Ty::Option(place) = self.ty() else { return visitor.visit_some(self) };
        let (reader, driven) = (self.reader, self.driven);
        if !reader.take::<bool>()? {
            return visitor.visit_none();
        }
        reader.enter()?;
        let value = visitor.visit_some(Follower { reader: &mut *reader, driven, place })?;
        reader.leave();
        Ok(value)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        if is_magic(name) {
            let Ty::Collection(kind, item) = self.ty() else { return Err(unlike()) };
            if kind.magic() != name {
                return Err(unlike());
            }
            let backing = self.driven.of_items(item);
            return self.reader.collection(&backing, name, visitor);
        }
        // A newtype may have come or gone: it has no bytes.
        let inner = match self.driven.shape().ty(self.place) {
            Ty::Named(definition) => match self.driven.shape().form(definition) {
                Form::Newtype(inner) => inner,
                _ => self.place,
            },
            _ => self.place,
        };
        visitor.visit_newtype_struct(self.at(inner))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        let Ty::Seq(item) = self.ty() else { return Err(unlike()) };
        let (reader, driven) = (self.reader, self.driven);
        let mut left = reader.len()?;
        reader.enter()?;
        let items = Repeated { reader: &mut *reader, driven, item, left: &mut left };
        let value = visitor.visit_seq(items)?;
        reader.leave();
        if left == 0 { Ok(value) } else { Err(CodecError::message("items of a sequence were left unread")) }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        let Ty::Map(item) = self.ty() else { return Err(unlike()) };
        let (reader, driven) = (self.reader, self.driven);
        let mut left = reader.len()?;
        reader.enter()?;
        let value = visitor.visit_map(Repeated { reader: &mut *reader, driven, item, left: &mut left })?;
        reader.leave();
        if left == 0 { Ok(value) } else { Err(CodecError::message("entries of a map were left unread")) }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, CodecError> {
        self.tuple(len, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        self.tuple(len, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        match self.form() {
            Some(Form::Struct(places)) => self.fields(places, fields, visitor),
            _ if fields.is_empty() => self.tuple(0, visitor),
            _ => Err(unlike()),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        asked: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        let Some(Form::Enum(variants)) = self.form() else { return Err(unlike()) };
        let (reader, driven) = (self.reader, self.driven);
        reader.enter()?;
        let value = visitor.visit_enum(Chosen { reader: &mut *reader, driven, variants, asked })?;
        reader.leave();
        Ok(value)
    }
}

/// Parts one after the other.
struct Parts<'r, 'de, 'a> {
    reader: &'r mut RecordDeserializer<'de, 'a>,
    driven: &'a ResolvingReader,
    left: &'r mut Places,
}

impl<'de> SeqAccess<'de> for Parts<'_, 'de, '_> {
    type Error = CodecError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, CodecError> {
        let Some(place) = self.left.pop_first() else { return Ok(None) };
        seed.deserialize(Follower { reader: &mut *self.reader, driven: self.driven, place }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.len as usize)
    }
}

/// The items of a sequence, or the entries of a map, whose values lie behind their keys.
struct Repeated<'r, 'de, 'a> {
    reader: &'r mut RecordDeserializer<'de, 'a>,
    driven: &'a ResolvingReader,
    item: Slot,
    left: &'r mut usize,
}

impl Repeated<'_, '_, '_> {
    fn hint(&self) -> Option<usize> {
        Some((*self.left).min(self.reader.remaining()))
    }
}

impl<'de> SeqAccess<'de> for Repeated<'_, 'de, '_> {
    type Error = CodecError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, CodecError> {
        if *self.left == 0 {
            return Ok(None);
        }
        *self.left -= 1;
        let place = self.item;
        seed.deserialize(Follower { reader: &mut *self.reader, driven: self.driven, place }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        self.hint()
    }
}

impl<'de> MapAccess<'de> for Repeated<'_, 'de, '_> {
    type Error = CodecError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, CodecError> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, CodecError> {
        let place = self.item + 1;
        seed.deserialize(Follower { reader: &mut *self.reader, driven: self.driven, place })
    }

    fn size_hint(&self) -> Option<usize> {
        self.hint()
    }
}

/// The fields of a struct by the names they were written under.
struct Fields<'r, 'de, 'a> {
    reader: &'r mut RecordDeserializer<'de, 'a>,
    driven: &'a ResolvingReader,
    asked: &'static [&'static str],
    left: Places,
    value: Slot,
}

impl<'de> MapAccess<'de> for &mut Fields<'_, 'de, '_> {
    type Error = CodecError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, CodecError> {
        let plan = &self.driven.plan;
        while let Some(place) = self.left.pop_first() {
            let label = plan.stored.label(place);
            if let Some(name) = label.and_then(|label| label.as_one_of(self.asked)) {
                self.value = place;
                return seed.deserialize(name.into_deserializer()).map(Some);
            }
            if !plan.allow.removed_fields {
                let name = label.map_or("", |label| &label.name);
                return Err(CodecError::message(format!("field `{name}` was removed from the type")));
            }
            Follower { reader: &mut *self.reader, driven: self.driven, place }.skip()?;
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, CodecError> {
        let place = std::mem::replace(&mut self.value, UNKNOWN);
        seed.deserialize(Follower { reader: &mut *self.reader, driven: self.driven, place })
    }
}

/// The variant that was written, by its name.
struct Chosen<'r, 'de, 'a> {
    reader: &'r mut RecordDeserializer<'de, 'a>,
    driven: &'a ResolvingReader,
    variants: Places,
    asked: &'static [&'static str],
}

impl<'r, 'de, 'a> EnumAccess<'de> for Chosen<'r, 'de, 'a> {
    type Error = CodecError;
    type Variant = Variant<'r, 'de, 'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant), CodecError> {
        let (number, shape) = (self.reader.take::<u32>()?, self.driven.shape());
        if number >= self.variants.len {
            return Err(no_variant(number, self.variants));
        }
        let variant = &shape.variants[(self.variants.start + number) as usize];
        let value = match is_nameless(shape, Some(&variant.label), number as usize) {
            true => seed.deserialize(number.into_deserializer())?,
            // A name that the type has not is an error of its own, which says so.
            false => {
                let name = variant.label.as_one_of(self.asked).unwrap_or(&variant.label.name);
                seed.deserialize(name.into_deserializer())?
            }
        };
        Ok((value, Variant { reader: self.reader, driven: self.driven, form: variant.form }))
    }
}

struct Variant<'r, 'de, 'a> {
    reader: &'r mut RecordDeserializer<'de, 'a>,
    driven: &'a ResolvingReader,
    form: Form,
}

impl<'r, 'de, 'a> Variant<'r, 'de, 'a> {
    fn at(self, place: Slot) -> Follower<'r, 'de, 'a> {
        Follower { reader: self.reader, driven: self.driven, place }
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de, '_> {
    type Error = CodecError;

    fn unit_variant(self) -> Result<(), CodecError> {
        if self.form == Form::Unit { Ok(()) } else { Err(unlike()) }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, CodecError> {
        let Form::Newtype(place) = self.form else { return Err(unlike()) };
        seed.deserialize(self.at(place))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, CodecError> {
        match self.form {
            Form::Tuple(places) if places.len as usize == len => self.at(UNKNOWN).parts(places, visitor),
            Form::Newtype(place) if len == 1 => {
                self.at(UNKNOWN).parts(Places { start: place, len: 1, step: 1 }, visitor)
            }
            _ => Err(unlike()),
        }
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        match self.form {
            Form::Struct(places) => self.at(UNKNOWN).fields(places, fields, visitor),
            _ => Err(unlike()),
        }
    }
}
