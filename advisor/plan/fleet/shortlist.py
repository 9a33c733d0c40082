"""What a fleet can do without before any pool is made: layouts of a type that another beats, regions of no use."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from advisor.catalog.values import Offer, Purchase
from advisor.cost.services import counted_gib
from advisor.performance.stage import Served
from advisor.plan.fleet.dominance import SPOT_STANDS
from advisor.plan.fleet.values import Floats
from advisor.workload.values import Limits


def best_layouts(served: Sequence[Served], rates: Floats, limits: Limits) -> list[int]:
    """Positions of the candidates that no other layout of the same instance type beats.

    Two layouts of a type cost the same but for their checkpoints, so the one whose instances sustain more of everything
    and whose checkpoint is no larger is as good; of two equals the earlier one, whose precision the workload prefers.

    Args:
        served: the candidates.
        rates: requests per second of a replica in every case, (cases, candidates).
        limits: the number of replicas may matter beside what they sustain.
    """
    replicas = np.array([one.candidate.replicas_per_instance for one in served], dtype=np.float64)
    disks = np.array([counted_gib(one.candidate.memory.checkpoint_gib) for one in served])
    by_type: dict[tuple[str, str], list[int]] = {}
    for at, one in enumerate(served):
        by_type.setdefault((one.candidate.instance_type.provider, one.candidate.instance_type.name), []).append(at)
    kept: list[int] = []
    for members in by_type.values():
        kept += _unbeaten(np.array(members), rates, replicas, disks, limits)
    return sorted(kept)


def _unbeaten(members: np.ndarray, rates: Floats, replicas: Floats, disks: Floats, limits: Limits) -> list[int]:
    own, count = (rates[:, members] * replicas[members]).T, replicas[members]
    beats = (own[None, :, :] >= own[:, None, :]).all(axis=2)
    beats &= disks[members] <= disks[members][:, None]
    if limits.min_replicas > 1:
        beats &= count >= count[:, None]
    if limits.max_replicas is not None:
        per_replica = rates[:, members].T
        beats &= (per_replica[None, :, :] >= per_replica[:, None, :]).all(axis=2)
    earlier = np.arange(len(members)) < np.arange(len(members))[:, None]
    return [int(at) for at in members[~(beats & (~beats.T | earlier)).any(axis=1)]]


def useful_offers(
    offers: Sequence[Offer], purchase: Iterable[Purchase], others: Mapping[str, tuple[float, ...]], *, spread: bool
) -> dict[tuple[str, Purchase], Offer]:
    """Offers of one type that are worth a pool where no region is better than another for any other reason.

    For each way of paying those of which no other is cheaper (of spot: fewer than so many as a fleet spreads over), in
    price and in everything else that is paid there.

    Args:
        offers: one instance type in all regions in scope.
        purchase: ways of paying that the workload allows.
        others: what else is paid in a region: data transfer, disks, downloads.
        spread: whether spot capacity has to be spread.
    """
    found: dict[tuple[str, Purchase], Offer] = {}
    for kind in purchase:
        priced = [(usd, others[one.region], at, one) for at, one in enumerate(offers) if (usd := _usd(one, kind))]
        needed = SPOT_STANDS if kind is Purchase.SPOT and spread else 1
        for usd, other, at, offer in priced:
            better = sum(1 for u, o, a, _ in priced if _beats((u, *o), a, (usd, *other), at))
            if better < needed:
                found[offer.region, kind] = offer
    return found


def _beats(prices: tuple[float, ...], at: int, others: tuple[float, ...], other_at: int) -> bool:
    """Whether nothing is dearer, and something cheaper; of equals the earlier one."""
    no_dearer = all(one <= other for one, other in zip(prices, others, strict=True))
    return no_dearer and (prices != others or at < other_at)


def _usd(offer: Offer, kind: Purchase) -> float | None:
    by_kind = {Purchase.SPOT: offer.spot, Purchase.MANAGED: offer.managed_price}
    price = by_kind.get(kind, offer.on_demand)
    return price.usd_per_hour if price else None
