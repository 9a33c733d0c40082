"""Market of a question: the question written down, with all that fleets are chosen from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from advisor.catalog.values import Offer
from advisor.demand.values import Forecast
from advisor.performance.served import Served
from advisor.plan.fleet.choose import forecast_of
from advisor.plan.problem.batch_hours import batch_hours
from advisor.plan.problem.hours import Week, week_of
from advisor.plan.problem.supply import Supply
from advisor.plan.problem.tariffs import check_purchase
from advisor.plan.problem.values import Pool
from advisor.plan.replay.validator import ReplayValidator
from advisor.plan.solve.stage import Formulation, PlanningContext, formulate, narrowed, supply_of
from advisor.requirements import Requirements
from advisor.workload.values import Workload


@dataclass(frozen=True, slots=True, eq=False)
class Market:
    """A question written down, with all that fleets are chosen from."""

    context: PlanningContext
    supply: Supply
    """Supply of the question, and of whatever else a rung of the ladder allows."""
    expected: Forecast
    week: Week
    formulation: Formulation
    validator: ReplayValidator

    @property
    def workload(self) -> Workload:
        """Workload as requested."""
        return self.context.requirements.workload


def market_of(
    context: PlanningContext,
    wide: Requirements,
    served: Sequence[Served],
    offers: Mapping[tuple[str, str], tuple[Offer, ...]],
) -> Market:
    """Write a question down.

    Args:
        context: what is asked, the catalog, the performance model, and what runs or is owned.
        wide: the same requirements with all that any rung of the ladder allows.
        served: candidates of the wide requirements that keep the SLO.
        offers: of the wide requirements, by (provider, instance type).

    Raises:
        InputError: nothing that is allowed can be bought.
    """
    requirements = context.requirements
    check_purchase(requirements)
    expected = forecast_of(requirements)
    week = week_of(expected, scheduled=requirements.workload.scaling.scheduled)
    supply = supply_of(replace(context, requirements=wide), served, offers)
    formulation = formulate(context, narrowed(supply, requirements.workload), week)
    market = Market(context, supply, expected, week, formulation, ReplayValidator(formulation, context))
    return market if requirements.demand.batch is None else in_hours_of(market, formulation.problem.pools)


def in_hours_of(market: Market, pools: Iterable[Pool]) -> Market:
    """The question of batch work in the hours of a run that the cheapest of some pools take; as it is of other work."""
    requirements = market.context.requirements
    run, busiest = requirements.demand.batch, market.week.classes[-1]
    if run is None:
        return market
    items = run.planned_items(busiest.hours_per_week // run.runs_per_week, busiest.planned_rate)
    hours = batch_hours(replace(market.formulation.problem, pools=tuple(pools)), run, items)
    expected = forecast_of(requirements, hours)
    week = week_of(expected, scheduled=True)
    if week.schedule == market.week.schedule:
        return market
    formulation = formulate(market.context, narrowed(market.supply, requirements.workload), week)
    validator = ReplayValidator(formulation, market.context)
    return replace(market, expected=expected, week=week, formulation=formulation, validator=validator)
