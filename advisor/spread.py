"""The same work on one core, on all of them, or on a cluster that joblib knows; results always come in order."""

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol, TypeVar

from advisor import LITTLE_GARBAGE
from advisor.errors import InputError
from advisor.records import dataclass

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
        """Start what runs the work, and stop it.

        Raises:
            InputError: a library is missing, or the cluster does not answer.
        """
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
