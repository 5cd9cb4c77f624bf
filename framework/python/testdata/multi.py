"""Several functions in one application."""
import functions_framework
from functions_framework import FunctionOut, Response

PLAIN = "text/plain; charset=utf-8"


def text(value):
    return Response(value, content_type=PLAIN)


@functions_framework.http(path="/hello/{name}", methods=["GET"])
def hello(request):
    return text("hello %s\n" % request.view_args["name"])


@functions_framework.http(path="/{id:[0-9]+}")
def number(request):
    return text("number %s\n" % request.view_args["id"])


@functions_framework.http(path="/save", methods=["POST", "PUT"])
def save(request):
    return text("saved\n")


@functions_framework.http(path="/load", methods=["GET"])
def load(request):
    return text("loaded\n")


@functions_framework.cloud_event(path="/note")
def note(event):
    pass


@functions_framework.http(path="/bad")
def bad(request):
    raise RuntimeError("the secret cause")


@functions_framework.openfunction(path="/of")
def of(ctx, data):
    return FunctionOut(200, None, data)
