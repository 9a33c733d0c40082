"""Seats on shared machines, confirmed by a replay of the requests that they are for, one by one."""

from advisor.catalog import Catalog
from advisor.demand.synthetic_trace import rehearse
from advisor.performance.model import PerformanceModel
from advisor.performance.stage import times_of
from advisor.plan.estate.seats import Seat
from advisor.plan.estate.turns import on_a_part, times_slower
from advisor.plan.replay.fleet import replay
from advisor.plan.replay.from_plan import candidate_of
from advisor.plan.replay.values import ReplayGroup
from advisor.plan.request import catalog_of_question, read_question, requirements_of
from advisor.plan.values import Plan
from advisor.records import replace

REHEARSED_REQUESTS = 2_000
"""99 % are shown to within 0.44 points (two standard errors of a share)."""


def within_slo_ratio(seat: Seat, plan: Plan, sharers: int, catalog: Catalog, model: PerformanceModel) -> float:
    """Share of a seat's requests within every target, on its equal part of the time of the accelerator.

    Args:
        seat: with the rate that it is planned for.
        plan: of the workload.
        sharers: equal parts of the accelerator's time, of which it has one; 1: it is alone on it, or on a slice.
        catalog: hardware.
        model: how fast that is.
    """
    question = read_question(plan.question, seat.workload)
    requirements = requirements_of(question, catalog_of_question(question, catalog))
    candidate = candidate_of(seat, requirements, catalog, seat.workload)
    steps = times_of(candidate, requirements, model, (seat.max_concurrency, seat.context_tokens))
    demand, times = requirements.demand, times_slower(sharers)
    share = seat.planned_requests_per_second_per_instance / demand.requests_per_second.peak
    requests = rehearse(demand, REHEARSED_REQUESTS, scale=share).requests
    begun = requests.seconds[0]
    hastened = replace(requests, seconds=begun + (requests.seconds - begun) / times)
    group = ReplayGroup(seat.workload, steps, (1,), seat.instance_usd_per_hour)
    return replay([group], hastened, on_a_part(question.workload.slo, times)).within_slo_ratio
