//! Bodies of requests and answers.

use crate::Error;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of a request, or of an answer. In an async function read it with [`Body::bytes`] or [`Body::chunk`]; one that is not async
/// reads it as [`std::io::Read`].
pub struct Body {
    inner: Inner,
    rest: Bytes, // read from inner and not taken yet by Read
}

enum Inner {
    Full(Bytes),
    #[cfg(not(target_family = "wasm"))]
    Incoming(hyper::body::Incoming),
    #[cfg(not(target_family = "wasm"))]
    Failed(Option<Error>), // what is left of a body that did not arrive
    Other(Pin<Box<dyn HttpBody<Data = Bytes, Error = Error> + Send>>),
}

impl Body {
    /// A body of what another library made.
    pub fn new<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes, Error = Error> + Send + 'static,
    {
        Inner::Other(Box::pin(body)).into()
    }

    /// Reads what is left of the body.
    pub async fn bytes(mut self) -> Result<Bytes, Error> {
        if let Inner::Full(all) = &mut self.inner {
            return Ok(std::mem::take(all));
        }
        self.limited(u64::MAX).await?.ok_or_else(|| Error::from("the body is too large"))
    }

    /// Reads what is left of the body; none when that is more than `most` bytes.
    pub(crate) async fn limited(&mut self, most: u64) -> Result<Option<Bytes>, Error> {
        if self.size_hint().lower() > most {
            return Ok(None);
        }
        let Some(first) = self.chunk().await.transpose()? else { return Ok(Some(Bytes::new())) };
        let Some(second) = self.chunk().await.transpose()? else {
            return Ok((first.len() as u64 <= most).then_some(first));
        };
        let mut all = Vec::from(first);
        all.extend_from_slice(&second);
        while let Some(next) = self.chunk().await.transpose()? {
            if (all.len() + next.len()) as u64 > most {
                return Ok(None);
            }
            all.extend_from_slice(&next);
        }
        Ok((all.len() as u64 <= most).then(|| all.into()))
    }

    /// The next piece of the body as it arrives; none at its end.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, Error>> {
        loop {
            let frame = poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await?;
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) if data.is_empty() => {}
                Ok(Ok(data)) => return Some(Ok(data)),
                Ok(Err(_)) => {} // trailers
                Err(e) => return Some(Err(e)),
            }
        }
    }
}

impl io::Read for Body {
    /// Waits for a piece of the body. In an async function it panics: there use [`Body::chunk`].
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            match crate::run::wait(self.chunk()) {
                None => return Ok(0),
                Some(next) => self.rest = next.map_err(io::Error::other)?,
            }
        }
        let n = into.len().min(self.rest.len());
        into[..n].copy_from_slice(&self.rest.split_to(n));
        Ok(n)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.rest)))));
        }
        match &mut self.inner {
            Inner::Full(all) if all.is_empty() => Poll::Ready(None),
            Inner::Full(all) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(all))))),
            #[cfg(not(target_family = "wasm"))]
            Inner::Incoming(b) => Pin::new(b).poll_frame(cx).map_err(Into::into),
            #[cfg(not(target_family = "wasm"))]
            Inner::Failed(e) => Poll::Ready(e.take().map(Err)),
            Inner::Other(b) => b.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        if !self.rest.is_empty() {
            return false;
        }
        match &self.inner {
            Inner::Full(all) => all.is_empty(),
            #[cfg(not(target_family = "wasm"))]
            Inner::Incoming(b) => b.is_end_stream(),
            #[cfg(not(target_family = "wasm"))]
            Inner::Failed(e) => e.is_none(),
            Inner::Other(b) => b.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        if !self.rest.is_empty() {
            return SizeHint::default(); // seldom: a part was read
        }
        match &self.inner {
            Inner::Full(all) => SizeHint::with_exact(all.len() as u64),
            #[cfg(not(target_family = "wasm"))]
            Inner::Incoming(b) => b.size_hint(),
            #[cfg(not(target_family = "wasm"))]
            Inner::Failed(_) => SizeHint::default(),
            Inner::Other(b) => b.size_hint(),
        }
    }
}

#[cfg(not(target_family = "wasm"))]
impl Body {
    pub(crate) fn incoming(b: hyper::body::Incoming) -> Self {
        Inner::Incoming(b).into()
    }

    /// Takes a short body in that has come with its head, and tells whether all of it is here. It waits for nothing.
    pub(crate) async fn arrived(&mut self, most: u64) -> bool {
        if self.is_end_stream() {
            return true;
        }
        if self.size_hint().upper().is_none_or(|n| n > most) {
            return false;
        }
        let mut all = Vec::from(std::mem::take(&mut self.rest));
        let mut turns = 4; // in which the connection passes on what it has read
        let done = poll_fn(|cx| loop {
            match Pin::new(&mut *self).poll_frame(cx) {
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Ready(Some(Ok(frame))) => all.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Poll::Ready(Some(Err(e))) => {
                    self.inner = Inner::Failed(Some(e));
                    return Poll::Ready(false);
                }
                Poll::Pending if turns == 0 => return Poll::Ready(false),
                Poll::Pending => {
                    turns -= 1;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        })
        .await;
        if done {
            self.inner = Inner::Full(all.into());
        } else {
            self.rest = all.into();
        }
        done
    }

    /// Asks for the body, so that a client that waits for `100 Continue` sends it also when the answer begins before the body is read.
    pub(crate) async fn ask(&mut self) {
        let mut asked = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut asked, true) {
                return Poll::Ready(());
            }
            match Pin::new(&mut *self).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => self.rest = frame.into_data().unwrap_or_default(),
                Poll::Ready(_) => {}
                Poll::Pending => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            Poll::Ready(())
        })
        .await
    }
}

macro_rules! from_bytes {
    ($($type:ty),*) => {
        $(impl From<$type> for Body {
            fn from(b: $type) -> Self {
                Inner::Full(b.into()).into()
            }
        })*
    };
}

from_bytes!(Bytes, String, Vec<u8>, &'static str, &'static [u8]);

impl From<()> for Body {
    fn from((): ()) -> Self {
        Body::default()
    }
}

impl From<Inner> for Body {
    fn from(inner: Inner) -> Self {
        Body { inner, rest: Bytes::new() }
    }
}

impl Default for Body {
    fn default() -> Self {
        Inner::Full(Bytes::new()).into()
    }
}

#[cfg(not(target_family = "wasm"))]
pub use channel::Sender;

#[cfg(not(target_family = "wasm"))]
mod channel {
    use super::*;
    use tokio::sync::mpsc;

    const PIECES: usize = 8; // that may wait for a slow client

    /// Writes a body that [`Body::channel`] made.
    pub struct Sender {
        to: Option<mpsc::Sender<Option<Bytes>>>,
    }

    /// What a Sender writes: pieces, then None. Without the None the writer was lost, and the body is not whole.
    struct Receiver {
        from: mpsc::Receiver<Option<Bytes>>,
        done: bool,
    }

    impl Body {
        /// A body that is written while it is sent, a piece at a time: what is sent arrives at once. It ends when the Sender is dropped;
        /// when that happens because of a panic, or after [`Sender::fail`], the connection is broken off.
        pub fn channel() -> (Sender, Body) {
            let (to, from) = mpsc::channel(PIECES);
            (Sender { to: Some(to) }, Body::new(Receiver { from, done: false }))
        }
    }

    impl Sender {
        /// Sends a piece, and waits while the client is slow. It fails when nobody reads any more.
        pub async fn send(&mut self, piece: impl Into<Bytes>) -> io::Result<()> {
            let to = self.to.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
            to.send(Some(piece.into())).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
        }

        /// Breaks the answer off, so that nobody takes it for whole.
        pub fn fail(mut self) {
            self.to = None;
        }
    }

    impl io::Write for Sender {
        /// Sends a piece from a thread. In an async function it panics: there use [`Sender::send`].
        fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
            crate::run::wait(self.send(Bytes::copy_from_slice(piece)))?;
            Ok(piece.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Drop for Sender {
        fn drop(&mut self) {
            let Some(to) = self.to.take().filter(|_| !std::thread::panicking()) else { return };
            if let Err(mpsc::error::TrySendError::Full(end)) = to.try_send(None) {
                // Bounded by the body's own life: it ends with the exchange.
                if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                    runtime.spawn(async move {
                        let _ = to.send(end).await;
                    });
                }
            }
        }
    }

    impl HttpBody for Receiver {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            if self.done {
                return Poll::Ready(None);
            }
            self.from.poll_recv(cx).map(|got| match got {
                Some(Some(piece)) => Some(Ok(Frame::data(piece))),
                Some(None) => {
                    self.done = true;
                    None
                }
                None => {
                    self.done = true;
                    Some(Err("the function did not write its answer to the end".into()))
                }
            })
        }
    }
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
    }

    /// What is written from a thread is read by another, and ends when the writer is done.
    #[test]
    fn written_to_the_end() {
        let runtime = runtime();
        let (mut to, mut body) = Body::channel();
        let writer = runtime.spawn_blocking(move || {
            for _ in 0..100 {
                to.write_all(b"piece").unwrap();
            }
        });
        let read = runtime.spawn_blocking(move || {
            let mut all = String::new();
            body.read_to_string(&mut all).map(|_| all)
        });
        runtime.block_on(writer).unwrap();
        assert_eq!(runtime.block_on(read).unwrap().unwrap(), "piece".repeat(100));
    }

    /// A writer that fails or panics leaves a body that nobody takes for whole.
    #[test]
    fn broken_off() {
        let runtime = runtime();
        for fail in [true, false] {
            let (mut to, body) = Body::channel();
            let writer = runtime.spawn(async move {
                to.send("half").await.unwrap();
                if fail {
                    return to.fail();
                }
                panic!("while it writes")
            });
            assert_eq!(runtime.block_on(writer).is_err(), !fail);
            assert!(runtime.block_on(body.bytes()).is_err());
        }
    }

    #[test]
    fn limited() {
        let runtime = runtime();
        for (most, want) in [(4, None), (5, Some(5)), (6, Some(5))] {
            let got = runtime.block_on(Body::from("12345").limited(most)).unwrap();
            assert_eq!(got.map(|b| b.len()), want, "{most}");
        }
    }

    /// A body whose pieces come, or do not come yet, in an order.
    struct Pieces(std::collections::VecDeque<Option<Result<&'static str, &'static str>>>);

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            match self.0.pop_front() {
                None => Poll::Ready(None),
                Some(None) => Poll::Pending,
                Some(Some(piece)) => Poll::Ready(Some(piece.map(|p| Frame::data(p.into())).map_err(Into::into))),
            }
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(10)
        }
    }

    /// A short body that is here is taken in, one that is late or fails is left as it is, with what has come of it.
    #[test]
    fn arrived() {
        for (pieces, here, left) in [
            (vec![Some(Ok("piece")), Some(Ok("piece"))], true, Ok("piecepiece")),
            (vec![None, Some(Ok("piece")), None, Some(Ok("piece"))], true, Ok("piecepiece")),
            (vec![Some(Ok("piece")), None, None, None, None, None, Some(Ok("piece"))], false, Ok("piecepiece")),
            (vec![Some(Ok("piece")), Some(Err("broken"))], false, Err("broken")),
        ] {
            let mut body = Body::new(Pieces(pieces.into()));
            assert_eq!(runtime().block_on(body.arrived(10)), here);
            let mut all = String::new();
            let read = runtime().block_on(async {
                while let Some(piece) = body.chunk().await.transpose()? {
                    all += std::str::from_utf8(&piece)?;
                }
                Ok::<_, Error>(())
            });
            assert_eq!(read.map(|()| all.as_str()).map_err(|e| e.to_string()), left.map_err(Into::into));
        }
        assert!(!runtime().block_on(Body::new(Pieces(vec![Some(Ok("piece"))].into())).arrived(9)), "it is too long");
    }
}
