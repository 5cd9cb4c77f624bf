"""Finding and loading the code of a function, and telling what is in it."""
import os
import sys

from functions_framework import _registry, _signature
from functions_framework._errors import StartError
from functions_framework._registry import Function

_STARTS = ("main.py", "function.py", "app.py", "handler.py")


def functions(config):
    """The functions that are to be served, and whether a target chose one of several. StartError says why there are none."""
    file, target = locate(config)
    module = load(file, config)
    declared = list(_registry.declared.values())
    if target:
        chosen = _registry.declared.get(target)
        if chosen is not None:
            return [chosen], len(declared) > 1
        return [adopt(module, target, file, config)], False
    if declared:
        return declared, False
    return [adopt(module, sole(module, file), file, config)], False


def locate(config):
    """The file that holds the code, and the name of the function in it. A target may be FILE:NAME or MODULE:NAME."""
    source, target = config.source, config.target
    where, colon, name = target.rpartition(":")
    if colon:
        target = name
        candidate = os.path.join(source if os.path.isdir(source) else os.path.dirname(source), where.replace(".", "/"))
        source = next((p for p in (os.path.join(os.path.dirname(candidate) or ".", where), candidate + ".py", candidate) if os.path.exists(p)), where)
    if os.path.isfile(source):
        return os.path.abspath(source), target
    if not os.path.isdir(source):
        raise StartError("there is no file or directory %s: set FUNCTION_SOURCE, or FUNC_SRC at build, to the file that holds the function" % source)
    files = sorted(f for f in os.listdir(source) if f.endswith(".py"))
    if not files:
        raise StartError("there is no Python file in %s: set FUNCTION_SOURCE, or FUNC_SRC at build, to the file that holds the function" % source)
    first = next((f for f in _STARTS if f in files), None)
    if first is None:
        first = files[0] if len(files) == 1 else _defining(source, files, target)
    if first is None:
        raise StartError("cannot tell which file holds the function: there are %s. Name it main.py, or set FUNC_SRC" % ", ".join(files))
    return os.path.abspath(os.path.join(source, first)), target


def _defining(source, files, target):
    """The only file that seems to define the target."""
    if not target:
        return None
    starts = ("def %s(" % target, "async def %s(" % target, "%s =" % target, "class %s" % target)
    found = []
    for name in files:
        with open(os.path.join(source, name), encoding="utf-8", errors="replace") as f:
            if any(line.startswith(starts) for line in f):
                found.append(name)
    return found[0] if len(found) == 1 else None


def load(file, config):
    """The module of a file. StartError has the traceback when it cannot be loaded."""
    directory, name = os.path.dirname(file), os.path.splitext(os.path.basename(file))[0]
    sys.path.insert(0, directory)
    try:
        module = _import(file, name)
        _plugins(os.path.join(directory, "plugins"))
    except StartError:
        raise
    except BaseException as e:  # a module may also call sys.exit
        said = "%s: %s" % (type(e).__name__, e)
        raise StartError("%s cannot be loaded: %s" % (os.path.basename(file), said), trace(e)) from None
    return module


def _import(file, name):
    if name.isidentifier() and name not in sys.modules:
        module = __import__(name)
        found = getattr(module, "__file__", None)
        if found and os.path.realpath(found) == os.path.realpath(file):
            return module
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("function_" + "".join(c if c.isalnum() else "_" for c in name), file)
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _plugins(directory):
    """Loads plugins/*.py beside the function. A class with hooks and a name is a plugin without the decorator too."""
    if not os.path.isdir(directory):
        return
    from functions_framework import plugins

    for file in sorted(os.listdir(directory)):
        if not file.endswith(".py") or file.startswith("_"):
            continue
        module = _import(os.path.join(directory, file), "plugins." + file[:-3])
        for value in list(vars(module).values()):
            if isinstance(value, type) and value.__module__ == module.__name__ and hasattr(value, "exec_pre_hook"):
                plugins.declared.setdefault(getattr(value, "name", "") or value.__name__, value)


def trace(error):
    """A traceback as its reader needs it: from where the function's own code begins."""
    import traceback

    here = os.path.dirname(os.path.abspath(__file__))

    def ours(filename):
        return filename.startswith("<frozen importlib") or os.path.abspath(filename).startswith(here + os.sep)

    lines = traceback.TracebackException.from_exception(error)
    seen = lines
    while seen is not None:
        seen.stack = traceback.StackSummary.from_list([f for f in seen.stack if not ours(f.filename)])
        seen = seen.__cause__ or seen.__context__
    return "".join(lines.format())


def present(module):
    """The names of the functions and applications that a module itself defines, in their order."""
    out = []
    for name, value in vars(module).items():
        if name.startswith("_") or isinstance(value, type) or not callable(value):
            continue
        if getattr(value, "__module__", None) == module.__name__ or _signature.application(value):
            out.append(name)
    return out


def sole(module, file):
    """The only function of a module; with several the one with a usual name."""
    names = present(module)
    if len(names) == 1:
        return names[0]
    for name in ("app", "application", "main", "handler", "handle", "function", "hello"):
        if name in names and (len(names) == 1 or _signature.application(getattr(module, name))):
            return name
    shown = os.path.basename(file)
    if not names:
        raise StartError("%s defines no function: write one, such as\n\ndef hello(request):\n    return \"Hello!\"" % shown)
    raise StartError("%s defines several functions: %s. Set FUNC_NAME to the one to serve, or mark those to serve with @functions_framework.http"
                     % (shown, ", ".join(names)))


def adopt(module, name, file, config):
    """The function of that name, with the kind that it looks like."""
    shown = os.path.basename(file)
    try:
        value = module
        for part in name.split("."):
            value = getattr(value, part)
    except AttributeError:
        names = sorted(set(present(module)) | set(_registry.declared))
        raise StartError("there is no function %r in %s; there %s: %s" % (
            name, shown, "is" if len(names) == 1 else "are", ", ".join(names) or "none")) from None
    if not callable(value):
        raise StartError("%r in %s is %s, of the type %s, and no function" % (name, shown, repr(value)[:80], type(value).__name__))
    if isinstance(value, type):
        value = value()
    kind = _signature.application(value) or _signature.kind(value, config.kind)
    return Function(name.rpartition(".")[2], value, kind, input_type=_signature.input_type(value) if kind == "typed" else None)
