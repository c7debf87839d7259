//! Values made of what they are to hold.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use super::{Number, Value};
use crate::{OrdMap, Vector};

macro_rules! from_numbers {
    ($($type:ty)*) => {$(
        impl From<$type> for Value {
            fn from(number: $type) -> Self {
                Self::Number(number.into())
            }
        }
    )*};
}

from_numbers!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize f32 f64);

impl From<Number> for Value {
    fn from(number: Number) -> Self {
        Self::Number(number)
    }
}

impl From<()> for Value {
    /// Null.
    fn from((): ()) -> Self {
        Self::Null
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<Cow<'_, str>> for Value {
    fn from(text: Cow<'_, str>) -> Self {
        Self::String(text.into_owned())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    /// Null for `None`.
    fn from(some: Option<T>) -> Self {
        some.map_or(Self::Null, Into::into)
    }
}

impl From<Vector<Value>> for Value {
    fn from(items: Vector<Value>) -> Self {
        Self::Array(items)
    }
}

impl From<OrdMap<String, Value>> for Value {
    fn from(fields: OrdMap<String, Value>) -> Self {
        Self::Object(fields)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        items.into_iter().collect()
    }
}

impl<T: Into<Value> + Clone> From<&[T]> for Value {
    fn from(items: &[T]) -> Self {
        items.iter().cloned().collect()
    }
}

impl<T: Into<Value>, const N: usize> From<[T; N]> for Value {
    fn from(items: [T; N]) -> Self {
        items.into_iter().collect()
    }
}

impl<K: Into<String>, V: Into<Value>> From<BTreeMap<K, V>> for Value {
    fn from(fields: BTreeMap<K, V>) -> Self {
        fields.into_iter().collect()
    }
}

impl<K: Into<String>, V: Into<Value>, S> From<HashMap<K, V, S>> for Value {
    fn from(fields: HashMap<K, V, S>) -> Self {
        fields.into_iter().collect()
    }
}

impl<T: Into<Value>> FromIterator<T> for Value {
    /// Makes an array.
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Value {
    /// Makes an object; of fields of one name the last one counts.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(fields: I) -> Self {
        Self::Object(fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}
