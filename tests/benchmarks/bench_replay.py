"""A million requests through eight replicas: ``PYTHONPATH=tests python tests/benchmarks/bench_replay.py [REQUESTS] [LOAD]``.

Lengths are those of the Azure conversation trace (mean 1,155 prompt and 211 answer tokens), arrivals are random at LOAD
(0.8) of what the replicas sustain. The baseline is a bare loop of the same run: a million pushes and pops of a heap.
"""

import heapq
import resource
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from advisor.data_files import data_dir
from advisor.demand.spread import MONDAY_SECONDS
from advisor.demand.tally import read_summary
from advisor.demand.values import Requests
from advisor.performance.model import shipped_model
from advisor.performance.serving import capacity_at_slo
from advisor.performance.steps import step_times
from advisor.plan.replay.fleet import replay
from advisor.plan.replay.values import ReplayGroup
from advisor.workload.values import Slo
from performance.deployment_builders import make_deployment, pack

REPLICAS = 8
SLO = Slo(ttft_p95_ms=1000, tpot_p95_ms=60)


def baseline_seconds(count: int) -> float:
    """A heap of a hundred numbers, pushed to and popped from so many times."""
    heap = list(range(100))
    started = time.perf_counter()
    for number in range(count):
        heapq.heappush(heap, heapq.heappop(heap) + number)
    return time.perf_counter() - started


def main() -> None:
    """Replay and print seconds, memory and the ratio to the baseline."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    load = float(sys.argv[2]) if len(sys.argv) > 2 else 0.8
    tokens = read_summary(data_dir("instance_catalog").parent / "examples/chat/demand.json").tokens
    deployment, model = make_deployment(), shipped_model()
    packed = pack([deployment])
    rate = float(capacity_at_slo(packed, tokens, SLO, model.open_loop(packed, tokens)).requests_per_second[0])
    rng = np.random.default_rng(0)
    kind = rng.choice(tokens.probability.size, count, p=tokens.probability)
    seconds = MONDAY_SECONDS + np.cumsum(rng.exponential(1 / (load * rate * REPLICAS), count))
    lengths = (np.rint(column[kind]).astype(np.int32) for column in (tokens.input_tokens, tokens.output_tokens))
    group = ReplayGroup("h100", step_times(deployment, model, tokens, 16_384), (REPLICAS,), 1.0)
    started = time.perf_counter()
    found = replay([group], Requests(seconds, *lengths), SLO)
    taken = time.perf_counter() - started
    bare = baseline_seconds(count)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count:,} requests on {REPLICAS} replicas at {load:.0%}: {found.within_slo_ratio:.2%} within the targets")
    print(f"{taken:.1f} s, {count / taken:,.0f} requests/s, {peak_mib:.0f} MiB at the peak")
    print(f"bare heap loop {bare:.2f} s: the replay takes {taken / bare:.1f} times as long")


if __name__ == "__main__":
    main()
