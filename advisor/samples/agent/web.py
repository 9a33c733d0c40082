"""A server of one page that nobody can starve: one thread, and a bound on everything that a client decides.

Each connection has one request, and a time for each step of it. When there are too many connections, of one address or
in all, the oldest that is not being answered makes room: a client that is slow or silent loses its place to one that is
not.
"""

import contextlib
import selectors
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from advisor.errors import InputError
from advisor.samples.agent.access import Access
from advisor.samples.agent.requests import answer_to, is_whole, refusal

_RECEIVE_BYTES = 16 * 1024
_PAGE_SECONDS = 1.0
"""A page is made anew at most once in that time."""
_CERTIFICATE_SECONDS = 30.0
"""Replaced certificate files are noticed within that time."""
_BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Bounds:
    """What clients may take."""

    connections: int = 64
    per_address: int = 16
    handshake_seconds: float = 2.0
    request_seconds: float = 2.0
    total_seconds: float = 10.0
    """From the connection to the last byte of the answer."""
    linger_seconds: float = 1.0
    """For the client to take the answer and close."""


DEFAULT_BOUNDS = Bounds()


class _Phase(Enum):
    HANDSHAKE = 1
    REQUEST = 2
    ANSWER = 3
    LINGER = 4


@dataclass(eq=False, slots=True)
class _Client:
    """One connection."""

    socket: socket.socket
    address: str
    phase: _Phase
    phase_ends: float
    """By the monotonic clock."""
    ends: float
    received: bytes = b""
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))

    @property
    def deadline(self) -> float:
        """When the step it is at is over, done or not."""
        return min(self.phase_ends, self.ends)


class Server:
    """Answers with a page; :meth:`serve` in one thread, the page from any."""

    def __init__(
        self, bind: tuple[str, int], page: Callable[[], bytes], access: Access, bounds: Bounds = DEFAULT_BOUNDS
    ) -> None:
        """Listen; nothing is answered before :meth:`serve`.

        Raises:
            InputError: the address cannot be listened on, or the certificates cannot be used.
        """
        self._page, self._access, self._bounds = page, access, bounds
        self._context = access.certificates.context() if access.certificates else None
        self._stamp = access.certificates.stamp() if access.certificates else ()
        self._stamp_at = time.monotonic()
        self._cached, self._cached_at = b"", -_PAGE_SECONDS
        self._clients: dict[_Client, None] = {}
        """In the order in which they came."""
        self._listener = _listen(bind)
        self._wakeup, self._stopper = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wakeup, selectors.EVENT_READ)

    @property
    def url(self) -> str:
        """Where the page is."""
        host, port = self._listener.getsockname()[:2]
        return f"{'https' if self._context else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/metrics"

    def serve(self) -> None:
        """Answer until :meth:`stop`."""
        try:
            while True:
                for key, _ in self._selector.select(self._seconds_to_next_deadline()):
                    if key.fileobj is self._wakeup:
                        return
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.data in self._clients:
                        self._advance(key.data)
                self._end_late_clients()
        finally:
            self._close()

    def stop(self) -> None:
        """End :meth:`serve`, from any thread."""
        with contextlib.suppress(OSError):
            self._stopper.send(b"x")

    def _close(self) -> None:
        for client in list(self._clients):
            self._drop(client)
        self._selector.close()
        for one in (self._listener, self._wakeup, self._stopper):
            one.close()

    def _seconds_to_next_deadline(self) -> float | None:
        if not self._clients:
            return None
        return max(min(client.deadline for client in self._clients) - time.monotonic(), 0.0)

    def _accept(self) -> None:
        try:
            accepted, address = self._listener.accept()
        except OSError:
            self._make_room(list(self._clients))  # most likely there are no file descriptors left
            return
        accepted.settimeout(0)
        host = str(address[0])
        of_address = [client for client in self._clients if client.address == host]
        if len(of_address) >= self._bounds.per_address:
            self._make_room(of_address)
        if len(self._clients) >= self._bounds.connections:
            self._make_room(self._of_most_common_address())
        try:
            self._admit(accepted, host)
        except OSError:
            accepted.close()

    def _admit(self, accepted: socket.socket, host: str) -> None:
        now = time.monotonic()
        context = self._current_context(now)
        phase, seconds = _Phase.REQUEST, self._bounds.request_seconds
        if context is not None:
            accepted = context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
            phase, seconds = _Phase.HANDSHAKE, self._bounds.handshake_seconds
        client = _Client(accepted, host, phase, now + seconds, now + self._bounds.total_seconds)
        self._clients[client] = None
        self._selector.register(accepted, selectors.EVENT_READ, client)
        self._advance(client)

    def _current_context(self, now: float) -> ssl.SSLContext | None:
        """The certificates as they are on disk; those from before while the new ones cannot be used."""
        certificates = self._access.certificates
        if certificates is None or now - self._stamp_at < _CERTIFICATE_SECONDS:
            return self._context
        self._stamp_at = now
        stamp = certificates.stamp()
        if stamp != self._stamp:
            with contextlib.suppress(InputError):
                self._context, self._stamp = certificates.context(), stamp
        return self._context

    def _of_most_common_address(self) -> list[_Client]:
        (address, _), *_ = Counter(client.address for client in self._clients).most_common(1)
        return [client for client in self._clients if client.address == address]

    def _make_room(self, candidates: list[_Client]) -> None:
        """End the oldest that is not being answered, else the oldest."""
        waiting = [client for client in candidates if client.phase is not _Phase.ANSWER]
        for client in (waiting or candidates)[:1]:
            self._drop(client)

    def _advance(self, client: _Client) -> None:
        """Take a connection as far as it goes without waiting."""
        try:
            while client in self._clients:
                self._step(client)
        except ssl.SSLWantReadError:
            self._selector.modify(client.socket, selectors.EVENT_READ, client)
        except ssl.SSLWantWriteError:
            self._selector.modify(client.socket, selectors.EVENT_WRITE, client)
        except BlockingIOError:
            events = selectors.EVENT_WRITE if client.phase is _Phase.ANSWER else selectors.EVENT_READ
            self._selector.modify(client.socket, events, client)
        except OSError:
            self._drop(client)

    def _step(self, client: _Client) -> None:
        """Some progress; raises what a socket raises when there is none to be had now."""
        match client.phase:
            case _Phase.HANDSHAKE:
                if isinstance(client.socket, ssl.SSLSocket):
                    client.socket.do_handshake()
                self._enter(client, _Phase.REQUEST, self._bounds.request_seconds)
            case _Phase.REQUEST:
                self._receive(client)
            case _Phase.ANSWER:
                client.unsent = client.unsent[client.socket.send(client.unsent) :]
                if not client.unsent:
                    client.socket.shutdown(socket.SHUT_WR)
                    self._enter(client, _Phase.LINGER, self._bounds.linger_seconds)
            case _Phase.LINGER:
                if not client.socket.recv(_RECEIVE_BYTES):
                    self._drop(client)

    def _receive(self, client: _Client) -> None:
        received = client.socket.recv(_RECEIVE_BYTES)
        client.received += received
        if not received:
            self._drop(client)
        elif is_whole(client.received):
            self._answer(client, answer_to(client.received, self._access, self._current_page))

    def _answer(self, client: _Client, answer: bytes) -> None:
        client.unsent = memoryview(answer)
        client.received = b""
        self._enter(client, _Phase.ANSWER, self._bounds.total_seconds)

    def _enter(self, client: _Client, phase: _Phase, seconds: float) -> None:
        client.phase, client.phase_ends = phase, time.monotonic() + seconds

    def _current_page(self) -> bytes:
        now = time.monotonic()
        if now - self._cached_at >= _PAGE_SECONDS:
            self._cached, self._cached_at = self._page(), now
        return self._cached

    def _end_late_clients(self) -> None:
        now = time.monotonic()
        for client in [client for client in self._clients if client.deadline <= now]:
            if client.phase is _Phase.REQUEST and now < client.ends:
                self._answer(client, refusal(408))
                self._advance(client)
            else:
                self._drop(client)

    def _drop(self, client: _Client) -> None:
        self._clients.pop(client, None)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(client.socket)
        client.socket.close()


def _listen(bind: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in bind[0] else socket.AF_INET
    try:
        listener = socket.create_server(bind, family=family, backlog=_BACKLOG)
    except OSError as error:
        raise InputError(
            f"cannot listen here: {error.strerror}",
            where=f"{bind[0]}:{bind[1]}",
            hint="another program has this port, or this machine has no such address: give another with --bind",
        ) from error
    listener.settimeout(0)
    return listener
