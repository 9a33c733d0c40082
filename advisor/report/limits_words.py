"""Constraints in words: where each is set, what a fleet takes of it, and what has to give where they conflict."""

import math
from collections.abc import Iterator

from advisor.plan.fleet.chosen import Conflict, ConstraintUse, RelaxedLimit
from advisor.plan.problem.values import SET_BY
from advisor.report.words import whole_percent

_DECIMALS = {"USD/month": 2, "share of requests": 4, "kW": 3, "kg CO2e/month": 1}
"""Digits of a relaxed limit after the point, by unit; 0 for all others."""


def use_words(use: ConstraintUse) -> str:
    """``min_replicas 2 of 2 replicas``; shares of the load as what failures leave of it: ``survive 139% of 100%``."""
    detail = f" ({use.detail})" if use.detail else ""
    if use.unit == "share of requests":
        return f"{use.name}{detail} {whole_percent(use.used)} of {whole_percent(use.limit)}"
    return f"{use.name}{detail} {_amount(use.used)} of {_amount(use.limit)} {use.unit}"


def _amount(value: float) -> str:
    """A count in full, any other number in three digits."""
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:,.3g}"


def conflict_words(conflict: Conflict) -> str:
    """Which limits exclude each other, and what they are, in one sentence."""
    asked = dict(zip(conflict.constraints, conflict.asked, strict=False))
    keys = [f"{SET_BY[name]} ({asked[name]})" if asked.get(name) else SET_BY[name] for name in conflict.constraints]
    if not keys:
        return "No fleet carries the demand within the SLO from where it may run."
    if len(keys) == 1:
        return f"No fleet keeps to {keys[0]}."
    return f"No fleet keeps to {', '.join(keys[:-1])} and {keys[-1]} together."


def relaxation_words(conflict: Conflict) -> Iterator[str]:
    """Remedies that would help alone, the smallest change first."""
    yield from (_relaxed(relaxation) for relaxation in conflict.relaxations)
    yield from conflict.remedies


def _relaxed(relaxed_limit: RelaxedLimit) -> str:
    verb, round_off = ("raise", math.ceil) if relaxed_limit.needed > relaxed_limit.limit else ("lower", math.floor)
    scale = 10 ** _DECIMALS.get(relaxed_limit.unit, 0)
    needed = (
        round_off(relaxed_limit.needed * scale + math.copysign(1e-6, relaxed_limit.limit - relaxed_limit.needed))
        / scale
    )
    detail = f" of {relaxed_limit.detail}" if relaxed_limit.detail else ""
    unit = "" if relaxed_limit.unit.startswith("share") else f" {relaxed_limit.unit}"
    return (
        f"{verb} {SET_BY[relaxed_limit.name]}{detail} from {_exact(relaxed_limit.limit, relaxed_limit.unit)} "
        f"to {_exact(needed, relaxed_limit.unit)}{unit}"
    )


def _exact(limit: float, unit: str) -> str:
    """A limit in all its digits, money in cents unless it is whole."""
    return f"{limit:,.2f}" if unit == "USD/month" and limit % 1 else f"{limit:,.10g}"
