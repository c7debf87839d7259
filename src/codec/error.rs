//! What goes wrong inside serde while a value is written or read.

use std::fmt;

use crate::error::Error;
use crate::record::Address;

/// The serde error of [`RecordSerializer`](super::serializer::RecordSerializer) and the reader.
///
/// One pointer wide, so that the results of infallible steps stay in registers.
pub(super) struct CodecError(Box<Kind>);

enum Kind {
    /// User code, or the bytes, are wrong.
    Message(String),
    /// The type uses a part of serde that the format cannot hold.
    Refused(String),
}

impl CodecError {
    #[cold]
    pub(super) fn message(text: impl Into<String>) -> Self {
        Self(Box::new(Kind::Message(text.into())))
    }

    #[cold]
    pub(super) fn refused(text: impl Into<String>) -> Self {
        Self(Box::new(Kind::Refused(text.into())))
    }

    #[cold]
    pub(super) fn from_postcard(error: postcard::Error) -> Self {
        Self::message(match error {
            postcard::Error::DeserializeUnexpectedEnd => "its bytes end too early".to_owned(),
            error => error.to_string(),
        })
    }

    /// Turns what stopped the writing of a `type_name` into the crate's error.
    #[cold]
    pub(super) fn into_encode_error(self, type_name: &'static str) -> Error {
        Error::Encode { type_name, reason: self.to_string() }
    }

    /// Turns what stopped the reading of a `type_name` into the crate's error. A type that the format cannot hold
    /// is not the fault of the bytes.
    #[cold]
    pub(super) fn into_decode_error(self, address: Address, type_name: &'static str) -> Error {
        match *self.0 {
            Kind::Refused(reason) => Error::Encode { type_name, reason },
            Kind::Message(reason) => Error::Decode { address, type_name, reason },
        }
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::Message(text) | Kind::Refused(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for CodecError {}

impl serde::ser::Error for CodecError {
    #[cold]
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::message(text.to_string())
    }
}

impl serde::de::Error for CodecError {
    #[cold]
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::message(text.to_string())
    }
}
