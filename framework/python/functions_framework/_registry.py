"""The functions that decorators declared, in the order of their declaration."""

_KINDS = ("http", "cloudevent", "openfunction", "typed")


class Function:
    """One function and how it is served: its kind, its path, and the methods it takes (an empty tuple is all of them)."""

    __slots__ = ("name", "call", "kind", "path", "methods", "input_type")

    def __init__(self, name, call, kind, path="/", methods=(), input_type=None):
        self.name, self.call, self.kind = name, call, kind
        self.path, self.methods, self.input_type = path, tuple(m.upper() for m in methods), input_type


class DeclarationError(Exception):
    """A decorator was used in a way that cannot be served. Its text is for the author of the function."""


declared = {}


def _declare(kind, function, path, methods, name, input_type=None):
    if not callable(function):
        raise DeclarationError("@%s stands before %r, which is no function" % (kind, function))
    name = name or function.__name__
    if not path.startswith("/"):
        raise DeclarationError("function %r: its path is %r, and must begin with /" % (name, path))
    for other in declared.values():
        if other.name == name and other.call is not function:
            raise DeclarationError("there are two functions named %r: give one of them another name" % name)
    declared[name] = Function(name, function, kind, path, methods, input_type)
    return function


def _decorator(kind, function, path, methods, name):
    if function is not None and not isinstance(function, str):
        return _declare(kind, function, path, methods, name)
    return lambda f: _declare(kind, f, path, methods, name or function)


def http(function=None, *, path="/", methods=(), name=None):
    """Declares a function of a request. It returns text, bytes, a dict or list (JSON), a Response, a tuple (body, status, headers), or a
    generator of pieces. path may hold variables, "/orders/{id}", which are in request.view_args."""
    return _decorator("http", function, path, methods, name)


def cloud_event(function=None, *, path="/", name=None):
    """Declares a function of a CloudEvent. Returning acknowledges it, raising does not; a CloudEventResult chooses the status."""
    return _decorator("cloudevent", function, path, (), name)


def openfunction(function=None, *, path="/", methods=(), name=None):
    """Declares a function of a UserContext, or of a UserContext and the data of the request or event."""
    return _decorator("openfunction", function, path, methods, name)


def typed(*args, path="/", methods=("POST",), name=None):
    """Declares a function of a value made of JSON, which returns a value that JSON is made of. The type of its argument is given here or
    by its annotation; a class with from_dict is asked to make it. A result with to_dict is asked for its JSON."""
    if len(args) == 1 and callable(args[0]) and not isinstance(args[0], type):
        return _declare("typed", args[0], path, methods, name)
    input_type = args[0] if args else None
    return lambda f: _declare("typed", f, path, methods, name, input_type)
