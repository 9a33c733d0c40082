"""A source that loads no vendor's library, read in a thread: the same to its keeper as a process, for less memory."""

import os
import threading
from collections.abc import Sequence

from advisor.samples.agent.child import read_source


class SourceThread:
    """A thread that was started, with the end of its pipe."""

    pid = None
    """No process of its own."""

    def __init__(self, name: str, host: str, interval_us: int, addresses: Sequence[str]) -> None:
        """Start it.

        Raises:
            OSError: there are no file descriptors left.
        """
        read_end, self._write_end = os.pipe()
        os.set_blocking(read_end, False)
        self.read_end: int | None = read_end
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(name, host, interval_us, addresses), name=name, daemon=True
        )
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
            read_source(name, host, interval_us, addresses, self._say, self._stop.wait)
        finally:
            os.close(self._write_end)

    def _say(self, said: bytes) -> None:
        while said:
            said = said[os.write(self._write_end, said) :]
