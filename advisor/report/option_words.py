"""Options and ladder of a plan as tables and as values, with how each option is scaled."""

from collections.abc import Iterator, Mapping, Sequence

from advisor.demand.values import Unit
from advisor.models.model import SERVES_GGUF
from advisor.plan.fleet.chosen import Fleet, Policy, ReactivePolicy
from advisor.plan.values import CurrentCost, Interval, Option, Plan, Rung
from advisor.plan.words import count_words, first_name, group_count_words, items_word, unit_of
from advisor.records import replace
from advisor.report.text_table import Column, Section, dashed
from advisor.report.words import hardware_words, name_words, paid_words, short_rung_words
from advisor.units import HOURS_PER_MONTH, counted, milliseconds, ratio_words, rounded, unit_usd, usd

_COLUMNS = (
    Column(""),
    Column("rung"),
    Column("USD/month, saving"),
    Column("within SLO", importance=3),
    Column("evidence", importance=2),
    Column("fleet, what it takes and what it risks", prose=40),
)
_TODAY = "as_is"
_A_CENT = 0.01
_STATED = "as_stated"
_ALSO_PAID = {"commitment": ("commit", "committed"), "spot": ("spot", "on spot")}
"""Ways of paying that rungs allow: the rung of each, and words for it on the rungs above."""
_SPOT = "spot"


def ladder_section(plan: Plan, *, verbose: bool = False) -> Section:
    """Each rung on its row; what a rung takes and risks is said where its fleet is not that of the rung before.

    The recommendation stands above the first rung that allows more than the workload states.
    """
    rungs: Sequence[Rung] = shown_rungs(plan)
    if not verbose:  # requirements end before their sources
        rungs = [replace(rung, requires=tuple(text.split(", ")[0] for text in rung.requires)) for rung in rungs]
    rows, before = [], None
    for number, rung in enumerate(rungs):
        rows.append(_row(rung, before, plan.current, _without_spot(rung, rungs[:number])))
        before = rung if rung.groups and not _same_fleet(rung, before) else before
    lines = tuple(_where_words(plan)) if rows else ()
    return Section("ladder: each rung allows more than the one before", lines, _COLUMNS, tuple(rows))


def _beyond(plan: Plan) -> int:
    """Number of the rungs that allow no more than the workload states."""
    return next((number for number, rung in enumerate(plan.ladder) if rung.beyond_stated), len(plan.ladder))


def shown_rungs(plan: Plan) -> tuple[Rung, ...]:
    """Rungs of the ladder, with the recommendation above the first that allows more than the workload states."""
    stated = (plan.as_stated,) if plan.as_stated else ()
    return (*plan.ladder[: _beyond(plan)], *stated, *plan.ladder[_beyond(plan) :])


def _where_words(plan: Plan) -> Iterator[str]:
    """How far the regions of the highest rung that may be planned go."""
    last = next((rung for rung in reversed(plan.ladder) if rung.where), None)
    if last is not None:
        yield f"up to {rung_words(last)}, {last.where}; exclusions and residency hold on every rung"


def _same_fleet(rung: Rung, before: Rung | None) -> bool:
    return before is not None and rung.groups == before.groups


def neighbour_words(plan: Plan) -> Iterator[str]:
    """The nearest rung that allows less and costs more, the nearest that allows more and costs less, the cheapest."""
    if plan.fleet is None or not plan.ladder:
        return
    total = plan.fleet.cost.total_usd_per_month
    lower, higher = plan.ladder[: _beyond(plan)], plan.ladder[_beyond(plan) :]
    below = next((rung for rung in reversed(lower) if _usd(rung, -1.0) > total + _A_CENT), None)
    above = next((rung for rung in higher if _usd(rung, total) < total - _A_CENT), None)
    told = []
    if below is not None:
        told.append(f"the rung below ({rung_words(below)}) costs {usd(_usd(below, 0.0))}")
    if above is not None:
        told.append(f"the rung above ({_changes_words(above, plan)}) costs {usd(_usd(above, total))}")
        cheapest = min(higher, key=lambda rung: _usd(rung, total))
        if _usd(cheapest, total) < _usd(above, total) - _A_CENT:
            told.append(f"the cheapest ({_changes_words(cheapest, plan)}) {usd(_usd(cheapest, total))}")
    elif higher:
        told.append(f"no rung above (up to {rung_words(higher[-1])}) saves more")
    if told:
        yield f"Ladder: {'; '.join(told)}."


def other_engine_words(plan: Plan) -> Iterator[str]:
    """The cheapest rung that serves on accelerators with other engines what the plan serves with llama.cpp."""
    fleet = plan.fleet
    if fleet is None or not all(group.engine.startswith(SERVES_GGUF) for group in fleet.groups):
        return
    total = fleet.cost.total_usd_per_month
    others = [
        rung
        for rung in plan.ladder
        if rung.groups and not any(group.engine.startswith(SERVES_GGUF) for group in rung.groups)
    ]
    cheapest = min(others, key=lambda rung: _usd(rung, total), default=None)
    if cheapest is None or _usd(cheapest, total) >= total - _A_CENT:
        return
    engines = dict.fromkeys(f"{group.engine} on {group.accelerator}" for group in cheapest.groups)
    cost = usd(_usd(cheapest, total))
    yield f"Engine: {' and '.join(engines)} would serve it for {cost} (rung {rung_words(cheapest)})."


def rung_words(rung: Rung) -> str:
    """``any cloud``."""
    return rung.rung.replace("_", " ")


def _changes_words(rung: Rung, plan: Plan) -> str:
    """A rung above with what else its fleet changes, since each rung allows all that those below it do.

    ``precision, on spot too``: ways of paying that the workload does not name, and precisions that the plan has not.
    """
    own = plan.fleet.groups if plan.fleet else ()
    allowed = {*plan.workload.get("purchase", ()), *(group.purchase for group in own)}
    paid, used = {group.purchase for group in rung.groups} - allowed, {group.precision for group in own}
    other = dict.fromkeys(group.precision for group in rung.groups if group.precision not in used)
    also = [words for purchase, (step, words) in _ALSO_PAID.items() if purchase in paid and rung.rung != step]
    also += [f"in {' and '.join(other)}"] if other and rung.rung != "precision" else []
    return f"{rung_words(rung)}, {' and '.join(also)} too" if also else rung_words(rung)


def _usd(rung: Rung, none: float) -> float:
    return none if rung.total_usd_per_month is None else rung.total_usd_per_month


def _row(rung: Rung, before: Rung | None, current: CurrentCost | None, beside_spot: str) -> tuple[str, ...]:
    total, kept = rung.total_usd_per_month, rung.within_slo_ratio
    if total is None and rung.rung == _TODAY and current is not None and not current.machines_alone:
        total = current.total_usd_per_month
    return (
        "→" if rung.rung == _STATED else "",
        rung_words(rung),
        _cost(total, None if before is not None and _same_fleet(rung, before) else rung.saving_ratio),
        dashed(kept, ratio_words),
        rung.evidence,
        _told(rung, before, current, beside_spot),
    )


def _cost(usd_per_month: float | None, saving_ratio: float | None) -> str:
    """USD a month, and under it how much that saves or adds."""
    if usd_per_month is None:
        return "-"
    change = f"{abs(saving_ratio or 0.0):.0%}"
    told = "" if change == "0%" else f"\n{change} {'less' if (saving_ratio or 0.0) > 0 else 'more'}"
    return f"{usd_per_month:,.2f}{told}"


def _told(rung: Rung, before: Rung | None, current: CurrentCost | None, beside_spot: str) -> str:
    if rung.total_usd_per_month is None:
        return rung.why_none
    fleet, is_same = (
        short_rung_words(rung.groups) if rung.groups else _today(current),
        _same_fleet(rung, before),
    )
    if before is not None and is_same:
        fleet = "the same as stated" if before.rung == _STATED else f"the same as {rung_words(before)}"
    else:
        fleet += _why_less(rung, current)
    takes = _new("takes", rung.requires, before.requires if before and is_same else ())
    risks = _new("risks", rung.risks, before.risks if before and is_same else ())
    return f"{fleet}{beside_spot}{takes}{risks}"


def _why_less(rung: Rung, current: CurrentCost | None) -> str:
    """Reason why a rung with as many of today's machines costs less than today; "" for others."""
    if current is None or len(rung.groups) != 1 or _usd(rung, 0.0) >= current.total_usd_per_month - _A_CENT:
        return ""
    (group,) = rung.groups
    if not current.runs(group) or group.instances != current.instances:
        return ""
    if group.instances_by_class:
        return ", in quieter hours fewer than today"
    if group.purchase != current.purchase:
        return f", as many as today's {name_words(current.purchase)}"
    is_cheaper = _usd(rung, 0.0) < current.usd_per_hour * HOURS_PER_MONTH
    return ", at a lower price than today" if is_cheaper else ", at a lower price or with less beside them than today"


def _without_spot(rung: Rung, shown: Sequence[Rung]) -> str:
    """Words on a rung named after spot that has none; *shown*: rungs above it, of which one may be on spot."""
    if rung.rung != _SPOT or not rung.groups or _has_spot(rung):
        return ""
    return ", which costs less than spot" if any(map(_has_spot, shown)) else "; spot costs no less"


def _has_spot(rung: Rung) -> bool:
    return any(group.purchase == _SPOT for group in rung.groups)


def _today(current: CurrentCost | None) -> str:
    return f"{current.instances} × {current.instance_type}, as today" if current else ""


def _new(word: str, told: Sequence[str], before: Sequence[str]) -> str:
    """Sentences of this rung that the one before lacks, on a line of their own."""
    fresh = [sentence for sentence in told if sentence not in before]
    return f"\n{word}: {'; '.join(fresh)}" if fresh else ""


_OWN = (
    "rank", "provider", "region", "instance_type", "accelerator", "accelerator_count", "purchase", "commitment",
    "precision", "engine", "tensor_parallel", "pipeline_parallel", "instances", "replicas", "evidence",
)  # fmt: skip
_COSTS = (
    "total_usd_per_month",
    "usd_per_million_output_tokens",
    "instance_usd_per_hour",
    "price_as_of",
    "price_quality",
)
_LAYOUT = ("provider", "region", "instance_type", "purchase", "precision", "engine", "tensor_parallel")
_REPLAYED = ("ttft_p95_ms", "tpot_p95_ms", "within_slo_ratio")
_PREDICTED = ("ttft_p95_ms", "tpot_p95_ms", "e2e_p95_ms")
OPTION_VALUE_COLUMNS = (
    *_OWN, *_COSTS, *(f"predicted_{name}" for name in _PREDICTED), *(f"replayed_{name}" for name in _REPLAYED),
)  # fmt: skip
_TPOT = "TPOT p95"
SHOWN_OPTIONS = 5
"""Rows of the table where nobody says how many."""
_NOT_REPLAYED = (
    "~: by the closed form, not replayed; a replay may ask for more instances or fewer: `advisor explain --why TYPE` "
    "makes it"
)
OPTION_COLUMNS = (
    Column("#"),
    Column("provider", importance=5),
    Column("region", importance=1),
    Column("instance type"),
    Column("accelerator", importance=4),
    Column("purchase"),
    Column("precision", importance=2),
    Column("TP", importance=8),
    Column("count"),
    Column("replicas", importance=9),
    Column("TTFT p95", importance=6),
    Column(_TPOT, importance=6),
    Column("req/s each", importance=7),
    Column("within SLO", importance=3),
    Column("USD/month"),
    Column("USD/1M out", importance=10),
    Column("why not", prose=26),
)


def option_values(option: Option) -> Mapping[str, object]:
    """An option under :data:`OPTION_VALUE_COLUMNS`; empty where it was not replayed, or takes no time per token."""
    values: dict[str, object] = {name: getattr(option, name) for name in _OWN}
    values |= {name: getattr(option.cost, name) for name in _COSTS}
    for name in _PREDICTED:
        interval = getattr(option.predicted, name)
        values[f"predicted_{name}"] = None if interval is None else interval.value
    for name in _REPLAYED:
        values[f"replayed_{name}"] = None if option.confirmed is None else getattr(option.confirmed, name)
    return values


def option_columns(unit: Unit) -> tuple[Column, ...]:
    """Columns of the table of options: without a time per token, and per million items, where answers come whole."""
    if not unit.is_one_pass:
        return OPTION_COLUMNS
    named = {"TTFT p95": first_name(unit), "USD/1M out": f"USD/1M {items_word(unit)}"}
    return tuple(
        replace(column, header=named.get(column.header, column.header))
        for column in OPTION_COLUMNS
        if column.header != _TPOT
    )


def option_section(plan: Plan, shown: int) -> Section:
    """The cheapest options, and how they were made."""
    unit = unit_of(plan.demand)
    every, rows = len(plan.options), tuple(option_cells(option, unit, plan.ladder) for option in plan.options[:shown])
    of = f"the cheapest {len(rows)} of {every:,} (all: --format json)" if len(rows) < every else f"all {every:,}"
    made = "each made by the same planner as the fleet: same limits, rates, replay and parts of the cost"
    lines = (made, *option_legend(plan.options[:shown]))
    return Section(f"options, fleets of one type and way of paying: {of}", lines, option_columns(unit), rows)


def option_legend(options: Sequence[Option]) -> Iterator[str]:
    """Meaning of the mark at options that no replay has judged; nothing where all were replayed."""
    if any(option.confirmed is None for option in options):
        yield _NOT_REPLAYED


def about(option: Option) -> str:
    """Mark before the numbers of an option that no replay has judged; "" for others."""
    return "~" if option.confirmed is None else ""


def _latency(predicted: Interval, replayed_ms: float | None) -> str:
    """Latency as the replay has it; else as predicted, marked."""
    return f"~{milliseconds(predicted.value)}" if replayed_ms is None else milliseconds(replayed_ms)


def replayed_rung(option: Option, ladder: Sequence[Rung]) -> Rung | None:
    """Rung whose fleet is an option that is not replayed, as its own replay has it; None where there is none."""
    if option.confirmed is not None:
        return None
    layout = [getattr(option, name) for name in _LAYOUT]
    alone = (rung for rung in ladder if len(rung.groups) == 1 and rung.within_slo_ratio is not None)
    return next((rung for rung in alone if [getattr(rung.groups[0], name) for name in _LAYOUT] == layout), None)


def option_cells(option: Option, unit: Unit = Unit.TOKENS, ladder: Sequence[Rung] = ()) -> tuple[str, ...]:
    """The cells of an option under :func:`option_columns`; one that only a rung has replayed is told as there."""
    predicted, planned = option.predicted, option.planned_requests_per_second_per_instance
    mark, replay = about(option), option.confirmed
    rung = replayed_rung(option, ladder)
    return (
        str(option.rank), option.provider, option.region, option.instance_type,
        hardware_words(option), paid_words(option), option.precision,
        str(option.tensor_parallel), _count_cell(option, rung), f"{mark}{_replica_words(option)}",
        _latency(predicted.ttft_p95_ms, replay.ttft_p95_ms if replay else None),
        *(() if unit.is_one_pass else (_latency(predicted.tpot_p95_ms, replay.tpot_p95_ms if replay else None),)),
        f"{mark}{rounded(planned)}",
        _within_cell(option, rung), _total_cell(option, rung),
        f"{mark}{unit_usd(option.cost.usd_per_million_output_tokens)}",
        option.not_recommended,
    )  # fmt: skip


def _count_cell(option: Option, rung: Rung | None) -> str:
    return f"{about(option)}{group_count_words(option)}" if rung is None else group_count_words(rung.groups[0])


def _within_cell(option: Option, rung: Rung | None) -> str:
    kept = option.confirmed.within_slo_ratio if option.confirmed else None if rung is None else rung.within_slo_ratio
    return dashed(kept, ratio_words)


def _total_cell(option: Option, rung: Rung | None) -> str:
    total = None if rung is None else rung.total_usd_per_month
    return f"{about(option)}{option.cost.total_usd_per_month:,.2f}" if total is None else f"{total:,.2f}"


def scaling_lines(fleet: Fleet) -> Iterator[str]:
    """The policy that is planned, and what a reactive one would take."""
    scaling_plan = fleet.scaling
    yield f"policy: {scaling_plan.recommended}, {scaling_plan.reason}"
    if scaling_plan.recommended is Policy.SCHEDULED:
        ahead = [group.ordered_minutes_ahead for group in scaling_plan.schedule]
        span = " to ".join(dict.fromkeys((str(min(ahead)), str(max(ahead)))))
        after = max(group.stopped_minutes_after for group in scaling_plan.schedule)
        end = f", and paid for up to {after} min after its last one" if after else ""
        yield f"by schedule, an instance is ordered {span} min ahead of its hour{end}"
    if scaling_plan.reactive_unknown:
        yield f"reactive: {scaling_plan.reactive_unknown}"
    if scaling_plan.reactive is not None:
        yield f"reactive: {_policy_words(scaling_plan.reactive)}"
    if scaling_plan.warm_pool is not None:
        yield f"reactive with stopped instances that keep their disks: {_policy_words(scaling_plan.warm_pool)}"


def _policy_words(policy: ReactivePolicy) -> str:
    headroom = f"{rounded(policy.headroom_requests_per_second)} requests/s of headroom"
    return (
        f"new capacity {policy.delay_s:,.0f} s after a rise, {headroom}, at least "
        f"{counted(policy.minimum_warm_replicas, 'replica')}, {usd(policy.usd_per_month)} a month; without headroom "
        f"{policy.missed_ratio:.1%} of the requests would come too early"
    )


def _replica_words(option: Option) -> str:
    return count_words(
        [count * option.replicas_per_instance for count in option.instances_by_class or (option.instances,)]
    )


def size_lines(fleet: Fleet, options: Sequence[Option], ladder: Sequence[Rung] = ()) -> Iterator[str]:
    """Horizontal against vertical: the cheapest option of fewer, and of more, instances in the busiest hours."""
    instances = sum(group.instances[-1] for group in fleet.groups)
    fewer = next((option for option in options if option.instances < instances), None)
    more = next((option for option in options if option.instances > instances), None)
    if fewer is not None or more is not None:
        yield f"fewer instances: {_option_words(fewer, ladder)}; more: {_option_words(more, ladder)}"


def _option_words(option: Option | None, ladder: Sequence[Rung]) -> str:
    return "no option" if option is None else option_cost_words(option, ladder)


def option_cost_words(option: Option, ladder: Sequence[Rung]) -> str:
    """``#2, 5 × g6e.xlarge on demand in us-east-1 at $6,833.08 a month``; as a rung has it that replayed it."""
    rung = replayed_rung(option, ladder)
    machines = f"{option.instance_type} {paid_words(option)} in {option.region}"
    if rung is not None and rung.total_usd_per_month is not None:
        count, total = group_count_words(rung.groups[0]), usd(rung.total_usd_per_month)
        return f"#{option.rank}, {count} × {machines} at {total} a month"
    unjudged = ", not replayed" if about(option) else ""
    total = f"{about(option)}{usd(option.cost.total_usd_per_month)}"
    return f"#{option.rank}, {group_count_words(option)} × {machines} at {total} a month{unjudged}"
