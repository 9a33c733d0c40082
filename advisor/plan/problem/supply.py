"""Supply that pools are made from: served candidates, offers, ways of paying for them, and why one becomes no pool."""

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np

from advisor.candidates import Candidate, Rejection, Shortfall, reject, reject_candidate
from advisor.catalog import Catalog
from advisor.catalog.planning import CommitmentPrice
from advisor.catalog.price_trust import first_day, is_listed, trust
from advisor.catalog.values import InstanceType, Offer, Price, Provenance, Purchase, Quality
from advisor.cost import break_even
from advisor.demand.values import TokenHistogram
from advisor.errors import InputError
from advisor.performance.evidence import Served
from advisor.plan.cold_start import ColdStart, start_of
from advisor.plan.geography import Geography, network_shortfall
from advisor.plan.problem.values import Floats, Pool, PurchaseOption, Tariff
from advisor.plan.spot import Exposure, hazard, interruption_usd_per_hour
from advisor.records import dataclass, field, replace
from advisor.requirements import Requirements
from advisor.units import HOURS_PER_DAY, SECONDS_PER_DAY, counted, price_usd, span_words
from advisor.workload.values import Limits, Scaling

Stand = tuple[str, str, str]
Terms = tuple[tuple[Purchase, ...], Limits, Scaling, bool, dt.date | None]
"""Parts of a workload that pools depend on, beside the precisions that lose quality."""
Sold = tuple[int, int, int, bool, int]
"""Identities of a served candidate and an offer, rank of the loss of quality, whether starts count for nothing, and
changes of the schedule a week."""
PAID_FOR = "paid for already: a commitment that is held"
"""Source of the price of instances that a commitment of the workload pays for."""
HISTORY_DAYS = 14
"""Days that demand was observed for, from which commitments may rest on it."""
SERVICE = "services"


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
    changes: int = 0
    """Entries of a schedule of hosts a week; see :func:`changes_a_week`."""
    buckets: tuple[tuple[float, TokenHistogram], ...] = ()
    """Share and lengths of each prompt-length bucket; empty where requests are not told apart."""
    made: dict[Terms, dict[Sold, Made]] = field(default_factory=dict)
    """Pools that were made before, by what is allowed: of the same rates and places, and so of every part of them."""
    starts: dict[int, tuple[Served, ColdStart]] = field(default_factory=dict)
    """Cold starts that were worked out before, of this supply and its parts, by the ``id`` of what starts."""

    def start_of(self, served: Served) -> ColdStart:
        """Cold start of a candidate."""
        if id(served) not in self.starts:
            self.starts[id(served)] = served, start_of(served.candidate, self.catalog)
        return self.starts[id(served)][1]

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

    def of_types(self, types_in_region: Collection[str]) -> "Supply":
        """The same candidates at the offers of some types in regions."""
        offers = {
            key: tuple(
                offer
                for offer in group
                if type_in_region_of(offer.provider, offer.region, offer.instance_type) in types_in_region
            )
            for key, group in self.offers.items()
        }
        return replace(self, offers=offers)


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


def type_in_region_of(provider: str, region: str, instance_type: str) -> str:
    """Name of the instances of a type in a region."""
    return f"{provider}/{region}/{instance_type}"


def tariffs_of(supply: Supply, offer: Offer) -> Iterator[Tariff]:
    """Prices of an offer in the ways that the workload allows."""
    workload = supply.requirements.workload
    if supply.owned.get(type_in_region_of(offer.provider, offer.region, offer.instance_type)):
        yield Tariff(PurchaseOption.OWNED, 0.0, "owned", source=PAID_FOR)
    service, managed = (offer.managed.service, offer.managed.price) if offer.managed else ("", None)
    for paid, price, label in (
        (PurchaseOption.ON_DEMAND, offer.on_demand, ""),
        (PurchaseOption.SPOT, offer.spot, ""),
        (PurchaseOption.MANAGED, managed, service),
    ):
        purchase = Purchase(paid.value)
        if purchase in workload.purchase and price is not None:
            yield _tariff(paid, price, label)
    if Purchase.COMMITMENT in workload.purchase and may_commit(supply.requirements):
        yield from _commitments(_allowed_commitments(supply, offer), offer)


def _allowed_commitments(supply: Supply, offer: Offer) -> Sequence[CommitmentPrice]:
    """Prices of commitments of the terms that may be entered."""
    years = supply.requirements.workload.limits.commitment_years
    return [
        current_commitment
        for current_commitment in supply.catalog.current_commitments(offer)
        if current_commitment.commitment.term_years in years
    ]


def usable(tariffs: Iterable[Tariff], offer: Offer, supply: Supply) -> Iterator[Tariff]:
    """The tariffs whose prices may be used: all of them, or those that are listed and recent."""
    workload, catalog = supply.requirements.workload, supply.catalog
    day = (workload.as_of or first_day(catalog.as_of)) if workload.listed_only else None
    if day is None:
        yield from tariffs
        return
    for tariff in tariffs:
        is_owned = tariff.paid is PurchaseOption.OWNED
        if is_owned or is_listed(price_of(tariff), Purchase(tariff.paid.value), offer.on_demand, day):
            yield tariff


def price_of(tariff: Tariff) -> Price:
    """The price of a tariff with where it is from."""
    return Price(tariff.usd_per_hour, Provenance(tariff.source, tariff.as_of, Quality(tariff.quality)))


def may_commit(requirements: Requirements) -> bool:
    """Whether anything new may be committed: on two weeks of history or more."""
    return not why_no_commitment(requirements)


def why_no_commitment(requirements: Requirements) -> str:
    """Why nothing new may be committed; "" where it may."""
    workload, demand = requirements.workload, requirements.demand
    if demand.batch is not None:
        return "a commitment is paid for at all hours, and batch work runs in some"
    hours = 0 if demand.profile is None else demand.profile.history_hours()
    if hours >= HISTORY_DAYS * HOURS_PER_DAY or workload.limits.commit_without_history:
        return ""
    history = _history_words(hours, demand.window_seconds)
    return f"not possible: a commitment takes {HISTORY_DAYS} days of history, {history} of them known"


def check_purchase(requirements: Requirements) -> None:
    """Raise InputError if the workload may only be paid for by commitments that it may not enter."""
    workload, why = requirements.workload, why_no_commitment(requirements)
    if workload.purchase != (Purchase.COMMITMENT,) or workload.commitments or not why:
        return
    hint = "allow on_demand too, give a longer history, or set limits.commit_without_history: true"
    if requirements.demand.batch is not None:
        hint = "allow on_demand or spot"
    raise InputError(
        f"nothing can be bought: a commitment is all that is allowed ({why})",
        where=workload.where("purchase"),
        hint=hint,
    )


def _history_words(hours: int, seconds: float | None) -> str:
    """History in words: days and hours of the clock as a commitment counts them; of less than a day, as observed."""
    if seconds is None:
        return "none"
    if seconds < SECONDS_PER_DAY or not hours:
        return span_words(seconds)
    days, rest = divmod(hours, HOURS_PER_DAY)
    return counted(days, "day") + (f" and {counted(rest, 'hour')}" if rest else "")


def _tariff(paid: PurchaseOption, price: Price, label: str = "") -> Tariff:
    provenance = price.provenance
    return Tariff(
        paid,
        price.usd_per_hour,
        label,
        source=provenance.source,
        as_of=provenance.as_of,
        quality=provenance.quality.value,
    )


def _commitments(prices: Sequence[CommitmentPrice], offer: Offer) -> Iterator[Tariff]:
    """The cheapest of each term."""
    terms = {price.commitment.term_years: price for price in reversed(prices)}
    for years, price in sorted(terms.items()):
        even = break_even(price.usd_per_hour, offer.on_demand.usd_per_hour if offer.on_demand else None)
        yield Tariff(
            PurchaseOption.COMMITMENT,
            price.usd_per_hour,
            label=f"{price.commitment.instrument}, {years} y, {price.commitment.payment.replace('_', ' ')}",
            break_even_ratio=min(even.utilization, 1.0) if even else 1.0,
            term_years=float(years),
            source=price.provenance.source,
            as_of=price.provenance.as_of,
            quality=price.provenance.quality.value,
        )


def exposed(
    supply: Supply, at: int, offer: Offer, tariffs: Sequence[Tariff], start_usd: float
) -> Iterator[Tariff]:  # fmt: skip
    """The tariffs, the spot one with the expected cost of its interruptions.

    Batch work waits for the same machine, so that lost time is paid for at its own price.
    """
    served, cold = supply.served[at], supply.cold_starts[at]
    replicas, waits = served.candidate.replicas_per_instance, supply.requirements.demand.batch is not None
    for tariff in tariffs:
        if tariff.paid is not PurchaseOption.SPOT:
            yield tariff
            continue
        exposure = Exposure(
            running_requests=served.mean_concurrency * replicas,
            requests_per_second=served.requests_per_second_per_replica.value * replicas,
            usd_per_hour=tariff.usd_per_hour,
            replacement_usd_per_hour=tariff.usd_per_hour
            if waits or not offer.on_demand
            else offer.on_demand.usd_per_hour,
            cold_start_s=cold.total_s.value if cold else 0.0,
            start_usd=start_usd,
        )
        per_hour = hazard(supply.catalog.spot_risk(offer)).per_hour.value
        yield replace(
            tariff,
            interruption_usd_per_hour=interruption_usd_per_hour(per_hour, exposure),
            interruptions_per_hour=per_hour,
        )


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
    why = doubt or "derived from a price on demand that is not listed"
    reason = f"its {paid} price of {price_usd(tariff.usd_per_hour)} an hour is left out by listed_only: {why}"
    return Shortfall("not_listed", "price", "listed and recent", why, reason)


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
