"""Fleets that their replays confirm, against every fleet of few instances, each replayed."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from advisor.catalog.values import Purchase
from advisor.demand.values import Dispersion
from advisor.plan.fleet.confirm import Confirmed, Confirmer
from advisor.plan.fleet.formulas import mix_rate
from advisor.plan.fleet.optimise import objective_usd_per_month
from advisor.plan.fleet.trials import Trials, largest
from advisor.plan.fleet.values import Allocation, FleetSolution
from advisor.workload.values import DeclaredDemand, Limits, Slo, Survive
from builders import catalog_of, offer, workload
from plan.fleet.posing import posed_of, with_pools
from plan.fleet.test_choose import week_of_days

ON_DEMAND = (Purchase.ON_DEMAND,)
MOST = 5
CATALOG = catalog_of(
    offer("g6e.xlarge", on_demand=1.86), offer("g6.xlarge", on_demand=0.8), offer("p5.4xlarge", on_demand=6.9),
    offer("g5.xlarge", on_demand=1.0),
)  # fmt: skip
SHORT = {"rehearsed_requests": 3_000, "holds_up_to": False}


def asked_of(rate=8.0, ttft_ms=700, **changes):
    """A chat workload on demand in one precision, so that there are few pools."""
    default = {
        "purchase": ON_DEMAND,
        "precisions": ("fp8", "bf16"),
        "slo": Slo(ttft_p95_ms=ttft_ms, tpot_p95_ms=60),
        "demand": DeclaredDemand(rate, rate, 1200, 200),
    }
    return workload(**(default | changes))


def flat(rate, dispersion, minutes=60):
    """A profile of equal minutes, as bursty as said."""
    profile = week_of_days(rate)
    return replace(profile, requests_per_minute=np.full(minutes, round(rate * 60.0)), dispersion=dispersion)


def fleet(problem, counts):
    """A fleet of so many instances of each pool, on demand, at all hours, loaded by capacity."""
    allocations = tuple(
        Allocation(pool, pool.tariffs[0], (count,) * len(problem.hours))
        for pool, count in zip(problem.pools, counts, strict=True)
        if count
    )
    whole = sum(mix_rate(problem, one.pool) * one.instances[-1] for one in allocations)
    shares = {
        one.pool.key: np.full((len(problem.hours), 1, 1), mix_rate(problem, one.pool) * one.instances[-1] / whole)
        for one in allocations
    }
    usd = objective_usd_per_month(problem, allocations, shares)
    return FleetSolution(allocations, shares, usd, usd, True)


def carries(problem, counts):
    """Whether the closed form lets such a fleet carry the busiest minute, without any one instance where one may fail."""
    rates = [mix_rate(problem, pool) for pool in problem.pools]
    planned = problem.hours[-1].planned_rate
    lost = max(rate for rate, count in zip(rates, counts, strict=True) if count)
    spare = lost if problem.limits.survival is Survive.INSTANCE else 0.0
    return sum(rate * count for rate, count in zip(rates, counts, strict=True)) - spare >= planned * (1 - 1e-9)


def cheapest_by_replay(posed, setting, below):
    """The cheapest fleet below a cost that carries the load and whose replay holds; infinite if there is none."""
    trials, problem = Trials(posed, setting), posed.problem
    fleets = [counts for counts in itertools.product(range(MOST + 1), repeat=len(problem.pools)) if any(counts)]
    priced = sorted((fleet(problem, counts).objective_usd_per_month, counts) for counts in fleets)
    for usd, counts in priced:
        if usd >= below:
            break
        enough = carries(problem, counts) and sum(counts) >= problem.limits.min_replicas
        if enough and trials.of(posed, fleet(problem, counts)).reached:
            return usd
    return math.inf


def few_pools(posed, most=4):
    """The question with its pools that are cheapest for what they carry: one of each type and precision."""
    order = sorted(
        posed.problem.pools,
        key=lambda pool: min(one.all_usd_per_hour for one in pool.tariffs) / mix_rate(posed.problem, pool),
    )
    kept = {pool.key for pool in order[:most]}
    return with_pools(posed, lambda pool: pool.key in kept)


CASES = {
    "smooth": (6.0, Dispersion(), Limits()),
    "bursty": (6.0, Dispersion(6.0, 20.0), Limits()),
    "n + 1": (6.0, Dispersion(3.0, 6.0), Limits(min_replicas=2)),
    "small": (1.5, Dispersion(4.0, 8.0), Limits()),
    "large": (14.0, Dispersion(4.0, 8.0), Limits()),
}


@pytest.mark.parametrize("case", CASES)
def test_no_fleet_that_its_replay_confirms_is_cheaper_by_more_than_2_percent(case):
    """Every fleet of few instances is priced and replayed: none that holds costs less than 98 % of the answer."""
    rate, dispersion, limits = CASES[case]
    posed, setting = posed_of(asked_of(rate, limits=limits), CATALOG, flat(rate, dispersion), **SHORT)
    posed = few_pools(posed)

    found = Confirmer(posed, setting).confirmed()

    assert isinstance(found, Confirmed)
    assert found.confirmation.reached
    cheapest = cheapest_by_replay(posed, setting, 0.98 * found.usd_per_month)
    assert cheapest == math.inf
    assert found.solution.bound_usd_per_month <= found.usd_per_month
