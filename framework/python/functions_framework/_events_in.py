"""CloudEvents as requests carry them: binary, structured, batch, and the older ones of Google Cloud."""
import json
import re

from functions_framework.event import CORE, CloudEvent, decoded, is_json

_NAME = re.compile("[a-z0-9]+")
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(\.\d+)?([Zz]|[+-](\d\d):(\d\d))")
_ESCAPED = re.compile(b"%([0-9A-Fa-f]{2})")
_NO_EVENT = ("the request is not a CloudEvent: send the ce- headers, or the content type application/cloudevents+json or "
             "application/cloudevents-batch+json")


class EventError(Exception):
    """The request holds no event that can be handled: the status and text of the answer."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status, self.text = status, text


def kind_of(content_type, is_binary):
    """batch, structured or binary, or an empty string. EventError for a CloudEvents format that is unknown here."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/cloudevents-batch+json":
        return "batch"
    if kind == "application/cloudevents+json":
        return "structured"
    if kind.startswith("application/cloudevents"):
        raise EventError(415, _NO_EVENT)
    return "binary" if is_binary else ""


def read(exchange, body):
    """The events of a request, all of them checked, and whether they came as a batch."""
    content_type = (exchange.header(b"content-type") or b"").decode("latin-1")
    kind = kind_of(content_type, exchange.header(b"ce-specversion") is not None)
    if kind == "batch":
        return _batch(body), True
    if kind == "structured":
        return [one(_loads(body, "the CloudEvent is not a JSON object: %s"))], False
    if kind == "binary":
        return [_binary(exchange.headers, content_type, body)], False
    from functions_framework import _legacy

    event = _legacy.read(body)
    if event is None:
        raise EventError(415, _NO_EVENT)
    return [event], False


def one(value):
    """The event of its JSON form. EventError when it is none."""
    if not isinstance(value, dict):
        raise EventError(400, "the CloudEvent is not a JSON object: it is %s" % _type(value))
    return _from_json(value, "the CloudEvent")


def _batch(body):
    values = _loads(body, "the batch is not a JSON array of CloudEvents: %s")
    if not isinstance(values, list):
        raise EventError(400, "the batch is not a JSON array of CloudEvents: it is %s" % _type(values))
    events = []
    for i, value in enumerate(values, 1):
        subject = "CloudEvent %d of %d" % (i, len(values))
        if not isinstance(value, dict):
            raise EventError(400, "%s is not a JSON object: it is %s" % (subject, _type(value)))
        events.append(_from_json(value, subject))
    return events


def _loads(body, text):
    try:
        return json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as e:
        raise EventError(400, text % (str(e).replace("\n", " ") or "it cannot be read")) from None


def _type(value):
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _binary(headers, content_type, body):
    attributes = {}
    for name, value in headers:
        if name.startswith(b"ce-") and name != b"ce-datacontenttype":
            name = name[3:].decode("latin-1")
            if name.isascii() and name.isalnum():
                attributes[name] = _unescape(value)
    if content_type:
        attributes["datacontenttype"] = content_type
    _check(attributes, "the CloudEvent")
    return CloudEvent(attributes, decoded(body, content_type), body)


def _unescape(value):
    plain = _ESCAPED.sub(lambda m: bytes((int(m.group(1), 16),)), value)
    try:
        return plain.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _from_json(value, subject):
    attributes = {k: v for k, v in value.items() if k not in ("data", "data_base64") and v is not None}
    _check(attributes, subject)
    if "data_base64" not in value:
        data = value.get("data")
        if data is not None:
            attributes.setdefault("datacontenttype", "application/json")
        return CloudEvent(attributes, data)
    content_type = attributes.get("datacontenttype")
    import base64

    text = value["data_base64"]
    try:
        if "data" in value or not isinstance(text, str):
            raise ValueError
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raise EventError(400, subject + " has invalid data") from None
    return CloudEvent(attributes, decoded(raw, content_type) if is_json(content_type) else raw, raw)


def _check(attributes, subject):
    for name in CORE:
        if attributes.get(name) in (None, ""):
            raise EventError(400, "%s lacks the attribute %s" % (subject, name))
    version = attributes["specversion"]
    if version != "1.0":
        shown = version if isinstance(version, str) else json.dumps(version)
        raise EventError(400, '%s has the specversion "%s", but 1.0 is needed' % (subject, shown))
    for name in sorted(attributes):
        value = attributes[name]
        if isinstance(value, (dict, list)) or not _NAME.fullmatch(name) or (name == "time" and not _is_time(value)):
            raise EventError(400, "%s has an invalid attribute %s" % (subject, name))


def _is_time(value):
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return False
    year, month, day, hour, minute, second = (int(g) for g in match.groups()[:6])
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    offset = (int(match.group(9) or 0), int(match.group(10) or 0))
    return 1 <= month <= 12 and 1 <= day <= days[month - 1] and hour < 24 and minute < 60 and second < 61 and offset[0] < 24 and offset[1] < 60
