"""GuideLLM's ``benchmarks.json``: 0.1 to 0.3 (strategy under ``args``) and 0.4 and later (under ``config``)."""

from collections.abc import Iterator

from advisor.calibration.observations import LeftOut
from advisor.calibration.readers.checks import Cells, Entry, Item, number_at, number_text, text_at, value_at
from advisor.performance.values import Scenario


def is_guidellm(document: object) -> bool:
    """Whether the document is a report of GuideLLM."""
    benchmarks = value_at(document, "benchmarks")
    return isinstance(benchmarks, list) and all(
        isinstance(value_at(benchmark, "metrics"), dict) for benchmark in benchmarks
    )


def read_guidellm(document: object, where: str, told: Cells) -> Iterator[Item]:  # noqa: ARG001 - as every reader
    """One entry per benchmark.

    ``inter_token_latency_ms`` is the time per token after the first; what GuideLLM calls time per output token counts
    the first one too.
    """
    benchmarks = value_at(document, "benchmarks")
    for index, benchmark in enumerate(benchmarks if isinstance(benchmarks, list) else []):
        yield _entry(benchmark, f"{where}#{index}", text_at(document, "args", "model"))


def _entry(benchmark: object, where: str, model: str) -> Item:
    strategy = value_at(benchmark, "config", "strategy") or value_at(benchmark, "args", "strategy")
    kind = text_at(strategy, "type_") or text_at(strategy, "type")
    load = _load(kind, strategy, benchmark)
    if load is None:
        rate = number_text(number_at(strategy, "rate"))
        return LeftOut(where, f"requests arrive on their own ({kind} {rate}/s) and no mean concurrency is stated")
    scenario, users = load
    counts = _request_counts(benchmark)
    return Entry(
        where,
        {
            "model": text_at(benchmark, "worker", "backend_model")
            or text_at(benchmark, "config", "backend", "model")
            or model,
            "scenario": scenario,
            "concurrency": number_text(users),
            "input_tokens": number_text(_mean(benchmark, "prompt_token_count")),
            "output_tokens": number_text(_mean(benchmark, "output_token_count")),
            "ttft_ms": number_text(_mean(benchmark, "time_to_first_token_ms")),
            "tpot_ms": number_text(_mean(benchmark, "inter_token_latency_ms")),
            "output_tokens_per_second": number_text(_mean(benchmark, "output_tokens_per_second")),
        },
        completed=number_at(counts, "successful"),
        failed=number_at(counts, "errored") or 0.0,
    )


def _load(kind: str, strategy: object, benchmark: object) -> tuple[Scenario, float | None] | None:
    """The scenario and its users; None for arrivals without a measured concurrency."""
    match kind:
        case "synchronous":
            return Scenario.SINGLE_STREAM, None
        case "throughput":
            return Scenario.SATURATED, None
        case "concurrent":
            return Scenario.FIXED_CONCURRENCY, number_at(strategy, "streams")
        case _:
            users = _mean(benchmark, "request_concurrency")
            return None if users is None else (Scenario.FIXED_CONCURRENCY, users)


def _mean(benchmark: object, metric: str) -> float | None:
    """Mean over the successful requests, or their median."""
    successful = value_at(benchmark, "metrics", metric, "successful")
    mean = number_at(successful, "mean")
    return number_at(successful, "median") if mean is None else mean


def _request_counts(benchmark: object) -> object:
    return (
        value_at(benchmark, "metrics", "request_totals")
        or value_at(benchmark, "request_totals")
        or value_at(benchmark, "total_count")
    )
