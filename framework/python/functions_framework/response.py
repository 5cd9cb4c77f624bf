"""Answers of functions, and how what a function returns becomes one."""
from functions_framework._json import dumps
from functions_framework._values import Headers

TEXT = "text/html; charset=utf-8"
JSON = "application/json"
_TEXT_HEADERS = (("Content-Type", TEXT),)
_JSON_HEADERS = (("Content-Type", JSON),)


class Response:
    """An answer. response is text, bytes, or something to iterate over whose pieces are sent as they come."""

    def __init__(self, response=None, status=None, headers=None, mimetype=None, content_type=None):
        self.response = b"" if response is None else response
        self.status_code = status_code(200 if status is None else status)
        self.headers = Headers(headers)
        if content_type is None and mimetype is not None:
            content_type = mimetype + "; charset=utf-8" if mimetype.startswith("text/") else mimetype
        if content_type is not None:
            self.headers["Content-Type"] = content_type
        elif "Content-Type" not in self.headers:
            self.headers["Content-Type"] = TEXT

    @property
    def status(self):
        from http import HTTPStatus

        try:
            return "%d %s" % (self.status_code, HTTPStatus(self.status_code).phrase.upper())
        except ValueError:
            return str(self.status_code)

    @status.setter
    def status(self, value):
        self.status_code = status_code(value)

    @property
    def data(self):
        return self.get_data()

    @data.setter
    def data(self, value):
        self.response = value

    def get_data(self, as_text=False):
        if not isinstance(self.response, (bytes, bytearray, str)):
            self.response = b"".join(p.encode() if isinstance(p, str) else bytes(p) for p in self.response)
        data = self.response.encode() if isinstance(self.response, str) else bytes(self.response)
        return data.decode("utf-8", "replace") if as_text else data

    def get_json(self):
        from json import loads

        return loads(self.get_data())

    @property
    def content_type(self):
        return self.headers.get("Content-Type")

    @content_type.setter
    def content_type(self, value):
        self.headers["Content-Type"] = value

    mimetype = property(lambda self: (self.content_type or "").split(";")[0].strip())

    def set_cookie(self, key, value="", max_age=None, expires=None, path="/", domain=None, secure=False, httponly=False, samesite=None):
        from http.cookies import SimpleCookie

        morsel = SimpleCookie({key: value})[key]
        given = {"max-age": max_age, "expires": expires, "path": path, "domain": domain, "samesite": samesite}
        morsel.update({name: v for name, v in given.items() if v is not None})
        morsel["secure"], morsel["httponly"] = secure, httponly
        self.headers.add("Set-Cookie", morsel.OutputString())

    def delete_cookie(self, key, path="/", domain=None):
        self.set_cookie(key, "", max_age=0, expires="Thu, 01 Jan 1970 00:00:00 GMT", path=path, domain=domain)


def jsonify(*args, **kwargs):
    """A Response of JSON: of one value, of several as a list, or of keywords."""
    value = kwargs if kwargs or not args else args[0] if len(args) == 1 else list(args)
    return Response(dumps(value), content_type=JSON)


class Abort(Exception):
    """Raised by abort: ends a function with an answer that is no failure of it."""

    def __init__(self, response):
        super().__init__("answered with %d" % response.status_code)
        self.response = response


def abort(status, description=None):
    """Ends the function with a status, or with a Response."""
    if isinstance(status, Response):
        raise Abort(status)
    from http import HTTPStatus

    raise Abort(Response(description or HTTPStatus(status).phrase, status, mimetype="text/plain"))


def status_code(value):
    """The number of a status: 404, "404 Not Found", HTTPStatus.NOT_FOUND."""
    try:
        code = int(value.split(None, 1)[0]) if isinstance(value, str) else int(value)
    except (ValueError, TypeError, IndexError):
        code = 0
    if not 200 <= code <= 599:
        raise ValueError("%r is no status that can be answered: want 200 to 599" % (value,))
    return code


def answer_of(value):
    """What a function returned, as (status, headers as a list of pairs, body). The body is bytes, or an iterable of pieces.
    TypeError says what was wrong with it."""
    kind = type(value)
    if kind is str:
        return 200, _TEXT_HEADERS, value.encode()
    if kind is bytes:
        return 200, _TEXT_HEADERS, value
    if isinstance(value, Response):
        return value.status_code, value.headers.items(), body_of(value.response)
    if isinstance(value, (dict, list, int, float)):
        return 200, _JSON_HEADERS, dumps(value)
    if value is None:
        return 200, [], b""
    if isinstance(value, tuple):
        return _tuple(value)
    foreign = _foreign(value)
    return foreign if foreign is not None else (200, _TEXT_HEADERS, body_of(value))


def _foreign(value):
    """The responses of Starlette and Werkzeug, told by what they have, as neither need be there."""
    raw = getattr(value, "raw_headers", None)
    if raw is not None and hasattr(value, "status_code"):
        return value.status_code, list(raw), value.body_iterator if hasattr(value, "body_iterator") else value.body
    if hasattr(value, "iter_encoded") and hasattr(value, "headers"):
        whole = not getattr(value, "is_streamed", False)
        return value.status_code, list(value.headers), b"".join(value.iter_encoded()) if whole else value.iter_encoded()
    return None


def _tuple(value):
    status, extra = None, None
    if len(value) == 3:
        body, status, extra = value
    elif len(value) == 2:
        body, second = value
        if isinstance(second, (dict, list, tuple, Headers)) or hasattr(second, "items"):
            extra = second
        else:
            status = second
    else:
        raise TypeError("the function returned a tuple of %d: want (body, status), (body, headers) or (body, status, headers)" % len(value))
    code, headers, data = answer_of("" if body is None else body)
    merged = Headers(headers)
    merged.update(extra or ())
    return (code if status is None else status_code(status)), merged.items(), data


def body_of(value):
    if isinstance(value, str):
        return value.encode()
    if value is None:
        return b""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if hasattr(value, "__iter__") or hasattr(value, "__aiter__") or hasattr(value, "__next__"):
        return value
    raise TypeError("the function returned %s, which is no answer: return text, bytes, a dict, a Response or a tuple" % type(value).__name__)
