"""The constants of the physics: name, unit and meaning of each, and what scales them together.

Their values are data: ``instance_catalog/calibration/constants.csv``, fitted by :mod:`advisor.calibration.fits`.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache

import numpy as np

from advisor.catalog.processors import CPU
from advisor.performance.physics import Constants
from advisor.performance.processors import CONSTANTS as PROCESSOR_CONSTANTS
from advisor.records import dataclass, fields


@dataclass(frozen=True, slots=True)
class Constant:
    """One row of the table."""

    name: str
    usual: float
    """Where the fit starts, and what it is held to where the data says nothing."""
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

ENGINES = ("trtllm", "vllm", "sglang", "llamacpp", "deepspeed", "neuron")
"""Engine classes with multipliers of their own: without any, TPOT's median error on left-out cells nearly doubles."""
STACKS = ("amd-2024", "intel-gpu", "gaudi", "aws", "amd")
"""Vendor stacks with multipliers on top of the engine's. Only their product is identified: these are not efficiencies.
``amd-2024`` is AMD with an engine that names no version, as measured in autumn 2024."""
STACK_GROUPS = ("memory", "arithmetic", "overhead")

ENGINE_WORDS = (
    ("llama.cpp", "llamacpp"), ("llamacpp", "llamacpp"), ("deepspeed", "deepspeed"), ("neuron", "neuron"),
    ("nxd", "neuron"), ("sglang", "sglang"), ("vllm", "vllm"), ("atom", "vllm"), ("turbomind", "vllm"),
    ("tensorrt", "trtllm"), ("nim", "trtllm"),
)  # fmt: skip
"""Words in an engine's name, first match wins; any other engine gets the global constants."""

CPUS = ("epyc", "graviton", "xeon")
"""How the catalog's processors begin."""

UNVERSIONED_IN_2024 = ("vllm", "llama.cpp")
"""Engines that the measurements of autumn 2024 name without a version."""


class Quantity(StrEnum):
    """Predicted quantity."""

    TTFT = "ttft"
    TPOT = "tpot"
    THROUGHPUT = "throughput"
    """Tokens per second."""


@cache
def engine_class(engine: str) -> str:
    """Key of :data:`ENGINE_MULTIPLIERS` for an engine as the user names it, or ""."""
    name = engine.lower()
    return next((key for word, key in ENGINE_WORDS if word in name), "")


def is_cpu(accelerator: str) -> bool:
    """Whether a catalogued name is a processor's: a fallback for small models, of which nothing was measured."""
    return accelerator.lower().startswith(CPUS)


@cache
def stack_class(vendor: str, accelerator: str, engine: str, engine_version: str) -> str:
    """Key of :data:`STACK_MULTIPLIERS`, or ""."""
    if is_cpu(accelerator):
        return ""
    maker = vendor.lower()
    if maker == CPU:
        return CPU
    if maker == "amd":
        return "amd-2024" if engine.lower() in UNVERSIONED_IN_2024 and not engine_version else "amd"
    if accelerator.lower().startswith("gaudi"):
        return "gaudi"
    return {"intel": "intel-gpu", "aws": "aws", "amazon": "aws"}.get(maker, "")


@dataclass(frozen=True, slots=True)
class ConstantTable:
    """Fitted values, by name; multipliers by engine class or vendor stack, then by group."""

    base: Mapping[str, float]
    multipliers: Mapping[str, Mapping[str, float]]

    def constants_for(self, classes: Sequence[tuple[str, str]]) -> Constants:
        """Constants of many replicas, by their engine classes and stack classes."""
        distinct = list(dict.fromkeys(classes))
        position = {key: row for row, key in enumerate(distinct)}
        table = np.array([self._scaled(key) for key in distinct]).reshape(-1, len(TABLE))
        rows = np.array([position[key] for key in classes], dtype=np.intp)
        by_name = dict(zip((constant.name for constant in TABLE), table[rows].T, strict=True))
        return Constants(**{field.name: by_name[field.name] for field in fields(Constants)})

    def _scaled(self, key: tuple[str, str]) -> list[float]:
        """The values for one engine and stack."""
        values = dict(self.base)
        if key[1] == CPU:
            return [PROCESSOR_CONSTANTS.get(constant.name, values[constant.name]) for constant in TABLE]
        for name in key:
            for group, factor in self.multipliers.get(name, {}).items():
                for constant in GROUPS[group]:
                    values[constant] *= factor
        return [max(values[constant.name], FLOORS.get(constant.name, 0.0)) for constant in TABLE]
