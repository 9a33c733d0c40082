"""Cost against latency of every option, with the interval of its prediction, and those that nothing beats."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

from advisor.plan.values import Interval, Option, Plan, Predicted
from advisor.plan.words import first_name, unit_of
from advisor.records import dataclass
from advisor.report.option_words import about, option_cells
from advisor.report.pages.bars import Axis, css_percent, log_around
from advisor.report.words import hardware_words, paid_words, usd
from advisor.units import milliseconds

MOST_OPTIONS = 600
"""Options in the charts and the table, so that the page keeps below 3 MB."""
FILTERS: Mapping[str, Callable[[Option], str]] = {
    "provider": lambda option: option.provider,
    "region": lambda option: option.region,
    "purchase": paid_words,
    "precision": lambda option: option.precision,
}
"""Filters of the options."""
_LATENCIES: Mapping[str, tuple[str, Callable[[Predicted], Interval]]] = {
    "ttft_p95_ms": ("TTFT p95", lambda predicted: predicted.ttft_p95_ms),
    "tpot_p95_ms": ("TPOT p95", lambda predicted: predicted.tpot_p95_ms),
}


@dataclass(frozen=True, slots=True)
class Shown:
    """An option in the table of options: its cells, and what the filters compare."""

    rank: int
    keys: Mapping[str, str]
    cells: tuple[str, ...]
    is_recommended: bool


@dataclass(frozen=True, slots=True)
class Point:
    """An option in a chart, in percent of its box."""

    option: Shown
    x: str
    y: str
    low: str
    high: str
    told: str
    is_front: bool
    """No other option is both cheaper and faster."""


@dataclass(frozen=True, slots=True)
class FrontChart:
    """Options by one latency."""

    title: str
    points: tuple[Point, ...]
    steps: tuple[tuple[str, str, str, str], ...]
    """Lines of the front: x1, y1, x2, y2."""
    x_marks: tuple[tuple[str, str], ...]
    y_marks: tuple[tuple[str, str], ...]
    target: str
    """Place of the target; "" without one, or where it is beyond the chart."""
    target_words: str
    summary: str
    """For people who do not see it."""


def shown_options(plan: Plan) -> tuple[Option, ...]:
    """The cheapest options, the cheapest of each region and way of paying, and what no other one beats, by cost."""
    costs = [option.cost.total_usd_per_month for option in plan.options]
    shown = set(range(min(MOST_OPTIONS, len(costs))))
    for _, latency, _ in _latencies(plan):
        shown.update(_front([latency(option.predicted).value for option in plan.options], costs))
    places = [(option.provider, option.region, option.purchase) for option in plan.options]
    shown.update(dict(zip(reversed(places), range(len(places) - 1, -1, -1), strict=True)).values())
    return tuple(plan.options[at] for at in sorted(shown))


def _latencies(plan: Plan) -> Iterator[tuple[str, Callable[[Predicted], Interval], float | None]]:
    """Latencies of the plan's kind of answers: name, prediction and target."""
    unit, slo = unit_of(plan.demand), plan.workload["slo"]
    if unit.is_one_pass:
        yield first_name(unit), lambda predicted: predicted.e2e_p95_ms, slo.get("latency_ms")
        return
    for name, (title, latency) in _LATENCIES.items():
        yield title, latency, slo[name]


def option_rows(plan: Plan, options: Sequence[Option]) -> tuple[Shown, ...]:
    """Options as rows of a table."""
    chosen = plan.recommended.rank if plan.recommended else 0
    return tuple(
        Shown(
            rank=option.rank,
            keys={name: key(option) for name, key in FILTERS.items()},
            cells=option_cells(option, unit_of(plan.demand)),
            is_recommended=option.rank == chosen,
        )
        for option in options
    )


def choices(shown: Sequence[Shown]) -> dict[str, list[str]]:
    """Values of each filter, where there is more than one."""
    values = {name: sorted({row.keys[name] for row in shown}) for name in FILTERS}
    return {name: choices for name, choices in values.items() if len(choices) > 1}


def front_charts(plan: Plan, options: Sequence[Option], rows: Sequence[Shown]) -> Iterator[FrontChart]:
    """A chart for each latency."""
    if options:
        for title, latency, target_ms in _latencies(plan):
            yield _chart(options, rows, title, latency, target_ms)


def _chart(
    options: Sequence[Option],
    shown: Sequence[Shown],
    title: str,
    latency: Callable[[Predicted], Interval],
    target_ms: float | None,
) -> FrontChart:
    intervals = [latency(option.predicted) for option in options]
    costs = [option.cost.total_usd_per_month for option in options]
    x = log_around(value for interval in intervals for value in (interval.value, interval.low, interval.high))
    y = log_around(costs)
    front = _front([interval.value for interval in intervals], costs)
    place = _Place(title, x, y)
    points = tuple(
        _point(row, option, interval, place, is_front=at in front)
        for at, (row, option, interval) in enumerate(zip(shown, options, intervals, strict=True))
    )
    return FrontChart(
        title=title,
        points=points,
        steps=tuple(_steps([points[at] for at in front])),
        x_marks=tuple((css_percent(x.at(mark)), milliseconds(mark)) for mark in x.marks()),
        y_marks=tuple((css_percent(100.0 - y.at(mark)), _short_usd(mark)) for mark in y.marks()),
        target=css_percent(x.at(target_ms)) if target_ms is not None and x.low < target_ms < x.high else "",
        target_words="" if target_ms is None else f"target {milliseconds(target_ms)}",
        summary=_summary(title, points, front, target_ms),
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Title and axes of a chart."""

    title: str
    x: Axis
    y: Axis


def _point(shown: Shown, option: Option, interval: Interval, place: _Place, *, is_front: bool) -> Point:
    x, y = place.x, place.y
    return Point(
        option=shown,
        x=css_percent(x.at(interval.value)),
        y=css_percent(100.0 - y.at(option.cost.total_usd_per_month)),
        low=css_percent(x.at(interval.low)),
        high=css_percent(x.at(interval.high)),
        told=(
            f"#{option.rank} {option.instances} × {option.instance_type} {paid_words(option)} {option.precision}, "
            f"{option.provider} {option.region} ({hardware_words(option)}): {usd(option.cost.total_usd_per_month)} a "
            f"month, {place.title} {milliseconds(interval.value)} ({milliseconds(interval.low)} to "
            f"{milliseconds(interval.high)}, {option.evidence}{', not replayed' if about(option) else ''})"
        ),
        is_front=is_front,
    )


def _front(latencies: Sequence[float], costs: Sequence[float]) -> list[int]:
    """Positions of the options that none beats in both, from the cheapest to the fastest."""
    front, fastest = list[int](), float("inf")
    for at in sorted(range(len(costs)), key=lambda at: (costs[at], latencies[at])):
        if latencies[at] < fastest:
            front.append(at)
            fastest = latencies[at]
    return front


def _steps(front: Sequence[Point]) -> Iterator[tuple[str, str, str, str]]:
    """Between neighbours of the front: what costs as much as the one is as slow as it, down to the next."""
    for cheap, fast in pairwise(front):
        yield cheap.x, cheap.y, cheap.x, fast.y
        yield cheap.x, fast.y, fast.x, fast.y


def _short_usd(amount: float) -> str:
    """``$2k`` and ``$1.5M`` beside an axis."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if amount >= size:
            return f"${amount / size:g}{letter}"
    return f"${amount:g}"


def _summary(title: str, points: Sequence[Point], front: Sequence[int], target_ms: float | None) -> str:
    target = "" if target_ms is None else f" The target is {milliseconds(target_ms)}."
    cheapest, fastest = points[front[0]].told, points[front[-1]].told
    return (
        f"USD a month against {title} of {len(points):,} options, {len(front)} of which no other one beats in both. "
        f"Cheapest: {cheapest}. Fastest: {fastest}.{target}"
    )
