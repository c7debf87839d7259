//! A number of a document: exact as an integer of 64 bits, or an `f64`.

use std::fmt;
use std::hash::{Hash, Hasher};

/// A number: an integer from `i64::MIN` to `u64::MAX`, or an `f64`.
///
/// Integers and floats are told apart, as JSON does: `1` is not `1.0`. Two floats are equal if they compare equal, or neither
/// is a number; so `-0.0` equals `0.0`, though it is stored and printed as what it is.
///
/// ```
/// use perennial::value::Number;
///
/// let large = Number::from(u64::MAX);
/// assert_eq!((large.as_u64(), large.as_i64()), (Some(u64::MAX), None));
/// assert_eq!(Number::from(-3).as_f64(), -3.0);
/// assert_eq!(Number::from(0.5).as_i64(), None);
/// ```
#[derive(Clone, Copy)]
pub struct Number(pub(super) Repr);

#[derive(Clone, Copy)]
pub(super) enum Repr {
    Unsigned(u64),
    /// Below 0.
    Negative(i64),
    Float(f64),
}

impl Number {
    /// Returns the number if it is an integer that an `i64` holds.
    pub fn as_i64(self) -> Option<i64> {
        match self.0 {
            Repr::Unsigned(number) => i64::try_from(number).ok(),
            Repr::Negative(number) => Some(number),
            Repr::Float(_) => None,
        }
    }

    /// Returns the number if it is an integer that a `u64` holds.
    pub fn as_u64(self) -> Option<u64> {
        match self.0 {
            Repr::Unsigned(number) => Some(number),
            Repr::Negative(_) | Repr::Float(_) => None,
        }
    }

    /// Returns the nearest `f64`.
    pub fn as_f64(self) -> f64 {
        match self.0 {
            Repr::Unsigned(number) => number as f64,
            Repr::Negative(number) => number as f64,
            Repr::Float(number) => number,
        }
    }

    /// Tells whether it is an integer that an `i64` holds.
    pub fn is_i64(self) -> bool {
        self.as_i64().is_some()
    }

    /// Tells whether it is an integer that a `u64` holds.
    pub fn is_u64(self) -> bool {
        self.as_u64().is_some()
    }

    /// Tells whether it is a float.
    pub fn is_f64(self) -> bool {
        matches!(self.0, Repr::Float(_))
    }

    /// Tells whether JSON can express it: whether it is neither infinite nor NaN.
    pub fn is_finite(self) -> bool {
        self.as_f64().is_finite()
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        match (self.0, other.0) {
            (Repr::Unsigned(one), Repr::Unsigned(other)) => one == other,
            (Repr::Negative(one), Repr::Negative(other)) => one == other,
            (Repr::Float(one), Repr::Float(other)) => one == other || one.is_nan() && other.is_nan(),
            _ => false,
        }
    }
}

impl Eq for Number {}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.0 {
            Repr::Unsigned(number) => (0u8, number).hash(state),
            Repr::Negative(number) => (1u8, number).hash(state),
            // What is equal hashes alike: one zero, one NaN.
            Repr::Float(number) if number.is_nan() => (2u8, f64::NAN.to_bits()).hash(state),
            Repr::Float(number) => (2u8, (number + 0.0).to_bits()).hash(state),
        }
    }
}

impl fmt::Display for Number {
    /// As JSON writes it; `NaN`, `inf` and `-inf` where JSON has no such number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Repr::Unsigned(number) => write!(f, "{number}"),
            Repr::Negative(number) => write!(f, "{number}"),
            // The shortest that reads back as the same number, with a point or an exponent.
            Repr::Float(number) => write!(f, "{number:?}"),
        }
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! from_integers {
    ($($unsigned:ty),*; $($signed:ty),*) => {
        $(impl From<$unsigned> for Number {
            fn from(number: $unsigned) -> Self {
                Self(Repr::Unsigned(number as u64))
            }
        })*
        $(impl From<$signed> for Number {
            fn from(number: $signed) -> Self {
                match u64::try_from(number) {
                    Ok(number) => Self(Repr::Unsigned(number)),
                    Err(_) => Self(Repr::Negative(number as i64)),
                }
            }
        })*
    };
}

from_integers!(u8, u16, u32, u64, usize; i8, i16, i32, i64, isize);

impl From<f32> for Number {
    fn from(number: f32) -> Self {
        Self(Repr::Float(number.into()))
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self(Repr::Float(number))
    }
}
