"""The server: a port of its own, and what is planned while it runs."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn

from advisor.errors import InputError
from advisor.serve.app import app_of
from advisor.serve.guard import Doors, Guard
from advisor.serve.sessions import Sessions
from advisor.serve.values import Source
from advisor.serve.workers import Workers

_MOST_CONNECTIONS = 64
_MOST_HEADER_BYTES = 16_384
_AT_A_TIME = 2


@dataclass(frozen=True, slots=True)
class Serving:
    """Where a server listens, and what it begins with."""

    host: str
    port: int
    """0: any that is free."""
    token: str
    source: Source | None
    """None: only what is pasted."""
    plans_ahead: bool


def serve(serving: Serving, tell: Callable[[str], None]) -> None:
    """Serve until interrupted.

    Args:
        serving: where and what.
        tell: called with each line for the person who started it.

    Raises:
        InputError: the port is in use, or may not be used.
    """
    with _listening(serving.host, serving.port) as listener:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        asyncio.run(_serve(serving, listener, tell))


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise InputError(f"no such address: {error.strerror}", where=host, hint="give --host 127.0.0.1") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_MOST_CONNECTIONS)
    except OSError as error:
        listener.close()
        is_used = error.errno == errno.EADDRINUSE
        hint = f"give another with --port, such as {port + 1}" if is_used else "give another --port or --host"
        reason = "the port is in use" if is_used else f"cannot listen: {error.strerror}"
        raise InputError(reason, where=f"{host}:{port}", hint=hint) from error
    return listener


async def _serve(serving: Serving, listener: socket.socket, tell: Callable[[str], None]) -> None:
    port = listener.getsockname()[1]
    workers = Workers(min(_AT_A_TIME, os.cpu_count() or 1))
    await workers.warm()
    sessions, doors = Sessions(workers, plans_ahead=serving.plans_ahead), Doors(serving.host, port, serving.token)
    config = uvicorn.Config(
        Guard(app_of(sessions, doors), doors),
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
        timeout_graceful_shutdown=1,
    )
    where = f"http://[{serving.host}]:{port}" if ":" in serving.host else f"http://{serving.host}:{port}"
    if serving.token:
        tell(f"for one browser, once: {where}{doors.new_code()}")
    path = sessions.add(serving.source).path if serving.source is not None else "/"
    tell(f"serving on {where}{path}; Ctrl-C stops")
    await uvicorn.Server(config).serve(sockets=[listener])
