"""The signatures cloudevent and typed."""
from functions_framework import _events_in, _events_out
from functions_framework._call import crash_answer, crashed
from functions_framework._calls import awaited
from functions_framework._endpoint import Endpoint
from functions_framework._json import dumps
from functions_framework._server.answer import plain
from functions_framework.event import CloudEventResult
from functions_framework.response import Abort


def real_class(f):
    """The class CloudEvent of the cloudevents package where the module of f imported it, else None."""
    value = getattr(f, "__globals__", {}).get("CloudEvent")
    module = getattr(value, "__module__", "") or ""
    return value if module.split(".")[0] == "cloudevents" else None


class Event(Endpoint):
    """The events of a request are handled one after the other, in their order, also after a failure."""

    real = None  # the class CloudEvent of the cloudevents package, where the function imported it

    def events(self, ex, body):
        """The events, whether they are a batch, and what the client is told when there are none."""
        if ex.method not in ("POST", "PUT", "PATCH"):
            headers, text = plain("CloudEvents are sent with POST")
            return None, False, (405, [(b"Allow", b"PATCH, POST, PUT")] + headers, text)
        try:
            events, batch = _events_in.read(ex, body)
        except _events_in.EventError as e:
            headers, text = plain(e.text)
            return None, False, (e.status, headers, text)
        return events, batch, None

    def given(self, event):
        if self.real is None:
            return event
        attributes = event.get_attributes()
        if "time" in attributes and self.real.__module__.startswith("cloudevents.core"):  # version 2 wants it parsed
            from datetime import datetime

            attributes["time"] = datetime.fromisoformat(attributes["time"].upper().replace("Z", "+00:00"))
        return self.real(attributes, event.data)

    def serve(self, ex, call):
        events, batch, refusal = self.events(ex, self.body(ex))
        outcomes = []
        for event in events or ():
            try:
                outcomes.append(self.outcome(awaited(self.handler(self.given(event))), event))
            except BaseException as e:
                outcomes.append(self.crash(call, e))
        self.answer(ex, *(refusal or self.total(outcomes, batch)))

    async def aserve(self, ex, call):
        events, batch, refusal = self.events(ex, await self.abody(ex))
        outcomes = []
        for event in events or ():
            try:
                value = self.handler(self.given(event))
                outcomes.append(self.outcome(await value if hasattr(value, "__await__") else value, event))
            except BaseException as e:
                if type(e).__name__ == "CancelledError":
                    raise
                outcomes.append(self.crash(call, e))
        await self.aanswer(ex, *(refusal or self.total(outcomes, batch)))

    def outcome(self, value, event):
        """An answer and the event in it, of what a function returned."""
        if value is None:
            return (200, [], b""), None
        if _events_out.is_event(value):
            made = _events_out.completed(value, event, self.name)
            return (200,) + _events_out.binary(made), made
        if isinstance(value, CloudEventResult):
            return _chosen(value), None
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], int):
            return _chosen(CloudEventResult(value[1], value[0])), None
        return (200, [], b""), None  # such as "OK", which functions return out of habit

    def crash(self, call, error):
        if isinstance(error, CloudEventResult):
            return _chosen(error), None
        if isinstance(error, Abort):
            return (error.response.status_code, error.response.headers.items(), error.response.get_data()), None
        return crash_answer(crashed(call, error)), None

    @staticmethod
    def total(outcomes, batch):
        if not batch:
            return outcomes[0][0]
        worst = None
        for answer, _ in outcomes:
            if answer[0] >= 400 and (worst is None or answer[0] > worst[0]):
                worst = answer
        if worst is not None:
            return worst
        made = [event for _, event in outcomes if event is not None]
        return (200,) + _events_out.batch(made) if made else (200, [], b"")


def _chosen(result):
    from functions_framework.response import status_code

    text = result.text if isinstance(result.text, (bytes, bytearray)) else str(result.text).encode()
    headers = [(b"Content-Type", b"text/plain; charset=utf-8")] if text else []
    return status_code(result.status), headers, bytes(text)


class Typed(Endpoint):
    def serve(self, ex, call):
        value, refusal = self.value(ex, self.body(ex))
        self.answer(ex, *(refusal or self.result(awaited(self.handler(value)))))

    async def aserve(self, ex, call):
        value, refusal = self.value(ex, await self.abody(ex))
        if refusal is None:
            out = self.handler(value)
            refusal = self.result(await out if hasattr(out, "__await__") else out)
        await self.aanswer(ex, *refusal)

    def value(self, ex, body):
        from json import loads

        from functions_framework._typed import convert

        content_type = ex.header(b"content-type")
        kind = (content_type or b"").decode("latin-1").partition(";")[0].strip().lower()
        if content_type is not None and kind != "application/json" and not kind.endswith("+json"):
            headers, text = plain("this function takes JSON: send the content type application/json")
            return None, (415, headers, text)
        try:
            return convert(loads(body.decode("utf-8")), self.function.input_type), None
        except Exception as e:
            detail = (str(e) or type(e).__name__).replace("\n", " ")
            headers, text = plain("the request body is not the JSON that this function takes: " + detail)
            return None, (400, headers, text)

    @staticmethod
    def result(value):
        if value is None:
            return 204, [], b""
        from functions_framework._typed import plain_value

        return 200, [(b"Content-Type", b"application/json")], dumps(plain_value(value))
