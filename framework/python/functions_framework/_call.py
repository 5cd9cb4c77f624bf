"""One call of a function: its ids, its deadline, its failure."""
import os
import time
from _contextvars import ContextVar

from functions_framework import _log
from functions_framework._server.answer import plain

ERROR_ID, STATUS, FUNCTION = b"X-OpenFunction-Error-Id", b"X-OpenFunction-Status", b"X-OpenFunction-Function"

_current = ContextVar("functions_framework.call")
_HEX = frozenset("0123456789abcdef")


def current():
    """The call whose handler runs here, or None."""
    return _current.get(None)


class Call:
    """Everything but the exchange is worked out when it is asked for."""

    __slots__ = ("exchange", "name", "began", "_request_id")

    def __init__(self, exchange, name):
        self.exchange, self.name, self.began = exchange, name, time.monotonic()
        self._request_id = None
        _current.set(self)

    @property
    def trace_id(self):
        """The trace id of a valid traceparent, or None."""
        text = (self.exchange.header(b"traceparent") or b"").decode("latin-1")
        parts = text.split("-")
        if len(parts) < 4 or [len(p) for p in parts[:4]] != [2, 32, 16, 2] or not all(_HEX.issuperset(p) for p in parts[:4]):
            return None
        if parts[0] == "ff" or (parts[0] == "00" and len(parts) > 4) or not parts[1].strip("0") or not parts[2].strip("0"):
            return None
        return parts[1]

    @property
    def request_id(self):
        if self._request_id is None:
            given = self.exchange.header(b"x-request-id") or b""
            if 1 <= len(given) <= 128 and all(0x21 <= c <= 0x7E for c in given):
                self._request_id = given.decode("ascii")
            else:
                self._request_id = self.trace_id or os.urandom(16).hex()
        return self._request_id

    @property
    def deadline(self):
        """When the caller stops waiting, on the clock of time.monotonic, or None."""
        text = self.exchange.header(b"x-openfunction-timeout-ms") or b""
        if not (1 <= len(text) <= 12 and text.isdigit()) or int(text) == 0:
            return None
        return self.began + int(text) / 1000

    def ids(self):
        out = {"function": self.name, "request_id": self.request_id}
        if self.trace_id is not None:
            out["trace_id"] = self.trace_id
        return out

    def where(self):
        ex = self.exchange
        return {"method": ex.method, "path": ex.raw_target.split(b"?", 1)[0].decode("utf-8", "backslashreplace")}


def crashed(call, error):
    """Logs an exception that left a function and returns the id under which it is found."""
    import traceback

    error_id = os.urandom(8).hex()
    stack = "".join(traceback.format_exception(type(error), error, _users(error.__traceback__)))
    said = "".join(traceback.format_exception_only(type(error), error)).strip()
    _log.line(40, "function crashed", id=error_id, error=said, stack=stack, **call.ids(), **call.where())
    return error_id


def failed(call, text):
    """Logs an error that a function returned, or that was found in what it returned."""
    error_id = os.urandom(8).hex()
    _log.line(40, "function failed", id=error_id, error=text, **call.ids(), **call.where())
    return error_id


def _users(trace):
    """The traceback from where the function's own code begins."""
    here = os.path.dirname(os.path.abspath(__file__))
    first = trace
    while first is not None and os.path.abspath(first.tb_frame.f_code.co_filename).startswith(here):
        first = first.tb_next
    return first or trace


def crash_answer(error_id, status=b"crash", code=500):
    """The answer to a failed call, as whole() takes it."""
    headers, body = plain("internal error, id " + error_id)
    return code, headers + [(ERROR_ID, error_id.encode()), (STATUS, status)], body
