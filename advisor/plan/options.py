"""Fleets of one instance type and way of paying, ranked: the same pools, rates and replay as the recommended fleet."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, partial
from heapq import nsmallest

import numpy as np

from advisor.candidates import Rejection, Shortfall, reject_candidate
from advisor.plan.problem.charges import alone_usd_per_month, way_of
from advisor.plan.problem.constraints import most_headroom
from advisor.plan.problem.formulas import hours_per_month, least_instances, mix_rate, requests_per_month
from advisor.plan.problem.limits import Constraint
from advisor.plan.problem.values import FleetSolution, Floats, Pool, Problem, PurchaseOption, Tariff
from advisor.plan.replay.below import at_need
from advisor.plan.replay.groups import clearly_cheaper, closer, worst_share
from advisor.plan.replay.headroom import Kind, kind_of
from advisor.plan.replay.validator import Confirmed, ReplayValidator
from advisor.plan.solve.alone import Missed, alone, load_of
from advisor.plan.solve.simple import preference
from advisor.plan.solve.stage import Formulation, PlanningContext
from advisor.records import dataclass, replace
from advisor.units import A_CENT, ratio_words, unit_words
from advisor.workload.values import Slo

MOST_REPLAYED = 24
"""Options that are replayed at most: those that are shown first, and those that would be cheaper than the fleet."""
_BOUGHT = {
    PurchaseOption.ON_DEMAND: "on demand",
    PurchaseOption.SPOT: "on spot",
    PurchaseOption.COMMITMENT: "committed",
    PurchaseOption.MANAGED: "as endpoints",
    PurchaseOption.SERVERLESS: "as a service",
}
_LIMITS = {
    Constraint.COMMITMENT_LOW_BAND: "the low edge of the forecast, without limits.commit_beyond_forecast,",
}
"""Limits that their key does not say."""
Offered = tuple[str, PurchaseOption]
"""Provider, region and instance type, and way of paying for it."""


@dataclass(frozen=True, slots=True, eq=False)
class Single:
    """An option before it is ranked."""

    pool: Pool
    """As planned, with the headroom that its replay asked for."""
    tariff: Tariff
    solution: FleetSolution
    confirmed: Confirmed | None = None
    """None: not replayed."""
    is_searched: bool = False
    """Whether its fleet is that of a search of its own question: see :func:`refined`."""

    @property
    def offer(self) -> Offered:
        """Type in its region, and way of paying for it: what there is one option of."""
        return self.pool.type_in_region, self.tariff.paid

    @property
    def usd_per_month(self) -> float:
        """Total in USD a month."""
        return self.solution.objective_usd_per_month

    @property
    def instances(self) -> tuple[int, ...]:
        """Instances in each hour class."""
        return self.solution.allocations[0].instances


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Options in the order of their cost, and why others are none."""

    singles: tuple[Single, ...]
    rejections: tuple[Rejection, ...]
    closest: Confirmed | None = None
    """Option that comes closest to holding, of those that their replays refuse; None where none was replayed."""

    @property
    def all_confirmed(self) -> list[Confirmed]:
        """Fleets of the options whose replay holds."""
        return [single.confirmed for single in self.singles if single.confirmed is not None]

    @property
    def cheapest_confirmed(self) -> Confirmed | None:
        """The cheapest of those whose replay holds; None where none does."""
        return min(self.all_confirmed, key=lambda fleet: fleet.usd_per_month, default=None)

    def first(self, most: int | None) -> "Ranking":
        """The cheapest of them; all without a number."""
        return Ranking(self.singles[:most], self.rejections)

    def within(self, budget_usd: float | None, formulation: Formulation) -> "Ranking":
        """The options within a budget; the others are rejected. All without a budget."""
        if budget_usd is None:
            return self
        kept = tuple(single for single in self.singles if single.usd_per_month <= budget_usd + A_CENT)
        whole = self.with_sources(formulation)
        beyond = (
            _rejection(
                whole,
                dear.pool,
                dear.tariff,
                Missed(Constraint.BUDGET, dear.usd_per_month, budget_usd, "USD/month"),
                "by the closed form" if dear.confirmed is None else "as its replay confirms it",
            )
            for dear in self.singles
            if dear not in kept
        )
        return Ranking(kept, (*self.rejections, *beyond))

    def with_sources(self, formulation: Formulation) -> Formulation:
        """The question with the pools of confirmed options too: a preferred precision may be one that others outdo."""
        pool_set = formulation.pool_set
        beside = {
            single.pool.key: single.confirmed.formulation.pool_set.sources[single.pool.key]
            for single in self.singles
            if single.confirmed is not None and single.pool.key not in pool_set.sources
        }
        if not beside:
            return formulation
        return replace(formulation, pool_set=replace(pool_set, sources={**pool_set.sources, **beside}))

    def with_fleet(self, confirmed: Confirmed) -> "Ranking":
        """The same with a confirmed fleet of one type and way of paying, which is an option, at what it costs.

        So is the cheapest fleet that it is preferred to, where that is of another type or way of paying.
        """
        cheapest = confirmed.cheapest
        if cheapest is None or _offer_of(cheapest) in (None, _offer_of(confirmed)):
            return _with(self, confirmed)
        return _with(_with(self, cheapest), confirmed)


def rank(
    formulation: Formulation,
    validator: ReplayValidator,
    context: PlanningContext,
    fleet: Confirmed | None,
    shown: int,
    *,
    every_variant: bool = False,
) -> Ranking:
    """Every pool and way of paying as a fleet of its own; those that are shown, or cheaper than a fleet, replayed.

    *fleet*: a fleet that was found; what costs less is replayed, and its kinds carry what they do in it. *shown*: so
    many of the cheapest are replayed.
    """
    carried = {} if fleet is None else validator.carried_beyond(fleet)
    limit_usd = 0.0 if fleet is None else fleet.usd_per_month - A_CENT
    most = context.effort.options
    at_known = _at_known(formulation, carried) if carried else formulation
    singles, rejections = _singles(at_known, None if most is None else most + MOST_REPLAYED)
    order = cache(partial(_order, formulation=formulation, context=context))
    simplicity = formulation.problem.limits.simplicity

    def rows(layouts: Sequence[Single]) -> Sequence[Single]:
        return layouts if every_variant else sorted(_of_each_offer(layouts, simplicity), key=order)

    replays = _Replays(formulation, validator, context, carried, order)
    ranked, unconfirmed = replays.replayed(sorted(singles, key=order), rows, limit_usd, shown)
    return Ranking(tuple(ranked), (*rejections, *unconfirmed), replays.closest)


def refined(
    ranking: Ranking, formulation: Formulation, validator: ReplayValidator, context: PlanningContext
) -> Ranking:  # fmt: skip
    """The ranking with the options that were replayed as the questions of their type and way of paying alone have them.

    Where hours differ a whole search has fewer instances in quieter hours than the bisection that ranks them. So may
    one of the recommended type alone have: a search among many types ends near the fleets that it began with.
    """
    if len(formulation.problem.hours) == 1 or not context.effort.in_full:
        return ranking
    pools = {pool.key: pool for pool in formulation.problem.pools}

    def alone_of(single: Single) -> Single:
        if single.confirmed is None or single.is_searched or single.pool.key not in pools:
            return single
        pool = replace(pools[single.pool.key], tariffs=(single.tariff,))
        search = validator.within(formulation.of([pool]), context).apart()
        fleet = clearly_cheaper(single.confirmed, search.confirmed(single.confirmed, refined=True))
        own = single if fleet is single.confirmed else _as_planned(formulation, pool, single.tariff, fleet)
        return replace(own, is_searched=True)

    singles = sorted(map(alone_of, ranking.singles), key=lambda single: single.usd_per_month)
    return replace(ranking, singles=tuple(singles))


def _at_known(formulation: Formulation, carried: Mapping[Kind, float]) -> Formulation:
    """The question with what replays showed that kinds of replicas sustain."""
    sources = formulation.pool_set.sources
    return formulation.of(
        pool.slower(carried.get(kind_of(sources[pool.key].served.candidate), 1.0)) for pool in formulation.problem.pools
    )


def rank_rejections(formulation: Formulation) -> tuple[Rejection, ...]:
    """Why pools are not a fleet of their own, in any way of paying."""
    return tuple(_singles(formulation)[1])


def _singles(formulation: Formulation, most: int | None = None) -> tuple[list[Single], list[Rejection]]:
    """Every pool and way of paying by itself, or what no number of its instances keeps to.

    *most*: so many offers and ways of paying are enough, the cheapest: what cannot be among them is left out.
    """
    singles: list[Single] = []
    rejections: dict[Rejection, None] = {}
    best: dict[Offered, float] = {}
    for least_usd, pool, tariff in least_costs(formulation.problem):
        if most is not None and len(best) >= most and nsmallest(most, best.values())[-1] < least_usd - A_CENT:
            break
        fleet = alone(formulation.problem, pool, tariff)
        if isinstance(fleet, Missed):
            rejections[_rejection(formulation, pool, tariff, fleet)] = None
            continue
        singles.append(single := Single(pool, tariff, fleet))
        best[single.offer] = min(single.usd_per_month, best.get(single.offer, math.inf))
    return singles, list(rejections)


def least_costs(problem: Problem) -> list[tuple[float, Pool, Tariff]]:
    """Pools and ways of paying with USD a month that no fleet of them is below, least first: hours, answers, region."""
    hours = np.array([hours_per_month(hour) for hour in problem.hours])
    every, planned = float(hours.sum()), np.array([hour.planned_rate for hour in problem.hours])
    answers, standing = sum(map(requests_per_month, problem.hours)), alone_usd_per_month(problem)
    priced: list[tuple[float, Pool, Tariff]] = []
    for pool, counts in zip(problem.pools, _least_counts(problem, planned), strict=True):
        running = float(counts @ hours)
        for tariff in pool.tariffs:
            if tariff.paid is not PurchaseOption.OWNED:
                hourly = float(counts @ (hours * tariff.active_ratios)) if tariff.active_ratios else running
                usd = tariff.all_usd_per_hour * (float(counts.max()) * every if tariff.paid.always else hourly)
                usd += pool.usd_per_request * answers + standing[way_of(pool, tariff)]
                priced.append((usd, pool, tariff))
    return sorted(priced, key=lambda priced_pool: priced_pool[0])


def _least_counts(problem: Problem, planned: Floats) -> Floats:
    """Instances of each pool at least: for its load, and beside one that fails; infinite where none will do.

    *planned*: requests per second of the hour classes. The result has shape (pools, classes).
    """
    loads = np.array([load_of(problem, pool, 1.0) for pool in problem.pools])
    rates = np.array([mix_rate(problem, pool) for pool in problem.pools])
    with np.errstate(invalid="ignore", divide="ignore"):  # no load on a pool that serves none
        counts = least_instances(problem, planned, rates, loads)
    return np.where(np.isfinite(loads)[:, None], counts, math.inf)


def _amount(number: float, unit: str) -> str:
    """``1 accelerator``, ``2 accelerators``, ``1,234.50 USD/month``; of shares the number alone."""
    digits = ",.2f" if unit.startswith("USD") else ",.6g"
    return f"{number:{digits}}" if unit.startswith("share") else f"{number:{digits}} {unit_words(unit, number)}"


def _rejection(
    formulation: Formulation, pool: Pool, tariff: Tariff, missed: Missed, shown_by: str = "by the closed form"
) -> Rejection:
    source = formulation.pool_set.sources[pool.key]
    needed, available = (_amount(number, missed.unit) for number in (missed.needed, missed.available))
    alone_so = f"alone {_BOUGHT.get(tariff.paid, tariff.paid.value)}"
    limit = _LIMITS.get(missed.constraint, missed.constraint.set_by)
    reason = f"{alone_so} it takes {needed} {shown_by}, and {limit} allows {available}"
    if missed.constraint.row.is_floor:
        reason = f"{alone_so} it gives {available} {shown_by}, and {limit} asks for {needed}"
    shortfall = Shortfall(missed.constraint.code, missed.unit, missed.needed, missed.available, reason)
    return reject_candidate(source.served.candidate, shortfall, source.offer.region)


def _offer_of(confirmed: Confirmed) -> Offered | None:
    """Type and way of paying of a fleet that is an option: of one type, bought in one way; None of any other."""
    first, *others = confirmed.solution.allocations
    if others or first.tariff.paid is PurchaseOption.OWNED:
        return None
    return first.pool.type_in_region, first.tariff.paid


def _with(ranking: Ranking, confirmed: Confirmed) -> Ranking:
    """The same with a fleet, in place of another of its type and way of paying that costs more."""
    confirmed = at_need(confirmed)
    offer, first = _offer_of(confirmed), confirmed.solution.allocations[0]
    if offer is None or not confirmed.confirmation.reached:
        return ranking
    same = sorted(
        (single for single in ranking.singles if single.offer == offer),
        key=lambda single: single.pool.key != first.pool.key,
    )[:1]
    is_searched = any(single.is_searched for single in same)
    own = Single(first.pool, first.tariff, confirmed.solution, confirmed, is_searched=is_searched)
    if same and (same[0].pool.key, same[0].instances) == (first.pool.key, first.instances):
        return replace(ranking, singles=tuple(own if single is same[0] else single for single in ranking.singles))
    if same and same[0].usd_per_month <= confirmed.usd_per_month + A_CENT:
        return ranking
    singles = sorted(
        (own, *(single for single in ranking.singles if single not in same)), key=lambda single: single.usd_per_month
    )
    refused = _replay_refusal(confirmed.formulation, first.pool, Slo(), 1.0, 0.0)
    rejections = (rejection for rejection in ranking.rejections if not _is_of(rejection, refused))
    return Ranking(tuple(singles), tuple(rejections))


def _of_each_offer(singles: Iterable[Single], simplicity: float) -> list[Single]:
    """The preferred of each provider × region × instance type × way of paying, as a fleet is preferred to others.

    *singles*: the cheapest first. *simplicity*: how much more than the cheapest of its offer it may cost, as a ratio.
    """
    offers: dict[Offered, list[Single]] = {}
    for single in singles:
        layouts = offers.setdefault(single.offer, [])
        if not layouts or single.usd_per_month <= layouts[0].usd_per_month * (1 + simplicity):
            layouts.append(single)
    return [min(layouts, key=lambda single: preference(single.solution)) for layouts in offers.values()]


Order = tuple[float, bool, int, bool, float, str, str]
Rows = Callable[[Sequence[Single]], Sequence[Single]]
"""Layouts in the order of their cost → those that are options."""


def _order(single: Single, formulation: Formulation, context: PlanningContext) -> Order:
    """Sort key: cost; of equals uncut accelerators, the first precision, the preferred engine, most spare capacity."""
    candidate = formulation.pool_set.sources[single.pool.key].served.candidate
    order = context.requirements.workload.precisions
    capacity = single.instances[-1] * mix_rate(formulation.problem, single.pool)
    return (
        single.usd_per_month, candidate.partition != "", candidate.rank_in(order), single.pool.is_beside, -capacity,
        single.pool.key, single.tariff.paid.value,
    )  # fmt: skip


class _Replays:
    """Replays of options, the cheapest first; what one shows of a kind of replica holds for all of its kind."""

    def __init__(
        self,
        formulation: Formulation,
        validator: ReplayValidator,
        context: PlanningContext,
        carried: Mapping[Kind, float],
        order: Callable[[Single], Order],
    ) -> None:
        """Know of kinds what a confirmed fleet has shown."""
        self._formulation, self._validator, self._context, self._order = (
            formulation,
            validator,
            context,
            order,
        )
        self._pools = {pool.key: pool for pool in formulation.problem.pools}
        self._headroom = dict(carried)
        self._left = MOST_REPLAYED
        self.closest: Confirmed | None = None
        """Option that comes closest to holding, of those that no number of instances makes hold."""
        self._rejections: list[Rejection] = []

    def replayed(
        self, singles: Sequence[Single], rows: Rows, limit_usd: float, shown: int
    ) -> tuple[Sequence[Single], list[Rejection]]:
        """The options in the order of their cost, with the headroom that replays asked for.

        *singles*: in every layout. *rows*: the options of them, by what is known of their costs so far: another layout
        takes the place of one that its replay refuses, or confirms at more.
        """
        ranked = list(singles)
        while self._left:
            options = enumerate(rows(ranked))
            single = next((single for at, single in options if self._wanted(at, single, limit_usd, shown)), None)
            if single is None:
                break
            ranked.remove(single)
            before = dict(self._headroom)
            replayed = self._replay(single)
            raised = {kind for kind, factor in self._headroom.items() if factor != before.get(kind)}
            others = (self._with_headroom(other, raised) for other in ranked)
            ranked = sorted((option for option in (replayed, *others) if option is not None), key=self._order)
        return rows(ranked), self._rejections

    def _wanted(self, at: int, single: Single, limit_usd: float, shown: int) -> bool:
        return single.confirmed is None and (at < shown or single.usd_per_month < limit_usd)

    def _replay(self, single: Single) -> Single | None:
        """The option as its replay confirms it; None, and a rejection, where no number of instances is confirmed."""
        self._left -= 1
        pool = self._pools[single.pool.key]
        confirmed = self._validator.alone(self._formulation.of([replace(pool, tariffs=(single.tariff,))]))
        if (
            isinstance(confirmed, Confirmed)
            and confirmed.confirmation.reached
            and len(confirmed.solution.allocations) == 1
        ):
            kind, shown = self._validator.kind_of(pool.key), _headroom_shown(self._formulation, pool, confirmed)
            self._headroom[kind] = max(self._headroom.get(kind, shown), shown)
            return _as_planned(self._formulation, pool, single.tariff, confirmed)
        kept = unavoidable = 0.0
        if isinstance(confirmed, Confirmed):
            if not confirmed.confirmation.reached and closer(self.closest, confirmed) is confirmed:
                confirmed = self._validator.in_full(confirmed)
                self.closest = closer(self.closest, confirmed)
            kept, unavoidable = worst_share(confirmed), confirmed.confirmation.unavoidable_late_ratio
        slo = self._context.requirements.workload.slo
        needed = slo.rehearsed_ratio_beside(unavoidable)
        self._rejections.append(_replay_refusal(self._formulation, pool, slo, needed, kept))
        return None

    def _with_headroom(self, single: Single, raised: Collection[Kind]) -> Single | None:
        """An option at what a replay has just shown of its kind; as it is where it was replayed, or of other kinds."""
        kind = self._validator.kind_of(single.pool.key) if raised and single.confirmed is None else None
        if kind is None or kind not in raised:
            return single
        pool = self._pools[single.pool.key]
        planned = pool.slower(self._headroom[kind])
        fleet = alone(self._formulation.problem, planned, single.tariff)
        if isinstance(fleet, Missed):
            self._rejections.append(_rejection(self._formulation, pool, single.tariff, fleet))
            return None
        return Single(planned, single.tariff, fleet)


def _as_planned(formulation: Formulation, pool: Pool, tariff: Tariff, confirmed: Confirmed) -> Single:
    """A confirmed option whose instances are planned to carry what the recommended fleet's are.

    Where they carry more than the closed form says, that is as much as is asked of them, whatever a failure leaves.
    """
    solution = confirmed.solution
    factor = confirmed.confirmation.headroom_factor
    if factor < 1:
        usual = replace(solution.allocations[0], pool=pool)
        room = most_headroom(formulation.problem, replace(solution, allocations=(usual,)))
        planned = replace(usual, pool=pool.slower(min(max(room, factor), 1.0)))
        solution = replace(solution, allocations=(planned,))
    return Single(solution.allocations[0].pool, tariff, solution, confirmed)


def _headroom_shown(formulation: Formulation, pool: Pool, confirmed: Confirmed) -> float:
    """Headroom with which a confirmed fleet of one pool shows that its kind holds.

    Where it is below 1, that of the load which an instance carried: whole instances may carry less than is planned.
    """
    factor = confirmed.confirmation.headroom_factor
    if factor >= 1:
        return factor
    counts = confirmed.solution.allocations[0].instances
    loads = [hour.planned_rate / max(count, 1) for hour, count in zip(formulation.problem.hours, counts, strict=True)]
    return min(max(mix_rate(formulation.problem, pool) / max(loads), factor), 1.0) if max(loads) > 0 else 1.0


def _replay_refusal(formulation: Formulation, pool: Pool, slo: Slo, needed: float, kept: float) -> Rejection:
    """Why a pool is not an option: no allowed number of its instances keeps enough of the requests within the SLO."""
    reason = (
        f"no allowed number of instances passes the replay: the best keeps {ratio_words(kept)} of the requests within "
        f"the SLO, and {ratio_words(needed)} are needed ({ratio_words(slo.within_ratio)} and a margin)"
    )
    source = formulation.pool_set.sources[pool.key]
    shortfall = Shortfall("replay", "share of requests", needed, kept, reason)
    return reject_candidate(source.served.candidate, shortfall, source.offer.region)


def _is_of(rejection: Rejection, other: Rejection) -> bool:
    """Whether two rejections are for one reason and of one candidate in one region."""
    return replace(rejection, needed=None, available=None, message="") == replace(
        other, needed=None, available=None, message=""
    )
