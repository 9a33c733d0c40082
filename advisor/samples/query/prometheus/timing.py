"""Times of a server's samples: their edges, their distance, and whether they only repeat."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from statistics import median

from advisor.records import dataclass
from advisor.samples.query.prometheus.api import PrometheusApi, Series
from advisor.samples.query.values import Window

_SPLIT = 60
_FINE_US = 300_000_000
_RAW_US = (600_000_000, 7_200_000_000)
"""Raw samples are read over no more than this, µs."""
LOOK_BACK_US = 93 * 86_400_000_000
"""No first sample is looked for further back."""
_FEWEST_RUNS = 4
_ALMOST_ALL = 0.9
_JITTER = 0.1
"""Of a scrape interval."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often series are sampled."""

    interval_us: int
    """Usual distance of two samples."""
    varies: tuple[float, float] | None = None
    """Least and greatest of the series' distances in seconds, where they differ by more than a tenth."""
    repeats: int = 1
    """Samples in a row that hold one reading, because the exporter reads more rarely than it is scraped."""


def includes_start(api: PrometheusApi, end_us: int) -> bool:
    """Whether a range selector includes a sample at its very start (Prometheus 2), or not (3, VictoriaMetrics)."""
    minute_us = end_us // 60_000_000 * 60_000_000
    answer = api.instant("count_over_time(vector(1)[1m:1m])", minute_us)
    return bool(answer) and answer[0].value > 1


def rhythm(api: PrometheusApi, selector: str, window: Window) -> Rhythm | None:
    """How often the series of a selector are sampled, from a few minutes at the end of what there is in a window."""
    at_us = latest(api, selector, window)
    if at_us is None:
        return None
    for raw_us in _RAW_US:
        series = api.instant(f"{selector}[{raw_us // 1000}ms]", at_us)
        if interval := _rhythm(series):
            return interval
    return None


def latest(api: PrometheusApi, selector: str, window: Window) -> int | None:
    """A moment, µs since 1970, less than five minutes after the last sample in a window; None: there is no sample."""
    start_us, end_us = window.start_us, window.end_us
    while True:
        step_us = max((end_us - start_us) // _SPLIT, min(_FINE_US, end_us - start_us), 1_000_000)
        step_us -= step_us % 1000
        query = f"count(last_over_time({selector}[{step_us // 1000}ms]))"
        answer = api.over_range(query, start_us + (end_us - start_us) % step_us, end_us, step_us)
        if not answer:
            return None
        end_us = round(answer[0].points[-1][0] * 1_000_000)
        start_us = end_us - step_us
        if step_us <= _FINE_US:
            return end_us


def edges(api: PrometheusApi, selector: str, now_us: int) -> tuple[int, int] | None:
    """Times of the first and last sample within three months, µs since 1970; None where there is none."""
    now_us -= now_us % 1_000_000
    first_us, last_us = now_us - LOOK_BACK_US, now_us
    step_us = LOOK_BACK_US // 372
    coarse = api.over_range(f"count({selector})", first_us, last_us, step_us)
    if not coarse:  # shorter than the steps: every sample has to be looked at
        coarse = api.over_range(f"count(last_over_time({selector}[{step_us // 1000}ms]))", first_us, last_us, step_us)
    if not coarse:
        return None
    first_us, last_us = (round(at * 1_000_000) for at in (coarse[0].points[0][0], coarse[0].points[-1][0]))
    last_us = min(last_us + step_us, now_us)
    begin_us = first_us - step_us
    while step_us > _FINE_US:
        step_us = max(step_us // _SPLIT // 1_000_000 * 1_000_000, _FINE_US)
        query = f"count(last_over_time({selector}[{step_us // 1000}ms]))"
        first = api.over_range(query, begin_us + step_us, begin_us + step_us * 400, step_us)
        last = api.over_range(query, last_us - step_us * 400, last_us, step_us)
        begin_us = round(first[0].points[0][0] * 1_000_000) - step_us if first else begin_us
        last_us = round(last[0].points[-1][0] * 1_000_000) if last else last_us
    return _exact(api, selector, begin_us, last_us, step_us)


def _exact(api: PrometheusApi, selector: str, begin_us: int, last_us: int, step_us: int) -> tuple[int, int] | None:
    """Read raw only within one fine step at each end."""
    width = f"[{step_us // 1000}ms]"
    first = api.instant(f"{selector}{width}", begin_us + step_us)
    last = api.instant(f"{selector}{width}", last_us)
    if not first or not last:
        return None
    start, end = min(series.points[0][0] for series in first), max(series.points[-1][0] for series in last)
    return round(start * 1000) * 1000, round(end * 1000) * 1000


def _rhythm(series: Sequence[Series]) -> Rhythm | None:
    apart = [[after[0] - before[0] for before, after in pairwise(time_series.points)] for time_series in series]
    later = [[seconds for seconds in each if seconds > 0] for each in apart]  # a sample may be stored twice
    distances = [_usual(each) for each in later if len(each) > 1]
    if not distances:
        return None
    usual, low, high = median(distances), min(distances), max(distances)
    varies = (low, high) if high - low > 0.1 * usual else None
    return Rhythm(_without_jitter(usual), varies, min(map(_repeats, series), default=1))


def _usual(distances: Sequence[float]) -> float:
    """The distance of which nearly all are multiples, as missed scrapes make them; else the most frequent one.

    To a tenth of a second, and of several most frequent ones the least.
    """
    counts = Counter(round(distance, 1) for distance in distances)
    steps = [step for step in counts if _multiples(step, counts) >= _ALMOST_ALL * len(distances)]
    most = max(counts.values())
    usual = max(steps) if steps else min(distance for distance, count in counts.items() if count == most)
    return median(distance for distance in distances if round(distance, 1) == usual)


def _multiples(step: float, counts: Mapping[float, int]) -> int:
    """Number of distances that are whole multiples of one."""
    if not step:
        return 0
    times = {distance: max(round(distance / step), 1) for distance in counts}
    return sum(count for distance, count in counts.items() if abs(distance - times[distance] * step) <= _JITTER * step)


def _without_jitter(seconds: float) -> int:
    """µs; whole seconds where it is within a hundredth of them, since scrapes are a few milliseconds off."""
    whole = round(seconds)
    return whole * 1_000_000 if whole and abs(seconds - whole) < 0.01 * whole else round(seconds * 1000) * 1000


def _repeats(series: Series) -> int:
    """The least number of equal values in a row, where there are enough different ones to say; else 1."""
    runs = [len(list(run)) for _, run in groupby(value for _, value in series.points)][1:-1]
    return min(runs) if len(runs) >= _FEWEST_RUNS else 1
