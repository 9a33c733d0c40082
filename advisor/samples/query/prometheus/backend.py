"""Summaries by queries that the server answers itself; raw samples are read over a few minutes only."""

import time
from collections.abc import Iterator, Sequence
from itertools import groupby

from advisor.samples.query.prometheus.access import Access
from advisor.samples.query.prometheus.api import PrometheusApi
from advisor.samples.query.prometheus.belief import believed
from advisor.samples.query.prometheus.discovery import anchors, discover
from advisor.samples.query.prometheus.fleet import Fleet, Found
from advisor.samples.query.prometheus.names import DCGM, FB_PARTS, GAUGES, NAMES, Name
from advisor.samples.query.prometheus.over_time import Stats, read_statistics
from advisor.samples.query.prometheus.questions import Questions
from advisor.samples.query.prometheus.timing import LOOK_BACK_US, edges
from advisor.samples.query.values import Accelerator, Summary, Window
from advisor.units import BYTES_PER_MIB

HOSTS_AT_ONCE = 50
_MIB = float(BYTES_PER_MIB)
_DAY_US = 86_400_000_000


class PrometheusBackend:
    """Asks a Prometheus-compatible server; see :class:`~advisor.samples.query.values.QueryBackend`."""

    def __init__(self, access: Access, selector: str = "", hosts_at_once: int = HOSTS_AT_ONCE) -> None:
        """Nothing is asked yet.

        Args:
            access: the server.
            selector: label matchers that every series has to meet, such as ``cluster="a", job="dcgm"``.
            hosts_at_once: hosts in one question; fewer where the server's limits ask for it.
        """
        matchers = selector.strip().removeprefix("{").removesuffix("}").strip().rstrip(",")
        self.questions = Questions(PrometheusApi(access), matchers, hosts_at_once)
        self._fleets: dict[Window, Fleet] = {}

    @classmethod
    def at(cls, url: str, selector: str = "") -> "PrometheusBackend":
        """A backend for an address, with what the environment holds of tokens.

        Raises:
            InputError: it is no address.
        """
        return cls(Access.of(url), selector)

    def window(self) -> Window | None:
        """From the first to the last sample of the last three months; None where there is none."""
        now_us = time.time_ns() // 1000
        names = self.questions.names(Window(now_us - LOOK_BACK_US, now_us))
        spans = [span for name in anchors(names) if (span := self._span(name, now_us)) is not None]
        return Window(min(span.start_us for span in spans), max(span.end_us for span in spans)) if spans else None

    def accelerators(self, window: Window) -> Sequence[Accelerator]:
        """Accelerators and engines that have samples in a window."""
        return [one.accelerator for one in self._fleet(window).found]

    def metrics(self, window: Window) -> Sequence[str]:
        """Gauges that have samples under any name that exporters give them."""
        names = self._fleet(window).names
        in_parts = {"memory_total_bytes"} if names.issuperset(FB_PARTS[:2]) else set()
        return [one for one in GAUGES if one in in_parts or any(name.name in names for name in NAMES[one])]

    def summary(self, accelerator: Accelerator, metric: str, window: Window) -> Summary | None:
        """One metric of one accelerator."""
        fleet = self._fleet(window)
        found = [one for one in fleet.found if one.accelerator == accelerator]
        return self._metric(fleet, metric, found).get(accelerator) if found else None

    def summaries(self, metrics: Sequence[str], window: Window) -> Iterator[Summary]:
        """All accelerators, so many hosts at a time."""
        fleet = self._fleet(window)
        by_host = [list(each) for _, each in groupby(fleet.found, key=lambda one: one.accelerator.host)]
        for first in range(0, len(by_host), HOSTS_AT_ONCE):
            chunk = [one for host in by_host[first : first + HOSTS_AT_ONCE] for one in host]
            answers = [self._metric(fleet, metric, chunk) for metric in metrics]
            for one in chunk:
                yield from (found[one.accelerator] for found in answers if one.accelerator in found)

    def notes(self) -> Sequence[str]:
        """Names used, scales inferred, values distrusted, data left out."""
        return (*self.questions.notes.all(), *self.questions.api.warnings)

    def _fleet(self, window: Window) -> Fleet:
        if window not in self._fleets:
            self._fleets[window] = discover(self.questions, window)
        return self._fleets[window]

    def _span(self, name: Name, now_us: int) -> Window | None:
        """From the begin of the first to the end of the last row under a name."""
        ends = edges(self.questions.api, self.questions.select(name.name), now_us)
        if ends is None:
            return None
        last_day = Window(max(ends[0], ends[1] - _DAY_US) - 1_000_000, ends[1])
        return Window(ends[0] - self.questions.rhythm_of(name, "", last_day).interval_us, ends[1])

    def _metric(self, fleet: Fleet, metric: str, chunk: Sequence[Found]) -> dict[Accelerator, Summary]:
        """Summaries of one metric, each from the first name that has samples of the accelerator."""
        answers: dict[Accelerator, Summary] = {}
        for name in NAMES.get(metric, ()):
            waiting = [one for one in chunk if one.accelerator not in answers and one.hosts(name.exporter)]
            if name.name not in fleet.names or not waiting:
                continue
            stats = read_statistics(self.questions, fleet, name, waiting)
            stats = believed(self.questions, fleet, metric, name, waiting, stats)
            for one in waiting:
                if one.identity in stats:
                    self.questions.notes.say(f"{metric} is {name.name} of {name.exporter.name}")
                    answers[one.accelerator] = self._summary(fleet, one, metric, name, stats[one.identity])
        if metric == "memory_total_bytes":
            answers |= self._memory_in_parts(fleet, [one for one in chunk if one.accelerator not in answers])
        return answers

    def _summary(self, fleet: Fleet, one: Found, metric: str, name: Name, stats: Stats) -> Summary:
        coverage = min(1.0, stats.rows * self.questions.interval_us(fleet, name) / fleet.length_us)
        return Summary(one.accelerator, metric, stats.p50, stats.p95, stats.max, stats.mean, coverage, stats.rows)

    def _memory_in_parts(self, fleet: Fleet, chunk: Sequence[Found]) -> dict[Accelerator, Summary]:
        """Memory in all as the sum of its parts, which hardly changes: its mean stands for all of it."""
        waiting = [one for one in chunk if one.hosts(DCGM)]
        names = [Name(part, DCGM, _MIB) for part in FB_PARTS if part in fleet.names]
        if not waiting or not fleet.names.issuperset(FB_PARTS[:2]):
            return {}
        self.questions.notes.say(f"memory_total_bytes is the sum of {', '.join(name.name for name in names)}")
        parts = [read_statistics(self.questions, fleet, name, waiting) for name in names]
        answers = {}
        for one in waiting:
            if one.identity in parts[0] and one.identity in parts[1]:
                total = sum(part[one.identity].mean for part in parts if one.identity in part)
                stats = Stats(total, total, total, total, parts[0][one.identity].rows)
                answers[one.accelerator] = self._summary(fleet, one, "memory_total_bytes", names[0], stats)
        return answers
