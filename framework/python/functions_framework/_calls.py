"""The signature http."""
from functions_framework._endpoint import Endpoint, TooLarge, reader
from functions_framework.response import answer_of


def awaited(value):
    """What a sync wrapper around a coroutine function returned, run to its end."""
    if hasattr(value, "__await__"):
        import asyncio

        async def run():
            return await value

        return asyncio.run(run())
    return value


class HTTP(Endpoint):
    unbounded = True

    def serve(self, ex, call):
        body = self.body(ex) if ex.complete else lambda: reader(ex)
        value = self.handler(self.request(ex, call, body))
        if hasattr(value, "__await__"):
            value = awaited(value)
        self.answer(ex, *answer_of(value))

    async def aserve(self, ex, call):
        value = self.handler(await self.arequest(ex, call))
        if hasattr(value, "__await__"):
            value = await value
        await self.aanswer(ex, *answer_of(value))

    async def arequest(self, ex, call):
        """A request whose body is in memory; or, when that is too large, can only be iterated over."""
        if ex.complete:
            return self.request(ex, call, self.body(ex))
        from functions_framework._server.loop import receive

        limit, held = self.app.config.max_body, []
        while not ex.complete and (ex.chunked or ex.length <= limit) and ex.buffered <= limit:
            held += ex.chunks
            ex.chunks.clear()
            await receive(ex.conn, ex)
        held += ex.chunks
        ex.chunks.clear()
        if ex.complete:
            return self.request(ex, call, b"".join(held))

        def refuse():
            ex.keep_alive = False
            raise TooLarge("the request body is larger than %d bytes" % limit)

        request = self.request(ex, call, refuse)
        request.pieces = _pieces(ex, held)
        return request


async def _pieces(ex, held):
    """The pieces that were read, and those that come."""
    from functions_framework._server.loop import receive

    while True:
        for piece in held:
            yield piece
        if ex.complete:
            return
        await receive(ex.conn, ex)
        held = ex.chunks[:]
        ex.chunks.clear()
