"""Numbers, options, limits and rejections in words; each phrase is made in one place for every format."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from advisor.catalog.values import Purchase
from advisor.cost.standing import BALANCER_ITEMS, CACHE_ITEMS, CLUSTER
from advisor.deployable import SHARED_ON
from advisor.plan.fleet.chosen import ConstraintUse, Fleet
from advisor.plan.problem.limits import CONSTRAINTS, UNKNOWN_WORDS, Constraint
from advisor.plan.values import Conflict, RelaxedLimit
from advisor.plan.words import CLUSTERS, fleet_turns, group_count_words, hours_words, running_count_words, split_words
from advisor.units import DAYS_PER_MONTH, MS_PER_SECOND, SECONDS_PER_HOUR, milliseconds, rounded_up, significant, usd
from advisor.workload.values import Slo

if TYPE_CHECKING:
    from advisor.plan.fleet.chosen import FleetGroup
    from advisor.plan.values import CurrentCost, Option, Plan, Rejection, RungGroup


_CENTURY_MONTHS = 1200
HALF_A_CENT = 0.005
"""USD: amounts that are less apart read alike."""
SOLD_UNPRICED = "sold, price unknown"
"""Of an offer that nobody prices: not absent, and not free."""

REFUSED = "No fleet keeps the SLO in its replay; closest:"
"""Beginning of what is said of a fleet that its replay refuses."""

SEATED = "the estate places the workload on"
"""Beginning of what is said of a plan whose workload sits on a shared machine."""

CODE_WORDS = {
    **{constraint.code: constraint.row.words for constraint in Constraint if constraint.row.words},
    **UNKNOWN_WORDS,
    "cold_start": "cold start too slow",
    "contiguous_kv": "too little memory for a contiguous KV cache",
    "adapters_memory": "adapters leave no room for a KV cache",
    "adapters_unsupported": "LoRA adapters not supported",
    "loading_memory": "too little accelerator memory to quantise while loading",
    "deadline": "one item longer than the deadline",
    "engine_excluded": "engine left out by the workload",
    "host_memory": "too little host memory",
    "memory": "too little memory",
    "model_unsupported": "model not listed by the engine",
    "network": "too far from the users",
    "no_image": "no engine image",
    "no_machine": "no machine shape known",
    "no_server": "no server runs it",
    "not_generated": "no code generated for it",
    "not_listed": "no listed and recent price",
    "not_sold": "not sold in these regions",
    "parallel_degree": "TP not supported",
    "parallelism": "attention heads or weight blocks not divisible by TP",
    "precision_unsupported": "precision not supported",
    "precision_untested": "precision untested",
    "prediction_abstained": "no prediction possible",
    "preview": "preview only",
    "price_unknown": "price unknown",
    "replay": "refused by its replay",
    "residency": "outside the allowed countries",
    "response_cache": "no priced node for the response cache",
    "slo_e2e": "end-to-end latency over target",
    "slo_latency": "latency over target",
    "slo_tpot": "TPOT over target",
    "slo_ttft": "TTFT over target",
    "target": "not run by the stated targets",
    "unknown_hardware": "hardware facts unknown",
}

_GROWING_ITEMS = (
    "load_balancer_capacity", "load_balancer_data", "gateway_capacity", "gateway_data", "log_ingest", "log_storage",
)  # fmt: skip
"""Standing charges that grow with the requests."""
_STANDING_NAMES = {
    "load_balancer": "load balancer", "load_balancer_proxy": "load balancer", "gateway": "Gateway of the cluster",
    "gateway_proxy": "Gateway of the cluster", "cluster": "control plane of the cluster", "nat_gateway": "NAT gateway",
    "public_ip": "NAT gateway", "entrance": "entrance", "entrance_disk": "entrance", "container_entrance": "entrance",
}  # fmt: skip
"""The others by their part, with what belongs to it."""
_FLOORS = {"slo_ttft": "TTFT p95", "slo_tpot": "TPOT p95", "slo_e2e": "end-to-end p95", "slo_latency": "latency"}
LATENCY_CODES = frozenset(_FLOORS)
"""Codes of rejections by a latency target."""
_JUDGED = (*_FLOORS, "max_replicas", "price_unknown", "not_listed", "budget")
"""What is judged of those that can hold the model, in that order."""


PART_WORDS = {
    "compute": "compute",
    "disks": "disks",
    "starts": "downloads of started instances",
    "interruptions": "expected interruptions",
    "transfer": "data transfer",
    "switching": "switching",
    "standing": "load balancers, gateways, clusters and logs",
    "response_cache": "response cache",
}
"""Parts of a fleet's total."""


def payback_words(months: float | None, without: str = "-") -> str:
    """``2.5 months`` or ``3 days``; *without* where nothing is saved, ``never`` where it takes a century."""
    if months is None:
        return without
    if months > _CENTURY_MONTHS:
        return "never"
    return f"{months:,.1f} months" if months >= 1 else f"{max(months * DAYS_PER_MONTH, 1):.0f} days"


def whole_percent(ratio: float) -> str:
    """A share in whole percent, rounded down: ``81%``."""
    return f"{math.floor(ratio * 100 + 1e-9)}%"


def name_words(key: str) -> str:
    """``on demand``, ``prefix cache``."""
    return key.replace("_", " ")


def hardware_words(option: "Option | FleetGroup") -> str:
    """``8×A100-40GB-SXM``, or ``56×1g.5gb of A100-40GB-SXM`` where the accelerators are cut."""
    if option.partition:
        return f"{option.replicas_per_instance}×{option.partition.removeprefix('mig-')} of {option.accelerator}"
    return f"{option.accelerator_count:g}×{option.accelerator}"


def paid_words(group: "Option | FleetGroup | RungGroup") -> str:
    """``on demand``, ``spot``, ``committed for 1 year``, or the service that runs the instances."""
    if group.purchase == Purchase.MANAGED and group.commitment:
        return f"by {group.commitment}"
    if group.purchase != Purchase.COMMITMENT:
        return name_words(group.purchase)
    parts = group.commitment.rsplit(", ", 2)
    if len(parts) < len(("instrument", "term", "payment")):
        return "committed"
    years = parts[1].split()[0]
    return f"committed for {years} year{'' if years == '1' else 's'}"


def short_words(fleet: Fleet, *, with_precision: bool = False) -> str:
    """``4 × g6e.xlarge spot + 1 × p5.4xlarge on demand (aws us-east-1)``; with its hours where groups take turns."""
    turns = fleet_turns(fleet)
    counts = [running_count_words(group.instances, turn) for group, turn in zip(fleet.groups, turns, strict=True)]
    return _short_words(fleet.groups, counts, turns, with_precision=with_precision)


def short_rung_words(groups: "Sequence[RungGroup]") -> str:
    """The same of the groups of a rung, with their precisions."""
    counts = [group_count_words(group) for group in groups]
    return _short_words(groups, counts, [group.running_hours for group in groups], with_precision=True)


def _short_words(
    groups: "Sequence[FleetGroup | RungGroup]", counts: Sequence[str], turns: Sequence[str], *, with_precision: bool
) -> str:  # fmt: skip
    places = [f"{group.provider} {group.region}" for group in groups]
    same, layouts = len(set(places)) == 1, layout_words(groups, with_precision=with_precision)
    told = []
    for group, place, count, turn, layout in zip(groups, places, counts, turns, layouts, strict=True):
        where = "" if same else f" ({place})"
        told.append(f"{count} × {group.instance_type} {paid_words(group)}{layout}{turn and f' {turn}'}{where}")
    return " + ".join(told) + (f" ({places[0]})" if same else "")


def layout_words(groups: "Sequence[FleetGroup | RungGroup]", *, with_precision: bool = False) -> list[str]:
    """Difference of each group from others of its type, way of paying and region: `` fp8``, `` TP 2``; "" if alone.

    *with_precision*: that of every group is told.
    """
    return [
        " ".join(["", *_told_layout(group, _alike(group, groups), with_precision=with_precision)]) for group in groups
    ]


def _alike(
    group: "FleetGroup | RungGroup", groups: "Sequence[FleetGroup | RungGroup]"
) -> "list[FleetGroup | RungGroup]":
    """Groups that are the same machines, bought alike: of one type, way of paying and region."""
    machine = (group.provider, group.region, group.instance_type, paid_words(group))
    return [
        other for other in groups if (other.provider, other.region, other.instance_type, paid_words(other)) == machine
    ]


def _told_layout(
    group: "FleetGroup | RungGroup", alike: "Sequence[FleetGroup | RungGroup]", *, with_precision: bool
) -> Iterator[str]:
    """Words for what differs among groups of the same machines."""
    if with_precision or len({other.precision for other in alike}) > 1:
        yield group.precision
    if len({other.tensor_parallel for other in alike}) > 1:
        yield f"TP {group.tensor_parallel}"
    if len({other.engine for other in alike}) > 1:
        yield f"with {group.engine}"


NO_TARGET = "no latency target"


def slo_words(slo: Mapping[str, Any]) -> str:
    """``TTFT p95 ≤ 1 s, TPOT p95 ≤ 50 ms``; of batch work ``every item within 6 h``."""
    if slo.get("latency_is_deadline"):
        deadline_ms = slo.get("latency_ms") or slo["e2e_p95_ms"]
        return f"every item within {hours_words(deadline_ms / MS_PER_SECOND / SECONDS_PER_HOUR)}"
    names = {
        "ttft_p95_ms": "TTFT p95",
        "tpot_p95_ms": "TPOT p95 (per token after the first)",
        "e2e_p95_ms": "end-to-end p95",
    }
    targets = [f"{words} ≤ {milliseconds(slo[key])}" for key, words in names.items() if slo[key] is not None]
    percentile = f"p{slo.get('latency_percentile', Slo().latency_percentile) * 100:.0f}"
    if slo.get("latency_ms") is not None:
        targets.append(f"latency {percentile} ≤ {milliseconds(slo['latency_ms'])}")
    if slo.get("real_time_factor") is not None:
        targets.append(f"real-time factor ≤ {slo['real_time_factor']:g}")
    return ", ".join(targets) or NO_TARGET


def floor_words(rejected: "Sequence[Rejection]") -> str:
    """The shortest latency of all candidates, where a target is below it; "" where something else stands in the way."""
    judged = [code for code in _JUDGED if any(rejection.code == code for rejection in rejected)]
    if not judged or judged[-1] not in _FLOORS:
        return ""
    floors = [
        (rejection.available, rejection)
        for rejection in rejected
        if rejection.code == judged[-1] and isinstance(rejection.available, int | float)
    ]  # fmt: skip
    floor_ms, fastest = min(floors, key=lambda floor: floor[0])
    of_those = " of those that keep the targets before it" if len(judged) > 1 else ""
    split = f" on {fastest.tensor_parallel} accelerators" if (fastest.tensor_parallel or 1) > 1 else ""
    return (
        f" The fastest candidate{of_those}, {fastest.instance_type} {fastest.precision}{split}, has "
        f"{_FLOORS[fastest.code]} {milliseconds(rounded_up(floor_ms))} with no other load; no target below that can be "
        "kept."
    )


def today_cost_words(current: "CurrentCost") -> str:
    """``3 × g5.12xlarge at $12,421.68 a month``."""
    alone = " for the machines alone" if current.machines_alone else ""
    return f"{current.instances} × {current.instance_type} at {usd(current.total_usd_per_month)} a month{alone}"


def savings_words(current: "CurrentCost", usd_per_month: float, ratio: float) -> str:
    """Total of the fleet against that of what runs today."""
    today = f"{current.instances} × {current.instance_type} today ({usd(current.total_usd_per_month)})"
    if usd_per_month < 0:
        return f"{usd(-usd_per_month)} ({-ratio:.0%}) more than {today}"
    return f"{usd(usd_per_month)} ({ratio:.0%}) less than {today}"


def change_of_cost(before: float, after: float) -> str:
    """``$2,895.09 → $4,102.40 a month (+$1,207.31, +42%)``."""
    more = after - before
    if abs(more) < HALF_A_CENT:
        return f"{usd(after)} a month, as before"
    ratio = f", {more / before:+.0%}" if before else ""
    return f"{usd(before)} → {usd(after)} a month ({'+' if more > 0 else ''}{usd(more)}{ratio})"


def rejection_counts(rejected: "Sequence[Rejection]") -> str:
    """``412 too little memory, 30 price unknown``: most frequent first."""
    counts = Counter(rejection.code for rejection in rejected)
    return ", ".join(f"{count:,} {CODE_WORDS[code]}" for code, count in counts.most_common())


def code_words(fleet: Fleet) -> Iterator[str]:
    """Groups that are started by hand."""
    told = dict.fromkeys(group.not_generated for group in fleet.groups if group.not_generated)
    if told:
        yield f"Code: {' and '.join(told)}; its machines are started by hand."


def slice_words(fleet: Fleet) -> Iterator[str]:
    """Machines whose accelerators are cut, and into what."""
    cut = dict.fromkeys((group.instance_type, hardware_words(group)) for group in fleet.groups if group.partition)
    for machine, slices in cut:
        yield f"Slices: each {machine} serves on {slices}, one replica a slice; nodes of a cluster cut them."


def unused_cluster_words(plan: "Plan", fleet: Fleet) -> Iterator[str]:
    """A cluster of the workload that no node of a fleet joins, and what would have them join."""
    items = {charge.item for charge in fleet.standing}
    if plan.workload.get("existing_cluster") and items.intersection(BALANCER_ITEMS):
        takers = dict.fromkeys(SHARED_ON[group.provider] for group in fleet.groups if group.provider in SHARED_ON)
        yield (
            "Cluster: existing_cluster: true has no effect, since the fleet runs on hosts; "
            f"`advisor generate` with --target {' or '.join(takers)} uses it."
        )


def standing_words(fleet: Fleet) -> Iterator[str]:
    """Charges that no load changes, where they are most of the total, the dearest first, and what avoids them."""
    by_name = dict[str, float]()
    for charge in fleet.standing:
        if charge.item not in (*CACHE_ITEMS, *_GROWING_ITEMS):
            name = _STANDING_NAMES.get(charge.item, "others")
            by_name[name] = by_name.get(name, 0.0) + (charge.usd_per_month or 0.0)
    fixed_usd, total_usd = math.fsum(by_name.values()), fleet.cost.total_usd_per_month
    if fixed_usd <= total_usd / 2:
        return
    dearest = sorted(by_name.items(), key=lambda part: -part[1])
    parts = ", ".join(f"{name} {usd(cost)}" for name, cost in dearest if cost)
    hosts = "; whole machines on hosts need no cluster" if any(group.partition for group in fleet.groups) else ""
    yield (
        f"Standing: {usd(fixed_usd)} of the {usd(total_usd)} are for what stands whatever the load is ({parts}): "
        f"workloads that share it count it in full each{hosts}."
    )


def cluster_words(fleet: Fleet) -> Iterator[str]:
    """Clusters of which code starts nodes, and whose control planes the total has."""
    for charge in fleet.standing:
        if charge.item == CLUSTER:
            fee = "" if charge.usd_per_month is None else f" ({usd(charge.usd_per_month)} a month)"
            yield (
                f"Cluster: these are nodes of {CLUSTERS[charge.provider]} in {charge.region} that has to be there; its "
                f"fee{fee} is in the total, other nodes are not. existing_cluster: true leaves it out."
            )


def client_words(fleet: Fleet) -> Iterator[str]:
    """Calls whose items clients have to send by themselves."""
    split = [group for group in fleet.groups if group.http_requests_per_call > 1]
    if split:
        words = split_words(fleet.unit, split[0].http_requests_per_call, dict.fromkeys(group.engine for group in split))
        yield f"Calls: {words}."


def use_words(use: ConstraintUse) -> str:
    """``min_replicas 2 of 2 replicas``; shares of the load as what failures leave of it: ``survive 139% of 100%``."""
    detail = f" ({use.detail})" if use.detail else ""
    if use.unit == "share of requests":
        return f"{use.name}{detail} {whole_percent(use.used)} of {whole_percent(use.limit)}"
    return f"{use.name}{detail} {_amount(use.used)} of {_amount(use.limit)} {use.unit}"


def _amount(value: float) -> str:
    """A count in full, any other number in three digits."""
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{significant(value):,.3g}"


def conflict_words(conflict: Conflict) -> str:
    """Limits that exclude each other, and what they are, in one sentence."""
    asked = dict(zip(conflict.constraints, conflict.asked, strict=False))
    keys = [
        f"{CONSTRAINTS[name].set_by}{f' ({asked[name]})' if asked.get(name) else ''}" for name in conflict.constraints
    ]
    if not keys:
        return "No fleet carries the demand within the SLO from where it may run."
    if Constraint.BUDGET in conflict.constraints:
        return _budget_words(conflict, keys)
    if len(keys) == 1:
        return f"No fleet keeps to {keys[0]}."
    return f"No fleet keeps to {', '.join(keys[:-1])} and {keys[-1]} together."


def _budget_words(conflict: Conflict, keys: Sequence[str]) -> str:
    """A conflict with a budget, which only fleets that were found are compared with: a cheaper one may exist."""
    key = Constraint.BUDGET.set_by
    budget = next((limit for limit in conflict.relaxations if limit.name == Constraint.BUDGET), None)
    if budget is None:
        return f"No fleet that was found keeps to {' and '.join(keys)}."
    others = [name for name in keys if not name.startswith(key)]
    kept = f"keeps to {' and '.join(others)} and " if others else ""
    stated, needed = (_exact(amount, budget.unit) for amount in (budget.limit, _needed(budget)))
    return f"No fleet that was found {kept}costs at most ${stated} a month ({key}): the cheapest costs ${needed}."


def relaxation_words(conflict: Conflict) -> Iterator[str]:
    """Remedies that would help alone, the smallest change first."""
    for limit in conflict.relaxations:
        verb = "raise" if limit.needed > limit.limit else "lower"
        detail = f" of {limit.detail}" if limit.detail else ""
        unit = "" if limit.unit.startswith("share") else f" {limit.unit}"
        stated, needed = _exact(limit.limit, limit.unit), _exact(_needed(limit), limit.unit)
        yield f"{verb} {CONSTRAINTS[limit.name].set_by}{detail} from {stated} to {needed}{unit}"
    yield from conflict.remedies


def _needed(relaxed_limit: RelaxedLimit) -> float:
    """Value that a limit needs, rounded to the side that helps."""
    round_off = math.ceil if relaxed_limit.needed > relaxed_limit.limit else math.floor
    scale = 10 ** CONSTRAINTS[relaxed_limit.name].row.decimals
    margin = math.copysign(1e-6, relaxed_limit.limit - relaxed_limit.needed)
    return float(round_off(relaxed_limit.needed * scale + margin) / scale)


def _exact(limit: float, unit: str) -> str:
    """A limit in all its digits, money in cents unless it is whole."""
    return f"{limit:,.2f}" if unit == "USD/month" and limit % 1 else f"{limit:,.10g}"
