"""How far predicted memory is from published start-up logs: ``python tests/benchmarks/bench_memory.py``."""

from collections import defaultdict
from collections.abc import Iterator

from advisor.catalog import load_catalog
from advisor.data_files import data_dir
from advisor.models import FitRequest, MemoryFit, find_model, fit_memory
from advisor.tables import Row, optional_float, read_rows
from advisor.units import BYTES_PER_GIB

LEFT_OUT = {"run-063"}
"""Runs whose own figures do not add up."""
QUANTITIES = ("weights", "kv bytes per token", "kv cache tokens", "max concurrency")


def log_rows() -> Iterator[Row]:
    """Runs with a start-up log of their own, and everything stated that the prediction needs."""
    for row in read_rows(data_dir("instance_catalog") / "memory_measurements.csv"):
        stated = row["context_tokens"] and row["memory_utilization"]
        if row["quality"] == "listed" and stated and row["id"] not in LEFT_OUT:
            yield row


def predicted(row: Row) -> MemoryFit:
    """The prediction for a run."""
    accelerator = load_catalog().accelerator(row["accelerator"])
    count, tensor_parallel = int(row["accelerator_count"]), int(row["tensor_parallel"])
    request = FitRequest(
        accelerator_memory_gib=optional_float(row["memory_gib"]) or accelerator.memory_gib,
        accelerator_count=count,
        tensor_parallel=tensor_parallel,
        pipeline_parallel=count // tensor_parallel,
        precision=row["precision"],
        kv_precision=row["kv_precision"],
        engine=row["engine"],
        engine_version=row["engine_version"],
        context_tokens=int(row["context_tokens"]),
        memory_utilization=float(row["memory_utilization"]),
        accelerator=accelerator.name,
    )
    return fit_memory(find_model(row["model"]), request)


def compared(row: Row) -> Iterator[tuple[str, float, float]]:
    """Quantity, predicted and measured, for what the log prints."""
    fit, count = predicted(row), int(row["accelerator_count"])
    weights, cache = (
        optional_float(row["weights_gib_per_accelerator"]),
        optional_float(row["kv_cache_gib_per_accelerator"]),
    )
    tokens, concurrency = optional_float(row["kv_cache_tokens"]), optional_float(row["max_concurrency"])
    if weights and count == int(row["tensor_parallel"]):
        yield "weights", fit.weights_gib / count, weights
    if cache and tokens:
        yield "kv bytes per token", fit.kv_bytes_per_token, cache * count * BYTES_PER_GIB / tokens
    if tokens:
        yield "kv cache tokens", fit.kv_cache_tokens, tokens
    if concurrency and concurrency >= 1:
        yield "max concurrency", fit.max_concurrency, int(concurrency)


def errors() -> dict[str, list[tuple[float, str]]]:
    """Relative errors by quantity, with the run they belong to."""
    found: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for row in log_rows():
        for quantity, value, measured in compared(row):
            found[quantity].append((value / measured - 1, f"{row['id']} {row['model']}"))
    return found


def main() -> None:
    """Print mean and largest error of each quantity."""
    found = errors()
    print(f"{'quantity':<20} {'runs':>4} {'mean error':>11} {'largest':>9}  where")
    for quantity in QUANTITIES:
        pairs = found[quantity]
        mean = sum(abs(error) for error, _ in pairs) / len(pairs)
        worst, where = max(pairs, key=lambda pair: abs(pair[0]))
        print(f"{quantity:<20} {len(pairs):>4} {mean:>11.2%} {worst:>+9.1%}  {where}")


if __name__ == "__main__":
    main()
