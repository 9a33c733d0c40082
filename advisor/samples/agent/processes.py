"""Sources, each in a process or a thread of its own: how one is started, how it reads and speaks, how it ends.

The process of one is ``python -m advisor.samples.agent.processes NAME HOST INTERVAL_US [ADDRESS …]``. It alone loads
the vendor's library, so that a driver that hangs or crashes takes nothing with it. It reads at whole multiples of the
interval in UTC and ends when its standard input does: with the supervisor, in whatever way that ends. Signals to stop
are the supervisor's business. Processes take only the calls of the system itself: one is started without a copy of
this one, and never waited for.

A source speaks in messages on a pipe, each its length and its content. Both ends are the same version of the same
program on the same machine, and only this program writes to the pipe (standard output is taken away from vendors'
libraries): the content is pickled.
"""

import os
import pickle
import select
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum
from functools import partial
from typing import Any

from advisor.errors import AdvisorError
from advisor.records import dataclass
from advisor.samples.metrics import Missed, Reading, Source
from advisor.samples.sources import open_source

BEAT_SECONDS = 5.0
"""No silence is longer than this, unless the source itself is silent."""
_LENGTH = struct.Struct("<I")
_LONGEST = 64 * 1024 * 1024
"""Bytes: more is not a message."""


class Word(IntEnum):
    """The first item of each message, and what follows it."""

    READY = 1
    """Description of what is seen."""
    TICK = 2
    """Tick in µs, cost in µs, µs between two ticks, why ticks before it were skipped, what was read."""
    BEAT = 3
    """Sign of life."""
    FAILED = 4
    """Message and hint: the end."""


class ProtocolError(Exception):
    """Bytes that are not a message."""


def message(word: Word, *items: object) -> bytes:
    """One message."""
    content = pickle.dumps((int(word), *items), pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(content)) + content


class Reader:
    """Puts messages together from the pieces that a pipe gives."""

    def __init__(self) -> None:
        """Begin without bytes."""
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[tuple[Word, Sequence[Any]]]:
        """The messages that a piece completes. Raises ProtocolError if this is not a message."""
        data, at = self._rest + piece, 0
        while len(data) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(data, at)
            if length > _LONGEST:
                raise ProtocolError(f"a message of {length} bytes")
            if len(data) - at < _LENGTH.size + length:
                break
            at += _LENGTH.size
            try:
                word, *items = pickle.loads(data[at : at + length])  # noqa: S301 - written by this very program, see above
                word = Word(word)
            except Exception as error:
                raise ProtocolError(str(error)) from error
            yield word, items
            at += length
        self._rest = data[at:]


_BUDGET_RATIO = 0.2
"""Share of the time between two readings that a reading may take before there are fewer of them."""
_SLOWEST_US = 15_000_000
_SLOW_READINGS = 3
_QUICK_READINGS = 15
_STANDARD_INPUT, _STANDARD_OUTPUT, _STANDARD_ERROR = 0, 1, 2


class Pace:
    """How far apart readings are: the interval, or a multiple of it while a reading takes too long a share of it.

    A driver that is slow is often slow because of us: reading it less leaves more of it to those it works for.
    """

    def __init__(self, interval_us: int) -> None:
        """Start at the interval."""
        self.interval_us = interval_us
        self.step_us = interval_us
        self._slow = 0
        self._quick = 0

    def took(self, cost_us: int) -> None:
        """Take note of what a reading took."""
        if cost_us > _BUDGET_RATIO * self.step_us:
            self._slow, self._quick = self._slow + 1, 0
        elif cost_us < _BUDGET_RATIO * self.step_us / 4:
            self._slow, self._quick = 0, self._quick + 1
        if self._slow >= _SLOW_READINGS and 2 * self.step_us <= _SLOWEST_US:
            self.step_us, self._slow = 2 * self.step_us, 0
        if self._quick >= _QUICK_READINGS and self.step_us > self.interval_us:
            self.step_us, self._quick = self.step_us // 2, 0


@dataclass(frozen=True, slots=True)
class Ticking:
    """Reads a source at every tick and says what it read."""

    source: Source
    pace: Pace
    say: Callable[[bytes], None]
    wait: Callable[[float], bool]
    """Waits so many seconds, or until told to stop: True means stop."""
    now_us: Callable[[], int]
    """µs since 1970 UTC, by a clock that somebody may set."""

    def run(self) -> None:
        """Until told to stop. Raises AdvisorError if nothing can be read any more."""
        cost_us = last_us = 0
        while True:
            if (tick_us := self._next_tick(last_us)) is None:
                return
            skipped = self._why_skipped(cost_us)
            started_ns = time.monotonic_ns()
            read: Sequence[Reading | Missed] = self.source.read()
            cost_us = (time.monotonic_ns() - started_ns) // 1000
            self.say(message(Word.TICK, tick_us, cost_us, self.pace.step_us, skipped, read))
            self.pace.took(cost_us)
            last_us = tick_us

    def _next_tick(self, last_us: int) -> int | None:
        """Wait for the next tick; None: told to stop. A tick that was slept through is skipped, never read late."""
        step_us, interval_us = self.pace.step_us, self.pace.interval_us
        due_us = max(self.now_us() // step_us * step_us, last_us) + step_us
        while (now_us := self.now_us()) < due_us:
            # A clock that was set back would leave the source waiting for the old time to come again.
            due_us = min(due_us, now_us // step_us * step_us + step_us)
            if self.wait(min((due_us - now_us) / 1e6, BEAT_SECONDS)):
                return None
            if due_us - now_us > BEAT_SECONDS * 1e6:
                self.say(message(Word.BEAT))
        return now_us // interval_us * interval_us

    def _why_skipped(self, cost_us: int) -> str | None:
        """Why the ticks before this one were not read, as far as it is our doing."""
        if self.pace.step_us > self.pace.interval_us:
            return f"a reading takes {cost_us / 1e6:.2g} s: read every {self.pace.step_us / 1e6:g} s only"
        return f"a reading took {cost_us / 1e6:.2g} s" if cost_us > self.pace.interval_us else None


def main(arguments: Sequence[str]) -> int:
    """Read one source until the supervisor is gone; the exit status."""
    name, host, interval_us, *addresses = arguments
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    pipe = os.dup(_STANDARD_OUTPUT)  # for messages alone: what vendors' libraries print goes nowhere
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for noise in (_STANDARD_OUTPUT, _STANDARD_ERROR):
        os.dup2(nowhere, noise)
    os.close(nowhere)
    return read_source(name, host, int(interval_us), addresses, partial(write_whole, pipe), _stopped_within)


def read_source(
    name: str,
    host: str,
    interval_us: int,
    addresses: Sequence[str],
    say: Callable[[bytes], None],
    wait: Callable[[float], bool],
) -> int:
    """Read one source until told to stop; the exit status. See :class:`Ticking` for *say* and *wait*."""
    try:
        source = open_source(name, host, addresses)
        say(message(Word.READY, source.describe()))
        try:
            Ticking(source, Pace(interval_us), say, wait, _now_us).run()
        finally:
            source.close()
    except AdvisorError as error:
        return _give_up(say, f"{error.where}: {error.message}" if error.where else error.message, error.hint)
    except BrokenPipeError:
        return 0  # the supervisor is gone
    except Exception as error:  # noqa: BLE001 - whatever a vendor's code raises: the supervisor is told, and goes on
        return _give_up(say, f"{name} failed: {type(error).__name__}: {error}", "")
    return 0


def write_whole(pipe: int, said: bytes) -> None:
    """Write all of a message to a pipe, waiting for who reads it."""
    while said:
        said = said[os.write(pipe, said) :]


def _stopped_within(seconds: float) -> bool:
    """Wait; True: the supervisor closed its end."""
    return bool(select.select([_STANDARD_INPUT], [], [], max(seconds, 0))[0])


def _now_us() -> int:
    return time.time_ns() // 1000


def _give_up(say: Callable[[bytes], None], text: str, hint: str) -> int:
    try:
        say(message(Word.FAILED, text, hint))
    except BrokenPipeError:
        return 0
    return 1


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
