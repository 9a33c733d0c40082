"""Results of ``vllm bench serve``, ``throughput`` and ``latency``, of the scripts before them, and of SGLang's client.

``benchmark_serving.py``, ``vllm bench serve`` and ``sglang.bench_serving`` write the same fields. ``--metadata`` pairs
with the names of our columns (``accelerator=H100-SXM``) are taken as such.
"""

import math
from collections.abc import Iterator

from advisor.calibration.observations import LeftOut
from advisor.calibration.readers.checks import (
    DESCRIBE_SPECULATION,
    Cells,
    Entry,
    Item,
    number_at,
    number_text,
    quotient,
    text_at,
    value_at,
)
from advisor.performance.setup_cells import SETUP_COLUMNS, finite_number
from advisor.performance.values import Scenario
from advisor.units import MS_PER_SECOND

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
    cells = _serving_cells(document, load)
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
        yield LeftOut(
            where, "the file states no batch and no lengths; give --concurrency, --input-tokens, --output-tokens"
        )
        return
    rate = quotient(batch * answer, number_at(document, "avg_latency"))
    yield Entry(
        where,
        {"engine": "vLLM", "scenario": Scenario.FIXED_BATCH, "output_tokens_per_second": number_text(rate)},
    )


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


def _serving_cells(document: object, load: _Load) -> Cells:
    completed = number_at(document, "completed")
    answers = number_at(document, "total_output_tokens")
    metadata = {name: _plain(value_at(document, name)) for name in SETUP_COLUMNS}
    return metadata | {
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
    if counted is not None:
        return counted
    return max((_sent(document) or 0.0) - (number_at(document, "completed") or 0.0), 0.0)


def _plain(value: object) -> str:
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _given(told: Cells, column: str) -> float | None:
    cell = told.get(column, "")
    return finite_number(column, cell) if cell else None
