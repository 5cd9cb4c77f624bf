//! Runs functions: async ones where they are, others on threads that may block, and catches their panics.

use crate::{Call, Error};
use std::future::Future;
use std::pin::Pin;

/// What a call of a function comes to: a future, or what is to run on a thread.
pub enum Called<T> {
    Async(Pin<Box<dyn Future<Output = T> + Send>>),
    Blocking(Box<dyn FnOnce() -> T + Send>),
}

/// Why a function gave no result.
pub(crate) enum Failure {
    Error(String),
    #[cfg_attr(target_family = "wasm", allow(dead_code))]
    Crash {
        message: String,
        stack: String,
    },
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        let mut text = e.to_string();
        let mut cause = e.source();
        while let Some(c) = cause {
            text = format!("{text}\n{c}");
            cause = c.source();
        }
        Failure::Error(text)
    }
}

#[cfg(not(target_family = "wasm"))]
pub(crate) use native::{allow, arrived, catch_panics, run, wait};
#[cfg(target_family = "wasm")]
pub(crate) use wasm::{arrived, run, wait};

#[cfg(not(target_family = "wasm"))]
mod native {
    use super::*;
    use crate::{own, Body};
    use std::any::Any;
    use std::backtrace::Backtrace;
    use std::cell::{Cell, RefCell};
    use std::future::poll_fn;
    use std::panic::{self, AssertUnwindSafe};
    use std::sync::OnceLock;
    use std::task::Poll;
    use tokio::sync::Semaphore;

    thread_local! {
        static CATCHING: Cell<bool> = const { Cell::new(false) };
        static PANIC: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
    }

    static SLOTS: OnceLock<Semaphore> = OnceLock::new();

    /// How much of a body is taken in before its function is called.
    const SHORT: u64 = 64 << 10;

    /// Has the panics of calls kept for their line in the log instead of printed.
    pub(crate) fn catch_panics() {
        let default = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !CATCHING.get() {
                return default(info);
            }
            let text = payload(info.payload());
            let message = info.location().map_or(text.clone(), |at| format!("{text}, at {at}"));
            PANIC.set(Some((message, Backtrace::force_capture().to_string())));
        }));
    }

    /// Runs a function to its end. One that blocks is called where it is when this thread may block and the body has arrived, which the thread could
    /// not receive meanwhile.
    pub(crate) async fn run<T: Send + 'static>(call: &Call, called: Called<T>, arrived: bool) -> Result<T, Failure> {
        match called {
            Called::Async(mut future) => {
                poll_fn(|cx| match caught(call, || future.as_mut().poll(cx)) {
                    Ok(Poll::Pending) => Poll::Pending,
                    Ok(Poll::Ready(v)) => Poll::Ready(Ok(v)),
                    Err(f) => Poll::Ready(Err(f)),
                })
                .await
            }
            Called::Blocking(f) => {
                let _slot = match SLOTS.get() {
                    Some(slots) => slots.acquire().await.ok(), // nobody closes it
                    None => None,
                };
                if arrived && own::here() {
                    return caught(call, f);
                }
                let call = call.clone();
                match tokio::task::spawn_blocking(move || caught(&call, f)).await {
                    Ok(result) => result,
                    Err(e) => Err(Failure::Error(format!("the function was not run: {e}"))),
                }
            }
        }
    }

    /// Says how many functions may block at the same time.
    pub(crate) fn allow(calls: usize) {
        let _ = SLOTS.set(Semaphore::new(calls)); // a process serves once
    }

    /// Tells whether the body of a request is here, as far as that matters to how the function is run.
    pub(crate) async fn arrived(body: &mut Body) -> bool {
        own::here() && body.arrived(SHORT).await
    }

    fn caught<T>(call: &Call, f: impl FnOnce() -> T) -> Result<T, Failure> {
        let before = CATCHING.replace(true);
        let result = panic::catch_unwind(AssertUnwindSafe(|| call.enter(f)));
        CATCHING.set(before);
        result.map_err(|p| {
            let (message, stack) = PANIC.take().unwrap_or_else(|| (payload(p.as_ref()), String::new()));
            Failure::Crash { message, stack }
        })
    }

    fn payload(p: &(dyn Any + Send)) -> String {
        match (p.downcast_ref::<&str>(), p.downcast_ref::<String>()) {
            (Some(s), _) => (*s).to_owned(),
            (_, Some(s)) => s.clone(),
            _ => "a panic with a value that is no text".to_owned(),
        }
    }

    /// Waits for a future on a thread that may block.
    pub(crate) fn wait<F: Future>(f: F) -> F::Output {
        tokio::runtime::Handle::current().block_on(f)
    }
}

#[cfg(target_family = "wasm")]
mod wasm {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    /// Runs a function to its end. A panic ends the module's instance, and the platform makes another.
    pub(crate) async fn run<T>(call: &Call, called: Called<T>, _: bool) -> Result<T, Failure> {
        Ok(match called {
            Called::Async(mut future) => std::future::poll_fn(|cx| call.enter(|| future.as_mut().poll(cx))).await,
            Called::Blocking(f) => call.enter(f),
        })
    }

    /// Bodies of a module are here when it is called.
    pub(crate) async fn arrived(_: &mut crate::Body) -> bool {
        true
    }

    /// Polls a future until it is ready. Nothing in a module runs beside it, so one that waits for something else never will be.
    pub(crate) fn wait<F: Future>(f: F) -> F::Output {
        let mut f = pin!(f);
        let mut cx = Context::from_waker(Waker::noop());
        match f.as_mut().poll(&mut cx) {
            Poll::Ready(v) => v,
            Poll::Pending => panic!("an async function waits for something that is not there in WebAssembly"),
        }
    }
}
