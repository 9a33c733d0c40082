"""The system's clock, with a wait that a signal to stop ends at once."""

import select
import signal
import socket
from datetime import UTC, datetime, timedelta
from types import FrameType, TracebackType
from typing import Self

_STOP = (signal.SIGINT, signal.SIGTERM)
_MANY = 4096
"""More signal numbers than wait to be read at any time."""


class StoppableClock:
    """Wall-clock time until SIGINT or SIGTERM arrives; to be used with ``with``, in the main thread.

    The interpreter's own signal handler wakes the wait through a socket, whichever thread the signal meets: nothing
    is lost between looking and waiting, and a reading in progress is finished.
    """

    def __init__(self) -> None:
        """Prepare; signals are taken over on entering."""
        self._stopped = False
        self._wakeup, self._notify = socket.socketpair()
        self._before: list[tuple[signal.Signals, object]] = []
        self._wakeup_before = -1

    def __enter__(self) -> Self:
        """Take the signals over."""
        self._notify.settimeout(0)
        self._wakeup_before = signal.set_wakeup_fd(self._notify.fileno(), warn_on_full_buffer=False)
        self._before = [(number, signal.signal(number, self._stop)) for number in _STOP]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        """Give the signals back."""
        for number, handler in self._before:
            signal.signal(number, handler)  # type: ignore[arg-type] # what signal.signal itself returned
        signal.set_wakeup_fd(self._wakeup_before)
        self._wakeup.close()
        self._notify.close()

    def now(self) -> datetime:
        """The time in UTC."""
        return datetime.now(UTC)

    def wait(self, span: timedelta) -> bool:
        """Wait that long, or until a signal arrives: True means stop."""
        if not self._stopped and select.select([self._wakeup], [], [], max(span.total_seconds(), 0))[0]:
            self._wakeup.recv(_MANY)
        return self._stopped

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        self._stopped = True
