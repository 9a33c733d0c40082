"""Plans of questions that nobody chose, each recomputed from the shipped tables by a second, plain implementation.

``python tests/benchmarks/bench_recompute.py [plans [first number [kinds|gguf]]]`` prints how many are equal to the cent and to the
byte, and every number that is not; it ends with 1 where there is one. A plan takes a second or less: every twentieth is
whole, the others are brief. As many replicas of random layouts are recomputed beside them. ``tests/recompute/drawn.py``
has a question for each number, with ``kinds`` ``drawn_kinds.py`` one about a model that answers in one pass, and with ``gguf``
``drawn_gguf.py`` one about a small language model that llama.cpp serves.
"""

import sys
import time
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

from advisor.catalog import Catalog  # noqa: E402 - the line above finds what follows
from advisor.errors import AdvisorError  # noqa: E402 - the line above finds what follows
from advisor.models.memory import fit_memory  # noqa: E402
from advisor.performance.model import shipped_model  # noqa: E402
from advisor.pipeline import BEST, BRIEF, answer  # noqa: E402
from advisor.plan.plain_values import to_plain  # noqa: E402
from advisor.plan.request import PlanRequest  # noqa: E402
from recompute.differences import differences, fit_differences  # noqa: E402
from recompute.drawn import drawn, drawn_fit  # noqa: E402
from recompute.drawn_gguf import drawn_gguf  # noqa: E402
from recompute.drawn_kinds import drawn_kind  # noqa: E402

USUAL = 20
TOLD_AT = 100
A_WHOLE_PLAN_EVERY = 20


def _ask(number: int) -> tuple[PlanRequest, Catalog]:
    """The question of a number, and a catalog for it."""
    return {"kinds": drawn_kind, "gguf": drawn_gguf}.get("".join(sys.argv[3:]), drawn)(number)


def main() -> int:
    """Recompute so many plans with a fleet.

    Returns:
        1 where a number differs, else 0.
    """
    wanted, number = (*map(int, sys.argv[1:3]), *(USUAL, 1)[len(sys.argv[1:3]) :])
    plans = equal = fleets = compared = without = refused = 0
    started = time.process_time()
    while plans < wanted:
        try:
            question, catalog = _ask(number)
            scope = BRIEF if number % A_WHOLE_PLAN_EVERY else BEST
            plan = answer(question, catalog, shipped_model(), scope).plan
        except AdvisorError:
            refused, number = refused + 1, number + 1
            continue
        except Exception as error:  # noqa: BLE001 - a plan that breaks is not equal, and the others are still compared
            print(f"question {number}: {type(error).__name__}: {error}", flush=True)
            plans, number = plans + 1, number + 1
            continue
        found, count = differences(to_plain(plan))
        model, request = drawn_fit(number)
        also, more = fit_differences(*map(to_plain, (model, request, fit_memory(model, request))))
        compared += count + more
        for difference in (*found, *also):
            print(f"question {number}: {difference}", flush=True)
        plans, without = plans + (plan.fleet is not None), without + (plan.fleet is None)
        fleets += len(plan.options) + (plan.fleet is not None)
        equal += plan.fleet is not None and not found
        number += 1
        if plan.fleet is not None and plans % TOLD_AT == 0:
            print(
                f"{equal:,} of {plans:,} plans equal, {fleets:,} fleets, {compared:,} numbers, to question {number - 1}",
                flush=True,
            )
    seconds = (time.process_time() - started) / max(plans, 1)
    print(
        f"{equal:,} of {plans:,} plans equal, of {fleets:,} fleets and {compared:,} numbers; beside them {without:,} questions without a fleet "
        f"and {refused:,} refused; up to question {number - 1}; {seconds:.2f} s of a processor for a plan"
    )
    return int(equal < plans)


if __name__ == "__main__":
    sys.exit(main())
