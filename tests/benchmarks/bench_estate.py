"""Wall time and memory of ``advisor recommend DIRECTORY`` for many workloads; prints, asserts nothing.

    python tests/benchmarks/bench_estate.py [COUNT [JOBS [BACKEND]]]

20 workloads without COUNT (200 take a minute): catalogued models of 0.5B to 120B, rates from 0.2 to 60 requests a
second, stated or from two weeks of a made-up trace with day and night, every provider and region, on demand, spot and
commitments; two quotas that they contest, and owned instances that many of them want. Of 200 half contest something.
Times of a machine that is shared with others are also given for a loop of 0.2 s, at which `docs/estate.md` states them.
"""

import random
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from joblib.externals.loky import get_reusable_executor

from advisor.demand.tally import RequestTally, summary_json
from advisor.estate import plan_estate
from advisor.plan.estate.values import Estate
from advisor.processes import Spread

MODELS = (
    "Qwen/Qwen3-0.6B", "meta-llama/Llama-3.2-1B-Instruct", "Qwen/Qwen3-1.7B", "google/gemma-4-E2B-it",
    "meta-llama/Llama-3.2-3B-Instruct", "Qwen/Qwen3.5-4B", "mistralai/Ministral-3-3B-Instruct-2512",
    "HuggingFaceTB/SmolLM3-3B", "meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen3-8B",
    "mistralai/Ministral-8B-Instruct-2410", "ibm-granite/granite-3.3-8b-instruct", "tiiuae/Falcon3-7B-Instruct",
    "01-ai/Yi-1.5-9B-Chat", "mistralai/Mistral-Nemo-Instruct-2407", "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B",
    "openai/gpt-oss-20b", "mistralai/Mistral-Small-24B-Instruct-2501", "Qwen/Qwen3.5-27B", "Qwen/Qwen3-30B-A3B",
    "google/gemma-4-31B-it", "Qwen/Qwen3-32B", "allenai/OLMo-2-0325-32B", "01-ai/Yi-1.5-34B-Chat",
    "mistralai/Mixtral-8x7B-Instruct-v0.1", "meta-llama/Llama-3.1-70B-Instruct", "Qwen/Qwen2-72B-Instruct",
    "zai-org/GLM-4.5-Air", "openai/gpt-oss-120b",
)  # fmt: skip
ESTATE = """\
limits:
  quotas:
    - {provider: aws, region: us-east-1, code: L-DB2E81BA, limit: %d}
    - {provider: aws, region: us-east-1, code: L-417A185B, limit: %d}
    - {provider: gcp, region: us-central1, code: GPUS-ALL-REGIONS, limit: 64}
commitments:
  - {provider: aws, region: us-east-1, instance_type: g6.xlarge, count: %d, expires: 2030-01-01}
"""
USUAL_LOOP_SECONDS = 0.2
DAYS = 14
SECONDS_PER_DAY = 86_400


def write_summaries(folder: Path, draw: np.random.Generator) -> None:
    """Two weeks of made-up requests by day, by night, and all day but not at weekends."""
    monday = 1_767_571_200
    shapes = {
        "day": lambda hour, _: np.clip(np.sin((hour - 7) / 14 * np.pi), 0.05, None),
        "night": lambda hour, _: np.clip(np.cos(hour / 24 * 2 * np.pi), 0.05, None),
        "office": lambda hour, day: np.where((day % 7 < 5) & (hour > 8) & (hour < 18), 1.0, 0.1),
    }
    for name, shape in shapes.items():
        hours = np.arange(DAYS * 24)
        counts = draw.poisson(4_000 * shape(hours % 24, hours // 24))
        seconds = np.sort(np.repeat(hours * 3600.0, counts) + draw.random(counts.sum()) * 3600) + monday
        tally = RequestTally()
        lengths = draw.lognormal(6.3, 0.7, counts.sum()), draw.lognormal(5.0, 0.6, counts.sum())
        tally.add(seconds, *(np.clip(one, 1, 1900).astype(np.int64) for one in lengths))
        (folder / f"{name}.json").write_text(summary_json(tally, f"made up: {name}", "none"))


def write_workloads(folder: Path, count: int) -> None:
    """Workload files, and what they share."""
    draw = random.Random(1)
    write_summaries(folder, np.random.default_rng(1))
    for at in range(count):
        rate = round(0.2 * 300 ** draw.random(), 2)
        demand = {
            "declared": f"{{declared: {{requests_per_second: {rate}, peak_requests_per_second: {rate * 3}, "
            f"input_tokens: {draw.choice([200, 800, 2000])}, output_tokens: {draw.choice([50, 200, 400])}}}}}",
            "trace": f"{{summary: {draw.choice(['day', 'night', 'office'])}.json}}",
        }[draw.choice(["declared", "declared", "trace"])]
        copies = draw.choice([1, 2])
        (folder / f"workload-{at:04d}.yaml").write_text(
            f"name: workload {at}\n"
            f"model: {draw.choice(MODELS)}\n"
            "precisions: [bf16, fp8, int4]\n"
            f"slo: {{ttft_p95: {draw.choice(['500ms', '1s', '2s'])}, tpot_p95: {draw.choice(['30ms', '50ms', '100ms'])}}}\n"
            f"demand: {demand}\n"
            "providers: [aws, gcp, azure, nebius, ibm]\n"
            f"purchase: [{draw.choice(['on_demand', 'on_demand, commitment', 'on_demand, spot, commitment'])}]\n"
            f"limits: {{min_replicas: {copies}, zones: {copies}, fault_tolerant_ratio: {draw.choice([0, 0.5, 1])}}}\n"
        )
    (folder / "estate.yaml").write_text(ESTATE % (max(count // 4, 8), max(count // 2, 32), max(count // 50, 2)))


def loop_seconds() -> float:
    """How long a fixed loop takes: what this machine is worth while it is shared with others."""
    started = time.process_time()
    sum(at * at for at in range(5_000_000))
    return time.process_time() - started


def show(estate: Estate) -> None:
    """What came out."""
    print(estate.totals)
    print([row.message for row in estate.workloads if row.message][:5])
    print(f"together {len(estate.together.workloads)}, gap {estate.together.gap_ratio:.4%}, conflict {estate.conflict}")
    print(f"shared machines {len(estate.shared_machines)}, commitments {len(estate.shared_commitments)}: ")
    for one in (*estate.shared, *estate.shared_commitments[:3], *estate.shared_machines[:3]):
        print("  ", one)
    slow = [row for row in estate.workloads if row.proven is False or row.slo_kept is False]
    print(f"{len(slow)} not proven or below the SLO", slow[:3])


def main() -> None:
    """Plan the estate and print what it took."""
    count, jobs = (int(word) for word in (*sys.argv[1:3], *("20", "2")[len(sys.argv) - 1 :]))
    backend = sys.argv[3] if len(sys.argv) > 3 else "loky"
    stages: Counter[str] = Counter()
    loops = [loop_seconds()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_workloads(folder, count)
        started = last = time.perf_counter()

        def watch(what: str, _done: int, _total: int) -> None:
            nonlocal last
            now = time.perf_counter()
            stages[what] += now - last
            last = now

        estate = plan_estate(folder, Spread(jobs, backend), watch=watch).estate
        wall = time.perf_counter() - started
    get_reusable_executor().shutdown(wait=True)
    loops.append(loop_seconds())
    share = 2 * USUAL_LOOP_SECONDS / sum(loops)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(one.ru_utime + one.ru_stime for one in used)
    own, child = (one.ru_maxrss / 1024**2 for one in used)
    print(f"{count} workloads, {jobs} jobs on {backend}: {wall:.0f} s, processors busy for {cpu / count:.2f} s each")
    print(f"a loop of 5,000,000 takes {loops[0]:.2f} s before and {loops[1]:.2f} s after")
    print(f"{cpu * share / jobs:.0f} s of each of {jobs} processors where that loop takes {USUAL_LOOP_SECONDS} s")
    print(f"peak memory {own:.2f} GiB here, {child:.2f} GiB in the largest worker")
    print({name: f"{seconds:.1f} s" for name, seconds in stages.items()})
    show(estate)


if __name__ == "__main__":
    main()
