"""A server on the loopback that answers as it is told to, and keeps what it was asked."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    path: str
    form: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Stub:
    """A running server."""

    url: str
    requests: list[Request] = field(default_factory=list)


Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def stub(answer: Callable[[Request], Answer]) -> Iterator[Stub]:
    """Serve answers for as long as the context lasts."""
    running = Stub("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self._answer("GET")

        def do_POST(self):
            self._answer("POST")

        def do_PUT(self):
            self._answer("PUT")

        def _answer(self, method):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = urlsplit(self.path)
            text = body.decode(errors="replace") if "form" in self.headers.get("Content-Type", "") else ""
            form = {key: values[0] for key, values in {**parse_qs(parts.query), **parse_qs(text)}.items()}
            headers = {key.lower(): value for key, value in self.headers.items()}
            request = Request(method, parts.path, form, headers, body)
            running.requests.append(request)
            status, headers, content = answer(request)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    running.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def as_json(document: object, status: int = 200, **headers: str) -> Answer:
    """A document as an answer."""
    return status, {"Content-Type": "application/json", **headers}, json.dumps(document).encode()


def success(result: list, **more: object) -> Answer:
    """An instant query's answer."""
    return as_json({"status": "success", "data": {"resultType": "vector", "result": result}, **more})
