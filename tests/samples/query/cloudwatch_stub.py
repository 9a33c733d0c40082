"""A CloudWatch on the loopback that keeps to the limits of the real one, and speaks its JSON protocol."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from samples.query.stub import Request, stub

RETENTION_DAYS = {60: 15, 300: 63, 3600: 455}


@dataclass
class CloudWatch:
    """What it holds, and what it was asked."""

    now: float
    metrics: list = field(default_factory=list)
    """Namespace, name, dimensions, starts of periods in seconds, averages, maxima."""
    observed: list = field(default_factory=list)
    """Namespace, name, dimensions, times and values of single observations, from which any statistic follows."""
    page_metrics: int = 500
    page_points: int = 100_800
    throttled: int = 0
    """Requests to refuse at first."""
    refuses: str = ""
    """Error code of every answer."""
    requests: list = field(default_factory=list)
    url: str = ""


@contextmanager
def cloudwatch(now: float, **options) -> Iterator[CloudWatch]:
    """Serve it."""
    kept = CloudWatch(now, **options)

    def answer(request: Request):
        operation = request.headers["x-amz-target"].rsplit(".", 1)[-1]
        asked = json.loads(request.body)
        kept.requests.append((operation, asked))
        if kept.throttled:
            kept.throttled -= 1
            return _answer(400, {"__type": "ThrottlingException", "message": "Rate exceeded"})
        if kept.refuses:
            return _answer(400, {"__type": kept.refuses, "message": "no"})
        if operation == "ListMetrics":
            return _answer(200, _list(kept, asked))
        if operation == "GetMetricData":
            return _answer(200, _data(kept, asked))
        return _answer(400, {"__type": "AccessDenied", "message": f"not {operation}"})

    with stub(answer) as running:
        kept.url = running.url
        yield kept


def _list(kept, asked):
    found = [
        {"Namespace": space, "MetricName": name, "Dimensions": dimensions}
        for space, name, dimensions, *_ in (*kept.metrics, *kept.observed)
        if (space, name) == (asked["Namespace"], asked["MetricName"])
        and all(wanted in dimensions for wanted in asked.get("Dimensions", ()))
    ]
    return _page(found, asked, kept.page_metrics, "Metrics")


def _data(kept, asked):
    queries, start, end = asked["MetricDataQueries"], float(asked["StartTime"]), float(asked["EndTime"])
    assert 1 <= len(queries) <= 500
    assert len({query["Id"] for query in queries}) == len(queries)
    results = []
    for query in queries:
        stat = query["MetricStat"]
        period = stat["Period"]
        assert (kept.now - start) / 86_400 <= RETENTION_DAYS[period] + 0.01, "points that close are no longer kept"
        wanted = (stat["Metric"]["Namespace"], stat["Metric"]["MetricName"], stat["Metric"]["Dimensions"])
        for space, name, dimensions, starts, averages, maxima in kept.metrics:
            if wanted == (space, name, dimensions):
                here = (starts >= start) & (starts < end)
                values = {"Average": averages, "Maximum": maxima}[stat["Stat"]][here]
                results += [(query["Id"], at, value) for at, value in zip(starts[here], values, strict=True)]
        for space, name, dimensions, times, values in kept.observed:
            if wanted == (space, name, dimensions):
                results += [(query["Id"], *point) for point in _statistics(times, values, stat, start, end)]
    assert sum((end - start) // query["MetricStat"]["Period"] for query in queries) <= 100_800
    page = _page(results, asked, kept.page_points, "points")
    by_id = {query["Id"]: ([], []) for query in queries}
    for name, at, value in page.pop("points"):
        by_id[name][0].append(float(at))
        by_id[name][1].append(float(value))
    status = "PartialData" if "NextToken" in page else "Complete"
    page["MetricDataResults"] = [
        {"Id": name, "Label": name, "Timestamps": times, "Values": values, "StatusCode": status}
        for name, (times, values) in by_id.items()
    ]
    return {**page, "Messages": []}


def _statistics(times, values, stat, start, end):
    """Start and value of each period that has an observation."""
    period = stat["Period"]
    inside = (times >= start) & (times < end)
    starts = times[inside] // period * period
    for at in np.unique(starts):
        here = values[inside][starts == at]
        yield at, {
            "Sum": here.sum(), "SampleCount": len(here), "Average": here.mean(), "Maximum": here.max(),
            "p95": np.quantile(here, 0.95),
        }[stat["Stat"]]  # fmt: skip


def _page(entries, asked, size, name):
    first = int(asked.get("NextToken", "0"))
    page = {name: entries[first : first + size]}
    return {**page, "NextToken": str(first + size)} if first + size < len(entries) else page


def _answer(status, document):
    return status, {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(document).encode()
