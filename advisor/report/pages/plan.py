"""The page of a plan: what its template shows, with cost against latency of every option, the best of them marked."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from advisor.plan.fleet.chosen import Fleet
from advisor.plan.values import Interval, Option, Plan, Predicted, Rejection
from advisor.plan.words import first_name, group_count_words, unit_of
from advisor.records import dataclass, replace
from advisor.report import option_words, words
from advisor.report.fleet_words import detail_sections, fleet_lines, group_section
from advisor.report.pages.bars import (
    cost_bars,
    css_percent,
    distribution_charts,
    distribution_section,
    kept_bars,
    ladder_bars,
    latency_gauges,
    log_around,
    signal_charts,
    use_of,
    use_section,
    week_chart,
)
from advisor.report.pages.rendering import Live, provenance_rows, render_page
from advisor.report.plan_words import evidence_lines, question_lines, question_words, risk_words
from advisor.report.text_table import Section, dashed
from advisor.report.verdict import further_sections, headline, miss_rows, verdict_lines
from advisor.units import milliseconds, ratio_words, usd

MOST_OPTIONS = 600
"""Options in the charts and the table, so that the page keeps below 3 MB."""
FILTERS: Mapping[str, Callable[[Option], str]] = {
    "provider": lambda option: option.provider,
    "region": lambda option: option.region,
    "purchase": words.paid_words,
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
            cells=option_words.option_cells(option, unit_of(plan.demand), plan.ladder),
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

    def point(at: int) -> Point:
        option, interval = options[at], intervals[at]
        return Point(
            option=shown[at],
            x=css_percent(x.at(interval.value)),
            y=css_percent(100.0 - y.at(costs[at])),
            low=css_percent(x.at(interval.low)),
            high=css_percent(x.at(interval.high)),
            told=(
                f"#{option.rank} {group_count_words(option)} × {option.instance_type} {words.paid_words(option)} "
                f"{option.precision}, {option.provider} {option.region} "
                f"({words.hardware_words(option)}): {usd(costs[at])} a month, {title} "
                f"{milliseconds(interval.value)} ({milliseconds(interval.low)} to {milliseconds(interval.high)}, "
                f"{option.evidence}{', not replayed' if option_words.about(option) else ''})"
            ),
            is_front=at in front,
        )

    points = tuple(map(point, range(len(options))))
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


MOST_REJECTIONS = 3_000
"""Rows of the table of rejections, so that the page keeps below 3 MB; the counts by reason are of all."""
_NOT_KNOWN = "-"
_SECTIONS = (
    "help", "ladder", "ladder_section", "today", "costs", "cost_lines", "week", "scaling", "fronts", "options",
    "options_total", "options_legend", "option_heads", "choices", "replay", "kept", "gauges", "distributions",
    "distribution_section", "fleet", "limits", "regions", "rejected", "rejected_counts", "rejected_total", "further",
    "prices", "evidence", "quality", "timeline", "timeline_section",
)  # fmt: skip
"""Parts of the page that are left out where a view has nothing for them."""
_WHY_NOT = ("provider", "region", "instance type", "precision", "TP", "why not", "needed", "available", "in words")
_REGIONS = ("provider", "region", "options", "cheapest", "USD/month", "rejected", "")
_PRICES = ("what", "place", "USD", "source", "date", "quality")
_EVIDENCE = (
    "measured: this architecture, precision, engine and parallelism was measured on this accelerator",
    "calibrated: the accelerator and the model's family were measured, not together like this",
    "roofline: the accelerator or the family was never measured, or prompts are cached, or tokens are drafted",
)
_QUALITY = (
    "listed: the price stands in the named source",
    "derived: computed from listed facts, or implied by a listed rule",
    "recalled: known, but no source was read; community: gathered by volunteers",
)


def plan_page(plan: Plan, live: Live | None = None) -> str:
    """The page as HTML, with controls where it is served.

    Every number is one of the plan's, in the words that the other formats have for it; nothing is computed anew.
    """
    return _rendered(_view(plan), live)


def first_page(plan: Plan, live: Live) -> str:
    """The page of the first answer to a change: fleet, cost and replay of a plan that has no options and no ladder."""
    fleet = plan.fleet
    view: dict[str, Any] = {
        "kind": "plan",
        "title": str(plan.workload["name"]),
        "headline": headline(plan),
        "question": question_words(plan),
        "facts": list(_facts(plan)),
        "verdict": list(verdict_lines(_by_itself(plan), 0)),
        "assumptions": plan.notes,
        "provenance": provenance_rows(plan.provenance),
    }
    return _rendered({**view, **(_fleet_view(plan, fleet) if fleet else {})}, live)


def _by_itself(plan: Plan) -> Plan:
    """A plan without what its fleet is compared with: options by their prices, tokens."""
    fleet = None if plan.fleet is None else replace(plan.fleet, doubtful_prices=())
    return replace(plan, fleet=fleet, token_apis=())


def _rendered(view: Mapping[str, Any], live: Live | None) -> str:
    return render_page("plan.html.j2", {**dict.fromkeys(_SECTIONS), **view}, live)


def _fleet_view(plan: Plan, fleet: Fleet) -> Mapping[str, Any]:
    """Fleet, parts of its cost, its replay, and the prices that it pays."""
    replay = fleet.confirmed
    return {
        "costs": list(cost_bars(fleet)),
        "replay": replay,
        "kept": list(kept_bars(plan, replay)) if replay else [],
        "gauges": list(latency_gauges(plan, replay)) if replay else [],
        "distributions": list(distribution_charts(plan, fleet)),
        "distribution_section": distribution_section(plan, fleet),
        "fleet": [group_section(fleet), *detail_sections(fleet)],
        "prices": Section("prices paid", headers=_PRICES, rows=tuple(_price_rows(fleet))),
    }


def _view(plan: Plan) -> Mapping[str, Any]:
    fleet, options, use = plan.fleet, shown_options(plan), use_of(plan)
    rows = option_rows(plan, options)
    return {
        "kind": "plan",
        "title": str(plan.workload["name"]),
        "headline": headline(plan),
        "question": question_words(plan),
        "facts": list(_facts(plan)),
        "verdict": list(verdict_lines(plan, len(plan.options))),
        "help": _help(plan),
        "ladder": list(ladder_bars(plan)),
        "ladder_section": option_words.ladder_section(plan, verbose=True),
        "today": _today(plan),
        "cost_lines": fleet_lines(fleet, plan.workload["slo"]["within_ratio"]) if fleet else [],
        "week": week_chart(plan, fleet) if fleet else None,
        "timeline": list(signal_charts(use)) if use else [],
        "timeline_section": use_section(use) if use else None,
        "scaling": [*option_words.scaling_lines(fleet), *option_words.size_lines(fleet, plan.options, plan.ladder)]
        if fleet
        else [],
        "fronts": list(front_charts(plan, options, rows)),
        "options": rows,
        "options_total": len(plan.options),
        "options_legend": list(option_words.option_legend(options)),
        "option_heads": [column.header for column in option_words.option_columns(unit_of(plan.demand))],
        "choices": choices(rows),
        "limits": _limits(fleet) if fleet else None,
        "regions": Section(
            "regions", tuple(option_words.option_legend(plan.options)), _REGIONS, rows=tuple(_region_rows(plan))
        ),
        "rejected": Section(
            "why not", headers=_WHY_NOT, rows=tuple(map(_rejection_cells, plan.rejected[:MOST_REJECTIONS]))
        ),
        "rejected_counts": words.rejection_counts(plan.rejected),
        "rejected_total": len(plan.rejected),
        "further": list(further_sections(plan, verbose=True)),
        "assumptions": [*question_lines(plan), *evidence_lines(plan), *plan.notes],
        "evidence": _EVIDENCE,
        "quality": _QUALITY,
        "provenance": provenance_rows(plan.provenance),
        **(_fleet_view(plan, fleet) if fleet else {}),
    }


def _facts(plan: Plan) -> Iterator[tuple[str, str]]:
    fleet = plan.fleet
    if fleet is None:
        return
    yield "a month", usd(fleet.cost.total_usd_per_month)
    if plan.savings is not None:
        change = f"{abs(plan.savings.ratio):.0%} {'less' if plan.savings.ratio >= 0 else 'more'} than today"
        yield f"{usd(abs(plan.savings.usd_per_month))} a month", change
    if fleet.confirmed is not None:
        wanted = ratio_words(plan.workload["slo"]["within_ratio"])
        yield f"of the requests within the SLO, {wanted} asked", ratio_words(fleet.confirmed.within_slo_ratio)
    yield "risk", risk_words(plan)


def _help(plan: Plan) -> Section | None:
    """Help where nothing serves: what would help, and what came closest."""
    if plan.fleet is not None:
        return None
    lines = tuple(words.relaxation_words(plan.conflict)) if plan.conflict else ()
    return Section("what would help by itself", lines, ("instance type", "precision", "why not"), miss_rows(plan))


def _today(plan: Plan) -> Section | None:
    """Running and recommended fleet, side by side; None where nothing is said to run."""
    current, fleet = plan.current, plan.fleet
    if current is None or fleet is None:
        return None
    kept = (current.within_slo_ratio, fleet.confirmed.within_slo_ratio if fleet.confirmed else None)
    paid = current.purchase.replace("_", " ")
    where = f"({current.provider} {current.region})"
    needed = _NOT_KNOWN if current.instances_needed is None else str(current.instances_needed)
    rows = (
        ("fleet", f"{current.instances} × {current.instance_type} {paid} {where}", words.short_words(fleet)),
        (
            "precision",
            current.precision or _NOT_KNOWN,
            ", ".join(dict.fromkeys(group.precision for group in fleet.groups)),
        ),
        ("USD/month", f"{current.total_usd_per_month:,.2f}", f"{fleet.cost.total_usd_per_month:,.2f}"),
        ("requests within the SLO", *(dashed(ratio, ratio_words) for ratio in kept)),
        ("instances needed", needed, str(sum(group.instances[-1] for group in fleet.groups))),
    )
    notes = (current.not_judged, current.not_generated)
    return Section("today", tuple(note for note in notes if note), ("", "today", "recommended"), rows)


def _limits(fleet: Fleet) -> Section:
    rows = tuple(
        (use.name, use.detail, f"{use.used:,.4g}", f"{use.limit:,.4g}", use.unit, "binds" if use.binding else "")
        for use in fleet.constraints
    )
    return Section("limits", headers=("limit", "of", "used", "stated", "unit", ""), rows=rows)


def _region_rows(plan: Plan) -> Iterator[tuple[str, ...]]:
    """Regions with an option, the cheapest first; then those where everything was rejected."""
    cheapest: dict[tuple[str, str], Option] = {}
    for option in plan.options:
        cheapest.setdefault((option.provider, option.region), option)
    counts = Counter((option.provider, option.region) for option in plan.options)
    rejected = Counter((rejection.provider, rejection.region) for rejection in plan.rejected)
    chosen = {(group.provider, group.region) for group in plan.fleet.groups} if plan.fleet else set()
    for place, option in cheapest.items():
        fleet = f"{group_count_words(option)} × {option.instance_type} {words.paid_words(option)} {option.precision}"
        total = f"{option_words.about(option)}{option.cost.total_usd_per_month:,.2f}"
        mark = "recommended" if place in chosen else ""
        yield (*place, str(counts[place]), fleet, total, str(rejected[place]), mark)
    for place in sorted(rejected.keys() - cheapest.keys()):
        if place[1] != "*":
            yield (*place, "0", _NOT_KNOWN, _NOT_KNOWN, str(rejected[place]), "")


def _rejection_cells(rejection: Rejection) -> tuple[str, ...]:
    parallel = "" if rejection.tensor_parallel is None else str(rejection.tensor_parallel)
    why = words.CODE_WORDS[rejection.code]
    return (
        rejection.provider, rejection.region, rejection.instance_type, rejection.precision, parallel, why,
        _amount(rejection.needed, rejection.unit), _amount(rejection.available, rejection.unit), rejection.message,
    )  # fmt: skip


def _amount(value: float | str | None, unit: str) -> str:
    if value is None:
        return _NOT_KNOWN
    told = value if isinstance(value, str) else f"{value:,.4g}"
    return f"{told} {unit}".strip()


def _price_rows(fleet: Fleet) -> Iterator[tuple[str, ...]]:
    """Prices that the fleet pays, with their source and date."""
    for group in fleet.groups:
        place = f"{group.provider} {group.region}"
        price = f"{group.instance_usd_per_hour:,.4f} per hour"
        what = f"{group.instance_type} {words.paid_words(group)}"
        yield what, place, price, group.price_source, group.price_as_of, group.price_quality
    for charge in fleet.standing:
        amount = _NOT_KNOWN if charge.usd_per_unit is None else f"{charge.usd_per_unit:,.4g} per {charge.unit}"
        place = f"{charge.provider} {charge.region}"
        what = charge.item.replace("_", " ")
        yield what, place, amount, charge.price_source, charge.price_as_of, charge.price_quality
