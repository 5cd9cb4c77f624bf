"""Which function a path and a method belong to."""
from functions_framework._errors import StartError
from functions_framework._server.answer import plain

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_NAME = frozenset(_LETTERS + "0123456789-_")


class Router:
    """The functions of one application, in the order of their declaration."""

    def __init__(self, placed):
        """placed are (pattern, endpoint, methods); the pattern None is every path."""
        self._everywhere = placed[0][1] if len(placed) == 1 and placed[0][0] is None and not placed[0][2] else None
        self._routes = [(None if pattern is None else compiled(pattern), endpoint, frozenset(methods)) for pattern, endpoint, methods in placed]

    def find(self, ex, raw_path):
        """The endpoint of a request, with the variables of its path in ex.view_args; or the answer when there is none."""
        if self._everywhere is not None:
            return self._everywhere
        path = raw_path.decode("latin-1")
        if "%" in path:
            from urllib.parse import unquote

            path = unquote(path, errors="surrogateescape")
        allowed = set()
        for pattern, endpoint, methods in self._routes:
            match = pattern.fullmatch(path) if pattern is not None else None
            if match is None and pattern is not None:
                continue
            if methods and ex.method not in methods:
                allowed |= methods
                continue
            if match is not None and pattern.groupindex:
                ex.view_args = match.groupdict()
            return endpoint
        if allowed:
            headers, body = plain("method not allowed")
            return 405, [(b"Allow", ", ".join(sorted(allowed)).encode())] + headers, body
        headers, body = plain("no function is served at this path")
        return 404, headers, body


def compiled(pattern):
    """The expression of a path with {name} and {name:expression}. ValueError says what is wrong with it."""
    import re

    out, at = "", 0
    while at < len(pattern):
        if pattern[at] != "{":
            end = pattern.find("{", at)
            end = len(pattern) if end < 0 else end
            out, at = out + re.escape(pattern[at:end]), end
            continue
        end, depth = at, 0
        while end < len(pattern):
            depth += {"{": 1, "}": -1}.get(pattern[end], 0)
            end += 1
            if depth == 0:
                break
        if depth:
            raise ValueError("a { is not closed")
        name, _, expression = pattern[at + 1:end - 1].partition(":")
        if not name.isidentifier():
            raise ValueError("%r is no name of a variable" % name)
        out, at = out + "(?P<%s>%s)" % (name, expression or "[^/]+"), end
    try:
        return re.compile(out)
    except re.error as e:
        raise ValueError(str(e)) from None


def checked(functions):
    """StartError with all that is wrong with the names and paths of functions."""
    wrong, paths = [], {}
    for f in functions:
        if not (1 <= len(f.name) <= 63 and _NAME.issuperset(f.name) and f.name[0] in _LETTERS and f.name[-1] not in "-_"):
            wrong.append("function %r: its name must be letters, digits, - and _, at most 63, and begin with a letter" % f.name)
        if f.path in paths:
            wrong.append("the functions %r and %r have the same path %s: choose one with FUNC_NAME, or declare them with paths of their own" % (paths[f.path], f.name, f.path))
        paths.setdefault(f.path, f.name)
        try:
            if f.path != "/":
                compiled(f.path)
        except ValueError as e:
            wrong.append("function %r: path %s: %s" % (f.name, f.path, e))
    if wrong:
        raise StartError("; ".join(wrong))
