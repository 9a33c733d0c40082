"""A published catalog: its layout, and reading one that is whole, unchanged and no larger than it says.

::

    version                        name of the publication that holds, and the hash of its manifest; written last
    <name>/manifest.json           when it was made; of each provider its tables with their hashes and sizes
    <name>/manifest.json.sig       signature of the manifest, where it is signed
    <name>/<provider>/<table>.csv  tables in the form of ``instance_catalog/``
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advisor.atomic_files import make_directory, write_bytes
from advisor.catalog.layers.publication_places import Place, TooLarge
from advisor.catalog.layers.signatures import signer_of
from advisor.errors import InputError

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
_NAME = re.compile(r"[0-9TZ]{8,20}-[0-9a-f]{16}")
_PROVIDER = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
_SCHEMA = re.compile(r"advisor\.catalog-published/v(\d{1,6})")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Characters that could steer the terminal on which a table is shown."""
_HASH = re.compile(r"[0-9a-f]{64}")
_MOST_VERSION_BYTES = 4_096
_MOST_MANIFEST_BYTES = 256_000
_MOST_SIGNATURE_BYTES = 16_384
MOST_TABLE_BYTES = 32_000_000
MOST_BYTES = 96_000_000
"""Of all tables together: the shipped ones of every provider have a twentieth of it."""
_ASK = "ask who publishes it, or try again later; nothing was taken"


@dataclass(frozen=True, slots=True)
class PublishedTables:
    """What is published of one provider."""

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
    """What a manifest says of a table."""

    name: str
    size_bytes: int
    digest: str


def read_publication(
    place: Place, wanted: Collection[str] = (), allowed_signers: Path | None = None, kept: Path | None = None
) -> Publication:
    """The publication that holds at a place.

    Args:
        place: where it lies.
        wanted: providers to read; empty: all of them.
        allowed_signers: who may sign it; None: no signature is asked for.
        kept: directory that holds tables of a run that broke off, and takes those of this one.

    Raises:
        InputError: it cannot be read, is damaged, too large, of a newer schema, or not signed by who may.
    """
    pointer = _object(place, VERSION, place.read(VERSION, _MOST_VERSION_BYTES))
    _check_schema(place, VERSION, pointer)
    name = _text(place, VERSION, pointer, "name", _NAME)
    path = f"{name}/{MANIFEST}"
    content = place.read(path, _MOST_MANIFEST_BYTES)
    _check_hash(place, path, content, _text(place, VERSION, pointer, "manifest_sha256", _HASH))
    manifest = _object(place, path, content)
    _check_schema(place, path, manifest)
    signer = None if allowed_signers is None else _signer(place, name, content, allowed_signers)
    entries = _providers(place, path, manifest)
    unknown = sorted(set(wanted) - set(entries))
    if unknown:
        hint = f"it has {', '.join(sorted(entries))}"
        raise InputError(f"it has nothing of {', '.join(unknown)}", where=place.words(path), hint=hint)
    chosen = {provider: entry for provider, entry in entries.items() if not wanted or provider in wanted}
    stated = {provider: tuple(_stated_tables(place, path, entry)) for provider, entry in chosen.items()}
    if sum(one.size_bytes for tables in stated.values() for one in tables) > MOST_BYTES:
        raise TooLarge(place.words(path), MOST_BYTES)
    read = tuple(
        PublishedTables(
            provider,
            _text(place, path, entry, "read_on", _DAY),
            tuple(_CONTROL.sub(" ", str(gap)) for gap in entry.get("gaps", ())),
            {one.name: _table(place, f"{name}/{provider}/{one.name}", one, kept) for one in stated[provider]},
        )
        for provider, entry in sorted(chosen.items())
    )
    made_at = _text(place, path, manifest, "made_at", _TIME)
    return Publication(name, made_at, signer, manifest.get("is_signed") is True, read)


def forget_kept(kept: Path) -> None:
    """Remove what a run that broke off left behind; that this fails harms nobody."""
    for path in kept.glob("*") if kept.is_dir() else ():
        with suppress(OSError):
            path.unlink()
    with suppress(OSError):
        kept.rmdir()


def digest_of(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _signer(place: Place, name: str, content: bytes, allowed: Path) -> str:
    path = f"{name}/{SIGNATURE}"
    try:
        signature = place.read(path, _MOST_SIGNATURE_BYTES)
    except TooLarge:
        raise
    except InputError as error:
        raise InputError(f"it is not signed: {error.message}", where=error.where, hint=_ASK) from error
    return signer_of(content, signature, allowed, place.words(f"{name}/{MANIFEST}"))


def _table(place: Place, path: str, stated: _Stated, kept: Path | None) -> str:
    """The text of a table, from a run that broke off where it was read then."""
    known = None if kept is None else kept / stated.digest
    if known is not None:
        with suppress(OSError):
            content = known.read_bytes()
            if digest_of(content) == stated.digest:
                return content.decode()
    content = place.read(path, stated.size_bytes)
    if len(content) < stated.size_bytes:
        raise InputError(
            f"it is cut off: {len(content):,} of {stated.size_bytes:,} bytes", where=place.words(path), hint=_ASK
        )
    _check_hash(place, path, content, stated.digest)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise _damaged(place, path, "it is no UTF-8 text") from error
    if _CONTROL.search(text):
        raise _damaged(place, path, "it has control characters, which no table has")
    if known is not None:
        make_directory(known.parent)
        write_bytes(known, content)
    return text


def _providers(place: Place, path: str, manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    entries = manifest.get("providers")
    if not isinstance(entries, dict) or not entries:
        raise _damaged(place, path, "it names no provider")
    for provider, entry in entries.items():
        if not _PROVIDER.fullmatch(provider) or not isinstance(entry, dict):
            raise _damaged(place, path, f"'{provider}' is no provider")
    return entries


def _stated_tables(place: Place, path: str, entry: Mapping[str, Any]) -> Iterator[_Stated]:
    """Tables that this version of the program knows; a newer one may publish more."""
    tables = entry.get("tables")
    if not isinstance(tables, dict) or not {"prices.csv", "sources.csv"} <= tables.keys():
        raise _damaged(place, path, "a provider has no tables")
    for name in TABLES:
        stated = tables.get(name)
        if stated is None:
            continue
        size = stated.get("bytes") if isinstance(stated, dict) else None
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise _damaged(place, path, f"the size of {name} is missing")
        if size > MOST_TABLE_BYTES:
            raise TooLarge(f"{place.words(path)}: {name}", MOST_TABLE_BYTES)
        yield _Stated(name, size, _text(place, path, stated, "sha256", _HASH))


def _object(place: Place, path: str, content: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _damaged(place, path, "this is no JSON, or it is cut off") from error
    if not isinstance(document, dict):
        raise _damaged(place, path, "this is no JSON object")
    return document


def _text(place: Place, path: str, document: Mapping[str, Any], key: str, form: "re.Pattern[str]") -> str:
    value = document.get(key)
    if not isinstance(value, str) or not form.fullmatch(value):
        raise _damaged(place, path, f"{key} is missing or malformed")
    return value


def _check_schema(place: Place, path: str, document: Mapping[str, Any]) -> None:
    stated = str(document.get("schema"))
    found = _SCHEMA.fullmatch(stated)
    if found is None:
        raise _damaged(place, path, f"this is no published catalog: its schema is {stated[:60]!r}")
    if int(found[1]) > SCHEMA_NUMBER:
        raise InputError(
            f"it is of schema {found[1]}, and this version of the program reads {SCHEMA_NUMBER}",
            where=place.words(path),
            hint="install a newer version of advisor; nothing was taken",
        )


def _check_hash(place: Place, path: str, content: bytes, digest: str) -> None:
    if digest_of(content) != digest:
        raise _damaged(place, path, "it has another checksum than is stated: it is damaged, cut off or changed")


def _damaged(place: Place, path: str, message: str) -> InputError:
    return InputError(message, where=place.words(path), hint=_ASK)
