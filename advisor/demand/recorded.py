"""Demand in a store of samples: its engines' views and its accelerators' need, in one pass over its files."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from advisor.demand.sampled import DEMAND_COLUMNS, kept, views_of_engines
from advisor.demand.services import EngineView
from advisor.demand.values import Floats, HourlyUse, Hours
from advisor.errors import InputError
from advisor.records import dataclass
from advisor.samples.metrics import Scope
from advisor.samples.need.assess import AcceleratorNeed
from advisor.samples.need.fleet import needs_of
from advisor.samples.places import US_PER_SECOND, day_of
from advisor.samples.query.counts import Counted
from advisor.samples.query.engines import NEED_COLUMNS, survey
from advisor.samples.query.values import Window
from advisor.samples.store.reading import HostReader, Store, is_meant, no_rows
from advisor.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

MOST_HOURS = 336
MOST_HOSTS = 16
"""Hosts whose rows are read: an hour of a large fleet is known from some of it."""
_HOUR_US = round(SECONDS_PER_HOUR) * US_PER_SECOND
_SIGNALS: Mapping[str, tuple[Scope, str, str]] = {
    "memory_used_ratio": (Scope.ACCELERATOR, "memory_used_bytes", "memory_total_bytes"),
    "busy_ratio": (Scope.ACCELERATOR, "busy_ratio", ""),
    "kv_cache_used_ratio": (Scope.ENGINE, "kv_cache_used_ratio", ""),
    "requests_waiting": (Scope.ENGINE, "requests_waiting", ""),
}
"""Signal → what it is of, its column, and the column that it is a share of; "": it is used as it is."""
_DIGITS = 4
_SHOWN = 5
_US = 1_000_000


def hourly_use(store: Store, window: Window, hosts: Sequence[str] = ()) -> HourlyUse | None:
    """Mean over all rows of each hour, and the greatest reading; None where nothing is known.

    Args:
        store: where the rows are.
        window: over what time; of it the newest :data:`MOST_HOURS`.
        hosts: names or patterns; none: all.
    """
    last = -(-window.end_us // _HOUR_US)
    first = max(window.start_us // _HOUR_US, last - MOST_HOURS)
    newest = Window(max(window.start_us, first * _HOUR_US), window.end_us)
    names = sorted(host for host in store.hosts if is_meant(host, hosts))
    some = frozenset(names[:MOST_HOSTS])
    answers = store.answers(newest, lambda reader: _hours_of_hosts(reader, first, last - first), hosts, among=some)
    counts, sums, greatest = _pooled(answers, last - first)
    known = np.flatnonzero(counts.any(axis=0))
    if not known.size:
        return None
    span = slice(int(known[0]), int(known[-1]) + 1)
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return HourlyUse(
        start_seconds=(first + span.start) * SECONDS_PER_HOUR,
        hosts=len(some),
        hosts_in_all=len(names),
        signals={
            signal: Hours(means[at, span].round(_DIGITS), greatest[at, span].round(_DIGITS))
            for at, signal in enumerate(_SIGNALS)
            if counts[at].any()
        },
    )


def _pooled(answers: Iterable[Floats], hours: int) -> tuple[Floats, Floats, Floats]:
    """Counts, sums and greatest readings over all hosts, each of shape ``(signals, hours)``."""
    counts, sums = np.zeros((2, len(_SIGNALS), hours))
    greatest = np.full((len(_SIGNALS), hours), np.nan)
    for answer in answers:
        counts += answer[0]
        sums += answer[1]
        greatest = np.fmax(greatest, answer[2])
    return counts, sums, greatest


def _hours_of_hosts(hosts: HostReader, first: int, hours: int) -> Floats:
    """Counts, sums and greatest readings of some hosts; shape ``(3, signals, hours)``."""
    answer = np.zeros((3, len(_SIGNALS), hours))
    answer[2] = np.nan
    for scope in (Scope.ACCELERATOR, Scope.ENGINE):
        signals = [(at, column, of) for at, (of_scope, column, of) in enumerate(_SIGNALS.values()) if of_scope is scope]
        columns = [name for _, column, of in signals for name in (column, f"{column}_max", of) if name]
        for rows in hosts.rows_by_day(scope, columns):
            hour = (rows["timestamp"].cast(pa.int64()).to_numpy() - 1) // _HOUR_US - first
            for at, column, of in signals:
                _add(answer[:, at], hour, _values(rows, column, of), _values(rows, f"{column}_max", of))
    return answer


def _values(rows: pa.Table, column: str, of: str) -> Floats:
    values: Floats = rows[column].cast(pa.float64()).to_numpy()
    return values / rows[of].cast(pa.float64()).to_numpy() if of else values


def _add(answer: Floats, hour: Floats, means: Floats, greatest: Floats) -> None:
    """Add rows to the counts, sums and greatest readings of one signal, of shape ``(3, hours)``."""
    known = ~np.isnan(means)
    at = hour[known].astype(np.intp)
    answer[0] += np.bincount(at, minlength=answer.shape[1])
    answer[1] += np.bincount(at, means[known], answer.shape[1])
    np.fmax.at(answer[2], at, np.fmax(greatest[known], means[known]))


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
