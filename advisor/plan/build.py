"""Plan as it is written, from what was planned, and how rejections narrowed the question."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from advisor import __version__
from advisor.candidates import Rejection
from advisor.catalog import Catalog
from advisor.catalog.one_pass_engines import COMPILED
from advisor.cost.standing import cache_usd_per_month
from advisor.demand.values import Demand, TokenQuantiles, Unit
from advisor.models.adapters import stored_bytes
from advisor.models.model import TextAnswer
from advisor.performance import Evidence
from advisor.plan.alternatives import saved_ratio
from advisor.plan.document import plain
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.plain_values import digest
from advisor.plan.planning import Planned
from advisor.plan.problem.formulas import Part, lost_in_zone, share_without
from advisor.plan.problem.values import PurchaseOption
from advisor.plan.remedies import nearest_misses
from advisor.plan.request import question_document
from advisor.plan.solve.stage import by_type_in_region
from advisor.plan.token_apis import compared_with_fleet, too_long_for
from advisor.plan.values import CurrentCost, MeasureFirst, Option, Plan, PlanProvenance, Savings
from advisor.records import asdict, replace
from advisor.requirements import Requirements
from advisor.units import ROUNDING
from advisor.workload.closed_loop import rate_at_latencies
from advisor.workload.values import DeclaredDemand, Limits, Slo, Survive

HOURS = 1
"""How long a load test of one instance takes, with the loading of the model."""
_NOT_FOR_HOURS = (PurchaseOption.SPOT, PurchaseOption.COMMITMENT)
"""Interrupted at any time, or bought for years."""


def measure_first(
    chosen: Option | None,
    options: Sequence[Option],
    limits: Limits,
    planned_rate: float,
    catalog: Catalog | None,
    current: CurrentCost | None = None,
) -> MeasureFirst | None:
    """The cheapest measurement that could overturn the recommendation; None where none could, or nothing is unsure.

    An option may cost as little as the whole instances that it takes at the upper end of a replica's rate, and as much
    as at the lower end; what failures and floors ask for stays. The closest rival runs on another accelerator or in
    another precision, and may be cheaper than the recommendation may be dear. The one of the two is measured whose
    bound is beyond the planned cost of the other; either, where only both together are. *catalog*: prices on demand, at
    which a machine is rented for the measurement; None, as for models that answer in one pass: only how close the
    options are, since calibration learns from measurements of tokens alone. *current*: what runs today, on which a
    measurement costs nothing more.
    """
    bounds = [_bounds_usd(option, limits, planned_rate) for option in options]
    rivals = [(least, at) for at, (least, _) in enumerate(bounds) if chosen and _kind(options[at]) != _kind(chosen)]
    if chosen is None or not rivals:
        return None
    least, at = min(rivals)
    _, most = _bounds_usd(chosen, limits, planned_rate)
    if least >= most:
        return None
    rival = options[at]
    beyond = (most > rival.cost.total_usd_per_month, least < chosen.cost.total_usd_per_month)
    unmeasured = [
        option
        for option, decides in zip((chosen, rival), beyond if any(beyond) else (True, True), strict=True)
        if decides and option.evidence != Evidence.MEASURED and not option.partition
    ]
    if not unmeasured:
        return None
    close = MeasureFirst(None, rival.rank, None, None, round(most, 2), round(least, 2))
    if catalog is None:
        return close
    usd_per_hour, measured = min(
        ((_rented_usd_per_hour(option, catalog, current), option) for option in unmeasured),
        key=lambda priced: priced[0],
    )
    return replace(close, rank=measured.rank, usd=round(usd_per_hour * HOURS, 2), hours=HOURS)


def _rented_usd_per_hour(option: Option, catalog: Catalog, current: CurrentCost | None) -> float:
    """Price of an instance for a few hours: on demand where the option is on spot or committed, if that is listed.

    Nothing where one runs today.
    """
    if current is not None and current.runs(option):
        return 0.0
    offer = catalog.offer(option.provider, option.region, option.instance_type)
    if option.purchase not in _NOT_FOR_HOURS or offer is None or offer.on_demand is None:
        return option.cost.instance_usd_per_hour
    return offer.on_demand.usd_per_hour


def _kind(option: Option) -> tuple[str, str]:
    return option.accelerator, option.precision


def _bounds_usd(option: Option, limits: Limits, planned_rate: float) -> tuple[float, float]:
    """Lowest and highest cost: a replica sustains as much, and as little, as its rate may be.

    Data transfer follows the demand, and standing charges follow nothing, however many instances there are.
    """
    rate, count = option.predicted.requests_per_second_per_replica, option.instances
    spare = int(limits.survival is not Survive.NOTHING and option.groups == 1)
    planned = option.planned_requests_per_second_per_instance
    loaded = min(planned_rate / planned, count) if planned and option.groups == 1 else float(max(count - spare, 1))
    floor = max(limits.zones, math.ceil(limits.min_replicas / option.replicas_per_instance), 1 + spare)
    fewest, most = (_least_instances(option, limits, loaded * rate.value / end, spare) for end in (rate.high, rate.low))
    fixed = option.cost.standing_usd_per_month + option.cost.transfer_usd_per_month
    usd = (option.cost.total_usd_per_month - fixed) / count
    return fixed + usd * min(max(fewest, floor), count), fixed + usd * max(most, count)


def _least_instances(option: Option, limits: Limits, loaded: float, spare: int) -> int:
    """Whole instances for a load of so many, and beside those that a machine, a zone or spot in it may take."""
    count = math.ceil(loaded - ROUNDING) + spare
    lost_shares = [share_without(limits, Part.ZONE)]
    if option.purchase == PurchaseOption.SPOT:
        lost_shares.append(share_without(limits, Part.SUPPLY))
    left = max(lost_shares) * loaded
    while option.groups == 1 and option.zones > 1 and count - lost_in_zone(count, option.zones) < left - ROUNDING:
        count += 1
    return count


def build_plan(
    requirements: Requirements,
    planned: Planned,
    rejections: Sequence[Rejection],
    catalog: Catalog,
    calibration_version: str,
) -> Plan:
    """Put the plan together."""
    choice, options = planned.choice, planned.options
    question = question_document(requirements)
    not_compared = too_long_for(catalog, requirements.workload.compare, requirements.context_tokens)
    return Plan(
        workload=workload_document(requirements),
        demand=demand_document(_in_hours_of(requirements.demand, choice.fleet))
        | _answered_sooner(requirements, choice.fleet),
        recommended=planned.recommended,
        options=options,
        rejected=tuple(rejections),
        nearest_misses=() if choice.fleet else nearest_misses(rejections, choice.conflict),
        current=planned.current,
        savings=_savings(planned.current, choice.fleet),
        provenance=PlanProvenance(
            advisor_version=__version__,
            catalog_hash=catalog.content_hash,
            catalog_as_of=catalog.as_of,
            calibration_version=calibration_version,
            input_digest=digest(question),
            model_file=requirements.model.file,
        ),
        notes=tuple(
            dict.fromkeys(
                (*requirements.notes, *choice.notes, *_padded(choice.fleet, requirements, catalog), *not_compared)
            )
        ),
        measure_first=measure_first(
            planned.recommended,
            options,
            requirements.workload.limits,
            _planned_rate(choice.fleet),
            None if requirements.demand.unit.is_one_pass else catalog,
            planned.current,
        ),
        ladder=planned.ladder,
        as_stated=planned.as_stated,
        fleet=choice.fleet,
        conflict=choice.conflict,
        token_apis=compared_with_fleet(
            requirements,
            catalog,
            choice.fleet.cost.total_usd_per_month if choice.fleet else None,
            cache_usd_per_month(choice.fleet.standing) if choice.fleet else 0.0,
        ),
        question=question,
    )


def _padded(fleet: Fleet | None, requirements: Requirements, catalog: Catalog) -> Iterator[str]:
    """Engines of a fleet that pad texts of one declared length to a longer one, which nobody stated."""
    workload = requirements.workload
    if fleet is None or requirements.demand.unit is not Unit.TEXTS or workload.context_tokens is not None:
        return
    if not isinstance(workload.demand, DeclaredDemand) or workload.demand.is_spread:
        return
    for group in fleet.groups:
        accelerator = catalog.known_accelerator(group.accelerator)
        server = None if accelerator is None else catalog.one_pass_engine(group.engine, accelerator.vendor)
        if server is not None and server.padding == COMPILED:
            length, longest = requirements.context_tokens, requirements.demand.input_tokens.max
            yield (
                f"{group.engine} computes each text as one of the {length:,} tokens that it is compiled for, beyond "
                f"the declared {longest:,.0f}: lengths up to that need no more; state context_tokens, or p50 and p95, "
                "to compile for no more than is asked"
            )


def _in_hours_of(demand: Demand, fleet: Fleet | None) -> Demand:
    """The demand; of batch work at the rate of the hours in which the fleet works it off."""
    if demand.batch is None or fleet is None:
        return demand
    peak = _planned_rate(fleet)
    return replace(demand, requests_per_second=replace(demand.requests_per_second, p95=peak, p99=peak, peak=peak))


def _planned_rate(fleet: Fleet | None) -> float:
    """Requests per second of the busiest hours."""
    return 0.0 if fleet is None else fleet.hour_classes[-1].planned_requests_per_second


def workload_document(requirements: Requirements) -> dict[str, Any]:
    """The workload as understood, under the plan's names."""
    workload = requirements.workload
    return {
        "name": workload.name,
        "model": requirements.model.name,
        "precisions": list(workload.precisions),
        "slo": plain(workload.slo, "slo"),
        "providers": list(workload.providers),
        "regions": [] if workload.regions_left_open and not workload.near_current else list(workload.regions),
        "purchase": [purchase.value for purchase in workload.purchase],
        "context_tokens": requirements.context_tokens,
        "limits": plain(replace(workload.limits, survive=workload.limits.survival), "limits"),
        "users": plain(dict(workload.users), "users"),
        "residency": list(workload.residency),
        "routing": workload.routing.value,
        "compare": list(workload.compare),
        "scaling": plain(workload.scaling, "scaling"),
        "commitments": plain(workload.commitments, "commitments"),
        "as_of": plain(workload.as_of, "as_of"),
        "running": by_type_in_region(dict(workload.running)),
        "growth_per_year": workload.growth_per_year,
        "horizon_days": workload.horizon_days,
        "prefix_cache_hit_ratio": workload.prefix_cache_hit_ratio,
        "accelerators": list(workload.accelerators),
        "instance_types": list(workload.instance_types),
        "engines": list(workload.engines),
        "exclude": plain(workload.exclude, "exclude"),
        "listed_only": workload.listed_only,
        **_model_inputs(requirements),
        **({} if requirements.model.answer is TextAnswer.VECTOR else {"model_answer": requirements.model.answer.value}),
        **({"model_type": requirements.model.answer_type} if requirements.model.answer_type else {}),
        **({"targets": list(workload.targets)} if workload.targets else {}),
        **({"existing_cluster": True} if workload.existing_cluster else {}),
        **({"tags": dict(workload.tags)} if workload.tags else {}),
        **({"timezone": workload.timezone} if workload.timezone else {}),
        **_adapters(requirements),
        **({"response_cache": plain(workload.response_cache, "response_cache")} if workload.response_cache else {}),
    }


def _adapters(requirements: Requirements) -> dict[str, Any]:
    """LoRA adapters on the model, with their names where the workload has them."""
    adapters = requirements.model.adapters
    if adapters is None:
        return {}
    named = [{"id": adapter.id, "rank": adapter.rank, "on_hub": adapter.on_hub} for adapter in adapters.named]
    document = {
        "count": adapters.count,
        "rank": adapters.rank,
        "target_modules": list(adapters.target_modules),
        "slots": adapters.slots,
        "bytes": stored_bytes(requirements.model),
        "named": named,
    }
    return {"adapters": document}


def _model_inputs(requirements: Requirements) -> dict[str, Any]:
    """Tensors that the model's graph takes, which a server of graphs is told; of models that answer in one pass."""
    inputs = requirements.model.inputs if requirements.demand.unit.is_one_pass else ()
    return {"model_inputs": plain(inputs, "model_inputs")} if inputs else {}


def _answered_sooner(requirements: Requirements, fleet: Fleet | None) -> dict[str, float]:
    """Rate that concurrent users send where their answers take what the replay of a fleet found, p95 of each."""
    replay = None if fleet is None else fleet.confirmed
    if replay is None or replay.ttft_p95_ms is None or replay.tpot_p95_ms is None:
        return {}
    answered = Slo(replay.ttft_p95_ms, replay.tpot_p95_ms)
    rate = rate_at_latencies(requirements.workload, requirements.demand.unit, answered)
    return {} if rate is None else {"requests_per_second_as_answered": rate * (1 - requirements.demand.answered_ratio)}


def demand_document(demand: Demand) -> dict[str, Any]:
    """The demand in numbers, under the plan's names."""
    rate = demand.requests_per_second
    return {
        "requests_per_second": {
            "mean": rate.mean,
            "p50": rate.p50,
            "p95": rate.p95,
            "p99": rate.p99,
            "peak": rate.peak,
            "peak_to_mean": rate.peak_to_mean,
        },
        "input_tokens": _quantiles(demand.input_tokens),
        "output_tokens": _quantiles(demand.output_tokens),
        "longest_request_tokens": demand.longest_request_tokens,
        "source": demand.source,
        "requests": demand.requests,
        "window_seconds": demand.window_seconds,
        "interval": None if demand.interval is None else asdict(demand.interval),
        **({"unit": demand.unit.value} if demand.unit.is_one_pass else {}),
        **({"answered_ratio": demand.answered_ratio} if demand.answered_ratio else {}),
        **({"pictures": asdict(demand.pictures)} if demand.pictures is not None else {}),
        **({"capped": asdict(demand.capped)} if demand.capped is not None else {}),
        **({"closed_loop": asdict(demand.closed_loop)} if demand.closed_loop is not None else {}),
    }


def _quantiles(tokens: TokenQuantiles) -> dict[str, float]:
    return {"mean": tokens.mean, "p50": tokens.p50, "p95": tokens.p95, "p99": tokens.p99, "max": tokens.max}


def _savings(current: CurrentCost | None, fleet: Fleet | None) -> Savings | None:
    """Total against total; None where no share of it can be saved."""
    ratio = None if fleet is None else saved_ratio(fleet.cost.total_usd_per_month, current)
    if current is None or fleet is None or ratio is None:
        return None
    return Savings(usd_per_month=current.total_usd_per_month - fleet.cost.total_usd_per_month, ratio=ratio)
