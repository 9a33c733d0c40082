"""A server on the loopback that answers bytes of a test's choice: also those that no real server would send."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Script = Callable[[socket.socket, bytes], bool]
"""Given a connection and the head of a request with what came of its body; True: keep the connection."""


@dataclass
class Scripted:
    """Where it listens, and what it was asked."""

    url: str
    port: int
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0


@contextmanager
def scripted(script: Script) -> Iterator[Scripted]:
    """Serve each connection in a thread of its own until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = Scripted(f"http://127.0.0.1:{port}", port)
    opened: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def accept():
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                opened.append(connection)
                server.connections += 1
                threads.append(threading.Thread(target=converse, args=(connection,), daemon=True))
                threads[-1].start()

    def converse(connection):
        with suppress(OSError), connection:
            while (request := _request(connection)) and _noted(request) and script(connection, request):
                pass

    def _noted(request):
        server.requests.append(request)
        return True

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield server
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in opened:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in (accepting, *threads):
            thread.join(10)


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
