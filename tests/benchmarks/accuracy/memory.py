"""How far predicted memory is from start-up logs that it was not fitted on: ``python tests/benchmarks/accuracy/memory.py``."""

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from advisor.data_files import data_dir
from advisor.models import fit_memory, memory_range
from advisor.models.memory import EngineMemory, engine_of
from advisor.tables import read_rows
from advisor.units import BYTES_PER_GIB
from benchmarks.accuracy.memory_fit import MemoryRun, held_out, memory_runs

QUANTITIES = (
    "weights",
    "KV bytes per token",
    "KV pool",
    "KV cache tokens",
    "maximum concurrency",
    "tokens of the printed pool",
    "requests in the printed pool",
)


class Error(NamedTuple):
    """A prediction beside what was measured."""

    quantity: str
    relative: float
    run: MemoryRun
    covered: bool
    """Whether the 80 % range holds the measured value; of cache tokens only."""


@lru_cache(maxsize=1)
def table() -> tuple[EngineMemory, ...]:
    """The shipped constants."""
    return tuple(engine_of(row) for row in read_rows(data_dir("instance_catalog") / "memory_engines.csv"))


@lru_cache(maxsize=1)
def runs() -> tuple[MemoryRun, ...]:
    """All runs that state what a prediction needs."""
    return tuple(memory_runs(read_rows(data_dir("instance_catalog") / "memory_measurements.csv")))


SPLITS = {
    "shipped constants (in sample)": None,
    "leave one model out": lambda run: run.architecture,
    "leave one version out": lambda run: run.constants(table()).version_from,
    "leave one accelerator out": lambda run: run.request.accelerator,
}


@lru_cache(maxsize=8)
def errors(split: str) -> tuple[Error, ...]:
    """Relative errors of every run under a split."""
    group = SPLITS[split]
    pairs = held_out(table(), runs(), group) if group else ((run, run.constants(table())) for run in runs())
    return tuple(error for run, engine in pairs for error in compared(run, engine))


def compared(run: MemoryRun, engine: EngineMemory) -> Iterator[Error]:
    """Errors of everything that the log of *run* prints."""
    fit, ranks = fit_memory(run.model, run.request, engine), run.request.accelerator_count
    if run.weights_gib and not run.is_pipeline:
        yield Error("weights", fit.weights_gib / ranks / run.weights_gib - 1, run, covered=False)
    if run.cache_gib and run.cache_tokens and not engine.hybrid_tokens_per_request and not run.is_pipeline:
        printed = run.cache_gib * ranks * BYTES_PER_GIB / run.cache_tokens
        yield Error("KV bytes per token", fit.kv_bytes_per_token / printed - 1, run, covered=False)
    if run.cache_gib and not run.is_pipeline:
        yield Error("KV pool", fit.kv_cache_gib_available / ranks / run.cache_gib - 1, run, covered=False)
    if run.cache_tokens:
        ends = memory_range(run.model, run.request, _as_without_logs(engine))
        inside = ends.kv_cache_tokens_low <= run.cache_tokens <= ends.kv_cache_tokens_high
        yield Error("KV cache tokens", fit.kv_cache_tokens / run.cache_tokens - 1, run, inside)
    if run.max_concurrency and run.max_concurrency >= 1:
        yield Error("maximum concurrency", fit.max_concurrency / int(run.max_concurrency) - 1, run, covered=False)
    yield from _of_printed_pool(run, engine)


def _as_without_logs(engine: EngineMemory) -> EngineMemory:
    """A version that lost all its logs has the range of those that never had one."""
    if engine.runs:
        return engine
    other = next(row for row in table() if not row.runs)
    return replace(engine, overhead_low=other.overhead_low, overhead_high=other.overhead_high)


def _of_printed_pool(run: MemoryRun, engine: EngineMemory) -> Iterator[Error]:
    """Errors of the cache's own arithmetic: with the pool that the log prints instead of the predicted one."""
    if run.cache_gib is None or run.is_pipeline:
        return
    request = run.request
    empty = fit_memory(run.model, replace(request, memory_utilization=1.0), engine)
    taken = (empty.usable_gib - empty.kv_cache_gib_available) / request.accelerator_count
    share = (taken + run.cache_gib) / request.accelerator_memory_gib
    if empty.kv_cache_gib_available and share <= 1:
        fit = fit_memory(run.model, replace(request, memory_utilization=share), engine)
        if run.cache_tokens:
            yield Error("tokens of the printed pool", fit.kv_cache_tokens / run.cache_tokens - 1, run, covered=False)
        if run.max_concurrency and run.max_concurrency >= 1:
            ratio = fit.max_concurrency / int(run.max_concurrency)
            yield Error("requests in the printed pool", ratio - 1, run, covered=False)


def logs(found: Iterable[Error]) -> list[Error]:
    """Those of runs with a log of their own and a stated share of the memory."""
    return [error for error in found if error.run.is_log and error.run.utilization_stated]


def print_table(title: str, found: Iterable[Error]) -> None:
    """Mean, median and largest error of each quantity, and where the largest is."""
    by_quantity: dict[str, list[Error]] = defaultdict(list)
    for error in found:
        by_quantity[error.quantity].append(error)
    print(f"\n{title}\n{'':<30} runs  mean %  median %  largest %")
    for quantity in QUANTITIES:
        if of_quantity := by_quantity[quantity]:
            sizes = [100 * abs(error.relative) for error in of_quantity]
            worst = max(of_quantity, key=lambda error: abs(error.relative))
            request = worst.run.request
            where = f"{worst.run.id} {worst.run.model.name}, vLLM {request.engine_version}, {request.accelerator}"
            mean = f"{fmean(sizes):>6.2f}  {median(sizes):>8.2f}"
            print(f"{quantity:<30} {len(sizes):>4}  {mean}  {100 * worst.relative:>+9.1f}  {where}")
    held = [error.covered for error in by_quantity["KV cache tokens"]]
    if held:
        print(f"the 80 % range of cache tokens holds {sum(held)} of {len(held)}")


def main() -> None:
    """Print a table for each split; for unseen models also by version and for all qualities."""
    for split in SPLITS:
        print_table(f"{split}: logs", logs(errors(split)))
    unseen = logs(errors("leave one model out"))
    for row in table():
        of_version = [error for error in unseen if error.run.constants(table()).version_from == row.version_from]
        if of_version and row.runs:
            print_table(
                f"leave one model out: logs of {row.engine} from {'.'.join(map(str, row.version_from))} on", of_version
            )
    others = [error for error in errors("leave one model out") if not error.run.is_log]
    print_table("figures that people quote, utilisation 0.9 where not stated", others)
    for error in others:
        print(f"    {error.quantity:<30} {100 * error.relative:>+8.1f} %  {error.run.id} {error.run.model.name}")


if __name__ == "__main__":
    main()
