"""Where async handlers run: one asyncio loop, in the main thread of the process."""
import asyncio


from functions_framework._server.answer import CONTINUE
from functions_framework._server.connection import PATIENCE, RECEIVE, ClientGone


class Loop:
    """Runs each call as a task. A client that goes away cancels it."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self._tasks = set()

    def submit(self, ex):
        try:
            self.loop.call_soon_threadsafe(self._begin, ex)
        except RuntimeError:  # the loop has ended: so does the process
            ex.ended = False
            ex.conn.finish(ex)

    def _begin(self, ex):
        task = self.loop.create_task(self._run(ex))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        ex.on_gone = lambda: self._cancel(ex, task)
        if ex.conn.gone:
            task.cancel()

    def _cancel(self, ex, task):
        if ex.endpoint.cancels:
            self.loop.call_soon_threadsafe(task.cancel)

    async def _run(self, ex):
        try:
            await ex.endpoint.acall(ex)
        except (ClientGone, asyncio.CancelledError):
            ex.ended = False
        finally:
            ex.conn.finish(ex)


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


