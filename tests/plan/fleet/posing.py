"""From a workload and a catalog to the question that a fleet is confirmed for."""

from dataclasses import replace

from advisor.candidates import match
from advisor.demand_sources import measure_demand
from advisor.models import find_model
from advisor.performance.model import shipped_model
from advisor.performance.stage import serve
from advisor.plan.fleet.choose import forecast_of
from advisor.plan.geography import in_reach
from advisor.plan.problem.hours import week_of
from advisor.plan.request import PlanRequest, requirements_of
from advisor.plan.solve.stage import Effort, Formulation, PlanningContext, formulate, standing_of, supply_of


def posed_of(asked, catalog, profile=None, **effort) -> tuple[Formulation, PlanningContext]:
    """The question of a workload, with the profile of its demand where one is given."""
    model = find_model(asked.model_reference)
    demand = measure_demand(asked, model, catalog, None)
    demand = replace(demand, profile=profile) if profile is not None else demand
    requirements = requirements_of(PlanRequest(asked, model, demand), catalog)
    matches = in_reach(match(requirements, catalog), asked, catalog)
    served, _ = serve(matches.candidates, requirements, shipped_model())
    standing, _ = standing_of(requirements, catalog)
    context = PlanningContext(requirements, catalog, shipped_model(), standing, Effort(**effort))
    week = week_of(forecast_of(requirements), scheduled=asked.scaling.scheduled)
    return formulate(context, supply_of(context, served, matches.offers), week), context


def with_pools(formulation: Formulation, keep) -> Formulation:
    """The question with those of its pools that a predicate keeps."""
    pools = tuple(pool for pool in formulation.problem.pools if keep(pool))
    return replace(formulation, problem=replace(formulation.problem, pools=pools))
