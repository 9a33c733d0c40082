"""Demand as CloudWatch saw it: requests of a SageMaker endpoint, or how busy accelerators were.

Sources of names, units and dimensions of SageMaker's metrics:
https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
"""

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase

import numpy as np

from advisor.demand.busy import Busy
from advisor.demand.lengths import one_size_demand
from advisor.demand.monitored import LEAST_COVERAGE, days_words
from advisor.demand.spread import iso_minute
from advisor.demand.tally import arrival_rate
from advisor.demand.values import Demand, DemandProfile, Floats
from advisor.errors import InputError
from advisor.names import first_names
from advisor.records import dataclass, replace
from advisor.samples.query.cloudwatch import CloudWatchApi, CloudWatchBackend, Metric, Span
from advisor.units import MICROSECONDS_PER_MS, SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE, ratio_words

_REQUESTS = "AWS/SageMaker"
_INSTANCES = "/aws/sagemaker/Endpoints"
_ENDPOINT = "EndpointName"
_COMPONENT = "InferenceComponentName"
_OF_AN_ENDPOINT = {_ENDPOINT, "VariantName"}
"""Dimensions of the whole of a variant; series with more of them count parts of the same once more."""
_DELAY_SECONDS = 5 * SECONDS_PER_MINUTE
"""How long CloudWatch may take to have all points of a minute."""
_LEAST_SECONDS = 2 * SECONDS_PER_MINUTE
_SHOWN = 5
_AT_ONCE = 50
_MANY = 200
"""Accelerators."""
_PERIOD_OF_MANY = 300
_PERCENT = 100.0
_US_PER_SECOND = MICROSECONDS_PER_MS * 1000.0


@dataclass(frozen=True, slots=True)
class CloudWatched:
    """Endpoint, hosts and time asked of CloudWatch."""

    api: CloudWatchApi
    start_seconds: float
    end_seconds: float
    """Since 1970."""
    endpoint: str | None = None
    """Name of a SageMaker endpoint."""
    component: str | None = None
    """Name of the inference component that serves the model, where an endpoint serves several."""
    hosts: Sequence[str] = ()
    """Names or patterns of hosts whose accelerators count; empty: all."""

    @classmethod
    def between(
        cls, api: CloudWatchApi, days: float, from_seconds: float | None, until_seconds: float | None
    ) -> "CloudWatched":  # fmt: skip
        """All that CloudWatch has from one time to another; without them in the days up to now.

        Raises InputError if the time lies ahead, or is shorter than two minutes.
        """
        now = api.now_seconds() - _DELAY_SECONDS
        end = now if until_seconds is None else min(until_seconds, now)
        start = end - days * SECONDS_PER_DAY if from_seconds is None else from_seconds
        if end - start < _LEAST_SECONDS:
            raise InputError(
                "the window ends before it begins", where=f"cloudwatch {api.region}", hint="check `from` and `until`"
            )
        return cls(api, start, end)

    @property
    def where(self) -> str:
        """The source, for messages."""
        return f"cloudwatch {self.api.region}"

    @property
    def length(self) -> str:
        """Length of the window, in words."""
        return days_words(self.end_seconds - self.start_seconds)


def _mean_rate(counted: DemandProfile) -> float:
    """Requests per second."""
    return float(np.nanmean(counted.requests_per_minute)) / SECONDS_PER_MINUTE


def endpoint_demand(watched: CloudWatched, tokens: tuple[float, float]) -> Demand | None:
    """Demand as a SageMaker endpoint counted it, all requests of one size; None: the hosts' accelerators are asked for.

    A minute without a count had no request if the endpoint's instances reported in it, and is unknown otherwise.
    CloudWatch does not count *tokens*: (prompt, generated) of a request. Raises InputError if it cannot be asked, has
    no such endpoint or several, or counted nothing.
    """
    invocations, notes = _invocations(watched)
    if not invocations:
        return None
    presence = _of_endpoints(watched, "CPUUtilization", invocations)
    counted = _counted(watched, invocations, presence)
    if counted is None or _mean_rate(counted) <= 0:
        raise InputError(
            f"{_words(invocations)} counted no request in {watched.length}",
            where=watched.where,
            hint="look further back with `window`; CloudWatch keeps minutes for 15 days",
        )
    if not presence:
        notes = (*notes, "no instance of it reports: minutes without a count are taken to have had no request")
    rate = arrival_rate(counted.requests_per_minute, _mean_rate(counted))
    known_seconds = float(np.count_nonzero(~np.isnan(counted.requests_per_minute))) * SECONDS_PER_MINUTE
    words = []
    for name, what in (("GPUUtilization", "busy"), ("GPUMemoryUtilization", "full")):
        series = _of_endpoints(watched, name, invocations)
        points = watched.api.points([(metric, "Average") for metric in series], _hours(watched))
        values = np.concatenate([np.empty(0), *(averages.values for averages in points)])
        if values.size:
            words.append(f"{values.mean() / _PERCENT:.2g} accelerators {what} ({name})")
    every = (
        *notes,
        "CloudWatch counts no tokens: every request is taken to have the stated lengths, and a spread needs more",
        *_time_notes(watched, counted, known_seconds),
        *_latency_notes(watched, invocations, _mean_rate(counted)),
        *([f"an instance of the endpoint has {' and '.join(words)} on average"] if words else []),
        *watched.api.messages,
    )
    source = f"Invocations of {_words(invocations)} in {watched.where}, {watched.length}"
    demand = one_size_demand(rate, tokens, source, every, known_seconds, counted)
    return replace(demand, requests=round(rate.mean * known_seconds))


def busy_in_cloudwatch(watched: CloudWatched) -> Busy:
    """Busy accelerators in each period as the CloudWatch agent or Container Insights saw them, NaN where unknown.

    A period counts where nine of ten of the accelerators that were there have a point: each is there from its first
    to its last point. What is missing of it is taken to be as busy as the rest. Periods are those that CloudWatch
    keeps, and five minutes at least of more than 200 accelerators: their points are tens of millions in two weeks.
    Raises InputError if it cannot be asked, or no accelerator of the hosts has a point.
    """
    backend = CloudWatchBackend(watched.api)
    every = backend.series("busy_ratio")
    hosts = sorted({each.accelerator.host for each in every})
    meant = {host for host in hosts if not watched.hosts or any(fnmatchcase(host, name) for name in watched.hosts)}
    series = [each for each in every if each.accelerator.host in meant]
    shortest = _PERIOD_OF_MANY if len(series) > _MANY else SECONDS_PER_MINUTE
    period = max(watched.api.period_since(watched.start_seconds), shortest)
    span = Span(int(watched.start_seconds) // period * period, int(watched.end_seconds) // period * period, period)
    busy, observed, present = np.zeros((3, span.periods))
    for first in range(0, len(series), _AT_ONCE):
        some = series[first : first + _AT_ONCE]
        answers = watched.api.points([(each.metric, "Average") for each in some], span)
        for each, points in zip(some, answers, strict=True):
            values = span.values(points) * each.name.scale
            at = np.flatnonzero(~np.isnan(values))
            if at.size:
                busy += np.nan_to_num(values)
                observed += ~np.isnan(values)
                present[at[0] : at[-1] + 1] += 1
    if not observed.any():
        there = (
            f"hosts there: {first_names(hosts, _SHOWN)}"
            if hosts
            else "let the CloudWatch agent or Container Insights read the GPUs"
        )
        counted = "no SageMaker endpoint counts requests there"
        raise InputError(
            f"{counted}, and no metric says how busy an accelerator of these hosts was",
            where=watched.where,
            hint=f"check region, window and hosts; {there}",
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(observed >= LEAST_COVERAGE * np.maximum(present, 1), busy / observed, np.nan)
    return Busy(share * present, share * present, present, float(period), float(span.start))


def _invocations(watched: CloudWatched) -> tuple[list[Metric], tuple[str, ...]]:
    """Series that count the requests, and what to know of the choice; none where accelerators are asked for."""
    if watched.component is not None:
        series = list(watched.api.metrics(_REQUESTS, "Invocations", **{_COMPONENT: watched.component}))
        fewest = min((len(metric.dimensions) for metric in series), default=0)
        if not series:
            raise _missing(watched, "inference component", watched.component, _named(watched, _COMPONENT))
        return [metric for metric in series if len(metric.dimensions) == fewest], ()
    every = _exactly(watched.api.metrics(_REQUESTS, "Invocations"), _OF_AN_ENDPOINT)
    by_endpoint: dict[str, list[Metric]] = {}
    for metric in every:
        by_endpoint.setdefault(dict(metric.dimensions)[_ENDPOINT], []).append(metric)
    if watched.endpoint is None:
        if watched.hosts or not by_endpoint:
            return [], ()
        hosts = {series.accelerator.host for series in CloudWatchBackend(watched.api).series("busy_ratio")}
        if len(by_endpoint) == 1 and not hosts:
            (name, metrics) = by_endpoint.popitem()
            return metrics, (f"{name} is the only endpoint there", *_component_notes(watched))
        beside = f", and accelerators of {len(hosts)} hosts" if hosts else ""
        raise InputError(
            f"CloudWatch counts requests of {_rates_words(watched, by_endpoint)}{beside}, and the workload names none",
            where=watched.where,
            hint="write `endpoint` (or `hosts`) under demand.cloudwatch",
        )
    if watched.endpoint not in by_endpoint:
        raise _missing(watched, "endpoint", watched.endpoint, by_endpoint)
    return by_endpoint[watched.endpoint], _component_notes(watched)


def _rates_words(watched: CloudWatched, by_endpoint: dict[str, list[Metric]]) -> str:
    """Rates such as ``chat (3 requests/s) and search (1 requests/s)``."""
    words = sorted(by_endpoint)
    for at, name in enumerate(words[:_SHOWN]):
        metrics = by_endpoint[name]
        counted = _counted(watched, metrics, _of_endpoints(watched, "CPUUtilization", metrics))
        words[at] += " (rate unknown)" if counted is None else f" ({_mean_rate(counted):.3g} requests/s)"
    return first_names(words, _SHOWN)


def _missing(watched: CloudWatched, kind: str, name: str, there: Collection[str]) -> InputError:
    listed = (
        f"there: {first_names(sorted(there), _SHOWN)}"
        if there
        else f"no {kind} there counts requests; check the region"
    )
    return InputError(f"no {kind} {name} counted requests in the last two weeks", where=watched.where, hint=listed)


def _named(watched: CloudWatched, dimension: str) -> set[str]:
    """Values of a dimension of the series that count requests."""
    listed = watched.api.metrics(_REQUESTS, "Invocations")
    return {value for metric in listed if (value := dict(metric.dimensions).get(dimension))}


def _component_notes(watched: CloudWatched) -> tuple[str, ...]:
    """A warning where requests may be of several models."""
    components = sorted(_named(watched, _COMPONENT))
    if not components:
        return ()
    named = f"inference components are there ({first_names(components, _SHOWN)})"
    remedy = "write the component of this workload's as `model` under demand.cloudwatch"
    return (f"{named}: if the endpoint serves several models, {remedy}",)


def _exactly(metrics: Iterable[Metric], dimensions: set[str]) -> list[Metric]:
    return [metric for metric in metrics if dict(metric.dimensions).keys() == dimensions]


def _of_endpoints(watched: CloudWatched, name: str, like: Sequence[Metric]) -> list[Metric]:
    """Metric of the instances of the endpoints that some series are of."""
    endpoints = {dict(metric.dimensions).get(_ENDPOINT) or watched.endpoint for metric in like}
    series = (watched.api.metrics(_INSTANCES, name, **{_ENDPOINT: endpoint}) for endpoint in endpoints if endpoint)
    return [metric for listed in series for metric in _exactly(listed, _OF_AN_ENDPOINT)]


def _counted(watched: CloudWatched, invocations: Sequence[Metric], presence: Sequence[Metric]) -> DemandProfile | None:
    """Requests by the minute, from the first to the last known one; None: none is known."""
    spans = watched.api.spans(watched.start_seconds, watched.end_seconds)
    parts = [_minutes(watched.api, invocations, presence, span) for span in spans]
    minutes = np.concatenate(parts) if parts else np.empty(0)
    observed = np.flatnonzero(~np.isnan(minutes))
    if not observed.size:
        return None
    inside = minutes[observed[0] : observed[-1] + 1]
    if not presence:
        inside = np.nan_to_num(inside)
    return DemandProfile(float(spans[0].start + observed[0] * SECONDS_PER_MINUTE), inside)


def _minutes(api: CloudWatchApi, invocations: Sequence[Metric], presence: Sequence[Metric], span: Span) -> Floats:
    """Requests by the minute; 0 where only instances reported, NaN where nothing did."""
    queries = [(metric, "Sum") for metric in invocations] + [(metric, "SampleCount") for metric in presence]
    values = np.array([span.values(points) for points in api.points(queries, span)])
    is_known = ~np.isnan(values).all(axis=0)
    counts = np.where(is_known, np.nansum(values[: len(invocations)], axis=0), np.nan)
    minutes = span.period // SECONDS_PER_MINUTE
    return np.repeat(counts / minutes, minutes)


def _time_notes(watched: CloudWatched, counted: DemandProfile, known_seconds: float) -> list[str]:
    notes = []
    if known_seconds < SECONDS_PER_DAY:
        hours = known_seconds / SECONDS_PER_HOUR
        notes.append(f"the demand was observed for {hours:.1f} h: busier hours of the day or week are unseen")
    share = known_seconds / (len(counted.requests_per_minute) * SECONDS_PER_MINUTE)
    if share < 1:
        notes.append(f"{ratio_words(share)} of the minutes were observed; the others are unknown, not idle")
    coarse = [span for span in watched.api.spans(counted.start_seconds, watched.end_seconds) if span.period > 60]
    if coarse:
        day = iso_minute(coarse[-1].end)
        notes.append(f"before {day} CloudWatch keeps five minutes or hours: busier single minutes are unseen")
    return notes


def _latency_notes(watched: CloudWatched, invocations: Sequence[Metric], mean_rate: float) -> list[str]:
    """Notes on how long requests took at the endpoint, and how many were in flight by Little's law."""
    latency = [replace(metric, name="ModelLatency") for metric in invocations]
    statistics = ("Sum", "SampleCount", "p95")
    span = _hours(watched)
    points = watched.api.points([(metric, which) for metric in latency for which in statistics], span)
    total, count = (sum(float(statistic.values.sum()) for statistic in points[at::3]) for at in range(2))
    if not count:
        return []
    seconds = total / count / _US_PER_SECOND
    slowest_us = max((float(statistic.values.max(initial=0.0)) for statistic in points[2::3]), default=0.0)
    spread = f"ModelLatency; 95% within {slowest_us / _US_PER_SECOND:.3g} s in the slowest hour"
    in_flight = f"{seconds * mean_rate:.3g} are in flight on average"
    return [f"today requests take {seconds:.3g} s on average ({spread}), so {in_flight}"]


def _hours(watched: CloudWatched) -> Span:
    start = int(watched.start_seconds) // SECONDS_PER_HOUR * SECONDS_PER_HOUR
    return Span(start, -(-int(watched.end_seconds) // SECONDS_PER_HOUR) * SECONDS_PER_HOUR, SECONDS_PER_HOUR)


def _words(invocations: Sequence[Metric]) -> str:
    """The endpoint or component, in words."""
    dimensions = dict(invocations[0].dimensions)
    component = dimensions.get(_COMPONENT)
    return f"the inference component {component}" if component else f"the endpoint {dimensions.get(_ENDPOINT)}"
