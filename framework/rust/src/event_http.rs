//! CloudEvents in requests and answers, in binary, structured and batch mode.

use crate::event::{text, Data, Event};
use base64::engine::general_purpose::STANDARD as BASE64;
use base64::Engine;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::HeaderMap;
use percent_encoding::{percent_decode_str, utf8_percent_encode, AsciiSet, CONTROLS};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use time::format_description::well_known::Rfc3339;
use time::OffsetDateTime;

pub(crate) const BATCH: &str = "application/cloudevents-batch+json";

/// How a request carries events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Binary,
    Structured,
    Batch,
}

/// Tells the mode by the header; none for a request that carries no event.
pub(crate) fn mode(headers: &HeaderMap) -> Option<Mode> {
    let kind = content_type(headers).to_ascii_lowercase();
    match () {
        _ if kind.starts_with(BATCH) => Some(Mode::Batch),
        _ if kind.starts_with("application/cloudevents+json") => Some(Mode::Structured),
        _ if kind.starts_with("application/cloudevents") => None,
        _ if headers.contains_key("ce-specversion") => Some(Mode::Binary),
        _ => None,
    }
}

pub(crate) fn content_type(headers: &HeaderMap) -> String {
    headers.get(CONTENT_TYPE).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).unwrap_or_default()
}

/// Reads all events of a request, or says what is wrong with them.
pub(crate) fn read(mode: Mode, headers: &HeaderMap, body: Bytes) -> Result<Vec<Event>, String> {
    match mode {
        Mode::Binary => Ok(vec![binary(headers, body)?]),
        Mode::Structured => Ok(vec![structured("the CloudEvent", json(&body).map_err(|e| format!("the CloudEvent is not a JSON object: {e}"))?)?]),
        Mode::Batch => {
            let array = json(&body).and_then(|v| match v {
                Value::Array(a) => Ok(a),
                other => Err(format!("it is {}", name_of(&other))),
            });
            let array = array.map_err(|e| format!("the batch is not a JSON array of CloudEvents: {e}"))?;
            let count = array.len();
            array.into_iter().enumerate().map(|(i, v)| structured(&format!("CloudEvent {} of {count}", i + 1), v)).collect()
        }
    }
}

fn json(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|e| e.to_string())
}

fn name_of(v: &Value) -> &'static str {
    match v {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn binary(headers: &HeaderMap, body: Bytes) -> Result<Event, String> {
    let mut attributes = BTreeMap::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix("ce-") else { continue };
        if name != "datacontenttype" && !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric()) {
            attributes.insert(name.to_owned(), Value::String(decoded(value.as_bytes())));
        }
    }
    let kind = content_type(headers);
    if !kind.is_empty() {
        attributes.insert("datacontenttype".into(), kind.into());
    }
    let data = (!body.is_empty()).then_some(Data::Bytes(body));
    checked("the CloudEvent", attributes, data)
}

/// Decodes percent signs. What is not UTF-8 afterwards stays as it was.
fn decoded(raw: &[u8]) -> String {
    let raw = String::from_utf8_lossy(raw);
    percent_decode_str(&raw).decode_utf8().map(|s| s.into_owned()).unwrap_or_else(|_| raw.into_owned())
}

fn structured(subject: &str, v: Value) -> Result<Event, String> {
    let Value::Object(members) = v else {
        return Err(format!("{subject} is not a JSON object: it is {}", name_of(&v)));
    };
    let (mut attributes, mut data, mut encoded) = (BTreeMap::new(), None, None);
    for (name, value) in members {
        match name.as_str() {
            "data" => data = Some(value),
            "data_base64" => encoded = Some(value).filter(|v| !v.is_null()),
            _ if value.is_null() => {}
            _ => {
                attributes.insert(name, value);
            }
        }
    }
    let invalid = || Err(format!("{subject} has invalid data"));
    if data.as_ref().is_some_and(|d| d.is_null()) && encoded.is_some() {
        data = None;
    }
    let decoded = match (data, encoded) {
        (Some(_), Some(_)) => invalid(),
        (None, Some(Value::String(s))) => BASE64.decode(s).map(|b| Some(Data::Bytes(b.into()))).or_else(|_| invalid()),
        (None, Some(_)) => invalid(),
        (Some(v), None) => Ok(Some(v).filter(|v| !v.is_null()).map(|v| value_data(v, &mut attributes))),
        (None, None) => Ok(None),
    };
    let event = checked(subject, attributes, None)?; // first what is wrong with attributes
    Ok(Event { data: decoded?, ..event })
}

fn value_data(v: Value, attributes: &mut BTreeMap<String, Value>) -> Data {
    let kind = attributes.entry("datacontenttype".into()).or_insert_with(|| "application/json".into());
    match v {
        Value::String(s) if !is_json(&text(kind)) => Data::Bytes(s.into()),
        v => Data::Json(v),
    }
}

pub(crate) fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind == "text/json" || kind.ends_with("+json")
}

fn checked(subject: &str, mut attributes: BTreeMap<String, Value>, data: Option<Data>) -> Result<Event, String> {
    for name in ["specversion", "id", "source", "type"] {
        if attributes.get(name).is_none_or(|v| v.as_str() == Some("")) {
            return Err(format!("{subject} lacks the attribute {name}"));
        }
    }
    let version = text(&attributes["specversion"]).into_owned();
    if version != "1.0" {
        return Err(format!("{subject} has the specversion \"{version}\", but 1.0 is needed"));
    }
    for (name, value) in &attributes {
        let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let timed = name != "time" || OffsetDateTime::parse(&text(value), &Rfc3339).is_ok();
        if !named || !timed || value.is_object() || value.is_array() {
            return Err(format!("{subject} has an invalid attribute {name}"));
        }
    }
    attributes.remove("specversion");
    let mut take = |name: &str| attributes.remove(name).map(|v| text(&v).into_owned()).unwrap_or_default();
    Ok(Event { id: take("id"), source: take("source"), kind: take("type"), attributes, data })
}

/// What is percent-encoded in headers beside everything outside of U+0021 to U+007E.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// The headers and the body of an event in binary mode.
pub(crate) fn write(e: &Event) -> (Vec<(String, String)>, Bytes) {
    let mut headers = vec![("ce-specversion".to_owned(), "1.0".to_owned())];
    let mut add = |name: &str, value: &str| headers.push((format!("ce-{name}"), utf8_percent_encode(value, ENCODED).to_string()));
    add("id", &e.id);
    add("source", &e.source);
    add("type", &e.kind);
    for (name, value) in &e.attributes {
        if name != "datacontenttype" {
            add(name, &text(value));
        }
    }
    (headers, e.bytes())
}

/// An event as JSON, for batches.
pub(crate) fn to_json(e: Event) -> Value {
    let kind = e.content_type().map(|k| k.into_owned());
    let mut members = Map::new();
    members.insert("specversion".into(), "1.0".into());
    members.insert("id".into(), e.id.into());
    members.insert("source".into(), e.source.into());
    members.insert("type".into(), e.kind.into());
    members.extend(e.attributes);
    let kind = kind.unwrap_or_default();
    let (name, value) = match e.data {
        None => return Value::Object(members),
        Some(Data::Json(v)) => ("data", v),
        Some(Data::Bytes(b)) => match (serde_json::from_slice(&b), std::str::from_utf8(&b)) {
            (Ok(v), _) if is_json(&kind) => ("data", v),
            (_, Ok(s)) if kind.to_ascii_lowercase().starts_with("text/") => ("data", s.into()),
            _ => ("data_base64", BASE64.encode(&b).into()),
        },
    };
    members.insert(name.into(), value);
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        for (kind, version, want) in [
            ("Application/CloudEvents+JSON; charset=utf-8", false, Some(Mode::Structured)),
            ("application/cloudevents-batch+json", false, Some(Mode::Batch)),
            ("application/cloudevents+xml", true, None),
            ("application/json", true, Some(Mode::Binary)),
            ("application/json", false, None),
        ] {
            let mut h = HeaderMap::new();
            h.insert(CONTENT_TYPE, kind.parse().unwrap());
            if version {
                h.insert("ce-specversion", "1.0".parse().unwrap());
            }
            assert_eq!(mode(&h), want, "{kind}");
        }
    }

    #[test]
    fn round() {
        let text = r#"[{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"application/json","n":7,"data":{"b":1,"a":"é"}}]"#;
        let events = read(Mode::Batch, &HeaderMap::new(), text.into()).unwrap();
        let back: Vec<Value> = events.into_iter().map(to_json).collect();
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }
}
