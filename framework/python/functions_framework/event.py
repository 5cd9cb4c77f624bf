"""CloudEvents: what a function of the cloudevent signature is given, and what it may return."""
from functions_framework._json import dumps

CORE = ("specversion", "id", "source", "type")


class CloudEvent:
    """An event: its attributes as a mapping, event["type"], and its data. data is the JSON value where the content type is JSON, text for
    text/…, and bytes otherwise."""

    __slots__ = ("_attributes", "data", "_raw")

    def __init__(self, attributes, data=None, raw=None):
        self._attributes = {str(k).lower(): v for k, v in dict(attributes).items() if v is not None}
        self._attributes.setdefault("specversion", "1.0")
        self.data, self._raw = data, raw

    def __getitem__(self, name):
        return self._attributes[name]

    def __setitem__(self, name, value):
        self._attributes[name.lower()] = value

    def __delitem__(self, name):
        del self._attributes[name]

    def __contains__(self, name):
        return name in self._attributes

    def __iter__(self):
        return iter(self._attributes)

    def __len__(self):
        return len(self._attributes)

    def get(self, name, default=None):
        return self._attributes.get(name, default)

    def get_attributes(self):
        return dict(self._attributes)

    def get_data(self):
        return self.data

    def __eq__(self, other):
        return isinstance(other, CloudEvent) and self._attributes == other._attributes and self.data == other.data

    __hash__ = None

    def __getattr__(self, name):
        try:
            return self._attributes[name]
        except KeyError:
            raise AttributeError("the event has no attribute " + repr(name)) from None

    def __repr__(self):
        return "CloudEvent(%r, %r)" % (self._attributes, self.data)

    def raw(self):
        """The data as bytes, as they came where nothing changed them."""
        if self._raw is not None:
            try:
                if decoded(self._raw, self.get("datacontenttype")) == self.data:
                    return self._raw
            except ValueError:
                pass
        return raw_data(self.data, self.get("datacontenttype"))


class CloudEventResult(Exception):
    """Returned or raised by a function of an event: the status of the answer, 200 to 599, and the text of its body."""

    def __init__(self, status, text=""):
        super().__init__(status, text)
        self.status, self.text = status, text


def is_json(content_type):
    kind = (content_type or "").partition(";")[0].strip().lower()
    return kind in ("", "application/json", "text/json") or kind.endswith("+json")


def decoded(raw, content_type):
    """Data as a function has them, of bytes. JSON that is none stays bytes."""
    if not raw:
        return None
    if is_json(content_type):
        from json import loads

        try:
            return loads(raw)
        except ValueError:
            return raw
    if content_type.lower().startswith("text/"):
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return raw
    return raw


def raw_data(data, content_type):
    """Bytes of data as a function has them."""
    if data is None:
        return b""
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    if isinstance(data, str) and not (content_type and is_json(content_type)):
        return data.encode("utf-8")
    return dumps(data)
