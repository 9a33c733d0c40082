"""The same question with more and more allowed: what each step from today's machines saves, risks and takes."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeGuard

from advisor.plan.alternatives import as_is, as_today, no_rung, rung_of
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.market import Market
from advisor.plan.replay.validator import Confirmed
from advisor.plan.rung_fleets import (
    LowerRungs,
    Reached,
    ReachedRung,
    RungAnswer,
    RungFleet,
    RungSolver,
    cheaper_of,
    is_allowed,
)
from advisor.plan.rungs import RungScope, Step, with_regions
from advisor.plan.solve.simple import preference
from advisor.plan.values import Rung
from advisor.records import dataclass, replace
from advisor.units import A_CENT

_AS_STATED = RungScope(Step.AS_STATED, None)


@dataclass(frozen=True, slots=True)
class HigherRungs:
    """Rungs that allow more than is stated."""

    rungs: Mapping[Step, Rung]
    cheaper_usd: float
    """USD a month of the cheapest fleet to recommend in place of the recommended one; infinite where there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class Climbed:
    """The ladder, as far as it goes."""

    rungs: tuple[Rung, ...]
    as_stated: Rung
    """The recommendation as a rung."""
    cheaper: Confirmed | None
    """Fleet of a rung within what is stated that costs less than the recommendation, which is no simpler."""


class Ladder:
    """Climbs from rung to rung with one planner: every fleet is solved and replayed as the recommended one is."""

    def __init__(self, market: Market, lower: LowerRungs, recommended: Confirmed) -> None:
        """Begin with what replays have shown so far.

        Args:
            market: the question, with the supply of the widest rung.
            lower: rungs that allow no more than is stated.
            recommended: the fleet within what the workload states, which all rungs beyond it may have too.
        """
        self._context, self._lower, self._current = market.context, lower, lower.current
        self._higher = [scope for scope in lower.every if scope.beyond_stated]
        self._recommended = ReachedRung(recommended, market.context)
        self._stated = self._recommended if recommended.confirmation.reached else None
        self._solver = RungSolver(market)
        self._answers: Mapping[Step, Reached] | None = None

    def higher(self) -> Iterator[HigherRungs]:
        """Rungs that allow more than is stated, each with its fleet, or why it has none; a single item."""
        answers = self._higher_answers()
        rungs = {scope.step: self._described(scope, answers[scope.step]) for scope in self._higher}
        costs = (fleet.usd_per_month for fleet in self._preferable(answers))
        yield HigherRungs(rungs, min(costs, default=math.inf))

    def climbed(self, higher: HigherRungs, fleet: Fleet) -> Climbed:
        """Every rung, and the recommendation; none costs more than the one before.

        Args:
            higher: rungs that allow more than is stated.
            fleet: the recommended one as values of a plan.
        """
        rungs = dict(higher.rungs)
        cheaper: dict[Step, float] = {}
        for scope, answer in self._lower.of(None if self._stated is None else self._recommended.fleet):
            rungs[scope.step] = self._told(scope, answer)
            if isinstance(answer, RungFleet) and self._is_preferred(answer):
                cheaper[scope.step] = answer.usd_per_month
        first = as_is(self._current, self._lower.every[0])
        others = (as_today(rungs[scope.step], first, self._current) for scope in self._lower.every[1:])
        as_stated = replace(self._described(_AS_STATED, self._recommended), recommended=True)
        return Climbed(tuple(_marked([first, *others], fleet)), as_stated, self._cheapest(cheaper, higher.cheaper_usd))

    def _cheapest(self, lower_usd: Mapping[Step, float], higher_usd: float) -> Confirmed | None:
        """The cheapest fleet to recommend instead; it is worked out once more where another process did."""
        if higher_usd < min(lower_usd.values(), default=math.inf):
            fleets = (answer.fleet for answer in self._preferable(self._higher_answers()))
            return min(fleets, key=lambda fleet: fleet.usd_per_month)
        return self._lower.fleet(min(lower_usd, key=lambda step: lower_usd[step])) if lower_usd else None

    def _is_preferred(self, answer: RungFleet) -> bool:
        """Whether a fleet is to be recommended in place of the recommended one."""
        is_simpler = _is_simpler(self._recommended, answer.preference, answer.usd_per_month)
        return answer.is_stated and self._is_cheaper(answer) and not is_simpler

    def _is_cheaper(self, answer: RungFleet) -> bool:
        return self._stated is not None and answer.usd_per_month < self._stated.usd_per_month - A_CENT

    def _told(self, scope: RungScope, answer: RungAnswer | None) -> Rung:
        """A rung that allows no more than is stated; why a dearer fleet is recommended where its own costs less."""
        if answer is None:
            return self._described(scope, self._recommended)
        if isinstance(answer, str):
            return self._described(scope, answer)
        return (
            self._described(scope, _why_dearer(answer, self._recommended)) if self._is_cheaper(answer) else answer.rung
        )

    def _higher_answers(self) -> Mapping[Step, Reached]:
        if self._answers is None:
            self._answers = self._beyond(self._higher, self._stated)
        return self._answers

    def _preferable(self, answers: Mapping[Step, Reached]) -> list[ReachedRung]:
        """Fleets to recommend in place of the recommended one."""
        if self._stated is None:
            return []
        return [answer for answer in answers.values() if _is_preferable(answer, self._stated)]

    def _beyond(self, scopes: Sequence[RungScope], stated: ReachedRung | None) -> dict[Step, Reached]:
        """The rungs that allow more than is stated, from the last on: a fleet that the one before allows is its too."""
        answers: dict[Step, Reached] = {scope.step: scope.why_none for scope in scopes}
        allowed = [(scope, scope.workload) for scope in scopes if scope.workload is not None]
        answer: Reached = ""
        for scope, workload in reversed(allowed):
            if not (isinstance(answer, ReachedRung) and is_allowed(workload, answer.fleet)):
                cheapest = self._solver.cheapest(workload, stated, lossier_only=scope.lossier_only)
                answer = cheaper_of(cheapest, stated)
            answers[scope.step] = answer
        below = stated
        for scope, _ in allowed:
            answers[scope.step] = answer = cheaper_of(answers[scope.step], below)
            below = answer if isinstance(answer, ReachedRung) else below
        return answers

    def _described(self, scope: RungScope, answer: Reached) -> Rung:
        if not isinstance(answer, ReachedRung):
            return replace(no_rung(scope), why_none=answer)
        return rung_of(scope, answer.fleet, self._context, self._current)


def _costs_less(answer: Reached, stated: ReachedRung) -> TypeGuard[ReachedRung]:
    """Whether a rung has a fleet that is cheaper than the recommendation."""
    return isinstance(answer, ReachedRung) and answer.usd_per_month < stated.usd_per_month - A_CENT


def _is_preferable(answer: Reached, stated: ReachedRung) -> TypeGuard[ReachedRung]:
    """Whether a rung has a fleet within what is stated that is cheaper than the recommendation, which is no simpler."""
    return (
        _costs_less(answer, stated)
        and is_allowed(with_regions(stated.context.requirements.workload, stated.context.catalog), answer.fleet)
        and not _is_simpler(stated, preference(answer.fleet.solution), answer.usd_per_month)
    )


def _is_simpler(stated: ReachedRung, theirs: tuple[int, int, int], usd_per_month: float) -> bool:
    """Whether the recommendation is preferred to a cheaper fleet: it is simpler, and costs little more."""
    most_usd = usd_per_month * (1 + stated.context.requirements.workload.limits.simplicity)
    return preference(stated.fleet.solution) < theirs and stated.usd_per_month <= most_usd + A_CENT


def _why_dearer(reached: RungFleet, stated: ReachedRung) -> str:
    """Fleet of a rung that allows less, and why a dearer one is recommended."""
    fleet = " + ".join(
        f"{group.instances} × {group.instance_type} {group.purchase.replace('_', ' ')}" for group in reached.rung.groups
    )
    is_simpler = _is_simpler(stated, reached.preference, reached.usd_per_month)
    why = "a simpler fleet is (limits.simplicity)" if is_simpler else "it does not hold in full"
    saved = stated.usd_per_month - reached.usd_per_month
    return f"{fleet} would save ${saved:,.2f} a month on what is recommended: {why}"


def _marked(rungs: Sequence[Rung], fleet: Fleet) -> Iterator[Rung]:
    """The rungs, the first one with the recommended fleet marked."""
    usd = fleet.cost.total_usd_per_month
    wanted = sorted((group.stand, group.purchase, group.precision, max(group.instances)) for group in fleet.groups)
    marked = False
    for rung in rungs:
        own = sorted(
            (f"{group.provider}/{group.region}/{group.instance_type}", group.purchase, group.precision, group.instances)
            for group in rung.groups
        )
        costs_as_much = rung.total_usd_per_month is not None and abs(rung.total_usd_per_month - usd) < A_CENT
        is_it = not marked and own == wanted and costs_as_much
        marked |= is_it
        yield replace(rung, recommended=is_it)
