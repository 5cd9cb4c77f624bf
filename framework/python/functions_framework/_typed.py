"""Values of typed functions, of JSON and to JSON."""

_PLAIN = {"str": str, "int": int, "float": (int, float), "bool": bool, "dict": dict, "list": list}


def convert(value, wanted):
    """Makes the value that a function takes. TypeError and ValueError say why it cannot be made."""
    if wanted is None or wanted is object:
        return value
    if hasattr(wanted, "from_dict"):
        return wanted.from_dict(value)
    if hasattr(wanted, "model_validate"):  # pydantic
        return wanted.model_validate(value)
    fields = getattr(wanted, "__dataclass_fields__", None)
    if fields is not None:
        return _dataclass(value, wanted, fields)
    check(value, wanted, "it")
    return value


def _dataclass(value, wanted, fields):
    check(value, dict, "it")
    for name, field in fields.items():
        if name in value:
            check(value[name], field.type, name)
    try:
        return wanted(**value)
    except TypeError as e:
        raise TypeError(str(e).replace("__init__() ", "")) from None


def check(value, wanted, name):
    """Compares a value with a plain type, given as the type or its name; other types are left to the function."""
    plain = _PLAIN.get(wanted if isinstance(wanted, str) else getattr(wanted, "__name__", ""))
    if plain is None:
        return
    if not isinstance(value, plain) or (isinstance(value, bool) and plain is not bool):
        shown = wanted if isinstance(wanted, str) else wanted.__name__
        raise TypeError("%s must be %s, not %s" % (name, shown, type(value).__name__))


def plain_value(value):
    """What JSON is made of, of what a function returned."""
    for name in ("to_dict", "model_dump"):
        method = getattr(value, name, None)
        if method is not None:
            return method()
    if hasattr(value, "__dataclass_fields__"):
        from dataclasses import asdict

        return asdict(value)
    return value
