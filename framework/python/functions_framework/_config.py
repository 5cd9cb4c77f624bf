"""What the environment says."""

from functions_framework._errors import StartError

KINDS = ("http", "cloudevent", "openfunction", "typed", "event")
_LEVELS = {"debug": 10, "info": 20, "warn": 30, "error": 40}
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


class Config:
    """The settings of one process. grace is in seconds, max_body in bytes."""

    def __init__(self, environ):
        self.environ = environ
        self.target = environ.get("FUNCTION_TARGET") or environ.get("FUNC_NAME") or ""
        self.source = environ.get("FUNCTION_SOURCE") or environ.get("FUNC_SRC") or "."
        self.kind = environ.get("FUNCTION_SIGNATURE_TYPE") or environ.get("FUNC_TYPE") or ""
        if self.kind and self.kind.lower() not in KINDS:
            raise StartError("FUNCTION_SIGNATURE_TYPE is %r: it must be http, cloudevent, openfunction, typed or event" % self.kind)
        self.kind = {"event": "cloudevent"}.get(self.kind.lower(), self.kind.lower())
        self.grace = self._grace()
        self.level = self._level()
        self.max_body = self._number("OFN_MAX_BODY", 64 << 20)
        if self.max_body == 0:
            raise StartError("OFN_MAX_BODY is '0': it must be a number of bytes, 1 or more")
        self.concurrency = self._number("OFN_CONCURRENCY", 0)
        self.workers = self._number("OFN_WORKERS", 1) or 1
        self.threads = self._number("OFN_THREADS", 0) or min(self.concurrency or 40, 256)
        self.generic = self._generic()
        self.service = environ.get("K_SERVICE") or ""

    def port(self, of_context):
        """The TCP port; of_context is what the function's context says, or empty."""
        text = of_context or self.environ.get("PORT") or "8080"
        if not _digits(text, 5) or not 0 < int(text) < 65536:
            raise StartError("PORT is %r: it must be a number from 1 to 65535" % text)
        return int(text)

    def _number(self, name, default):
        text = self.environ.get(name) or str(default)
        if not _digits(text, 15):
            raise StartError("%s is %r: it must be a number" % (name, text))
        return int(text)

    def _grace(self):
        text = self.environ.get("OFN_GRACE") or "30s"
        number = text.rstrip("ms")
        unit = text[len(number):]
        if unit not in _UNITS or not _digits(number, 9) or int(number) == 0:
            raise StartError("OFN_GRACE is %r: it must be digits and a unit, such as 25s, 500ms or 1m" % text)
        return int(number) * _UNITS[unit]

    def _level(self):
        text = self.environ.get("OFN_LOG_LEVEL") or "info"
        if text not in _LEVELS:
            raise StartError("OFN_LOG_LEVEL is %r: it must be debug, info, warn or error" % text)
        return _LEVELS[text]

    def _generic(self):
        text = self.environ.get("OFN_GENERIC") or ""
        if text not in ("", "0", "1"):
            raise StartError("OFN_GENERIC is %r: it must be 1, or not be there" % text)
        return text == "1"


def _digits(text, most):
    return text.isascii() and text.isdigit() and len(text) <= most
