"""Fleets of rungs: each is the cheapest that a scope allows, solved and replayed as the recommended one is."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, Self

from advisor.candidates import Rejection, judge
from advisor.deployable import NOT_GENERATED
from advisor.plan.alternatives import rung_of
from advisor.plan.market import Market
from advisor.plan.options import rank
from advisor.plan.problem.values import Infeasible, PurchaseOption
from advisor.plan.replay.validator import Confirmed
from advisor.plan.rungs import RungScope, Step, with_regions
from advisor.plan.solve.simple import preference
from advisor.plan.solve.stage import Formulation, PlanningContext, formulate, narrowed
from advisor.plan.values import CurrentCost, Rung
from advisor.processes import Items
from advisor.records import dataclass, replace
from advisor.units import A_CENT, ratio_words
from advisor.workload.scope import allows, is_within
from advisor.workload.values import Workload

_UNLISTED = (PurchaseOption.OWNED, PurchaseOption.SERVERLESS)
"""Ways of paying that no workload lists: what is owned, and services that scale to zero."""


@dataclass(frozen=True, slots=True, eq=False)
class ReachedRung:
    """The cheapest confirmed fleet of a rung."""

    fleet: Confirmed
    context: PlanningContext

    @property
    def usd_per_month(self) -> float:
        """USD a month of the fleet."""
        return self.fleet.usd_per_month


Reached = ReachedRung | str
"""The fleet of a rung, or why it has none."""


@dataclass(frozen=True, slots=True)
class RungFleet:
    """The cheapest confirmed fleet of a rung in short: what another process is told of it."""

    rung: Rung
    usd_per_month: float
    preference: tuple[int, int, int]
    is_stated: bool
    """Whether the workload as stated allows it."""


RungAnswer = RungFleet | str
"""The fleet of a rung in short, or why it has none."""


class _Part(NamedTuple):
    """Today's deployment, with one rung; the first part is today's alone."""

    current: CurrentCost | None
    answer: RungAnswer


class RungSolver:
    """Solves rungs as the question itself is solved, from what replays have shown when it was made."""

    def __init__(self, market: Market) -> None:
        """Take what all rungs share: the supply of the widest of them, and a copy of what is known."""
        self._market, self._validator = market, market.validator.apart()

    def cheapest(self, workload: Workload, below: ReachedRung | None, *, lossier_only: bool = False) -> Reached:
        """The cheapest fleet that a workload allows; that of the rung below where none is preferred to it.

        Fleets in a precision that loses more quality are preferred only from ``limits.simplicity`` below it on.
        """
        setting = self._market.context
        context = replace(
            setting,
            requirements=replace(setting.requirements, workload=workload),
            effort=replace(setting.effort, holds_up_to=False, in_full=False, options=1),
        )
        formulation = formulate(context, narrowed(self._market.supply, workload), self._market.week)
        if not formulation.problem.pools:
            return _why_no_pool(formulation, context)
        validator = self._validator.within(formulation, context)
        confirmed = None if below is None else below.fleet
        if confirmed is not None and lossier_only:
            confirmed = confirmed.as_if_at(confirmed.usd_per_month / (1 + workload.limits.simplicity))
        single = rank(formulation, validator, context, None, 1).cheapest_confirmed
        is_better = single is not None and (confirmed is None or single.usd_per_month < confirmed.usd_per_month)
        fleet = validator.confirmed(known=single if is_better else confirmed, refined=True)
        if isinstance(fleet, Infeasible):
            limits = " and ".join(constraint.value for constraint in fleet.conflict)
            return f"no fleet keeps to {limits or 'the demand'} with what this rung allows"
        if below is not None and fleet.solution.allocations is below.fleet.solution.allocations:
            return below
        if not fleet.confirmation.reached:
            ratio = fleet.confirmation.within_slo_ratio
            return f"the best fleet keeps {ratio_words(ratio)} of the requests within the SLO"
        return ReachedRung(validator.simplest(fleet), context)


def first_beyond(market: Market, scopes: Sequence[RungScope]) -> Confirmed | None:
    """The fleet of the first rung that allows more than is stated and has one within every limit."""
    solver = RungSolver(market)
    for scope in scopes:
        if scope.workload is None or not scope.beyond_stated:
            continue
        answer = solver.cheapest(scope.workload, None)
        most_usd = scope.workload.limits.max_usd_per_month
        if isinstance(answer, ReachedRung) and (most_usd is None or answer.usd_per_month <= most_usd + A_CENT):
            return answer.fleet
    return None


class LowerRungs:
    """Rungs that allow no more than is stated: each knows the fleet of the one before, and none the recommendation.

    Where several processors may be used they are worked out ahead, beside the recommendation, after what runs today.
    """

    def __init__(
        self, market: Market, scopes: Sequence[RungScope], judged_today: Callable[[], CurrentCost | None] | None
    ) -> None:  # fmt: skip
        """Begin with them.

        Args:
            market: the question, with the supply of the widest rung.
            scopes: what each rung allows, with those that allow more; empty: there is no ladder.
            judged_today: judges what runs today; None: that is not asked for.
        """
        self._given, self._judged_today = scopes, judged_today
        self._context, self._solver = market.context, RungSolver(market)
        self._stated = with_regions(market.workload, market.context.catalog)
        self._reached: dict[Step, ReachedRung] = {}
        is_ahead = market.context.effort.at_a_time > 1 and (scopes or judged_today is not None)
        self._parts: Items[_Part] = Items(self._in_short, self._ahead if is_ahead else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        """End what is worked out ahead."""
        self._parts.__exit__()

    @property
    def current(self) -> CurrentCost | None:
        """Today's deployment, judged; None where nothing runs, or nothing was asked of it."""
        return self._parts[0].current

    @property
    def every(self) -> list[RungScope]:
        """Scope of each rung, with those that allow more than is stated."""
        return self._scopes(self.current)

    def of(self, recommended: Confirmed | None) -> Iterator[tuple[RungScope, RungAnswer | None]]:
        """The fleet of each rung in short, or why it has none; None where it is the recommended one.

        Args:
            recommended: the recommended fleet, where its replays confirm it.
        """
        below: RungFleet | None = None
        for at, scope in enumerate(_not_beyond(self.every), 1):
            if scope.workload is None:
                yield scope, scope.why_none
            elif recommended is None or not is_allowed(scope.workload, recommended):
                answer = self._parts[at].answer
                below = answer if isinstance(answer, RungFleet) else below
                yield scope, answer
            elif below is not None and below.usd_per_month < recommended.usd_per_month - A_CENT:
                rung = replace(below.rung, rung=scope.step.value, where=scope.where)
                yield scope, replace(below, rung=rung)
            else:
                yield scope, None

    def fleet(self, step: Step) -> Confirmed:
        """The fleet of a rung that has one; it is worked out once more where another process did."""
        if step not in self._reached:
            next(scope for scope, _ in self._each(self.current) if scope.step is step)
        return self._reached[step].fleet

    def _scopes(self, current: CurrentCost | None) -> list[RungScope]:
        """Scopes, with the precision of today's machines in each."""
        if current is None:
            return list(self._given)
        order = self._context.requirements.workload.precisions
        return [scope.with_precision(current.precision, order) for scope in self._given]

    def _ahead(self) -> Iterator[_Part]:
        """Today, and rungs up to the last that allows less than is stated; the others have the recommended fleet."""
        parts = self._in_short()
        today = next(parts)
        yield today
        scopes = enumerate(_not_beyond(self._scopes(today.current)), 1)
        yield from islice(parts, max((at for at, scope in scopes if self._is_narrower(scope.workload)), default=0))

    def _is_narrower(self, workload: Workload | None) -> bool:
        return workload is not None and not is_within(self._stated, workload)

    def _in_short(self) -> Iterator[_Part]:
        current = None if self._judged_today is None else self._judged_today()
        yield _Part(current, "")
        for scope, answer in self._each(current):
            if isinstance(answer, str):
                yield _Part(current, answer)
                continue
            fleet = RungFleet(
                rung_of(scope, answer.fleet, self._context, current),
                answer.usd_per_month,
                preference(answer.fleet.solution),
                is_allowed(self._stated, answer.fleet),
            )
            yield _Part(current, fleet)

    def _each(self, current: CurrentCost | None) -> Iterator[tuple[RungScope, Reached]]:
        before: Workload | None = None
        below: ReachedRung | None = None
        for scope in _not_beyond(self._scopes(current)):
            answer: Reached = scope.why_none
            if scope.workload is not None and below is not None and scope.workload == before:
                answer = below
            elif scope.workload is not None:
                answer = cheaper_of(self._solver.cheapest(scope.workload, below), below)
            if isinstance(answer, ReachedRung):
                self._reached[scope.step] = answer
                before, below = scope.workload, answer
            yield scope, answer


def _not_beyond(scopes: Iterable[RungScope]) -> list[RungScope]:
    """Scopes that allow no more than is stated."""
    return [scope for scope in scopes if not scope.beyond_stated]


def is_allowed(workload: Workload, fleet: Confirmed) -> bool:
    """Whether a fleet of the stated workload is one of a workload that allows less."""
    for allocation in fleet.solution.allocations:
        source = fleet.formulation.pool_set.sources[allocation.pool.key]
        paid = allocation.tariff.paid
        if not (
            allows(workload, source.served.candidate.instance_type)
            and source.offer.region in workload.regions
            and source.served.candidate.is_in(workload.precisions)
            and (paid in _UNLISTED or paid.value in workload.purchase)
        ):
            return False
    return True


def cheaper_of(answer: Reached, below: ReachedRung | None) -> Reached:
    """The fleet of a rung; or that of the rung below, where it costs no more, or little more and is preferred."""
    if below is None:
        return answer
    if not isinstance(answer, ReachedRung) or answer.usd_per_month > below.usd_per_month:
        return below
    limits = answer.context.requirements.workload.limits
    limit = (answer.fleet.cheapest or answer.fleet).usd_per_month * (1 + limits.simplicity)
    is_preferred = preference(below.fleet.solution) < preference(answer.fleet.solution)
    return below if is_preferred and below.usd_per_month <= limit else answer


def _why_no_pool(formulation: Formulation, context: PlanningContext) -> str:
    """Why nothing that a rung allows can be bought, deployed, or serves."""
    if formulation.pool_set.rejections:
        return formulation.pool_set.rejections[0].message
    machines = [context.catalog.instance_types[key] for key in formulation.supply.offers]
    outcomes = [outcome for machine in machines for outcome in judge(machine, context.requirements, context.catalog)]
    rejections = [outcome for outcome in outcomes if isinstance(outcome, Rejection)]
    if not rejections or len(rejections) < len(outcomes):
        return "nothing that it allows keeps the SLO"
    nearest = next((rejection for rejection in rejections if rejection.code == NOT_GENERATED), rejections[0])
    return f"nothing that it allows can be deployed: {nearest.message}"
