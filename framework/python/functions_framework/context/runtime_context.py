"""What the framework knows of the function, as OpenFunction's API has it."""


class RuntimeContext:
    def __init__(self, context=None, logger=None):
        self.context, self.logger = context, logger

    def get_outputs(self):
        """Components by the names of the outputs."""
        return self.context.outputs if self.context else {}

    def get_inputs(self):
        return self.context.inputs if self.context else {}

    def has_http_trigger(self):
        return self.context is None or self.context.runtime == "Knative"
