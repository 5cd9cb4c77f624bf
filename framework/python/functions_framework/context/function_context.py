"""The function's context: what FUNC_CONTEXT_V1BETA2 and FUNC_CONTEXT say, the first before the second."""
from functions_framework._errors import StartError

BINDINGS, PUBSUB = "bindings", "pubsub"


class Component:
    """An input, an output or a state."""

    __slots__ = ("component_name", "component_type", "topic", "metadata", "operation", "dead_letter_topic")

    def __init__(self, component_name="", component_type="", topic="", metadata=None, operation="", dead_letter_topic=""):
        self.component_name, self.component_type = component_name, component_type
        self.topic, self.metadata, self.operation, self.dead_letter_topic = topic, metadata, operation, dead_letter_topic

    def get_type(self):
        """bindings, pubsub or state; empty when the type is none of Dapr's."""
        block, dot, _ = self.component_type.partition(".")
        return block if dot else ""

    def __repr__(self):
        return "Component(%r, %r, topic=%r)" % (self.component_name, self.component_type, self.topic)


class FunctionContext:
    """What is known of the function before any call. inputs, outputs and states are components by name; calls are the names of the inputs that
    call the function."""

    def __init__(self):
        self.name, self.version, self.port, self.runtime = "", "", "", "Knative"
        self.inputs, self.outputs, self.states = {}, {}, {}
        self.calls = []
        self.pre_plugins, self.post_plugins, self.tracing = [], [], None

    @property
    def is_async(self):
        return self.runtime == "Async" and bool(self.calls)


def read(environ):
    """The context that the environment holds. StartError says what is wrong with it."""
    ctx = FunctionContext()
    old, new = _document(environ, "FUNC_CONTEXT"), _document(environ, "FUNC_CONTEXT_V1BETA2")
    if "triggers" in old and not new:  # the layout that OpenFunction's Python framework expects under this name
        old, new = {}, old
    if old:
        _read_old(ctx, old)
    if new:
        _read_new(ctx, new)
    for what, components in (("input", ctx.inputs), ("output", ctx.outputs), ("state", ctx.states)):
        for name, component in components.items():
            _check(what, name, component)
    if ctx.runtime not in ("Knative", "Async"):
        raise StartError("FUNC_CONTEXT: runtime is %r: it must be Knative or Async" % ctx.runtime)
    return ctx


def _document(environ, name):
    text = environ.get(name)
    if not text:
        return {}
    import json

    try:
        value = json.loads(text)
    except ValueError as e:
        raise StartError("%s is not JSON: %s" % (name, e)) from None
    if not isinstance(value, dict):
        raise StartError("%s is not a JSON object: %s" % (name, text[:80]))
    return value


def _port(value):
    text = "" if value is None else str(value)
    return "" if text == "0" else text


def _read_old(ctx, d):
    ctx.name, ctx.version, ctx.port = str(d.get("name") or ""), str(d.get("version") or ""), _port(d.get("port"))
    ctx.runtime = d.get("runtime") or "Knative"
    for name, c in (d.get("inputs") or {}).items():
        ctx.inputs[name] = _component(c)
    for name, c in (d.get("outputs") or {}).items():
        ctx.outputs[name] = _component(c)
    for name, c in (d.get("states") or {}).items():
        ctx.states[name] = _component(c)
    ctx.calls = list(ctx.inputs)
    ctx.pre_plugins, ctx.post_plugins = list(d.get("prePlugins") or []), list(d.get("postPlugins") or [])
    ctx.tracing = d.get("pluginsTracing")


def _component(c):
    c = c if isinstance(c, dict) else {}
    component = Component(c.get("componentName") or "", c.get("componentType") or "", c.get("topic") or "", c.get("metadata"), c.get("operation") or "")
    if component.get_type() == PUBSUB and not component.topic:
        component.topic = c.get("uri") or ""
    return component


def _read_new(ctx, d):
    ctx.name, ctx.version = d.get("name") or ctx.name, d.get("version") or ctx.version
    triggers = d.get("triggers") or {}
    http, dapr = triggers.get("http"), triggers.get("dapr") or []
    ctx.port = _port((http or {}).get("port")) or ctx.port
    if dapr:
        ctx.runtime = "Async"
        _triggers(ctx, dapr, d.get("inputs") or {})
    elif http is not None:
        ctx.runtime = "Knative"
        ctx.inputs.update((name, _component(c)) for name, c in (d.get("inputs") or {}).items() if name not in ctx.inputs)
    for what, known in (("outputs", ctx.outputs), ("states", ctx.states)):
        for name, c in (d.get(what) or {}).items():
            known[name] = _filled(_component(c), known.get(name))
    ctx.pre_plugins = list(d.get("preHooks") or ctx.pre_plugins)
    ctx.post_plugins = list(d.get("postHooks") or ctx.post_plugins)
    ctx.tracing = d.get("tracing") or ctx.tracing


def _triggers(ctx, dapr, inputs):
    old, ctx.calls = ctx.inputs, []
    ctx.inputs = {name: _component(c) for name, c in inputs.items()}
    for t in dapr:
        component = Component(t.get("name") or "", t.get("type") or "", t.get("topic") or "", dead_letter_topic=t.get("deadLetterTopic") or "")
        key = t.get("inputName") or component.component_name
        component = _filled(component, ctx.inputs.get(key))
        for name, known in old.items():
            if known.component_name == component.component_name and (not component.topic or component.topic == known.topic):
                component = _filled(component, known)
                key = t.get("inputName") or name
                break
        if key in ctx.calls:
            key += "/" + component.topic  # several topics of one component
        ctx.inputs[key] = component
        ctx.calls.append(key)


def _filled(component, other):
    """The component with what it does not say taken from another."""
    if other is not None:
        for field in Component.__slots__:
            if not getattr(component, field):
                setattr(component, field, getattr(other, field))
    return component


def _check(what, name, component):
    if not component.component_name:
        raise StartError("%s %r has no componentName" % (what, name))
    wanted = ("state",) if what == "state" else (BINDINGS, PUBSUB)
    if component.get_type() not in wanted and not (what == "state" and not component.component_type):
        raise StartError("%s %r has component type %r: it must begin with %s" % (
            what, name, component.component_type, " or ".join(w + "." for w in wanted)))
