//! Looks at values without writing them: for samples, and on a trial.
//!
//! *On a trial* every part of a value is compared with the shape by which it will be read, down to the last number, and
//! appended to a *transcript*. What is written and what it reads back as have equal transcripts, or `Serialize` and
//! `Deserialize` disagree. The items of sequences and maps are noted in the order of their bytes, since a `HashMap` of std
//! need not have the order that it was written in. (Such a map may also have been written as one text. A *loose* transcript
//! leaves out the order of bytes in texts.)
//!
//! *For a sample*, where a trace could not see all of a type, the first value that it could have used is taken.

use std::fmt::Display;
use std::rc::Rc;

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::MAX_DEPTH;
use super::appender::Appender;
use super::check::{Check, Place};
use super::collection::{Accuracy, FlushContext, HandoffError, request_root};
use super::error::CodecError;
use crate::error::{Error, Result};
use crate::record::varint;
use crate::schema::is_magic;
use crate::schema::{Form, Slot, Ty, UNKNOWN};
use crate::schema::{parts_of, widens};

/// Samples are stored with the shape, so there are few, and small ones.
const MAX_SAMPLES: usize = 16;
const MAX_SAMPLE_BYTES: usize = 1 << 16;

/// Looks at a value that stands at this place of the shape.
///
/// # Errors
///
/// `Error::Encode` where it will not be read as what it is, or where a sample was taken; an error met in a nested
/// collection, as it is.
#[cold]
pub(super) fn look<T: Serialize + ?Sized>(save: &Rc<FlushContext>, place: Slot, value: &T) -> Result<()> {
    let mut bytes = Vec::new();
    let mut observer = Observer {
        save,
        check: save.check(),
        is_trial: save.trial().is_some(),
        place,
        depth: save.depth(),
        bytes: &mut bytes,
        raised: None,
    };
    let result = observer.part(value);
    let raised = observer.raised.take();
    match (raised, result) {
        (Some(error), _) => return Err(*error),
        (None, Err(fault)) => return Err(fault.into_encode_error(std::any::type_name::<T>())),
        (None, Ok(())) => {}
    }
    let mut transcript = save.swap_transcript(Vec::new());
    transcript.append(&mut bytes);
    save.swap_transcript(transcript);
    Ok(())
}

struct Observer<'a> {
    save: &'a Rc<FlushContext>,
    check: &'a Check,
    is_trial: bool,
    place: Slot,
    depth: u32,
    bytes: &'a mut Vec<u8>,
    raised: Option<Box<Error>>,
}

impl<'a> Observer<'a> {
    #[inline]
    fn part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        let (place, shape) = (self.place, &self.check.shape);
        if matches!(shape.ty(place), Ty::Primitive(_)) && shape.picky().is_empty() {
            return value.serialize(&mut *self);
        }
        if shape.picky().contains(&place) && shape.samples.len() < MAX_SAMPLES {
            let sample = postcard::to_stdvec(value).ok();
            let sample =
                sample.filter(|sample| sample.len() <= MAX_SAMPLE_BYTES && !shape.samples.contains(sample));
            if let Some(sample) = sample {
                self.save.set_sample(sample);
                return Err(CodecError::message("a sample was taken"));
            }
        }
        if place != UNKNOWN && shape.ty(shape.peel(place)) == Ty::Unknown {
            self.unseen()?;
        }
        value.serialize(&mut *self)
    }

    /// Looks at a part of what may be nested in itself: levels are counted as the writer counts them.
    fn deeper<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        self.enter()?;
        let result = self.part(value);
        self.depth -= 1;
        result
    }

    fn enter(&mut self) -> Result<(), CodecError> {
        if self.depth >= MAX_DEPTH {
            return Err(CodecError::refused(format!(
                "the value is nested more than {MAX_DEPTH} levels deep"
            )));
        }
        self.depth += 1;
        Ok(())
    }

    /// Expects that a primitive of this name is read as what has the same bytes.
    #[inline]
    fn primitive(&mut self, name: &str) -> Result<(), CodecError> {
        let shape = &self.check.shape;
        if matches!(shape.ty(self.place), Ty::Primitive(read) if std::ptr::eq(read, name) || read == name) {
            return Ok(());
        }
        self.other_primitive(name)
    }

    fn other_primitive(&mut self, name: &str) -> Result<(), CodecError> {
        let shape = &self.check.shape;
        let place = shape.peel(self.place);
        let fits = match shape.ty(place) {
            Ty::Unknown => return Ok(()),
            Ty::Primitive(read) => {
                let is_varint = |name: &str| !name.starts_with('f') && name.get(1..) != Some("8");
                read == name
                    || matches!((name, read), ("str" | "char" | "bytes", "str" | "bytes"))
                    // Both are varints of the same kind.
                    || widens(name, read) && is_varint(name) && is_varint(read) && name.as_bytes()[0] == read.as_bytes()[0]
            }
            Ty::Seq(item) => name == "bytes" && shape.ty(item) == Ty::Primitive("u8"),
            _ => false,
        };
        if fits { Ok(()) } else { Err(self.check.other(place, name)) }
    }

    /// Refuses a value of which it is not known what it is read as.
    fn unseen(&self) -> Result<(), CodecError> {
        if self.is_trial {
            return Ok(());
        }
        Err(CodecError::refused(
            "it has parts that cannot be seen: a Deserialize implementation before them rejects every value that was tried; \
             put the part that rejects values last, or into a struct with named fields",
        ))
    }

    fn unit(&mut self) -> Result<(), CodecError> {
        let shape = &self.check.shape;
        let place = shape.peel(self.place);
        match (shape.ty(place), parts_of(shape, place)) {
            (Ty::Unknown, _) => Ok(()),
            (_, Some(parts)) if parts.len == 0 => Ok(()),
            _ => Err(self.check.other(place, "nothing, `()`,")),
        }
    }

    #[inline]
    fn note(&mut self, value: impl Serialize) -> Result<(), CodecError> {
        let start = self.bytes.len();
        self.append(value)?;
        if self.save.accuracy() == Accuracy::Fields {
            self.save.note_in_field(&self.bytes[start..]);
        }
        Ok(())
    }

    #[inline]
    fn append(&mut self, value: impl Serialize) -> Result<(), CodecError> {
        value
            .serialize(&mut postcard::Serializer { output: Appender(self.bytes) })
            .map_err(CodecError::from_postcard)
    }

    fn note_bytes(&mut self, value: &[u8]) {
        varint::push(self.bytes, value.len() as u64);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        match self.save.accuracy() {
            Accuracy::Exact | Accuracy::Brief => {}
            Accuracy::Loose => self.bytes[start..].sort_unstable(),
            Accuracy::Fields => self.save.note_in_field(value),
        }
    }

    fn variant(
        &mut self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<Option<Form>, CodecError> {
        let (number, form) = self.check.variant(self.place, name, index, variant)?;
        varint::push(self.bytes, number.into());
        if self.save.accuracy() == Accuracy::Fields {
            self.save.note_in_field(&number.to_le_bytes());
        }
        Ok(form)
    }

    fn collection<T: Serialize + ?Sized>(
        &mut self,
        magic: &'static str,
        value: &T,
    ) -> Result<(), CodecError> {
        let item = self.check.collection(self.place, magic)?;
        if !self.is_trial {
            // Its items are looked at when they are written.
            return Ok(());
        }
        self.enter()?;
        let (save, depth) = (self.save, self.depth);
        // Having written its nodes, the collection serialises nothing.
        self.place = UNKNOWN;
        let outer = save.swap_transcript(Vec::new());
        let root = request_root(save, depth, item, || value.serialize(&mut *self));
        let items = save.swap_transcript(outer);
        self.depth -= 1;
        match root {
            Ok(root) => self.append((root.meta, items)),
            Err(HandoffError::Raised(error)) => {
                self.raised.get_or_insert(Box::new(error));
                Err(CodecError::message("a nested collection failed"))
            }
            Err(HandoffError::Call(fault)) => Err(fault),
            Err(HandoffError::Silent) => {
                Err(CodecError::refused(format!("a type calls itself `{magic}`; give it another name")))
            }
        }
    }

    fn items<'w>(&'w mut self, places: [Slot; 2]) -> Items<'w, 'a> {
        Items { start: self.bytes.len(), ends: Vec::new(), observer: self, places }
    }
}

macro_rules! primitives {
    ($($method:ident: $type:ty, $name:literal;)*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<(), CodecError> {
            self.primitive($name)?;
            self.note(value)
        }
    )*};
}

impl<'w, 'a> Serializer for &'w mut Observer<'a> {
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
        serialize_bool: bool, "bool";
        serialize_i8: i8, "i8";
        serialize_i16: i16, "i16";
        serialize_i32: i32, "i32";
        serialize_i64: i64, "i64";
        serialize_i128: i128, "i128";
        serialize_u8: u8, "u8";
        serialize_u16: u16, "u16";
        serialize_u32: u32, "u32";
        serialize_u64: u64, "u64";
        serialize_u128: u128, "u128";
        serialize_f32: f32, "f32";
        serialize_f64: f64, "f64";
        serialize_char: char, "char";
    }

    fn serialize_str(self, value: &str) -> Result<(), CodecError> {
        self.primitive("str")?;
        self.note_bytes(value.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), CodecError> {
        self.primitive("bytes")?;
        self.note_bytes(value);
        Ok(())
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_none(self) -> Result<(), CodecError> {
        self.check.option(self.place)?;
        self.note(false)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), CodecError> {
        self.place = self.check.option(self.place)?;
        self.note(true)?;
        self.deeper(value)
    }

    fn serialize_unit(self) -> Result<(), CodecError> {
        self.unit()
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), CodecError> {
        self.unit()
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<(), CodecError> {
        match self.variant(name, index, variant)? {
            None | Some(Form::Unit) => Ok(()),
            Some(form) => self.check.unit_variant(variant, form),
        }
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), CodecError> {
        if is_magic(name) {
            return self.collection(name, value);
        }
        if let Ty::Named(definition) = self.check.shape.ty(self.place)
            && let Form::Newtype(inner) = self.check.shape.form(definition)
        {
            self.place = inner;
        }
        self.part(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), CodecError> {
        self.place = match self.variant(name, index, variant)? {
            Some(Form::Newtype(inner)) => inner,
            None => UNKNOWN,
            Some(form) => return Err(self.check.other_variant(variant, "one part", form)),
        };
        self.deeper(value)
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Items<'w, 'a>, CodecError> {
        let item = self.check.seq(self.place)?;
        Ok(self.items([item, item]))
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Items<'w, 'a>, CodecError> {
        let places = self.check.map(self.place)?;
        Ok(self.items(places))
    }

    fn serialize_tuple(self, len: usize) -> Result<Fields<'w, 'a>, CodecError> {
        let place = self.check.tuple(self.place, len)?;
        Ok(Fields { observer: self, name: "a tuple", place, is_variant: false })
    }

    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Fields<'w, 'a>, CodecError> {
        let place = self.check.tuple(self.place, len)?;
        Ok(Fields { observer: self, name, place, is_variant: false })
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Fields<'w, 'a>, CodecError> {
        let place = self.check.fields(self.place, name, len)?;
        Ok(Fields { observer: self, name, place, is_variant: false })
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Fields<'w, 'a>, CodecError> {
        let form = self.variant(name, index, variant)?;
        let place = self.check.tuple_variant(variant, form, len)?;
        Ok(Fields { observer: self, name: variant, place, is_variant: true })
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Fields<'w, 'a>, CodecError> {
        let form = self.variant(name, index, variant)?;
        let place = self.check.struct_variant(variant, form, len)?;
        Ok(Fields { observer: self, name: variant, place, is_variant: true })
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), CodecError> {
        self.serialize_str(&value.to_string())
    }
}

/// A sequence or map in progress.
struct Items<'w, 'a> {
    observer: &'w mut Observer<'a>,
    places: [Slot; 2],
    start: usize,
    /// End of each item in the transcript.
    ends: Vec<usize>,
}

impl Items<'_, '_> {
    fn part<T: Serialize + ?Sized>(&mut self, place: usize, value: &T) -> Result<(), CodecError> {
        self.observer.place = self.places[place];
        self.observer.deeper(value)
    }

    /// Puts the items into the order of their bytes.
    fn finish(self) -> Result<(), CodecError> {
        let bytes = self.observer.bytes.split_off(self.start);
        let starts = std::iter::once(self.start).chain(self.ends.iter().copied());
        let mut items: Vec<&[u8]> =
            starts.zip(&self.ends).map(|(start, end)| &bytes[start - self.start..end - self.start]).collect();
        items.sort_unstable();
        varint::push(self.observer.bytes, items.len() as u64);
        items.into_iter().for_each(|item| self.observer.bytes.extend_from_slice(item));
        Ok(())
    }
}

impl SerializeSeq for Items<'_, '_> {
    type Ok = ();
    type Error = CodecError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        self.part(0, value)?;
        self.ends.push(self.observer.bytes.len());
        Ok(())
    }

    fn end(self) -> Result<(), CodecError> {
        self.finish()
    }
}

impl SerializeMap for Items<'_, '_> {
    type Ok = ();
    type Error = CodecError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), CodecError> {
        self.part(0, key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        self.part(1, value)?;
        self.ends.push(self.observer.bytes.len());
        Ok(())
    }

    fn end(self) -> Result<(), CodecError> {
        self.finish()
    }
}

/// A tuple, struct, or variant with fields in progress.
struct Fields<'w, 'a> {
    observer: &'w mut Observer<'a>,
    name: &'static str,
    place: Place<'a>,
    /// Only an enum can be nested in itself without an option, a sequence or a collection between.
    is_variant: bool,
}

impl Fields<'_, '_> {
    fn part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        self.observer.place = self.place.next_part();
        self.look(value)
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), CodecError> {
        let field = self.observer.check.field(&mut self.place, self.name, key)?;
        self.observer.place = field;
        self.observer.save.in_field(field, || self.look(value))
    }

    fn look<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        match self.is_variant {
            true => self.observer.deeper(value),
            false => self.observer.part(value),
        }
    }
}

macro_rules! compound {
    ($($trait:ident, $method:ident, $part:ident, ($($key:ident)?);)*) => {$(
        impl $trait for Fields<'_, '_> {
            type Ok = ();
            type Error = CodecError;

            fn $method<T: Serialize + ?Sized>(&mut self, $($key: &'static str,)? value: &T) -> Result<(), CodecError> {
                self.$part($($key,)? value)
            }

            fn end(self) -> Result<(), CodecError> {
                self.observer.check.end(self.place, self.name)
            }
        }
    )*};
}

compound! {
    SerializeTuple, serialize_element, part, ();
    SerializeTupleStruct, serialize_field, part, ();
    SerializeTupleVariant, serialize_field, part, ();
    SerializeStruct, serialize_field, field, (key);
    SerializeStructVariant, serialize_field, field, (key);
}
