"""A catalog for others: what was refreshed here, with the shipped facts beneath it, as files for any web server."""

import datetime as dt
import io
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from advisor import __version__
from advisor.atomic_files import make_directory, write_bytes
from advisor.catalog.layers.layered import LayeredCatalog, newest_shipped
from advisor.catalog.layers.merging import SOURCE_COLUMNS
from advisor.catalog.layers.publication import (
    COMMITTED_KEY,
    MANIFEST,
    SCHEMA,
    SCHEMA_NUMBER,
    SIGNATURE,
    TABLES,
    VERSION,
    ZIP,
    PublishedTables,
    digest_of,
    sign,
)
from advisor.catalog.layers.snapshot import Snapshot, table_text
from advisor.catalog.price_trust import first_day
from advisor.errors import InputError
from advisor.records import dataclass
from advisor.tables import Row, read_rows

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

    Nothing that was imported or negotiated, no limit of the account and no answer that names it is in them.

    Raises:
        InputError: the catalog has no offer of the provider.
    """
    layers = _layers(catalog, provider)
    if not layers:
        providers = sorted(path.stem for path in (catalog.directory / "prices").glob("*.csv"))
        raise InputError(f"the catalog has no price of {provider}", hint=f"it has those of {', '.join(providers)}")
    titles = _Titles(catalog.directory)
    tables = {}
    for name in TABLES[:-1]:
        sources = layers[-1:] if name in ("prices.csv", "managed.csv") else layers
        rows = [row for layer in sources for row in titles.renamed(layer, name)]
        header = dict.fromkeys(column for row in rows for column in row) or _header(catalog.directory / name)
        if not header:
            continue
        tables[name] = table_text(list(header), list(_KEYED[name](rows)) if name in _KEYED else rows)
    tables["sources.csv"] = table_text(SOURCE_COLUMNS, titles.rows())
    snapshots = _snapshots(catalog, provider)
    shipped_on = first_day(newest_shipped(catalog.directory, provider)) or catalog.today
    read_on = snapshots[-1].read_on if snapshots else shipped_on.isoformat()
    # The reason of a gap may name the account that asked.
    gaps = tuple(gap.partition(":")[0] for gap in snapshots[-1].gaps) if snapshots else ()
    return PublishedTables(provider, read_on, gaps, tables)


def publish(providers: Sequence[PublishedTables], target: Path, now: dt.datetime, key: Path | None = None) -> Published:
    """Write a publication to a directory, or to a zip file where the target ends so, its version last.

    Raises:
        InputError: it cannot be written or signed; what was published before then still holds.
    """
    files = dict(_files(providers, now, key))
    if target.suffix == ZIP:
        write_bytes(target, _zipped(files))
    else:
        _write(files, target)
    name = next(iter(files)).partition("/")[0]
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
            yield {
                column: self._identifier(titles[cell]) if cell and _names_source(column) else cell
                for column, cell in row.items()
            }

    def _identifier(self, title: str) -> str:
        return self._known.setdefault(title, f"source-{len(self._known) + 1}")

    def rows(self) -> list[Row]:
        """The table of sources that were named."""
        return [
            {"licence": "", "note": "", **self._licences.get(title, {}), "source_id": provenance, "title": title}
            for title, provenance in self._known.items()
        ]


def _names_source(column: str) -> bool:
    return column == "source" or column.endswith("_source")


def _layers(catalog: LayeredCatalog, provider: str) -> list[_LayerFiles]:
    """The lowest first."""
    is_shipped = (catalog.directory / "prices" / f"{provider}.csv").is_file()
    shipped = [_LayerFiles(catalog.directory, provider, is_shipped=True)] if is_shipped else []
    newer = _snapshots(catalog, provider)
    return [*shipped, *(_LayerFiles(snapshot.directory, provider, is_shipped=False) for snapshot in newer)]


def _snapshots(catalog: LayeredCatalog, provider: str) -> list[Snapshot]:
    """Snapshots that were published and refreshed of a provider, the lowest layer first."""
    return [snapshot for snapshot in (*catalog.published, *catalog.snapshots) if snapshot.provider == provider]


def _header(path: Path) -> list[str]:
    """Columns of a table of the program; none of one that it does not have."""
    return path.read_text(encoding="utf-8").partition("\n")[0].split(",") if path.is_file() else []


def _first_of_each(rows: Sequence[dict[str, str]]) -> Iterator[Row]:
    """Machines as the lowest layer describes them."""
    first_rows: dict[str, Row] = {}
    for row in rows:
        first_rows.setdefault(row["name"], row)
    yield from first_rows.values()


def _by_region(rows: Sequence[dict[str, str]]) -> Iterator[Row]:
    """Services region by region, as the highest layer prices them."""
    by_key = {
        (row["service"], row["accelerator"], region): {**row, "regions": region}
        for row in rows
        for region in row["regions"].split(";")
    }
    yield from by_key.values()


def _last_of_each(rows: Sequence[dict[str, str]]) -> Iterator[Row]:
    """Prices under commitments as the highest layer has them."""
    last_rows = {tuple(row[column] for column in COMMITTED_KEY): row for row in rows}
    yield from last_rows.values()


_KEYED = {"committed_prices.csv": _last_of_each, "instances.csv": _first_of_each, "serverless.csv": _by_region}


def _files(providers: Sequence[PublishedTables], now: dt.datetime, key: Path | None) -> Iterator[tuple[str, bytes]]:
    """Files by relative name, in the order in which they are written."""
    made_at = f"{now:%Y-%m-%dT%H:%M:%SZ}"
    entries = {published.provider: _entry(published) for published in providers}
    manifest = {
        "schema": f"{SCHEMA}{SCHEMA_NUMBER}",
        "made_at": made_at,
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


def _entry(published: PublishedTables) -> Mapping[str, object]:
    """Entry of a provider in the manifest."""
    contents = {name: text.encode() for name, text in published.tables.items()}
    stated = {name: {"sha256": digest_of(content), "bytes": len(content)} for name, content in contents.items()}
    return {"read_on": published.read_on, "gaps": list(published.gaps), "tables": stated}


def _json(document: Mapping[str, object]) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _write(files: Mapping[str, bytes], target: Path) -> None:
    for name, content in files.items():
        make_directory((target / name).parent)
        write_bytes(target / name, content)
    new = next(iter(files)).partition("/")[0]
    old = sorted(path for path in target.glob("*Z-*") if (path / MANIFEST).is_file() and path.name != new)
    for path in old[: 1 - _KEPT]:
        shutil.rmtree(path, ignore_errors=True)


def _zipped(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return stream.getvalue()
