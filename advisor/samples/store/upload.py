"""Finished days of one host on their way to a bucket.

A file counts as uploaded when it was read back from the bucket and has the size and the SHA-256 of the one here; a list
beside the spool says which are. Killed at any moment nothing is lost: a file in the bucket that the list does not know
is read back before anything is sent again, and a day is removed here only when all of its files are in the list.
Names of days' files carry a digest of their content, so hosts and repeated uploads never write different content under
one name.
"""

import hashlib
import json
from datetime import date
from pathlib import Path

from advisor.atomic_files import write_bytes
from advisor.errors import InputError
from advisor.records import dataclass
from advisor.samples.agent.upload_policy import BucketUrl
from advisor.samples.places import HISTOGRAMS, day_folder, spool_folder
from advisor.samples.store.bucket import Bucket

_LIST = "uploads.json"
_VERIFIED = "verified"
_REPLACED = "replaced"
_Listed = dict[str, dict[str, int]]
"""Sizes in bytes by name below the directory, of files that are in a bucket: verified, or replaced by another."""


@dataclass(slots=True)
class Uploaded:
    """Result of an upload."""

    files: int = 0
    """Files that were sent."""
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
        self._by_bucket = _read(self._path)
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
        """Upload what is missing of some days, then remove there what was replaced.

        Args:
            days: finished ones.
            bucket: None: that of the address, opened when something is missing.

        Raises:
            InputError: the bucket refuses, or cannot be reached; what was verified before stays so.
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
                self._remove(bucket, name, uploaded, is_there=name in there)
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
                raise InputError(
                    f"{name} reads back as something else than was sent",
                    where=str(self.url),
                    hint="nothing is removed here; the next compaction sends it again",
                )
            uploaded.files += 1
            uploaded.total_bytes += size
        self._listed[_REPLACED].pop(name, None)
        self._listed[_VERIFIED][name] = size
        self._write()

    def _remove(self, bucket: Bucket, name: str, uploaded: Uploaded, *, is_there: bool) -> None:
        """Remove a file there that was replaced."""
        if name not in self._listed[_REPLACED]:
            return
        if is_there:
            bucket.remove(name)
            uploaded.replaced += 1
        del self._listed[_REPLACED][name]
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


def _read(path: Path) -> dict[str, _Listed]:
    """The list; without a readable one everything is read back from the bucket once more."""
    try:
        return {
            url: {
                part: {str(name): int(size) for name, size in listed[part].items()} for part in (_VERIFIED, _REPLACED)
            }
            for url, listed in json.loads(path.read_bytes()).items()
        }
    except (OSError, ValueError, LookupError, AttributeError, TypeError):
        return {}
