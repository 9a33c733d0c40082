"""Places that a published catalog is read from: a directory, a zip file, a web server. Each reads up to a bound."""

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from advisor.catalog.refresh.http import Client
from advisor.catalog.refresh.values import Denied
from advisor.errors import InputError
from advisor.records import dataclass

_SCHEMES = ("https", "http")
ZIP = ".zip"
"""End of the name of a publication in one file."""
_MOST_ARCHIVE_BYTES = 48_000_000
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_WANTED = "give the address of a published catalog, or a directory or zip file that `advisor catalog publish` wrote"


class TooLarge(InputError):  # noqa: N818 - what it is
    """A file with more bytes than it may have."""

    def __init__(self, where: str, most_bytes: int) -> None:
        """Name the file and the bound."""
        super().__init__(
            f"it has more than {most_bytes:,} bytes", where=where, hint="ask who publishes it; nothing was taken"
        )


class Place(Protocol):
    """Files by relative name."""

    def read(self, name: str, most_bytes: int) -> bytes:
        """The content of a file.

        Raises:
            InputError: it is not there, cannot be read, or has more than *most_bytes*.
        """

    def words(self, name: str) -> str:
        """Where a file lies, for messages."""


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory of this machine."""

    path: Path

    def read(self, name: str, most_bytes: int) -> bytes:
        """The content of a file; see :class:`Place`."""
        try:
            with (self.path / name).open("rb") as stream:
                return _bounded(stream.read(most_bytes + 1), most_bytes, self.words(name))
        except OSError as error:
            raise InputError(f"cannot read it: {error.strerror}", where=self.words(name), hint=_WANTED) from error

    def words(self, name: str) -> str:
        """The path of a file."""
        return str(self.path / name)


@dataclass(frozen=True, slots=True)
class Archive:
    """A zip file: of this machine, or one that was downloaded."""

    name: str
    """Path or URL."""
    content: Path | io.BytesIO

    def read(self, name: str, most_bytes: int) -> bytes:
        """The unpacked content of a member; see :class:`Place`."""
        with self._opened() as archive:
            try:
                with archive.open(name) as stream:
                    return _bounded(stream.read(most_bytes + 1), most_bytes, self.words(name))
            except KeyError as error:
                raise InputError("it is not in the zip file", where=self.words(name), hint=_WANTED) from error

    def words(self, name: str) -> str:
        """The zip file and the member."""
        return f"{self.name}:{name}"

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self.content) as archive:
                yield archive
        except OSError as error:
            raise InputError(f"cannot read it: {error.strerror}", where=self.name, hint=_WANTED) from error
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise InputError(
                f"this is no zip file, or a damaged one: {error}", where=self.name, hint=_WANTED
            ) from error


@dataclass(frozen=True, slots=True)
class Web:
    """A folder of a web server."""

    url: str
    """Without a slash at its end."""
    client: Client

    def read(self, name: str, most_bytes: int) -> bytes:
        """The content of a file; see :class:`Place`."""
        return _downloaded(self.words(name), self.client, most_bytes)

    def words(self, name: str) -> str:
        """The address of a file."""
        return f"{self.url}/{name}"


def place_of(location: str, client: Client | None = None, *, is_signed: bool = False) -> Place:
    """The place of a URL or a path.

    Args:
        location: a URL with ``https``, or a path; one that ends in ``.zip`` is a publication in one file.
        client: how web servers are asked.
        is_signed: a signature is checked, so that plain ``http`` may be used.

    Raises:
        InputError: it is neither, or what ``http`` brings could be changed on the way.
    """
    scheme, host = urlsplit(location).scheme, urlsplit(location).hostname
    if "://" not in location:
        return _local(Path(location), location)
    if scheme not in _SCHEMES:
        hint = "give the https address of the bucket, or copy it here and give the directory"
        raise InputError(f"a published catalog is not read by '{scheme}'", where=location, hint=hint)
    if scheme == "http" and host not in _LOOPBACK and not is_signed:
        raise InputError(
            "whatever comes by http can be changed on the way",
            where=location,
            hint="use https, or check a signature with --allowed-signers FILE",
        )
    asked = client or Client()
    if urlsplit(location).path.endswith(ZIP):
        return Archive(location, io.BytesIO(_downloaded(location, asked, _MOST_ARCHIVE_BYTES)))
    return Web(location.rstrip("/"), asked)


def _local(path: Path, location: str) -> Place:
    """A directory or a zip file of this machine; devices and pipes never end, and are no file."""
    if path.is_dir():
        return Directory(path)
    if path.exists() and not path.is_file():
        raise InputError("this is neither a directory nor a zip file", where=location, hint=_WANTED)
    if path.is_file() and path.stat().st_size > _MOST_ARCHIVE_BYTES:
        raise TooLarge(location, _MOST_ARCHIVE_BYTES)
    return Archive(location, path)


def _downloaded(url: str, client: Client, most_bytes: int) -> bytes:
    try:
        content = client.download(url, most_bytes)
    except Denied as error:
        raise InputError(error.reason, where=url, hint=error.remedy) from error
    return _bounded(content, most_bytes, url)


def _bounded(content: bytes, most_bytes: int, where: str) -> bytes:
    if len(content) > most_bytes:
        raise TooLarge(where, most_bytes)
    return content
