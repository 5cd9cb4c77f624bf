//! The framework's own lines: one JSON object a line, on standard error.

use crate::Level;
use serde_json::{Map, Value};
use std::io::Write;
use std::sync::atomic::{AtomicU8, Ordering};
use time::format_description::well_known::Rfc3339;
use time::OffsetDateTime;

static LEAST: AtomicU8 = AtomicU8::new(Level::Info as u8);

/// Sets the least level of lines that are written.
pub(crate) fn set_least(level: Level) {
    LEAST.store(level as u8, Ordering::Relaxed);
}

/// Writes a line. One that cannot be written is lost: there is nowhere to tell it.
pub(crate) fn line(level: Level, message: &str, fields: Map<String, Value>) {
    if (level as u8) < LEAST.load(Ordering::Relaxed) {
        return;
    }
    let mut all = Map::new();
    all.insert("time".into(), now().into());
    let name = match level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warn => "WARN",
        Level::Error => "ERROR",
    };
    all.insert("level".into(), name.into());
    all.insert("msg".into(), message.into());
    for (k, v) in fields {
        all.entry(k).or_insert(v);
    }
    let mut text = Value::Object(all).to_string();
    text.push('\n');
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn now() -> String {
    let now = OffsetDateTime::now_utc();
    // Never a whole second, so that there always is a fraction.
    let now = now.replace_nanosecond(now.nanosecond().max(1)).unwrap_or(now);
    now.format(&Rfc3339).unwrap_or_default()
}

/// The line of a process that cannot start or drain.
pub(crate) fn ended(error: &str) {
    let mut fields = Map::new();
    fields.insert("error".into(), error.into());
    line(Level::Error, "function server ended", fields);
}
