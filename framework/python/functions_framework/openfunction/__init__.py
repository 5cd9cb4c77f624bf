"""The openfunction signature: this module is its decorator, functions_framework.openfunction, and holds what such functions return."""
import sys
import types

from functions_framework._registry import openfunction as _decorator


class _Module(types.ModuleType):
    def __call__(self, function=None, **options):
        return _decorator(function, **options)


sys.modules[__name__].__class__ = _Module
