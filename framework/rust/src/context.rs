//! The OpenFunction context of a function: what the platform says of it, and what it sees of a call.

use crate::{call, Call, Error, Event};
use bytes::Bytes;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a function with the OpenFunction signature sees beside the data. It is cheap to clone.
#[derive(Clone)]
pub struct Context {
    pub(crate) settings: Arc<Settings>,
    pub(crate) request: Arc<http::request::Parts>,
    pub(crate) event: Option<Arc<Event>>,
    pub(crate) input: Option<Arc<str>>,
}

/// A component that a function is bound to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Binding {
    /// The name of the Dapr component.
    pub component: String,
    /// Its type, such as "bindings.cron" or "pubsub.redis".
    pub kind: String,
    /// The topic, of a component of publish and subscribe.
    pub topic: String,
    /// What a binding does with what is sent to it, such as "create".
    pub operation: String,
    /// What the component is told with each message.
    pub metadata: BTreeMap<String, String>,
    /// Of an input: the topic of the same component that gets what the function does not handle.
    pub dead_letter_topic: String,
}

/// What the platform says of the function.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) name: Option<String>,
    pub(crate) port: Option<String>,
    pub(crate) inputs: BTreeMap<String, Binding>,
    pub(crate) outputs: BTreeMap<String, Binding>,
    /// Inputs whose events call the function, by name.
    pub(crate) events: BTreeMap<Arc<str>, Binding>,
    /// Sending does nothing and succeeds.
    pub(crate) test: bool,
}

impl Context {
    /// The name of the function.
    pub fn name(&self) -> String {
        self.settings.name.clone().unwrap_or_else(|| self.call().function().to_owned())
    }

    /// The call: its ids, how long the caller waits, its log.
    pub fn call(&self) -> Call {
        call()
    }

    /// The request: method, address, header. Its body is the data.
    pub fn request(&self) -> &http::request::Parts {
        &self.request
    }

    /// The CloudEvent of the call, when it is one.
    pub fn event(&self) -> Option<&Event> {
        self.event.as_deref()
    }

    /// The name of the input whose event the call is about.
    pub fn input(&self) -> Option<&str> {
        self.input.as_deref()
    }

    /// Sends data to an output: publishes them to its topic, or invokes its binding, whose answer is returned.
    pub async fn send(&self, output: &str, data: impl Into<Bytes>) -> Result<Bytes, Error> {
        let outputs = self.outputs();
        let Some(to) = outputs.get(output) else {
            let names: Vec<&str> = outputs.keys().map(String::as_str).collect();
            return Err(format!("there is no output {output}; there are: {}", names.join(", ")).into());
        };
        if self.settings.test {
            return Ok(Bytes::new());
        }
        crate::dapr::send(to, data.into(), &self.trace()).await.map_err(|e| format!("sending to the output {output}: {e}").into())
    }

    /// The trace headers of the call: those of its request, otherwise the extensions of its event.
    fn trace(&self) -> Vec<(String, String)> {
        let sent = |name: &str| self.request.headers.get(name)?.to_str().ok().map(str::to_owned);
        let told = |name: &str| Some(self.event.as_ref()?.attribute(name)?.into_owned());
        let from_request = sent("traceparent").is_some();
        let find = |name: &str| if from_request { sent(name) } else { told(name) };
        ["traceparent", "tracestate", "baggage"].iter().filter_map(|n| Some((n.to_string(), find(n)?))).collect()
    }

    /// [`Context::send`] for functions that are not async.
    pub fn send_blocking(&self, output: &str, data: impl Into<Bytes>) -> Result<Bytes, Error> {
        crate::run::wait(self.send(output, data))
    }

    /// The components that are read from.
    pub fn inputs(&self) -> &BTreeMap<String, Binding> {
        &self.settings.inputs
    }

    /// The components that are written to.
    pub fn outputs(&self) -> &BTreeMap<String, Binding> {
        &self.settings.outputs
    }
}

/// The result of a function with the OpenFunction context.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Out {
    pub(crate) code: u16,
    pub(crate) data: Bytes,
    pub(crate) content_type: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
}

impl Out {
    /// A result with a code, that of the HTTP answer; 0 is 200.
    pub fn new(code: u16, data: impl Into<Bytes>) -> Self {
        Out { code, data: data.into(), ..Out::default() }
    }

    /// Tells something of the result: `retry` = `true` has an event of a failed call delivered again.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    /// Names the content type of the data.
    pub fn content_type(mut self, kind: impl Into<String>) -> Self {
        self.content_type = Some(kind.into());
        self
    }
}

macro_rules! from_bytes {
    ($($type:ty),*) => {
        $(impl From<$type> for Out {
            fn from(data: $type) -> Self {
                Out::new(0, data)
            }
        })*
    };
}

from_bytes!(Bytes, String, Vec<u8>, &'static str, &'static [u8]);

impl Settings {
    /// Joins both layouts of the context. What the second says goes before the first.
    pub(crate) fn parse(first: Option<&str>, second: Option<&str>) -> Result<Self, String> {
        let first = object("FUNC_CONTEXT", first)?;
        let second = object("FUNC_CONTEXT_V1BETA2", second)?;
        match first.get("runtime").and_then(Value::as_str) {
            None | Some("" | "Knative" | "Async") => {}
            Some(other) => return Err(format!("FUNC_CONTEXT has the runtime \"{other}\": it must be Knative or Async")),
        }
        let mut s = Settings {
            name: text(&second, "name").or_else(|| text(&first, "name")),
            port: second.get("triggers").and_then(|t| t.get("http")).and_then(|h| h.as_object()).and_then(|h| text(h, "port")).or_else(|| text(&first, "port")),
            ..Settings::default()
        };
        for context in [&first, &second] {
            for (field, into) in [("inputs", &mut s.inputs), ("outputs", &mut s.outputs)] {
                for (name, b) in context.get(field).and_then(Value::as_object).into_iter().flatten() {
                    let b = binding(field, name, b)?;
                    let kept = into.entry(name.clone()).or_default();
                    let topic = if b.topic.is_empty() { std::mem::take(&mut kept.topic) } else { b.topic };
                    let operation = if b.operation.is_empty() { std::mem::take(&mut kept.operation) } else { b.operation };
                    let metadata = if b.metadata.is_empty() { std::mem::take(&mut kept.metadata) } else { b.metadata };
                    *kept = Binding { topic, operation, metadata, ..b };
                }
            }
        }
        s.events = events(&first, &second, &s.inputs)?;
        Ok(s)
    }
}

/// The inputs whose events call the function.
fn events(first: &Map<String, Value>, second: &Map<String, Value>, inputs: &BTreeMap<String, Binding>) -> Result<BTreeMap<Arc<str>, Binding>, String> {
    let triggers = second.get("triggers").and_then(Value::as_object);
    let dapr = triggers.and_then(|t| t.get("dapr")).and_then(Value::as_array).filter(|d| !d.is_empty());
    if let Some(dapr) = dapr {
        let named = dapr.iter().map(|t| {
            let get = |k: &str| t.get(k).and_then(Value::as_str).unwrap_or_default().to_owned();
            let name = if get("inputName").is_empty() { get("name") } else { get("inputName") };
            let more = inputs.get(&name).cloned().unwrap_or_default();
            let topic = if get("topic").is_empty() { more.topic.clone() } else { get("topic") };
            let b =
                checked("triggers", &name, Binding { component: get("name"), kind: get("type"), topic, dead_letter_topic: get("deadLetterTopic"), ..more })?;
            Ok((Arc::from(name), b))
        });
        return named.collect();
    }
    let asynchronous = first.get("runtime").and_then(Value::as_str) == Some("Async");
    if triggers.is_some_and(|t| t.contains_key("http")) || !asynchronous {
        return Ok(BTreeMap::new());
    }
    Ok(inputs.iter().map(|(name, b)| (Arc::from(name.as_str()), b.clone())).collect())
}

fn binding(field: &str, name: &str, v: &Value) -> Result<Binding, String> {
    let get = |k: &str| v.get(k).and_then(Value::as_str).unwrap_or_default().to_owned();
    let topic = if get("topic").is_empty() { get("uri") } else { get("topic") };
    let metadata = v.get("metadata").and_then(Value::as_object).into_iter().flatten();
    let metadata = metadata.map(|(k, v)| (k.clone(), v.as_str().map_or_else(|| v.to_string(), str::to_owned))).collect();
    checked(
        field,
        name,
        Binding { component: get("componentName"), kind: get("componentType"), topic, operation: get("operation"), metadata, ..Binding::default() },
    )
}

fn checked(field: &str, name: &str, b: Binding) -> Result<Binding, String> {
    if b.component.is_empty() {
        return Err(format!("the context's {field} have {name} without a componentName"));
    }
    if !b.kind.starts_with("bindings.") && !b.kind.starts_with("pubsub.") {
        return Err(format!("the context's {field} have {name} with the componentType \"{}\": it must begin with bindings. or pubsub.", b.kind));
    }
    Ok(b)
}

fn object(variable: &str, value: Option<&str>) -> Result<Map<String, Value>, String> {
    match value.filter(|v| !v.is_empty()).map(serde_json::from_str) {
        None => Ok(Map::new()),
        Some(Ok(Value::Object(m))) => Ok(m),
        Some(Ok(_)) => Err(format!("{variable} must be a JSON object")),
        Some(Err(e)) => Err(format!("{variable} is not JSON: {e}")),
    }
}

/// A member that is a text or a number.
fn text(m: &Map<String, Value>, name: &str) -> Option<String> {
    match m.get(name)? {
        Value::String(s) if !s.is_empty() => Some(s.clone()),
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts() {
        let first = r#"{"name":"f","runtime":"Async","port":"81","inputs":{"o":{"uri":"topic","componentName":"bus","componentType":"pubsub.redis"}}}"#;
        let s = Settings::parse(Some(first), None).unwrap();
        assert_eq!((s.name.as_deref(), s.port.as_deref(), s.inputs["o"].topic.as_str()), (Some("f"), Some("81"), "topic"));
        assert_eq!(s.events.len(), 1);

        let served = r#"{"triggers":{"http":{"port":82}},"inputs":{"o":{"componentName":"bus2","componentType":"pubsub.redis"}}}"#;
        let s = Settings::parse(Some(first), Some(served)).unwrap();
        assert_eq!((s.port.as_deref(), s.inputs["o"].component.as_str(), s.inputs["o"].topic.as_str()), (Some("82"), "bus2", "topic"));
        assert!(s.events.is_empty(), "events call nobody where requests do");

        let called = r#"{"triggers":{"dapr":[{"name":"cron","type":"bindings.cron"},{"name":"bus","type":"pubsub.redis","topic":"t","inputName":"in"}]}}"#;
        let s = Settings::parse(None, Some(called)).unwrap();
        assert_eq!(
            s.events.iter().map(|(n, b)| (n.to_string(), b.topic.clone())).collect::<Vec<_>>(),
            [("cron".into(), String::new()), ("in".into(), "t".to_string())]
        );
    }
}
