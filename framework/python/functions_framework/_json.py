"""JSON as answers have it: compact, letters as they are."""
import json

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def dumps(value):
    """Bytes. A lone surrogate, which UTF-8 cannot say, is escaped. TypeError and ValueError as json has them."""
    text = _encode(value)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode("ascii")
