"""A function as the server calls it. The subclasses, one for each signature, are in _calls; this has what they share: how an answer is sent, and
how a failure is told."""
import io

from functions_framework._call import FUNCTION, Call, crash_answer, crashed
from functions_framework._server.answer import plain
from functions_framework._server.connection import ClientGone
from functions_framework._server.threads import PROOF
from functions_framework.request import BadRequest, Request
from functions_framework.response import Abort


class TooLarge(Exception):
    """The body is larger than a function takes into memory."""


class Endpoint:
    """One function. call is for threads and acall for the asyncio loop; is_async tells which is used."""

    cancels = True  # a client that goes away cancels the task
    proven, proof = 0, PROOF  # calls that were quick, and how many of them are enough to be trusted

    def __init__(self, function, app):
        self.function, self.app = function, app
        self.name, self.handler = function.name, function.call
        self.is_async = is_async(function.call)
        self.extra = [(FUNCTION, function.name)] if app.several else []

    def call(self, ex):
        call = ex.call = Call(ex, self.name)
        try:
            self.serve(ex, call)
        except ClientGone:
            raise
        except BaseException as e:  # also SystemExit: a function does not end the process by an exception
            answer = self.failure(ex, call, e)
            if answer is not None:
                self.answer(ex, *answer)

    async def acall(self, ex):
        call = ex.call = Call(ex, self.name)
        try:
            await self.aserve(ex, call)
        except ClientGone:
            raise
        except BaseException as e:
            if type(e).__name__ == "CancelledError":
                raise
            answer = self.failure(ex, call, e)
            if answer is not None:
                await self.aanswer(ex, *answer)

    def failure(self, ex, call, error):
        """The answer to an exception. None when one had begun, which then is broken off."""
        kind = type(error)
        if kind is Abort and not ex.started:
            return error.response.status_code, error.response.headers.items(), error.response.get_data()
        if kind in (BadRequest, TooLarge) and not ex.started:
            headers, body = plain(str(error))
            return 400 if kind is BadRequest else 413, headers, body
        error_id = crashed(call, error)
        if ex.started:
            ex.ended = False
            return None
        return crash_answer(error_id)

    # -- answers

    def answer(self, ex, status, headers, body):
        if self.extra:
            headers = list(headers) + self.extra
        conn = ex.conn
        if type(body) is bytes:
            conn.send(ex.whole(status, headers, body))
            return
        pieces = iter(body)
        try:
            piece = next(pieces, None)  # what fails here can still be answered
            conn.send(ex.head(status, headers) + ex.piece(_bytes(piece)))
            if not ex.bodiless:
                for piece in pieces:
                    data = ex.piece(_bytes(piece))
                    if data:
                        conn.send(data)
            conn.send(ex.end() or b"")
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()

    async def aanswer(self, ex, status, headers, body):
        from functions_framework._server.loop import send

        if self.extra:
            headers = list(headers) + self.extra
        if type(body) is bytes:
            return await send(ex.conn, ex.whole(status, headers, body))
        pieces = body.__aiter__() if hasattr(body, "__aiter__") else _as_async(body)
        try:
            piece = None
            async for piece in pieces:
                break
            await send(ex.conn, ex.head(status, headers) + ex.piece(_bytes(piece)))
            if not ex.bodiless:
                async for piece in pieces:
                    data = ex.piece(_bytes(piece))
                    if data:
                        await send(ex.conn, data)
            await send(ex.conn, ex.end())
        finally:
            close = getattr(body, "aclose", None)
            if close is not None:
                await close()

    # -- bodies

    def body(self, ex):
        """The whole body, in memory."""
        if ex.complete and len(ex.chunks) < 2:
            self.check(ex, ex.buffered)
            return ex.chunks.pop() if ex.chunks else b""
        out, size = [], 0
        while True:
            out += ex.chunks
            size += sum(map(len, ex.chunks))
            ex.chunks.clear()
            self.check(ex, size)
            if ex.complete:
                return b"".join(out)
            ex.conn.receive(ex)

    async def abody(self, ex):
        if ex.complete:
            return self.body(ex)
        from functions_framework._server.loop import receive

        out, size = [], 0
        while True:
            out += ex.chunks
            size += sum(map(len, ex.chunks))
            ex.chunks.clear()
            self.check(ex, size)
            if ex.complete:
                return b"".join(out)
            await receive(ex.conn, ex)

    unbounded = False  # http functions take what they read

    def check(self, ex, size):
        limit = self.app.config.max_body
        if self.unbounded:
            return
        if size > limit or (not ex.chunked and ex.length > limit):
            ex.keep_alive = False
            raise TooLarge("the request body is larger than %d bytes" % limit)

    def request(self, ex, call, body):
        request = Request(ex.method, target_of(ex), ex.headers, body, ex.view_args)
        request.call = call
        peer = ex.conn.peer
        request.remote_addr = peer[0] if isinstance(peer, tuple) else None
        return request


class BodyReader(io.RawIOBase):
    """The body of a request as a file, for a thread. What was not sent yet is waited for."""

    def __init__(self, ex):
        self._ex = ex

    def readable(self):
        return True

    def readinto(self, buffer):
        ex = self._ex
        if not ex.chunks and not ex.complete:
            ex.conn.receive(ex)
        if not ex.chunks:
            return 0
        chunk = ex.chunks[0]
        size = min(len(chunk), len(buffer))
        buffer[:size] = chunk[:size]
        if size == len(chunk):
            ex.chunks.pop(0)
        else:
            ex.chunks[0] = chunk[size:]
        return size


def reader(ex):
    return io.BufferedReader(BodyReader(ex), 64 << 10)


def target_of(ex):
    """The path and query as text of the same bytes; a whole URL without what is before its path."""
    target = ex.raw_target
    if not target.startswith(b"/") and b"://" in target:
        rest = target.split(b"://", 1)[1]
        slash = rest.find(b"/")
        target = rest[slash:] if slash >= 0 else b"/"
    return target.decode("latin-1")


def is_async(f):
    """Tells coroutine functions, and objects whose __call__ is one."""
    code = code_of(f)
    return code is not None and bool(code.co_flags & 0x280)  # CO_COROUTINE, CO_ASYNC_GENERATOR


def code_of(f):
    """The code object behind a callable, or None."""
    while hasattr(f, "func") and hasattr(f, "keywords"):  # functools.partial
        f = f.func
    f = getattr(f, "__func__", f)
    code = getattr(f, "__code__", None)
    if code is None and not isinstance(f, type):
        code = getattr(getattr(type(f), "__call__", None), "__code__", None)
    return code


def _bytes(piece):
    if piece is None:
        return b""
    return piece.encode() if isinstance(piece, str) else bytes(piece)


async def _as_async(pieces):
    for piece in pieces:
        yield piece
