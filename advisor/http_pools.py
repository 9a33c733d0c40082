"""Pools of connections for services that are asked through ``urllib3``, bounded whatever a server does.

The head of an answer has a deadline, not just each of its bytes; a server may ask to wait two minutes at most; a body
is read to a size and a time, and given up where it drips.
"""

import math
import socket
import sys
import threading
import time
import weakref
from collections.abc import Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, Self

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse

from advisor.units import counted


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
_SILENT_SECONDS = 0.5
"""Shorter waits are not told."""
_PIECE_BYTES = 64 * 1024
_PACE_SECONDS = 60.0
"""Time after which an answer must have kept the least pace."""
_LEAST_BYTES_PER_SECOND = 1024
"""Slowest answer that is waited for: below it a server hangs, whatever it still sends."""
_LONG_SECONDS = 10.0
_SOCKETS: MutableMapping[urllib3.BaseHTTPResponse, weakref.ref[socket.socket]] = weakref.WeakKeyDictionary()
"""Connections of answers whose bodies are read, to be cut when their time is over."""


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
        connection = self.sock
        try:
            with cut_after(connection, self.head_seconds):
                answer = super().getresponse()
        except BaseException:
            with suppress(OSError):  # closed already
                socket.close(connection.detach())  # the unread answer would hold it open
            raise
        _SOCKETS[answer] = weakref.ref(connection)
        return answer


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


class Pace:
    """Pace of an answer's body: told once where it takes long, and given up where it drips."""

    def __init__(self, host: str, seconds: float, least_seconds: float = _PACE_SECONDS) -> None:
        """Start now; *seconds*: longest time of the whole body, *least_seconds*: time before its pace counts."""
        self.seconds = seconds
        self._host, self._least_seconds = host, least_seconds
        self._start = time.monotonic()
        self._is_told = False

    def check(self, size: int) -> None:
        """Check the bytes so far. Raises urllib3's ReadTimeoutError where the body is too slow or too late."""
        taken = time.monotonic() - self._start
        if taken > self.seconds:
            raise _too_late(f"no end of the answer within {self.seconds:g} s")
        if taken > self._least_seconds and size < _LEAST_BYTES_PER_SECOND * taken:
            raise _too_late(f"only {counted(size, 'byte')} of the answer in {taken:.0f} s")
        if taken > _LONG_SECONDS and not self._is_told:
            self._is_told = True
            sys.stderr.write(f"{self._host} answers slowly ({counted(size, 'byte')} in {taken:.0f} s), still reading\n")


def _too_late(words: str) -> urllib3.exceptions.ReadTimeoutError:
    pool: Any = None
    return urllib3.exceptions.ReadTimeoutError(pool, "", words)


def _cut_after(answer: urllib3.BaseHTTPResponse, seconds: float) -> AbstractContextManager[None]:
    """:func:`cut_after` of the connection of an answer; without one the body is read already."""
    reference = _SOCKETS.get(answer)
    connection = None if reference is None else reference()
    return nullcontext() if connection is None else cut_after(connection, seconds)


def first_bytes(answer: urllib3.BaseHTTPResponse, most_bytes: int, pace: Pace, *, unpacked: bool) -> bytes:
    """The first bytes of a body, as they were sent or unpacked; never more at a time than are wanted.

    Raises:
        urllib3.exceptions.ProtocolError: it breaks off.
        urllib3.exceptions.ReadTimeoutError: it does not end in time, or drips.
    """
    content = bytearray()
    try:
        with _cut_after(answer, pace.seconds):
            while len(content) < most_bytes:
                piece = answer.read1(min(_PIECE_BYTES, most_bytes - len(content)), decode_content=unpacked)
                if not piece:
                    break
                content += piece
                pace.check(answer.tell())
    except TimeoutError as error:
        raise _too_late(str(error)) from error
    finally:
        answer.close()
    return bytes(content)
