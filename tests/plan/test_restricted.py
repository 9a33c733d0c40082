"""A workload held to one instance type, to one accelerator or to a budget gets no cheaper fleet than without."""

import math
from dataclasses import replace
from functools import cache

import pytest

from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.errors import InputError
from advisor.performance.model import shipped_model
from advisor.pipeline import market_for
from advisor.plan.choosing import Asked
from advisor.plan.planning import Planned, plan_routed
from advisor.workload.values import Limits, Survive
from plan.generated import PLACES, made, tried

WITHIN = 0.98
"""Confirmed fleets are found to 2 % of the cheapest one."""
A_CENT = 0.011
ONCE_CHEAPER = (17, 90, 186)
"""One on demand where two on spot miss; a commitment beside instances on demand, both below the closed form; a mix that holds
where a cheaper one failed."""
ONCE_DEARER = (1017, 1018, 1023)
"""Weights that an interruption of spot left too much for; kinds of machines that were not mixed."""
NUMBERS = sorted({*tried(), *ONCE_CHEAPER})


def planned(number, **changes) -> Planned:
    """The answer to a generated workload with some of its keys changed."""
    question = made(number).question
    changed = replace(question, workload=replace(question.workload, **changes))
    return plan_routed(market_for(changed, load_catalog(), shipped_model()).market, Asked())[1]


@cache
def unrestricted(number) -> Planned:
    """The answer as the workload is."""
    return planned(number)


def usd(answer) -> float:
    """Cost of the cheapest fleet that its replay confirms; infinite where there is none."""
    fleet = answer.choice.fleet
    if fleet is None or not fleet.confirmed.reached:
        return math.inf
    return (fleet.cheapest or fleet.cost).total_usd_per_month


def restrictions(answer):
    """To each type and accelerator of a fleet, and of the cheapest options."""
    layouts = [*answer.choice.fleet.groups, *answer.options[:3]]
    for kind in dict.fromkeys(one.instance_type for one in layouts):
        yield {"instance_types": (kind,)}
    for accelerator in dict.fromkeys(one.accelerator for one in layouts):
        yield {"accelerators": (accelerator,)}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("number", NUMBERS)
def test_no_type_or_accelerator_alone_is_cheaper_than_all_of_them(number):
    """To 2 %."""
    answer = unrestricted(number)
    if answer.choice.fleet is None:
        pytest.skip("nothing serves it")

    for changes in restrictions(answer):
        try:
            alone = usd(planned(number, **changes))
        except InputError:
            continue
        assert alone >= WITHIN * usd(answer) - A_CENT, changes


@pytest.mark.parametrize("number", NUMBERS)
def test_a_budget_of_what_the_recommendation_costs_changes_nothing(number):
    """Neither the recommendation nor the cheapest fleet."""
    answer = unrestricted(number)
    if usd(answer) == math.inf:
        pytest.skip("nothing serves it")
    total = answer.choice.fleet.cost.total_usd_per_month
    limits = replace(made(number).workload.limits, max_usd_per_month=math.ceil(total * 100) / 100)

    held = planned(number, limits=limits)

    assert held.choice.fleet.cost.total_usd_per_month == pytest.approx(total, abs=A_CENT)
    assert usd(held) == pytest.approx(usd(answer), abs=A_CENT)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("number", ONCE_DEARER)
def test_nothing_to_survive_costs_no_more_than_an_instance(number):
    """With spot, which is interrupted in both replays."""
    regions = tuple(region for region in made(number).workload.regions if region not in PLACES["gcp"])
    asked = {
        "providers": ("aws", "azure"), "regions": regions, "current": None,
        "purchase": (Purchase.ON_DEMAND, Purchase.SPOT),
    }  # fmt: skip

    nothing, instance = (
        usd(planned(number, **asked, limits=Limits(survive=survive))) for survive in (Survive.NOTHING, Survive.INSTANCE)
    )

    assert nothing <= instance + A_CENT
