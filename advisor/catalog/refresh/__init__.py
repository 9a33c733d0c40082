"""Asking providers what they sell today and at what price: one module for each, rows of one kind from all.

A package names a function in the entry point group ``advisor.catalog_providers``; its name is that of the provider. The
function takes the known :class:`~advisor.catalog.Catalog` and the regions that are wanted (none: all), and returns the
:class:`~advisor.catalog.refresh.values.RefreshJob` to run.
"""

from typing import TYPE_CHECKING

from advisor.errors import InputError
from advisor.names import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from importlib.metadata import EntryPoint

    from advisor.catalog.catalog import Catalog
    from advisor.catalog.refresh.values import RefreshJob

    Ask = Callable[[Catalog, Sequence[str]], RefreshJob]


GROUP = "advisor.catalog_providers"
BUILT_IN = ("aws", "gcp", "azure")


def plugin_names() -> tuple[str, ...]:
    """Providers that installed packages bring along."""
    return tuple(sorted({point.name for point in _points()} - set(BUILT_IN)))


def plugin(name: str) -> "Ask":
    """Part that a package brings along for a provider. Raises InputError if there is none, or it cannot be loaded."""
    points = [point for point in _points() if point.name == name]
    if not points:
        providers = (*BUILT_IN, *plugin_names())
        raise InputError(f"no provider of this name can be refreshed: '{name}'", hint=suggestion(name, providers))
    try:
        ask = points[0].load()
    except Exception as error:
        raise InputError(
            f"the provider '{name}' cannot be loaded: {error}",
            where=points[0].value,
            hint="fix or remove the package that brings it",
        ) from error
    if not callable(ask):
        raise InputError(f"the provider '{name}' is not a function", where=points[0].value)
    return ask  # type: ignore[no-any-return] # its signature is the package's promise


def _points() -> "Iterable[EntryPoint]":
    from importlib.metadata import entry_points  # noqa: PLC0415 - most commands ask no provider

    return entry_points(group=GROUP)
