"""Plugins: hooks before and after the calls of openfunction functions.

    @functions_framework.plugin
    class Audit(functions_framework.Plugin):
        name = "audit"

        def exec_pre_hook(self, ctx, plugins): ...

Declared beside the function, or in plugins/*.py, and run where prePlugins and postPlugins of the context name them.
"""


class Plugin:
    """The base of plugins. One instance is made for each call, and shared by both hooks."""

    name = ""
    version = "v1"

    def init(self):
        """Called before the first hook of a call."""

    def exec_pre_hook(self, ctx, plugins):
        """Called before the function with its UserContext and the plugins of the call by name."""

    def exec_post_hook(self, ctx, plugins):
        """Called after the function, also when it failed."""

    def get(self, field):
        """What a plugin offers to others."""
        return getattr(self, field, None)


declared = {}


def plugin(cls):
    """Declares a plugin class under its name."""
    name = getattr(cls, "name", "") or cls.__name__
    declared[name] = cls
    return cls
