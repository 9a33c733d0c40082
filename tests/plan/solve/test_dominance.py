"""What is left out before the search: never what the cheapest fleet needs."""

import math
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.plan.problem.formulas import Part, share_without
from advisor.plan.problem.values import Infeasible, PurchaseOption, Tariff
from advisor.plan.solve import dominance
from advisor.plan.solve.dominance import shortest_run_hours, without_dominated
from advisor.workload.values import Limits, Survive
from plan.fleet.problems import (
    BILLED,
    LIMITS,
    QUOTA,
    alike,
    everything,
    limited,
    optimise,
    pool_of,
    problem_of,
    problems,
)

CENTS = 0.06
few = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
NOT_SPOT = (PurchaseOption.ON_DEMAND, PurchaseOption.COMMITMENT, PurchaseOption.OWNED, PurchaseOption.SERVERLESS)


def usd(problem) -> float:
    """Cost of the cheapest fleet; infinite where there is none."""
    found = optimise(problem)
    return float("inf") if isinstance(found, Infeasible) else found.objective_usd_per_month


def one_region(problem):
    """The same problem with all pools in one region where zones count, as most are that the search is for."""
    if share_without(problem.limits, Part.ZONE) == 0:
        return problem
    kinds = [pool.instance_type for pool in problem.pools if all(not is_owned(tariff) for tariff in pool.tariffs)]
    pools = (
        replace(
            pool,
            type_in_region=f"here/r0/{pool.instance_type}",
            supply=f"here/r0/{pool.supply[-1]}",
            tariffs=tuple(tariff for tariff in pool.tariffs if pool.instance_type not in kinds or not is_owned(tariff)),
        )
        for pool in problem.pools
    )
    return replace(problem, pools=tuple(pools))


def is_owned(tariff):
    """Whether the instances are paid for: all pools of a stand have such a tariff, or none."""
    return tariff.paid is PurchaseOption.OWNED


def same(problem):
    """Whether leaving out what is dominated keeps the optimum."""
    problem = one_region(problem)
    least = pytest.approx(usd(problem), abs=CENTS)
    assert usd(without_dominated(problem)) == least
    assert usd(without_dominated(problem, as_stated=True)) == least


@pytest.mark.sampled(3)
@pytest.mark.parametrize("family", LIMITS)
@few
@given(data=st.data(), plain=st.booleans())
def test_optimum_stays_whatever_the_limit(family, data, plain):
    """Under each limit the cheapest fleet of the pools that are kept costs what the cheapest of all costs."""
    problem = data.draw(problems(LIMITS[family], paid=NOT_SPOT, columns=7, held=family == "max_changed_instances"))
    same(replace(alike(problem) if plain else problem, low_band=False))


@few
@given(problems(everything, paid=NOT_SPOT, columns=7, held=True), st.booleans())
def test_optimum_stays_within_all_limits_together(problem, plain):
    """With all limits at once the cheapest fleet of the pools that are kept costs what the cheapest of all costs."""
    same(replace(alike(problem) if plain else problem, low_band=False))


@few
@given(problems(LIMITS["zones"], columns=7), st.integers(1, 8), st.integers(0, 8))
def test_optimum_stays_within_quotas(problem, on_demand, spot):
    """A pool that takes less of a quota is kept."""
    limits = {(QUOTA, "on_demand"): float(on_demand), (QUOTA, "spot"): float(spot)}
    tolerant = replace(problem.limits, fault_tolerant_ratio=1.0)
    same(replace(problem, quota_limits=limits, limits=tolerant, low_band=False))


@few
@given(problems(st.builds(Limits, fault_tolerant_ratio=st.just(1.0), zones=st.integers(1, 2)), columns=7))
def test_optimum_stays_where_spot_may_be_lost(problem):
    """Where every request can wait, spot is left out like everything else."""
    same(replace(alike(problem), low_band=False))


def of_few_places(problem, place_of):
    """The same problem with each choice of as many pools as are promised, each in a place of its own."""
    places = {pool.key: place_of(pool) for pool in problem.pools}
    for chosen in combinations(places, min(2, len(places))):
        if len({places[key] for key in chosen}) == len(chosen):
            yield chosen


@few
@given(
    problems(
        LIMITS["spot_reroute"], paid=(PurchaseOption.SPOT, PurchaseOption.SPOT, PurchaseOption.ON_DEMAND), columns=7
    )
)
def test_no_fleet_of_few_spot_supplies_is_cheaper(problem):
    """Where spot has to be spread, no fleet of all pools with two on spot at most, each of its supply, is cheaper."""
    problem = limited(alike(problem), zones=1)
    kept = max(usd(without_dominated(problem, as_stated=as_stated)) for as_stated in (False, True))
    assert kept >= usd(problem) - CENTS
    for chosen in of_few_places(problem, lambda pool: pool.spot_supply):
        pools = (
            replace(
                pool, tariffs=tuple(t for t in pool.tariffs if t.paid is not PurchaseOption.SPOT or pool.key in chosen)
            )
            for pool in problem.pools
        )
        fewer = replace(problem, pools=tuple(pool for pool in pools if pool.tariffs))
        assert kept <= usd(fewer) + CENTS


@few
@given(problems(LIMITS["zones"], paid=NOT_SPOT, columns=7))
def test_no_fleet_of_few_regions_is_cheaper(problem):
    """Where zones fail, no fleet of two pools at most, each in a region of its own, is cheaper."""
    problem = replace(alike(problem), low_band=False, owned={})
    kept = max(usd(without_dominated(problem, as_stated=as_stated)) for as_stated in (False, True))
    assert kept >= usd(problem) - CENTS
    for chosen in of_few_places(problem, lambda pool: pool.region):
        fewer = replace(problem, pools=tuple(pool for pool in problem.pools if pool.key in chosen))
        assert kept <= usd(fewer) + CENTS


@few
@given(
    problems(
        LIMITS["spot_reroute"], paid=(PurchaseOption.SPOT, PurchaseOption.SPOT, PurchaseOption.ON_DEMAND), columns=7
    )
)
def test_optimum_stays_where_spot_is_of_one_supply(problem):
    """Where all spot is lost together, the cheapest fleet of the pools that are kept costs what that of all costs."""
    same(replace(problem, pools=tuple(replace(pool, supply="one") for pool in problem.pools)))


@few
@given(problems(everything, paid=NOT_SPOT, columns=7), st.booleans())
def test_optimum_of_few_backends_stays(problem, plain):
    """What is kept for the sake of fewer backends holds the cheapest fleet of each backend and type too."""
    problem = one_region(replace(alike(problem) if plain else problem, low_band=False))
    kept = without_dominated(problem, same_backend=True)
    for kind in {(pool.backend, pool.instance_type) for pool in problem.pools}:
        all_of, kept_of = (
            replace(one, pools=tuple(pool for pool in one.pools if (pool.backend, pool.instance_type) == kind))
            for one in (problem, kept)
        )
        assert usd(kept_of) == pytest.approx(usd(all_of), abs=CENTS)


@few
@given(problems(LIMITS["zones"], paid=BILLED, columns=7))
def test_commitments_at_the_low_edge_lose_nothing_on_demand(problem):
    """Commitments that the low edge rules out never make the answer dearer than one without commitments."""
    tolerant = limited(alike(problem), fault_tolerant_ratio=1.0)
    pools = (
        replace(pool, tariffs=tuple(one for one in pool.tariffs if one.paid is not PurchaseOption.COMMITMENT))
        for pool in tolerant.pools
    )
    uncommitted = replace(tolerant, pools=tuple(pool for pool in pools if pool.tariffs))
    kept = usd(without_dominated(tolerant))
    assert usd(tolerant) - CENTS <= kept <= usd(uncommitted) + CENTS


def test_owned_instances_are_replaced_one_by_one_only():
    """Where two layouts of an owned type share its instances, the one that carries more of something stays."""
    owned = (Tariff(PurchaseOption.OWNED, 0.0, "owned"),)
    quick = pool_of("quick", 4.0, type_in_region="s", kind="t", tariffs=owned)
    slow = pool_of("slow", 2.0, type_in_region="s", kind="t", tariffs=owned)
    problem = problem_of(slow, quick, planned=(4.0,), owned={"s": 1})
    kept = without_dominated(problem)
    assert [pool.key for pool in kept.pools] == ["quick"]
    assert usd(kept) == 0.0


def test_serverless_that_rarely_runs_is_not_dear():
    """A serverless service is compared by what it is paid for, not by its price per hour."""
    rare = Tariff(PurchaseOption.SERVERLESS, 2.0, "functions", active_ratios=(0.1,))
    problem = problem_of(pool_of("a", 1.0, 1.0), pool_of("b", 1.0, tariffs=(rare,)), planned=(1.0,))
    assert usd(without_dominated(problem)) == pytest.approx(146.0)


def test_near_and_far_pools_do_not_replace_each_other_where_failures_count():
    """An instance that also serves a far place slowly does not stand in for one that serves the near place alone."""
    near = pool_of("near", (4.0, 0.0), 1.0)
    both = pool_of("both", (4.0, 0.5), 1.0)
    far = pool_of("far", (0.0, 4.0), 1.0)
    limits = Limits(survive=Survive.INSTANCE)
    same(problem_of(near, both, far, places=(0.5, 0.5), planned=(6.0,), limits=limits))


def test_what_starts_download_is_weighed_against_the_hours_that_follow():
    """Started once a day for 12 h, two small instances cost 25.00 USD with their downloads; a large one more, or less."""
    small = pool_of("small", 1.0, 1.0, start_usd=0.5)
    dear, cheap = (pool_of("large", 2.0, usd, start_usd=0.5) for usd in (2.05, 2.01))

    assert shortest_run_hours(problem_of(small, planned=(1.0, 2.0))) == pytest.approx(12)
    assert [pool.key for pool in without_dominated(problem_of(small, dear, planned=(1.0, 2.0))).pools] == ["small"]
    assert len(without_dominated(problem_of(small, cheap, planned=(1.0, 2.0))).pools) == 2


def test_what_runs_at_all_hours_is_never_started():
    """Commitments are compared by their hours; where all hours are alike nothing is started at all."""
    one, two = (
        pool_of(name, rate, tariffs=(Tariff(PurchaseOption.COMMITMENT, usd, "1 y"),), lead_hours=1.0, start_usd=99.0)
        for name, rate, usd in (("one", 1.0, 1.0), ("two", 2.0, 2.1))
    )
    bought = [
        replace(pool, tariffs=(Tariff(PurchaseOption.ON_DEMAND, 2.0 * pool.mix_rates[0]),)) for pool in (one, two)
    ]

    assert [pool.key for pool in without_dominated(problem_of(one, two, planned=(1.0, 2.0))).pools] == ["one"]
    assert math.isinf(shortest_run_hours(problem_of(*bought)))
    assert len(without_dominated(problem_of(*bought)).pools) == 1


def test_most_of_many_pools_is_left_out():
    """Of pools that differ in price alone the cheapest is kept, and of spot as many as it is spread over."""
    tariffs = [
        (Tariff(PurchaseOption.ON_DEMAND, 1.0 + at), Tariff(PurchaseOption.SPOT, 0.3 + at / 9)) for at in range(9)
    ]
    pools = [pool_of(f"p{at}", 2.0, tariffs=pair, zones=2) for at, pair in enumerate(tariffs)]
    kept = without_dominated(problem_of(*pools))
    assert [(pool.key, [one.paid for one in pool.tariffs]) for pool in kept.pools] == [
        ("p0", [PurchaseOption.ON_DEMAND, PurchaseOption.SPOT]),
        ("p1", [PurchaseOption.SPOT]),
    ]


@few
@given(problems(columns=6))
def test_pools_of_each_region_by_themselves_leave_out_what_all_together_do(problem):
    """Where regions charge, many pools are compared within their regions: the same are left out."""
    whole = [(pool.key, pool.tariffs) for pool in without_dominated(problem).pools]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dominance, "BLOCK", 1)

        assert [(pool.key, pool.tariffs) for pool in without_dominated(problem).pools] == whole
