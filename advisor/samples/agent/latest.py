"""The newest row of each target and the state of the agent, as an OpenMetrics page.

A target with a gap, or without a row for a minute, is not on the page: a monitor that reads it sees the value end, and
not the old one for ever.

``advisor agent install alerts`` writes the rules that go with them.

Of a gauge three series, its mean under the plain name and the extremes as ``…_min`` and ``…_max``; of requests that run
or wait the last reading too, ``…_last``, which goes with the counters; of a counter one,
``…_total``; of an engine's histogram its buckets, sum and count. What a row does not know is left out.
"""

import math
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from advisor.records import dataclass
from advisor.samples.agent.settings import Label, with_labels
from advisor.samples.agent.spool import segments
from advisor.samples.agent.status import written_seconds
from advisor.samples.metrics import METRICS, Buckets, Gap, Kind, Metric, Record, Row, Stats, Target, exposition_name
from advisor.samples.places import US_PER_SECOND

Labels = tuple[tuple[str, str], ...]
"""Names and values, in the order of the names."""
_G, _C = Kind.GAUGE, Kind.COUNTER
STALE_SECONDS = 60
"""A row that ended longer ago than that says nothing about now."""
_MOST_ROWS = 2048
"""Rows remembered at most, whatever names targets have while nobody looks at the page."""


@dataclass(frozen=True, slots=True)
class Family:
    """Metadata that OpenMetrics gives for the series of one name."""

    name: str
    """Without the suffixes ``_total``, ``_bucket``, ``_sum`` and ``_count``."""
    kind: Kind
    unit: str
    """With which the name ends; "" where it does not."""
    meaning: str


@dataclass(frozen=True, slots=True)
class Point:
    """One series and its value."""

    family: Family
    name: str
    labels: Labels
    value: float


def points_of(row: Row, static: tuple[Label, ...] = ()) -> Iterator[Point]:
    """The series of a row, with the static labels of its host."""
    labels = labels_of(row.target, static)
    for name, stats in row.stats.items():
        if name in METRICS:
            yield from _stats_points(METRICS[name], stats, labels)
    for name, buckets in row.buckets.items():
        if name in METRICS:
            yield from _histogram_points(METRICS[name], buckets, labels)


@lru_cache(maxsize=4096)
def labels_of(target: Target, static: tuple[Label, ...] = ()) -> Labels:
    """Labels of a target: host, source, the source's name for it, static labels; unknown ones are left out."""
    named: dict[str, object] = {"host": target.host}
    if target.endpoint is None:
        named |= {"source": target.source, "accelerator": target.index, "mig": target.mig_index}
        named |= {"uuid": target.uuid, "product": target.name}
    else:
        named |= {"engine": target.source, "endpoint": target.endpoint, "rank": target.index, "model": target.name}
    return with_labels([(name, str(value)) for name, value in named.items() if value not in (None, "")], static)


@lru_cache(maxsize=1024)
def family_of(metric: Metric, statistic: str = "mean") -> Family:
    """The family that one statistic of a metric belongs to."""
    name = exposition_name(metric, statistic).removesuffix("_total")
    unit = metric.unit.split()[-1].lower()
    meaning = metric.meaning if statistic == "mean" else f"{metric.meaning}: {statistic} of the readings"
    return Family(name, metric.kind, unit if name.endswith(f"_{unit}") else "", meaning)


def covers(gap: Target, target: Target) -> bool:
    """Whether a gap of one target is one of another: of itself, or of all that its source or its endpoint has."""
    if gap.index is not None:
        return gap == target
    if gap.host != target.host:
        return False
    return gap.source == target.source if gap.endpoint is None else gap.endpoint == target.endpoint


def _stats_points(metric: Metric, stats: Stats, labels: Labels) -> Iterator[Point]:
    if metric.kind is Kind.COUNTER:
        values = {"mean": stats.last}
    else:
        values = {"mean": stats.mean, "min": stats.least, "max": stats.greatest}
        if metric.unit == "requests":
            values["last"] = stats.last
    for statistic, value in values.items():
        if math.isfinite(value):
            yield Point(family_of(metric, statistic), exposition_name(metric, statistic), labels, value)


def _histogram_points(metric: Metric, buckets: Buckets, labels: Labels) -> Iterator[Point]:
    family = family_of(metric)
    for bound, count in zip(buckets.bounds, buckets.counts, strict=True):
        bounded = tuple(sorted((*labels, ("le", number_text(bound)))))
        yield Point(family, f"{family.name}_bucket", bounded, count)
    if buckets.counts:
        yield Point(family, f"{family.name}_count", labels, buckets.counts[-1])
        yield Point(family, f"{family.name}_sum", labels, buckets.total)


def number_text(value: float) -> str:
    """A number as OpenMetrics writes it."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(float(value))


FAMILIES: Mapping[str, Family] = {
    name: Family(f"advisor_agent_{name}", kind, unit, meaning)
    for name, kind, unit, meaning in (
        ("build_info", _G, "", "1, with the version that runs"),
        ("status_timestamp_seconds", _G, "seconds", "when the agent last wrote its status, since 1970"),
        ("lost_rows", _C, "", "rows that became gaps because they could not be written"),
        ("waiting_records", _G, "", "rows and gaps in memory that are not written yet"),
        ("spool_failing", _G, "", "whether rows cannot be written now"),
        ("spool_bytes", _G, "bytes", "rows on disk that are not Parquet yet"),
        ("compaction_failing", _G, "", "whether the last compaction failed"),
        ("missed_ticks", _C, "", "readings that gaps stand for since the agent started, by reason"),
        ("source_failing", _G, "", "whether a source is not read now"),
        ("source_hanging", _G, "", "whether a source hangs in its driver"),
        ("source_restarts", _C, "", "times that a source was started again"),
    )
}


def signals_of(status: Mapping[str, Any]) -> Iterator[Point]:
    """Series of an agent with this status (:mod:`advisor.samples.agent.status`), each with its host."""
    host, spool, compaction = status["host"], status["spool"], status["compaction"] or {}
    yield _point("build_info", 1, host=host, version=status["version"])
    yield _point("status_timestamp_seconds", written_seconds(status), host=host)
    yield _point("lost_rows", spool["lost_rows"], host=host)
    yield _point("waiting_records", spool["waiting"], host=host)
    yield _point("spool_failing", bool(spool["trouble"]), host=host)
    yield _point("spool_bytes", sum(map(_size, segments(Path(status["output"]), host))), host=host)
    yield _point("compaction_failing", bool(compaction.get("trouble")), host=host)
    for source in status["sources"]:
        who = {"host": host, "source": source["name"]}
        for reason, ticks in source["gap_ticks"].items():
            yield _point("missed_ticks", ticks, reason=reason, **who)
        yield _point("source_failing", source["state"] != "running", **who)
        yield _point("source_hanging", source["left_behind_pid"] is not None or source["state"] == "silent", **who)
        yield _point("source_restarts", source["restarts"], **who)


def _point(name: str, value: float, **labels: str) -> Point:
    family = FAMILIES[name]
    suffix = "_total" if family.kind is Kind.COUNTER else ""
    return Point(family, f"{family.name}{suffix}", tuple(labels.items()), float(value))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # compacted meanwhile


_UP = Family("advisor_agent_up", Kind.GAUGE, "", "whether a source has a fresh row of any target")
_AGE = Family(
    "advisor_agent_newest_row_timestamp_seconds", Kind.GAUGE, "seconds", "end of the newest row of a source, since 1970"
)


class Latest:
    """The newest rows; written by one thread, read by another."""

    def __init__(self, labels: tuple[Label, ...] = ()) -> None:
        """Begin without rows. *labels*: static labels of the host."""
        self._static = labels
        self.status: Mapping[str, Any] | None = None
        """Newest status of the agent; None before the first."""
        self._lock = threading.Lock()
        self._rows: dict[Target, Row] = {}
        self._newest_us: dict[tuple[str, str], int] = {}
        """End of the newest row by host and source."""

    def take(self, record: Record) -> None:
        """Remember a row, or forget what a gap covers."""
        source = (record.target.host, record.target.source)
        with self._lock:
            if isinstance(record, Gap):
                self._newest_us.setdefault(source, 0)
                for target, row in list(self._rows.items()):
                    if covers(record.target, target) and row.end_us <= record.end_us:
                        del self._rows[target]
                return
            self._rows[record.target] = record  # the newest to arrive, also after the clock was set back
            if len(self._rows) > _MOST_ROWS:
                del self._rows[next(iter(self._rows))]
            self._newest_us[source] = record.end_us

    def page(self, now_us: int | None = None) -> bytes:
        """The OpenMetrics page at a time (µs since 1970; None: now)."""
        with self._lock:
            return _render(self._points(time.time_ns() // 1000 if now_us is None else now_us))

    def _points(self, now_us: int) -> Iterator[Point]:
        stale_us = STALE_SECONDS * US_PER_SECOND
        for target in [target for target, row in self._rows.items() if abs(now_us - row.end_us) > stale_us]:
            del self._rows[target]
        fresh = {(target.host, target.source) for target in self._rows}
        for source, newest_us in sorted(self._newest_us.items()):
            labels = with_labels((("host", source[0]), ("source", source[1])), self._static)
            yield Point(_UP, _UP.name, labels, float(source in fresh))
            if newest_us:
                yield Point(_AGE, _AGE.name, labels, newest_us / US_PER_SECOND)
        for row in self._rows.values():
            yield from points_of(row, self._static)
        if self.status is not None:
            for point in signals_of(self.status):
                yield Point(point.family, point.name, with_labels(point.labels, self._static), point.value)


def _render(points: Iterator[Point]) -> bytes:
    """Families in the order of their names, each with all of its samples."""
    families: defaultdict[str, list[Point]] = defaultdict(list)
    for point in points:
        families[point.family.name].append(point)
    lines = []
    for name in sorted(families):
        family = families[name][0].family
        lines.append(f"# TYPE {name} {family.kind}")
        lines += [f"# UNIT {name} {family.unit}"] if family.unit else []
        lines.append(f"# HELP {name} {_escaped(family.meaning)}")
        for point in families[name]:
            labels = ",".join(f'{label}="{_escaped(value)}"' for label, value in point.labels)
            lines.append(f"{point.name}{{{labels}}} {number_text(point.value)}")
    return "\n".join([*lines, "# EOF", ""]).encode()


def _escaped(text: str) -> str:
    """Text of which no character can end its quotes or its line."""
    flat = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return flat.replace("\r", " ").encode("utf-8", "replace").decode()
