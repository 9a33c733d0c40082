"""The rejections that came closest to being options: of what stands against a workload, what is judged last."""

import math
from collections.abc import Iterator, Sequence

from advisor.candidates import ANY, Rejection
from advisor.deployable import PURCHASE
from advisor.plan.options import CODES
from advisor.plan.problem.left_out import SERVICE
from advisor.plan.problem.values import Constraint
from advisor.plan.values import Conflict
from advisor.records import replace

NEAREST = 3

_STAGES = (
    ("not_sold", "engine_excluded"),
    ("residency",),
    ("network",),
    ("response_cache",),
    ("slo_ttft", "slo_tpot", "slo_e2e", "slo_latency", "deadline", "prediction_abstained", "cold_start"),
    ("price_unknown", "not_listed", "power_unknown", "carbon_unknown"),
    tuple(CODES.get(constraint, constraint.value) for constraint in Constraint),
    ("replay",),
)
"""Codes by what judges them, in this order, after the hardware was judged: each has passed what is before it."""
_STAGE_OF_CODE = {code: stage for stage, codes in enumerate(_STAGES, start=1) for code in codes}
_PAYING = _STAGE_OF_CODE["price_unknown"]


def nearest_misses(rejections: Sequence[Rejection], conflict: Conflict | None = None) -> tuple[Rejection, ...]:
    """The rejections that came closest, three at most.

    Those that passed most of what is judged; of them the closest for each code, then the next closest. An instance type
    is named once, and so are two numbers that are the same for several types.

    Args:
        rejections: everything that is no option.
        conflict: limits that exclude each other, which a miss has to be about.
    """
    codes = {CODES.get(Constraint(constraint), constraint) for constraint in conflict.constraints} if conflict else ()
    about = [rejection for rejection in rejections if not codes or rejection.code in codes]
    last = max(map(_stage, about), default=0)
    ordered = sorted((rejection for rejection in about if _stage(rejection) == last), key=_order)
    return tuple(_distinct(ordered))[:NEAREST]


def _stage(rejection: Rejection) -> int:
    """Stage that it reached; 0: the hardware does not hold the model, or no code starts it."""
    return _PAYING if rejection.unit in (SERVICE, PURCHASE) else _STAGE_OF_CODE.get(rejection.code, 0)


def _order(rejection: Rejection) -> tuple[float, str, str, str]:
    return distance(rejection), rejection.instance_type, rejection.region, rejection.precision


def _distinct(ordered: Sequence[Rejection]) -> Iterator[Rejection]:
    """The first of each code, then the others; none that says the same again."""
    first = {rejection.code: rejection for rejection in reversed(ordered)}
    said: set[object] = set()
    for rejection in (*sorted(first.values(), key=_order), *ordered):
        machine = (rejection.provider, rejection.instance_type)
        numbers = (rejection.code, rejection.needed, rejection.available)
        if said.isdisjoint((machine, numbers)):
            said |= {machine, numbers}
            alike = sum((other.code, other.needed, other.available) == numbers for other in ordered)
            yield _of_any(rejection, alike)


def _of_any(rejection: Rejection, alike: int) -> Rejection:
    """The rejection without a name where it is of no one machine: of a cache, or of all that are not sold somewhere."""
    if rejection.code == "not_sold" and alike > 1:
        told = f"none of {alike} instance types is known to be sold in {rejection.needed}: name other regions"
        return replace(rejection, instance_type=ANY, message=told)
    return replace(rejection, instance_type=ANY) if rejection.code == "response_cache" else rejection


def distance(rejection: Rejection) -> float:
    """Distance from being an option, as a ratio; infinite where there are no two numbers above 0."""
    needed, available = rejection.needed, rejection.available
    if not (isinstance(needed, int | float) and isinstance(available, int | float)) or min(needed, available) <= 0:
        return math.inf
    return max(needed / available, available / needed)
