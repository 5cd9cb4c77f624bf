"""The fixtures of the conformance suite as coroutine functions; see the appendix of the contract."""
import asyncio
import logging
import os
import sys
import time
from dataclasses import dataclass

import functions_framework
from functions_framework import CloudEvent, FunctionOut, Response

PLAIN = "text/plain; charset=utf-8"
_log = logging.getLogger("fixture")


async def gate(request):
    """Creates the file begun and waits for the file gate."""
    if request.args.get("begun"):
        with open(request.args["begun"], "w"):
            pass
    while request.args.get("gate") and not os.path.exists(request.args["gate"]):
        await asyncio.sleep(0.005)


async def httpEcho(request):
    headers = {"X-Method": request.method, "X-Path": request.raw_path, "X-Query": request.query_string.decode("latin-1")}
    if "X-In" in request.headers:
        headers["X-Out"] = request.headers["X-In"]
    headers["Content-Type"] = request.content_type or "application/octet-stream"
    return Response(request.data, headers=headers)


async def httpEmpty(request):
    pass


async def httpStatus(request):
    code = int(request.args["code"])
    if code in (204, 304):
        return "", code, {"X-Fixture": "yes"}
    return "status %d\n" % code, code, {"X-Fixture": "yes", "Content-Type": PLAIN}


async def httpStream(request):
    async def pieces():
        yield "first\n"
        await gate(request)
        yield "second\n"

    return Response(pieces(), content_type=PLAIN)


async def httpSlow(request):
    await gate(request)
    return Response("done\n", content_type=PLAIN)


async def httpSize(request):
    size = 0
    async for piece in request.iterate():
        size += len(piece)
    return "%d\n" % size


async def httpRaise(request):
    raise RuntimeError("the secret cause")


async def httpRaiseLate(request):
    async def pieces():
        yield "half"
        raise RuntimeError("the secret cause")

    return pieces()


async def httpExit(request):
    os._exit(7)


async def httpPrint(request):
    print("plain line")
    print("error line", file=sys.stderr)
    return "ok"


async def httpUnicode(request):
    return Response("héllo wörld ✓ 日本", content_type=PLAIN)


async def httpDeadline(request):
    if request.deadline is None:
        return "none\n"
    return "%d\n" % ((request.deadline - time.monotonic()) * 1000)


async def httpLog(request):
    _log.info("from the function", extra={"answer": 42})
    return "ok"


async def eventVoid(event):
    print(event["id"])


async def eventEcho(event):
    return event


async def eventMake(event):
    return CloudEvent({"type": "made", "source": "/made", "subject": 'é %"', "id": event["id"], "note": "a b", "datacontenttype": "application/json"},
                      {"z": 1, "a": "<é>"})


async def eventRaise(event):
    if event["type"] == "fail":
        raise RuntimeError("the secret cause")
    print(event["id"])


@dataclass
class Greeting:
    name: str = ""
    count: int = 0


async def typed(value: Greeting):
    if value.name == "nobody":
        return None
    if value.name == "fail":
        raise RuntimeError("the secret cause")
    return {"greeting": "hello " + value.name, "count": value.count + 1}


async def ofEcho(ctx, data):
    return FunctionOut(200, None, data)


async def ofCode(ctx, data):
    import json

    value = json.loads(data)
    return FunctionOut(value["code"], None, value.get("data"))


async def ofRaise(ctx, data):
    raise RuntimeError("the secret cause")


async def ofEvent(ctx, data):
    event = ctx.get_cloud_event()
    kind, number = (event.get("type"), event.get("id")) if event is not None else (None, None)
    return "%s %s %s\n" % (kind or "-", number or "-", ctx.get_input_name() or "-")


async def ofPlugins(ctx, data):
    print("function")
    return "ok"


class Printing(functions_framework.Plugin):
    def exec_pre_hook(self, ctx, plugins):
        print("before", self.name)

    def exec_post_hook(self, ctx, plugins):
        print("after", self.name)


@functions_framework.plugin
class One(Printing):
    name = "one"


@functions_framework.plugin
class Two(Printing):
    name = "two"


async def ofRetry(ctx, data):
    return FunctionOut(500, None, None, {"retry": "true"} if b"again" in data else {})


async def ofSend(ctx, data):
    import json

    value = json.loads(data)
    ctx.send(value["output"], value["data"])
    return "sent\n"
