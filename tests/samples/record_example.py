"""Records the store of ``examples/gpu-samples``: a synthetic day of one host, through the real agent.

``PYTHONPATH=tests python tests/samples/record_example.py DIRECTORY``; the same day every time. The scenario is played by
the fake driver of ``tests/fakenvml`` and read by the unmodified binding and the agent's own source, in virtual time. The
store is of schema v1, a row for each reading, which stays readable.
"""

import ctypes
import math
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

from samples.tick_values import AcceleratorSample
from samples.tick_writing import SampleWriter

from advisor.samples.rows import Reading
from advisor.samples.sources.nvml import NvmlSource
from fakenvml.build import build_library
from samples.playing import START_US, VirtualTime, ticks

HOST = "inference-1"
GPUS = 8
MINUTES = 24 * 60
INTERVAL = timedelta(minutes=1)
MEMORY_TOTAL_BYTES = 42_949_672_960
MEMORY_RESERVED_BYTES = 545_259_520
MEMORY_USED_BYTES = 38_654_705_664
"""The engine takes 90 % of the memory when it starts, whatever it needs."""
IDLE_WATTS, BUSY_WATTS = 56, 310
PEAKS = ((10.5, 1.6, 0.42), (15.0, 1.9, 0.50), (20.5, 1.2, 0.25))
"""Hour, width in hours and height of the busy times of the day."""
NIGHT = 0.04
THROTTLED = {
    "power_throttled_seconds": "power_throttled_ratio",
    "thermal_throttled_seconds": "thermal_throttled_ratio",
}
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


def samples(played: Iterator) -> Iterator[AcceleratorSample]:
    """Readings as schema v1 has them: throttled time as a share of the time since the reading before."""
    names = {each.name for each in fields(AcceleratorSample)}
    before: dict[int, Reading] = {}
    for tick_us, readings in played:
        for reading in readings:
            index = reading.target.index
            yield AcceleratorSample(
                timestamp=datetime.fromtimestamp(tick_us / 1e6, UTC),
                host=HOST,
                accelerator_index=index,
                mig_index=None,
                accelerator_uuid=reading.target.uuid,
                accelerator=reading.target.name,
                **{name: value for name, value in reading.values.items() if name in names},
                **throttled_ratios(reading, before.get(index)),
            )
            before[index] = reading


def throttled_ratios(reading: Reading, before: Reading | None) -> dict[str, float]:
    """Share of the interval in which the power limit, and heat, lowered the clocks; nothing for the first reading."""
    if before is None:
        return {}
    grown = {name: reading.values[name] - before.values[name] for name in THROTTLED}
    return {THROTTLED[name]: seconds / INTERVAL.total_seconds() for name, seconds in grown.items()}


def main() -> None:
    """Record the day; one file for every six hours, because a file a minute is for agents that can crash."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "scenario.csv").write_text(scenario())
        os.environ["FAKE_NVML_SCENARIO"] = str(folder / "scenario.csv")
        ctypes.CDLL(str(build_library(folder)))  # the binding then finds it by its name
        time = VirtualTime(folder / "clock")
        source = NvmlSource(HOST, time.seconds)
        started = datetime.fromtimestamp(START_US / 1e6, UTC)
        writer = SampleWriter(Path(sys.argv[1]), HOST, INTERVAL, started, timedelta(hours=6))
        for sample in samples(ticks(source, time, 60.0 * MINUTES, INTERVAL.total_seconds())):
            writer.append([sample])
        writer.flush()
        source.close()


if __name__ == "__main__":
    main()
