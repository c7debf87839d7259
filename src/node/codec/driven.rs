//! Decoding that follows the recorded shape instead of the type asked for, where the two differ.
//!
//! A struct is offered by the names of the fields that it was written with, in their order, so serde fills in the
//! defaults of the others; a variant is named, so its number may have changed. What is read of a collection in this
//! way is not what its records hold: its nodes belong to an opening of their own (a [`Tag`] that no log has), to
//! which nothing is clean, and the next checkpoint writes them anew.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::fault::Fault;
use super::plan::{Form, Plan, Ty};
use super::reader::{Reader, failure};
use super::session::is_magic;
use crate::error::Result;
use crate::node::{Address, Backing, Record, Sweep, Tag};

/// A log that is read by a plan.
pub(crate) struct Driven {
    backing: Arc<dyn Backing>,
    tag: Tag,
    plan: Arc<Plan>,
    /// The items of the collection that reads, and its keys.
    items: Ty,
}

/// What one call decodes of a collection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Portion {
    /// One item.
    Item,
    /// A sequence of items.
    Items,
    /// A sequence of keys.
    Keys,
}

impl Driven {
    /// Reads `backing` by a plan; `tag` stands for the two together.
    pub(crate) fn new(backing: Arc<dyn Backing>, tag: Tag, plan: Arc<Plan>) -> Arc<Self> {
        let items = plan.root.clone();
        Arc::new(Self { backing, tag, plan, items })
    }

    /// Decodes a state, as [`decode`](super::decode) does.
    pub(crate) fn decode_root<'de, T: Deserialize<'de>>(
        self: &Arc<Self>,
        address: Address,
        bytes: &'de [u8],
        refs: &[Address],
    ) -> Result<T> {
        self.decode(&self.items, address, bytes, refs)
    }

    /// Decodes a portion of a collection.
    pub(crate) fn decode_portion<'de, T: Deserialize<'de>>(
        &self,
        portion: Portion,
        address: Address,
        bytes: &'de [u8],
        refs: &[Address],
    ) -> Result<T> {
        match (portion, &self.items) {
            (Portion::Item, items) => self.decode(items, address, bytes, refs),
            (Portion::Items, items) => self.decode(&Ty::Seq(Box::new(items.clone())), address, bytes, refs),
            (Portion::Keys, Ty::Tuple(entry)) if !entry.is_empty() => {
                self.decode(&Ty::Seq(Box::new(entry[0].clone())), address, bytes, refs)
            }
            (Portion::Keys, _) => self.decode(&Ty::Unknown, address, bytes, refs),
        }
    }

    fn decode<'de, T: Deserialize<'de>>(
        &self,
        ty: &Ty,
        address: Address,
        bytes: &'de [u8],
        refs: &[Address],
    ) -> Result<T> {
        let mut reader = Reader::new(bytes, refs, &self.backing);
        match T::deserialize(Follower { reader: &mut reader, driven: self, ty }) {
            Ok(value) if reader.is_done() => Ok(value),
            result => Err(failure(reader, result.err(), address, std::any::type_name::<T>())),
        }
    }

    /// The same for the items of a collection.
    fn of_items(&self, items: &Ty) -> Arc<dyn Backing> {
        Arc::new(Self {
            backing: Arc::clone(&self.backing),
            tag: self.tag,
            plan: Arc::clone(&self.plan),
            items: items.clone(),
        })
    }
}

impl Backing for Driven {
    fn tag(&self) -> Tag {
        self.tag
    }

    fn read(&self, address: Address) -> Result<Record> {
        self.backing.read(address)
    }

    fn decoded(&self, address: Address, node: usize) {
        self.backing.decoded(address, node);
    }

    fn sweep(&self) -> Box<dyn Sweep + '_> {
        self.backing.sweep()
    }

    fn driven(&self) -> Option<&Driven> {
        Some(self)
    }

    fn rebuilds(&self) -> bool {
        self.backing.rebuilds()
    }
}

/// The deserializer of one place.
struct Follower<'r, 'de, 'a> {
    reader: &'r mut Reader<'de, 'a>,
    driven: &'a Driven,
    ty: &'a Ty,
}

impl<'r, 'de, 'a> Follower<'r, 'de, 'a> {
    /// What a named type consists of.
    fn form(&self) -> Option<&'a Form> {
        match *self.ty {
            Ty::Named(index) => Some(self.driven.plan.form(index)),
            _ => None,
        }
    }

    fn parts<V: Visitor<'de>>(self, types: &'a [Ty], visitor: V) -> Result<V::Value, Fault> {
        let mut types = types.iter();
        let parts = Parts { reader: self.reader, driven: self.driven, types: &mut types };
        let value = visitor.visit_seq(parts)?;
        match types.len() {
            0 => Ok(value),
            left => Err(Fault::message(format!("its Deserialize implementation left {left} parts unread"))),
        }
    }

    fn fields<V: Visitor<'de>>(
        self,
        stored: &'a [(String, Ty)],
        asked: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        // Unchanged structs go by order; so do those whose names stand for several fields (aliases), of which the
        // shape does not say which go together.
        let by_order = stored.iter().enumerate().all(|(at, (name, _))| *name == format!("_{at}"))
            || stored.len() == asked.len()
                && stored.iter().zip(asked).all(|((name, _), asked)| name == asked);
        if by_order {
            let left = stored.iter();
            return visitor.visit_seq(Fields { reader: self.reader, driven: self.driven, left, value: None });
        }
        let fields = Fields { reader: self.reader, driven: self.driven, left: stored.iter(), value: None };
        visitor.visit_map(fields)
    }
}

#[cold]
fn unlike() -> Fault {
    Fault::message("it asks for something else than the recorded shape of its type says")
}

macro_rules! plain {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.reader.$method(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Follower<'_, 'de, '_> {
    type Error = Fault;

    plain! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32
        deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_unit deserialize_any deserialize_ignored_any deserialize_identifier
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.reader.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Ty::Option(ty) = self.ty else { return self.reader.deserialize_option(visitor) };
        let (reader, driven) = (self.reader, self.driven);
        if !reader.take::<bool>()? {
            return visitor.visit_none();
        }
        reader.enter()?;
        let value = visitor.visit_some(Follower { reader: &mut *reader, driven, ty })?;
        reader.leave();
        Ok(value)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if is_magic(name) {
            let Ty::Collection(_, items) = self.ty else { return Err(unlike()) };
            let backing = self.driven.of_items(items);
            return self.reader.collection(&backing, name, visitor);
        }
        match self.form() {
            Some(Form::Newtype(ty)) => {
                visitor.visit_newtype_struct(Follower { reader: self.reader, driven: self.driven, ty })
            }
            _ => Err(unlike()),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Ty::Seq(ty) = self.ty else { return self.reader.deserialize_seq(visitor) };
        let (reader, driven) = (self.reader, self.driven);
        let mut left = reader.len()?;
        reader.enter()?;
        let items = Repeated { reader: &mut *reader, driven, types: [ty, ty], left: &mut left };
        let value = visitor.visit_seq(items)?;
        reader.leave();
        if left == 0 { Ok(value) } else { Err(Fault::message("items of a sequence were left unread")) }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Ty::Map(pair) = self.ty else { return self.reader.deserialize_map(visitor) };
        let (reader, driven) = (self.reader, self.driven);
        let mut left = reader.len()?;
        reader.enter()?;
        let types = [&pair.0, &pair.1];
        let value = visitor.visit_map(Repeated { reader: &mut *reader, driven, types, left: &mut left })?;
        reader.leave();
        if left == 0 { Ok(value) } else { Err(Fault::message("entries of a map were left unread")) }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        match self.ty {
            Ty::Tuple(types) if types.len() == len => self.parts(types, visitor),
            _ => Err(unlike()),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.form() {
            Some(Form::Tuple(types)) if types.len() == len => self.parts(types, visitor),
            Some(Form::Newtype(ty)) if len == 1 => self.parts(std::slice::from_ref(ty), visitor),
            _ => Err(unlike()),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.form() {
            Some(Form::Struct(stored)) => self.fields(stored, fields, visitor),
            _ => Err(unlike()),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let Some(Form::Enum(variants)) = self.form() else { return Err(unlike()) };
        let (reader, driven) = (self.reader, self.driven);
        reader.enter()?;
        let value = visitor.visit_enum(Chosen { reader: &mut *reader, driven, variants })?;
        reader.leave();
        Ok(value)
    }
}

/// Parts of known types.
struct Parts<'r, 'de, 'a, 't> {
    reader: &'r mut Reader<'de, 'a>,
    driven: &'a Driven,
    types: &'t mut std::slice::Iter<'a, Ty>,
}

impl<'de> SeqAccess<'de> for Parts<'_, 'de, '_, '_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(ty) = self.types.next() else { return Ok(None) };
        seed.deserialize(Follower { reader: &mut *self.reader, driven: self.driven, ty }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.types.len())
    }
}

/// The items of a sequence, or the entries of a map.
struct Repeated<'r, 'de, 'a> {
    reader: &'r mut Reader<'de, 'a>,
    driven: &'a Driven,
    types: [&'a Ty; 2],
    left: &'r mut usize,
}

impl Repeated<'_, '_, '_> {
    fn hint(&self) -> Option<usize> {
        Some((*self.left).min(self.reader.remaining()))
    }
}

impl<'de> SeqAccess<'de> for Repeated<'_, 'de, '_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        if *self.left == 0 {
            return Ok(None);
        }
        *self.left -= 1;
        let ty = self.types[0];
        seed.deserialize(Follower { reader: &mut *self.reader, driven: self.driven, ty }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        self.hint()
    }
}

impl<'de> MapAccess<'de> for Repeated<'_, 'de, '_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let ty = self.types[1];
        seed.deserialize(Follower { reader: &mut *self.reader, driven: self.driven, ty })
    }

    fn size_hint(&self) -> Option<usize> {
        self.hint()
    }
}

/// The fields of a struct by the names they were written under.
struct Fields<'r, 'de, 'a> {
    reader: &'r mut Reader<'de, 'a>,
    driven: &'a Driven,
    left: std::slice::Iter<'a, (String, Ty)>,
    value: Option<&'a Ty>,
}

impl<'de> SeqAccess<'de> for Fields<'_, 'de, '_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some((_, ty)) = self.left.next() else { return Ok(None) };
        seed.deserialize(Follower { reader: &mut *self.reader, driven: self.driven, ty }).map(Some)
    }
}

impl<'de> MapAccess<'de> for Fields<'_, 'de, '_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((name, ty)) = self.left.next() else { return Ok(None) };
        self.value = Some(ty);
        seed.deserialize(name.as_str().into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let ty = self.value.take().ok_or_else(unlike)?;
        seed.deserialize(Follower { reader: &mut *self.reader, driven: self.driven, ty })
    }
}

/// The variant that was written, by its name.
struct Chosen<'r, 'de, 'a> {
    reader: &'r mut Reader<'de, 'a>,
    driven: &'a Driven,
    variants: &'a [(String, Form)],
}

impl<'r, 'de, 'a> EnumAccess<'de> for Chosen<'r, 'de, 'a> {
    type Error = Fault;
    type Variant = Variant<'r, 'de, 'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant), Fault> {
        let number = self.reader.take::<u32>()?;
        let found = usize::try_from(number).ok().and_then(|number| self.variants.get(number));
        let (name, form) = found.ok_or_else(|| {
            Fault::message(format!("variant {number} of an enum that had {}", self.variants.len()))
        })?;
        let value = match *name == format!("_{number}") {
            true => seed.deserialize(number.into_deserializer())?,
            false => seed.deserialize(name.as_str().into_deserializer())?,
        };
        Ok((value, Variant { reader: self.reader, driven: self.driven, form }))
    }
}

struct Variant<'r, 'de, 'a> {
    reader: &'r mut Reader<'de, 'a>,
    driven: &'a Driven,
    form: &'a Form,
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de, '_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        if *self.form == Form::Unit { Ok(()) } else { Err(unlike()) }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        let Form::Newtype(ty) = self.form else { return Err(unlike()) };
        seed.deserialize(Follower { reader: self.reader, driven: self.driven, ty })
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        let follower = Follower { reader: self.reader, driven: self.driven, ty: &Ty::Unknown };
        match self.form {
            Form::Tuple(types) if types.len() == len => follower.parts(types, visitor),
            _ => Err(unlike()),
        }
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let follower = Follower { reader: self.reader, driven: self.driven, ty: &Ty::Unknown };
        match self.form {
            Form::Struct(stored) => follower.fields(stored, fields, visitor),
            _ => Err(unlike()),
        }
    }
}
