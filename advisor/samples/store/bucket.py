"""Stores of samples: directories of this machine, and buckets of S3, Google Cloud Storage or Azure, with the upload.

Files of object storage are copied here for as long as they are read, so that whatever reads them knows paths alone, and
a machine without a network needs nothing more than one with it.

A file counts as uploaded when it was read back from the bucket and has the size and the SHA-256 of the one here; a list
beside the spool says which are. Killed at any moment nothing is lost: a file in the bucket that the list does not know
is read back before anything is sent again, and a day is removed here only when all of its files are in the list.
Names of days' files carry a digest of their content, so hosts and repeated uploads never write different content under
one name.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from advisor.atomic_files import scratch_folder, write_bytes
from advisor.errors import InputError
from advisor.reading import RESULT_FILE
from advisor.records import dataclass, field
from advisor.samples.agent.compaction import SCHEMES as BUCKET_SCHEMES
from advisor.samples.agent.compaction import BucketUrl, parse_bucket_url
from advisor.samples.places import HISTOGRAMS, SPOOL, day_folder, spool_folder

T = TypeVar("T")
_CHUNK_BYTES = 1 << 20
_PAUSES_SECONDS = (1.0, 4.0, 16.0)
_LONGEST_WAIT_SECONDS = 20.0
_PROBLEMS = (
    (("EXPIRED_TOKEN", "ExpiredToken", "INVALID_ACCESS_KEY_ID", "InvalidAccessKeyId", "INVALID_CLIENT_TOKEN_ID",
      "SIGNATURE_DOES_NOT_MATCH", "SignatureDoesNotMatch", "UNRECOGNIZED_CLIENT", "UNAUTHENTICATED",
      "Could not create a OAuth2", "default credentials"),
     "the credentials are not accepted",
     "renew them, or give this host an identity of the provider (`aws sts get-caller-identity` shows whose they are)"),
    (("ACCESS_DENIED", "AccessDenied", "PERMISSION_DENIED", "Permission denied", "Forbidden", "HTTP status 403",
      "AuthorizationFailure", "AuthorizationPermissionMismatch"),
     "it is not permitted",
     ("to read, allow listing and reading (s3:ListBucket and s3:GetObject, Storage Object Viewer, Storage Blob Data "
      "Reader); to upload, what `inference-advisor-agent upload-policy {url}` prints")),
    (("NO_SUCH_BUCKET", "NoSuchBucket", "NOT_FOUND", "ContainerNotFound", "does not exist", "No such file"),
     "there is no such bucket or prefix",
     "check the name, and the region of a new bucket; it has to exist before"),
    (("HTTP status 301", "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraint"),
     "it is in another region", "the bucket is in another region: write {url}?region=REGION"),
    (("REQUEST_TIME_TOO_SKEWED", "RequestTimeTooSkewed"), "the clocks differ", "set this host's clock"),
)  # fmt: skip
"""What errors say, what it means, and what fixes it; the first that fits. Anything else may pass and is tried again."""
_PASSING = (
    "it does not answer as it should",
    "check endpoint and network; the next compaction goes on where this one stopped",
)


class Bucket:
    """A place for files in a bucket."""

    def __init__(self, url: BucketUrl, filesystem: Any, pauses: Sequence[float] | None = None) -> None:  # noqa: ANN401 - pyarrow's
        """Nothing is asked yet. *pauses*: seconds between tries; None: 1, 4 and 16."""
        self.url = url
        self.filesystem = filesystem
        self._pauses = _PAUSES_SECONDS if pauses is None else pauses

    @classmethod
    def at(cls, url: BucketUrl) -> "Bucket":
        """The bucket of an address, with the credentials that the provider's own tools would use.

        Raises InputError if pyarrow was built without this provider, or its region cannot be found out.
        """
        try:
            return cls(url, _OPENERS[url.scheme](url))
        except ImportError as error:
            message = f"pyarrow was built without {url.scheme}://"
            raise InputError(message, where=str(url), hint="install pyarrow 16 or later from PyPI") from error
        except (OSError, ValueError) as error:
            raise _refused(url, error) from error

    def names(self) -> list[str]:
        """Names of all files there, in order. Raises InputError if there is no such place, or it may not be listed."""
        listed = self._listed(self.url.root, recursive=True)
        return sorted(file.path.removeprefix(self.url.root).strip("/") for file in listed)

    def open(self, name: str) -> Any:  # noqa: ANN401 - pyarrow's
        """A file there, for reading anywhere. Raises FileNotFoundError if it is gone, InputError if unreadable."""
        return self._tried(lambda: self.filesystem.open_input_file(self._path(name)), may_miss=True)

    def bytes_below(self, folder: str) -> dict[str, int]:
        """Sizes of the files in a folder there, by name; a folder that is not there has none."""
        listed = self._listed(self._path(folder), allow_not_found=True)
        return {f"{folder}/{file.base_name}": file.size for file in listed}

    def _listed(self, path: str, **how: bool) -> list[Any]:
        from pyarrow.fs import FileSelector  # noqa: PLC0415 - loaded with the file system

        selector = FileSelector(path, **how)
        return [file for file in self._tried(lambda: self.filesystem.get_file_info(selector)) if file.is_file]

    def digest_of(self, name: str) -> str:
        """SHA-256 of a file there, read back whole; "" where there is none."""

        def read() -> str:
            with self.filesystem.open_input_stream(self._path(name)) as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()

        try:
            return self._tried(read, may_miss=True)
        except FileNotFoundError:
            return ""

    def put(self, name: str, path: Path) -> None:
        """Bring a file there; it appears whole or not at all."""

        def write() -> None:
            with (
                path.open("rb") as source,
                self.filesystem.open_output_stream(self._path(name), buffer_size=0) as stream,
            ):
                shutil.copyfileobj(source, stream, _CHUNK_BYTES)

        self._tried(write)

    def remove(self, name: str) -> None:
        """Remove a file that is there."""
        self._tried(lambda: self.filesystem.delete_file(self._path(name)))

    def _path(self, name: str) -> str:
        return f"{self.url.root}/{name}"

    def _tried(self, action: Callable[[], T], *, may_miss: bool = False) -> T:
        """Result of an action, tried again while it fails by what may pass."""
        for pause in (*self._pauses, None):
            try:
                return action()
            except OSError as error:
                if may_miss and isinstance(error, FileNotFoundError):
                    raise
                if pause is None or _problem(error) is not _PASSING:
                    raise _refused(self.url, error) from error
                time.sleep(pause)
        raise AssertionError


def _refused(url: BucketUrl, error: Exception) -> InputError:
    said = (str(error) or type(error).__name__).splitlines()[0].partition(" (Request ID")[0]
    problem, hint = _problem(error)
    return InputError(f"{problem} ({said})", where=str(url), hint=hint.format(url=url))


def _problem(error: Exception) -> tuple[str, str]:
    """Meaning of an error, and its remedy."""
    said = str(error)
    fitting = ((problem, hint) for marks, problem, hint in _PROBLEMS if any(mark in said for mark in marks))
    return next(fitting, _PASSING)


def _s3(url: BucketUrl) -> Any:  # noqa: ANN401 - pyarrow's
    from pyarrow.fs import S3FileSystem, resolve_s3_region  # noqa: PLC0415 - only a bucket of S3 needs it

    get = os.environ.get
    endpoint = url.options.get("endpoint") or get("AWS_ENDPOINT_URL_S3") or get("AWS_ENDPOINT_URL")
    region = url.options.get("region") or get("AWS_REGION") or get("AWS_DEFAULT_REGION")
    scheme, _, address = (endpoint or "").rpartition("://")
    return S3FileSystem(
        region=region or ("us-east-1" if endpoint else resolve_s3_region(url.bucket)),
        endpoint_override=address.rstrip("/") or None,
        scheme=scheme or "https",
        connect_timeout=_LONGEST_WAIT_SECONDS,
        request_timeout=_LONGEST_WAIT_SECONDS,
        background_writes=False,
    )


def _gs(url: BucketUrl) -> Any:  # noqa: ANN401 - pyarrow's
    from datetime import timedelta  # noqa: PLC0415

    from pyarrow.fs import GcsFileSystem  # noqa: PLC0415 - only a bucket of Google's needs it

    endpoint = url.options.get("endpoint")
    scheme, _, address = (endpoint or "").rpartition("://")
    return GcsFileSystem(
        anonymous=endpoint is not None and not os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"),
        endpoint_override=address or None,
        scheme=scheme or "https",
        retry_time_limit=timedelta(seconds=_LONGEST_WAIT_SECONDS),
    )


def _az(url: BucketUrl) -> Any:  # noqa: ANN401 - pyarrow's
    from pyarrow.fs import AzureFileSystem  # noqa: PLC0415 - only a container of Azure needs it

    account = url.options.get("account") or os.environ.get("AZURE_STORAGE_ACCOUNT", "")
    if not account:
        hint = f"write {url}?account=NAME, or set AZURE_STORAGE_ACCOUNT"
        raise InputError("the storage account is not known", where=str(url), hint=hint)
    return AzureFileSystem(account_name=account, account_key=os.environ.get("AZURE_STORAGE_KEY"))


_OPENERS: dict[str, Callable[[BucketUrl], Any]] = {"s3": _s3, "gs": _gs, "az": _az}
_LIST = "uploads.json"
_VERIFIED = "verified"
_REPLACED = "replaced"
_PARTS = (_VERIFIED, _REPLACED)
_Listed = dict[str, dict[str, int]]
"""Sizes in bytes by name below the directory, of files that are in a bucket: verified, or replaced by another."""


@dataclass(slots=True)
class Uploaded:
    """Result of an upload."""

    files: int = 0
    total_bytes: int = 0
    already: int = 0
    """Files that were there, as reading them back showed."""
    replaced: int = 0
    """Files in the bucket that were removed, since a later one of their day has their rows."""

    def __str__(self) -> str:
        """Summary in a line."""
        return f"uploaded {self.files} files ({self.total_bytes / 1e6:.1f} MB), {self.already} were there"


class Uploads:
    """Files of a host that are in a bucket."""

    def __init__(self, directory: Path, host: str, url: BucketUrl) -> None:
        """Read the list."""
        self.url = url
        self._directory = directory
        self._host = host
        self._path = spool_folder(directory, host) / _LIST
        self._by_bucket: dict[str, _Listed] = {}
        # Without a readable list everything is read back from the bucket once more.
        with suppress(OSError, ValueError, LookupError, AttributeError, TypeError):
            self._by_bucket = {
                address: {part: {str(name): int(size) for name, size in listed[part].items()} for part in _PARTS}
                for address, listed in json.loads(self._path.read_bytes()).items()
            }
        self._listed = self._by_bucket.setdefault(str(url), {_VERIFIED: {}, _REPLACED: {}})

    def is_safe(self, day: date) -> bool:
        """Whether all files of a day are verified in the bucket."""
        return not self._missing(self._files(day))

    def replaced(self, path: Path) -> None:
        """Take note, before a file is removed here, that another one of its day has all of its rows."""
        name = path.relative_to(self._directory).as_posix()
        for listed in self._by_bucket.values():
            if name in listed[_VERIFIED]:
                listed[_REPLACED][name] = listed[_VERIFIED].pop(name)
                self._write()

    def forget(self, day: date) -> None:
        """Take a day out of the list, before it is removed here: nothing of it in a bucket is touched any more."""
        for listed in self._by_bucket.values():
            for by_name in listed.values():
                for name in [name for name in by_name if name.startswith(f"{self._folder(day)}/")]:
                    del by_name[name]
        self._write()

    def send(self, days: list[date], bucket: Bucket | None = None) -> Uploaded:
        """Upload what is missing of finished days, then remove there what was replaced.

        *bucket*: None: that of the address, opened when something is missing. Raises InputError if the bucket refuses,
        or cannot be reached; what was verified before stays so.
        """
        uploaded = Uploaded()
        for day in days:
            missing = self._missing(self._files(day))
            replaced = [name for name in self._listed[_REPLACED] if name.startswith(f"{self._folder(day)}/")]
            if not missing and not replaced:
                continue
            bucket = bucket or Bucket.at(self.url)
            there = bucket.bytes_below(self._folder(day))
            for name, path in missing.items():
                self._send(bucket, name, path, uploaded, is_there=there.get(name) == path.stat().st_size)
            for name in replaced:
                if name in self._listed[_REPLACED]:  # it was not sent anew just now
                    if name in there:
                        bucket.remove(name)
                        uploaded.replaced += 1
                    del self._listed[_REPLACED][name]
                    self._write()
        return uploaded

    def _send(self, bucket: Bucket, name: str, path: Path, uploaded: Uploaded, *, is_there: bool) -> None:
        """Bring one file there and read it back; one of its size that is there is read back first."""
        with path.open("rb") as stream:
            size, digest = path.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest()
        if is_there and bucket.digest_of(name) == digest:
            uploaded.already += 1
        else:
            bucket.put(name, path)
            if bucket.digest_of(name) != digest:
                hint = "nothing is removed here; the next compaction sends it again"
                raise InputError(f"{name} reads back as something else than was sent", where=str(self.url), hint=hint)
            uploaded.files += 1
            uploaded.total_bytes += size
        self._listed[_REPLACED].pop(name, None)
        self._listed[_VERIFIED][name] = size
        self._write()

    def _missing(self, files: dict[str, Path]) -> dict[str, Path]:
        """Files that are not verified there."""
        verified = self._listed[_VERIFIED]
        return {name: path for name, path in files.items() if verified.get(name) != path.stat().st_size}

    def _files(self, day: date) -> dict[str, Path]:
        """Files of a day by their names below the directory, counts after what they count."""
        folder = day_folder(self._directory, day, self._host)
        paths = sorted(folder.glob("[!.]*.parquet"), key=lambda path: (path.name.startswith(HISTOGRAMS), path.name))
        return {path.relative_to(self._directory).as_posix(): path for path in paths}

    def _folder(self, day: date) -> str:
        return day_folder(Path(), day, self._host).as_posix()

    def _write(self) -> None:
        write_bytes(self._path, json.dumps(self._by_bucket, indent=1).encode())


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
    """Folders by path and address. Raises InputError if an address is of no kind that is read, or names no account."""
    for place in places:
        if not is_store(place):
            hint = f"give a directory, or an address that begins with {', '.join(SCHEMES)}"
            raise InputError("no reader knows this kind of address", where=place, hint=hint)
    return [_RemoteFolder(place) if "://" in place else _LocalFolder(Path(place)) for place in places]


@contextmanager
def at_hand(files: Sequence[StoredFile]) -> Iterator[dict[StoredFile, Path]]:
    """Paths of files here; those of object storage are copied for the time, but for any gone meanwhile."""
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
                    RESULT_FILE.refuse(host / name)
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
