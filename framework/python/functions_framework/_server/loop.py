"""Where async handlers run: one asyncio loop, in the main thread of the process."""
import asyncio
import time
from collections import deque


from functions_framework._server.answer import CONTINUE
from functions_framework._server.connection import PATIENCE, RECEIVE, ClientGone


class Loop:
    """Runs each call as a task. A client that goes away cancels it, and so does the deadline of the call."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self._tasks = set()
        self._come, self._woken = deque(), False

    def submit(self, ex):
        """In the reactor's thread. Calls that come while the loop is busy cost it one waking up together."""
        self._come.append(ex)
        if self._woken:
            return
        self._woken = True
        try:
            self.loop.call_soon_threadsafe(self._begin)
        except RuntimeError:  # the loop has ended: so does the process
            self._come.clear()
            ex.ended = False
            ex.conn.finish(ex)

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


