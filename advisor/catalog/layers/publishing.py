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
    sign,
)
from advisor.catalog.layers.snapshot import digest_of, table_text
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
