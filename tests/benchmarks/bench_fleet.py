"""Time and proof of the fleet optimiser over the catalog, and what mixed fleets save; prints, asserts nothing.

``python tests/benchmarks/bench_fleet.py [NAME … | all]``. Seconds are of the processor, as the least of some runs, and the
baseline is a fixed loop in the same process.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from advisor.catalog.values import Purchase  # noqa: E402 - the tests' parts are found by the line above
from advisor.plan.problem.values import FleetSolution, Infeasible  # noqa: E402
from advisor.plan.solve.dominance import without_dominated  # noqa: E402
from advisor.plan.solve.scopes import cheapest, scopes  # noqa: E402
from advisor.plan.solve.stage import ExistingFleet, Formulation  # noqa: E402
from advisor.workload.values import Limits, Routing, Slo, Survive, Workload  # noqa: E402
from plan.fleet.catalogued import example, formulation, made_up  # noqa: E402
from plan.fleet.melange import melange_usd_per_month, single_usd_per_month  # noqa: E402
from plan.fleet.problems import optimise  # noqa: E402

EVERY = (Purchase.ON_DEMAND, Purchase.SPOT, Purchase.COMMITMENT)
LLAMA_8B, LLAMA_70B = "meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-70B-Instruct"
USUAL = Slo(ttft_p95_ms=2000, tpot_p95_ms=60)
SCALES = (1, 5, 20)
RUNS = 2
QUICK = ["examples/chat", "examples/code", "chat, weekly", "code, weekly"]
MIXED_SCALES = (0.2, 1, 3, 10, 40)


def large(**changes) -> Workload:
    """A 70B model for long prompts, everywhere."""
    return made_up(LLAMA_70B, 10, (1500, 300), USUAL, **changes)


CASES: dict[str, tuple[Callable[[], Workload], bool]] = {
    "examples/chat": (lambda: example("chat"), False),
    "examples/code": (lambda: example("code"), False),
    "chat, weekly": (lambda: example("chat"), True),
    "code, weekly": (lambda: example("code"), True),
    "chat everywhere, weekly": (lambda: example("chat", regions=(), purchase=EVERY), True),
    "8B, long prompts, weekly": (lambda: made_up(LLAMA_8B, 20, (3000, 200), USUAL), True),
    "70B, weekly": (large, True),
    "70B, weekly, N+1": (lambda: large(limits=Limits(min_replicas=2, zones=2, survive=Survive.INSTANCE)), True),
    "70B, weekly, two types": (lambda: large(limits=Limits(min_replicas=2, zones=2, max_instance_types=2)), True),
    "70B, weekly, users on two continents": (lambda: large(users=(("us-east", 0.5), ("de", 0.5))), True),
    "chat routed by length, weekly": (
        lambda: example("chat", regions=(), purchase=EVERY, routing=Routing.BY_PROMPT_LENGTH),
        True,
    ),
}


def fixed_loop() -> float:
    """Seconds of a fixed loop of Python: the unit of the ratios."""
    started = time.process_time()
    total = 0
    for at in range(2_000_000):
        total += at % 7
    return time.process_time() - started


def least(job: Callable[[], object]) -> tuple[object, float]:
    """What a job gives, and the least of its times."""
    times = []
    for _ in range(RUNS):
        started = time.process_time()
        result = job()
        times.append(time.process_time() - started)
    return result, min(times)


def report(name: str, workload: Workload, scale: int, unit: float, *, weekly: bool) -> None:
    """One line: how many pools, how long, how sure."""
    question, pose_s = least(lambda: formulation(workload, scale, weekly=weekly))
    assert isinstance(question, Formulation)
    parts = scopes(question.problem)
    kept, prune_s = least(lambda: sum(len(without_dominated(part).pools) for part in parts))
    found, solve_s = least(lambda: cheapest(question.problem))
    what = "none"
    if isinstance(found, FleetSolution):
        proof = "proven" if found.proven else f"gap {found.gap_ratio:.2%}"
        what = f"{found.objective_usd_per_month:12,.2f} USD/month {proof}"
    print(
        f"{name:38s} ×{scale:<3d} pools {len(question.problem.pools):5d} → {kept:4d} in {len(parts):3d} scopes  "
        f"pose {pose_s:5.2f} s  prune all {prune_s:5.2f} s  solve {solve_s:6.2f} s = {solve_s / unit:6.1f} ×  {what}",
        flush=True,
    )


def mixed_savings(name: str, workload: Workload) -> Iterator[tuple[float, float]]:
    """By how much the fleet is cheaper than Mélange's mix and than one type, over loads; zones and spot left out."""
    plain = replace(
        workload, purchase=(Purchase.ON_DEMAND,), routing=Routing.BY_PROMPT_LENGTH, limits=Limits(max_regions=99)
    )
    for scale in MIXED_SCALES:
        problem = without_dominated(formulation(plain, scale).problem)
        problem = replace(problem, pools=tuple(replace(pool, usd_per_request=0.0) for pool in problem.pools))
        rate = problem.hours[-1].planned_rate
        found = optimise(problem)
        if isinstance(found, Infeasible):
            continue
        usd = found.objective_usd_per_month
        mix = 1 - usd / melange_usd_per_month(problem.pools, problem.bucket_shares, rate)
        single = 1 - usd / single_usd_per_month(problem.pools, rate)
        print(f"{name:38s} {rate:8.2f} requests/s  {mix:7.2%} below Mélange's mix  {single:7.2%} below one type")
        yield mix, single


def stability(name: str, workload: Workload) -> None:
    """Which stands a plan asks for when the demand moves by 5 % and back while its fleet runs."""
    running: dict[str, int] = {}
    steps = []
    for factor in (1.0, 0.95, 1.0, 1.05, 1.0):
        found = cheapest(formulation(workload, factor, standing=ExistingFleet(running, {})).problem)
        if isinstance(found, Infeasible):
            return
        running = {}
        for one in found.allocations:
            running[one.pool.type_in_region] = running.get(one.pool.type_in_region, 0) + one.instances[-1]
        steps.append(frozenset(running))
    flips = sum(1 for before, after in pairwise(steps) if after - before)
    print(f"{name:38s} other stands after ±5 %: {flips} of {len(steps) - 1} steps ({len(set(steps))} sets of stands)")


def main() -> None:
    """Print the cases named; the quick ones where none is, or everything for ``all`` (a quarter of an hour)."""
    wanted = [] if sys.argv[1:] == ["all"] else sys.argv[1:] or QUICK
    unit = min(fixed_loop() for _ in range(3))
    print(f"unit: a fixed loop of Python, {unit:.2f} s")
    for name, (workload, weekly) in CASES.items():
        if not wanted or name in wanted:
            for scale in SCALES:
                report(name, workload(), scale, unit, weekly=weekly)
    if wanted:
        return
    saved = [pair for name in ("chat", "code") for pair in mixed_savings(name, example(name))]
    saved += mixed_savings("chat with 70B", example("chat", model=LLAMA_70B))
    for at, what in enumerate(("Mélange's mix", "one type")):
        shares = [pair[at] for pair in saved]
        print(f"below {what}: mean {sum(shares) / len(shares):.2%}, most {max(shares):.2%}, least {min(shares):.2%}")
    for name in ("chat", "code"):
        stability(name, example(name))


if __name__ == "__main__":
    main()
