//! Looking at a value and into it.

use std::ops;

use super::{Number, Value};
use crate::{OrdMap, Vector};

mod sealed {
    pub trait Sealed {}
    impl Sealed for usize {}
    impl Sealed for str {}
    impl Sealed for String {}
    impl<T: Sealed + ?Sized> Sealed for &T {}
}

/// An index into a [`Value`]: the position of an item, or the name of a field.
pub trait Index: sealed::Sealed {
    #[doc(hidden)]
    fn find<'a>(&self, value: &'a Value) -> Option<&'a Value>;
    #[doc(hidden)]
    fn find_mut<'a>(&self, value: &'a mut Value) -> Option<&'a mut Value>;
    #[doc(hidden)]
    fn find_or_insert<'a>(&self, value: &'a mut Value) -> &'a mut Value;
}

impl Index for usize {
    fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        value.as_array()?.get(*self)
    }

    fn find_mut<'a>(&self, value: &'a mut Value) -> Option<&'a mut Value> {
        value.as_array_mut()?.get_mut(*self)
    }

    #[track_caller]
    fn find_or_insert<'a>(&self, value: &'a mut Value) -> &'a mut Value {
        let kind = value.kind();
        let Value::Array(items) = value else {
            panic!("an array was expected for the index {self}, found {kind}")
        };
        let len = items.len();
        match items.get_mut(*self) {
            Some(item) => item,
            None => panic!("the index {self} is beyond the array, which has {len} items; push to it"),
        }
    }
}

impl Index for str {
    fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        value.as_object()?.get(self)
    }

    fn find_mut<'a>(&self, value: &'a mut Value) -> Option<&'a mut Value> {
        value.as_object_mut()?.get_mut(self)
    }

    #[track_caller]
    fn find_or_insert<'a>(&self, value: &'a mut Value) -> &'a mut Value {
        if value.is_null() {
            *value = Value::Object(OrdMap::new());
        }
        let kind = value.kind();
        let Value::Object(fields) = value else {
            panic!("an object was expected for the name {self:?}, found {kind}")
        };
        fields.entry(self.to_owned()).or_default()
    }
}

impl Index for String {
    fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        Index::find(self.as_str(), value)
    }

    fn find_mut<'a>(&self, value: &'a mut Value) -> Option<&'a mut Value> {
        Index::find_mut(self.as_str(), value)
    }

    #[track_caller]
    fn find_or_insert<'a>(&self, value: &'a mut Value) -> &'a mut Value {
        Index::find_or_insert(self.as_str(), value)
    }
}

impl<T: Index + ?Sized> Index for &T {
    fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        (**self).find(value)
    }

    fn find_mut<'a>(&self, value: &'a mut Value) -> Option<&'a mut Value> {
        (**self).find_mut(value)
    }

    #[track_caller]
    fn find_or_insert<'a>(&self, value: &'a mut Value) -> &'a mut Value {
        (**self).find_or_insert(value)
    }
}

impl<I: Index> ops::Index<I> for Value {
    type Output = Value;

    /// The item or field; [`Value::Null`] where there is none, whatever the value is.
    fn index(&self, index: I) -> &Value {
        static NULL: Value = Value::Null;
        index.find(self).unwrap_or(&NULL)
    }
}

impl<I: Index> ops::IndexMut<I> for Value {
    /// The item or field, to change it. A field that is not there is made, as null; `null` becomes an object first.
    ///
    /// # Panics
    ///
    /// Panics if a name is used with something else than an object or null, a position with something else than an array,
    /// or if the position is beyond its end.
    #[track_caller]
    fn index_mut(&mut self, index: I) -> &mut Value {
        index.find_or_insert(self)
    }
}

impl Value {
    /// Returns the item or field; `None` where there is none.
    ///
    /// ```
    /// use perennial::Value;
    ///
    /// let value = Value::from_iter([("list", vec![1, 2])]);
    /// assert_eq!(value.get("list").and_then(|list| list.get(1)), Some(&Value::from(2)));
    /// assert_eq!(value.get(0), None, "an object has no items");
    /// ```
    pub fn get<I: Index>(&self, index: I) -> Option<&Self> {
        index.find(self)
    }

    /// Returns the item or field, to change it; `None` where there is none. **O(log n)**: copies what other versions share.
    pub fn get_mut<I: Index>(&mut self, index: I) -> Option<&mut Self> {
        index.find_mut(self)
    }

    /// Looks a value up by a JSON Pointer (RFC 6901): `/turns/0/text`. The empty one is the value itself.
    ///
    /// ```
    /// use perennial::Value;
    ///
    /// let value: Value = serde_json::from_str(r#"{"a/b": [{"~": 7}]}"#).unwrap();
    /// assert_eq!(value.pointer("/a~1b/0/~0"), Some(&Value::from(7)));
    /// assert_eq!(value.pointer("/a~1b/00"), None);
    /// ```
    pub fn pointer(&self, pointer: &str) -> Option<&Self> {
        tokens(pointer)?.try_fold(self, |value, token| match value {
            Self::Object(fields) => fields.get(&token),
            Self::Array(items) => items.get(position(&token)?),
            _ => None,
        })
    }

    /// Looks a value up by a JSON Pointer, to change it. Otherwise as [`pointer`](Self::pointer).
    pub fn pointer_mut(&mut self, pointer: &str) -> Option<&mut Self> {
        tokens(pointer)?.try_fold(self, |value, token| match value {
            Self::Object(fields) => fields.get_mut(&token),
            Self::Array(items) => items.get_mut(position(&token)?),
            _ => None,
        })
    }

    /// Puts a value under a name into an object, and returns what was there. `null` becomes an object first.
    ///
    /// ```
    /// use perennial::Value;
    ///
    /// let mut value = Value::Null;
    /// assert_eq!(value.insert("hp", 3), None);
    /// assert_eq!(value.insert("hp", 4), Some(3.into()));
    /// assert_eq!(value["hp"], 4);
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if it is neither an object nor null.
    #[track_caller]
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Self>) -> Option<Self> {
        if self.is_null() {
            *self = Self::Object(OrdMap::new());
        }
        let kind = self.kind();
        match self {
            Self::Object(fields) => fields.insert(name.into(), value.into()),
            _ => panic!("an object was expected to insert into, found {kind}"),
        }
    }

    /// Puts a value at the end of an array. `null` becomes an array first.
    ///
    /// # Panics
    ///
    /// Panics if it is neither an array nor null.
    #[track_caller]
    pub fn push(&mut self, value: impl Into<Self>) {
        if self.is_null() {
            *self = Self::Array(Vector::new());
        }
        let kind = self.kind();
        match self {
            Self::Array(items) => items.push_back(value.into()),
            _ => panic!("an array was expected to push to, found {kind}"),
        }
    }

    /// Takes the value, and leaves null in its place.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Tells whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Tells whether it is a boolean.
    pub fn is_boolean(&self) -> bool {
        matches!(self, Self::Bool(_))
    }

    /// Tells whether it is a number.
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Number(_))
    }

    /// Tells whether it is an integer that an `i64` holds.
    pub fn is_i64(&self) -> bool {
        self.as_i64().is_some()
    }

    /// Tells whether it is an integer that a `u64` holds.
    pub fn is_u64(&self) -> bool {
        self.as_u64().is_some()
    }

    /// Tells whether it is a float.
    pub fn is_f64(&self) -> bool {
        self.as_number().is_some_and(Number::is_f64)
    }

    /// Tells whether it is a string.
    pub fn is_string(&self) -> bool {
        matches!(self, Self::String(_))
    }

    /// Tells whether it is an array.
    pub fn is_array(&self) -> bool {
        matches!(self, Self::Array(_))
    }

    /// Tells whether it is an object.
    pub fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// Returns `()` if it is null.
    pub fn as_null(&self) -> Option<()> {
        self.is_null().then_some(())
    }

    /// Returns the boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns the number, if it is one.
    pub fn as_number(&self) -> Option<Number> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns the integer, if it is one that an `i64` holds.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_number()?.as_i64()
    }

    /// Returns the integer, if it is one that a `u64` holds.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_number()?.as_u64()
    }

    /// Returns the nearest `f64`, if it is a number.
    pub fn as_f64(&self) -> Option<f64> {
        self.as_number().map(Number::as_f64)
    }

    /// Returns the string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the items, if it is an array.
    pub fn as_array(&self) -> Option<&Vector<Self>> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the items, if it is an array, to change them.
    pub fn as_array_mut(&mut self) -> Option<&mut Vector<Self>> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the fields, if it is an object.
    pub fn as_object(&self) -> Option<&OrdMap<String, Self>> {
        match self {
            Self::Object(fields) => Some(fields),
            _ => None,
        }
    }

    /// Returns the fields, if it is an object, to change them.
    pub fn as_object_mut(&mut self) -> Option<&mut OrdMap<String, Self>> {
        match self {
            Self::Object(fields) => Some(fields),
            _ => None,
        }
    }

    /// Name of its kind, for messages.
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

/// The parts of a JSON Pointer; `None` if it is not one.
fn tokens(pointer: &str) -> Option<impl Iterator<Item = String>> {
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return None;
    }
    Some(pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")))
}

/// The position that a part of a pointer names: digits, and no zero before others.
fn position(token: &str) -> Option<usize> {
    let is_plain = token == "0" || !token.starts_with(['0', '+']);
    token.parse().ok().filter(|_| is_plain)
}
