"""JSON as answers have it: compact, letters as they are."""

_encoders = []


def dumps(value):
    """Bytes. A lone surrogate, which UTF-8 cannot say, is escaped. TypeError and ValueError as json has them."""
    if not _encoders:
        from json import JSONEncoder  # many functions never need it

        _encoders.extend(JSONEncoder(ensure_ascii=ascii_only, separators=(",", ":")).encode for ascii_only in (False, True))
    text = _encoders[0](value)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return _encoders[1](value).encode("ascii")
