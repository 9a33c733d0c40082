"""The bill in one shape: read once, aggregated over time on disk, each charge with its kind, cost and tags.

The table ``charges`` has one row for each resource, meter, way of paying and set of tags; every amount that is said of
a bill is a sum over it, so that the parts add up to the whole. The view ``lines`` reads the files again, for the hours.

Cost of a bill by day: for what has to be seen over time.
"""

import datetime as dt
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from advisor.audit import ZERO, Basis, Bill, day_range, missing_days, money
from advisor.audit.database import Database, opened, repeated_columns, unreadable_time
from advisor.audit.files import Table, tables_of
from advisor.audit.formats import focus_version, format_of, is_no_bill
from advisor.audit.normalising import (
    accelerated_sql,
    converted_amount,
    family_sql,
    identical_files,
    instance_type_sql,
    kind_rules,
    kind_sql,
    one_currency,
    rate_notes,
    repeated_lines,
    repeated_rows,
    without_split_rows,
    write_tags,
)
from advisor.audit.sql import AMOUNTS, LINE_ID, MONEY, TEXTS, Columns, Format, select_list, text
from advisor.catalog.values import family_of
from advisor.errors import InputError
from advisor.names import first_names
from advisor.processes import Spread
from advisor.records import dataclass, field
from advisor.units import HOURS_PER_DAY, SECONDS_PER_DAY, SECONDS_PER_HOUR, counted

_PROVIDERS = (("aws", "amazon|^aws"), ("azure", "microsoft|azure"), ("gcp", "google|^gcp"), ("oci", "oracle|^oci"))
_SAME = f"format, {', '.join(TEXTS)}"
"""Columns of lines that are summed over time together."""
_FILLED = ("filled_billed", "filled_effective")
_IS_WHOLE = "({0}::DOUBLE = trunc({0}::DOUBLE))"
"""Whether an amount has no cents; as a double, since numbers of 38 digits take ten times as long to divide."""
_DAY_BITS = 62
_DAY_ZERO = date(1970, 1, 1)
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)
_SHOWN = 40
"""Characters of a cell that a message repeats."""
_IN_ORDER = "FILTER (WHERE (end_time < start_time) IS NOT TRUE)"
_DAYS_OF_USE = (
    f"bit_or(1::BIGINT << (epoch(start_time)::BIGINT // {SECONDS_PER_DAY} % {_DAY_BITS})::BIGINT) "
    "FILTER (WHERE charge = 'usage' AND end_time - start_time BETWEEN INTERVAL 0 DAY AND INTERVAL 1 DAY)"
)
"""A bit for each day, by its number since 1970, on which a charge of usage of a day or less begins."""
_COUNTS = {
    "row_count": "count(*)",
    "bad": "count(*) FILTER (WHERE is_bad)",
    "timeless": "count(*) FILTER (WHERE start_time IS NULL OR end_time IS NULL)",
    "backward": "count(*) FILTER (WHERE end_time < start_time)",
    "no_billed": "count(*) FILTER (WHERE billed IS NULL)",
    "no_effective": "count(*) FILTER (WHERE effective IS NULL)",
    "no_cost": "count(*) FILTER (WHERE billed IS NULL AND effective IS NULL)",
    "fractions": f"count(*) FILTER (WHERE NOT {_IS_WHOLE.format('billed')})",
    "rounded": f"count(*) FILTER (WHERE NOT {_IS_WHOLE.format('billed')} AND {_IS_WHOLE.format('effective')})",
}
"""Lines that are counted, by the column of their number."""
_AZURE_COMMITTED = "format = 'azure' AND purchase = 'committed' AND filled_effective <> 0"


@dataclass(frozen=True, slots=True)
class Question:
    """Options for reading a bill."""

    basis: Basis = Basis.EFFECTIVE
    rates: Mapping[str, Decimal] = field(default_factory=dict)
    """USD for one unit of a currency."""
    bill_format: str | None = None
    """Name of the format; None: told by the columns."""
    counts_repeated_once: bool = False
    """Rows that are the same in every column count once, also where a format has no line items' names."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """A bill that was read."""

    database: Database
    bill: Bill
    notes: Sequence[str]
    rates: Mapping[str, Decimal] = field(default_factory=dict)
    """Rates by which amounts in other currencies were converted into that of the bill."""
    tagless: frozenset[str] = frozenset()
    """Formats of which no file has a column of tags: whether their charges carry some is unknown."""

    def sums(self, column: str, where: str = "true") -> dict[str, Decimal]:
        """Cost by an expression over ``charges``, the dearest first."""
        query = f"SELECT coalesce({column}, '(unknown)') AS name, sum(cost) FROM charges WHERE {where} GROUP BY name"
        return dict(sorted(self.database.rows(query), key=lambda row: (-row[1], row[0])))

    def cost_of(self, where: str) -> Decimal:
        """Cost of some charges."""
        total = self.database.row(f"SELECT sum(cost) FROM charges WHERE {where}")[0]
        return ZERO if total is None else Decimal(total)

    def cost_within(self, where: str) -> Decimal:
        """Cost of some charges over a time as long as the bill: of a fee for longer than that, such a part."""
        seconds = Decimal(self.bill.hours) * SECONDS_PER_HOUR
        rows = self.database.rows(
            f"SELECT coalesce(epoch(end_time) - epoch(start_time), 0)::BIGINT, sum(cost) FROM charges WHERE {where} "
            "GROUP BY 1"
        )
        return sum((cost * min(Decimal(1), seconds / span) if seconds and span else cost for span, cost in rows), ZERO)


def read_ledger(
    database: Database,
    paths: Sequence[Path],
    question: Question,
    catalogued: Sequence[tuple[str, str]],
    spread: Spread | None,
    of_folders: Collection[Path] = (),
) -> Ledger:
    """Read the files of a bill, of any formats, into a database.

    *catalogued*: provider and name of the types of machines with accelerators. *spread* sums the files over time, each
    by itself. *of_folders*: files that only lie in a folder: beside a bill, those that are none are not read. Raises
    InputError if a file is not a bill, a cost is not a number, or currencies are mixed and a rate is missing.
    """
    distinct, notes = identical_files(paths)
    tables = tables_of(database.connection, distinct, database.scratch, "bill")
    others = [] if question.bill_format else [each for each in tables if is_no_bill(each)]
    others = [table for table in others if set(table.paths) <= set(of_folders)]
    bills = [table for table in tables if table not in others] or tables
    read = [(table, format_of(table, question.bill_format)) for table in bills]
    notes += _not_bills_notes(others)
    for table, kind in read:
        version = f" {focus_version(table.columns)}" if kind.name == "focus" else ""
        notes.append(f"{table.where}: {kind.title}{version}")
        notes += [*kind.notes(table.columns), *repeated_columns(database, table, select_list(kind, table.columns))]
    notes += _aggregate(database, read, question, spread)
    rows = database.row("SELECT coalesce(sum(row_count), 0)::BIGINT FROM raw")[0]
    for statement in dict.fromkeys(statement for _, kind in read for statement in kind.settle):
        database.run(statement)
    notes += [*without_split_rows(database, _summed), *_settle_silent_fees(database), *_shape_notes(database, read)]
    basis, basis_notes = _basis(database, question.basis)
    if basis is Basis.BILLED:
        _divide_fees(database)
    currency, rates = one_currency(database, question.rates)
    _write_charges(database, basis, catalogued)
    notes += [*basis_notes, *rate_notes(rates), *write_tags(database)]
    bill = _bill(database, currency, rows, basis)
    notes += ["the bill's period is unknown, and with it every amount a month"] if rows and not bill.hours else []
    notes += [*_credit_notes(database, currency), *_holes(database, bill)]
    tagless = {kind.name for _, kind in read} - {kind.name for table, kind in read if kind.tells_tags(table.columns)}
    return Ledger(database, bill, tuple(dict.fromkeys(notes)), rates, frozenset(tagless))


def _not_bills_notes(tables: Sequence[Table]) -> Iterator[str]:
    """A note on files that are not read, since none of their columns is of a billing export."""
    paths = [str(path) for table in tables for path in table.paths]
    if paths:
        yield f"{counted(len(paths), 'file')} not read for the bill: no billing export ({first_names(sorted(paths))})"


def _credit_notes(database: Database, currency: str | None) -> Iterator[str]:
    """A note on charges below zero, which make the total less than its parts."""
    credit = ZERO + database.row("SELECT coalesce(sum(cost), 0) FROM charges WHERE cost < 0")[0]
    if credit < 0:
        yield (
            f"charges below zero, {money(credit, currency)} together, are taken as credits, refunds or corrections: "
            "they are in the total, which a part of it may exceed"
        )


def _holes(database: Database, bill: Bill) -> list[str]:
    """A note on days of a bill of up to two months that no charge of a day or less is of."""
    bits = int(database.row("SELECT coalesce(bit_or(day_bits), 0)::BIGINT FROM charges")[0])
    if bill.start is None or bill.end is None or not bits or bill.hours > _DAY_BITS * HOURS_PER_DAY:
        return []
    first, length = bill.start.date(), (bill.end.date() - bill.start.date()).days
    days = [first + timedelta(days=number) for number in range(length)]
    missing = missing_days([day for day in days if bits >> (day - _DAY_ZERO).days % _DAY_BITS & 1])
    if not missing:
        return []
    said = f"{counted(len(missing), 'day')} of the period without any use ({day_range(missing)})"
    return [f"{said}: if the export has a hole there, amounts a month are too low"]


def _aggregate(
    database: Database, read: Sequence[tuple[Table, Format]], question: Question, spread: Spread | None
) -> list[str]:  # fmt: skip
    """The table ``raw``: the shape with everything summed over time."""
    notes: list[str] = []
    unnamed: list[str] = []
    parts: list[str] = []
    once: list[str] = []
    for table, kind in read:
        shape = select_list(kind, table.columns)
        has_lines = kind.name == "cur" and table.columns.find("identity_line_item_id") is not None
        is_once = has_lines or question.counts_repeated_once
        (once if is_once else unnamed).append(f"(SELECT {shape} FROM {table.source})")
        parts += [] if is_once else [f"(SELECT {shape} FROM {source})" for source in table.sources]
    sources = list(unnamed)
    if once:
        union = f"({' UNION ALL '.join(f'SELECT * FROM {each}' for each in once)})"
        alike = "true" if question.counts_repeated_once else f"{LINE_ID} IS NOT NULL"
        source, notes = repeated_lines(database, union, alike)
        sources.append(source)
    union = " UNION ALL ".join(f"SELECT * EXCLUDE ({LINE_ID}) FROM {source}" for source in sources)
    database.run(f"CREATE TEMP VIEW lines AS {union}")
    if spread is None or not parts:
        database.run(f"CREATE TABLE raw AS {_summed('lines')}", "percent of the bill read")
    else:
        sums = [f"FROM {name}" for name in _summed_apart(database, parts, spread)]
        sums += [f"({_summed(source)})" for source in sources[len(unnamed) :]]
        database.run(f"CREATE TABLE raw AS {_united(' UNION ALL '.join(sums))}")
    _refuse_bad(database, read)
    providers = " ".join(f"WHEN regexp_matches(provider, '{pattern}', 'i') THEN '{key}'" for key, pattern in _PROVIDERS)
    database.run(
        f"UPDATE raw SET provider = CASE {providers} ELSE lower(replace(trim(provider), ' ', '-')) END, "
        "currency = nullif(upper(trim(currency)), '')"
    )
    return [*notes, *repeated_rows(database, unnamed, question.basis)]


def _summed(source: str) -> str:
    """SQL of lines in the shape, summed over time."""
    amounts = ", ".join(f"sum({column})::{MONEY} AS {column}" for column in AMOUNTS)
    counts = ", ".join(f"{count} AS {column}" for column, count in _COUNTS.items())
    return (
        f"SELECT {_SAME}, {amounts}, {_filled('billed', 'effective')}, {_filled('effective', 'billed')}, "
        f"min(start_time) {_IN_ORDER} AS start_time, max(end_time) {_IN_ORDER} AS end_time, "
        f"sum(epoch(end_time) - epoch(start_time)) {_IN_ORDER} AS seconds, {_DAYS_OF_USE} AS day_bits, {counts} "
        f"FROM {source} GROUP BY {_SAME}"
    )


def _united(source: str) -> str:
    """SQL of sums of parts of the lines, as sums of all of them."""
    amounts = ", ".join(f"sum({column})::{MONEY} AS {column}" for column in (*AMOUNTS, *_FILLED))
    counts = ", ".join(f"sum({column})::BIGINT AS {column}" for column in _COUNTS)
    return (
        f"SELECT {_SAME}, {amounts}, min(start_time) AS start_time, max(end_time) AS end_time, "
        f"sum(seconds) AS seconds, bit_or(day_bits) AS day_bits, {counts} FROM ({source}) GROUP BY {_SAME}"
    )


def _summed_apart(database: Database, sources: Sequence[str], spread: Spread) -> list[str]:
    """Names of tables on disk with the sums of each source, made wherever the work is spread to."""
    places = [database.scratch / f"part-{number}.parquet" for number in range(len(sources))]
    with spread.open() as run:
        for done, _ in enumerate(run(_sum_part, list(zip(sources, places, strict=True))), start=1):
            if database.progress is not None:
                database.progress("files of the bill read", done, len(sources))
    return [f"read_parquet({text(str(place))})" for place in places]


def _sum_part(part: tuple[str, Path]) -> None:
    """Sum one source into a file, in a database of its own."""
    source, place = part
    with opened() as database:
        database.run(f"CREATE TEMP VIEW lines AS SELECT * EXCLUDE ({LINE_ID}) FROM {source}")
        database.run(f"COPY ({_summed('lines')}) TO {text(str(place))} (FORMAT parquet)")


def _filled(column: str, other: str) -> str:
    """Sum of a cost, with the other one where a row does not state it."""
    return f"sum(coalesce({column}, {other}))::{MONEY} AS filled_{column}"


def _refuse_bad(database: Database, read: Sequence[tuple[Table, Format]]) -> None:
    count = database.row("SELECT coalesce(sum(bad), 0)::BIGINT FROM raw")[0]
    if not count:
        return
    for table, kind in read:
        for group in kind.money:
            column = table.columns.find(*group)
            if column is None:
                continue
            for path, source in zip(table.paths, table.sources, strict=True):
                _refuse_bad_of(database, table.columns, column, path, source)


def _refuse_bad_of(database: Database, columns: Columns, column: str, path: Path, source: str) -> None:
    """Refuse a file with an amount that is no number, or too large, with the first such row."""
    value, money = columns.text(column), columns.money(column)
    lines = f"SELECT {value} AS value, {money} AS money, row_number() OVER () AS row FROM {source}"
    bad = f"SELECT value, row FROM ({lines}) WHERE value IS NOT NULL AND money IS NULL LIMIT 1"
    for example, row in database.rows(bad):
        shown = f"in some rows, such as {example[:_SHOWN]!r} in row {row:,} below the header"
        if _NUMBER.fullmatch(example):
            hint = "see that it is in the right column"
            raise InputError(f"{column} is out of range {shown}", where=str(path), hint=hint)
        hint = "export costs with a point before the decimals and without separators of thousands"
        raise InputError(f"{column} is not a number {shown}", where=str(path), hint=hint)


def _basis(database: Database, wanted: Basis) -> tuple[Basis, list[str]]:
    """The cost that is split, and what is said of it."""
    other = Basis.BILLED if wanted is Basis.EFFECTIVE else Basis.EFFECTIVE
    rows, lacking, lacking_other, without, fractions, rounded = database.row(
        f"SELECT {_rows('row_count')}, {_rows(_unstated(wanted))}, {_rows(_unstated(other))}, {_rows('no_cost')}, "
        f"{_rows('fractions')}, {_rows('rounded')} FROM raw"
    )
    notes = [f"{counted(without, 'row')} without any cost: in no sum"] if without else []
    basis = other if lacking == rows and lacking_other < rows else wanted
    if basis is other:
        notes.append(f"the bill states no {wanted} cost: {other} cost is shown")
    elif lacking > without:
        notes.append(f"{counted(lacking - without, 'row')} without {wanted} cost: {other} cost counts there")
    if basis is Basis.EFFECTIVE and fractions and rounded > fractions / 2:
        notes.append("EffectiveCost is a whole number in most rows: it was rounded; --cost billed is exact")
    return basis, notes


def _divide_fees(database: Database) -> None:
    """Divide invoiced fees of AWS's commitments into what nothing used (their effective cost) and the rest."""
    is_fee = "format = 'cur' AND unused = 'commitment'"
    part = f"greatest(least(effective, billed), 0)::{MONEY}"
    database.run(
        f"INSERT INTO raw SELECT * REPLACE ({part} AS billed, {part} AS filled_billed, 0 AS row_count) FROM raw "
        f"WHERE {is_fee} AND {part} > 0"
    )
    database.run(
        f"UPDATE raw SET billed = (billed - {part})::{MONEY}, filled_billed = (billed - {part})::{MONEY}, "
        f"effective = (CASE WHEN {part} > 0 THEN 0 ELSE effective END)::{MONEY}, "
        f"filled_effective = (CASE WHEN {part} > 0 THEN 0 ELSE filled_effective END)::{MONEY}, unused = NULL "
        f"WHERE {is_fee} AND row_count > 0 AND effective IS NOT NULL AND billed IS NOT NULL"
    )


def _settle_silent_fees(database: Database) -> list[str]:
    """AWS's fees that do not say what of them went unused cost nothing beside the usage that they cover."""
    silent = "format = 'cur' AND unused = 'commitment' AND effective IS NULL"
    rows, commitments = database.row(f"SELECT {_rows('row_count')}, count(DISTINCT commitment) FROM raw WHERE {silent}")
    if not rows:
        return []
    covered = (
        "SELECT commitment FROM raw WHERE format = 'cur' AND charge = 'usage' AND unused IS NULL AND effective > 0"
    )
    nothing = ", ".join(
        f"{amount} = CASE WHEN commitment IN ({covered}) THEN 0 ELSE {amount} END"
        for amount in ("effective", "filled_effective", "no_effective")
    )
    database.run(f"UPDATE raw SET {nothing}, unused = NULL WHERE {silent}")
    columns = "savings_plan_total_commitment_to_date and savings_plan_used_commitment, or reservation_unused_…"
    fees = f"{counted(rows, 'row')} of fees ({counted(commitments, 'commitment')})"
    return [f"{fees} without {columns}: what went unused is not known; the usage that they cover counts"]


def _shape_notes(database: Database, read: Sequence[tuple[Table, Format]]) -> list[str]:
    """Notes on rows without a time, and on exports that count requests in place of tokens."""
    timeless, backward, requests, bought, amortised = database.row(
        f"SELECT {_rows('timeless')}, {_rows('backward')}, "
        "count(*) FILTER (WHERE unit = 'Requests' AND category = 'AI and Machine Learning'), "
        f"count(*) FILTER (WHERE {_AZURE_COMMITTED} AND charge = 'purchase'), "
        f"count(*) FILTER (WHERE {_AZURE_COMMITTED} AND charge = 'usage') FROM raw"
    )
    notes = []
    if timeless:
        such = "".join(f" (such as {example!r} of {column})" for column, example in _unreadable_times(database, read))
        notes.append(f"{counted(timeless, 'row')} without a begin or an end that can be read{such}: not in the period")
    if backward:
        notes.append(f"{counted(backward, 'row')} with an end before the begin: not in the period")
    if bought and amortised:
        notes.append(
            "Azure's reservations are here as bought and as used: an actual and an amortised export of one time count "
            "everything twice; give one of them"
        )
    if requests:
        notes.append("models sold by the token are counted in requests here, not in tokens: --requests has the tokens")
    return notes


def _unreadable_times(database: Database, read: Sequence[tuple[Table, Format]]) -> list[tuple[str, str]]:
    """Columns of times with a cell that is none."""
    columns = [(table, table.columns.find(*group)) for table, kind in read for group in kind.times]
    examples = [(column, unreadable_time(database, table, column)) for table, column in columns if column]
    return list({column: (column, example) for column, example in examples if example is not None}.values())


def _rows(count: str) -> str:
    return f"coalesce(sum({count}), 0)::BIGINT"


def _unstated(basis: Basis) -> str:
    """SQL of the rows of a group that do not state a cost."""
    return f"CASE WHEN {basis} IS NULL THEN row_count ELSE no_{basis} END"


def _write_charges(database: Database, basis: Basis, catalogued: Sequence[tuple[str, str]]) -> None:
    """The table ``charges`` with cost, kind, machine, family and whether it is accelerated."""
    database.load("catalogued", {"provider": "VARCHAR", "name": "VARCHAR"}, catalogued)
    meters = "format, provider, service, category, meter, description, details, instance_type, resource_type, charge"
    database.run(
        f"CREATE TABLE machines AS WITH kinds AS (SELECT {meters}, {kind_sql(kind_rules())} AS kind "
        f"FROM (SELECT DISTINCT {meters} FROM raw)) "
        f"SELECT *, CASE WHEN kind = 'compute' THEN {instance_type_sql()} END AS machine FROM kinds"
    )
    named = database.rows("SELECT DISTINCT provider, machine FROM machines WHERE machine IS NOT NULL")
    families = [(provider, machine, family_of(provider, machine)) for provider, machine in named]
    database.load("families", dict.fromkeys(("provider", "machine", "family"), "VARCHAR"), families)
    database.run(
        f"CREATE TABLE meters AS SELECT machines.*, CASE WHEN kind = 'compute' THEN {family_sql()} END AS family, "
        f"kind = 'compute' AND ({accelerated_sql()}) AS is_accelerated "
        "FROM machines LEFT JOIN families USING (provider, machine)"
    )
    database.run(
        "CREATE TABLE tag_sets AS SELECT row_number() OVER () AS tags_id, tags FROM "
        "(SELECT DISTINCT tags FROM raw WHERE tags IS NOT NULL)"
    )
    same = " AND ".join(f"raw.{column} IS NOT DISTINCT FROM meters.{column}" for column in meters.split(", "))
    database.run(
        f"CREATE TABLE charges AS SELECT raw.* EXCLUDE (tags), coalesce(filled_{basis}, 0)::{MONEY} AS cost, "
        f"meters.kind, meters.machine, meters.family, meters.is_accelerated, tag_sets.tags_id "
        f"FROM raw JOIN meters ON {same} "
        "LEFT JOIN tag_sets ON raw.tags = tag_sets.tags"
    )
    database.run("DROP TABLE raw")
    # Credits and refunds of a machine leave its type out.
    database.run(
        "UPDATE charges SET machine = typed.machine, family = typed.family FROM (SELECT resource, "
        "min(machine) AS machine, min(family) AS family FROM charges WHERE resource IS NOT NULL AND family IS NOT NULL "
        "GROUP BY resource HAVING count(DISTINCT coalesce(machine, '')) = 1 AND count(DISTINCT family) = 1) AS typed "
        "WHERE charges.resource = typed.resource AND charges.family IS NULL AND charges.kind = 'compute' "
        "AND charges.charge IN ('credit', 'adjustment')"
    )


def of_usage(bound: str) -> str:
    """A bound of the times of usage: fees and taxes may be of a longer time than the bill."""
    return f"coalesce({bound} FILTER (WHERE charge = 'usage'), {bound})"


def _bill(database: Database, currency: str | None, rows: int, basis: Basis) -> Bill:
    billed, effective, has_billed, has_effective, start, end = database.row(
        "SELECT sum(filled_billed), sum(filled_effective), count(billed), count(effective), "
        f"{of_usage('min(start_time)')}, {of_usage('max(end_time)')} FROM charges"
    )
    return Bill(
        billed_cost=billed if has_billed else (ZERO if not rows else None),
        effective_cost=effective if has_effective else (ZERO if not rows else None),
        currency=currency,
        start=start,
        end=end,
        rows=rows,
        basis=basis,
    )


_SAME_DAY = ("resource", "service", "meter", "charge", "allocated", "unused")
"""Columns by which a line is found among the charges."""
ACCELERATED = "is_accelerated"
_COMMITMENT = "CASE WHEN lines.unused = 'commitment' THEN lines.commitment END"
"""Subject of a commitment that nothing used: the commitment itself, as in the finding."""
_DAYS = f"""
CREATE TABLE IF NOT EXISTS days AS
WITH kept AS (
  SELECT {", ".join(_SAME_DAY)}, bool_or({ACCELERATED}) AS {ACCELERATED} FROM charges GROUP BY ALL),
spans AS (
  SELECT coalesce({_COMMITMENT}, kept.resource,
      kept.service || ', ' || coalesce(lines.region, 'no region')) AS resource,
    kept.{ACCELERATED}, {{cost}} AS cost,
    generate_series(date_trunc('day', start_time), greatest(end_time - INTERVAL 1 MICROSECOND, start_time),
      INTERVAL 1 DAY) AS within
  FROM lines JOIN kept ON {" AND ".join(f"lines.{column} IS NOT DISTINCT FROM kept.{column}" for column in _SAME_DAY)}
  WHERE lines.charge <> 'tax' AND start_time IS NOT NULL)
SELECT resource, {ACCELERATED}, day::DATE AS day, sum(share) AS cost
FROM (SELECT resource, {ACCELERATED}, unnest(within) AS day, (cost / len(within))::{MONEY} AS share FROM spans)
GROUP BY ALL
"""


def days_of(ledger: Ledger) -> list[dt.date]:
    """Whole days of the bill's period with charges; what a charge of several days costs is spread over them.

    An export of today ends within the day, whose cost would be part of one.
    """
    ledger.database.run(_DAYS.format(cost=_cost_of_line(ledger)))
    start, end = ledger.bill.start, ledger.bill.end
    if start is None or end is None:
        return []
    first = start.date() + dt.timedelta(days=start.time() != dt.time.min)
    days = ledger.database.rows("SELECT DISTINCT day FROM days ORDER BY day")
    return [day for (day,) in days if first <= day < end.date()]


def _cost_of_line(ledger: Ledger) -> str:
    """SQL: cost of a line in the currency of the bill."""
    basis = ledger.bill.basis.value
    amount = f"coalesce(lines.{basis}, lines.{'billed' if basis == 'effective' else 'effective'})"
    currency = "upper(trim(lines.currency))"
    for other, rate in ledger.rates.items():
        amount = f"CASE WHEN {currency} = {text(other)} THEN {converted_amount(amount, rate)} ELSE {amount} END"
    return amount


def daily_costs(ledger: Ledger, where: str = "true") -> dict[dt.date, float]:
    """Cost of each day of :func:`days_of` without taxes.

    *where*: charges that count, as an expression over ``resource`` and ``is_accelerated``.
    """
    days_of(ledger)
    sums = dict(ledger.database.rows(f"SELECT day, sum(cost) FROM days WHERE {where} GROUP BY day"))
    return {day: float(sums.get(day, 0)) for day in days_of(ledger)}


def costs_by_resource(ledger: Ledger, first: dt.date, last: dt.date) -> dict[str, float]:
    """Cost of each resource from a day to another, that one included."""
    days_of(ledger)
    where = f"day BETWEEN DATE '{first}' AND DATE '{last}'"
    rows = ledger.database.rows(f"SELECT resource, sum(cost) FROM days WHERE {where} GROUP BY 1 ORDER BY 1")
    return {name: float(cost) for name, cost in rows}


def named(resources: Sequence[str]) -> str:
    """SQL: the charge is one of these resources."""
    return f"resource IN ({', '.join(map(text, sorted(resources)))})" if resources else "false"


def daily_requests(database: Database) -> dict[dt.date, int]:
    """Requests of each day of the logs that were read."""
    rows = database.rows("SELECT hour::DATE, sum(requests)::BIGINT FROM traffic WHERE hour IS NOT NULL GROUP BY 1")
    return dict(sorted(rows))
