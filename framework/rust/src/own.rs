//! Serves a connection on a thread of its own. A function that blocks is called right there: between threads, a call costs more than most functions.

use hyper::rt::ReadBufCursor;
use mio::event::Source;
use mio::{Events, Interest, Poll, Token, Waker};
use std::cell::Cell;
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::pin::{pin, Pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::task::{self, Context, Wake};

const STREAM: Token = Token(0);
const WAKE: Token = Token(1);

/// How much is read at once.
const PIECE: usize = 8 << 10;

thread_local! {
    static HERE: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread serves one connection, and so may block.
pub(crate) fn here() -> bool {
    HERE.get()
}

/// A stream that does not block, of a socket.
pub(crate) trait Stream: Source + Read + Write + Unpin {
    /// Tells the other side that no more is written.
    fn end(&self) -> io::Result<()>;
}

impl Stream for mio::net::TcpStream {
    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Stream for mio::net::UnixStream {
    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// Drives the future of a connection to its end on this thread, which waits for the stream and for wakers alone.
pub(crate) fn serve<S, F>(mut stream: S, connection: impl FnOnce(Io<S>) -> F) -> io::Result<()>
where
    S: Stream,
    F: Future<Output = ()>,
{
    let mut poll = Poll::new()?;
    poll.registry().register(&mut stream, STREAM, Interest::READABLE | Interest::WRITABLE)?;
    let thread = Arc::new(Thread { waker: Waker::new(poll.registry(), WAKE)?, woken: AtomicBool::new(false), asleep: AtomicBool::new(false) });
    let waker = task::Waker::from(thread.clone());
    let mut events = Events::with_capacity(2);
    let mut connection = pin!(connection(Io(stream)));
    HERE.set(true);
    while connection.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        if let Err(e) = thread.sleep(&mut poll, &mut events) {
            HERE.set(false);
            return Err(e);
        }
    }
    HERE.set(false); // the thread serves others later
    Ok(())
}

struct Thread {
    waker: Waker,
    woken: AtomicBool,
    asleep: AtomicBool,
}

impl Thread {
    /// Returns when the stream is ready, or somebody has woken the future since its last poll began.
    fn sleep(&self, poll: &mut Poll, events: &mut Events) -> io::Result<()> {
        self.asleep.store(true, Ordering::SeqCst);
        let slept = if self.woken.load(Ordering::SeqCst) { Ok(()) } else { poll.poll(events, None) };
        self.asleep.store(false, Ordering::SeqCst);
        self.woken.store(false, Ordering::SeqCst);
        match slept {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(()), // polled once too often
            slept => slept,
        }
    }
}

impl Wake for Thread {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::SeqCst) && self.asleep.load(Ordering::SeqCst) {
            let _ = self.waker.wake(); // it fails only when the poll is gone, and the thread with it
        }
    }
}

/// A stream as hyper reads and writes it. It is ready again when the thread's poll says so.
pub(crate) struct Io<S>(S);

/// Pending is what would block; what was interrupted is tried again.
fn tried<T>(mut f: impl FnMut() -> io::Result<T>) -> task::Poll<io::Result<T>> {
    loop {
        match f() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return task::Poll::Pending,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            done => return task::Poll::Ready(done),
        }
    }
}

impl<S: Stream> hyper::rt::Read for Io<S> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, mut into: ReadBufCursor<'_>) -> task::Poll<io::Result<()>> {
        let mut piece = [0; PIECE];
        let most = into.remaining().min(PIECE);
        tried(|| self.0.read(&mut piece[..most])).map_ok(|n| into.put_slice(&piece[..n]))
    }
}

impl<S: Stream> hyper::rt::Write for Io<S> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> task::Poll<io::Result<usize>> {
        tried(|| self.0.write(data))
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, _: &mut Context<'_>, data: &[io::IoSlice<'_>]) -> task::Poll<io::Result<usize>> {
        tried(|| self.0.write_vectored(data))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> task::Poll<io::Result<()>> {
        task::Poll::Ready(Ok(())) // nothing is held back
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> task::Poll<io::Result<()>> {
        task::Poll::Ready(self.0.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;
    use std::thread;
    use tokio::sync::oneshot;

    fn pair() -> (mio::net::UnixStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (mio::net::UnixStream::from_std(ours), theirs)
    }

    /// Reads one byte as hyper would.
    async fn read(io: &mut Io<mio::net::UnixStream>) -> u8 {
        let mut space = [0];
        std::future::poll_fn(|cx| {
            let mut into = hyper::rt::ReadBuf::new(&mut space);
            hyper::rt::Read::poll_read(Pin::new(io), cx, into.unfilled())
        })
        .await
        .unwrap();
        space[0]
    }

    /// A thread sleeps until its stream is ready or somebody wakes it, in any order and any number of times.
    #[test]
    fn woken() {
        let (ours, mut theirs) = pair();
        let (send, receive) = oneshot::channel();
        let served = thread::spawn(move || {
            let mut seen = Vec::new();
            serve(ours, |mut io| async {
                assert!(here());
                seen.push(read(&mut io).await);
                seen.push(receive.await.unwrap());
                for _ in 0..2 {
                    seen.push(read(&mut io).await);
                }
                drop(io);
            })
            .map(|()| (seen, here()))
        });
        theirs.write_all(b"a").unwrap();
        send.send(b'b').unwrap();
        theirs.write_all(b"cd").unwrap();
        let (seen, after) = served.join().unwrap().unwrap();
        assert_eq!((seen.as_slice(), after), (b"abcd".as_slice(), false));
    }
}
