"""The context of a call of the openfunction signature."""
import os

from functions_framework.context.runtime_context import RuntimeContext
from functions_framework.openfunction.function_out import FunctionOut


class UserContext:
    """What a function sees of its call. Every call has one of its own."""

    def __init__(self, runtime_context=None, binding_request=None, topic_event=None, http_request=None, logger=None, *, data=b"", event=None,
                 input_name=None, call=None):
        self.runtime_context = runtime_context or RuntimeContext()
        self.out = FunctionOut()
        self.data, self.input_name = data, input_name
        self._binding, self._topic, self._http, self._event = binding_request, topic_event, http_request, event
        self._logger, self._call, self._dapr = logger, call, None
        self.error = None
        self.raw_data = False

    def get_http_request(self):
        """The request, as functions of the http signature have it; None when an event calls."""
        return self._http

    def get_binding_request(self):
        """The event of an input binding: its data and metadata; None when something else calls."""
        return self._binding

    get_binding_event = get_binding_request

    def get_topic_event(self):
        """The event of a topic; None when something else calls."""
        return self._topic

    def get_cloud_event(self):
        """The CloudEvent of the call, or None."""
        return self._event

    def get_data(self):
        """The data of the event, or the body of the request, as bytes."""
        return self.data

    def get_input_name(self):
        """The name of the input that called, or None."""
        return self.input_name

    def get_name(self):
        context = self.runtime_context.context
        return context.name if context else ""

    def get_out(self):
        return self.out

    def get_error(self):
        return self.error

    def get_inputs(self):
        return self.runtime_context.get_inputs()

    def get_outputs(self):
        return self.runtime_context.get_outputs()

    @property
    def request_id(self):
        return self._call.request_id if self._call else ""

    @property
    def deadline(self):
        """When the caller stops waiting, on the clock of time.monotonic, or None."""
        return self._call.deadline if self._call else None

    @property
    def logger(self):
        return self.get_logger()

    def get_logger(self):
        if self._logger is None:
            import logging

            from functions_framework import _log

            _log.install()
            self._logger = logging.getLogger("function")
        return self._logger

    @property
    def dapr_client(self):
        return self.get_dapr_client()

    def get_dapr_client(self):
        """Dapr's own client, when the function depends on the package dapr."""
        if self._dapr is None:
            from functions_framework._dapr import own_client

            self._dapr = own_client()
        return self._dapr

    def send(self, output_name, data):
        """Sends data to an output: publishes them, or invokes a binding, whose answer it returns as bytes. LookupError names the outputs
        there are when there is none of that name."""
        outputs = self.get_outputs()
        if output_name not in outputs:
            raise LookupError("there is no output %r; there are: %s" % (output_name, ", ".join(sorted(outputs)) or "none"))
        if os.environ.get("TEST_MODE") == "on":
            return b""
        from functions_framework import _dapr

        return _dapr.send(outputs[output_name], data, _dapr.trace_of(self._call, self._event))
