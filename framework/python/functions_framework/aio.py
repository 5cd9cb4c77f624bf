"""The decorators under the names that Google's framework gives them for coroutine functions. Here those of functions_framework take both; a
function declared with this http gets the Request of Starlette, where Starlette is among the requirements.
"""
from functions_framework._registry import cloud_event, http as _http

__all__ = ["http", "cloud_event"]


def http(function):
    """Declares a coroutine function of a request."""
    function.wants_starlette = True
    return _http(function)
