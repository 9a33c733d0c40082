"""Other programs that get every record as soon as there is one: a listener, a remote write.

Each is fed through a pipe that is never waited for. What does not fit into it is dropped for this outlet only, and
counted: the spool has it all.
"""

import os
from collections.abc import Callable, Sequence

from advisor.samples.agent.processes import Process

OUTLETS = {"listener": "advisor.samples.agent.listener", "remote-write": "advisor.samples.agent.remote_write"}
"""Outlets that come with the agent: module by the first word of ``--outlet``."""
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_HEALTHY_SECONDS = 60.0


def outlet_name(command: Sequence[str]) -> str:
    """What a person calls an outlet: its word, or the path of its program."""
    return next((name for name, module in OUTLETS.items() if module in command), command[0] if command else "")


class Outlet:
    """One program, started anew when it ends."""

    def __init__(self, command: Sequence[str], report: Callable[[str], None]) -> None:
        """Prepare; nothing is started yet.

        Args:
            command: program, by its path, and arguments; reads frames on its standard input.
            report: told when it ends.
        """
        self.command = tuple(command)
        self._report = report
        self._process: Process | None = None
        self._rest = b""
        self._start_at = self._started_at = 0.0
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self.fed = 0
        self.dropped = 0
        self.starts = 0

    @property
    def process_id(self) -> int | None:
        """Its process now."""
        return None if self._process is None else self._process.pid

    def tend(self, now: float) -> None:
        """Start it when it is due; take note of its end."""
        if self._process is not None:
            how = self._process.ended()
            if how is None:
                return
            self._process.close()
            self._process, self._rest = None, b""
            self._pause(now, how)
        if now >= self._start_at:
            self._start(now)

    def feed(self, frames: Sequence[bytes]) -> None:
        """Give it records, as far as the pipe has room."""
        if self._process is None:
            self.dropped += len(frames)
            return
        for frame in frames:
            if self._push(self._rest) and self._push(frame):
                self.fed += 1
            else:
                self.dropped += 1

    def close(self) -> None:
        """Its input ends."""
        if self._process is not None:
            self._push(self._rest)
            self._process.close()

    def _push(self, content: bytes) -> bool:
        """Write; False: not a byte of it was taken. What was taken in part goes on before anything else."""
        if not content:
            return True
        if self._process is None or self._process.write_end is None:
            return False
        try:
            written = os.write(self._process.write_end, content)
        except (BlockingIOError, BrokenPipeError):
            return False
        is_rest = content is self._rest
        self._rest = content[written:]
        return not self._rest if is_rest else True

    def _start(self, now: float) -> None:
        self._started_at = now
        try:
            self._process = Process(self.command, listens=True)
            self.starts += 1
        except OSError as error:
            self._pause(now, f"cannot be started: {error.strerror}")

    def _pause(self, now: float, how: str) -> None:
        if now - self._started_at > _HEALTHY_SECONDS:
            self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._report(f"outlet {outlet_name(self.command)} {how}; started again in {self._pause_seconds:.0f} s")
        self._start_at = now + self._pause_seconds
        self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
