//! Functions of every signature behind one type.

use crate::event::{EventAnswer, IntoEventAnswer};
use crate::run::Called;
use crate::typed::read;
use crate::{Context, Error, Event, IntoOut, IntoResponse, IntoTyped, Json, Out, Request, Response};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::future::Future;

/// A function with its name, and where it is served.
pub struct Function {
    pub(crate) name: String,
    pub(crate) path: Option<String>,
    pub(crate) methods: Vec<String>,
    pub(crate) kind: Kind,
    /// It is not async.
    pub(crate) blocks: bool,
}

/// Names a function. Its parameters say what it takes: see the crate's own page.
pub fn function<M>(name: impl Into<String>, f: impl Handler<M>) -> Function {
    Function { name: name.into(), path: None, methods: Vec::new(), blocks: <_ as Handler<M>>::blocks(&f), kind: f.kind() }
}

impl Function {
    /// Serves the function at a path: "/hello/{name}", "/{id:[0-9]+}". Without it a function that is alone is served at every path.
    pub fn path(mut self, pattern: impl Into<String>) -> Self {
        self.path = Some(pattern.into());
        self
    }

    /// Serves the function for these methods only.
    pub fn methods<S: Into<String>>(mut self, methods: impl IntoIterator<Item = S>) -> Self {
        self.methods.extend(methods.into_iter().map(Into::into));
        self
    }
}

/// The answer of a typed function as text.
type Typed = Called<Result<Option<Vec<u8>>, Error>>;
type Boxed<A, T> = Box<dyn Fn(A) -> T + Send + Sync>;

/// A function of any signature.
#[doc(hidden)]
pub enum Kind {
    Http(Boxed<Request, Called<Result<Response, Error>>>),
    Event(Boxed<Event, Called<Result<EventAnswer, Error>>>),
    /// Fails when the body is not of the parameter's type.
    Typed(Boxed<Bytes, Result<Typed, serde_json::Error>>),
    OpenFunction(Boxed<(Context, Bytes), Called<Result<Out, Error>>>),
}

/// A function that can be served:
///
/// | takes | returns |
/// |---|---|
/// | [`Request`] | [`IntoResponse`] |
/// | [`Event`] | [`IntoEventAnswer`] |
/// | [`Json<T>`](Json) | [`IntoTyped`] |
/// | [`Context`], [`Bytes`] | [`IntoOut`] |
///
/// `M` only tells these apart; the compiler finds it.
#[diagnostic::on_unimplemented(
    message = "this is not a function that can be served",
    label = "takes or returns something else",
    note = "a function that can be served, async or not, is one of: fn(Request) -> impl IntoResponse, fn(Event) -> impl IntoEventAnswer, fn(Json<T>) -> impl IntoTyped, fn(Context, Bytes) -> impl IntoOut"
)]
pub trait Handler<M>: Send + Sync + 'static {
    #[doc(hidden)]
    fn kind(self) -> Kind;
    #[doc(hidden)]
    fn blocks(&self) -> bool {
        false
    }
}

/// The marks of signatures.
#[doc(hidden)]
pub mod mark {
    pub struct Http;
    pub struct HttpAsync;
    pub struct Event;
    pub struct EventAsync;
    pub struct Typed<T>(std::marker::PhantomData<T>);
    pub struct TypedAsync<T>(std::marker::PhantomData<T>);
    pub struct OpenFunction;
    pub struct OpenFunctionAsync;
}

macro_rules! handlers {
    ($kind:ident, $sync:ty, $asynchronous:ty, $into:ident, $convert:ident, ($($arg:ident: $type:ty),+), $pattern:pat) => {
        impl<F, R> Handler<$sync> for F
        where
            F: Fn($($type),+) -> R + Send + Sync + Clone + 'static,
            R: $into,
        {
            fn kind(self) -> Kind {
                Kind::$kind(Box::new(move |$pattern| {
                    let f = self.clone();
                    Called::Blocking(Box::new(move || f($($arg),+).$convert()))
                }))
            }

            fn blocks(&self) -> bool {
                true
            }
        }

        impl<F, U> Handler<$asynchronous> for F
        where
            F: Fn($($type),+) -> U + Send + Sync + Clone + 'static,
            U: Future + Send + 'static,
            U::Output: $into,
        {
            fn kind(self) -> Kind {
                Kind::$kind(Box::new(move |$pattern| {
                    let f = self.clone();
                    Called::Async(Box::pin(async move { f($($arg),+).await.$convert() }))
                }))
            }
        }
    };
}

handlers!(Http, mark::Http, mark::HttpAsync, IntoResponse, into_response, (request: Request), request);
handlers!(Event, mark::Event, mark::EventAsync, IntoEventAnswer, into_event_answer, (event: Event), event);
handlers!(OpenFunction, mark::OpenFunction, mark::OpenFunctionAsync, IntoOut, into_out, (context: Context, data: Bytes), (context, data));

impl<F, T, R> Handler<mark::Typed<T>> for F
where
    F: Fn(Json<T>) -> R + Send + Sync + Clone + 'static,
    T: DeserializeOwned + Send + 'static,
    R: IntoTyped,
{
    fn kind(self) -> Kind {
        Kind::Typed(Box::new(move |body| {
            let (f, value) = (self.clone(), read(&body)?);
            Ok(Called::Blocking(Box::new(move || f(Json(value)).into_typed())))
        }))
    }

    fn blocks(&self) -> bool {
        true
    }
}

impl<F, T, U> Handler<mark::TypedAsync<T>> for F
where
    F: Fn(Json<T>) -> U + Send + Sync + Clone + 'static,
    T: DeserializeOwned + Send + 'static,
    U: Future + Send + 'static,
    U::Output: IntoTyped,
{
    fn kind(self) -> Kind {
        Kind::Typed(Box::new(move |body| {
            let (f, value) = (self.clone(), read(&body)?);
            Ok(Called::Async(Box::pin(async move { f(Json(value)).await.into_typed() })))
        }))
    }
}
