"""What a store of samples says: peak against average of each accelerator, and how busy the fleet was over time.

A row speaks of the time from the tick before it to its own. Coverage is the share of a span of time that samples speak
of; with one interval throughout it is samples over expected ticks. What nobody observed is unknown, never idle.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from advisor.errors import InputError
from advisor.samples.frame import AcceleratorKey, Booleans, Floats, SampleFrame
from advisor.samples.growth import growth
from advisor.samples.metrics import ACCELERATOR_METRICS, Kind
from advisor.units import SECONDS_PER_MINUTE

LEAST_COVERAGE = 0.9
"""Share of a window, over all accelerators, that has to be observed for it to count."""
_SLACK_SECONDS = 1e-5
"""More than the rounding of seconds since 1970, less than any interval."""
COUNTERS = tuple(metric.name for metric in ACCELERATOR_METRICS if metric.kind is Kind.COUNTER)
"""Columns that only ever grow: their level says nothing, their growth does."""
_OF_A_ROW = ("_min", "_max", "_last", "_n")
"""Ends of columns that say more of a row than its mean."""


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """One value of one accelerator over the sampled time; quantiles are interpolated linearly."""

    p50: float
    p95: float
    max: float
    mean: float
    coverage_ratio: float
    """Share of the host's sampled time in which this value is known."""

    @property
    def peak_to_mean(self) -> float | None:
        """How uneven it is; 1 is flat. None where the mean is 0."""
        return self.max / self.mean if self.mean else None


@dataclass(frozen=True, slots=True)
class AcceleratorSummary:
    """One accelerator over the sampled time."""

    key: AcceleratorKey
    samples: int
    missed_ticks: int
    gap_reasons: Mapping[str, int]
    """Missed ticks by reason."""
    coverage_ratio: float
    """Share of the host's sampled time in which it was read at all."""
    metrics: Mapping[str, MetricSummary]
    """By column name; a value that is never known is left out."""
    energy_joules: float | None
    """Used between the first and the last sample; None: no counter."""


@dataclass(frozen=True, slots=True, eq=False)
class BusyProfile:
    """How many accelerators were busy in each window of the observed time; arrays of shape ``(windows,)``."""

    window_seconds: float
    window_start_seconds: Floats
    """Since 1970, UTC; whole multiples of the window."""
    busy_accelerators: Floats
    """Sum over accelerators of the share of the window in which each was busy; NaN: not all of it was observed."""
    coverage_ratio: Floats
    """Observed accelerator-seconds over those that the present accelerators have."""
    present_accelerators: Floats
    """Accelerators whose first to last reading reach into the window."""
    without_reading: tuple[AcceleratorKey, ...]
    """Accelerators left out, because not one reading says how busy they are."""


def summarise(frame: SampleFrame) -> tuple[AcceleratorSummary, ...]:
    """Each accelerator of a frame, over the columns that were read."""
    spans = _host_spans(frame)
    return tuple(_summarise_one(frame, number, spans[key.host]) for number, key in enumerate(frame.accelerators))


def busy_profile(frame: SampleFrame, window_seconds: float = SECONDS_PER_MINUTE) -> BusyProfile:
    """The fleet's busy accelerators in each window.

    A window of which less than :data:`LEAST_COVERAGE` was observed is unknown (NaN); in any other, what was not
    observed is taken to be as busy as the rest. An accelerator takes part from its first to its last row: a host
    that came later, or went for good, is not held to be unknown the rest of the time.

    Raises:
        InputError: no accelerator says how busy it is.
    """
    busy_of = frame.columns["busy_ratio"]
    numbers = range(len(frame.accelerators))
    known = [number for number in numbers if not np.isnan(busy_of[frame.rows_of(number)]).all()]
    if not known:
        raise InputError(
            "no accelerator in these samples says how busy it is",
            hint="MIG instances and some virtual accelerators cannot; plan from a request trace instead",
        )
    spans = [_span(frame, frame.rows_of(number)) for number in known]
    first = np.floor((min(start for start, _ in spans) + _SLACK_SECONDS) / window_seconds)
    last = np.ceil((max(end for _, end in spans) - _SLACK_SECONDS) / window_seconds)
    edges = np.arange(first, last + 1) * window_seconds
    busy, observed, present = np.zeros((3, len(edges) - 1))
    for number, (start, end) in zip(known, spans, strict=True):
        rows = frame.rows_of(number)
        is_known = ~np.isnan(busy_of[rows])
        starts, ends = _observed_spans(frame, rows, is_known)
        observed += np.diff(_accumulated(edges, starts, ends, np.ones(len(starts))))
        busy += np.diff(_accumulated(edges, starts, ends, busy_of[rows][is_known]))
        present += (edges[:-1] < end - _SLACK_SECONDS) & (edges[1:] > start + _SLACK_SECONDS)
    coverage = np.divide(observed, present * window_seconds, out=np.zeros_like(observed), where=present > 0)
    enough = coverage >= LEAST_COVERAGE
    return BusyProfile(
        window_seconds=window_seconds,
        window_start_seconds=edges[:-1],
        busy_accelerators=np.where(enough, busy / window_seconds / np.where(enough, coverage, 1.0), np.nan),
        coverage_ratio=coverage,
        present_accelerators=present,
        without_reading=tuple(frame.accelerators[number] for number in numbers if number not in known),
    )


def _summarise_one(frame: SampleFrame, number: int, span_seconds: float) -> AcceleratorSummary:
    rows = frame.rows_of(number)
    is_sample = frame.missed_ticks[rows] == 0
    reasons: Counter[str] = Counter()
    for code, missed in zip(frame.gap_reason_code[rows], frame.missed_ticks[rows], strict=True):
        if missed:
            reasons[frame.gap_reason[code] or "unknown"] += int(missed)
    metrics = {
        name: metric
        for name in frame.columns
        if _is_metric(frame, name) and (metric := _summarise_metric(frame, rows, name, span_seconds)) is not None
    }
    return AcceleratorSummary(
        key=frame.accelerators[number],
        samples=int(is_sample.sum()),
        missed_ticks=int(frame.missed_ticks[rows].sum()),
        gap_reasons=dict(reasons.most_common()),
        coverage_ratio=_observed_seconds(frame, rows, is_sample) / span_seconds,
        metrics=metrics,
        energy_joules=growth(frame.columns["energy_joules"][rows]) if "energy_joules" in frame.columns else None,
    )


def _is_metric(frame: SampleFrame, name: str) -> bool:
    """Whether a column is summarised by itself: no counter, and no statistic of another column's rows."""
    base = next((name.removesuffix(end) for end in _OF_A_ROW if name.endswith(end)), name)
    return name not in COUNTERS and (base == name or base not in frame.columns)


def _summarise_metric(frame: SampleFrame, rows: slice, name: str, span_seconds: float) -> MetricSummary | None:
    """Quantiles of the known values, and the greatest reading of any row; None when there is none."""
    values_of = frame.columns[name]
    values = values_of[rows]
    is_known = ~np.isnan(values)
    known = values[is_known]
    if not known.size:
        return None
    p50, p95 = np.quantile(known, (0.5, 0.95))
    return MetricSummary(
        p50=float(p50),
        p95=float(p95),
        max=float(np.nanmax(np.fmax(frame.columns.get(f"{name}_max", values_of)[rows], values))),
        mean=float(known.mean()),
        coverage_ratio=_observed_seconds(frame, rows, is_known) / span_seconds,
    )


def _host_spans(frame: SampleFrame) -> dict[str, float]:
    """Seconds from the first to the last row of each host."""
    spans: dict[str, tuple[float, float]] = {}
    for number, key in enumerate(frame.accelerators):
        start, end = _span(frame, frame.rows_of(number))
        before = spans.get(key.host, (start, end))
        spans[key.host] = (min(start, before[0]), max(end, before[1]))
    return {host: end - start for host, (start, end) in spans.items()}


def _span(frame: SampleFrame, rows: slice) -> tuple[float, float]:
    """First and last second that the rows speak of, gaps included."""
    return float(frame.start_seconds[rows].min()), float(frame.end_seconds[rows].max())


def _observed_spans(frame: SampleFrame, rows: slice, is_observed: Booleans) -> tuple[Floats, Floats]:
    """Begin and end of the time that each observed row speaks of, no second counted twice."""
    ends = frame.end_seconds[rows][is_observed]
    starts = frame.start_seconds[rows][is_observed]
    starts[1:] = np.maximum(starts[1:], ends[:-1])
    return starts, ends


def _observed_seconds(frame: SampleFrame, rows: slice, is_observed: Booleans) -> float:
    starts, ends = _observed_spans(frame, rows, is_observed)
    return float((ends - starts).sum())


def _accumulated(edges: Floats, starts: Floats, ends: Floats, rates: Floats) -> Floats:
    """Integral, up to each edge, of something that has a constant rate in each span and is 0 between them."""
    knots = np.column_stack((starts, ends)).ravel()
    steps = np.column_stack((np.zeros(len(starts)), rates * (ends - starts))).ravel()
    return np.interp(edges, knots, np.cumsum(steps))
