"""What a builder runs: loads the function as it will be loaded when it is served, and writes what it found to the file OFN_CHECK."""
import json
import os
import sys


def main():
    target = os.environ.pop("OFN_CHECK")
    found = examine(os.environ)
    with open(target, "w", encoding="utf-8") as f:
        json.dump(found, f)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)  # whatever threads the module started


def examine(environ):
    """The functions and their file; or the error, its reason for the builder, and the traceback of the function's code."""
    from functions_framework import _load
    from functions_framework._app import App
    from functions_framework._config import Config
    from functions_framework._errors import StartError
    from functions_framework.context.function_context import FunctionContext

    stage = "SourceNotFound"
    try:
        config = Config(environ)
        file, _ = _load.locate(config)
        stage = "HandlerMissing"
        functions, targeted = _load.functions(config)
        stage = "SignatureMismatch"
        App(config, FunctionContext()).serve(functions, targeted)
    except StartError as e:
        reason = "ImportFailed" if e.trace else "SignatureMismatch" if " signature takes " in str(e) or "and no function" in str(e) else stage
        return {"Error": str(e), "Trace": e.trace, "Reason": reason}
    return {"File": file, "Functions": [{"Name": f.name, "Kind": f.kind, "Path": f.path, "Methods": list(f.methods)} for f in functions]}
