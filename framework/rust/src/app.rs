//! The functions of an application, and where they are served.

use crate::context;
use crate::handler::{Function, Kind};
use crate::pattern::Pattern;
use crate::Binding;
use http::Method;
use serde_json::{json, Value};
use std::sync::Arc;

/// The functions that this process serves.
pub(crate) struct App {
    routes: Vec<Route>,
    pub(crate) several: bool,
    /// Some function is not async.
    #[cfg_attr(target_family = "wasm", allow(dead_code))]
    pub(crate) blocks: bool,
    pub(crate) context: Arc<context::Settings>,
    pub(crate) max_body: u64,
}

/// A function at a path.
pub(crate) struct Route {
    pub(crate) name: Arc<str>,
    patterns: Vec<Pattern>, // none: every path
    methods: Vec<String>,   // none: every method
    pub(crate) kind: Kind,
}

/// Where a request goes.
pub(crate) enum Found<'a> {
    Function(&'a Route, Vec<(String, String)>),
    NoPath,
    NoMethod(String), // the methods that there are
}

impl App {
    /// Checks all that was registered, and chooses the target of it. The error tells all that is wrong.
    pub(crate) fn new(functions: Vec<Function>, target: Option<&str>, context: context::Settings, max_body: u64) -> Result<Self, String> {
        check(&functions)?;
        let all = functions.len();
        let mut chosen: Vec<Function> = functions;
        if let Some(target) = target {
            let names: Vec<String> = chosen.iter().map(|f| f.name.clone()).collect();
            chosen.retain(|f| f.name == target);
            if chosen.is_empty() {
                return Err(format!("FUNCTION_TARGET is \"{target}\", but there is no such function; there are: {}", names.join(", ")));
            }
        }
        let several = chosen.len() > 1;
        let blocks = chosen.iter().any(|f| f.blocks);
        let mut routes = Vec::new();
        for f in chosen {
            let patterns = match (&f.path, several) {
                (None, false) => Vec::new(),
                (path, _) => {
                    let mut paths = vec![path.as_deref().unwrap_or("/")];
                    if target.is_some() && all > 1 && paths[0] != "/" {
                        paths.push("/");
                    }
                    paths.into_iter().map(Pattern::parse).collect::<Result<_, _>>()?
                }
            };
            routes.push(Route { name: f.name.into(), patterns, methods: f.methods, kind: f.kind });
        }
        Ok(App { routes, several, blocks, context: Arc::new(context), max_body })
    }

    /// The function and the input that a path of Dapr is about.
    pub(crate) fn input(&self, path: &str) -> Option<(&Route, &Arc<str>, &Binding)> {
        let at = path.strip_prefix('/').filter(|_| !self.context.events.is_empty())?;
        let named = |b: &Binding| if b.kind.starts_with("pubsub.") { b.topic == at } else { b.component == at };
        let (input, binding) = self.context.events.iter().find(|(_, b)| named(b))?;
        let route = self.routes.iter().find(|r| matches!(r.kind, Kind::OpenFunction(_)))?;
        Some((route, input, binding))
    }

    /// The topics that Dapr is to deliver.
    pub(crate) fn subscriptions(&self) -> Vec<Value> {
        let topics = self.context.events.values().filter(|b| b.kind.starts_with("pubsub."));
        topics
            .map(|b| {
                let mut s = json!({"pubsubname": b.component, "topic": b.topic, "route": format!("/{}", b.topic)});
                if !b.metadata.is_empty() {
                    s["metadata"] = json!(b.metadata);
                }
                if !b.dead_letter_topic.is_empty() {
                    s["deadLetterTopic"] = json!(b.dead_letter_topic);
                }
                s
            })
            .collect()
    }

    pub(crate) fn find(&self, method: &Method, path: &str) -> Found<'_> {
        let mut allowed: Vec<&str> = Vec::new();
        let mut known = false;
        for r in &self.routes {
            let matched = if r.patterns.is_empty() { Some(Vec::new()) } else { r.patterns.iter().find_map(|p| p.matches(path)) };
            let Some(variables) = matched else { continue };
            if r.methods.is_empty() || r.methods.iter().any(|m| m == method.as_str()) {
                return Found::Function(r, variables);
            }
            known = true;
            allowed.extend(r.methods.iter().map(String::as_str));
        }
        allowed.sort_unstable();
        allowed.dedup();
        if known {
            Found::NoMethod(allowed.join(", "))
        } else {
            Found::NoPath
        }
    }
}

fn check(functions: &[Function]) -> Result<(), String> {
    let mut wrong = Vec::new();
    if functions.is_empty() {
        wrong.push("no function is registered".to_owned());
    }
    for (i, f) in functions.iter().enumerate() {
        let path = f.path.as_deref().unwrap_or("/");
        if !valid_name(&f.name) {
            wrong.push(format!("the name \"{}\" must be letters, digits, - and _, begin with a letter and end with a letter or digit, of at most 64", f.name));
        }
        if functions[..i].iter().any(|g| g.name == f.name) {
            wrong.push(format!("two functions have the name {}", f.name));
        }
        if functions[..i].iter().any(|g| g.path.as_deref().unwrap_or("/") == path) {
            wrong.push(format!("two functions have the path {path}"));
        }
        if let Err(e) = Pattern::parse(path) {
            wrong.push(e);
        }
        if matches!(f.kind, Kind::Event(_)) && !f.methods.is_empty() {
            wrong.push(format!("{} takes CloudEvents and has no methods of its own", f.name));
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("; "))
    }
}

fn valid_name(name: &str) -> bool {
    let b = name.as_bytes();
    (1..=64).contains(&b.len())
        && b[0].is_ascii_alphabetic()
        && b[b.len() - 1].is_ascii_alphanumeric()
        && b.iter().all(|c| c.is_ascii_alphanumeric() || *c == b'-' || *c == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{function, Request};

    fn app(functions: Vec<Function>, target: Option<&str>) -> Result<App, String> {
        App::new(functions, target, context::Settings::default(), 0)
    }

    fn none(_: Request) {}

    #[test]
    fn all_errors_at_once() {
        let got = app(vec![function("a", none), function("a", none), function("-", none).path("x")], None).err().unwrap();
        for part in ["two functions have the name a", "two functions have the path /", "the name \"-\"", "the path \"x\""] {
            assert!(got.contains(part), "{got} lacks {part}");
        }
    }

    #[test]
    fn target_is_served_at_root_too() {
        let a = app(vec![function("a", none).path("/a"), function("b", none).path("/b")], Some("b")).unwrap();
        for (path, want) in [("/", true), ("/b", true), ("/a", false)] {
            assert_eq!(matches!(a.find(&Method::GET, path), Found::Function(..)), want, "{path}");
        }
        assert!(app(vec![function("a", none)], Some("nowhere")).err().unwrap().contains("there are: a"));
    }
}
