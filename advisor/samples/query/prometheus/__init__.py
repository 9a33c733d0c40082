"""Any server that answers as Prometheus does: Prometheus, Thanos, Mimir, VictoriaMetrics.

Values that cannot be taken as they stand: names with two scales, profiling counters that are stuck at 0.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from advisor.errors import InputError
from advisor.records import replace
from advisor.samples.exporters import Exporter, Name, NameTable, near_miss_words, table_with
from advisor.samples.metrics import GAUGES
from advisor.samples.query import Accelerator, Summary, Window
from advisor.samples.query.prometheus.api import (
    LOOK_BACK_US,
    PrometheusApi,
    PrometheusEndpoint,
    edges,
    includes_start,
    latest,
    quoted,
)
from advisor.samples.query.prometheus.over_time import (
    GREATEST,
    ByIdentity,
    Fleet,
    Identity,
    Questions,
    Sighting,
    Source,
    Stats,
    identity_of,
    matcher,
    put_together,
    read_statistics,
    series_of,
)

_BUSY_AT_LEAST = 0.05
"""A reading above this cannot go with profiling counters at 0."""
_LOOK_EVERY_US = 300_000_000
_LEAST_SHARE = 0.02
"""Share of the window in which a counter has to be seen at 0 on a busy accelerator."""
_NEVER_ZERO_WHEN_BUSY = ("sm_active_ratio", "sm_occupancy_ratio", "dram_active_ratio")


def plausible_statistics(
    questions: Questions, fleet: Fleet, metric: str, name: Name, chunk: Sequence[Sighting], stats: ByIdentity
) -> ByIdentity:
    """Statistics of a name that can be believed, in our unit; the rest is unknown, and said to be."""
    if name.has_two_scales:
        stats = _with_one_scale(questions, fleet, name, chunk, stats)
    suspects = [sighting for sighting in chunk if sighting.identity in stats and stats[sighting.identity].max == 0]
    stuck = _stuck(questions, fleet, metric, suspects) if name.profiles and suspects else set()
    if stuck:
        at_zero = f"accelerators had {name.name} at 0 throughout while they were busy: it is stuck, so taken as unknown"
        questions.notes.count(at_zero, len(stuck))
    if name.profiles and metric != "tensor_active_ratio":
        moving = [sighting for sighting in chunk if sighting.identity in stats.keys() - stuck]
        _say_partly_stuck(questions, fleet, name, moving)
    return {identity: statistics for identity, statistics in stats.items() if identity not in stuck}


def _stuck(questions: Questions, fleet: Fleet, metric: str, suspects: Sequence[Sighting]) -> set[Identity]:
    """Accelerators at 0 that cannot be: another counter saw them work.

    Tensor cores may rest while an accelerator is busy: they are stuck only where every profiling counter is.
    """
    busy = {name for name in questions.table.names["busy_ratio"] if not name.profiles and not name.has_two_scales}
    stuck = _above(questions, fleet, suspects, busy, _BUSY_AT_LEAST)
    if metric == "tensor_active_ratio":
        others = {name for other in _NEVER_ZERO_WHEN_BUSY for name in questions.table.names[other] if name.profiles}
        stuck -= _above(questions, fleet, suspects, others, 0.0)
    return stuck


def _say_partly_stuck(questions: Questions, fleet: Fleet, name: Name, chunk: Sequence[Sighting]) -> None:
    """Say of how many accelerators a counter stood at 0 for a part of the time in which they were busy."""
    comparable = (
        busy
        for busy in questions.table.names["busy_ratio"]
        if (busy.exporter, busy.only) == (name.exporter, name.only) and not busy.profiles and not busy.has_two_scales
    )
    busy = next((candidate for candidate in comparable if candidate.name in fleet.names), None)
    if busy is None or not chunk:
        return
    step_us = max(_LOOK_EVERY_US, questions.interval_us(fleet, name))
    same = ", ".join((*name.exporter.uuid, *name.exporter.mig))
    works = f"> {_BUSY_AT_LEAST / busy.scale:g}"
    rows = f"[{fleet.range(fleet.length_us)}:{step_us // 1000}ms]"

    def query(selector: str) -> str:
        other = selector.replace(quoted(name.name), quoted(busy.name), 1)
        return f"count_over_time(({selector} == 0 and on ({same}) {other} {works}){rows})"

    seen = series_of(questions, fleet, name, chunk, query)
    least = _LEAST_SHARE * fleet.length_us / step_us
    wanted = {sighting.identity for sighting in chunk}
    partly = sum(sum(series.value for series in seen[who]) > least for who in seen.keys() & wanted)
    if partly:
        part = "at 0 for a part of the time in which they were busy: its figures are too low"
        questions.notes.count(f"accelerators had {name.name} {part}", partly)


def _above(
    questions: Questions, fleet: Fleet, chunk: Sequence[Sighting], names: set[Name], least: float
) -> set[Identity]:  # fmt: skip
    """Accelerators of which any of these names was ever above a value."""
    above: set[Identity] = set()
    for name in sorted(names, key=lambda name: name.name):
        if name.name in fleet.names:
            for who, several in series_of(questions, fleet, name, chunk, GREATEST).items():
                if max(series.value for series in several) * name.scale > least:
                    above.add(who)
    return above


def _with_one_scale(
    questions: Questions, fleet: Fleet, name: Name, chunk: Sequence[Sighting], stats: ByIdentity
) -> ByIdentity:  # fmt: skip
    """Ratios, whichever of 0..1 and 0..100 each host's exporter gives; hosts that leave it open are left out."""
    greatest: defaultdict[str, float] = defaultdict(float)
    sightings = [sighting for sighting in chunk if sighting.identity in stats]
    for sighting in sightings:
        greatest[sighting.accelerator.host] = max(greatest[sighting.accelerator.host], stats[sighting.identity].max)
    scales = {}
    for host, top in greatest.items():
        here = [sighting for sighting in sightings if sighting.accelerator.host == host]
        scales[host] = scale = _scale(questions, fleet, name, here, top)
        if top > 0:
            questions.notes.say(_scale_words(name, host, scale))
    return {
        sighting.identity: stats[sighting.identity].scaled(scale)
        for sighting in sightings
        if (scale := scales[sighting.accelerator.host]) is not None
    }


def _scale(
    questions: Questions, fleet: Fleet, name: Name, here: Sequence[Sighting], greatest: float
) -> float | None:  # fmt: skip
    """Factor that makes a ratio of a host's values; None where they fit both scales."""
    if greatest > 1:
        return 0.01
    if greatest < 1:
        return 1.0
    rows = f"[{fleet.range(fleet.length_us)}:{questions.interval_us(fleet, name) // 1000}ms]"
    for label, value in sorted({host for sighting in here for host in sighting.hosts(name.exporter)}):
        selector = questions.select(name, matcher(label, [value]) if label else "")
        fractions = questions.api.instant(f"max(max_over_time(({selector} % 1){rows}))", fleet.window.end_us)
        if fractions and fractions[0].value > 0:
            return 1.0
    return None


def _scale_words(name: Name, host: str, scale: float | None) -> str:
    if scale is None:
        return (
            f"{name.name} of {host} is only 0 or 1: whether its scale is 0..1 or 0..100 is not known, so it is left out"
        )
    why = "goes above 1: it is taken as 0..100" if scale < 1 else "is never above 1: it is taken as 0..1"
    return f"{name.name} {why}"


_ANCHORS = ("memory_used_bytes", "busy_ratio", "power_watts", "requests_running", "kv_cache_used_ratio")
"""What finds accelerators and engines: any one of them."""


def discover(questions: Questions, window: Window) -> Fleet:
    """Everything that has samples in a window. Raises InputError if the server cannot be asked."""
    empty = Fleet(window, questions.names(window), (), includes_start(questions.api, window.end_us))
    sources = [source for name in anchors(questions.table, empty.names) for source in _sources(questions, empty, name)]
    infos: dict[str, Mapping[str, str]] = {}  # labels of info metrics by the UUID in them
    for info in sorted({exporter.info or "" for exporter in questions.table.exporters.values()} & empty.names):
        answer = questions.api.instant(f"last_over_time({questions.select(info)}{empty.whole})", window.end_us)
        infos |= {series.labels.get("uuid", ""): series.labels for series in answer}
    return replace(empty, sightings=tuple(put_together(_newest_last(questions, empty, sources), infos)))


def anchors(table: NameTable, names: frozenset[str]) -> list[Name]:
    """Names to find accelerators by, the agent's own first; of an exporter that has none of them whatever it has."""
    listed = [name for metric in _ANCHORS for name in table.names[metric] if name.name in names]
    others = [name for metric in GAUGES for name in table.names[metric] if name.name in names]
    missing = {name.exporter for name in others} - {name.exporter for name in listed}
    listed += [name for name in others if name.exporter in missing]
    return sorted(listed, key=lambda name: name.exporter.row_seconds is None)


def _sources(questions: Questions, fleet: Fleet, name: Name) -> list[Source]:
    """Places at which a name has samples in the window."""
    labels = ", ".join(dict.fromkeys(name.exporter.identity))
    window, label, hosts = fleet.window, "", [""]
    for host_label in name.exporter.host:
        values = questions.api.label_values(host_label, window.start_us, window.end_us, questions.select(name))
        if named := [value for value in values if value]:
            label, hosts = host_label, named
            break

    def query(some: Sequence[str]) -> str:
        narrowed = questions.select(name, matcher(label, some) if label else "")
        return f"count by ({labels}) (last_over_time({narrowed}{fleet.whole}))"

    return [Source(name.exporter, dict(series.labels)) for series in questions.in_chunks(query, hosts, window.end_us)]


def _newest_last(questions: Questions, fleet: Fleet, sources: Sequence[Source]) -> list[Source]:
    """Sources in order: of accelerators seen on several hosts, the host that they are on now comes last."""
    hosts: defaultdict[Identity, set[str]] = defaultdict(set)
    for source in sources:
        hosts[identity_of(source.exporter, source.labels)].add(source.host)
    moved = {identity for identity, names in hosts.items() if len(names) > 1}

    def last_seen_us(source: Source) -> int:
        if identity_of(source.exporter, source.labels) not in moved:
            return 0
        matchers = [f"{label}={quoted(value)}" for label, value in source.labels.items()]
        names = [name for name in anchors(questions.table, fleet.names) if name.exporter == source.exporter]
        seen = (latest(questions.api, questions.select(name, *matchers), fleet.window) for name in names)
        return max((at_us or 0 for at_us in seen), default=0)

    return sorted(sources, key=last_seen_us)


HOSTS_AT_ONCE = 50
_PARTS = ("memory_used_bytes", "memory_free_bytes", "memory_reserved_bytes")
"""What an exporter may give in place of the memory in all; the last is not everywhere known."""
_DAY_US = 86_400_000_000


class PrometheusBackend:
    """Asks a Prometheus-compatible server; see :class:`~advisor.samples.query.QueryBackend`."""

    def __init__(
        self,
        access: PrometheusEndpoint,
        selector: str = "",
        hosts_at_once: int = HOSTS_AT_ONCE,
        metrics: Path | None = None,
    ) -> None:
        """Nothing is asked yet.

        *selector*: label matchers that every series has to meet, such as ``cluster="a", job="dcgm"``. *hosts_at_once*:
        hosts in one question; fewer where the server's limits ask for it. *metrics*: file that maps further names;
        None: the environment may name one. Raises InputError if a row of that file makes no sense.
        """
        matchers = selector.strip().removeprefix("{").removesuffix("}").strip().rstrip(",")
        self.questions = Questions(PrometheusApi(access), matchers, hosts_at_once, table=table_with(metrics))
        self._fleets: dict[Window, Fleet] = {}

    @classmethod
    def at(cls, url: str, selector: str = "", metrics: Path | None = None) -> "PrometheusBackend":
        """A backend for an address, with what the environment holds of tokens.

        Raises InputError if it is not an address, or the file of further names makes no sense.
        """
        return cls(PrometheusEndpoint.of(url), selector, metrics=metrics)

    def window(self) -> Window | None:
        """Window from the first to the last sample of the last three months; None where there is none.

        Raises InputError if no name that the server has is known, but some look alike.
        """
        now_us = time.time_ns() // 1000
        names = self.questions.names(Window(now_us - LOOK_BACK_US, now_us))
        spans = [span for name in anchors(self.questions.table, names) if (span := self._span(name, now_us))]
        if not spans:
            if alike := near_miss_words(self.questions.table, names):
                raise InputError("no metric that is known here", where=self.questions.api.access.url, hint=alike)
            return None
        return Window(min(span.start_us for span in spans), max(span.end_us for span in spans))

    def accelerators(self, window: Window) -> Sequence[Accelerator]:
        """Accelerators and engines that have samples in a window."""
        return [sighting.accelerator for sighting in self._fleet(window).sightings]

    def metrics(self, window: Window) -> Sequence[str]:
        """Gauges that have samples under any name that exporters give them."""
        names = self._fleet(window).names
        listed = self.questions.table.names
        present = {metric for metric, each in listed.items() if any(name.name in names for name in each)}
        in_parts = {"memory_total_bytes"} if present.issuperset(_PARTS[:2]) else set()
        return [gauge for gauge in GAUGES if gauge in present | in_parts]

    def summaries(self, metrics: Sequence[str], window: Window) -> Iterator[Summary]:
        """All accelerators, so many hosts at a time."""
        fleet = self._fleet(window)
        grouped = groupby(fleet.sightings, key=lambda sighting: sighting.accelerator.host)
        by_host = [list(sightings) for _, sightings in grouped]
        for first in range(0, len(by_host), HOSTS_AT_ONCE):
            chunk = [sighting for host in by_host[first : first + HOSTS_AT_ONCE] for sighting in host]
            answers = [self._metric(fleet, metric, chunk) for metric in metrics]
            for sighting in chunk:
                yield from (answer[sighting.accelerator] for answer in answers if sighting.accelerator in answer)

    def notes(self) -> Sequence[str]:
        """Names used, scales inferred, values distrusted, data left out."""
        return (*self.questions.notes.all(), *self.questions.api.warnings)

    def _fleet(self, window: Window) -> Fleet:
        if window not in self._fleets:
            self._fleets[window] = discover(self.questions, window)
        return self._fleets[window]

    def _span(self, name: Name, now_us: int) -> Window | None:
        """Window from the start of the first to the end of the last row under a name."""
        ends = edges(self.questions.api, self.questions.select(name), now_us)
        if ends is None:
            return None
        last_day = Window(max(ends[0], ends[1] - _DAY_US) - 1_000_000, ends[1])
        return Window(ends[0] - self.questions.rhythm_of(name, "", last_day).interval_us, ends[1])

    def _metric(self, fleet: Fleet, metric: str, chunk: Sequence[Sighting]) -> dict[Accelerator, Summary]:
        """Summaries of one metric, each from the first name that has samples of the accelerator."""
        answers: dict[Accelerator, Summary] = {}
        for name in self.questions.table.names.get(metric, ()):
            waiting = _waiting(chunk, answers, name.exporter)
            if name.name not in fleet.names or not waiting:
                continue
            stats = read_statistics(self.questions, fleet, name, waiting)
            stats = plausible_statistics(self.questions, fleet, metric, name, waiting, stats)
            for sighting in waiting:
                if sighting.identity in stats:
                    self.questions.notes.say(f"{metric} is {name.name} of {name.exporter.name}")
                    summary = self._summary(fleet, sighting, metric, name, stats[sighting.identity])
                    answers[sighting.accelerator] = summary
        if metric == "memory_total_bytes":
            unknown = [sighting for sighting in chunk if sighting.accelerator not in answers]
            answers |= self._memory_in_parts(fleet, unknown)
        return answers

    def _summary(self, fleet: Fleet, sighting: Sighting, metric: str, name: Name, stats: Stats) -> Summary:
        coverage = min(1.0, stats.rows * self.questions.interval_us(fleet, name) / fleet.length_us)
        return Summary(sighting.accelerator, metric, stats.p50, stats.p95, stats.max, stats.mean, coverage, stats.rows)

    def _memory_in_parts(self, fleet: Fleet, chunk: Sequence[Sighting]) -> dict[Accelerator, Summary]:
        """Memory in all as the sum of its parts, which hardly changes: its mean stands for all of it."""
        answers: dict[Accelerator, Summary] = {}
        for free in self.questions.table.names["memory_free_bytes"]:
            spelled = (
                [name for name in self.questions.table.names[part] if name.name in fleet.names] for part in _PARTS
            )
            names = [next((name for name in some if name.exporter == free.exporter), None) for some in spelled]
            waiting = _waiting(chunk, answers, free.exporter)
            if waiting and names[0] and names[1]:
                answers |= self._sums(fleet, [name for name in names if name], waiting)
        return answers

    def _sums(self, fleet: Fleet, names: Sequence[Name], waiting: Sequence[Sighting]) -> dict[Accelerator, Summary]:
        spelled = ", ".join(dict.fromkeys(name.name for name in names))
        self.questions.notes.say(f"memory_total_bytes is the sum of {spelled}")
        parts = [read_statistics(self.questions, fleet, name, waiting) for name in names]
        answers = {}
        for sighting in waiting:
            if sighting.identity in parts[0] and sighting.identity in parts[1]:
                total = sum(part[sighting.identity].mean for part in parts if sighting.identity in part)
                stats = Stats(total, total, total, total, parts[0][sighting.identity].rows)
                answers[sighting.accelerator] = self._summary(fleet, sighting, "memory_total_bytes", names[0], stats)
        return answers


def _waiting(
    chunk: Sequence[Sighting], answers: Mapping[Accelerator, Summary], exporter: Exporter
) -> list[Sighting]:  # fmt: skip
    """Accelerators without an answer that an exporter has series of."""
    return [sighting for sighting in chunk if sighting.accelerator not in answers and sighting.hosts(exporter)]


__all__ = ["PrometheusBackend", "PrometheusEndpoint"]
