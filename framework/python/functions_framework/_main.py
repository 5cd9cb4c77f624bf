"""The process: reads the environment, loads the function, listens, serves, drains, ends."""
import os
import signal
import sys

from functions_framework import _log
from functions_framework._errors import StartError

ENDINGS = (signal.SIGTERM, signal.SIGINT)


def main():
    """Serves until the process is told to end. It never returns."""
    try:
        code = Process(os.environ).run()
    except StartError as e:
        _log.line(40, "function server ended", error=str(e), stack=e.trace or None)
        code = 1
    except OSError as e:
        _log.line(40, "function server ended", error="listening: %s" % e)
        code = 1
    leave(code)


def leave(code):
    """Ends the process without waiting for threads whose calls were cut off."""
    import atexit

    if not code:
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass
    os._exit(code)


class Process:
    def __init__(self, environ):
        from functions_framework._config import Config
        from functions_framework._server.reactor import inherited

        self.environ = environ
        self._socket = inherited(environ)
        self.config = Config(environ)
        _log.set_level(self.config.level)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.reconfigure(line_buffering=True)
        self._signals = 0
        self._workers = []
        self._reactor = None

    def run(self):
        """Returns the exit code."""
        if self.config.generic:
            from functions_framework._specialise import Waiting

            return self._serve(Waiting(self), True)
        app, threaded = self.load()
        self._listener()
        code = self._fork()
        return self._serve(app, threaded) if code is None else code

    def load(self, specialise=None):
        """The application, and whether it has async functions."""
        from functions_framework import _load
        from functions_framework._app import App
        from functions_framework.context.function_context import FunctionContext, read

        has_context = self.environ.get("FUNC_CONTEXT") or self.environ.get("FUNC_CONTEXT_V1BETA2")
        context = read(self.environ) if has_context else FunctionContext()
        self._of_context = context.port
        app = App(self.config, context, specialise)
        self.config.port(context.port)
        functions, targeted = _load.functions(self.config)
        _log.install()
        return app, app.serve(functions, targeted)

    def _listener(self):
        if self._socket is None:
            from functions_framework._server.reactor import listen

            self._socket = listen(self.config.port(getattr(self, "_of_context", "")))
        return self._socket

    def _serve(self, app, threaded):
        """Serves app. threaded leaves the main thread to the asyncio loop, or to what app does with it."""
        from functions_framework._server.reactor import Reactor
        from functions_framework._server.threads import Threads

        app.threads = Threads(self.config.threads)
        reactor = self._reactor = app.reactor = Reactor(self._listener(), app.dispatch, self.config.grace)
        reactor.drain_on(ENDINGS)
        for number in ENDINGS:
            signal.signal(number, self._told)
        if self._signals:  # a worker was told before it could listen to it
            reactor.stop()
        if not threaded and self.config.threads == 1:  # one call at a time, whatever it does
            cut = reactor.run()
        elif not threaded:
            from functions_framework._server.threads import Quick

            app.threads = Quick(reactor, app.threads, self._leave)
            cut = app.threads.run()
        else:
            cut = self._beside(app, reactor)
        self._told_of_cut(cut)
        return 1 if cut else 0

    def _beside(self, app, reactor):
        """Serves an application that needs the main thread."""
        if hasattr(app, "main_thread"):
            return app.main_thread(reactor)
        from functions_framework._server.loop import Loop

        app.loop = Loop()
        loop = app.loop.loop
        for endpoint in app.applications:
            loop.run_until_complete(self._startup(endpoint))
        cut = app.loop.serve(reactor, self._leave)
        for endpoint in app.applications:
            loop.run_until_complete(endpoint.lifespan.shutdown())
        return cut

    def _leave(self, cut):
        self._told_of_cut(cut)
        leave(1)

    def _told_of_cut(self, cut):
        if cut:
            _log.line(40, "function server ended", error="%d calls were cut off at the end of the grace period of %g s" % (cut, self.config.grace))

    @staticmethod
    async def _startup(endpoint):
        try:
            await endpoint.lifespan.startup()
        except RuntimeError as e:
            raise StartError(str(e)) from None

    def _told(self, number, _):
        """A signal: the first one drains, the second one ends."""
        self._signals += 1
        if self._signals > 1:
            os._exit(128 + number)
        if self._reactor is not None:
            self._reactor.stop()
        for pid in self._workers:
            _kill(pid)

    def _fork(self):
        """Makes the workers. Returns None in each of them, and the exit code of all in their parent."""
        if self.config.workers < 2:
            return None
        for number in ENDINGS:
            signal.signal(number, self._told)
        for _ in range(self.config.workers):
            pid = os.fork()
            if pid == 0:
                self._workers = []
                return None
            self._workers.append(pid)
        if self._signals:
            for pid in self._workers:
                _kill(pid)
        return self._wait()

    def _wait(self):
        """Waits for the workers. One that ends unasked ends them all."""
        from functions_framework._server.reactor import Signals

        signals, code = Signals(), 0
        signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler it would not be told
        while self._workers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                signals.wait()  # unlike os.wait it does not miss a signal that comes just before
                continue
            if pid not in self._workers:
                continue
            self._workers.remove(pid)
            ended = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
            if not self._signals:
                ended = ended or 1
                self._signals = 1
                for other in self._workers:
                    _kill(other)
            code = code or ended
        return code


def _kill(pid):
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
