"""Asking providers what they sell today and at what price: one module for each, rows of one kind from all.

A package names a function in the entry point group ``advisor.catalog_providers``; its name is that of the provider. The
function takes the known :class:`~advisor.catalog.Catalog` and the regions that are wanted (none: all), and returns the
:class:`~advisor.catalog.refresh.values.RefreshJob` to run.
"""

from functools import partial
from typing import TYPE_CHECKING

from advisor.errors import InputError
from advisor.names import suggestion
from advisor.records import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from importlib.metadata import EntryPoint

    from advisor.catalog.catalog import Catalog
    from advisor.catalog.refresh.values import RefreshJob, Row

    Ask = Callable[[Catalog, Sequence[str]], RefreshJob]


GROUP = "advisor.catalog_providers"
BUILT_IN = ("aws", "gcp", "azure")
_FAULTS = (Exception, SystemExit)
"""Whatever code of others raises; Ctrl-C stays what it is."""
_FIX = "fix or remove the package that brings it"


def plugin_names() -> tuple[str, ...]:
    """Providers that installed packages bring along."""
    return tuple(sorted({point.name for point in _points()} - set(BUILT_IN)))


def plugin(name: str) -> "Ask":
    """Part that a package brings along for a provider. Raises InputError if there is none, or it cannot be loaded."""
    points = [point for point in _points() if point.name == name]
    if not points:
        providers = (*BUILT_IN, *plugin_names())
        raise InputError(f"no provider of this name can be refreshed: '{name}'", hint=suggestion(name, providers))
    point = points[0]
    try:
        ask = point.load()
    except _FAULTS as error:
        raise _fault(point, f"cannot be loaded: {_words_of(error)}") from error
    if not callable(ask):
        raise _fault(point, "is not a function")

    def checked(catalog: "Catalog", wanted: "Sequence[str]") -> "RefreshJob":
        return _checked_job(point, ask, catalog, wanted)

    return checked


def _checked_job(point: "EntryPoint", ask: "Ask", catalog: "Catalog", wanted: "Sequence[str]") -> "RefreshJob":
    """The job of a package, whose tasks tell faults of its code as parts that are missing."""
    from advisor.catalog.refresh.values import RefreshJob  # noqa: PLC0415 - most commands ask no provider

    try:
        job = ask(catalog, wanted)
    except InputError:
        raise
    except _FAULTS as error:
        raise _fault(point, f"failed: {_words_of(error)}") from error
    if not isinstance(job, RefreshJob):
        raise _fault(point, f"returned {type(job).__name__}, no RefreshJob")
    tasks = tuple(replace(task, read=partial(_checked_rows, point, task.read)) for task in job.tasks)
    return replace(job, tasks=tasks)


def _checked_rows(point: "EntryPoint", read: "Callable[[], Iterable[Row]]") -> "list[Row]":
    """The rows of a task of a package. Raises Denied, with whose fault it is, if it fails or gives anything else."""
    from advisor.catalog.refresh.values import Denied, Row  # noqa: PLC0415 - as above

    try:
        rows = list(read())
    except Denied:
        raise
    except _FAULTS as error:
        raise Denied(f"{_named(point)} failed: {_words_of(error)}", _FIX) from error
    strange = next((row for row in rows if not isinstance(row, Row)), None)
    if strange is not None:
        raise Denied(f"{_named(point)} gave {type(strange).__name__}, no row", _FIX)
    return rows


def _fault(point: "EntryPoint", what: str) -> InputError:
    return InputError(f"the provider '{point.name}' {what}", where=_named(point), hint=_FIX)


def _named(point: "EntryPoint") -> str:
    """Package and function of an entry point."""
    return f"{point.dist.name}: {point.value}" if point.dist is not None else point.value


def _words_of(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _points() -> "Iterable[EntryPoint]":
    from importlib.metadata import entry_points  # noqa: PLC0415 - most commands ask no provider

    return entry_points(group=GROUP)
