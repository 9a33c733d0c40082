"""A published catalog taken in: what it would change, what speaks against it, and the layer that it becomes."""

import datetime as dt
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from advisor.catalog import readers
from advisor.catalog.geography import SEPARATOR, read_zones, zone_fault
from advisor.catalog.layers.layered import LayeredCatalog, newest_shipped, offers_of_snapshot
from advisor.catalog.layers.merging import offers_of, usual_usd_per_hour
from advisor.catalog.layers.publication import COMMITTED_KEY, PublishedTables
from advisor.catalog.layers.snapshot import (
    Change,
    Damaged,
    Snapshot,
    changes,
    current,
    discard,
    forget,
    sole_writer,
    stage,
    table_text,
    take,
)
from advisor.catalog.price_trust import first_day
from advisor.catalog.refresh.values import (
    MOST_MOVED_RATIO,
    CommittedRow,
    Found,
    Guard,
    PriceRow,
    Row,
    ServerlessRow,
    Sold,
    Violation,
    violations,
)
from advisor.catalog.values import Purchase
from advisor.errors import InputError
from advisor.names import is_type_name
from advisor.records import dataclass, replace
from advisor.tables import Record, read_records

_ASK = "ask who publishes it; nothing was taken"
_AHEAD = dt.timedelta(days=1)
"""The publisher may be in a time zone where it is tomorrow."""
_FORMULA = re.compile(r"[=+@]|-(?![\d.])")
_UNIQUE = {"prices.csv": ("instance_type", "region"), "committed_prices.csv": COMMITTED_KEY, "instances.csv": ("name",)}


@dataclass(frozen=True, slots=True)
class Updated:
    """Result of taking over a published catalog, for one provider."""

    provider: str
    read_on: str
    held: tuple[Violation, ...]
    """Rows that keep it from being taken."""
    changes: tuple[Change, ...]
    """Against what was shipped or published before."""
    left_out: Mapping[str, int]
    """What this version of the program does not know → rows that name it."""
    is_taken: bool
    hidden_by: str
    """Date of the refresh of this machine that goes before it; "" where there is none."""


def update(
    published: Sequence[PublishedTables],
    catalog: LayeredCatalog,
    root: Path,
    *,
    confirmed: frozenset[str] = frozenset(),
    most_moved: float = MOST_MOVED_RATIO,
    dry_run: bool = False,
) -> tuple[Updated, ...]:
    """Take a published catalog as the layer between what was shipped and what was refreshed: all of it, or nothing.

    *published* is verified; *root*: directory of the published snapshots; *confirmed*: keys of violations that a person
    accepts; *most_moved*: largest move of an on-demand price that needs nobody, as a share of it; *dry_run*: compare
    only. Raises InputError if it is older than what is there, a table is wrong, or it cannot be written.
    """
    below = replace(catalog.as_listed(), snapshots=())
    _check_ages(published, catalog, root)
    compared = [_compared(tables, below, confirmed, most_moved) for tables in published]
    is_taken = not dry_run and not any(updated.held for _, updated in compared)
    if is_taken:
        with sole_writer(root):
            _check_ages(published, catalog, root)  # another run may have taken a newer one since
            _take(root, [tables for tables, _ in compared])
    refreshed = {snapshot.provider: snapshot.read_on for snapshot in catalog.snapshots}
    return tuple(
        replace(updated, is_taken=is_taken, hidden_by=refreshed.get(updated.provider, "")) for _, updated in compared
    )


def _check_ages(published: Sequence[PublishedTables], catalog: LayeredCatalog, root: Path) -> None:
    """Refuse what is of days to come, or older than the layers that it would replace."""
    for tables in published:
        provider, read_on = tables.provider, tables.read_on
        if read_on > (catalog.today + _AHEAD).isoformat():
            raise InputError(
                f"its prices of {provider} are of {read_on}, which is in the future",
                hint="look at the clock of this machine, or ask who publishes it; nothing was taken",
            )
        before = current(root, provider)
        layers = {"was published before": before.read_on if isinstance(before, Snapshot) else ""}
        layers["came with the program"] = newest_shipped(catalog.directory, provider)
        for words, day in layers.items():
            if read_on < day:
                raise InputError(
                    f"its prices of {provider} are of {read_on}, older than what {words} ({day})",
                    hint="name a newer one, or leave this provider out; nothing was taken",
                )


def _compared(
    published: PublishedTables, below: LayeredCatalog, confirmed: frozenset[str], most_moved: float
) -> tuple[PublishedTables, Updated]:
    """Tables of a provider that can be taken, read from a directory that nothing else reads, and what they change."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        for name, text in published.tables.items():
            (directory / name).write_text(text, encoding="utf-8", newline="")
        try:
            for name in published.tables:
                _check_cells(directory / name, below.today)
            tables, left_out = _known_tables(published, directory, below)
            for name, text in tables.tables.items():
                (directory / name).write_text(text, encoding="utf-8", newline="")
            before = offers_of(below, published.provider)
            # Prices as they stand, so that guards see what no catalog would hold.
            rows = tuple(
                row
                for name, rows_of in _ROWS_OF.items()
                for record in _records(directory / name)
                for row in rows_of(record)
            )
            answer = Found(published.provider, rows, frozenset({("", "prices")}), ())
            held = violations(answer, before, confirmed, most_moved, usual_usd_per_hour(below, answer))
            updated = Updated(published.provider, published.read_on, held, (), left_out, is_taken=False, hidden_by="")
            if any(violation.guard is Guard.NO_PRICE for violation in held):
                return tables, updated
            _check_tables(directory, published.provider)
            offers = offers_of_snapshot(Snapshot(published.provider, directory, published.read_on, (), ""))
            return tables, replace(updated, changes=changes(before.values(), offers))
        except InputError as error:
            where = error.where.replace(f"{directory}/", f"{published.provider}/")
            raise InputError(error.message, where=where, hint=_ASK) from error


def _known_tables(
    published: PublishedTables, directory: Path, below: LayeredCatalog
) -> tuple[PublishedTables, Mapping[str, int]]:
    """Tables without rows of accelerators, types and regions that this version of the program does not know."""
    unknown: Counter[str] = Counter()
    types = {name for owner, name in below.instance_types if owner == published.provider}

    def of_accelerator(record: Record) -> str:
        name = record.text("accelerator")
        return "" if name in below.accelerators else f"accelerator {name}"

    def of_place(record: Record) -> str:
        name, region = record.text("instance_type"), record.text("region")
        if name not in types:
            return f"type {name}"
        return "" if (published.provider, region) in below.regions else f"region {region}"

    machines = _without_unknown(directory / "instances.csv", of_accelerator, unknown)
    types |= {record.text("name") for record in machines}
    kept = {"instances.csv": machines}
    kept |= {
        name: _without_unknown(directory / name, of_place, unknown) for name in ("prices.csv", "committed_prices.csv")
    }
    kept["serverless.csv"] = _without_unknown(directory / "serverless.csv", of_accelerator, unknown)
    if not unknown:
        return published, {}
    tables = dict(published.tables)
    for name in kept.keys() & tables.keys():
        header = tables[name].partition("\n")[0].split(",")
        tables[name] = table_text(header, [record.cells for record in kept[name]])
    return replace(published, tables=tables), dict(unknown)


def _without_unknown(path: Path, words_of: Callable[[Record], str], unknown: Counter[str]) -> list[Record]:
    """Rows of a table of which everything is known; the others are counted by what is not."""
    records = [(record, words_of(record)) for record in _records(path)]
    unknown.update(words for _, words in records if words)
    return [record for record, words in records if not words]


def _price_rows(record: Record) -> Iterator[Row]:
    place = record.text("region"), record.text("instance_type")
    yield Sold(*place)
    on_demand = record.optional_number("on_demand_usd_per_hour")
    if on_demand is not None:
        yield PriceRow(*place, Purchase.ON_DEMAND.value, on_demand, record.text("on_demand_as_of"))
    spot = record.optional_number("spot_usd_per_hour")
    if spot is not None:
        low, high = (record.optional_number(f"spot_zone_{end}_usd_per_hour") for end in ("low", "high"))
        zones = None if low is None or high is None else (low, high)
        yield PriceRow(*place, Purchase.SPOT.value, spot, record.text("spot_as_of"), zones)


def _managed_rows(record: Record) -> Iterator[Row]:
    usd_per_hour, region = record.optional_number("usd_per_hour"), record.optional_text("region")
    if usd_per_hour is not None and region:
        place = region, record.text("instance_type")
        yield PriceRow(*place, Purchase.MANAGED.value, usd_per_hour, record.text("as_of"))


def _serverless_rows(record: Record) -> Iterator[Row]:
    usd_per_hour = record.optional_number("usd_per_hour")
    if usd_per_hour is not None:
        place = record.optional_text("regions"), record.text("service")
        yield ServerlessRow(*place, record.text("accelerator"), usd_per_hour, 0.0, 0.0, record.text("as_of"))


def _committed_rows(record: Record) -> Iterator[Row]:
    years, payment = int(record.number("term_years")), record.text("payment")
    commitment = (record.text("instrument"), years, payment, record.number("usd_per_hour"), record.text("as_of"))
    yield CommittedRow(record.text("region"), record.text("instance_type"), *commitment)


_ROWS_OF: Mapping[str, Callable[[Record], Iterator[Row]]] = {
    "prices.csv": _price_rows,
    "managed.csv": _managed_rows,
    "serverless.csv": _serverless_rows,
    "committed_prices.csv": _committed_rows,
}


def _records(path: Path) -> Iterator[Record]:
    if path.is_file():
        yield from read_records(path)


def _check_cells(path: Path, today: dt.date) -> None:
    """Refuse cells that no table has: lines, formulas, days to come, and rows that say something twice."""
    key = _UNIQUE.get(path.name, ())
    rows: set[tuple[str, ...]] = set()
    for record in _records(path):
        for column, cell in record.cells.items():
            _check_cell(record, column, cell, today)
        place = tuple(map(record.text, key))
        if place in rows:
            record.fail(key[0], f"a second row of {', '.join(place)}")
        rows |= {place} if key else set()
        if path.name == "instances.csv" and not is_type_name(record.text("name")):
            record.fail("name", f"'{record.text('name')}' is not the name of an instance type")


def _check_cell(record: Record, column: str, cell: str, today: dt.date) -> None:
    if "\n" in cell or _FORMULA.match(cell):
        record.fail(column, f"{cell!r} has more than one line, or begins as a formula does")
    if cell and (column == "as_of" or column.endswith("_as_of")):
        day = first_day(cell)
        if day is None:
            record.fail(column, f"'{cell}' is not a date")
        if day > today + _AHEAD:
            record.fail(column, f"'{cell}' is in the future")


def _check_tables(directory: Path, provider: str) -> None:
    """Read every table as the catalog will."""
    sources = readers.Sources(directory)
    for name in ("instances.csv", "commitments.csv", "managed.csv", "serverless.csv"):
        for record in _records(directory / name):
            if record.text("provider") != provider:
                record.fail("provider", f"'{record.text('provider')}' in the tables of {provider}")
    readers.read_instance_types(sources)
    discounts = list(_records(directory / "commitments.csv"))
    for record in discounts:
        if not 0 <= record.number("discount_ratio") < 1:
            record.fail("discount_ratio", f"a discount of {record.number('discount_ratio'):g}")
    if discounts:
        readers.read_commitments(sources)
    for record in _records(directory / "committed_prices.csv"):
        sources.of(record)
    readers.read_serverless(sources)
    _check_zones(directory / "zones.csv", provider)
    read_zones(directory / "zones.csv", sources)


def _check_zones(path: Path, provider: str) -> None:
    for record in _records(path):
        for name in filter(None, record.optional_text("zones").split(SEPARATOR)):
            if fault := zone_fault(provider, record.text("region"), name):
                record.fail("zones", fault)


def _take(root: Path, published: Sequence[PublishedTables]) -> None:
    """Write every provider beside what holds, then take them one after the other; go back where one cannot be."""
    staged: list[Snapshot] = []
    replaced: list[tuple[str, Snapshot | Damaged | None]] = []
    try:
        staged += (stage(root, tables.provider, tables.tables, tables.read_on, tables.gaps) for tables in published)
        for snapshot in staged:
            replaced.append((snapshot.provider, current(root, snapshot.provider)))
            take(root, snapshot)
    except InputError:
        for provider, before in replaced:
            with suppress(InputError):
                if isinstance(before, Snapshot):
                    take(root, before)
                else:
                    forget(root, provider)
        for snapshot in staged:
            discard(root, snapshot)
        raise
