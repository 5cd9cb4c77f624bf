"""The signature http."""
from functions_framework._endpoint import Endpoint, reader
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
    def serve(self, ex, call):
        body = self.body(ex) if ex.complete else lambda: reader(ex)
        value = self.handler(self.request(ex, call, body))
        if hasattr(value, "__await__"):
            value = awaited(value)
        self.answer(ex, *answer_of(value))

    async def aserve(self, ex, call):
        value = self.handler(self.request(ex, call, await self.abody(ex)))
        if hasattr(value, "__await__"):
            value = await value
        await self.aanswer(ex, *answer_of(value))
