"""Hours of each run of batch work in which machines are up: the first so many of those that are open to it.

Machines are paid for by the hour, and half of an hour or of a machine cannot be had: one machine for two hours may do
what another would idle over for six. Starts are paid for by the machine and stretch, so few machines for long have
fewer of them than many for a short time.
"""

import numpy as np
import numpy.typing as npt

from advisor.demand.batch import BatchRun
from advisor.plan.problem.formulas import least_instances, mix_rate
from advisor.plan.problem.values import Floats, Pool, Problem, PurchaseOption, Tariff
from advisor.units import SECONDS_PER_HOUR

SLACK = 1.02
"""Items that machines are chosen for ÷ items of a run: the last ones are done by machines that are not full."""


def batch_hours(problem: Problem, run: BatchRun, items: float) -> int:
    """Number of open hours of a run in which its cheapest machines work it off; all where none do in any number.

    Of the hours that cost the same it is the most: fewer machines.

    Args:
        problem: pools with their rates, tariffs and limits; its hours play no part.
        run: hours that are open.
        items: of a run, with growth.
    """
    usd = cheapest_run(problem, run, items)
    return int(usd.size - np.argmin(usd[::-1]))


def cheapest_run(problem: Problem, run: BatchRun, items: float) -> Floats:
    """Cost of a run on the cheapest pool in its first open hour, first two and so on, (hours,); infinite where none is.

    ``USD a run = n · (hours + stretches · lead) · price + n · stretches · start`` with
    ``n = ⌈(items · slack + r · lost) ÷ (r · work hours)⌉`` for instances of the rate r, and what redundancy asks for;
    on spot one interruption loses a start-up.
    """
    counts = range(1, len(run.open_hours) + 1)
    work_s = np.array([run.work_hours(count) for count in counts]) * SECONDS_PER_HOUR
    stretches = np.array([len(list(run.stretches(count))) for count in counts], dtype=np.float64)
    best = np.full(work_s.size, np.inf)
    for pool in problem.pools:
        rate = mix_rate(problem, pool)
        for tariff in pool.tariffs if rate > 0 else ():
            if not tariff.paid.always:
                lost = rate * pool.lead_hours * SECONDS_PER_HOUR * (tariff.paid is PurchaseOption.SPOT)
                instances = least_instances(problem, (items * SLACK + lost) / work_s, np.array([rate]))[0]
                usd = _usd(pool, tariff, instances, np.arange(1.0, work_s.size + 1), stretches)
                best = np.minimum(best, np.where(_allowed(problem, pool, tariff, instances), usd, np.inf))
    return best


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
