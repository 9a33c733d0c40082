"""Metrics that CloudWatch keeps of accelerators and of SageMaker's endpoints.

A row is one period: 60 s for fifteen days, 300 s for 63 days, an hour for 455 days, which is how long CloudWatch keeps
each. Quantiles and mean are of the periods' averages; the maximum is of their maxima.

CloudWatch's ListMetrics and GetMetricData, asked within their limits.
"""

import difflib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import numpy.typing as npt

from advisor.errors import InputError
from advisor.records import dataclass
from advisor.samples.exporters import Name, shipped
from advisor.samples.query import Accelerator, Summary, Window
from advisor.units import SECONDS_PER_DAY

_STALE = {
    "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "InvalidToken", "RequestExpired",
    "SignatureDoesNotMatch", "InvalidSignatureException", "UnrecognizedClientException", "InvalidAccessKeyId",
    "IncompleteSignature", "AuthFailure",
}  # fmt: skip
"""Error codes of credentials that AWS does not accept, whatever they may do."""
RENEW = "renew the credentials (`aws sso login`, or new keys) and check them with `aws sts get-caller-identity`"


def aws_session(region: str | None, profile: str | None, where: str) -> Any:  # noqa: ANN401 - boto3's
    """A boto3 session with the credentials that AWS's own tools would use; *region* and *profile* None: as these say.

    Raises InputError if boto3 is not installed, or knows no such profile.
    """
    try:
        import boto3  # noqa: PLC0415 - optional
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - optional
    except ImportError as error:
        raise InputError("boto3 is not installed", where=where, hint="pip install 'inference-advisor[aws]'") from error
    try:
        return boto3.Session(profile_name=profile, region_name=region)
    except BotoCoreError as error:
        raise InputError(str(error), where=where, hint="`aws configure list-profiles` shows the profiles") from error


def refusal_hint(code: str, actions: str) -> str:
    """How to fix what AWS refused with a code such as ``AccessDenied``, where some permissions are needed."""
    return RENEW if code in _STALE else f"allow {actions} to these credentials"


def unreached_hint(session: Any, service: str, region: str) -> str:  # noqa: ANN401 - boto3's
    """Checks to make where no answer came; a region that AWS does not have is named with the nearest."""
    regions = [
        name
        for partition in session.get_available_partitions()
        for name in session.get_available_regions(service, partition)
    ]
    if region in regions or not regions:
        return "check credentials (`aws sts get-caller-identity`), region and network"
    near = difflib.get_close_matches(region, regions, 3)
    return f"AWS has no region {region}" + (f": {' or '.join(near)}?" if near else "; `aws account list-regions`")


Floats = npt.NDArray[np.float64]
MOST_QUERIES = 500
MOST_POINTS = 100_800
RETENTION = ((60, 15), (300, 63), (3600, 455))
"""Period in seconds, and for how many days CloudWatch keeps points that close together."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One series of CloudWatch."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    """Names and values, as listed."""


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Statistics of periods; arrays of shape ``(periods,)``, in order of time, without periods that have none."""

    seconds: Floats
    """Start of each, since 1970."""
    values: Floats


@dataclass(frozen=True, slots=True)
class Span:
    """Whole periods, in seconds since 1970."""

    start: int
    end: int
    period: int

    @property
    def periods(self) -> int:
        """Number of periods."""
        return max((self.end - self.start) // self.period, 0)

    def values(self, points: Points) -> Floats:
        """Values by period, NaN where there is none: shape ``(periods,)``."""
        at = np.rint((points.seconds - self.start) / self.period).astype(np.int64)
        inside = (at >= 0) & (at < self.periods)
        values = np.full(self.periods, np.nan)
        values[at[inside]] = points.values[inside]
        return values


class CloudWatchApi:
    """CloudWatch of one region."""

    def __init__(self, client: Any, session: Any, now_seconds: Callable[[], float] = time.time) -> None:  # noqa: ANN401 - boto3's
        """Nothing is asked yet. *now_seconds*: the time, on which depends how close together points are kept."""
        self._client = client
        self._session = session
        self.now_seconds = now_seconds
        self.messages: dict[str, None] = {}
        """What CloudWatch said beside its answers."""

    @classmethod
    def of(cls, region: str | None, profile: str | None, where: str) -> "CloudWatchApi":
        """CloudWatch with the credentials of AWS's own tools; throttled requests are sent again, ever more slowly.

        Raises InputError if boto3 is not installed, or knows no such region or profile.
        """
        session = aws_session(region, profile, where)
        from botocore.config import Config  # noqa: PLC0415 - optional
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - optional

        retries = {"mode": "adaptive", "total_max_attempts": 10}
        config = Config(retries=retries, connect_timeout=10, read_timeout=60, user_agent_extra="advisor")
        try:
            return cls(session.client("cloudwatch", config=config), session)
        except (BotoCoreError, ValueError) as error:
            raise InputError(str(error), where=where, hint="give a region, such as us-east-1") from error

    @property
    def region(self) -> str:
        """Region such as ``us-east-1``."""
        return str(self._client.meta.region_name)

    def metrics(self, namespace: str, name: str, **dimensions: str) -> Iterator[Metric]:
        """Series with these dimensions, among others, that have points in the last two weeks."""
        wanted = [{"Name": key, "Value": value} for key, value in dimensions.items()]
        for page in self.pages("list_metrics", Namespace=namespace, MetricName=name, Dimensions=wanted):
            for listed in page.get("Metrics", ()):
                pairs = tuple((pair["Name"], pair["Value"]) for pair in listed.get("Dimensions", ()))
                if dimensions.items() <= dict(pairs).items():
                    yield Metric(namespace, name, pairs)

    def points(self, queries: Sequence[tuple[Metric, str]], span: Span) -> list[Points]:
        """Points of each series and statistic, in as many requests as the limits ask for."""
        at_once = min(MOST_QUERIES, max(1, MOST_POINTS // max(1, span.periods)))
        answers: list[Points] = []
        for first in range(0, len(queries), at_once):
            asked = enumerate(queries[first : first + at_once])
            some = [_query(number, metric, statistic, span.period) for number, (metric, statistic) in asked]
            seconds: list[list[float]] = [[] for _ in some]
            values: list[list[float]] = [[] for _ in some]
            for result in self._results(some, span):
                number = int(result["Id"].removeprefix("q"))
                seconds[number] += [moment.timestamp() for moment in result.get("Timestamps", ())]
                values[number] += [float(value) for value in result.get("Values", ())]
            answers += [Points(np.array(at), np.array(read)) for at, read in zip(seconds, values, strict=True)]
        return answers

    def spans(self, start_seconds: float, end_seconds: float) -> list[Span]:
        """Parts of a time, oldest first, each of the shortest period kept. Raises InputError if it begins before."""
        now = self.now_seconds()
        self.period_since(start_seconds)
        coarsest = RETENTION[-1][0]
        spans, end = [], int(end_seconds)
        for period, days in RETENTION:
            oldest = -int(-(now - days * SECONDS_PER_DAY) // coarsest) * coarsest
            start = max(int(start_seconds) // period * period, oldest)
            if end // period * period > start:
                spans.append(Span(start, end // period * period, period))
                end = start
        return spans[::-1]

    def period_since(self, start_seconds: float) -> int:
        """Seconds of the shortest periods kept from then on. Raises InputError if nothing is kept for so long."""
        days = (self.now_seconds() - start_seconds) / SECONDS_PER_DAY
        for seconds, kept_days in RETENTION:
            if days <= kept_days:
                return seconds
        raise InputError(
            f"the window begins {days:.0f} days ago, and CloudWatch keeps nothing for longer than {RETENTION[-1][1]}",
            where="cloudwatch",
            hint="ask for a later window",
        )

    def pages(self, operation: str, **arguments: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 - boto3's
        """CloudWatch's answer, page by page. Raises InputError if it refuses, or cannot be reached."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - optional

        where = f"cloudwatch {self.region}"
        try:
            yield from self._client.get_paginator(operation).paginate(**arguments)
        except ClientError as error:
            said = error.response.get("Error", {})
            code = said.get("Code", "refused")
            raise InputError(
                f"{code}: {said.get('Message', error)}",
                where=where,
                hint=refusal_hint(code, "cloudwatch:ListMetrics and cloudwatch:GetMetricData"),
            ) from error
        except BotoCoreError as error:
            hint = unreached_hint(self._session, "cloudwatch", self.region)
            raise InputError(str(error), where=where, hint=hint) from error

    def _results(self, queries: Sequence[Mapping[str, Any]], span: Span) -> Iterator[Mapping[str, Any]]:
        asked = {
            "MetricDataQueries": queries,
            "StartTime": datetime.fromtimestamp(span.start, UTC),
            "EndTime": datetime.fromtimestamp(span.end, UTC),
            "ScanBy": "TimestampAscending",
            "MaxDatapoints": MOST_POINTS,
        }
        for page in self.pages("get_metric_data", **asked):
            for message in page.get("Messages", ()):
                self.messages[f"CloudWatch says: {message.get('Value', '')}"] = None
            for result in page.get("MetricDataResults", ()):
                if result.get("StatusCode") in {"InternalError", "Forbidden"}:
                    self.messages[f"CloudWatch left a metric out: {result['StatusCode']}"] = None
                yield result


def _query(number: int, metric: Metric, statistic: str, period: int) -> dict[str, Any]:
    dimensions = [{"Name": name, "Value": value} for name, value in metric.dimensions]
    named = {"Namespace": metric.namespace, "MetricName": metric.name, "Dimensions": dimensions}
    return {
        "Id": f"q{number}",
        "MetricStat": {"Metric": named, "Period": period, "Stat": statistic},
        "ReturnData": True,
    }


_US = 1_000_000
_AT_ONCE = 50
"""Accelerators whose points are held in memory."""


@dataclass(frozen=True, slots=True, eq=False)
class AcceleratorSeries:
    """A metric of one accelerator."""

    name: Name
    accelerator: Accelerator
    metric: Metric


class CloudWatchBackend:
    """Asks CloudWatch of one region; see :class:`~advisor.samples.query.QueryBackend`."""

    def __init__(self, api: CloudWatchApi) -> None:
        """Nothing is asked yet."""
        self._api = api
        self._names = shipped().in_cloudwatch
        self._listed: dict[str, list[AcceleratorSeries]] = {}
        self._notes: dict[str, None] = {}

    @classmethod
    def at(cls, place: str, now_seconds: Callable[[], float] = time.time) -> "CloudWatchBackend":
        """The backend of ``cloudwatch://REGION`` or ``cloudwatch://REGION?profile=NAME``.

        Raises InputError if boto3 is not installed, or knows no such region or profile.
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

    def summaries(self, metrics: Sequence[str], window: Window) -> Iterator[Summary]:
        """All accelerators, so many at a time."""
        accelerators = self.accelerators(window)
        for first in range(0, len(accelerators), _AT_ONCE):
            some = accelerators[first : first + _AT_ONCE]
            series = {
                metric: [listed for listed in self.series(metric) if listed.accelerator in some] for metric in metrics
            }
            answers = [self._summaries(listed, metric, window) for metric, listed in series.items()]
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
        period = self._api.period_since(window.start_us / _US)
        self._notes[
            f"a row is {period} s: p50 and p95 are of averages over that time, and what happens between two "
            "readings of the CloudWatch agent (60 s unless it is told otherwise) is not seen"
        ] = None
        answers = {}
        queries = [(each.metric, statistic) for each in series for statistic in ("Average", "Maximum")]
        points = self._api.points(queries, _span(window, period))
        for each, means, maxima in zip(series, points[::2], points[1::2], strict=True):
            summary = _summary(each, metric, (means, maxima), window, period)
            if summary is not None:
                self._notes[f"{metric} is {each.name.name} of {each.name.exporter.name}"] = None
                answers[each.accelerator] = summary
        return answers


def _summary(
    series: AcceleratorSeries, metric: str, points: tuple[Points, Points], window: Window, period: int
) -> Summary | None:  # fmt: skip
    """Summary of the periods that end in the window; None: there are none."""
    values = []
    for statistic in points:
        ends_us = (statistic.seconds + period) * _US
        values.append(statistic.values[(ends_us > window.start_us) & (ends_us <= window.end_us)] * series.name.scale)
    means, maxima = values
    if not means.size:
        return None
    p50, p95 = np.quantile(means, (0.5, 0.95))
    greatest = float(max(maxima.max(initial=-np.inf), means.max()))
    coverage = min(1.0, means.size * period / window.seconds)
    return Summary(
        series.accelerator, metric, float(p50), float(p95), greatest, float(means.mean()), coverage, int(means.size)
    )


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
