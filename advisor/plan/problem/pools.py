"""Served candidates × offers × ways of paying → the pools that the optimiser chooses from."""

import datetime as dt
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from advisor.candidates import Candidate, Rejection, Shortfall, reject, reject_candidate, reject_undeployable
from advisor.catalog import Catalog
from advisor.catalog.planning import CommitmentPrice
from advisor.catalog.price_trust import first_day, trust
from advisor.catalog.values import InstanceType, Offer, Price, Provenance, Purchase, Quality
from advisor.cost.commitments import break_even
from advisor.cost.services import disk_parts, download_usd, host_disk_gib, root_volume_gib
from advisor.cost.standing import instance_hour_usd
from advisor.cost.transfer import sent_gb
from advisor.demand.values import TokenHistogram
from advisor.deployable import purchase_shortfall
from advisor.errors import InputError
from advisor.performance.served import Served
from advisor.plan.cold_start import ColdStart, download_gb
from advisor.plan.geography import Geography
from advisor.plan.problem.values import Floats, Pool, PurchaseOption, Tariff
from advisor.plan.spot import Exposure, hazard, interruption_usd_per_hour
from advisor.requirements import Requirements
from advisor.units import (
    DAYS_PER_MONTH,
    GRAMS_PER_KG,
    HOURS_PER_DAY,
    HOURS_PER_MONTH,
    MINUTES_PER_HOUR,
    WATTS_PER_KW,
    span_words,
)
from advisor.workload.values import Limits, QuotaLimit, Scaling

SWITCHING_HOURS = 2.0
"""Price of so many hours is what it costs to put an instance of another kind into service, where nothing is stated:
the time in which old and new run side by side while the new one is tried."""

SERVICE = "services"
"""Unit of a rejection that a service is missing for, where others are about regions."""

PAID_FOR = "paid for already: a commitment that is held"
"""Source of the price of instances that a commitment of the workload pays for."""
HISTORY_DAYS = 14
"""Days that demand was observed for, from which commitments may rest on it."""

_CARRIED_BY_OTHERS = 2
"""Zones asked at which the load that is left without one of them shows that a fleet is in both."""

Stand = tuple[str, str, str]


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
    made: "dict[_Terms, dict[_Sold, _Made]]" = field(default_factory=dict)
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


def pools_of(supply: Supply) -> PoolSet:
    """A pool for each served candidate in each region where it may run and something is known to be paid."""
    sources: dict[str, PoolSource] = {}
    pools: list[Pool] = []
    rejected: dict[Rejection, None] = {}
    places, made = _OfferFacts(supply), supply.made.setdefault(_terms(supply.requirements), {})
    for at, served in enumerate(supply.served):
        machine, cold = served.candidate.instance_type, supply.cold_starts[at]
        rank = supply.requirements.loss_rank(served.candidate.precision)
        for offer in supply.offers[machine.provider, machine.name]:
            sold = (id(served), id(offer), rank, cold is None)
            if sold not in made:
                made[sold] = _made(supply, places, at, offer)
            rejected.update(dict.fromkeys(made[sold].rejections))
            pool = made[sold].pool
            if pool is not None:
                pools.append(pool)
                sources[pool.key] = PoolSource(served, offer, cold)
    return PoolSet(tuple(pools), sources, tuple(rejected))


_Terms = tuple[tuple[Purchase, ...], Limits, Scaling, bool, dt.date | None]
"""What of a workload pools depend on, beside the precisions that lose quality."""
_Sold = tuple[int, int, int, bool]
"""Identities of a served candidate and an offer, rank of the loss of quality, and whether starts count for nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """Result for a served candidate at an offer."""

    served: Served
    offer: Offer
    """Both are kept, so that nothing else has their identities."""
    pool: Pool | None
    rejections: tuple[Rejection, ...]


def _terms(requirements: Requirements) -> _Terms:
    workload = requirements.workload
    return tuple(workload.purchase), workload.limits, workload.scaling, workload.listed_only, workload.as_of


def _made(supply: Supply, places: "_OfferFacts", at: int, offer: Offer) -> _Made:
    served = supply.served[at]
    tariffs, refused = _payable(supply, served.candidate, offer, places.tariffs(offer))
    if refused and not tariffs:
        return _Made(served, offer, None, refused)
    outcome = _pool(supply, places, at, offer, tariffs)
    if isinstance(outcome, Rejection):
        return _Made(served, offer, None, (*refused, outcome))
    return _Made(served, offer, outcome, refused)


def in_zones(pool_set: PoolSet, limits: Limits, most_regions: int | None) -> PoolSet:
    """The pools without those of types that are sold in fewer zones of the region than a fleet has to be in.

    Where two are asked, a type of one zone stays beside others of the region that carry the load through its loss.
    """
    if limits.zones == 1 or most_regions != 1:
        return pool_set
    carrying = {pool.region for pool in pool_set.pools if pool.zones >= limits.zones == _CARRIED_BY_OTHERS}
    few = [pool for pool in pool_set.pools if pool.zones < limits.zones and pool.region not in carrying]
    rejected = dict.fromkeys(_in_few_zones(pool_set.sources[pool.key], pool.zones, limits.zones) for pool in few)
    left_out = {pool.key for pool in few}
    kept = tuple(pool for pool in pool_set.pools if pool.key not in left_out)
    return replace(pool_set, pools=kept, rejections=(*pool_set.rejections, *rejected))


def _in_few_zones(source: PoolSource, sold: int, zones: int) -> Rejection:
    offer = source.offer
    told = "one zone" if sold == 1 else f"{sold} zones"
    reason = f"sold in {told} of {offer.region}, and limits.zones asks for {zones}"
    shortfall = Shortfall("zones", "zones", zones, sold, reason)
    return reject(source.served.candidate.instance_type, shortfall, region=offer.region)


class _OfferFacts:
    """Facts that only depend on the offer or its region, looked up once."""

    def __init__(self, supply: Supply) -> None:
        """Remember what each offer came to."""
        self._supply = supply
        self._tariffs: dict[Stand, tuple[Tariff, ...]] = {}
        self._egress: dict[tuple[str, str], float] = {}
        self._disks: dict[tuple[str, str, int], tuple[float, ...]] = {}
        self._standing: dict[tuple[str, str], float] = {}

    def standing_usd_per_hour(self, offer: Offer) -> float:
        """Charges of the region by the hours of instances."""
        key = (offer.provider, offer.region)
        if key not in self._standing:
            self._standing[key] = instance_hour_usd(self._supply.catalog, *key)
        return self._standing[key]

    def disk_parts_usd_per_hour(self, offer: Offer, volume_gib: int) -> tuple[float, ...]:
        """A host's disk; empty where there is none, or its price is not known, which the plan's notes say."""
        if volume_gib == 0:
            return ()
        key = (offer.provider, offer.region, volume_gib)
        if key not in self._disks:
            parts = disk_parts(self._supply.catalog, *key)
            self._disks[key] = tuple(part.units * part.price.usd / HOURS_PER_MONTH for part in parts)
        return self._disks[key]

    def start_usd(self, offer: Offer, download_gb: float) -> float:
        """Download cost of a start; 0 where its price is not known."""
        return download_usd(self._supply.catalog, offer.provider, offer.region, download_gb) or 0.0

    def tariffs(self, offer: Offer) -> tuple[Tariff, ...]:
        """Ways of paying for the offer, without what depends on the candidate."""
        key = (offer.provider, offer.region, offer.instance_type)
        if key not in self._tariffs:
            self._tariffs[key] = tuple(_usable(_tariffs(self._supply, offer), offer, self._supply))
        return self._tariffs[key]

    def egress_usd_per_request(self, offer: Offer) -> float:
        """Data transfer of one answer."""
        key = (offer.provider, offer.region)
        if key not in self._egress:
            price = self._supply.catalog.egress_usd_per_gb(*key)
            requirements = self._supply.requirements
            self._egress[key] = sent_gb(requirements.demand, requirements.model) * price.usd_per_gb
        return self._egress[key]


def _payable(
    supply: Supply, candidate: Candidate, offer: Offer, tariffs: Sequence[Tariff]
) -> tuple[tuple[Tariff, ...], tuple[Rejection, ...]]:  # fmt: skip
    """The tariffs that generated code can order the candidate at, and rejections for the others."""
    refused = {
        tariff.paid: shortfall
        for tariff in tariffs
        if (shortfall := purchase_shortfall(candidate.setup, tariff.paid.value, offer.region, supply.catalog))
        is not None
    }
    if not refused:
        return tuple(tariffs), ()
    kept = tuple(tariff for tariff in tariffs if tariff.paid not in refused)
    return kept, tuple(reject_undeployable(candidate, shortfall, offer.region) for shortfall in refused.values())


def _pool(
    supply: Supply, places: _OfferFacts, at: int, offer: Offer, tariffs: Sequence[Tariff]
) -> Pool | Rejection:  # fmt: skip
    candidate = supply.served[at].candidate
    if not tariffs:
        return _no_price(supply, candidate, offer)
    mix, buckets = _rates(supply, at, offer)
    if not mix.any():
        return _too_far(supply, candidate, offer)
    factors = _factors(supply, candidate, offer)
    if isinstance(factors, Rejection):
        return factors
    kw, kg = factors
    stand = stand_of(offer.provider, offer.region, offer.instance_type)
    cold = supply.cold_starts[at]
    start_usd = places.start_usd(offer, download_gb(candidate, supply.catalog.cold_start))
    return Pool(
        key=_key(offer, candidate),
        instance_type=f"{offer.provider}/{offer.instance_type}",
        stand=stand,
        replicas=candidate.replicas_per_instance,
        mix_rates=mix,
        rates=buckets,
        tariffs=tuple(
            replace(
                tariff,
                disk_parts_usd_per_hour=places.disk_parts_usd_per_hour(offer, boot_disk_gib(candidate, tariff.paid)),
                standing_usd_per_hour=places.standing_usd_per_hour(offer),
            )
            for tariff in _exposed(supply, at, offer, tariffs, start_usd)
        ),
        usd_per_request=places.egress_usd_per_request(offer),
        lead_hours=cold.lead_hours if cold else 0.0,
        start_usd=start_usd,
        kw=kw,
        kg_co2e_per_hour=kg,
        quotas=_quotas(supply, candidate, offer),
        switching_usd=_switching_usd(supply, offer, tariffs) if supply.running and stand not in supply.running else 0.0,
        zones=supply.catalog.zones(offer.provider, offer.region, offer.instance_type).count,
        supply=_supply_name(candidate, offer),
        backend=f"{_supply_name(candidate, offer)}/{candidate.engine}",
        replica_kind=_replica_kind(candidate),
        loss_rank=supply.requirements.loss_rank(candidate.precision),
        most_rate=supply.served[at].most_requests_per_second * candidate.replicas_per_instance,
    )


def _supply_name(candidate: Candidate, offer: Offer) -> str:
    """Accelerators of one kind in a region, whatever the size of the machine."""
    return f"{offer.provider}/{offer.region}/{candidate.accelerator.name}"


def _replica_kind(candidate: Candidate) -> str:
    """Accelerators, engine, precision and split of a machine's replicas."""
    parts = (
        f"{candidate.instance_type.accelerator_count}x{candidate.accelerator.name}", candidate.engine,
        candidate.precision, candidate.tensor_parallel, candidate.pipeline_parallel, candidate.replicas_per_instance,
    )  # fmt: skip
    return "/".join(map(str, parts))


def boot_disk_gib(candidate: Candidate, paid: PurchaseOption) -> int:
    """Disk that is priced and ordered with an instance; 0: none, as of a managed endpoint whose machine has its own."""
    local_gb = candidate.instance_type.local_nvme_gb
    if paid is PurchaseOption.SERVERLESS or (paid is PurchaseOption.MANAGED and local_gb):
        return 0
    checkpoint_gib = candidate.memory.checkpoint_gib
    return (
        root_volume_gib(checkpoint_gib) if paid is PurchaseOption.MANAGED else host_disk_gib(checkpoint_gib, local_gb)
    )


def _key(offer: Offer, candidate: Candidate) -> str:
    layout = candidate.partition or f"tp{candidate.tensor_parallel}"
    return f"{offer.provider}/{offer.region}/{offer.instance_type}/{candidate.precision}/{layout}"


def _rates(supply: Supply, at: int, offer: Offer) -> tuple[Floats, Floats]:
    """Rates of one instance: all requests of each place (places,), and each bucket alone (places, buckets)."""
    replicas = supply.served[at].candidate.replicas_per_instance
    network = supply.geography.network_ms[offer.provider, offer.region]
    mix = [supply.rates.mix[ms][at] if math.isfinite(ms) else 0.0 for ms in network]
    count = len(next(iter(supply.rates.buckets.values())))
    far = np.zeros(count)
    buckets = [supply.rates.buckets[ms][:, at] if math.isfinite(ms) else far for ms in network]
    return np.array(mix) * replicas, np.array(buckets).reshape(len(network), count) * replicas


def _tariffs(supply: Supply, offer: Offer) -> Iterator[Tariff]:
    workload = supply.requirements.workload
    if supply.owned.get(stand_of(offer.provider, offer.region, offer.instance_type)):
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


def _usable(tariffs: Iterable[Tariff], offer: Offer, supply: Supply) -> Iterator[Tariff]:
    """The tariffs whose prices may be used: all of them, or those that are listed and recent."""
    workload, catalog = supply.requirements.workload, supply.catalog
    day = workload.as_of or first_day(catalog.as_of)
    if not workload.listed_only or day is None:
        yield from tariffs
        return
    for tariff in tariffs:
        prices = [] if tariff.paid is PurchaseOption.OWNED else [(_price_of(tariff), Purchase(tariff.paid.value))]
        if tariff.paid is PurchaseOption.COMMITMENT and offer.on_demand is not None:
            prices.append((offer.on_demand, Purchase.ON_DEMAND))
        if all(trust(price, purchase, day).listed for price, purchase in prices):
            yield tariff


def _price_of(tariff: Tariff) -> Price:
    """The price of a tariff with where it is from."""
    return Price(tariff.usd_per_hour, Provenance(tariff.source, tariff.as_of, Quality(tariff.quality)))


def may_commit(requirements: Requirements) -> bool:
    """Whether anything new may be committed: on two weeks of history or more, and never where zero is allowed."""
    return not why_no_commitment(requirements)


def why_no_commitment(requirements: Requirements) -> str:
    """Why nothing new may be committed; "" where it may."""
    workload, seconds = requirements.workload, requirements.demand.window_seconds
    if workload.scaling.scale_to_zero:
        return "scale_to_zero never ends in a commitment"
    if _days_of_history(requirements) >= HISTORY_DAYS or workload.limits.commit_without_history:
        return ""
    known = "none" if seconds is None else span_words(seconds)
    return f"not possible: a commitment takes {HISTORY_DAYS} days of history, {known} of them known"


def check_purchase(requirements: Requirements) -> None:
    """Refuse a workload that may only be paid for by commitments that it may not enter.

    Raises:
        InputError: nothing could be bought.
    """
    workload, why = requirements.workload, why_no_commitment(requirements)
    if workload.purchase != (Purchase.COMMITMENT,) or workload.commitments or not why:
        return
    hint = "allow on_demand too, give a longer history, or set limits.commit_without_history: true"
    if workload.scaling.scale_to_zero:
        hint = "allow on_demand too, or leave scale_to_zero out"
    raise InputError(
        f"nothing can be bought: a commitment is all that is allowed ({why})",
        where=workload.where("purchase"),
        hint=hint,
    )


def _days_of_history(requirements: Requirements) -> float:
    profile = requirements.demand.profile
    return 0.0 if profile is None else len(profile.requests_per_minute) / (HOURS_PER_DAY * MINUTES_PER_HOUR)


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


def _exposed(
    supply: Supply, at: int, offer: Offer, tariffs: Sequence[Tariff], start_usd: float
) -> Iterator[Tariff]:  # fmt: skip
    """The tariffs, the spot one with the expected cost of its interruptions."""
    served, cold = supply.served[at], supply.cold_starts[at]
    replicas = served.candidate.replicas_per_instance
    for tariff in tariffs:
        if tariff.paid is not PurchaseOption.SPOT:
            yield tariff
            continue
        exposure = Exposure(
            running_requests=served.mean_concurrency * replicas,
            requests_per_second=served.requests_per_second_per_replica.value * replicas,
            usd_per_hour=tariff.usd_per_hour,
            replacement_usd_per_hour=offer.on_demand.usd_per_hour if offer.on_demand else tariff.usd_per_hour,
            cold_start_s=cold.total_s.value if cold else 0.0,
            start_usd=start_usd,
        )
        per_hour = hazard(supply.catalog.spot_risk(offer)).per_hour.value
        yield replace(
            tariff,
            interruption_usd_per_hour=interruption_usd_per_hour(per_hour, exposure),
            interruptions_per_hour=per_hour,
        )


def _factors(supply: Supply, candidate: Candidate, offer: Offer) -> tuple[float | None, float | None] | Rejection:
    """Power and carbon of an instance; a rejection where one of them is capped and not known."""
    limits = supply.requirements.workload.limits
    if limits.max_kw is None and limits.max_kg_co2e_per_month is None:
        return None, None
    machine = candidate.instance_type
    watts = supply.catalog.accelerator(machine.accelerator).tdp_watts
    if watts is None:
        reason = f"the power of {machine.accelerator} is not known, and a cap on power or carbon is set"
        return reject_candidate(candidate, Shortfall("power_unknown", "W", "a known power", None, reason), offer.region)
    kw = watts * (machine.accelerator_count or 0.0) / WATTS_PER_KW
    if limits.max_kg_co2e_per_month is None:
        return kw, None
    grid = supply.catalog.grid(offer.provider, offer.region)
    if grid is None:
        reason = f"the carbon of the grid of {offer.region} is not known, and a cap on carbon is set"
        shortfall = Shortfall("carbon_unknown", "g/kWh", "a known intensity", None, reason)
        return reject_candidate(candidate, shortfall, offer.region)
    return kw, kw * (grid.pue or 1.0) * grid.carbon_g_per_kwh / GRAMS_PER_KG


def _quotas(supply: Supply, candidate: Candidate, offer: Offer) -> dict[tuple[str, str], float]:
    """Units that an instance takes of the quotas that the workload states for its region."""
    stated = {
        (quota.code, quota_key(quota))
        for quota in supply.requirements.workload.limits.quotas
        if (quota.provider, quota.region) == (offer.provider, offer.region)
    }
    if not stated:
        return {}
    units = supply.catalog.quota_use(candidate.instance_type) or 0.0
    found: dict[tuple[str, str], float] = {}
    for market, purchase in (("on_demand", Purchase.ON_DEMAND), ("spot", Purchase.SPOT)):
        quota = supply.catalog.quota(candidate.instance_type, purchase)
        found |= {(key, market): units for code, key in stated if quota is not None and quota.code == code}
    return found


def quota_key(quota: QuotaLimit) -> str:
    """Name of a stated quota: provider/region/code."""
    return f"{quota.provider}/{quota.region}/{quota.code}"


def _switching_usd(supply: Supply, offer: Offer, tariffs: Sequence[Tariff]) -> float:
    """One-off cost of an instance of another stand, spread over the months of the horizon.

    Its price is that on demand where there is one, so that a further way of paying makes no fleet dearer.
    """
    workload = supply.requirements.workload
    stated = workload.limits.switching_usd_per_instance
    hourly = offer.on_demand.usd_per_hour if offer.on_demand else max(tariff.usd_per_hour for tariff in tariffs)
    once = hourly * SWITCHING_HOURS if stated is None else stated
    return once / max(workload.horizon_days / DAYS_PER_MONTH, 1.0)


def _no_price(supply: Supply, candidate: Candidate, offer: Offer) -> Rejection:
    workload = supply.requirements.workload
    if tuple(workload.purchase) == (Purchase.MANAGED,) and offer.managed is None:
        return no_service(candidate.instance_type, offer.region)
    unlisted = next(_tariffs(supply, offer), None)
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
    doubt = trust(_price_of(tariff), Purchase(tariff.paid.value), day).reason if day else ""
    found = doubt or "derived from a price on demand that is not listed"
    reason = f"its {paid} price of ${tariff.usd_per_hour:,.4g} an hour is left out by listed_only: {found}"
    return Shortfall("not_listed", "price", "listed and recent", found, reason)


def no_service(machine: InstanceType, region: str) -> Rejection:
    """Why a machine cannot be had as a managed endpoint."""
    reason = "no service is known to run endpoints on it"
    return reject(machine, Shortfall("not_sold", SERVICE, "a managed endpoint", 0, reason), region=region)


def _too_far(supply: Supply, candidate: Candidate, offer: Offer) -> Rejection:
    network = [ms for ms in supply.geography.network_ms[offer.provider, offer.region] if math.isfinite(ms)]
    target = supply.requirements.workload.slo.ttft_p95_ms
    reason = f"with {min(network):g} ms of network no load at all keeps the targets"
    return reject_candidate(candidate, Shortfall("network", "ms", min(network), target, reason), offer.region)
