import unittest

from functions_framework import CloudEvent, Request, Response, abort, jsonify
from functions_framework._events_in import EventError, _is_time, one
from functions_framework._events_out import as_json, escape
from functions_framework._route import compiled
from functions_framework._typed import convert
from functions_framework.request import BadRequest
from functions_framework.response import Abort, answer_of


class Declarations(unittest.TestCase):
    def test_aio(self):
        from functions_framework import _registry, aio

        @aio.http
        async def waits(request):
            return "done"

        self.addCleanup(_registry.declared.pop, "waits")
        f = _registry.declared["waits"]
        self.assertEqual((f.kind, f.path, f.call.wants_starlette), ("http", "/", True))

    def test_same_path(self):
        from functions_framework._errors import StartError
        from functions_framework._registry import Function
        from functions_framework._route import checked

        with self.assertRaisesRegex(StartError, "same path /: choose one with FUNC_NAME"):
            checked([Function("a", None, "http"), Function("b", None, "cloudevent")])


class Requests(unittest.TestCase):
    def test_query_and_path(self):
        r = Request("GET", "/a%20b?x=1&x=2&y=%C3%A9", [(b"host", b"example.org")])
        self.assertEqual((r.path, r.args["x"], r.args.getlist("x"), r.args.get("y")), ("/a b", "1", ["1", "2"], "é"))
        self.assertEqual(r.url, "http://example.org/a%20b?x=1&x=2&y=%C3%A9")
        self.assertEqual(r.args.get("x", type=int), 1)
        self.assertEqual(r.args.get("y", 7, type=int), 7)

    def test_json(self):
        body = b'{"a": 1}'
        self.assertEqual(Request("POST", "/", [(b"content-type", b"application/vnd.x+json; q=1")], body).get_json(), {"a": 1})
        self.assertIsNone(Request("POST", "/", [], body).get_json())
        self.assertEqual(Request("POST", "/", [], body).get_json(force=True), {"a": 1})
        broken = Request("POST", "/", [(b"content-type", b"application/json")], b"{")
        self.assertIsNone(broken.get_json(silent=True))
        with self.assertRaises(BadRequest):
            broken.get_json()

    def test_forms(self):
        r = Request("POST", "/", [(b"content-type", b"application/x-www-form-urlencoded")], b"a=1&b=+x")
        self.assertEqual((r.form["a"], r.form["b"]), ("1", " x"))
        body = (b'--B\r\nContent-Disposition: form-data; name="t"\r\n\r\nv\r\n--B\r\nContent-Disposition: form-data; name="f"; filename="a.bin"\r\n'
                b"Content-Type: application/x-thing\r\n\r\n\x00\xff\r\n--B--\r\n")
        r = Request("POST", "/", [(b"content-type", b"multipart/form-data; boundary=B")], body)
        self.assertEqual(r.form["t"], "v")
        self.assertEqual((r.files["f"].filename, r.files["f"].read(), r.files["f"].content_type), ("a.bin", b"\x00\xff", "application/x-thing"))
        with self.assertRaises(BadRequest):
            Request("POST", "/", [(b"content-type", b"multipart/form-data")], body).form  # noqa: B018

    def test_cookies(self):
        self.assertEqual(Request("GET", "/", [(b"cookie", b"a=1; b=2")]).cookies, {"a": "1", "b": "2"})


class Answers(unittest.TestCase):
    def test_what_functions_return(self):
        for value, status, body in (
            ("é", 200, "é".encode()), (b"\x00", 200, b"\x00"), (None, 200, b""), ({"a": "é<"}, 200, '{"a":"é<"}'.encode()),
            ([1, 2], 200, b"[1,2]"), (("x", 201), 201, b"x"), (("x", "404 Not Found"), 404, b"x"), (Response("r", 202), 202, b"r"),
            (True, 200, b"true"), (1.5, 200, b"1.5"), (jsonify(a=1), 200, b'{"a":1}'), (("x", {"A": "b"}), 200, b"x"),
        ):
            with self.subTest(value=value):
                got = answer_of(value)
                self.assertEqual((got[0], got[2]), (status, body))
        self.assertIn(("X-A", "b"), answer_of(("x", 200, {"X-A": "b"}))[1])
        for wrong in (object(), ("x", 99), ("x", 200, {}, 4), ("x", "later")):
            with self.subTest(wrong=wrong), self.assertRaises((TypeError, ValueError)):
                answer_of(wrong)

    def test_abort_and_cookies(self):
        with self.assertRaises(Abort) as caught:
            abort(404)
        self.assertEqual(caught.exception.response.status_code, 404)
        r = Response("x")
        r.set_cookie("a", "b", max_age=5, httponly=True)
        self.assertEqual(r.headers["Set-Cookie"], "a=b; HttpOnly; Max-Age=5; Path=/")

    def test_routes(self):
        self.assertEqual(compiled("/a/{x}/{y:[0-9]{2}}").fullmatch("/a/é/12").groupdict(), {"x": "é", "y": "12"})
        self.assertIsNone(compiled("/a.b").fullmatch("/axb"))
        for wrong in ("/{", "/{9}", "/{a:(}", "/{a}/{a}"):
            with self.subTest(wrong=wrong), self.assertRaises(ValueError):
                compiled(wrong)


class Events(unittest.TestCase):
    good = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}

    def test_checks(self):
        for change, text in (
            ({"id": None}, "the CloudEvent lacks the attribute id"), ({"specversion": "0.3"}, 'the CloudEvent has the specversion "0.3", but 1.0 is needed'),
            ({"time": "yesterday"}, "the CloudEvent has an invalid attribute time"), ({"BAD": "x"}, "the CloudEvent has an invalid attribute BAD"),
            ({"data": 1, "data_base64": "AA=="}, "the CloudEvent has invalid data"), ({"data_base64": "%"}, "the CloudEvent has invalid data"),
        ):
            with self.subTest(change=change), self.assertRaises(EventError) as caught:
                one(dict(self.good, **change))
            self.assertEqual(caught.exception.text, text)

    def test_times(self):
        for text in ("2024-02-29T23:59:60Z", "2020-01-01t00:00:00.5+05:30"):
            self.assertTrue(_is_time(text), text)
        for text in ("2023-02-29T00:00:00Z", "2020-01-01T24:00:00Z", "2020-01-01", 5):
            self.assertFalse(_is_time(text), text)

    def test_shape(self):
        e = one(dict(self.good, data={"a": 1}, note="x"))
        self.assertEqual((e["type"], e.data, e.note, e.get("none"), "note" in e), ("t", {"a": 1}, "x", None, True))
        self.assertEqual(as_json(e), dict(self.good, datacontenttype="application/json", note="x", data={"a": 1}))
        self.assertEqual(escape('/é %"'), b"/%C3%A9%20%25%22")
        self.assertEqual(CloudEvent({"type": "t", "datacontenttype": "text/plain"}, "é").raw(), "é".encode())

    def test_typed(self):
        self.assertEqual(convert({"a": 1}, dict), {"a": 1})
        for value, wanted in ((1, str), ("1", int), (True, int), ([], dict)):
            with self.subTest(value=value), self.assertRaises(TypeError):
                convert(value, wanted)


if __name__ == "__main__":
    unittest.main()
