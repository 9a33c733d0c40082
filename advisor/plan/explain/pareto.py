"""What a tighter latency target costs: the cheapest plans from the loosest target down to what physics allows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from advisor.candidates import match
from advisor.catalog import Catalog
from advisor.performance.model import PerformanceModel
from advisor.performance.stage import latencies_at_load, serve
from advisor.plan.geography import in_reach
from advisor.plan.question import Question, requirements_of
from advisor.plan.race import Finish, Runner, line_up, run, with_target
from advisor.requirements import Requirements
from advisor.workload.values import Slo

TARGETS = ("ttft_p95", "tpot_p95", "e2e_p95")
STEPS = 12
"""Parts, equal in the logarithm, that the way down to the fastest candidate is divided into."""
_BATCH = 64
_IMPOSSIBLE_MS = 1e-9
_TIES = 8


@dataclass(frozen=True, slots=True)
class Fastest:
    """The shortest latency that any candidate reaches, with no other load."""

    latency_ms: float
    provider: str
    region: str
    instance_type: str
    precision: str
    tensor_parallel: int


@dataclass(frozen=True, slots=True)
class Point:
    """The cheapest way to keep a target."""

    latency_ms: float
    """Predicted at the busiest minute: the tightest target that this keeps."""
    total_usd_per_month: float
    provider: str
    region: str
    instance_type: str
    purchase: str
    precision: str
    tensor_parallel: int
    instances: int


@dataclass(frozen=True, slots=True)
class Front:
    """Cost against one target, the other targets as stated; the loosest and cheapest point first."""

    target: str
    stated_ms: float | None
    fastest: Fastest | None
    points: tuple[Point, ...]
    """Each costs more than the one before and is faster; between two of them the faster one's price holds."""


def pareto_front(question: Question, catalog: Catalog, model: PerformanceModel, target: str) -> Front:
    """The front of monthly cost against *target* (one of :data:`TARGETS`)."""
    requirements = requirements_of(question, catalog)
    matches = in_reach(match(requirements, catalog), question.workload, catalog)
    runners = line_up(matches, requirements, catalog, lambda _: True)
    name = f"{target}_ms"
    priced = _cheapest_of_each_kind(runners)
    fastest = _fastest(priced, requirements, model, target)
    points = _descend(priced, requirements, model, name, fastest) if fastest else []
    return Front(target, getattr(requirements.workload.slo, name), fastest, tuple(points))


def _cheapest_of_each_kind(runners: Sequence[Runner]) -> list[Runner]:
    """Of instances with the same replicas, and as many of them, the cheapest."""
    best: dict[tuple[str, str, str, int, str, int], Runner] = {}
    for one in sorted(
        (one for one in runners if one.usd_per_hour is not None), key=lambda one: one.usd_per_hour or 0.0
    ):
        candidate = one.candidate
        key = (
            candidate.accelerator.name, candidate.precision, candidate.engine, candidate.tensor_parallel,
            candidate.instance_type.interconnect, candidate.replicas_per_instance,
        )  # fmt: skip
        best.setdefault(key, one)
    return list(best.values())


def _descend(
    runners: list[Runner], requirements: Requirements, model: PerformanceModel, name: str, fastest: Fastest
) -> list[Point]:  # fmt: skip
    """The cheapest plan without the target, then the cheapest that is a step faster, until there is none."""
    points: list[Point] = []
    bounds = dict.fromkeys(range(len(runners)), 0.0)
    target: float | None = None
    ratio = 1.0
    while target is None or target > fastest.latency_ms:
        found = _cheapest_at(runners, bounds, with_target(requirements, name, target), model)
        if not found:
            break
        point = _fastest_of(found, requirements, model, name)
        if points and points[-1].total_usd_per_month >= point.total_usd_per_month:
            points.pop()
        if target is None:
            ratio = min((fastest.latency_ms / point.latency_ms) ** (1 / STEPS), 1 - 1e-6)
        points.append(point)
        target = point.latency_ms * ratio
    return points


def _cheapest_at(
    runners: Sequence[Runner], bounds: dict[int, float], requirements: Requirements, model: PerformanceModel
) -> list[Finish]:  # fmt: skip
    """The equally cheapest plans.

    A tighter target never makes anything cheaper. So what a runner cost at a looser one is a lower bound (*bounds*, by
    index, kept up to date), and only those whose bound is not above the best found are asked, some at a time.
    """
    best: list[Finish] = []
    total = float("inf")
    order = sorted(bounds, key=lambda index: bounds[index])
    index_of = {id(runner): index for index, runner in enumerate(runners)}
    for start in range(0, len(order), _BATCH):
        asked = order[start : start + _BATCH]
        if bounds[asked[0]] > total:
            break
        finishes = run([runners[index] for index in asked], requirements, model)
        for index in asked:
            del bounds[index]
        bounds.update({index_of[id(one.runner)]: one.total_usd_per_month or 0.0 for one in finishes})
        total = min([total, *(one.total_usd_per_month or 0.0 for one in finishes)])
        best = [one for one in [*best, *finishes] if one.total_usd_per_month == total]
    return best


def _fastest_of(
    finishes: Sequence[Finish], requirements: Requirements, model: PerformanceModel, name: str
) -> Point:  # fmt: skip
    """Of equally cheap plans the one with the shortest latency at the busiest minute."""
    few = finishes[:_TIES]
    latencies = latencies_at_load(
        [one.runner.candidate for one in few], [one.replicas for one in few], requirements, model
    )  # fmt: skip
    values = [getattr(latency, name).value for latency in latencies]
    one = few[values.index(min(values))]
    candidate = one.runner.candidate
    return Point(
        latency_ms=min(values),
        total_usd_per_month=one.total_usd_per_month or 0.0,
        provider=candidate.instance_type.provider,
        region=one.runner.region,
        instance_type=candidate.instance_type.name,
        purchase=one.runner.purchase,
        precision=candidate.precision,
        tensor_parallel=candidate.tensor_parallel,
        instances=one.instances,
    )


def _fastest(
    runners: Sequence[Runner], requirements: Requirements, model: PerformanceModel, target: str
) -> Fastest | None:  # fmt: skip
    """The physical minimum of all candidates: what a target that nobody keeps is answered with."""
    name = f"{target}_ms"
    slo = replace(Slo(), **{name: _IMPOSSIBLE_MS})
    asked = replace(requirements, workload=replace(requirements.workload, slo=slo))
    _, rejections = serve([one.candidate for one in runners], asked, model)
    regions = {(one.candidate.instance_type.provider, one.candidate.instance_type.name): one.region for one in runners}
    floors = [
        Fastest(
            latency_ms=rejection.available,
            provider=rejection.provider,
            region=regions[rejection.provider, rejection.instance_type],
            instance_type=rejection.instance_type,
            precision=rejection.precision,
            tensor_parallel=rejection.tensor_parallel or 1,
        )
        for rejection in rejections
        if isinstance(rejection.available, float) and rejection.code == f"slo_{target.removesuffix('_p95')}"
    ]
    return min(floors, key=lambda floor: floor.latency_ms, default=None)
