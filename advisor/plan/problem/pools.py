"""Served candidates × offers × ways of paying → the pools that the optimiser chooses from."""

import math
from collections.abc import Sequence

import numpy as np

from advisor.candidates import Candidate, Rejection, Shortfall, reject, reject_candidate, reject_undeployable
from advisor.catalog.values import Offer, Purchase
from advisor.cost import services
from advisor.deployable import (
    is_on_nodes,
    logs_requests,
    needs_cluster,
    purchase_shortfall,
    speaks_https,
    stop_seconds,
    target_shortfall,
)
from advisor.plan.cold_start import download_gb
from advisor.plan.problem.charges import transfer_usd_per_request
from advisor.plan.problem.limits import IN_PROPORTION, Constraint, caps_in_proportion
from advisor.plan.problem.supply import (
    Made,
    PoolSet,
    PoolSource,
    Stand,
    Supply,
    Terms,
    exposed,
    no_price,
    tariffs_of,
    too_far,
    type_in_region_of,
    usable,
)
from advisor.plan.problem.values import Floats, Pool, PurchaseOption, Tariff
from advisor.records import replace
from advisor.requirements import Requirements
from advisor.units import DAYS_PER_MONTH, HOURS_PER_MONTH, MINUTES_PER_HOUR, whole_minutes
from advisor.workload.values import Limits, QuotaLimit

SWITCHING_HOURS = 2.0
"""Price of so many hours is what it costs to put an instance of another kind into service, where nothing is stated:
the time in which old and new run side by side while the new one is tried."""

_NVIDIA = "nvidia"

"""Unit of a rejection that a service is missing for, where others are about regions."""

_CARRIED_BY_OTHERS = 2
"""Zones asked at which the load that is left without one of them shows that a fleet is in both."""


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
            sold = (id(served), id(offer), rank, cold is None, supply.changes)
            if sold not in made:
                made[sold] = _made(supply, places, at, offer, rank)
            rejected.update(dict.fromkeys(made[sold].rejections))
            pool = made[sold].pool
            if pool is not None:
                pools.append(pool)
                sources[pool.key] = PoolSource(served, offer, cold)
    return PoolSet(tuple(pools), sources, tuple(rejected))


def _terms(requirements: Requirements) -> Terms:
    workload = requirements.workload
    return tuple(workload.purchase), workload.limits, workload.scaling, workload.listed_only, workload.as_of


def _made(supply: Supply, places: "_OfferFacts", at: int, offer: Offer, loss_rank: int) -> Made:
    served = supply.served[at]
    tariffs, refused = _payable(places.layout(at), served.candidate, offer, places.tariffs(offer))
    if refused and not tariffs:
        return Made(served, offer, None, refused)
    outcome = _pool(supply, places, at, offer, tariffs, loss_rank)
    if isinstance(outcome, Rejection):
        return Made(served, offer, None, (*refused, outcome))
    return Made(served, offer, outcome, refused)


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


class _LayoutFacts:
    """Facts that only depend on the candidate, whatever region it is sold in."""

    def __init__(self, supply: Supply, candidate: Candidate) -> None:
        """Look them up."""
        catalog, machine = supply.catalog, candidate.instance_type
        https = speaks_https(candidate.engine, candidate.engine_version, catalog)
        self._https, self._targets = https, supply.requirements.workload.targets
        self.on_nodes = needs_cluster(
            machine.provider,
            machine.name,
            catalog,
            https=https,
            partition=candidate.partition,
            changes=supply.changes,
        ) or is_on_nodes(machine.provider, supply.requirements.workload.targets)
        self.download_gb = download_gb(candidate, catalog.cold_start)
        self.http_requests = candidate.http_requests(supply.requirements.demand)
        self.logs_requests = logs_requests(candidate.engine, catalog)
        self.hardware, self.replica_kind = _hardware(candidate), _replica_kind(candidate)
        self._candidate, self._setup, self._catalog = candidate, candidate.setup, catalog
        self._disk_gib: dict[PurchaseOption, int] = {}
        self._stop_hours: dict[PurchaseOption, float] = {}
        self._refusals: dict[tuple[PurchaseOption, str], Shortfall | None] = {}

    def disk_gib(self, paid: PurchaseOption) -> int:
        """Disk that is priced and ordered with an instance that is paid for so; see :func:`boot_disk_gib`."""
        if paid not in self._disk_gib:
            self._disk_gib[paid] = boot_disk_gib(self._candidate, paid, on_nodes=self.on_nodes)
        return self._disk_gib[paid]

    def stop_hours(self, paid: PurchaseOption) -> float:
        """Time that an instance which is paid for so is billed after its last hour, in whole minutes."""
        if paid not in self._stop_hours:
            machine = self._candidate.instance_type
            seconds = stop_seconds(machine.provider, machine.name, paid.value, self._catalog, on_nodes=self.on_nodes)
            self._stop_hours[paid] = whole_minutes(seconds) / MINUTES_PER_HOUR
        return self._stop_hours[paid]

    def refusal(self, paid: PurchaseOption, region: str) -> Shortfall | None:
        """Why generated code cannot order it so in a region, which matters to services alone; None where it can."""
        key = paid, region if paid is PurchaseOption.MANAGED else ""
        if key not in self._refusals:
            lacking = purchase_shortfall(self._setup, paid.value, region, self._catalog)
            self._refusals[key] = lacking or target_shortfall(
                self._setup, self._targets, self._catalog, https=self._https, purchase=paid.value
            )
        return self._refusals[key]


class _OfferFacts:
    """Facts that only depend on the offer or its region, or on the candidate, looked up once."""

    def __init__(self, supply: Supply) -> None:
        """Remember what each offer came to."""
        self._supply = supply
        self._tariffs: dict[Stand, tuple[Tariff, ...]] = {}
        self._egress: dict[tuple[str, str, float], float] = {}
        self._disks: dict[tuple[str, str, int], tuple[float, ...]] = {}
        self._standing: dict[tuple[str, str], float] = {}
        self._hosted: dict[tuple[int, int, float], Tariff] = {}
        self._rates: dict[tuple[int, tuple[float, ...]], tuple[Floats, Floats]] = {}
        self._layouts: dict[int, _LayoutFacts] = {}

    def rates(self, at: int, offer: Offer) -> tuple[Floats, Floats]:
        """Rates of one instance of a candidate; see :func:`_rates`."""
        key = at, tuple(self._supply.geography.network_ms[offer.provider, offer.region])
        if key not in self._rates:
            self._rates[key] = _rates(self._supply, *key)
        return self._rates[key]

    def layout(self, at: int) -> _LayoutFacts:
        """Facts of a candidate."""
        if at not in self._layouts:
            self._layouts[at] = _LayoutFacts(self._supply, self._supply.served[at].candidate)
        return self._layouts[at]

    def hosted(self, tariff: Tariff, offer: Offer, volume_gib: int, stop_hours: float) -> Tariff:
        """One of the :meth:`tariffs` of an offer with a host's disk, its end, and the region's charges by the hour."""
        key = id(tariff), volume_gib, stop_hours
        if key not in self._hosted:
            self._hosted[key] = replace(
                tariff,
                disk_parts_usd_per_hour=self.disk_parts_usd_per_hour(offer, volume_gib),
                standing_usd_per_hour=self.standing_usd_per_hour(offer),
                stop_hours=stop_hours,
            )
        return self._hosted[key]

    def standing_usd_per_hour(self, offer: Offer) -> float:
        """Charges of the region by the hours of instances."""
        key = (offer.provider, offer.region)
        if key not in self._standing:
            self._standing[key] = services.instance_hour_usd(self._supply.catalog, *key)
        return self._standing[key]

    def disk_parts_usd_per_hour(self, offer: Offer, volume_gib: int) -> tuple[float, ...]:
        """A host's disk; empty where there is none, or its price is not known, which the plan's notes say."""
        if volume_gib == 0:
            return ()
        key = (offer.provider, offer.region, volume_gib)
        if key not in self._disks:
            parts = services.disk_parts(self._supply.catalog, *key)
            self._disks[key] = tuple(part.units * part.price.usd / HOURS_PER_MONTH for part in parts)
        return self._disks[key]

    def start_usd(self, offer: Offer, download_gb: float) -> float:
        """Download cost of a start; 0 where its price is not known."""
        return services.download_usd(self._supply.catalog, offer.provider, offer.region, download_gb) or 0.0

    def tariffs(self, offer: Offer) -> tuple[Tariff, ...]:
        """Ways of paying for the offer, without what depends on the candidate."""
        key = (offer.provider, offer.region, offer.instance_type)
        if key not in self._tariffs:
            self._tariffs[key] = tuple(usable(tariffs_of(self._supply, offer), offer, self._supply))
        return self._tariffs[key]

    def usd_per_request(self, offer: Offer, http_requests: float) -> float:
        """Data transfer of one answer; see :func:`transfer_usd_per_request`."""
        key = (offer.provider, offer.region, http_requests)
        if key not in self._egress:
            place = offer.provider, offer.region
            self._egress[key] = transfer_usd_per_request(
                self._supply.requirements, self._supply.catalog, place, http_requests
            )
        return self._egress[key]


def _payable(
    layout: _LayoutFacts, candidate: Candidate, offer: Offer, tariffs: Sequence[Tariff]
) -> tuple[tuple[Tariff, ...], tuple[Rejection, ...]]:  # fmt: skip
    """The tariffs that generated code can order the candidate at, and rejections for the others."""
    refused = {
        tariff.paid: shortfall
        for tariff in tariffs
        if (shortfall := layout.refusal(tariff.paid, offer.region)) is not None
    }
    if not refused:
        return tuple(tariffs), ()
    kept = tuple(tariff for tariff in tariffs if tariff.paid not in refused)
    return kept, tuple(reject_undeployable(candidate, shortfall, offer.region) for shortfall in refused.values())


def _pool(
    supply: Supply, places: _OfferFacts, at: int, offer: Offer, tariffs: Sequence[Tariff], loss_rank: int
) -> Pool | Rejection:
    candidate = supply.served[at].candidate
    if not tariffs:
        return no_price(supply, candidate, offer)
    mix, buckets = places.rates(at, offer)
    if not any(mix.tolist()):
        return too_far(supply, candidate, offer)
    takes = _takes(supply, candidate, offer)
    if isinstance(takes, Rejection):
        return takes
    type_in_region = type_in_region_of(offer.provider, offer.region, offer.instance_type)
    cold, layout = supply.cold_starts[at], places.layout(at)
    start_usd = places.start_usd(offer, layout.download_gb)
    hosted = [
        places.hosted(tariff, offer, layout.disk_gib(tariff.paid), layout.stop_hours(tariff.paid) if cold else 0.0)
        for tariff in tariffs
    ]
    return Pool(
        key=_key(offer, candidate),
        instance_type=f"{offer.provider}/{offer.instance_type}",
        type_in_region=type_in_region,
        replicas=candidate.replicas_per_instance,
        mix_rates=mix,
        rates=buckets,
        tariffs=tuple(exposed(supply, at, offer, hosted, start_usd)),
        usd_per_request=places.usd_per_request(offer, layout.http_requests),
        http_requests=layout.http_requests,
        lead_hours=cold.lead_hours if cold else 0.0,
        start_usd=start_usd,
        takes=takes,
        quotas=_quotas(supply, candidate, offer),
        switching_usd=_switching_usd(supply, offer, tariffs)
        if supply.running and type_in_region not in supply.running
        else 0.0,
        zones=supply.catalog.zones(offer.provider, offer.region, offer.instance_type).count,
        supply=f"{offer.provider}/{offer.region}/{layout.hardware}",
        backend=f"{offer.provider}/{offer.region}/{candidate.accelerator.name}/{candidate.engine}",
        replica_kind=layout.replica_kind,
        on_nodes=layout.on_nodes,
        has_gpu=candidate.accelerator.vendor == _NVIDIA,
        logs_requests=layout.logs_requests,
        loss_rank=loss_rank,
        is_beside=candidate.beside != "",
        most_rate=supply.served[at].most_requests_per_second * candidate.replicas_per_instance,
    )


def _hardware(candidate: Candidate) -> str:
    """Accelerators that one shortage takes, whatever the size of the machine, and whether they are cut or not."""
    return candidate.instance_type.accelerator if candidate.partition else candidate.accelerator.name


def _replica_kind(candidate: Candidate) -> str:
    """Accelerators, engine, precision and split of a machine's replicas."""
    parts = (
        f"{candidate.instance_type.accelerator_count}x{candidate.accelerator.name}", candidate.engine,
        candidate.precision, candidate.tensor_parallel, candidate.pipeline_parallel, candidate.replicas_per_instance,
    )  # fmt: skip
    return "/".join(map(str, parts))


def boot_disk_gib(candidate: Candidate, paid: PurchaseOption, *, on_nodes: bool) -> int:
    """Disk that is priced and ordered with an instance; 0: none, as of a managed endpoint whose machine has its own.

    On the disk of nodes each replica has weights of its own: on EKS on local disks where they hold them.
    """
    local_gb = candidate.instance_type.local_nvme_gb
    if paid is PurchaseOption.SERVERLESS or (paid is PurchaseOption.MANAGED and local_gb):
        return 0
    checkpoint_gib = candidate.memory.checkpoint_gib
    if on_nodes:
        whole = services.node_disk_gib(checkpoint_gib, candidate.replicas_per_instance)
        on_local = candidate.instance_type.provider == "aws" and services.local_disks_gib(local_gb or 0.0, whole)
        return services.host_disk_gib(checkpoint_gib, local_gb) if on_local else whole
    return (
        services.root_volume_gib(checkpoint_gib)
        if paid is PurchaseOption.MANAGED
        else services.host_disk_gib(checkpoint_gib, local_gb)
    )


def _key(offer: Offer, candidate: Candidate) -> str:
    layout = candidate.partition or f"tp{candidate.tensor_parallel}"
    name = f"{offer.provider}/{offer.region}/{offer.instance_type}/{candidate.precision}/{layout}"
    return f"{name}/{candidate.engine}" if candidate.beside else name


def _rates(supply: Supply, at: int, network: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Rates of one instance in all (places,) and for each bucket (places, buckets); *network*: ms to each place."""
    replicas = supply.served[at].candidate.replicas_per_instance
    mix = [supply.rates.mix[ms][at] if math.isfinite(ms) else 0.0 for ms in network]
    count = len(next(iter(supply.rates.buckets.values()), ()))
    far = np.zeros(count)
    buckets = [supply.rates.buckets[ms][:, at] if math.isfinite(ms) else far for ms in network]
    return np.array(mix) * replicas, np.array(buckets).reshape(len(network), count) * replicas


def _takes(supply: Supply, candidate: Candidate, offer: Offer) -> dict[Constraint, float] | Rejection:
    """Amounts that an instance takes of the caps in proportion to instances; a rejection where one is unknown."""
    taken: dict[Constraint, float] = {}
    for constraint in caps_in_proportion(supply.requirements.workload.limits):
        amount = IN_PROPORTION[constraint].of_instance(supply.catalog, candidate.instance_type, offer)
        if isinstance(amount, Shortfall):
            return reject_candidate(candidate, amount, offer.region)
        taken[constraint] = amount
    return taken


def _quotas(supply: Supply, candidate: Candidate, offer: Offer) -> dict[tuple[str, str], float]:
    """Units that an instance takes of the quotas that the workload states for its region."""
    if not supply.requirements.workload.limits.quotas:
        return {}
    stated = {
        (quota.code, quota_key(quota))
        for quota in supply.requirements.workload.limits.quotas
        if (quota.provider, quota.region) == (offer.provider, offer.region)
    }
    if not stated:
        return {}
    units = supply.catalog.quota_use(candidate.instance_type) or 0.0
    uses: dict[tuple[str, str], float] = {}
    for market, purchase in (("on_demand", Purchase.ON_DEMAND), ("spot", Purchase.SPOT)):
        quota = supply.catalog.quota(candidate.instance_type, purchase)
        uses |= {(key, market): units for code, key in stated if quota is not None and quota.code == code}
    return uses


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
