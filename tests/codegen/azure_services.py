"""A loopback server that plays what a host of Azure asks: metadata, Key Vault, Blob Storage, a registry and the engine."""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

CHANGED = 1_790_000_000


class Services(ThreadingHTTPServer):
    """What the services hold, and what they were asked."""

    def __init__(self, blobs: Mapping[str, bytes]) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), _Answers)
        self.blobs = dict(blobs)
        self.asked: list[tuple[str, str]] = []
        """Path and range of each request."""
        self.cut_at: int | None = None
        """Bytes after which the next file breaks off."""
        self.events: list[dict[str, object]] = []
        self.sent: list[tuple[str, str]] = []
        """Path and body of what was posted."""
        self.metrics = ""
        self.certificate = "CERTIFICATE"

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answers(BaseHTTPRequestHandler):
    server: Services

    def do_GET(self) -> None:
        """Answer by the path."""
        parts = urlsplit(self.path)
        self.server.asked.append((unquote(self.path), self.headers.get("Range", "")))
        answers = {
            "/metadata/identity/oauth2/token": {"access_token": "token"},
            "/metadata/instance/compute": {"name": "host-1"},
            "/metadata/scheduledevents": {"Events": self.server.events},
            "/secrets/certificate": {"value": self.server.certificate},
            "/secrets/token": {"value": "hf_token"},
        }
        if parts.path in answers:
            self._say(json.dumps(answers[parts.path]).encode())
        elif parts.path in ("/metrics", "/health"):
            self._say(self.server.metrics.encode())
        elif parts.path.startswith("/models"):
            self._blobs(unquote(parts.path.removeprefix("/models")), parse_qs(parts.query, keep_blank_values=True))
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        """A token for the registry, or nothing."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.sent.append((self.path, body))
        self._say(b'{"refresh_token": "refresh"}')

    def _blobs(self, name: str, query: Mapping[str, list[str]]) -> None:
        if self.headers["Authorization"] != "Bearer token" or "x-ms-version" not in self.headers:
            self.send_error(403)
        elif query:
            self._list(query["prefix"][0], query["marker"][0])
        else:
            self._blob(name.removeprefix("/"))

    def _list(self, prefix: str, marker: str) -> None:
        """One name a page, as services may."""
        names = [name for name in sorted(self.server.blobs) if name.startswith(prefix)]
        place = int(marker or 0)
        listed = "".join(
            f"<Blob><Name>{name}</Name><Properties><Last-Modified>{formatdate(CHANGED, usegmt=True)}</Last-Modified>"
            f"<Etag>{_etag(self.server.blobs[name])}</Etag><Content-Length>{len(self.server.blobs[name])}</Content-Length>"
            "<ResourceType>file</ResourceType></Properties></Blob>"
            for name in names[place : place + 1]
        )
        more = place + 1 if place + 1 < len(names) else ""
        body = f"<EnumerationResults><Blobs>{listed}</Blobs><NextMarker>{more}</NextMarker></EnumerationResults>"
        self._say(body.encode())

    def _blob(self, name: str) -> None:
        content = self.server.blobs[name]
        start = int(re.fullmatch(r"bytes=(\d+)-", self.headers["Range"])[1])
        if self.headers["If-Match"] != f'"{_etag(content)}"':
            self.send_error(412)
            return
        rest, cut = content[start:], self.server.cut_at
        self.server.cut_at = None
        self.send_response(206)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[:cut])
        self.close_connection = True

    def _say(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Nothing."""


def _etag(content: bytes) -> str:
    return f"0x{hash(content) & 0xFFFFFF:X}"


@contextmanager
def serving(blobs: Mapping[str, bytes]) -> Iterator[Services]:
    """The services while they are used."""
    with Services(blobs) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()
