//! CloudEvents 1.0.

use crate::Error;
use bytes::Bytes;
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A CloudEvent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Event {
    pub(crate) id: String,
    pub(crate) source: String,
    pub(crate) kind: String,
    /// All other attributes but specversion: strings, numbers and booleans.
    pub(crate) attributes: BTreeMap<String, Value>,
    pub(crate) data: Option<Data>,
}

/// The data of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// As it came in binary mode, in `data_base64` or as a text.
    Bytes(Bytes),
    /// As it came in structured mode.
    Json(Value),
}

impl Event {
    /// A new event. An empty id or source gets a random id, the name of the function, where it is answered.
    pub fn new(kind: impl Into<String>, source: impl Into<String>, id: impl Into<String>) -> Self {
        Event { kind: kind.into(), source: source.into(), id: id.into(), ..Event::default() }
    }

    /// The attribute `id`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The attribute `source`.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The attribute `type`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The attribute `subject`.
    pub fn subject(&self) -> Option<Cow<'_, str>> {
        self.attribute("subject")
    }

    /// The content type of the data.
    pub fn content_type(&self) -> Option<Cow<'_, str>> {
        self.attribute("datacontenttype")
    }

    /// Another attribute, such as `time`, or an extension.
    pub fn attribute(&self, name: &str) -> Option<Cow<'_, str>> {
        self.attributes.get(name).map(text)
    }

    /// Sets an attribute. Names are lower-case letters and digits.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let (name, value) = (name.into(), value.into());
        match name.as_str() {
            "id" => self.id = value,
            "source" => self.source = value,
            "type" => self.kind = value,
            "specversion" => {}
            _ => {
                self.attributes.insert(name, value.into());
            }
        }
        self
    }

    /// Sets data and their content type.
    pub fn with_data(mut self, content_type: impl Into<String>, data: impl Into<Bytes>) -> Self {
        self.data = Some(Data::Bytes(data.into()));
        self.with("datacontenttype", content_type)
    }

    /// Sets data as JSON.
    pub fn with_json(mut self, data: impl Serialize) -> Result<Self, serde_json::Error> {
        self.data = Some(Data::Json(serde_json::to_value(data)?));
        Ok(self.with("datacontenttype", "application/json"))
    }

    /// The data as they came.
    pub fn data(&self) -> Option<&Data> {
        self.data.as_ref()
    }

    /// The data as bytes; empty without data.
    pub fn bytes(&self) -> Bytes {
        match &self.data {
            None => Bytes::new(),
            Some(Data::Bytes(b)) => b.clone(),
            Some(Data::Json(v)) => v.to_string().into(),
        }
    }

    /// The data as a value, read from JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        match &self.data {
            Some(Data::Json(v)) => T::deserialize(v),
            Some(Data::Bytes(b)) => serde_json::from_slice(b),
            None => serde_json::from_slice(b""),
        }
    }
}

/// An attribute as a text.
pub(crate) fn text(v: &Value) -> Cow<'_, str> {
    match v {
        Value::String(s) => Cow::Borrowed(s),
        other => Cow::Owned(other.to_string()),
    }
}

/// What an event function answers.
pub enum EventAnswer {
    /// The event was handled.
    Nothing,
    /// Another event, for who sent the first.
    Event(Box<Event>),
    /// A status with a text.
    Status(StatusCode, String),
}

/// What an event function may return: nothing, an [`Event`], an `Option` of one, a status code, alone or with a text, or a `Result` of
/// one of them.
pub trait IntoEventAnswer {
    /// Makes the answer, or fails as the function did.
    fn into_event_answer(self) -> Result<EventAnswer, Error>;
}

impl IntoEventAnswer for () {
    fn into_event_answer(self) -> Result<EventAnswer, Error> {
        Ok(EventAnswer::Nothing)
    }
}

impl IntoEventAnswer for Event {
    fn into_event_answer(self) -> Result<EventAnswer, Error> {
        Ok(EventAnswer::Event(Box::new(self)))
    }
}

impl IntoEventAnswer for StatusCode {
    fn into_event_answer(self) -> Result<EventAnswer, Error> {
        Ok(EventAnswer::Status(self, String::new()))
    }
}

impl<S: Into<String>> IntoEventAnswer for (StatusCode, S) {
    fn into_event_answer(self) -> Result<EventAnswer, Error> {
        Ok(EventAnswer::Status(self.0, self.1.into()))
    }
}

impl<R: IntoEventAnswer> IntoEventAnswer for Option<R> {
    fn into_event_answer(self) -> Result<EventAnswer, Error> {
        self.map_or(Ok(EventAnswer::Nothing), IntoEventAnswer::into_event_answer)
    }
}

impl<R: IntoEventAnswer, E: Into<Error>> IntoEventAnswer for Result<R, E> {
    fn into_event_answer(self) -> Result<EventAnswer, Error> {
        self.map_err(Into::into)?.into_event_answer()
    }
}
