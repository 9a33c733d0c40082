"""Address and port of the server, taken before anything else takes its time."""

import errno
import ipaddress
import socket

from advisor.errors import InputError

MOST_CONNECTIONS = 64
"""At a time; others wait, then are told that the server is busy."""


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
