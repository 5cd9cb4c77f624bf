"""The thread that waits for all connections and parses what comes."""
import os
import select
import signal
import socket
import time
from collections import deque

from httptools import HttpParserError

from functions_framework._server.answer import CONTINUE, plain
from functions_framework._server.connection import EARLY_BODY, MAX_HEAD, RECEIVE, ClientGone, Connection

IDLE = 650.0  # seconds; longer than the proxies before it, so that they close first
HEAD = 30.0  # seconds for a request to arrive, up to where its handler begins
LINGER = 5.0  # seconds a connection that ends is still read, so that its last answer arrives
SWEEP = 10.0
MAX_CONNECTIONS = 4096
READ = select.EPOLLIN


class Reactor:
    """Owns the listener and every connection that no runner has. run returns when it has drained after stop, or the grace is over."""

    def __init__(self, listener, dispatch, grace):
        """dispatch(ex) is called for each request that no reserved path answers; it gives ex to a runner or answers it by reply."""
        self.listener, self.dispatch, self.grace = listener, dispatch, grace
        self.draining, self._sweeps = False, 0.0
        self.connections = {}
        self._epoll = select.epoll()
        self._wake, self._waker = socket.socketpair()
        self._calls = deque()
        self._signals, self._endings = None, ()
        self._listening = False
        self._end = None

    # -- from any thread

    def call(self, f, *args):
        """Runs f in the reactor's thread."""
        self._calls.append((f, args))
        try:
            self._waker.send(b"!", socket.MSG_DONTWAIT)
        except OSError:
            pass  # it is awake, or has ended

    def stop(self):
        self.call(self._drain)

    def drain_on(self, numbers):
        """Drains when one of these signals comes, each of which has a handler. To be called in the main thread, before begin. A handler that is
        Python's own would not do: it runs only once the main thread executes Python again, and a signal that comes just before that thread waits,
        or to another thread, does not wake it. So the reactor reads what is written in the moment the signal comes."""
        self._endings = numbers
        self._signals = Signals()

    def given_back(self, conn):
        """A runner has finished with a connection."""
        conn.current = None
        conn.busy = False
        if conn.parked:
            conn.parked = False
            self._watch(conn, READ)
        if self.draining or conn.ready:
            self.call(self._again, conn)

    # -- the reactor's own thread

    def run(self):
        """Serves. Returns the number of calls that were cut off."""
        self.begin()
        while not self.over():
            self.step(self.patience())
        return self.cut()

    def begin(self):
        self._wake.setblocking(False)
        self.listener.setblocking(False)
        self._epoll.register(self._wake.fileno(), READ)
        if self._signals is not None:
            self._epoll.register(self._signals.fileno(), READ)
        if not self.draining:
            self._listen(True)
        self._sweeps = time.monotonic() + SWEEP

    def fileno(self):
        """A descriptor that is readable when step has something to do."""
        return self._epoll.fileno()

    def over(self):
        return self._end is not None and not (self.connections and time.monotonic() < self._end)

    def cut(self):
        return sum(1 for c in self.connections.values() if c.busy)

    def step(self, timeout):
        """Waits at most timeout seconds, -1 without end, and does what there is to do."""
        events = self._epoll.poll(timeout)
        now = time.monotonic()
        for fd, _ in events:
            conn = self.connections.get(fd)
            if conn is not None:
                self._readable(conn, now)
            elif fd == self._wake.fileno():
                self._run_calls()
            elif self._signals is not None and fd == self._signals.fileno():
                self._signalled()
            elif self._listening:
                self._accept(now)
        if now >= self._sweeps:
            self._sweep(now)
            self._sweeps = now + SWEEP

    def patience(self):
        """How long a step may wait, in seconds; -1 is without end."""
        if self._end is not None:
            return max(0.0, min(SWEEP, self._end - time.monotonic()))
        return SWEEP if self.connections else -1

    def _listen(self, on):
        if on == self._listening:
            return
        self._listening = on
        if on:
            self._epoll.register(self.listener.fileno(), READ | getattr(select, "EPOLLEXCLUSIVE", 0))
        else:
            self._epoll.unregister(self.listener.fileno())

    def _signalled(self):
        if any(number in self._endings for number in self._signals.come()):
            self._drain()

    def _run_calls(self):
        try:
            while self._wake.recv(4096):
                pass
        except BlockingIOError:
            pass
        while self._calls:
            f, args = self._calls.popleft()
            f(*args)

    def _accept(self, now):
        for _ in range(64):
            if len(self.connections) >= MAX_CONNECTIONS:
                return self._listen(False)
            try:
                sock, peer = self.listener.accept()
            except OSError:  # nobody is there, or whoever was has gone; out of descriptors: until one is free
                return None
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            conn = Connection(self, sock, peer)
            conn.deadline = now + IDLE
            self.connections[conn.fd] = conn
            self._epoll.register(conn.fd, READ)
        return None

    def _watch(self, conn, events):
        try:
            self._epoll.modify(conn.fd, events)
        except (OSError, ValueError):
            pass  # closed already

    def _park(self, conn):
        """Stops looking at a connection that a runner has."""
        conn.parked = True
        self._watch(conn, 0)
        if not conn.busy:  # it came back in this moment
            conn.parked = False
            self._watch(conn, READ)

    def _readable(self, conn, now):
        if conn.busy:
            return self._peek(conn)
        try:
            data = conn.sock.recv(RECEIVE)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if not data:
            return self._close(conn)
        if conn.closing:
            return None
        try:
            conn.feed(data)
        except HttpParserError as e:
            return self._refuse(conn, e)
        if conn.building is not None and conn.building.method is None:
            conn.unfinished += len(data)  # the parser tells of whole fields only
            if conn.unfinished > MAX_HEAD:
                return self._refuse(conn, None)
        return self._next(conn, now)

    def _peek(self, conn):
        """Something came while a handler runs: the next request, or the end."""
        ex = conn.current
        if ex is None:
            return None
        try:
            gone = ex.complete and not conn.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            gone = False
        except OSError:
            gone = True
        self._park(conn)
        if gone and conn.busy and not conn.ready:
            conn.gone = True
            tell = ex.on_gone
            if tell is not None:
                tell()
        return None

    def _again(self, conn):
        if self.connections.get(conn.fd) is conn and not conn.busy:
            if self.draining and (conn.closing or not conn.ready):
                return self._close(conn)
            self._next(conn, time.monotonic())
        return None

    def _next(self, conn, now):
        """Begins with the next request of a connection, when enough of it is there."""
        while conn.ready and not conn.busy and not conn.closing and not conn.gone:
            ex = conn.ready[0]
            if not ex.complete:
                if ex.expects and ex.length <= EARLY_BODY and not ex.chunked:
                    ex.expects = False
                    conn.try_send(CONTINUE)
                if not (ex.chunked or ex.length > EARLY_BODY):
                    break
            conn.ready.popleft()
            self._begin(conn, ex)
        if conn.building is None or (conn.building.complete and not conn.ready):
            conn.deadline = now + IDLE
        elif conn.deadline > now + HEAD:
            conn.deadline = now + HEAD

    def _begin(self, conn, ex):
        conn.current, conn.busy = ex, True
        if not ex.complete:  # the runner reads
            conn.parked = True
            self._watch(conn, 0)
        self.dispatch(ex)

    def reply(self, ex, status, headers, body):
        """Answers at once, from the reactor's thread: short answers only."""
        if not ex.complete:
            ex.keep_alive = False
        data = ex.whole(status, headers, body)
        try:
            ex.ended = ex.conn.try_send(data) == len(data)
        except ClientGone:
            ex.ended = False
        ex.conn.finish(ex)

    def _refuse(self, conn, why):
        large = max(conn.head_size, conn.unfinished) > MAX_HEAD
        headers, body = plain("the header is larger than %d bytes" % MAX_HEAD if large else "the request is not HTTP: %s" % why)
        ex = conn.building
        if ex is None or ex.started:
            return self._close(conn)
        ex.method, ex.keep_alive = "GET", False
        conn.current, conn.busy = ex, True
        conn.ready.clear()
        return self.reply(ex, 431 if large else 400, headers, body)

    def _close(self, conn):
        self.connections.pop(conn.fd, None)
        conn.gone = True
        conn.sock.close()
        if not self.draining and len(self.connections) < MAX_CONNECTIONS:
            self._listen(True)

    def _sweep(self, now):
        for conn in list(self.connections.values()):
            if conn.busy:
                continue
            if conn.closing or conn.gone:
                conn.deadline = min(conn.deadline, now + LINGER)
            if conn.deadline < now:
                self._close(conn)

    def _drain(self):
        if self.draining:
            return
        self.draining = True
        self._listen(False)
        self._end = time.monotonic() + self.grace
        self.listener.close()
        for conn in list(self.connections.values()):
            if not conn.busy and (conn.closing or not conn.ready) and (conn.building is None or conn.building.complete):
                self._close(conn)


class Signals:
    """The numbers of the signals that come, readable for any thread as they come."""

    def __init__(self):
        """Takes the place of the one before. To be called in the main thread."""
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)

    def fileno(self):
        return self._read.fileno()

    def come(self):
        """What has come since, without waiting."""
        try:
            return self._read.recv(4096)
        except BlockingIOError:
            return b""

    def wait(self):
        """Waits until a signal comes, or has come since the last wait."""
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        poll.poll()
        self.come()


def inherited(environ):
    """The listening socket that the process was given in the manner of systemd, or None. Its variables are taken out of environ."""
    given = environ.get("LISTEN_FDS") == "1" and environ.get("LISTEN_PID") == str(os.getpid())
    for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"):
        environ.pop(name, None)
    if not given:
        return None
    os.set_inheritable(3, False)
    return socket.socket(fileno=3)


def listen(port):
    """A socket that listens on a TCP port of all addresses."""
    if socket.has_ipv6:
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
        except (OSError, ValueError) as e:
            if getattr(e, "errno", None) == 98:  # in use
                raise
    return socket.create_server(("", port), backlog=1024)
