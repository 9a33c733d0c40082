"""A refreshed catalog of one provider on disk, written beside the old one and taken in one step; differences of two.

::

    <provider>/current                 name of the snapshot that holds
    <provider>/<name>/manifest.json    date, gaps, and the hash of each table
    <provider>/<name>/*.csv            tables in the form of ``instance_catalog/``

Whatever happens while one is written, ``current`` names a whole snapshot: the old one or the new one.
"""

import csv
import fcntl
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Any

from advisor.atomic_files import make_directory, write_text
from advisor.catalog.one_pass_engines import Releases, read_releases
from advisor.catalog.readers import Sources
from advisor.catalog.values import Offer, Price, Purchase
from advisor.errors import InputError
from advisor.records import dataclass

SCHEMA = "advisor.catalog-snapshot/v1"
_CURRENT = "current"
_MANIFEST = "manifest.json"
_LOCK = ".lock"
RELEASES = "releases"
"""Name of the snapshots below the directory of refreshed engines."""
TABLE = "engine_releases.csv"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole and unchanged snapshot."""

    provider: str
    directory: Path
    read_on: str
    """ISO date of the refresh."""
    gaps: tuple[str, ...]
    """What could not be read, in words."""
    content_hash: str
    """Of the manifest, which holds the hashes of the tables."""

    @property
    def name(self) -> str:
        """Unique within the provider."""
        return self.directory.name


@dataclass(frozen=True, slots=True)
class Damaged:
    """A snapshot that cannot be used; what was shipped holds instead."""

    provider: str
    reason: str


def table_text(header: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV; None is an empty cell."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if row.get(key) is None else row[key] for key in header} for row in rows)
    return stream.getvalue()


@contextmanager
def sole_writer(root: Path) -> Iterator[None]:
    """Wait until no other run writes snapshots below *root*; the lock ends with the process, however that ends.

    Raises InputError if the directory cannot be written to.
    """
    make_directory(root)
    try:
        descriptor = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise InputError(f"cannot write: {error.strerror or error}", where=str(root / _LOCK)) from error
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def stage(root: Path, provider: str, tables: Mapping[str, str], read_on: str, gaps: Sequence[str]) -> Snapshot:
    """Write a snapshot (*tables*: file name → text; *gaps*: what could not be read) beside the one that holds.

    Raises InputError if it cannot be written; the old snapshot then still holds.
    """
    manifest = {
        "schema": SCHEMA,
        "provider": provider,
        "read_on": read_on,
        "gaps": list(gaps),
        "tables": {name: digest_of(text.encode()) for name, text in sorted(tables.items())},
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    content_hash = digest_of(text.encode())
    directory = root / provider / f"{read_on}-{content_hash[:16]}"
    make_directory(directory)
    for table, content in tables.items():
        write_text(directory / table, content)
    write_text(directory / _MANIFEST, text)
    _flush(directory)
    return Snapshot(provider, directory, read_on, tuple(gaps), content_hash)


def take(root: Path, staged: Snapshot) -> None:
    """Make a staged snapshot the one that holds, in one step; the one before it is kept.

    Raises InputError if it cannot be written; the old snapshot then still holds.
    """
    directory = root / staged.provider
    kept = {staged.name, _current_name(root, staged.provider)}
    write_text(directory / _CURRENT, f"{staged.name}\n")
    _flush(directory)
    for path in directory.glob("*-*"):
        if path.is_dir() and path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)


def discard(root: Path, staged: Snapshot) -> None:
    """Remove a staged snapshot, unless it is the one that holds."""
    if _current_name(root, staged.provider) != staged.name:
        shutil.rmtree(staged.directory, ignore_errors=True)


def current(root: Path, provider: str) -> Snapshot | Damaged | None:
    """The snapshot of a provider that holds; None where there never was a refresh."""
    name = _current_name(root, provider)
    return None if name is None else read(root, provider, name)


def current_names(root: Path) -> tuple[tuple[str, str | None], ...]:
    """Provider and name of each snapshot that holds, unread: whether anything has changed."""
    return tuple((provider, _current_name(root, provider)) for provider in providers(root))


def providers(root: Path) -> tuple[str, ...]:
    """Providers that were refreshed."""
    with suppress(OSError):
        return tuple(sorted(path.parent.name for path in root.glob(f"*/{_CURRENT}")))
    return ()


def previous(root: Path, provider: str) -> Snapshot | None:
    """The snapshot before the one that holds."""
    now = _current_name(root, provider)
    names = sorted(path.name for path in (root / provider).glob("*-*") if path.is_dir() and path.name != now)
    snapshots = [read(root, provider, name) for name in names]
    return next((snapshot for snapshot in reversed(snapshots) if isinstance(snapshot, Snapshot)), None)


def read(root: Path, provider: str, name: str) -> Snapshot | Damaged:
    """A snapshot whose tables are as they were written."""
    directory = root / provider / name
    try:
        text = (directory / _MANIFEST).read_text(encoding="utf-8")
        manifest = json.loads(text)
        if manifest["schema"] != SCHEMA:
            return Damaged(provider, f"it is of the schema {manifest['schema']!r}")
        for table, digest in manifest["tables"].items():
            if Path(table).name != table or digest_of((directory / table).read_bytes()) != digest:
                return Damaged(provider, f"{table} is not as it was written")
        gaps = tuple(map(str, manifest["gaps"]))
        return Snapshot(provider, directory, str(manifest["read_on"]), gaps, digest_of(text.encode()))
    except OSError as error:
        return Damaged(provider, f"cannot read it: {error.strerror or error}")
    except (ValueError, KeyError, TypeError, AttributeError):
        return Damaged(provider, "its manifest is damaged")


def forget(root: Path, provider: str) -> bool:
    """Go back to what was shipped; False where there was no refresh. Raises InputError if it cannot be removed."""
    try:
        (root / provider / _CURRENT).unlink()
        shutil.rmtree(root / provider, ignore_errors=True)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise InputError(f"cannot remove: {error.strerror}", where=str(root / provider)) from error
    return True


def _current_name(root: Path, provider: str) -> str | None:
    try:
        name = (root / provider / _CURRENT).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return name if name and Path(name).name == name else "damaged"


def _flush(directory: Path) -> None:
    """Make renames in a directory durable."""
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def digest_of(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


class ReleaseChangeKind(StrEnum):
    """Kind of change of a release."""

    NEW = "new_release"
    GONE = "gone"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class ReleaseChange:
    """One difference between two states of the releases."""

    kind: ReleaseChangeKind
    engine: str
    version: str
    before: str
    """ISO date; "" for a new one."""
    now: str
    """ISO date; "" for one that is gone."""


def releases_of(snapshot: Snapshot) -> Releases:
    """The releases of a snapshot."""
    return read_releases(snapshot.directory / TABLE, Sources(snapshot.directory))


def release_changes(before: Releases, after: Releases) -> tuple[ReleaseChange, ...]:
    """Differences, by engine and version, the newest version first."""
    changes: list[ReleaseChange] = []
    for engine in sorted({*before.by_engine, *after.by_engine}):
        old, new = (
            {release.version: release.released.isoformat() for release in releases.of(engine)}
            for releases in (before, after)
        )
        for version in sorted({*old, *new}, reverse=True):
            was, now = old.get(version, ""), new.get(version, "")
            kind = ReleaseChangeKind.GONE if not now else ReleaseChangeKind.MOVED if was else ReleaseChangeKind.NEW
            if was != now:
                changes.append(ReleaseChange(kind, engine, str(version), was, now))
    return tuple(changes)


_SAME_RATIO = 1e-9


class Kind(StrEnum):
    """Kind of change of an offer."""

    NEW_TYPE = "new_type"
    """No region sold the type before."""
    NEW_OFFER = "new_offer"
    GONE = "gone"
    PRICED = "priced"
    """Its price is known now."""
    UNPRICED = "unpriced"
    """Its price is not known any more; it is still sold."""
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference."""

    kind: Kind
    provider: str
    region: str
    instance_type: str
    purchase: Purchase | None
    """None: the offer as a whole."""
    before_usd_per_hour: float | None
    now_usd_per_hour: float | None

    @property
    def moved_ratio(self) -> float | None:
        """Now over before, less one."""
        if self.before_usd_per_hour is None or self.now_usd_per_hour is None:
            return None
        return self.now_usd_per_hour / self.before_usd_per_hour - 1


def changes(before: Iterable[Offer], after: Iterable[Offer]) -> tuple[Change, ...]:
    """Differences by kind, provider, type and region."""
    old, new = ({offer.place: offer for offer in offers if not offer.withdrawn} for offers in (before, after))
    known_types = {(provider, name) for provider, _, name in old}
    every: list[Change] = []
    for place in {*old, *new}:
        if place in old and place in new:
            every += _moves(old[place], new[place])
        elif place in old:
            every.append(Change(Kind.GONE, *place, None, _usd(old[place].on_demand), None))
        else:
            kind = Kind.NEW_OFFER if (place[0], place[2]) in known_types else Kind.NEW_TYPE
            every.append(Change(kind, *place, None, None, _usd(new[place].on_demand)))
    order = list(Kind)

    def key(change: Change) -> tuple[int | str, ...]:
        place = change.provider, change.instance_type, change.region
        return order.index(change.kind), *place, change.purchase or ""

    return tuple(sorted(every, key=key))


def _moves(old: Offer, new: Offer) -> Iterator[Change]:
    """Changes of the prices of an offer that is still sold."""
    for purchase in (Purchase.ON_DEMAND, Purchase.SPOT, Purchase.MANAGED):
        before, now = _usd(old.price(purchase)), _usd(new.price(purchase))
        if before is None and now is not None:
            yield Change(Kind.PRICED, *old.place, purchase, None, now)
        elif before is not None and now is None:
            yield Change(Kind.UNPRICED, *old.place, purchase, before, None)
        elif before is not None and now is not None and abs(now - before) > before * _SAME_RATIO:
            yield Change(Kind.MOVED, *old.place, purchase, before, now)


def _usd(price: Price | None) -> float | None:
    return price.usd_per_hour if price else None
