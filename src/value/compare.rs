//! Values compared with what they hold.

use super::{Number, Value};

macro_rules! equal {
    ($($type:ty => $is:expr;)*) => {$(
        impl PartialEq<$type> for Value {
            fn eq(&self, other: &$type) -> bool {
                let is: fn(&Value, &$type) -> bool = $is;
                is(self, other)
            }
        }

        impl PartialEq<Value> for $type {
            fn eq(&self, other: &Value) -> bool {
                other == self
            }
        }
    )*};
}

equal! {
    str => |value, text| value.as_str() == Some(text);
    &str => |value, text| value.as_str() == Some(*text);
    String => |value, text| value.as_str() == Some(text.as_str());
    bool => |value, other| value.as_bool() == Some(*other);
}

macro_rules! equal_numbers {
    ($($type:ty)*) => {$(
        impl PartialEq<$type> for Value {
            fn eq(&self, other: &$type) -> bool {
                self.as_number() == Some(Number::from(*other))
            }
        }

        impl PartialEq<Value> for $type {
            fn eq(&self, other: &Value) -> bool {
                other == self
            }
        }
    )*};
}

equal_numbers!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize f32 f64);
