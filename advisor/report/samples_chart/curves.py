"""Curves of a chart: a few hundred points of each accelerator, with gaps kept."""

import datetime as dt
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from advisor.records import dataclass
from advisor.samples.need.assess import AcceleratorNeed
from advisor.samples.need.limits import Code
from advisor.samples.need.memory import MemoryNeed
from advisor.samples.need.verdict import Verdict, words
from advisor.samples.query.values import Timeline
from advisor.units import bytes_to_gib


def verdict_words(verdict: Verdict) -> str:
    """The verdict, with what is likely where nothing is proven."""
    if verdict.code is Code.UNKNOWN and verdict.likely is not Code.UNKNOWN:
        return f"unknown, likely {words(verdict.likely)}"
    return words(verdict.code)


def need_words(memory: MemoryNeed | None) -> str:
    """Memory needed out of memory held, in GiB."""
    if memory is None:
        return "unknown"
    held = f"{bytes_to_gib(memory.held_bytes):.1f} GiB held"
    if memory.kv is None:
        return f"{held}, need unknown"
    span = f"{bytes_to_gib(memory.low_bytes):.1f} to {bytes_to_gib(memory.high_bytes):.1f} GiB"
    least = "at least " if memory.kv.is_exceeded else ""
    if memory.need_bytes is None:
        return f"{held}, need {span}"
    return f"{held}, need {least}{bytes_to_gib(memory.need_bytes):.1f} ({span})"


def percent(share: float | None) -> str:
    """A share, or a dash where it is unknown."""
    return "-" if share is None else f"{share:.0%}"


Floats = npt.NDArray[np.float64]
_LEAST_KNOWN = 0.5
"""Of the rows of a point; with less it is drawn as a gap."""
_SIGNALS = (("busy_ratio", "busy"), ("sm_active_ratio", "SM active"))
"""What is drawn of an accelerator: the first that it has."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One signal of one accelerator, as shares; arrays of shape ``(points,)``, NaN in gaps."""

    label: str
    """Host, number and product."""
    signal: str
    """What is drawn, in words; empty where the accelerator has nothing to draw."""
    mean: Floats
    peak: Floats
    """Highest reading of each point."""
    kv_used: Floats | None
    """Mean KV use of its engine; None where there is no one engine that says."""
    start: dt.datetime
    end: dt.datetime
    need: AcceleratorNeed

    @property
    def is_empty(self) -> bool:
        """Nothing is known of it."""
        return bool(np.isnan(self.mean).all())


def curve(accelerator: Timeline, engines: Sequence[Timeline], need: AcceleratorNeed, points: int) -> Curve:
    """One accelerator in at most so many points.

    Args:
        accelerator: what is drawn.
        engines: those that may be on it; the KV use is drawn where it is one.
        need: what was judged of it.
        points: the most, at least 1.
    """
    signal, words = next(((name, words) for name, words in _SIGNALS if accelerator.knows(name)), ("busy_ratio", ""))
    kv_used = _means(engines[0].mean("kv_cache_used_ratio"), points) if len(engines) == 1 else None
    return Curve(
        label=label_of(need),
        signal=words,
        mean=_means(accelerator.mean(signal), points),
        peak=_peaks(accelerator.greatest(signal), points),
        kv_used=None if kv_used is None or np.isnan(kv_used).all() else kv_used,
        start=_time(accelerator.grid.start_seconds),
        end=_time(accelerator.grid.start_seconds + accelerator.grid.seconds),
        need=need,
    )


def label_of(need: AcceleratorNeed) -> str:
    """Host, number and product of an accelerator."""
    return f"{name_of(need)} {need.who.product or 'unknown'}"


def name_of(need: AcceleratorNeed) -> str:
    """Host and number of an accelerator."""
    return f"{need.who.host} {place_of(need)}"


def place_of(need: AcceleratorNeed) -> str:
    """``#0``, or ``#0.1`` for a MIG instance."""
    who = need.who
    return f"#{who.index}" if who.mig_index is None else f"#{who.index}.{who.mig_index}"


def _means(values: Floats, points: int) -> Floats:
    parts = np.array_split(values, min(points, values.size))
    return np.array([np.nanmean(part) if _is_known(part) else np.nan for part in parts])


def _peaks(values: Floats, points: int) -> Floats:
    parts = np.array_split(values, min(points, values.size))
    return np.array([np.nanmax(part) if _is_known(part) else np.nan for part in parts])


def _is_known(part: Floats) -> bool:
    return float((~np.isnan(part)).mean()) >= _LEAST_KNOWN


def _time(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
