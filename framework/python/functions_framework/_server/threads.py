"""Where sync handlers run: threads that are started as they are needed, up to a limit."""
import threading
from _queue import SimpleQueue

from functions_framework._server.connection import ClientGone


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
            conn = ex.conn
            try:
                ex.endpoint.call(ex)
            except ClientGone:
                ex.ended = False
            with self._lock:
                self._open -= 1
            conn.finish(ex)
            ex = None
