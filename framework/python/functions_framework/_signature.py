"""What kind of function a callable is, told by what it takes."""
from functions_framework._endpoint import code_of, is_async
from functions_framework._errors import StartError

_TAKES = {
    "http": "one argument, the request", "cloudevent": "one argument, the event", "typed": "one argument, the value of the JSON",
    "openfunction": "a context, or a context and data",
}


def parameters(f):
    """The names of the arguments that may be given by position, and how many of them must be; None when nothing is known."""
    code = code_of(f)
    if code is None:
        return None, 0
    names = list(code.co_varnames[:code.co_argcount])
    bound = hasattr(f, "__self__") or not hasattr(f, "__code__")
    while hasattr(f, "func") and hasattr(f, "keywords"):
        names, bound, f = names[len(f.args):], False, f.func
    if bound and names:
        names = names[1:]
    if code.co_flags & 0x04:  # *args
        return None, 0
    target = getattr(f, "__func__", f)
    defaults = getattr(target, "__defaults__", None) or getattr(getattr(type(f), "__call__", None), "__defaults__", None) or ()
    return names, max(0, len(names) - len(defaults))


def annotation(f):
    """The name of the type of the first argument, or an empty string."""
    names, _ = parameters(f)
    value = _annotations(f).get(names[0]) if names else None
    if isinstance(value, str):
        return value.rpartition(".")[2].strip("'\"")
    return getattr(value, "__name__", "")


def annotated(f):
    """The type of the first argument itself, or None."""
    names, _ = parameters(f)
    value = _annotations(f).get(names[0]) if names else None
    return getattr(f, "__globals__", {}).get(value) if isinstance(value, str) else value


def _annotations(f):
    target = getattr(f, "__func__", f)
    if not hasattr(target, "__code__"):
        target = getattr(type(f), "__call__", f)
    return getattr(target, "__annotations__", None) or {}


def application(f):
    """asgi or wsgi for an application, empty for everything else."""
    names, required = parameters(f)
    if names is None:
        return ""
    if names[:2] == ["environ", "start_response"] or (len(names) == 2 and names[1] == "start_response"):
        return "wsgi"
    if names[:3] == ["scope", "receive", "send"] or (required == 3 and len(names) == 3 and is_async(f)):
        return "asgi"
    if names == ["scope"] and not is_async(f):
        return ""
    return ""


def kind(f, wanted):
    """http, cloudevent, openfunction or typed. wanted is what the environment says, or empty. StartError when f cannot be called so."""
    names, _ = parameters(f)
    found = wanted
    if not found:
        found = {"CloudEvent": "cloudevent", "UserContext": "openfunction"}.get(annotation(f), "")
    if not found and names is not None:
        if len(names) == 2 or names[:1] in (["context"], ["ctx"]):
            found = "openfunction"
    found = found or "http"
    check(f, found)
    return found


def check(f, found):
    """StartError when a function cannot be called as its kind is."""
    names, required = parameters(f)
    if names is None:
        return
    most = 2 if found == "openfunction" else 1
    if required <= most and len(names) >= 1:
        return
    code = code_of(f)
    name = getattr(f, "__name__", type(f).__name__)
    raise StartError("%s:%d: the function %r takes (%s), but a function of the %s signature takes %s" % (
        code.co_filename.rpartition("/")[2], code.co_firstlineno, name, ", ".join(names), found, _TAKES[found]))


def input_type(f):
    """The type of the value that a typed function takes, or None."""
    names, _ = parameters(f)
    value = _annotations(f).get(names[0]) if names else None
    if isinstance(value, str):
        value = getattr(f, "__globals__", {}).get(value, {"dict": dict, "list": list, "str": str, "int": int, "float": float, "bool": bool}.get(value))
    return value
