"""Rates of processors that answer token by token with llama.cpp: what was measured, in place of peaks.

A prompt is computed at FLOP per cycle of each core, by generation and width of the weights; they are read from memory
at a share of what the cores share of it. Both are ``processor_rates.csv``. The constants of a step are those of a
server on processors: no kernels are launched, and all cores meet after each product.
"""

from collections.abc import Mapping
from functools import cache

from advisor.catalog.processors import ProcessorPeak, cores_and_clock, read_processor_peaks
from advisor.catalog.values import Accelerator
from advisor.data_files import data_dir
from advisor.records import dataclass
from advisor.tables import read_records
from advisor.units import BYTES_PER_GB, FLOP_PER_TFLOP

CONSTANTS: Mapping[str, float] = {
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
    """Of products with weights as they are stored."""
    few_flops: float
    """The same of a few vectors at a time."""
    wide_flops: float
    """Of products in 16 bit, such as attention's."""


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
    fastest generation.

    Args:
        weights: that a token uses.
        input_tokens: of its prompt.
        output_tokens: of its answer.
        cores: of the machine.
        slots: requests that share a step.
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
