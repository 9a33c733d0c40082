"""Metrics that CloudWatch keeps of accelerators and of SageMaker's endpoints.

A row is one period: 60 s for fifteen days, 300 s for 63 days, an hour for 455 days, which is how long CloudWatch keeps
each. Quantiles and mean are of the periods' averages; the maximum is of their maxima.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from urllib.parse import parse_qs

import numpy as np

from advisor.records import dataclass
from advisor.samples.exporters import Name, NameTable, shipped
from advisor.samples.query.cloudwatch.api import MOST_QUERIES, RETENTION, CloudWatchApi, Metric, Points, Span
from advisor.samples.query.values import Accelerator, Summary, Window
from advisor.units import SECONDS_PER_DAY

_US = 1_000_000
_AT_ONCE = 50
"""Accelerators whose points are held in memory."""
_STATISTICS = ("Average", "Maximum")


@dataclass(frozen=True, slots=True, eq=False)
class AcceleratorSeries:
    """A metric of one accelerator."""

    name: Name
    accelerator: Accelerator
    metric: Metric


class CloudWatchBackend:
    """Asks CloudWatch of one region; see :class:`~advisor.samples.query.values.QueryBackend`."""

    def __init__(self, api: CloudWatchApi, table: NameTable | None = None) -> None:
        """Nothing is asked yet.

        Args:
            api: whom to ask.
            table: names of metrics; None: those that are shipped.
        """
        self._api = api
        self._names = (table or shipped()).in_cloudwatch
        self._listed: dict[str, list[AcceleratorSeries]] = {}
        self._notes: dict[str, None] = {}

    @classmethod
    def at(cls, place: str, now_seconds: Callable[[], float] = time.time) -> "CloudWatchBackend":
        """The backend of ``cloudwatch://REGION`` or ``cloudwatch://REGION?profile=NAME``.

        Raises:
            InputError: boto3 is not installed, or knows no such region or profile.
        """
        region, _, query = place.removeprefix("cloudwatch://").partition("?")
        api = CloudWatchApi.of(region or None, parse_qs(query).get("profile", [None])[0], place)
        api.now_seconds = now_seconds
        return cls(api)

    def window(self) -> Window | None:
        """Window from the first to the last hour of the last fifteen days that any accelerator has a point in."""
        now = int(self._api.now_seconds())
        span = _span(Window((now - RETENTION[0][1] * SECONDS_PER_DAY) * _US, now * _US), 3600)
        every = [series for metric in self._names for series in self.series(metric)][:MOST_QUERIES]
        answers = self._api.points([(series.metric, "Average") for series in every], span)
        seconds = np.concatenate([np.empty(0), *(points.seconds for points in answers)])
        if not seconds.size:
            return None
        return Window(round(seconds.min()) * _US, min(round(seconds.max()) + 3600, now) * _US)

    def accelerators(self, window: Window) -> Sequence[Accelerator]:  # noqa: ARG002 - CloudWatch lists without a time
        """Accelerators that CloudWatch lists: those with points in the last two weeks."""
        accelerators = {series.accelerator for metric in self._names for series in self.series(metric)}
        return sorted(accelerators, key=lambda accelerator: accelerator.place)

    def metrics(self, window: Window) -> Sequence[str]:  # noqa: ARG002 - as above
        """Metrics that CloudWatch lists."""
        return [metric for metric in self._names if self.series(metric)]

    def summary(self, accelerator: Accelerator, metric: str, window: Window) -> Summary | None:
        """One metric of one accelerator."""
        series = [listed for listed in self.series(metric) if listed.accelerator == accelerator]
        return self._summaries(series, metric, window).get(accelerator)

    def summaries(self, metrics: Sequence[str], window: Window) -> Iterator[Summary]:
        """All accelerators, so many at a time."""
        accelerators = self.accelerators(window)
        for first in range(0, len(accelerators), _AT_ONCE):
            some = accelerators[first : first + _AT_ONCE]
            answers = [
                self._summaries(
                    [listed for listed in self.series(metric) if listed.accelerator in some], metric, window
                )
                for metric in metrics
            ]
            for accelerator in some:
                yield from (answer[accelerator] for answer in answers if accelerator in answer)

    def notes(self) -> Sequence[str]:
        """Names used, and what the periods hide."""
        return (*self._notes, *self._api.messages)

    def series(self, metric: str) -> list[AcceleratorSeries]:
        """Series of a metric, of each accelerator the first name that it has."""
        if metric not in self._listed:
            by_accelerator: dict[Accelerator, AcceleratorSeries] = {}
            for name in self._names.get(metric, ()):
                for listed in self._api.metrics(name.exporter.name, name.name):
                    accelerator = _accelerator(name, dict(listed.dimensions))
                    if accelerator is not None:
                        by_accelerator.setdefault(accelerator, AcceleratorSeries(name, accelerator, listed))
            self._listed[metric] = list(by_accelerator.values())
        return self._listed[metric]

    def _summaries(
        self, series: Sequence[AcceleratorSeries], metric: str, window: Window
    ) -> dict[Accelerator, Summary]:  # fmt: skip
        period = self._period(window)
        answers = {}
        queries = [(accelerator_series.metric, which) for accelerator_series in series for which in _STATISTICS]
        points = self._api.points(queries, _span(window, period))
        for accelerator_series, means, maxima in zip(series, points[::2], points[1::2], strict=True):
            summary = _summary(accelerator_series, metric, (means, maxima), window, period)
            if summary is not None:
                self._notes[
                    f"{metric} is {accelerator_series.name.name} of {accelerator_series.name.exporter.name}"
                ] = None
                answers[accelerator_series.accelerator] = summary
        return answers

    def _period(self, window: Window) -> int:
        """Seconds of a row: the shortest for which CloudWatch keeps points from the window's start on."""
        seconds = self._api.period_since(window.start_us / _US)
        self._notes[
            f"a row is {seconds} s: p50 and p95 are of averages over that time, and what happens between two "
            "readings of the CloudWatch agent (60 s unless it is told otherwise) is not seen"
        ] = None
        return seconds


def _summary(
    series: AcceleratorSeries, metric: str, points: tuple[Points, Points], window: Window, period: int
) -> Summary | None:  # fmt: skip
    """Summary of the periods that end in the window; None: there are none."""
    means, maxima = (_inside(statistic, window, period) * series.name.scale for statistic in points)
    if not means.size:
        return None
    p50, p95 = np.quantile(means, (0.5, 0.95))
    greatest = float(max(maxima.max(initial=-np.inf), means.max()))
    coverage = min(1.0, means.size * period / window.seconds)
    return Summary(
        series.accelerator, metric, float(p50), float(p95), greatest, float(means.mean()), coverage, int(means.size)
    )


def _inside(points: Points, window: Window, period: int) -> np.ndarray:
    """Values of the periods that end in the window."""
    ends_us = (points.seconds + period) * _US
    return np.asarray(points.values[(ends_us > window.start_us) & (ends_us <= window.end_us)])


def _span(window: Window, period: int) -> Span:
    """All periods that a window touches."""
    start, end = window.start_us // _US // period * period, -(-window.end_us // _US // period) * period
    return Span(start, end, period)


def _accelerator(name: Name, dimensions: Mapping[str, str]) -> Accelerator | None:
    """Accelerator of a metric; None for a sum over several."""
    host, place, product = (
        next((dimensions[label] for label in labels if dimensions.get(label)), "")
        for labels in (name.exporter.host, name.exporter.index, name.exporter.product)
    )
    digits = place.lstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-")
    if not host or not digits.isdecimal():
        return None
    return Accelerator(host, int(digits), None, None, product or None)


__all__ = ["CloudWatchApi", "CloudWatchBackend", "Metric", "Points", "Span"]
