//! From and to `serde_json::Value`.

use std::fmt;

use super::Value;
use super::number::{Number, Repr};
use super::serde::number_of;

/// A number that JSON cannot express, which is why a [`Value`] does not convert to a `serde_json::Value`.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct NotJson {
    /// The number: infinite, or NaN.
    pub number: f64,
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number;
        write!(
            f,
            "a finite number was expected, found {number}, which JSON cannot express; replace it, by null for instance"
        )
    }
}

impl std::error::Error for NotJson {}

impl From<serde_json::Value> for Value {
    /// Converts exactly. (Where some crate asked serde_json for arbitrary precision: integers beyond 64 bits, and floats that
    /// an `f64` does not hold, become the nearest `f64`.)
    ///
    /// ```
    /// use perennial::Value;
    ///
    /// let value = Value::from(serde_json::json!({ "name": "Ada", "gold": [1, 2.5] }));
    /// assert_eq!(value["gold"][1], 2.5);
    /// assert_eq!(serde_json::Value::try_from(value).unwrap()["name"], "Ada");
    /// ```
    fn from(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => value.into(),
            serde_json::Value::Number(number) => of_number(&number),
            serde_json::Value::String(text) => Self::String(text),
            serde_json::Value::Array(items) => items.into_iter().map(Self::from).collect(),
            serde_json::Value::Object(fields) => {
                fields.into_iter().map(|(name, value)| (name, Self::from(value))).collect()
            }
        }
    }
}

impl From<&serde_json::Value> for Value {
    /// As [`From<serde_json::Value>`], copying strings.
    fn from(json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => (*value).into(),
            serde_json::Value::Number(number) => of_number(number),
            serde_json::Value::String(text) => text.as_str().into(),
            serde_json::Value::Array(items) => items.iter().map(Self::from).collect(),
            serde_json::Value::Object(fields) => {
                fields.iter().map(|(name, value)| (name.as_str(), Self::from(value))).collect()
            }
        }
    }
}

fn of_number(number: &serde_json::Number) -> Value {
    match (number.as_u64(), number.as_i64(), number.as_f64()) {
        (Some(number), ..) => number.into(),
        (_, Some(number), _) => number.into(),
        (_, _, Some(number)) => number.into(),
        // Of arbitrary precision, and beyond all that an `f64` holds.
        _ => number_of(&number.to_string()).unwrap_or_default(),
    }
}

impl TryFrom<&Value> for serde_json::Value {
    type Error = NotJson;

    /// Converts exactly.
    ///
    /// # Errors
    ///
    /// [`NotJson`] if a number is infinite or NaN.
    fn try_from(value: &Value) -> Result<Self, NotJson> {
        Ok(match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(Number(Repr::Unsigned(number))) => Self::from(*number),
            Value::Number(Number(Repr::Negative(number))) => Self::from(*number),
            Value::Number(Number(Repr::Float(number))) => {
                Self::Number(serde_json::Number::from_f64(*number).ok_or(NotJson { number: *number })?)
            }
            Value::String(text) => Self::String(text.clone()),
            Value::Array(items) => Self::Array(items.iter().map(Self::try_from).collect::<Result<_, _>>()?),
            Value::Object(fields) => {
                let field = |(name, value): (&String, _)| Ok((name.clone(), Self::try_from(value)?));
                Self::Object(fields.iter().map(field).collect::<Result<_, _>>()?)
            }
        })
    }
}

impl TryFrom<Value> for serde_json::Value {
    type Error = NotJson;

    /// As [`TryFrom<&Value>`].
    fn try_from(value: Value) -> Result<Self, NotJson> {
        Self::try_from(&value)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_serde_json_holds_comes_back_the_same() {
        let json = json!({
            "null": null, "yes": true, "largest": u64::MAX, "least": i64::MIN, "half": 0.5, "zero": -0.0,
            "text": "\u{1f600}\n\"", "list": [1, [2, []], {}], "nested": { "a": { "b": [null] } },
        });
        let value = Value::from(json.clone());
        assert_eq!(value, Value::from(&json));
        assert_eq!(value, serde_json::from_value::<Value>(json.clone()).unwrap());
        assert_eq!(serde_json::Value::try_from(&value).unwrap(), json);
        assert_eq!(serde_json::Value::try_from(value).unwrap().to_string(), json.to_string());
    }

    #[test]
    fn what_json_cannot_express_is_an_error() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let value = Value::from_iter([("deep", vec![number])]);
            let error = serde_json::Value::try_from(value).unwrap_err();
            assert_eq!(error.number.to_bits(), number.to_bits());
            assert!(error.to_string().contains("JSON cannot express"));
        }
    }
}
