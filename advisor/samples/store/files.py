"""Files of stores: directories of this machine, and of object storage through Arrow's own file systems.

Files of object storage are copied here for as long as they are read, so that whatever reads them knows paths alone, and
a machine without a network needs nothing more than one with it.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.fs as pafs

from advisor.errors import InputError
from advisor.samples.places import SPOOL

SCHEMES = ("s3://", "gs://", "az://")
_AZURE_ACCOUNT = "AZURE_STORAGE_ACCOUNT"
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


class Folder(Protocol):
    """A directory that agents write to, or its copy in object storage."""

    def files(self) -> Iterator[StoredFile]:
        """Files of the spool first, then those of each date.

        Raises:
            InputError: there is no such directory, or it may not be read.
        """
        ...

    def open(self, file: StoredFile) -> BinaryIO | Any:  # noqa: ANN401 - Arrow has no types
        """One of them for reading at any position."""
        ...

    def local(self, file: StoredFile) -> Path | None:
        """Its path on this machine; None where it has to be copied."""
        ...


def folders_of(places: Sequence[str]) -> list[Folder]:
    """Folders by their paths and addresses.

    Raises:
        InputError: an address is of no kind that is read, or names no account.
    """
    return [_remote(place) if "://" in place else _LocalFolder(Path(place)) for place in places]


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
    with TemporaryDirectory(prefix="advisor-samples-") as name, ThreadPoolExecutor(_COPIES) as workers:
        targets = [Path(name) / f"{number}-{file.name}" for number, file in enumerate(distant)]
        copied = workers.map(_copy, distant, targets)
        yield {**paths, **{file: path for file, path in zip(distant, copied, strict=True) if path is not None}}


def _copy(file: StoredFile, path: Path) -> Path | None:
    try:
        with _readable(file.where), file.folder.open(file) as source, path.open("wb") as target:
            while piece := source.read(_COPY_BYTES):
                target.write(piece)
    except FileNotFoundError:
        return None
    return path


@dataclass(frozen=True, slots=True)
class _LocalFolder:
    """A directory of this machine."""

    path: Path

    def files(self) -> Iterator[StoredFile]:
        if not self.path.is_dir():
            problem = "not a directory" if self.path.exists() else "no such directory"
            raise InputError(problem, where=str(self.path), hint=_AGENT_HINT)
        # The spool first: what a compaction moves meanwhile is then seen twice rather than not at all.
        for top in sorted(_subfolders(self.path, (SPOOL,))) + sorted(_subfolders(self.path, ("date=",))):
            for host in sorted(_subfolders(top, ("host=",))):
                yield from self._files_of(host)

    def open(self, file: StoredFile) -> BinaryIO:
        return Path(file.where).open("rb")

    def local(self, file: StoredFile) -> Path:
        return Path(file.where)

    def _files_of(self, host: Path) -> Iterator[StoredFile]:
        for name in sorted(entry.name for entry in _entries(host)):
            yield StoredFile(self, str(host / name), (host.parent.name, host.name, name))


def _subfolders(path: Path, prefixes: tuple[str, ...]) -> list[Path]:
    return [path / entry.name for entry in _entries(path) if entry.name.startswith(prefixes) and entry.is_dir()]


def _entries(path: Path) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing where it was removed meanwhile."""
    try:
        with _readable(str(path)), os.scandir(path) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


class _RemoteFolder:
    """A prefix in object storage."""

    def __init__(self, place: str) -> None:
        self._place = place

    @cached_property
    def _connection(self) -> tuple[Any, str]:
        """The file system, with credentials and region of the environment, and the path in it."""
        if self._place.startswith("az://"):
            return _azure(self._place)
        system, root = pafs.FileSystem.from_uri(self._place)
        return system, root

    def files(self) -> Iterator[StoredFile]:
        try:
            with _readable(self._place):
                system, root = self._connection
                found = [info for info in system.get_file_info(pafs.FileSelector(root, recursive=True)) if info.is_file]
        except FileNotFoundError as error:
            raise _unreadable(self._place, error) from error
        for info in sorted(found, key=lambda info: info.path):
            parts = tuple(info.path.removeprefix(root).strip("/").split("/"))
            if len(parts) == 3:
                yield StoredFile(self, f"{self._place}/{'/'.join(parts)}", parts)

    def open(self, file: StoredFile) -> Any:  # noqa: ANN401 - Arrow has no types
        with _readable(file.where):
            system, root = self._connection
            return system.open_input_file("/".join((root, *file.parts)))

    def local(self, file: StoredFile) -> None:  # noqa: ARG002 - none is here
        return None


@contextmanager
def _readable(where: str) -> Iterator[None]:
    """Errors of file systems as errors that a user can mend; that a file is gone meanwhile goes through."""
    try:
        yield
    except (InputError, FileNotFoundError):
        raise
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(where, error) from error


def _unreadable(where: str, error: Exception) -> InputError:
    said = str(error).splitlines()[0]
    problem, hint = next(
        ((problem, hint) for marks, problem, hint in _PROBLEMS if any(mark in said for mark in marks)),
        ("cannot be read", "check the address, the credentials in the environment and the network"),
    )
    return InputError(f"{problem} ({said})", where=where, hint=hint)


_PROBLEMS = (
    (
        ("NO_SUCH_BUCKET", "NoSuchBucket", "does not exist", "NOT_FOUND", "Path does not exist", "No such file"),
        "there is no such bucket or prefix",
        "check the name, and the region (AWS_REGION) where the bucket is new",
    ),
    (
        ("ACCESS_DENIED", "AccessDenied", "Forbidden", "403", "Permission denied", "AuthorizationPermission"),
        "reading is not permitted",
        (
            "grant list and read (s3:ListBucket, s3:GetObject; Storage Object Viewer; Storage Blob Data Reader; on a "
            "disk, the permissions of the directory), or give other credentials in the environment"
        ),
    ),
    (
        ("credential", "Credential", "UNAUTHENTICATED", "InvalidAccessKeyId", "SignatureDoesNotMatch", "metadata"),
        "the credentials are not accepted",
        (
            "set those of the provider's own tools: AWS_PROFILE or AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, "
            "`az login`"
        ),
    ),
)


def _remote(place: str) -> Folder:
    place = place.rstrip("/")
    if not place.startswith(SCHEMES):
        raise InputError(
            "no reader knows this kind of address",
            where=place,
            hint=f"give a directory, or an address that begins with {', '.join(SCHEMES)}",
        )
    return _RemoteFolder(place)


def _azure(place: str) -> tuple[Any, str]:
    """Blobs of a storage account; ``az://container/prefix``, with the account's name from the environment."""
    account = os.environ.get(_AZURE_ACCOUNT)
    if not account:
        raise InputError(
            "the storage account is not named", where=place, hint=f"set {_AZURE_ACCOUNT}; `az login` gives the rest"
        )
    return pafs.AzureFileSystem(account_name=account), place.removeprefix("az://")
