"""Proposed targets that a plan confirms for today's machines: nobody has to buy for what is served already.

The planner judges today's fleet under the targets that were measured and rounded up, its predictions lowered to what
was measured (``current.measured``). What it still does not confirm (it plans for the busiest minute, with a margin for
requests that are made up) makes the targets looser, step by step; targets that no number of these machines keeps by
prediction begin at the prediction. Where latency rises with load, today's machines do miss the targets: nothing is made
looser, and no prediction lowered.
"""

from collections.abc import Iterable, Iterator

from advisor.catalog import Catalog
from advisor.catalog.values import Purchase
from advisor.discovery.proposal import JudgedFleet, Proposal, kept_targets, rounded_up
from advisor.discovery.values import Latency
from advisor.errors import AdvisorError
from advisor.performance.model import shipped_model
from advisor.pipeline import market_for
from advisor.plan.measured import Comparison, compared
from advisor.plan.request import PlanRequest, requirements_of
from advisor.plan.today import judged_current
from advisor.plan.values import CurrentCost
from advisor.records import dataclass, replace
from advisor.workload.values import Deployment, MeasuredLatency, Survive

_MOST_LOOSER = 2.0
"""Target over what was measured up to which it is made looser."""
_NEXT = 1.001


def settled(proposal: Proposal, question: PlanRequest, catalog: Catalog) -> Proposal:
    """The proposal with targets that a plan confirms for today's machines, and how these stand under them.

    Args:
        proposal: with targets from what was measured; as it is where its machines or their latency are not known.
        question: that its file asks.
        catalog: machines and prices.
    """
    current = question.workload.current
    if proposal.current is None or current is None or proposal.slo.is_unknown or "slo" in proposal.answers.fields:
        return proposal
    measured = None if proposal.rises else _measured(proposal, question)
    asked = _of_today(question, replace(current, measured=measured))
    try:
        comparison = compared(shipped_model(), requirements_of(asked, catalog), catalog)
        return _settled(proposal, _Judge(asked, catalog, current.count), comparison, measured)
    except AdvisorError:
        return proposal


def _settled(
    proposal: Proposal, judge: "_Judge", comparison: Comparison, measured: MeasuredLatency | None
) -> Proposal:  # fmt: skip
    judged = JudgedFleet(measured, None, notes=comparison.notes)
    waits = [0.0, round(1 / judge.count, 2)] if judge.is_spot else [0.0]

    def kept_of(slos: Iterable[Latency]) -> tuple[Latency, float] | None:
        return next(((slo, ratio) for slo in slos for ratio in waits if judge.keeps(slo, ratio)), None)

    kept = kept_of([proposal.slo] if proposal.rises else _looser(proposal.slo, proposal.measured))
    if kept is None:
        needed = judge.judged(proposal.slo, 0.0).instances_needed
        predicted = None if needed else _predicted(comparison)
        kept = None if predicted is None else kept_of(_looser(Latency(*map(rounded_up, predicted.values)), predicted))
        if kept is None:
            return replace(proposal, judged=replace(judged, needed=needed))
    slo, ratio = kept
    may_fail = proposal.is_redundant and not comparison.slower and judge.keeps(slo, ratio, Survive.INSTANCE)
    judged = replace(judged, needed=judge.count, may_fail=may_fail, is_looser=slo != proposal.slo, waiting_ratio=ratio)
    return replace(proposal, slo=slo, judged=judged)


def _predicted(comparison: Comparison) -> Latency | None:
    """Latency predicted of today's machines, or measured where that is more; None where nothing was compared."""
    if not comparison.latencies:
        return None
    return Latency(**{each.latency: max(each.measured_ms, each.predicted_ms) for each in comparison.latencies})


def _measured(proposal: Proposal, question: PlanRequest) -> MeasuredLatency:
    """Latency of the kind of machine that is ``current``, under its share of the load.

    In the busiest stretches, with the rate that they have; where these are not known over the window, at its mean rate.
    """
    count, observed = proposal.current[1] if proposal.current else 0, proposal.service.observed
    latency, rate = proposal.measured, question.demand.requests_per_second.mean
    if observed is not None and observed.by_load is not None:
        latency, rate = observed.by_load.busiest, observed.by_load.busiest_requests_per_second
    targets = kept_targets(latency)
    return MeasuredLatency(rate * count / max(len(proposal.service.machines), count), *targets.values)


def _of_today(question: PlanRequest, current: Deployment) -> PlanRequest:
    """The question with today's kind of machine alone."""
    workload = replace(
        question.workload,
        current=current,
        providers=(current.provider,),
        regions=(current.region,),
        instance_types=(current.instance_type,),
        purchase=(current.purchase,),
        listed_only=False,
        near_current=False,
    )
    return replace(question, workload=workload)


@dataclass(frozen=True, slots=True)
class _Judge:
    """A plan's judgement of today's machines under other targets."""

    question: PlanRequest
    catalog: Catalog
    count: int
    """Machines that run."""

    @property
    def is_spot(self) -> bool:
        """Whether today's machines can be withdrawn."""
        return self.question.workload.purchase == (Purchase.SPOT,)

    def judged(self, slo: Latency, waiting_ratio: float, survive: Survive = Survive.NOTHING) -> CurrentCost:
        """Today's machines under some targets.

        Args:
            slo: the targets.
            waiting_ratio: share of the requests that may wait while spot machines are withdrawn.
            survive: what may fail.

        Raises:
            AdvisorError: they cannot be judged.
        """
        workload = self.question.workload
        targets = replace(workload.slo, **{name: getattr(slo, name) for name in Latency.__slots__})
        limits = replace(workload.limits, survive=survive, fault_tolerant_ratio=waiting_ratio)
        question = replace(self.question, workload=replace(workload, slo=targets, limits=limits))
        current = judged_current(market_for(question, self.catalog, shipped_model()).market)
        if current is None:
            raise AssertionError("the question states what runs today")
        return current

    def keeps(self, slo: Latency, waiting_ratio: float, survive: Survive = Survive.NOTHING) -> bool:
        """Whether as many as run keep the targets."""
        needed = self.judged(slo, waiting_ratio, survive).instances_needed
        return needed is not None and needed <= self.count


def _looser(slo: Latency, told: Latency) -> Iterator[Latency]:
    """Targets, then looser ones: per token first, then to the first token, up to a limit times what each is made of."""
    yield slo
    while True:
        after = slo
        for name in ("tpot_p95_ms", "ttft_p95_ms", "e2e_p95_ms"):
            value, origin_ms = getattr(after, name), getattr(told, name)
            looser = rounded_up(value * _NEXT) if value else None
            if looser and origin_ms and looser <= _MOST_LOOSER * origin_ms:
                after = replace(after, **{name: looser})
                yield after
        if after == slo:
            return
        slo = after
