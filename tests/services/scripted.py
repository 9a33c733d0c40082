"""A server on the loopback that answers bytes of a test's choice: also those that no real server would send."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Script = Callable[[socket.socket, bytes], bool]
"""Given a connection and a request, head and body; True: keep the connection."""


class Scripted:
    """Where it listens, and what it was asked; each connection is served in a thread of its own."""

    def __init__(self, script: Script, port: int) -> None:
        """Listen."""
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", port))
        self._opened: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.requests: list[bytes] = []
        self._threads[0].start()

    @property
    def connections(self) -> int:
        """How many were made."""
        return len(self._opened)

    def close(self) -> None:
        """End every conversation."""
        for one in (self._listener, *self._opened):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self):
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._opened.append(connection)
                self._threads.append(threading.Thread(target=self._converse, args=(connection,), daemon=True))
                self._threads[-1].start()

    def _converse(self, connection):
        with suppress(OSError), connection:
            keep = True
            while keep and (request := _request(connection)):
                self.requests.append(request)
                keep = self._script(connection, request)


@contextmanager
def scripted(script: Script, port: int = 0) -> Iterator[Scripted]:
    """A server with this script until the block ends; *port* 0: one that is free."""
    server = Scripted(script, port)
    try:
        yield server
    finally:
        server.close()


def answer(body: str | bytes, status: str = "200 OK", headers: tuple[str, ...] = ()) -> bytes:
    """A whole answer with its length."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + content


def always(*parts: bytes, keep: bool = True) -> Script:
    """A script that answers every request with the same bytes."""

    def script(connection, _):
        for part in parts:
            connection.sendall(part)
        return keep

    return script


def _request(connection):
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(65536)
        if not part:
            return b""
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        part = connection.recv(65536)
        if not part:
            return b""
        body += part
    return head + b"\r\n\r\n" + body
