//! Functions for ofn and OpenFunction. A function is a plain Rust function; its parameters say what it takes:
//!
//! ```
//! use ofn_functions::{Bytes, Context, Event, Json, Out, Request};
//!
//! async fn http(request: Request) -> String { format!("hello from {}\n", request.uri().path()) }
//! fn event(event: Event) { println!("{} {}", event.kind(), event.id()) }
//! fn typed(Json(n): Json<i64>) -> Json<i64> { Json(n + 1) }
//! fn openfunction(context: Context, data: Bytes) -> Result<Out, ofn_functions::Error> { Ok(Out::from(data)) }
//! # let _ = ofn_functions::function("http", http);
//! # let _ = ofn_functions::function("event", event);
//! # let _ = ofn_functions::function("typed", typed);
//! # let _ = ofn_functions::function("openfunction", openfunction);
//! ```
//!
//! Each may be `async` or not, and may return a `Result`. One that is not `async` runs on a thread of its own while it runs, and may block.
//! `ofn` builds a library with such a function as it is; a program of its own calls [`serve`]. The same source builds natively and for
//! WebAssembly (`wasm32-wasip1`).

mod answer;
mod app;
mod body;
mod call;
mod context;
mod dapr;
mod dispatch;
mod event;
mod event_http;
#[cfg(target_family = "wasm")]
mod guest;
mod handler;
mod log;
mod openfunction;
#[cfg(not(target_family = "wasm"))]
mod own;
mod pattern;
mod run;
#[cfg(not(target_family = "wasm"))]
mod server;
mod settings;
mod typed;

pub use answer::{IntoResponse, Json};
pub use body::Body;
#[cfg(not(target_family = "wasm"))]
pub use body::Sender;
pub use bytes::Bytes;
pub use call::{call, Call, Level};
pub use context::{Binding, Context, Out};
pub use event::{Data, Event, EventAnswer, IntoEventAnswer};
pub use handler::{function, Function, Handler};
pub use http::{self, StatusCode};
pub use openfunction::IntoOut;
pub use serde_json;
pub use typed::IntoTyped;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub use guest::{handle, Kept};
#[cfg(not(target_family = "wasm"))]
pub use server::serve;

/// What a function may fail with: any error, or a text.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// A request with its body, which arrives while the function reads it.
pub type Request = http::Request<Body>;
/// An answer with its body.
pub type Response = http::Response<Body>;
