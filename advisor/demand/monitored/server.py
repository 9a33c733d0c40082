"""A server, a window and what series have to match; values over time in as many questions as its limits ask for."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from advisor.samples.exporters import Name, table_with
from advisor.samples.query.prometheus.access import Access
from advisor.samples.query.prometheus.api import MOST_POINTS, PrometheusApi, TooMuchError
from advisor.samples.query.prometheus.questions import Questions
from advisor.samples.query.values import Window
from advisor.units import SECONDS_PER_DAY

Floats = npt.NDArray[np.float64]
_MINUTE_US = 60_000_000
_SCRAPES_A_STEP = 4
"""A counter's increase is told from this many samples or more."""
_FEWEST_POINTS = 30


@dataclass(slots=True)
class Monitored:
    """What is asked, of whom, and over which time."""

    questions: Questions
    window: Window
    """Whole minutes."""
    names: frozenset[str] = frozenset()
    notes: list[str] = field(default_factory=list)

    @classmethod
    def at(cls, access: Access, window: Window, selector: str = "", metrics: Path | None = None) -> "Monitored":
        """A server in a window, which is cut to whole minutes.

        Args:
            access: the server.
            window: when.
            selector: label matchers that every series has to meet.
            metrics: file that maps further names; None: the environment may name one.

        Raises:
            InputError: it cannot be asked, or a row of that file makes no sense.
        """
        whole = Window(window.start_us // _MINUTE_US * _MINUTE_US, window.end_us // _MINUTE_US * _MINUTE_US)
        matchers = selector.strip().removeprefix("{").removesuffix("}")
        questions = Questions(PrometheusApi(access), matchers, 50, table=table_with(metrics))
        return cls(questions, whole, questions.names(whole))

    @classmethod
    def last_days(
        cls, access: Access, days: float, selector: str = "", metrics: Path | None = None
    ) -> "Monitored":  # fmt: skip
        """A server in the days up to now.

        Raises:
            InputError: it cannot be asked.
        """
        now_us = time.time_ns() // 1000
        return cls.at(access, Window(now_us - round(days * SECONDS_PER_DAY * 1e6), now_us), selector, metrics)

    @property
    def source(self) -> str:
        """Where demand comes from, in words."""
        hours = self.window.seconds / 3600
        length = f"{hours / 24:.3g} days" if hours >= 48 else f"{hours:.3g} h"
        return f"{self.questions.api.access.url}, {length}"

    def first(self, names: Sequence[Name]) -> Name | None:
        """The first of some names that the window has samples of; of a histogram as soon as it has buckets."""
        return next((name for name in names if not self.names.isdisjoint({name.name, f"{name}_bucket"})), None)

    def matching(self, *parts: str) -> "Monitored":
        """The same with more matchers."""
        matchers = ", ".join(part for part in (self.questions.selector, *parts) if part)
        narrowed = replace(self.questions, selector=matchers)
        return Monitored(narrowed, self.window, self.names, self.notes)

    def step_us(self, interval_us: int) -> int:
        """Whole minutes in which a counter has enough samples to tell its increase."""
        minutes = -(-max(interval_us * _SCRAPES_A_STEP, _MINUTE_US) // _MINUTE_US)
        return minutes * _MINUTE_US

    def over_time(self, query: str, step_us: int) -> Floats:
        """A query without labels in each step of the window; NaN where it has no answer."""
        return self.by_labels(query, step_us).get((), np.full(self.steps(step_us), np.nan))

    def steps(self, step_us: int) -> int:
        """Whole steps in the window."""
        return (self.window.end_us - self.window.start_us) // step_us

    def by_labels(self, query: str, step_us: int) -> dict[tuple[tuple[str, str], ...], Floats]:
        """The same for each set of labels; of a step speaks the moment of its end."""
        count = self.steps(step_us)
        first_us = self.window.end_us - (count - 1) * step_us
        answers: dict[tuple[tuple[str, str], ...], Floats] = {}
        at, piece = 0, MOST_POINTS - 1000
        while at < count:
            some = min(piece, count - at)
            start_us = first_us + at * step_us
            try:
                series = self.questions.api.over_range(query, start_us, start_us + (some - 1) * step_us, step_us)
            except TooMuchError:
                if some <= _FEWEST_POINTS:
                    raise
                piece = some // 2
                continue
            for one in series:
                values = answers.setdefault(_key(one.labels), np.full(count, np.nan))
                for seconds, value in one.points:
                    values[round((seconds * 1e6 - first_us) / step_us)] = value
            at += some
        return answers


def _key(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in labels.items() if value))
