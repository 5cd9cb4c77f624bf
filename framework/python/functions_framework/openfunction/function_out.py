"""The result of a function of the openfunction signature."""


class FunctionOut:
    """A status code (0 is 200), data, an error, and metadata for the runtime: retry "true" asks a broker to deliver again."""

    __slots__ = ("_code", "_error", "_data", "_metadata", "content_type")

    def __init__(self, code=0, error=None, data=None, metadata=None, content_type=None):
        self._code, self._error, self._data, self._metadata = code, error, data, metadata or {}
        self.content_type = content_type

    def set_code(self, code):
        self._code = code
        return self

    def get_code(self):
        return self._code

    def set_error(self, error):
        self._error = error
        return self

    def get_error(self):
        return self._error

    def set_data(self, data):
        self._data = data
        return self

    def get_data(self):
        return self._data

    def set_metadata(self, metadata):
        self._metadata = metadata
        return self

    def get_metadata(self):
        return self._metadata

    code = property(get_code, set_code)
    data = property(get_data, set_data)
    error = property(get_error, set_error)
    metadata = property(get_metadata, set_metadata)

    def __repr__(self):
        return "FunctionOut(code=%r, error=%r, data=%r, metadata=%r)" % (self._code, self._error, self._data, self._metadata)
