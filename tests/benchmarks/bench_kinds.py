"""Plans of each kind of model that answers in one pass, beside one of a language model of the same run.

Run it with ``python tests/benchmarks/bench_kinds.py``; it prints processor seconds, their ratio to the language model's,
USD a month and the fleet, and asserts nothing. With ``--replicas`` it prints, over kinds, accelerators and loads, the
replicas that the closed form asks for over the least that a replay of one of them, in turn, confirms (half a minute).
"""

import math
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from advisor.candidates import match
from advisor.catalog import load_catalog
from advisor.performance.model import shipped_model
from advisor.performance.one_pass.serving import BatchTimes, rates_of
from advisor.performance.queueing import Bursts
from advisor.performance.stage import one_pass_stage, serve
from advisor.pipeline import question_for, recommend
from advisor.plan.replay.engine import batch_ends
from advisor.plan.request import catalog_of_question, requirements_of
from advisor.report.words import short_words
from advisor.requirements import Requirements
from advisor.workload.document import read_workload

LOADS = (0.2, 1.0, 5.0, 30.0)
"""Times the declared rate."""
EVERY = 5
"""One in so many of the different replicas is looked at."""
REQUESTS = 3_000
FEW = 5
"""Fleets of fewer replicas are whole numbers too far apart to compare."""

CHAT = ("meta-llama/Llama-3.1-8B-Instruct", "5, input_tokens: 800, output_tokens: 200", "ttft_p95: 1s, tpot_p95: 50ms")
KINDS = (
    ("BAAI/bge-m3", "50, input_tokens: 512", "latency_p95: 200ms"),
    ("BAAI/bge-reranker-v2-m3", "37.5, documents: 23, tokens_per_document: 512", "latency_p95: 1s"),
    ("intfloat/e5-mistral-7b-instruct", "10, input_tokens: 800", "latency_p95: 1s"),
    ("Qwen/Qwen3-Embedding-8B", "10, input_tokens: 800", "latency_p95: 1s"),
    ("openai/whisper-large-v3", "2, audio_seconds: 45", "real_time_factor: 0.2"),
    (
        "stabilityai/stable-diffusion-xl-base-1.0",
        "0.2, steps: 20, images: {width: 1024, height: 1024}",
        "latency_p95: 20s",
    ),
    ("google/vit-base-patch16-224", "500", "latency_p99: 50ms"),
    ("resnet50", "20", "latency_p95: 100ms"),
    ("YOLO v4", "20", "latency_p95: 100ms"),
)


def question_text(model: str, declared: str, slo: str, scope: str) -> str:
    """A workload file."""
    return (
        f"name: a\nmodel: {model}\nslo: {{{slo}}}\ndemand:\n  declared: {{requests_per_second: {declared}}}\n{scope}\n"
    )


def least(requirements: Requirements, times: BatchTimes, limit_s: float, rate: float) -> int:
    """Least replicas of which one holds its share of a rate of requests that go round them in turn."""
    tokens, wanted = requirements.demand.tokens, requirements.workload.slo.rehearsed_ratio
    sizes, items = (np.full(REQUESTS, int(of[0]), dtype=np.int32) for of in (tokens.input_tokens, tokens.output_tokens))

    def holds(replicas: int) -> bool:
        arrivals = np.cumsum(np.random.default_rng(5).gamma(replicas, 1 / rate, REQUESTS))
        within = batch_ends(times, arrivals, sizes, items) - arrivals <= limit_s
        return bool(within.mean() >= wanted)

    low, high = 0, 1
    while not holds(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def compared(folder: Path, kind: tuple[str, str, str]) -> Iterator[tuple[int, int]]:
    """Replicas by the closed form and by a replay, for each accelerator and load."""
    path = folder / "workload.yaml"
    path.write_text(question_text(*kind, "providers: [aws, gcp, azure]"))
    question = question_for(read_workload(path), load_catalog(), shipped_model())
    catalog = catalog_of_question(question, load_catalog())
    requirements = requirements_of(question, catalog)
    slo, demand = requirements.workload.slo, requirements.demand
    limit_s = min(
        slo.latency_ms or math.inf, (slo.real_time_factor or math.inf) * float(demand.tokens.input_tokens[0])
    ) / 1000  # fmt: skip
    served, _ = serve(match(requirements, catalog).candidates, requirements, shipped_model())
    stage = one_pass_stage(requirements)
    each = {
        (option.candidate.accelerator.name, option.candidate.engine, option.candidate.precision): stage.times(
            option.candidate
        )
        for option in served
    }  # fmt: skip
    times = list(each.values())[::EVERY]
    for load in LOADS:
        rate = demand.requests_per_second.peak * load
        rates = rates_of([replica.replica for replica in times], requirements, demand.tokens, slo, Bursts(1.0, rate))
        for replica, sustained in zip(times, rates.tolist(), strict=True):
            if sustained > 0:
                yield math.ceil(rate / sustained), least(requirements, replica, limit_s, rate)


def print_replicas(folder: Path) -> None:
    """A line for each kind, and one for all."""
    every: list[float] = []
    for kind in KINDS:
        ratios = [closed / replayed for closed, replayed in compared(folder, kind) if replayed >= FEW]
        every += ratios
        print(f"{kind[0]}: {_spread(ratios)}" if ratios else f"{kind[0]}: no fleet of {FEW} replicas")
    print(f"all: {_spread(every)}")


def _spread(ratios: list[float]) -> str:
    low, middle, high = np.quantile(ratios, [0.05, 0.5, 0.95])
    return (
        f"{len(ratios)} fleets, closed form / replay {middle:.2f} in the median, {low:.2f} to {high:.2f} in nine of ten, "
        f"{min(ratios):.2f} to {max(ratios):.2f} in all"
    )


def planned(folder: Path, model: str, declared: str, slo: str) -> tuple[float, str]:
    """Processor seconds of a plan, and the plan in words."""
    path = folder / "workload.yaml"
    path.write_text(question_text(model, declared, slo, "providers: [aws]\nregions: [us-east-1]"))
    started = time.process_time()
    plan = recommend(path)
    seconds = time.process_time() - started
    fleet = plan.fleet
    told = "nothing" if fleet is None else f"${fleet.cost.total_usd_per_month:,.2f}, {short_words(fleet)}"
    return seconds, told


def main() -> None:
    """Plan each kind and print a line for it."""
    with tempfile.TemporaryDirectory() as folder:
        if "--replicas" in sys.argv:
            print_replicas(Path(folder))
            return
        planned(Path(folder), *CHAT)
        baseline, told = planned(Path(folder), *CHAT)
        print(f"{CHAT[0]}: {baseline:.2f} s; {told}")
        for kind in KINDS:
            seconds, told = planned(Path(folder), *kind)
            print(f"{kind[0]}: {seconds:.2f} s, {seconds / baseline:.2f} times; {told}")


if __name__ == "__main__":
    main()
