"""The fleet of a plan: forecast, problem, optimum, replay, and all of it as values."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from advisor.candidates import Rejection
from advisor.catalog.values import Offer, Purchase
from advisor.cost.compute import hourly_to_monthly
from advisor.cost.services import StandingCharge, standing_charges
from advisor.cost.transfer import egress_gb, request_gb
from advisor.demand.forecast import flat_forecast, forecast
from advisor.demand.values import Forecast
from advisor.errors import InputError
from advisor.performance.stage import Served
from advisor.plan.fleet.chosen import (
    Conflict,
    Fleet,
    FleetCost,
    FleetGroup,
    ForecastUsed,
    PlannedHours,
    RelaxedLimit,
    StaticPeak,
)
from advisor.plan.fleet.confirm import Confirmed, Confirmer, group_part, name_of
from advisor.plan.fleet.constraints import uses
from advisor.plan.fleet.formulas import mix_rate
from advisor.plan.fleet.hours import week_of
from advisor.plan.fleet.optimise import (
    allocation_usd_per_month,
    disks_usd_per_month,
    interruptions_usd_per_month,
    starts_usd_per_month,
    switching_usd_per_month,
    transfer_usd_per_month,
)
from advisor.plan.fleet.shares import request_shares
from advisor.plan.fleet.stage import Posed, Setting, pose
from advisor.plan.fleet.values import Allocation, Floats, Infeasible, Paid, Tariff
from advisor.plan.scaling import scaling_of
from advisor.plan.spot import hazard
from advisor.requirements import Requirements
from advisor.units import HOURS_PER_WEEK, SECONDS_PER_MONTH, TOKENS_PER_MILLION

_REQUESTS_PER_THOUSAND = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The fleet, or why there is none."""

    fleet: Fleet | None
    conflict: Conflict | None
    rejections: tuple[Rejection, ...]
    notes: tuple[str, ...]
    found: Confirmed | None = None
    """The fleet with its problem."""


def choose_fleet(
    setting: Setting, served: Sequence[Served], offers: Mapping[tuple[str, str], tuple[Offer, ...]]
) -> Choice:  # fmt: skip
    """The cheapest fleet for the hours of a week to come, confirmed by a replay.

    Args:
        setting: requirements, catalog, performance model, and what runs or is owned.
        served: the candidates that keep the SLO.
        offers: in scope, by (provider, instance type).
    """
    requirements = setting.requirements
    expected = forecast_of(requirements)
    posed = pose(setting, served, offers, week_of(expected, scheduled=requirements.workload.scaling.scheduled))
    notes = (*expected.notes, *posed.geography.notes, *_supply_notes(posed, requirements))
    if not posed.problem.pools:
        return Choice(None, None, posed.pool_set.rejections, notes)
    found = Confirmer(posed, setting).confirmed()
    if isinstance(found, Infeasible):
        return Choice(None, _conflict(found), posed.pool_set.rejections, notes)
    fleet = _fleet(found, setting, expected)
    notes = (*notes, *_limit_notes(fleet.groups, setting))
    return Choice(fleet, None, posed.pool_set.rejections, notes, found)


def forecast_of(requirements: Requirements) -> Forecast:
    """What to expect of the demand; flat where only numbers were stated.

    Raises:
        InputError: no request is to be expected.
    """
    workload, demand = requirements.workload, requirements.demand
    if demand.profile is None:
        rate = demand.requests_per_second
        return flat_forecast(
            rate.mean, rate.peak, horizon_days=workload.horizon_days, growth_per_year=workload.growth_per_year
        )
    expected = forecast(demand.profile, horizon_days=workload.horizon_days, growth_per_year=workload.growth_per_year)
    if not expected.mean.any():
        minutes = demand.profile.requests_per_minute.size
        raise InputError(
            f"the demand has 0 requests in its {minutes:,} minutes, the first and last of which do not count",
            hint="give a longer trace, or state demand.declared",
        )
    return expected


def _fleet(found: Confirmed, setting: Setting, expected: Forecast) -> Fleet:
    posed, solution = found.posed, found.solution
    shares = request_shares(posed.problem, solution)
    groups = tuple(_group(found, one, shares[one.pool.key], setting) for one in solution.allocations)
    standing = tuple(_standing(found, groups, setting))
    cost = _cost(found, groups, standing, setting.requirements, expected)
    return Fleet(
        groups=groups,
        hour_classes=tuple(
            PlannedHours(hour.hours_per_week, hour.mean_rate, hour.planned_rate, hour.low_rate)
            for hour in posed.problem.hours
        ),
        schedule=posed.week.schedule,
        places=posed.geography.places,
        place_shares=posed.geography.shares,
        bucket_max_input_tokens=posed.bucket_edges,
        cost=cost,
        constraints=tuple(uses(posed.problem, solution)),
        proven=solution.proven,
        gap_ratio=solution.gap_ratio,
        bound_usd_per_month=solution.bound_usd_per_month,
        pools_considered=len(posed.pool_set.pools),
        static_peak=_static_peak(found, cost, setting, expected),
        confirmed=found.confirmation,
        forecast=ForecastUsed(
            expected.method, expected.interval_level, expected.horizon_days, expected.backtest
        ),
        scaling=scaling_of(setting, _with_all_pools(found), solution, expected),
        standing=standing,
    )  # fmt: skip


def _with_all_pools(found: Confirmed) -> Posed:
    """The question with the pools of the fleet and all that it was chosen from."""
    known = {pool.key: pool for pool in (*found.searched.pools, *found.posed.problem.pools)}
    return replace(found.posed, problem=replace(found.posed.problem, pools=tuple(known.values())))


def _group(found: Confirmed, one: Allocation, share: Floats, setting: Setting) -> FleetGroup:
    posed, tariff, pool = found.posed, one.tariff, one.pool
    source = posed.pool_set.sources[pool.key]
    candidate, offer = source.served.candidate, source.offer
    part = group_part(found.solution, one)
    on_spot = tariff.paid is Paid.SPOT
    return FleetGroup(
        name=name_of(one),
        provider=offer.provider,
        region=offer.region,
        instance_type=offer.instance_type,
        accelerator=candidate.instance_type.accelerator,
        accelerator_count=candidate.instance_type.accelerator_count or 0.0,
        partition=candidate.partition,
        replicas_per_instance=candidate.replicas_per_instance,
        tensor_parallel=candidate.tensor_parallel,
        pipeline_parallel=candidate.pipeline_parallel,
        precision=candidate.precision,
        kv_precision="auto",
        engine=candidate.engine,
        engine_version=candidate.engine_version,
        context_tokens=setting.requirements.context_tokens,
        max_concurrency=source.served.max_concurrency,
        memory_utilization=setting.requirements.workload.limits.memory_utilization,
        weights_gib=candidate.memory.weights_gib,
        purchase=tariff.paid.value,
        commitment=tariff.label if tariff.paid is not Paid.OWNED else "",
        break_even_ratio=tariff.break_even_ratio if tariff.paid is Paid.COMMITMENT else None,
        instances=one.instances,
        request_shares=tuple((share @ _bucket_weights(posed) * part).tolist()),
        bucket_shares=tuple((share[-1] * part[-1]).tolist()) if posed.bucket_edges else (),
        requests_per_second_per_replica=source.served.requests_per_second_per_replica,
        cold_start_seconds=source.cold_start.total_s if source.cold_start else None,
        interruptions_per_instance_hour=hazard(setting.catalog.spot_risk(offer)).per_hour.value if on_spot else 0.0,
        evidence=source.served.evidence.value,
        instance_usd_per_hour=tariff.usd_per_hour,
        compute_usd_per_month=allocation_usd_per_month(posed.problem, one),
        interruptions_usd_per_month=interruptions_usd_per_month(posed.problem, one),
        price_source=tariff.source,
        price_as_of=tariff.as_of,
        price_quality=tariff.quality,
        checkpoint_gib=candidate.memory.checkpoint_gib,
    )


def _bucket_weights(posed: Posed) -> Floats:
    weights = posed.problem.bucket_shares
    return weights if len(weights) else np.ones(1)


def _standing(found: Confirmed, groups: Sequence[FleetGroup], setting: Setting) -> Iterator[StandingCharge]:
    """What each region of the fleet pays for its mean load, in the order of the groups."""
    hours, tokens = found.posed.problem.hours, setting.requirements.demand
    gb_per_request = request_gb(tokens.input_tokens.mean) + egress_gb(tokens.output_tokens.mean)
    rates: dict[tuple[str, str], float] = {}
    balanced: dict[tuple[str, str], float] = {}
    for group in groups:
        own = [
            share * hour.mean_rate * hour.hours_per_week
            for share, hour in zip(group.request_shares, hours, strict=True)
        ]
        key, rate = (group.provider, group.region), math.fsum(own) / HOURS_PER_WEEK
        rates[key] = rates.get(key, 0.0) + rate
        on_hosts = group.purchase not in (Paid.MANAGED, Paid.SERVERLESS)
        balanced[key] = balanced.get(key, 0.0) + (rate if on_hosts else 0.0)
    for (provider, region), rate in rates.items():
        ratio = balanced[provider, region] / rate if rate else 1.0
        yield from standing_charges(setting.catalog, provider, region, rate, gb_per_request, balanced_ratio=ratio)


def _cost(
    found: Confirmed,
    groups: Sequence[FleetGroup],
    standing: Sequence[StandingCharge],
    requirements: Requirements,
    expected: Forecast,
) -> FleetCost:
    problem, allocations = found.posed.problem, found.solution.allocations
    total = found.solution.objective_usd_per_month
    requests = float(expected.mean.mean()) * SECONDS_PER_MONTH
    tokens = requests * requirements.demand.output_tokens.mean
    return FleetCost(
        compute_usd_per_month=round(math.fsum(group.compute_usd_per_month for group in groups), 2),
        interruptions_usd_per_month=round(math.fsum(group.interruptions_usd_per_month for group in groups), 2),
        transfer_usd_per_month=transfer_usd_per_month(problem, found.solution.shares),
        switching_usd_per_month=switching_usd_per_month(problem, allocations),
        total_usd_per_month=total,
        usd_per_million_output_tokens=total / tokens * TOKENS_PER_MILLION,
        usd_per_1000_requests=total / requests * _REQUESTS_PER_THOUSAND,
        disks_usd_per_month=round(math.fsum(disks_usd_per_month(problem, one) for one in allocations), 2),
        starts_usd_per_month=round(math.fsum(starts_usd_per_month(problem, one) for one in allocations), 2),
        standing_usd_per_month=round(math.fsum(one.usd_per_month or 0.0 for one in standing), 2),
    )


def _static_peak(found: Confirmed, cost: FleetCost, setting: Setting, expected: Forecast) -> StaticPeak | None:
    """What the same type would cost without schedule, commitments and spot; None without a price on demand."""
    solution, problem = found.solution, found.posed.problem
    main = max(solution.allocations, key=lambda one: sum(one.instances) * mix_rate(problem, one.pool))
    source = found.posed.pool_set.sources[main.pool.key]
    managed = all(one.tariff.paid is Paid.MANAGED for one in solution.allocations)
    price = setting.catalog.price(source.offer, Purchase.MANAGED if managed else Purchase.ON_DEMAND)
    rate = mix_rate(problem, main.pool)
    if price is None or rate <= 0:
        return None
    limits = setting.requirements.workload.limits
    needed = max(
        math.ceil(float(expected.peak.max()) / rate), limits.zones, math.ceil(limits.min_replicas / main.pool.replicas)
    )
    usd = hourly_to_monthly(price.usd_per_hour, needed)
    return StaticPeak(
        source.offer.instance_type, source.offer.region, needed, usd, 1 - cost.compute_usd_per_month / usd
    )  # fmt: skip


def _conflict(found: Infeasible) -> Conflict:
    return Conflict(
        tuple(one.value for one in found.conflict),
        tuple(
            RelaxedLimit(one.constraint.value, one.detail, one.limit, one.needed, one.unit) for one in found.relaxations
        ),
    )


def _limit_notes(groups: Sequence[FleetGroup], setting: Setting) -> Iterator[str]:
    """Limits of the account, as the last refresh found them, that the fleet is beyond; stated ones it keeps to."""
    stated = {(one.provider, one.region, one.code) for one in setting.requirements.workload.limits.quotas}
    needed: dict[tuple[str, str, str, str], float] = {}
    for group in groups:
        market = Paid(group.purchase).market
        machine = setting.catalog.instance_types.get((group.provider, group.instance_type))
        quota = setting.catalog.quota(machine, Purchase(market)) if machine and market else None
        if machine is None or quota is None:
            continue
        key = (group.provider, group.region, quota.code, "vCPUs" if quota.unit == "vcpu" else quota.unit)
        units = setting.catalog.quota_use(machine) or 0.0
        needed[key] = needed.get(key, 0.0) + max(group.instances) * units
    for (provider, region, code, unit), amount in needed.items():
        found = setting.catalog.account_limits.get((provider, region, code))
        if found is not None and amount > found.limit and (provider, region, code) not in stated:
            yield (
                f"the account's limit {code} in {region} was {found.limit:g} {unit} on {found.as_of}, and the fleet "
                f"takes up to {amount:g}: have it raised before the code is applied"
            )


def _boots(tariff: Tariff) -> bool:
    return tariff.paid not in (Paid.SERVERLESS, Paid.MANAGED)


def _supply_notes(posed: Posed, requirements: Requirements) -> Iterator[str]:
    """What a reader must know of prices and risks that were not there."""
    wanted = requirements.workload.purchase
    paid = {tariff.paid for pool in posed.problem.pools for tariff in pool.tariffs}
    for purchase in wanted:
        if Paid(purchase.value) not in paid:
            yield f"no price for {purchase.value.replace('_', ' ')} is known for anything that could serve"
    if any(pool.usd_per_request == 0 for pool in posed.problem.pools):
        yield "data transfer is left out for regions whose price for it is not known"
    if any(tariff.disk_usd_per_hour == 0 for pool in posed.problem.pools for tariff in pool.tariffs if _boots(tariff)):
        yield "disks and downloads are left out for providers whose prices for them are not known"
