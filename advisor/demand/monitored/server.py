"""A server, a window and what series have to match; values over time in as many questions as its limits ask for."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from advisor.errors import InputError
from advisor.records import dataclass, field, replace
from advisor.samples.exporters import Exporter, Name, NameTable, table_with
from advisor.samples.metrics import exposition_name
from advisor.samples.query.prometheus.api import MOST_POINTS, PrometheusApi, PrometheusEndpoint, TooMuchError, quoted
from advisor.samples.query.prometheus.over_time import Questions
from advisor.samples.query.values import Window
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
