"""The openfunction signature: over HTTP, and for the events that Dapr hands on."""
from functions_framework import _events_in, _log, plugins
from functions_framework._call import STATUS, crash_answer, crashed, failed
from functions_framework._calls import awaited
from functions_framework._endpoint import Endpoint, code_of
from functions_framework._json import dumps
from functions_framework._server.answer import plain
from functions_framework.context.runtime_context import RuntimeContext
from functions_framework.context.user_context import UserContext
from functions_framework.event import CloudEvent, raw_data
from functions_framework.openfunction.function_out import FunctionOut
from functions_framework.response import Abort, Response

_TEXT, _BINARY = b"text/plain; charset=utf-8", b"application/octet-stream"
_CONTROL = frozenset(range(32)) - {9, 10, 13} | {127}


class OpenFunction(Endpoint):
    def __init__(self, function, app):
        super().__init__(function, app)
        code = code_of(function.call)
        method = code is not None and code.co_varnames[:1] == ("self",)
        self.takes_data = code is None or code.co_argcount - method > 1
        self.runtime = RuntimeContext(app.context)

    # -- over HTTP

    def serve(self, ex, call):
        ctx, refusal = self.context_of(ex, call, self.body(ex))
        self.answer(ex, *(refusal or self.run(ctx, call)))

    async def aserve(self, ex, call):
        ctx, refusal = self.context_of(ex, call, await self.abody(ex))
        await self.aanswer(ex, *(refusal or await self.arun(ctx, call)))

    def context_of(self, ex, call, body):
        request = self.request(ex, call, body)
        event, data, refusal = None, body, None
        content_type = (ex.header(b"content-type") or b"").decode("latin-1")
        try:
            kind = _events_in.kind_of(content_type, ex.header(b"ce-specversion") is not None)
            if kind in ("structured", "binary"):
                event = _events_in.read(ex, body)[0][0]
                data = event.raw()
        except _events_in.EventError as e:
            if e.status == 400:
                headers, text = plain(e.text)
                refusal = (e.status, headers, text)
        if event is None:
            event = CloudEvent({"datacontenttype": content_type or "application/json"}, body, body)
        return UserContext(self.runtime, http_request=request, data=data, event=event, call=call), refusal

    def run(self, ctx, call):
        """Calls the function with its hooks and returns the answer."""
        hooks = Hooks(self.app, ctx)
        hooks.before()
        try:
            value = self.handler(ctx, ctx.data) if self.takes_data else self.handler(ctx)
            return self.judge(ctx, awaited(value), call)
        except BaseException as e:
            ctx.error = e
            return self.broken(e, call)
        finally:
            hooks.after()

    async def arun(self, ctx, call):
        hooks = Hooks(self.app, ctx)
        hooks.before()
        try:
            value = self.handler(ctx, ctx.data) if self.takes_data else self.handler(ctx)
            return self.judge(ctx, await value if hasattr(value, "__await__") else value, call)
        except BaseException as e:
            if type(e).__name__ == "CancelledError":
                raise
            ctx.error = e
            return self.broken(e, call)
        finally:
            hooks.after()

    @staticmethod
    def broken(error, call):
        if isinstance(error, Abort):
            return error.response.status_code, error.response.headers.items(), error.response.get_data()
        return crash_answer(crashed(call, error))

    def judge(self, ctx, value, call):
        """The answer of what a function returned, which is in ctx.out afterwards."""
        if isinstance(value, FunctionOut):
            ctx.out = value
        elif isinstance(value, Response):
            return value.status_code, value.headers.items() + [(STATUS, _status(value.status_code))], value.get_data()
        elif isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], int):
            ctx.out.data, ctx.out.code = value
        elif value is not None:
            ctx.out.data = value
        out = ctx.out
        data, content_type = _data(out)
        code = out.code or 200
        if not 200 <= code <= 599:
            code = 500
        if out.error is not None:
            ctx.error = out.error
            error_id = failed(call, str(out.error))
            code = max(code, 500) if code < 400 else code
            if out.data is None:
                return crash_answer(error_id, b"error", code)
        headers = [(STATUS, _status(code))]
        if data:
            headers.append((b"Content-Type", content_type))
        return code, headers, data

    # -- for events

    def event(self, ctx, call):
        """Calls the function with an event. Returns whether it succeeded, its data, and whether it asks for the event again."""
        answer = self.run(ctx, call)
        return self.event_outcome(ctx, answer)

    @staticmethod
    def event_outcome(ctx, answer):
        ok = ctx.error is None and answer[0] < 500
        retry = str((ctx.out.metadata or {}).get("retry", "")).lower() == "true"
        return ok, answer[2], retry


def _status(code):
    return b"error" if code >= 400 else b"success"


def _data(out):
    """The bytes of a result, and their content type."""
    data = out.data
    if data is None:
        return b"", _TEXT
    if isinstance(data, (str, bytes, bytearray, memoryview)):
        raw = raw_data(data, None)
        content_type = _TEXT
        if not isinstance(data, str) or not _CONTROL.isdisjoint(raw):
            content_type = _TEXT if _is_text(raw) else _BINARY
    else:
        raw, content_type = dumps(data), b"application/json"
    return raw, out.content_type or content_type


def _is_text(raw):
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return _CONTROL.isdisjoint(raw)


class Hooks:
    """The plugins of one call: one instance for each name, shared by both phases."""

    __slots__ = ("_app", "_ctx", "_state")

    def __init__(self, app, ctx):
        self._app, self._ctx, self._state = app, ctx, None

    def before(self):
        context = self._app.context
        if not (context.pre_plugins or context.post_plugins):
            return
        self._state = {}
        for name in list(context.pre_plugins) + list(context.post_plugins):
            made = plugins.declared.get(name)
            if made is not None and name not in self._state:
                self._guard(name, "before", lambda made=made, name=name: self._make(made, name))
        self._each(context.pre_plugins, "before", "exec_pre_hook")

    def after(self):
        if self._state:
            self._each(self._app.context.post_plugins, "after", "exec_post_hook")

    def _make(self, cls, name):
        self._state[name] = made = cls()
        made.init()

    def _each(self, names, phase, hook):
        for name in names:
            instance = self._state.get(name)
            if instance is not None:
                self._guard(name, phase, lambda instance=instance: getattr(instance, hook)(self._ctx, self._state))

    @staticmethod
    def _guard(name, phase, f):
        try:
            f()
        except Exception as e:
            _log.line(30, "plugin failed", plugin=name, phase=phase, error="%s: %s" % (type(e).__name__, e))
