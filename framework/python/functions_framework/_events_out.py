"""Events that functions return, as answers carry them."""
import uuid

from functions_framework._json import dumps
from functions_framework.event import CORE, CloudEvent, decoded, is_json


def is_event(value):
    """Tells CloudEvents, ours and those of the cloudevents package, from other values."""
    return isinstance(value, CloudEvent) or (hasattr(value, "get_attributes") and hasattr(value, "get_data"))


def completed(value, handled, name):
    """The event that a function of that name returned when it handled an event, with what it lacks."""
    if isinstance(value, CloudEvent):
        event = value
    else:
        event = CloudEvent(value.get_attributes(), value.get_data())
    for attribute, default in (("id", str(uuid.uuid4())), ("source", "/" + name), ("type", handled["type"])):
        if not event.get(attribute):
            event[attribute] = default
    return event


def binary(event):
    """The headers and the body of an event."""
    headers = [(b"ce-" + name.encode("ascii"), escape(value)) for name, value in event.get_attributes().items() if name != "datacontenttype"]
    content_type, body = event.get("datacontenttype"), event.raw()
    if content_type is None and body and not isinstance(event.data, (bytes, bytearray)):
        content_type = "application/json" if not isinstance(event.data, str) else "text/plain; charset=utf-8"
    if content_type is not None:
        headers.append((b"Content-Type", content_type))
    return headers, body


def escape(value):
    """A value of a ce- header."""
    text = _text(value)
    out = bytearray()
    for byte in text.encode("utf-8", "surrogatepass"):
        if 0x21 <= byte <= 0x7E and byte not in b'"%':
            out.append(byte)
        else:
            out += b"%%%02X" % byte
    return bytes(out)


def _text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if hasattr(value, "isoformat"):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)


def as_json(event):
    """The members of an event's JSON form, in the order they are written in."""
    attributes = event.get_attributes()
    out = {name: _plain(attributes.pop(name)) for name in CORE}
    out.update((name, _plain(attributes[name])) for name in sorted(attributes))
    content_type = event.get("datacontenttype")
    raw = event.raw()
    if not raw:
        return out
    data = event.data
    if is_json(content_type):
        if not isinstance(data, (bytes, bytearray)):
            out["data"] = data
            return out
        data = decoded(bytes(data), content_type)
        if not isinstance(data, bytes):
            out["data"] = data
            return out
    elif content_type.lower().startswith("text/"):
        try:
            out["data"] = raw.decode("utf-8")
            return out
        except UnicodeDecodeError:
            pass
    import base64

    out["data_base64"] = base64.b64encode(raw).decode("ascii")
    return out


def _plain(value):
    return value if isinstance(value, (str, bool, int, float)) else _text(value)


def batch(events):
    return [(b"Content-Type", b"application/cloudevents-batch+json")], dumps([as_json(e) for e in events])
