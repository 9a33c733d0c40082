"""Batch work in words: what a run is, and when its last item is done."""

from collections.abc import Iterator

from advisor.demand.forecast import DAYS
from advisor.plan.fleet.chosen import Confirmation, Fleet
from advisor.plan.fleet.costs import BatchPlan
from advisor.plan.problem.values import PurchaseOption
from advisor.units import (
    HOURS_PER_DAY,
    HOURS_PER_WEEK,
    SECONDS_PER_HOUR,
    SECONDS_PER_MINUTE,
    counted,
    ratio_words,
    rounded,
    three_digits,
)


def run_words(batch: BatchPlan) -> str:
    """Items of a run, and its start: ``200,000 items every day at 22:00 UTC``."""
    return f"{counted(round(batch.items), 'item')} {_start_words(batch)}"


def replayed_run_words(batch: BatchPlan, replay: Confirmation, *, paid_by_use: bool = False) -> str:
    """Sentences on a run in its replay: the end of its last item, its machines' hours, and the cost of items.

    Args:
        batch: the runs.
        replay: of one of them.
        paid_by_use: whether services alone serve, whose containers stop when no item is left.
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
        f"({replay.arrivals}). {up}; ${rounded(batch.usd_per_1000_items)} per 1,000 items."
    )


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
        f"{' and '.join(parts)}; ${rounded(batch.usd_per_1000_items)} more per 1,000 items."
    )


def apart_words(batch: BatchPlan, usd_per_month: float) -> Iterator[str]:
    """Sentences on batch work as a workload of its own, beside what the requests and it cost together.

    Args:
        batch: the runs.
        usd_per_month: cost of the fleet for both.
    """
    apart = batch.apart
    if apart is None:
        return
    less = round(usd_per_month - apart.total_usd_per_month, 2)
    parts = " + ".join(f"{part.instances} × {part.instance_type} {_PAID[part.purchase]}" for part in apart.batch_parts)
    kept = f" with {rounded(apart.beside_items)} items a run" if apart.beside_items else ""
    own = "the other items" if kept else "the batch work"
    cost = f"the requests{kept} ${apart.requests_usd_per_month:,.2f} and {own} ${apart.batch_usd_per_month:,.2f}"
    two = f"as two workloads {cost} a month ({parts})"
    if less > 0:
        yield f"Cheaper apart: {two}, ${less:,.2f} less. Plan each from a workload file of its own."
    else:
        yield f"Apart: {two}, ${-less:,.2f} more than together."


_PAID = {purchase.value: purchase.value.replace("_", " ") for purchase in PurchaseOption}
_IDLE, _OWN = "on capacity that they leave idle", "on more of it"


def hours_words(hours: float) -> str:
    """Hours in three digits, less than one in minutes, less than one of these in seconds: ``4.15 h``, ``15.4 min``."""
    seconds = hours * SECONDS_PER_HOUR
    if seconds >= SECONDS_PER_HOUR:
        return f"{three_digits(hours)} h"
    if seconds >= SECONDS_PER_MINUTE:
        return f"{three_digits(seconds / SECONDS_PER_MINUTE)} min"
    return f"{three_digits(seconds)} s"


def _start_words(batch: BatchPlan) -> str:
    clock = f"{batch.first_hour % HOURS_PER_DAY:02d}:00 UTC"
    if batch.every_hours == HOURS_PER_WEEK:
        return f"every {DAYS[batch.first_hour // HOURS_PER_DAY]} at {clock}"
    if batch.every_hours == HOURS_PER_DAY:
        return f"every day at {clock}"
    return f"every {batch.every_hours} h from Monday {clock} on"
