"""The application: functions, where they are served, and what is answered for those paths that are none of them."""
import sys

from functions_framework import _signature
from functions_framework._errors import StartError
from functions_framework._route import Router, checked
from functions_framework._server.answer import plain


class App:
    """What a process serves. Until a function is set it answers that it is not specialised."""

    def __init__(self, config, context, specialise=None):
        """specialise(ex) takes a request for /_ofn/specialise, in a process that waits for its function."""
        self.config, self.context, self._specialise = config, context, specialise
        self.several, self.router, self.channel = False, None, None
        self.reactor = self.threads = self.loop = None
        self.applications, self.endpoints = [], []

    def serve(self, functions, targeted):
        """Sets the functions. StartError says what is wrong with them."""
        applications = [f for f in functions if f.kind in ("wsgi", "asgi")]
        if not applications:
            checked(functions)
        for f in functions:
            if f.kind not in ("wsgi", "asgi"):
                _signature.check(f.call, f.kind)
        self.several = len(functions) > 1
        alone = not self.several
        endpoints = [(f, self._endpoint(f)) for f in functions]
        placed = []
        for f, endpoint in endpoints:
            placed.append((None if alone and f.path == "/" else f.path, endpoint, f.methods))
            if alone and targeted and f.path != "/":
                placed.append(("/", endpoint, f.methods))
        if self.context.is_async:
            self._listen_to_events(endpoints)
        self.endpoints = [e for _, e in endpoints]
        self.applications = [e for e in self.endpoints if hasattr(e, "lifespan")]
        self.router = Router(placed)
        return any(e.is_async for _, e in endpoints)

    def _listen_to_events(self, endpoints):
        takers = [e for f, e in endpoints if f.kind == "openfunction"]
        if not takers:
            return
        if len(takers) > 1:
            raise StartError("events call one function, but there are %d: choose one with FUNCTION_TARGET" % len(takers))
        from functions_framework._dapr import Channel

        self.channel = Channel(self, takers[0])

    def _endpoint(self, f):
        if f.kind == "wsgi":
            from functions_framework._wsgi import WSGI

            return WSGI(f, self)
        if f.kind == "asgi":
            from functions_framework._asgi import ASGI

            return ASGI(f, self)
        if f.kind == "openfunction":
            from functions_framework._calls_openfunction import OpenFunction

            self._name_plugins()
            return OpenFunction(f, self)
        if f.kind == "http":
            return self._http(f)
        from functions_framework import _calls_event

        if f.kind == "typed":
            if f.input_type is None:
                f.input_type = _signature.input_type(f.call)
            return _calls_event.Typed(f, self)
        endpoint = _calls_event.Event(f, self)
        endpoint.real = _calls_event.real_class(f.call)
        return endpoint

    def _http(self, f):
        from functions_framework._calls import HTTP

        flask, starlette = sys.modules.get("flask"), sys.modules.get("starlette.requests")
        if getattr(f.call, "wants_starlette", False):
            import importlib.util

            wanted = importlib.util.find_spec("starlette") is not None
        else:
            wanted = starlette is not None and _signature.annotation(f.call) == "Request" and _signature.annotated(f.call) is starlette.Request
        if wanted:
            from functions_framework._asgi import ASGI, starlette_function

            return ASGI(type(f)(f.name, starlette_function(f), "asgi", f.path, f.methods), self)
        endpoint = HTTP(f, self)
        if flask is not None and not endpoint.is_async:
            from functions_framework._wsgi import WSGI, flask_function

            return WSGI(type(f)(f.name, flask_function(f), "wsgi", f.path, f.methods), self)
        return endpoint

    def _name_plugins(self):
        from functions_framework import _log, plugins

        for name in dict.fromkeys(self.context.pre_plugins + self.context.post_plugins):
            if name not in plugins.declared:
                _log.line(30, "plugin failed", plugin=name, phase="before", error="there is no plugin of this name: it is left out")

    # -- in the reactor's thread

    def dispatch(self, ex):
        """Gives a request to the function that it is for, or answers it."""
        path = ex.raw_target.partition(b"?")[0]
        if not path.startswith(b"/") and b"://" in path:
            rest = path.split(b"://", 1)[1]
            path = rest[rest.find(b"/"):] if b"/" in rest else b"/"
        if path.startswith(b"/_ofn/") or ex.probe == b"queue" or path == b"*":
            return self._reserved(ex, path)
        if self.router is None:
            headers, body = plain("not specialised")
            return self.reactor.reply(ex, 503, headers + [(b"Retry-After", b"1")], body)
        found = self.channel.find(ex, path.decode("latin-1")) if self.channel is not None else None
        if found is None:
            found = self.router.find(ex, path)
        if type(found) is tuple:
            return self.reactor.reply(ex, *found)
        ex.endpoint = found
        (self.loop if found.is_async else self.threads).submit(ex)
        return None

    def _reserved(self, ex, path):
        draining, waiting = self.reactor.draining, self.router is None
        status, text = 404, "not found"
        if ex.probe == b"queue":
            status, text = (503, "draining") if draining else (503, "not specialised") if waiting else (200, "queue")
        elif path == b"*":
            return self.reactor.reply(ex, 200 if ex.method == "OPTIONS" else 400, [], b"")
        elif path == b"/_ofn/health":
            status, text = (503, "draining") if draining else (200, "ok")
        elif path == b"/_ofn/ready":
            status, text = (503, "draining") if draining else (503, "not specialised") if waiting else (200, "ok")
        elif path == b"/_ofn/specialise" and draining:
            status, text = 503, "draining"
        elif path == b"/_ofn/specialise" and self._specialise is not None:
            return self._specialise(ex)
        headers, body = plain(text, newline=text != "queue")
        return self.reactor.reply(ex, status, headers, body)
