"""Made-up fleets as exporters show them, with the rows that they stand for."""

import time
from dataclasses import dataclass, field

import numpy as np

from advisor.samples.query import Accelerator, Window
from samples.query.reference import Rows

MIB = 1024.0**2
END_US = (time.time_ns() // 1000 // 60_000_000 - 24 * 60) * 60_000_000
"""End of every window here: a whole minute a day ago, since servers take nothing that is much older than they are."""


@dataclass
class Exported:
    """What a server is sent, and what has to come out."""

    series: list = field(default_factory=list)
    """Labels and points (milliseconds, value)."""
    rows: list[Rows] = field(default_factory=list)


def times(window: Window, interval_s: float, offset_s: float = 0.0) -> np.ndarray:
    """Ends of rows in µs, from before the window to after it."""
    step = round(interval_s * 1e6)
    first = window.start_us - 3 * step + round(offset_s * 1e6)
    return np.arange(first, window.end_us + 3 * step, step)


def wave(seed: int, count: int, low: float, high: float) -> np.ndarray:
    """Values that differ from row to row."""
    draw = np.random.default_rng(seed)
    slow = 0.5 + 0.4 * np.sin(np.arange(count) / 37 + seed)
    return low + (high - low) * np.clip(slow + draw.normal(0, 0.1, count), 0, 1)


def points(end_us: np.ndarray, values: np.ndarray) -> list[tuple[int, float]]:
    """As remote write takes them, without what is unknown."""
    return [(int(at) // 1000, float(value)) for at, value in zip(end_us, values, strict=True) if not np.isnan(value)]


def dcgm_labels(tag: str, host: int, gpu: int, **more: str) -> dict[str, str]:
    """Labels of a dcgm-exporter."""
    return {
        "Hostname": f"node-{host}.{tag}", "UUID": f"GPU-{tag}-{host}-{gpu}", "gpu": str(gpu), "device": f"nvidia{gpu}",
        "modelName": "NVIDIA H100 80GB HBM3", "instance": f"10.0.0.{host}:9400", "job": "dcgm", "fleet": tag, **more,
    }  # fmt: skip


def dcgm_accelerator(tag: str, host: int, gpu: int) -> Accelerator:
    """Who these labels are of."""
    return Accelerator(f"node-{host}.{tag}", gpu, None, f"GPU-{tag}-{host}-{gpu}", "NVIDIA H100 80GB HBM3")


def dcgm_fleet(tag: str, window: Window, hosts: int, gpus: int, interval_s: float = 15.0) -> Exported:
    """A fleet under dcgm-exporter, with holes in what was scraped."""
    made = Exported()
    end_us = times(window, interval_s, offset_s=interval_s * 0.3)
    for host in range(hosts):
        for gpu in range(gpus):
            labels, who = dcgm_labels(tag, host, gpu), dcgm_accelerator(tag, host, gpu)
            seed = host * 8 + gpu
            missing = np.random.default_rng(seed).random(len(end_us)) < 0.05
            for name, metric, scale, low, high in (
                ("DCGM_FI_DEV_GPU_UTIL", "busy_ratio", 0.01, 0, 100),
                ("DCGM_FI_DEV_FB_USED", "memory_used_bytes", MIB, 20_000, 70_000),
                ("DCGM_FI_DEV_POWER_USAGE", "power_watts", 1.0, 90, 690),
                ("DCGM_FI_PROF_SM_ACTIVE", "sm_active_ratio", 1.0, 0, 1),
            ):
                values = wave(seed, len(end_us), low, high)
                values = np.where(missing, np.nan, np.round(values) if scale == 0.01 else values)
                made.series.append(({"__name__": name, **labels}, points(end_us, values)))
                made.rows.append(Rows(who, metric, end_us, values * scale))
    return made


def agent_fleet(tag: str, window: Window, hosts: int) -> Exported:
    """Rows of the agent's own, one accelerator a host, with row maxima."""
    made = Exported()
    end_us = times(window, 15)
    for host in range(hosts):
        who = Accelerator(f"{tag}-{host}", 0, None, f"GPU-{tag}-{host}", "NVIDIA L4")
        labels = {
            "host": who.host,
            "accelerator": "0",
            "uuid": who.uuid,
            "product": who.product,
            "source": "nvml",
            "fleet": tag,
        }
        mean = wave(host, len(end_us), 0, 0.9)
        greatest = np.minimum(mean + np.random.default_rng(host).random(len(mean)) * 0.1, 1)
        name = "advisor_accelerator_busy_ratio"
        made.series.append(({"__name__": name, **labels}, points(end_us, mean)))
        made.series.append(({"__name__": f"{name}_max", **labels}, points(end_us, greatest)))
        made.rows.append(Rows(who, "busy_ratio", end_us, mean, greatest))
    return made
