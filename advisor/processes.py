"""Results worked out in processes of their own, a few at a time."""

import ctypes
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Generic, Self, TypeVar

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")

_END_WITH_PARENT = 1
"""``PR_SET_PDEATHSIG`` of prctl(2): signal that a process gets when its parent ends, however that ends."""


def usable_processors() -> int:
    """Processors that this process may use; all of them where the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Results(Generic[Key, Result]):
    """Results of a function by key, each worked out once.

    With several at a time each is worked out in a process forked from this one, which begins with all that this one
    holds; only the result is sent. One that does not arrive (the process was killed, the function raised or warned) is
    worked out here, where an error is raised, and a warning told, as it is. Without Linux, whose libraries allow forks,
    all are worked out here.
    """

    def __init__(self, function: Callable[[Key], Result], at_a_time: int = 1) -> None:
        """None is worked out yet."""
        self._function = function
        self._at_a_time = at_a_time if sys.platform == "linux" else 1
        self._results: dict[Key, Result] = {}
        self._waiting: list[Key] = []
        self._running: dict[Key, tuple[Connection, BaseProcess]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        """End the processes whose results nobody waits for."""
        self._waiting.clear()
        for key in list(self._running):
            self._end(key)

    def ahead(self, keys: Iterable[Key]) -> None:
        """Begin with results that will be asked for, before others that wait; nothing where all is worked out here."""
        if self._at_a_time > 1:
            new = [key for key in dict.fromkeys(keys) if key not in self._results and key not in self._running]
            self._waiting = [*new, *(key for key in self._waiting if key not in new)]
            self._start()

    def __call__(self, key: Key) -> Result:
        """Result of a key."""
        self.ahead([key])
        while key in self._running or key in self._waiting:
            self._receive()
        if key not in self._results:
            self._results[key] = self._function(key)
        return self._results[key]

    def _start(self) -> None:
        """Start processes up to so many at a time; none any more where the system refuses one."""
        while self._waiting and len(self._running) < self._at_a_time:
            key = self._waiting.pop(0)
            try:
                self._running[key] = self._forked(key)
            except OSError:
                self._at_a_time = 1
                self._waiting.clear()

    def _forked(self, key: Key) -> tuple[Connection, BaseProcess]:
        context = multiprocessing.get_context("fork")
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(sender, self._function, key, os.getpid()), daemon=True)
        with sender, _uninterrupted():
            process.start()
        return receiver, process

    def _receive(self) -> None:
        """Take the results that have arrived, one at least, and start other processes."""
        ready = wait([receiver for receiver, _ in self._running.values()])
        for key, (receiver, _) in list(self._running.items()):
            if receiver in ready:
                with suppress(EOFError, OSError):  # it ended without one
                    self._results[key] = receiver.recv()
                self._end(key)
        self._start()

    def _end(self, key: Key) -> None:
        receiver, process = self._running.pop(key)
        process.kill()
        process.join()
        process.close()
        receiver.close()


def _work(sender: Connection, function: Callable[[Key], Result], key: Key, parent: int) -> None:
    """Body of a process; what goes wrong in it goes wrong again where its result is asked for."""
    ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)
    with suppress(BaseException):
        if os.getppid() == parent:  # it may have ended before it was asked for the signal
            with warnings.catch_warnings(record=True) as told:
                result = function(key)
            if not told:
                sender.send(result)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Block in which an interrupt of the terminal waits; processes that start in it never get one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
