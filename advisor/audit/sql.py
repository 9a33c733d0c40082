"""Pieces of SQL: quoted names and texts, and the columns of a file found by any spelling."""

import re
from collections.abc import Mapping, Sequence

from advisor.data_files import data_dir
from advisor.records import dataclass, field
from advisor.tables import Row, read_rows

MONEY = "DECIMAL(38,15)"
"""Whole units of up to 23 digits, and 15 digits behind the point: more than any export states."""
_EXACT = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|DECIMAL\(.*\))$")
NULL = "NULL::VARCHAR"
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
        return f"TRY_CAST(CAST({name(column)} AS VARCHAR) AS {MONEY})"

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
            f"coalesce({_in_utc(f'TRY_CAST({value} AS TIMESTAMPTZ)')}, try_strptime({value}, '%m/%d/%Y'), "
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


_TABLE = "charge_kinds.csv"
_METER = "concat_ws(' ', meter, description, resource_type)"
_AWS = r"\b(?:ml\.)?([a-z][a-z0-9-]*\.(?:[0-9]*xlarge|large|medium|small|micro|nano|metal[a-z0-9-]*))"
_AZURE = r"(Standard_[A-Z][A-Za-z0-9_]*)"
_GCP = r"\b([a-z][0-9]+[a-z]?-[a-z]+(?:gpu)?-[0-9]+[a-z]*)\b"
_GCP_FAMILY = r"^([A-Z][0-9]+[A-Z]?)\b.* Instance (?:Core|Ram)"
_ACCELERATED = r"nvidia|\bgpu\b|\btpu|tesla|inferentia|trainium"
_AWS_ACCELERATED = r"^(p[2-9][a-z0-9-]*|g[3-9][a-z0-9-]*|inf[0-9]+|trn[0-9]+[a-z]*|dl[0-9]+[a-z]*)\."
"""Families of https://docs.aws.amazon.com/ec2/latest/instancetypes/ac.html, met by types that the catalog lacks."""


@dataclass(frozen=True, slots=True)
class KindRule:
    """One row of the table of kinds: patterns that are empty fit everything."""

    provider: str
    service: str
    meter: str
    category: str
    kind: str

    @property
    def condition(self) -> str:
        """SQL that is true of the charges that it is about."""
        parts = [f"provider = {text(self.provider)}"] if self.provider else []
        parts += [f"regexp_matches(coalesce(service, ''), {text(self.service)}, 'i')"] if self.service else []
        parts += [f"regexp_matches({_METER}, {text(self.meter)}, 'i')"] if self.meter else []
        parts += [f"category = {text(self.category)}"] if self.category else []
        return " AND ".join(parts)


def kind_rules() -> list[KindRule]:
    """The shipped table, in the order in which it is asked."""
    return [_rule(row) for row in read_rows(data_dir("instance_catalog") / _TABLE)]


def _rule(row: Row) -> KindRule:
    return KindRule(*(row[column] for column in ("provider", "service", "meter", "category", "kind")))


def kind_sql(rules: Sequence[KindRule]) -> str:
    """SQL of the kind of a charge: the first rule that fits, ``other`` where none does."""
    cases = " ".join(f"WHEN {rule.condition} THEN {text(rule.kind)}" for rule in rules)
    return f"CASE WHEN charge = 'tax' THEN 'other' {cases} ELSE 'other' END"


def instance_type_sql() -> str:
    """SQL of the type of machine: stated, in the details of the price, or in the meter's words; NULL where unknown."""
    stated = "replace(instance_type, 'ml.', '')"
    details = (
        "coalesce(json_extract_string(TRY_CAST(details AS JSON), '$.InstanceType'), "
        "json_extract_string(TRY_CAST(details AS JSON), '$.ServiceType'))"
    )
    words = [f"nullif(regexp_extract({_METER}, {text(pattern)}, 1), '')" for pattern in (_AWS, _AZURE, _GCP)]
    return f"coalesce(nullif({stated}, ''), {details}, {', '.join(words)})"


def family_sql() -> str:
    """SQL of the family of a machine; Google bills cores and memory of a family and not a machine."""
    return f"coalesce(families.family, lower(nullif(regexp_extract(description, {text(_GCP_FAMILY)}, 1), '')))"


def accelerated_sql() -> str:
    """SQL of whether a compute charge is for accelerators or their hosts; ``catalogued`` holds the known types."""
    gpus = "TRY_CAST(json_extract_string(TRY_CAST(details AS JSON), '$.GpuCount') AS DOUBLE)"
    return (
        f"coalesce({gpus} > 0, false) OR (provider, machine) IN (SELECT (provider, name) FROM catalogued) "
        f"OR regexp_matches(coalesce(machine, ''), {text(_AWS_ACCELERATED)}) "
        f"OR regexp_matches({_METER}, {text(_ACCELERATED)}, 'i')"
    )
