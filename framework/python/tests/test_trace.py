import sys
import types
import unittest
from unittest import mock

from functions_framework import CloudEvent, _dapr

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Call:
    def __init__(self, **headers):
        self.exchange = self
        self.headers = headers

    def header(self, name):
        return self.headers.get(name.decode())


class Trace(unittest.TestCase):
    def test_of_call(self):
        event = CloudEvent({"id": "1", "source": "s", "type": "t", "traceparent": "other", "tracestate": "s=1"})
        self.assertEqual(_dapr.trace_of(Call(traceparent=PARENT.encode(), baggage=b"a=b"), event), {"traceparent": PARENT, "baggage": "a=b"})
        self.assertEqual(_dapr.trace_of(Call(), event), {"traceparent": "other", "tracestate": "s=1"})
        self.assertEqual(_dapr.trace_of(None, None), {})

    def test_own_span(self):
        self.assertEqual(_dapr._current({"traceparent": PARENT}), {"traceparent": PARENT})
        package = types.ModuleType("opentelemetry")
        package.propagate = types.SimpleNamespace(inject=lambda headers: headers.update(traceparent="mine"))
        with mock.patch.dict(sys.modules, {"opentelemetry": package, "opentelemetry.trace": types.ModuleType("opentelemetry.trace")}):
            self.assertEqual(_dapr._current({"traceparent": PARENT}), {"traceparent": "mine"})
            package.propagate.inject = lambda headers: None  # no span is active
            self.assertEqual(_dapr._current({"traceparent": PARENT}), {"traceparent": PARENT})


if __name__ == "__main__":
    unittest.main()
