"""The fitted constants, each with its unit and meaning, and the factors of the 80 % intervals.

Origin: one robust least-squares fit on the logarithm of 8,982 published LLM measurements (MLPerf Inference,
TensorRT-LLM documents, Argonne LLM-Inference-Bench, AIConfigurator's silicon sample, AWS Neuron, ROCm, llama.cpp
and others, 197 architecture × accelerator cells), crowded cells weighted down by 1/sqrt(rows); docs/performance.md
says how well it predicts cells that were left out of the fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum

import numpy as np

from advisor.performance.physics import Constants
from advisor.performance.values import Scenario

CALIBRATION_VERSION = "roofline-1"


@dataclass(frozen=True, slots=True)
class Constant:
    """One row of the table."""

    name: str
    value: float
    unit: str
    meaning: str


TABLE = (
    Constant("weight_read", 1.39, "x ideal", "reading weights at the peak memory bandwidth"),
    Constant("kv_read", 1.46, "x ideal", "reading the KV cache at the peak memory bandwidth"),
    Constant("gemm", 1.82, "x ideal", "matrix products at the peak FLOP rate of their precision"),
    Constant("attention", 3.43, "x ideal", "attention products at the 16-bit peak"),
    Constant("link_bytes", 2.1, "x ideal", "all-reduce bytes at the link's bandwidth"),
    Constant("link_hop_s", 5.96e-06, "s", "one hop of an all-reduce"),
    Constant("layer_s", 0.000111, "s", "one layer of one step: kernel launches and small kernels"),
    Constant("moe_layer_s", 2.22e-05, "s", "routing and permutation in one mixture-of-experts layer of one step"),
    Constant("step_s", 0.000862, "s", "one step: scheduler and sampling"),
    Constant("sequence_s", 1.66e-05, "s", "one sequence in one step"),
    Constant("prompt_token_s", 1.94e-07, "s", "one prompt token: tokenising and copying"),
    Constant("request_s", 0.0783, "s", "one request: HTTP, queue, first detokenising"),
    Constant("prefill_mix", 0.719, "share", "of the other users' prefill that falls into a decode step"),
    Constant("step_wait", 2.83, "steps", "that pass before a prefill starts"),
    Constant("burst", 0.116, "share", "of the other users' prompts that arrive at the same moment (closed loop)"),
    Constant("moe_gemm", 1.13, "x dense", "grouped products of a mixture of experts"),
)

FLOORS = {"weight_read": 1.02, "kv_read": 1.02, "gemm": 1.02, "link_bytes": 1.02}
"""Nothing runs faster than its bound, whatever a multiplier says."""

MEMORY = ("weight_read", "kv_read")
ARITHMETIC = ("gemm", "attention")
OVERHEAD = ("layer_s", "moe_layer_s", "step_s")
REQUEST = ("request_s",)
GROUPS = {"memory": MEMORY, "arithmetic": ARITHMETIC, "overhead": OVERHEAD, "request": REQUEST}
"""Constants that one multiplier scales together; finer ones are not identified by the data."""

ENGINE_MULTIPLIERS: dict[str, dict[str, float]] = {
    "trtllm": {"arithmetic": 0.78, "overhead": 0.34, "request": 1.27},
    "vllm": {"arithmetic": 1.26, "overhead": 0.50, "request": 0.40},
    "sglang": {"arithmetic": 1.09, "overhead": 0.80, "request": 1.57},
    "llamacpp": {"memory": 0.84, "arithmetic": 1.39, "overhead": 1.38},
    "deepspeed": {"memory": 0.57, "arithmetic": 1.22, "overhead": 2.24},
}
"""By engine, fitted with the table. Left-out cells support them: without any multiplier TPOT's median error there is
27 % instead of 15 %, and the TTFT's 46 % instead of 36 %."""

STACK_MULTIPLIERS: dict[str, dict[str, float]] = {
    "amd-2024": {"memory": 1.76, "arithmetic": 3.65, "overhead": 3.43},
    "intel-gpu": {"memory": 1.11, "arithmetic": 0.85, "overhead": 39.3},
    "gaudi": {"memory": 1.31, "arithmetic": 0.86, "overhead": 0.31},
    "aws": {"memory": 1.02, "arithmetic": 3.94, "overhead": 1.13},
}
"""By vendor stack, on top of the engine's. Only the product with an engine's multiplier is identified: these are no
efficiencies. ``amd-2024`` is AMD with an engine that names no version, as measured in autumn 2024."""

ENGINE_WORDS = (
    ("llama.cpp", "llamacpp"),
    ("llamacpp", "llamacpp"),
    ("deepspeed", "deepspeed"),
    ("neuron", "neuron"),
    ("nxd", "neuron"),
    ("sglang", "sglang"),
    ("vllm", "vllm"),
    ("atom", "vllm"),
    ("turbomind", "vllm"),
    ("tensorrt", "trtllm"),
    ("nim", "trtllm"),
)
"""Words in an engine's name, first match wins; any other engine gets the global constants."""

UNVERSIONED_IN_2024 = ("vllm", "llama.cpp")
"""Engines that the measurements of autumn 2024 name without a version."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Factors from a prediction to the ends of its 80 % interval."""

    low: float
    high: float


class Quantity(StrEnum):
    """What is predicted."""

    TTFT = "ttft"
    TPOT = "tpot"
    THROUGHPUT = "throughput"
    """Tokens per second."""


SPREADS: dict[Scenario, dict[Quantity, Spread]] = {
    Scenario.FIXED_CONCURRENCY: {
        Quantity.TTFT: Spread(0.45, 3.0),
        Quantity.TPOT: Spread(0.72, 1.42),
        Quantity.THROUGHPUT: Spread(0.75, 1.38),
    },
    Scenario.FIXED_BATCH: {
        Quantity.TTFT: Spread(0.65, 2.1),
        Quantity.TPOT: Spread(0.86, 1.42),
        Quantity.THROUGHPUT: Spread(0.61, 1.36),
    },
    Scenario.SINGLE_STREAM: {
        Quantity.TTFT: Spread(0.55, 1.6),
        Quantity.TPOT: Spread(0.70, 1.48),
        Quantity.THROUGHPUT: Spread(0.68, 1.43),
    },
    Scenario.SATURATED: {
        Quantity.TTFT: Spread(0.45, 3.0),
        Quantity.TPOT: Spread(0.75, 1.36),
        Quantity.THROUGHPUT: Spread(0.74, 1.33),
    },
}
"""The 10th and 90th percentile of measured ÷ predicted over cells that were left out of the fit, cells weighted
1/sqrt(rows)."""


def engine_class(engine: str) -> str:
    """Key of :data:`ENGINE_MULTIPLIERS` for an engine as the user names it, or ""."""
    name = engine.lower()
    return next((key for word, key in ENGINE_WORDS if word in name), "")


def stack_class(vendor: str, accelerator: str, engine: str, engine_version: str) -> str:
    """Key of :data:`STACK_MULTIPLIERS`, or ""."""
    maker = vendor.lower()
    if maker == "amd":
        return "amd-2024" if engine.lower() in UNVERSIONED_IN_2024 and not engine_version else ""
    if accelerator.lower().startswith("gaudi"):
        return "gaudi"
    return {"intel": "intel-gpu", "aws": "aws", "amazon": "aws"}.get(maker, "")


def constants_for(classes: Sequence[tuple[str, str]]) -> Constants:
    """Constants of many replicas.

    Args:
        classes: engine class and stack class of each replica.
    """
    distinct = list(dict.fromkeys(classes))
    position = {key: row for row, key in enumerate(distinct)}
    table = np.array([_scaled(engine, stack) for engine, stack in distinct]).reshape(-1, len(TABLE))
    rows = np.array([position[key] for key in classes], dtype=np.intp)
    columns = table[rows].T
    by_name = dict(zip((constant.name for constant in TABLE), columns, strict=True))
    return Constants(**{field.name: by_name[field.name] for field in fields(Constants)})


def _scaled(engine: str, stack: str) -> list[float]:
    """The table's values for one engine and stack."""
    values = {constant.name: constant.value for constant in TABLE}
    for multipliers in (ENGINE_MULTIPLIERS.get(engine, {}), STACK_MULTIPLIERS.get(stack, {})):
        for group, factor in multipliers.items():
            for name in GROUPS[group]:
                values[name] *= factor
    return [max(values[constant.name], FLOORS.get(constant.name, 0.0)) for constant in TABLE]
