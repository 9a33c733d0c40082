"""The server on a port that was taken, and what is planned while it runs."""

import logging
import os
import socket
from collections.abc import Callable

import uvicorn

from advisor.errors import AdvisorError
from advisor.serve.app import app_of
from advisor.serve.guard import Doors, Guard
from advisor.serve.listening import MOST_CONNECTIONS, ImpatientProtocol
from advisor.serve.sessions import Sessions
from advisor.serve.values import Problem, Source
from advisor.serve.workers import Workers

_MOST_HEADER_BYTES = 16_384
_AT_A_TIME = 2


async def serve(
    listener: socket.socket, doors: Doors, source: Source | None, tell: Callable[[str], None], *, plans_ahead: bool
) -> None:
    """Serve until interrupted.

    Args:
        listener: takes connections.
        doors: where, and with what token.
        source: what the first page is of; None: what is pasted into it.
        tell: called with each line for the person who started it.
        plans_ahead: plan what is a step away while nobody asks.

    Raises:
        AdvisorError: nothing can be planned for the source.
    """
    workers = Workers(min(_AT_A_TIME, os.cpu_count() or 1))
    await workers.warm()
    sessions = Sessions(workers, plans_ahead=plans_ahead)
    path = "/" if source is None else await _first(sessions, source)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        Guard(app_of(sessions, doors, path), doors),
        lifespan="off",
        ws="none",
        http=ImpatientProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
        timeout_graceful_shutdown=1,
    )
    if doors.token:
        tell(f"for one browser, once: {doors.origin}{doors.new_code()}")
    tell(f"serving on {doors.origin}{path}; Ctrl-C stops")
    await uvicorn.Server(config).serve(sockets=[listener])


async def _first(sessions: Sessions, source: Source) -> str:
    """Path of the page of a source, for which a plan is made."""
    session = sessions.add(source)
    answer = await sessions.plan(session, ())
    if isinstance(answer, Problem):
        raise AdvisorError(answer.message)
    return session.path
