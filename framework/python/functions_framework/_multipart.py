"""Forms with files, read by the multipart library."""
from functions_framework._values import Headers, MultiDict
from functions_framework.request import MAX_FORM, BadRequest


class FileStorage:
    """One file of a form."""

    def __init__(self, part):
        self.filename, self.name = part.filename, part.name
        self.content_type = part.content_type
        self.headers = Headers(part.headerlist)
        self.stream = part.file

    def read(self, *size):
        return self.stream.read(*size)

    def save(self, where, buffer_size=64 << 10):
        import shutil

        if hasattr(where, "write"):
            shutil.copyfileobj(self.stream, where, buffer_size)
            return
        with open(where, "wb") as f:
            shutil.copyfileobj(self.stream, f, buffer_size)

    def __getattr__(self, name):
        return getattr(self.stream, name)


def parse_form(stream, content_type):
    """The fields and the files of a form. Files above a few hundred kilobytes are kept in the temporary directory."""
    import multipart

    _, options = multipart.parse_options_header(content_type)
    boundary = options.get("boundary", "")
    if not boundary:
        raise BadRequest("the form has no boundary in its content type")
    fields, files = [], []
    try:
        parser = multipart.MultipartParser(stream, boundary, charset="utf-8", memory_limit=MAX_FORM, disk_limit=1 << 30)
        for part in parser:
            if part.filename:
                files.append((part.name, FileStorage(part)))
            else:
                fields.append((part.name, part.value))
    except multipart.MultipartError as e:
        raise BadRequest("the form cannot be read: %s" % e) from None
    return MultiDict(fields), MultiDict(files)
