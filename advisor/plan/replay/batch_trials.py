"""Trials of fleets for batch work: a run is worked off by replicas that take the next items as soon as they have room.

Each replica is simulated by the same engine as all others, before a queue that never ends. Replicas of one kind keep
one pace, so that the items done by a time are a sum over the stretches in which replicas are up; what runs when one
ends is done again. An interruption of spot ends a stretch in the middle of the work, and a start-up later another one
begins. No request is dealt out ahead: a replica that is slower, or comes back later, takes fewer.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from advisor.catalog.values import Purchase
from advisor.demand.values import BatchRun
from advisor.plan.fleet.chosen import HoldsUpTo
from advisor.plan.problem.values import (
    FleetSolution,
    PurchaseOption,
)
from advisor.plan.replay.engine import Times
from advisor.plan.replay.trials import Trial, Trials
from advisor.plan.replay.values import Floats, ReplayGroup
from advisor.plan.solve.stage import Formulation, PlanningContext
from advisor.records import dataclass, replace
from advisor.units import MINUTES_PER_HOUR, SECONDS_PER_HOUR
from advisor.workload.values import Survive

MOST_SIMULATED = 16_000
"""Items that a replica is simulated for; of more it goes on at the mean pace of these, start and end included."""
ENOUGH = 1 - 1e-6
"""Share of the items that counts as all of them: rates are rounded to six digits."""
_BISECTIONS = 40


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Equal replicas that are up from one time of a run to another."""

    ends_s: Floats
    """End of each item of one replica before an endless queue, ascending."""
    start_s: float
    end_s: float
    replicas: int

    def done_by(self, seconds: float) -> float:
        """Items that all its replicas have done by a time of the run."""
        return self.replicas * done_after(self.ends_s, min(seconds, self.end_s) - self.start_s)


def done_after(ends_s: Floats, seconds: float) -> float:
    """Items that a replica has done after so long; at its mean pace beyond what was simulated."""
    if seconds <= 0:
        return 0.0
    if seconds >= ends_s[-1]:
        return float(ends_s.size * seconds / ends_s[-1])
    return float(np.searchsorted(ends_s, seconds, side="right"))


def finished_s(stretches: Sequence[Stretch], items: float, deadline_s: float) -> float | None:
    """Seconds from the start of a run to the end of its last item; None where that is after the deadline."""

    def is_done(seconds: float) -> bool:
        return sum(stretch.done_by(seconds) for stretch in stretches) >= items

    if not is_done(deadline_s):
        return None
    low, high = 0.0, deadline_s
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if is_done(middle) else (middle, high)
    return high


class BatchTrials(Trials):
    """Replays fleets of one question about batch work."""

    def __init__(self, formulation: Formulation, context: PlanningContext, run: BatchRun) -> None:
        """Nothing is simulated yet."""
        super().__init__(formulation, context)
        self._run = run
        self.wanted = ENOUGH
        words = "all its items there at the start"
        if Purchase.SPOT in context.requirements.workload.purchase:
            words += "; an instance on spot, where there is any, cut off half way"
        self.rehearsal = replace(self.rehearsal, minutes=run.deadline_hours * MINUTES_PER_HOUR, words=words)
        self._ends: dict[Times, Floats] = {}
        """End of each item of a replica, by its times."""

    def wanted_beside(self, unavoidable_late_ratio: float) -> float:  # noqa: ARG002 - every item has to be done
        """Share of the items that have to be done."""
        return self.wanted

    def of(
        self,
        formulation: Formulation,
        solution: FleetSolution,
        *,
        every: bool = False,  # noqa: ARG002 - failures are few
        whole: bool = False,  # noqa: ARG002 - every replay is whole
    ) -> Trial:
        """Share of the items that are done by the deadline, also without each machine where one may fail."""
        groups = self._groups(formulation, solution)
        items = self._items(formulation)
        asleep = [allocation.tariff.paid is PurchaseOption.SERVERLESS for allocation in solution.allocations]
        late_s = [group.lead_seconds * sleeps for group, sleeps in zip(groups, asleep, strict=True)]
        share, finished = self._worked_off(formulation, groups, late_s, items)
        without: list[float] = []
        if formulation.problem.limits.survival is not Survive.NOTHING:
            for at, group in enumerate(groups):
                fewer = tuple(max(count - 1, 0) for count in group.instances_by_hour)
                left = [replace(other, lost_at=None) for other in groups]
                left[at] = replace(left[at], instances_by_hour=fewer)
                without.append(self._worked_off(formulation, left, late_s, items)[0])
        return Trial(
            requests=round(items),
            rehearsal=self.rehearsal,
            within_slo_ratio=share,
            busiest_ratio=share,
            without_one_ratio=min(without, default=None),
            without_part_ratio=None,
            ttft_p95_ms=None,
            tpot_p95_ms=None,
            late=tuple(range(len(groups))),
            reached=min((share, *without)) >= self.wanted,
            latencies=(),
            finished_s=finished,
        )

    def hold_idle(self, formulation: Formulation, solution: FleetSolution) -> bool:  # noqa: ARG002 - of any
        """Whether one item alone is done in time: machines for which that is not so were rejected before."""
        return True

    def holds_up_to(self, formulation: Formulation, solution: FleetSolution) -> HoldsUpTo | None:  # noqa: ARG002 - of any
        """None: work that waits has no peaks and no bursts."""
        return None

    def _items(self, formulation: Formulation) -> float:
        """Items of a run as planned, with the growth that is stated."""
        return self._run.planned_items(self._hours_worked(formulation), formulation.problem.hours[-1].planned_rate)

    def _hours_worked(self, formulation: Formulation) -> int:
        """Hours of a run in which machines are up."""
        return self._run.hours_up(formulation.problem.hours[-1].hours_per_week)

    def _worked_off(
        self, formulation: Formulation, groups: Sequence[ReplayGroup], late_s: Sequence[float], items: float
    ) -> tuple[float, float | None]:
        """Share of the items that are done by the deadline, and when the last one is.

        Args:
            formulation: the question.
            groups: of the fleet.
            late_s: cold start of each group whose service starts it when items come, not ahead of them.
            items: of a run.
        """
        stretches = list(self._stretches(formulation, groups, late_s, items))
        deadline_s = self._run.deadline_hours * SECONDS_PER_HOUR
        done = sum(stretch.done_by(deadline_s) for stretch in stretches)
        return min(done / items, 1.0), finished_s(stretches, items * ENOUGH, deadline_s)

    def _stretches(
        self, formulation: Formulation, groups: Sequence[ReplayGroup], late_s: Sequence[float], items: float
    ) -> Iterator[Stretch]:  # fmt: skip
        hours = list(self._run.stretches(self._hours_worked(formulation)))
        longest = max(hours, key=lambda stretch: stretch[1] - stretch[0])
        for group, late in zip(groups, late_s, strict=True):
            ends, of_one = self._ends_of(group.steps, items), group.replicas_per_instance
            instances = max(group.instances_by_hour)
            steady = instances if group.lost_at is None else max(instances - 1, 0)
            for stretch in hours:
                start_s, end_s = (hour * SECONDS_PER_HOUR for hour in stretch)
                yield Stretch(ends, start_s + late, end_s, steady * of_one)
                if steady == instances:
                    continue
                cut_s = (start_s + end_s) / 2 if stretch == longest else end_s
                yield Stretch(ends, start_s, cut_s, of_one)
                yield Stretch(ends, cut_s + group.lead_seconds, end_s, of_one)

    def _ends_of(self, times: Times, items: float) -> Floats:
        """End of each item of a replica before an endless queue, ascending."""
        if times not in self._ends:
            count = min(math.ceil(items), MOST_SIMULATED)
            lengths = self.rehearsal.requests
            sizes, answers = (
                np.maximum(np.resize(tokens, count), 1) for tokens in (lengths.input_tokens, lengths.output_tokens)
            )
            *_, timeline = self._timelines(times, np.zeros(count), sizes, answers, ())
            self._ends[times] = np.sort(timeline.last_s + timeline.lag_s)
        return self._ends[times]

    def _loses_spot(self, formulation: Formulation) -> bool:  # noqa: ARG002 - always
        return True
