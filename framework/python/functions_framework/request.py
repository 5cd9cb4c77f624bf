"""What a function of the http signature is given, in the manner of Flask."""
import io

from functions_framework._values import Headers, MultiDict

MAX_FORM = 64 << 20


class BadRequest(Exception):
    """The client sent what cannot be read: answered with 400 and this text."""


class Request:
    """One request. Everything but method, path and headers is worked out when it is asked for."""

    __slots__ = ("method", "raw_path", "_target", "_raw", "view_args", "_body", "_headers", "_cache", "remote_addr", "scheme", "call", "pieces")

    def __init__(self, method="GET", target="/", headers=(), body=b"", view_args=None):
        """body is bytes, or a function that returns a file to read from. headers are pairs of bytes or text."""
        self.method, self._target, self._raw, self._body = method, target, headers, body
        self.raw_path = target.split("?", 1)[0]
        self.view_args = view_args or {}
        self._headers, self._cache, self.call, self.pieces = None, None, None, None
        self.remote_addr, self.scheme = None, "http"

    @property
    def request_id(self):
        """The id under which the platform knows the call."""
        return self.call.request_id if self.call else ""

    @property
    def deadline(self):
        """When the caller stops waiting, on the clock of time.monotonic, or None."""
        return self.call.deadline if self.call else None

    # -- the line and the headers

    @property
    def headers(self):
        if self._headers is None:
            self._headers = Headers(self._raw)
        return self._headers

    @property
    def path(self):
        if "%" not in self.raw_path and self.raw_path.isascii():
            return self.raw_path
        from urllib.parse import unquote

        return unquote(self.raw_path, errors="replace")

    @property
    def query_string(self):
        return self._target.partition("?")[2].encode("latin-1")

    @property
    def full_path(self):
        return self._target if "?" in self._target else self._target + "?"

    @property
    def host(self):
        return self.headers.get("Host", "")

    @property
    def url_root(self):
        return "%s://%s/" % (self.scheme, self.host)

    @property
    def base_url(self):
        return "%s://%s%s" % (self.scheme, self.host, self.raw_path)

    @property
    def url(self):
        return "%s://%s%s" % (self.scheme, self.host, self._target)

    @property
    def args(self):
        return self._once("args", lambda: _pairs(self._target.partition("?")[2]))

    @property
    def cookies(self):
        def parse():
            from http.cookies import CookieError, SimpleCookie

            try:
                jar = SimpleCookie(self.headers.get("Cookie", ""))
            except CookieError:
                return {}
            return {name: morsel.value for name, morsel in jar.items()}

        return self._once("cookies", parse)

    @property
    def content_type(self):
        return self.headers.get("Content-Type")

    @property
    def mimetype(self):
        return (self.content_type or "").partition(";")[0].strip().lower()

    @property
    def content_length(self):
        return self.headers.get("Content-Length", type=int)

    @property
    def is_json(self):
        kind = self.mimetype
        return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))

    # -- the body

    @property
    def stream(self):
        """The body as a file, for those who do not want it whole in memory."""
        if "data" in (self._cache or ()) or isinstance(self._body, bytes):
            return self._once("stream", lambda: io.BytesIO(self.get_data()))
        return self._once("stream", self._body)

    async def iterate(self):
        """The body in pieces, for coroutine functions: the only way to one that is larger than a function takes into memory."""
        if self.pieces is None:
            yield self.get_data()
            return
        async for piece in self.pieces:
            yield piece

    def get_data(self, cache=True, as_text=False, parse_form_data=False):
        data = self._once("data", lambda: self._body if isinstance(self._body, bytes) else self.stream.read())
        return data.decode("utf-8", "replace") if as_text else data

    @property
    def data(self):
        return self.get_data()

    def get_json(self, force=False, silent=False, cache=True):
        """The body as JSON; None when its type says that it is none, unless force."""
        if not (force or self.is_json):
            return None
        try:
            return self._once("json", self._loads)
        except ValueError as e:
            if silent:
                return None
            raise BadRequest("the body is not valid JSON: %s" % e) from None

    def _loads(self):
        from json import loads

        return loads(self.get_data())

    @property
    def json(self):
        return self.get_json()

    @property
    def form(self):
        return self._parts()[0]

    @property
    def files(self):
        return self._parts()[1]

    @property
    def values(self):
        return MultiDict(list(self.args.items(True)) + list(self.form.items(True)))

    def _parts(self):
        def parse():
            if self.mimetype == "application/x-www-form-urlencoded":
                return _pairs(self.get_data().decode("utf-8", "replace")), MultiDict()
            if self.mimetype != "multipart/form-data":
                return MultiDict(), MultiDict()
            from functions_framework._multipart import parse_form

            return parse_form(self.stream, self.content_type)

        return self._once("parts", parse)

    def _once(self, name, make):
        if self._cache is None:
            self._cache = {}
        if name not in self._cache:
            self._cache[name] = make()
        return self._cache[name]

    def __repr__(self):
        return "<Request %s %s>" % (self.method, self._target)


def _pairs(text):
    if not text:
        return MultiDict()
    from urllib.parse import parse_qsl

    return MultiDict(parse_qsl(text, keep_blank_values=True, errors="replace"))
