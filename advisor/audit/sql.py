"""SQL: quoted names and texts, columns of a file found by any spelling, and the shape of every bill."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from advisor.records import dataclass, field

MONEY = "DECIMAL(38,15)"
"""Whole units of up to 23 digits, and 15 digits behind the point: more than any export states."""
_EXACT = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|DECIMAL\(.*\))$")
NULL = "NULL::VARCHAR"
_WRITTEN = [
    "%m/%d/%Y", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%Y-%m-%d %H:%M:%S,%g",
]  # fmt: skip
"""Times that are not of ISO 8601: Azure's dates, spreadsheets in American English, and Python's logs."""
DAY_FIRST = r"^(1[3-9]|2\d|3[01])/\d{1,2}/\d{4}\b"
"""Dates that name the day before the month, beyond doubt."""
_FIRST, _LAST = "TIMESTAMP '1990-01-01'", "TIMESTAMP '2100-01-01'"
"""Instants that a bill or a log can be of."""


def name(identifier: str) -> str:
    """An identifier that SQL takes as it is."""
    return '"' + identifier.replace('"', '""') + '"'


def text(value: str) -> str:
    """A text literal."""
    return "'" + value.replace("'", "''") + "'"


def texts(values: Sequence[str]) -> str:
    """A list of text literals."""
    return f"[{', '.join(map(text, values))}]"


_AGAIN = re.compile(r" \(again \d+\)$")


def numbered_column(column: str, count: int) -> str:
    """Name of a column that stands in a header for the so many-th time."""
    return column if count == 1 else f"{column} (again {count})"


def column_key(column: str) -> str:
    """A column without case and punctuation: ``lineItem/UnblendedCost`` is ``line_item_unblended_cost``."""
    return "".join(character for character in column.casefold() if character.isalnum())


@dataclass(frozen=True)
class Columns:
    """Columns of a table with their types, found by any spelling."""

    types: Mapping[str, str]
    """DuckDB's type of each column."""
    _by_key: Mapping[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Index the columns; of two that are spelled alike the first counts."""
        by_key: dict[str, str] = {}
        for column in self.types:
            by_key.setdefault(column_key(column), column)
        object.__setattr__(self, "_by_key", by_key)

    def repeated(self, statement: str) -> Iterator[tuple[str, str]]:
        """Columns that a statement reads, each with another of its name, in any spelling, that it does not read."""
        for column in self.types:
            first = self._by_key.get(column_key(_AGAIN.sub("", column)), column)
            if first != column and name(first) in statement and name(column) not in statement:
                yield first, column

    def contradicts(self, column: str, other: str) -> str:
        """SQL of whether a column has a value that is not that of another, which counts."""
        value = self._as_text(column)
        return f"({value} IS NOT NULL AND {value} IS DISTINCT FROM {self._as_text(other)})"

    def find(self, *names: str) -> str | None:
        """The first of some columns that is there."""
        return next((self._by_key[key] for key in map(column_key, names) if key in self._by_key), None)

    def text(self, *names: str) -> str:
        """SQL of a text: the first of some columns that has a value; NULL where none is there."""
        present = [self._by_key[key] for key in dict.fromkeys(map(column_key, names)) if key in self._by_key]
        parts = [self._as_text(column) for column in present]
        if not parts:
            return NULL
        return parts[0] if len(parts) == 1 else f"coalesce({', '.join(parts)})"

    def _as_text(self, column: str) -> str:
        kind = self.types[column]
        if kind == "VARCHAR":
            return f"nullif({name(column)}, '')"
        nested = kind.startswith(("MAP", "STRUCT")) or kind.endswith("[]")
        return f"CAST(to_json({name(column)}) AS VARCHAR)" if nested else f"CAST({name(column)} AS VARCHAR)"

    def inner(self, outer: str, part: str) -> str:
        """SQL of a text inside a structure or a JSON text, or of the column that a flat export has in its place."""
        column = self.find(outer)
        if column is None:
            return self.text(f"{outer}.{part}")
        if self.types[column].startswith("STRUCT"):
            has_part = re.search(rf'[(,] ?"?{re.escape(part)}"? ', self.types[column])
            return f"CAST({name(column)}.{name(part)} AS VARCHAR)" if has_part else NULL
        nested = f"json_extract_string(TRY_CAST({self.text(outer)} AS JSON), {text('$.' + part)})"
        plain = f", {self.text(outer)}" if part == "description" else ""
        return f"coalesce({self.text(f'{outer}.{part}')}, {nested}{plain})"

    def money(self, *names: str) -> str:
        """SQL of an exact amount; NULL where the column is missing or holds no number."""
        column = self.find(*names)
        if column is None:
            return f"NULL::{MONEY}"
        kind = self.types[column]
        if _EXACT.match(kind):
            return f"TRY_CAST({name(column)} AS {MONEY})"
        value = f"CAST({name(column)} AS VARCHAR)"
        return f"CASE WHEN NOT contains({value}, '_') THEN TRY_CAST({value} AS {MONEY}) END"

    def given(self, *names: str) -> str:
        """SQL of whether the first of some columns has a value; none of them is there: it has not."""
        column = self.find(*names)
        if column is None:
            return "false"
        return f"{self._as_text(column) if self.types[column] == 'VARCHAR' else name(column)} IS NOT NULL"

    def time(self, *names: str) -> str:
        """SQL of an instant in UTC; a time without a zone is taken to be UTC. NULL outside of 1990 to 2100."""
        column = self.find(*names)
        if column is None:
            return "NULL::TIMESTAMP"
        instant = self._instant(column)
        return f"CASE WHEN {instant} BETWEEN {_FIRST} AND {_LAST} THEN {instant} END"

    def _instant(self, column: str) -> str:
        kind, quoted = self.types[column], name(column)
        if kind in {"TIMESTAMP", "DATE"} or kind.startswith("TIMESTAMP_"):
            return f"CAST({quoted} AS TIMESTAMP)"
        if kind.startswith("TIMESTAMP WITH"):
            return _in_utc(quoted)
        value = f"CAST({quoted} AS VARCHAR)"
        return (
            f"coalesce({_in_utc(f'TRY_CAST({value} AS TIMESTAMPTZ)')}, try_strptime({value}, {texts(_WRITTEN)}), "
            f"{_epoch(f'TRY_CAST({value} AS DOUBLE)')})"
        )


def _in_utc(instant: str) -> str:
    """A TIMESTAMPTZ as a TIMESTAMP in UTC, without the calendar of a time zone; NULL of what is not finite."""
    return f"make_timestamp(epoch_us({instant}))"


def _epoch(number: str) -> str:
    """Seconds, milli-, micro- or nanoseconds since 1970 as a timestamp, told apart by their size."""
    seconds = (
        f"CASE WHEN {number} >= 1e17 THEN {number} / 1e9 WHEN {number} >= 1e14 THEN {number} / 1e6 "
        f"WHEN {number} >= 1e11 THEN {number} / 1e3 ELSE {number} END"
    )
    return f"CASE WHEN {number} > 1e8 THEN (to_timestamp({seconds}) AT TIME ZONE 'UTC') END"


TEXTS = (
    "provider", "account", "service", "category", "meter", "description", "details", "instance_type", "region",
    "resource", "resource_name", "resource_type", "charge", "purchase", "unused", "commitment", "commitment_end",
    "allocated", "unit", "currency", "tags",
)  # fmt: skip
"""Dimensions. ``charge``: usage, purchase, tax, credit, adjustment. ``purchase``: on_demand, spot, committed, other.
``unused``: commitment or capacity_reservation where it was paid for and not used. ``allocated``: a row that splits
another one. ``details``: JSON of the price."""
AMOUNTS = ("billed", "effective", "list_cost", "quantity")
TIMES = ("start_time", "end_time")
LINE_ID = "line_id"
"""Name of a line item where the format has one: a line delivered twice is counted once."""
Expressions = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Format:
    """A billing export."""

    name: str
    title: str
    mandatory: tuple[tuple[str, ...], ...]
    """Columns without which it cannot be read; of each group one is enough."""
    expressions: Callable[[Columns], Expressions]
    """SQL of each column of the shape; one that is left out is NULL."""
    money: tuple[tuple[str, ...], ...]
    """Columns that have to hold numbers, each with its alternatives."""
    times: tuple[tuple[str, ...], ...]
    """Columns that have to hold times, each with its alternatives."""
    notes: Callable[[Columns], tuple[str, ...]] = lambda _: ()
    """Facts that the columns cannot tell."""
    settle: tuple[str, ...] = ()
    """Statements on the aggregated table ``raw`` that look at the bill as a whole."""

    def missing(self, columns: Columns) -> list[str]:
        """Mandatory columns that are not there, the first spelling of each."""
        return [group[0] for group in self.mandatory if columns.find(*group) is None]

    def tells_tags(self, columns: Columns) -> bool:
        """Whether there is a column of tags: without one nothing is known to carry none."""
        return self.expressions(columns).get("tags", NULL) != NULL


def select_list(kind: Format, columns: Columns) -> str:
    """The shape as a list of SQL expressions over a file's columns."""
    given = kind.expressions(columns)
    bad = " OR ".join(
        f"({columns.given(*group)} AND {columns.money(*group)} IS NULL)" for group in kind.money if columns.find(*group)
    )
    parts = [f"'{kind.name}' AS format"]
    parts += [f"{given.get(column, NULL)} AS {column}" for column in TEXTS]
    parts += [f"{given.get(column, f'NULL::{MONEY}')} AS {column}" for column in AMOUNTS]
    parts += [f"{given.get(column, 'NULL::TIMESTAMP')} AS {column}" for column in TIMES]
    parts += [f"{given.get(LINE_ID, NULL)} AS {LINE_ID}", f"({bad or 'false'}) AS is_bad"]
    return ",\n".join(parts)
