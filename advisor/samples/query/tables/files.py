"""Which files of samples a directory holds, on this machine or in object storage."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from advisor.errors import InputError

_KINDS = {"rows": "rows-", "engines": "engines-", "ticks": "part-"}
_INTERVAL_KEY = b"advisor.samples.interval_seconds"
_FOOTERS = 500
"""Files of schema v1 of which the interval is read; they have one for each minute."""


@dataclass(frozen=True, slots=True)
class Files:
    """Patterns of the files that there are."""

    patterns: dict[str, str]
    """Patterns of paths of ``rows`` and ``engines`` (schema v2) and ``ticks`` (v1), where there are any."""
    tick_seconds: float | None = None
    """Usual interval of the files of v1."""
    notes: tuple[str, ...] = ()


def find_files(place: str) -> Files:
    """Look through a directory.

    Raises:
        InputError: it cannot be looked through, or holds no samples.
    """
    system, root = _open(place)
    try:
        infos = system.get_file_info(pafs.FileSelector(root, recursive=True))
    except OSError as error:
        raise InputError(
            f"cannot look through the directory: {error}",
            where=place,
            hint="give a directory or object-storage path that agents write to, and credentials in the environment",
        ) from error
    paths = [info.path for info in infos if info.is_file and info.path.endswith(".parquet")]
    found = {kind: _starting(paths, start) for kind, start in _KINDS.items()}
    if not any(found.values()):
        raise InputError("no samples here", where=place, hint="collect some: `advisor agent run --output DIR`")
    base = place.rstrip("/")
    patterns = {kind: f"{base}/date=*/host=*/{_KINDS[kind]}*.parquet" for kind, some in found.items() if some}
    seconds, notes = _intervals(system, found["ticks"])
    return Files(patterns, seconds, notes)


def _open(place: str) -> tuple[pafs.FileSystem, str]:
    if "://" not in place:
        return pafs.LocalFileSystem(), place.rstrip("/")
    uri = place.rstrip("/").replace("s3a://", "s3://", 1)
    try:
        system, root = pafs.FileSystem.from_uri(uri)
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"cannot be opened: {error}", where=place, hint="give a directory, or an s3:// or gs:// path"
        ) from error
    return system, str(root)


def _starting(paths: Sequence[str], start: str) -> list[str]:
    return sorted(path for path in paths if path.rsplit("/", 1)[-1].startswith(start))


def _intervals(system: pafs.FileSystem, paths: Sequence[str]) -> tuple[float | None, tuple[str, ...]]:
    """Usual interval of files of v1, and a note where there are several."""
    seen: Counter[float] = Counter()
    for path in paths[:: max(1, len(paths) // _FOOTERS)]:
        try:
            metadata = pq.read_schema(path, filesystem=system).metadata or {}
            seen[float(metadata.get(_INTERVAL_KEY, b"nan"))] += 1
        except (OSError, ValueError, pa.ArrowException):
            continue
    known = [seconds for seconds, _ in seen.most_common() if seconds > 0]
    if len(known) > 1:
        others = ", ".join(f"{seconds:g}" for seconds in known[1:])
        return known[0], (f"older files have intervals of {others} s too; coverage takes them as {known[0]:g} s",)
    return (known[0] if known else None), ()
