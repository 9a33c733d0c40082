"""HTTP/1.1 from one server, bounded in time and size, over one connection that is kept.

Standard library only and without ``http.client``, whose header parser alone takes more memory than the agent has to
spare. A server that drips, never ends, sends too much or closes early costs one exchange and no more than its limits.
"""

import binascii
import io
import re
import socket
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from advisor.errors import InputError
from advisor.records import dataclass, replace
from advisor.units import BYTES_PER_MIB

if TYPE_CHECKING:
    import ssl

    from _typeshed import WriteableBuffer

    _Reader = io.BufferedReader["_Stream"]

_HEAD_BYTES = 16 * 1024
_CHUNK_LINE_BYTES = 256
_LENGTH_DIGITS = 16
_PIECE_BYTES = 64 * 1024
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NO_BODY = (204, 304)
_LENGTHS = ("content-length", "transfer-encoding")
_HEXADECIMAL = re.compile(rb"[0-9a-fA-F]{1,16}")
_CUT = "the server closed the connection in the middle of its answer"


class ExchangeError(Exception):
    """No usable answer; the words say why and hold no credentials."""


class _ClosedError(ExchangeError):
    """The server closed a kept connection before it sent anything: asking again on a new one is safe."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one exchange."""

    connect_seconds: float = 0.5
    total_seconds: float = 0.8
    """Time to the last byte, connecting included."""
    body_bytes: int = 4 * BYTES_PER_MIB


@dataclass(frozen=True, slots=True)
class Address:
    """Address of a server and a page of it."""

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

    @property
    def is_in_clear(self) -> bool:
        """Whether other machines could read what is sent there."""
        return self.scheme != "https" and self.host not in _LOOPBACK


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer of a server."""

    status: int
    headers: Mapping[str, str]
    """Values by name in lower case."""
    body: bytes


def parse_address(url: str, default_path: str) -> Address:
    """The parts of an ``http`` or ``https`` URL; ``host:port`` alone is taken as ``http``.

    Raises InputError if it is no such URL; the message holds none of its credentials.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or any(c.isspace() or ord(c) < 0x20 for c in url):
        scheme, separator, rest = url.rpartition("://")
        where = f"{scheme}{separator}{rest.rpartition('@')[2]}".partition("?")[0]  # without what may be credentials
        hint = f"give it as http://HOST:PORT{default_path}"
        raise InputError("this address is not an http or https URL", where=where, hint=hint)
    port = port or _DEFAULT_PORTS[parts.scheme]
    path = parts.path if parts.path not in ("", "/") else default_path
    path_and_query = f"{path}?{parts.query}" if parts.query else path
    authorization = None
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        authorization = f"Basic {binascii.b2a_base64(secret, newline=False).decode()}"
    address = Address(parts.scheme, parts.hostname, port, path_and_query, authorization, "")
    return replace(address, shown=f"{parts.scheme}://{address.authority}{path}")


class Connection:
    """One server; not for use by two threads at once."""

    def __init__(self, address: Address, limits: Limits, tls: "ssl.SSLContext | None" = None) -> None:
        """Prepare; the first question connects. *tls*: authorities and own certificate; None: those of the system."""
        self._address = address
        self._limits = limits
        self._tls = tls
        self._stream: _Stream | None = None

    def exchange(self, method: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """Ask once; redirects are not followed. On a connection that was kept it may be sent twice: it must not matter.

        Raises ExchangeError if there is no whole answer within the limits.
        """
        deadline = time.monotonic() + self._limits.total_seconds
        try:
            if self._stream is not None:
                try:
                    return self._ask(self._stream, self._request(method, headers, body), deadline)
                except _ClosedError:
                    self.close()
            return self._ask(self._connect(deadline), self._request(method, headers, body), deadline)
        except TimeoutError:
            self.close()
            raise ExchangeError(f"no whole answer within {self._limits.total_seconds:g} s") from None
        except OSError as error:
            self.close()
            reason = getattr(error, "verify_message", None) or error.strerror or str(error) or type(error).__name__
            raise ExchangeError(reason[:1].lower() + reason[1:]) from None
        except ExchangeError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._stream is not None:
            self._stream.connection.close()
        self._stream = None

    def _connect(self, deadline: float) -> "_Stream":
        try:
            seconds = min(self._limits.connect_seconds, _left(deadline))
            connection = socket.create_connection((self._address.host, self._address.port), seconds)
        except TimeoutError:
            raise ExchangeError(f"no connection within {self._limits.connect_seconds:g} s") from None
        self._stream = _Stream(connection)
        if self._address.scheme == "https":
            connection.settimeout(_left(deadline))
            if self._tls is None:
                import ssl  # noqa: PLC0415 - costs memory that a plain connection need not pay

                self._tls = ssl.create_default_context()
            self._stream.connection = self._tls.wrap_socket(connection, server_hostname=self._address.host)
        return self._stream

    def _ask(self, stream: "_Stream", request: bytes, deadline: float) -> Answer:
        stream.deadline = deadline
        reader = io.BufferedReader(stream, _PIECE_BYTES)
        try:
            stream.send(request)
            status, answered = _head(reader)
            while 100 <= status < 200:
                status, answered = _head(reader)
        except ConnectionError:
            raise _ClosedError("the server closed the connection without an answer") from None
        body = b"" if status in _NO_BODY else _body(reader, answered, self._limits.body_bytes)
        reader.detach()
        if answered.get("connection", "").lower() == "close" or answered.keys().isdisjoint(_LENGTHS):
            self.close()
        return Answer(status, answered, body)

    def _request(self, method: str, headers: Mapping[str, str], body: bytes) -> bytes:
        lines = [f"{method} {self._address.path} HTTP/1.1", f"Host: {self._address.authority}"]
        if self._address.authorization is not None:
            lines.append(f"Authorization: {self._address.authorization}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(body)}"] if body else []
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


class _Stream(io.RawIOBase):
    """Bytes that a server sends, up to a deadline of the monotonic clock."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.deadline = 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        self.connection.settimeout(_left(self.deadline))
        return self.connection.recv_into(buffer)

    def send(self, request: bytes) -> None:
        """Send all of it by the deadline."""
        self.connection.settimeout(_left(self.deadline))
        self.connection.sendall(request)


def _left(deadline: float) -> float:
    """Seconds until a deadline, more than none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _head(reader: "_Reader") -> tuple[int, dict[str, str]]:
    """Status and headers."""
    size, lines = 0, list[str]()
    while not lines or lines[-1]:
        line = reader.readline(_HEAD_BYTES)
        size += len(line)
        if not line:
            raise _ClosedError("the server closed the connection without an answer")
        if size > _HEAD_BYTES:
            raise ExchangeError(f"more than {_HEAD_BYTES // 1024} KiB of headers")
        lines.append(line.decode("latin-1").strip())
    version, _, rest = lines[0].partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdecimal():
        raise ExchangeError("it does not speak HTTP/1.1")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-1])}
    if version == "HTTP/1.0":
        headers.setdefault("connection", "close")
    return int(rest[:3]), headers


def _body(reader: "_Reader", headers: Mapping[str, str], most: int) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        chunks = bytearray()
        while size := _chunk_size(reader):
            _check_size(len(chunks) + size, most)
            chunks += _exactly(reader, size)
            _line(reader)
        while _line(reader):
            """Fields after the last chunk say nothing."""
        return bytes(chunks)
    length = headers.get("content-length")
    if length is None:
        body = reader.read(most + 1)
        _check_size(len(body), most)
        return body
    if not length.isdecimal() or len(length) > _LENGTH_DIGITS:
        raise ExchangeError("its Content-Length is not a number")
    _check_size(int(length), most)
    return _exactly(reader, int(length))


def _chunk_size(reader: "_Reader") -> int:
    digits = _line(reader).partition(b";")[0].strip()
    if not _HEXADECIMAL.fullmatch(digits):
        raise ExchangeError("its chunked body is malformed")
    return int(digits, 16)


def _line(reader: "_Reader") -> bytes:
    """A line of a chunked body."""
    line = reader.readline(_CHUNK_LINE_BYTES)
    if not line:
        raise ExchangeError(_CUT)
    if not line.endswith(b"\n"):
        raise ExchangeError("its chunked body is malformed")
    return line.rstrip(b"\r\n")


def _exactly(reader: "_Reader", size: int) -> bytes:
    body = reader.read(size)
    if len(body) < size:
        raise ExchangeError(_CUT)
    return body


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise ExchangeError(f"an answer of more than {most / BYTES_PER_MIB:g} MiB")
