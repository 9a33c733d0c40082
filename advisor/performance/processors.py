"""Rates of processors that answer token by token with llama.cpp: what was measured, in place of peaks.

A prompt is computed at FLOP per cycle of each core, by generation and width of the weights; they are read from memory
at a share of what the cores share of it. Both are ``processor_rates.csv``. The constants of a step are those of a
server on processors: no kernels are launched, and all cores meet after each product.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from advisor.catalog.processors import ProcessorPeak, cores_and_clock, read_processor_peaks
from advisor.catalog.values import Accelerator
from advisor.data_files import data_dir
from advisor.tables import read_records
from advisor.units import BYTES_PER_GB, FLOP_PER_TFLOP

CONSTANTS: Mapping[str, float] = {
    "weight_read": 1.0,
    "kv_read": 1.0,
    "gemm": 1.0,
    "attention": 2.0,
    "layer_s": 2e-5,
    "moe_layer_s": 2e-5,
    "step_s": 5e-4,
    "sequence_s": 1e-3,
    "prompt_token_s": 1e-6,
    "request_s": 0.01,
    "step_wait": 1.5,
}
"""Of llama.cpp's server, measured on two cores of Genoa: see docs/performance.md. The rates are ideal already."""
_WIDTHS = ((6.0, "int4"), (12.0, "int8"))
"""Bits of a weight, scales included, up to which the kernels are those of a precision; beyond, those of 16 bit."""
_WIDE = "bf16"
WIDE_BITS = 16.0


@dataclass(frozen=True, slots=True)
class ProcessorRate:
    """Speed of the cores of a generation for weights in a precision."""

    generation: str
    precision: str
    prompt_flop_per_cycle: float
    """Of one core, in prompts of hundreds of tokens."""
    memory_share: float
    """Bytes of weights read for one sequence over what the cores share of the machine's memory bandwidth."""


@dataclass(frozen=True, slots=True)
class Speed:
    """FLOP and bytes per second of the cores of a machine."""

    flops: float
    bytes_per_second: float


def speed_of(accelerator: Accelerator, bits_per_weight: float) -> Speed:
    """Speed of the cores of a machine with weights of so many bits."""
    precision = next((name for bits, name in _WIDTHS if bits_per_weight <= bits), _WIDE)
    rate = _rates()[accelerator.architecture, precision]
    cores, _ = cores_and_clock(accelerator, _peaks().values())
    return Speed(
        flops=_peaks()[rate.generation].tflops(round(cores), rate.prompt_flop_per_cycle) * FLOP_PER_TFLOP,
        bytes_per_second=accelerator.memory_bandwidth_gb_per_second * BYTES_PER_GB * rate.memory_share,
    )


@cache
def _peaks() -> Mapping[str, ProcessorPeak]:
    """By generation."""
    return {peak.generation: peak for peak in read_processor_peaks(data_dir("instance_catalog"))}


@cache
def _rates() -> Mapping[tuple[str, str], ProcessorRate]:
    """By generation and precision."""
    rows = read_records(data_dir("instance_catalog") / "processor_rates.csv")
    rates = (row.value(ProcessorRate) for row in rows)
    return {(rate.generation, rate.precision): rate for rate in rates}
