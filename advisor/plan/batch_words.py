"""Batch work in words: what a run is, and when its last item is done."""

from advisor.demand.forecast import DAYS
from advisor.plan.fleet.chosen import BatchPlan, Confirmation
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


def replayed_run_words(batch: BatchPlan, replay: Confirmation) -> str:
    """Sentence on a run in its replay: the end of its last item, its machines' hours, and the cost of items."""
    deadline = hours_words(batch.deadline_hours)
    if batch.idle_items is not None:
        return _beside_words(batch, batch.idle_items, deadline)
    if batch.finished_hours is None:
        share = ratio_words(replay.within_slo_ratio)
        return f"Do not rely on it: its replay has {share} of {run_words(batch)} done by the deadline of {deadline}."
    return (
        f"Batch: {run_words(batch)}, in their replay done after {hours_words(batch.finished_hours)} of {deadline} "
        f"({replay.arrivals}); machines are up for {batch.machine_hours} h of a run; "
        f"${rounded(batch.usd_per_1000_items)} per 1,000 items."
    )


def _beside_words(batch: BatchPlan, idle_items: float, deadline: str) -> str:
    """The same of work beside other requests: what of it is done in their idle hours, and what the rest costs."""
    done = "not all done by" if batch.finished_hours is None else f"done after {hours_words(batch.finished_hours)} of"
    own = batch.items - idle_items
    parts = [f"{rounded(part)} {where}" for part, where in ((idle_items, _IDLE), (own, _OWN)) if round(part)]
    apart = (
        " What is on more of it is served like requests, and may cost less as a workload of its own."
        if round(own)
        else ""
    )
    return (
        f"Batch: {run_words(batch)} beside the requests, {done} {deadline} at the rates that these leave idle: "
        f"{' and '.join(parts)}; ${rounded(batch.usd_per_1000_items)} more per 1,000 items.{apart}"
    )


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
