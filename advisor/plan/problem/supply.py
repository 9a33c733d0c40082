"""Parts that pools are made from: served candidates with their rates, offers, and what is known of their places."""

import datetime as dt
from collections.abc import Mapping, Sequence

import numpy as np

from advisor.candidates import Candidate, Rejection, Shortfall, reject, reject_candidate
from advisor.catalog import Catalog
from advisor.catalog.price_trust import first_day, trust
from advisor.catalog.values import InstanceType, Offer, Purchase
from advisor.demand.values import TokenHistogram
from advisor.performance.served import Served
from advisor.plan.cold_start import ColdStart
from advisor.plan.geography import Geography, network_shortfall
from advisor.plan.problem.tariffs import price_of, tariffs_of
from advisor.plan.problem.values import Floats, Pool, Tariff
from advisor.records import dataclass, field, replace
from advisor.requirements import Requirements
from advisor.workload.values import Limits, Scaling

SERVICE = "services"
Stand = tuple[str, str, str]
Terms = tuple[tuple[Purchase, ...], Limits, Scaling, bool, dt.date | None]
"""Parts of a workload that pools depend on, beside the precisions that lose quality."""
Sold = tuple[int, int, int, bool]
"""Identities of a served candidate and an offer, rank of the loss of quality, and whether starts count for nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """Result for a served candidate at an offer."""

    served: Served
    offer: Offer
    """Both are kept, so that nothing else has their identities."""
    pool: Pool | None
    rejections: tuple[Rejection, ...]


@dataclass(frozen=True, slots=True, eq=False)
class RateTable:
    """Requests per second of one replica of each candidate, by how far its users are."""

    mix: Mapping[float, Floats]
    """All requests, by network level in ms: (candidates,)."""
    buckets: Mapping[float, Floats]
    """Each prompt-length bucket alone: (buckets, candidates)."""

    def take(self, at: Sequence[int]) -> "RateTable":
        """The candidates at some positions."""
        mix = {ms: rates[list(at)] for ms, rates in self.mix.items()}
        return RateTable(mix, {ms: rates[:, list(at)] for ms, rates in self.buckets.items()})

    def of_the_mix(self) -> "RateTable":
        """The same where requests are not told apart."""
        return RateTable(self.mix, {ms: rates[:0] for ms, rates in self.buckets.items()})

    def cases(self) -> Floats:
        """Every level and kind of requests: (cases, candidates)."""
        if not self.mix:
            return np.zeros((0, 0))
        return np.concatenate([np.vstack([self.mix[ms][None, :], self.buckets[ms]]) for ms in self.mix])


@dataclass(frozen=True, slots=True, eq=False)
class Supply:
    """Inputs that pools are made from."""

    requirements: Requirements
    catalog: Catalog
    served: Sequence[Served]
    offers: Mapping[tuple[str, str], tuple[Offer, ...]]
    rates: RateTable
    geography: Geography
    cold_starts: Sequence[ColdStart | None]
    """Of each candidate; None where nothing depends on it."""
    owned: Mapping[str, int]
    running: Mapping[str, int]
    buckets: tuple[tuple[float, TokenHistogram], ...] = ()
    """Share and lengths of each prompt-length bucket; empty where requests are not told apart."""
    made: dict[Terms, dict[Sold, Made]] = field(default_factory=dict)
    """Pools that were made before, by what is allowed: of the same rates and places, and so of every part of them."""

    def take(
        self,
        at: Sequence[int],
        offers: Mapping[tuple[str, str], tuple[Offer, ...]] | None = None,
        requirements: Requirements | None = None,
    ) -> "Supply":
        """The candidates at some positions, with other offers and requirements where they are given."""
        return replace(
            self,
            served=[self.served[index] for index in at],
            rates=self.rates.take(at),
            cold_starts=[self.cold_starts[index] for index in at],
            offers=self.offers if offers is None else offers,
            requirements=requirements or self.requirements,
        )


@dataclass(frozen=True, slots=True, eq=False)
class PoolSource:
    """Origin of a pool."""

    served: Served
    offer: Offer
    cold_start: ColdStart | None


@dataclass(frozen=True, slots=True, eq=False)
class PoolSet:
    """All pools, and why other offers are none."""

    pools: tuple[Pool, ...]
    sources: Mapping[str, PoolSource]
    rejections: tuple[Rejection, ...]

    def plus(self, other: "PoolSet") -> "PoolSet":
        """These and others."""
        sources = {**self.sources, **other.sources}
        return PoolSet((*self.pools, *other.pools), sources, (*self.rejections, *other.rejections))


def stand_of(provider: str, region: str, instance_type: str) -> str:
    """Name of the instances of a type in a region."""
    return f"{provider}/{region}/{instance_type}"


def no_price(supply: Supply, candidate: Candidate, offer: Offer) -> Rejection:
    """Rejection of an offer without a price that may be paid."""
    workload = supply.requirements.workload
    if tuple(workload.purchase) == (Purchase.MANAGED,) and offer.managed is None:
        return no_service(candidate.instance_type, offer.region)
    unlisted = next(tariffs_of(supply, offer), None)
    kinds = " or ".join(purchase.value.replace("_", " ") for purchase in workload.purchase)
    shortfall = Shortfall(
        "price_unknown", "USD/h", f"{kinds} price", None, f"sold there, but no price for {kinds} is known"
    )
    if unlisted is not None:
        shortfall = _not_listed(unlisted, workload.as_of or first_day(supply.catalog.as_of))
    return reject(candidate.instance_type, shortfall, region=offer.region)


def _not_listed(tariff: Tariff, day: dt.date | None) -> Shortfall:
    """Fault of a price that ``listed_only`` leaves out."""
    paid = tariff.paid.value.replace("_", " ")
    doubt = trust(price_of(tariff), Purchase(tariff.paid.value), day).reason if day else ""
    found = doubt or "derived from a price on demand that is not listed"
    reason = f"its {paid} price of ${tariff.usd_per_hour:,.4g} an hour is left out by listed_only: {found}"
    return Shortfall("not_listed", "price", "listed and recent", found, reason)


def no_service(machine: InstanceType, region: str) -> Rejection:
    """Why a machine cannot be had as a managed endpoint."""
    reason = "no service is known to run endpoints on it"
    return reject(machine, Shortfall("not_sold", SERVICE, "a managed endpoint", 0, reason), region=region)


def too_far(supply: Supply, candidate: Candidate, offer: Offer) -> Rejection:
    """Rejection of a region that is too far from all users."""
    where, slo = supply.geography, supply.requirements.workload.slo
    ms, place = min(zip(where.network_ms[offer.provider, offer.region], where.places, strict=True))
    reason = f"with {ms:g} ms of network no load at all keeps the targets"
    shortfall = network_shortfall(place, offer.region, slo, ms) or Shortfall(
        "network", "ms", ms, slo.ttft_p95_ms, reason
    )
    return reject_candidate(candidate, shortfall, offer.region)
