"""Starting sources, each in a process or a thread of its own, cheaply, and hearing of their end.

Processes take only the calls of the system itself: one is started without a copy of this one, and never waited for.
"""

import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import partial

from advisor.samples.agent.child import read_source, write_whole


class SourceThread:
    """A thread that was started, with the end of its pipe."""

    pid = None
    """No process of its own."""

    def __init__(self, name: str, host: str, interval_us: int, addresses: Sequence[str]) -> None:
        """Start it. Raises OSError if there are no file descriptors left."""
        read_end, self._write_end = os.pipe()
        os.set_blocking(read_end, False)
        self.read_end: int | None = read_end
        self._stop = threading.Event()
        arguments = (name, host, interval_us, addresses)
        self._thread = threading.Thread(target=self._run, args=arguments, name=name, daemon=True)
        self._thread.start()

    def ended(self) -> str | None:
        """Return "ended", or None while the thread runs."""
        return None if self._thread.is_alive() else "ended"

    def end_input(self) -> None:
        """Tell the thread to end."""
        self._stop.set()

    def close(self) -> None:
        """Close the pipe and tell the thread to end."""
        self.end_input()
        if self.read_end is not None:
            os.close(self.read_end)
        self.read_end = None

    def _run(self, name: str, host: str, interval_us: int, addresses: Sequence[str]) -> None:
        try:
            say = partial(write_whole, self._write_end)
            read_source(name, host, interval_us, addresses, say, self._stop.wait)
        finally:
            os.close(self._write_end)


_BARE = (
    "import importlib, sys; sys.path[:] = sys.argv[2].split(':');"
    "sys.exit(importlib.import_module(sys.argv[1]).main(sys.argv[3:]))"
)


def bare_interpreter(module: str, *arguments: str) -> list[str]:
    """Command that runs ``main`` of a module in an interpreter without anything that it does not need.

    No site, no environment variables of Python, no positions of code: a third less memory than ``python -m``.
    """
    paths = ":".join(path for path in sys.path if path)
    return [sys.executable, "-I", "-S", "-X", "no_debug_ranges", "-c", _BARE, module, paths, *arguments]


class Process:
    """A process that was started, with the ends of its pipes."""

    def __init__(
        self, command: Sequence[str], *, listens: bool = False, speaks: bool = False, complains: bool = False
    ) -> None:
        """Start a program with pipes for input and output, or standard error. Raises OSError if it cannot be."""
        self.write_end: int | None = None
        self.read_end: int | None = None
        if listens:
            theirs, self.write_end = os.pipe()
        else:
            theirs = os.open(os.devnull, os.O_RDONLY)
        if speaks or complains:
            self.read_end, output = os.pipe()
        else:
            output = os.open(os.devnull, os.O_WRONLY)
        moves = [(os.POSIX_SPAWN_DUP2, theirs, 0), (os.POSIX_SPAWN_DUP2, output, 2 if complains else 1)]
        self._status: int | None = None
        try:
            # A process group of its own: Ctrl-C reaches this program alone, which then ends the others in order.
            self.pid = os.posix_spawn(command[0], list(command), os.environ, file_actions=moves, setpgroup=0)
        except OSError:
            self.close()
            raise
        finally:
            os.close(theirs)
            os.close(output)
        for end in (self.read_end, self.write_end):
            if end is not None:
                os.set_blocking(end, False)

    def ended(self) -> str | None:
        """How it ended, in words; None while it runs."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if not pid:
                return None
            self._status = os.waitstatus_to_exitcode(status)
        return in_words(self._status)

    @property
    def exit_status(self) -> int | None:
        """Exit status, negative for a signal; None while it runs or nobody asked :meth:`ended`."""
        return self._status

    def end_input(self) -> None:
        """Close its input, so that it reads the end."""
        if self.write_end is not None:
            os.close(self.write_end)
        self.write_end = None

    def close(self) -> None:
        """Close the pipes: a process that reads from them sees the end."""
        self.end_input()
        if self.read_end is not None:
            os.close(self.read_end)
        self.read_end = None


def in_words(exit_status: int) -> str:
    """Phrase such as ``ended with exit 1`` or ``was killed by SIGSEGV``."""
    if exit_status >= 0:
        return f"ended with exit {exit_status}"
    names: Mapping[int, str] = {number.value: number.name for number in signal.Signals}
    return f"was killed by {names.get(-exit_status, f'signal {-exit_status}')}"
