"""Names of latencies and sizes by the unit of a plan's requests, and batch work in words."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from advisor.demand.forecast import DAYS
from advisor.demand.values import Unit
from advisor.plan.fleet.chosen import Confirmation, Fleet
from advisor.plan.fleet.costs import BatchPlan
from advisor.plan.problem.formulas import falls
from advisor.plan.problem.values import Infeasible, PurchaseOption
from advisor.plan.values import ComparedLatency, CurrentCost, Option, RungGroup
from advisor.units import (
    HOURS_PER_DAY,
    HOURS_PER_WEEK,
    MS_PER_SECOND,
    SECONDS_PER_HOUR,
    SECONDS_PER_MINUTE,
    counted,
    milliseconds,
    ratio_words,
    rounded,
    three_digits,
    unit_usd,
    usd,
)
from advisor.workload.values import Slo

_PAID = {purchase.value: purchase.value.replace("_", " ") for purchase in PurchaseOption}
_IDLE, _OWN = "on capacity that they leave idle", "on capacity added for these items"
_ITEMS: Mapping[Unit, str] = {
    Unit.TOKENS: "output tokens",
    Unit.TEXTS: "texts",
    Unit.AUDIO: "recordings",
    Unit.IMAGES: "images",
    Unit.PICTURES: "pictures",
    Unit.ROWS: "rows",
}
LATENCY_NAMES: Mapping[str, str] = {"ttft_p95_ms": "TTFT", "tpot_p95_ms": "TPOT", "e2e_p95_ms": "end-to-end"}
CLUSTERS: Mapping[str, str] = {"aws": "an EKS cluster", "azure": "an AKS cluster", "gcp": "a GKE cluster"}
"""Cluster that code starts nodes of, by cloud."""
_MEGA = 1e6


def run_words(batch: BatchPlan) -> str:
    """Items of a run, and its start: ``200,000 items every day at 22:00 UTC``."""
    return f"{counted(round(batch.items), 'item')} {_start_words(batch)}"


def replayed_run_words(batch: BatchPlan, replay: Confirmation, *, paid_by_use: bool = False) -> str:
    """Sentences on a run in its replay: the end of its last item, its machines' hours, and the cost of items.

    *paid_by_use*: whether services alone serve, whose containers stop when no item is left.
    """
    deadline = hours_words(batch.deadline_hours)
    if batch.idle_items is not None:
        return _beside_words(batch, batch.idle_items, deadline)
    if batch.finished_hours is None:
        share = ratio_words(replay.within_slo_ratio)
        return f"Do not rely on it: its replay has {share} of {run_words(batch)} done by the deadline of {deadline}."
    up = "Containers run until then" if paid_by_use else f"Machines are up for {batch.machine_hours} h of a run"
    return (
        f"Batch: {run_words(batch)}, in their replay done after {hours_words(batch.finished_hours)} of {deadline} "
        f"({replay.arrivals}). {up}; ${unit_usd(batch.usd_per_1000_items)} per 1,000 items."
    )


def least_share_words(replay: Confirmation, target: str = "the SLO") -> str:
    """The least share of a replay, and of what: ``98.86% of the requests within the SLO with one machine gone``."""
    kept, when = replay.least
    return f"{ratio_words(kept)} of the requests within {target}{when and f' {when}'}"


def short_share_words(replay: Confirmation, slo: Slo) -> str:
    """The same of a fleet that is refused, with the share that it misses."""
    asked = f"{ratio_words(slo.within_ratio)} are asked"
    if replay.least[0] >= slo.within_ratio:
        wanted = ratio_words(slo.rehearsed_ratio_beside(replay.unavoidable_late_ratio))
        asked = f"{wanted} are wanted of it, {ratio_words(slo.within_ratio)} and a margin"
    return f"{least_share_words(replay)}, {asked}{unavoidable_words(replay)}"


def unavoidable_words(replay: Confirmation) -> str:
    """Share of the requests that more machines make no earlier: ``; 0.7% are late on any number of them``."""
    late = replay.unavoidable_late_ratio
    return f"; {ratio_words(late)} are late on any number of these machines" if late else ""


def today_short_words(current: CurrentCost, within_ratio: float, covered: str = "") -> str:
    """Instances that today's machines lack, and for which share, where they keep the stated one: ``64 are needed``."""
    needed = f"{current.instances_needed} {'is' if current.instances_needed == 1 else 'are'} needed"
    kept, least_ratio = current.within_slo_ratio, current.least_within_slo_ratio
    if kept is None or kept < within_ratio:
        return f"{needed}{covered}"
    wanted_ratio = Slo(within_ratio=within_ratio).rehearsed_ratio_beside(current.unavoidable_late_ratio)
    wanted, margin = ratio_words(wanted_ratio), f"{ratio_words(within_ratio)} and a margin"
    if kept < wanted_ratio:
        return f"{needed}{covered} for the {wanted} that plans keep, {margin}"
    if least_ratio is not None and least_ratio < wanted_ratio:
        return f"{ratio_words(least_ratio)} {current.least_within_slo_when}; {needed} for {wanted} then, {margin}"
    return f"{needed}{covered} to keep every limit at the planned rates"


def spare_hours(fleet: Fleet) -> float | None:
    """Hours from the end of the last item to the end of its machines' hours or the deadline; None: it is not done."""
    batch = fleet.batch
    if batch is None or batch.finished_hours is None:
        return None
    busiest = len(fleet.hour_classes) - 1
    worked = (hour for hour, number in enumerate(fleet.schedule) if number == busiest)
    last = max((hour - batch.first_hour) % batch.every_hours for hour in worked)
    return max(min(last + 1.0, batch.deadline_hours) - batch.finished_hours, 0.0)


def start_hours(fleet: Fleet) -> float:
    """Hours from the order of an instance until it serves, at most; 0 where the plan does not say."""
    starts = (group.cold_start_seconds for group in fleet.groups if group.cold_start_seconds is not None)
    return max((start.high for start in starts), default=0.0) / SECONDS_PER_HOUR


def _beside_words(batch: BatchPlan, idle_items: float, deadline: str) -> str:
    """The same of work beside other requests: what of it is done in their idle hours, and what the rest costs."""
    done = "not all done by" if batch.finished_hours is None else f"done after {hours_words(batch.finished_hours)} of"
    own = batch.items - idle_items
    parts = [f"{rounded(part)} {where}" for part, where in ((idle_items, _IDLE), (own, _OWN)) if round(part)]
    return (
        f"Batch: {run_words(batch)} beside the requests, {done} {deadline} at the rates that these leave idle. "
        f"{' and '.join(parts)}; ${unit_usd(batch.usd_per_1000_items)} more per 1,000 items."
    )


def beside_words(fleet: Fleet) -> Iterator[str]:
    """Sentence on batch work beside the requests of a fleet; none without any."""
    batch = fleet.batch
    if batch is not None and batch.idle_items is not None and fleet.confirmed is not None:
        yield replayed_run_words(batch, fleet.confirmed)


def saved_apart(fleet: Fleet) -> float:
    """USD a month that requests and batch work cost less as two workloads; below 0: more, 0: not known."""
    apart = None if fleet.batch is None else fleet.batch.apart
    return 0.0 if apart is None else round(fleet.cost.total_usd_per_month - apart.total_usd_per_month, 2)


def apart_words(fleet: Fleet) -> Iterator[str]:
    """Sentence on requests and batch work as two workloads, compared with the cost of the fleet for both."""
    batch, less = fleet.batch, saved_apart(fleet)
    apart = None if batch is None else batch.apart
    if apart is None:
        return
    parts = " + ".join(f"{part.instances} × {part.instance_type} {_PAID[part.purchase]}" for part in apart.batch_parts)
    kept = f" with {rounded(apart.beside_items)} items a run" if apart.beside_items else ""
    own = "the other items" if kept else "the batch work"
    cost = f"the requests{kept} {usd(apart.requests_usd_per_month)} and {own} {usd(apart.batch_usd_per_month)}"
    two = f"as two workloads {cost} a month ({parts})"
    if less > 0:
        yield f"Cheaper apart: {two}, {usd(less)} less. Plan each from a workload file of its own."
    else:
        yield f"Apart: {two}, {usd(-less)} more than together."


def hours_words(hours: float) -> str:
    """Hours in three digits, less than one in minutes, less than one of these in seconds: ``4.15 h``, ``15.4 min``."""
    seconds = hours * SECONDS_PER_HOUR
    if seconds >= SECONDS_PER_HOUR:
        return f"{three_digits(hours)} h"
    if seconds >= SECONDS_PER_MINUTE:
        return f"{three_digits(seconds / SECONDS_PER_MINUTE)} min"
    return f"{three_digits(seconds)} s"


def turn_words(counts: Sequence[Sequence[int]], hours_per_week: Sequence[int]) -> list[str]:
    """Hours in which each group runs, where groups take turns: ``in the quietest 68 hours a week``; "" for all.

    *counts*: instances of each group in each class of hours, the quietest first.
    """
    if not any(falls(tuple(own)) for own in counts):
        return [""] * len(counts)
    return [_running_words([count > 0 for count in own], hours_per_week) for own in counts]


def fleet_turns(fleet: Fleet) -> list[str]:
    """The same of each group of a fleet."""
    hours_per_week = [hour.hours_per_week for hour in fleet.hour_classes]
    return turn_words([group.instances for group in fleet.groups], hours_per_week)


def _running_words(runs: Sequence[bool], hours_per_week: Sequence[int]) -> str:
    if all(runs):
        return ""
    hours = counted(sum(hours for hours, is_up in zip(hours_per_week, runs, strict=True) if is_up), "hour")
    in_order = list(runs)
    if in_order == sorted(runs, reverse=True):
        return f"in the quietest {hours} a week"
    return f"in the busiest {hours} a week" if in_order == sorted(runs) else f"in {hours} a week"


def _start_words(batch: BatchPlan) -> str:
    clock = f"{batch.first_hour % HOURS_PER_DAY:02d}:00 UTC"
    if batch.every_hours == HOURS_PER_WEEK:
        return f"every {DAYS[batch.first_hour // HOURS_PER_DAY]} at {clock}"
    if batch.every_hours == HOURS_PER_DAY:
        return f"every day at {clock}"
    return f"every {batch.every_hours} h from Monday {clock} on"


def unit_of(demand: Mapping[str, Any]) -> Unit:
    """Unit of a plan's demand."""
    return Unit(demand.get("unit", Unit.TOKENS))


def split_words(unit: Unit, items: float, engines: Iterable[str]) -> str:
    """Clients' part where each item of a call is an HTTP request of its own."""
    each = f"each of the {items:,.4g} {items_word(unit)} of a call as an HTTP request of its own"
    return f"clients send {each}, all at once ({' and '.join(engines)} takes one); the last one answers the call"


def items_word(unit: Unit) -> str:
    """Unit that an answer is counted in: ``output tokens``, ``texts``."""
    return _ITEMS[unit]


def latency_words(unit: Unit, ttft_ms: float | None, tpot_ms: float | None) -> Iterator[str]:
    """``TTFT p95 275 ms``, ``TPOT p95 38.8 ms``; ``latency p95 120 ms`` of whole answers."""
    named = ((first_name(unit), ttft_ms), ("TPOT p95", None if unit.is_one_pass else tpot_ms))
    return (f"{name} {milliseconds(value)}" for name, value in named if value is not None)


def replayed_first(fleet: Fleet, slo: Mapping[str, Any]) -> tuple[str, float | None]:
    """Percentile and ms of the first latency of a fleet's replay: those of the SLO, where they are held, else p95."""
    quantile = slo.get("latency_percentile", Slo().latency_percentile)
    promised = (each.quantiles.get(quantile) for each in fleet.latencies if each.name == "latency")
    value_ms = next(promised, None)
    if value_ms is not None:
        return f"p{round(100 * quantile, 3):g}", value_ms
    return "p95", None if fleet.confirmed is None else fleet.confirmed.ttft_p95_ms


def replayed_words(fleet: Fleet, slo: Mapping[str, Any]) -> Iterator[str]:
    """Latencies of a fleet's replay as :func:`latency_words`, of whole answers at the percentile of the SLO."""
    if fleet.confirmed is None:
        return
    if not fleet.unit.is_one_pass:
        yield from latency_words(fleet.unit, fleet.confirmed.ttft_p95_ms, fleet.confirmed.tpot_p95_ms)
        return
    if fleet.confirmed.real_time_factor_p95 is not None:
        yield f"real-time factor p95 {fleet.confirmed.real_time_factor_p95:.2g}"
    percentile, value_ms = replayed_first(fleet, slo)
    if value_ms is not None:
        yield f"latency {percentile} {milliseconds(value_ms)}"


def compared_words(latencies: Iterable[ComparedLatency]) -> str:
    """Text such as ``TPOT p95 35 ms measured, 40 ms predicted``."""
    return ", ".join(
        f"{LATENCY_NAMES[each.latency]} p95 {milliseconds(each.measured_ms)} measured, "
        f"{milliseconds(each.predicted_ms)} predicted"
        for each in latencies
    )


def first_name(unit: Unit) -> str:
    """Name of the time to the first token, which of an answer in one pass is all of it."""
    return "latency p95" if unit.is_one_pass else "TTFT p95"


def refused_words(infeasible: Infeasible | None) -> str:
    """Why a question has no fleet: the limits that no fleet keeps, or that nothing keeps the SLO."""
    if infeasible is None:
        return "nothing that is allowed keeps the SLO"
    limits = " and ".join(constraint.value for constraint in infeasible.conflict)
    return f"no fleet that was found keeps to {limits or 'the demand'}"


def size_words(demand: Mapping[str, Any]) -> str:
    """Size of a request: ``800 tokens in (p95 800), 200 out (p95 200)``, ``23 texts of 512 tokens``."""
    size, items = demand["input_tokens"], demand["output_tokens"]
    unit, count = unit_of(demand), f"{items['mean']:,.4g}"
    match unit:
        case Unit.TOKENS:
            sent, answered = (f"{size_of['mean']:,.0f}" for size_of in (size, items))
            prompt = f"{sent} tokens in (p95 {size['p95']:,.0f}{_with_images(demand)})"
            return f"{prompt}, {answered} out (p95 {items['p95']:,.0f})"
        case Unit.TEXTS:
            return f"{count} {_noun('text', count)} of {size['mean']:,.0f} tokens a request"
        case Unit.AUDIO:
            return f"{count} {_noun('recording', count)} of {rounded(size['mean'] / MS_PER_SECOND)} s a request"
        case Unit.IMAGES:
            return f"{count} {_noun('image', count)} a request"
        case Unit.PICTURES:
            return f"{count} {_noun('picture', count)} of {size['mean'] / _MEGA:,.4g} M pixels × steps a request"
        case Unit.ROWS:
            return f"{count} {_noun('row', count)} of {size['mean']:,.0f} columns a request"


def images_words(demand: Mapping[str, Any]) -> str:
    """Images that a prompt shows: ``2 images of 1,280 × 720``; "" without any."""
    shown = demand.get("pictures")
    if shown is None or unit_of(demand).is_one_pass:
        return ""
    count = f"{shown['count']:g}"
    return f"{count} {_noun('image', count)} of {shown['width']:,} × {shown['height']:,}"


def _with_images(demand: Mapping[str, Any]) -> str:
    images = images_words(demand)
    return f", with {images}" if images else ""


def _noun(singular: str, count: str) -> str:
    return singular if count == "1" else f"{singular}s"


def count_words(instances: Sequence[int]) -> str:
    """``4``, or ``2…4`` where the number follows the hours; ``4…2`` where it is least in the busiest."""
    low, high = min(instances), max(instances)
    if low == high:
        return f"{high:,}"
    return f"{high:,}…{low:,}" if instances[0] == high and instances[-1] == low else f"{low:,}…{high:,}"


def running_count_words(instances: Sequence[int], turn: str) -> str:
    """Instances of a group: of one that takes turns in the hours in which it runs."""
    return count_words([count for count in instances if count] if turn else instances)


def group_count_words(group: Option | RungGroup) -> str:
    """Instances of a fleet in short, in the hours in which it runs where its groups take turns."""
    turn = group.running_hours if isinstance(group, RungGroup) else ""
    return running_count_words(group.instances_by_class or (group.instances,), turn)
