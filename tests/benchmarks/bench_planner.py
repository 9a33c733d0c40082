"""What the planner has to reach beside time, over made-up workloads; prints, asserts nothing.

``python tests/benchmarks/bench_planner.py [NUMBER …]``: numbers of :func:`plan.generated.made`; those of today without.
"""

import statistics
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from advisor.catalog import load_catalog  # noqa: E402 - the tests' parts are found by the line above
from advisor.pipeline import plan_question  # noqa: E402
from advisor.plan.values import Plan  # noqa: E402
from plan.generated import made, tried  # noqa: E402

A_CENT = 0.01
WITHIN = 0.02


def figures(plans: list[Plan]) -> Iterator[tuple[str, str]]:
    """What is counted, and its number."""
    fleets = [(plan, plan.fleet) for plan in plans if plan.fleet is not None]
    yield "workloads", f"{len(plans)}, {len(fleets)} with a fleet"
    one_total = sum(
        plan.recommended is not None and plan.recommended.cost.total_usd_per_month == fleet.cost.total_usd_per_month
        for plan, fleet in fleets
    )
    yield "recommendation and fleet cost the same", f"{one_total} of {len(fleets)}"
    cheaper = [
        option
        for plan, fleet in fleets
        for option in plan.options
        if option.cost.total_usd_per_month < fleet.cost.total_usd_per_month - A_CENT
    ]
    told = sum(bool(option.not_recommended) for option in cheaper)
    yield "options below the recommendation that say why", f"{told} of {len(cheaper)}"
    confirmed = sum(fleet.confirmed is not None and fleet.confirmed.reached for _, fleet in fleets)
    yield "fleets that their replay confirms", f"{confirmed} of {len(fleets)}"
    gaps = [fleet.planned_gap_ratio for _, fleet in fleets]
    yield "fleets proven, or within 2 % of the bound", f"{sum(gap <= WITHIN for gap in gaps)} of {len(gaps)}"
    if gaps:
        yield "distance to the bound, median and largest", f"{statistics.median(gaps):.2%}, {max(gaps):.1%}"
    rising = sum(any(_rises(plan)) for plan, _ in fleets)
    yield "ladders that rise", f"{rising} of {len(fleets)}"
    mute = sum(one.total_usd_per_month is None and not one.why_none for plan, _ in fleets for one in plan.ladder)
    yield "rungs without a fleet and without a reason", f"{mute}"
    judged = [plan.current for plan, _ in fleets if plan.current is not None]
    known = sum(one.within_slo_ratio is not None for one in judged)
    yield "what runs today, judged", f"{known} of {len(judged)}, the others say why not"


def _rises(plan: Plan) -> Iterator[bool]:
    costs = [one.total_usd_per_month for one in plan.ladder if one.total_usd_per_month is not None]
    yield from (after > before + A_CENT for before, after in pairwise(costs))


def main(numbers: list[int]) -> None:
    """One line a figure."""
    catalog = load_catalog()
    for name, number in figures([plan_question(made(one).question, catalog) for one in numbers]):
        print(f"{name:52} {number}")


if __name__ == "__main__":
    main([int(one) for one in sys.argv[1:]] or tried())
