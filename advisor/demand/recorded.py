"""Demand in a store of samples: its engines' views and its accelerators' need, in one pass; busy accelerators."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from advisor.demand.services import EngineView, Grown, LengthCounts, Readings
from advisor.demand.services.readings import CLOCK_SKEW_SECONDS, Life, ends_of, lives_of
from advisor.demand.values import Floats, HourlyUse, Hours
from advisor.errors import InputError
from advisor.names import first_names
from advisor.records import dataclass
from advisor.samples.exporters import shipped
from advisor.samples.metrics import ROW_SECONDS, Scope
from advisor.samples.need.fleet import AcceleratorNeed, needs_of
from advisor.samples.need.limits import saturation
from advisor.samples.places import US_PER_SECOND, day_of
from advisor.samples.query import Window
from advisor.samples.query.counts import Counted
from advisor.samples.query.embedded import NEED_COLUMNS, EngineKey, EngineRows, engine_rows, survey
from advisor.samples.store.hosts import is_meant
from advisor.samples.store.reading import HostReader, Store, no_rows
from advisor.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

_COUNTERS = {
    "prompt_tokens": "prompt_tokens",
    "answer_tokens": "generated_tokens",
    "cache_hits": "prefix_cache_hits",
    "cache_queries": "prefix_cache_queries",
}
_LENGTHS = ("prompt_length_tokens", "answer_length_tokens")
_IN_FLIGHT = ("requests_running_last", "requests_waiting_last")
DEMAND_COLUMNS = (
    "requests_finished", *_COUNTERS.values(), *(f"{name}_sum" for name in _LENGTHS), *_IN_FLIGHT,
)  # fmt: skip
"""What is read of engines for demand, besides the histograms of a few rows."""
_MOST_READINGS = 4_000_000
"""Readings that are kept as they are; of a larger fleet the last of each minute are, where nothing happened in it."""
_US = 1e6
Histograms = Mapping[tuple[EngineKey, int], Mapping[str, LengthCounts]]
"""Histograms of lengths in a few rows: by engine and end of the row in µs, by name."""


def kept(groups: Iterable[Sequence[EngineView]], most: int = _MOST_READINGS) -> list[EngineView]:
    """Views of all hosts; of a fleet that has more readings than *most* with fewer of them."""
    views: list[EngineView] = []
    readings, is_large = 0, False
    for group in groups:
        views += [engine_view.thinned() for engine_view in group] if is_large else group
        readings += sum(engine_view.readings.seconds.size for engine_view in group)
        if readings > most and not is_large:
            views, is_large = [view.thinned() for view in views], True
    return views


def views_of_engines(engines: Sequence[EngineRows], hosts: HostReader) -> list[EngineView]:
    """Engines of some hosts, whose rows have DEMAND_COLUMNS; histograms are read where a process began or ended."""
    counted = [rows_of_engine for engine in engines if (rows_of_engine := _counted(engine)) is not None]
    ends = [(rows.rows.key, int(rows.rows.end_us[row])) for rows in counted for row in rows.ends()]
    histograms = _histograms(hosts, ends)
    return [_view(rows, histograms) for rows in counted]


def grown_histograms(hosts: HostReader, names: Sequence[str]) -> dict[EngineKey, Mapping[str, LengthCounts]]:
    """Growth of histograms over all processes of each engine of some hosts, by name, without those that nobody read."""
    columns = (*DEMAND_COLUMNS, *(f"{name}_sum" for name in names if f"{name}_sum" not in DEMAND_COLUMNS))
    engines = engine_rows(hosts.rows_by_day(Scope.ENGINE, columns), columns)
    counted = [rows for engine in engines if (rows := _counted(engine)) is not None]
    ends = [(each.rows.key, int(each.rows.end_us[row])) for each in counted for row in each.ends(names)]
    histograms = _histograms(hosts, ends, names)
    return {
        each.rows.key: {name: counts for name in names if (counts := _lengths(each, name, histograms)) is not None}
        for each in counted
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Counted:
    """Rows of an engine in which its requests were counted, and its processes in them."""

    rows: EngineRows
    counter: str
    readings: Readings
    lives: Sequence[Life]

    def with_values(self, column: str) -> list[Life]:
        """Processes with a reading of a column, and the rows that have one."""
        is_read = ~np.isnan(self.rows.columns[column])
        return [shortened for life in self.lives if (shortened := life.with_values(is_read)).rows.size]

    def ends(self, names: Sequence[str] = _LENGTHS) -> set[int]:
        """Rows whose histograms say what the processes counted."""
        lifes = [life for name in names for life in self.with_values(f"{name}_sum")]
        return {row for row, _ in ends_of(lifes)}


def _counted(rows: EngineRows) -> _Counted | None:
    """None where neither requests nor tokens of answers were counted."""
    finished = ~np.isnan(rows.columns["requests_finished"])
    counter = "requests_finished" if finished.any() else "generated_tokens"
    rows = rows.where(~np.isnan(rows.columns[counter]) & (np.diff(rows.end_us, prepend=-1) > 0))
    if not rows.end_us.size:
        return None
    tokens = rows.columns["prompt_tokens"] + rows.columns["generated_tokens"]
    running, waiting = (rows.columns[name] for name in _IN_FLIGHT)
    in_flight = running + np.nan_to_num(waiting) if counter == "requests_finished" else np.full_like(running, np.nan)
    readings = Readings(rows.end_us / _US, rows.columns[counter], tokens, in_flight)
    return _Counted(rows, counter, readings, lives_of(readings))


def _view(counted: _Counted, histograms: Histograms) -> EngineView:
    key = counted.rows.key
    exporter = shipped().exporters.get(key.engine)
    grown = {ours: _grown(counted, theirs) for ours, theirs in _COUNTERS.items()}
    prompts, answers = (_lengths(counted, name, histograms) for name in _LENGTHS)
    return EngineView(
        engine=exporter.name if exporter else key.engine,
        model=key.model,
        rank=str(max(key.rank or 0, 0)),
        host=key.host,
        address=key.endpoint,
        observer=f"read on {key.host}",
        readings=counted.readings,
        grown=Grown(requests=_grown(counted, counted.counter), **grown),
        prompts=prompts,
        answers=answers,
        skew_seconds=CLOCK_SKEW_SECONDS,
        is_gateway=exporter is not None and exporter.is_gateway,
        counts_requests=counted.counter == "requests_finished",
    )


def _grown(counted: _Counted, column: str) -> float | None:
    """Growth over all processes; None where it was never read."""
    lifes, values = counted.with_values(column), counted.rows.columns[column]
    if not lifes:
        return None
    return float(sum(sign * values[row] for row, sign in ends_of(lifes)))


def _lengths(counted: _Counted, name: str, histograms: Histograms) -> LengthCounts | None:
    """Growth of a histogram over all processes; None where it was never read."""
    lifes = counted.with_values(f"{name}_sum")
    rows = counted.rows
    read = [(histograms.get((rows.key, int(rows.end_us[row])), {}).get(name), sign) for row, sign in ends_of(lifes)]
    there = [(histogram, sign) for histogram, sign in read if histogram is not None]
    if not there:
        return None
    bounds = there[0][0].bounds
    same = [(histogram, sign) for histogram, sign in there if histogram.bounds.size == bounds.size]
    counts = sum((sign * histogram.counts for histogram, sign in same), np.zeros(bounds.size))
    return LengthCounts(bounds, counts, sum(sign * histogram.tokens for histogram, sign in same))


def _histograms(
    hosts: HostReader, wanted: Sequence[tuple[EngineKey, int]], names: Sequence[str] = _LENGTHS
) -> Histograms:  # fmt: skip
    """Histograms in the rows of engines that end at some times, from the files of those dates alone."""
    columns = [f"{name}_{part}" for name in names for part in ("bounds", "counts", "sum")]
    ends = pa.array(sorted({end_us for _, end_us in wanted}), pa.int64())
    histograms: dict[tuple[EngineKey, int], Mapping[str, LengthCounts]] = {}
    for table in hosts.rows_by_day(Scope.ENGINE, columns, {day_of(end_us) for _, end_us in wanted}):
        some = table.filter(pc.is_in(table["timestamp"].cast(pa.int64()), ends))
        some = some.set_column(0, "timestamp", some["timestamp"].cast(pa.int64()))
        for row in some.to_pylist():
            key = EngineKey(*(row[name] for name in EngineKey._fields))
            histograms[key, row["timestamp"]] = dict(_read_row(row, names))
    return histograms


def _read_row(row: Mapping[str, object], names: Sequence[str]) -> Iterator[tuple[str, LengthCounts]]:
    for name in names:
        bounds, counts, total = (row[f"{name}_{part}"] for part in ("bounds", "counts", "sum"))
        if bounds and counts and isinstance(total, float):
            yield name, LengthCounts(np.array(bounds), np.array(counts), total)


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


def hourly_use(store: Store, window: Window, hosts: Sequence[str]) -> HourlyUse | None:
    """Mean and greatest reading of the newest :data:`MOST_HOURS` hours of a window; None where nothing is known."""
    last = -(-window.end_us // _HOUR_US)
    first = max(window.start_us // _HOUR_US, last - MOST_HOURS)
    newest = Window(max(window.start_us, first * _HOUR_US), window.end_us)
    names = sorted(host for host in store.hosts if is_meant(host, hosts))
    some = frozenset(names[:MOST_HOSTS])
    answers = store.answers(newest, lambda reader: _hours_of_hosts(reader, first, last - first), hosts, among=some)
    counts, sums, greatest = _pooled(answers, last - first)
    observed = np.flatnonzero(counts.any(axis=0))
    if not observed.size:
        return None
    span = slice(int(observed[0]), int(observed[-1]) + 1)
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
                total = rows[of].cast(pa.float64()).to_numpy() if of else 1.0
                means, most = (rows[name].cast(pa.float64()).to_numpy() / total for name in (column, f"{column}_max"))
                _add(answer[:, at], hour, means, most)
    return answer


def _add(answer: Floats, hour: Floats, means: Floats, greatest: Floats) -> None:
    """Add rows to the counts, sums and greatest readings of one signal, of shape ``(3, hours)``."""
    is_observed = ~np.isnan(means)
    at = hour[is_observed].astype(np.intp)
    answer[0] += np.bincount(at, minlength=answer.shape[1])
    answer[1] += np.bincount(at, means[is_observed], answer.shape[1])
    np.fmax.at(answer[2], at, np.fmax(greatest[is_observed], means[is_observed]))


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
        """Over what time. Raises InputError if there are no rows at all."""
        whole = store.window() if self.days is not None and self.until_seconds is None else store.days()
        if whole is None:
            raise no_rows(store.where, store.notes())
        end_us = whole.end_us if self.until_seconds is None else round(self.until_seconds * US_PER_SECOND)
        if self.days is not None:
            return Window(end_us - round(self.days * SECONDS_PER_DAY * US_PER_SECOND), end_us)
        return Window(whole.start_us if self.from_seconds is None else round(self.from_seconds * US_PER_SECOND), end_us)


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

    Raises InputError if there is nothing, or nothing of those hosts in that time.
    """
    window = within.window(store)
    accelerators: list[Counted] = []
    needs: list[AcceleratorNeed] = []

    def of_hosts(hosts: HostReader) -> tuple[list[tuple[Counted, AcceleratorNeed]], list[EngineView]]:
        surveyed = survey(hosts, (*NEED_COLUMNS, *DEMAND_COLUMNS))
        return needs_of(surveyed), views_of_engines(surveyed.engines, hosts)

    def views_of_hosts() -> Iterator[Sequence[EngineView]]:
        for of_accelerators, views in store.answers(window, of_hosts, within.hosts):
            accelerators.extend(counted for counted, _ in of_accelerators)
            needs.extend(need for _, need in of_accelerators)
            yield views

    views = kept(views_of_hosts())
    if not accelerators and not views:
        raise no_rows(store.where, store.notes()) if within == Within() else _empty(store)
    return RecordedFleet(window, accelerators, needs, views)


def _empty(store: Store) -> InputError:
    hosts, days = store.hosts, store.days()
    time = f", {day_of(days.start_us + 1)} to {day_of(days.end_us)}" if days else ""
    hint = f"check hosts, window, from and until; hosts there: {first_names(hosts, _SHOWN)}{time}"
    return InputError("no sample of those hosts in that time", where="demand.samples", hint=hint)


LEAST_COVERAGE = 0.9
"""Share of a minute, over all accelerators, that has to be observed for it to count."""
_MINUTE_US = round(SECONDS_PER_MINUTE) * US_PER_SECOND
_COLUMNS = ("busy_ratio", "sm_active_ratio", "dram_active_ratio", "tensor_active_ratio")


@dataclass(frozen=True, slots=True, eq=False)
class BusyProfile:
    """How busy the accelerators were in each minute; arrays of shape ``(minutes,)``."""

    start_seconds: float
    """Begin of the first minute, since 1970, UTC."""
    busy: Floats
    """Sum over accelerators of the share of the minute in which each was busy; NaN: too little of it was observed."""
    saturated: Floats
    """The same, narrowed by SM, DRAM and tensor activity where those are known."""
    coverage_ratio: Floats
    """Observed accelerator-seconds over those that the present accelerators have."""
    present: Floats
    """Accelerators of which anything is said before and after the minute."""


def busy_profile(
    store: Store, window: Window, accelerators: Sequence[Counted], hosts: Sequence[str] = ()
) -> BusyProfile:
    """The fleet's busy accelerators in each minute.

    A minute of which less than :data:`LEAST_COVERAGE` was observed is unknown (NaN); in any other, what was not
    observed is taken to be as busy as the rest. An accelerator takes part from its first to its last row: a host
    that came later, or went for good, is not held to be unknown the rest of the time. Raises InputError if no
    accelerator says how busy it is.
    """
    counteds = [accelerator for accelerator in accelerators if "busy_ratio" in accelerator.gauges]
    if not counteds:
        hint = "MIG instances and some virtual accelerators cannot; plan from a request trace instead"
        raise InputError("no accelerator in these samples says how busy it is", where=store.where, hint=hint)
    spans = np.clip(np.array([counted.span for counted in counteds]), window.start_us, window.end_us)
    first, last = int(spans[:, 0].min() // _MINUTE_US), int(-(-spans[:, 1].max() // _MINUTE_US))
    observed, busy, saturated = np.zeros((3, last - first))
    for minutes, sums in (part for parts in store.answers(window, _minutes, hosts) for part in parts):
        for total, part in zip((observed, busy, saturated), sums, strict=True):
            total[minutes - first] += part
    present = np.zeros(last - first + 1)
    np.add.at(present, spans[:, 0] // _MINUTE_US - first, 1.0)
    np.add.at(present, -(-spans[:, 1] // _MINUTE_US) - first, -1.0)
    present = np.cumsum(present)[:-1]
    rows = present * SECONDS_PER_MINUTE / ROW_SECONDS
    coverage = np.divide(observed, rows, out=np.zeros_like(observed), where=rows > 0)
    enough = coverage >= LEAST_COVERAGE
    mean_busy, mean_saturated = (
        np.divide(total, observed, out=np.full_like(total, np.nan), where=enough) for total in (busy, saturated)
    )
    return BusyProfile(first * SECONDS_PER_MINUTE, mean_busy * present, mean_saturated * present, coverage, present)


def _minutes(hosts: HostReader) -> list[tuple[npt.NDArray[np.int64], Floats]]:
    return [_minutes_of(rows) for rows in hosts.rows_by_day(Scope.ACCELERATOR, _COLUMNS)]


def _minutes_of(rows: pa.Table) -> tuple[npt.NDArray[np.int64], Floats]:
    """Minutes with rows of a date, and in each the known rows and sums of busy and saturated shares."""
    busy, *activity = (rows[name].cast(pa.float64()).to_numpy() for name in _COLUMNS)
    minute = (rows["timestamp"].cast(pa.int64()).to_numpy() - 1) // _MINUTE_US
    observed = np.flatnonzero(~np.isnan(busy))
    if not observed.size:
        return np.zeros(0, dtype=np.int64), np.zeros((3, 0))
    begin = int(minute[observed].min())
    at = minute[observed] - begin
    narrowed = saturation(busy[observed], *(values[observed] for values in activity))
    each = (np.ones(observed.size), busy[observed], narrowed)
    sums = [np.bincount(at, weights, int(at.max()) + 1) for weights in each]
    return begin + np.arange(sums[0].size), np.array(sums)
