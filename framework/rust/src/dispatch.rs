//! From a request to the answer: finds the function, reads what it takes, calls it, and answers for it when it fails.

use crate::answer::{BINARY, JSON, TEXT};
use crate::app::{App, Found, Route};
use crate::call::random_hex;
use crate::event::{Event, EventAnswer};
use crate::event_http::{self as events, Mode};
use crate::handler::Kind;
use crate::run::{arrived, run, Failure};
use crate::{log, Binding, Body, Call, Context, Level, Out, Request, Response};
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue, ALLOW, CONTENT_TYPE};
use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Map, Value};
use std::sync::Arc;

const STATUS: HeaderName = HeaderName::from_static("x-openfunction-status");
const ERROR_ID: HeaderName = HeaderName::from_static("x-openfunction-error-id");
const FUNCTION: HeaderName = HeaderName::from_static("x-openfunction-function");
const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

const NOT_EVENT: &str =
    "the request is not a CloudEvent: send the ce- headers, or the content type application/cloudevents+json or application/cloudevents-batch+json";

/// Answers a request.
pub(crate) async fn dispatch(app: &App, request: Request, draining: bool) -> Response {
    if let Some(answer) = reserved(&request, draining) {
        return answer;
    }
    if let Some((route, input, binding)) = app.input(request.uri().path()) {
        if let Some(answer) = message(app, route, input, binding, request).await {
            return answer;
        }
        return own(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
    }
    if request.uri().path() == "/dapr/subscribe" && request.method() == Method::GET && !app.context.events.is_empty() {
        return json(serde_json::to_vec(&app.subscriptions()).ok());
    }
    let (route, variables) = match app.find(request.method(), request.uri().path()) {
        Found::Function(route, variables) => (route, variables),
        Found::NoPath => return own(StatusCode::NOT_FOUND, "no function is served at this path"),
        Found::NoMethod(allowed) => return not_allowed(&allowed, "method not allowed"),
    };
    let (head, mut body) = request.into_parts();
    let call = Call::new(&route.name, &head, variables);
    let mut answer = match &route.kind {
        Kind::Http(f) => {
            let here = arrived(&mut body).await;
            match run(&call, f(Request::from_parts(head, body)), here).await.and_then(|r| r.map_err(Into::into)) {
                Ok(answer) => answer,
                Err(f) => failed(&call, f),
            }
        }
        _ => match whole(app, route, &call, head, body).await {
            Ok(answer) | Err(answer) => answer,
        },
    };
    if app.several {
        if let Ok(name) = HeaderValue::from_str(&route.name) {
            answer.headers_mut().insert(FUNCTION, name);
        }
    }
    answer
}

/// The answers that no function gives.
fn reserved(request: &Request, draining: bool) -> Option<Response> {
    let path = request.uri().path();
    let probe = request.headers().get("k-network-probe").is_some_and(|v| v == "queue");
    let drained = || own(StatusCode::SERVICE_UNAVAILABLE, "draining");
    match path {
        "/_ofn/health" | "/_ofn/ready" | "/_ofn/specialise" if draining => Some(drained()),
        "/_ofn/health" | "/_ofn/ready" => Some(own(StatusCode::OK, "ok")),
        _ if path.starts_with("/_ofn/") => Some(own(StatusCode::NOT_FOUND, "not found")),
        _ if probe && draining => Some(drained()),
        _ if probe => {
            let mut r = own(StatusCode::OK, "");
            *r.body_mut() = Body::from("queue");
            Some(r)
        }
        "*" if request.method() == Method::OPTIONS => Some(Response::default()),
        _ => None,
    }
}

/// An answer of the framework itself.
fn own(status: StatusCode, text: &str) -> Response {
    let mut r = Response::new(Body::from(format!("{text}\n")));
    *r.status_mut() = status;
    r.headers_mut().insert(CONTENT_TYPE, TEXT);
    r.headers_mut().insert(NOSNIFF, HeaderValue::from_static("nosniff"));
    r
}

fn not_allowed(allowed: &str, text: &str) -> Response {
    let mut r = own(StatusCode::METHOD_NOT_ALLOWED, text);
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        r.headers_mut().insert(ALLOW, allowed);
    }
    r
}

/// Logs a failure and answers for it. The client learns nothing but an id.
fn failed(call: &Call, failure: Failure) -> Response {
    let id = random_hex(8);
    let mut line = Map::new();
    line.insert("id".into(), id.clone().into());
    call.ids(&mut line);
    call.request(&mut line);
    let kind = match failure {
        Failure::Error(error) => {
            line.insert("error".into(), error.into());
            log::line(Level::Error, "function failed", line);
            "error"
        }
        Failure::Crash { message, stack } => {
            line.insert("error".into(), message.into());
            line.insert("stack".into(), stack.into());
            log::line(Level::Error, "function crashed", line);
            "crash"
        }
    };
    let mut r = own(StatusCode::INTERNAL_SERVER_ERROR, &format!("internal error, id {id}"));
    r.headers_mut().insert(STATUS, HeaderValue::from_static(kind));
    if let Ok(id) = HeaderValue::from_str(&id) {
        r.headers_mut().insert(ERROR_ID, id);
    }
    r
}

/// Calls a function that needs the whole body. Both results are answers.
async fn whole(app: &App, route: &Route, call: &Call, head: Parts, mut body: Body) -> Result<Response, Response> {
    let mode = events::mode(&head.headers);
    match &route.kind {
        Kind::Event(_) if !matches!(head.method, Method::PATCH | Method::POST | Method::PUT) => {
            return Err(not_allowed("PATCH, POST, PUT", "CloudEvents are sent with POST"));
        }
        Kind::Event(_) if mode.is_none() => return Err(own(StatusCode::UNSUPPORTED_MEDIA_TYPE, NOT_EVENT)),
        Kind::Typed(_) => {
            let kind = events::content_type(&head.headers);
            let media = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            if !media.is_empty() && media != "application/json" && !media.ends_with("+json") {
                return Err(own(StatusCode::UNSUPPORTED_MEDIA_TYPE, "this function takes JSON: send the content type application/json"));
            }
        }
        _ => {}
    }
    let data = match body.limited(app.max_body).await {
        Ok(Some(data)) => data,
        Ok(None) => return Err(own(StatusCode::PAYLOAD_TOO_LARGE, &format!("the request body is larger than {} bytes", app.max_body))),
        Err(e) => return Err(own(StatusCode::BAD_REQUEST, &format!("the request body did not arrive: {e}"))),
    };
    let bad = |text: String| own(StatusCode::BAD_REQUEST, &text);
    match (&route.kind, mode) {
        (Kind::Typed(f), _) => {
            let called = f(data).map_err(|e| bad(format!("the request body is not the JSON that this function takes: {e}")))?;
            let result = run(call, called, true).await.and_then(|r| r.map_err(Into::into)).map_err(|f| failed(call, f))?;
            Ok(json(result))
        }
        (Kind::OpenFunction(f), mode) => {
            let (event, data) = match mode {
                Some(mode @ (Mode::Binary | Mode::Structured)) => {
                    let event = events::read(mode, &head.headers, data).map_err(bad)?.pop();
                    let data = event.as_ref().map(Event::bytes).unwrap_or_default();
                    (event.map(Arc::new), data)
                }
                _ => (None, data),
            };
            let context = Context { settings: app.context.clone(), request: Arc::new(head), event, input: None };
            let out = run(call, f((context, data)), true).await.and_then(|r| r.map_err(Into::into)).map_err(|f| failed(call, f))?;
            Ok(result(out))
        }
        (Kind::Event(f), Some(mode)) => {
            let mut answers = Vec::new();
            for event in events::read(mode, &head.headers, data).map_err(bad)? {
                let kind = event.kind.clone();
                let answer = run(call, f(event), true).await.and_then(|r| r.map_err(Into::into)).map_err(|f| failed(call, f));
                answers.push(answer.map(|a| completed(a, call, kind)));
            }
            Ok(if mode == Mode::Batch { batch(answers) } else { answers.pop().map(single).unwrap_or_default() })
        }
        _ => Err(own(StatusCode::UNSUPPORTED_MEDIA_TYPE, NOT_EVENT)),
    }
}

fn json(text: Option<Vec<u8>>) -> Response {
    let Some(text) = text else {
        let mut r = Response::default();
        *r.status_mut() = StatusCode::NO_CONTENT;
        return r;
    };
    let mut r = Response::new(Body::from(text));
    r.headers_mut().insert(CONTENT_TYPE, JSON);
    r
}

/// Answers an event from Dapr of an input; none for what is no event.
async fn message(app: &App, route: &Route, input: &Arc<str>, binding: &Binding, request: Request) -> Option<Response> {
    let Kind::OpenFunction(f) = &route.kind else { return None };
    let topic = binding.kind.starts_with("pubsub.");
    match *request.method() {
        Method::OPTIONS if !topic => return Some(Response::default()),
        Method::POST => {}
        _ => return None,
    }
    let (head, mut body) = request.into_parts();
    let call = Call::new(&route.name, &head, Vec::new());
    let data = match body.limited(app.max_body).await {
        Ok(Some(data)) => data,
        _ => return Some(own(StatusCode::PAYLOAD_TOO_LARGE, &format!("the request body is larger than {} bytes", app.max_body))),
    };
    let (event, data) = match events::read(Mode::Structured, &head.headers, data.clone()).ok().and_then(|mut e| e.pop()) {
        Some(event) if topic => (Some(Arc::new(event.clone())), event.bytes()),
        None if topic => return Some(status("DROP")),
        _ => (None, data),
    };
    let context = Context { settings: app.context.clone(), request: Arc::new(head), event, input: Some(input.clone()) };
    let out = run(&call, f((context, data)), true).await.and_then(|r| r.map_err(Into::into)).map_err(|f| failed(&call, f));
    Some(match out {
        Ok(out) if out.code < 500 && topic => status("SUCCESS"),
        Ok(out) if topic && out.metadata.get("retry").is_some_and(|r| r == "true") => status("RETRY"),
        _ if topic => status("DROP"),
        Ok(out) if out.code < 500 => result(Out { code: 200, ..out }),
        _ => own(StatusCode::INTERNAL_SERVER_ERROR, "the function failed"),
    })
}

/// What Dapr is told of a message.
fn status(text: &str) -> Response {
    json(Some(format!("{{\"status\":\"{text}\"}}\n").into_bytes()))
}

/// The answer of a function with the OpenFunction context.
fn result(out: Out) -> Response {
    let (status, kind) = match out.code {
        0 => (200, "success"),
        code @ 200..=399 => (code, "success"),
        code @ 400..=599 => (code, "error"),
        _ => (500, "error"),
    };
    let bare = status == 204 || status == 304;
    let data = if bare { Bytes::new() } else { out.data };
    let content_type = match out.content_type {
        _ if data.is_empty() => None,
        Some(kind) => HeaderValue::from_str(&kind).ok(),
        None => Some(if readable(&data) { TEXT } else { BINARY }),
    };
    let mut r = Response::new(Body::from(data));
    *r.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    r.headers_mut().insert(STATUS, HeaderValue::from_static(kind));
    if let Some(kind) = content_type {
        r.headers_mut().insert(CONTENT_TYPE, kind);
    }
    r
}

fn readable(data: &[u8]) -> bool {
    std::str::from_utf8(data).is_ok_and(|s| !s.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')))
}

/// Gives an event that a function made what it lacks.
fn completed(answer: EventAnswer, call: &Call, kind: String) -> EventAnswer {
    let EventAnswer::Event(mut e) = answer else { return answer };
    if e.id.is_empty() {
        e.id = uuid();
    }
    if e.source.is_empty() {
        e.source = format!("/{}", call.function());
    }
    if e.kind.is_empty() {
        e.kind = kind;
    }
    EventAnswer::Event(e)
}

/// A random UUID of version 4.
fn uuid() -> String {
    let h = random_hex(16);
    let variant = ['8', '9', 'a', 'b'][usize::from(h.as_bytes()[16]) % 4];
    format!("{}-{}-4{}-{variant}{}-{}", &h[..8], &h[8..12], &h[13..16], &h[17..20], &h[20..])
}

/// The answer to one event.
fn single(answer: Result<EventAnswer, Response>) -> Response {
    match answer {
        Err(response) => response,
        Ok(EventAnswer::Nothing) => Response::default(),
        Ok(EventAnswer::Status(status, text)) => {
            let mut r = Response::default();
            *r.status_mut() = if (200..=599).contains(&status.as_u16()) { status } else { StatusCode::INTERNAL_SERVER_ERROR };
            if !text.is_empty() {
                r.headers_mut().insert(CONTENT_TYPE, TEXT);
                *r.body_mut() = Body::from(text);
            }
            r
        }
        Ok(EventAnswer::Event(e)) => {
            let (headers, body) = events::write(&e);
            let mut r = Response::new(Body::from(body));
            for (name, value) in headers {
                if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                    r.headers_mut().insert(name, value);
                }
            }
            if let Some(Ok(kind)) = e.content_type().map(|k| HeaderValue::from_str(&k)) {
                r.headers_mut().insert(CONTENT_TYPE, kind);
            }
            r
        }
    }
}

/// The answer to a batch: the worst, or all events that were returned.
fn batch(answers: Vec<Result<EventAnswer, Response>>) -> Response {
    let (mut worst, mut returned): (Option<Response>, Vec<Value>) = (None, Vec::new());
    for a in answers {
        if let Ok(EventAnswer::Event(e)) = a {
            returned.push(events::to_json(*e));
            continue;
        }
        let r = single(a);
        if r.status().as_u16() >= 400 && worst.as_ref().is_none_or(|w| w.status() < r.status()) {
            worst = Some(r);
        }
    }
    if let Some(r) = worst {
        return r;
    }
    if returned.is_empty() {
        return Response::default();
    }
    let mut r = Response::new(Body::from(Value::Array(returned).to_string()));
    r.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(events::BATCH));
    r
}
