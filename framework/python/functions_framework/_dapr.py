"""Dapr: sending to its HTTP API, and the events that it hands on."""
import json
import os

from functions_framework import _events_in, _log
from functions_framework._endpoint import Endpoint
from functions_framework._json import dumps
from functions_framework._server.answer import plain
from functions_framework.context.user_context import UserContext
from functions_framework.event import raw_data


class DaprError(Exception):
    """Dapr refused what was sent."""


TRACE = ("traceparent", "tracestate", "baggage")


def trace_of(call, event):
    """The trace headers of a call: those of its request, otherwise the extensions of its event."""
    out = {}
    for name in TRACE if call else ():
        value = call.exchange.header(name.encode())
        if value:
            out[name] = value.decode("latin-1")
    if "traceparent" not in out and event is not None:
        out.update((name, str(event[name])) for name in TRACE if name in event)
    return out


def _current(trace):
    """The trace where the function's own OpenTelemetry has one, otherwise that of the call."""
    import sys

    if "opentelemetry.trace" not in sys.modules:
        return trace
    from opentelemetry import propagate

    own = {}
    propagate.inject(own)
    return own if "traceparent" in own else trace


def send(component, data, trace=None):
    """Sends data to an output and returns the answer as bytes. trace is headers that go with it. DaprError and OSError when that failed."""
    trace = _current(trace or {})
    if component.get_type() == "pubsub":
        content_type = "application/json"
        body = dumps(data) if not isinstance(data, (bytes, bytearray)) else bytes(data)
        if isinstance(data, (bytes, bytearray)) and not _json_or_none(bytes(data)):
            content_type = "application/octet-stream"
        query = "&".join("metadata.%s=%s" % (_quote(k), _quote(v)) for k, v in (component.metadata or {}).items())
        return _post("/v1.0/publish/%s/%s" % (_quote(component.component_name), _quote(component.topic)), query, body, {"Content-Type": content_type, **trace})
    raw = raw_data(data, None)
    value = _json_or_none(raw)
    body = {"operation": component.operation or "create", "metadata": component.metadata or {},
            "data": value[0] if value else raw.decode("utf-8", "surrogateescape")}
    return _post("/v1.0/bindings/" + _quote(component.component_name), "", dumps(body), {"Content-Type": "application/json", **trace})


def _json_or_none(raw):
    try:
        return (json.loads(raw),)
    except ValueError:
        return None


def _quote(text):
    from urllib.parse import quote

    return quote(str(text), safe="")


def _post(path, query, body, headers):
    import http.client

    host, port = os.environ.get("DAPR_HOST") or "127.0.0.1", os.environ.get("DAPR_HTTP_PORT") or "3500"
    token = os.environ.get("DAPR_API_TOKEN")
    if token:
        headers["dapr-api-token"] = token
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    try:
        connection.request("POST", path + ("?" + query if query else ""), body, headers)
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status >= 300:
        raise DaprError("Dapr answered %d to %s: %s" % (answer.status, path, text.decode("utf-8", "replace")[:500]))
    return text


def own_client():
    """The client of the package dapr. ImportError says what to add to the requirements."""
    try:
        from dapr.clients import DaprClient
    except ImportError:
        raise ImportError("get_dapr_client needs the package dapr: add it to the requirements of the function") from None
    address = "%s:%s" % (os.environ.get("DAPR_HOST") or "127.0.0.1", os.environ.get("DAPR_GRPC_PORT") or "50001")
    return DaprClient(address)


class BindingRequest:
    """The event of an input binding."""

    def __init__(self, data, metadata):
        self.data, self.metadata = data, metadata

    def text(self):
        return self.data.decode("utf-8", "replace")


class Channel:
    """The app channel: which paths of Dapr are answered here, and how."""

    def __init__(self, app, openfunction):
        context = app.context
        inputs = [(name, context.inputs[name]) for name in sorted(context.calls)]
        self.bindings = {"/" + c.component_name: Binding(app, openfunction, name) for name, c in inputs if c.get_type() == "bindings"}
        self.topics, self.subscriptions = {}, []
        for name, c in inputs:
            if c.get_type() == "pubsub":
                route = "/" + c.topic
                self.topics[route] = Topic(app, openfunction, name)
                entry = {"pubsubname": c.component_name, "topic": c.topic, "route": route}
                if c.metadata:
                    entry["metadata"] = c.metadata
                if c.dead_letter_topic:
                    entry["deadLetterTopic"] = c.dead_letter_topic
                self.subscriptions.append(entry)

    def find(self, ex, path):
        """The endpoint of a request of Dapr, an answer to it, or None."""
        if path == "/dapr/subscribe" and ex.method == "GET":
            return 200, [(b"Content-Type", b"application/json")], dumps(self.subscriptions)
        if path in self.bindings and ex.method == "OPTIONS":
            return 200, [], b""
        if ex.method == "POST":
            return self.bindings.get(path) or self.topics.get(path)
        return None


class FromDapr(Endpoint):
    """An input. Its function is called with the event of the request."""

    def __init__(self, app, openfunction, input_name):
        super().__init__(openfunction.function, app)
        self.openfunction, self.input_name = openfunction, input_name

    def serve(self, ex, call):
        ctx = self.context_of(ex, call, self.body(ex))
        self.answer(ex, *(self.reply(*self.openfunction.event(ctx, call)) if ctx else self.reply(False, b"", False)))

    async def aserve(self, ex, call):
        ctx = self.context_of(ex, call, await self.abody(ex))
        if ctx is None:
            return await self.aanswer(ex, *self.reply(False, b"", False))
        answer = await self.openfunction.arun(ctx, call)
        return await self.aanswer(ex, *self.reply(*self.openfunction.event_outcome(ctx, answer)))


class Binding(FromDapr):
    def context_of(self, ex, call, body):
        metadata = {k.decode("latin-1"): v.decode("latin-1") for k, v in ex.headers}
        event, data = _unwrapped(body)
        return UserContext(self.openfunction.runtime, binding_request=BindingRequest(body, metadata), data=data, event=event, input_name=self.input_name, call=call)

    @staticmethod
    def reply(ok, data, _):
        if ok:
            return 200, [], data
        headers, text = plain("the function failed")
        return 500, headers, text


class Topic(FromDapr):
    def context_of(self, ex, call, body):
        try:
            value = json.loads(body.decode("utf-8"))
            event = _events_in.one(value)
        except (ValueError, _events_in.EventError) as e:
            _log.line(30, "topic event dropped", error=str(e), **call.ids())
            return None
        _, data = _envelope(event)
        return UserContext(self.openfunction.runtime, topic_event=event, data=data, event=event, input_name=self.input_name, call=call)

    @staticmethod
    def reply(ok, _, retry):
        status = "SUCCESS" if ok else "RETRY" if retry else "DROP"
        return 200, [(b"Content-Type", b"application/json")], b'{"status":"%s"}\n' % status.encode()


def _unwrapped(body):
    """The CloudEvent that a payload holds and its data, or an event around the payload."""
    try:
        event = _events_in.one(json.loads(body.decode("utf-8")))
    except (ValueError, _events_in.EventError):
        return None, body
    return _envelope(event)


def _envelope(event):
    """The event and its data; those of OpenFunction's envelope where they are in one."""
    data = event.data
    if isinstance(data, dict) and "userData" in data and str(event["type"]).startswith("io.openfunction.function"):
        import base64

        try:
            return event, base64.b64decode(data["userData"], validate=True)
        except (ValueError, TypeError):
            pass
    return event, event.raw()
