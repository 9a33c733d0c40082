"""From a workload and a catalog to the question that a fleet is confirmed for."""

from dataclasses import replace

from advisor.candidates import match
from advisor.models import find_model
from advisor.performance.model import shipped_model
from advisor.performance.stage import serve
from advisor.pipeline import measure_demand
from advisor.plan.fleet.choose import forecast_of
from advisor.plan.geography import in_reach
from advisor.plan.problem.hours import week_of
from advisor.plan.question import Question, requirements_of
from advisor.plan.solve.stage import Effort, Posed, Setting, pose, supply_of
from advisor.plan.solve.standing import standing_of


def posed_of(asked, catalog, profile=None, **effort) -> tuple[Posed, Setting]:
    """The question of a workload, with the profile of its demand where one is given."""
    model = find_model(asked.model_reference)
    demand = measure_demand(asked, model, catalog, None)
    demand = replace(demand, profile=profile) if profile is not None else demand
    requirements = requirements_of(Question(asked, model, demand), catalog)
    matches = in_reach(match(requirements, catalog), asked, catalog)
    served, _ = serve(matches.candidates, requirements, shipped_model())
    standing, _ = standing_of(requirements, catalog)
    setting = Setting(requirements, catalog, shipped_model(), standing, Effort(**effort))
    week = week_of(forecast_of(requirements), scheduled=asked.scaling.scheduled)
    return pose(setting, supply_of(setting, served, matches.offers), week), setting


def with_pools(posed: Posed, keep) -> Posed:
    """The question with those of its pools that a predicate keeps."""
    pools = tuple(pool for pool in posed.problem.pools if keep(pool))
    return replace(posed, problem=replace(posed.problem, pools=pools))
