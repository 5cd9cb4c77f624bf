"""Where sync handlers run: in threads that are started as they are needed; and those that have shown to be quick in the thread that parses,
because handing a call to another thread and waiting for Python's lock costs more than they do."""
import threading
import time
from _queue import SimpleQueue
from collections import deque

from functions_framework._server.connection import ClientGone

QUICK = 0.002  # seconds within which a quick handler has answered
PROOF = 32  # quick calls after which a handler is trusted to be quick
BLOCKED = 0.02  # seconds after which a call has certainly waited for something
LATE = 0.005  # seconds after which a handler that was trusted is taken for blocked
REST = 1.0  # seconds without such handlers after which nobody watches them any more


class Threads:
    """Runs calls, at most limit at a time; the others wait in their order."""

    def __init__(self, limit):
        self._limit, self._started, self._open = limit, 0, 0
        self._queue, self._lock = SimpleQueue(), threading.Lock()

    def submit(self, ex):
        with self._lock:
            self._open += 1
            more = self._open > self._started and self._started < self._limit
            self._started += more
        if more:
            threading.Thread(target=self._work, daemon=True, name="call-%d" % self._started).start()
        self._queue.put(ex)

    def _work(self):
        while True:
            ex = self._queue.get()
            endpoint = ex.endpoint
            began = time.monotonic()
            called(ex)
            judge(endpoint, time.monotonic() - began)
            with self._lock:
                self._open -= 1
            ex.conn.finish(ex)
            ex = endpoint = None


def judge(endpoint, took):
    """Counts quick calls. A slow one may be the machine's fault; one that blocks is the handler's."""
    if took < QUICK:
        if endpoint.proven < endpoint.proof + PROOF:
            endpoint.proven += 1
    elif took < BLOCKED:
        endpoint.proven = max(0, endpoint.proven - PROOF // 4)
    else:
        if endpoint.proven >= endpoint.proof:  # it was trusted
            endpoint.proof = min(endpoint.proof * 8, 1 << 20)
        endpoint.proven = 0


def called(ex):
    try:
        ex.endpoint.call(ex)
    except ClientGone:
        ex.ended = False


class Quick:
    """Runs the reactor, and quick handlers between its steps. A second thread takes over when one of them blocks: it gives the calls that wait
    behind it to other threads, and takes the reactor's steps meanwhile. Such a handler must prove itself for longer the next time."""

    def __init__(self, reactor, threads, leave):
        self._reactor, self._threads, self._leave = reactor, threads, leave
        self._batch, self._thread = deque(), threading.get_ident()
        self._turn, self._watched, self._watcher = threading.Lock(), threading.Event(), None
        self._began = self._last = 0.0

    def submit(self, ex):
        if ex.endpoint.proven >= ex.endpoint.proof and ex.complete and threading.get_ident() == self._thread:
            self._batch.append(ex)
        else:
            self._threads.submit(ex)

    def run(self):
        """Serves until the reactor is over. Returns the number of calls that were cut off."""
        reactor = self._reactor
        reactor.begin()
        while True:
            with self._turn:
                if reactor.over():
                    return reactor.cut()
                reactor.step(reactor.patience())
            if self._batch:
                self._run_batch()

    def _run_batch(self):
        if not self._watched.is_set():
            self._watch()
        while True:
            try:
                ex = self._batch.popleft()
            except IndexError:
                return
            began = self._began = time.monotonic()
            called(ex)
            self._began = 0.0
            self._last = time.monotonic()
            judge(ex.endpoint, self._last - began)
            ex.conn.finish(ex)

    def _watch(self):
        self._watched.set()
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._guard, daemon=True, name="guard")
            self._watcher.start()

    def _guard(self):
        while True:
            self._watched.wait()
            time.sleep(LATE)
            now, began = time.monotonic(), self._began
            if began and now - began > LATE:
                self._relieve()
            elif not began and now - self._last > REST:
                self._watched.clear()

    def _relieve(self):
        while self._batch:
            try:
                self._threads.submit(self._batch.popleft())
            except IndexError:
                break
        if not self._turn.acquire(blocking=False):
            return
        try:
            self._reactor.step(0)
            cut = self._reactor.cut() if self._reactor.over() else 0
        finally:
            self._turn.release()
        if cut:  # otherwise the handler has come to its end, and run sees that all is over
            self._leave(cut)
