"""Bars: rungs of the ladder, parts of the cost, replays against the SLO."""

from collections.abc import Iterator
from dataclasses import dataclass

from advisor.plan.fleet.chosen import Confirmation, Fleet
from advisor.plan.unit_words import first_name, unit_of
from advisor.plan.values import Interval, Plan, Rung
from advisor.report.fleet_tables import letters
from advisor.report.ladder_words import rung_words
from advisor.report.pages.axes import from_zero, percent
from advisor.report.words import PART_WORDS, paid_words, usd
from advisor.units import milliseconds, ratio_words

_TODAY = "as_is"


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
    beyond = next((at for at, rung in enumerate(plan.ladder) if rung.beyond_stated), len(plan.ladder))
    stated = (plan.as_stated,) if plan.as_stated else ()
    rungs = (*plan.ladder[:beyond], *stated, *plan.ladder[beyond:])
    axis = from_zero(total for rung in rungs if (total := _total(plan, rung)) is not None)
    for rung in rungs:
        total = _total(plan, rung)
        yield Bar(
            name=rung_words(rung),
            told="not possible" if total is None else usd(total),
            start=percent(0.0),
            width=percent(0.0 if total is None else axis.at(total)),
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
    cost = fleet.cost
    parts = [
        (f"compute {letter}: {group.instance_type} {paid_words(group)}", group.compute_usd_per_month)
        for letter, group in zip(letters(fleet), fleet.groups, strict=True)
    ]
    parts += [(PART_WORDS[part], amount) for part, amount in fleet.parts_usd_per_month.items() if part != "compute"]
    axis = from_zero((cost.total_usd_per_month,))
    so_far = 0.0
    for name, amount in parts:
        if amount:
            width = axis.at(so_far + amount) - axis.at(so_far)
            yield Bar(name, usd(amount), percent(axis.at(so_far)), percent(width), note=_share(amount, fleet))
            so_far += amount
    yield Bar("total", usd(cost.total_usd_per_month), percent(0.0), percent(axis.at(cost.total_usd_per_month)), "total")


def _share(amount: float, fleet: Fleet) -> str:
    total = fleet.cost.total_usd_per_month
    return f"{amount / total:.1%}" if total else ""


def kept_bars(plan: Plan, replay: Confirmation) -> Iterator[Bar]:
    """Share of the requests within the SLO, of the whole replay and of its hardest parts, and what is asked."""
    wanted = float(plan.workload["slo"]["within_ratio"])
    shares = (
        ("the whole replay", replay.within_slo_ratio),
        ("its busiest stretch", replay.busiest_within_slo_ratio),
        ("with one machine gone", replay.without_one_within_slo_ratio),
    )
    for name, share in shares:
        if share is not None:
            late = "late" if share < wanted else ""
            yield Bar(name, ratio_words(share), percent(0.0), percent(100.0 * share), late)
    yield Bar("asked", ratio_words(wanted), percent(0.0), percent(100.0 * wanted), "total")


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
    axis = from_zero(one for one in (value_ms, target_ms, interval.high if interval else None) if one is not None)
    told = f"{milliseconds(value_ms)} by replay"
    told += "" if target_ms is None else f", target {milliseconds(target_ms)}"
    if interval is not None:
        told += f"; predicted {milliseconds(interval.value)}"
        told += f" ({milliseconds(interval.low)} to {milliseconds(interval.high)})"
    return Gauge(
        name=name,
        told=told,
        value=percent(axis.at(value_ms)),
        low="" if interval is None else percent(axis.at(interval.low)),
        high="" if interval is None else percent(axis.at(interval.high) - axis.at(interval.low)),
        target="" if target_ms is None else percent(axis.at(target_ms)),
        is_late=target_ms is not None and value_ms > target_ms,
    )
