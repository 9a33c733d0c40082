"""Files of stores: directories of this machine, and prefixes of buckets.

Files of object storage are copied here for as long as they are read, so that whatever reads them knows paths alone, and
a machine without a network needs nothing more than one with it.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from advisor.errors import InputError
from advisor.records import dataclass, field
from advisor.samples.agent.compaction import SCHEMES as BUCKET_SCHEMES
from advisor.samples.agent.compaction import parse_bucket_url
from advisor.samples.places import SPOOL
from advisor.samples.store.bucket import Bucket
from advisor.scratch import scratch_folder

SCHEMES = tuple(f"{scheme}://" for scheme in BUCKET_SCHEMES)
_COPIES = 8
"""Files that are copied at once."""
_COPY_BYTES = 1 << 20
_AGENT_HINT = "give the directory that `advisor agent run --output` writes to"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a store, by its place in the layout that :mod:`advisor.samples.places` shows."""

    folder: "Folder" = field(repr=False, compare=False)
    where: str
    """Path or address."""
    parts: tuple[str, ...]
    """Below the directory."""

    @property
    def name(self) -> str:
        """The last part."""
        return self.parts[-1]


def folders_of(places: Sequence[str]) -> "list[Folder]":
    """Folders by their paths and addresses.

    Raises:
        InputError: an address is of no kind that is read, or names no account.
    """
    for place in places:
        if not is_store(place):
            hint = f"give a directory, or an address that begins with {', '.join(SCHEMES)}"
            raise InputError("no reader knows this kind of address", where=place, hint=hint)
    return [_RemoteFolder(place) if "://" in place else _LocalFolder(Path(place)) for place in places]


@contextmanager
def at_hand(files: Sequence[StoredFile]) -> Iterator[dict[StoredFile, Path]]:
    """Paths of files on this machine; those of object storage are copied, and removed afterwards.

    One that is gone meanwhile is left out.
    """
    paths = {file: path for file in files if (path := file.folder.local(file)) is not None}
    distant = [file for file in files if file not in paths]
    if not distant:
        yield paths
        return
    with scratch_folder() as folder, ThreadPoolExecutor(_COPIES) as workers:
        targets = [folder / f"{number}-{file.name}" for number, file in enumerate(distant)]
        copied = workers.map(_copy, distant, targets)
        yield {**paths, **{file: path for file, path in zip(distant, copied, strict=True) if path is not None}}


def _copy(file: StoredFile, path: Path) -> Path | None:
    try:
        with file.folder.open(file) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target, _COPY_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        hint = "check the network, and the room in the temporary folder"
        raise InputError(f"cannot be copied: {error}", where=file.where, hint=hint) from error
    return path


@dataclass(frozen=True, slots=True)
class _LocalFolder:
    """A directory of this machine that agents write to."""

    path: Path

    def files(self) -> Iterator[StoredFile]:
        """Files of the spool first, then those of each date."""
        if not self.path.is_dir():
            problem = "not a directory" if self.path.exists() else "no such directory"
            raise InputError(problem, where=str(self.path), hint=_AGENT_HINT)
        # The spool first: what a compaction moves meanwhile is then seen twice rather than not at all.
        for top in sorted(_subfolders(self.path, (SPOOL,))) + sorted(_subfolders(self.path, ("date=",))):
            for host in sorted(_subfolders(top, ("host=",))):
                for name in sorted(entry.name for entry in _entries(host)):
                    yield StoredFile(self, str(host / name), (top.name, host.name, name))

    def open(self, file: StoredFile) -> BinaryIO:
        """One of them for reading at any position."""
        return Path(file.where).open("rb")

    def local(self, file: StoredFile) -> Path | None:
        """Path on this machine; None where it has to be copied."""
        return Path(file.where)


def _subfolders(path: Path, prefixes: tuple[str, ...]) -> list[Path]:
    return [path / entry.name for entry in _entries(path) if entry.name.startswith(prefixes) and entry.is_dir()]


def _entries(path: Path) -> list[os.DirEntry[str]]:
    """Entries of a folder; nothing where it was removed meanwhile."""
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
    except OSError as error:
        hint = "give this user permission to read it"
        raise InputError(f"cannot be read: {error.strerror}", where=str(path), hint=hint) from error


@dataclass(frozen=True)
class _RemoteFolder:
    """A copy of one in object storage, with the same methods."""

    place: str

    @cached_property
    def _bucket(self) -> Bucket:
        return Bucket.at(parse_bucket_url(self.place, "samples"))

    def files(self) -> Iterator[StoredFile]:
        for name in self._bucket.names():
            parts = tuple(name.split("/"))
            if len(parts) == 3:
                yield StoredFile(self, f"{self._bucket.url}/{name}", parts)

    def open(self, file: StoredFile) -> Any:  # noqa: ANN401 - Arrow has no types
        return self._bucket.open("/".join(file.parts))

    def local(self, file: StoredFile) -> None:  # noqa: ARG002 - none is here
        return None


Folder = _LocalFolder | _RemoteFolder


def is_store(place: str) -> bool:
    """Whether a place holds files of agents, on this machine or in object storage."""
    return "://" not in place or place.startswith(SCHEMES)
