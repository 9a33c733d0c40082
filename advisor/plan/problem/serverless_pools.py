"""Services that scale to zero, as pools: as fast as an instance with their accelerator, paid for while one runs."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from advisor.candidates import Candidate, Rejection, Shortfall, judge, reject, reject_candidate
from advisor.catalog import Catalog
from advisor.catalog.values import Offer, Price, Purchase
from advisor.demand.batch import BatchRun
from advisor.demand.spread import mean_by_hour_of_week
from advisor.demand.values import Demand, DemandProfile, Floats
from advisor.performance.evidence import Served
from advisor.performance.model import PerformanceModel
from advisor.performance.stage import serve
from advisor.performance.values import Interval
from advisor.plan.cold_start import ColdStart, start_of
from advisor.plan.geography import cache_shortfall
from advisor.plan.problem.hours import Week
from advisor.plan.problem.pools import pools_of
from advisor.plan.problem.supply import PoolSet, PoolSource, RateTable, Supply
from advisor.plan.problem.values import HourClass, Pool, PurchaseOption, Tariff
from advisor.plan.serverless import (
    Duty,
    ServerlessOffer,
    cold_start_shortfall,
    duty_of_minutes,
    duty_of_rate,
    serverless_offers,
)
from advisor.records import dataclass, replace
from advisor.requirements import Requirements
from advisor.units import SECONDS_PER_HOUR
from advisor.workload.scope import allows
from advisor.workload.values import Workload

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
    instance at a higher price. It is paid for as it is used, so ``purchase`` has to hold on_demand.

    Args:
        supply: of the instances; its geography knows :func:`serverless_regions` too.
        week: the hours that are planned.
        model: what predicts.
        rates: requests per second of a replica of other candidates than the supply's.
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
    if not served:
        return PoolSet((), {}, tuple(rejected))
    pool_set = pools_of(
        replace(
            supply,
            requirements=requirements,
            served=served,
            offers=_offers(services),
            rates=rates(served),
            cold_starts=[None] * len(served),
            owned={},
            running={},
        )
    )
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
    lacking = cache_shortfall(workload, catalog, offer.service.provider, offer.region)
    return offer if lacking is None else reject(offer.instance_type, lacking, region=offer.region)


def _as_used(requirements: Requirements) -> Requirements:
    """The same without what only instances have: discounts, spot prices, quotas."""
    workload = requirements.workload
    limits = replace(workload.limits, quotas=())
    return replace(requirements, workload=replace(workload, purchase=(Purchase.ON_DEMAND,), limits=limits))


def _offers(services: Services) -> dict[tuple[str, str], tuple[Offer, ...]]:
    """The services as offers of their machines."""
    offers: dict[tuple[str, str], tuple[Offer, ...]] = {}
    for (provider, region, name), serverless_offer in services.items():
        usd = serverless_offer.service.usd_per_hour
        price = None if usd is None else Price(usd, serverless_offer.service.provenance)
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
        return Duty(np.bincount(self.schedule, weights=by_hour) / hours, cold_ratio)

    def billed_of_runs(self, run: BatchRun, pool: Pool, beside_s: float) -> Floats:
        """Billed share of each hour class for runs of batch work on as few containers as do them.

        ``(work hours · R / (n · r) + stretches · beside) ÷ hours`` with ``n = ⌈R / r⌉`` containers of the rate r for
        the planned rate R: they take the next items until none is left, and not until the hour ends. It exceeds 1
        where they idle on after the last open hour.

        Args:
            run: of the work.
            pool: the containers.
            beside_s: of the start and the idle time of a container in each stretch of open hours.
        """
        busiest, rate = self.classes[-1], float(pool.mix_rates.mean())
        hours = run.hours_up(busiest.hours_per_week)
        containers = max(math.ceil(busiest.planned_rate / rate - _ROUNDING), 1)
        work_hours = run.work_hours(hours) * busiest.planned_rate / (containers * rate)
        stretches = len(list(run.stretches(hours)))
        billed = np.zeros(len(self.classes))
        billed[-1] = (work_hours + stretches * beside_s / SECONDS_PER_HOUR) / hours
        return billed
