//! Listens, serves connections, and ends as the contract says.

use crate::app::App;
use crate::dispatch::dispatch;
use crate::handler::Function;
use crate::{log, own, run, settings, Body};
use http::header::{HeaderValue, CONNECTION, EXPECT};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::{poll_fn, Future};
use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::FromRawFd;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use std::{env, io, process, thread};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{signal, Signal, SignalKind};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Serves functions until the process is told to end. It does not return.
pub fn serve(functions: impl IntoIterator<Item = Function>) -> ! {
    let code = match start(functions.into_iter().collect()) {
        Ok(()) => 0,
        Err(e) => {
            log::ended(&e);
            1
        }
    };
    process::exit(code)
}

/// How many connections have threads of their own where functions block. Each takes three descriptors; others change threads for each call.
const OWN: usize = 128;

fn start(functions: Vec<Function>) -> Result<(), String> {
    let inherited = take_socket();
    let s = settings::read()?;
    log::set_least(s.level);
    let app = App::new(functions, s.target.as_deref(), s.context, s.max_body)?;
    run::catch_panics();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let blocking = if s.concurrency > 0 { s.concurrency } else { 512 };
    run::allow(blocking);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.max(2)) // so that one function that blocks where it should not hinders no health answer
        .max_blocking_threads(OWN + blocking)
        .enable_all()
        .build()
        .map_err(|e| format!("starting threads: {e}"))?;
    let result = runtime.block_on(serve_all(app, inherited, s.port, s.grace));
    runtime.shutdown_background(); // what still runs has had its time
    result
}

/// Whether file descriptor 3 is a socket to listen on. The variables that say so are not for functions.
fn take_socket() -> bool {
    let given = env::var("LISTEN_FDS").is_ok_and(|n| n == "1") && env::var("LISTEN_PID").is_ok_and(|p| p == process::id().to_string());
    for name in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] {
        env::remove_var(name); // nothing else runs yet
    }
    given
}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    fn inherited() -> io::Result<Self> {
        // SAFETY: LISTEN_PID says that descriptor 3 was made for this process, and nobody else takes it.
        let unix = unsafe { std::os::unix::net::UnixListener::from_raw_fd(3) };
        if unix.local_addr().is_ok() {
            unix.set_nonblocking(true)?;
            return Ok(Listener::Unix(UnixListener::from_std(unix)?));
        }
        let tcp = std::net::TcpListener::from(std::os::fd::OwnedFd::from(unix));
        tcp.set_nonblocking(true)?;
        Ok(Listener::Tcp(TcpListener::from_std(tcp)?))
    }

    async fn on(port: u16) -> io::Result<Self> {
        match TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).await {
            Ok(l) => Ok(Listener::Tcp(l)),
            Err(_) => Ok(Listener::Tcp(TcpListener::bind(("0.0.0.0", port)).await?)), // a machine without IPv6
        }
    }
}

/// Accepts until a signal, then waits for what runs.
async fn serve_all(app: App, inherited: bool, port: u16, grace: Duration) -> Result<(), String> {
    let signals = |kind| signal(kind).map_err(|e| format!("listening for signals: {e}"));
    let (mut term, mut int) = (signals(SignalKind::terminate())?, signals(SignalKind::interrupt())?);
    let listener = if inherited { Listener::inherited() } else { Listener::on(port).await };
    let listener = listener.map_err(|e| if inherited { format!("listening on file descriptor 3: {e}") } else { format!("listening on port {port}: {e}") })?;
    let server = Arc::new(Server { app, draining: AtomicBool::new(false) });
    let (end, ending) = watch::channel(());
    let mut connections = JoinSet::new();
    // Connections that ended are taken from the set while the next one is awaited.
    while let Happened::Accepted(accepted) = next(&listener, &mut connections, &mut term, &mut int).await {
        match accepted {
            Ok(stream) => stream.serve(&server, &mut connections, &ending),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await, // no descriptors left: some connection must end first
        }
    }
    server.draining.store(true, Ordering::Relaxed);
    drop(listener);
    end.send_replace(());
    let left = async { while connections.join_next().await.is_some() {} };
    let done = tokio::time::timeout(grace, race(left, signalled(&mut term, &mut int))).await;
    match done {
        Ok(Side::Left(())) => Ok(()),
        Ok(Side::Right(())) => process::exit(1),
        Err(_) => Err(format!("{} calls still ran after {grace:?} and were cut off", connections.len())),
    }
}

enum Happened {
    Accepted(io::Result<Stream>),
    Signalled,
}

async fn next(listener: &Listener, connections: &mut JoinSet<()>, term: &mut Signal, int: &mut Signal) -> Happened {
    let mut accepted = pin!(accept(listener));
    let mut signalled = pin!(signalled(term, int));
    poll_fn(|cx| {
        while let Poll::Ready(Some(_)) = connections.poll_join_next(cx) {}
        if signalled.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Happened::Signalled);
        }
        accepted.as_mut().poll(cx).map(Happened::Accepted)
    })
    .await
}

async fn signalled(term: &mut Signal, int: &mut Signal) {
    race(term.recv(), int.recv()).await;
}

enum Side<A, B> {
    Left(A),
    Right(B),
}

/// The one of two that is ready first; the other is dropped.
async fn race<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> Side<A, B> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|cx| match a.as_mut().poll(cx) {
        Poll::Ready(v) => Poll::Ready(Side::Left(v)),
        Poll::Pending => b.as_mut().poll(cx).map(Side::Right),
    })
    .await
}

enum Stream {
    Unix(tokio::net::UnixStream),
    Tcp(tokio::net::TcpStream),
}

impl Stream {
    /// Serves a connection, on a thread of its own where functions block and there are not too many.
    fn serve(self, server: &Arc<Server>, connections: &mut JoinSet<()>, ending: &watch::Receiver<()>) {
        let alone = server.app.blocks && connections.len() < OWN;
        let (server, ending) = (server.clone(), ending.clone());
        match self {
            Stream::Unix(s) if alone => drop(connections.spawn_blocking(move || {
                let _ = s.into_std().and_then(|s| own::serve(mio::net::UnixStream::from_std(s), |s| connection(server, s, ending)));
            })),
            Stream::Unix(s) => drop(connections.spawn(connection(server, TokioIo::new(s), ending))),
            Stream::Tcp(s) => {
                let _ = s.set_nodelay(true); // only slower without
                if !alone {
                    connections.spawn(connection(server, TokioIo::new(s), ending));
                    return;
                }
                connections.spawn_blocking(move || {
                    let _ = s.into_std().and_then(|s| own::serve(mio::net::TcpStream::from_std(s), |s| connection(server, s, ending)));
                });
            }
        }
    }
}

async fn accept(l: &Listener) -> io::Result<Stream> {
    match l {
        Listener::Unix(l) => l.accept().await.map(|(s, _)| Stream::Unix(s)),
        Listener::Tcp(l) => l.accept().await.map(|(s, _)| Stream::Tcp(s)),
    }
}

struct Server {
    app: App,
    draining: AtomicBool,
}

async fn connection<S: hyper::rt::Read + hyper::rt::Write + Unpin>(server: Arc<Server>, stream: S, mut ending: watch::Receiver<()>) {
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        let server = server.clone();
        async move {
            let mut request = request.map(Body::incoming);
            if request.headers().contains_key(EXPECT) {
                request.body_mut().ask().await;
            }
            let mut answer = dispatch(&server.app, request, server.draining.load(Ordering::Relaxed)).await;
            if server.draining.load(Ordering::Relaxed) {
                // which this thread may have learned only now
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let mut connection = pin!(http1::Builder::new().serve_connection(stream, service));
    // A connection that breaks is its client's own affair.
    if let Side::Left(_) = race(connection.as_mut(), ending.changed()).await {
        return;
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
