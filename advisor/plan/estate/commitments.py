"""Commitments that pay off for several workloads together, where for none of them alone they would.

A commitment is used by whichever workload runs an instance of its type in its region. The k-th of them is in use in
every hour in which all workloads together run at least k instances on demand, so with u(k) the share of those hours,

    saved(k) = (u(k) · on-demand price - committed price) · 730 h

falls with k, and as many are worth having as save anything. Where the forecast's lower edge has to justify them, the
hours counted at that edge have to reach the break-even share too.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from advisor.catalog import Catalog
from advisor.catalog.planning import CommitmentPrice
from advisor.catalog.values import Offer, Purchase
from advisor.cost.commitments import break_even
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.problem.supply import may_commit, stand_of
from advisor.plan.problem.values import PurchaseOption
from advisor.records import dataclass
from advisor.requirements import Requirements
from advisor.units import HOURS_PER_MONTH, HOURS_PER_WEEK, ROUNDING

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class HourlyUse:
    """Instances that a workload runs on demand, hour by hour of the week."""

    provider: str
    region: str
    instance_type: str
    usd_per_hour: float
    instances: Counts
    low: Counts
    """As many as are in use at the lower edge of the forecast."""
    years: tuple[int, ...]
    """Terms of commitments that may take their place."""


@dataclass(frozen=True, slots=True)
class SharedCommitment:
    """Instances to commit to for all workloads together."""

    provider: str
    region: str
    instance_type: str
    commitment: str
    """Instrument, term and payment."""
    count: int
    usd_per_hour: float
    """Of one instance, every hour."""
    in_use_ratio: float
    """Share of their hours in which they replace instances on demand."""
    saved_usd_per_month: float
    price_source: str
    price_as_of: str
    price_quality: str


def hourly_uses(fleet: Fleet, requirements: Requirements) -> tuple[HourlyUse, ...]:
    """Instances on demand where commitments may take their place: by the same rules as in a fleet.

    Args:
        fleet: of one workload.
        requirements: what that states of commitments, and the history that they may rest on.
    """
    limits = requirements.workload.limits
    if Purchase.COMMITMENT not in requirements.workload.purchase or not may_commit(requirements):
        return ()
    schedule = np.array(fleet.schedule)
    planned = np.array([hour.planned_requests_per_second for hour in fleet.hour_classes])
    low = np.array([hour.low_requests_per_second for hour in fleet.hour_classes])
    ratio = np.minimum(np.divide(low, planned, out=np.zeros(planned.size), where=planned > 0), 1.0)
    if limits.commit_beyond_forecast:
        ratio = np.ones(planned.size)
    counts = [(group, np.array(group.instances, dtype=np.int64)) for group in fleet.groups]
    return tuple(
        HourlyUse(
            provider=group.provider,
            region=group.region,
            instance_type=group.instance_type,
            usd_per_hour=group.instance_usd_per_hour,
            instances=instances[schedule],
            low=np.ceil(instances * ratio - ROUNDING).astype(np.int64)[schedule],
            years=limits.commitment_years,
        )
        for group, instances in counts
        if group.purchase == PurchaseOption.ON_DEMAND
    )


def shared_commitments(uses: Iterable[HourlyUse], catalog: Catalog) -> tuple[SharedCommitment, ...]:
    """Commitments to make, by type and region; those that save most first."""
    grouped: dict[str, list[HourlyUse]] = {}
    for use in uses:
        grouped.setdefault(stand_of(use.provider, use.region, use.instance_type), []).append(use)
    offers = {stand_of(offer.provider, offer.region, offer.instance_type): offer for offer in catalog.offers}
    best = (_best(group, offers[stand], catalog) for stand, group in grouped.items())
    commitments = [commitment for commitment in best if commitment is not None]
    return tuple(sorted(commitments, key=lambda made: (-made.saved_usd_per_month, made.region, made.instance_type)))


def _best(uses: list[HourlyUse], offer: Offer, catalog: Catalog) -> SharedCommitment | None:
    commitments = [
        _committed(price, allowed)
        for price in catalog.current_commitments(offer)
        if (allowed := [use for use in uses if price.commitment.term_years in use.years])
    ]
    worth = [commitment for commitment in commitments if commitment.count]
    return max(worth, key=lambda commitment: commitment.saved_usd_per_month, default=None)


def _committed(price: CommitmentPrice, uses: Sequence[HourlyUse]) -> SharedCommitment:
    """Commitments at one price, as many as save anything for those who may enter its term."""
    use = uses[0]
    instances, low = np.sum([use.instances for use in uses], axis=0), np.sum([use.low for use in uses], axis=0)
    levels = np.arange(1, int(instances.max()) + 1)[:, None]
    in_use = (instances >= levels).sum(axis=1) / HOURS_PER_WEEK
    at_low = (low >= levels).sum(axis=1) / HOURS_PER_WEEK
    even = break_even(price.usd_per_hour, use.usd_per_hour)
    needed = even.utilization if even else 1.0
    worth = (in_use > needed + ROUNDING) & (at_low >= min(needed, 1.0) - ROUNDING)
    count = int(worth.sum())
    share = float(in_use[:count].mean()) if count else 0.0
    terms = price.commitment
    return SharedCommitment(
        provider=use.provider,
        region=use.region,
        instance_type=use.instance_type,
        commitment=f"{terms.instrument}, {terms.term_years} y, {terms.payment.replace('_', ' ')}",
        count=count,
        usd_per_hour=price.usd_per_hour,
        in_use_ratio=share,
        saved_usd_per_month=round(count * (share * use.usd_per_hour - price.usd_per_hour) * HOURS_PER_MONTH, 2),
        price_source=price.provenance.source,
        price_as_of=price.provenance.as_of,
        price_quality=price.provenance.quality.value,
    )
