"""Breakpoints of a yes-or-no outcome along a scale of factors, asked at one after the other."""

from collections.abc import Callable, Sequence

PARTS = 4
"""Equal in the logarithm, that the step of a turn is divided into."""

Outcome = Callable[[float], bool]
"""A factor → what is so at it."""


def lost_after(wins: Outcome, factor: float, steps: Sequence[float]) -> float | None:
    """The last factor at which it still wins; None: it wins as far as was looked."""
    same, lost = first_turn(lambda at: not wins(at), steps, factor)
    return None if lost is None else same


def first_turn(turns: Outcome, steps: Sequence[float], start: float = 1.0) -> tuple[float, float | None]:
    """The last factor as at *start* and the first that is not; None where there is none.

    Args:
        turns: whether the outcome is another one at a factor.
        steps: factors to look at, away from the start.
        start: where the outcome is as it is.
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
