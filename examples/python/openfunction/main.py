"""A function with the OpenFunction context: it answers requests and events alike."""
from functions_framework.context.user_context import UserContext


def shout(ctx: UserContext, data: bytes):
    """Returns its input in capitals: the body of a request, the data of a CloudEvent, or the payload of a Dapr event.
    To send to an output of function.yaml, call ctx.send with its name."""
    return data.decode("utf-8", "replace").upper()
