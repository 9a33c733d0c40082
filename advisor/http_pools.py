"""Pools of connections for services that are asked through ``urllib3``, bounded whatever a server does.

The head of an answer has a deadline, not just each of its bytes; a server may ask to wait two minutes at most; a body
is read to a size and a time.
"""

import math
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse


@contextmanager
def cut_after(connection: socket.socket, seconds: float) -> Iterator[None]:
    """Shut a connection down, which ends all that waits on it, and raise TimeoutError if the block takes longer."""
    is_cut = threading.Event()

    def cut() -> None:
        is_cut.set()
        with suppress(OSError):  # closed meanwhile
            socket.socket.shutdown(connection, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if is_cut.is_set():
            raise TimeoutError(f"no whole answer within {seconds:g} s") from error
        raise
    finally:
        timer.cancel()
    if is_cut.is_set():
        raise TimeoutError(f"no whole answer within {seconds:g} s")


LONGEST_WAIT_SECONDS = 120.0
HEAD_SECONDS = 60.0
BODY_SECONDS = 600.0
_SILENT_SECONDS = 0.5
"""Shorter waits are not told."""
_PIECE_BYTES = 64 * 1024


class BoundedRetry(urllib3.Retry):
    """Retries that say what they wait for, and wait no longer than :data:`LONGEST_WAIT_SECONDS` at a time."""

    def __init__(self, *arguments: Any, seconds_left: float = math.inf, **options: Any) -> None:  # noqa: ANN401
        """Retries of urllib3 that wait *seconds_left* in all."""
        super().__init__(*arguments, **options)
        self.seconds_left = seconds_left
        self.host, self.wait_seconds = "", 0.0

    def new(self, **options: Any) -> Self:  # noqa: ANN401 - as urllib3's own
        """The next state, which waits as long in all."""
        return super().new(**options, seconds_left=self.seconds_left)

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: urllib3.BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: Any = None,  # noqa: ANN401
        _stacktrace: Any = None,  # noqa: ANN401
    ) -> Self:
        """The state after a failure. Raises MaxRetryError if there were too many, or the wait is too long."""
        state = super().increment(method, url, response, error, _pool, _stacktrace)
        if response is not None and response.get_redirect_location():
            return state
        asked = state.get_retry_after(response) if response is not None and self.respect_retry_after_header else None
        state.wait_seconds = asked or state.get_backoff_time()
        state.seconds_left -= state.wait_seconds
        if state.seconds_left < 0:
            raise urllib3.exceptions.MaxRetryError(_pool, url or "", error)
        state.host = f"{_pool.host}:{_pool.port}" if _pool is not None else ""
        return state

    def sleep(self, response: urllib3.BaseHTTPResponse | None = None) -> None:
        """Wait, and say why where that takes a while."""
        if self.wait_seconds >= _SILENT_SECONDS:
            answers = "gives no answer" if response is None else f"answers {response.status}"
            sys.stderr.write(f"{self.host} {answers}, asking again in {self.wait_seconds:.0f} s\n")
        time.sleep(self.wait_seconds)

    def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
        """Seconds that the server asks to wait; None: it does not."""
        asked = super().get_retry_after(response)
        return None if asked is None else min(asked, LONGEST_WAIT_SECONDS)


class _Connection(HTTPConnection):
    head_seconds = HEAD_SECONDS

    def getresponse(self) -> HTTPResponse:  # type: ignore[override] # as urllib3's own
        """Status and headers, in time."""
        if self.sock is None:
            return super().getresponse()
        with cut_after(self.sock, self.head_seconds):
            return super().getresponse()


class _SecureConnection(_Connection, HTTPSConnection):
    pass


def bounded(manager: urllib3.PoolManager, head_seconds: float = HEAD_SECONDS) -> urllib3.PoolManager:
    """A pool manager whose connections give up on a head that does not arrive within *head_seconds*."""

    class Plain(_Connection):
        pass

    class Secure(_SecureConnection):
        pass

    Plain.head_seconds = Secure.head_seconds = head_seconds

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Secure

    manager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
    return manager


def first_bytes(
    answer: urllib3.BaseHTTPResponse, most_bytes: int, *, unpacked: bool, seconds: float = BODY_SECONDS
) -> bytes:
    """The first bytes of a body, as they were sent or unpacked; never more at a time than are wanted.

    Raises:
        urllib3.exceptions.ProtocolError: it breaks off.
        urllib3.exceptions.ReadTimeoutError: it does not end in time.
    """
    until = time.monotonic() + seconds
    content = bytearray()
    try:
        while len(content) < most_bytes:
            piece = answer.read1(min(_PIECE_BYTES, most_bytes - len(content)), decode_content=unpacked)
            if not piece:
                break
            content += piece
            if time.monotonic() > until:
                pool: Any = None
                raise urllib3.exceptions.ReadTimeoutError(pool, "", f"no end of the answer within {seconds:g} s")
    finally:
        answer.close()
    return bytes(content)
