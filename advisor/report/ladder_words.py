"""The ladder of a plan as a table, and its neighbours of the recommendation in a sentence."""

from collections.abc import Iterator, Sequence

from advisor.models.model import SERVES_GGUF
from advisor.plan.values import CurrentCost, Plan, Rung, RungGroup
from advisor.records import replace
from advisor.report.fitted_table import Column
from advisor.report.sections import Section
from advisor.report.words import short_words, usd
from advisor.units import ratio_words

_COLUMNS = (
    Column(""),
    Column("rung"),
    Column("USD/month, saving"),
    Column("within SLO", importance=3),
    Column("evidence", importance=2),
    Column("fleet, what it takes and what it risks", prose=40),
)
_TODAY = "as_is"
_A_CENT = 0.01
_STATED = "as_stated"
_SPOT = "spot"


def ladder_section(plan: Plan, *, verbose: bool = False) -> Section:
    """Each rung on its row; what a rung takes and risks is said where the rung before does not.

    The recommendation stands above the first rung that allows more than the workload states.
    """
    rungs = (
        *plan.ladder[: _beyond(plan)],
        *([plan.as_stated] if plan.as_stated else []),
        *plan.ladder[_beyond(plan) :],
    )
    rows, before = [], None
    for rung in rungs if verbose else map(_brief, rungs):
        rows.append(_row(rung, before, plan.current))
        before = rung if rung.groups and not _same_fleet(rung, before) else before
    lines = tuple(_where_words(plan)) if rows else ()
    return Section("ladder: each rung allows more than the one before", lines, _COLUMNS, tuple(rows))


def _beyond(plan: Plan) -> int:
    """Number of the rungs that allow no more than the workload states."""
    return next((number for number, rung in enumerate(plan.ladder) if rung.beyond_stated), len(plan.ladder))


def _where_words(plan: Plan) -> Iterator[str]:
    """How far the regions of the highest rung that may be planned go."""
    last = next((rung for rung in reversed(plan.ladder) if rung.where), None)
    if last is not None:
        yield f"up to {rung_words(last)}, {last.where}; exclusions and residency hold on every rung"


def _brief(rung: Rung) -> Rung:
    """A rung whose requirements end before their sources."""
    return replace(rung, requires=tuple(text.split(", ")[0] for text in rung.requires))


def _same_fleet(rung: Rung, before: Rung | None) -> bool:
    return before is not None and rung.groups == before.groups


def neighbour_words(plan: Plan) -> Iterator[str]:
    """The nearest rung that allows less and costs more, the nearest that allows more and costs less, the cheapest."""
    if plan.fleet is None or not plan.ladder:
        return
    total = plan.fleet.cost.total_usd_per_month
    lower, higher = plan.ladder[: _beyond(plan)], plan.ladder[_beyond(plan) :]
    below = next((rung for rung in reversed(lower) if _usd(rung, -1.0) > total + _A_CENT), None)
    above = next((rung for rung in higher if _usd(rung, total) < total - _A_CENT), None)
    told = []
    if below is not None:
        told.append(f"the rung below ({rung_words(below)}) costs {usd(_usd(below, 0.0))}")
    if above is not None:
        told.append(f"the rung above ({rung_words(above)}) costs {usd(_usd(above, total))}")
        cheapest = min(higher, key=lambda rung: _usd(rung, total))
        if _usd(cheapest, total) < _usd(above, total) - _A_CENT:
            told.append(f"the cheapest ({rung_words(cheapest)}) {usd(_usd(cheapest, total))}")
    elif higher:
        told.append(f"no rung above (up to {rung_words(higher[-1])}) saves more")
    if told:
        yield f"Ladder: {'; '.join(told)}."


def other_engine_words(plan: Plan) -> Iterator[str]:
    """The cheapest rung that serves on accelerators with other engines what the plan serves with llama.cpp."""
    fleet = plan.fleet
    if fleet is None or not all(group.engine.startswith(SERVES_GGUF) for group in fleet.groups):
        return
    total = fleet.cost.total_usd_per_month
    others = [rung for rung in plan.ladder if rung.groups and not any(map(_is_gguf, rung.groups))]
    cheapest = min(others, key=lambda rung: _usd(rung, total), default=None)
    if cheapest is None or _usd(cheapest, total) >= total - _A_CENT:
        return
    engines = dict.fromkeys(f"{group.engine} on {group.accelerator}" for group in cheapest.groups)
    cost = usd(_usd(cheapest, total))
    yield f"Engine: {' and '.join(engines)} would serve it for {cost} (rung {rung_words(cheapest)})."


def _is_gguf(group: RungGroup) -> bool:
    return group.engine.startswith(SERVES_GGUF)


def rung_words(rung: Rung) -> str:
    """``any cloud``."""
    return rung.rung.replace("_", " ")


def _usd(rung: Rung, none: float) -> float:
    return none if rung.total_usd_per_month is None else rung.total_usd_per_month


def _row(rung: Rung, before: Rung | None, current: CurrentCost | None) -> tuple[str, ...]:
    total, kept = rung.total_usd_per_month, rung.within_slo_ratio
    if total is None and rung.rung == _TODAY and current is not None:
        total = current.total_usd_per_month
    return (
        "→" if rung.rung == _STATED else "",
        rung_words(rung),
        _cost(total, None if before is not None and _same_fleet(rung, before) else rung.saving_ratio),
        "-" if kept is None else ratio_words(kept),
        rung.evidence,
        _told(rung, before, current),
    )


def _cost(usd_per_month: float | None, saving_ratio: float | None) -> str:
    """USD a month, and under it how much that saves or adds."""
    if usd_per_month is None:
        return "-"
    change = f"{abs(saving_ratio or 0.0):.0%}"
    told = "" if change == "0%" else f"\n{change} {'less' if (saving_ratio or 0.0) > 0 else 'more'}"
    return f"{usd_per_month:,.2f}{told}"


def _told(rung: Rung, before: Rung | None, current: CurrentCost | None) -> str:
    if rung.total_usd_per_month is None:
        return rung.why_none
    fleet = short_words(rung.groups, with_precision=True) if rung.groups else _today(current)
    if before is not None and _same_fleet(rung, before):
        fleet = "the same as stated" if before.rung == _STATED else f"the same as {rung_words(before)}"
    if rung.rung == _SPOT and rung.groups and not any(group.purchase == _SPOT for group in rung.groups):
        fleet += ", nothing on spot"
    takes = _new("takes", rung.requires, before.requires if before else ())
    risks = _new("risks", rung.risks, before.risks if before else ())
    return f"{fleet}{takes}{risks}"


def _today(current: CurrentCost | None) -> str:
    return f"{current.instances} × {current.instance_type}, as today" if current else ""


def _new(word: str, told: Sequence[str], before: Sequence[str]) -> str:
    """Sentences of this rung that the one before lacks, on a line of their own."""
    fresh = [one for one in told if one not in before]
    return f"\n{word}: {'; '.join(fresh)}" if fresh else ""
