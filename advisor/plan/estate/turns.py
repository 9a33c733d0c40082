"""Turns on a shared accelerator, or equal parts of it by MPS: among how many tenants a workload keeps its targets.

Turns: CUDA gives all processes of a GPU that have work an equal share of its time (README of NVIDIA's device plugin,
read in November 2026): of n tenants each has at least an n-th, whatever the others send. On an n-th of the time a
replica is one whose clock runs n times slower: it keeps its targets where one of its own keeps an n-th of them at n
times the rate. Nothing of the neighbours counts but their number, and kinds of models may mix.

Parts: NVIDIA's device plugin limits each of n clients of an MPS server to 100 ÷ n percent of the threads, rounded down
to whole percents, and to an n-th of the memory (``activeThreadPercentage`` and ``perDevicePinnedDeviceMemoryLimits`` of
its MPS daemon, release 0.20). Kernels of all run at once, so nothing is lost to switching; but caches and memory
bandwidth are not divided, and no published figure bounds what neighbours take of them. The same headroom stays for
that, and of the bandwidth each is taken to have no larger part than of the threads. A part is therefore never planned
to be faster than a turn.
"""

from collections.abc import Sequence
from enum import StrEnum

from advisor.candidates import Candidate
from advisor.performance.model import PerformanceModel
from advisor.performance.queueing import bursts_of
from advisor.performance.stage import rates_within
from advisor.plan.sharing import HEADROOM
from advisor.records import replace
from advisor.requirements import Requirements
from advisor.workload.values import Slo

MOST_SHARERS = 8
"""Tenants of one accelerator at most: MPS takes 48 clients, ``most_clients`` in deployment_limits.csv."""


class Way(StrEnum):
    """Way in which tenants share an accelerator that is not cut."""

    TURNS = "turns"
    """The whole accelerator, one after another."""
    MPS = "mps"
    """At once, each within an equal part of its threads and memory."""


def most_sharers(
    candidates: Sequence[Candidate],
    rate: float,
    asked: Requirements,
    model: PerformanceModel,
    way: Way = Way.TURNS,
) -> list[int]:
    """The most tenants, itself among them, beside whom a replica of each candidate keeps the targets; 1: alone.

    Args:
        candidates: whole accelerators, on which it keeps them alone.
        rate: requests per second that a replica carries.
        asked: targets and lengths.
        model: what predicts.
        way: turns, or parts.
    """
    spread = [times_slower(sharers, way) for sharers in range(2, MOST_SHARERS + 1)]
    cases = [(asked.demand.tokens, on_a_part(asked.workload.slo, times)) for times in spread]
    sustained = rates_within(candidates, asked, model, cases, bursts_of(asked.demand))
    found = []
    for at in range(len(candidates)):
        kept = [bool(sustained[row, at] >= rate * times) for row, times in enumerate(spread)]
        found.append(1 + next((row for row, is_kept in enumerate(kept) if not is_kept), len(kept)))
    return found


def times_slower(sharers: int, way: Way = Way.TURNS) -> float:
    """How many times slower the clock of one of several tenants runs; that of one who is alone as ever."""
    if sharers <= 1:
        return 1.0
    parts = sharers if way is Way.TURNS else 100 / thread_percent(sharers)
    return parts / (1 - HEADROOM)


def thread_percent(sharers: int) -> int:
    """Percent of an accelerator's threads that MPS lets each of several clients use."""
    return 100 // sharers


def part_gib(accelerator_gib: float, sharers: int) -> float:
    """GiB that MPS lets each of several clients of an accelerator allocate."""
    return accelerator_gib / sharers


def on_a_part(slo: Slo, times: float) -> Slo:
    """Targets as a clock shows them that runs so many times slower."""

    def part(target: float | None) -> float | None:
        return None if target is None else target / times

    return replace(
        slo,
        ttft_p95_ms=part(slo.ttft_p95_ms),
        tpot_p95_ms=part(slo.tpot_p95_ms),
        e2e_p95_ms=part(slo.e2e_p95_ms),
        latency_ms=part(slo.latency_ms),
        real_time_factor=part(slo.real_time_factor),
    )
