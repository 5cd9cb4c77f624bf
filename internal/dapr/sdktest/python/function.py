"""A function on Dapr's Python SDK: see ../go/main.go."""
import json
import queue
import sys
import threading
import time

from cloudevents.sdk.event import v1
from dapr.clients import DaprClient
from dapr.clients.grpc._request import TransactionalStateOperation, TransactionOperationType
from dapr.ext.grpc import App

api, _, port = sys.argv[1:]
app, topics, ticks = App(), queue.Queue(), queue.Queue()


@app.subscribe(pubsub_name="bus", topic="orders")
def orders(event: v1.Event) -> None:
    topics.put(event.Data())


@app.binding("tick")
def tick(request):
    ticks.put(dict(request.metadata))


threading.Thread(target=lambda: app.run(int(port)), daemon=True).start()
deadline = time.time() + 60


def until(want, do):
    while time.time() < deadline:
        do()
        try:
            got = topics.get(timeout=0.1)
        except queue.Empty:
            continue
        if want in (got.decode() if isinstance(got, bytes) else got):
            return
    raise TimeoutError(want)


with DaprClient(api) as client:
    until('"n"', lambda: client.publish_event("bus", "orders", json.dumps({"n": 1}), data_content_type="application/json"))
    print("ok publish", flush=True)
    ticks.get(timeout=60)
    print("ok input binding", flush=True)
    client.save_state("store", "a", "1")
    got = client.get_state("store", "a")
    assert got.data == b"1" and got.etag, got
    client.execute_state_transaction("store", operations=[
        TransactionalStateOperation(operation_type=TransactionOperationType.upsert, key="b", data="2"),
        TransactionalStateOperation(operation_type=TransactionOperationType.delete, key="a"),
    ])
    assert {i.key: i.data for i in client.get_bulk_state("store", ["a", "b"]).items}["b"] == b"2"
    client.delete_state("store", "b")
    print("ok state", flush=True)
    assert client.get_secret("kubernetes", "db").secret == {"password": "p"}
    assert client.get_bulk_secret("kubernetes").secrets == {"db": {"password": "p"}}
    print("ok secret", flush=True)
    client.invoke_binding("files", "create", "some text!", {"fileName": "b.txt"})
    assert client.invoke_binding("files", "get", "", {"fileName": "b.txt"}).data == b"some text!"
    print("ok output binding", flush=True)
    got = client.invoke_method("callee", "echo", data="hi", content_type="text/plain", http_verb="PUT")
    assert got.data == b"PUT /echo hi", got.data
    print("ok invocation", flush=True)
    client.set_metadata("k", "v")
    assert client.get_metadata().extended_metadata["k"] == "v"
    print("ok metadata", flush=True)
sys.stdout.flush()
import os  # noqa: E402

os._exit(0)
