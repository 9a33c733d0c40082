"""Address and port of the server, and a limit on how long a connection may take to ask."""

import asyncio
import errno
import ipaddress
import socket

from uvicorn.protocols.http.h11_impl import H11Protocol

from advisor.errors import InputError

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
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listening(host: str, port: int) -> socket.socket:
    """A socket that takes connections.

    Args:
        host: name or address.
        port: 0: any that is free.

    Raises:
        InputError: the port is in use, or may not be used.
    """
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
