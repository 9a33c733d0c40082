"""Results of load generators: vLLM's and SGLang's clients, AIPerf and genai-perf, GuideLLM.

``benchmark_serving.py``, ``vllm bench serve`` and ``sglang.bench_serving`` write the same fields. ``--metadata`` pairs
with the names of our columns (``accelerator=H100-SXM``) are taken as such.
"""

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from advisor.calibration.observations import LeftOut
from advisor.calibration.readers.checks import (
    DESCRIBE_SPECULATION,
    Cells,
    Entry,
    Item,
    list_at,
    milliseconds_per,
    number_at,
    number_text,
    quotient,
    text_at,
    value_at,
)
from advisor.errors import InputError
from advisor.performance import Scenario
from advisor.performance.setups import SETUP_COLUMNS, finite_number
from advisor.records import dataclass, field
from advisor.units import MS_PER_SECOND

_METRIC = re.compile(r"(?P<name>[^()]+?)\s*(?:\((?P<unit>[^()]*)\))?")
_PER_SECOND = re.compile(r"(tokens|requests)?\s*(/|per)\s*(s|sec|second)")
_EXCLUDED = "exclude_from_results"
_CLOSED_LOOP = "concurrency"
"""Kind of a phase whose users each ask again as soon as they are answered."""


def is_aiperf(document: object) -> bool:
    """Whether the document is an aggregated export of AIPerf or genai-perf."""
    metrics = value_at(document, "records") or document
    return all(isinstance(value_at(metrics, f"request_{name}"), dict) for name in ("throughput", "latency"))


def is_aiperf_table(text: str) -> bool:
    """Whether the text is the CSV export of AIPerf or genai-perf."""
    return text.startswith("Metric,")


def read_aiperf(document: object, where: str, told: Cells) -> Iterator[Item]:  # noqa: ARG001 - as every reader
    """The one entry of an export, and what of it states no unit that is known."""
    metrics = _Metrics(value_at(document, "records") or document, where)
    config = value_at(document, "input_config")
    load = _users(config, metrics)
    if isinstance(load, str):
        yield LeftOut(where, load)
        return
    answers = metrics.plain("output_sequence_length")
    rate = "samples_per_second" if answers is None else "output_tokens_per_second"
    throughput = metrics.per_second("request_throughput" if answers is None else "output_token_throughput")
    cells = {
        "model": _model(config),
        "scenario": Scenario.FIXED_CONCURRENCY,
        "concurrency": number_text(load),
        "input_tokens": number_text(metrics.plain("input_sequence_length")),
        "output_tokens": number_text(answers),
        "ttft_ms": number_text(metrics.milliseconds("time_to_first_token")),
        "tpot_ms": number_text(metrics.milliseconds("inter_token_latency")),
        rate: number_text(throughput),
    }
    yield from metrics.complaints
    yield Entry(where, cells, metrics.plain("request_count"), _errors(document, metrics))


def _table_rows(text: str, path: Path) -> Iterator[list[str]]:
    rows = csv.reader(io.StringIO(text))
    try:
        yield from rows
    except csv.Error as error:
        raise InputError(f"this is not a CSV table: {error}", where=f"{path}:{rows.line_num}") from error


def read_aiperf_table(text: str, path: Path, told: Cells) -> Iterator[Item]:
    """The one entry of a CSV export, which names neither the model nor the users."""
    metrics: dict[str, Mapping[str, str]] = {}
    header: list[str] = []
    for row in _table_rows(text, path):
        if row[:1] == ["Metric"]:
            header = row
        elif len(row) == len(header) and (match := _METRIC.fullmatch(row[0])):
            cells = dict(zip(header, (cell.replace(",", "") for cell in row), strict=True))
            tag = match["name"].lower().replace(" ", "_")
            mean = cells.get("avg", cells.get("Value", ""))
            metrics.setdefault(tag, cells | {"unit": match["unit"] or "", "avg": mean})
    yield from read_aiperf(metrics, str(path), told)


@dataclass(slots=True)
class _Metrics:
    """Reads metrics by tag and unit; remembers those whose unit is not known."""

    metrics: object
    where: str
    complaints: list[LeftOut] = field(default_factory=list)

    def plain(self, tag: str) -> float | None:
        """Mean, or median, of a metric that counts."""
        mean = number_at(self.metrics, tag, "avg")
        return number_at(self.metrics, tag, "p50") if mean is None else mean

    def milliseconds(self, tag: str) -> float | None:
        """Mean, or median, of a time."""
        return self._scaled(tag, milliseconds_per(text_at(self.metrics, tag, "unit")))

    def per_second(self, tag: str) -> float | None:
        """Mean of a rate."""
        return self._scaled(tag, 1.0 if _PER_SECOND.fullmatch(text_at(self.metrics, tag, "unit")) else None)

    def _scaled(self, tag: str, factor: float | None) -> float | None:
        value = self.plain(tag)
        if value is None:
            return None
        if factor is None:
            unit = text_at(self.metrics, tag, "unit")
            told = f"{value:g} has the unit '{unit}', which is not known"
            self.complaints.append(LeftOut(f"{self.where}: {tag}", told))
            return None
        return value * factor


def _users(config: object, metrics: _Metrics) -> float | str | None:
    """Users as configured; for arrivals at a rate, their mean by Little's law; or why neither is known."""
    if _arrivals(config):
        rate, latency = metrics.per_second("request_throughput"), metrics.milliseconds("request_latency")
        if rate is None or latency is None:
            return "requests arrived at a rate, and without throughput and latency the mean concurrency is unknown"
        return rate * latency / MS_PER_SECOND
    stated = _stated(config, "concurrency")
    if len(stated) > 1:
        return f"several concurrencies are configured: {', '.join(f'{users:g}' for users in sorted(stated))}"
    return next(iter(stated), None)


def _arrivals(config: object) -> bool:
    """Whether requests were sent at a rate or by a schedule, not as soon as others were answered."""
    phases = (phase for phase in list_at(config, "phases") if value_at(phase, _EXCLUDED) is not True)
    kinds = {text_at(phase, "type") for phase in phases}
    scheduled = value_at(config, "input", "fixed_schedule") is True
    return bool(_stated(config, "request_rate")) or scheduled or bool(kinds - {_CLOSED_LOOP})


def _stated(node: object, key: str) -> set[float]:
    """Numbers under *key* anywhere in a configuration: every version nests them elsewhere."""
    if isinstance(node, list):
        return set[float]().union(*(_stated(child, key) for child in node))
    if not isinstance(node, dict) or value_at(node, _EXCLUDED) is True:
        return set()
    numbers = map(number_at, list_at(node, key) or [node.get(key)])
    own = {number for number in numbers if number is not None}
    return own.union(*(_stated(child, key) for child in node.values()))


def _model(config: object) -> str:
    """The model's name, where exactly one is configured."""
    named = [text_at(item, "name") for item in list_at(config, "models", "items")]
    names = named or value_at(config, "endpoint", "model_names") or value_at(config, "model_names")
    names = names or value_at(config, "model")
    if isinstance(names, str):
        return names
    return str(names[0]) if isinstance(names, list) and len(names) == 1 else ""


def _errors(document: object, metrics: _Metrics) -> float:
    counted = metrics.plain("error_request_count")
    listed = (number_at(entry, "count") or 0.0 for entry in list_at(document, "error_summary"))
    return sum(listed) if counted is None else counted


def is_guidellm(document: object) -> bool:
    """Whether the document is a report of GuideLLM."""
    benchmarks = value_at(document, "benchmarks")
    is_list = isinstance(benchmarks, list)
    return is_list and all(isinstance(value_at(each, "metrics"), dict) for each in list_at(document, "benchmarks"))


def read_guidellm(document: object, where: str, told: Cells) -> Iterator[Item]:  # noqa: ARG001 - as every reader
    """One entry per benchmark.

    ``inter_token_latency_ms`` is the time per token after the first; what GuideLLM calls time per output token counts
    the first one too.
    """
    for index, benchmark in enumerate(list_at(document, "benchmarks")):
        yield _entry(benchmark, f"{where}#{index}", text_at(document, "args", "model"))


def _entry(benchmark: object, where: str, model: str) -> Item:
    strategy = value_at(benchmark, "config", "strategy") or value_at(benchmark, "args", "strategy")
    kind = text_at(strategy, "type_") or text_at(strategy, "type")
    load = _load(kind, strategy, benchmark)
    if load is None:
        rate = number_text(number_at(strategy, "rate"))
        return LeftOut(where, f"requests arrive on their own ({kind} {rate}/s) and no mean concurrency is stated")
    scenario, users = load
    totals = value_at(benchmark, "metrics", "request_totals") or value_at(benchmark, "request_totals")
    counts = totals or value_at(benchmark, "total_count")
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


_ENGINE_OF_BACKEND = {"sglang": "SGLang", "tensorrt-llm": "TensorRT-LLM", "trt": "TensorRT-LLM", "tgi": "TGI"}
"""Clients with an interface of their own; ``vllm`` and ``openai`` are what any engine is asked through."""
_PLAIN_ACCEPTANCE = 1.05
"""Tokens per step up to which nothing was speculated."""
_TOKEN_TOLERANCE = 0.02
"""By how much the stated tokens of a request may differ from the measured ones (special tokens)."""

_Load = tuple[Scenario, float | None]


def is_serving_result(document: object) -> bool:
    """Whether the document is a result of a serving client."""
    return number_at(document, "completed") is not None and number_at(document, "request_throughput") is not None


def is_throughput_result(document: object) -> bool:
    """Whether the document is a result of the throughput benchmark."""
    return number_at(document, "elapsed_time") is not None and number_at(document, "total_num_tokens") is not None


def is_latency_result(document: object) -> bool:
    """Whether the document is a result of the latency benchmark."""
    return number_at(document, "avg_latency") is not None and isinstance(value_at(document, "latencies"), list)


def read_serving(document: object, where: str, told: Cells) -> Iterator[Item]:
    """The one entry of a serving client's result."""
    accepted = number_at(document, "spec_decode_acceptance_length") or number_at(document, "accept_length") or 1.0
    load = _serving_load(document)
    if isinstance(load, str):
        yield LeftOut(where, load)
        return
    completed = number_at(document, "completed")
    answers = number_at(document, "total_output_tokens")
    metadata = {name: _plain(value_at(document, name)) for name in SETUP_COLUMNS}
    cells = metadata | {
        "model": metadata["model"] or text_at(document, "model_id"),
        "engine": metadata["engine"] or _ENGINE_OF_BACKEND.get(text_at(document, "backend"), ""),
        "scenario": load[0],
        "concurrency": number_text(load[1]),
        "input_tokens": number_text(quotient(number_at(document, "total_input_tokens"), completed)),
        "output_tokens": number_text(quotient(answers, completed)),
        "ttft_ms": number_text(_statistic(document, "ttft")),
        "tpot_ms": number_text(_statistic(document, "tpot")),
        "output_tokens_per_second": number_text(number_at(document, "output_throughput")),
        "samples_per_second": number_text(number_at(document, "request_throughput")) if answers is None else "",
    }
    if accepted > _PLAIN_ACCEPTANCE and not (cells["draft_tokens"] or told.get("draft_tokens")):
        yield LeftOut(where, f"{accepted:.2f} tokens were accepted per step: {DESCRIBE_SPECULATION}")
        return
    yield Entry(where, cells, number_at(document, "completed"), _failed(document))


def read_throughput(document: object, where: str, told: Cells) -> Iterator[Item]:
    """All prompts given at once; the file counts tokens together, so the answer's length must be told."""
    answer = _given(told, "output_tokens")
    elapsed, requests = number_at(document, "elapsed_time"), number_at(document, "num_requests")
    tokens = quotient(number_at(document, "total_num_tokens"), requests)
    if answer is None or tokens is None:
        yield LeftOut(where, "the file counts prompt and answer together; give --output-tokens")
        return
    prompt = _given(told, "input_tokens")
    if tokens <= answer or (prompt is not None and abs(prompt + answer - tokens) > _TOKEN_TOLERANCE * tokens):
        lengths = f"{prompt:g} + {answer:g}" if prompt is not None else f"{answer:g} for the answer alone"
        yield LeftOut(where, f"a request has {tokens:g} tokens in the file, not {lengths} as given")
        return
    yield Entry(
        where,
        {
            "engine": "vLLM",
            "scenario": Scenario.SATURATED,
            "input_tokens": number_text(tokens - answer),
            "output_tokens": number_text(answer),
            "output_tokens_per_second": number_text(quotient(answer * (requests or 0.0), elapsed)),
        },
    )


def read_latency(document: object, where: str, told: Cells) -> Iterator[Item]:
    """A batch from its start to its last token; the file states neither the batch nor the lengths."""
    batch, answer = _given(told, "concurrency"), _given(told, "output_tokens")
    if batch is None or answer is None or _given(told, "input_tokens") is None:
        reason = "the file states no batch and no lengths; give --concurrency, --input-tokens, --output-tokens"
        yield LeftOut(where, reason)
        return
    rate = number_text(quotient(batch * answer, number_at(document, "avg_latency")))
    yield Entry(where, {"engine": "vLLM", "scenario": Scenario.FIXED_BATCH, "output_tokens_per_second": rate})


def _serving_load(document: object) -> _Load | str:
    """Scenario and users, or why they are not known.

    Without a rate all requests are sent as soon as the limit allows it: a closed loop, or one batch when the limit is
    not below their number. With a rate the mean number of users is rate × mean latency (Little).
    """
    if text_at(document, "ramp_up_strategy"):
        return f"the request rate was ramped up ({text_at(document, 'ramp_up_strategy')}): no single load was measured"
    users, sent = number_at(document, "max_concurrency"), _sent(document)
    rate = number_at(document, "request_rate")
    if rate is None and users is None:
        return "the file states neither a request rate nor a limit of concurrent requests"
    if rate is None or math.isinf(rate):
        if users is None or (sent is not None and users >= sent):
            return Scenario.FIXED_BATCH, sent
        return Scenario.FIXED_CONCURRENCY, users
    latency = _statistic(document, "e2el") or _statistic(document, "e2e_latency")
    throughput = number_at(document, "request_throughput")
    if latency is None or throughput is None:
        return (
            f"requests arrived at {rate:g}/s and no end-to-end latency is stated, so the mean concurrency is unknown; "
            "measure with --percentile-metrics ttft,tpot,itl,e2el"
        )
    return Scenario.FIXED_CONCURRENCY, throughput * latency / MS_PER_SECOND


def _statistic(document: object, metric: str) -> float | None:
    mean = number_at(document, f"mean_{metric}_ms")
    return number_at(document, f"median_{metric}_ms") if mean is None else mean


def _sent(document: object) -> float | None:
    """Requests sent: as asked for, else those that ended."""
    asked = number_at(document, "num_prompts")
    return asked if asked is not None else number_at(document, "completed")


def _failed(document: object) -> float:
    """Requests that failed: as counted, else those that did not complete."""
    counted = number_at(document, "failed")
    uncounted = max((_sent(document) or 0.0) - (number_at(document, "completed") or 0.0), 0.0)
    return uncounted if counted is None else counted


def _plain(value: object) -> str:
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _given(told: Cells, column: str) -> float | None:
    cell = told.get(column, "")
    return finite_number(column, cell) if cell else None
