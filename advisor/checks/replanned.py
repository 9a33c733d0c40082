"""A plan against today's prices and demand: what moved, whether it holds, and whether another is cheaper."""

import datetime as dt
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.catalog import Catalog
from advisor.catalog.price_trust import first_day
from advisor.checks.values import Policy
from advisor.demand.capped import capped_note
from advisor.demand.synthetic_trace import rehearse
from advisor.demand.values import Demand
from advisor.demand_sources import as_demanded, measure_demand
from advisor.errors import NothingFeasible
from advisor.pipeline import BEST, BRIEF, answer
from advisor.plan.doubts import is_refused, refusal_words
from advisor.plan.fleet.chosen import Fleet, FleetGroup
from advisor.plan.replay.fleet import replay
from advisor.plan.replay.from_plan import planned
from advisor.plan.replay.groups import at_scale, thinned
from advisor.plan.replay.steady import filling_of
from advisor.plan.request import PlanRequest, read_question
from advisor.plan.solve.stage import running_of
from advisor.plan.values import Plan
from advisor.records import replace
from advisor.report.price_age import refresh_hint
from advisor.units import A_CENT
from advisor.workload.measured_demand import TraceDemand

if TYPE_CHECKING:
    from advisor.checks.run import Now

PRICE_RULES = ("CHK101", "CHK102", "CHK103", "CHK104")
REFUSED = "CHK205"
RULES = ("CHK201", "CHK202", "CHK203", "CHK204", REFUSED)
OF_DEMAND = ("CHK202", "CHK203")
"""Rules that are not looked at without today's demand."""
_REHEARSED_REQUESTS = 20_000
_STATE_DEMAND = "plan again with today's demand in the workload"
_AGAIN = "advisor recommend WORKLOAD --previous PLAN.json --format json -o PLAN.json"
_PLAN_AGAIN = "advisor recommend WORKLOAD --previous PLAN.json"


def look_at_prices(plan: Plan, catalog: Catalog, today: dt.date, policy: Policy) -> Iterator[tuple[str, str, str, str]]:
    """Prices that moved or are old, types that are not sold any more, and what they add up to against the budget."""
    for group in plan.fleet.groups if plan.fleet else ():
        yield from _of_group(group, catalog, policy)
        yield from _of_age(group, today, policy)
    yield from _over_budget(plan, catalog, policy)


def _of_group(group: FleetGroup, catalog: Catalog, policy: Policy) -> Iterator[tuple[str, str, str, str]]:
    """The price of a group today, where it is sold on demand or spot: others are not rows of their own."""
    if group.purchase not in ("on_demand", "spot"):
        return
    offer = catalog.offer(group.provider, group.region, group.instance_type)
    if offer is None or offer.withdrawn:
        yield "CHK102", group.name, f"{group.instance_type} is not sold in {group.region} any more", _PLAN_AGAIN
        return
    price = offer.spot if group.purchase == "spot" else offer.on_demand
    if price is None:
        yield (
            "CHK102",
            group.name,
            f"{group.instance_type} has no price on {group.purchase} in {group.region}",
            _PLAN_AGAIN,
        )
        return
    then, now = group.instance_usd_per_hour, price.usd_per_hour
    if then and abs(now / then - 1) > policy.price_tolerance_ratio:
        told = f"planned at {then:.5g} USD an hour, now {now:.5g} ({now / then - 1:+.1%})"
        yield "CHK101", group.name, f"{told}; {policy.price_tolerance_ratio:.0%} is tolerated", _PLAN_AGAIN


def _of_age(group: FleetGroup, today: dt.date, policy: Policy) -> Iterator[tuple[str, str, str, str]]:
    if group.purchase == "owned":
        return
    day = first_day(group.price_as_of)
    most = policy.max_spot_price_age_days if group.purchase == "spot" else policy.max_price_age_days
    age = None if day is None else (today - day).days
    if age is None or age > most:
        told = "has no date" if age is None else f"is {age} days old"
        sentence = f"the price of {group.instance_type} {told}; {most:.0f} are accepted"
        yield "CHK103", group.name, sentence, refresh_hint(group.provider)


def _over_budget(plan: Plan, catalog: Catalog, policy: Policy) -> Iterator[tuple[str, str, str, str]]:
    """The total at today's prices against the lower of the budgets that workload and policy state."""
    stated = {
        "limits.max_usd_per_month of the workload": plan.workload["limits"]["max_usd_per_month"],
        "max_usd_per_month of the policy": policy.max_usd_per_month,
    }
    budgets = [(usd, where) for where, usd in stated.items() if usd is not None]
    if plan.fleet is None or not budgets:
        return
    budget, where = min(budgets)
    now = usd_today(plan.fleet, catalog)
    if now > budget + A_CENT / 2:
        yield (
            "CHK104",
            "",
            f"{now:,.2f} USD a month at today's prices, {budget:,.2f} are budgeted ({where})",
            _PLAN_AGAIN,
        )


def usd_today(fleet: Fleet, catalog: Catalog) -> float:
    """USD a month of the fleet where what it pays on demand and on spot costs what it costs today."""
    usd = fleet.cost.total_usd_per_month
    for group in fleet.groups:
        offer = catalog.offer(group.provider, group.region, group.instance_type)
        price = None if offer is None else {"spot": offer.spot, "on_demand": offer.on_demand}.get(group.purchase)
        if price is not None and group.instance_usd_per_hour:
            usd += group.compute_usd_per_month * (price.usd_per_hour / group.instance_usd_per_hour - 1)
    return usd


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
        notes += [] if question.demand.capped is None else [capped_note(question.demand.capped)]
        yield from _load(fleet, question.demand)
        yield from _latency(plan, question.demand, now, notes)
    question = replace(question, workload=replace(question.workload, running=tuple(running_of(plan).items())))
    usd = usd_today(fleet, now.catalog)
    findings: list[tuple[str, str, str, str]] = []
    # A brief plan takes less than half of the time and rarely costs more: where it is no news, the full one is none.
    for extent in (BRIEF, BEST):
        again = answer(question, now.catalog, now.model, extent).plan
        findings = [] if is_refused(plan) and is_refused(again) else list(_cheaper(usd, again, policy))
        if not findings:
            return
    yield from findings


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
    tokens = demand.tokens
    times = (group.steps for group in set_up.groups)
    filling = filling_of(times, tokens.mean_input_tokens(), tokens.mean_output_tokens())
    rehearsed = partial(rehearse, demand, _REHEARSED_REQUESTS, None, filling_minutes=filling)
    small = at_scale(set_up.groups, set_up.routes, rehearsed)
    requests = thinned(small.rehearsal.requests, small.share)
    result = replay(small.groups, requests, set_up.slo, routes=small.routes)
    asked = plan.workload["slo"]["within_ratio"]
    if result.within_slo_ratio < asked:
        told = f"{result.within_slo_ratio:.2%} of {result.requests:,} requests keep the SLO, {asked:.0%} asked"
        told += f" ({small.rehearsal.words})"
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
