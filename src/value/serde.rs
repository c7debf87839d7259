//! A value in serde's data model: plain JSON where people read the format, an ordinary enum where they do not.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, Serialize, Serializer};

use super::Value;
use super::number::{Number, Repr};
use crate::{OrdMap, Vector};

/// The key under which serde_json passes on a number as text, where some crate asked it for arbitrary precision.
const NUMBER_AS_TEXT: &str = "$serde_json::private::Number";

/// A value as binary formats see it. Names and order of the variants are part of the format on disk.
#[derive(serde::Serialize)]
#[serde(rename = "Value")]
enum Lent<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    String(&'a str),
    Array(&'a Vector<Value>),
    Object(&'a OrdMap<String, Value>),
}

/// The same, read.
#[derive(serde::Deserialize)]
#[serde(rename = "Value")]
enum Owned {
    Null,
    Bool(bool),
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    String(String),
    Array(Vector<Value>),
    Object(OrdMap<String, Value>),
}

impl Serialize for Value {
    /// Serialises as plain JSON, or as an enum where the format is not human-readable.
    ///
    /// # Errors
    ///
    /// Those of the serializer; and where people read the format, that a number is infinite or NaN.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return match self {
                Self::Null => serializer.serialize_unit(),
                Self::Bool(value) => serializer.serialize_bool(*value),
                Self::Number(number) => number.serialize(serializer),
                Self::String(text) => serializer.serialize_str(text),
                Self::Array(items) => serializer.collect_seq(items),
                Self::Object(fields) => serializer.collect_map(fields),
            };
        }
        let lent = match self {
            Self::Null => Lent::Null,
            Self::Bool(value) => Lent::Bool(*value),
            Self::Number(Number(Repr::Unsigned(number))) => Lent::Unsigned(*number),
            Self::Number(Number(Repr::Negative(number))) => Lent::Negative(*number),
            Self::Number(Number(Repr::Float(number))) => Lent::Float(*number),
            Self::String(text) => Lent::String(text),
            Self::Array(items) => Lent::Array(items),
            Self::Object(fields) => Lent::Object(fields),
        };
        lent.serialize(serializer)
    }
}

impl Serialize for Number {
    /// Serialises as the integer or float that it is.
    ///
    /// # Errors
    ///
    /// Those of the serializer; and where people read the format, that the number is infinite or NaN.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Repr::Unsigned(number) => serializer.serialize_u64(number),
            Repr::Negative(number) => serializer.serialize_i64(number),
            Repr::Float(number) if number.is_finite() || !serializer.is_human_readable() => {
                serializer.serialize_f64(number)
            }
            Repr::Float(number) => Err(S::Error::custom(format_args!(
                "a finite number was expected, found {number}, which JSON cannot express; replace it, by null for instance"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    /// Reads any JSON, or the enum where the format is not human-readable.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return deserializer.deserialize_any(AnyValue);
        }
        Ok(match Owned::deserialize(deserializer)? {
            Owned::Null => Self::Null,
            Owned::Bool(value) => Self::Bool(value),
            Owned::Unsigned(number) => number.into(),
            Owned::Negative(number) => number.into(),
            Owned::Float(number) => number.into(),
            Owned::String(text) => Self::String(text),
            Owned::Array(items) => Self::Array(items),
            Owned::Object(fields) => Self::Object(fields),
        })
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, a boolean, a number, a string, an array or an object")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_i128<E: serde::de::Error>(self, number: i128) -> Result<Value, E> {
        let found =
            u64::try_from(number).map(Value::from).or_else(|_| i64::try_from(number).map(Value::from));
        found.map_err(|_| too_large(number))
    }

    fn visit_u128<E: serde::de::Error>(self, number: u128) -> Result<Value, E> {
        u64::try_from(number).map(Value::from).map_err(|_| too_large(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vector::new();
        while let Some(item) = access.next_element()? {
            items.push_back(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(name) = access.next_key::<String>()? {
            if fields.is_empty() && name == NUMBER_AS_TEXT {
                let text: String = access.next_value()?;
                return number_of(&text)
                    .ok_or_else(|| A::Error::custom(format_args!("{text:?} is not a number")));
            }
            fields.push((name, access.next_value()?));
        }
        Ok(Value::Object(fields.into()))
    }
}

fn too_large<E: serde::de::Error>(number: impl fmt::Display) -> E {
    E::custom(format_args!(
        "an integer from {} to {} was expected, found {number}; store it as a string",
        i64::MIN,
        u64::MAX
    ))
}

/// The number of this text of JSON: exact where it is an integer of 64 bits, else the nearest `f64`.
pub(super) fn number_of(text: &str) -> Option<Value> {
    let integer = text.parse::<u64>().map(Value::from).or_else(|_| text.parse::<i64>().map(Value::from));
    // `-0` is a float: an integer has no sign of zero.
    let integer = integer.ok().filter(|_| text != "-0");
    integer.or_else(|| text.parse::<f64>().ok().map(Value::from))
}
