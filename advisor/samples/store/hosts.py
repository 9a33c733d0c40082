"""Files of a store by host and date, its hosts with what they said of themselves, and counts of each day.

A row of a table of counts is of one accelerator and one metric:

- of a gauge ``steps`` (values in multiples of ``resolution``, ascending) and ``counts`` (rows that have each), with the
  greatest of the row maxima, the sum of the row means and the number of known rows;
- of a counter its first and last value and their times, what it grew by in between, how often it was reset, and the
  time over which resets hide what it grew by;
- of ``rows`` how many there are, and from when to when anything is said of the accelerator, gaps included;
- of ``missed`` how many ticks gaps stand for, by ``reason``.

Counts of several days add up to the counts of all of them: :class:`advisor.samples.query.counts.Counts`.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from advisor.names import first_names
from advisor.records import dataclass, field
from advisor.samples import places
from advisor.samples.agent.host_facts import ENGINES as ENGINE_LINES
from advisor.samples.agent.host_facts import INSTANCE_TYPE, PROVIDER, PURCHASE, REGION, read_facts
from advisor.samples.agent.status import RUNTIME_PATTERN, read_object, written_seconds
from advisor.samples.growth import Floats, Integers, steps
from advisor.samples.metrics import ACCELERATOR_METRICS, Kind, Metric
from advisor.samples.store.bucket import Folder, StoredFile, folders_of, is_store
from advisor.samples.store.row_tables import (
    HISTOGRAM_SCHEMA,
    HOST_KEY,
    LABELS_KEY,
    SCHEMA_KEY,
    TEXT,
    UnreadableError,
    encode_parquet,
    read_named,
    table_of,
    target_codes,
    time_range_us,
)
from advisor.units import SECONDS_PER_DAY

PRESENT, MISSED = "rows", "missed"
"""Names in the column ``metric`` that are not metrics."""
TARGET = ("host", "accelerator_index", "mig_index", "accelerator_uuid", "accelerator")
COLUMNS = pa.schema(
    [
        (name, kind)
        for names, kind in (
            (("host",), TEXT),
            (("accelerator_index", "mig_index"), pa.int32()),
            (("accelerator_uuid", "accelerator", "metric", "reason"), TEXT),
            (("first_us", "last_us", "rows"), pa.int64()),
            (("resolution", "mean_sum", "max"), pa.float64()),
            (("steps", "counts"), pa.list_(pa.int32())),
            (("first_value", "last_value", "grown"), pa.float64()),
            (("resets", "reset_us"), pa.int64()),
        )
        for name in names
    ]
)
_TEXTS = [field.name for field in COLUMNS if field.type.equals(TEXT)]
_GAUGES = tuple(metric for metric in ACCELERATOR_METRICS if metric.kind is Kind.GAUGE)
_COUNTERS = tuple(metric.name for metric in ACCELERATOR_METRICS if metric.kind is Kind.COUNTER)
COUNTED_COLUMNS = (*_COUNTERS, *(name for metric in _GAUGES for name in (metric.name, f"{metric.name}_max")))
"""Columns of rows that are counted."""


def count_rows(rows: pa.Table) -> pa.Table:
    """Counts of rows that are sorted by target and time, each there once, with keys and :data:`COUNTED_COLUMNS`."""
    rows = rows.filter(rows["accelerator_index"].is_valid())
    codes = target_codes(rows, TARGET)
    order = np.argsort(codes, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1) if rows.num_rows else []
    columns = {name: rows[name].cast(pa.float64()).to_numpy() for name in COUNTED_COLUMNS}
    end_us, start_us, is_gap = times_of(rows)
    entries: list[dict[str, Any]] = []
    for group in groups:
        place = {name: rows[name][int(group[0])].as_py() for name in TARGET}
        read = group[~is_gap[group]]
        first_us, last_us = int(start_us[group].min()), int(end_us[group].max())
        said = [{"metric": PRESENT, "first_us": first_us, "last_us": last_us, "rows": read.size}]
        said += _missed(rows, group[is_gap[group]])
        said += _values({name: values[read] for name, values in columns.items()}, end_us[read])
        entries += [{**place, **entry} for entry in said]
    return table_of(entries, COLUMNS)


def encode_counts(counts: pa.Table) -> bytes:
    """Counts as the content of a file."""
    return encode_parquet(counts, _TEXTS, {}, {SCHEMA_KEY: HISTOGRAM_SCHEMA.encode()})


def times_of(rows: pa.Table) -> tuple[Integers, Integers, npt.NDArray[np.bool_]]:
    """End and begin of each row, µs since 1970, and whether it is a gap; a row speaks of fifteen seconds."""
    end_us = rows["timestamp"].cast(pa.int64()).to_numpy()
    is_gap = rows["gap_reason"].combine_chunks().is_valid().to_numpy(zero_copy_only=False)
    gap_start = rows["gap_start"].cast(pa.int64()).fill_null(0).to_numpy()
    start_us = np.where(is_gap & (gap_start > 0), np.minimum(gap_start, end_us), end_us - places.ROW_US)
    return end_us, start_us, is_gap


def steps_of(values: Floats, resolution: float) -> Integers:
    """Values in multiples of their resolution."""
    scaled = values / resolution if resolution >= 1 else values * round(1 / resolution)
    result: Integers = np.rint(scaled).astype(np.int64)
    return result


def values_of(multiples: Integers, resolution: float) -> Floats:
    """The doubles that :func:`advisor.samples.metrics.rounded` gives, from multiples of the resolution."""
    values = multiples * resolution if resolution >= 1 else multiples / round(1 / resolution)
    return np.asarray(values, dtype=np.float64)


def _missed(rows: pa.Table, gaps: Integers) -> Iterator[dict[str, Any]]:
    """Ticks that gaps stand for, at least one each."""
    some = rows.select(["gap_reason", "missed_ticks"]).take(pa.array(gaps))
    ticks: dict[str, int] = {}
    for reason, missed in zip(some["gap_reason"].to_pylist(), some["missed_ticks"].to_pylist(), strict=True):
        ticks[reason] = ticks.get(reason, 0) + max(missed or 0, 1)
    return ({"metric": MISSED, "reason": reason, "rows": missed} for reason, missed in ticks.items())


def _values(columns: Mapping[str, Floats], end_us: Integers) -> Iterator[dict[str, Any]]:
    """Counts of each gauge and counter that one accelerator has."""
    for metric in _GAUGES:
        means = columns[metric.name]
        is_known = ~np.isnan(means)
        if is_known.any():
            yield _gauge(metric, means[is_known], columns[f"{metric.name}_max"][is_known])
    for name in _COUNTERS:
        is_known = ~np.isnan(columns[name])
        if is_known.any():
            yield _counter(name, columns[name][is_known], end_us[is_known])


def _gauge(metric: Metric, means: Floats, maxima: Floats) -> dict[str, Any]:
    distinct, counts = np.unique(steps_of(means, metric.resolution), return_counts=True)
    return {
        "metric": metric.name,
        "rows": means.size,
        "resolution": metric.resolution,
        "mean_sum": float(values_of(distinct, metric.resolution) @ counts),
        "max": float(np.fmax(maxima, means).max()),
        "steps": distinct,
        "counts": counts,
    }


def _counter(name: str, values: Floats, end_us: Integers) -> dict[str, Any]:
    grown, is_reset = steps(values)
    return {
        "metric": name,
        "rows": values.size,
        "first_us": int(end_us[0]),
        "last_us": int(end_us[-1]),
        "first_value": float(values[0]),
        "last_value": float(values[-1]),
        "grown": float(grown.sum()),
        "resets": int(is_reset.sum()),
        "reset_us": int(np.diff(end_us)[is_reset].sum()),
    }


_TOGETHER_SECONDS = 2 * 3600.0
"""Hosts whose last rows are no further apart ran at the same time."""
_SHOWN = 3


@dataclass(slots=True)
class DayFiles:
    """Files of one host and date, each name once however many directories have it."""

    rows: dict[str, StoredFile] = field(default_factory=dict)
    engines: dict[str, StoredFile] = field(default_factory=dict)
    counts: dict[str, StoredFile] = field(default_factory=dict)
    spool: dict[str, StoredFile] = field(default_factory=dict)
    """Segments that have not become files yet."""
    unfinished: dict[str, StoredFile] = field(default_factory=dict)

    @property
    def counted(self) -> StoredFile | None:
        """Counts that say all that is known of accelerators on this day; None where rows have to be read."""
        if len(self.rows) != 1 or self.spool:
            return None
        return self.counts.get(next(iter(self.rows)).replace(places.ROWS, places.HISTOGRAMS, 1))

    def take(self, file: StoredFile) -> None:
        """Sort a file by its name; what is not of this store is left out."""
        kinds = {places.ROWS: self.rows, places.ENGINES: self.engines, places.HISTOGRAMS: self.counts}
        kind = kinds.get(file.name.lstrip(".").partition("-")[0])
        if kind is None:
            return
        if file.name.endswith(".parquet") and not file.name.startswith("."):
            kind[file.name] = file
        elif file.name.startswith(".") and ".parquet" in file.name:
            self.unfinished[file.name] = file


@dataclass(frozen=True, slots=True)
class HostFiles:
    """Files of one host."""

    host: str
    days: dict[date, DayFiles] = field(default_factory=dict)

    def days_within(self, first_us: int, last_us: int) -> Iterator[tuple[date, DayFiles]]:
        """Dates that may have rows that end after the one time and not after the other."""
        for day in sorted(self.days):
            if places.start_us(day) < last_us and places.start_us(day + timedelta(days=1)) > first_us:
                yield day, self.days[day]


def is_whole(day: date, first_us: int, last_us: int) -> bool:
    """Whether all rows of a day lie in a window."""
    return places.start_us(day) >= first_us and places.start_us(day) + places.US_PER_DAY <= last_us


def read_inventory(folders: Sequence[Folder]) -> dict[str, HostFiles]:
    """Files by host, in order of name. Raises InputError if there is no such directory, or it may not be read."""
    hosts: dict[str, HostFiles] = {}
    for folder in folders:
        for file in folder.files():
            is_spool = file.parts[0] == places.SPOOL
            if is_spool and not file.name.endswith(places.SEGMENT_SUFFIX):
                continue
            day = places.day_of_folder(PurePosixPath(file.name[:8] if is_spool else file.parts[0]))
            if day is None:
                continue
            host = places.host_of(PurePosixPath(file.parts[1]))
            files = hosts.setdefault(host, HostFiles(host)).days.setdefault(day, DayFiles())
            if is_spool:
                files.spool[file.name] = file
            else:
                files.take(file)
    return dict(sorted(hosts.items()))


@dataclass(frozen=True, slots=True)
class Host:
    """One host."""

    name: str
    last_seconds: float
    """End of its last row, since 1970."""
    facts: Mapping[str, str]
    """What is known of it: what its provider said, over which its static labels go."""


@dataclass(frozen=True, slots=True, order=True)
class Machines:
    """Hosts of one kind, with the keys of ``current`` in a workload file."""

    provider: str
    region: str
    instance_type: str
    purchase: str
    """"" where it is not known."""
    count: int

    def __str__(self) -> str:
        """Text for ``current`` of a workload file, without a way of paying that is not known."""
        paid = f", purchase: {self.purchase}" if self.purchase else ""
        return (
            f"{{provider: {self.provider}, region: {self.region}, instance_type: {self.instance_type}, "
            f"count: {self.count}{paid}}}"
        )


@dataclass(frozen=True, slots=True)
class RunningFleet:
    """Fleet that runs at the end of the samples."""

    machines: Sequence[Machines]
    """By kind, the most first."""
    unknown: Sequence[str]
    """Hosts that do not say what they are."""
    engines: Sequence[str] = ()
    """Serving engines and how they were started, each once."""
    hosts: Sequence[Host] = ()
    """All of them."""

    def unknown_words(self) -> str:
        """How many hosts do not say what they are, and what to do; empty where all do."""
        if not self.unknown:
            return ""
        remedy = "run the agent with --label provider=…, region=…, instance_type=… and purchase=… there"
        verb = "is" if len(self.unknown) == 1 else "are"
        return f"no metadata service says what {first_names(self.unknown, _SHOWN)} {verb}: {remedy}"


def is_meant(host: str, patterns: Sequence[str]) -> bool:
    """Whether a host has one of several names or patterns such as ``gpu-*``; without any, every host is meant."""
    return not patterns or any(fnmatchcase(host, pattern) for pattern in patterns)


def running_fleet(places: Sequence[Path | str], patterns: Sequence[str] = ()) -> RunningFleet:
    """The hosts of some names or patterns (none: all) that ran at the end of the samples, by what they are."""
    hosts = [host for host in hosts_of(places) if is_meant(host.name, patterns)]
    latest_seconds = time.time() + SECONDS_PER_DAY  # a clock that is further ahead is wrong
    hosts = [host for host in hosts if host.last_seconds <= latest_seconds] or hosts
    newest = max((host.last_seconds for host in hosts), default=0.0)
    running = [host for host in hosts if host.last_seconds >= newest - _TOGETHER_SECONDS]
    kinds = [_kind(host.facts) for host in running]
    counts = {kind: kinds.count(kind) for kind in kinds if kind is not None}
    machines = [Machines(*kind, count) for kind, count in counts.items()]
    unknown = sorted(host.name for host, kind in zip(running, kinds, strict=True) if kind is None)
    engines = {line for host in running for line in host.facts.get(ENGINE_LINES, "").split("; ") if line}
    return RunningFleet(sorted(machines, key=lambda kind: (-kind.count, kind)), unknown, sorted(engines), running)


def _kind(facts: Mapping[str, str]) -> tuple[str, str, str, str] | None:
    """Provider, region, instance type and way of paying; None where one of the first three is unknown."""
    provider, region, instance_type = (facts.get(name, "") for name in (PROVIDER, REGION, INSTANCE_TYPE))
    if not provider or not region or not instance_type:
        return None
    return provider, region, instance_type, facts.get(PURCHASE, "")


def hosts_of(places: Sequence[Path | str]) -> list[Host]:
    """Every host of some stores, in the order of their names."""
    hosts: dict[str, Host] = {}
    stores = [place for place in map(str, places) if is_store(place) and ("://" in place or Path(place).is_dir())]
    for host in (host for place in stores for host in (*_in_files(place), *_in_spool(place))):
        before = hosts.get(host.name)
        if before is None or host.last_seconds >= before.last_seconds:
            hosts[host.name] = host
    return [hosts[name] for name in sorted(hosts)]


def _in_files(place: str) -> Iterator[Host]:
    """Hosts from the files of each host's last day."""
    for name, files in read_inventory(folders_of([place])).items():
        days = [day for day, day_files in files.days.items() if day_files.rows or day_files.engines]
        if days and (host := _of_files(name, files.days[max(days)])) is not None:
            yield host


def _of_files(name: str, files: DayFiles) -> Host | None:
    """A host by its files; None where none can be read."""
    last, facts = 0.0, dict[str, str]()
    for file in sorted((*files.rows.values(), *files.engines.values()), key=lambda file: file.name):
        try:
            with file.folder.open(file) as stream:
                rows, said = time_range_us(stream), read_named(stream, HOST_KEY) | read_named(stream, LABELS_KEY)
        except (OSError, UnreadableError):
            continue  # named where rows are read
        last = max(last, rows[1] / places.US_PER_SECOND if rows else 0.0)
        facts |= said
    return Host(name, last, facts) if last else None


def _in_spool(place: str) -> Iterator[Host]:
    """Hosts from what agents say beside their spool."""
    for path in (Path(place) / places.SPOOL).glob(RUNTIME_PATTERN):
        status, name = read_object(path), places.host_of(path.parent)
        labels = {str(key): str(value) for key, value in (status.get("labels") or {}).items()}
        if written := written_seconds(status):
            yield Host(name, written, read_facts(Path(place), name) | labels)
