//! The serializer: postcard's bytes, with collections replaced by their roots, and with everything refused that
//! postcard would write and could not read back.

use std::fmt::{self, Write as _};
use std::rc::Rc;

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::appender::Appender;
use super::check::{Check, Place};
use super::collection::{FlushContext, HandoffError, request_root};
use super::error::CodecError;
use super::{MAX_DEPTH, MAX_EMPTY_ITEMS};
use crate::error::{Error, Result};
use crate::record::Address;
use crate::record::varint;
use crate::schema::is_magic;
use crate::schema::{Form, Slot, Ty, UNKNOWN};

/// See [`FlushContext::encode`].
#[inline]
pub(super) fn encode<T: Serialize + ?Sized>(
    save: &Rc<FlushContext>,
    place: Slot,
    value: &T,
    bytes: &mut Vec<u8>,
    refs: &mut Vec<Address>,
) -> Result<()> {
    let (bytes_before, refs_before) = (bytes.len(), refs.len());
    let mut writer = RecordSerializer {
        postcard: postcard::Serializer { output: Appender(&mut *bytes) },
        refs: &mut *refs,
        save,
        check: save.check(),
        place,
        depth: save.depth(),
        broken: false,
        raised: None,
    };
    let result = value.serialize(&mut writer);
    // User code may swallow the error of a nested value, but no record is made of what is left.
    if result.is_ok() && !writer.broken {
        return Ok(());
    }
    let raised = writer.raised.take();
    bytes.truncate(bytes_before);
    refs.truncate(refs_before);
    Err(match (raised, result) {
        (Some(error), _) => *error,
        (None, Err(fault)) => fault.into_encode_error(std::any::type_name::<T>()),
        (None, Ok(())) => CodecError::message(
            "the error of a nested value was ignored by the Serialize implementation around it; pass it on",
        )
        .into_encode_error(std::any::type_name::<T>()),
    })
}

pub(super) struct RecordSerializer<'a> {
    postcard: postcard::Serializer<Appender<'a>>,
    refs: &'a mut Vec<Address>,
    save: &'a Rc<FlushContext>,
    check: &'a Check,
    /// Place of the next value in the shape. What serializes a value leaves it as it was, unless it fails: so the
    /// items of a sequence need not set it.
    place: Slot,
    depth: u32,
    /// Whether a nested value failed.
    broken: bool,
    /// The error of a nested flush.
    raised: Option<Box<Error>>,
}

impl<'a> RecordSerializer<'a> {
    #[inline(always)]
    fn bytes(&mut self) -> &mut Vec<u8> {
        self.postcard.output.0
    }

    /// Serialises a part of the value.
    #[inline(always)]
    fn part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        let result = value.serialize(&mut *self);
        if result.is_err() {
            self.broken = true;
        }
        result
    }

    /// Serialises a part of the value that stands at another place.
    #[inline(always)]
    fn part_at<T: Serialize + ?Sized>(&mut self, place: Slot, value: &T) -> Result<(), CodecError> {
        let outer = std::mem::replace(&mut self.place, place);
        self.part(value)?;
        self.place = outer;
        Ok(())
    }

    #[inline(always)]
    fn enter(&mut self) -> Result<(), CodecError> {
        if self.depth >= MAX_DEPTH {
            return Err(too_deep());
        }
        self.depth += 1;
        Ok(())
    }

    #[inline(always)]
    fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Writes the number by which the reader knows a variant; what it consists of.
    #[inline(always)]
    fn variant(
        &mut self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<Option<Form>, CodecError> {
        let (number, form) = self.check.variant(self.place, name, index, variant)?;
        varint::push(self.bytes(), u64::from(number));
        Ok(form)
    }

    #[inline(always)]
    fn items<'w>(
        &'w mut self,
        len: Option<usize>,
        unknown: impl FnOnce() -> CodecError,
        places: [Slot; 2],
    ) -> Result<Items<'w, 'a>, CodecError> {
        let len = len.ok_or_else(unknown)?;
        self.enter()?;
        varint::push(self.bytes(), len as u64);
        let start = self.bytes().len();
        let outer = std::mem::replace(&mut self.place, places[0]);
        Ok(Items { writer: self, len, left: len, start, places, outer })
    }

    #[inline(always)]
    fn fields<'w>(
        &'w mut self,
        name: &'static str,
        len: usize,
        entered: bool,
        place: Place<'a>,
    ) -> Fields<'w, 'a> {
        let outer = std::mem::replace(&mut self.place, place.before());
        Fields { writer: self, left: len, name, entered, place, outer }
    }

    /// Writes the root of the collection `value` instead of its contents.
    #[cold]
    fn collection<T: Serialize + ?Sized>(
        &mut self,
        magic: &'static str,
        value: &T,
    ) -> Result<(), CodecError> {
        let item = self.check.collection(self.place, magic)?;
        self.enter()?;
        let (save, depth) = (self.save, self.depth);
        let root = match request_root(save, depth, item, || value.serialize(&mut *self)) {
            Ok(root) => root,
            Err(HandoffError::Raised(error)) => {
                self.broken = true;
                self.raised.get_or_insert(Box::new(error));
                return Err(CodecError::message("a nested collection failed"));
            }
            Err(HandoffError::Call(fault)) => return Err(fault),
            Err(HandoffError::Silent) => {
                return Err(CodecError::refused(format!(
                    "a type that is not a collection of this crate calls itself `{magic}`; give it another name"
                )));
            }
        };
        self.leave();
        let trees = root.addresses.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        varint::push(self.bytes(), trees as u64);
        for address in &root.addresses[..trees] {
            self.refs.extend(address);
            let index = if address.is_some() { self.refs.len() as u64 } else { 0 };
            varint::push(self.bytes(), index);
        }
        let bytes = self.bytes();
        varint::push(bytes, root.meta.len() as u64);
        bytes.extend_from_slice(&root.meta);
        Ok(())
    }
}

#[cold]
fn too_deep() -> CodecError {
    CodecError::refused(format!(
        "the value is nested more than {MAX_DEPTH} levels deep; keep the parts in one Vector or map and let them \
         refer to each other by key"
    ))
}

#[cold]
fn unknown_seq_len() -> CodecError {
    CodecError::refused(
        "a sequence of unknown length; collect it into a Vec first, or serialise it with its length",
    )
}

#[cold]
fn unknown_map_len() -> CodecError {
    CodecError::refused(
        "a map of unknown length, which is what `#[serde(flatten)]` makes of a struct; nest the flattened struct as \
         an ordinary field, or serialise the map with its length",
    )
}

/// Passes a primitive on to postcard, whose only failure is a full buffer, which ours never is.
macro_rules! primitives {
    ($($method:ident: $type:ty,)*) => {$(
        #[inline(always)]
        fn $method(self, value: $type) -> Result<(), CodecError> {
            (&mut self.postcard).$method(value).map_err(CodecError::from_postcard)
        }
    )*};
}

impl<'w, 'a> Serializer for &'w mut RecordSerializer<'a> {
    type Ok = ();
    type Error = CodecError;
    type SerializeSeq = Items<'w, 'a>;
    type SerializeMap = Items<'w, 'a>;
    type SerializeTuple = Fields<'w, 'a>;
    type SerializeTupleStruct = Fields<'w, 'a>;
    type SerializeTupleVariant = Fields<'w, 'a>;
    type SerializeStruct = Fields<'w, 'a>;
    type SerializeStructVariant = Fields<'w, 'a>;

    primitives! {
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_u128: u128,
        serialize_f32: f32,
        serialize_f64: f64,
        serialize_char: char,
        serialize_str: &str,
        serialize_bytes: &[u8],
    }

    #[inline(always)]
    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline(always)]
    fn serialize_none(self) -> Result<(), CodecError> {
        self.check.option(self.place)?;
        self.bytes().push(0);
        Ok(())
    }

    #[inline(always)]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), CodecError> {
        let inner = self.check.option(self.place)?;
        self.enter()?;
        self.bytes().push(1);
        self.part_at(inner, value)?;
        self.leave();
        Ok(())
    }

    #[inline(always)]
    fn serialize_unit(self) -> Result<(), CodecError> {
        Ok(())
    }

    #[inline(always)]
    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), CodecError> {
        Ok(())
    }

    #[inline(always)]
    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<(), CodecError> {
        self.enter()?;
        match self.variant(name, index, variant)? {
            None | Some(Form::Unit) => {}
            Some(form) => self.check.unit_variant(variant, form)?,
        }
        self.leave();
        Ok(())
    }

    #[inline(always)]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), CodecError> {
        if is_magic(name) {
            let result = self.collection(name, value);
            self.broken |= result.is_err();
            return result;
        }
        if let Ty::Named(definition) = self.check.shape.ty(self.place)
            && let Form::Newtype(inner) = self.check.shape.form(definition)
        {
            return self.part_at(inner, value);
        }
        self.part(value)
    }

    #[inline(always)]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), CodecError> {
        self.enter()?;
        let inner = match self.variant(name, index, variant)? {
            Some(Form::Newtype(inner)) => inner,
            None => UNKNOWN,
            Some(form) => return Err(self.check.other_variant(variant, "one part", form)),
        };
        self.part_at(inner, value)?;
        self.leave();
        Ok(())
    }

    #[inline(always)]
    fn serialize_seq(self, len: Option<usize>) -> Result<Items<'w, 'a>, CodecError> {
        let item = self.check.seq(self.place)?;
        self.items(len, unknown_seq_len, [item, item])
    }

    #[inline(always)]
    fn serialize_map(self, len: Option<usize>) -> Result<Items<'w, 'a>, CodecError> {
        let places = self.check.map(self.place)?;
        self.items(len, unknown_map_len, places)
    }

    #[inline(always)]
    fn serialize_tuple(self, len: usize) -> Result<Fields<'w, 'a>, CodecError> {
        let place = self.check.tuple(self.place, len)?;
        Ok(self.fields("a tuple", len, false, place))
    }

    #[inline(always)]
    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Fields<'w, 'a>, CodecError> {
        let place = self.check.tuple(self.place, len)?;
        Ok(self.fields(name, len, false, place))
    }

    #[inline(always)]
    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Fields<'w, 'a>, CodecError> {
        let place = self.check.fields(self.place, name, len)?;
        Ok(self.fields(name, len, false, place))
    }

    #[inline(always)]
    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Fields<'w, 'a>, CodecError> {
        self.enter()?;
        let form = self.variant(name, index, variant)?;
        let place = self.check.tuple_variant(variant, form, len)?;
        Ok(self.fields(variant, len, true, place))
    }

    #[inline(always)]
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Fields<'w, 'a>, CodecError> {
        self.enter()?;
        let form = self.variant(name, index, variant)?;
        let place = self.check.struct_variant(variant, form, len)?;
        Ok(self.fields(variant, len, true, place))
    }

    /// Formats once, straight into the record: a `Display` that changes between two calls cannot falsify the
    /// length.
    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), CodecError> {
        struct Text<'a>(&'a mut Vec<u8>);
        impl fmt::Write for Text<'_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0.extend_from_slice(text.as_bytes());
                Ok(())
            }
        }
        let bytes = self.bytes();
        let start = bytes.len();
        write!(Text(bytes), "{value}")
            .map_err(|_| CodecError::message("a Display implementation returned an error"))?;
        let end = bytes.len();
        varint::push(bytes, (end - start) as u64);
        let len_bytes = bytes.len() - end;
        bytes[start..].rotate_right(len_bytes);
        Ok(())
    }
}

/// A sequence or map in progress.
pub(super) struct Items<'w, 'a> {
    writer: &'w mut RecordSerializer<'a>,
    len: usize,
    left: usize,
    /// Where the first item begins.
    start: usize,
    /// Places of items, or of keys and values, in the shape.
    places: [Slot; 2],
    /// Place of the whole.
    outer: Slot,
}

impl Items<'_, '_> {
    #[inline(always)]
    fn count(&mut self) -> Result<(), CodecError> {
        self.left = self.left.checked_sub(1).ok_or_else(|| miscounted("a sequence or map", "more"))?;
        Ok(())
    }

    #[inline(always)]
    fn finish(self) -> Result<(), CodecError> {
        if self.left != 0 {
            return Err(miscounted("a sequence or map", "fewer"));
        }
        if self.len > MAX_EMPTY_ITEMS && self.writer.bytes().len() - self.start < self.len {
            return Err(CodecError::refused(format!(
                "a sequence of {} items that take no bytes (the limit is {MAX_EMPTY_ITEMS}); store its length",
                self.len
            )));
        }
        self.writer.place = self.outer;
        self.writer.leave();
        Ok(())
    }
}

#[cold]
fn miscounted(name: &str, more: &str) -> CodecError {
    CodecError::refused(format!(
        "{name} serialised {more} parts than it announced; correct the length that its Serialize implementation \
         passes to the serializer"
    ))
}

impl SerializeSeq for Items<'_, '_> {
    type Ok = ();
    type Error = CodecError;

    #[inline(always)]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        self.count()?;
        self.writer.part(value)
    }

    #[inline(always)]
    fn end(self) -> Result<(), CodecError> {
        self.finish()
    }
}

impl SerializeMap for Items<'_, '_> {
    type Ok = ();
    type Error = CodecError;

    #[inline(always)]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), CodecError> {
        self.count()?;
        self.writer.place = self.places[0];
        self.writer.part(key)
    }

    #[inline(always)]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        self.writer.place = self.places[1];
        self.writer.part(value)
    }

    #[inline(always)]
    fn end(self) -> Result<(), CodecError> {
        self.finish()
    }
}

/// A tuple, struct, or variant with fields in progress.
pub(super) struct Fields<'w, 'a> {
    writer: &'w mut RecordSerializer<'a>,
    left: usize,
    name: &'static str,
    /// Whether it counts as a level of nesting. Structs and tuples do not: no type is infinite by them alone.
    entered: bool,
    /// Place of the next field in the shape.
    place: Place<'a>,
    /// Place of the whole.
    outer: Slot,
}

impl Fields<'_, '_> {
    #[inline(always)]
    fn part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        self.left = self.left.checked_sub(1).ok_or_else(|| miscounted(self.name, "more"))?;
        if let Some(step) = self.place.step() {
            self.writer.place = self.writer.place.wrapping_add(step);
        }
        self.writer.part(value)
    }

    #[inline(always)]
    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), CodecError> {
        self.left = self.left.checked_sub(1).ok_or_else(|| miscounted(self.name, "more"))?;
        self.writer.place = self.writer.check.field(&mut self.place, self.name, key)?;
        self.writer.part(value)
    }

    #[cold]
    fn skipped(&mut self, key: &'static str) -> Result<(), CodecError> {
        self.writer.broken = true;
        Err(CodecError::refused(format!(
            "field `{key}` of {} was left out (`#[serde(skip_serializing_if)]`), and the binary format cannot tell \
             that when it reads; remove the attribute, or leave the field out always with `#[serde(skip)]`",
            self.name
        )))
    }

    #[inline(always)]
    fn finish(self) -> Result<(), CodecError> {
        if self.left != 0 {
            return Err(miscounted(self.name, "fewer"));
        }
        self.writer.check.end(self.place, self.name)?;
        self.writer.place = self.outer;
        if self.entered {
            self.writer.leave();
        }
        Ok(())
    }
}

macro_rules! compound {
    ($($trait:ident, $method:ident, $part:ident, ($($key:ident)?), ($($skip:ident)?);)*) => {$(
        impl $trait for Fields<'_, '_> {
            type Ok = ();
            type Error = CodecError;

            #[inline(always)]
            fn $method<T: Serialize + ?Sized>(&mut self, $($key: &'static str,)? value: &T) -> Result<(), CodecError> {
                self.$part($($key,)? value)
            }

            $(fn $skip(&mut self, key: &'static str) -> Result<(), CodecError> {
                self.skipped(key)
            })?

            #[inline(always)]
            fn end(self) -> Result<(), CodecError> {
                self.finish()
            }
        }
    )*};
}

compound! {
    SerializeTuple, serialize_element, part, (), ();
    SerializeTupleStruct, serialize_field, part, (), ();
    SerializeTupleVariant, serialize_field, part, (), ();
    SerializeStruct, serialize_field, field, (key), (skip_field);
    SerializeStructVariant, serialize_field, field, (key), (skip_field);
}
