"""One connection: what httptools parses of it, and how answers are written to it.

A connection belongs to the reactor until a request of it is handed to a runner, then to that runner until the answer is sent.
"""
import select
import socket
from collections import deque

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from functions_framework._server.answer import CONTINUE, date_line, header_lines, status_line

RECEIVE = 64 << 10
MAX_HEAD = 64 << 10
EARLY_BODY = 64 << 10  # a body that announces more than this is read by the handler itself, as it comes
PATIENCE = 60.0  # seconds without progress of a body or an answer after which the client is given up
NO_BODY = frozenset((204, 304))


class ClientGone(Exception):
    """The other side closed the connection, or does not move any more."""


class Exchange:
    """One request and its answer."""

    __slots__ = ("conn", "method", "raw_target", "headers", "length", "chunked", "probe", "expects", "chunks", "buffered", "complete", "keep_alive",
                 "old", "started", "ended", "streaming", "endpoint", "view_args", "call", "on_gone", "bodiless")

    def __init__(self, conn):
        self.conn = conn
        self.raw_target, self.headers = b"", []
        self.length, self.chunked, self.probe, self.expects = 0, False, None, False
        self.chunks, self.buffered, self.complete = [], 0, False
        self.keep_alive, self.old = True, False
        self.method = None  # until the header is complete
        self.started = self.ended = self.streaming = self.bodiless = False
        self.endpoint = self.view_args = self.call = self.on_gone = None

    def header(self, name):
        """The first value of a header, as bytes; its name is given in lower case."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    # -- the answer, as bytes to send

    def whole(self, status, headers, body):
        """The bytes of a whole answer."""
        lines = header_lines(headers)
        self.started = self.ended = True
        empty = self.method == "HEAD" or status in NO_BODY
        length = b"" if status in NO_BODY else b"Content-Length: %d\r\n" % len(body)
        return status_line(status) + lines + length + date_line() + self._closing() + b"\r\n" + (b"" if empty else body)

    def head(self, status, headers, length=None):
        """The bytes that begin an answer whose body is sent in pieces. length is that of the body where it is known."""
        lines = header_lines(headers)
        self.started, self.bodiless = True, self.method == "HEAD" or status in NO_BODY
        if status in NO_BODY:
            framing = b""
        elif length is not None:
            framing = b"Content-Length: %d\r\n" % length
        elif self.old:
            self.keep_alive, framing = False, b""
        else:
            self.streaming, framing = True, b"Transfer-Encoding: chunked\r\n"
        return status_line(status) + lines + framing + date_line() + self._closing() + b"\r\n"

    def piece(self, data):
        if self.bodiless or not data:
            return b""
        return b"%x\r\n%b\r\n" % (len(data), data) if self.streaming else data

    def end(self):
        self.ended = True
        return b"0\r\n\r\n" if self.streaming and not self.bodiless else b""

    def _closing(self):
        if self.conn.reactor.draining:
            self.keep_alive = False
        if not self.keep_alive:
            return b"Connection: close\r\n"
        return b"Connection: keep-alive\r\n" if self.old else b""


class Connection:
    """A client's connection. Its methods on_* are called by the parser."""

    __slots__ = ("reactor", "sock", "fd", "parser", "building", "ready", "current", "busy", "parked", "gone", "closing", "deadline", "head_size", "unfinished", "peer")

    def __init__(self, reactor, sock, peer):
        self.reactor, self.sock, self.fd, self.peer = reactor, sock, sock.fileno(), peer
        self.parser = HttpRequestParser(self)
        self.building, self.ready, self.current = None, deque(), None
        self.busy = self.parked = self.gone = self.closing = False
        self.deadline, self.head_size, self.unfinished = 0.0, 0, 0

    # -- parsing

    def feed(self, data):
        """Gives bytes to the parser. HttpParserError when they are not HTTP."""
        while True:
            try:
                return self.parser.feed_data(data)
            except HttpParserUpgrade as e:  # nothing is offered to upgrade to: the connection stays what it is
                self.parser = HttpRequestParser(self)
                data = data[e.args[0]:]
                if not data:
                    return None

    def on_message_begin(self):
        self.building, self.head_size, self.unfinished = Exchange(self), 0, 0

    def on_url(self, url):
        self.building.raw_target += url
        self._grow(len(url))

    def on_header(self, name, value):
        ex = self.building
        name = name.lower()
        ex.headers.append((name, value))
        self._grow(len(name) + len(value) + 4)
        if name == b"content-length":
            ex.length = int(value) if value.isdigit() and len(value) < 19 else 1 << 62
        elif name == b"transfer-encoding":
            ex.chunked = True
        elif name == b"expect":
            ex.expects = value.lower() == b"100-continue"
        elif name == b"k-network-probe":
            ex.probe = value

    def _grow(self, size):
        self.head_size += size
        if self.head_size > MAX_HEAD:
            raise HttpParserError("the header is too large")

    def on_headers_complete(self):
        ex, parser = self.building, self.parser
        ex.method = parser.get_method().decode("ascii")
        ex.keep_alive, ex.old = parser.should_keep_alive(), parser.get_http_version() != "1.1"
        self.ready.append(ex)

    def on_body(self, data):
        ex = self.building
        ex.chunks.append(data)
        ex.buffered += len(data)

    def on_message_complete(self):
        self.building.complete = True

    # -- the body, for a runner that owns the connection

    def receive(self, ex):
        """Waits for more of the body of ex, in a thread. Returns when there is more, or when it is complete."""
        self.accept_body(ex)
        while not (ex.complete or ex.chunks):
            try:
                data = self.sock.recv(RECEIVE)
            except BlockingIOError:
                self.wait(select.POLLIN)
                continue
            except OSError as e:
                raise ClientGone(str(e)) from None
            self.got_body(data)

    def got_body(self, data):
        if not data:
            raise ClientGone("the request was not sent whole")
        try:
            self.feed(data)
        except HttpParserError as e:
            raise ClientGone("the request is not HTTP: %s" % e) from None

    def accept_body(self, ex):
        if ex.expects:
            ex.expects = False
            if not ex.complete and not ex.started:
                self.send(CONTINUE)

    # -- sending, for a runner that owns the connection

    def send(self, data):
        """Sends all of data, in a thread. ClientGone when nobody takes it."""
        try:
            sent = self.sock.send(data)
            if sent == len(data):
                return
            view = memoryview(data)
        except BlockingIOError:
            sent, view = 0, memoryview(data)
        except OSError as e:
            raise ClientGone(str(e)) from None
        while sent < len(view):
            self.wait(select.POLLOUT)
            try:
                sent += self.sock.send(view[sent:])
            except BlockingIOError:
                continue
            except OSError as e:
                raise ClientGone(str(e)) from None

    def try_send(self, data):
        """Sends what can be sent without waiting, and returns how much that was."""
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as e:
            raise ClientGone(str(e)) from None

    def wait(self, event):
        poll = select.poll()
        poll.register(self.fd, event)
        if not poll.poll(PATIENCE * 1000):
            raise ClientGone("nothing moved for %d s" % PATIENCE)

    def shut(self, how):
        try:
            self.sock.shutdown(how)
        except OSError:
            pass  # it is gone already

    def finish(self, ex):
        """Gives the connection back to the reactor. An answer that is not whole breaks the connection off."""
        if not ex.ended:
            self.gone = True
            _reset(self.sock)
            self.shut(socket.SHUT_RDWR)
        elif not (ex.keep_alive and ex.complete):
            self.closing = True
            self.shut(socket.SHUT_WR)
        self.reactor.given_back(self)


def _reset(sock):
    """Makes closing the connection tell the client that something was wrong."""
    import struct

    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
