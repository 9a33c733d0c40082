"""Records the store of ``examples/gpu-samples``: a synthetic day of one host, through the real agent.

``PYTHONPATH=tests python tests/samples/record_example.py DIRECTORY``; the same day every time. The scenario is played by
the fake driver of ``tests/fakenvml`` and read by the unmodified binding and the agent's own source, in virtual time, every
fifteen seconds.
"""

import ctypes
import math
import os
import random
import shutil
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from advisor.samples.agent.spool import SpoolWriter
from advisor.samples.metrics import ROW_SECONDS
from advisor.samples.sources.nvml import NvmlSource
from advisor.samples.store.compact import compact
from fakenvml.build import build_library
from samples.playing import START_US, VirtualTime, records_of, ticks

HOST = "inference-1"
GPUS = 8
MINUTES = 24 * 60
MEMORY_TOTAL_BYTES = 42_949_672_960
MEMORY_RESERVED_BYTES = 545_259_520
MEMORY_USED_BYTES = 38_654_705_664
"""The engine takes 90 % of the memory when it starts, whatever it needs."""
IDLE_WATTS, BUSY_WATTS = 56, 310
PEAKS = ((10.5, 1.6, 0.42), (15.0, 1.9, 0.50), (20.5, 1.2, 0.25))
"""Hour, width in hours and height of the busy times of the day."""
NIGHT = 0.04
BURSTS_PER_DAY = 9


def day_shape(minute: int) -> float:
    """How busy the fleet is expected to be at a minute of the day, without chance."""
    hour = minute / 60
    return NIGHT + sum(height * math.exp(-(((hour - at) / width) ** 2)) for at, width, height in PEAKS)


def busy_percents(chance: random.Random) -> list[list[int]]:
    """How busy each accelerator is in each minute: the day's shape, bursts that all see, and chance of its own."""
    bursts = [1.0] * MINUTES
    for _ in range(BURSTS_PER_DAY):
        start, length = chance.randrange(8 * 60, 22 * 60), chance.randrange(2, 7)
        bursts[start : start + length] = [1.0 + chance.uniform(0.3, 0.8)] * length
    shares = [chance.uniform(0.9, 1.1) for _ in range(GPUS)]
    return [
        [
            round(100 * min(1.0, day_shape(minute) * bursts[minute] * share * chance.uniform(0.75, 1.25)))
            for minute in range(MINUTES)
        ]
        for share in shares
    ]


def scenario() -> str:
    """The day as directives of the fake driver; the same every time."""
    lines = [
        f"gpus,{GPUS}",
        "driver,570.133.20",
        "set,*,name,NVIDIA A100-SXM4-40GB",
        f"set,*,mem_total,{MEMORY_TOTAL_BYTES}",
        f"set,*,mem_reserved,{MEMORY_RESERVED_BYTES}",
        f"set,*,mem_used,{MEMORY_USED_BYTES}",
        "set,*,sm_clock,1410",
    ]
    for gpu, percents in enumerate(busy_percents(random.Random(2026))):
        watts = [IDLE_WATTS + (BUSY_WATTS - IDLE_WATTS) * percent // 100 for percent in percents]
        for key, series in {
            "util_gpu": percents,
            "util_mem": [percent * 6 // 10 for percent in percents],
            "power_mw": [1000 * value for value in watts],
            "temp": [30 + value // 10 for value in watts],
        }.items():
            lines.append(f"series,{gpu},{key}," + ";".join(f"{60 * at}:{value}" for at, value in enumerate(series)))
    return "\n".join(lines)


def main() -> None:
    """Record the day as an agent and its compaction leave it."""
    directory = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "scenario.csv").write_text(scenario())
        os.environ["FAKE_NVML_SCENARIO"] = str(folder / "scenario.csv")
        ctypes.CDLL(str(build_library(folder)))  # the binding then finds it by its name
        time = VirtualTime(folder / "clock")
        source = NvmlSource(HOST, time.seconds)
        played = ticks(source, time, 60.0 * MINUTES, ROW_SECONDS)
        writer = SpoolWriter(directory, HOST)
        for record in records_of(played, ROW_SECONDS * 1_000_000):
            writer.append([record])
        writer.close()
        source.close()
    compact(directory, HOST, now=datetime.fromtimestamp(START_US / 1e6, UTC) + timedelta(days=2))
    shutil.rmtree(directory / "spool")


if __name__ == "__main__":
    main()
