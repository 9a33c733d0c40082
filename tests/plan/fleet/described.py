"""Fleets that are chosen by hand, out of a question about three types, and what a plan tells of them."""

import datetime as dt
from dataclasses import replace
from functools import cache

import numpy as np

from advisor.catalog.values import Purchase
from advisor.plan.fleet.choose import forecast_of
from advisor.plan.fleet.chosen import Confirmation
from advisor.plan.fleet.describe import fleet_of
from advisor.plan.problem.formulas import mix_rate
from advisor.plan.problem.values import Allocation, FleetSolution
from advisor.plan.replay.groups import Confirmed
from advisor.plan.replay.validator import ReplayValidator
from advisor.workload.values import Limits
from builders import catalog_of, offer, workload
from plan.fleet.posing import posed_of
from plan.fleet.test_choose import week_of_days

EVERY = (Purchase.ON_DEMAND, Purchase.SPOT, Purchase.COMMITMENT)
ASKED = workload(
    purchase=EVERY,
    limits=Limits(commit_without_history=True, commitment_years=(1, 3), fault_tolerant_ratio=1.0),
    horizon_days=365.0,
    as_of=dt.date(2026, 11, 1),
)
HELD = Confirmation(100, 1.0, 1.0, 1.0, 1.0, 1.0, reached=True, arrivals="", busiest_within_slo_ratio=1.0)


@cache
def posed(limits=None, *, weekly=False):
    """The question about three types, of which two lose quality in fp8."""
    catalog = catalog_of(
        offer("g6e.xlarge", on_demand=1.86, spot=0.7),
        offer("g5.xlarge", on_demand=1.0, spot=0.4),
        offer("inf2.8xlarge", on_demand=1.97),
    )
    asked = ASKED if limits is None else replace(ASKED, limits=limits)
    return posed_of(asked, catalog, week_of_days() if weekly else None)


def allocated(formulation, name, paid, counts, *, years=0.0):
    """Instances of a type under one of its tariffs."""
    pool = next(pool for pool in formulation.problem.pools if f"/{name}/" in pool.key)
    tariff = next(tariff for tariff in pool.tariffs if tariff.paid.value == paid and tariff.term_years == years)
    return Allocation(pool, tariff, counts)


def solved(formulation, *chosen, usd=5000.0, proven=True):
    """A fleet of (type, way of paying, instances) at a made-up cost, whose requests are split by capacity."""
    allocations = tuple(
        one if isinstance(one, Allocation) else allocated(formulation, *one[:3], years=one[3] if len(one) > 3 else 0.0)
        for one in chosen
    )
    capacity, parts = {}, formulation.problem.parts.size
    for one in allocations:
        own = np.array(one.instances, dtype=float) * mix_rate(formulation.problem, one.pool)
        capacity[one.pool.key] = capacity.get(one.pool.key, 0.0) + own
    whole = sum(capacity.values())
    shares = {
        key: np.divide(own, whole, out=np.zeros_like(whole), where=whole > 0)[:, None, None] * np.ones(parts)
        for key, own in capacity.items()
    }
    return FleetSolution(allocations, shares, usd, usd - 100.0, proven=proven)


def described(formulation, context, *chosen, cheapest=None, **changes):
    """The fleet as a plan has it."""
    confirmed = Confirmed(solved(formulation, *chosen, **changes), formulation, HELD)
    if cheapest is not None:
        confirmed = replace(confirmed, cheapest=Confirmed(cheapest, formulation, HELD))
    search = ReplayValidator(formulation, context)
    return fleet_of(confirmed, context, forecast_of(context.requirements), search)
