"""Services that scale to zero, as pools: paid for by the second while an instance runs, with cold starts for some."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from advisor.candidates import Candidate, Rejection, Shortfall, judge, reject, reject_candidate
from advisor.catalog import Catalog
from advisor.catalog.deployment import ContainerSize
from advisor.catalog.planning import Serverless
from advisor.catalog.values import InstanceType, Offer, Price, Purchase
from advisor.cost.services import accelerated_container_price
from advisor.demand.spread import HIGH, mean_by_hour_of_week
from advisor.demand.values import BatchRun, Demand, DemandProfile, Floats
from advisor.deployable import SERVERLESS, SERVICES, TARGET, container_size, files_gib
from advisor.performance import Interval
from advisor.performance.evidence import Served
from advisor.performance.model import PerformanceModel
from advisor.performance.stage import serve
from advisor.plan.cold_start import ColdStart, start_of
from advisor.plan.geography import cache_shortfall
from advisor.plan.problem.hours import Week
from advisor.plan.problem.pools import pools_of
from advisor.plan.problem.supply import PoolSet, PoolSource, RateTable, Supply
from advisor.plan.problem.values import HourClass, Pool, PurchaseOption, Tariff
from advisor.records import dataclass, replace
from advisor.requirements import Requirements
from advisor.units import MS_PER_SECOND, SECONDS_PER_HOUR, SECONDS_PER_MINUTE
from advisor.workload.scope import allows
from advisor.workload.values import Slo, Workload

TARGET_RATIO = 0.95
"""Latency targets hold at the 95th percentile: this share of the requests may meet no cold start."""
LONGEST_IDLE_S = 900.0
"""How long a container is taken to be kept where the service does not say: no longer than 15 minutes (Cloud Run)."""
_OFFSETS_PER_MINUTE = 12
"""Instants of a minute at which it is asked whether the service runs."""


@dataclass(frozen=True, slots=True)
class ServerlessOffer:
    """A service in a region: a column of the optimiser at ``price × share of the time in which it runs``."""

    service: Serverless
    region: str
    """"" where the service chooses."""
    instance_type: InstanceType
    """One container as a machine: candidates and their speed follow as for an instance with that accelerator."""
    container_start_s: float
    """Until software sees the accelerator; image, weights and engine come after it."""
    idle_s: float
    """How long a container without requests is kept, and paid for."""

    def first_request_s(self, replica: ColdStart) -> float:
        """Seconds that a request waits without a container: the start, weights and engine; the image is streamed."""
        loaded_s = replica.weights_s.value + replica.conversion_s.value
        return self.container_start_s + loaded_s + replica.engine_s.value


@dataclass(frozen=True, slots=True, eq=False)
class Duty:
    """Running time of a service that scales to zero."""

    billed_ratio: Floats
    """Share of each minute (or of each rate asked for) in which a container runs and is paid for; NaN: unknown."""
    cold_request_ratio: float
    """Share of all requests that wait for a cold start; NaN: unknown."""


def serverless_offers(
    catalog: Catalog,
    providers: Collection[str],
    regions: Collection[str] = (),
    allowed: Callable[[InstanceType], bool] = lambda _: True,
) -> Iterator[ServerlessOffer | Rejection]:
    """Services of these providers with an allowed machine, in each of their regions that is asked for (all without)."""
    for service in catalog.serverless:
        wanted = [region for region in service.regions or ("",) if not regions or region in regions]
        machine = _as_instance_type(service)
        if service.provider not in providers or not wanted or not allowed(machine):
            continue
        if service.usd_per_hour is None:
            reason = f"{service.service} has it, and its price is not known"
            shortfall = Shortfall("price_unknown", "USD/h", "a known price", None, reason)
            yield from (reject(machine, shortfall, region=region) for region in wanted)
            continue
        if service.cold_start_seconds is None:
            reason = "how long its containers take to start is not known"
            yield reject(machine, Shortfall("cold_start", "s", "a known start", None, reason))
            continue
        idle_s = LONGEST_IDLE_S if service.idle_seconds is None else service.idle_seconds
        for region in wanted:
            yield ServerlessOffer(service, region, machine, service.cold_start_seconds, idle_s)


def _as_instance_type(service: Serverless) -> InstanceType:
    """A container with one whole accelerator and nothing else on it."""
    return InstanceType(
        provider=service.provider,
        name=f"{service.service} {service.accelerator}",
        accelerator=service.accelerator,
        accelerator_count=1,
        accelerator_memory_gib=None,
        vcpus=None if service.vcpus is None else int(service.vcpus),
        memory_gib=service.memory_gib,
        network_gbit_per_second=None,
        local_nvme_gb=None,
        interconnect="none",
        cpu_architecture="x86_64",
        provenance=service.provenance,
    )


def duty_of_rate(requests_per_second: Floats, awake_s: float, cold_start_s: float) -> Duty:
    """Duty under Poisson arrivals at each of some rates λ, for hours that were forecast and not observed.

    A container runs when a request came within the last ``W = awake_s`` seconds: ``1 - exp(-λW)`` of the time, and
    while it starts. A request that finds none, ``exp(-λW)`` of them, waits for the start, and so do the
    ``λ × cold start`` that follow it meanwhile. Bursts leave longer pauses at the same rate: less is billed then.
    """
    rate = np.asarray(requests_per_second, dtype=np.float64)
    idle = np.exp(-rate * awake_s)
    billed = np.minimum(1 - idle + rate * idle * cold_start_s, 1.0)
    waiting = rate * np.minimum(idle * (1 + rate * cold_start_s), 1.0)
    total = float(rate.sum())
    return Duty(billed, float(waiting.sum()) / total if total else math.nan)


def duty_of_minutes(requests_per_minute: Floats, awake_s: float, cold_start_s: float) -> Duty:
    """Duty under the counts of consecutive minutes as they were observed (NaN where nobody knows).

    A container runs at an instant when a request came within ``awake_s`` seconds before it: service time and idle
    timeout together. With the requests of a minute spread at random over it, none came with probability
    ``Π (1 - oₖ)^nₖ``, oₖ being the share of minute *k* that lies within that window and nₖ its requests. A request
    that finds no container waits for a cold start, and so do those that follow it meanwhile; the container is paid
    for while it starts. Minutes before the first one are unknown.
    """
    counts = np.asarray(requests_per_minute, dtype=np.float64)
    start_minutes = cold_start_s / SECONDS_PER_MINUTE
    idle, cold, waiting = _pauses(counts, awake_s / SECONDS_PER_MINUTE, start_minutes)
    billed = np.minimum(1 - idle + counts * cold * start_minutes, 1.0)
    waiting = np.minimum(counts * waiting, counts)
    is_observed = ~np.isnan(waiting)
    total = float(counts[is_observed].sum())
    return Duty(billed, float(waiting[is_observed].sum()) / total if total else math.nan)


def _pauses(counts: Floats, awake_minutes: float, start_minutes: float) -> tuple[Floats, Floats, Floats]:
    """Probability in each minute that no container runs, at a random instant and as a request finds it.

    The third is the second times one more than the requests that are expected to follow during the start.
    """
    idle, cold, waiting = (np.zeros(counts.size) for _ in range(3))
    others = np.maximum(counts - 1, 0.0)
    for offset in (np.arange(_OFFSETS_PER_MINUTE) + 0.5) / _OFFSETS_PER_MINUTE:
        own = min(float(offset), awake_minutes)
        whole, part = divmod(awake_minutes - own, 1.0)
        empty = _all_empty(counts, int(whole)) * (1 - part) ** _minutes_ago(counts, int(whole) + 1, part)
        found_none = (1 - own) ** others * empty
        in_minute = others / (1 - own) * min(start_minutes, 1 - offset)
        later = _arrivals_after(counts, max(start_minutes - (1 - float(offset)), 0.0))
        idle += (1 - own) ** counts * empty
        cold += found_none
        waiting += found_none * (1 + in_minute + later)
    return idle / _OFFSETS_PER_MINUTE, cold / _OFFSETS_PER_MINUTE, waiting / _OFFSETS_PER_MINUTE


def _arrivals_after(counts: Floats, minutes: float) -> Floats:
    """Requests in so many minutes (not necessarily whole) after each minute; none are counted where it is unknown."""
    cumulated = np.concatenate([[0.0], np.cumsum(np.nan_to_num(counts))])
    ends = np.arange(1, counts.size + 1)
    return np.asarray(np.interp(ends + minutes, np.arange(counts.size + 1), cumulated) - cumulated[1:])


def _all_empty(counts: Floats, minutes: int) -> Floats:
    """1 where the *minutes* before a minute had no request, 0 where they had one, NaN where it is not known."""
    if minutes == 0:
        return np.ones(counts.size)
    padded = np.concatenate([np.full(minutes, np.nan), counts[:-1]])
    before = np.lib.stride_tricks.sliding_window_view(padded, minutes).sum(axis=1)
    return np.where(np.isnan(before), np.nan, before == 0)


def _minutes_ago(counts: Floats, minutes: int, weight: float) -> Floats:
    """The counts of so many minutes before; 0 where they have no weight, NaN before the first one."""
    if weight == 0:
        return np.zeros(counts.size)
    return np.concatenate([np.full(minutes, np.nan), counts])[: counts.size]


def cold_start_shortfall(duty: Duty, cold_start_s: float, slo: Slo) -> Shortfall | None:
    """Why cold starts break the SLO; None where they are rare enough or faster than the targets.

    Up to 5 % of the requests may wait for one: the targets hold at the 95th percentile.
    """
    targets = [target for target in (slo.ttft_p95_ms, slo.e2e_p95_ms) if target is not None]
    if not targets or cold_start_s * MS_PER_SECOND <= min(targets):
        return None
    allowed = 1 - TARGET_RATIO
    if math.isnan(duty.cold_request_ratio):
        reason = "how many requests would wait for a cold start is not known"
        return Shortfall("cold_start", "share of requests", allowed, None, reason)
    if duty.cold_request_ratio <= allowed:
        return None
    reason = (
        f"{duty.cold_request_ratio:.1%} of the requests would wait {cold_start_s:.0f} s for a cold start, "
        f"{allowed:.0%} may"
    )
    return Shortfall("cold_start", "share of requests", allowed, duty.cold_request_ratio, reason)


_ROUNDING = 1e-6
"""Rates have six digits."""
Services = Mapping[tuple[str, str, str], ServerlessOffer]
"""By provider, region and name of the service."""


def serverless_regions(workload: Workload, catalog: Catalog) -> set[tuple[str, str]]:
    """(provider, region) of the services that a workload may use."""
    outcomes = _outcomes(workload, catalog)
    return {
        (serverless_offer.service.provider, serverless_offer.region)
        for serverless_offer in outcomes
        if isinstance(serverless_offer, ServerlessOffer)
    }


def serverless_pools(
    supply: Supply, week: Week, model: PerformanceModel, rates: Callable[[Sequence[Served]], RateTable]
) -> PoolSet:  # fmt: skip
    """A pool for each service and precision that keeps the SLO, cold starts included.

    Only where ``scaling.scale_to_zero`` allows that nothing runs between two requests, as is the case, whatever
    ``min_replicas`` says, in a service that is paid for a part of the time; kept running for all of it, it would be an
    instance at a higher price. It is paid for as it is used, so ``purchase`` has to hold on_demand. *supply*: of the
    instances; its geography knows :func:`serverless_regions` too.
    """
    workload, catalog = supply.requirements.workload, supply.catalog
    outcomes = _outcomes(workload, catalog)
    services = {
        (outcome.service.provider, outcome.region, outcome.instance_type.name): outcome
        for outcome in outcomes
        if isinstance(outcome, ServerlessOffer)
    }
    requirements = _as_used(supply.requirements)
    machines = {(key[0], key[2]): serverless_offer.instance_type for key, serverless_offer in services.items()}
    judged = [outcome for machine in machines.values() for outcome in judge(machine, requirements, catalog)]
    whole = [candidate for candidate in judged if isinstance(candidate, Candidate) and not candidate.partition]
    served, too_slow = serve(whole, requirements, model)
    rejected = [*(rejection for rejection in (*outcomes, *judged) if isinstance(rejection, Rejection)), *too_slow]
    pool_set = PoolSet((), {}, ())
    for size, members in _by_size(served, catalog).items():
        of_size = pools_of(
            replace(
                supply,
                requirements=requirements,
                served=members,
                offers=_offers(services, size, catalog),
                rates=rates(members),
                cold_starts=[None] * len(members),
                owned={},
                running={},
            )
        )
        pool_set = pool_set.plus(of_size)
    return _priced(pool_set, services, _Load.of(week, requirements.demand), supply, rejected)


def _outcomes(workload: Workload, catalog: Catalog) -> Sequence[ServerlessOffer | Rejection]:
    if not workload.scaling.scale_to_zero or Purchase.ON_DEMAND not in workload.purchase:
        return ()
    allowed = partial(allows, workload)
    offers = serverless_offers(catalog, workload.providers, workload.regions, allowed)
    return tuple(_able(offer, workload, catalog) for offer in offers)


def _able(
    offer: ServerlessOffer | Rejection, workload: Workload, catalog: Catalog
) -> ServerlessOffer | Rejection:  # fmt: skip
    """The offer, unless it takes no adapters, or the response cache of the workload cannot be where it is."""
    if isinstance(offer, Rejection):
        return offer
    if workload.adapters is not None:
        reason = f"no code is generated that gives LoRA adapters to {offer.service.service}"
        return reject(offer.instance_type, Shortfall("not_generated", "adapters", 1, 0, reason), region=offer.region)
    lacking = _target_shortfall(offer, workload) or cache_shortfall(
        workload, catalog, offer.service.provider, offer.region
    )
    return offer if lacking is None else reject(offer.instance_type, lacking, region=offer.region)


def _target_shortfall(offer: ServerlessOffer, workload: Workload) -> Shortfall | None:
    """Why none of the stated targets is the service; None where one is, or none is stated."""
    own = SERVICES.get(offer.service.provider, {}).get(SERVERLESS, "")
    if not workload.targets or own in workload.targets:
        return None
    stated = " or ".join(workload.targets)
    return Shortfall(TARGET, TARGET, stated, own or None, f"targets allows {stated}, and {own or 'no target'} runs it")


def _as_used(requirements: Requirements) -> Requirements:
    """The same without what only instances have: discounts, spot prices, quotas."""
    workload = requirements.workload
    limits = replace(workload.limits, quotas=())
    return replace(requirements, workload=replace(workload, purchase=(Purchase.ON_DEMAND,), limits=limits))


def _by_size(served: Sequence[Served], catalog: Catalog) -> Mapping[ContainerSize | None, Sequence[Served]]:
    """Candidates by the container that code orders for them; None: the service has one size."""
    members: dict[ContainerSize | None, list[Served]] = {}
    for each in served:
        machine, files = each.candidate.instance_type, files_gib(each.candidate.memory.checkpoint_gib)
        sizes = catalog.deployment.container_sizes(machine.provider, machine.name)
        members.setdefault(container_size(sizes, files), []).append(each)
    return members


def _offers(
    services: Services, size: ContainerSize | None, catalog: Catalog
) -> Mapping[tuple[str, str], tuple[Offer, ...]]:  # fmt: skip
    """The services as offers of their machines, at the price of a container of this size; None: of its only one."""
    offers: dict[tuple[str, str], tuple[Offer, ...]] = {}
    for (provider, region, name), serverless_offer in services.items():
        service = serverless_offer.service
        price = None if service.usd_per_hour is None else Price(service.usd_per_hour, service.provenance)
        if size is not None:
            named = (provider, service.service)
            price = accelerated_container_price(catalog, named, region, service.accelerator, size)
        offer = Offer(provider, region, name, on_demand=price, spot=None)
        offers[provider, name] = (*offers.get((provider, name), ()), offer)
    return offers


def _priced(
    pool_set: PoolSet, services: Services, load: "_Load", supply: Supply, rejected: Sequence[Rejection]
) -> PoolSet:  # fmt: skip
    """The pools at the price of the time in which they run; without those whose cold starts break the SLO."""
    pools: list[Pool] = []
    sources: dict[str, PoolSource] = {}
    slow: list[Rejection] = []
    for pool in pool_set.pools:
        source = pool_set.sources[pool.key]
        offer, candidate = source.offer, source.served.candidate
        service = services[offer.provider, offer.region, offer.instance_type]
        start = _start(service, start_of(candidate, supply.catalog))
        duty = load.duty(_service_s(source.served) + service.idle_s, start.total_s.value)
        if load.run is not None:
            duty = replace(duty, billed_ratio=load.billed_of_runs(load.run, pool, service.idle_s + start.total_s.value))
        shortfall = cold_start_shortfall(duty, start.total_s.value, supply.requirements.workload.slo)
        if shortfall is not None:
            slow.append(reject_candidate(candidate, shortfall, offer.region))
            continue
        billed = tuple(_billed(tariff, service, duty) for tariff in pool.tariffs)
        pools.append(replace(pool, tariffs=billed, start_usd=0.0, on_nodes=False))
        sources[pool.key] = replace(source, cold_start=start)
    return PoolSet(tuple(pools), sources, (*rejected, *pool_set.rejections, *slow))


def _billed(tariff: Tariff, service: ServerlessOffer, duty: Duty) -> Tariff:
    ratios = tuple(duty.billed_ratio.tolist())
    return replace(
        tariff,
        paid=PurchaseOption.SERVERLESS,
        label=service.service.service,
        active_ratios=ratios,
        disk_parts_usd_per_hour=(),
    )


def _start(service: ServerlessOffer, replica: ColdStart) -> ColdStart:
    """Cold start of a container: a start in place of machine and image."""
    start, none = (Interval(seconds, seconds, seconds) for seconds in (service.container_start_s, 0.0))
    weights, conversion, engine = replica.weights_s, replica.conversion_s, replica.engine_s
    total = Interval(
        service.first_request_s(replica),
        service.container_start_s + weights.low + conversion.low + engine.low,
        service.container_start_s + weights.high + conversion.high + engine.high,
    )
    return ColdStart(start, none, weights, conversion, engine, total, total)


def _service_s(served: Served) -> float:
    """Time that a request is in a replica at its largest rate (Little's law): no longer at any other."""
    return served.mean_concurrency / served.requests_per_second_per_replica.value


@dataclass(frozen=True, slots=True, eq=False)
class _Load:
    """Requests as they were observed, and as they are expected in the hours of the week."""

    schedule: Sequence[int]
    """Class of each hour."""
    expected_rates: Floats
    """Requests per second in each hour of the week."""
    profile: DemandProfile | None
    run: BatchRun | None
    classes: Sequence[HourClass]

    @classmethod
    def of(cls, week: Week, demand: Demand) -> "_Load":
        rates = np.array([week.classes[at].mean_rate for at in week.schedule])
        return cls(week.schedule, rates, demand.profile, demand.batch, week.classes)

    def duty(self, awake_s: float, cold_start_s: float) -> Duty:
        """Billed share of each hour class: as observed, and as Poisson arrivals give it in hours never observed."""
        expected = duty_of_rate(self.expected_rates, awake_s, cold_start_s)
        by_hour, cold_ratio = expected.billed_ratio, expected.cold_request_ratio
        if self.profile is not None:
            observed = duty_of_minutes(self.profile.requests_per_minute, awake_s, cold_start_s)
            seen = mean_by_hour_of_week(observed.billed_ratio, self.profile.start_seconds)
            by_hour = np.where(np.isnan(seen), by_hour, seen)
            cold_ratio = cold_ratio if np.isnan(observed.cold_request_ratio) else observed.cold_request_ratio
        hours = np.bincount(self.schedule)
        billed = np.bincount(self.schedule, weights=by_hour) / hours
        return Duty(np.maximum(billed, self._unexpected(awake_s, cold_start_s)), cold_ratio)

    def _unexpected(self, awake_s: float, cold_start_s: float) -> Floats:
        """Billed share of each hour class in which no request is expected, but some are planned for; 0 in others.

        The rate that is planned for is the upper edge of the forecast, beyond which ``1 - HIGH`` of the hours come: in
        so many of them at least a container runs as at that rate.
        """
        planned = np.array([hour.planned_rate for hour in self.classes])
        is_expected = np.array([hour.mean_rate > 0 for hour in self.classes])
        runs = duty_of_rate(planned, awake_s, cold_start_s).billed_ratio
        return np.where(is_expected, 0.0, (1 - HIGH) * runs)

    def billed_of_runs(self, run: BatchRun, pool: Pool, beside_s: float) -> Floats:
        """Billed share of each hour class for runs of batch work on as few containers as do them.

        ``(work hours · R / (n · r) + stretches · beside) ÷ hours`` with ``n = ⌈R / r⌉`` containers of the rate r for
        the planned rate R: they take the next items until none is left, and not until the hour ends. It exceeds 1
        where they idle on after the last open hour. *beside_s*: of the start and the idle time of a container in each
        stretch of open hours.
        """
        busiest, rate = self.classes[-1], float(pool.mix_rates.mean())
        hours = run.hours_up(busiest.hours_per_week)
        containers = max(math.ceil(busiest.planned_rate / rate - _ROUNDING), 1)
        work_hours = run.work_hours(hours) * busiest.planned_rate / (containers * rate)
        stretches = len(list(run.stretches(hours)))
        billed = np.zeros(len(self.classes))
        billed[-1] = (work_hours + stretches * beside_s / SECONDS_PER_HOUR) / hours
        return billed
