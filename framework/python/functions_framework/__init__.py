"""What a Python function may import. Nothing here loads a server: a function can be imported, and tested, without one.

    import functions_framework

    @functions_framework.http
    def hello(request):
        return "Hello, " + request.args.get("name", "World") + "!"

The other signatures are cloud_event, openfunction and typed. A function without a decorator is taken by FUNC_NAME.
"""
from functions_framework._registry import cloud_event, http, openfunction, typed

__version__ = "1.0.0"

__all__ = ["http", "cloud_event", "openfunction", "typed", "plugin", "Request", "Response", "CloudEvent", "CloudEventResult", "FunctionOut",
           "UserContext", "Plugin", "abort", "jsonify"]

_LAZY = {
    "Request": "functions_framework.request",
    "Response": "functions_framework.response",
    "abort": "functions_framework.response",
    "jsonify": "functions_framework.response",
    "CloudEvent": "functions_framework.event",
    "CloudEventResult": "functions_framework.event",
    "FunctionOut": "functions_framework.openfunction.function_out",
    "UserContext": "functions_framework.context.user_context",
    "Plugin": "functions_framework.plugins",
    "plugin": "functions_framework.plugins",
}


def __getattr__(name):
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError("module 'functions_framework' has no attribute " + repr(name))
    import importlib

    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value
