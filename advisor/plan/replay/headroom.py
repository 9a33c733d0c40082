"""Headroom of a kind of replica: how much less it is taken to sustain than the closed form says, by bisection."""

import math
from collections.abc import Callable, Mapping

from advisor.candidates import Candidate
from advisor.plan.replay.confirmed import Confirmed, same
from advisor.records import dataclass

GROWTH = 1.5
"""Steps in which a headroom that holds is looked for, before the bisection."""
MOST_HEADROOM = 16.0
LEAST_HEADROOM = 0.125
"""No replica is taken to carry more than eight times what the closed form says."""
TOLERANCE = 1.02
"""Width of a bracket at which the bisection stops."""
WORTH_RATIO = 0.01
"""A fleet that could be cheaper by less than this is not looked for."""
EXACT = 1.0005
"""The same where no number of instances lies between its ends."""

MANY = 30
"""Instances of which one more or less makes so little difference that cost and headroom follow each other."""
NEXT_LESS = 0.95
"""Headroom that many instances are tried with first: where they fail with it, none holds with much less."""

Kind = tuple[str, str, str, str, int, int]


@dataclass(frozen=True, slots=True)
class Bracket:
    """Headroom of a kind of replica."""

    failed: float
    """Largest that was seen to fail; 1 where none was."""
    held: float
    """Smallest that was seen to hold, or to cost too much; infinite where none was."""

    @property
    def least(self) -> float:
        """No fleet of the kind alone holds with less."""
        return self.held if self.held <= self.failed * EXACT else self.failed


def worthwhile(usd: float, bound: Confirmed) -> bool:
    """Whether a fleet that is as cheap as a bound would be much cheaper than what is known."""
    return bound.usd_per_month < (1 - WORTH_RATIO) * usd


def kind_of(candidate: Candidate) -> Kind:
    """Kind of a candidate's replicas: those alike in this are equally fast anywhere."""
    layout = (candidate.tensor_parallel, candidate.pipeline_parallel)
    return candidate.accelerator.name, candidate.partition, candidate.precision, candidate.engine, *layout


def bracket_of(holds: Callable[[float], bool | None], hint: Bracket | None, room: float = math.inf) -> Bracket:
    """Between a headroom that fails and one that holds or is too much, in large steps; infinite where there is none.

    Args:
        holds: whether the cheapest fleet with a headroom holds; None where it costs too much.
        hint: a bracket that is likely to be the one.
        room: how many times what the fleet without headroom costs is too much.
    """
    failed = 1.0
    if hint is not None and math.isfinite(hint.held) and hint.failed > 1:
        failed = hint.failed if holds(hint.failed) is False else failed
        if holds(hint.held) is not False:
            return Bracket(failed, hint.held)
        failed = hint.held
    growth = min(max(room, TOLERANCE), GROWTH)
    while failed < MOST_HEADROOM:
        if holds(failed * growth) is not False:
            return Bracket(failed, failed * growth)
        failed, growth = failed * growth, GROWTH
    return Bracket(failed, math.inf)


def narrowed(
    bracket: Bracket,
    holds: Callable[[float], bool | None],
    tried: Mapping[float, Confirmed],
    limit_usd: float,
    *,
    exact: bool,
) -> Bracket:
    """Bisect to 2 %, or to 1 % of the cost; on to where the fleet changes where it has to be exact.

    Args:
        bracket: what is bisected.
        holds: whether the cheapest fleet with a headroom holds; None where it costs too much.
        tried: the fleets so far.
        limit_usd: nothing from there on is of interest.
        exact: whether to go on, as long as no other fleet lies between.
    """
    failed, held = bracket.failed, bracket.held
    while math.isfinite(held) and held > failed * (EXACT if exact else TOLERANCE):
        if not exact and not worthwhile(tried[held].usd_per_month if held in tried else limit_usd, tried[failed]):
            break
        middle = math.sqrt(failed * held)
        kept = holds(middle)
        if held <= failed * TOLERANCE and kept is not None:
            exact = any(same(tried[middle], tried[end]) for end in (failed, held) if end in tried)
        failed, held = (middle, held) if kept is False else (failed, middle)
    return Bracket(failed, held)
