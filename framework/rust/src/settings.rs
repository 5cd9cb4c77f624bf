//! The environment of the function contract.

use crate::context;
use crate::Level;
use std::env;
use std::time::Duration;

/// What the environment says.
pub(crate) struct Settings {
    pub(crate) context: context::Settings,
    pub(crate) target: Option<String>,
    pub(crate) max_body: u64,
    pub(crate) level: Level,
    #[cfg_attr(target_family = "wasm", allow(dead_code))]
    pub(crate) port: u16,
    #[cfg_attr(target_family = "wasm", allow(dead_code))]
    pub(crate) grace: Duration,
    #[cfg_attr(target_family = "wasm", allow(dead_code))]
    pub(crate) concurrency: usize,
}

/// Reads and checks every variable of the contract.
pub(crate) fn read() -> Result<Settings, String> {
    let get = |name: &str| env::var(name).ok().filter(|v| !v.is_empty());
    let mut context = context::Settings::parse(get("FUNC_CONTEXT").as_deref(), get("FUNC_CONTEXT_V1BETA2").as_deref())?;
    context.test = get("TEST_MODE").as_deref() == Some("on");
    if let Some(s) = get("FUNCTION_SIGNATURE_TYPE") {
        if !["http", "cloudevent", "openfunction", "typed", "event"].contains(&s.to_ascii_lowercase().as_str()) {
            return Err(wrong("FUNCTION_SIGNATURE_TYPE", &s, "http, cloudevent, openfunction or typed"));
        }
    }
    let port = context.port.clone().or_else(|| get("PORT")).unwrap_or_else(|| "8080".into());
    Ok(Settings {
        target: get("FUNCTION_TARGET"),
        max_body: number("OFN_MAX_BODY", get("OFN_MAX_BODY"), 64 << 20, 1)?,
        level: level(get("OFN_LOG_LEVEL"))?,
        port: port.parse().ok().filter(|p| *p > 0).ok_or_else(|| wrong("PORT", &port, "a number from 1 to 65535"))?,
        grace: grace(get("OFN_GRACE"))?,
        concurrency: number("OFN_CONCURRENCY", get("OFN_CONCURRENCY"), 0, 0)? as usize,
        context,
    })
}

fn wrong(variable: &str, value: &str, rule: &str) -> String {
    format!("{variable} is \"{value}\": it must be {rule}")
}

fn number(variable: &str, value: Option<String>, default: u64, least: u64) -> Result<u64, String> {
    let Some(v) = value else { return Ok(default) };
    let digits = v.bytes().all(|b| b.is_ascii_digit());
    v.parse().ok().filter(|n| digits && *n >= least).ok_or_else(|| wrong(variable, &v, &format!("a number from {least}")))
}

fn level(value: Option<String>) -> Result<Level, String> {
    match value.as_deref() {
        Some("debug") => Ok(Level::Debug),
        None | Some("info") => Ok(Level::Info),
        Some("warn") => Ok(Level::Warn),
        Some("error") => Ok(Level::Error),
        Some(v) => Err(wrong("OFN_LOG_LEVEL", v, "debug, info, warn or error")),
    }
}

fn grace(value: Option<String>) -> Result<Duration, String> {
    let Some(v) = value else { return Ok(Duration::from_secs(30)) };
    let digits = v.bytes().take_while(u8::is_ascii_digit).count();
    let ms = match &v[digits..] {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        _ => None,
    };
    let n = v[..digits].parse::<u64>().ok().filter(|n| *n > 0);
    match ms.zip(n).and_then(|(ms, n)| n.checked_mul(ms)) {
        Some(ms) => Ok(Duration::from_millis(ms)),
        None => Err(wrong("OFN_GRACE", &v, "digits and a unit ms, s or m, such as 25s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graces() {
        for (text, want) in [
            ("25s", Some(25_000)),
            ("10ms", Some(10)),
            ("1m", Some(60_000)),
            ("0s", None),
            ("soon", None),
            ("5", None),
            ("", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(grace(Some(text.into())).ok().map(|d| d.as_millis()), want, "{text}");
        }
    }

    #[test]
    fn numbers() {
        for (text, want) in [("1", Some(1)), ("0", None), ("+1", None), ("-1", None), ("x", None)] {
            assert_eq!(number("N", Some(text.into()), 9, 1).ok(), want, "{text}");
        }
        assert_eq!(number("N", None, 9, 1), Ok(9));
    }
}
