"""How many instances serve the busiest minute, and what they cost in each region."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from advisor.candidates import ANY, Candidate, Rejection, Shortfall, reject, reject_candidate, reject_undeployable
from advisor.catalog import Catalog
from advisor.catalog.values import InstanceType, Offer, Price, Purchase
from advisor.cost import Cost, cost_of
from advisor.deployable import purchase_shortfall
from advisor.performance.stage import Served
from advisor.requirements import Requirements

SERVICE = "services"
"""Unit of a rejection that a service is missing for, where others are about regions."""


@dataclass(frozen=True, slots=True)
class Sized:
    """A candidate in a region, bought one way, in the number that the demand needs."""

    served: Served
    offer: Offer
    purchase: Purchase
    instances: int
    replicas: int
    cost: Cost


@dataclass(frozen=True, slots=True)
class _Count:
    instances: int
    replicas: int


def size_all(
    served: Sequence[Served],
    offers: dict[tuple[str, str], tuple[Offer, ...]],
    requirements: Requirements,
    catalog: Catalog,
) -> tuple[list[Sized], list[Rejection]]:
    """Every served candidate × offer × purchase option, sized and priced, or rejected."""
    sized: list[Sized] = []
    rejected: dict[Rejection, None] = {}
    for one in served:
        count = count_instances(one.candidate, one.requests_per_second_per_replica.value, requirements)
        if isinstance(count, Rejection):
            rejected[count] = None
            continue
        key = (one.candidate.instance_type.provider, one.candidate.instance_type.name)
        for outcome in _price_all(one, count, offers[key], requirements, catalog):
            if isinstance(outcome, Sized):
                sized.append(outcome)
            else:
                rejected[outcome] = None
    return sized, list(rejected)


def count_instances(candidate: Candidate, rate: float, requirements: Requirements) -> _Count | Rejection:
    """Instances and replicas for the busiest minute: ``ceil(peak / rate of a replica)``, and the limits.

    At least ``min_replicas`` replicas and one instance in each zone; whole instances are filled with replicas, up
    to ``max_replicas``.
    """
    limits = requirements.workload.limits
    peak = requirements.demand.requests_per_second.peak
    needed = max(math.ceil(peak / rate), limits.min_replicas)
    if limits.max_replicas is not None and needed > limits.max_replicas:
        reason = f"{needed} replicas are needed for {peak:.3g} requests/s, {limits.max_replicas} are allowed"
        shortfall = Shortfall("max_replicas", "replicas", needed, limits.max_replicas, reason)
        return reject_candidate(candidate, shortfall)
    instances = max(math.ceil(needed / candidate.replicas_per_instance), limits.zones)
    replicas = instances * candidate.replicas_per_instance
    return _Count(instances, replicas if limits.max_replicas is None else min(replicas, limits.max_replicas))


def _price_all(
    served: Served, count: _Count, offers: Sequence[Offer], requirements: Requirements, catalog: Catalog
) -> Iterator[Sized | Rejection]:
    workload = requirements.workload
    for offer in offers:
        for purchase in workload.purchase:
            refused = purchase_shortfall(served.candidate.setup, purchase.value, offer.region, catalog)
            if refused is not None and (purchase is not Purchase.MANAGED or offer.managed is not None):
                yield reject_undeployable(served.candidate, refused, offer.region)
                continue
            price = catalog.price(offer, purchase)
            if price is None:
                yield _no_price(served.candidate, offer, purchase)
                continue
            yield _price(served, count, offer, purchase, price, requirements)


def _price(
    served: Served, count: _Count, offer: Offer, purchase: Purchase, price: Price, requirements: Requirements
) -> Sized | Rejection:  # fmt: skip
    cost = cost_of(price, count.instances, requirements.demand)
    budget = requirements.workload.limits.max_usd_per_month
    if budget is not None and cost.total_usd_per_month > budget:
        reason = f"{purchase.value} costs ${cost.total_usd_per_month:,.2f} a month, ${budget:,.2f} allowed"
        shortfall = Shortfall("budget", "USD/month", cost.total_usd_per_month, budget, reason)
        return reject_candidate(served.candidate, shortfall, offer.region)
    return Sized(served, offer, purchase, count.instances, count.replicas, cost)


def no_service(machine: InstanceType, region: str) -> Rejection:
    """Why a machine cannot be had as a managed endpoint."""
    reason = "no service is known to run endpoints on it"
    return reject(machine, Shortfall("not_sold", SERVICE, "a managed endpoint", 0, reason), region=region)


def _no_price(candidate: Candidate, offer: Offer, purchase: Purchase) -> Rejection:
    if purchase is Purchase.MANAGED and offer.managed is None:
        return no_service(candidate.instance_type, offer.region)
    kind = purchase.value.replace("_", " ")
    shortfall = Shortfall(
        "price_unknown", "USD/h", f"{kind} price", None, f"sold there, but the {kind} price is not known"
    )  # fmt: skip
    return reject(candidate.instance_type, shortfall, ANY, None, offer.region)


def best_of_each_offer(sized: Sequence[Sized], precisions: Sequence[str]) -> list[Sized]:
    """The cheapest of each provider × region × instance type × purchase option.

    Of equally cheap ones: uncut accelerators, the precision named first in the workload, then the most spare capacity.
    """

    def preference(one: Sized) -> tuple[float, bool, int, float, int]:
        candidate = one.served.candidate
        capacity = one.served.requests_per_second_per_replica.value * one.replicas
        return (
            one.cost.total_usd_per_month, candidate.partition != "", precisions.index(candidate.precision), -capacity,
            candidate.tensor_parallel,
        )  # fmt: skip

    best: dict[tuple[str, str, str, str], Sized] = {}
    for one in sized:
        key = (one.offer.provider, one.offer.region, one.offer.instance_type, one.purchase.value)
        if key not in best or preference(one) < preference(best[key]):
            best[key] = one
    return list(best.values())


def cheapest_first(sized: Sequence[Sized], requirements: Requirements) -> list[Sized]:
    """Ranked by total cost; equal ones uncut first, then by regions and precisions in the workload, then name."""
    workload = requirements.workload
    regions = {region: index for index, region in enumerate(workload.regions)}

    def position(one: Sized) -> tuple[float, bool, int, int, str, str, str, str, int, str]:
        candidate = one.served.candidate
        return (
            one.cost.total_usd_per_month,
            candidate.partition != "",
            regions.get(one.offer.region, 0),
            workload.precisions.index(candidate.precision),
            one.offer.provider,
            one.offer.region,
            one.offer.instance_type,
            one.purchase.value,
            candidate.tensor_parallel,
            candidate.partition,
        )

    return sorted(sized, key=position)
