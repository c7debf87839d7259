//! The deserializer that a [trace](super::trace) drives a type with: makes up an answer to each request, and notes
//! what was asked for.

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

use super::super::shape::Type;
use super::names::{Mark, Names, mark, take};
use super::stop::Stop;
use super::{Body, MAX_TRIES, State};
use crate::schema::{Collection, is_magic};

// What is made up: the first of each, and where that is rejected the next.
const STRINGS: [&str; MAX_TRIES] =
    ["", "0", "a", "1970-01-01T00:00:00Z", "127.0.0.1", "00000000-0000-0000-0000-000000000000"];
const NUMBERS: [u8; MAX_TRIES] = [1, 0, 2, 7, 10, 100];
const LENS: [usize; MAX_TRIES] = [1, 2, 0, 3, 4, 16];
const BYTE_LENS: [usize; MAX_TRIES] = [0, 16, 32, 8, 4, 1];
const CHARS: [char; MAX_TRIES] = ['a', '0', 'A', ' ', '\n', 'é'];

/// The deserializer of one place.
pub(super) struct Tracer<'s, 'de> {
    pub(super) state: &'s mut State<'de>,
    pub(super) seen: &'s mut Type,
}

impl Tracer<'_, '_> {
    /// Notes the type and returns which made-up value to use.
    fn primitive(&mut self, name: &'static str) -> Result<usize, Stop> {
        *self.seen = Type::Primitive(name);
        self.state.request()
    }

    /// Returns how many items a sequence or map is to have.
    fn len(&mut self, is_without: bool) -> Result<usize, Stop> {
        let candidate = self.state.request()?;
        match &mut self.state.sample {
            // Items of no bytes would make a large number of them cheap.
            Some(sample) => take::<usize>(sample).map(|len| len.min(sample.len() + 16)),
            None if self.state.hasty || is_without => Ok(0),
            None => Ok(LENS[candidate]),
        }
    }
}

macro_rules! primitives {
    ($($method:ident, $visit:ident, $name:literal, $pick:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
            let pick: fn(usize) -> _ = $pick;
            let picked = self.primitive($name)?;
            match &mut self.state.sample {
                Some(sample) => visitor.$visit(take(sample)?),
                None => visitor.$visit(pick(picked)),
            }
        }
    )*};
}

static ZEROS: [u8; 32] = [0; 32];

impl<'de> Deserializer<'de> for Tracer<'_, 'de> {
    type Error = Stop;

    primitives! {
        deserialize_bool, visit_bool, "bool", |at| at % 2 == 1;
        deserialize_i8, visit_i8, "i8", |at| NUMBERS[at] as i8;
        deserialize_i16, visit_i16, "i16", |at| i16::from(NUMBERS[at]);
        deserialize_i32, visit_i32, "i32", |at| i32::from(NUMBERS[at]);
        deserialize_i64, visit_i64, "i64", |at| i64::from(NUMBERS[at]);
        deserialize_i128, visit_i128, "i128", |at| i128::from(NUMBERS[at]);
        deserialize_u8, visit_u8, "u8", |at| NUMBERS[at];
        deserialize_u16, visit_u16, "u16", |at| u16::from(NUMBERS[at]);
        deserialize_u32, visit_u32, "u32", |at| u32::from(NUMBERS[at]);
        deserialize_u64, visit_u64, "u64", |at| u64::from(NUMBERS[at]);
        deserialize_u128, visit_u128, "u128", |at| u128::from(NUMBERS[at]);
        deserialize_f32, visit_f32, "f32", |at| f32::from(NUMBERS[at]);
        deserialize_f64, visit_f64, "f64", |at| f64::from(NUMBERS[at]);
        deserialize_char, visit_char, "char", |at| CHARS[at];
        deserialize_str, visit_borrowed_str, "str", |at| STRINGS[at];
        deserialize_string, visit_borrowed_str, "str", |at| STRINGS[at];
        deserialize_bytes, visit_borrowed_bytes, "bytes", |at| &ZEROS[..BYTE_LENS[at]];
        deserialize_byte_buf, visit_borrowed_bytes, "bytes", |at| &ZEROS[..BYTE_LENS[at]];
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_unit<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        self.primitive("()")?;
        visitor.visit_unit()
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.state.request()?;
        let mut inner = Type::Unknown;
        let is_none = match &mut self.state.sample {
            Some(sample) => !take::<bool>(sample)?,
            None => self.state.hasty || self.state.is_blocked(0),
        };
        let result = if is_none {
            visitor.visit_none()
        } else {
            self.state.step_aside(0, &mut inner, |tracer| visitor.visit_some(tracer))
        };
        *self.seen = Type::Option(Box::new(inner));
        result
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        let without = self.state.is_blocked(0);
        let left = self.len(without)?;
        let mut types = (Type::Unknown, Type::Unknown);
        let result = visitor.visit_seq(Repeated { state: self.state, types: &mut types, left });
        *self.seen = Type::Seq(Box::new(types.0));
        result
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        let without = self.state.is_blocked(0) || self.state.is_blocked(1);
        let left = self.len(without)?;
        let mut types = (Type::Unknown, Type::Unknown);
        let result = visitor.visit_map(Repeated { state: self.state, types: &mut types, left });
        *self.seen = Type::Map(Box::new(types));
        result
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Stop> {
        self.state.request()?;
        let (types, result) = self.state.tuple(len, visitor);
        *self.seen = Type::Tuple(types);
        result
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.state.request()?;
        let index = self.state.named(name, &[], std::any::type_name::<V>());
        *self.seen = Type::Named(index);
        self.state.enter(index, |_| (Body::Unit, visitor.visit_unit()))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.state.request()?;
        if is_magic(name) {
            // The collection finds no exchange armed and reads a plain map or sequence.
            let mut contents = Type::Unknown;
            let inner = Tracer { state: &mut *self.state, seen: &mut contents };
            let result = visitor.visit_newtype_struct(inner);
            let collection = Collection::ALL.into_iter().find(|collection| collection.magic() == name);
            *self.seen = match (collection, contents) {
                (Some(collection), Type::Seq(item)) => Type::Collection(collection, vec![*item]),
                (Some(collection), Type::Map(pair)) => Type::Collection(collection, vec![pair.0, pair.1]),
                (_, contents) => contents,
            };
            return result;
        }
        let index = self.state.named(name, &[], std::any::type_name::<V>());
        *self.seen = Type::Named(index);
        self.state.enter(index, |state| {
            let mut inner = Type::Unknown;
            let result = state.step(0, &mut inner, |tracer| visitor.visit_newtype_struct(tracer));
            (Body::Newtype(inner), result)
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.state.request()?;
        let index = self.state.named(name, &[], std::any::type_name::<V>());
        *self.seen = Type::Named(index);
        self.state.enter(index, |state| {
            let (types, result) = state.tuple(len, visitor);
            (Body::Tuple(types), result)
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.state.request()?;
        let index = self.state.named(name, fields, std::any::type_name::<V>());
        *self.seen = Type::Named(index);
        self.state.enter(index, |state| state.fields(fields, visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.state.request()?;
        let index = self.state.named(name, variants, std::any::type_name::<V>());
        *self.seen = Type::Named(index);
        self.state.expect_variants(index, variants);
        self.state.enter(index, |state| (Body::Unit, state.visit_enum(index, visitor)))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Stop> {
        self.state.refuse()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Stop> {
        self.state.refuse()
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Stop> {
        self.state.refuse()
    }
}

/// The parts of a tuple, or of a struct in order.
pub(super) struct Items<'s, 'de> {
    pub(super) state: &'s mut State<'de>,
    pub(super) types: &'s mut [Type],
    pub(super) next: &'s mut usize,
    /// The numbers of the parts.
    pub(super) order: &'s [usize],
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Stop;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Stop> {
        let Some(&at) = self.order.get(*self.next) else { return Ok(None) };
        *self.next += 1;
        self.state.step(at, &mut self.types[at], |tracer| seed.deserialize(tracer)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.order.len() - *self.next)
    }
}

/// The fields of a struct by name, without the blocked ones.
pub(super) struct Fields<'s, 'de> {
    pub(super) state: &'s mut State<'de>,
    pub(super) known: &'s mut Names,
    pub(super) types: &'s mut [Type],
    pub(super) next: &'s mut usize,
    /// The field whose name was offered last.
    pub(super) last: &'s mut Option<usize>,
    /// Set where a name turns out to be an alias.
    pub(super) found: &'s mut bool,
}

impl<'de> MapAccess<'de> for Fields<'_, 'de> {
    type Error = Stop;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Stop> {
        let names = self.known.all();
        while *self.next < names.len()
            && (self.known.is_alias(*self.next) || self.state.is_left_out(names, *self.next))
        {
            *self.next += 1;
        }
        let Some(name) = names.get(*self.next) else { return Ok(None) };
        let at = *self.next;
        *self.next += 1;
        *self.last = Some(at);
        let field = seed.deserialize((*name).into_deserializer())?;
        // The code of the struct now calls the field by its first name, and stops.
        *self.found |= self.known.note(at, mark(&field));
        Ok(Some(field))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Stop> {
        match *self.last {
            Some(_) if *self.found => Err(Stop::Retry),
            Some(at) => self.state.step(at, &mut self.types[at], |tracer| seed.deserialize(tracer)),
            None => Err(Stop::Rejected),
        }
    }
}

/// The items of a sequence, or the entries of a map.
struct Repeated<'s, 'de> {
    state: &'s mut State<'de>,
    types: &'s mut (Type, Type),
    left: usize,
}

impl<'de> SeqAccess<'de> for Repeated<'_, 'de> {
    type Error = Stop;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Stop> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.state.step_aside(0, &mut self.types.0, |tracer| seed.deserialize(tracer)).map(Some)
    }
}

impl<'de> MapAccess<'de> for Repeated<'_, 'de> {
    type Error = Stop;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Stop> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Stop> {
        self.state.step_aside(1, &mut self.types.1, |tracer| seed.deserialize(tracer))
    }
}

/// The variant chosen for this visit.
pub(super) struct OneVariant<'s, 'de> {
    pub(super) state: &'s mut State<'de>,
    pub(super) at: usize,
    pub(super) body: &'s mut Body,
    /// Mark of the value that the number was turned into; an error if the enum has no variant of this number.
    pub(super) met: &'s mut Option<Result<Option<Mark>, ()>>,
}

impl<'de> EnumAccess<'de> for OneVariant<'_, 'de> {
    type Error = Stop;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Stop> {
        let number = de::value::U32Deserializer::<Stop>::new(self.at as u32);
        match seed.deserialize(number) {
            Ok(value) => {
                *self.met = Some(Ok(mark(&value)));
                Ok((value, self))
            }
            Err(_) => {
                *self.met = Some(Err(()));
                Err(Stop::Blocked)
            }
        }
    }
}

/// A name of a variant, offered to see what it means.
pub(super) struct OneName<'s> {
    pub(super) known: &'s mut Names,
    pub(super) name: usize,
}

impl<'de> EnumAccess<'de> for OneName<'_> {
    type Error = Stop;
    type Variant = Never;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Never), Stop> {
        let name: de::value::StrDeserializer<'_, Stop> = self.known.all()[self.name].into_deserializer();
        let met = seed.deserialize(name).ok().and_then(|value| mark(&value));
        self.known.note_name(self.name, met);
        Err(Stop::Retry)
    }
}

/// The variant behind a name that is only offered: there is none.
pub(super) enum Never {}

impl<'de> VariantAccess<'de> for Never {
    type Error = Stop;

    fn unit_variant(self) -> Result<(), Stop> {
        match self {}
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Stop> {
        match self {}
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Stop> {
        match self {}
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Stop> {
        match self {}
    }
}

impl<'de> VariantAccess<'de> for OneVariant<'_, 'de> {
    type Error = Stop;

    fn unit_variant(self) -> Result<(), Stop> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Stop> {
        let mut inner = Type::Unknown;
        let result = self.state.step(0, &mut inner, |tracer| seed.deserialize(tracer));
        *self.body = Body::Newtype(inner);
        result
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Stop> {
        let (types, result) = self.state.tuple(len, visitor);
        *self.body = Body::Tuple(types);
        result
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let (body, result) = self.state.fields(fields, visitor);
        *self.body = body;
        result
    }
}
