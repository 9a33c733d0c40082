"""Charts of a page: bars and axes, use of machines over time, and the capacity of a fleet by hour of the week."""

import datetime as dt
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise

from advisor.demand.forecast import DAYS
from advisor.demand.spread import mean_by_hour_of_week
from advisor.demand.values import Floats, HourlyUse
from advisor.errors import InputError
from advisor.plan.fleet.chosen import Confirmation, Fleet, LatencyDistribution
from advisor.plan.problem.values import PurchaseOption
from advisor.plan.request import read_question
from advisor.plan.values import Interval, Plan, Rung
from advisor.plan.words import first_name, unit_of
from advisor.records import dataclass, replace
from advisor.report.fleet_words import capacity_requests_per_second, lettered
from advisor.report.option_words import rung_words, shown_rungs
from advisor.report.text_table import Section, dashed
from advisor.report.words import PART_WORDS, paid_words
from advisor.units import (
    HOURS_PER_DAY,
    HOURS_PER_WEEK,
    SECONDS_PER_HOUR,
    SECONDS_PER_MINUTE,
    counted,
    milliseconds,
    ratio_words,
    rounded,
    usd,
)

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


_BUSIEST = "in the busiest minute"


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of the week; None: not known."""

    name: str
    """``Monday 07:00``."""
    instances: int
    capacity: float
    """Requests per second that its instances are planned to carry."""
    planned: float
    """Requests per second in the busiest minute that is expected."""
    mean: float
    seen: float | None
    """Requests per second on average, as observed."""


@dataclass(frozen=True, slots=True)
class Block:
    """Equal hours in a row, or one edge of them, in percent of the chart's box."""

    x: str
    width: str
    y: str
    height: str
    end: str


@dataclass(frozen=True, slots=True)
class WeekChart:
    """Hours, and where they stand in the chart."""

    hours: tuple[Hour, ...]
    capacity: tuple[Block, ...]
    planned: tuple[Block, ...]
    mean: tuple[Block, ...]
    seen: tuple[Block, ...]
    marks: tuple[tuple[str, str], ...]
    """Place from above and words, of each mark of the upright axis."""
    days: tuple[tuple[str, str], ...]
    columns: tuple[tuple[str, str], ...]
    """Place of each hour and what is told of it."""
    rows: tuple[tuple[str, ...], ...]
    planned_words: str
    """Meaning of the planned rate: of the busiest minute, or of the hours of batch work."""

    @property
    def hour_width(self) -> str:
        """Width of an hour."""
        return css_percent(100.0 / HOURS_PER_WEEK)


def week_chart(plan: Plan, fleet: Fleet) -> WeekChart:
    """The week that the fleet is planned for."""
    hours, when = tuple(_week_hours(plan, fleet)), "while a run is worked on" if fleet.is_batch_alone else _BUSIEST
    axis = from_zero(value for hour in hours for value in (hour.capacity, hour.planned, hour.seen) if value is not None)
    return WeekChart(
        hours=hours,
        capacity=tuple(blocks([hour.capacity for hour in hours], axis)),
        planned=tuple(blocks([hour.planned for hour in hours], axis)),
        mean=tuple(blocks([hour.mean for hour in hours], axis)),
        seen=tuple(blocks([hour.seen for hour in hours], axis)),
        marks=tuple((css_percent(100.0 - axis.at(mark)), f"{mark:,g}") for mark in axis.marks()),
        days=tuple((css_percent(100.0 * at / len(DAYS)), day) for at, day in enumerate(DAYS)),
        columns=tuple((css_percent(100.0 * at / HOURS_PER_WEEK), _told(hour, when)) for at, hour in enumerate(hours)),
        rows=tuple(_week_cells(hour) for hour in hours),
        planned_words=f"planned {when}",
    )


def _week_hours(plan: Plan, fleet: Fleet) -> Iterator[Hour]:
    seen = _seen(plan)
    capacity = [capacity_requests_per_second(fleet, at) for at in range(len(fleet.hour_classes))]
    for at, hour_class in enumerate(fleet.schedule):
        day, hour = divmod(at, HOURS_PER_DAY)
        rates = fleet.hour_classes[hour_class]
        yield Hour(
            name=f"{DAYS[day]} {hour:02d}:00",
            instances=sum(group.instances[hour_class] for group in fleet.groups),
            capacity=capacity[hour_class],
            planned=rates.planned_requests_per_second,
            mean=rates.mean_requests_per_second,
            seen=seen[at],
        )


def _seen(plan: Plan) -> Sequence[float | None]:
    """Requests per second of each hour of the week, where they were counted."""
    nothing: list[float | None] = [None] * HOURS_PER_WEEK
    try:
        question = read_question(plan.question)
    except InputError:  # an older plan: its other numbers are shown all the same
        return nothing
    profile, clock = question.demand.profile, question.workload.clock
    if profile is None:
        return nothing
    profile = profile if clock is None else clock.moved(profile)
    means = mean_by_hour_of_week(profile.requests_per_minute, profile.start_seconds)
    return [None if math.isnan(mean) else float(mean) / SECONDS_PER_MINUTE for mean in means]


def blocks(values: Sequence[float | None], axis: Axis) -> Iterator[Block]:
    """Runs of equal values of consecutive hours, from the axis up; none where nothing is known."""
    start, count = 0, len(values)
    for value, run in groupby(values):
        length = len(list(run))
        if value is not None:
            height = axis.at(value)
            yield Block(
                x=css_percent(100.0 * start / count),
                width=css_percent(100.0 * length / count),
                y=css_percent(100.0 - height),
                height=css_percent(height),
                end=css_percent(100.0 * (start + length) / count),
            )
        start += length


def _told(hour: Hour, when: str) -> str:
    parts = [f"{hour.name} UTC: {hour.instances} instance{'' if hour.instances == 1 else 's'}"]
    parts += [f"carry {rounded(hour.capacity)} requests/s"]
    parts += [f"planned for {rounded(hour.planned)} {when}", f"{rounded(hour.mean)} expected on average"]
    parts += [f"{rounded(hour.seen)} seen on average"] if hour.seen is not None else []
    return ", ".join(parts)


def _week_cells(hour: Hour) -> tuple[str, ...]:
    rates = (hour.capacity, hour.planned, hour.mean, hour.seen)
    return (hour.name, str(hour.instances), *(_NOT_KNOWN if rate is None else f"{rate:,.4g}" for rate in rates))


_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_PERCENTS = 100.0
_MOST_MARKS = 7
"""Days that are named under a chart."""
_NOT_KNOWN = "-"


@dataclass(frozen=True, slots=True)
class DistributionChart:
    """A latency at its percentiles, in percent of the chart's box: ms to the right, share of the requests upward."""

    title: str
    points: tuple[tuple[str, str, str], ...]
    """x, y and words of each percentile."""
    lines: tuple[tuple[str, str, str, str], ...]
    """Between neighbours: x1, y1, x2, y2."""
    x_marks: tuple[tuple[str, str], ...]
    y_marks: tuple[tuple[str, str], ...]
    target: str
    """Place of the target; "" without one."""
    target_words: str
    summary: str


_CUT_OFF = (
    "the replay loses a spot instance: requests that this cuts off count here, from arrival to their answer elsewhere, "
    "and not in the share of the requests within the SLO"
)


def distribution_charts(plan: Plan, fleet: Fleet) -> Iterator[DistributionChart]:
    """A chart for each latency that the plan holds the distribution of."""
    for latency in fleet.latencies:
        yield _replay_chart(_title(plan, latency), latency, _target_ms(plan, latency))


def distribution_section(plan: Plan, fleet: Fleet) -> Section:
    """The same numbers as a table, with the share of the requests within each target."""
    rows = tuple(_cells(_title(plan, latency), latency, _target_ms(plan, latency)) for latency in fleet.latencies)
    names = fleet.latencies[0].quantiles if fleet.latencies else {}
    lines = (_CUT_OFF,) if _loses_spot(plan, fleet) else ()
    return Section(
        "latency at percentiles", lines, headers=("", *map(_percentile, names), "target", "within it"), rows=rows
    )


def _loses_spot(plan: Plan, fleet: Fleet) -> bool:
    """Whether the replay takes a spot instance away."""
    on_spot = any(group.purchase == PurchaseOption.SPOT for group in fleet.groups)
    return on_spot and not fleet.is_batch_alone and plan.workload["limits"]["fault_tolerant_ratio"] == 0


def _title(plan: Plan, latency: LatencyDistribution) -> str:
    return {
        "ttft": "TTFT",
        "tpot": "TPOT",
        "e2e": "whole answer",
        "latency": first_name(unit_of(plan.demand)).removesuffix(" p95"),
    }[latency.name]


def _target_ms(plan: Plan, latency: LatencyDistribution) -> float | None:
    name = "latency_ms" if latency.name == "latency" else f"{latency.name}_p95_ms"
    target: float | None = plan.workload["slo"].get(name)
    return target


def _replay_chart(title: str, latency: LatencyDistribution, target_ms: float | None) -> DistributionChart:
    targets = () if target_ms is None else (target_ms,)
    x, y = log_around((*latency.quantiles.values(), *targets)), Axis(0.0, 1.0)
    points = tuple(
        (css_percent(x.at(ms)), css_percent(_PERCENTS - y.at(quantile)), f"{_percentile(quantile)}: {milliseconds(ms)}")
        for quantile, ms in latency.quantiles.items()
    )
    told, ratio = ", ".join(words for _, _, words in points), latency.within_target_ratio
    within = "" if ratio is None else f" {ratio_words(ratio)} are within the target."
    return DistributionChart(
        title=title,
        points=points,
        lines=tuple((x1, y1, x2, y2) for (x1, y1, _), (x2, y2, _) in pairwise(points)),
        x_marks=tuple((css_percent(x.at(mark)), milliseconds(mark)) for mark in x.marks()),
        y_marks=tuple((css_percent(_PERCENTS - y.at(share)), ratio_words(share)) for share in _SHARES),
        target="" if target_ms is None else css_percent(x.at(target_ms)),
        target_words="" if target_ms is None else f"target {milliseconds(target_ms)}",
        summary=f"Share of {latency.requests:,} answers against {title}. {told}.{within}",
    )


def _cells(title: str, latency: LatencyDistribution, target_ms: float | None) -> tuple[str, ...]:
    return (
        title,
        *map(milliseconds, latency.quantiles.values()),
        dashed(target_ms, milliseconds),
        dashed(latency.within_target_ratio, ratio_words),
    )


def _percentile(quantile: float) -> str:
    """``p99.9``."""
    return f"p{_PERCENTS * quantile:.10g}"


@dataclass(frozen=True, slots=True)
class _Signal:
    """Words of a signal."""

    title: str
    told: str
    is_share: bool = True


_SIGNALS = {
    "memory_used_ratio": _Signal("memory in use", "share of each accelerator's memory"),
    "busy_ratio": _Signal("busy", "share of the time in which a kernel ran; busy is not saturated"),
    "kv_cache_used_ratio": _Signal("KV cache in use", "share of each engine's KV cache"),
    "requests_waiting": _Signal("queue", "requests that wait at an engine", is_share=False),
}


@dataclass(frozen=True, slots=True)
class SignalChart:
    """One signal, in percent of its chart's box."""

    title: str
    told: str
    mean: tuple[Block, ...]
    greatest: tuple[Block, ...]
    y_marks: tuple[tuple[str, str], ...]
    x_marks: tuple[tuple[str, str], ...]
    columns: tuple[tuple[str, str], ...]
    """Place of each hour and what is told of it."""
    hour_width: str
    summary: str
    """For people who do not see it."""


def use_of(plan: Plan) -> HourlyUse | None:
    """Use of the machines that the plan's demand was sampled at; None where it was not."""
    try:
        return read_question(plan.question).demand.use
    except InputError:  # an older plan: its other numbers are shown all the same
        return None


def signal_charts(use: HourlyUse) -> Iterator[SignalChart]:
    """A chart for each signal that is known."""
    hours = _hours(use)
    for name, signal in _SIGNALS.items():
        if name in use.signals:
            yield _chart(signal, use.signals[name].mean, use.signals[name].greatest, hours)


def use_section(use: HourlyUse) -> Section:
    """The same numbers as a table."""
    signals = {name: signal for name, signal in _SIGNALS.items() if name in use.signals}
    heads = [head for signal in signals.values() for head in (f"{signal.title}, mean", f"{signal.title}, greatest")]
    rows = tuple(
        (
            f"{hour:%Y-%m-%d %H:%M}",
            *(
                _words(signal, float(values[at]))
                for name, signal in signals.items()
                for values in (use.signals[name].mean, use.signals[name].greatest)
            ),
        )
        for at, hour in enumerate(_hours(use))
    )
    read = counted(use.hosts, "host") + (f" of {use.hosts_in_all:,}" if use.hosts < use.hosts_in_all else "")
    return Section("use by the hour", (f"Samples of {read}. Hours are UTC.",), ("hour, UTC", *heads), rows)


def _hours(use: HourlyUse) -> list[dt.datetime]:
    count = len(next(iter(use.signals.values())).mean)
    start = dt.datetime.fromtimestamp(use.start_seconds, dt.UTC)
    return [start + dt.timedelta(seconds=at * SECONDS_PER_HOUR) for at in range(count)]


def _chart(signal: _Signal, mean: Floats, greatest: Floats, hours: list[dt.datetime]) -> SignalChart:
    count = len(hours)
    means, most = (
        [None if math.isnan(value) else float(value) for value in values.tolist()] for values in (mean, greatest)
    )
    axis = Axis(0.0, 1.0) if signal.is_share else from_zero(value for value in most if value is not None)
    told = [
        f"{hour:%a %Y-%m-%d %H:%M} UTC: {_words(signal, mean[at])} on average, {_words(signal, greatest[at])} at most"
        for at, hour in enumerate(hours)
    ]
    midnights = [at for at, hour in enumerate(hours) if hour.hour == 0] or [0]
    every = -(-len(midnights) // _MOST_MARKS)
    observed = [value for value in means if value is not None]
    average = sum(observed) / len(observed) if observed else math.nan
    return SignalChart(
        title=signal.title,
        told=signal.told,
        mean=tuple(blocks(means, axis)),
        greatest=tuple(blocks(most, axis)),
        y_marks=tuple(
            (css_percent(100.0 - axis.at(mark)), f"{mark:.0%}" if signal.is_share else f"{mark:,g}")
            for mark in axis.marks()
        ),
        x_marks=tuple((css_percent(100.0 * at / count), f"{hours[at]:%m-%d}") for at in midnights[::every]),
        columns=tuple((css_percent(100.0 * at / count), words) for at, words in enumerate(told)),
        hour_width=css_percent(100.0 / count),
        summary=(
            f"{signal.title} over {count / HOURS_PER_DAY:,.3g} days: {_words(signal, average)} on average, "
            f"{_words(signal, max((value for value in most if value is not None), default=math.nan))} at most; "
            "the table below holds every hour."
        ),
    )


def _words(signal: _Signal, value: float) -> str:
    if math.isnan(value):
        return _NOT_KNOWN
    return f"{value:.1%}" if signal.is_share else f"{value:,.3g}"
