"""Clock and settings of a run, from the command line to the bare interpreter that runs it.

They go through the environment, which other users of the machine cannot see: an engine's address may hold a password.
"""

import json
import os
import re
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Any

from advisor.errors import InputError
from advisor.records import asdict, dataclass, field
from advisor.samples.agent.supervised import Asked, Patience
from advisor.samples.metrics import ROW_SECONDS

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NOTICED_SECONDS = 0.5


class ClockWatch:
    """Tells when the machine slept, and when somebody set the clock."""

    def __init__(self, wall: float, since_boot: float, awake: float) -> None:
        """Compare with now, as :func:`clocks` gives it."""
        self._set_to = wall - since_boot
        self._slept = since_boot - awake

    def look(self, wall: float, since_boot: float, awake: float) -> str | None:
        """Clock changes since the last look, in words; None: nothing."""
        slept, set_forward = since_boot - awake - self._slept, wall - since_boot - self._set_to
        self._set_to, self._slept = wall - since_boot, since_boot - awake
        if slept > _NOTICED_SECONDS:
            return f"the machine slept for {slept:.0f} s"
        if abs(set_forward) > _NOTICED_SECONDS:
            direction = "forward" if set_forward > 0 else "back"
            return f"the clock was set {direction} by {abs(set_forward):.0f} s"
        return None


def clocks() -> tuple[float, float, float]:
    """Seconds since 1970, since the machine started, and the part of the latter that it was awake."""
    return time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), time.monotonic()


class StopSignal:
    """Whether SIGINT or SIGTERM arrived, and a pipe that can be waited on for it."""

    def __init__(self) -> None:
        """None arrived; see :func:`stop_signals`."""
        self.pipe, self.write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.arrived = False

    def clear(self) -> None:
        """Forget it: the next one is another matter."""
        self.arrived = False
        try:
            os.read(self.pipe, 4096)
        except BlockingIOError:
            return

    def stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        """One arrived."""
        self.arrived = True


@contextmanager
def stop_signals() -> Iterator[StopSignal]:
    """Take SIGINT and SIGTERM over; to be used in the main thread.

    The interpreter's own signal handler wakes who waits for the pipe, whichever thread the signal meets: nothing is
    lost between looking and waiting.
    """
    stop = StopSignal()
    wakeup_before = signal.set_wakeup_fd(stop.write_end, warn_on_full_buffer=False)
    before = [(number, signal.signal(number, stop.stop)) for number in STOP_SIGNALS]
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # whoever started this may have held them back
    try:
        yield stop
    finally:
        for number, handler in before:
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup_before)
        os.close(stop.pipe)
        os.close(stop.write_end)


Label = tuple[str, str]
"""Name and value."""
HELP = "kept in every file of rows and on every series, such as team=search; repeatable"
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OURS = {
    "accelerator", "endpoint", "engine", "host", "instance", "job", "le", "mig", "model", "product", "rank", "reason",
    "source", "uuid", "version",
}  # fmt: skip
"""Labels that say what a series is of, and those of who scrapes it."""
_LONGEST_VALUE = 256
_LABEL_HINT = (
    "write NAME=VALUE, such as team=search: a name of ASCII letters, digits and _, a value of 1 to 256 characters"
)


def parse_labels(texts: Sequence[str]) -> tuple[Label, ...]:
    """Sorted labels of ``NAME=VALUE`` texts. Raises InputError if a text is not a label, or a name is taken."""
    labels: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        has_value = separator and value.isprintable() and 0 < len(value) <= _LONGEST_VALUE
        if not has_value or not _NAME.fullmatch(name):
            raise InputError(f"{text!r} is not a label", where="--label", hint=_LABEL_HINT)
        if name in _OURS or name.startswith("__") or name in labels:
            reason = "given twice" if name in labels else "the agent's own"
            raise InputError(f"the label {name} is {reason}", where="--label", hint="choose another name")
        labels[name] = value
    return tuple(sorted(labels.items()))


def with_labels(own: Sequence[Label], static: Sequence[Label]) -> tuple[Label, ...]:
    """Labels of a series and those of its host, in the order of their names."""
    return tuple(sorted((*own, *static)))


INTERVALS = (
    timedelta(milliseconds=100),
    timedelta(seconds=ROW_SECONDS),
    f"every row of {ROW_SECONDS}s needs a reading, else demand and need are unknown for lack of rows",
)
"""Shortest and longest time between readings, and why: drivers renew their counters about six times a second."""
VARIABLE = "ADVISOR_AGENT_SETTINGS"
"""Environment variable that the command line leaves the settings in."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a run."""

    output: str
    host: str
    sources: tuple[Asked, ...]
    interval_us: int = 1_000_000
    duration_us: int | None = None
    """None: until told to stop."""
    quiet: bool = False
    page: str | None = None
    """Address and port where the newest rows are shown; None: nowhere."""
    page_tls: tuple[str, ...] = ()
    """Files of certificate, key and client authority; empty: plain HTTP."""
    compact: bool = True
    """Whether rows become Parquet every hour, and at the end."""
    keep_days: int | None = None
    """Whole days before today that are kept; None: all."""
    upload: str | None = None
    """Bucket that finished days go to; None: nowhere."""
    labels: tuple[Label, ...] = ()
    patience: Patience = field(default_factory=Patience)

    def as_argument(self) -> str:
        """All of it in one string."""
        return json.dumps(asdict(self))

    @classmethod
    def from_argument(cls, argument: str) -> "Settings":
        """Settings from :meth:`as_argument`."""
        given: dict[str, Any] = json.loads(argument)
        sources = (Asked(asked["source"], tuple(asked["addresses"])) for asked in given["sources"])
        return cls(
            **{
                **given,
                "sources": tuple(sources),
                "page_tls": tuple(given["page_tls"]),
                "labels": tuple((name, value) for name, value in given["labels"]),
                "patience": Patience(**given["patience"]),
            }
        )
