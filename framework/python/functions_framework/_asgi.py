"""ASGI applications."""
import asyncio

from functions_framework import _log
from functions_framework._endpoint import Endpoint, target_of
from functions_framework._server.connection import ClientGone
from functions_framework._server.loop import receive, send


class ASGI(Endpoint):
    """Serves self.handler, an application, which learns from receive that a client has gone."""

    cancels = False

    def __init__(self, function, app):
        super().__init__(function, app)
        self.is_async = True
        self.lifespan = Lifespan(function.call)

    async def aserve(self, ex, call):
        gone = asyncio.Event()
        loop = asyncio.get_running_loop()
        ex.on_gone = lambda: loop.call_soon_threadsafe(gone.set)
        if ex.conn.gone:
            gone.set()
        answer = _Answer(ex, self.extra)
        await self.handler(self.scope(ex), lambda: self.receive(ex, answer, gone), answer.send)
        if not ex.ended:
            raise RuntimeError("the application returned without a whole answer")

    def scope(self, ex):
        from urllib.parse import unquote

        path, _, query = target_of(ex).partition("?")
        peer = ex.conn.peer
        return {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.0" if ex.old else "1.1", "method": ex.method,
            "scheme": "http", "path": unquote(path.encode("latin-1").decode("utf-8", "replace")), "raw_path": path.encode("latin-1"),
            "query_string": query.encode("latin-1"), "root_path": "", "headers": [list(h) for h in ex.headers],
            "client": list(peer[:2]) if isinstance(peer, tuple) else None, "server": None, "state": dict(self.lifespan.state),
        }

    @staticmethod
    async def receive(ex, answer, gone):
        if not answer.body_read:
            try:
                if not (ex.chunks or ex.complete):
                    await receive(ex.conn, ex)
            except ClientGone:
                return {"type": "http.disconnect"}
            data = b"".join(ex.chunks)
            ex.chunks.clear()
            answer.body_read = ex.complete
            return {"type": "http.request", "body": data, "more_body": not ex.complete}
        if not ex.ended:
            await gone.wait()
        return {"type": "http.disconnect"}


class _Answer:
    """What an application sends."""

    __slots__ = ("ex", "extra", "begun", "body_read")

    def __init__(self, ex, extra):
        self.ex, self.extra, self.begun, self.body_read = ex, extra, None, False

    async def send(self, message):
        ex, kind = self.ex, message["type"]
        if kind == "http.response.start":
            self.begun = message["status"], [tuple(h) for h in message.get("headers", ())] + self.extra
            return
        if kind != "http.response.body" or ex.ended:
            return
        if self.begun is None:
            raise RuntimeError("the application sent a body before http.response.start")
        data, more = message.get("body", b""), message.get("more_body", False)
        out = b""
        if not ex.started:
            status, headers = self.begun
            if not more and ex.method != "HEAD":
                return await send(ex.conn, ex.whole(status, headers, bytes(data)))
            length = next((int(v) for k, v in headers if k.lower() == b"content-length"), None)
            out = ex.head(status, headers, length)
        out += ex.piece(bytes(data))
        if not more:
            out += ex.end()
        if out:
            await send(ex.conn, out)


class Lifespan:
    """The startup and shutdown of an application, for those that want to know."""

    def __init__(self, application):
        self.application, self.state = application, {}
        self._task, self._told = None, None

    async def startup(self):
        """Raises RuntimeError when the application says that it cannot start."""
        self._told, started = asyncio.Queue(), asyncio.get_running_loop().create_future()
        self._stopped = asyncio.get_running_loop().create_future()
        await self._told.put({"type": "lifespan.startup"})

        async def told(message):
            kind = message["type"]
            if kind == "lifespan.startup.complete" and not started.done():
                started.set_result(True)
            elif kind == "lifespan.startup.failed" and not started.done():
                started.set_exception(RuntimeError("the application failed to start: " + message.get("message", "")))
            elif kind.startswith("lifespan.shutdown") and not self._stopped.done():
                self._stopped.set_result(None)

        async def run():
            try:
                await self.application({"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}, self._told.get, told)
            except Exception as e:
                _log.line(10, "the application has no lifespan", error=repr(e))
            for future in (started, self._stopped):
                if not future.done():
                    future.set_result(False)

        self._task = asyncio.get_running_loop().create_task(run())
        return await started

    async def shutdown(self):
        if self._task is None or self._task.done():
            return
        await self._told.put({"type": "lifespan.shutdown"})
        await asyncio.wait([self._stopped], timeout=10)
        self._task.cancel()


def starlette_function(function):
    """An ASGI application that calls a function with a Request of Starlette."""
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request

    from functions_framework._endpoint import is_async
    from functions_framework.response import answer_of

    handler, coroutine = function.call, is_async(function.call)

    async def application(scope, incoming, outgoing):
        if scope["type"] != "http":
            return
        request = Request(scope, incoming)
        value = await (handler(request) if coroutine else run_in_threadpool(handler, request))
        if hasattr(value, "raw_headers"):
            await value(scope, incoming, outgoing)
            return
        status, headers, body = answer_of(value)
        raw = [(_raw(k), _raw(v)) for k, v in headers]
        await outgoing({"type": "http.response.start", "status": status, "headers": raw})
        if isinstance(body, bytes):
            await outgoing({"type": "http.response.body", "body": body})
            return
        if hasattr(body, "__aiter__"):
            async for piece in body:
                await outgoing({"type": "http.response.body", "body": _raw(piece), "more_body": True})
        else:
            for piece in body:
                await outgoing({"type": "http.response.body", "body": _raw(piece), "more_body": True})
        await outgoing({"type": "http.response.body"})

    return application


def _raw(value):
    return value.encode("utf-8") if isinstance(value, str) else bytes(value)
