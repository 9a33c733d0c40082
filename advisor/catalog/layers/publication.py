"""A published catalog: its layout, writing one from refreshed data, and reading one that is whole and unchanged.

::

    version                        name of the publication that holds, and the hash of its manifest; written last
    <name>/manifest.json           when it was made; of each provider its tables with their hashes and sizes
    <name>/manifest.json.sig       signature of the manifest, where it is signed
    <name>/<provider>/<table>.csv  tables in the form of ``instance_catalog/``

A detached signature beside the manifest; who may sign stands in an ``allowed_signers`` file (``ssh-keygen(1)``, section
ALLOWED SIGNERS). No key and no cryptography of this program's own.

Places that a published catalog is read from: a directory, a zip file, a web server. Each reads up to a bound.
"""

import datetime as dt
import io
import json
import re
import shutil
import subprocess
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from advisor import __version__
from advisor.atomic_files import make_directory, write_bytes
from advisor.catalog.layers.layered import LayeredCatalog, newest_shipped
from advisor.catalog.layers.merging import SOURCE_COLUMNS
from advisor.catalog.layers.snapshot import digest_of, table_text
from advisor.catalog.price_trust import first_day
from advisor.catalog.refresh.http import Client, brief_client
from advisor.catalog.refresh.values import Denied
from advisor.errors import InputError
from advisor.names import printable
from advisor.records import dataclass
from advisor.tables import Row, read_rows

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
        """Content of a file. Raises InputError if it is not there, cannot be read, or exceeds *most_bytes*."""

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
                f"this is not a zip file, or a damaged one: {error}", where=self.name, hint=_WANTED
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
    """The place of a path, or of a URL with ``https``; one that ends in ``.zip`` is a publication in one file.

    *is_signed*: a signature is checked, so that plain ``http`` may be used. Raises InputError if it is neither, or what
    ``http`` brings could be changed on the way.
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
    asked = client or brief_client()
    if urlsplit(location).path.endswith(ZIP):
        return Archive(location, io.BytesIO(_downloaded(location, asked, _MOST_ARCHIVE_BYTES)))
    return Web(location.rstrip("/"), asked)


def _local(path: Path, location: str) -> Place:
    """A directory or a zip file of this machine; devices and pipes never end, and are not a file."""
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


NAMESPACE = "advisor-catalog"
"""What the signature is for, so that one made for something else does not count."""
_PROGRAM = "ssh-keygen"
_SECONDS = 60
SCHEMA = "advisor.catalog-published/v"
SCHEMA_NUMBER = 1
VERSION = "version"
MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.sig"
TABLES = (
    "prices.csv", "managed.csv", "serverless.csv", "commitments.csv", "committed_prices.csv", "instances.csv",
    "zones.csv", "sources.csv",
)  # fmt: skip
"""What is published of a provider, where there is any: no limits of an account, no capacity blocks."""
COMMITTED_KEY = ("instance_type", "region", "instrument", "term_years", "payment")
"""Columns that tell one price under a commitment from another."""
_NAME = re.compile(r"[0-9TZ]{8,20}-[0-9a-f]{16}")
_PROVIDER = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
_SCHEMA = re.compile(r"advisor\.catalog-published/v(\d{1,6})")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
_HASH = re.compile(r"[0-9a-f]{64}")
_MOST_VERSION_BYTES = 4_096
_MOST_MANIFEST_BYTES = 256_000
_MOST_SIGNATURE_BYTES = 16_384
MOST_TABLE_BYTES = 32_000_000
MOST_BYTES = 96_000_000
"""Of all tables together: the shipped ones of every provider have a twentieth of it."""
_ASK = "ask who publishes it, or try again later; nothing was taken"


def sign(content: bytes, key: Path) -> bytes:
    """Signature of *content* by an SSH key: a private one, or a public one whose private part an agent holds.

    Raises InputError if there is no such key, or ``ssh-keygen`` cannot use it.
    """
    if not key.is_file():
        raise InputError("there is no such key", where=str(key), hint="`ssh-keygen -t ed25519 -f FILE` makes one")
    done = _run(("-Y", "sign", "-q", "-f", str(key), "-n", NAMESPACE), content)
    if done.returncode:
        raise InputError(f"it cannot sign: {_said(done)}", where=str(key), hint="give a key without a passphrase")
    return done.stdout


def signer_of(content: bytes, signature: bytes, allowed: Path, where: str) -> str:
    """Signer of *content* among those allowed. Raises InputError if the signature is of another key or content."""
    if not allowed.is_file():
        raise InputError("there is no such file of allowed signers", where=str(allowed), hint="see ssh-keygen(1)")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "signature"
        path.write_bytes(signature)
        files = ("-s", str(path), "-f", str(allowed))
        principals = _run(("-Y", "find-principals", *files), b"")
        names = principals.stdout.decode("utf-8", "replace").split("\n")
        name = names[0].strip()
        if principals.returncode or not name:
            hint = f"ask who publishes it, or add their key to {allowed}; nothing was taken"
            raise InputError("it is signed by nobody who may sign", where=where, hint=hint)
        checked = _run(("-Y", "verify", *files, "-I", name, "-n", NAMESPACE), content)
    if checked.returncode:
        raise InputError(
            f"the signature of {name} is not of this content: {_said(checked)}",
            where=where,
            hint="ask who publishes it; nothing was taken",
        )
    return name


def _run(arguments: Sequence[str], content: bytes) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(  # noqa: S603 - a fixed program
            (_PROGRAM, *arguments), input=content, capture_output=True, timeout=_SECONDS, check=False
        )
    except FileNotFoundError as error:
        raise InputError(
            f"{_PROGRAM} is not installed, which signs and checks", hint="install OpenSSH 8.1 or newer"
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"{_PROGRAM} does not answer: {error}", hint="run it by hand to see why") from error


def _said(done: "subprocess.CompletedProcess[bytes]") -> str:
    words = " ".join((done.stderr or done.stdout).decode("utf-8", "replace").split())
    return words[:200] or f"exit code {done.returncode}"


@dataclass(frozen=True, slots=True)
class PublishedTables:
    """Tables that are published of one provider."""

    provider: str
    read_on: str
    """ISO date on which its prices were read."""
    gaps: tuple[str, ...]
    """What could not be read then."""
    tables: Mapping[str, str]
    """File name → text."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A published catalog, verified."""

    name: str
    made_at: str
    """ISO time in UTC."""
    signer: str | None
    """Who signed it, where that was checked."""
    is_signed: bool
    providers: tuple[PublishedTables, ...]


@dataclass(frozen=True, slots=True)
class _Stated:
    """A table as a manifest describes it."""

    name: str
    size_bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class _Document:
    """A JSON object of a publication, with its place for messages."""

    place: Place
    path: str
    fields: Mapping[str, Any]

    def text(self, key: str, form: "re.Pattern[str]") -> str:
        """The text of a field in a given form."""
        value = self.fields.get(key)
        if not isinstance(value, str) or not form.fullmatch(value):
            raise self.damaged(f"{key} is missing or malformed")
        return value

    def day(self, key: str) -> str:
        """The ISO date of a field."""
        with suppress(ValueError):
            return dt.date.fromisoformat(str(self.fields.get(key))).isoformat()
        raise self.damaged(f"{key} is missing or malformed")

    def lines(self, key: str) -> tuple[str, ...]:
        """The texts of a list, each on one line."""
        values = self.fields.get(key)
        if not isinstance(values, list):
            raise self.damaged(f"{key} is missing or malformed")
        return tuple(" ".join(printable(str(value)).split()) for value in values)

    def within(self, fields: object, words: str) -> "_Document":
        """An object inside this one."""
        if not isinstance(fields, dict):
            raise self.damaged(words)
        return _Document(self.place, self.path, fields)

    def size_bytes(self, table: str) -> int:
        """The size of a table that this describes."""
        size = self.fields.get("bytes")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise self.damaged(f"the size of {table} is missing")
        if size > MOST_TABLE_BYTES:
            raise TooLarge(f"{self.place.words(self.path)}: {table}", MOST_TABLE_BYTES)
        return size

    def damaged(self, words: str) -> InputError:
        """The error that it is not as it should be."""
        return _damaged(self.place, self.path, words)


def read_publication(
    place: Place, wanted: Collection[str] = (), allowed_signers: Path | None = None, kept: Path | None = None
) -> Publication:
    """The publication that holds at a place.

    *wanted*: providers to read; empty: all of them. *allowed_signers*: who may sign it; None: no signature is asked
    for. *kept*: directory that holds tables of a run that broke off, and takes those of this one. Raises InputError if
    it cannot be read, is damaged, too large, of a newer schema, or not signed by who may.
    """
    pointer = _document(place, VERSION, place.read(VERSION, _MOST_VERSION_BYTES))
    name = pointer.text("name", _NAME)
    path = f"{name}/{MANIFEST}"
    content = place.read(path, _MOST_MANIFEST_BYTES)
    _check_hash(place, path, content, pointer.text("manifest_sha256", _HASH))
    manifest = _document(place, path, content)
    signer = None if allowed_signers is None else _signer(place, name, content, allowed_signers)
    entries = _entries(manifest, wanted)
    tables = {provider: tuple(_stated_tables(entry)) for provider, entry in entries.items()}
    if sum(table.size_bytes for stated in tables.values() for table in stated) > MOST_BYTES:
        raise TooLarge(place.words(path), MOST_BYTES)
    providers = tuple(
        PublishedTables(
            provider,
            entry.day("read_on"),
            entry.lines("gaps"),
            {table.name: _table(place, f"{name}/{provider}/{table.name}", table, kept) for table in tables[provider]},
        )
        for provider, entry in entries.items()
    )
    return Publication(
        name, manifest.text("made_at", _TIME), signer, manifest.fields.get("is_signed") is True, providers
    )  # fmt: skip


def _document(place: Place, path: str, content: bytes) -> _Document:
    """The JSON object of a file, of a schema that this version reads."""
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _damaged(place, path, "this is not JSON, or it is cut off") from error
    document = _Document(place, path, {}).within(fields, "this is not a JSON object")
    stated = str(document.fields.get("schema"))
    schema = _SCHEMA.fullmatch(stated)
    if schema is None:
        raise document.damaged(f"this is not a published catalog: its schema is {stated[:60]!r}")
    if int(schema[1]) > SCHEMA_NUMBER:
        raise InputError(
            f"it is of schema {schema[1]}, and this version of the program reads {SCHEMA_NUMBER}",
            where=place.words(path),
            hint="install a newer version of advisor; nothing was taken",
        )
    return document


def _signer(place: Place, name: str, content: bytes, allowed: Path) -> str:
    path = f"{name}/{SIGNATURE}"
    try:
        signature = place.read(path, _MOST_SIGNATURE_BYTES)
    except TooLarge:
        raise
    except InputError as error:
        raise InputError(f"it is not signed: {error.message}", where=error.where, hint=_ASK) from error
    return signer_of(content, signature, allowed, place.words(f"{name}/{MANIFEST}"))


def _entries(manifest: _Document, wanted: Collection[str]) -> dict[str, _Document]:
    """Entries of a manifest for each provider that is wanted, by name."""
    stated = manifest.within(manifest.fields.get("providers") or None, "it names no provider").fields
    for provider in stated:
        if not _PROVIDER.fullmatch(provider):
            raise manifest.damaged(f"'{provider}' is not a provider")
    missing = sorted(set(wanted) - set(stated))
    if missing:
        where, hint = manifest.place.words(manifest.path), f"it has {', '.join(sorted(stated))}"
        raise InputError(f"it has nothing of {', '.join(missing)}", where=where, hint=hint)
    return {
        provider: manifest.within(fields, f"'{provider}' is not a provider")
        for provider, fields in sorted(stated.items())
        if not wanted or provider in wanted
    }


def _stated_tables(entry: _Document) -> Iterator[_Stated]:
    """Tables that this version of the program knows; a newer one may publish more."""
    tables = entry.within(entry.fields.get("tables"), "a provider has no tables").fields
    if not {"prices.csv", "sources.csv"} <= tables.keys():
        raise entry.damaged("a provider has no tables")
    for name in TABLES:
        if name in tables:
            table = entry.within(tables[name], f"the size of {name} is missing")
            yield _Stated(name, table.size_bytes(name), table.text("sha256", _HASH))


def _table(place: Place, path: str, stated: _Stated, kept: Path | None) -> str:
    """The text of a table, from a run that broke off where it was read then."""
    content = _kept_content(stated, kept)
    if content is None:
        content = place.read(path, stated.size_bytes)
        if len(content) < stated.size_bytes:
            raise _damaged(place, path, f"it is cut off: {len(content):,} of {stated.size_bytes:,} bytes")
        _check_hash(place, path, content, stated.digest)
        if kept is not None:
            with suppress(InputError):  # a run that goes on needs it, but this one does not
                make_directory(kept)
                write_bytes(kept / stated.digest, content)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise _damaged(place, path, "it is not UTF-8 text") from error
    if printable(text) != text:
        raise _damaged(place, path, "it has control characters, which no table has")
    return text


def _kept_content(stated: _Stated, kept: Path | None) -> bytes | None:
    """A table that an earlier run read to its end; None where none did."""
    if kept is not None:
        with suppress(OSError):
            content = (kept / stated.digest).read_bytes()
            return content if digest_of(content) == stated.digest else None
    return None


def _check_hash(place: Place, path: str, content: bytes, digest: str) -> None:
    if digest_of(content) != digest:
        raise _damaged(place, path, "it has another checksum than is stated: it is damaged, cut off or changed")


def _damaged(place: Place, path: str, words: str) -> InputError:
    return InputError(words, where=place.words(path), hint=_ASK)


_KEPT = 2
"""Publications that stay in a directory: the new one, and the one that a reader may have begun with."""


@dataclass(frozen=True, slots=True)
class Published:
    """Result of publishing."""

    name: str
    providers: tuple[PublishedTables, ...]
    size_bytes: int


def tables_to_publish(catalog: LayeredCatalog, provider: str) -> PublishedTables:
    """Tables of a provider: prices of the highest layer, which holds them all, other facts of every layer.

    Nothing that was imported or negotiated, no limit of the account and no answer that names it is in them. Raises
    InputError if the catalog has no offer of the provider.
    """
    snapshots = [snapshot for snapshot in (*catalog.published, *catalog.snapshots) if snapshot.provider == provider]
    shipped_providers = sorted(path.stem for path in (catalog.directory / "prices").glob("*.csv"))
    is_shipped = provider in shipped_providers
    layers = [_LayerFiles(catalog.directory, provider, is_shipped=True)] if is_shipped else []
    layers += [_LayerFiles(snapshot.directory, provider, is_shipped=False) for snapshot in snapshots]
    if not layers:
        hint = f"it has those of {', '.join(shipped_providers)}"
        raise InputError(f"the catalog has no price of {provider}", hint=hint)
    titles = _Titles(catalog.directory)
    tables = {}
    for name in TABLES[:-1]:
        sources = layers[-1:] if name in ("prices.csv", "managed.csv") else layers
        rows = [row for layer in sources for row in titles.renamed(layer, name)]
        shipped = catalog.directory / name
        header = list(dict.fromkeys(column for row in rows for column in row))
        if not header and shipped.is_file():
            header = shipped.read_text(encoding="utf-8").partition("\n")[0].split(",")
        if header:
            tables[name] = table_text(header, _counting(name, rows))
    tables["sources.csv"] = table_text(SOURCE_COLUMNS, titles.rows())
    if not snapshots:
        shipped_on = first_day(newest_shipped(catalog.directory, provider)) or catalog.today
        return PublishedTables(provider, shipped_on.isoformat(), (), tables)
    # The reason of a gap may name the account that asked.
    gaps = tuple(gap.partition(":")[0] for gap in snapshots[-1].gaps)
    return PublishedTables(provider, snapshots[-1].read_on, gaps, tables)


def publish(providers: Sequence[PublishedTables], target: Path, now: dt.datetime, key: Path | None = None) -> Published:
    """Write a publication to a directory, or to a zip file where the target ends so, its version last.

    Raises InputError if it cannot be written or signed; what was published before then still holds.
    """
    files = dict(_files(providers, now, key))
    name = next(iter(files)).partition("/")[0]
    if target.suffix == ZIP:
        write_bytes(target, _zipped(files))
        return Published(name, tuple(providers), sum(map(len, files.values())))
    for path, content in files.items():
        make_directory((target / path).parent)
        write_bytes(target / path, content)
    old = sorted(path for path in target.glob("*Z-*") if (path / MANIFEST).is_file() and path.name != name)
    for folder in old[: 1 - _KEPT]:
        shutil.rmtree(folder, ignore_errors=True)
    return Published(name, tuple(providers), sum(map(len, files.values())))


@dataclass(frozen=True, slots=True)
class _LayerFiles:
    """Tables of one layer: those that came with the program, or those of a snapshot."""

    directory: Path
    provider: str
    is_shipped: bool

    def rows(self, table: str) -> Iterator[Row]:
        """Rows of the provider; of tables that come with the program some have a file for each."""
        folder = self.directory / table.removesuffix(".csv")
        path = folder / f"{self.provider}.csv" if self.is_shipped and folder.is_dir() else self.directory / table
        rows = read_rows(path) if path.is_file() else ()  # imports lack some
        yield from (row for row in rows if row.get("provider", self.provider) == self.provider)


class _Titles:
    """Sources of several layers under identifiers of one table, with the licences that the shipped table states."""

    def __init__(self, shipped: Path) -> None:
        self._licences = {row["title"]: row for row in read_rows(shipped / "sources.csv")}
        self._known: dict[str, str] = {}

    def renamed(self, layer: _LayerFiles, table: str) -> Iterator[dict[str, str]]:
        """Rows of a table whose sources are those of :meth:`rows`."""
        titles = {row["source_id"]: row["title"] for row in read_rows(layer.directory / "sources.csv")}
        for row in layer.rows(table):
            cells = dict(row)
            for column, cell in row.items():
                if cell and (column == "source" or column.endswith("_source")):
                    cells[column] = self._known.setdefault(titles[cell], f"source-{len(self._known) + 1}")
            yield cells

    def rows(self) -> list[Row]:
        """The table of sources that were named."""
        return [
            {"licence": "", "note": "", **self._licences.get(title, {}), "source_id": source_id, "title": title}
            for title, source_id in self._known.items()
        ]


def _counting(table: str, rows: Sequence[Row]) -> list[Row]:
    """Rows that count: machines of the lowest layer, other prices of the highest, services region by region."""
    counting: dict[tuple[str, ...], Row] = {}
    match table:
        case "instances.csv":
            for row in rows:
                counting.setdefault((row["name"],), row)
        case "committed_prices.csv":
            counting = {tuple(row[column] for column in COMMITTED_KEY): row for row in rows}
        case "serverless.csv":
            counting = {
                (row["service"], row["accelerator"], region): {**row, "regions": region}
                for row in rows
                for region in row["regions"].split(";")
            }
        case _:
            return list(rows)
    return list(counting.values())


def _files(providers: Sequence[PublishedTables], now: dt.datetime, key: Path | None) -> Iterator[tuple[str, bytes]]:
    """Files by relative name, in the order in which they are written."""
    entries = {}
    for published in providers:
        contents = {name: text.encode() for name, text in published.tables.items()}
        stated = {name: {"sha256": digest_of(content), "bytes": len(content)} for name, content in contents.items()}
        entries[published.provider] = {"read_on": published.read_on, "gaps": list(published.gaps), "tables": stated}
    manifest = {
        "schema": f"{SCHEMA}{SCHEMA_NUMBER}",
        "made_at": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "made_by": f"advisor {__version__}",
        "is_signed": key is not None,
        "providers": entries,
    }
    content = _json(manifest)
    name = f"{now:%Y%m%dT%H%M%SZ}-{digest_of(content)[:16]}"
    for published in providers:
        for table, text in published.tables.items():
            yield f"{name}/{published.provider}/{table}", text.encode()
    if key is not None:
        yield f"{name}/{SIGNATURE}", sign(content, key)
    yield f"{name}/{MANIFEST}", content
    pointer = {"schema": f"{SCHEMA}{SCHEMA_NUMBER}", "name": name, "manifest_sha256": digest_of(content)}
    yield VERSION, _json(pointer)


def _json(document: Mapping[str, object]) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _zipped(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return stream.getvalue()
