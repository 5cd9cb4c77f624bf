//! What http functions may return.

use crate::{Body, Error, Response};
use bytes::Bytes;
use http::header::{HeaderValue, CONTENT_TYPE};
use http::StatusCode;
use serde::Serialize;

/// A value as JSON: of a typed function parameter and result, of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// What an http function may return: a text, bytes, [`Json`], a status code, these with a status code before them, a whole
/// [`http::Response`], nothing, an `Option` (404 for none), or a `Result` of one of them.
pub trait IntoResponse {
    /// Makes the answer, or fails as the function did.
    fn into_response(self) -> Result<Response, Error>;
}

pub(crate) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");

fn with(body: impl Into<Body>, content_type: HeaderValue) -> Response {
    let mut r = Response::new(body.into());
    r.headers_mut().insert(CONTENT_TYPE, content_type);
    r
}

impl IntoResponse for () {
    fn into_response(self) -> Result<Response, Error> {
        Ok(Response::default())
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Result<Response, Error> {
        Ok(with(self, TEXT))
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Result<Response, Error> {
        Ok(with(self, TEXT))
    }
}

impl IntoResponse for Bytes {
    fn into_response(self) -> Result<Response, Error> {
        Ok(with(self, BINARY))
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Result<Response, Error> {
        Ok(with(self, BINARY))
    }
}

impl IntoResponse for Body {
    fn into_response(self) -> Result<Response, Error> {
        Ok(with(self, BINARY))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Result<Response, Error> {
        Ok(with(serde_json::to_vec(&self.0)?, JSON))
    }
}

impl IntoResponse for serde_json::Value {
    fn into_response(self) -> Result<Response, Error> {
        Json(self).into_response()
    }
}

impl IntoResponse for StatusCode {
    fn into_response(self) -> Result<Response, Error> {
        (self, ()).into_response()
    }
}

impl<R: IntoResponse> IntoResponse for (StatusCode, R) {
    fn into_response(self) -> Result<Response, Error> {
        let mut r = self.1.into_response()?;
        *r.status_mut() = self.0;
        Ok(r)
    }
}

impl<B: Into<Body>> IntoResponse for http::Response<B> {
    fn into_response(self) -> Result<Response, Error> {
        Ok(self.map(Into::into))
    }
}

impl<R: IntoResponse> IntoResponse for Option<R> {
    fn into_response(self) -> Result<Response, Error> {
        match self {
            Some(r) => r.into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        }
    }
}

impl<R: IntoResponse, E: Into<Error>> IntoResponse for Result<R, E> {
    fn into_response(self) -> Result<Response, Error> {
        self.map_err(Into::into)?.into_response()
    }
}
