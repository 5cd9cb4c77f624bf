"""The background events of Google Cloud from before CloudEvents."""
import json

from functions_framework._events_in import EventError
from functions_framework.event import CloudEvent

_STORAGE = {"finalize": "finalized", "delete": "deleted", "archive": "archived", "metadataUpdate": "metadataUpdated"}
_FIRESTORE = {"create": "created", "delete": "deleted", "update": "updated", "write": "written"}


def read(body):
    """The event, or None when the body is none of these."""
    try:
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or "data" not in value:
        return None
    context = value.get("context")
    if not isinstance(context, dict):
        if "eventId" not in value or "eventType" not in value:
            return None
        context = value
    resource = context.get("resource")
    if isinstance(resource, dict):
        resource = resource.get("name")
    for name in ("eventId", "eventType", "timestamp"):
        if not context.get(name):
            raise EventError(400, "the legacy event lacks " + name)
    if not resource:
        raise EventError(400, "the legacy event lacks resource")
    kind, source, subject, data = _convert(context, str(resource), value["data"])
    attributes = {"id": context["eventId"], "source": source, "type": kind, "subject": subject, "time": context["timestamp"],
                  "datacontenttype": "application/json"}
    return CloudEvent(attributes, data)


def _convert(context, resource, data):
    event_type = str(context["eventType"])
    service, name = _split(event_type)
    if (service, name) == ("pubsub", "topic.publish"):
        message = dict(data) if isinstance(data, dict) else {"data": data}
        message.setdefault("messageId", context["eventId"])
        message.setdefault("publishTime", context["timestamp"])
        return "google.cloud.pubsub.topic.v1.messagePublished", "//pubsub.googleapis.com/" + resource, None, {"message": message}
    what, _, verb = name.partition(".")
    if service == "storage" and what == "object" and verb in _STORAGE:
        bucket, _, path = resource.partition("/objects/")
        subject = ("objects/" + path).partition("#")[0]
        return "google.cloud.storage.object.v1." + _STORAGE[verb], "//storage.googleapis.com/" + bucket, subject, data
    if service == "firestore" and what == "document" and verb in _FIRESTORE:
        database, _, path = resource.partition("/documents/")
        return "google.cloud.firestore.document.v1." + _FIRESTORE[verb], "//firestore.googleapis.com/" + database, "documents/" + path, data
    raise EventError(400, 'the legacy event type "%s" is not known here' % event_type)


def _split(event_type):
    """google.pubsub.topic.publish and providers/cloud.pubsub/eventTypes/topic.publish are the service pubsub and topic.publish."""
    parts = event_type.split("/")
    if len(parts) == 4 and parts[0] == "providers" and parts[2] == "eventTypes" and parts[1].startswith("cloud."):
        return parts[1][len("cloud."):], parts[3]
    if event_type.startswith("google.") and len(parts) == 1:
        service, _, name = event_type[len("google."):].partition(".")
        return service if service != "firestore" else "", name
    return "", ""
