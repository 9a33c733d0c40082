"""Deadlines of blocking reads: a server that sends a byte now and then holds nobody up."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def cut_after(connection: socket.socket, seconds: float) -> Iterator[None]:
    """Shut a connection down where the block takes longer; whatever waits on it then ends.

    Args:
        connection: plain or with TLS.
        seconds: longest time of the block.

    Raises:
        TimeoutError: it took longer.
    """
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
