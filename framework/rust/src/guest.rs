//! The function as a WebAssembly module that the platform keeps and calls for each request: the interface `ofn_v1`.

use crate::app::App;
use crate::dispatch::dispatch;
use crate::handler::Function;
use crate::{log, run, settings, Body, Error, Request, Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Uri};
use http_body::{Body as HttpBody, Frame};
use std::pin::Pin;
use std::task::{Context, Poll};

#[link(wasm_import_module = "ofn_v1")]
extern "C" {
    fn request_head(at: *mut u8, room: u32) -> i32;
    fn request_body(at: *mut u8, room: u32) -> i32;
    fn response_head(at: *const u8, size: u32) -> i32;
    fn response_body(at: *const u8, size: u32) -> i32;
}

/// Answers one request; the platform calls it through the export `ofn_handle`. Not 0 is a failure.
pub fn handle(app: &'static std::sync::OnceLock<Kept>, functions: fn() -> Vec<Function>) -> i32 {
    let app = app.get_or_init(|| Kept(start(functions())));
    match &app.0 {
        Ok(app) => exchange(app).map_or_else(
            |e| {
                eprintln!("{e}");
                2
            },
            |()| 0,
        ),
        Err(e) => {
            log::ended(e);
            1
        }
    }
}

/// What is kept between requests.
pub struct Kept(Result<App, String>);

fn start(functions: Vec<Function>) -> Result<App, String> {
    let s = settings::read()?;
    log::set_least(s.level);
    App::new(functions, s.target.as_deref(), s.context, s.max_body)
}

fn exchange(app: &App) -> Result<(), String> {
    let request = request()?;
    respond(run::wait(dispatch(app, request, false)))
}

fn request() -> Result<Request, String> {
    let mut head = vec![0u8; 4096];
    loop {
        // SAFETY: the platform writes at most as many bytes as there is room.
        let n = unsafe { request_head(head.as_mut_ptr(), head.len() as u32) };
        let n = usize::try_from(n).map_err(|_| "the exchange is closed")?;
        let fits = n <= head.len();
        head.resize(n, 0);
        if fits {
            break;
        }
    }
    let mut lines = head.split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l));
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut r = Request::new(Body::new(GuestBody));
    *r.method_mut() = Method::from_bytes(method.as_bytes()).map_err(|e| e.to_string())?;
    *r.uri_mut() = Uri::try_from(target).map_err(|e| e.to_string())?;
    for l in lines {
        let Some(colon) = l.iter().position(|b| *b == b':') else { continue };
        let value = l[colon + 1..].trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&l[..colon]), HeaderValue::from_bytes(value)) {
            r.headers_mut().append(name, value);
        }
    }
    Ok(r)
}

fn respond(response: Response) -> Result<(), String> {
    let (parts, mut body) = response.into_parts();
    let mut head = format!("{} {}\r\n", parts.status.as_str(), parts.status.canonical_reason().unwrap_or_default()).into_bytes();
    for (name, value) in &parts.headers {
        for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(piece);
        }
    }
    // SAFETY: the platform reads as many bytes as there are.
    closed(unsafe { response_head(head.as_ptr(), head.len() as u32) })?;
    while let Some(piece) = run::wait(body.chunk()) {
        let piece = piece.map_err(|e| e.to_string())?;
        // SAFETY: as above.
        closed(unsafe { response_body(piece.as_ptr(), piece.len() as u32) })?;
    }
    Ok(())
}

fn closed(n: i32) -> Result<(), String> {
    if n < 0 {
        Err("the exchange is closed".into())
    } else {
        Ok(())
    }
}

/// The body of the request, as far as it has arrived.
struct GuestBody;

impl HttpBody for GuestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut piece = vec![0u8; 64 << 10];
        // SAFETY: the platform writes at most as many bytes as there is room.
        let n = unsafe { request_body(piece.as_mut_ptr(), piece.len() as u32) };
        Poll::Ready(match usize::try_from(n) {
            Err(_) => Some(Err("the exchange is closed".into())),
            Ok(0) => None,
            Ok(n) => {
                piece.truncate(n);
                Some(Ok(Frame::data(piece.into())))
            }
        })
    }
}
