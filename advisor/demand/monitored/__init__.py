"""Demand seen by Prometheus-compatible servers and CloudWatch: requests as counted, or busy accelerators."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from advisor.demand.busy import Busy
from advisor.demand.services import EngineView, Grown, LengthCounts, Readings, Wanted, demand_of_views
from advisor.demand.services.readings import CLOCK_SKEW_SECONDS, ends_of, lives_of, replicas_at
from advisor.demand.values import Demand
from advisor.errors import InputError
from advisor.records import dataclass, field, first_of, replace
from advisor.samples.exporters import Exporter, Name, NameTable, near_miss_words, table_with
from advisor.samples.metrics import exposition_name
from advisor.samples.need.limits import saturation
from advisor.samples.query import Window
from advisor.samples.query.prometheus.api import (
    MOST_POINTS,
    PrometheusApi,
    PrometheusEndpoint,
    TooMuchError,
    quoted,
    rhythm,
)
from advisor.samples.query.prometheus.over_time import Questions
from advisor.units import HOURS_PER_DAY, SECONDS_PER_DAY, SECONDS_PER_HOUR

_PARTS = ("finished_reason", "finish_reason", "reason", "status", "code", "err", "method")
"""Labels that divide the requests of one engine."""
_SCRAPE = ("job", "namespace", "cluster", "prometheus", "prometheus_replica", "le")
"""Labels that are kept of a gateway's series; they have one for each user, team and route, and more from day to day."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine's names, each a list of which the first that is there counts."""

    exporter: Exporter
    requests: tuple[Name, ...]
    """Counters of requests: as they arrive where there is one, else as they end."""
    prompt_lengths: tuple[Name, ...]
    """Histograms of the tokens of prompts."""
    answer_lengths: tuple[Name, ...]
    prompt_tokens: tuple[Name, ...]
    """Counters of the tokens of prompts."""
    answer_tokens: tuple[Name, ...]
    cache_hits: tuple[Name, ...]
    """Counters of prompt tokens found in the prefix cache, and, as many, of those looked up in it."""
    cache_queries: tuple[Name, ...]
    in_flight: tuple[tuple[Name, ...], ...] = ()
    """Requests that run, and requests that wait."""
    counts_requests: bool = True
    """Else tokens of answers stand in the place of requests."""

    def by_tokens(self) -> "Engine":
        """The same where tokens of answers are all that is counted."""
        return replace(self, requests=self.answer_tokens, in_flight=(), counts_requests=False)

    @property
    def models(self) -> tuple[str, ...]:
        """Labels that name the model, the best first; a gateway's tokens may have more of them than its requests."""
        return self.exporter.product[:1] if self.exporter.is_gateway else self.exporter.product

    def summed(self, query: str) -> str:
        """Sums by replica and model, whatever else tells series apart; of ranks that work together the greatest."""
        if self.exporter.is_gateway:
            return f"sum by ({self._kept}) ({query})"
        total = f"sum without ({', '.join(_PARTS)}) ({query})"
        same_work = ", ".join(self.exporter.same_work)
        return f"max without ({same_work}) ({total})" if same_work else total

    def greatest(self, query: str) -> str:
        """The greatest value of each replica and model."""
        if self.exporter.is_gateway:
            return f"max by ({self._kept}) ({query})"
        return f"max without ({', '.join((*self.exporter.same_work, *_PARTS))}) ({query})"

    @property
    def _kept(self) -> str:
        return ", ".join(dict.fromkeys((*self.exporter.replica, *self.models, *_SCRAPE)))


def engines_of(table: NameTable) -> list[Engine]:
    """Serving engines, then those that the agent scrapes, and last what stands before engines."""
    exporters = (*table.engines(), table.exporters["agent_engines"])
    return [_engine(table, exporter) for exporter in sorted(exporters, key=lambda exporter: exporter.is_gateway)]


def _engine(table: NameTable, exporter: Exporter) -> Engine:
    def named(*metrics: str) -> tuple[Name, ...]:
        return tuple(name for metric in metrics for name in table.names[metric] if name.exporter == exporter)

    def gauges(metric: str) -> tuple[Name, ...]:
        # Of the agent's gauges the last reading, since counters are as it was.
        is_agent = exporter.is_agent
        return tuple(
            replace(name, name=exposition_name(name.metric, "last")) if is_agent else name for name in named(metric)
        )

    return Engine(
        exporter,
        requests=named("requests_arrived", "requests_finished"),
        prompt_lengths=named("prompt_length_tokens"),
        answer_lengths=named("answer_length_tokens"),
        prompt_tokens=named("prompt_tokens"),
        answer_tokens=named("generated_tokens"),
        cache_hits=named("prefix_cache_hits"),
        cache_queries=named("prefix_cache_queries"),
        in_flight=(gauges("requests_running"), gauges("requests_waiting")),
    )


Floats = npt.NDArray[np.float64]
Labels = tuple[tuple[str, str], ...]
"""Names and values, in the order of the names."""
_MINUTE_US = 60_000_000
_HOUR_US, _DAY_US = 60 * _MINUTE_US, 24 * 60 * _MINUTE_US
_ASKED_NAMES = 5
"""Names of metrics by which it is told whether a server was at work a day before."""
_LEAST_PART_US = 5 * _MINUTE_US
_FEWEST_POINTS = 30
_FIRST_POINTS = 240
_MOST_VALUES = 400_000
"""Values of one answer: as many series as it may have, in so much fewer steps."""


@dataclass(slots=True)
class Monitored:
    """Questions to a server, and their time window."""

    questions: Questions
    window: Window
    """Whole minutes."""
    names: frozenset[str] = frozenset()
    notes: list[str] = field(default_factory=list)

    @classmethod
    def at(
        cls, access: PrometheusEndpoint, window: Window, selector: str = "", metrics: Path | None = None
    ) -> "Monitored":
        """A server in a window, which is cut to whole minutes.

        *selector*: label matchers that every series has to meet. *metrics*: file that maps further names; None: the
        environment may name one. Raises InputError if it cannot be asked, or a row of that file makes no sense.
        """
        whole = Window(window.start_us // _MINUTE_US * _MINUTE_US, window.end_us // _MINUTE_US * _MINUTE_US)
        matchers = selector.strip().removeprefix("{").removesuffix("}")
        questions = Questions(PrometheusApi(access), matchers, 50, table=table_with(metrics))
        return cls(questions, whole, questions.names(whole))

    @classmethod
    def between(
        cls,
        access: PrometheusEndpoint,
        days: float,
        from_seconds: float | None,
        until_seconds: float | None,
        selector: str = "",
        metrics: Path | None = None,
    ) -> "Monitored":
        """A server from one time to another; without them in the days up to the end.

        The end is now; of a window of a day or more the last full hour, where there was something a day before it, so
        that questions of one hour have one answer. Raises InputError if it cannot be asked, has nothing in that time,
        or the time lies ahead.
        """
        end_us = time.time_ns() // 1000 if until_seconds is None else round(until_seconds * 1e6)
        back_us = end_us - round(days * SECONDS_PER_DAY * 1e6)
        start_us = back_us if from_seconds is None else round(from_seconds * 1e6)
        if end_us - start_us < _MINUTE_US:
            raise InputError("the window ends before it begins", where=access.url, hint="check `from` and `until`")
        server = cls.at(access, Window(start_us, end_us), selector, metrics)
        if not server.names:
            matching = " that the selector matches" if selector else ""
            raise InputError(
                f"no series{matching} has a sample in {server.length}",
                where=access.url,
                hint="check the selector, the window and the tenant",
            )
        if until_seconds is None and end_us - start_us >= _DAY_US:
            server._end_at_a_full_hour(moves_start=from_seconds is None)  # noqa: SLF001 - its own
        return server

    def _end_at_a_full_hour(self, *, moves_start: bool) -> None:
        """End the window at the last full hour, where any of some series was there a day before it."""
        past_us = self.window.end_us % _HOUR_US
        some = quoted("|".join(sorted(map(re.escape, self.names))[:_ASKED_NAMES]))
        selector = ", ".join(filter(None, (f"__name__=~{some}", self.questions.selector)))
        moment_us = self.window.end_us - past_us - _DAY_US
        if self.at_moment(f"count(last_over_time({{{selector}}}[1h]))", moment_us):
            start_us = self.window.start_us - (past_us if moves_start else 0)
            self.window = Window(start_us, self.window.end_us - past_us)

    @property
    def source(self) -> str:
        """Source of demand, in words."""
        return f"{self.questions.api.access.url}, {self.length}"

    @property
    def length(self) -> str:
        """Length of the window, in words."""
        return days_words(self.window.seconds)

    def first(self, names: Sequence[Name]) -> Name | None:
        """The first of some names that the window has samples of; of a histogram as soon as it has buckets."""
        return next((name for name in names if not self.names.isdisjoint({name.name, f"{name}_bucket"})), None)

    def from_a_step_before(self, step_us: int) -> "Monitored":
        """The same with one more step in front, whose end is where the window begins."""
        return replace(self, window=Window(self.window.start_us - step_us, self.window.end_us))

    def step_us(self, interval_us: int) -> int:
        """Whole minutes, each with a scrape at least; a scrape every 60 s may be a second late."""
        return max(-(-(interval_us - _MINUTE_US // 20) // _MINUTE_US), 1) * _MINUTE_US

    def over_time(self, query: str, step_us: int) -> Floats:
        """A query without labels in each step of the window; NaN where it has no answer."""
        return self.by_labels(query, step_us).get((), np.full(self.steps(step_us), np.nan))

    def steps(self, step_us: int) -> int:
        """Whole steps in the window."""
        return (self.window.end_us - self.window.start_us) // step_us

    @property
    def whole(self) -> str:
        """The window as a range of a selector."""
        return f"[{(self.window.end_us - self.window.start_us) // 1000}ms]"

    def growth(self, query: Callable[[str], str], window: Window | None = None) -> dict[Labels, float]:
        """Growth of counters over a window (None: the whole), by labels; over parts of it where it is too much at once.

        *query* makes a query of the range of a selector, such as ``[60000ms]``. Raises InputError if it cannot be
        asked, or even five minutes are too much.
        """
        window = window or self.window
        try:
            return self.at_moment(query(f"[{(window.end_us - window.start_us) // 1000}ms]"), window.end_us)
        except TooMuchError:
            middle_us = (window.start_us + window.end_us) // 2 // _MINUTE_US * _MINUTE_US
            if middle_us - window.start_us < _LEAST_PART_US:
                raise
            halves = (Window(window.start_us, middle_us), Window(middle_us, window.end_us))
            first, second = (self.growth(query, half) for half in halves)
            return {labels: first.get(labels, 0.0) + second.get(labels, 0.0) for labels in (first | second)}

    def at_moment(self, query: str, moment_us: int) -> dict[Labels, float]:
        """A query at a moment, µs since 1970, by labels."""
        return {_key(series.labels): series.value for series in self.questions.api.instant(query, moment_us)}

    def by_labels(self, query: str, step_us: int) -> dict[Labels, Floats]:
        """A query in each step for each set of labels; of a step speaks the moment of its end."""
        count = self.steps(step_us)
        first_us = self.window.end_us - (count - 1) * step_us
        answers: dict[Labels, Floats] = {}
        at, piece, most = 0, _FIRST_POINTS, MOST_POINTS - 1000
        while at < count:
            some = min(piece, count - at)
            start_us = first_us + at * step_us
            try:
                series = self.questions.api.over_range(query, start_us, start_us + (some - 1) * step_us, step_us)
            except TooMuchError:
                if some == 1:
                    raise
                piece = most = some // 2
                continue
            for time_series in series:
                values = answers.setdefault(_key(time_series.labels), np.full(count, np.nan))
                for seconds, value in time_series.points:
                    values[round((seconds * 1e6 - first_us) / step_us)] = value
            at += some
            piece = min(max(_MOST_VALUES // max(len(series), 1), _FEWEST_POINTS), 2 * piece, most)
        return answers


def days_words(seconds: float) -> str:
    """Length of a window such as ``14 days``, or ``5 h`` of less than two."""
    hours = seconds / SECONDS_PER_HOUR
    return f"{hours / HOURS_PER_DAY:.3g} days" if hours >= 48 else f"{hours:.3g} h"


def _key(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted((name, value) for name, value in labels.items() if value))


LEAST_COVERAGE = 0.9
"""Share of the replicas or accelerators that have to be seen for a step to count."""
_ACTIVITY = ("sm_active_ratio", "dram_active_ratio", "tensor_active_ratio")


def expected_over_time(server: Monitored, selector: str, labels: tuple[str, ...], step_us: int) -> Floats:
    """Least number there in each step: each from the hour after its first sample to that before its last.

    A replica that came later, or went for good, is not missing the rest of the time; one that was seen before and
    after is missing in between.
    """
    coarse_us = min(_HOUR_US, max((server.window.end_us - server.window.start_us) // 12 // step_us, 1) * step_us)
    by = ", ".join(dict.fromkeys(labels))
    seen = server.by_labels(f"count by ({by}) (last_over_time({selector}[{coarse_us // 1000}ms]))", coarse_us)
    expected = np.zeros(server.steps(step_us))
    ends = np.arange(-server.steps(step_us) + 1, 1) * step_us
    coarse_ends = np.arange(-server.steps(coarse_us) + 1, 1) * coarse_us
    for values in seen.values():
        observed_ends = coarse_ends[~np.isnan(values)]
        expected += (ends > observed_ends[0]) & (ends <= observed_ends[-1] - coarse_us)
    return expected


def busy_over_time(server: Monitored) -> Busy:
    """Busy accelerators in each step, NaN where too few of them were observed.

    What is missing of a step that counts is taken to be as busy as the rest. Profiling signals narrow what was
    saturated, on the mean of all accelerators. Raises InputError if it cannot be asked, or no series says how busy an
    accelerator is.
    """
    for name in server.questions.table.names["busy_ratio"]:
        if name.name in server.names and not name.has_two_scales:
            busy = _busy(server, name)
            if busy is not None:
                server.notes.append(f"busy accelerators are {name.name} of {name.exporter.name}")
                return busy
    raise InputError(
        "no serving engine's request counter there, and no series says how busy an accelerator is",
        where=server.questions.api.access.url,
        hint=near_miss_words(server.questions.table, server.names)
        or "check the selector and the window; docs/metrics.md lists what is read from vLLM, DCGM and others",
    )


def _busy(server: Monitored, name: Name) -> Busy | None:
    selector = server.questions.select(name)
    interval = rhythm(server.questions.api, selector, server.window)
    if interval is None:
        return None
    step_us = server.step_us(interval.interval_us)
    row, labels = f"{selector}[{step_us // 1000}ms]", name.exporter.identity
    by = ", ".join(dict.fromkeys(labels))
    present = server.over_time(f"count(count by ({by}) (last_over_time({row})))", step_us)
    samples = server.over_time(f"sum(max by ({by}) (count_over_time({row})))", step_us)
    expected = np.maximum(expected_over_time(server, selector, labels, step_us), np.nan_to_num(present))
    rows_each = step_us / (
        round(name.exporter.row_seconds * 1e6) if name.exporter.row_seconds else interval.interval_us
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        coverage = np.nan_to_num(samples / (expected * rows_each))
    share = np.where(coverage >= LEAST_COVERAGE, _share(server, name, step_us), np.nan)
    signals = [_signal(server, metric, name, step_us) for metric in _ACTIVITY]
    start_seconds = server.window.end_us / 1e6 - len(share) * step_us / 1e6
    saturated = saturation(share, *signals) * expected
    return Busy(share * expected, saturated, expected, step_us / 1e6, start_seconds)


def _share(server: Monitored, name: Name, step_us: int) -> Floats:
    """Mean of a metric over the accelerators that have it, in each step."""
    row = f"{server.questions.select(name)}[{step_us // 1000}ms]"
    by = ", ".join(dict.fromkeys(name.exporter.identity))
    return server.over_time(f"avg(max by ({by}) (avg_over_time({row})))", step_us) * name.scale


def _signal(server: Monitored, metric: str, beside: Name, step_us: int) -> Floats:
    """A profiling signal of the same exporter; NaN where there is none, or it stands at 0 throughout."""
    named = server.questions.table.names[metric]
    names = [name for name in named if name.exporter == beside.exporter and name.name in server.names]
    values = _share(server, names[0], step_us) if names else np.full(server.steps(step_us), np.nan)
    return values if np.nansum(values) > 0 else np.full_like(values, np.nan)


T = TypeVar("T")
Growth = Callable[[Name], Mapping[Labels, float]]
"""What a counter grew by, by engine."""
_ADDRESSES = ("instance", "exported_instance", "pod")
_MOST_READINGS = 4e6
_MOST_WITH_TIMES = 100
"""Engines for which the very moment of each scrape is asked for; of more, single late scrapes do not matter."""
_SHOWN_SECONDS = 1.0
"""From the end of a row until it is on an agent's page, at most."""


def engine_demand(server: Monitored, asked: Wanted) -> Demand | None:
    """Demand as serving engines counted it; None where no engine's counters are there.

    Raises InputError if it cannot be asked, the engines serve other models, or nothing was served.
    """
    engines = engines_of(server.questions.table)
    by_kind = _by_kind(server, engines) or _by_kind(server, [engine.by_tokens() for engine in engines])
    views = [view for group in by_kind.values() for view in group]
    demand = demand_of_views(views, asked, f"{' and '.join(by_kind)} metrics at {server.source}")
    return None if demand is None else demand.with_notes(*server.questions.api.warnings)


def _by_kind(server: Monitored, engines: Sequence[Engine]) -> dict[str, list[EngineView]]:
    """Engines whose counter is there, by kind; gateways, which count the same again, where there are no others."""
    views: dict[str, list[EngineView]] = {}
    for engine in engines:
        counter = server.first(engine.requests)
        if counter is None or (views and engine.exporter.is_gateway):
            continue
        if group := _views(server, engine, counter):
            views[engine.exporter.name] = group
    return views


def _views(server: Monitored, engine: Engine, requests: Name) -> list[EngineView]:
    """All engines of one kind, each as often as it was scraped."""
    interval = rhythm(server.questions.api, server.questions.select(requests), server.window)
    if interval is None or server.steps(server.step_us(interval.interval_us)) < 1:
        return []
    minutes_us = server.step_us(interval.interval_us)
    last = engine.summed(f"last_over_time({server.questions.select(requests)}{server.whole})")
    alive = server.at_moment(f"count({last})", server.window.end_us)
    values = sum(alive.values()) * server.steps(interval.interval_us)
    step_us = interval.interval_us if interval.interval_us < minutes_us and values <= _MOST_READINGS else minutes_us
    readings = _Counters(server.from_a_step_before(step_us), engine, step_us).readings(requests)
    everywhere = _Counted.read(server, engine, requests, lambda name: _grown(server, engine, name))
    late_seconds = 0.0 if len(readings) <= _MOST_WITH_TIMES else step_us / 1e6
    views = []
    for labels, read in readings.items():
        counted = everywhere
        if len(replicas_at(read)) > 1:
            counted = _Counted.read(server, engine, requests, _in_turn(server, engine, labels, read, step_us))
        views.append(replace(counted.of(_view(server, engine, labels, read), labels), late_seconds=late_seconds))
    return views


@dataclass(frozen=True, slots=True)
class _Counted:
    """Growth of the engines' counters and histograms over the window."""

    grown: Mapping[str, Mapping[Labels, float]]
    """By field of :class:`Grown`."""
    prompts: Mapping[Labels, LengthCounts]
    answers: Mapping[Labels, LengthCounts]

    @classmethod
    def read(cls, server: Monitored, engine: Engine, requests: Name, growth: Growth) -> "_Counted":
        """Counts of the engines that *growth* tells of."""
        names = {
            "requests": requests,
            "prompt_tokens": server.first(engine.prompt_tokens),
            "answer_tokens": server.first(engine.answer_tokens),
            "cache_hits": server.first(engine.cache_hits),
            "cache_queries": server.first(engine.cache_queries),
        }
        grown = {what: growth(name) for what, name in names.items() if name is not None}
        lengths = (_histograms(server, names, growth) for names in (engine.prompt_lengths, engine.answer_lengths))
        return cls(grown, *lengths)

    def of(self, view: EngineView, labels: Labels) -> EngineView:
        """A view with what its engine counted."""
        grown = Grown(**{what: _of(values, labels) for what, values in self.grown.items()})
        return replace(view, grown=grown, prompts=_of(self.prompts, labels), answers=_of(self.answers, labels))


def _in_turn(server: Monitored, engine: Engine, labels: Labels, readings: Readings, step_us: int) -> Growth:
    """Growth over the replicas that answer at one address, each between its own first and last reading.

    Nothing is known of a counter between readings of different ones.
    """
    here = [f"{label}={quoted(value)}" for label, value in labels if label in (*_ADDRESSES, "job")]
    ends = [(round(readings.seconds[row] * 1000) * 1000, sign) for row, sign in ends_of(lives_of(readings))]

    def grown(name: Name) -> dict[Labels, float]:
        selected = engine.summed(f"last_over_time({server.questions.select(name, *here)}[{step_us // 1000}ms])")
        total: dict[Labels, float] = {}
        for read_us, sign in ends:
            for key, value in server.at_moment(selected, read_us).items():
                total[key] = total.get(key, 0.0) + sign * value
        return total

    return grown


def _view(server: Monitored, engine: Engine, key: Labels, readings: Readings) -> EngineView:
    """View of who was read by whom; nothing of lengths yet."""
    labels, exporter = dict(key), engine.exporter
    host = first_of(labels, exporter.host) if exporter.is_agent else ""
    shown = server.questions.table.exporters.get(labels.get("engine", ""), exporter) if exporter.is_agent else exporter
    return EngineView(
        engine=shown.name,
        model=first_of(labels, engine.models) or None,
        rank=first_of(labels, exporter.index) or "0",
        host=host,
        address=_address(labels) or exporter.name,
        observer=f"read on {host}" if host else f"job {labels['job']}" if "job" in labels else "",
        readings=readings,
        grown=Grown(),
        skew_seconds=CLOCK_SKEW_SECONDS if host else 0.0,
        is_gateway=shown.is_gateway,
        counts_requests=engine.counts_requests,
    )


def _address(labels: Mapping[str, str]) -> str:
    """Address of the metrics page: as given to an agent, else the target (an operator's ``endpoint`` is its port)."""
    given = labels.get("endpoint", "")
    return given if "://" in given else first_of(labels, _ADDRESSES)


class _Counters:
    """Counters of every engine in every step of a window."""

    def __init__(self, server: Monitored, engine: Engine, step_us: int) -> None:
        self._server, self._engine, self._step_us = server, engine, step_us
        self._ends = (server.window.end_us - np.arange(server.steps(step_us))[::-1] * step_us) / 1e6

    def readings(self, requests: Name) -> dict[Labels, Readings]:
        """The last reading in each step, and before a restart the greatest one."""
        counted = self._last(requests)
        tokens = [self._server.first(names) for names in (self._engine.prompt_tokens, self._engine.answer_tokens)]
        read = [self._last(name) for name in tokens if name]
        in_flight = self._in_flight(requests)
        times: dict[Labels, Floats] = {}
        if len(counted) <= _MOST_WITH_TIMES:
            scraped = f"timestamp({self._server.questions.select(requests)})"
            times = self._server.by_labels(self._engine.greatest(scraped), self._step_us)
        is_reset = any(np.any(np.diff(values[~np.isnan(values)]) < 0) for values in counted.values())
        greatest = self._ask("max_over_time", requests) if is_reset else {}
        unknown = np.full(self._ends.size, np.nan)
        row_seconds = self._engine.exporter.row_seconds
        ordered = {}
        for labels, values in counted.items():
            both = [sums for series in read if (sums := _of(series, labels)) is not None]
            spent = both[0] + both[1] if len(both) == len(tokens) else unknown
            seconds = np.fmin(_or(_of(times, labels), self._ends), self._ends)
            if row_seconds is not None:  # the page of an agent shows the last row that ended
                seconds = (seconds - _SHOWN_SECONDS) // row_seconds * row_seconds
            readings = Readings(seconds, values, spent, _or(_of(in_flight, labels), unknown))
            ordered[labels] = _in_order(readings, _or(_of(greatest, labels), unknown))
        return {labels: readings for labels, readings in ordered.items() if readings.seconds.size > 1}

    def _in_flight(self, requests: Name) -> dict[Labels, Floats]:
        """Requests that run or wait, where requests are counted when they end; empty where nobody says what runs."""
        names = [self._server.first(names) for names in self._engine.in_flight]
        if requests.metric.name != "requests_finished" or not names or names[0] is None:
            return {}
        running, *waiting = (self._last(name) for name in names if name)
        return {
            labels: sum((np.nan_to_num(_or(_of(each, labels), 0 * values)) for each in waiting), values)
            for labels, values in running.items()
        }

    def _last(self, name: Name) -> dict[Labels, Floats]:
        return self._ask("last_over_time", name)

    def _ask(self, function: str, name: Name) -> dict[Labels, Floats]:
        selected = f"{function}({self._server.questions.select(name)}[{self._step_us // 1000}ms])"
        return self._server.by_labels(self._engine.summed(selected), self._step_us)


def _or(values: Floats | None, others: Floats) -> Floats:
    return others if values is None else np.where(np.isnan(values), others, values)


def _in_order(readings: Readings, greatest: Floats) -> Readings:
    """Readings in order of time, each once; before a step down the greatest value of that step, half a step earlier."""
    observed = np.flatnonzero(~np.isnan(readings.requests))
    observed = observed[np.append(True, np.diff(readings.seconds[observed]) > 0)]
    readings, greatest = readings.at(observed), greatest[observed]
    seconds, requests = readings.seconds, readings.requests
    at = np.flatnonzero(np.diff(requests) < 0) + 1
    at = at[greatest[at] >= requests[at - 1]]
    between = (seconds[at] + np.maximum(seconds[at - 1], seconds[at] - 60.0)) / 2
    unread = np.full(at.size, np.nan)
    return readings.with_more(Readings(between, greatest[at], unread, unread))


def _of(values: Mapping[Labels, T], labels: Labels) -> T | None:
    """Value of one engine, whose series may have a label less or more from metric to metric."""
    if labels in values:
        return values[labels]
    mine = dict(labels)
    return next((values[key] for key in values if all(mine.get(name, value) == value for name, value in key)), None)


def _grown(server: Monitored, engine: Engine, name: Name) -> dict[Labels, float]:
    """Growth of each engine's counter over the window."""
    return server.growth(lambda window: engine.summed(f"increase({server.questions.select(name)}{window})"))


def _histograms(server: Monitored, names: Sequence[Name], growth: Growth) -> dict[Labels, LengthCounts]:
    """Each engine's histogram over the window; empty where the server has none."""
    name = next((name for name in names if f"{name}_bucket" in server.names), None)
    if name is None:
        return {}
    tokens = growth(name.part("sum"))
    buckets: dict[Labels, dict[float, float]] = {}
    for labels, value in growth(name.part("bucket")).items():
        bound = dict(labels).get("le", "").replace("Inf", "inf")
        if bound:
            buckets.setdefault(tuple(label for label in labels if label[0] != "le"), {})[float(bound)] = value
    return {
        labels: LengthCounts(np.array(sorted(counts)), np.array([counts[bound] for bound in sorted(counts)]), grown)
        for labels, counts in buckets.items()
        if (grown := tokens.get(labels)) is not None and np.inf in counts
    }


__all__ = ["Monitored", "busy_over_time", "days_words", "engine_demand"]
