"""Options where hours differ: each has the fleet that the question of its type alone has, and limits judge that."""

from dataclasses import replace

import pytest

from advisor.demand_sources import measure_demand
from advisor.models import find_model
from advisor.plan.choosing import Asked, chosen_fleet
from advisor.plan.options import rank, refined
from advisor.plan.planning import plan_routed
from advisor.workload.values import Limits
from plan.replay.test_confirm import CATALOG, asked_of
from plan.replay.test_hour_classes import demand_of
from plan.test_referee import market_of_demand


def market_with(seed, budget=None, **changes):
    """The market of a demand whose hours differ, on four types."""
    profile, _ = demand_of(seed)
    rate = profile.requests_per_minute.max() / 60
    limits = Limits(max_usd_per_month=budget)
    asked = asked_of(rate, ttft_ms=(500, 1000, 1500)[seed % 3], limits=limits, **changes)
    demand = measure_demand(asked, find_model(asked.model_reference), CATALOG, None)
    return market_of_demand(asked, CATALOG, replace(demand, profile=profile))


def planned_with(seed, budget=None, **changes):
    """Plan for it, with its options."""
    return plan_routed(market_with(seed, budget, **changes), Asked())[1]


def of_type(planned, instance_type):
    """The option of a type; None without any."""
    return next((option for option in planned.options if option.instance_type == instance_type), None)


def test_a_budget_judges_an_option_as_it_is_shown():
    """By bisection alone it would be beyond a budget that the fleet of its own question keeps to."""
    free, held = planned_with(3), planned_with(3, 4_000)
    market = market_with(3)
    ranking = rank(market.formulation, market.validator, market.context, None, 5)
    usd = {single.pool.instance_type: single.usd_per_month for single in ranking.singles}
    refused = [rejection for rejection in held.rejections if rejection.code == "budget"]

    assert usd["aws/g6.xlarge"] > 4_000 > of_type(free, "g6.xlarge").cost.total_usd_per_month
    assert of_type(held, "g6.xlarge").cost == of_type(free, "g6.xlarge").cost
    assert [rejection.instance_type for rejection in refused] == ["p5.4xlarge"]
    assert held.choice.fleet.cost == free.choice.fleet.cost


def test_every_replayed_option_is_searched_once():
    """However many are shown, and none again when the ranking is looked at once more."""
    market = market_with(3)
    ranking = rank(market.formulation, market.validator, market.context, None, 5)

    once = refined(ranking, market.formulation, market.validator, market.context)
    again = refined(once, market.formulation, market.validator, market.context)

    assert all(single.is_searched for single in once.singles if single.confirmed is not None)
    assert sum(single.usd_per_month for single in once.singles) < sum(
        single.usd_per_month for single in ranking.singles
    )
    assert again.singles == once.singles


@pytest.mark.parametrize("budget", [None, 6_300])
def test_a_simple_fleet_is_the_one_that_its_type_alone_would_have(budget):
    """The dearer one of the search among all types is replaced, within a budget too, and the cheapest mix is named."""
    fleet = planned_with(37, budget).choice.fleet
    alone = planned_with(37, instance_types=("g6e.xlarge",)).choice.fleet

    assert {group.instance_type for group in fleet.groups} == {"g6e.xlarge"}
    assert fleet.cost.total_usd_per_month == alone.cost.total_usd_per_month
    assert fleet.cheapest.total_usd_per_month == pytest.approx(
        fleet.cost.total_usd_per_month - fleet.cheapest.usd_per_month_more
    )
    assert fleet.cheapest.usd_per_month_more > 0


def test_a_fleet_little_beyond_a_budget_is_an_option_within_it(monkeypatch):
    """The search of the option's own question finds one, where a first search that ends early is beyond the budget."""
    monkeypatch.setattr("advisor.plan.replay.fleet_search.MOST_THINNED_FAILED", 8)
    market = market_with(7, 16_500, instance_types=("g6.xlarge",))
    free = chosen_fleet(market_with(7, instance_types=("g6.xlarge",)), Asked()).fleet

    chosen = chosen_fleet(market, Asked())

    assert free.usd_per_month > 16_500
    assert chosen.fleet.confirmation.reached
    assert chosen.fleet.usd_per_month <= 16_500
    assert chosen.fleet.solution.bound_usd_per_month <= chosen.fleet.usd_per_month
