"""Change in its price, a target or the load that would make an instance type part of the cheapest fleet.

For one that is part of it already, it is what would make it leave. Every fleet is the planner's: of the type alone, and
of all others without it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from advisor.candidates import Matches, Rejection
from advisor.catalog import Catalog
from advisor.catalog.values import Offer, Purchase
from advisor.errors import InputError
from advisor.names import normalised, suggestion
from advisor.performance.groups import limit_words
from advisor.plan.choosing import in_every_layout, likely_fleet, recommended_fleet
from advisor.plan.explain.obstacles import Obstacle, lifted_by_share, obstacles_of
from advisor.plan.explain.settings import with_price
from advisor.plan.market import Market
from advisor.plan.options import least_costs, rank_rejections
from advisor.plan.problem.values import Allocation, FleetSolution, Infeasible, Pool, Problem, content
from advisor.plan.remedies import held_to_limits, without_budget
from advisor.plan.replay.below import at_need
from advisor.plan.replay.groups import Confirmed, name_of, worst_share
from advisor.plan.replay.validator import is_preferred
from advisor.plan.solve.objective import allocation_usd_per_month
from advisor.plan.solve.scopes import cheapest
from advisor.plan.solve.simple import simplest
from advisor.plan.solve.stage import Formulation
from advisor.plan.words import short_share_words
from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field, replace
from advisor.requirements import Requirements, demand_factors
from advisor.units import A_CENT, is_same, rounded_up

PRICE_UNKNOWN = "price_unknown"
_SUPPOSED_USD = "1"
"""Per hour, of what is sold at an unknown price."""
_PRICE_PLACES = 4
_TARGETS = ("ttft_p95_ms", "tpot_p95_ms", "e2e_p95_ms", "latency_ms")
_STEPS = (1.5, 4.0, 16.0)
_DOWN = tuple(1 / step for step in _STEPS)
FAR_RATIO = 4
"""Least cost of a type ÷ cost of the recommended fleet from which on it is not looked for among all types."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A fleet in short, by the type that serves most of it."""

    provider: str
    instance_type: str
    region: str
    purchase: str
    precision: str
    tensor_parallel: int
    instances: int
    """Of that type and way of paying, in the busiest hours."""
    usd_per_hour: float
    """Of one of them."""
    total_usd_per_month: float
    """Of the whole fleet."""
    groups: int = 1
    instances_by_class: tuple[int, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """In each of the fleet's hour classes; (): the same at all hours."""
    other_engine: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Engine that it is served by where that is not the preferred one of its accelerator; "" where it is."""
    limited_by: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Limit that keeps its replicas below what their accelerators sustain: ``network 2.5 Gbit/s``; "": none."""


@dataclass(frozen=True, slots=True)
class PriceChange:
    """The price up to which it wins, all else equal; today's at least where it wins today."""

    usd_per_hour: float
    today_usd_per_hour: float | None
    """None: not known."""
    ratio: float | None
    """To today's price: of every way of paying that the fleet uses; None where that is not known."""
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
    """Whether the recommended fleet uses it."""
    contender: Contender | None
    """The cheapest fleet of that type alone, or the recommended one; None where it cannot serve the demand."""
    rival: Contender | None
    """The cheapest fleet without it."""
    recommended_usd_per_month: float | None
    """Of the recommended fleet; None where there is none."""
    price: PriceChange | None
    targets: tuple[TargetChange, ...]
    load: tuple[LoadRange, ...]
    obstacles: tuple[Obstacle, ...]
    """Where it cannot serve the demand: why not, and what would lift that."""
    is_rival_missed: bool = field(default=False, metadata=OMITTED_AT_DEFAULT)
    """Whether the fleet without it costs less than all that the search found with it."""
    is_less_simple: bool = field(default=False, metadata=OMITTED_AT_DEFAULT)
    """Whether it costs less than the recommended fleet, which is preferred to it within ``limits.simplicity``."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A market, with what was judged on the way to it."""

    market: Market
    matches: Matches
    too_slow: tuple[Rejection, ...]
    fleet: Confirmed | None = None
    """The fleet to recommend, of a question with batch work beside its requests; None: not chosen yet."""

    def recommended(self) -> Confirmed | Infeasible | None:
        """The fleet that a plan recommends; None where nothing could serve."""
        return recommended_fleet(self.market) if self.fleet is None else self.fleet


Outcome = Callable[[float], bool]
"""A factor → what is so at it."""
Under = Callable[[Mapping[str, float], Catalog, float], Judged]
"""The question with latency targets set otherwise, of a catalog, with so many times the demand."""


def why(under: Under, catalog: Catalog, instance_type: str, region: str | None = None) -> Why:
    """Changes that would make *instance_type* (in *region*) win, or lose where it wins.

    *region*: where; any without. Raises InputError if the catalog knows no such instance type or region.
    """
    _check_names(catalog, instance_type, region)
    case = _Case(under, catalog, instance_type, region)
    fleets = case.fleets()
    obstacles = () if fleets.ours else case.obstacles()
    price = case.price(fleets)
    if any(obstacle.code == PRICE_UNKNOWN for obstacle in obstacles):
        price = _price_to_win(under, catalog, instance_type, region)
    requirements = case.judged.market.context.requirements
    targets = () if fleets.is_rival_missed else filter(case.stated, _TARGETS)
    has_load = fleets.ours and not fleets.is_rival_missed
    return Why(
        instance_type=instance_type,
        region=region,
        wins=fleets.wins,
        contender=_contender(fleets.ours, requirements) if fleets.ours else None,
        rival=_contender(fleets.theirs, requirements) if fleets.theirs else None,
        recommended_usd_per_month=fleets.recommended.usd_per_month if fleets.recommended else None,
        price=price,
        targets=tuple(case.target(name, wins=fleets.wins, obstacles=obstacles) for name in targets),
        load=case.load(wins=fleets.wins) if has_load else (),
        obstacles=obstacles,
        is_rival_missed=fleets.is_rival_missed,
        is_less_simple=fleets.is_less_simple(requirements.workload.limits.simplicity),
    )


def _price_to_win(under: Under, catalog: Catalog, instance_type: str, region: str | None) -> PriceChange | None:
    """The price up to which a type whose price is not known would win."""
    supposed = catalog.with_offers(
        with_price(offer, _SUPPOSED_USD, (Purchase.ON_DEMAND,))
        if offer.instance_type == instance_type and offer.on_demand is None
        else offer
        for offer in catalog.offers
    )
    case = _Case(under, supposed, instance_type, region)
    price = case.price(case.fleets())
    return None if price is None else replace(price, today_usd_per_hour=None, ratio=None)


def _check_names(catalog: Catalog, instance_type: str, region: str | None) -> None:
    providers = [provider for provider, name in catalog.instance_types if name == instance_type]
    if not providers:
        types = [name for _, name in catalog.instance_types]
        hint = _types_with(catalog, instance_type) or suggestion(instance_type, types)
        raise InputError(f"unknown instance type: '{instance_type}'", where="--why", hint=hint)
    regions = [name for provider in providers for name in catalog.regions_of(provider)]
    if region is not None and region not in regions:
        raise InputError(
            f"unknown region of {providers[0]}: '{region}'", where="--region", hint=suggestion(region, regions)
        )  # fmt: skip
    sold = {offer.region for offer in catalog.offers if offer.instance_type == instance_type}
    if region is not None and region not in sold:
        hint = f"sold in {', '.join(sorted(sold))}" if sold else "no region is known that sells it"
        raise InputError(f"{instance_type} is not sold in {region}", where="--region", hint=hint)


def _types_with(catalog: Catalog, accelerator: str) -> str:
    """Instance types that are sold with an accelerator, or with any form of it (H100: H100-SXM); "" where none are."""
    sold = {(offer.provider, offer.instance_type) for offer in catalog.offers}
    meant = normalised(accelerator)
    names = {
        machine.name
        for key, machine in catalog.instance_types.items()
        if key in sold and meant in _names_up_to_hyphens(machine.accelerator)
    }
    return f"it is an accelerator: name one of its types, {', '.join(sorted(names))}" if names else ""


def _names_up_to_hyphens(accelerator: str) -> set[str]:
    """Normalised name of an accelerator, and its parts up to each hyphen: of A100-80GB-SXM, A100 and A100-80GB too."""
    parts = accelerator.split("-")
    return {normalised("-".join(parts[: count + 1])) for count in range(len(parts))} - {""}


_PARTS_OF_A_RISE = (1.0, 0.5, 0.25)
SEARCHED_TO = 0.02
"""Share of the cost that the search for the cheapest fleet leaves open."""


def _price_below(usd_per_hour: float) -> float:
    places = 10**_PRICE_PLACES
    return float(math.floor(usd_per_hour * places) / places)


def _keeps_slo(confirmed: Confirmed, market: Market) -> bool:
    """Whether a fleet is more than the closest of those that no replay confirms; a run of a batch has no replay."""
    is_run = market.context.requirements.demand.batch is not None
    return is_run or worst_share(confirmed) >= market.workload.slo.within_ratio


@dataclass(frozen=True, slots=True, eq=False)
class _Fleets:
    """Confirmed fleets with a type and without it."""

    wins: bool
    recommended: Confirmed | None
    ours: Confirmed | None
    """Of the type alone."""
    theirs: Confirmed | None
    """Of all others."""

    @property
    def is_rival_missed(self) -> bool:
        """Whether the fleet of all others costs less than the cheapest that the type is recommended for."""
        if not self.wins or self.recommended is None or self.theirs is None:
            return False
        cheapest = self.recommended.cheapest or self.recommended
        return self.theirs.usd_per_month < cheapest.usd_per_month - A_CENT

    def is_less_simple(self, simplicity: float) -> bool:
        """Whether the fleet of the type costs less, and so little that one of others is preferred to it."""
        if self.wins or self.ours is None or self.theirs is None:
            return False
        ours, theirs = self.ours, self.theirs
        costs_little_more = ours.usd_per_month < theirs.usd_per_month <= ours.usd_per_month * (1 + simplicity)
        return costs_little_more and is_preferred(theirs, ours)


class _Case:
    """One instance type against all others."""

    def __init__(self, under: Under, catalog: Catalog, instance_type: str, region: str | None) -> None:
        """Write the question down as it is asked."""
        self._under, self._catalog, self._type, self._region = under, catalog, instance_type, region
        self.judged = under({}, catalog, 1.0)
        current = self.judged.market.context.requirements.workload.current
        types = {instance_type, instance_type if current is None else current.instance_type}
        self._few_offers = catalog.with_offers(offer for offer in catalog.offers if offer.instance_type in types)
        """Of the type and of what runs today."""
        self._wins_now = False
        self._refused: Confirmed | None = None
        """The fleet of the type that comes closest, where its replay refuses every one."""
        self._too_dear: Confirmed | None = None
        """The fleet of the type, where it costs more than the budget."""
        self._most_usd = math.inf
        """Cost of the recommended fleet, which looser targets or less demand do not raise; infinite without one."""

    def fleets(self) -> _Fleets:
        """The fleets that are compared."""
        market = self.judged.market
        recommended = self.judged.recommended()
        confirmed = recommended if isinstance(recommended, Confirmed) and _keeps_slo(recommended, market) else None
        self._most_usd = math.inf if confirmed is None else confirmed.usd_per_month
        wins = self._wins_now = confirmed is not None and self.uses(confirmed.solution)
        ours = confirmed if confirmed and self.is_of(confirmed.solution) else self._planned(own=True) or self._own()
        theirs = self._planned(own=False) if wins else confirmed
        return _Fleets(wins, confirmed, ours, theirs)

    def _planned(self, *, own: bool) -> Confirmed | None:
        """The fleet that a plan with the offers of the type alone recommends, or with all others; None without any."""
        sold = self._catalog.with_offers(offer for offer in self._catalog.offers if self._is_meant(offer) == own)
        try:
            judged = self._under({}, sold, 1.0)
        except InputError:
            return None
        fleet = judged.recommended()
        return fleet if isinstance(fleet, Confirmed) and fleet.confirmation.reached else None

    def price(self, fleets: _Fleets) -> PriceChange | None:
        """The price up to which it wins; None where nothing is to be compared, or the search missed a cheaper fleet."""
        fleet = fleets.recommended if fleets.wins else fleets.ours
        if fleet is None or fleets.theirs is None or fleets.is_rival_missed:
            return None
        ratio = price_up_to(fleet, fleets.theirs, self.is_meant, wins=fleets.wins)
        if ratio is None:
            return None
        main = _main(
            [allocation for allocation in fleet.solution.allocations if self.is_meant(allocation.pool)],
            fleet.formulation.problem,
        )
        today = main.tariff.usd_per_hour
        usd_per_hour = _price_below(ratio * today)
        if fleets.wins and usd_per_hour > today:
            usd_per_hour = self._price_kept(today, usd_per_hour)
        usd_per_hour = max(usd_per_hour, today) if fleets.wins else usd_per_hour
        return PriceChange(usd_per_hour, today, usd_per_hour / today, main.instances[-1])

    def _price_kept(self, today: float, most: float) -> float:
        """The highest of a few prices, up to the most that the costs of the fleets allow, at which a plan has the type.

        At another price the search begins elsewhere, and may end at a fleet without it that costs more.
        """
        tried = (_price_below(today + part * (most - today)) for part in _PARTS_OF_A_RISE)
        return next((usd for usd in tried if self._recommended_at(usd * (1 - SEARCHED_TO) / today)), today)

    def _recommended_at(self, ratio: float) -> bool:
        """Whether a plan recommends the type at so many times its prices."""
        supposed = self._catalog.with_offers(
            with_price(offer, f"{ratio:.6f}x", (Purchase.ON_DEMAND, Purchase.SPOT)) if self._is_meant(offer) else offer
            for offer in self._catalog.offers
        )
        fleet = self._under({}, supposed, 1.0).recommended()
        return isinstance(fleet, Confirmed) and self.uses(fleet.solution)

    def _is_meant(self, offer: Offer) -> bool:
        return offer.instance_type == self._type and self._region in (None, offer.region)

    def is_meant(self, pool: Pool) -> bool:
        """Whether a pool is of the type, in the region if one is named."""
        _, region, name = pool.type_in_region.split("/", 2)
        return name == self._type and self._region in (None, region)

    def uses(self, solution: FleetSolution) -> bool:
        """Whether a fleet uses the type."""
        return any(self.is_meant(allocation.pool) for allocation in solution.allocations)

    def is_of(self, solution: FleetSolution) -> bool:
        """Whether a fleet uses the type and no other."""
        return all(self.is_meant(allocation.pool) for allocation in solution.allocations)

    def _own(self) -> Confirmed | None:
        """The fleet of the type alone, in layouts that others beat by the closed form where those fail their replay."""
        market = self.judged.market
        fleet = self._confirmed(market.formulation)
        if fleet is None and self._refused is not None:
            fleet = self._confirmed(in_every_layout(market))
            self._refused = self._refused if fleet is None else None
        return fleet

    def _confirmed(self, formulation: Formulation) -> Confirmed | None:
        """The fleet to recommend of the type alone; one that is refused, or beyond the budget, is kept to be told."""
        only = formulation.of(filter(self.is_meant, formulation.problem.pools))
        if not only.problem.pools:
            return None
        market, limits = self.judged.market, only.problem.limits
        validator = market.validator.within(without_budget(only), market.context)
        confirmed = validator.confirmed()
        if not isinstance(confirmed, Confirmed):
            return None
        if not confirmed.confirmation.reached:
            self._refused = validator.in_full(confirmed)
            return None
        most_usd = math.inf if limits.max_usd_per_month is None else limits.max_usd_per_month
        if confirmed.usd_per_month > most_usd + A_CENT:
            self._too_dear = confirmed
            return None
        best = validator.simplest(confirmed, most_usd)
        return replace(best, formulation=held_to_limits(best.formulation, limits))

    def stated(self, name: str) -> float | None:
        """A latency target of the workload."""
        value: float | None = getattr(self.judged.market.workload.slo, name)
        return value

    def target(self, name: str, *, wins: bool, obstacles: Sequence[Obstacle]) -> TargetChange:
        """The nearest looser and the nearest tighter value at which the outcome turns.

        Where its lone requests miss the target, the first that is looked at is the one that they keep.
        """
        stated = self.stated(name) or 0.0
        code = f"slo_{name.removesuffix('_ms').removesuffix('_p95')}"
        kept = next(
            (
                each.available
                for each in obstacles
                if each.code == code and isinstance(each.needed, int | float) and is_same(each.needed, stated)
            ),
            None,
        )

        def turns(factor: float) -> bool:
            return self._wins({name: stated * factor}, 1.0) != wins

        start = rounded_up(kept) / stated if isinstance(kept, float) else 1.0
        steps = [step for step in _STEPS if step > start]
        looser = start if start > 1 and turns(start) else first_turn(turns, steps, start)[1]
        _, tighter = first_turn(turns, _DOWN)
        return TargetChange(
            target=name.removesuffix("_ms"),
            stated_ms=stated,
            looser_ms=stated * looser if looser else None,
            tighter_ms=stated * tighter if tighter else None,
        )

    def _wins(self, targets_ms: Mapping[str, float], demand_factor: float) -> bool:
        """Whether the fleet that is likely to be recommended uses the type: replayed where the closed form turns."""
        if not self._wins_now and self._is_far(targets_ms, demand_factor):
            return False
        try:
            market = self._under(targets_ms, self._catalog, demand_factor).market
        except InputError:  # more demand than is planned for, or a stated peak below the rate of the users
            return False
        if content(market.formulation.problem) == content(self.judged.market.formulation.problem):
            return self._wins_now
        if not any(self.is_meant(pool) for pool in market.formulation.problem.pools):
            return False
        formulation = self.judged.market.validator.with_known_headroom(market.formulation)
        if not any(self.is_meant(pool) for pool in formulation.problem.pools):
            formulation = (
                market.formulation
            )  # its replays failed whatever the headroom, under the targets that are stated
        likely = cheapest(formulation.problem)
        uses = isinstance(likely, FleetSolution) and self.uses(simplest(formulation.problem, likely))
        if uses == self._wins_now:
            return uses
        confirmed = likely_fleet(market)
        return isinstance(confirmed, Confirmed) and self.uses(confirmed.solution)

    def _is_far(self, targets_ms: Mapping[str, float], demand_factor: float) -> bool:
        """Whether the type cannot serve, or takes far more than as many of the recommended fleets as the demand asks.

        It is judged by itself, at a fraction of the time that all types take. Of tighter targets, and of more demand
        where quotas hold a fleet back, what the recommended fleet costs says nothing, nor where these offers alone
        are not what the workload holds to.
        """
        try:
            market = self._under(targets_ms, self._few_offers, demand_factor).market
        except InputError:
            return False
        own = market.formulation.of(pool for pool in market.formulation.problem.pools if self.is_meant(pool)).problem
        if not own.pools:
            return True
        is_tighter = any(target < (self.stated(name) or math.inf) for name, target in targets_ms.items())
        if is_tighter or (demand_factor > 1 and own.quota_limits):
            return False
        most_usd = self._most_usd * max(math.ceil(demand_factor), 1)
        return min((usd for usd, _, _ in least_costs(own)), default=math.inf) > FAR_RATIO * most_usd

    def load(self, *, wins: bool) -> tuple[LoadRange, ...]:
        """Ranges of demand in which it wins: around today's demand, or the nearest range below and above it."""
        wins_at = partial(self._wins, {})
        requirements = self.judged.market.context.requirements
        least, most = demand_factors(requirements.workload, requirements.demand)
        both = [[step for step in steps if least <= step <= most] for steps in (_DOWN, _STEPS)]
        if wins:
            low, high = (lost_after(wins_at, 1.0, steps) for steps in both)
            return (LoadRange(low, high),)
        ranges = [_range(wins_at, steps) for steps in both]
        return tuple(range_ for range_ in ranges if range_ is not None)

    def obstacles(self) -> tuple[Obstacle, ...]:
        """Why no fleet of the type serves the demand; a price unknown elsewhere is not a reason where it is sold."""
        market = self.judged.market
        own = market.formulation.of([pool for pool in market.formulation.problem.pools if self.is_meant(pool)])
        rejections = [
            *self.judged.matches.rejections,
            *self.judged.too_slow,
            *market.formulation.pool_set.rejections,
            *rank_rejections(without_budget(own)),
        ]
        place = (self._type, self._region)
        obstacles = obstacles_of(rejections, market.context.requirements, self._catalog, place)
        if own.problem.pools:
            obstacles = tuple(obstacle for obstacle in obstacles if obstacle.code != PRICE_UNKNOWN)
        requirements = market.context.requirements
        refused = () if self._refused is None else (_replay_obstacle(self._refused, requirements),)
        dear = () if self._too_dear is None else (_budget_obstacle(self._too_dear, requirements),)
        return (*refused, *dear, *obstacles)


def _replay_obstacle(refused: Confirmed, requirements: Requirements) -> Obstacle:
    """Obstacle that the replay of the closest fleet finds too few requests within the SLO."""
    fleet, slo = _contender(refused, requirements), requirements.workload.slo
    share, kept = worst_share(refused), short_share_words(refused.confirmation, slo)
    several = f" on {fleet.tensor_parallel} accelerators" if fleet.tensor_parallel > 1 else ""
    message = (
        f"no number of {fleet.instance_type} {fleet.precision}{several} was found that serves this alone: replaying "
        f"the closest fleet finds {kept}"
    )
    lifted_by = lifted_by_share(share, refused.confirmation.unavoidable_late_ratio)
    return Obstacle("replay", 1, slo.within_ratio, share, "share of requests", message, lifted_by)


def _budget_obstacle(confirmed: Confirmed, requirements: Requirements) -> Obstacle:
    """Obstacle that the fleet of the type costs more than the budget, and the least budget in whole USD that it keeps.

    No other is tried within the budget: the search for the cheapest fleet has none.
    """
    fleet, stated = _contender(confirmed, requirements), requirements.workload.limits.max_usd_per_month
    several = f" on {fleet.tensor_parallel} accelerators" if fleet.tensor_parallel > 1 else ""
    message = (
        f"{fleet.instances} × {fleet.instance_type} in {fleet.region} {fleet.precision}{several}: alone, "
        f"{fleet.purchase.replace('_', ' ')}, it takes {fleet.total_usd_per_month:,.2f} USD/month as its replay "
        f"confirms it, and limits.max_usd_per_month allows {stated:,.2f} USD/month"
    )
    lifted_by = f"limits.max_usd_per_month={math.ceil(round(fleet.total_usd_per_month, 2))}"
    return Obstacle("budget", 1, fleet.total_usd_per_month, stated, "USD/month", message, lifted_by)


def _contender(confirmed: Confirmed, requirements: Requirements) -> Contender:
    confirmed = at_need(confirmed)
    main = _main(confirmed.solution.allocations, confirmed.formulation.problem)
    candidate = confirmed.formulation.pool_set.sources[main.pool.key].served.candidate
    return Contender(
        **fleet_in_short(confirmed),
        other_engine=candidate.engine if main.pool.is_beside else "",
        usd_per_hour=main.tariff.usd_per_hour,
        limited_by=limit_words(candidate, confirmed.planned_rates()[name_of(main)], requirements),
    )


def fleet_in_short(confirmed: Confirmed) -> dict[str, Any]:
    """Fields of a fleet's cost and of the type that most of it is spent on, as :class:`Contender` names them."""
    main = _main(confirmed.solution.allocations, confirmed.formulation.problem)
    source = confirmed.formulation.pool_set.sources[main.pool.key]
    return {
        "provider": source.offer.provider,
        "region": source.offer.region,
        "instance_type": source.offer.instance_type,
        "purchase": main.tariff.paid.value,
        "precision": source.served.candidate.precision,
        "tensor_parallel": source.served.candidate.tensor_parallel,
        "instances": main.instances[-1],
        "instances_by_class": main.instances if len(set(main.instances)) > 1 else (),
        "total_usd_per_month": confirmed.solution.objective_usd_per_month,
        "groups": len(confirmed.solution.allocations),
    }


def _main(allocations: Sequence[Allocation], problem: Problem) -> Allocation:
    return max(allocations, key=lambda allocation: (allocation_usd_per_month(problem, allocation), allocation.pool.key))


def _range(wins_at: Outcome, steps: Sequence[float]) -> LoadRange | None:
    """The first range of factors from 1 on in which it wins."""
    _, first = first_turn(wins_at, steps)
    if first is None:
        return None
    last = lost_after(wins_at, first, [step for step in steps if abs(math.log(step)) > abs(math.log(first))])
    return LoadRange(last, first) if first < 1 else LoadRange(first, last)


PARTS = 4
"""Equal in the logarithm, that the step of a turn is divided into."""


def lost_after(wins: Outcome, factor: float, steps: Sequence[float]) -> float | None:
    """The last factor at which it still wins; None: it wins as far as was looked."""
    same, lost = first_turn(lambda at: not wins(at), steps, factor)
    return None if lost is None else same


def first_turn(turns: Outcome, steps: Sequence[float], start: float = 1.0) -> tuple[float, float | None]:
    """The last factor as at *start* and the first that is not; None where there is none.

    *turns*: whether the outcome is another one at a factor. *start*: where the outcome is as it is.
    """
    same, turned = _first(start, steps, turns)
    if turned is None:
        return same, None
    inner = [same * (turned / same) ** (part / PARTS) for part in range(1, PARTS)]
    same, nearer = _first(same, inner, turns)
    return same, turned if nearer is None else nearer


def _first(same: float, factors: Sequence[float], turns: Outcome) -> tuple[float, float | None]:
    for factor in factors:
        if turns(factor):
            return same, factor
        same = factor
    return same, None


@dataclass(frozen=True, slots=True)
class _Line:
    """USD a month that a fleet costs as the price of a type changes, all else equal."""

    usd: float
    """At today's price."""
    of_type_usd: float = 0.0
    """Of that the compute of the type, which changes with its price."""

    def times(self, factor: float) -> "_Line":
        """Line multiplied by *factor*."""
        return _Line(self.usd * factor, self.of_type_usd * factor)

    def ratio_below(self, other: "_Line") -> float:
        """The ratio to today's price from which on it is above another line; infinite where that rises as fast."""
        steeper = self.of_type_usd - other.of_type_usd
        return 1 + (other.usd - self.usd) / steeper if steeper > 0 else math.inf


def price_up_to(fleet: Confirmed, theirs: Confirmed, is_meant: Callable[[Pool], bool], *, wins: bool) -> float | None:
    """The price of a type ÷ today's up to which a fleet that uses it is recommended; None where it costs nothing.

    What is recommended today is so up to today's price at least: as long as it is within ``limits.simplicity`` of the
    cheapest fleet that uses the type, and its rival is not, or is not preferred to it. *fleet*: the recommended fleet
    where the type wins, else the cheapest of the type alone. *theirs*: the fleet to prefer of all others.
    """
    own = _line(fleet, is_meant)
    if own.of_type_usd <= 0:
        return None
    most = 1 + fleet.formulation.problem.limits.simplicity
    ratio = own.ratio_below(_Line(_most_usd(fleet, theirs, most)))
    if not wins:
        return max(ratio, 0.0)
    least = _line(fleet.cheapest or fleet, is_meant)
    if least.of_type_usd > 0:
        ratio = max(ratio, least.ratio_below(_Line(theirs.usd_per_month / most)))
    return max(min(ratio, own.ratio_below(least.times(most))), 1.0)


def _line(fleet: Confirmed, is_meant: Callable[[Pool], bool]) -> _Line:
    of_type = (allocation for allocation in fleet.solution.allocations if is_meant(allocation.pool))
    problem = fleet.formulation.problem
    return _Line(
        fleet.usd_per_month, math.fsum(allocation_usd_per_month(problem, allocation) for allocation in of_type)
    )


def _most_usd(fleet: Confirmed, rival: Confirmed, most: float) -> float:
    """Highest cost at which a fleet is preferred to a rival; a simpler one may cost *most* times the cheapest."""
    if is_preferred(fleet, rival):
        return (rival.cheapest or rival).usd_per_month * most
    return rival.usd_per_month / most if is_preferred(rival, fleet) else rival.usd_per_month
