"""Demand in a store of samples: its engines' views and its accelerators' need, in one pass over its files."""

from collections.abc import Sequence
from dataclasses import dataclass

from advisor.demand.sampled import DEMAND_COLUMNS, kept, views_of_engines
from advisor.demand.services import EngineView
from advisor.errors import InputError
from advisor.samples.need.assess import AcceleratorNeed
from advisor.samples.need.fleet import needs_of
from advisor.samples.places import day_of
from advisor.samples.query.counts import Counted
from advisor.samples.query.engines import NEED_COLUMNS
from advisor.samples.query.survey import survey
from advisor.samples.query.values import Window
from advisor.samples.store.reading import HostReader, Store, no_rows
from advisor.units import SECONDS_PER_DAY

_SHOWN = 5
_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Within:
    """Filters of the rows that count; without any all do."""

    hosts: Sequence[str] = ()
    """Names or patterns such as ``gpu-*``."""
    days: float | None = None
    """Back from the end."""
    from_seconds: float | None = None
    until_seconds: float | None = None
    """Since 1970; None: the last row."""

    def window(self, store: Store) -> Window:
        """Over what time.

        Raises:
            InputError: there are no rows at all.
        """
        whole = store.window() if self.days is not None and self.until_seconds is None else store.days()
        if whole is None:
            raise no_rows(store)
        end_us = whole.end_us if self.until_seconds is None else round(self.until_seconds * _US)
        if self.days is not None:
            return Window(end_us - round(self.days * SECONDS_PER_DAY * _US), end_us)
        return Window(whole.start_us if self.from_seconds is None else round(self.from_seconds * _US), end_us)


@dataclass(frozen=True, slots=True, eq=False)
class RecordedFleet:
    """Accelerators and engines of some hosts over a window."""

    window: Window
    accelerators: Sequence[Counted]
    needs: Sequence[AcceleratorNeed]
    """Of the same accelerators."""
    views: Sequence[EngineView]


def read_fleet(store: Store, within: Within) -> RecordedFleet:
    """Read the hosts of a store one after the other, in memory that does not grow with the accelerators' rows.

    Raises:
        InputError: there is nothing, or nothing of those hosts in that time.
    """
    window = within.window(store)
    accelerators: list[Counted] = []
    needs: list[AcceleratorNeed] = []

    def views_beside(group: "_Group") -> Sequence[EngineView]:
        accelerators.extend(counted for counted, _ in group[0])
        needs.extend(need for _, need in group[0])
        return group[1]

    views = kept(views_beside(group) for group in store.answers(window, _of_hosts, within.hosts))
    if not accelerators and not views:
        raise no_rows(store) if within == Within() else _empty(store)
    return RecordedFleet(window, accelerators, needs, views)


_Group = tuple[list[tuple[Counted, AcceleratorNeed]], list[EngineView]]


def _of_hosts(hosts: HostReader) -> _Group:
    found = survey(hosts, (*NEED_COLUMNS, *DEMAND_COLUMNS))
    return needs_of(found), views_of_engines(found.engines, hosts)


def _empty(store: Store) -> InputError:
    hosts, days = store.hosts, store.days()
    named = ", ".join(hosts[:_SHOWN]) + (f" and {len(hosts) - _SHOWN} more" if len(hosts) > _SHOWN else "")
    time = f", {day_of(days.start_us + 1)} to {day_of(days.end_us)}" if days else ""
    return InputError(
        "no sample of those hosts in that time",
        where="demand.samples",
        hint=f"check hosts, window, from and until; hosts there: {named}{time}",
    )
