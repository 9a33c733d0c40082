"""Address of the server, limits on a connection, and who may ask: by name, from own pages, with a token elsewhere."""

import asyncio
import errno
import hmac
import ipaddress
import secrets
import socket
from collections.abc import MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from advisor.errors import InputError
from advisor.records import dataclass, field

ASKING_SECONDS = 10.0
"""From when a connection is made, or begins another request, until the head of the request is there."""
MOST_CONNECTIONS = 64
"""At a time; others wait, then are told that the server is busy."""


class ImpatientProtocol(H11Protocol):
    """Connections of uvicorn that are closed where the head of a request takes too long."""

    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Run the time from the first moment."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Stop the time once a request is there."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the time."""
        self._stop()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Run the time while no request is being answered; what trickles in does not start it anew."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()
        elif self._limit is None:
            self._limit = self.loop.call_later(ASKING_SECONDS, self.transport.close)

    def _stop(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None


def is_loopback(host: str) -> bool:
    """Whether nothing but this machine reaches an address."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Address that a host is in numbers; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def listening(host: str, port: int) -> socket.socket:
    """A socket at a name or address; port 0: any that is free. Raises InputError if the port is in use or forbidden."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise InputError(f"no such address: {error.strerror}", where=host, hint="give --host 127.0.0.1") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(MOST_CONNECTIONS)
    except OSError as error:
        listener.close()
        is_used = error.errno == errno.EADDRINUSE
        hint = f"give another with --port, such as {port + 1}" if is_used else "give another --port or --host"
        reason = "the port is in use" if is_used else f"cannot listen: {error.strerror}"
        raise InputError(reason, where=f"{host}:{port}", hint=hint) from error
    return listener


COOKIE: Final = "advisor"
_ENTER: Final = "/enter/"
_MOST_COOKIES: Final = 64
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Headers of every answer; the policy of what a page may load and send stands in the page itself.

Browsers send no origin with forms of pages whose address they are to tell nobody, this server included."""


@dataclass(frozen=True, slots=True)
class Doors:
    """Where the server is reached, and with what."""

    host: str
    port: int
    token: str = ""
    """"" : everybody who reaches it may ask."""
    codes: set[str] = field(default_factory=set)
    """Parts of links that set a cookie, each once."""
    cookies: dict[str, None] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """Address of the server, without a path."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    def new_code(self) -> str:
        """Path that lets a browser in, once."""
        code = secrets.token_urlsafe(24)
        self.codes.add(code)
        return f"{_ENTER}{code}"

    def cookie_for(self, code: str) -> str | None:
        """A cookie in exchange for a code; None where there is no such code any more."""
        if code not in self.codes:
            return None
        self.codes.discard(code)
        cookie = secrets.token_urlsafe(24)
        self.cookies[cookie] = None
        while len(self.cookies) > _MOST_COOKIES:
            self.cookies.pop(next(iter(self.cookies)))
        return cookie

    def is_named(self, host: str) -> bool:
        """Whether a Host header names this server: a page of another site whose name was made to lead here does not.

        An address in numbers has no name that somebody else could have changed.
        """
        try:
            parts = urlsplit(f"//{host}")
            name, port = parts.hostname or "", parts.port or 80
        except ValueError:
            return False
        if parts.path or parts.query or parts.fragment or parts.username is not None or port != self.port:
            return False
        others = {self.host, socket.gethostname()} if self.token else set()
        return is_loopback(name) or name in others or bool(self.token and _address(name))

    def lets_in(self, headers: Headers) -> bool:
        """Whether a request brings the token, or a cookie that was given for a code."""
        if not self.token:
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self.token.encode()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and cookie.value in self.cookies


@dataclass(frozen=True, slots=True)
class Guard:
    """The application behind the checks that every request passes."""

    app: ASGIApp
    doors: Doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse in words."""
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await (self._refusal(scope) or self.app)(scope, receive, send_guarded)

    def _refusal(self, scope: MutableMapping[str, Any]) -> PlainTextResponse | None:
        headers, method = Headers(scope=dict(scope)), scope["method"]
        host = headers.get("host", "")
        if not self.doors.is_named(host):
            return PlainTextResponse(f"this server has another name\n  hint: open it as {self.doors.origin}/\n", 421)
        if not _is_of_own_page(headers, host, method):
            return PlainTextResponse("another site asks for this\n  hint: open the page itself and ask there\n", 403)
        if not scope["path"].startswith(_ENTER) and not self.doors.lets_in(headers):
            return PlainTextResponse(
                "a token is needed\n  hint: open the link that `advisor serve` prints, or send Authorization: Bearer\n",
                401,
                {"WWW-Authenticate": "Bearer"},
            )
        return None


def _is_of_own_page(headers: Headers, host: str, method: str) -> bool:
    """Whether a request comes from a page of this server, from a person who follows a link, or from no browser."""
    site = headers.get("sec-fetch-site", "none")
    if method in {"GET", "HEAD"}:
        follows = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
        return site in {"none", "same-origin"} or follows
    origin = headers.get("origin")
    return site in {"none", "same-origin"} and (origin is None or urlsplit(origin).netloc == host)
