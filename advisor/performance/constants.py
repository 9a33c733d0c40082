"""The constants of the physics: name, unit and meaning of each, and what scales them together; those of processors.

Their values are data: ``instance_catalog/calibration/constants.csv``, fitted by :mod:`advisor.calibration.fits`.

Processors that answer token by token with llama.cpp have rates that were measured, in place of peaks.

A prompt is computed at FLOP per cycle of each core, by generation and width of the weights; they are read from memory
at a share of what the cores share of it. Both are ``processor_rates.csv``. The constants of a step are those of a
server on processors: no kernels are launched, and all cores meet after each product.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache

import numpy as np

from advisor.catalog.processors import CPU, ProcessorPeak, cores_and_clock, read_processor_peaks
from advisor.catalog.values import Accelerator
from advisor.data_files import data_dir
from advisor.performance.physics import Constants
from advisor.records import dataclass, fields
from advisor.tables import read_records
from advisor.units import BYTES_PER_GB, FLOP_PER_TFLOP

PROCESSOR_CONSTANTS: Mapping[str, float] = {
    "weight_read": 1.0, "kv_read": 1.0, "gemm": 1.0, "attention": 2.0, "layer_s": 2e-5, "moe_layer_s": 2e-5,
    "step_s": 5e-4, "sequence_s": 1e-3, "prompt_token_s": 1e-6, "request_s": 0.01, "step_wait": 1.5,
}  # fmt: skip
"""Of llama.cpp's server, measured on two cores of Genoa: see docs/performance.md. The rates are ideal already."""
_WIDTHS = ((7.5, "int4"), (12.0, "int8"))
"""Bits of a weight, scales included, up to which the kernels are those of a precision; beyond, those of 16 bit."""
_WIDE = "bf16"


@dataclass(frozen=True, slots=True)
class ProcessorRate:
    """Speed of the cores of a generation for weights in a precision."""

    generation: str
    precision: str
    prompt_flop_per_cycle: float
    """FLOP of one core in a cycle, in prompts of hundreds of tokens."""
    few_flop_per_cycle: float
    """The same of a few vectors at a time, those of the sequences that decode."""
    memory_share: float
    """Bytes of weights read for one sequence over what the cores share of the machine's memory bandwidth."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Bytes and FLOP per second of an accelerator, as the physics takes them."""

    bytes_per_second: float
    flops: float
    """Rate of products with weights as they are stored."""
    few_flops: float
    """The same of a few vectors at a time."""
    wide_flops: float
    """Rate of products in 16 bit, such as attention's."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights that one token uses."""

    bytes: float
    parameters: float

    @property
    def bits(self) -> float:
        """Bits of a weight, scales included."""
        return 8 * self.bytes / self.parameters


def speed_of(accelerator: Accelerator, bits_per_weight: float) -> Speed:
    """Speed of the cores of a machine with weights of so many bits."""
    cores, _ = cores_and_clock(accelerator, (_peaks()[accelerator.architecture],))
    return _of_cores(accelerator.architecture, round(cores), bits_per_weight)


def _of_cores(generation: str, cores: int, bits_per_weight: float) -> Speed:
    precision = next((name for bits, name in _WIDTHS if bits_per_weight <= bits), _WIDE)
    rate, wide, peak = _rates()[generation, precision], _rates()[generation, _WIDE], _peaks()[generation]
    flops, few, of_wide = (
        peak.tflops(cores, flop_per_cycle) * FLOP_PER_TFLOP
        for flop_per_cycle in (rate.prompt_flop_per_cycle, rate.few_flop_per_cycle, wide.prompt_flop_per_cycle)
    )
    bandwidth = cores * peak.memory_gb_per_second_per_core * BYTES_PER_GB * rate.memory_share
    return Speed(bandwidth, flops, few, of_wide)


def least_seconds(weights: Weights, input_tokens: float, output_tokens: float, cores: int, slots: int) -> float:
    """Seconds of a machine that a request takes at least, whatever its generation.

    ``input · 2 N ÷ prompt rate + output · max(bytes ÷ (slots · bandwidth), 2 N ÷ rate of few)``, each rate that of the
    fastest generation; N: weights that a token uses. *slots*: requests that share a step.
    """
    flop = 2 * weights.parameters
    speeds = [_of_cores(generation, cores, weights.bits) for generation in _peaks()]
    prompt_s = flop / max(speed.flops for speed in speeds)
    read_s = weights.bytes / (slots * max(speed.bytes_per_second for speed in speeds))
    return input_tokens * prompt_s + output_tokens * max(read_s, flop / max(speed.few_flops for speed in speeds))


@cache
def _peaks() -> Mapping[str, ProcessorPeak]:
    return {peak.generation: peak for peak in read_processor_peaks(data_dir("instance_catalog"))}


@cache
def _rates() -> Mapping[tuple[str, str], ProcessorRate]:
    rows = read_records(data_dir("instance_catalog") / "processor_rates.csv")
    rates = (row.value(ProcessorRate) for row in rows)
    return {(rate.generation, rate.precision): rate for rate in rates}


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
