"""What a fleet can do without before any pool is made: layouts of a type that another beats, regions of no use."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from advisor.catalog.values import Offer, Purchase
from advisor.performance.stage import Served
from advisor.plan.fleet.dominance import SPOT_STANDS
from advisor.plan.fleet.values import Floats
from advisor.workload.values import Limits


def best_layouts(served: Sequence[Served], rates: Floats, limits: Limits) -> list[int]:
    """Positions of the candidates that no other layout of the same instance type beats.

    Two layouts of a type cost the same, so the one whose instances sustain more of everything is as good; of two equals
    the earlier one, whose precision the workload prefers.

    Args:
        served: the candidates.
        rates: requests per second of a replica in every case, (cases, candidates).
        limits: the number of replicas may matter beside what they sustain.
    """
    replicas = np.array([one.candidate.replicas_per_instance for one in served], dtype=np.float64)
    by_type: dict[tuple[str, str], list[int]] = {}
    for at, one in enumerate(served):
        by_type.setdefault((one.candidate.instance_type.provider, one.candidate.instance_type.name), []).append(at)
    kept: list[int] = []
    for members in by_type.values():
        kept += _unbeaten(np.array(members), rates, replicas, limits)
    return sorted(kept)


def _unbeaten(members: np.ndarray, rates: Floats, replicas: Floats, limits: Limits) -> list[int]:
    own, count = (rates[:, members] * replicas[members]).T, replicas[members]
    beats = (own[None, :, :] >= own[:, None, :]).all(axis=2)
    if limits.min_replicas > 1:
        beats &= count >= count[:, None]
    if limits.max_replicas is not None:
        per_replica = rates[:, members].T
        beats &= (per_replica[None, :, :] >= per_replica[:, None, :]).all(axis=2)
    earlier = np.arange(len(members)) < np.arange(len(members))[:, None]
    return [int(at) for at in members[~(beats & (~beats.T | earlier)).any(axis=1)]]


def useful_offers(
    offers: Sequence[Offer], purchase: Iterable[Purchase], usd_per_request: Mapping[str, float], *, spread: bool
) -> dict[tuple[str, Purchase], Offer]:
    """Offers of one type that are worth a pool where no region is better than another for any other reason.

    For each way of paying those of which no other is cheaper (of spot: fewer than so many as a fleet spreads over), in
    price and in data transfer.

    Args:
        offers: one instance type in all regions in scope.
        purchase: ways of paying that the workload allows.
        usd_per_request: data transfer, by region.
        spread: whether spot capacity has to be spread.
    """
    found: dict[tuple[str, Purchase], Offer] = {}
    for kind in purchase:
        priced = [
            (usd, usd_per_request[one.region], at, one) for at, one in enumerate(offers) if (usd := _usd(one, kind))
        ]
        needed = SPOT_STANDS if kind is Purchase.SPOT and spread else 1
        for usd, transfer, at, offer in priced:
            better = sum(
                1 for u, t, a, _ in priced if u <= usd and t <= transfer and (u < usd or t < transfer or a < at)
            )
            if better < needed:
                found[offer.region, kind] = offer
    return found


def _usd(offer: Offer, kind: Purchase) -> float | None:
    by_kind = {Purchase.SPOT: offer.spot, Purchase.MANAGED: offer.managed_price}
    price = by_kind.get(kind, offer.on_demand)
    return price.usd_per_hour if price else None
