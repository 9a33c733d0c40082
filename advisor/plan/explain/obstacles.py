"""Why an instance type cannot serve a workload at all, and what would lift each reason."""

from collections.abc import Iterator, Sequence

from advisor.candidates import ANY, Candidate, Rejection, judge
from advisor.catalog import Catalog
from advisor.catalog.values import InstanceType, Purchase
from advisor.plan.problem.supply import SERVICE
from advisor.plan.remedies import distance
from advisor.records import dataclass, replace
from advisor.requirements import Requirements
from advisor.units import is_same, rounded_up
from advisor.workload.values import PRECISIONS, Slo, Workload

NOT_ASKED = "not_asked"
"""The code of an instance type that the workload leaves out, or whose provider it leaves out."""
_FITTING = (
    "memory",
    "adapters_memory",
    "adapters_unsupported",
    "parallel_degree",
    "parallelism",
    "precision_unsupported",
    "precision_untested",
    "model_unsupported",
)
_TARGETS = {
    "slo_ttft": "slo.ttft_p95",
    "slo_tpot": "slo.tpot_p95",
    "slo_e2e": "slo.e2e_p95",
    "slo_latency": "slo.latency",
}
_REGIONS_NAMED = 3
_MOST_UTILIZATION = 0.95
"""Share of an accelerator's memory that a server can be given without running out beside it."""
_LEAST_WITHIN = 0.5
_TWICE_AS_WIDE = "fp32"
"""Precision wider than weights are published in."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One reason, with the closest of the rejections for it."""

    code: str
    count: int
    """Rejections for this reason."""
    needed: float | str | None
    available: float | str | None
    unit: str
    message: str
    lifted_by: str
    """A what-if that lifts it; "" where none is known to."""


def obstacles_of(
    rejections: Sequence[Rejection], requirements: Requirements, catalog: Catalog, place: tuple[str, str | None]
) -> tuple[Obstacle, ...]:
    """Every reason why an instance type (in a region, or in any) is in no fleet, the most frequent first.

    *place*: (instance type, region or None).
    """
    name, region = place
    places = (ANY, region) if region else None
    by_code: dict[str, list[Rejection]] = {}
    for rejection in rejections:
        if rejection.instance_type == name and (places is None or rejection.region in places):
            by_code.setdefault(rejection.code, []).append(rejection)
    if not by_code:
        return _not_asked(requirements.workload, catalog, place)
    obstacles = [_obstacle(code, ones, requirements, catalog) for code, ones in by_code.items()]
    return tuple(sorted(obstacles, key=lambda obstacle: -obstacle.count))


def _obstacle(code: str, rejections: list[Rejection], requirements: Requirements, catalog: Catalog) -> Obstacle:
    closest = min(rejections, key=distance)
    return Obstacle(
        code=code,
        count=len(rejections),
        needed=closest.needed,
        available=closest.available,
        unit=closest.unit,
        message=closest.message,
        lifted_by=_lifted_by(closest, requirements, catalog),
    )


def _lifted_by(rejection: Rejection, requirements: Requirements, catalog: Catalog) -> str:
    code, name = rejection.code, rejection.instance_type
    needed, available = rejection.needed, rejection.available
    if code in _TARGETS and isinstance(needed, int | float) and isinstance(available, int | float):
        return _looser_target(code, available, needed, requirements.workload.slo)
    if code == "max_replicas" and isinstance(needed, int | float):
        return f"limits.max_replicas={needed:.0f}"
    if code == "replay" and isinstance(rejection.available, int | float):
        return lifted_by_share(rejection.available)
    simple = {
        "price_unknown": f"price.{name}=USD per hour",
        "not_listed": "listed_only=false",
        "engine_excluded": "engines=all" if requirements.workload.engines else "exclude.engines=none",
    }
    if code in simple:
        return simple[code]
    if code == "not_sold":
        of_service = rejection.unit == SERVICE
        return f"purchase={Purchase.ON_DEMAND}" if of_service else _sold_in(catalog, rejection.provider, name)
    return _fitting(rejection, requirements, catalog) if code in _FITTING else ""


def _looser_target(code: str, floor_ms: float, target_ms: float, slo: Slo) -> str:
    """The target that lone requests keep: of speech the factor on its length, where that is what they miss."""
    if code == "slo_latency" and slo.real_time_factor is not None and not is_same(target_ms, slo.latency_ms or 0.0):
        return f"slo.real_time_factor={rounded_up(slo.real_time_factor * floor_ms / target_ms):.12g}"
    return f"{_TARGETS[code]}={rounded_up(floor_ms):.12g}ms"


def _fitting(rejection: Rejection, requirements: Requirements, catalog: Catalog) -> str:
    """More of the accelerators' memory where the model then fits the rejected layout, else other precisions."""
    workload = requirements.workload
    if rejection.code == "memory" and workload.limits.memory_utilization < _MOST_UTILIZATION:
        limits = replace(workload.limits, memory_utilization=_MOST_UTILIZATION)
        machine = catalog.instance_type(rejection.provider, rejection.instance_type)
        roomier = replace(requirements, workload=replace(workload, limits=limits))
        fitting = _in_layout(rejection, machine, roomier, catalog)
        if any(candidate.precision == rejection.precision for candidate in fitting):
            return f"limits.memory_utilization={_MOST_UTILIZATION:g}"
    return _other_precisions(rejection, requirements, catalog)


def lifted_by_share(kept_ratio: float, unavoidable_late_ratio: float = 0.0) -> str:
    """A what-if that asks for no more requests within the SLO than a replay finds; "" where that is under half."""
    ratio = Slo.within_ratio_for(kept_ratio, unavoidable_late_ratio)
    return f"slo.within_ratio={ratio:g}" if ratio >= _LEAST_WITHIN else ""


def _other_precisions(rejection: Rejection, requirements: Requirements, catalog: Catalog) -> str:
    """The widest precision that was not asked for and fits the rejected layout; fp32 where no other does."""
    machine = catalog.instance_type(rejection.provider, rejection.instance_type)
    others = tuple(precision for precision in PRECISIONS if precision not in requirements.workload.precisions)
    asked = replace(requirements, workload=replace(requirements.workload, precisions=others))
    fitting = list(_in_layout(rejection, machine, asked, catalog))
    served = [other for other in others if any(candidate.is_in((other,)) for candidate in fitting)]
    return f"precisions={min(served, key=lambda other: other == _TWICE_AS_WIDE)}" if served else ""


def _in_layout(
    rejection: Rejection, machine: InstanceType, requirements: Requirements, catalog: Catalog
) -> Iterator[Candidate]:
    """Candidates that hold the model under other requirements, in the rejected layout or any of a whole machine."""
    layout = (rejection.tensor_parallel, rejection.partition)
    for candidate in judge(machine, requirements, catalog):
        if isinstance(candidate, Candidate) and (
            rejection.tensor_parallel is None or layout == (candidate.tensor_parallel, candidate.partition)
        ):
            yield candidate


def _sold_in(catalog: Catalog, provider: str, name: str) -> str:
    regions = sorted({offer.region for offer in catalog.offers_in((provider,)) if offer.instance_type == name})
    return f"regions={'+'.join(regions[:_REGIONS_NAMED])}" if regions else ""


def _not_asked(workload: Workload, catalog: Catalog, place: tuple[str, str | None]) -> tuple[Obstacle, ...]:
    """No rejection at all: the workload leaves out its provider, region or accelerator, or the type; else nothing."""
    name, region = place
    providers = [provider for provider, type_name in catalog.instance_types if type_name == name]
    machines = [catalog.instance_types[provider, name] for provider in providers if provider in workload.providers]
    left_out = next((obstacle for machine in machines if (obstacle := _left_out(workload, machine)) is not None), None)
    if left_out is not None:
        return (left_out,)
    if region and machines and workload.regions and region not in workload.regions:
        asked = workload.regions
        reason = f"{region} is left out: the workload asks for {', '.join(asked)}"
        return (
            Obstacle(NOT_ASKED, 1, region, "+".join(asked), "regions", reason, f"regions={'+'.join((*asked, region))}"),
        )
    if machines:
        return ()
    asked = workload.providers
    reason = f"{name} is of {', '.join(providers)}, and the workload asks for {', '.join(asked)}"
    lifted_by = f"providers={'+'.join((*asked, *providers))}"
    return (Obstacle(NOT_ASKED, 1, "+".join(providers), "+".join(asked), "providers", reason, lifted_by),)


def _left_out(workload: Workload, machine: InstanceType) -> Obstacle | None:
    """A type that the workload excludes, or that is none of those to plan with."""
    for key, name in (("accelerators", machine.accelerator), ("instance_types", machine.name)):
        asked, excluded = getattr(workload, key), getattr(workload.exclude, key)
        if name in excluded:
            left = "+".join(entry for entry in excluded if entry != name) or "none"
            reason = f"{machine.name} is left out: the workload excludes {name}"
            return Obstacle(NOT_ASKED, 1, name, "excluded", key, reason, f"exclude.{key}={left}")
        if asked and name not in asked:
            reason = f"{machine.name} is left out: the workload asks for {', '.join(asked)}"
            return Obstacle(NOT_ASKED, 1, name, "+".join(asked), key, reason, f"{key}={'+'.join((*asked, name))}")
    return None
