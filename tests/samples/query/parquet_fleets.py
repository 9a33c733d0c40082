"""Fleets as the agent's files hold them: rows of fifteen seconds (v2), engines, and readings of older agents (v1)."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from advisor.samples.query.values import Accelerator, Window
from samples.query.fleets import Exported, times, wave
from samples.query.reference import Rows

_TEXT = pa.dictionary(pa.int32(), pa.string())
_TIME = pa.timestamp("us", tz="UTC")
METRICS = ("memory_used_bytes", "busy_ratio")


def write_rows(directory: Path, window: Window, hosts: int, gpus: int) -> Exported:
    """Accelerator rows of v2: gaps, unknown values, a row twice, a renamed host, a MIG instance, a host without UUIDs."""
    made = Exported()
    end_us = times(window, 15)
    for host in range(hosts):
        for gpu in range(gpus):
            seed = host * 8 + gpu
            mig, uuid = (3 if (host, gpu) == (1, 1) else None), (None if host == 2 else f"GPU-{host}-{gpu}")
            who = Accelerator(f"host {host}", gpu, mig, uuid, "NVIDIA L4")
            busy = np.round(wave(seed, len(end_us), 0, 1) * 200) / 200
            busy[np.random.default_rng(seed).random(len(busy)) < 0.05] = np.nan
            used = np.round(wave(seed + 99, len(end_us), 1e9, 2e10) / 1048576) * 1048576
            gap = np.random.default_rng(seed + 1).random(len(busy)) < 0.03
            busy[gap], used[gap] = np.nan, np.nan
            greatest = np.minimum(busy + 0.01, 1.0)
            first = np.arange(len(end_us)) < len(end_us) // 2
            for part, name in ((first, "old name" if host == 0 else who.host), (~first, who.host)):
                _write_part(
                    directory,
                    name,
                    who,
                    end_us[part],
                    {
                        "busy_ratio": busy[part],
                        "memory_used_bytes": used[part],
                        "greatest": greatest[part],
                        "gap": gap[part],
                    },
                )
            made.rows.append(Rows(who, "memory_used_bytes", end_us, used))
            made.rows.append(Rows(who, "busy_ratio", end_us, busy, greatest))
    return made


def _write_part(directory, host, who, end_us, values):
    gap, greatest = values.pop("gap"), values.pop("greatest")
    count = len(end_us) + 1  # the last row twice, as two agents on one directory write it
    twice = np.append(np.arange(len(end_us)), len(end_us) - 1)
    columns = {
        "timestamp": pa.array(end_us[twice], pa.int64()).cast(_TIME),
        "host": pa.array([host] * count).cast(_TEXT),
        "source": pa.array(["nvml"] * count).cast(_TEXT),
        "accelerator_index": pa.array([who.index] * count, pa.int32()),
        "mig_index": pa.array([who.mig_index] * count, pa.int32()),
        "accelerator_uuid": pa.array([who.uuid] * count, pa.string()).cast(_TEXT),
        "accelerator": pa.array([who.product] * count).cast(_TEXT),
        "missed_ticks": pa.array(np.where(gap[twice], 15, 0), pa.int32()),
        "gap_reason": pa.array(["GPU is lost" if lost else None for lost in gap[twice]]).cast(_TEXT),
    }
    for name, each in values.items():
        columns[name] = pa.array(each[twice], pa.float64(), mask=np.isnan(each[twice]))
    columns["busy_ratio_max"] = pa.array(greatest[twice], pa.float64(), mask=np.isnan(greatest[twice]))
    table = pa.table(columns).replace_schema_metadata(
        {"advisor.samples.schema": "advisor.samples/v2", "advisor.samples.interval_seconds": "15"}
    )
    _store(directory, host, f"rows-{who.index}-{end_us[0]}", table)


def write_ticks(directory: Path, window: Window) -> Exported:
    """Readings of schema v1, one a second."""
    made = Exported()
    end_us = times(window, 1)[:2000]
    who = Accelerator("older", 0, None, "GPU-older", "Tesla T4")
    busy = wave(7, len(end_us), 0, 1)
    used = np.round(wave(8, len(end_us), 1e9, 1.5e10))
    count = len(end_us)
    table = pa.table({
        "timestamp": pa.array(end_us, pa.int64()).cast(_TIME),
        "host": pa.array([who.host] * count).cast(_TEXT),
        "accelerator_index": pa.array([0] * count, pa.int32()),
        "mig_index": pa.nulls(count, pa.int32()),
        "accelerator_uuid": pa.array([who.uuid] * count).cast(_TEXT),
        "accelerator": pa.array([who.product] * count).cast(_TEXT),
        "memory_used_bytes": pa.array(used.astype(np.int64)),
        "busy_ratio": pa.array(busy),
        "missed_ticks": pa.array([0] * count, pa.int32()),
        "gap_reason": pa.nulls(count, pa.string()).cast(_TEXT),
    }).replace_schema_metadata({"advisor.samples.schema": "advisor.samples/v1", "advisor.samples.interval_seconds": "1"})  # fmt: skip
    _store(directory, who.host, "part-20261014T080000.123456Z-000000", table)
    made.rows = [Rows(who, "memory_used_bytes", end_us, used), Rows(who, "busy_ratio", end_us, busy)]
    return made


def write_engines(directory: Path, window: Window) -> Exported:
    """Rows of a serving engine with two ranks."""
    made = Exported()
    end_us = times(window, 15)
    for rank in range(2):
        who = Accelerator("host 0", rank, None, "http://127.0.0.1:8000/metrics", "llama")
        waiting = np.round(wave(rank, len(end_us), 0, 20))
        count = len(end_us)
        table = pa.table({
            "timestamp": pa.array(end_us, pa.int64()).cast(_TIME),
            "host": pa.array([who.host] * count).cast(_TEXT),
            "engine": pa.array(["vllm"] * count).cast(_TEXT),
            "endpoint": pa.array([who.uuid] * count).cast(_TEXT),
            "model": pa.array([who.product] * count).cast(_TEXT),
            "rank": pa.array([rank] * count, pa.int32()),
            "missed_ticks": pa.array([0] * count, pa.int32()),
            "gap_reason": pa.nulls(count, pa.string()).cast(_TEXT),
            "requests_waiting": pa.array(waiting),
            "requests_waiting_max": pa.array(waiting + 1),
        })  # fmt: skip
        _store(directory, who.host, f"engines-{rank}", table)
        made.rows.append(Rows(who, "requests_waiting", end_us, waiting, waiting + 1))
    return made


def _store(directory, host, name, table):
    folder = directory / "date=2026-10-14" / f"host={host.replace(' ', '%20')}"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / f"{name}.parquet")
