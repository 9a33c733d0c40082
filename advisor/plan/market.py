"""Market of a question: the question written down, with all that fleets are chosen from."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from advisor.catalog.values import Offer
from advisor.demand.forecast import batch_forecast
from advisor.demand.values import BatchBeside, BatchRun, Demand, Floats, Forecast, TokenHistogram
from advisor.performance.evidence import Served
from advisor.performance.stage import full_rates
from advisor.performance.transfer import sent_gb
from advisor.plan.batch_work import Fill, fill_of, raised_forecast
from advisor.plan.fleet.choose import forecast_of
from advisor.plan.problem.hours import Week, few_hours_by_cost, hours_by_cost, later_hours_by_cost, week_of
from advisor.plan.problem.supply import Supply, check_purchase
from advisor.plan.replay.groups import Confirmed
from advisor.plan.replay.validator import ReplayValidator
from advisor.plan.solve.stage import Formulation, PlanningContext, formulate, narrowed, supply_of
from advisor.records import dataclass, replace
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
    fill: Fill | None = None
    """Batch work beside the requests; None: there is none, or it is not planned yet."""

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

    *wide*: the same requirements with all that any rung of the ladder allows. Raises InputError if nothing that is
    allowed can be bought.
    """
    requirements = context.requirements
    check_purchase(requirements)
    expected = forecast_of(requirements)
    week = week_of(expected, scheduled=requirements.workload.scaling.scheduled)
    supply = supply_of(replace(context, requirements=wide), served, offers)
    formulation = formulate(context, narrowed(supply, requirements.workload), week)
    market = Market(context, supply, expected, week, formulation, ReplayValidator(formulation, context))
    return in_hours(market, next(iter(hours_to_try(market)), None))


def hours_to_try(market: Market) -> Mapping[int, float]:
    """Hours of a batch run that suit some machines, the cheapest first, with USD a month; empty of other work."""
    run = market.context.requirements.demand.batch
    return {} if run is None else hours_by_cost(market.formulation.problem, run, _planned_items(market, run))


def hours_after(market: Market, hours: Collection[int]) -> Mapping[int, float]:
    """Hours of a batch run soon after some, the cheapest first, with USD a month; empty of other work."""
    run = market.context.requirements.demand.batch
    if run is None:
        return {}
    return later_hours_by_cost(market.formulation.problem, run, _planned_items(market, run), hours)


def _planned_items(market: Market, run: BatchRun) -> float:
    return run.planned_items(hours_of(market), market.week.classes[-1].planned_rate)


def hours_of(market: Market) -> int:
    """Hours of a run of batch work that are planned; 0 of other work."""
    run = market.context.requirements.demand.batch
    return 0 if run is None else run.hours_up(market.week.classes[-1].hours_per_week)


def in_hours(market: Market, hours: int | None) -> Market:
    """The question of batch work in so many hours of a run; None: as it is."""
    if hours is None:
        return market
    other = _expecting(market, forecast_of(market.context.requirements, hours))
    return market if other.week.schedule == market.week.schedule else other


def beside_batch(market: Market, confirmed: Confirmed, hours: int | None = None, raised: int | None = None) -> Market:
    """The question with the batch work beside its requests; as it is where there is none.

    *confirmed*: its fleet, whose idle hours are filled first. *hours*: of a run in which the work is done, the first
    that are open; None: all. *raised*: of these, the first in which machines may be added; None: all.
    """
    beside = market.context.requirements.demand.beside
    if beside is None:
        return market
    hours = hours or len(beside.run.open_hours)
    beside = replace(beside, run=beside.run.in_first(hours))
    market = of_demand(market, replace(market.context.requirements.demand, beside=beside))
    workload = market.workload
    grown = batch_forecast(
        beside.run, hours, horizon_days=workload.horizon_days, growth_per_year=workload.growth_per_year
    )
    items = beside.run.planned_items(hours, float(grown.peak.max()))
    weight = _weight(market, confirmed, beside)
    fill = fill_of(beside.run, items, weight, market.expected, confirmed, raised or hours)
    expected = raised_forecast(fill, confirmed)
    added = _Added(expected.mean - market.expected.mean, weight, _sent_ratio(market, beside))
    raised_hours = set(beside.run.hours_of_week(fill.raised_hours))
    return replace(_expecting(market, expected, added, raised_hours), fill=fill)


def raised_hours_by_cost(market: Market, fill: Fill) -> Mapping[int, float]:
    """Numbers of the first open hours to add machines in for what all of them leave no room for, the cheapest first.

    With USD a month of these machines, in fewer hours than are open.
    """
    rest = (fill.items - fill.idle_items) * fill.weight
    return few_hours_by_cost(market.formulation.problem, fill.run, rest)


def of_demand(market: Market, demand: Demand) -> Market:
    """The question of another demand, whose forecast is the same."""
    requirements = replace(market.context.requirements, demand=demand)
    return replace(market, context=replace(market.context, requirements=requirements))


def _weight(market: Market, confirmed: Confirmed, beside: BatchBeside) -> float:
    """Requests that a full replica serves while it serves one item, on the replica of a fleet where that is most."""
    requirements, sources = market.context.requirements, confirmed.formulation.pool_set.sources
    candidates = [sources[group.pool.key].served.candidate for group in confirmed.solution.allocations]
    items = TokenHistogram(np.array([beside.input_tokens]), np.array([beside.output_tokens]), np.ones(1))
    rates = full_rates(candidates, requirements, market.context.model, [requirements.demand.tokens, items])
    return float((rates[0] / rates[1]).max())


def _sent_ratio(market: Market, beside: BatchBeside) -> float:
    """Bytes of an item's answer ÷ those of a request's."""
    requirements = market.context.requirements
    demand, model = requirements.demand, requirements.model
    items = replace(
        demand,
        input_tokens=replace(demand.input_tokens, mean=beside.input_tokens),
        output_tokens=replace(demand.output_tokens, mean=beside.output_tokens),
    )
    return sent_gb(items, model) / sent_gb(demand, model)


class _Added(NamedTuple):
    """Batch work that a forecast holds as requests."""

    rates: Floats
    """Requests per second in each hour of the week, (168,)."""
    weight: float
    sent_ratio: float


def _expecting(market: Market, expected: Forecast, added: _Added | None = None, raised: Collection[int] = ()) -> Market:
    """The question under another forecast.

    *raised*: hours of the week in which machines may be added for it; they are cut apart from the others, and so are
    hours of the question's own classes, each planned for no less than there: a fleet of the new question serves the
    requests alone too.
    """
    workload = market.context.requirements.workload
    if added is None:
        week = week_of(expected, scheduled=workload.scaling.scheduled)
    else:
        alone = market.week.by_hours or market.week
        week = week_of(
            expected,
            scheduled=workload.scaling.scheduled,
            kinds=[2 * number + (hour in raised) for hour, number in enumerate(alone.schedule)],
            least_rates=[alone.classes[number].planned_rate for number in alone.schedule],
        ).with_items(alone, *added)
    formulation = formulate(market.context, narrowed(market.supply, workload), week)
    validator = ReplayValidator(formulation, market.context)
    return replace(market, expected=expected, week=week, formulation=formulation, validator=validator)
