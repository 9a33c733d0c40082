"""Bars and their axes: rungs of the ladder, parts of the cost, replays against the SLO, amounts side by side."""

import math
from collections.abc import Iterable, Iterator

from advisor.plan.fleet.chosen import Confirmation, Fleet
from advisor.plan.values import Interval, Plan, Rung
from advisor.plan.words import first_name, unit_of
from advisor.records import dataclass, replace
from advisor.report.fleet_words import lettered
from advisor.report.option_words import rung_words, shown_rungs
from advisor.report.words import PART_WORDS, paid_words
from advisor.units import milliseconds, ratio_words, usd

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_LOG_STEPS = (1.0, 2.0, 5.0)
_MARKS = 5
_FEWEST_MARKS = 3
_MARGIN = 1.08
_TODAY = "as_is"


@dataclass(frozen=True, slots=True)
class Axis:
    """Values from *low* to *high*, evenly or by their logarithm."""

    low: float
    high: float
    is_log: bool = False

    def at(self, value: float) -> float:
        """Percent of the way from *low* to *high*, held to 0 to 100."""
        low, high, here = (self._scaled(number) for number in (self.low, self.high, value))
        return min(max(100.0 * (here - low) / (high - low), 0.0), 100.0)

    def marks(self) -> Iterator[float]:
        """Round values within the axis."""
        return self._log_marks() if self.is_log else self._even_marks()

    def _scaled(self, value: float) -> float:
        return math.log(max(value, self.low)) if self.is_log else value

    def _even_marks(self) -> Iterator[float]:
        rough = (self.high - self.low) / _MARKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * step for step in _STEPS if power * step >= rough * 0.999)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return (step * number for number in range(first, last + 1))

    def _log_marks(self) -> Iterator[float]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        marks = [step * 10.0**power for power in powers for step in _LOG_STEPS]
        within = [mark for mark in marks if self.low <= mark <= self.high]
        if len(within) < _FEWEST_MARKS:
            return self._even_marks()
        thinned = [mark for mark in within if math.isclose(math.log10(mark), round(math.log10(mark)))]
        return iter(thinned if len(within) > 2 * _MARKS and len(thinned) > 1 else within)


def from_zero(values: Iterable[float]) -> Axis:
    """An axis from zero to a little above the largest of several values."""
    largest = max(values, default=0.0)
    return Axis(0.0, largest * _MARGIN if largest > 0 else 1.0)


def log_around(values: Iterable[float]) -> Axis:
    """A logarithmic axis around positive values."""
    positive = [value for value in values if value > 0 and math.isfinite(value)]
    low, high = min(positive, default=1.0), max(positive, default=10.0)
    return Axis(low / _MARGIN, high * _MARGIN, is_log=True)


def css_percent(value: float) -> str:
    """``12.34%``, as SVG and CSS take it."""
    return f"{value:.2f}%"


@dataclass(frozen=True, slots=True)
class Bar:
    """A named amount; places in percent of the longest."""

    name: str
    told: str
    start: str
    width: str
    kind: str = ""
    """``total``, ``chosen``, ``late``; "" for others."""
    note: str = ""
    low: str = ""
    """Begin of the interval that the amount lies in; "": it has none."""
    reach: str = ""
    """Width of that interval."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """A latency against its target, in percent of a scale from zero."""

    name: str
    told: str
    value: str
    low: str
    high: str
    """Interval of the prediction; "" without one."""
    target: str
    is_late: bool


def ladder_bars(plan: Plan) -> Iterator[Bar]:
    """Cost of each rung, the recommendation where it stands among them."""
    rungs = shown_rungs(plan)
    axis = from_zero(total for rung in rungs if (total := _total(plan, rung)) is not None)
    for rung in rungs:
        total = _total(plan, rung)
        yield Bar(
            name=rung_words(rung),
            told="not possible" if total is None else usd(total),
            start=css_percent(0.0),
            width=css_percent(0.0 if total is None else axis.at(total)),
            kind="chosen" if rung is plan.as_stated else "",
            note=rung.why_none.removeprefix("not possible: ") if total is None else _saving(rung),
        )


def _total(plan: Plan, rung: Rung) -> float | None:
    if rung.total_usd_per_month is None and rung.rung == _TODAY and plan.current is not None:
        return plan.current.total_usd_per_month
    return rung.total_usd_per_month


def _saving(rung: Rung) -> str:
    ratio = rung.saving_ratio
    if ratio is None or f"{abs(ratio):.0%}" == "0%":
        return ""
    return f"{abs(ratio):.0%} {'less' if ratio > 0 else 'more'} than today"


def cost_bars(fleet: Fleet) -> Iterator[Bar]:
    """Parts of the total, each where the one before ends, then the total itself."""
    total = fleet.cost.total_usd_per_month
    parts = [
        (f"compute {letter}: {group.instance_type} {paid_words(group)}", group.compute_usd_per_month)
        for letter, group in lettered(fleet)
    ]
    parts += [(PART_WORDS[part], amount) for part, amount in fleet.parts_usd_per_month.items() if part != "compute"]
    axis = from_zero((total,))
    so_far = 0.0
    for name, amount in parts:
        if amount:
            width = axis.at(so_far + amount) - axis.at(so_far)
            share = f"{amount / total:.1%}" if total else ""
            yield Bar(name, usd(amount), css_percent(axis.at(so_far)), css_percent(width), note=share)
            so_far += amount
    yield Bar("total", usd(total), css_percent(0.0), css_percent(axis.at(total)), TOTAL)


def kept_bars(plan: Plan, replay: Confirmation) -> Iterator[Bar]:
    """Share of the requests within the SLO, of the whole replay and of its hardest parts, and what is asked."""
    wanted = float(plan.workload["slo"]["within_ratio"])
    shares = (
        ("the whole replay", replay.within_slo_ratio),
        ("its busiest stretch", replay.busiest_within_slo_ratio),
        ("with one machine gone", replay.without_one_within_slo_ratio),
        ("with a zone or a spot supply gone", replay.without_part_within_slo_ratio),
    )
    for name, share in shares:
        if share is not None:
            late = "late" if share < wanted else ""
            yield Bar(name, ratio_words(share), css_percent(0.0), css_percent(100.0 * share), late)
    yield Bar("asked", ratio_words(wanted), css_percent(0.0), css_percent(100.0 * wanted), "total")


def latency_gauges(plan: Plan, replay: Confirmation) -> Iterator[Gauge]:
    """Each latency of the replay against its target, with the interval that was predicted."""
    predicted = plan.recommended.predicted if plan.recommended and plan.recommended.groups == 1 else None
    slo, unit = plan.workload["slo"], unit_of(plan.demand)
    whole = predicted.e2e_p95_ms if predicted else None
    latencies = (
        ((first_name(unit), replay.ttft_p95_ms, slo.get("latency_ms"), whole),)
        if unit.is_one_pass
        else (
            ("TTFT p95", replay.ttft_p95_ms, slo["ttft_p95_ms"], predicted.ttft_p95_ms if predicted else None),
            ("TPOT p95", replay.tpot_p95_ms, slo["tpot_p95_ms"], predicted.tpot_p95_ms if predicted else None),
        )
    )
    for name, value, target, interval in latencies:
        if value is not None:
            yield _gauge(name, value, target, interval)


def _gauge(name: str, value_ms: float, target_ms: float | None, interval: Interval | None) -> Gauge:
    axis = from_zero(edge for edge in (value_ms, target_ms, interval.high if interval else None) if edge is not None)
    told = f"{milliseconds(value_ms)} by replay"
    told += "" if target_ms is None else f", target {milliseconds(target_ms)}"
    if interval is not None:
        told += f"; predicted {milliseconds(interval.value)}"
        told += f" ({milliseconds(interval.low)} to {milliseconds(interval.high)})"
    return Gauge(
        name=name,
        told=told,
        value=css_percent(axis.at(value_ms)),
        low="" if interval is None else css_percent(axis.at(interval.low)),
        high="" if interval is None else css_percent(axis.at(interval.high) - axis.at(interval.low)),
        target="" if target_ms is None else css_percent(axis.at(target_ms)),
        is_late=target_ms is not None and value_ms > target_ms,
    )


TOTAL = "total"
"""Kind of a bar that begins at zero, wherever the one before ends."""
_NEGATIVE = "late"


@dataclass(frozen=True, slots=True)
class Amount:
    """A named amount of a chart."""

    name: str
    value: float
    told: str = ""
    """The amount in words; "": in USD."""
    low: float | None = None
    high: float | None = None
    """What it lies between; None: it is exact."""
    note: str = ""
    kind: str = ""

    @property
    def words(self) -> str:
        """The amount in words."""
        return self.told or usd(self.value)


def side_by_side(amounts: Iterable[Amount]) -> tuple[Bar, ...]:
    """A bar from zero for each amount, red where it is negative, with the interval that it lies in."""
    rows = list(amounts)
    axis = from_zero(abs(edge) for amount in rows for edge in (amount.value, amount.low, amount.high) if edge)
    return tuple(_beside(amount, axis) for amount in rows)


def waterfall(amounts: Iterable[Amount]) -> tuple[Bar, ...]:
    """Bars each of which begins where the one before ends; totals begin at zero."""
    rows, spans, end = list(amounts), list[tuple[float, float]](), 0.0
    for row in rows:
        begin = 0.0 if row.kind == TOTAL else end
        end = begin + row.value
        spans.append((min(begin, end), max(begin, end)))
    axis = from_zero(edge for span in spans for edge in span)
    places = [(css_percent(axis.at(low)), css_percent(axis.at(high) - axis.at(low))) for low, high in spans]
    return tuple(Bar(row.name, row.words, *place, row.kind, row.note) for row, place in zip(rows, places, strict=True))


def _beside(amount: Amount, axis: Axis) -> Bar:
    is_negative = amount.value < 0
    kind = amount.kind or (_NEGATIVE if is_negative else "")
    bar = Bar(amount.name, amount.words, css_percent(0.0), css_percent(axis.at(abs(amount.value))), kind, amount.note)
    if amount.low is None or amount.high is None or amount.low == amount.high:
        return bar
    low, high = (-amount.high, -amount.low) if is_negative else (amount.low, amount.high)
    return replace(bar, low=css_percent(axis.at(low)), reach=css_percent(axis.at(high) - axis.at(low)))
