"""WSGI applications, and functions of Flask, which are served as one."""
import io
import sys

from functions_framework._endpoint import Endpoint, reader, target_of


class WSGI(Endpoint):
    """Serves self.handler, an application."""

    def __init__(self, function, app):
        super().__init__(function, app)
        self.is_async = False

    def serve(self, ex, call):
        begun = []

        def start_response(status, headers, exc_info=None):
            if exc_info is not None and ex.started:
                raise exc_info[1].with_traceback(exc_info[2])
            begun[:] = [int(status.split(None, 1)[0]), headers + self.extra]
            return lambda data: self._write(ex, begun, data)

        pieces = self.handler(self.environ(ex), start_response)
        try:
            if isinstance(pieces, (list, tuple)) and not ex.started and begun and ex.method != "HEAD":
                ex.conn.send(ex.whole(begun[0], begun[1], b"".join(pieces)))
                return
            for piece in pieces:
                if piece:
                    self._write(ex, begun, piece)
            if not ex.started:
                self._write(ex, begun, b"")
            ex.conn.send(ex.end())
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()

    @staticmethod
    def _write(ex, begun, data):
        if not begun:
            raise RuntimeError("the application returned without calling start_response")
        out = b""
        if not ex.started:
            length = next((int(v) for k, v in begun[1] if k.lower() == "content-length"), None)
            out = ex.head(begun[0], begun[1], length)
        ex.conn.send(out + ex.piece(data))

    def environ(self, ex):
        from urllib.parse import unquote_to_bytes

        path, _, query = target_of(ex).partition("?")
        peer = ex.conn.peer
        body = io.BytesIO(self.body(ex)) if ex.complete else reader(ex)
        environ = {
            "REQUEST_METHOD": ex.method, "SCRIPT_NAME": "", "PATH_INFO": unquote_to_bytes(path).decode("latin-1"), "QUERY_STRING": query,
            "RAW_URI": target_of(ex), "REQUEST_URI": target_of(ex), "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": peer[0] if isinstance(peer, tuple) else "127.0.0.1",
            "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.input": body, "wsgi.input_terminated": True, "wsgi.errors": sys.stderr,
            "wsgi.multithread": True, "wsgi.multiprocess": self.app.config.workers > 1, "wsgi.run_once": False,
        }
        for name, value in ex.headers:
            key = name.decode("latin-1").upper().replace("-", "_")
            if b"_" in name:
                continue  # it could pass for another header
            if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                key = "HTTP_" + key
            value = value.decode("latin-1")
            environ[key] = environ[key] + ("; " if key == "HTTP_COOKIE" else ",") + value if key in environ else value
        return environ


def flask_function(function):
    """A WSGI application that calls a function as a view of Flask, so that flask.request, jsonify and abort work in it."""
    import flask

    application = flask.Flask(function.name)
    application.config["PROPAGATE_EXCEPTIONS"] = True
    handler = function.call

    def view(**_):
        value = handler(flask.request)
        return "" if value is None else value

    application.url_map.merge_slashes = False
    for rule in ("/", "/<path:_>"):
        application.add_url_rule(rule, "function", view, methods=_METHODS, provide_automatic_options=False)
    return application


_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
