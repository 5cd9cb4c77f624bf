"""A function that takes CloudEvents."""
import functions_framework


@functions_framework.cloud_event
def receive(event):
    """Prints what came. Returning acknowledges the event, raising does not; a CloudEvent that is returned is the answer."""
    print("%s from %s: %s" % (event["type"], event["source"], event.data))
