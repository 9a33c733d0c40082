"""Parts that pools are made from: served candidates with their rates, offers, and what is known of their places."""

import datetime as dt
from collections.abc import Mapping, Sequence

import numpy as np

from advisor.candidates import Rejection
from advisor.catalog import Catalog
from advisor.catalog.values import Offer, Purchase
from advisor.demand.values import TokenHistogram
from advisor.performance.evidence import Served
from advisor.plan.cold_start import ColdStart
from advisor.plan.geography import Geography
from advisor.plan.problem.values import Floats, Pool
from advisor.records import dataclass, field, replace
from advisor.requirements import Requirements
from advisor.workload.values import Limits, Scaling

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
