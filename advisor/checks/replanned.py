"""A plan under today's demand and prices: whether it holds, and whether another is cheaper."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.checks.prices import usd_today
from advisor.checks.values import Policy
from advisor.demand.synthetic_trace import rehearse
from advisor.demand.values import Demand
from advisor.demand_sources import as_demanded, measure_demand
from advisor.errors import NothingFeasible
from advisor.pipeline import plan_question
from advisor.plan.doubts import is_refused, refusal_words
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.replay.fleet import replay
from advisor.plan.replay.from_plan import planned
from advisor.plan.request import PlanRequest, read_question
from advisor.plan.solve.stage import running_of
from advisor.plan.values import Plan
from advisor.records import replace
from advisor.workload.measured_demand import TraceDemand

if TYPE_CHECKING:
    from advisor.checks.run import Now

REFUSED = "CHK205"
RULES = ("CHK201", "CHK202", "CHK203", "CHK204", REFUSED)
OF_DEMAND = ("CHK202", "CHK203")
"""Rules that are not looked at without today's demand."""
_REHEARSED_REQUESTS = 20_000
_STATE_DEMAND = "plan again with today's demand in the workload"
_AGAIN = "advisor recommend WORKLOAD --previous PLAN.json --format json -o PLAN.json"


def look(plan: Plan, where: str, now: "Now", policy: Policy, notes: list[str]) -> Iterator[tuple[str, str, str, str]]:
    """The fleet replayed on today's demand, its load against its capacity, and a plan made anew."""
    fleet = plan.fleet
    if fleet is None:
        raise NothingFeasible("the plan has no fleet to check", where=where, hint="plan again with other limits")
    if is_refused(plan):
        told = f"{refusal_words(plan)}; plan again with other targets, providers or regions in the workload"
        yield REFUSED, "", told, "advisor recommend WORKLOAD --format json -o PLAN.json"
    question = _question_now(read_question(plan.question, where), now)
    if now.demand is not None:
        yield from _load(fleet, question.demand)
        yield from _latency(plan, question.demand, now, notes)
    again = plan_question(
        replace(question, workload=replace(question.workload, running=tuple(running_of(plan).items()))),
        now.catalog,
        model=now.model,
    )
    if not (is_refused(plan) and is_refused(again)):
        yield from _cheaper(usd_today(fleet, now.catalog), again, policy)


def _question_now(question: PlanRequest, now: "Now") -> PlanRequest:
    """The question of a plan with today's demand."""
    if now.demand is None:
        return question
    workload = replace(
        question.workload, demand=now.demand, path=Path("workload.yaml"), demand_times=1.0, prompt_times=1.0
    )
    if workload.response_cache is not None and not isinstance(now.demand, TraceDemand):
        # What engines counted is what the cache of the plan left to them.
        workload = replace(workload, response_cache=replace(workload.response_cache, runs_already=True))
    demand = measure_demand(workload, question.model, now.catalog, now.model)
    return PlanRequest(as_demanded(workload, demand), question.model, demand)


def _load(fleet: Fleet, demand: Demand) -> Iterator[tuple[str, str, str, str]]:
    """The busiest minute of today against what the running instances are planned to carry."""
    busiest = max(range(len(fleet.hour_classes)), key=lambda at: fleet.hour_classes[at].planned_requests_per_second)
    ratio = fleet.holds_up_to.peak_ratio if fleet.holds_up_to else 1.0
    planned_rate = fleet.hour_classes[busiest].planned_requests_per_second
    most = planned_rate * max(ratio, 1.0)
    peak = demand.requests_per_second.peak
    if peak > most:
        told = f"the busiest minute has {peak:.4g} requests/s, the fleet holds up to {most:.4g}"
        yield "CHK203", "", f"{told}; {_STATE_DEMAND}", _AGAIN


def _latency(plan: Plan, demand: Demand, now: "Now", notes: list[str]) -> Iterator[tuple[str, str, str, str]]:
    """The fleet under synthetic requests, modelled on today's demand."""
    set_up = planned(plan, now.catalog, now.model)
    notes += set_up.notes
    trace = rehearse(demand, _REHEARSED_REQUESTS, None, 1.0)
    result = replay(set_up.groups, trace.requests, set_up.slo, routes=set_up.routes)
    asked = plan.workload["slo"]["within_ratio"]
    if result.within_slo_ratio < asked:
        requests = f"{trace.requests.seconds.size:,} requests"
        told = f"{result.within_slo_ratio:.2%} of {requests} keep the SLO, {asked:.0%} asked ({trace.words})"
        if result.refused:
            longest = plan.workload["context_tokens"]
            told += f"; {result.refused:,} are refused, longer than {longest:,} tokens (context_tokens)"
        yield "CHK202", "", f"{told}; {_STATE_DEMAND}", _AGAIN


def _cheaper(then: float, again: Plan, policy: Policy) -> Iterator[tuple[str, str, str, str]]:
    """A plan made anew against what the fleet costs at today's prices."""
    if again.fleet is None:
        reason = again.conflict.constraints if again.conflict else ()
        told = "nothing that was found serves it within the limits" + (f": {' and '.join(reason)}" if reason else "")
        yield "CHK204", "", told, "advisor recommend WORKLOAD"
        return
    if is_refused(again):
        yield "CHK204", "", refusal_words(again), "advisor recommend WORKLOAD"
        return
    now = again.fleet.cost.total_usd_per_month
    if then and 1 - now / then > policy.cheaper_by_ratio:
        words = " + ".join(
            f"{max(group.instances)} × {group.instance_type} {group.purchase.replace('_', ' ')}"
            for group in again.fleet.groups
        )
        paid = f"the plan {then:,.2f} at today's prices"
        told = f"{words} costs {now:,.2f} USD a month, {paid} ({1 - now / then:.0%} less)"
        yield "CHK201", "", told, _AGAIN
