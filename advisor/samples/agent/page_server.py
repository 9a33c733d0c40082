"""``--page``: one OpenMetrics page at ``GET /metrics``, for a Prometheus, a vmagent or a collector on the same machine.

Beyond the loopback it answers only clients with a certificate of a named authority. On the loopback it answers only
requests for an address or ``localhost``: a browser that a foreign name led here (DNS rebinding) gets nothing. Each
connection has one request, a few seconds and a thread; when there are too many, the oldest makes room.
"""

import ipaddress
import re
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from advisor.errors import InputError
from advisor.records import dataclass

if TYPE_CHECKING:
    import ssl

DEFAULT_ADDRESS = "127.0.0.1:9464"
MOST_CONNECTIONS = 16
SECONDS = 5.0
"""Limit of three steps each: TLS handshake and whole request, answer, closing by the client."""
PAGE_SECONDS = 1.0
"""A page is made anew at most once in that time."""
_REQUEST_BYTES = 8 * 1024
_CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_END = b"\r\n\r\n"
_REQUEST = re.compile(rb"([A-Z]{1,16}) (/[\x21-\x7e]*) HTTP/1\.[01]\r\n")
_HOST = re.compile(rb"\r\nhost:[ \t]*([^\r\n]*)", re.IGNORECASE)
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 421: "Misdirected Request"}


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of a TLS server that asks its clients for certificates; replaced files are used at once."""

    certificate: str
    """Certificate of the server with its chain."""
    key: str
    client_authority: str
    """Authority that must have signed the clients' certificates."""

    def context(self) -> "ssl.SSLContext":
        """TLS 1.2 or newer. Raises InputError if a file is missing, or not what it should be."""
        import ssl  # noqa: PLC0415 - costs memory that plain HTTP need not pay

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_cert_chain(self.certificate, self.key)
            context.load_verify_locations(self.client_authority)
        except OSError as error:
            raise InputError(
                f"cannot use the certificates: {getattr(error, 'reason', None) or error.strerror or error}",
                where=f"{self.certificate}, {self.key}, {self.client_authority}",
                hint="give PEM files that belong together and that this user may read",
            ) from error
        return context


@dataclass(frozen=True, slots=True)
class PageAddress:
    """Address of the page and conditions for its clients."""

    host: str
    port: int
    tls: TlsFiles | None = None
    """None: plain HTTP, on the loopback only."""

    @classmethod
    def parse(cls, text: str, tls_files: Sequence[str] = ()) -> Self:
        """Address of ``127.0.0.1:9464`` or ``[::1]:9464``, with files of certificate, key and client authority.

        Raises InputError if it is neither, or it can be reached from other machines without a certificate.
        """
        host, _, port = text.rpartition(":")
        try:
            place = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host.strip("[]"))
            address = cls(str(place), int(port), TlsFiles(*tls_files) if tls_files else None)
        except ValueError:
            place, address = ipaddress.IPv4Address(0), cls("", -1)
        if not 0 <= address.port < 1 << 16:
            raise InputError(
                f"'{text}' is not an address to listen on", where="--page", hint=f"such as {DEFAULT_ADDRESS}"
            )
        if address.tls is None and not place.is_loopback:
            raise InputError(
                f"{host} can be reached from other machines, and anyone there could read the metrics",
                where="--page",
                hint="ask for client certificates (--page-tls CERTIFICATE KEY CLIENT_AUTHORITY), or listen on "
                "127.0.0.1 and let a collector on this machine send the metrics on",
            )
        return address


class PageServer:
    """Answers in threads of its own, as long as the process lives or until :meth:`close`."""

    def __init__(self, address: PageAddress, page: Callable[[], bytes]) -> None:
        """Listen and answer; *page* makes the page, in other threads, one at a time.

        Raises InputError if the address cannot be listened on, or the certificates cannot be used.
        """
        self._address = address
        self._make_page = page
        self._lock = threading.Lock()
        self._page, self._page_at = b"", -PAGE_SECONDS
        self._context = address.tls.context() if address.tls else None
        self._connections: dict[socket.socket, None] = {}
        """Open connections, oldest first."""
        try:
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            self._listener = socket.create_server((address.host, address.port), family=family, backlog=128)
        except OSError as error:
            message = f"cannot listen here: {error.strerror}"
            hint = "another program has this port, or this machine has no such address: give another with --page"
            raise InputError(message, where=f"{address.host}:{address.port}", hint=hint) from error
        self._is_closed = False
        threading.Thread(target=self._accept, name="page", daemon=True).start()

    @property
    def url(self) -> str:
        """Address of the page."""
        host, port = self._listener.getsockname()[:2]
        return f"{'https' if self._context else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/metrics"

    def close(self) -> None:
        """Listen no more."""
        self._is_closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                connection = self._admitted(self._listener.accept()[0])
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
            except (OSError, RuntimeError):  # no file descriptors or no threads left, or a client that is gone
                self._end_oldest()
                time.sleep(0.1)

    def _admitted(self, connection: socket.socket) -> socket.socket:
        connection.settimeout(SECONDS)
        if self._address.tls is not None:
            with suppress(InputError):  # files that are being replaced: those from before are used
                self._context = self._address.tls.context()
        if self._context is not None:
            connection = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        if len(self._connections) >= MOST_CONNECTIONS:
            self._end_oldest()
        self._connections[connection] = None
        return connection

    def _end_oldest(self) -> None:
        """Shut the oldest connection down, so that its thread ends."""
        for connection in list(self._connections)[:1]:
            self._connections.pop(connection, None)
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)  # not that of TLS, which waits for the client

    def _serve(self, connection: socket.socket) -> None:
        """One connection, from its handshake to its end."""
        with suppress(Exception), connection:  # whatever goes wrong costs this client its answer, and nobody else
            deadline = time.monotonic() + SECONDS
            if handshake := getattr(connection, "do_handshake", None):
                handshake()
            answer = self._answer(_request_on(connection, deadline))
            connection.settimeout(SECONDS)
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + SECONDS
            while time.monotonic() < deadline and connection.recv(_REQUEST_BYTES):
                """An answer is lost where a connection is closed before all that came was read."""
        self._connections.pop(connection, None)

    def _answer(self, request: bytes) -> bytes:
        match = _REQUEST.match(request)
        if match is None or len(request) > _REQUEST_BYTES or not request.endswith(_END):
            return _response(400)
        if self._context is None and not _is_for_loopback(request):
            return _response(421)
        if match[2].partition(b"?")[0] != b"/metrics":
            return _response(404)
        return _response(200, self._current_page(), _CONTENT_TYPE) if match[1] == b"GET" else _response(405)

    def _current_page(self) -> bytes:
        with self._lock:
            if time.monotonic() - self._page_at >= PAGE_SECONDS:
                self._page, self._page_at = self._make_page(), time.monotonic()
            return self._page


def _request_on(connection: socket.socket, deadline: float) -> bytes:
    """Bytes up to the empty line that ends a request, perhaps more; fewer where the client closed."""
    received = b""
    while _END not in received and len(received) <= _REQUEST_BYTES:
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        part = connection.recv(_REQUEST_BYTES)
        if not part:
            break
        received += part
    return received


def _is_for_loopback(request: bytes) -> bool:
    """Whether a request names an address or ``localhost``, or nothing: no name that somebody else's DNS answers for."""
    names = _HOST.findall(request)
    try:
        host = urlsplit(f"//{names[0].decode('latin-1').strip()}").hostname if names else None
        return len(names) <= 1 and (host in (None, "localhost") or bool(ipaddress.ip_address(host or "")))
    except ValueError:
        return False


def _response(status: int, body: bytes | None = None, content_type: str = "text/plain; charset=utf-8") -> bytes:
    body = f"{_REASONS[status]}\n".encode() if body is None else body
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\r\n"
    )
    return head.encode() + body
