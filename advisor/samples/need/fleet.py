"""A directory of samples as a whole: its accelerators' need, how busy they were, and what the engines served."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from advisor.samples.frame import Floats, SampleFrame
from advisor.samples.need.advice import words
from advisor.samples.need.assess import AcceleratorNeed, assess
from advisor.samples.need.engine_rows import rows_of_engines
from advisor.samples.need.memory import Fixed
from advisor.samples.need.rows import NEED_COLUMNS, grids, rows_of_samples, timelines
from advisor.samples.need.saturation import saturation
from advisor.samples.need.timeline import Timeline
from advisor.samples.store import read_engines, read_samples
from advisor.samples.summary import BusyProfile, busy_profile

_ACTIVITY = ("sm_active_ratio", "dram_active_ratio", "tensor_active_ratio")


@dataclass(frozen=True, slots=True, eq=False)
class Fleet:
    """All accelerators and engines of a directory over its time."""

    accelerators: Sequence[Timeline]
    engines: Sequence[Timeline]
    needs: Sequence[AcceleratorNeed]

    def notes(self) -> tuple[str, ...]:
        """Verdicts and KV use in sentences for the notes of a plan."""
        return (f"what limits the accelerators now: {_verdict_words(self.needs)}", *_kv_words(self.needs))


def read_frame(directory: Path, progress: Callable[[int], None] | None = None) -> SampleFrame:
    """Samples of a directory, with the columns that the need takes; see :func:`advisor.samples.store.read_samples`.

    Raises:
        InputError: there are none.
    """
    return read_samples(directory, NEED_COLUMNS, progress)


def fleet_of(frame: SampleFrame, directory: Path, fixed: Fixed | None = None) -> Fleet:
    """Join the accelerators of a frame with the engines that were recorded beside them."""
    return fleet_beside(frame, read_engines(directory).table, fixed)


def fleet_beside(frame: SampleFrame, engines_table: pa.Table, fixed: Fixed | None = None) -> Fleet:
    """Join the accelerators of a frame with rows of engines."""
    rows = rows_of_samples(frame)
    beside = rows_of_engines(engines_table)
    grid_of = grids([rows, beside])
    accelerators, engines = timelines(rows, grid_of), timelines(beside, grid_of)
    return Fleet(accelerators, engines, tuple(assess(accelerators, engines, fixed)))


def saturation_profile(frame: SampleFrame) -> BusyProfile:
    """As :func:`~advisor.samples.summary.busy_profile`, with busy narrowed by profiling signals where known."""
    unknown = np.full(frame.timestamp_us.size, np.nan)
    activity: list[Floats] = [frame.columns.get(name, unknown) for name in _ACTIVITY]
    narrowed = saturation(frame.columns["busy_ratio"], *activity)
    return busy_profile(replace(frame, columns={"busy_ratio": narrowed}))


def _kv_words(needs: Sequence[AcceleratorNeed]) -> tuple[str, ...]:
    """How much of the KV cache was used, where engines say; more than all of it where requests queued for it."""
    uses = [need.memory.kv for need in needs if need.memory is not None and need.memory.kv is not None]
    if not uses:
        return ()
    highest = max(use.max for use in uses)
    most = "all of it while requests queued" if any(use.is_exceeded for use in uses) else f"{highest:.0%} at most"
    return (f"KV cache in use now: {max(use.p95 for use in uses):.0%} at p95, {most}",)


def _verdict_words(needs: Sequence[AcceleratorNeed]) -> str:
    """Such as ``6 bandwidth-bound, 2 idle``; where nothing is proven, why."""
    counts = Counter(words(need.verdict.code) for need in needs)
    parts = [f"{count} {code}" for code, count in counts.most_common()]
    missing = sorted({signal for need in needs for signal in need.verdict.missing if need.verdict.code == "unknown"})
    return ", ".join(parts) + (f" (not known: {', '.join(missing)})" if missing else "")
