"""Work in processes of their own: results asked for one by one, and the same work for many things in order."""

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import islice
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, Protocol, Self, TypeVar

from advisor import LITTLE_GARBAGE
from advisor.errors import InputError
from advisor.records import dataclass

Item = TypeVar("Item")
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
    and beside other threads, whose locks a fork would keep, all are worked out here.
    """

    def __init__(self, function: Callable[[Key], Result], at_a_time: int = 1) -> None:
        """None is worked out yet."""
        self._function = function
        self._at_a_time = at_a_time if _can_fork() else 1
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

    def _only(self, key: Key) -> Iterator[Result]:
        yield self._function(key)

    def _start(self) -> None:
        """Start processes up to so many at a time; none any more where the system refuses one."""
        while self._waiting and len(self._running) < self._at_a_time:
            key = self._waiting.pop(0)
            try:
                self._running[key] = _forked(partial(self._only, key))
            except OSError:
                self._at_a_time = 1
                self._waiting.clear()

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
        _end(*self._running.pop(key))


class Items(Generic[Item]):
    """Items of an iterator by position, worked out ahead in a process forked from this one, or here when asked for.

    Those that do not arrive are worked out here, from the first on; see :class:`Results`.
    """

    def __init__(self, make: Callable[[], Iterator[Item]], ahead: Callable[[], Iterator[Item]] | None) -> None:
        """Begin with the first of them, which *ahead* makes in another process, where processes can be forked."""
        self._make = make
        self._items: list[Item] = []
        self._here: Iterator[Item] | None = None
        self._running: tuple[Connection, BaseProcess] | None = None
        if ahead is not None and _can_fork():
            with suppress(OSError):  # the system refuses one
                self._running = _forked(ahead)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        """End the process, whatever it has worked out."""
        if self._running is not None:
            _end(*self._running)
            self._running = None

    def __getitem__(self, at: int) -> Item:
        """Item at a position, which there has to be."""
        while len(self._items) <= at:
            self._items.append(self._next())
        return self._items[at]

    def _next(self) -> Item:
        if self._running is not None:
            with suppress(EOFError, OSError):  # it ended before
                item: Item = self._running[0].recv()
                return item
            self.__exit__()
        if self._here is None:
            self._here = islice(self._make(), len(self._items), None)
        return next(self._here)


def _can_fork() -> bool:
    return sys.platform == "linux" and threading.active_count() == 1


def _forked(make: Callable[[], Iterator[object]]) -> tuple[Connection, BaseProcess]:
    """A process that sends the items of an iterator."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, make, os.getpid()), daemon=True)
    with sender, _uninterrupted():
        process.start()
    return receiver, process


def _end(receiver: Connection, process: BaseProcess) -> None:
    process.kill()
    process.join()
    process.close()
    receiver.close()


def _work(sender: Connection, make: Callable[[], Iterator[object]], parent: int) -> None:
    """Body of a process; what goes wrong in it goes wrong again where its result is asked for."""
    ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)
    with suppress(BaseException):
        if os.getppid() == parent:  # it may have ended before it was asked for the signal
            with warnings.catch_warnings(record=True) as told:
                for item in make():
                    if told:
                        break
                    sender.send(item)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Block in which an interrupt of the terminal waits; processes that start in it never get one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


A = TypeVar("A")
B = TypeVar("B")
BACKENDS = ("loky", "dask", "ray")
BATCH = 64
"""Calls at a time where a backend (Ray's) gives all results at once: after each batch it is known how many are done."""


class Run(Protocol):
    """Applies a function to many things, in their order."""

    def __call__(self, function: Callable[[A], B], items: Sequence[A]) -> Iterable[B]:
        """Results one by one, as they are there."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Settings of parallel work."""

    jobs: int = 1
    """At a time; -1 is one for each core, or each worker of a cluster."""
    backend: str = "loky"
    scheduler: str | None = None
    """Address of a running cluster; None starts a local one."""

    @contextmanager
    def open(self) -> Iterator[Run]:
        """Start and stop what runs the work. Raises InputError if a library is missing, or the cluster is silent."""
        if self.jobs == 1 and self.backend == "loky":
            yield _here
            return
        joblib = _library("joblib", "joblib")
        with ExitStack() as stack:
            _connect(self, stack)
            stack.enter_context(joblib.parallel_config(backend=self.backend, n_jobs=self.jobs))
            spread_as = "list" if self.backend == "ray" else "generator"
            called = _in_process if self.backend == "loky" else _call

            def run(function: Callable[[A], B], items: Sequence[A]) -> Iterable[B]:
                size = BATCH if spread_as == "list" else max(len(items), 1)
                for at in range(0, len(items), size):
                    calls = (joblib.delayed(called)(function, item) for item in items[at : at + size])
                    yield from joblib.Parallel(return_as=spread_as)(calls)

            yield run


def _in_process(function: Callable[[A], B], item: A) -> B:
    """Result in a process that was started for such work, which looks for cycles as seldom as a command does."""
    gc.set_threshold(LITTLE_GARBAGE)
    return function(item)


def _call(function: Callable[[A], B], item: A) -> B:
    return function(item)


def _here(function: Callable[[A], B], items: Sequence[A]) -> Iterable[B]:
    return map(function, items)


def _connect(spread: Spread, stack: ExitStack) -> None:
    """Connect to the cluster that a backend works on."""
    match spread.backend:
        case "dask":
            distributed = _library("distributed", "distributed")
            try:
                stack.enter_context(distributed.Client(spread.scheduler))
            except OSError as error:
                told = f"no Dask scheduler answers: {error}"
                hint = "give the address that `dask scheduler` prints, such as tcp://10.0.0.1:8786"
                raise InputError(told, where=spread.scheduler or "a local cluster", hint=hint) from error
        case "ray":
            ray = _library("ray", "ray")
            _library("ray.util.joblib", "ray").register_ray()
            ray.init(address=spread.scheduler, ignore_reinit_error=True, log_to_driver=False)
            stack.callback(ray.shutdown)


def _library(module: str, package: str) -> Any:  # noqa: ANN401 - a module that need not be installed
    import importlib  # noqa: PLC0415 - libraries that only large estates need

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(
            f"spreading the work needs {package}, which is not installed", hint=f"pip install {package}"
        ) from error
