"""What the CloudWatch agent and Container Insights keep of accelerators, asked within GetMetricData's limits.

A row is one period: 60 s for fifteen days, 300 s for 63 days, an hour for 455 days, which is how long CloudWatch keeps
each. Quantiles and mean are of the periods' averages; the maximum is of their maxima.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import numpy as np

from advisor.errors import InputError
from advisor.samples.exporters import Name, NameTable, shipped
from advisor.samples.query.values import Accelerator, Summary, Window
from advisor.units import SECONDS_PER_DAY

MOST_QUERIES = 500
MOST_POINTS = 100_800
RETENTION = ((60, 15), (300, 63), (3600, 455))
"""Period in seconds, and for how many days CloudWatch keeps points that close together."""
_US = 1_000_000
_AT_ONCE = 50
"""Accelerators whose points are held in memory."""
_STATISTICS = ("Average", "Maximum")


@dataclass(frozen=True, slots=True, eq=False)
class _Series:
    """A metric of one accelerator."""

    name: Name
    accelerator: Accelerator
    dimensions: Sequence[Mapping[str, str]]


@dataclass(slots=True)
class _Points:
    """Start of periods in seconds since 1970, and what was in them."""

    seconds: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


class CloudWatchBackend:
    """Asks CloudWatch of one region; see :class:`~advisor.samples.query.values.QueryBackend`."""

    def __init__(
        self,
        client: Any,  # noqa: ANN401 - boto3's
        now_seconds: Callable[[], float] = time.time,
        table: NameTable | None = None,
    ) -> None:
        """Nothing is asked yet.

        Args:
            client: boto3's client of CloudWatch.
            now_seconds: the time, on which depends how close together points are kept.
            table: names of metrics; None: those that are shipped.
        """
        self._names = (table or shipped()).in_cloudwatch
        self._client = client
        self._now_seconds = now_seconds
        self._listed: dict[str, list[_Series]] = {}
        self._notes: dict[str, None] = {}

    @classmethod
    def at(cls, place: str) -> "CloudWatchBackend":
        """The backend of ``cloudwatch://REGION`` or ``cloudwatch://REGION?profile=NAME``.

        Credentials are those that AWS's own tools would use; throttled requests are sent again, ever more slowly.

        Raises:
            InputError: boto3 is not installed, or knows no such region or profile.
        """
        region, _, query = place.removeprefix("cloudwatch://").partition("?")
        try:
            import boto3  # noqa: PLC0415 - optional
            from botocore.config import Config  # noqa: PLC0415 - optional
            from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - optional
        except ImportError as error:
            raise InputError("boto3 is not installed", where=place, hint="pip install 'advisor[aws]'") from error
        retries = {"mode": "adaptive", "total_max_attempts": 10}
        config = Config(retries=retries, connect_timeout=10, read_timeout=60, user_agent_extra="advisor")
        try:
            session = boto3.Session(profile_name=parse_qs(query).get("profile", [None])[0], region_name=region or None)
            return cls(session.client("cloudwatch", config=config))
        except (BotoCoreError, ValueError) as error:
            raise InputError(str(error), where=place, hint="give a region: cloudwatch://us-east-1") from error

    def window(self) -> Window | None:
        """From the first to the last hour of the last fifteen days that any accelerator has a point in."""
        now = int(self._now_seconds())
        whole = Window((now - RETENTION[0][1] * SECONDS_PER_DAY) * _US, now * _US)
        every = [series for metric in self._names for series in self._series(metric)][
            : MOST_QUERIES // len(_STATISTICS)
        ]
        found = self._points(every, whole, 3600)
        seconds = [second for points in found.values() for second in points.seconds]
        if not seconds:
            return None
        return Window(round(min(seconds)) * _US, min(round(max(seconds)) + 3600, now) * _US)

    def accelerators(self, window: Window) -> Sequence[Accelerator]:  # noqa: ARG002 - CloudWatch lists without a time
        """Accelerators that CloudWatch lists: those with points in the last two weeks."""
        return sorted({one.accelerator for metric in self._names for one in self._series(metric)}, key=_order)

    def metrics(self, window: Window) -> Sequence[str]:  # noqa: ARG002 - as above
        """Metrics that CloudWatch lists."""
        return [metric for metric in self._names if self._series(metric)]

    def summary(self, accelerator: Accelerator, metric: str, window: Window) -> Summary | None:
        """One metric of one accelerator."""
        series = [one for one in self._series(metric) if one.accelerator == accelerator]
        return self._summaries(series, metric, window).get(accelerator)

    def summaries(self, metrics: Sequence[str], window: Window) -> Iterator[Summary]:
        """All accelerators, so many at a time."""
        accelerators = self.accelerators(window)
        for first in range(0, len(accelerators), _AT_ONCE):
            some = accelerators[first : first + _AT_ONCE]
            answers = [
                self._summaries([one for one in self._series(metric) if one.accelerator in some], metric, window)
                for metric in metrics
            ]
            for accelerator in some:
                yield from (found[accelerator] for found in answers if accelerator in found)

    def notes(self) -> Sequence[str]:
        """Names used, and what the periods hide."""
        return tuple(self._notes)

    def _series(self, metric: str) -> list[_Series]:
        """Series of a metric, of each accelerator the first name that it has."""
        if metric not in self._listed:
            known: dict[Accelerator, _Series] = {}
            for name in self._names.get(metric, ()):
                for dimensions in self._list(name):
                    accelerator = _accelerator(name, dimensions)
                    if accelerator is not None:
                        known.setdefault(accelerator, _Series(name, accelerator, dimensions))
            self._listed[metric] = list(known.values())
        return self._listed[metric]

    def _list(self, name: Name) -> Iterator[Sequence[Mapping[str, str]]]:
        token: dict[str, str] = {}
        while True:
            page = self._call("list_metrics", Namespace=name.exporter.name, MetricName=name.name, **token)
            for one in page.get("Metrics", ()):
                yield one.get("Dimensions", ())
            if not page.get("NextToken"):
                return
            token = {"NextToken": page["NextToken"]}

    def _summaries(self, series: Sequence[_Series], metric: str, window: Window) -> dict[Accelerator, Summary]:
        period = self._period(window)
        points = self._points(series, window, period)
        answers = {}
        for number, one in enumerate(series):
            ends_us = np.array(points[number, "Average"].seconds) * _US + period * _US
            inside = (ends_us > window.start_us) & (ends_us <= window.end_us)
            means = np.array(points[number, "Average"].values)[inside] * one.name.scale
            if not means.size:
                continue
            self._notes[f"{metric} is {one.name.name} of {one.name.exporter.name}"] = None
            ends_us = np.array(points[number, "Maximum"].seconds) * _US + period * _US
            inside = (ends_us > window.start_us) & (ends_us <= window.end_us)
            maxima = np.array(points[number, "Maximum"].values)[inside] * one.name.scale
            p50, p95 = np.quantile(means, (0.5, 0.95))
            coverage = min(1.0, means.size * period / window.seconds)
            greatest = float(max(maxima.max(initial=-np.inf), means.max()))
            answers[one.accelerator] = Summary(
                one.accelerator,
                metric,
                float(p50),
                float(p95),
                greatest,
                float(means.mean()),
                coverage,
                int(means.size),
            )
        return answers

    def _period(self, window: Window) -> int:
        """Seconds of a row: the shortest for which CloudWatch keeps points from the window's start on."""
        days = (self._now_seconds() - window.start_us / _US) / SECONDS_PER_DAY
        for seconds, kept_days in RETENTION:
            if days <= kept_days:
                self._notes[
                    f"a row is {seconds} s: p50 and p95 are of averages over that time, and what happens between two "
                    "readings of the CloudWatch agent (60 s unless it is told otherwise) is not seen"
                ] = None
                return seconds
        raise InputError(
            f"the window begins {days:.0f} days ago, and CloudWatch keeps nothing for longer than {RETENTION[-1][1]}",
            where="cloudwatch",
            hint="ask for a later window",
        )

    def _points(
        self, series: Sequence[_Series], window: Window, period: int
    ) -> defaultdict[tuple[int, str], _Points]:  # fmt: skip
        """Points of each series by its number and statistic, in as many requests as the limits ask for."""
        found: defaultdict[tuple[int, str], _Points] = defaultdict(_Points)
        start, end = window.start_us // _US // period * period, -(-window.end_us // _US // period) * period
        at_once = min(MOST_QUERIES, max(1, MOST_POINTS // max(1, (end - start) // period)))
        queries = [(number, one, which) for number, one in enumerate(series) for which in _STATISTICS]
        for first in range(0, len(queries), at_once):
            asked = [_query(number, one, which, period) for number, one, which in queries[first : first + at_once]]
            for result in self._results(asked, start, end):
                number, which = result["Id"].removeprefix("q").split("_")
                points = found[int(number), which.capitalize()]
                points.seconds += [moment.timestamp() for moment in result.get("Timestamps", ())]
                points.values += [float(value) for value in result.get("Values", ())]
        return found

    def _results(self, queries: Sequence[Mapping[str, Any]], start: int, end: int) -> Iterator[Mapping[str, Any]]:
        asked = {
            "MetricDataQueries": queries,
            "StartTime": datetime.fromtimestamp(start, UTC),
            "EndTime": datetime.fromtimestamp(end, UTC),
            "ScanBy": "TimestampAscending",
            "MaxDatapoints": MOST_POINTS,
        }
        token: dict[str, str] = {}
        while True:
            page = self._call("get_metric_data", **asked, **token)
            for message in page.get("Messages", ()):
                self._notes[f"CloudWatch says: {message.get('Value', '')}"] = None
            for result in page.get("MetricDataResults", ()):
                if result.get("StatusCode") in {"InternalError", "Forbidden"}:
                    self._notes[f"CloudWatch left a metric out: {result['StatusCode']}"] = None
                yield result
            if not page.get("NextToken"):
                return
            token = {"NextToken": page["NextToken"]}

    def _call(self, operation: str, **arguments: Any) -> Mapping[str, Any]:  # noqa: ANN401 - boto3's
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - optional

        where = f"cloudwatch {self._client.meta.region_name}"
        try:
            answer: Mapping[str, Any] = getattr(self._client, operation)(**arguments)
        except ClientError as error:
            said = error.response.get("Error", {})
            raise InputError(
                f"{said.get('Code', 'refused')}: {said.get('Message', error)}",
                where=where,
                hint="allow cloudwatch:ListMetrics and cloudwatch:GetMetricData to these credentials",
            ) from error
        except BotoCoreError as error:
            raise InputError(
                str(error), where=where, hint="check credentials (`aws sts get-caller-identity`), region and network"
            ) from error
        return answer


def _query(number: int, one: _Series, statistic: str, period: int) -> dict[str, Any]:
    metric = {"Namespace": one.name.exporter.name, "MetricName": one.name.name, "Dimensions": list(one.dimensions)}
    return {
        "Id": f"q{number}_{statistic.lower()}",
        "MetricStat": {"Metric": metric, "Period": period, "Stat": statistic},
        "ReturnData": True,
    }


def _accelerator(name: Name, dimensions: Sequence[Mapping[str, str]]) -> Accelerator | None:
    """Who a metric is of; None for a sum over several."""
    known = {one["Name"]: one["Value"] for one in dimensions}
    host, place, product = (
        next((known[label] for label in labels if known.get(label)), "")
        for labels in (name.exporter.host, name.exporter.index, name.exporter.product)
    )
    digits = place.lstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-")
    if not host or not digits.isdecimal():
        return None
    return Accelerator(host, int(digits), None, None, product or None)


def _order(accelerator: Accelerator) -> tuple[str, int, str]:
    return accelerator.host, accelerator.index, accelerator.product or ""
