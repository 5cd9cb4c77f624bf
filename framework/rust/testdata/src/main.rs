//! The fixture functions of the conformance suite. The variable FIXTURE says which of them this process serves.

use ofn_functions::http::{header, HeaderMap};
use ofn_functions::serde_json::{json, Value};
use ofn_functions::{call, function, serve, Body, Bytes, Context, Error, Event, Function, Json, Level, Out, Request, Response};
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::Path;
use std::time::Duration;

const PLAIN: &str = "text/plain; charset=utf-8";

fn main() {
    let name = std::env::var("FIXTURE").unwrap_or_default();
    serve(if name == "multi" { multi() } else { vec![single(&name)] })
}

fn single(name: &str) -> Function {
    match name {
        "httpEcho" => function(name, echo),
        "httpEmpty" => function(name, |_: Request| ()),
        "httpStatus" => function(name, status),
        "httpStream" => function(name, stream),
        "httpSlow" => function(name, slow),
        "httpSize" => function(name, size),
        "httpRaise" => function(name, raise),
        "httpExit" => function(name, exit),
        "httpPrint" => function(name, print),
        "httpUnicode" => function(name, |_: Request| "héllo wörld ✓ 日本"),
        "httpDeadline" => function(name, deadline),
        "httpLog" => function(name, log),
        "httpError" => function(name, |_: Request| Err::<(), _>("the secret cause")),
        "eventVoid" => function(name, |e: Event| println!("{}", e.id())),
        "eventEcho" => function(name, |e: Event| e),
        "eventMake" => function(name, make),
        "eventRaise" => function(name, event_raise),
        "typed" => function(name, typed),
        "ofEcho" => function(name, |_: Context, data: Bytes| data),
        "ofCode" => function(name, of_code),
        "ofRaise" => function(name, of_raise),
        "ofEvent" => function(name, of_event),
        "ofRetry" => function(name, of_retry),
        "ofSend" => function(name, of_send),
        _ => function("other", |_: Request| ()),
    }
}

fn multi() -> Vec<Function> {
    vec![
        function("hello", |_: Request| format!("hello {}\n", call().variable("name").unwrap_or_default())).path("/hello/{name}").methods(["GET"]),
        function("number", |_: Request| format!("number {}\n", call().variable("id").unwrap_or_default())).path("/{id:[0-9]+}"),
        function("save", |_: Request| "saved\n").path("/save").methods(["POST", "PUT"]),
        function("load", |_: Request| "loaded\n").path("/load").methods(["GET"]),
        function("note", |_: Event| ()).path("/note"),
        function("bad", raise).path("/bad"),
        function("of", |_: Context, data: Bytes| data).path("/of"),
    ]
}

fn query(request: &Request, name: &str) -> Option<String> {
    request.uri().query()?.split('&').find_map(|p| p.strip_prefix(&format!("{name}="))).map(decoded)
}

/// Decodes the percent signs of a path of a file.
fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        let code = (*first == b'%').then(|| std::str::from_utf8(more.get(..2)?).ok().and_then(|h| u8::from_str_radix(h, 16).ok())).flatten();
        out.push(code.unwrap_or(*first));
        rest = if code.is_some() { &more[2..] } else { more };
    }
    String::from_utf8_lossy(&out).into_owned()
}

async fn gate(begun: Option<String>, gate: Option<String>) -> Result<(), Error> {
    if let Some(name) = begun {
        std::fs::write(name, "")?;
    }
    if let Some(name) = gate {
        while !Path::new(&name).exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(())
}

async fn echo(request: Request) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let mut r = Response::new(body);
    let h: &mut HeaderMap = r.headers_mut();
    if let Some(kind) = head.headers.get(header::CONTENT_TYPE) {
        h.insert(header::CONTENT_TYPE, kind.clone());
    }
    h.insert("x-method", head.method.as_str().parse()?);
    h.insert("x-path", head.uri.path().parse()?);
    h.insert("x-query", head.uri.query().unwrap_or_default().parse()?);
    if let Some(v) = head.headers.get("x-in") {
        h.insert("x-out", v.clone());
    }
    Ok(r)
}

fn status(request: Request) -> Result<Response, Error> {
    let code = query(&request, "code").unwrap_or_default();
    let mut r = Response::default();
    *r.status_mut() = code.parse()?;
    r.headers_mut().insert("x-fixture", "yes".parse()?);
    if code != "204" && code != "304" {
        r.headers_mut().insert(header::CONTENT_TYPE, PLAIN.parse()?);
        *r.body_mut() = format!("status {code}\n").into();
    }
    Ok(r)
}

async fn stream(request: Request) -> Result<Response, Error> {
    let (mut to, body) = Body::channel();
    let (begun, open) = (query(&request, "begun"), query(&request, "gate"));
    tokio::spawn(async move {
        to.send("first\n").await?;
        gate(begun, open).await?;
        to.send("second\n").await?;
        Ok::<_, Error>(())
    });
    let mut r = Response::new(body);
    r.headers_mut().insert(header::CONTENT_TYPE, PLAIN.parse()?);
    Ok(r)
}

async fn slow(request: Request) -> Result<&'static str, Error> {
    gate(query(&request, "begun"), query(&request, "gate")).await?;
    Ok("done\n")
}

fn size(request: Request) -> Result<String, std::io::Error> {
    let (mut body, mut piece, mut size) = (request.into_body(), vec![0; 64 << 10], 0);
    loop {
        match body.read(&mut piece)? {
            0 => return Ok(format!("{size}\n")),
            n => size += n,
        }
    }
}

fn raise(_: Request) {
    panic!("the secret cause")
}

fn exit(_: Request) {
    std::process::exit(7)
}

fn print(_: Request) -> &'static str {
    println!("plain line");
    eprintln!("error line");
    "ok"
}

fn deadline(_: Request) -> String {
    call().remaining().map_or("none\n".into(), |d| format!("{}\n", d.as_millis()))
}

async fn log(_: Request) -> &'static str {
    call().log(Level::Info, "from the function", json!({"answer": 42}));
    "ok"
}

fn make(e: Event) -> Result<Event, Error> {
    let data = json!({"z": 1, "a": "<é>"});
    Ok(Event::new("made", "/made", e.id()).with("subject", "é %\"").with("note", "a b").with_json(data)?)
}

async fn event_raise(e: Event) {
    assert!(e.kind() != "fail", "the secret cause");
    println!("{}", e.id());
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Count {
    name: String,
    count: i64,
}

#[derive(Serialize)]
struct Greeting {
    greeting: String,
    count: i64,
}

fn typed(Json(c): Json<Count>) -> Result<Option<Json<Greeting>>, Error> {
    match c.name.as_str() {
        "nobody" => Ok(None),
        "fail" => Err("the secret cause".into()),
        name => Ok(Some(Json(Greeting { greeting: format!("hello {name}"), count: c.count + 1 }))),
    }
}

fn of_code(_: Context, data: Bytes) -> Result<Out, Error> {
    let v: Value = ofn_functions::serde_json::from_slice(&data)?;
    let data = v["data"].as_str().unwrap_or_default().to_owned();
    Ok(Out::new(v["code"].as_u64().unwrap_or_default() as u16, data))
}

async fn of_raise(_: Context, _: Bytes) -> Out {
    panic!("the secret cause")
}

fn of_event(context: Context, _: Bytes) -> String {
    let input = context.input().unwrap_or("-");
    context.event().map_or(format!("- - {input}\n"), |e| format!("{} {} {input}\n", e.kind(), e.id()))
}

fn of_retry(_: Context, data: Bytes) -> Out {
    let again = String::from_utf8_lossy(&data).contains("again");
    Out::new(500, "").metadata("retry", again.to_string())
}

async fn of_send(context: Context, data: Bytes) -> Result<&'static str, Error> {
    let v: Value = ofn_functions::serde_json::from_slice(&data)?;
    let text = |name: &str| v[name].as_str().unwrap_or_default().to_owned();
    context.send(&text("output"), text("data")).await?;
    Ok("sent\n")
}
