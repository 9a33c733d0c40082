"""A program that serves HTTP on a free port of the loopback, for as long as a test needs it."""

import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_ATTEMPTS = 3
"""Another program may take the port between the choice and the start."""


class DidNotStartError(Exception):
    """The program ended, or did not answer in time; with what it said."""


@contextmanager
def serving(command: Callable[[int], Sequence[str]], ready: str, log: Path, seconds: float = 30.0) -> Iterator[str]:
    """Start a server, wait until it answers, and end it afterwards.

    Args:
        command: arguments of the program for a port.
        ready: path that answers 200 once the server can be used.
        log: file for what it says.
        seconds: how long it may take to start.

    Yields:
        Its address, such as ``http://127.0.0.1:41234``.

    Raises:
        DidNotStartError: with the end of what the program said.
    """
    process, url = _start(command, ready, log, seconds)
    try:
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _start(command, ready, log, seconds):
    for _ in range(_ATTEMPTS):
        port = free_port()
        with log.open("ab") as stream:
            process = subprocess.Popen(command(port), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
        url = f"http://127.0.0.1:{port}"
        if _answers(process, f"{url}{ready}", seconds):
            return process, url
        process.kill()
        process.wait()
    raise DidNotStartError(log.read_text(errors="replace")[-2000:])


def _answers(process, url, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return True
        except (OSError, urllib.error.URLError):
            time.sleep(0.05)
    return False
