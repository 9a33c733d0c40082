"""The hosts of a store, with what they said of themselves; read from footers, a few for each host."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.fs
import pyarrow.parquet as pq

from advisor.samples.agent.host_facts import ENGINES as ENGINE_LINES
from advisor.samples.agent.host_facts import INSTANCE_TYPE, ON_DEMAND, PROVIDER, PURCHASE, REGION, read_facts
from advisor.samples.agent.status_files import RUNTIME_PATTERN, read_object, written_seconds
from advisor.samples.places import ENGINES, ROWS, SPOOL, day_of_folder, host_of
from advisor.samples.store.columns import HOST_KEY, LABELS_KEY
from advisor.units import SECONDS_PER_DAY

_US = 1e6
_TOGETHER_SECONDS = 2 * 3600.0
"""Hosts whose last rows are no further apart ran at the same time."""
_SHOWN = 3


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
    """``on_demand`` where it is not known."""
    count: int

    def __str__(self) -> str:
        """As ``current`` of a workload file."""
        return (
            f"{{provider: {self.provider}, region: {self.region}, instance_type: {self.instance_type}, "
            f"count: {self.count}, purchase: {self.purchase}}}"
        )


@dataclass(frozen=True, slots=True)
class RunningFleet:
    """What runs at the end of the samples."""

    machines: Sequence[Machines]
    """By kind, the most first."""
    unknown: Sequence[str]
    """Hosts that do not say what they are."""
    engines: Sequence[str] = ()
    """Serving engines and how they were started, each once."""

    def unknown_words(self) -> str:
        """How many hosts do not say what they are, and what to do; empty where all do."""
        if not self.unknown:
            return ""
        more = f" and {len(self.unknown) - _SHOWN} more" if len(self.unknown) > _SHOWN else ""
        remedy = "run the agent with --label provider=…, region=…, instance_type=… and purchase=… there"
        return f"no metadata service says what {', '.join(self.unknown[:_SHOWN])}{more} are: {remedy}"


def running_fleet(places: Sequence[Path | str], patterns: Sequence[str] = ()) -> RunningFleet:
    """The hosts that ran at the end of the samples, by what they are.

    Args:
        places: directories of samples and addresses of buckets; anything else has no hosts.
        patterns: names or patterns of hosts; empty: all.
    """
    hosts = [
        host
        for host in hosts_of(places)
        if not patterns or any(fnmatchcase(host.name, pattern) for pattern in patterns)
    ]
    hosts = _of_now(hosts) or hosts
    newest = max((host.last_seconds for host in hosts), default=0.0)
    running = [host for host in hosts if host.last_seconds >= newest - _TOGETHER_SECONDS]
    kinds = [_kind(host.facts) for host in running]
    counts = {kind: kinds.count(kind) for kind in kinds if kind is not None}
    machines = [Machines(*kind, count) for kind, count in counts.items()]
    unknown = sorted(host.name for host, kind in zip(running, kinds, strict=True) if kind is None)
    engines = {line for host in running for line in host.facts.get(ENGINE_LINES, "").split("; ") if line}
    return RunningFleet(sorted(machines, key=lambda kind: (-kind.count, kind)), unknown, sorted(engines))


def _of_now(hosts: Sequence[Host]) -> list[Host]:
    """Hosts without those whose clock is more than a day ahead."""
    latest_seconds = time.time() + SECONDS_PER_DAY
    return [host for host in hosts if host.last_seconds <= latest_seconds]


def _kind(facts: Mapping[str, str]) -> tuple[str, str, str, str] | None:
    """Provider, region, instance type and way of paying; None where one of the first three is unknown."""
    provider, region, instance_type = (facts.get(name, "") for name in (PROVIDER, REGION, INSTANCE_TYPE))
    if not provider or not region or not instance_type:
        return None
    return provider, region, instance_type, facts.get(PURCHASE, ON_DEMAND)


def hosts_of(places: Sequence[Path | str]) -> list[Host]:
    """Every host of some stores, in the order of their names."""
    hosts: dict[str, Host] = {}
    for host in (host for place in places for host in (*_in_files(place), *_in_spool(place))):
        before = hosts.get(host.name)
        if before is None or host.last_seconds >= before.last_seconds:
            hosts[host.name] = host
    return [hosts[name] for name in sorted(hosts)]


def _in_files(place: Path | str) -> Iterator[Host]:
    """From the files of each host's last day."""
    opened = _opened(place)
    if opened is None:
        return
    filesystem, root = opened
    days: dict[str, dict[str, list[str]]] = {}
    selector = pyarrow.fs.FileSelector(root, recursive=True, allow_not_found=True)
    for file in filesystem.get_file_info(selector):
        path = PurePosixPath(file.path)
        is_ours = path.name.startswith((f"{ROWS}-", f"{ENGINES}-")) and path.suffix == ".parquet"
        if is_ours and day_of_folder(Path(path.parent.parent)) is not None:
            days.setdefault(host_of(Path(path.parent)), {}).setdefault(path.parent.parent.name, []).append(file.path)
    for name, by_day in days.items():
        if (host := _of_files(filesystem, name, by_day[max(by_day)])) is not None:
            yield host


def _opened(place: Path | str) -> tuple[Any, str] | None:
    """File system and folder of a place."""
    if "://" in str(place):
        from advisor.samples.agent.upload_policy import SCHEMES, parse_bucket_url  # noqa: PLC0415 - rare
        from advisor.samples.store.bucket import Bucket  # noqa: PLC0415 - rare

        if str(place).partition("://")[0] not in SCHEMES:
            return None
        url = parse_bucket_url(str(place), "samples")
        return Bucket.at(url).filesystem, url.root
    return (pyarrow.fs.LocalFileSystem(), str(place)) if Path(place).is_dir() else None


def _of_files(filesystem: Any, name: str, paths: Sequence[str]) -> Host | None:  # noqa: ANN401 - pyarrow's
    """A host by its files; None where none can be read."""
    last, facts = 0.0, dict[str, str]()
    for path in sorted(paths):
        try:
            footer = pq.read_metadata(path, filesystem=filesystem)
            metadata = footer.metadata or {}
            facts |= json.loads(metadata.get(HOST_KEY, b"{}")) | json.loads(metadata.get(LABELS_KEY, b"{}"))
        except (OSError, ValueError):
            continue  # named where rows are read
        last = max(last, _last_seconds(footer))
    return Host(name, last, facts) if last else None


def _last_seconds(footer: Any) -> float:  # noqa: ANN401 - pyarrow's
    """End of the last row of a file by its statistics; 0 where it has none."""
    column = next((at for at in range(footer.num_columns) if footer.schema.column(at).path == "timestamp"), None)
    if column is None:
        return 0.0
    groups = [footer.row_group(at).column(column).statistics for at in range(footer.num_row_groups)]
    return max((group.max.timestamp() for group in groups if group is not None and group.has_min_max), default=0.0)


def _in_spool(place: Path | str) -> Iterator[Host]:
    """From what agents say beside their spool."""
    if "://" in str(place):
        return
    for path in (Path(place) / SPOOL).glob(RUNTIME_PATTERN):
        status, name = read_object(path), host_of(path.parent)
        labels = {str(key): str(value) for key, value in (status.get("labels") or {}).items()}
        if written := written_seconds(status):
            yield Host(name, written, read_facts(Path(place), name) | labels)
