"""A process that waits for its function: it listens, loads nothing, and becomes what the first request for /_ofn/specialise says."""
import json
import threading
from _queue import SimpleQueue

from functions_framework import _log
from functions_framework._app import App
from functions_framework._config import Config
from functions_framework._endpoint import Endpoint
from functions_framework._errors import StartError
from functions_framework._registry import Function
from functions_framework._server.answer import plain
from functions_framework.context.function_context import FunctionContext

_ABSENT = "the body is not the JSON that /_ofn/specialise takes: "


class Waiting(App):
    """An application without a function. Its main thread loads the function when it comes, and serves async ones from then on."""

    def __init__(self, process):
        super().__init__(process.config, FunctionContext(), self._asked)
        self._process, self._jobs, self._taken = process, SimpleQueue(), False
        self._door = Door(self)

    def _asked(self, ex):
        """In the reactor's thread: hands the request to a thread, as its body may not have come yet."""
        ex.endpoint = self._door
        self.threads.submit(ex)

    def main_thread(self, reactor):
        """Serves by a reactor in a thread of its own. Returns the number of calls that were cut off."""
        result = []

        def run():
            try:
                result.append(reactor.run())
            finally:
                self._jobs.put(None)

        threading.Thread(target=run, daemon=True, name="reactor").start()
        job = self._jobs.get()
        if job is None:
            return result[0] if result else 1
        values, answered = job
        try:
            loop = self._loop_of() if self._become(values) else None
        except StartError as e:
            answered(e)
            self.reactor.stop()
            self._jobs.get()  # the answer has been sent
            raise
        if loop is None:
            answered(None)
            self._jobs.get()
            return result[0] if result else 1
        self._jobs = Stopper(loop)
        answered(None)
        loop.run_forever()
        for endpoint in self.applications:
            loop.run_until_complete(endpoint.lifespan.shutdown())
        return result[0] if result else 1

    def _loop_of(self):
        """A loop whose applications have started."""
        from functions_framework._server.loop import Loop

        self.loop = Loop()
        for endpoint in self.applications:
            self.loop.loop.run_until_complete(self._process._startup(endpoint))
        return self.loop.loop

    def _become(self, values):
        """Loads the function in the main thread and takes its place."""
        process, environ = self._process, self._process.environ
        environ.update(values["env"])
        environ.pop("OFN_GENERIC", None)
        for name, key in (("FUNCTION_SOURCE", "source"), ("FUNCTION_TARGET", "target"), ("FUNCTION_SIGNATURE_TYPE", "signatureType")):
            if values[key]:
                environ[name] = values[key]
        process.config = Config(environ)
        _log.set_level(process.config.level)
        app, has_async = process.load(self._asked)
        self.config, self.context, self.several = app.config, app.context, app.several
        self.channel, self.applications = app.channel, app.applications
        for endpoint in app.endpoints:
            endpoint.app = self
        self._ready = app.router
        return has_async

    def open(self):
        """From now on requests reach the function."""
        self.router = self._ready

    def take(self):
        """True for the first who asks."""
        taken, self._taken = self._taken, True
        return not taken

    def submit(self, values):
        """Loads the function and returns None or the StartError."""
        done = SimpleQueue()
        self._jobs.put((values, done.put))
        return done.get()


class Stopper:
    """Stands for the queue of jobs while the main thread runs a loop."""

    def __init__(self, loop):
        self._loop = loop

    def put(self, _):
        self._loop.call_soon_threadsafe(self._loop.stop)


class Door(Endpoint):
    """The endpoint of /_ofn/specialise."""

    def __init__(self, waiting):
        self._waiting = waiting
        super().__init__(Function("specialise", self.serve, "http"), waiting)

    def serve(self, ex, call):
        self.answer(ex, *self._answer(ex))

    def _answer(self, ex):
        if ex.method != "POST":
            headers, body = plain("method not allowed")
            return 405, [(b"Allow", b"POST")] + headers, body
        try:
            values = read(self.body(ex))
        except ValueError as e:
            return (400,) + plain(_ABSENT + str(e).replace("\n", " "))
        if not self._waiting.take():
            return (409,) + plain("already specialised")
        error = self._waiting.submit(values)
        if error is not None:
            return (500,) + plain(str(error))
        self._waiting.open()
        return (200,) + plain("ok")


def read(body):
    """The members of the body. ValueError says what is wrong with it."""
    value = json.loads(body.decode("utf-8"))
    if not isinstance(value, dict):
        raise ValueError("it is no object")
    out = {"source": "", "target": "", "signatureType": "", "env": {}}
    for name, wanted in value.items():
        if name in out and not isinstance(wanted, type(out[name])):
            raise ValueError("%s is not of its type" % name)
        if name in out:
            out[name] = wanted
    if not out["source"]:
        raise ValueError("source is missing")
    if not all(isinstance(v, str) for v in out["env"].values()):
        raise ValueError("the values of env must be strings")
    return out
