"""Plans of a question with some of its levers pulled."""

from collections.abc import Callable, Collection

from advisor.cost.standing import cache_usd_per_month
from advisor.errors import InputError
from advisor.levers.changes import Changes
from advisor.levers.values import Change, Latency
from advisor.plan.alternatives import rung_of
from advisor.plan.market import Market
from advisor.plan.planning import routed_fleet, with_batch
from advisor.plan.problem.charges import standing_charges
from advisor.plan.problem.values import Infeasible, PurchaseOption
from advisor.plan.replay.confirmed import Confirmed
from advisor.plan.request import PlanRequest, requirements_of
from advisor.plan.rung_fleets import is_allowed
from advisor.plan.rungs import RungScope, Step
from advisor.plan.today import judged_current
from advisor.plan.values import CurrentCost, Rung
from advisor.records import dataclass, replace
from advisor.requirements import Requirements
from advisor.units import ratio_words

Planner = Callable[[PlanRequest], Market]
"""Poses a question: :func:`advisor.pipeline.market_of_requests` with its catalog and performance model."""
_SCOPE = RungScope(Step.AS_STATED, None)


@dataclass(frozen=True, slots=True, eq=False)
class LeverPlan:
    """Recommended fleet of a question with some levers pulled, confirmed by its replay."""

    requirements: Requirements
    usd_per_month: float
    fleet: Rung
    """The fleet with what it takes beyond today, or beyond the question without any lever."""
    latency: Latency
    cache_usd_per_month: float
    """Share of the cost that is the response cache's."""
    used: frozenset[str]
    """Levers of those pulled without which the fleet is not allowed, or not there."""


@dataclass(frozen=True, slots=True, eq=False)
class LeverPlanner:
    """Plans the question of some changes under any of its levers."""

    changes: Changes
    pose: Planner

    def plan(self, levers: frozenset[str]) -> LeverPlan | str:
        """The recommended fleet with some levers pulled, or why there is none."""
        try:
            market = self.pose(self.changes.question(levers))
            fleet = routed_fleet(market)
        except InputError as error:
            return error.message
        if isinstance(fleet, Infeasible):
            limits = " and ".join(constraint.value for constraint in fleet.conflict)
            return f"no fleet keeps to {limits or 'the demand'}"
        if fleet is None:
            return "nothing that is allowed keeps the SLO"
        if not fleet.confirmation.reached:
            return f"the best fleet keeps {ratio_words(fleet.confirmation.within_slo_ratio)} of the requests within SLO"
        return self._described(market, fleet, levers)

    def today(self, levers: Collection[str]) -> CurrentCost | None:
        """Today's deployment at all that a plan would count for it, judged by the replay of the question's plans."""
        market = with_batch(self.pose(self.changes.question(levers)))
        return judged_current(market, requirements_of(self.changes.stated, market.context.catalog))

    def _described(self, market: Market, fleet: Confirmed, levers: Collection[str]) -> LeverPlan:
        context, requirements = market.context, market.context.requirements
        beside = replace(context, requirements=replace(requirements, workload=self.changes.without.workload))
        problem, solution, confirmation = fleet.formulation.problem, fleet.solution, fleet.confirmation
        return LeverPlan(
            requirements=requirements,
            usd_per_month=fleet.usd_per_month,
            fleet=rung_of(_SCOPE, fleet, beside, None),
            latency=Latency(confirmation.ttft_p95_ms, confirmation.tpot_p95_ms),
            cache_usd_per_month=cache_usd_per_month(standing_charges(problem, solution.allocations, solution.shares)),
            used=frozenset(lever for lever in levers if self._uses(lever, levers, fleet)),
        )

    def _uses(self, lever: str, levers: Collection[str], confirmed: Confirmed) -> bool:
        """Whether a fleet needs a lever that was pulled for it."""
        change = self.changes.by_lever[lever]
        if isinstance(change, Change) and change.widens:
            others = self.changes.question([other for other in levers if other != lever])
            return not is_allowed(others.workload, confirmed)
        allocations = confirmed.solution.allocations
        match lever:
            case "schedule":
                return any(len(set(allocation.instances)) > 1 for allocation in allocations)
            case "scale_to_zero":
                hours = zip(*(allocation.instances for allocation in allocations), strict=True)
                is_service = any(allocation.tariff.paid is PurchaseOption.SERVERLESS for allocation in allocations)
                return is_service or any(not any(hour) for hour in hours)
            case "routing":
                return bool(confirmed.formulation.bucket_edges)
        return True
