//! Patterns of paths: "/hello/{name}", "/{id:[0-9]+}".

use percent_encoding::percent_decode_str;
use regex_lite::Regex;

/// A path that functions are served at.
pub(crate) struct Pattern {
    segments: Vec<Segment>,
}

enum Segment {
    Text(String),
    Variable(String, Option<Regex>),
}

impl Pattern {
    /// Reads a pattern, or says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix('/').ok_or_else(|| format!("the path \"{text}\" must begin with /"))?;
        let segments = split(rest).into_iter().map(|s| segment(text, s)).collect::<Result<_, _>>()?;
        Ok(Pattern { segments })
    }

    /// The values of the variables, when a path matches.
    pub(crate) fn matches(&self, path: &str) -> Option<Vec<(String, String)>> {
        let mut variables = Vec::new();
        let mut parts = path.strip_prefix('/')?.split('/');
        for s in &self.segments {
            let part = percent_decode_str(parts.next()?).decode_utf8_lossy();
            match s {
                Segment::Text(t) if *t == part => {}
                Segment::Text(_) => return None,
                Segment::Variable(_, None) if part.is_empty() => return None,
                Segment::Variable(_, Some(expression)) if !expression.is_match(&part) => return None,
                Segment::Variable(name, _) => variables.push((name.clone(), part.into_owned())),
            }
        }
        parts.next().is_none().then_some(variables)
    }
}

/// Splits at slashes outside of braces.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0usize, 0);
    for (i, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '/' if depth == 0 => {
                parts.push(&text[from..i]);
                from = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

fn segment(whole: &str, s: &str) -> Result<Segment, String> {
    let Some(inside) = s.strip_prefix('{').and_then(|s| s.strip_suffix('}')) else {
        if s.contains(['{', '}']) {
            return Err(format!("the path \"{whole}\" has braces inside of a segment: a variable is a whole segment"));
        }
        return Ok(Segment::Text(s.to_owned()));
    };
    let (name, expression) = inside.split_once(':').map_or((inside, None), |(n, e)| (n, Some(e)));
    if name.is_empty() {
        return Err(format!("the path \"{whole}\" has a variable without a name"));
    }
    let expression = expression.map(|e| Regex::new(&format!("^(?:{e})$"))).transpose();
    Ok(Segment::Variable(name.to_owned(), expression.map_err(|e| format!("the path \"{whole}\" has an expression that is none: {e}"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matching() {
        for (pattern, path, want) in [
            ("/hello/{name}", "/hello/b%C3%B6b", Some("böb")),
            ("/hello/{name}", "/hello/", None),
            ("/hello/{name}", "/hello/a/b", None),
            ("/hello/{name}", "/hello/a/", None),
            ("/{id:[0-9]+}", "/12", Some("12")),
            ("/{id:[0-9]+}", "/12x", None),
            ("/{id:a/?}", "/a", Some("a")),
        ] {
            let got = Pattern::parse(pattern).unwrap().matches(path);
            assert_eq!(got.map(|v| v[0].1.clone()).as_deref(), want, "{pattern} {path}");
        }
    }

    #[test]
    fn wrong() {
        for pattern in ["", "a", "/a{b}", "/{}", "/{a:[}"] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
