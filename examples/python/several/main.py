"""Several functions in one application, each with a path and methods of its own."""
from dataclasses import dataclass

import functions_framework


@functions_framework.http(path="/hello/{name}", methods=["GET"])
def hello(request):
    return "Hello, %s!\n" % request.view_args["name"]


@dataclass
class Order:
    item: str
    count: int = 1


@functions_framework.typed(path="/orders")
def order(value: Order):
    return {"item": value.item, "price": 3 * value.count}


@functions_framework.cloud_event(path="/events")
def audit(event):
    print("%s %s" % (event["type"], event["id"]))
