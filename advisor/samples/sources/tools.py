"""Vendors' command-line tools that report line by line for as long as they run."""

import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from advisor.errors import InputError

_PIECE = 1 << 16
_LONGEST_LINE = 16 * 1024 * 1024
_FIRST_LINE_SECONDS = 20.0
_REPORT_SECONDS = 0.2
"""What a report of many lines takes to arrive at most."""
_END_SECONDS = 5.0


class ReportingTool:
    """A tool that was started, and the lines it has said so far."""

    def __init__(self, command: Sequence[str], hint: str, take: Callable[[Sequence[str]], None]) -> None:
        """Start it and take its first report.

        Args:
            command: its name, and arguments.
            hint: what to do where it is missing or does not work.
            take: takes the first lines; raises an InputError where they show no accelerator, which ends the tool.

        Raises:
            InputError: it is not installed, cannot be started, ends, says nothing, or shows no accelerator.
        """
        self.name = command[0]
        self._hint = hint
        path = shutil.which(self.name)
        if path is None:
            raise InputError(f"no program {self.name} on this host", hint=hint)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the vendor's own tool, found on the path
                [path, *command[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            raise InputError(f"{self.name} cannot be started: {error.strerror}", hint=hint) from error
        self._rest = b""
        os.set_blocking(self._descriptor, False)
        try:
            take(self._first_lines())
        except InputError:
            self.close()
            raise

    def _first_lines(self) -> list[str]:
        """Wait for the first report, which may have several lines."""
        until = time.monotonic() + _FIRST_LINE_SECONDS
        while (left := until - time.monotonic()) > 0:
            select.select([self._descriptor], [], [], left)
            if lines := self.new_lines():
                time.sleep(_REPORT_SECONDS)
                return lines + self.new_lines()
        raise InputError(f"{self.name} reports nothing", hint=self._hint)

    def new_lines(self) -> list[str]:
        """Lines that came since the last call; never waits.

        Raises:
            InputError: it ended, or does not speak in lines.
        """
        said = self._rest
        while piece := self._read():
            said += piece
        *lines, self._rest = said.split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            raise InputError(f"{self.name} said {len(self._rest)} bytes without a line's end", hint=self._hint)
        return [line.decode(errors="replace") for line in lines if line.strip()]

    def close(self) -> None:
        """End it; one that does not end within some seconds is left to itself."""
        self._process.terminate()
        if self._process.stdout is not None:
            self._process.stdout.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_END_SECONDS)

    @property
    def _descriptor(self) -> int:
        if self._process.stdout is None:
            raise InputError(f"{self.name} has no output", hint=self._hint)
        return self._process.stdout.fileno()

    def _read(self) -> bytes:
        try:
            piece = os.read(self._descriptor, _PIECE)
        except BlockingIOError:
            return b""
        if not piece:
            raise InputError(f"{self.name} ended with exit {self._process.wait()}", hint=self._hint)
        return piece
