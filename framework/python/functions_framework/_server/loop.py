"""Where async handlers run: one asyncio loop, in the main thread of the process."""
import asyncio
import threading
import time
from collections import deque


from functions_framework._server.answer import CONTINUE
from functions_framework._server.connection import PATIENCE, RECEIVE, ClientGone


TICK = 5.0  # seconds
LATE = 0.2  # seconds after which a loop that did not turn is taken for blocked


class Loop:
    """Runs each call as a task. A client that goes away cancels it, and so does the deadline of the call."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self._tasks = set()
        self._come, self._woken = deque(), False
        self._thread = threading.get_ident()
        self._turn, self._turns = threading.Lock(), 0
        self._busy = threading.Event()

    def serve(self, reactor, leave):
        """Runs reactor and calls in this thread, until the reactor is over; returns the number of calls that were cut off. A handler that blocks
        the loop does not block the reactor: a second thread takes its turns meanwhile. It calls leave when the end comes and the loop does not."""
        reactor.begin()
        self.loop.add_reader(reactor.fileno(), self._step, reactor)
        tick = self.loop.call_later(TICK, self._tick, reactor)
        guard = threading.Thread(target=self._guard, args=(reactor, leave), daemon=True, name="guard")
        guard.start()
        self.loop.run_forever()
        tick.cancel()
        self.loop.remove_reader(reactor.fileno())
        return reactor.cut()

    def _step(self, reactor):
        if not self._turn.acquire(blocking=False):
            return  # the other thread is at it
        try:
            self._turns += 1
            reactor.step(0)
        finally:
            self._turn.release()
        if self._tasks:
            self._busy.set()
        if reactor.over():
            self.loop.stop()

    def _tick(self, reactor):
        """Looks for connections that have been idle too long, and for the end of the grace period."""
        self._step(reactor)
        self.loop.call_later(TICK if not reactor.draining else 0.1, self._tick, reactor)

    def _guard(self, reactor, leave):
        while True:
            self._busy.wait()
            turns = self._turns
            time.sleep(LATE)
            if not self._tasks:
                self._busy.clear()
                if not self._tasks:
                    continue
                self._busy.set()
            if self._turns != turns or not self._turn.acquire(blocking=False):
                continue
            try:
                reactor.step(0)
                over = reactor.over()
            finally:
                self._turn.release()
            if over:
                self.loop.call_soon_threadsafe(self.loop.stop)
                time.sleep(4 * LATE)
                leave(reactor.cut())  # the loop is blocked still

    def submit(self, ex):
        """Calls that come from another thread while the loop is busy cost it one waking up together."""
        self._come.append(ex)
        if threading.get_ident() == self._thread:
            return self._begin()
        if self._woken:
            return None
        self._woken = True
        try:
            self.loop.call_soon_threadsafe(self._begin)
        except RuntimeError:  # the loop has ended: so does the process
            self._come.clear()
            ex.ended = False
            ex.conn.finish(ex)
        return None

    def _begin(self):
        self._woken = False  # before looking, so that nobody is forgotten
        while self._come:
            ex = self._come.popleft()
            task = self.loop.create_task(self._run(ex))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            if not ex.endpoint.cancels:
                continue
            ex.on_gone = lambda task=task: self.loop.call_soon_threadsafe(task.cancel)
            if ex.conn.gone:
                task.cancel()

    async def _run(self, ex):
        timer = None
        if ex.endpoint.cancels and ex.header(b"x-openfunction-timeout-ms") is not None:
            timer = self._limit(ex, asyncio.current_task())
        try:
            await ex.endpoint.acall(ex)
        except (ClientGone, asyncio.CancelledError):
            ex.ended = False
        finally:
            if timer is not None:
                timer.cancel()
            ex.conn.finish(ex)

    def _limit(self, ex, task):
        from functions_framework._call import Call

        deadline = Call(ex, "").deadline
        return None if deadline is None else self.loop.call_at(self.loop.time() + deadline - time.monotonic(), task.cancel)


async def send(conn, data):
    """Sends all of data. ClientGone when nobody takes it."""
    sent = conn.try_send(data)
    if sent == len(data):
        return
    try:
        await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(conn.sock, memoryview(data)[sent:]), PATIENCE)
    except (OSError, asyncio.TimeoutError) as e:
        raise ClientGone(str(e)) from None


async def receive(conn, ex):
    """Waits for more of the body of ex. Returns when there is more, or when it is complete."""
    if ex.expects:
        ex.expects = False
        if not ex.complete and not ex.started:
            await send(conn, CONTINUE)
    while not (ex.complete or ex.chunks):
        try:
            data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(conn.sock, RECEIVE), PATIENCE)
        except (OSError, asyncio.TimeoutError) as e:
            raise ClientGone(str(e)) from None
        conn.got_body(data)


