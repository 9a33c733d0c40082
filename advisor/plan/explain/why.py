"""What would have to change for an instance type to win: its price, a latency target, or the load.

Winning is being the cheapest single instance type. For one that wins already, it is what would make it lose.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from advisor.candidates import match
from advisor.catalog import Catalog
from advisor.catalog.values import Offer
from advisor.errors import InputError
from advisor.names import suggestion
from advisor.performance.model import PerformanceModel
from advisor.plan.geography import in_reach
from advisor.plan.explain.obstacles import Obstacle, obstacles_of
from advisor.plan.explain.outcome import usd_per_hour_for
from advisor.plan.question import Question, requirements_of
from advisor.plan.race import (
    Finish,
    Runner,
    cheapest,
    line_up,
    rates,
    run,
    run_each,
    size,
    with_target,
    without_dominated,
)
from advisor.plan.explain.reshape import scaled
from advisor.plan.explain.turning import Outcomes, first_turn, lost_after
from advisor.requirements import Requirements

_CENT = 0.01
_PRICE_PLACES = 4
_TARGETS = ("ttft_p95_ms", "tpot_p95_ms", "e2e_p95_ms")
_STEPS = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 8.0, 16.0)
_LOAD_STEPS = tuple(2 ** (step / 24) for step in range(1, 97))
_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Contender:
    """The cheapest way to serve the demand with one instance type."""

    provider: str
    instance_type: str
    region: str
    purchase: str
    precision: str
    tensor_parallel: int
    instances: int
    usd_per_hour: float | None
    """Of one instance; None: not known."""
    total_usd_per_month: float | None


@dataclass(frozen=True, slots=True)
class PriceChange:
    """The price up to which it wins, all else equal."""

    usd_per_hour: float
    today_usd_per_hour: float | None
    ratio: float | None
    """To today's price."""
    instances: int


@dataclass(frozen=True, slots=True)
class TargetChange:
    """Values of one latency target at which the outcome turns; None: at none up to 16 times looser (or tighter)."""

    target: str
    stated_ms: float
    looser_ms: float | None
    tighter_ms: float | None


@dataclass(frozen=True, slots=True)
class LoadRange:
    """Factors on the demand between which it wins; None: up to the end of what was looked at (1/16 to 16)."""

    low_factor: float | None
    high_factor: float | None


@dataclass(frozen=True, slots=True)
class Why:
    """Why an instance type wins or does not, and what would turn that."""

    instance_type: str
    region: str | None
    wins: bool
    contender: Contender | None
    """The instance type in question; None where it cannot serve the demand."""
    rival: Contender | None
    """The cheapest of all others."""
    price: PriceChange | None
    targets: tuple[TargetChange, ...]
    load: tuple[LoadRange, ...]
    obstacles: tuple[Obstacle, ...]
    """Where it cannot serve the demand: why not, and what would lift that."""


def why(
    question: Question, catalog: Catalog, model: PerformanceModel, instance_type: str, region: str | None = None
) -> Why:  # fmt: skip
    """What would have to change for *instance_type* (in *region*) to win, or to lose where it wins.

    Raises:
        InputError: the catalog knows no such instance type or region.
    """
    _check_names(catalog, instance_type, region)
    requirements = requirements_of(question, catalog)
    matches = in_reach(match(requirements, catalog), question.workload, catalog)

    def is_meant(offer: Offer) -> bool:
        return offer.instance_type == instance_type and region in (None, offer.region)

    runners = line_up(matches, requirements, catalog, is_meant)
    mine = rates(runners, requirements, model)
    rest = line_up(matches, requirements, catalog, lambda offer: not is_meant(offer))
    others = tuple(one for one in rest if one.usd_per_hour is not None)
    field = rates(others, requirements, model)
    finishes, rivals = list(size(mine, requirements)), sorted(size(field, requirements), key=_total)
    ours, theirs = cheapest(finishes), cheapest(rivals)
    wins = _ahead(ours, theirs, ties=True)
    duel = _Duel(
        requirements, model, runners, others,
        _of_each_accelerator(rivals), wins,
    )  # fmt: skip
    return Why(
        instance_type=instance_type,
        region=region,
        wins=wins,
        contender=_contender(ours or min(finishes, key=lambda one: one.instances, default=None)),
        rival=_contender(theirs),
        price=_price(finishes, ours, theirs, wins=wins),
        targets=tuple(_target(duel, name) for name in _TARGETS if _stated(requirements, name) is not None),
        load=_load(mine, field, requirements, wins=wins),
        obstacles=() if ours else obstacles_of(requirements, matches, catalog, model, (instance_type, region)),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Duel:
    """The instance type in question against all others."""

    requirements: Requirements
    model: PerformanceModel
    mine: tuple[Runner, ...]
    others: tuple[Runner, ...]
    nearest: tuple[Runner, ...]
    """The cheapest on each accelerator today: mostly it is enough to ask them."""
    wins: bool


def _check_names(catalog: Catalog, instance_type: str, region: str | None) -> None:
    providers = [provider for provider, name in catalog.instance_types if name == instance_type]
    if not providers:
        known = [name for _, name in catalog.instance_types]
        raise InputError(
            f"unknown instance type: '{instance_type}'", where="--why", hint=suggestion(instance_type, known)
        )  # fmt: skip
    regions = [name for provider in providers for name in catalog.regions_of(provider)]
    if region is not None and region not in regions:
        raise InputError(
            f"unknown region of {providers[0]}: '{region}'", where="--region", hint=suggestion(region, regions)
        )  # fmt: skip


def _total(finish: Finish) -> float:
    return float("inf") if finish.total_usd_per_month is None else finish.total_usd_per_month


def _ahead(ours: Finish | None, theirs: Finish | None, *, ties: bool) -> bool:
    """Whether ours is cheaper than theirs; *ties*: or as cheap."""
    if ours is None:
        return False
    return theirs is None or _total(ours) < _total(theirs) or (ties and _total(ours) == _total(theirs))


def _contender(finish: Finish | None) -> Contender | None:
    if finish is None:
        return None
    runner, candidate = finish.runner, finish.runner.candidate
    return Contender(
        provider=candidate.instance_type.provider,
        instance_type=candidate.instance_type.name,
        region=runner.region,
        purchase=runner.purchase,
        precision=candidate.precision,
        tensor_parallel=candidate.tensor_parallel,
        instances=finish.instances,
        usd_per_hour=runner.usd_per_hour,
        total_usd_per_month=finish.total_usd_per_month,
    )


def _price(mine: Sequence[Finish], ours: Finish | None, theirs: Finish | None, *, wins: bool) -> PriceChange | None:
    """The price at which the fewest instances that do cost as much as the rival (a cent less, to overtake it)."""
    if not mine or theirs is None:
        return None
    instances = min(one.instances for one in mine)
    exact = usd_per_hour_for(_total(theirs) - (0 if wins else _CENT), instances)
    usd_per_hour = math.floor(exact * 10**_PRICE_PLACES) / 10**_PRICE_PLACES
    today = ours.runner.usd_per_hour if ours else None
    return PriceChange(usd_per_hour, today, usd_per_hour / today if today else None, instances)


def _stated(requirements: Requirements, name: str) -> float | None:
    value: float | None = getattr(requirements.workload.slo, name)
    return value


def _target(duel: _Duel, name: str) -> TargetChange:
    """The nearest looser and the nearest tighter value at which the outcome turns."""
    stated = _stated(duel.requirements, name) or 0.0

    def at(factor: float) -> Requirements:
        return with_target(duel.requirements, name, stated * factor)

    looser = _turn(duel, at, _STEPS)
    tighter = _turn(duel, at, tuple(1 / step for step in _STEPS))
    return TargetChange(
        target=name.removesuffix("_ms"),
        stated_ms=stated,
        looser_ms=stated * looser if looser else None,
        tighter_ms=stated * tighter if tighter else None,
    )


def _turn(duel: _Duel, at: Callable[[float], Requirements], steps: Sequence[float]) -> float | None:
    """The factor nearest to 1 among *steps* (and between them) at which the outcome turns.

    Few rivals are asked first. Where the type is said to win, all are asked; those that beat it there join the few, and
    the search begins again.
    """
    rivals = list(duel.nearest)

    def turns(factors: Sequence[float]) -> list[bool]:
        return [wins != duel.wins for wins in _wins_at(duel, [at(factor) for factor in factors], rivals)]

    for _ in range(_ROUNDS):
        same, turned = first_turn(turns, steps)
        victory = same if duel.wins else turned
        newcomers = () if victory in (None, 1.0) else _beaten_by(duel, at(victory))
        if not newcomers:
            return turned
        rivals.extend(newcomers)
    return None


def _wins_at(duel: _Duel, cases: Sequence[Requirements], rivals: Sequence[Runner]) -> list[bool]:
    mine = {id(runner) for runner in duel.mine}
    outcomes = []
    for finishes in run_each([*duel.mine, *rivals], cases, duel.model):
        ours = cheapest([one for one in finishes if id(one.runner) in mine])
        theirs = cheapest([one for one in finishes if id(one.runner) not in mine])
        outcomes.append(_ahead(ours, theirs, ties=duel.wins))
    return outcomes


def _beaten_by(duel: _Duel, requirements: Requirements) -> tuple[Runner, ...]:
    """The cheapest on each accelerator that beat it, of all others."""
    ours = cheapest(run(duel.mine, requirements, duel.model))
    field = sorted(run(duel.others, requirements, duel.model), key=_total)
    return _of_each_accelerator([one for one in field if not _ahead(ours, one, ties=duel.wins)])


def _of_each_accelerator(finishes: Sequence[Finish]) -> tuple[Runner, ...]:
    """The first on each accelerator."""
    first: dict[str, Runner] = {}
    for one in finishes:
        first.setdefault(one.runner.candidate.accelerator.name, one.runner)
    return tuple(first.values())


def _load(
    mine: Sequence[tuple[Runner, float]],
    others: Sequence[tuple[Runner, float]],
    requirements: Requirements,
    *,
    wins: bool,
) -> tuple[LoadRange, ...]:
    """Where on the scale of demand it wins: around today's demand, or the nearest range below and above it.

    The rate of a replica does not depend on the demand, only the number of instances does, in whole steps.
    """
    demand = replace(requirements.demand, profile=None)
    ours, theirs = without_dominated(mine), without_dominated(others)

    def wins_at(factors: Sequence[float]) -> list[bool]:
        cases = [replace(requirements, demand=scaled(demand, factor)) for factor in factors]
        return [_ahead(cheapest(list(size(ours, one))), cheapest(list(size(theirs, one))), ties=wins) for one in cases]

    down = tuple(1 / step for step in _LOAD_STEPS)
    if wins:
        low, high = (lost_after(wins_at, 1.0, steps) for steps in (down, _LOAD_STEPS))
        return (LoadRange(low, high),)
    ranges = [_range(wins_at, steps) for steps in (down, _LOAD_STEPS)]
    return tuple(one for one in ranges if one is not None)


def _range(wins_at: Outcomes, steps: Sequence[float]) -> LoadRange | None:
    """The first range of factors from 1 on in which it wins."""
    _, first = first_turn(wins_at, steps)
    if first is None:
        return None
    last = lost_after(wins_at, first, [step for step in steps if abs(math.log(step)) > abs(math.log(first))])
    return LoadRange(last, first) if first < 1 else LoadRange(first, last)
