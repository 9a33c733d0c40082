"""What must hold for the fleets of every problem: better offers never cost more, more demand never costs less."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.plan.fleet.optimise import optimise
from advisor.plan.fleet.values import Infeasible, Paid
from advisor.workload.values import Survive
from plan.fleet.problems import QUOTA, everything, limited, problems, scaled

CENTS = 0.12
"""Both costs are sums of parts that are rounded to the cent."""
few = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
questions = problems(everything, columns=6, held=True)
NO_SPOT = (Paid.ON_DEMAND, Paid.COMMITMENT)


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


def _more(name, by):
    return lambda problem: limited(
        problem, **{name: None if (at := getattr(problem.limits, name)) is None else at + by}
    )


LOOSER = {
    "min_replicas": lambda problem: limited(problem, min_replicas=1),
    "max_replicas": _more("max_replicas", 1),
    "survive": lambda problem: limited(problem, survive=Survive.NOTHING),
    "fault_tolerant_ratio": lambda problem: limited(
        problem, fault_tolerant_ratio=(1 + problem.limits.fault_tolerant_ratio) / 2
    ),
    "max_instance_types": _more("max_instance_types", 1),
    "max_changed_instances": _more("max_changed_instances", 1),
    "max_usd_per_month": _more("max_usd_per_month", 500.0),
    "max_kg_co2e_per_month": _more("max_kg_co2e_per_month", 50.0),
    "max_kw": _more("max_kw", 0.3),
    "low_band": lambda problem: replace(problem, low_band=False),
    "quota": lambda problem: replace(problem, quota_limits={key: 2 * one for key, one in problem.quota_limits.items()}),
}


@pytest.mark.parametrize("name", LOOSER)
@few
@given(problem=questions, quota=st.integers(3, 12))
def test_a_looser_limit_never_costs_more(name, problem, quota):
    """Whatever limit is loosened, the fleet never becomes dearer.

    What a floor keeps running may be committed, so for a lower floor commitments are not held to the low edge.
    """
    quotas = {(QUOTA, market): float(quota) for market in ("on_demand", "spot")}
    within = replace(problem, quota_limits=quotas, low_band=name != "min_replicas")
    assert usd(LOOSER[name](within)) <= usd(within) + CENTS


@few
@given(problems(everything, columns=6, paid=NO_SPOT))
def test_fewer_zones_never_cost_more(problem):
    """Fewer zones never make the fleet dearer where nothing is on spot, which needs zones to be spread over.

    As with other floors, what they keep running may be committed, so commitments are not held to the low edge here.
    """
    free = replace(problem, low_band=False)
    assert usd(limited(free, zones=1)) <= usd(free) + CENTS
