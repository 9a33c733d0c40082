"""What must hold for the fleets of every problem: better offers never cost more, more demand never costs less."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.plan.problem.values import Infeasible, PurchaseOption, Tariff
from advisor.plan.solve.scopes import scopes
from advisor.workload.values import Limits, Survive
from plan.fleet.problems import (
    LIMITS,
    QUOTA,
    everything,
    limited,
    optimise,
    pool_of,
    problem_of,
    problems,
    scaled,
    survivals,
    with_purchases,
)

CENTS = 0.12
"""Both costs are sums of parts that are rounded to the cent."""
few = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
questions = problems(everything, columns=6, held=True)


def usd(problem) -> float:
    """Cost of the cheapest fleet; infinite where there is none."""
    found = optimise(problem)
    return float("inf") if isinstance(found, Infeasible) else found.objective_usd_per_month


def with_pool(problem, at, **changes):
    """The same problem with one pool changed."""
    at %= len(problem.pools)
    pools = (*problem.pools[:at], replace(problem.pools[at], **changes), *problem.pools[at + 1 :])
    return replace(problem, pools=pools)


@few
@given(questions, st.integers(0, 9), st.floats(0, 1))
def test_a_cheaper_tariff_never_costs_more(problem, at, share):
    """A tariff that falls never makes the fleet dearer."""
    pool = problem.pools[at % len(problem.pools)]
    first, *others = pool.tariffs
    cheaper = (replace(first, usd_per_hour=first.usd_per_hour * share), *others)
    assert usd(with_pool(problem, at, tariffs=cheaper)) <= usd(problem) + CENTS


@few
@given(questions, st.integers(0, 9))
def test_one_more_pool_never_costs_more(problem, at):
    """A pool more never makes the fleet dearer."""
    at %= len(problem.pools)
    fewer = replace(problem, pools=problem.pools[:at] + problem.pools[at + 1 :])
    assert usd(problem) <= usd(fewer) + CENTS


@few
@given(questions, st.integers(0, 9), st.integers(0, 9))
def test_one_more_tariff_never_costs_more(problem, at, which):
    """A way of paying more never makes the fleet dearer."""
    tariffs = problem.pools[at % len(problem.pools)].tariffs
    kept = tuple(one for t, one in enumerate(tariffs) if t != which % len(tariffs) or len(tariffs) == 1)
    assert usd(problem) <= usd(with_pool(problem, at, tariffs=kept)) + CENTS


@few
@given(questions, st.floats(1, 3))
def test_more_demand_never_costs_less(problem, factor):
    """More requests never cost less while the low edge, to which commitments are held, stays where it is."""
    assert usd(scaled(problem, factor, low=False)) >= usd(problem) - CENTS


@few
@given(questions, st.floats(1, 3))
def test_more_demand_never_costs_less_without_the_low_edge(problem, factor):
    """More requests never cost less where commitments are not held to the low edge."""
    free = replace(problem, low_band=False)
    assert usd(scaled(free, factor)) >= usd(free) - CENTS


@few
@given(questions, st.floats(0, 1), st.booleans())
def test_one_busier_hour_class_never_costs_less(problem, share, quiet):
    """An hour class that becomes busier, in its place in the order, never makes the fleet cheaper."""
    at = 0 if quiet else len(problem.hours) - 1
    hour = problem.hours[at]
    ceiling = problem.hours[at + 1].planned_rate if at + 1 < len(problem.hours) else 2 * hour.planned_rate
    planned = hour.planned_rate + share * (ceiling - hour.planned_rate)
    busier = replace(hour, planned_rate=planned, mean_rate=hour.mean_rate * planned / hour.planned_rate)
    hours = (*problem.hours[:at], busier, *problem.hours[at + 1 :])
    assert usd(replace(problem, hours=hours)) >= usd(problem) - CENTS


@few
@given(questions, st.integers(0, 9), st.floats(1, 2))
def test_a_faster_pool_never_costs_more(problem, at, factor):
    """Instances that sustain more never make the fleet dearer where commitments are not held to the low edge."""
    free = replace(problem, low_band=False)
    pool = free.pools[at % len(free.pools)]
    faster = with_pool(free, at, mix_rates=pool.mix_rates * factor, rates=pool.rates * factor)
    assert usd(faster) <= usd(free) + CENTS


@few
@given(questions, st.integers(0, 9))
def test_one_more_zone_sold_never_costs_more(problem, at):
    """A zone more that sells a type never makes the fleet dearer."""
    zones = problem.pools[at % len(problem.pools)].zones
    assert usd(with_pool(problem, at, zones=zones + 1)) <= usd(problem) + CENTS


def _more(name, by):
    return lambda problem: limited(
        problem, **{name: None if (at := getattr(problem.limits, name)) is None else at + by}
    )


def _fewer(name):
    return lambda problem: limited(problem, **{name: max(getattr(problem.limits, name) - 1, 1)})


def _survives_less(problem):
    """What was to survive a zone survives an instance, and that nothing."""
    less = {Survive.ZONE: Survive.INSTANCE, Survive.INSTANCE: Survive.NOTHING, Survive.NOTHING: Survive.NOTHING}
    return limited(problem, survive=less[problem.limits.survival])


LOOSER = {
    "min_replicas": _fewer("min_replicas"),
    "max_replicas": _more("max_replicas", 1),
    "zones": _fewer("zones"),
    "survive": _survives_less,
    "fault_tolerant_ratio": lambda problem: limited(
        problem, fault_tolerant_ratio=(1 + problem.limits.fault_tolerant_ratio) / 2
    ),
    "on_demand_base_ratio": lambda problem: limited(
        problem, on_demand_base_ratio=problem.limits.on_demand_base_ratio / 2
    ),
    "max_instance_types": _more("max_instance_types", 1),
    "max_changed_instances": _more("max_changed_instances", 1),
    "max_usd_per_month": _more("max_usd_per_month", 500.0),
    "max_kg_co2e_per_month": _more("max_kg_co2e_per_month", 50.0),
    "max_kw": _more("max_kw", 0.3),
    "low_band": lambda problem: replace(problem, low_band=False),
    "quota": lambda problem: replace(problem, quota_limits={key: 2 * one for key, one in problem.quota_limits.items()}),
    "max_regions": lambda problem: replace(problem, max_regions=problem.max_regions + 1),
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", LOOSER)
@pytest.mark.parametrize("stated", ["alone", "together"])
@few
@given(data=st.data(), quota=st.integers(3, 12), on_spot=st.integers(0, 3))
def test_a_looser_limit_never_costs_more(name, stated, data, quota, on_spot):
    """Whatever limit is loosened, with others beside it or without, the fleet never becomes dearer."""
    limits = everything if stated == "together" else TIGHT.get(name, st.builds(Limits))
    drawn = data.draw(problems(limits, columns=5, held=True))
    quotas = {(QUOTA, market): float(quota) for market in ("on_demand", "spot")} if name == "quota" else {}
    problem = replace(with_purchases(drawn, on_spot), quota_limits=quotas)
    if name == "max_regions":
        problem = replace(problem, max_regions=1)
    assert usd(LOOSER[name](problem)) <= usd(problem) + CENTS


TIGHT = {
    "min_replicas": st.builds(Limits, min_replicas=st.integers(2, 4), survive=survivals),
    "zones": st.builds(Limits, zones=st.integers(2, 3), survive=survivals),
    "survive": st.builds(Limits, survive=survivals, zones=st.integers(1, 3), min_replicas=st.integers(1, 3)),
    **LIMITS,
    "max_usd_per_month": LIMITS["budget"],
    "max_kg_co2e_per_month": LIMITS["carbon"],
    "max_kw": LIMITS["power"],
    "fault_tolerant_ratio": LIMITS["spot_reroute"],
    "on_demand_base_ratio": LIMITS["on_demand_base"],
}
"""A limit with what it is meant for, and nothing else."""


@few
@given(questions)
def test_several_clouds_never_cost_more(problem):
    """A fleet that may be on several clouds is never dearer than the cheapest on one."""
    on_one = scopes(replace(problem, mix_providers=False, max_regions=None))
    assert usd(problem) <= min(usd(part) for part in on_one) + CENTS


def test_more_zones_never_make_spot_cheaper():
    """Spot is spread over the zones that sell it whatever is asked, so that asking for more zones is not cheaper."""
    tariffs = (Tariff(PurchaseOption.ON_DEMAND, 1.0), Tariff(PurchaseOption.SPOT, 0.3))
    problem = problem_of(pool_of("a", 1.0, tariffs=tariffs, zones=3), planned=(2.0, 6.0), limits=Limits())
    costs = [usd(limited(problem, zones=zones, survive=Survive.NOTHING)) for zones in (1, 2, 3)]
    assert costs == sorted(costs)


def test_replicas_beside_a_reserve_are_not_cheaper():
    """min_replicas: 2 beside N+1 costs what N+1 costs, with commitments that keep to the low edge."""
    tariffs = (
        Tariff(PurchaseOption.ON_DEMAND, 1.0),
        Tariff(PurchaseOption.COMMITMENT, 0.4, "1 y", break_even_ratio=0.4),
    )
    reserve = Limits(survive=Survive.INSTANCE)
    problem = problem_of(pool_of("a", 2.0, tariffs=tariffs), planned=(1.0,), limits=reserve)
    assert usd(problem) == usd(limited(problem, min_replicas=2)) == pytest.approx(2 * 0.4 * 730)
