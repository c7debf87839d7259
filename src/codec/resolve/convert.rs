//! Numbers that became wider, and values that are passed over.

use serde::de::Visitor;

use super::super::error::CodecError;
use super::{Follower, no_variant, unlike};
use crate::schema::widens;
use crate::schema::{Form, Parts as Places, Ty};

impl<'de> Follower<'_, 'de, '_> {
    /// Reads what was written as one type of number and hands it over as another, if it is one.
    pub(super) fn number<V: Visitor<'de>>(self, to: &str, visitor: V) -> Result<V::Value, CodecError> {
        let Ty::Primitive(from) = self.ty() else { return Err(unlike()) };
        if from != to && !widens(from, to) {
            return Err(CodecError::message(format!("it asks for {to} where {from} was written")));
        }
        let reader = self.reader;
        match (from, to) {
            ("f32", "f32") => return visitor.visit_f32(reader.take()?),
            ("f32", _) => return visitor.visit_f64(reader.take::<f32>()?.into()),
            ("f64", _) => return visitor.visit_f64(reader.take()?),
            _ => {}
        }
        if from == "u128" {
            return visitor.visit_u128(reader.take()?);
        }
        let value = match from {
            "u8" => i128::from(reader.take::<u8>()?),
            "u16" => i128::from(reader.take::<u16>()?),
            "u32" => i128::from(reader.take::<u32>()?),
            "u64" => i128::from(reader.take::<u64>()?),
            "i8" => i128::from(reader.take::<i8>()?),
            "i16" => i128::from(reader.take::<i16>()?),
            "i32" => i128::from(reader.take::<i32>()?),
            "i64" => i128::from(reader.take::<i64>()?),
            "i128" => reader.take::<i128>()?,
            _ => return Err(unlike()),
        };
        // It fits: a narrower type holds it.
        match to {
            "u8" => visitor.visit_u8(value as u8),
            "u16" => visitor.visit_u16(value as u16),
            "u32" => visitor.visit_u32(value as u32),
            "u64" => visitor.visit_u64(value as u64),
            "u128" => visitor.visit_u128(value as u128),
            "i8" => visitor.visit_i8(value as i8),
            "i16" => visitor.visit_i16(value as i16),
            "i32" => visitor.visit_i32(value as i32),
            "i64" => visitor.visit_i64(value as i64),
            _ => visitor.visit_i128(value),
        }
    }

    /// Passes over the value at a place.
    pub(super) fn skip(self) -> Result<(), CodecError> {
        let (shape, ty) = (self.driven.shape(), self.ty());
        let (reader, driven) = (self.reader, self.driven);
        let mut each = |places: Places| -> Result<(), CodecError> {
            places.iter().try_for_each(|place| Follower { reader: &mut *reader, driven, place }.skip())
        };
        match ty {
            Ty::Unknown => Err(CodecError::message(
                "a part that was removed cannot be passed over: its type is not known",
            )),
            Ty::Primitive(name) => reader.skip_primitive(name),
            Ty::Option(inner) => {
                if reader.take::<bool>()? {
                    reader.enter()?;
                    Follower { reader: &mut *reader, driven, place: inner }.skip()?;
                    reader.leave();
                }
                Ok(())
            }
            Ty::Seq(item) | Ty::Map(item) => {
                let entry = if matches!(ty, Ty::Map(_)) { item..item + 2 } else { item..item + 1 };
                let len = reader.len()?;
                reader.enter()?;
                for _ in 0..len {
                    for place in entry.clone() {
                        Follower { reader: &mut *reader, driven, place }.skip()?;
                    }
                }
                reader.leave();
                Ok(())
            }
            Ty::Tuple(parts) => each(parts),
            Ty::Collection(..) => reader.skip_root(),
            Ty::Named(definition) => match shape.form(definition) {
                Form::Unit => Ok(()),
                Form::Newtype(inner) => each(Places { start: inner, len: 1, step: 1 }),
                Form::Tuple(parts) | Form::Struct(parts) => each(parts),
                Form::Enum(variants) => {
                    reader.enter()?;
                    let number = reader.take::<u32>()?;
                    let variant =
                        (number < variants.len).then(|| &shape.variants[(variants.start + number) as usize]);
                    match variant.ok_or_else(|| no_variant(number, variants))?.form {
                        Form::Unit => {}
                        Form::Newtype(inner) => {
                            Follower { reader: &mut *reader, driven, place: inner }.skip()?
                        }
                        Form::Tuple(parts) | Form::Struct(parts) => {
                            for place in parts.iter() {
                                Follower { reader: &mut *reader, driven, place }.skip()?;
                            }
                        }
                        Form::Enum(_) => return Err(unlike()),
                    }
                    reader.leave();
                    Ok(())
                }
            },
        }
    }
}
