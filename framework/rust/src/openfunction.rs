//! What functions with the OpenFunction context may return.

use crate::{Error, Json, Out};
use bytes::Bytes;
use serde::Serialize;

/// What a function with the OpenFunction context may return: [`Out`], a text, bytes, [`Json`], nothing, or a `Result` of one of them.
pub trait IntoOut {
    /// Makes the result, or fails as the function did.
    fn into_out(self) -> Result<Out, Error>;
}

impl IntoOut for Out {
    fn into_out(self) -> Result<Out, Error> {
        Ok(self)
    }
}

impl IntoOut for () {
    fn into_out(self) -> Result<Out, Error> {
        Ok(Out::default())
    }
}

impl IntoOut for String {
    fn into_out(self) -> Result<Out, Error> {
        Ok(Out::from(self))
    }
}

impl IntoOut for &'static str {
    fn into_out(self) -> Result<Out, Error> {
        Ok(Out::from(self))
    }
}

impl IntoOut for Bytes {
    fn into_out(self) -> Result<Out, Error> {
        Ok(Out::from(self))
    }
}

impl IntoOut for Vec<u8> {
    fn into_out(self) -> Result<Out, Error> {
        Ok(Out::from(self))
    }
}

impl<T: Serialize> IntoOut for Json<T> {
    fn into_out(self) -> Result<Out, Error> {
        Ok(Out::from(serde_json::to_vec(&self.0)?).content_type("application/json"))
    }
}

impl<R: IntoOut, E: Into<Error>> IntoOut for Result<R, E> {
    fn into_out(self) -> Result<Out, Error> {
        self.map_err(Into::into)?.into_out()
    }
}
