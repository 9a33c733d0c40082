"""Catalogs of gpuhunt, read by the package itself: from its own files, or from where it publishes them.

Facts: the package gpuhunt 0.1.34 (MPL-2.0). A file is ``<provider>.csv``, alone or in ``<version>/catalog.zip``.
"""

import csv
import datetime as dt
import logging
import os
import re
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from advisor.catalog.imports import PROVIDERS
from advisor.catalog.imports.rows import Item, LeftOut, Listing, Reason
from advisor.errors import InputError
from advisor.records import dataclass

EXTRA = "pip install 'inference-advisor[gpuhunt]'"
_DIRECTORY_VARIABLE = "GPUHUNT_CATALOG_DIR"
"""Where the package looks for files in place of asking for them."""
_READS = ("aws", "azure", "verda", "gcp", "lambdalabs", "nebius", "oci", "runpod", "cloudrift")
"""Providers whose files the package reads; the others it asks anew each time."""
_VERSION = re.compile(r"(20\d{2})(\d{2})(\d{2})(-\w+)?")
_LARGEST_FILE_BYTES = 1_000_000_000
_WANTED = "a catalog.zip of gpuhunt, a file such as aws.csv, or a directory of them"


@dataclass(frozen=True, slots=True)
class _File:
    """One ``<provider>.csv``."""

    provider: str
    text: bytes
    as_of: str


def read_files(paths: Sequence[Path], as_of: str | None = None) -> tuple[tuple[Listing, ...], tuple[str, ...]]:
    """Listings of the files, and the providers whose files the package does not read.

    Args:
        paths: zip files, CSV files, or directories of them.
        as_of: ISO date of the catalog; without it that of the version in the path, else that of the file.

    Raises:
        InputError: the package is not installed, or a file is none of its catalogs.
    """
    gpuhunt = _package()
    files = [file for path in paths for file in _files_at(path)]
    if not files:
        raise InputError("there is no catalog of gpuhunt", where=str(paths[0]), hint=f"give {_WANTED}")
    readable = [file for file in files if file.provider in _READS]
    listings = tuple(_read(gpuhunt, file, as_of or file.as_of) for file in readable)
    return listings, tuple(sorted({file.provider for file in files} - set(_READS)))


def read_published(providers: Sequence[str]) -> tuple[tuple[Listing, ...], tuple[str, ...]]:
    """Listings that gpuhunt publishes today of these providers, and those whose catalog did not come.

    Raises:
        InputError: the package is not installed, or its catalogs cannot be reached.
    """
    gpuhunt = _package()
    catalog = gpuhunt.Catalog(auto_reload=False)
    with _heard() as words:
        try:
            catalog.load()
        except (gpuhunt.GPUHuntError, OSError, ValueError) as error:
            cause = error.__cause__ or error
            raise InputError(
                f"the catalogs of gpuhunt cannot be reached: {cause}",
                hint="check the network, or give a catalog.zip that was downloaded elsewhere",
            ) from error
    modules = {name: catalog.catalog[name] for name in providers if name in catalog.catalog}
    listings = []
    for name, module in modules.items():
        as_of = _date_in(str(module.version)) or f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"
        unreadable = tuple(text for text in words if f"row in {name} catalog" in text)
        listings.append(_listing(name, module.items, as_of, unreadable))
    return tuple(listings), tuple(sorted(set(providers) - set(modules)))


def _package() -> Any:  # noqa: ANN401 - a module without types
    try:
        import gpuhunt  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise InputError("gpuhunt is not installed", hint=EXTRA) from error
    return gpuhunt


def _files_at(path: Path) -> Iterator[_File]:
    try:
        if path.is_dir():
            for inside in sorted((*path.glob("*.csv"), *path.rglob("*.zip"))):
                yield from _files_at(inside)
        elif path.suffix == ".zip":
            yield from _files_in_zip(path)
        else:
            changed = dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)
            yield _File(path.stem, path.read_bytes(), _date_in(path.parent.name) or f"{changed:%Y-%m-%d}")
    except OSError as error:
        raise InputError(f"cannot read it: {error.strerror}", where=str(path), hint=f"give {_WANTED}") from error
    except zipfile.BadZipFile as error:
        raise InputError("this is no zip file, or a damaged one", where=str(path), hint=f"give {_WANTED}") from error


def _files_in_zip(path: Path) -> Iterator[_File]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if Path(member.filename).suffix != ".csv":
                continue
            if member.file_size > _LARGEST_FILE_BYTES:
                raise InputError(f"{member.filename} is larger than any catalog", where=str(path))
            written = "{:04}-{:02}-{:02}".format(*member.date_time[:3])
            yield _File(Path(member.filename).stem, archive.read(member), _date_in(path.parent.name) or written)


def _read(gpuhunt: Any, file: _File, as_of: str) -> Listing:  # noqa: ANN401 - as above
    """The rows of a file; those that the package cannot read are kept in its words."""
    with (
        tempfile.TemporaryDirectory() as directory,
        _heard() as words,
        _looking_in(directory),
        warnings.catch_warnings(),
    ):
        # The package leaves closing its file to the collector.
        warnings.simplefilter("ignore", ResourceWarning)
        (Path(directory) / f"{file.provider}.csv").write_bytes(file.text)
        try:
            items = gpuhunt.Catalog(auto_reload=False).query(provider=file.provider)
        except (ValueError, TypeError, KeyError, AttributeError, csv.Error, gpuhunt.GPUHuntError) as error:
            raise InputError(f"gpuhunt cannot read it: {error}", where=f"{file.provider}.csv") from error
    if not items:
        reason = words[0] if words else "it has no row"
        raise InputError(f"this is no catalog of gpuhunt: {reason}", where=f"{file.provider}.csv")
    return _listing(file.provider, items, as_of, words)


def _listing(name: str, items: Sequence[Any], as_of: str, unreadable: Sequence[str]) -> Listing:
    left_out = tuple(LeftOut(Reason.UNREADABLE, words) for words in unreadable)
    return Listing(PROVIDERS.get(name, ""), name, tuple(map(_item, items)), as_of, _title(as_of), left_out)


def _item(item: Any) -> Item:  # noqa: ANN401 - a ``gpuhunt.CatalogItem``
    return Item(
        instance_name=str(item.instance_name),
        location=item.location,
        usd_per_hour=float(item.price),
        is_spot=item.spot,
        accelerator_name=item.gpu_name,
        accelerator_count=item.gpu_count or 0,
        accelerator_memory_gb=item.gpu_memory,
        vcpus=item.cpu,
        is_arm=item.cpu_arch.value == "arm",
        flags=tuple(item.flags),
    )


@contextmanager
def _looking_in(directory: str) -> Iterator[None]:
    before = os.environ.get(_DIRECTORY_VARIABLE)
    os.environ[_DIRECTORY_VARIABLE] = directory
    try:
        yield
    finally:
        del os.environ[_DIRECTORY_VARIABLE]
        if before is not None:
            os.environ[_DIRECTORY_VARIABLE] = before


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Warnings of the package, kept from the terminal."""
    words: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            words.append(record.getMessage())

    logger, keeper = logging.getLogger("gpuhunt"), Keeper(logging.WARNING)
    propagated = logger.propagate
    logger.addHandler(keeper)
    logger.propagate = False
    try:
        yield words
    finally:
        logger.removeHandler(keeper)
        logger.propagate = propagated


def _date_in(text: str) -> str:
    """The date that a version such as ``20260818-42`` begins with; "" where it is none."""
    match = _VERSION.fullmatch(text)
    try:
        return dt.date(*map(int, match.groups()[:3])).isoformat() if match else ""
    except ValueError:
        return ""


def _title(as_of: str) -> str:
    return f"gpuhunt {version('gpuhunt')}, catalog of {as_of}"
