"""Steps of long work: those who do them say so, and whoever watches sees how many are done."""

import mmap
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_NUMBER = struct.Struct("q")
_watch: ContextVar[Callable[[], None] | None] = ContextVar("_watch", default=None)


def step_done() -> None:
    """Tell whoever watches that a step of long work is done, be it in a process forked from the one that watches."""
    watch = _watch.get()
    if watch is not None:
        watch()


@contextmanager
def steps_shown(show: Callable[[int], None]) -> Iterator[None]:
    """Block in which *show* gets the number of steps done so far, in this process and those forked from it."""
    with mmap.mmap(-1, _NUMBER.size) as done:

        def count() -> None:
            (before,) = _NUMBER.unpack(done[:])
            done[:] = _NUMBER.pack(before + 1)
            show(before + 1)

        token = _watch.set(count)
        try:
            yield
        finally:
            _watch.reset(token)
