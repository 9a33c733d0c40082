"""A fleet of one pool in closed form: what the program finds for that pool and tariff alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.plan.problem.values import FleetSolution, PurchaseOption, Tariff
from advisor.plan.solve.alone import ROUNDING, Missed, alone
from advisor.plan.solve.optimise import optimise
from advisor.workload.values import Limits, Survive
from plan.fleet.problems import LIMITS, everything, pool_of, problem_of, problems

CENTS = 0.06
"""Every part is rounded to the cent, and the search stops half a cent before the end."""
many = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def may_be_kept_busy(problem, pool):
    """Whether routing by length would sustain less: the program alone commits to more by keeping instances busy so."""
    with np.errstate(divide="ignore"):
        apart = (problem.bucket_shares / pool.rates).sum(axis=1) if pool.rates.size else np.zeros(1)
        return bool((apart > 1 / pool.mix_rates + ROUNDING).any())


def check(problem):
    """Each pool and tariff alone costs what the program says of it, or is infeasible there too."""
    for pool in problem.pools:
        for tariff in pool.tariffs:
            if tariff.paid is PurchaseOption.OWNED or (
                tariff.paid is PurchaseOption.COMMITMENT and may_be_kept_busy(problem, pool)
            ):
                continue
            only = replace(problem, pools=(replace(pool, tariffs=(tariff,)),))
            found, expected = alone(problem, pool, tariff), optimise(only)
            assert isinstance(found, FleetSolution) == isinstance(expected, FleetSolution), (pool, tariff, found)
            if isinstance(found, FleetSolution) and isinstance(expected, FleetSolution):
                assert abs(found.objective_usd_per_month - expected.objective_usd_per_month) <= CENTS
                assert not isinstance(found, Missed)


def test_a_commitment_that_is_used_too_little_is_refused_with_whole_instances():
    """What the low edge of the forecast keeps busy for long enough is a number of instances that could be committed."""
    tariff = Tariff(PurchaseOption.COMMITMENT, 1.0, break_even_ratio=0.85)
    pool = pool_of(rate=1.0, tariffs=(tariff,))
    for planned, allowed in (((1.0, 4.0), 2.0), ((0.1, 4.0), 1.0), ((8.0, 16.0), 8.0)):
        missed = alone(problem_of(pool, planned=planned), pool, tariff)
        assert isinstance(missed, Missed)
        assert (missed.needed, missed.available) == (max(planned), allowed), planned


@pytest.mark.parametrize("rate", [1.0, 1e6, 1e12])
def test_the_smallest_load_has_an_instance_beside_the_one_that_may_fail(rate):
    """However little of an instance a load takes, one that is left alone does not survive."""
    tariff = Tariff(PurchaseOption.ON_DEMAND, 1.0)
    pool = pool_of(rate=rate, tariffs=(tariff,))
    fleet = alone(problem_of(pool, planned=(0.05, 0.1), limits=Limits(survive=Survive.INSTANCE)), pool, tariff)
    assert fleet.allocations[0].instances == (2, 2)


@many
@given(data=st.data())
def test_equals_the_program_under_each_limit(data):
    """Whatever the limit, the closed form gives the optimum of the pool alone."""
    family = data.draw(st.sampled_from(sorted(LIMITS)))
    check(data.draw(problems(LIMITS[family])))


@many
@given(problems(everything))
def test_equals_the_program_under_all_limits(problem):
    """All limits together."""
    check(problem)


@many
@given(problems(everything, paid=(PurchaseOption.ON_DEMAND, PurchaseOption.SERVERLESS)), st.sampled_from((0.1, 0.5)))
def test_a_service_equals_the_program_too(problem, active):
    """What is paid for the share of the time in which it runs, with hours without requests."""
    ratios = tuple(active * (at + 1) / len(problem.hours) for at in range(len(problem.hours)))
    pools = tuple(
        replace(
            pool,
            tariffs=tuple(
                replace(one, active_ratios=ratios) if one.paid is PurchaseOption.SERVERLESS else one
                for one in pool.tariffs
            ),
        )
        for pool in problem.pools
    )
    check(replace(problem, pools=pools))
