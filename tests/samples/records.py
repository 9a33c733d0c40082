"""Rows and gaps of fifteen seconds for tests, with defaults for everything a test does not speak of."""

import math
from datetime import UTC, datetime

from advisor.samples.agent.spool import SpoolWriter
from advisor.samples.metrics import METRICS, Buckets, Gap, Kind, Row, Stats, Target, rounded

DAY = datetime(2026, 10, 14, tzinfo=UTC)
ROW_US = 15_000_000
NAN = math.nan


def us(row=0.0, day=0):
    """So many rows after the midnight with which a day begins, µs since 1970."""
    return int(DAY.timestamp()) * 1_000_000 + int(row * ROW_US) + day * 86_400_000_000


def target(index=0, host="host-a", uuid="", mig_index=None, **other):
    """An accelerator."""
    uuid = f"GPU-{host}-{index}" if uuid == "" else uuid
    return Target(host, "nvml", index, mig_index, uuid, "NVIDIA H100", **other)


def stats(name, mean, greatest=None, n=15):
    """What a row keeps of a value."""
    metric = METRICS[name]
    if metric.kind is Kind.COUNTER:
        return Stats(NAN, NAN, NAN, float(mean), n)
    mean, greatest = (
        float(rounded(value, metric.resolution)) for value in (mean, mean if greatest is None else greatest)
    )
    return Stats(mean, mean, greatest, mean, n)


def row(number, index=0, host="host-a", *, day=0, missed_ticks=0, of=None, note=None, **values):
    """A row that ends so many rows after midnight."""
    values = values or {"busy_ratio": 0.5}
    kept = {name: stats(name, *(value if isinstance(value, tuple) else (value,))) for name, value in values.items()}
    return Row(of or target(index, host), us(number, day), kept, {}, missed_ticks, note)


def gap(first, last, index=0, host="host-a", *, day=0, reason="GPU is lost", of=None):
    """A gap from the one row to the end of the other."""
    return Gap(of or target(index, host), us(first, day), us(last, day), (last - first) * 15, reason)


def spool(directory, records, host="host-a"):
    """Write records as one agent does, to its end."""
    writer = SpoolWriter(directory, host)
    for record in records:
        writer.append([record])
    writer.close()


ENGINE_ROW = Row(
    Target("host-a", "vllm", 0, None, None, "meta-llama/Llama-3.1-8B", "http://127.0.0.1:8000/metrics"),
    us(1),
    {"requests_running": stats("requests_running", 3)},
    {"ttft_seconds": Buckets((0.1, 1.0, math.inf), (1.0, 5.0, 6.0), 2.5)},
)
