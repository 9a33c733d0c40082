"""Rows and gaps as sources give them."""

import math

from advisor.samples.metrics import Buckets, Gap, Row, Stats, Target

END_US = 1_800_000_000_000_000
"""A whole multiple of fifteen seconds."""
ROW_US = 15_000_000
GPU = Target("node-1", "nvml", 0, None, "GPU-0", "NVIDIA H100 80GB HBM3")
MIG = Target("node-1", "nvml", 1, 2, "MIG-7", "NVIDIA A100 MIG 1g.5gb")
ENGINE = Target("node-1", "vllm", 0, name="llama", endpoint="http://127.0.0.1:8000/metrics")


def gauge(least: float, mean: float, greatest: float) -> Stats:
    """Readings of a gauge."""
    return Stats(least, mean, greatest, greatest, 15)


def counter(last: float) -> Stats:
    """The last reading of a counter."""
    return Stats(math.nan, math.nan, math.nan, last, 15)


def gpu_row(end_us: int = END_US, busy: float = 0.5, target: Target = GPU) -> Row:
    """A row of an accelerator."""
    stats = {"busy_ratio": gauge(0.25, busy, 1.0), "power_watts": gauge(200.0, 350.0, 410.0),
             "energy_joules": counter(123456.5)}  # fmt: skip
    return Row(target, end_us, stats)


def engine_row(end_us: int = END_US, target: Target = ENGINE) -> Row:
    """A row of a serving engine."""
    stats = {"requests_running": gauge(1, 2.5, 4), "generated_tokens": counter(900)}
    buckets = {"ttft_seconds": Buckets((0.1, 1.0, math.inf), (3, 5, 6), 4.25)}
    return Row(target, end_us, stats, buckets)


def gap(target: Target = GPU, end_us: int = END_US + ROW_US, missed: int = 15, reason: str = "GPU is lost") -> Gap:
    """Fifteen seconds without a reading."""
    return Gap(target, end_us - ROW_US, end_us, missed, reason)
