"""Replicas before which requests always wait, as in batch work: how long an item takes there against its deadline."""

from advisor.candidates import Candidate, Rejection, Shortfall, reject_candidate
from advisor.demand.batch import BatchRun
from advisor.units import MS_PER_SECOND, SECONDS_PER_HOUR, milliseconds


def late_item(candidate: Candidate, running: float, rate: float, run: BatchRun) -> Rejection | None:
    """Rejection where one item alone takes longer than all of a run may; None where it does not.

    Args:
        candidate: what the replica runs on.
        running: requests that a full one runs.
        rate: requests per second that it serves then; an item takes ``running ÷ rate`` (Little's law).
        run: with its deadline.
    """
    item_s, deadline_s = running / rate, run.deadline_hours * SECONDS_PER_HOUR
    if item_s <= deadline_s:
        return None
    taken, deadline = (milliseconds(seconds * MS_PER_SECOND) for seconds in (item_s, deadline_s))
    reason = f"one item takes {taken} on a full replica, and all of a run may take {deadline}"
    return reject_candidate(candidate, Shortfall("deadline", "s", deadline_s, item_s, reason))
