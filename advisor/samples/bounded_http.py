"""HTTP/1.1 to one server, bounded in time and size, over one connection that is kept.

Standard library only and without ``http.client``, whose header parser alone takes more memory than the agent has to
spare. A server that drips, never ends, sends too much or closes early costs one exchange and no more than its limits.
"""

import binascii
import ipaddress
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from advisor.errors import InputError
from advisor.units import BYTES_PER_MIB

if TYPE_CHECKING:
    import ssl

_HEAD_BYTES = 16 * 1024
_CHUNK_LINE_BYTES = 256
_RECEIVE_BYTES = 64 * 1024
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NO_BODY = (204, 304)


class ExchangeError(Exception):
    """There is no usable answer; the words say why and hold no credentials."""


class _ClosedError(ExchangeError):
    """The server closed a kept connection before it sent anything: asking again on a new one is safe."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one exchange may take."""

    connect_seconds: float = 0.5
    total_seconds: float = 0.8
    """From the first step to the last byte, connecting included."""
    body_bytes: int = 4 * BYTES_PER_MIB


@dataclass(frozen=True, slots=True)
class Address:
    """Where something is served."""

    scheme: str
    host: str
    port: int
    path: str
    """Path and query as they are asked for."""
    authorization: str | None
    """Value of the header, from the user and password that stood in the URL."""
    shown: str
    """The same without credentials and query: safe to print and to store."""

    @property
    def authority(self) -> str:
        """Value of the ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes


def parse_address(url: str, default_path: str) -> Address:
    """The parts of an ``http`` or ``https`` URL; ``host:port`` alone is taken as ``http``.

    Raises:
        InputError: it is no such URL; the message holds none of its credentials.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or any(c.isspace() or ord(c) < 0x20 for c in url):
        raise InputError(
            "this address is no http or https URL",
            where=_without_credentials(url),
            hint=f"give it as http://HOST:PORT{default_path}",
        )
    port = port or _DEFAULT_PORTS[parts.scheme]
    path = parts.path if parts.path not in ("", "/") else default_path
    bare = Address(parts.scheme, parts.hostname, port, path, None, "")
    return Address(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port,
        path=f"{path}?{parts.query}" if parts.query else path,
        authorization=_authorization(parts.username, parts.password),
        shown=f"{parts.scheme}://{bare.authority}{path}",
    )


def basic_authorization(user: str, password: str) -> str:
    """Value of the ``Authorization`` header for a user and a password."""
    encoded = binascii.b2a_base64(f"{user}:{password}".encode(), newline=False)
    return f"Basic {encoded.decode()}"


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Connection:
    """One server; not for use by two threads at once."""

    def __init__(self, address: Address, limits: Limits, tls: "ssl.SSLContext | None" = None) -> None:
        """Prepare; the first exchange connects. *tls* is for https; None: the system's certificates."""
        self._address = address
        self._limits = limits
        self._tls = tls
        self._socket: socket.socket | None = None
        self._received = b""
        self._deadline = 0.0

    def exchange(self, method: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """Ask once; redirects are not followed.

        Raises:
            ExchangeError: there is no whole answer within the limits.
        """
        self._deadline = time.monotonic() + self._limits.total_seconds
        request = self._request(method, headers, body)
        try:
            if self._socket is not None:
                try:
                    return self._ask(request)
                except _ClosedError:
                    self.close()
            self._connect()
            return self._ask(request)
        except TimeoutError:
            self.close()
            raise ExchangeError(f"no whole answer within {self._limits.total_seconds:g} s") from None
        except OSError as error:
            self.close()
            raise ExchangeError(_plain(error)) from None
        except ExchangeError:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the connection; the next exchange opens a new one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._received = b""

    def _request(self, method: str, headers: Mapping[str, str], body: bytes) -> bytes:
        lines = [f"{method} {self._address.path} HTTP/1.1", f"Host: {self._address.authority}"]
        if self._address.authorization is not None:
            lines.append(f"Authorization: {self._address.authorization}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body

    def _connect(self) -> None:
        seconds = min(self._limits.connect_seconds, self._left())
        try:
            plain = socket.create_connection((self._address.host, self._address.port), seconds)
        except TimeoutError:
            raise ExchangeError(f"no connection within {self._limits.connect_seconds:g} s") from None
        self._socket = plain
        if self._address.scheme == "https":
            plain.settimeout(self._left())
            self._socket = self._context().wrap_socket(plain, server_hostname=self._address.host)

    def _context(self) -> "ssl.SSLContext":
        if self._tls is None:
            import ssl  # noqa: PLC0415 - costs memory that a plain connection need not pay

            self._tls = ssl.create_default_context()
        return self._tls

    def _ask(self, request: bytes) -> Answer:
        try:
            self._send(request)
            status, headers = self._head()
        except (ConnectionError, _ClosedError):
            if self._received:
                raise
            raise _ClosedError("the server closed the connection without an answer") from None
        body = b"" if status in _NO_BODY else self._body(headers)
        if headers.get("connection", "").lower() == "close" or not _has_length(headers):
            self.close()
        return Answer(status, headers, body)

    def _send(self, request: bytes) -> None:
        view = memoryview(request)
        while view:
            self._open().settimeout(self._left())
            view = view[self._open().send(view) :]

    def _head(self) -> tuple[int, dict[str, str]]:
        status, headers = self._one_head()
        while 100 <= status < 200:
            status, headers = self._one_head()
        return status, headers

    def _one_head(self) -> tuple[int, dict[str, str]]:
        while b"\r\n\r\n" not in self._received:
            if len(self._received) > _HEAD_BYTES:
                raise ExchangeError(f"more than {_HEAD_BYTES // 1024} KiB of headers")
            self._more()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
            raise ExchangeError("it does not speak HTTP/1.1")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if version == "HTTP/1.0":
            headers.setdefault("connection", "close")
        return int(rest[:3]), headers

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunks()
        length = headers.get("content-length")
        if length is None:
            return self._until_closed()
        if not length.isdigit():
            raise ExchangeError("its Content-Length is no number")
        self._check_size(int(length))
        return self._exactly(int(length))

    def _chunks(self) -> bytes:
        parts: list[bytes] = []
        total = 0
        while size := self._chunk_size():
            total += size
            self._check_size(total)
            parts.append(self._exactly(size + 2)[:size])
        while self._line():
            pass
        return b"".join(parts)

    def _chunk_size(self) -> int:
        try:
            return int(self._line().partition(b";")[0], 16)
        except ValueError:
            raise ExchangeError("its chunked body is malformed") from None

    def _line(self) -> bytes:
        while b"\r\n" not in self._received:
            if len(self._received) > _CHUNK_LINE_BYTES:
                raise ExchangeError("its chunked body is malformed")
            self._more()
        line, _, self._received = self._received.partition(b"\r\n")
        return line

    def _exactly(self, size: int) -> bytes:
        parts, missing = [self._received], size - len(self._received)
        while missing > 0:
            parts.append(self._receive())
            missing -= len(parts[-1])
        whole = b"".join(parts)
        self._received = whole[size:]
        return whole[:size]

    def _until_closed(self) -> bytes:
        parts, total = [self._received], len(self._received)
        self._received = b""
        while part := self._receive_or_end():
            parts.append(part)
            total += len(part)
            self._check_size(total)
        return b"".join(parts)

    def _check_size(self, size: int) -> None:
        if size > self._limits.body_bytes:
            raise ExchangeError(f"an answer of more than {self._limits.body_bytes / BYTES_PER_MIB:g} MiB")

    def _more(self) -> None:
        self._received += self._receive()

    def _receive(self) -> bytes:
        part = self._receive_or_end()
        if not part:
            raise _ClosedError("the server closed the connection in the middle of its answer")
        return part

    def _receive_or_end(self) -> bytes:
        self._open().settimeout(self._left())
        return self._open().recv(_RECEIVE_BYTES)

    def _open(self) -> socket.socket:
        if self._socket is None:
            raise _ClosedError("the connection is closed")
        return self._socket

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def _authorization(user: str | None, password: str | None) -> str | None:
    return None if user is None else basic_authorization(unquote(user), unquote(password or ""))


def _has_length(headers: Mapping[str, str]) -> bool:
    return "content-length" in headers or "transfer-encoding" in headers


def _without_credentials(url: str) -> str:
    """What can be shown of something that is no URL."""
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}".partition("?")[0]


def _plain(error: OSError) -> str:
    """Such as ``connection refused``."""
    reason = getattr(error, "verify_message", None) or error.strerror or str(error) or type(error).__name__
    return reason[:1].lower() + reason[1:]
