"""Where a yes-or-no outcome turns along a scale of factors, asked at many factors at once."""

from collections.abc import Callable, Sequence

Outcomes = Callable[[Sequence[float]], list[bool]]
"""Factors → what is so at each."""


def lazily(turns: Outcomes) -> Outcomes:
    """One factor after the other, up to the first that turns; those after it are not asked."""

    def asked(factors: Sequence[float]) -> list[bool]:
        found: list[bool] = []
        for factor in factors:
            found.append(any(found) or turns([factor])[0])
        return found

    return asked


def lost_after(wins_at: Outcomes, factor: float, steps: Sequence[float]) -> float | None:
    """The last factor at which it still wins; None: it wins as far as was looked."""
    same, lost = first_turn(lazily(lambda factors: [not wins for wins in wins_at(factors)]), steps, factor)
    return None if lost is None else same


def first_turn(
    turns: Outcomes, steps: Sequence[float], start: float = 1.0, *, refinements: int = 1, parts: int = 4
) -> tuple[float, float | None]:
    """The last factor as at *start* and the first that is not; None where there is none.

    Args:
        turns: whether the outcome is another one at each factor.
        steps: factors to look at, away from the start.
        start: where the outcome is as it is.
        refinements: how often the step of the turn is divided.
        parts: into so many parts, equal in the logarithm.
    """
    same, turned = _first(start, steps, turns(steps))
    for _ in range(refinements):
        if turned is None:
            break
        inner = [same * (turned / same) ** (part / parts) for part in range(1, parts)]
        same, turned = _first(same, [*inner, turned], [*turns(inner), True])
    return same, turned


def _first(start: float, factors: Sequence[float], turned: Sequence[bool]) -> tuple[float, float | None]:
    index = next((index for index, one in enumerate(turned) if one), None)
    before = factors[-1:] if index is None else factors[:index][-1:]
    return (before[0] if before else start), None if index is None else factors[index]
