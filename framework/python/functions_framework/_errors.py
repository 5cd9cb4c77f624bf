"""Errors that end a start."""


class StartError(Exception):
    """The process cannot serve. Its text says what is wrong, where, and what to do; trace is the traceback of user code, or empty."""

    def __init__(self, text, trace=""):
        super().__init__(text)
        self.trace = trace
