"""A row as time series, with the names and labels of the page.

Of a gauge three series, its mean under the plain name and the extremes as ``…_min`` and ``…_max``; of requests that run
or wait the last reading too, ``…_last``, which goes with the counters; of a counter one,
``…_total``; of an engine's histogram its buckets, sum and count. What a row does not know is left out.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from advisor.samples.agent.labels import Label, with_labels
from advisor.samples.metrics import METRICS, Kind, Metric, exposition_name
from advisor.samples.rows import Buckets, Row, Stats, Target

Labels = tuple[tuple[str, str], ...]
"""Names and values, in the order of the names."""


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
