"""What only a running process shows."""
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE = '''
import asyncio, os, signal, threading, time
import functions_framework

if os.environ.get("SIGNALS_ELSEWHERE"):  # another thread takes the signals: the main one is not interrupted by them
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

@functions_framework.http(path="/block")
async def block(request):
    time.sleep(2)
    return "done"

@functions_framework.http(path="/pid")
def pid(request):
    return str(os.getpid())

@functions_framework.http(path="/sometimes")
def sometimes(request):
    if request.args.get("wait"):
        time.sleep(float(request.args["wait"]))
    return "ok"

@functions_framework.http(path="/echo")
def echo(request):
    return request.data

def wsgi(environ, start_response):
    start_response("201 Created", [("X-Path", environ["PATH_INFO"])])
    yield environ["wsgi.input"].read()

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["greeting"] = b"started"
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("stopped", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"b")]})
    await send({"type": "http.response.body", "body": scope["state"]["greeting"], "more_body": True})
    await send({"type": "http.response.body", "body": body})
'''


class Process(unittest.TestCase):
    def begin(self, **env):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        with open(os.path.join(directory.name, "main.py"), "w") as f:
            f.write(SOURCE)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        variables = dict(os.environ, PORT=str(self.port), FUNCTION_SOURCE=directory.name, **env)
        process = subprocess.Popen([sys.executable, "-m", "functions_framework"], env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                if self.get("/_ofn/ready")[0] == 200:
                    return process
            except OSError:
                time.sleep(0.02)
        self.fail("it is not ready")

    def get(self, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST" if body is not None else "GET", path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def raw(self, data):
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as s:
            s.sendall(data)
            out = b""
            while True:
                piece = s.recv(65536)
                if not piece:
                    return out
                out += piece

    def test_blocked_loop_answers_health(self):
        self.begin()
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as s:
            s.sendall(b"GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.1)
            began = time.monotonic()
            self.assertEqual(self.get("/_ofn/health")[0], 200)
            self.assertEqual(self.get("/pid")[0], 200)
            self.assertLess(time.monotonic() - began, 1.9)
            self.assertIn(b"200 OK", s.recv(1000))

    def test_pipelined_and_broken_requests(self):
        self.begin()
        answers = self.raw(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nAPOST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nB\r\n0\r\n\r\n"
                           b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        self.assertTrue(answers.startswith(b"HTTP/1.1 200 OK"))
        self.assertIn(b"\r\n\r\nAHTTP/1.1 200 OK", answers)
        self.assertIn(b"\r\n\r\nBHTTP/1.1 404 Not Found", answers)
        self.assertTrue(self.raw(b"NONSENSE\r\n\r\n").startswith(b"HTTP/1.1 400 "))
        self.assertTrue(self.raw(b"GET / HTTP/1.1\r\nX: " + b"a" * 70000).startswith(b"HTTP/1.1 431 "))
        both = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        self.assertTrue(self.raw(both).startswith(b"HTTP/1.1 400 "))
        old = self.raw(b"GET /pid HTTP/1.0\r\n\r\n")
        self.assertIn(b"Connection: close\r\n", old)

    def test_trusted_handler_that_blocks(self):
        process = self.begin(FUNCTION_TARGET="sometimes")
        for _ in range(100):  # now it runs where requests are parsed
            self.assertEqual(self.get("/"), (200, b"ok"))
        began = time.monotonic()
        waiting = [socket.create_connection(("127.0.0.1", self.port), timeout=30) for _ in range(8)]
        for s in waiting:
            s.sendall(b"GET /?wait=2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        self.assertEqual(self.get("/_ofn/health")[0], 200)
        self.assertEqual(self.get("/"), (200, b"ok"))
        self.assertLess(time.monotonic() - began, 1.9)
        for s in waiting:
            self.assertIn(b"200 OK", s.recv(1000))
            s.close()
        self.assertLess(time.monotonic() - began, 6)  # beside one another
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=30), 0)

    def test_grace_ends_a_trusted_handler(self):
        process = self.begin(FUNCTION_TARGET="sometimes", OFN_GRACE="200ms")
        for _ in range(100):
            self.get("/")
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as s:
            s.sendall(b"GET /?wait=20 HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.2)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(timeout=30), 1)
            self.assertLess(time.monotonic() - began, 10)

    def test_signal_that_does_not_interrupt_the_main_thread(self):
        for target in ("pid", "block", "asgi"):
            with self.subTest(target):
                process = self.begin(FUNCTION_TARGET=target, SIGNALS_ELSEWHERE="1")
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(timeout=30), 0)

    def test_workers(self):
        process = self.begin(OFN_WORKERS="2", FUNCTION_TARGET="pid")
        self.assertNotEqual(int(self.get("/pid")[1]), process.pid)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=30), 0)

    def test_worker_that_is_killed_ends_all(self):
        process = self.begin(OFN_WORKERS="2", FUNCTION_TARGET="pid")
        os.kill(int(self.get("/pid")[1]), signal.SIGKILL)
        self.assertNotEqual(process.wait(timeout=30), 0)

    def test_wsgi(self):
        self.begin(FUNCTION_TARGET="wsgi")
        self.assertEqual(self.get("/a", b"body"), (201, b"body"))

    def test_asgi(self):
        process = self.begin(FUNCTION_TARGET="asgi")
        self.assertEqual(self.get("/a", b"body"), (200, b"startedbody"))
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=30), 0)
        self.assertEqual(process.stdout.read(), b"stopped\n")


if __name__ == "__main__":
    unittest.main()
