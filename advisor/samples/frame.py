"""Many samples as arrays, one row a sample or a gap, sorted by accelerator and time."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

TEXT_COLUMNS = ("host", "accelerator_uuid", "accelerator", "gap_reason")
_US_PER_SECOND = 1_000_000


class UnreadableError(Exception):
    """A file is no (whole) file of samples; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class FileRows:
    """Rows of one file, as a frame takes them."""

    table: pa.Table
    """Key columns, with missed ticks only of gaps, and values."""
    interval_seconds: Floats
    """Of each row: the time it speaks of, of a gap that of one tick."""
    lost_ticks: Integers
    """Of each row that is no gap: ticks in it without a reading."""


class AcceleratorKey(NamedTuple):
    """Who an accelerator is, as last seen."""

    host: str
    accelerator_index: int
    mig_index: int | None
    accelerator_uuid: str | None
    """None: it never answered."""
    accelerator: str | None


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file in the directory that holds no samples that can be used."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class SampleFrame:
    """Samples and gaps as arrays of shape ``(rows,)``."""

    accelerators: tuple[AcceleratorKey, ...]
    accelerator: Integers
    """Which of ``accelerators`` a row is of; ascending."""
    timestamp_us: Integers
    """µs since 1970, UTC; ascending for each accelerator, no time twice."""
    interval_seconds: Floats
    """Length of a row; of a gap the length of one of its ticks."""
    missed_ticks: Integers
    """0: a sample; else a gap of that many ticks that ends here."""
    lost_ticks: Integers
    """Of a sample that is made of many readings: ticks of it without one."""
    gap_reason: tuple[str | None, ...]
    """Of each distinct reason code."""
    gap_reason_code: Integers
    columns: Mapping[str, Floats]
    """Values by column name; NaN is unknown."""
    skipped: tuple[SkippedFile, ...]

    def rows_of(self, accelerator: int) -> slice:
        """The rows of one accelerator."""
        first, last = np.searchsorted(self.accelerator, [accelerator, accelerator + 1])
        return slice(int(first), int(last))

    def where(self, is_kept: Booleans) -> "SampleFrame":
        """Some of the rows, and the accelerators that have any of them."""
        numbers, accelerator = np.unique(self.accelerator[is_kept], return_inverse=True)
        return replace(
            self,
            accelerators=tuple(self.accelerators[number] for number in numbers.tolist()),
            accelerator=accelerator,
            timestamp_us=self.timestamp_us[is_kept],
            interval_seconds=self.interval_seconds[is_kept],
            missed_ticks=self.missed_ticks[is_kept],
            lost_ticks=self.lost_ticks[is_kept],
            gap_reason_code=self.gap_reason_code[is_kept],
            columns={name: values[is_kept] for name, values in self.columns.items()},
        )

    @property
    def end_seconds(self) -> Floats:
        """End of the time that each row speaks of, in seconds since 1970."""
        return self.timestamp_us / _US_PER_SECOND

    @property
    def start_seconds(self) -> Floats:
        """Begin of the time that each row speaks of: its length before its end, or as many ticks as were missed."""
        return self.end_seconds - self.interval_seconds * np.maximum(self.missed_ticks, 1)


def build_frame(files: Sequence[FileRows], columns: Sequence[str], skipped: tuple[SkippedFile, ...]) -> SampleFrame:
    """Rows of all files as one frame: sorted, and each reading of an accelerator once, however many agents took it."""
    table = pa.concat_tables([file.table for file in files]).unify_dictionaries().combine_chunks()
    interval_seconds = np.concatenate([file.interval_seconds for file in files])
    lost_ticks = np.concatenate([file.lost_ticks for file in files])
    timestamp_us = table["timestamp"].cast(pa.int64()).to_numpy()
    missed_ticks = _whole_numbers(table["missed_ticks"])
    texts = {name: _Text.of(table[name]) for name in TEXT_COLUMNS}
    accelerators, accelerator = _accelerators(table, texts, timestamp_us)
    order = _order(accelerator, timestamp_us, missed_ticks, interval_seconds)
    reasons = texts["gap_reason"]
    return SampleFrame(
        accelerators=accelerators,
        accelerator=accelerator[order],
        timestamp_us=timestamp_us[order],
        interval_seconds=interval_seconds[order],
        missed_ticks=missed_ticks[order],
        lost_ticks=lost_ticks[order],
        gap_reason=reasons.values,
        gap_reason_code=reasons.codes[order],
        columns={name: table[name].cast(pa.float64()).to_numpy()[order] for name in columns},
        skipped=skipped,
    )


class _Text(NamedTuple):
    """A column of text as codes; the last value is None and stands for null."""

    codes: Integers
    values: tuple[str | None, ...]

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> "_Text":
        coded = column.combine_chunks()
        values = coded.dictionary.to_pylist()
        return cls(_whole_numbers(coded.indices, null=len(values)), (*values, None))


def _whole_numbers(column: pa.ChunkedArray | pa.Array, null: int = -1) -> Integers:
    """Whole numbers with something else in the place of null."""
    numbers: Integers = column.cast(pa.int64()).fill_null(null).to_numpy(zero_copy_only=False)
    return numbers


def _accelerators(
    table: pa.Table, texts: Mapping[str, _Text], timestamp_us: Integers
) -> tuple[tuple[AcceleratorKey, ...], Integers]:
    """The distinct accelerators in the order of their place, and which of them each row is of.

    One accelerator is one UUID, even when it moves to another place or host. Rows from before it answered for the
    first time have none: they belong to the accelerator of their place when there was only one.
    """
    parts = [
        texts["host"].codes,
        _whole_numbers(table["accelerator_index"]) + 1,
        _whole_numbers(table["mig_index"]) + 1,
        texts["accelerator_uuid"].codes,
        texts["accelerator"].codes,
    ]
    distinct, inverse = _distinct_rows(parts)
    newest = np.full(len(distinct), np.iinfo(np.int64).min)
    np.maximum.at(newest, inverse, timestamp_us)
    keys = [
        AcceleratorKey(
            host=texts["host"].values[host] or "",
            accelerator_index=index - 1,
            mig_index=None if mig == 0 else mig - 1,
            accelerator_uuid=texts["accelerator_uuid"].values[uuid],
            accelerator=texts["accelerator"].values[name],
        )
        for host, index, mig, uuid, name in distinct
    ]
    identities = _identities(keys)
    latest: dict[object, tuple[bool, int, AcceleratorKey]] = {}
    for identity, key, last in zip(identities, keys, newest.tolist(), strict=True):
        seen = (key.accelerator_uuid is not None, last, key)
        latest[identity] = max(seen, latest.get(identity, seen), key=lambda entry: entry[:2])
    ordered = sorted(latest, key=lambda identity: _place(latest[identity][2]))
    number = {identity: position for position, identity in enumerate(ordered)}
    accelerator = np.array([number[identity] for identity in identities], dtype=np.int64)[inverse]
    return tuple(latest[identity][2] for identity in ordered), accelerator


def _distinct_rows(parts: Sequence[Integers]) -> tuple[list[list[int]], Integers]:
    """Distinct combinations of small numbers, and which of them each row has."""
    combined = np.zeros(len(parts[0]), dtype=np.int64)
    for part in parts:
        combined = combined * (int(part.max()) + 1) + part
    _, first, inverse = np.unique(combined, return_index=True, return_inverse=True)
    return [[int(part[row]) for part in parts] for row in first], inverse


def _identities(keys: Sequence[AcceleratorKey]) -> list[object]:
    """What makes each key the same accelerator as another."""
    uuids_at = defaultdict(set)
    for key in keys:
        if key.accelerator_uuid is not None:
            uuids_at[key[:3]].add(key.accelerator_uuid)

    def identity(key: AcceleratorKey) -> object:
        here = uuids_at[key[:3]]
        if key.accelerator_uuid is None and len(here) == 1:
            return next(iter(here))
        return key.accelerator_uuid or key[:3]

    return [identity(key) for key in keys]


def _place(key: AcceleratorKey) -> tuple[str, int, int, str]:
    """Sorting key: host, accelerator, MIG instance."""
    mig_index = -1 if key.mig_index is None else key.mig_index
    return key.host, key.accelerator_index, mig_index, key.accelerator_uuid or ""


def _order(accelerator: Integers, timestamp_us: Integers, missed_ticks: Integers, interval_seconds: Floats) -> Integers:
    """Rows to keep, sorted; of several with the same accelerator and time, a sample goes before a gap."""
    order = np.lexsort((interval_seconds, missed_ticks, timestamp_us, accelerator))
    if not order.size:
        return order
    is_new = (np.diff(accelerator[order]) != 0) | (np.diff(timestamp_us[order]) != 0)
    return order[np.concatenate(([True], is_new))]
