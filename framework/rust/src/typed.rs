//! What typed functions may return.

use crate::{Error, Json};
use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde::{forward_to_deserialize_any, Deserializer, Serialize};

/// What a typed function may return: [`Json`], an `Option` of it, nothing, or a `Result` of one of them.
pub trait IntoTyped {
    /// The text of the answer; none for an answer without one.
    fn into_typed(self) -> Result<Option<Vec<u8>>, Error>;
}

impl<T: Serialize> IntoTyped for Json<T> {
    fn into_typed(self) -> Result<Option<Vec<u8>>, Error> {
        let text = serde_json::to_vec(&self.0)?;
        Ok((text != b"null").then_some(text))
    }
}

impl IntoTyped for () {
    fn into_typed(self) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }
}

impl<R: IntoTyped> IntoTyped for Option<R> {
    fn into_typed(self) -> Result<Option<Vec<u8>>, Error> {
        self.map_or(Ok(None), IntoTyped::into_typed)
    }
}

impl<R: IntoTyped, E: Into<Error>> IntoTyped for Result<R, E> {
    fn into_typed(self) -> Result<Option<Vec<u8>>, Error> {
        self.map_err(Into::into)?.into_typed()
    }
}

/// Reads JSON as a value. Other than serde it takes no array for a struct.
pub(crate) fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, serde_json::Error> {
    let array = text.trim_ascii_start().first() == Some(&b'[');
    if array && T::deserialize(Probe).is_err_and(|e| e == Shape::Struct) {
        return Err(serde_json::Error::custom("it is an array, and an object is needed"));
    }
    serde_json::from_slice(text)
}

/// Asks a type what it is read from, and gives it nothing.
struct Probe;

#[derive(Debug, PartialEq)]
enum Shape {
    Struct,
    Other,
}

impl<'de> Deserializer<'de> for Probe {
    type Error = Shape;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Shape> {
        Err(Shape::Other)
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], _: V) -> Result<V::Value, Shape> {
        Err(Shape::Struct)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}

impl serde::de::Error for Shape {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Shape::Other
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Shape {}
