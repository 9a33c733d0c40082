"""Cost of a tighter latency target: the cheapest confirmed fleets from the loosest target to the fastest machine."""

from collections.abc import Callable, Iterator, Mapping

from advisor.candidates import Rejection
from advisor.errors import InputError
from advisor.plan.explain.why import Judged, fleet_in_short
from advisor.plan.replay.validator import Confirmed
from advisor.plan.words import refused_words, short_share_words
from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field

OF_TOKENS, OF_WHOLE_ANSWERS = ("ttft_p95", "tpot_p95", "e2e_p95"), ("latency",)
TARGETS = (*OF_TOKENS, *OF_WHOLE_ANSWERS)
"""Names of latencies in an SLO, without their unit."""
STEPS = 6
"""Parts, equal in the logarithm, of the way from the loosest target down to the fastest candidate."""
LOOSEST = 16.0
"""The loosest target looked at ÷ the fastest latency, or ÷ the stated target where that is longer."""
IMPOSSIBLE_MS = 1e-9


@dataclass(frozen=True, slots=True)
class Fastest:
    """The shortest latency that any candidate reaches, with no other load."""

    latency_ms: float
    provider: str
    instance_type: str
    precision: str
    tensor_parallel: int


@dataclass(frozen=True, slots=True)
class Point:
    """The fleet recommended for a target, by the type that serves most of it."""

    latency_ms: float
    """The target that it was planned for and its replay keeps."""
    total_usd_per_month: float
    provider: str
    region: str
    instance_type: str
    purchase: str
    precision: str
    tensor_parallel: int
    instances: int
    """Of that type and way of paying, in the busiest hours."""
    fleet_instances: int
    """Of the whole fleet in the busiest hours."""
    groups: int
    stated: bool
    """Whether it is the target of the workload: the point is the plan's fleet."""
    instances_by_class: tuple[int, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """Of the type in each of the fleet's hour classes; (): the same at all hours."""


@dataclass(frozen=True, slots=True)
class Front:
    """Cost against one target, the other targets as stated; the loosest and cheapest point first."""

    target: str
    stated_ms: float | None
    fastest: Fastest | None
    points: tuple[Point, ...]
    """Each costs more than the one before and is faster; between two, another may cost less than the faster."""
    why_none: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Why not even the loosest target has a fleet; "" where there are points, or nothing holds the model."""


_Under = Callable[[Mapping[str, float]], Judged]
"""The question, with latency targets set otherwise."""


def pareto_front(under: _Under, anywhere: _Under, target: str, stated_ms: float | None) -> Front:
    """The front of monthly cost against *target* (one of :data:`TARGETS`).

    *anywhere*: the same without a place of its users, which no machine is near enough to under an impossible target.
    """
    name = f"{target}_ms"
    fastest = _fastest(anywhere({name: IMPOSSIBLE_MS}).too_slow, target)
    if fastest is None:
        return Front(target, stated_ms, None, ())
    loosest = max(fastest.latency_ms * LOOSEST, (stated_ms or 0.0) * 2)
    grid = {loosest * (fastest.latency_ms / loosest) ** (step / STEPS) for step in range(STEPS)}
    grid |= {stated_ms} if stated_ms else set()
    planned = [
        _planned(under, {name: limit_ms}, limit_ms, stated=limit_ms == stated_ms)
        for limit_ms in sorted(grid, reverse=True)
    ]
    points = tuple(_cheapest_first([point for point in planned if isinstance(point, Point)]))
    return Front(target, stated_ms, fastest, points, "" if points else str(planned[0]))


def _planned(under: _Under, targets_ms: Mapping[str, float], limit_ms: float, *, stated: bool) -> Point | str:
    """The recommended fleet at one target, or why there is none."""
    try:
        judged = under(targets_ms)
    except InputError as error:
        return error.message
    confirmed = judged.recommended()
    if not isinstance(confirmed, Confirmed):
        return refused_words(confirmed)
    if not confirmed.confirmation.reached:
        return f"the best fleet keeps {short_share_words(confirmed.confirmation, judged.market.workload.slo)}"
    return Point(
        **fleet_in_short(confirmed),
        latency_ms=limit_ms,
        fleet_instances=sum(allocation.instances[-1] for allocation in confirmed.solution.allocations),
        stated=stated,
    )


def _cheapest_first(points: list[Point]) -> Iterator[Point]:
    """Points, the loosest first, without those that a tighter one costs no more than; the stated one stays."""
    cheapest_tighter: list[Point] = []
    for point in reversed(points):
        dearer = cheapest_tighter and cheapest_tighter[-1].total_usd_per_month <= point.total_usd_per_month
        if not dearer or point.stated:
            cheapest_tighter.append(point)
    yield from reversed(cheapest_tighter)


def _fastest(rejections: tuple[Rejection, ...], target: str) -> Fastest | None:
    """The physical minimum of all candidates: what a target that nobody keeps is answered with."""
    floors = [
        Fastest(
            rejection.available,
            rejection.provider,
            rejection.instance_type,
            rejection.precision,
            rejection.tensor_parallel or 1,
        )
        for rejection in rejections
        if isinstance(rejection.available, float) and rejection.code == f"slo_{target.removesuffix('_p95')}"
    ]
    return min(floors, key=lambda floor: floor.latency_ms, default=None)
