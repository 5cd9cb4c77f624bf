"""How answers look on the wire."""
import time

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_lines = {code: ("HTTP/1.1 %d %s\r\n" % (code, phrase)).encode() for code, phrase in (
    (200, "OK"), (204, "No Content"), (404, "Not Found"), (500, "Internal Server Error"), (503, "Service Unavailable"))}
_date = (0, b"")

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def status_line(code):
    line = _lines.get(code)
    if line is None:
        from http import HTTPStatus

        try:
            phrase = HTTPStatus(code).phrase
        except ValueError:
            phrase = ""
        line = _lines[code] = ("HTTP/1.1 %d %s\r\n" % (code, phrase)).encode()
    return line


def date_line():
    global _date
    now = int(time.time())
    if _date[0] != now:
        t = time.gmtime(now)
        text = "Date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n" % (
            _DAYS[t.tm_wday], t.tm_mday, _MONTHS[t.tm_mon - 1], t.tm_year, t.tm_hour, t.tm_min, t.tm_sec)
        _date = (now, text.encode())
    return _date[1]


def header_lines(headers):
    """Header fields as they are sent. Text goes out as the bytes it came in as; ValueError for one that would end its line."""
    out = b""
    for pair in headers:
        try:
            line = _fields.get(pair)
        except TypeError:
            line, pair = None, tuple(pair)
        if line is None:
            line = _field(*pair)
            if len(_fields) < 1024 and len(line) < 128:
                _fields[pair] = line
        out += line
    return out


_fields = {}


def _field(name, value):
    if not isinstance(name, bytes):
        name = str(name).encode("latin-1")
    if not isinstance(value, bytes):
        value = str(value)
        try:
            value = value.encode("latin-1")
        except UnicodeEncodeError:
            value = value.encode("utf-8")
    if b"\n" in value or b"\r" in value or b"\0" in value or not name or any(c in name for c in b"\r\n\0 :"):
        raise ValueError("the header %r has a name or value that cannot be sent" % name.decode("latin-1"))
    return b"" if name.lower() in _ours else name + b": " + value + b"\r\n"


# What the server says itself of how an answer is sent.
_ours = frozenset((b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"date"))


def plain(text, newline=True):
    """The body and headers of an answer of the framework's own."""
    return [(b"Content-Type", b"text/plain; charset=utf-8"), (b"X-Content-Type-Options", b"nosniff")], \
        text.encode("utf-8", "replace") + (b"\n" if newline else b"")
