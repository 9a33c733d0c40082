"""Hours of each run of batch work in which machines are up: the first so many of those that are open to it.

Machines are paid for by the hour, and half of an hour or of a machine cannot be had: one machine for two hours may do
what another would idle over for six. Starts are paid for by the machine and stretch, so few machines for long have
fewer of them than many for a short time.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from advisor.demand.batch import BatchRun
from advisor.plan.problem.formulas import least_instances, mix_rate
from advisor.plan.problem.standing import alone_usd_per_month, way_of
from advisor.plan.problem.values import Floats, Pool, Problem, PurchaseOption, Tariff
from advisor.units import HOURS_PER_MONTH, HOURS_PER_WEEK, SECONDS_PER_HOUR

SLACK = 1.02
"""Items that machines are chosen for ÷ items of a run: the last ones are done by machines that are not full."""
NEAR = 1.15
"""A pool that costs more than so many times the cheapest is not the cheapest of a plan."""
HOURS_BESIDE = (*range(1, 25), 36, 48, 72, 96, 120, 144, 168)
"""Numbers of open hours that are planned in beside requests: all of a day, so that none is dearer than a part of it."""
_EQUAL = 1 + 1e-6
"""Costs within this ratio count as the same."""


def hours_by_cost(problem: Problem, run: BatchRun, items: float) -> Mapping[int, float]:
    """USD a month of the cheapest full pool in each number of open hours that suits some pool near the cheapest.

    Hours suit a pool that is full to the last item, or that has room for those on machines that are not.
    In the order of that cost, of the same cost the most hours first: fewer machines. All hours where no pool works a
    run off in any number.

    Args:
        problem: pools with their rates, tariffs, limits and the charges of their regions; its hours play no part.
        run: hours that are open.
        items: of a run, with growth.
    """
    full, every = (list(_monthly(problem, run, items * slack)) for slack in (1.0, SLACK))
    floor = _least(full, run)
    least = float(floor.min())
    if np.isinf(least):
        return {len(run.open_hours): least}
    near = {_longest_of_cheapest(usd) for usd in (*full, *every) if usd.min() <= least * NEAR}
    ordered = sorted(near, key=lambda hours: (round(floor[hours - 1], 2), -hours))
    return {hours: float(floor[hours - 1]) for hours in ordered}


def few_hours_by_cost(problem: Problem, run: BatchRun, items: float) -> Mapping[int, float]:
    """USD a month of the cheapest full pool in numbers of hours that are fewer than are open, the cheapest first."""
    floor = _least(list(_monthly(problem, run, items)), run)
    usd = {hours: float(floor[hours - 1]) for hours in HOURS_BESIDE if hours < floor.size}
    return dict(sorted(usd.items(), key=lambda item: item[1]))


def _least(monthly: Sequence[Floats], run: BatchRun) -> Floats:
    """USD a month of the cheapest pool in each number of open hours; infinite where no pool works a run off."""
    least: Floats = np.min([np.full(len(run.open_hours), np.inf), *monthly], axis=0)
    return least


def _longest_of_cheapest(usd: Floats) -> int:
    """Number of hours with the least cost, of the same cost the most."""
    return int(np.flatnonzero(usd <= usd.min() * _EQUAL)[-1]) + 1


def _monthly(problem: Problem, run: BatchRun, items: float) -> Iterator[Floats]:
    """USD a month of each pool and way of paying with all that its region charges, (hours,)."""
    alone = alone_usd_per_month(problem)
    runs = run.runs_per_week / HOURS_PER_WEEK * HOURS_PER_MONTH
    for pool, tariff, usd in run_costs(problem, run, items):
        yield runs * (usd + items * pool.usd_per_request) + alone[way_of(problem, pool, tariff)]


def run_costs(problem: Problem, run: BatchRun, items: float) -> Iterator[tuple[Pool, Tariff, Floats]]:
    """USD of a run on each pool, in each way of paying for hours, in its first open hour, first two and so on.

    ``USD a run = n · (hours + stretches · lead) · price + n · stretches · start`` with
    ``n = ⌈(items + r · lost) ÷ (r · work hours)⌉`` for instances of the rate r, and what redundancy asks for; on spot
    one interruption loses a start-up. A service costs no less than the work takes. Infinite where limits allow no such
    number.
    """
    counts = range(1, len(run.open_hours) + 1)
    work_s = np.array([run.work_hours(count) for count in counts]) * SECONDS_PER_HOUR
    stretches = np.array([len(list(run.stretches(count))) for count in counts], dtype=np.float64)
    for pool in problem.pools:
        rate = mix_rate(problem, pool)
        for tariff in pool.tariffs if rate > 0 else ():
            if not tariff.paid.always:
                lost = rate * pool.lead_hours * SECONDS_PER_HOUR * (tariff.paid is PurchaseOption.SPOT)
                instances = least_instances(problem, (items + lost) / work_s, np.array([rate]))[0]
                usd = _usd(pool, tariff, instances, np.arange(1.0, work_s.size + 1), stretches)
                if tariff.paid is PurchaseOption.SERVERLESS:
                    usd = np.full(work_s.size, items / rate / SECONDS_PER_HOUR * tariff.all_usd_per_hour)
                yield pool, tariff, np.where(_allowed(problem, pool, tariff, instances), usd, np.inf)


def _usd(pool: Pool, tariff: Tariff, instances: Floats, hours: Floats, stretches: Floats) -> Floats:
    """Cost of one run."""
    usd: Floats = instances * (
        (hours + stretches * pool.lead_hours) * tariff.all_usd_per_hour + stretches * pool.start_usd
    )
    return usd


def _allowed(problem: Problem, pool: Pool, tariff: Tariff, instances: Floats) -> npt.NDArray[np.bool_]:
    """Whether so many instances are within the limits on their number."""
    limits = problem.limits
    most = np.inf if limits.max_replicas is None else max(limits.max_replicas // pool.replicas, 1)
    for quota, units in pool.quotas.items():
        if quota[1] == tariff.paid.market and units and quota in problem.quota_limits:
            most = min(most, problem.quota_limits[quota] // units)
    if limits.max_kw is not None and pool.kw:
        most = min(most, limits.max_kw // pool.kw)
    within: npt.NDArray[np.bool_] = instances <= most
    return within
