"""Rows become Parquet in a short-lived process of a low priority: every hour, and once at the end."""

import os
import time
from collections.abc import Callable, Sequence
from importlib.machinery import PathFinder

from advisor.samples.agent.processes import Process, bare_interpreter

EVERY_SECONDS = 3600.0
_AFTER_FAILURE_SECONDS = 300.0
_LONGEST_TAIL = 4096
_NICENESS = 19
_NICENESS_AT_END = 5
"""Somebody waits for the last one: with the highest niceness it would take minutes on a host that is fully busy."""
_POLL_SECONDS = 0.05
_LONGEST_SECONDS = 4 * 3600.0
"""A bucket that answers a byte at a time does not keep old days from being removed for ever."""
_LAST_SECONDS = 40.0
"""Time that the end of the agent waits for the last one: less than systemd and a cluster wait for the agent."""


def compaction_command(directory: str, host: str, keep_days: int | None, upload: str | None) -> list[str]:
    """The program that does it."""
    bound = [] if keep_days is None else [f"--keep-days={keep_days}"]
    bound += [] if upload is None else [f"--upload={upload}"]
    module = "advisor.samples.agent.compact_command"
    return bare_interpreter(module, directory, f"--host={host}", "--here", *bound)


def can_compact() -> bool:
    """Whether what it needs is installed here; without it rows stay in the spool."""
    return PathFinder.find_spec("pyarrow") is not None


class Compaction:
    """Starts it when it is due, one at a time, and says when it fails."""

    def __init__(
        self, command: Sequence[str], report: Callable[[str], None], now: float, at_end: Sequence[str] = ()
    ) -> None:
        """Due in an hour.

        Args:
            command: program, by its path, and arguments.
            report: told when it fails.
            now: seconds of a clock that is never set.
            at_end: further arguments of the last one.
        """
        self._command = command
        self._at_end = at_end
        self._started_at = now
        self._is_overdue = False
        self._report = report
        self._process: Process | None = None
        self._said = b""
        self._due_at = now + EVERY_SECONDS
        self._is_last = False
        self.runs = 0
        self.trouble: str | None = None
        """Why the last one failed."""

    @property
    def process_id(self) -> int | None:
        """Id of its current process."""
        return None if self._process is None else self._process.pid

    def tend(self, now: float) -> None:
        """Start it, or take note of its end."""
        if self._process is not None:
            self._listen(self._process)
            if (how := self._process.ended()) is not None:
                self._has_ended(self._process, how, now)
            elif now - self._started_at > _LONGEST_SECONDS and not self._is_overdue:
                self._is_overdue = True
                self._process.ask_to_end()
        elif now >= self._due_at:
            self._start(now)

    def finish(self, is_enough: Callable[[], bool]) -> None:
        """Run it once more, to its end; told that it is enough, or after 40 s, leave it to end by itself."""
        self._is_last = True
        started = time.monotonic()
        if self._process is None:
            self._start(started)
        while self._process is not None and not is_enough():
            if time.monotonic() - started > _LAST_SECONDS:
                self._report("the last compaction takes long and is left to end by itself")
                return
            time.sleep(_POLL_SECONDS)
            self.tend(time.monotonic())

    def _start(self, now: float) -> None:
        self._said = b""
        self._started_at, self._is_overdue = now, False
        self._due_at = now + EVERY_SECONDS
        try:
            self._process = Process([*self._command, *(self._at_end if self._is_last else ())], complains=True)
            self._process.be_nice(_NICENESS_AT_END if self._is_last else _NICENESS)
        except OSError as error:
            self._fails(f"cannot be started: {error.strerror}", now)

    def _listen(self, process: Process) -> None:
        """Keep the end of what it says."""
        if process.read_end is not None:
            try:
                self._said = (self._said + os.read(process.read_end, 1 << 16))[-_LONGEST_TAIL:]
            except BlockingIOError:
                return

    def _has_ended(self, process: Process, how: str, now: float) -> None:
        self._listen(process)
        process.close()
        self._process = None
        self.runs += 1
        if self._is_overdue:
            self._fails(f"was ended after {_LONGEST_SECONDS / 3600:g} hours", now)
        elif process.exit_status:
            self._fails(how, now)
        else:
            self.trouble = None

    def _fails(self, how: str, now: float) -> None:
        last_words = self._said.decode(errors="replace").strip().splitlines()
        self.trouble = f"{how}: {last_words[-1]}" if last_words else how
        later = "" if self._is_last else f", tried again in {_AFTER_FAILURE_SECONDS / 60:.0f} minutes"
        self._report(f"compaction {self.trouble}; rows stay here{later}")
        self._due_at = now + _AFTER_FAILURE_SECONDS
