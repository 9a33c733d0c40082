"""What pools are made of: zones that sell a type, what fails together, and which commitments are offered."""

from dataclasses import replace

import numpy as np
import pytest

from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.demand.values import DemandProfile
from advisor.plan.problem.supply import HISTORY_DAYS, why_no_commitment
from advisor.plan.problem.values import PurchaseOption
from advisor.plan.solve.stage import formulate, narrowed
from advisor.workload.values import Limits, Scaling
from builders import catalog_of, offer, workload
from plan.fleet.posing import posed_of

SHIPPED = load_catalog()
BOUGHT = (Purchase.ON_DEMAND, Purchase.COMMITMENT)
MINUTES_PER_DAY = 1440


def terms(days=0.0, **changes) -> set[float]:
    """Years of the commitments that a workload is offered for AWS machines with one L40S, after so many days."""
    catalog = SHIPPED.with_offers(one for one in SHIPPED.offers if one.instance_type == "g6e.xlarge")
    profile = DemandProfile(0.0, np.full(round(days * MINUTES_PER_DAY), 60.0)) if days else None
    asked = workload(regions=("us-east-1",), purchase=BOUGHT, **changes)
    formulation, _ = posed_of(asked, catalog, profile)
    return {
        tariff.term_years
        for pool in formulation.problem.pools
        for tariff in pool.tariffs
        if tariff.paid is PurchaseOption.COMMITMENT
    }


@pytest.mark.parametrize(
    ("days", "limits", "years"),
    [
        (0.0, Limits(), set()),
        (HISTORY_DAYS - 1, Limits(), set()),
        (HISTORY_DAYS, Limits(), {1.0}),
        (0.0, Limits(commit_without_history=True), {1.0}),
        (HISTORY_DAYS, Limits(commitment_years=(1, 3)), {1.0, 3.0}),
        (HISTORY_DAYS, Limits(commitment_years=(3,)), {3.0}),
    ],
)
def test_commitments_need_history_and_a_term_that_is_allowed(days, limits, years):
    """New commitments are offered on two weeks of history, or with leave, for the terms that are allowed."""
    assert terms(days, limits=limits) == years


def test_a_fortnights_log_is_two_weeks_of_history():
    """A log begins with its first request and ends with its last; 13 days are told with their hours."""
    _, context = posed_of(workload(regions=("us-east-1",), purchase=BOUGHT), catalog_of(offer("g6.xlarge")))
    requirements = context.requirements

    def why(minutes, start_minutes=0):
        profile = DemandProfile(start_minutes * 60.0, np.ones(minutes))
        demand = replace(requirements.demand, profile=profile, window_seconds=60.0 * minutes)
        return why_no_commitment(replace(requirements, demand=demand))

    assert why(14 * MINUTES_PER_DAY - 9, start_minutes=4) == ""
    assert why(14 * MINUTES_PER_DAY - 70) == (
        "not possible: a commitment takes 14 days of history, 13 days and 23 hours of them known"
    )


def test_types_in_question_are_all_that_a_supply_of_them_offers():
    """The same pools in every layout as the whole supply makes of them, and of no other type or region."""
    offers = (offer(name, region) for name in ("g6.xlarge", "g6e.xlarge") for region in ("us-east-1", "eu-west-1"))
    formulation, context = posed_of(workload(regions=("us-east-1", "eu-west-1")), catalog_of(*offers))
    asked = {"aws/us-east-1/g6e.xlarge"}

    pools, every = (
        formulate(context, supply, formulation.week, every=True).problem.pools
        for supply in (narrowed(formulation.supply.of_types(asked), context.requirements.workload), formulation.supply)
    )

    assert {pool.type_in_region for pool in pools} == asked
    assert {pool.key for pool in pools} == {pool.key for pool in every if pool.type_in_region in asked}


def test_what_may_stop_may_be_committed_too():
    """Which of both costs less is for the fleet: leave to stop takes nothing away."""
    limits = Limits(commit_without_history=True)
    assert terms(limits=limits, scaling=Scaling(scale_to_zero=True)) == terms(limits=limits) == {1.0}


def test_a_pool_knows_what_it_fails_with():
    """Zones are those that sell the type; sizes of one accelerator are one supply and, with one engine, one backend."""
    catalog = catalog_of(offer("g6.xlarge"), offer("g6.12xlarge", on_demand=4.6), offer("g6e.xlarge", on_demand=1.9))
    formulation, _ = posed_of(workload(regions=("us-east-1",)), catalog)
    pools = {pool.instance_type: pool for pool in formulation.problem.pools}
    small, large, other = (pools[f"aws/{name}"] for name in ("g6.xlarge", "g6.12xlarge", "g6e.xlarge"))
    assert small.supply == large.supply == "aws/us-east-1/L4"
    assert small.backend == large.backend
    assert small.backend.startswith("aws/us-east-1/L4/")
    assert other.supply != small.supply
    assert small.zones == catalog.zones("aws", "us-east-1", "g6.xlarge").count > 1


def test_one_zone_is_rejected_where_two_are_asked():
    """A type that a region sells in one zone, with nothing beside it, is rejected with both numbers."""
    catalog = SHIPPED.with_offers(
        one for one in SHIPPED.offers if (one.region, one.instance_type) == ("us-central1", "ct6e-standard-1t")
    )
    asked = workload(
        providers=("gcp",), regions=("us-central1",), purchase=(Purchase.ON_DEMAND,), limits=Limits(zones=2)
    )
    assert catalog.zones("gcp", "us-central1", "ct6e-standard-1t").count == 1
    formulation, _ = posed_of(asked, catalog)
    assert formulation.problem.pools == ()
    rejected = [one for one in formulation.pool_set.rejections if one.code == "zones"]
    assert [(one.needed, one.available, one.region) for one in rejected] == [(2, 1, "us-central1")]
    several, _ = posed_of(replace(asked, limits=Limits(zones=2, max_regions=2)), catalog)
    assert several.problem.pools


def test_of_three_zones_every_type_is_sold_in_three():
    """A type of two zones would be in two alone, whatever else the region sells; where two are asked it may be."""
    names = ("g7e.12xlarge", "g6e.12xlarge")
    catalog = SHIPPED.with_offers(
        one for one in SHIPPED.offers if one.region == "us-east-1" and one.instance_type in names
    )
    assert [catalog.zones("aws", "us-east-1", name).count for name in names] == [2, 4]
    asked = workload(providers=("aws",), regions=("us-east-1",), purchase=(Purchase.ON_DEMAND,))
    of_two, _ = posed_of(replace(asked, limits=Limits(zones=2)), catalog)
    of_three, _ = posed_of(replace(asked, limits=Limits(zones=3)), catalog)

    assert {pool.instance_type for pool in of_two.problem.pools} == {f"aws/{name}" for name in names}
    assert {pool.instance_type for pool in of_three.problem.pools} == {"aws/g6e.12xlarge"}
    rejected = {(one.instance_type, one.needed, one.available) for one in of_three.pool_set.rejections}
    assert ("g7e.12xlarge", 3, 2) in rejected
