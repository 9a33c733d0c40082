"""The system's clocks, and the signals to stop."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NOTICED_SECONDS = 0.5


class ClockWatch:
    """Tells when the machine slept, and when somebody set the clock."""

    def __init__(self, wall: float, since_boot: float, awake: float) -> None:
        """Compare with now.

        Args:
            wall: seconds since 1970.
            since_boot: seconds since the machine started, asleep or not.
            awake: seconds since it started that it was not asleep.
        """
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
