"""Catalogs of SkyPilot and of gpuhunt, read into listings.

SkyPilot has one CSV table for each provider, ``<provider>/vms.csv``, with a row for each zone.

Facts: the columns of skypilot-catalog v5 to v9, read in November 2026. A price of 0 and, of TPUs, one of exactly 700
stand for a price that is not known. Google's machines are listed without their accelerators, which have rows without a
machine; both are added up where nothing else is charged, and else left out.

Catalogs of gpuhunt are read by the package itself: from its own files, or from where it publishes them.

Facts: the package gpuhunt 0.1.34 (MPL-2.0). A file is ``<provider>.csv``, alone or in ``<version>/catalog.zip``.
"""

import ast
import csv
import datetime as dt
import io
import logging
import math
import os
import re
import tempfile
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from advisor.catalog.catalog import Catalog
from advisor.catalog.imports import PROVIDERS, SKYPILOT_PROVIDERS, Item, LeftOut, Listing, Reason
from advisor.catalog.refresh.http import brief_client
from advisor.catalog.refresh.values import Denied
from advisor.catalog.values import InstanceType
from advisor.errors import InputError
from advisor.records import dataclass
from advisor.units import BYTES_PER_GIB, BYTES_PER_MIB

_COLUMNS = ("InstanceType", "AcceleratorName", "AcceleratorCount", "Price", "Region")
_TABLE = "vms"
_LARGEST_BYTES = 64_000_000
_PLACEHOLDER_USD = 700.0
_WANTED = "give a table of SkyPilot's catalog such as catalogs/v8/aws/vms.csv, or a directory of them"
_UNKNOWN = math.nan
_ATTACHED = "+"
_TPU_TYPES = (("tpu-v6e-", "ct6e-"), ("tpu-v5litepod-", "ct5lp-"))
"""Slices whose name counts chips → machines of so many chips."""
_GOOGLE_NAMES: Mapping[str, str] = {
    "A100-40GB-SXM": "A100", "A100-80GB-SXM": "A100-80GB", "L4": "L4", "T4": "T4", "V100-16GB": "V100", "P100": "P100",
    "P4": "P4",
}  # fmt: skip
"""Accelerator → its name in Google's table. H100, H200 and B200 have machines under a wrong SKU there."""

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Table:
    """One ``vms.csv``."""

    named: str
    text: str
    as_of: str
    where: str


def read_tables(locations: Sequence[str], catalog: Catalog, as_of: str | None) -> tuple[Listing, ...]:
    """Listings of SkyPilot's tables: paths of tables, directories of them, or URLs of tables.

    *catalog*: types and accelerators that Google's parts are added up for. *as_of*: ISO date of the prices; without it
    that of each file. A URL has none. Raises InputError if one cannot be read, or is no such table.
    """
    tables = [table for location in locations for table in _tables_at(location, as_of)]
    if not tables:
        raise InputError("there is no table of SkyPilot", where=locations[0], hint=_WANTED)
    return tuple(_listing(table, catalog) for table in tables)


def _tables_at(location: str, as_of: str | None) -> Iterator[_Table]:
    if "://" in location:
        yield _downloaded(location, as_of)
        return
    path = Path(location)
    try:
        paths = sorted(path.rglob(f"{_TABLE}.csv")) if path.is_dir() else [path]
        for table in paths:
            changed = dt.datetime.fromtimestamp(table.stat().st_mtime, dt.UTC)
            yield _table(str(table), table.read_bytes(), as_of or f"{changed:%Y-%m-%d}")
    except OSError as error:
        raise InputError(f"cannot read it: {error.strerror}", where=location, hint=_WANTED) from error


def _downloaded(url: str, as_of: str | None) -> _Table:
    if as_of is None:
        raise InputError("nothing says of when these prices are", where=url, hint="state it with --as-of")
    if urlsplit(url).scheme not in ("http", "https"):
        raise InputError("this is not the address of a table", where=url, hint=_WANTED)
    try:
        content = brief_client().download(url, _LARGEST_BYTES)
    except Denied as error:
        raise InputError(error.reason, where=url, hint=error.remedy) from error
    return _table(url, content, as_of)


def _table(where: str, content: bytes, as_of: str) -> _Table:
    if len(content) > _LARGEST_BYTES:
        raise InputError("it is larger than any catalog", where=where, hint=_WANTED)
    *_, folder, name = ("", *Path(where).parts)
    stem = name.removesuffix(".csv")
    try:
        return _Table(folder if stem == _TABLE else stem, content.decode("utf-8-sig"), as_of, where)
    except UnicodeDecodeError as error:
        raise InputError("this is not text in UTF-8", where=where, hint=_WANTED) from error


def _listing(table: _Table, catalog: Catalog) -> Listing:
    rows = list(_rows(table))
    provider = SKYPILOT_PROVIDERS.get(table.named, "")
    left_out: list[LeftOut] = []
    if provider == "gcp":
        machines = [machine for (owner, _), machine in catalog.instance_types.items() if owner == provider]
        rows, left_out = _google(rows, machines)
    zones_by_place: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        zones_by_place.setdefault((row["InstanceType"] or row["AcceleratorName"], row["Region"]), []).append(row)
    items = tuple(item for zones in zones_by_place.values() for item in _items(zones))
    source = f"SkyPilot catalog of {table.named}, {table.as_of}"
    return Listing(provider, table.named, items, table.as_of, source, tuple(left_out))


def _rows(table: _Table) -> Iterator[Row]:
    try:
        reader = csv.DictReader(io.StringIO(table.text))
        missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(f"there is no column {', '.join(missing)}", where=table.where, hint=_WANTED)
        for row in reader:
            if None in row or None in row.values():
                words = "another number of cells than the header"
                raise InputError(words, where=f"{table.where}:{reader.line_num}", hint="fetch it again")
            yield row
    except csv.Error as error:
        raise InputError(f"this is not a CSV table: {error}", where=table.where, hint=_WANTED) from error


def _items(zones: Sequence[Row]) -> Iterator[Item]:
    """Items on demand at the dearest price of the zones, on spot at their median."""
    listed = [usd for row in zones if (usd := _usd(row, "Price")) is not None]
    spot = [usd for row in zones if (usd := _usd(row, "SpotPrice")) is not None]
    yield _item(zones[0], max(listed, default=_UNKNOWN))
    if spot:
        by_zone = (min(spot), max(spot)) if zones[0].get("AvailabilityZone") else None
        yield _item(zones[0], median(spot), by_zone, is_spot=True)


def _item(row: Row, usd: float, by_zone: tuple[float, float] | None = None, *, is_spot: bool = False) -> Item:
    return Item(
        instance_name=row["InstanceType"] or row["AcceleratorName"],
        location=row["Region"],
        usd_per_hour=usd,
        is_spot=is_spot,
        accelerator_name=row["AcceleratorName"] or None,
        accelerator_count=_number(row, "AcceleratorCount") or 0.0,
        accelerator_memory_gb=_memory_gb(row.get("GpuInfo", "")),
        vcpus=None if (vcpus := _number(row, "vCPUs")) is None else int(vcpus),
        is_arm=row.get("Arch", "").startswith("arm"),
        zones_usd_per_hour=by_zone,
    )


def _usd(row: Row, column: str) -> float | None:
    """A price; None for those that stand for an unknown one."""
    usd = _number(row, column)
    is_placeholder = usd == _PLACEHOLDER_USD and row["AcceleratorName"].startswith("tpu-")
    return None if usd is None or usd <= 0 or is_placeholder else usd


def _number(row: Row, column: str) -> float | None:
    with suppress(ValueError):
        number = float(row.get(column) or "nan")
        return number if math.isfinite(number) else None
    return None


def _memory_gb(info: str) -> float | None:
    """Memory of one accelerator; None where the table says none or 0."""
    with suppress(ValueError, SyntaxError, TypeError, KeyError, IndexError, MemoryError, RecursionError):
        size_mib = float(ast.literal_eval(info)["Gpus"][0]["MemoryInfo"]["SizeInMiB"])
        return size_mib * BYTES_PER_MIB / BYTES_PER_GIB if size_mib > 0 else None
    return None


def _google(rows: Sequence[Row], machines: Sequence[InstanceType]) -> tuple[list[Row], list[LeftOut]]:
    """Whole machines of Google's table, and what is only a part of one."""
    hosts = [row for row in rows if row["InstanceType"]]
    parts = [row for row in rows if not row["InstanceType"]]
    slices = [(row, _slice_type(row["AcceleratorName"], machines)) for row in parts]
    whole: list[Row] = [
        {**row, "InstanceType": machine.name, "AcceleratorCount": f"{machine.accelerator_count}"}
        for row, machine in slices
        if machine is not None
    ]
    alone = {
        (row["AcceleratorName"], _number(row, "AcceleratorCount") or 0.0, row.get("AvailabilityZone", "")): row
        for row, machine in slices
        if machine is None
    }
    whole += (row for machine in machines for row in _machine_rows(machine, hosts, alone))
    summed = {row["InstanceType"] for row in whole}
    accelerated = {machine.name for machine in machines}
    left_out = [LeftOut(Reason.PART, f"{row['AcceleratorName']} alone") for row, machine in slices if machine is None]
    left_out += (
        LeftOut(Reason.PART if row["InstanceType"] in accelerated else Reason.NO_ACCELERATOR, row["InstanceType"])
        for row in hosts
        if row["InstanceType"] not in summed
    )
    return whole, left_out


def _machine_rows(
    machine: InstanceType, hosts: Iterable[Row], alone: Mapping[tuple[str, float, str], Row]
) -> Iterator[Row]:
    """A machine with its accelerators in each zone that lists both; none where disks are charged besides.

    A price is unknown where that of a part is.
    """
    name, count = _GOOGLE_NAMES.get(machine.accelerator), machine.accelerator_count
    if name is None or count is None or machine.local_nvme_gb:
        return
    base = machine.name.partition(_ATTACHED)[0]
    for host in hosts:
        part = alone.get((name, count, host.get("AvailabilityZone", "")))
        if host["InstanceType"] != base or part is None:
            continue
        prices = {column: (_usd(host, column), _usd(part, column)) for column in ("Price", "SpotPrice")}
        sums = {column: "" if None in parts else f"{sum(filter(None, parts)):.6f}" for column, parts in prices.items()}
        accelerators = {column: part[column] for column in ("AcceleratorName", "AcceleratorCount")}
        yield {**host, **sums, **accelerators, "InstanceType": machine.name, "GpuInfo": ""}


def _slice_type(name: str, machines: Sequence[InstanceType]) -> InstanceType | None:
    """The machine that a slice of a TPU is: as many chips of its generation; None for slices of several machines."""
    for start, types in _TPU_TYPES:
        chips = name.removeprefix(start)
        if chips != name and chips.isdigit():
            of_type = (machine for machine in machines if machine.name.startswith(types))
            return next((machine for machine in of_type if machine.accelerator_count == int(chips)), None)
    return None


EXTRA = "pip install 'inference-advisor[gpuhunt]'"
_DIRECTORY_VARIABLE = "GPUHUNT_CATALOG_DIR"
"""Where the package looks for files in place of asking for them."""
_READS = ("aws", "azure", "verda", "gcp", "lambdalabs", "nebius", "oci", "runpod", "cloudrift")
"""Providers whose files the package reads; the others it asks anew each time."""
_VERSION = re.compile(r"(20\d{2})(\d{2})(\d{2})(-\w+)?")
_LARGEST_FILE_BYTES = 1_000_000_000
_GPUHUNT_WANTED = "a catalog.zip of gpuhunt, a file such as aws.csv, or a directory of them"


@dataclass(frozen=True, slots=True)
class _File:
    """One ``<provider>.csv``."""

    provider: str
    text: bytes
    as_of: str


def read_files(paths: Sequence[Path], as_of: str | None) -> tuple[tuple[Listing, ...], tuple[str, ...]]:
    """Listings of zip files, CSV files or directories of them, and the providers whose files the package does not read.

    *as_of*: ISO date of the catalog; without it that of the version in the path, else that of the file. Raises
    InputError if the package is not installed, or a file is none of its catalogs.
    """
    gpuhunt = _package()
    files = [file for path in paths for file in _files_at(path)]
    if not files:
        raise InputError("there is no catalog of gpuhunt", where=str(paths[0]), hint=f"give {_GPUHUNT_WANTED}")
    readable = [file for file in files if file.provider in _READS]
    listings = tuple(_read(gpuhunt, file, as_of or file.as_of) for file in readable)
    return listings, tuple(sorted({file.provider for file in files} - set(_READS)))


def read_published(providers: Sequence[str]) -> tuple[tuple[Listing, ...], tuple[str, ...]]:
    """Listings that gpuhunt publishes today of these providers, and those whose catalog did not come.

    Raises InputError if the package is not installed, or its catalogs cannot be reached.
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
        listings.append(_gpuhunt_listing(name, module.items, as_of, unreadable))
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
    except (OSError, zipfile.BadZipFile) as error:
        reason = (
            f"cannot read it: {error.strerror}"
            if isinstance(error, OSError)
            else "this is not a zip file, or a damaged one"
        )
        raise InputError(reason, where=str(path), hint=f"give {_GPUHUNT_WANTED}") from error


def _files_in_zip(path: Path) -> Iterator[_File]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if Path(member.filename).suffix != ".csv":
                continue
            if member.file_size > _LARGEST_FILE_BYTES:
                told = f"{member.filename} is larger than any catalog"
                raise InputError(told, where=str(path), hint=f"give {_GPUHUNT_WANTED}")
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
            told, where = f"gpuhunt cannot read it: {error}", f"{file.provider}.csv"
            raise InputError(told, where=where, hint=f"give {_GPUHUNT_WANTED}, fetched again") from error
    if not items:
        reason = words[0] if words else "it has no row"
        told = f"this is not a catalog of gpuhunt: {reason}"
        raise InputError(told, where=f"{file.provider}.csv", hint=f"give {_GPUHUNT_WANTED}")
    return _gpuhunt_listing(file.provider, items, as_of, words)


def _gpuhunt_listing(name: str, items: Sequence[Any], as_of: str, unreadable: Sequence[str]) -> Listing:
    left_out = tuple(LeftOut(Reason.UNREADABLE, words) for words in unreadable)
    source = f"gpuhunt {version('gpuhunt')}, catalog of {as_of}"
    return Listing(PROVIDERS.get(name, ""), name, tuple(map(_gpuhunt_item, items)), as_of, source, left_out)


def _gpuhunt_item(item: Any) -> Item:  # noqa: ANN401 - a ``gpuhunt.CatalogItem``
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
