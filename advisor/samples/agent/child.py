"""The process of one source: ``python -m advisor.samples.agent.child NAME HOST INTERVAL_US [ADDRESS …]``.

It alone loads the vendor's library, so that a driver that hangs or crashes takes nothing with it. It reads at whole
multiples of the interval in UTC, speaks :mod:`advisor.samples.agent.protocol` on its standard output, and ends when its
standard input does: with the supervisor, in whatever way that ends. Signals to stop are the supervisor's business.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

from advisor.errors import AdvisorError
from advisor.records import dataclass
from advisor.samples.agent.protocol import BEAT_SECONDS, Word, message
from advisor.samples.metrics import Missed, Reading, Source
from advisor.samples.sources import open_source

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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
