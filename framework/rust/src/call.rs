//! What a function may know of the call that it answers.

use crate::log;
use http::{HeaderMap, Method, Uri};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// The call that a function answers. It is cheap to clone, and may be given to other threads and tasks.
#[derive(Clone, Default)]
pub struct Call(Arc<Inner>);

#[derive(Default)]
struct Inner {
    function: Arc<str>,
    request_id: OnceLock<String>, // made when somebody asks for it
    trace_id: Option<String>,
    deadline: Option<Instant>,
    variables: Vec<(String, String)>,
    method: Method,
    uri: Uri,
}

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

thread_local! {
    static CURRENT: RefCell<Option<Call>> = const { RefCell::new(None) };
}

/// The call that the running function answers. Outside of one, as in a thread that a function started, it is an empty one.
pub fn call() -> Call {
    CURRENT.with_borrow(|c| c.clone()).unwrap_or_default()
}

impl Call {
    pub(crate) fn new(function: &Arc<str>, request: &http::request::Parts, variables: Vec<(String, String)>) -> Self {
        let trace_id = header(&request.headers, "traceparent").and_then(trace_id);
        let request_id = match header(&request.headers, "x-request-id") {
            Some(id) if (1..=128).contains(&id.len()) && id.bytes().all(|b| (0x21..=0x7e).contains(&b)) => OnceLock::from(id.to_owned()),
            _ => trace_id.clone().map_or_else(OnceLock::new, OnceLock::from),
        };
        Call(Arc::new(Inner {
            function: function.clone(),
            request_id,
            trace_id,
            deadline: header(&request.headers, "x-openfunction-timeout-ms").and_then(deadline),
            variables,
            method: request.method.clone(),
            uri: request.uri.clone(),
        }))
    }

    /// The name of the function.
    pub fn function(&self) -> &str {
        &self.0.function
    }

    /// The id of the request, which is in every line of the log about it.
    pub fn request_id(&self) -> &str {
        self.0.request_id.get_or_init(|| random_hex(16))
    }

    /// The trace that the call belongs to, by W3C trace context.
    pub fn trace_id(&self) -> Option<&str> {
        self.0.trace_id.as_deref()
    }

    /// How long the caller still waits; none when it did not tell.
    pub fn remaining(&self) -> Option<Duration> {
        self.0.deadline.map(|d| d.saturating_duration_since(Instant::now()))
    }

    /// The value of a variable of the path that the function is served at, such as "name" of "/hello/{name}".
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.0.variables.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Writes a line of the log with the function, the ids of the call, and the members of `fields`, which is a JSON object.
    pub fn log(&self, level: Level, message: &str, fields: Value) {
        let mut line = Map::new();
        self.ids(&mut line);
        if let Value::Object(more) = fields {
            line.extend(more);
        }
        log::line(level, message, line);
    }

    pub(crate) fn ids(&self, line: &mut Map<String, Value>) {
        line.insert("function".into(), self.function().into());
        line.insert("request_id".into(), self.request_id().into());
        if let Some(id) = &self.0.trace_id {
            line.insert("trace_id".into(), id.clone().into());
        }
    }

    pub(crate) fn request(&self, line: &mut Map<String, Value>) {
        line.insert("method".into(), self.0.method.as_str().into());
        line.insert("path".into(), self.0.uri.path().into());
    }

    /// Runs f as a part of this call.
    pub(crate) fn enter<T>(&self, f: impl FnOnce() -> T) -> T {
        struct Restore(Option<Call>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _restore = Restore(CURRENT.replace(Some(self.clone())));
        f()
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The trace id of a valid traceparent: VERSION-TRACE-PARENT-FLAGS, lower-case hexadecimal.
fn trace_id(value: &str) -> Option<String> {
    let hex = |s: &str, len: usize| s.len() == len && s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let mut parts = value.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let zero = |s: &str| s.bytes().all(|b| b == b'0');
    let valid = hex(version, 2) && version != "ff" && hex(trace, 32) && !zero(trace) && hex(parent, 16) && !zero(parent) && hex(flags, 2);
    (valid && (version != "00" || parts.next().is_none())).then(|| trace.to_owned())
}

fn deadline(value: &str) -> Option<Instant> {
    let valid = (1..=12).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
    let ms: u64 = valid.then(|| value.parse().ok())??;
    (ms > 0).then(|| Instant::now().checked_add(Duration::from_millis(ms)))?
}

/// Random bytes as hexadecimal digits.
pub(crate) fn random_hex(bytes: usize) -> String {
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).expect("the system gives random numbers");
    random[..bytes].iter().fold(String::with_capacity(2 * bytes), |mut s, b| {
        for digit in [b >> 4, b & 15] {
            s.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
        s
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (value, want) in [
            (format!("00-{id}-00f067aa0ba902b7-01"), true),
            (format!("01-{id}-00f067aa0ba902b7-01-more"), true),
            (format!("00-{id}-00f067aa0ba902b7-01-more"), false),
            (format!("ff-{id}-00f067aa0ba902b7-01"), false),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), false),
            (format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase()), false),
            ("".into(), false),
        ] {
            assert_eq!(trace_id(&value).is_some(), want, "{value}");
        }
    }

    #[test]
    fn deadlines() {
        for (value, want) in [("1", true), ("999999999999", true), ("0", false), ("", false), ("+1", false), ("1000000000000", false), ("1.5", false)] {
            assert_eq!(deadline(value).is_some(), want, "{value}");
        }
    }
}
