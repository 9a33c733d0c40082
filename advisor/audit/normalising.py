"""Charges made comparable: kinds of meters, one currency, sets of tags, and what is in a bill twice left out once."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from advisor.audit import ZERO, Basis
from advisor.audit.database import Database
from advisor.audit.sql import MONEY, text
from advisor.data_files import data_dir
from advisor.errors import InputError
from advisor.records import dataclass
from advisor.tables import read_rows
from advisor.units import counted

_FACTOR_DIGITS = 14


def one_currency(database: Database, rates: Mapping[str, Decimal]) -> tuple[str | None, Mapping[str, Decimal]]:
    """Bring amounts into one currency, and tell rates that converted. Raises InputError if a rate is missing."""
    costs: list[tuple[str | None, Decimal]] = database.rows(
        "SELECT currency, coalesce(nullif(sum(filled_effective), 0), sum(filled_billed)) FROM raw "
        "GROUP BY 1 HAVING count(*) FILTER (WHERE filled_effective <> 0 OR filled_billed <> 0) > 0 ORDER BY 2 DESC"
    )
    names = [currency for currency, _ in costs]
    if None in names:
        raise InputError("some charges have no currency", hint="see that BillingCurrency is filled in every row")
    currencies = [currency for currency in names if currency is not None]
    if not currencies:
        only: str | None = database.row("SELECT max(currency) FROM raw")[0]
        return only, {}
    lacking = [currency for currency in currencies if currency != "USD" and currency not in rates]
    if len(currencies) == 1 and lacking:
        return currencies[0], {}
    if lacking:
        amounts = ", ".join(f"{currency} {amount:,.2f}" for currency, amount in costs)
        hint = f"state what one {lacking[0]} is in USD, such as --rate {lacking[0]}=1.08"
        raise InputError(f"the bill is in several currencies: {amounts}", hint=hint)
    used = {currency: rates[currency] for currency in currencies if currency != "USD"}
    for currency, rate in used.items():
        columns = ("billed", "effective", "filled_billed", "filled_effective", "list_cost")
        exact = ", ".join(f"{column} = {converted_amount(column, rate)}" for column in columns)
        database.run(f"UPDATE raw SET {exact} WHERE currency = {text(currency)}")
    return "USD", used


def rate_notes(rates: Mapping[str, Decimal]) -> tuple[str, ...]:
    """Sentences on the rates that amounts are converted at."""
    return tuple(
        f"amounts in {currency} are converted: 1 {currency} = {rate:f} USD" for currency, rate in rates.items()
    )


def converted_amount(amount: str, rate: Decimal) -> str:
    """SQL: an amount times a rate."""
    whole = max(rate.adjusted() + 1, 0)
    factor = f"{rate:f}::DECIMAL({_FACTOR_DIGITS},{_FACTOR_DIGITS - whole})"
    return f"({amount}::DECIMAL(24,10) * {factor})::{MONEY}"


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
    columns = ("provider", "service", "meter", "category", "kind")
    rows = read_rows(data_dir("instance_catalog") / "charge_kinds.csv")
    return [KindRule(*(row[column] for column in columns)) for row in rows]


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


_BATCH = 20_000


def write_tags(database: Database) -> list[str]:
    """The table ``tags`` (``tags_id``, ``key``, ``value``) of the sets of tags; a note on those that cannot be read."""
    database.run("CREATE TABLE tags (tags_id BIGINT, key VARCHAR, value VARCHAR)")
    answer = database.connection.cursor().execute("SELECT tags_id, tags FROM tag_sets")
    unreadable = 0
    while rows := answer.fetchmany(_BATCH):
        entries: list[tuple[int, str, str]] = []
        for tags_id, stored in rows:
            parsed = parse_tags(stored)
            unreadable += parsed is None
            entries += [(tags_id, key, value) for key, value in (parsed or {}).items()]
        database.load("tag_entries", {"tags_id": "BIGINT", "key": "VARCHAR", "value": "VARCHAR"}, entries)
        database.run("INSERT INTO tags FROM tag_entries")
    return [f"{unreadable:,} sets of tags cannot be read: their charges count as untagged"] if unreadable else []


def parse_tags(text: str) -> dict[str, str] | None:
    """Tags of one cell: a JSON object, a list of ``{key, value}``, or the pairs without braces that Azure writes.

    Empty keys and values are left out; None where the cell is neither.
    """
    stripped = text.strip()
    for candidate in (stripped, f"{{{stripped}}}"):
        try:
            return dict(_pairs(json.loads(candidate)))
        except (ValueError, RecursionError, TypeError, AttributeError):
            continue
    return None


def _pairs(value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any JSON value
    entries = (
        value.items()
        if isinstance(value, Mapping)
        else ((_part(entry, "key"), _part(entry, "value")) for entry in value)
    )
    for key, tag in entries:
        if key and tag not in (None, ""):
            yield _whole(str(key).strip()), _whole(tag if isinstance(tag, str) else json.dumps(tag, ensure_ascii=False))


def _whole(text: str) -> str:
    """Text with "?" for halves of characters, which JSON can hold and UTF-8 cannot."""
    return text.encode(errors="replace").decode()


def _part(entry: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - any JSON value
    return entry.get(name, entry.get(name.title()))


_SPLIT_METERS = r"(EKS|ECS)-EC2-.*Hours"
"""Usage types of AWS that repeat part of an instance for a pod or a task."""
_INSTANCE_METERS = "(Box|Spot|Host|Dedicated)Usage"
_IS_POD = f"regexp_matches(coalesce(meter, ''), '{_SPLIT_METERS}') AND (format <> 'cur' OR allocated IS NULL)"
"""Rows of pods and tasks that do not name their instance."""
_HOURS_OF_PODS = f"""
SELECT account, region, start_time FROM lines
WHERE {_IS_POD} OR regexp_matches(coalesce(meter, ''), '{_INSTANCE_METERS}')
GROUP BY ALL HAVING sum(coalesce(effective, billed)) FILTER (WHERE {_IS_POD})
  > coalesce(sum(coalesce(effective, billed)) FILTER (WHERE NOT ({_IS_POD})), 0) + 0.01
"""
"""Account, region and hour in which pods and tasks cost more than all instances: some of theirs are not in the bill."""
_SPLIT_SUM = "SELECT coalesce(sum(row_count), 0)::BIGINT, sum(filled_effective) FROM split_rows"
_HOUR = ("account", "region", "start_time")
_MOST_ROWS = 20_000_000
"""Rows up to which the same rows are looked for where a format does not name its line items."""


def without_split_rows(database: Database, summed: Callable[[str], str]) -> list[str]:
    """Take out rows that repeat part of another row for a pod or a task: the instance is counted whole.

    Rows that name their instance are compared by it. Others repeat the instances of their account, region and hour, as
    far as those cost as much; the rows of an hour in which they do not are counted. The table ``raw`` holds the sums
    over time, by the SQL that *summed* gives, of the view ``lines``.
    """
    of_parents = (
        "SELECT resource, service, meter FROM raw WHERE format = 'focus' GROUP BY ALL "
        "HAVING abs(sum(filled_effective) FILTER (WHERE allocated IS NOT NULL)) > 0 AND "
        "abs(sum(filled_effective) FILTER (WHERE allocated IS NOT NULL) "
        "- sum(filled_effective) FILTER (WHERE allocated IS NULL)) "
        "<= least(0.01, abs(sum(filled_effective) FILTER (WHERE allocated IS NULL)) / 100)"
    )
    is_split = (
        "(format = 'cur' AND allocated IN (SELECT resource FROM raw WHERE format = 'cur' AND allocated IS NULL)) "
        f"OR (provider = 'aws' AND {_IS_POD}) "
        f"OR (allocated IS NOT NULL AND (resource, service, meter) IN ({of_parents}))"
    )
    database.run(f"CREATE TABLE split_rows AS SELECT * FROM raw WHERE {is_split}")
    count, amount = database.row(_SPLIT_SUM)
    if not count:
        return []
    database.run(f"DELETE FROM raw WHERE {is_split}")
    kept, kept_amount = _keep_unparented(database, summed)
    count, amount = count - kept, (amount or ZERO) - kept_amount
    notes = [f"{counted(count, 'row')} ({amount:,.2f}) split instances between pods: the instances are counted"]
    said = "split instances that are not in the bill: these rows are counted"
    return [*(notes if count else []), *([f"{counted(kept, 'row')} ({kept_amount:,.2f}) {said}"] if kept else [])]


def _keep_unparented(database: Database, summed: Callable[[str], str]) -> tuple[int, Decimal]:
    """Put rows of pods back whose instances are not in the bill: how many, and what they cost."""
    if not database.row(f"SELECT count(*) FROM split_rows WHERE {_IS_POD}")[0]:
        return 0, ZERO
    same = " AND ".join(f"lines.{column} IS NOT DISTINCT FROM hours.{column}" for column in _HOUR)
    pods = f"(SELECT lines.* FROM lines JOIN ({_HOURS_OF_PODS}) AS hours ON {same} WHERE {_IS_POD})"
    database.run(f"CREATE TABLE unparented AS {summed(pods)}")
    database.run("UPDATE unparented SET provider = 'aws', currency = nullif(upper(trim(currency)), '')")
    database.run("INSERT INTO raw BY NAME SELECT * FROM unparented")
    count, amount = database.row(_SPLIT_SUM.replace("split_rows", "unparented"))
    return count, amount or ZERO


def identical_files(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Files without those of the same content (only of one size are read), and a note on each left out."""
    sizes: dict[int, list[Path]] = {}
    for path in paths:
        sizes.setdefault(path.stat().st_size if path.exists() else -1, []).append(path)
    alike = {path for paths in sizes.values() if len(paths) > 1 for path in paths}
    first: dict[str, Path] = {}
    kept, notes = [], []
    for path in paths:
        digest = str(path)
        if path in alike:
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest in first:
            notes.append(f"{path} is the same as {first[digest]}: counted once")
            continue
        first[digest] = path
        kept.append(path)
    return kept, notes


def repeated_lines(database: Database, source: str, where: str) -> tuple[str, list[str]]:
    """A source in which a line that is the same in every column counts once, and a note on what was left out.

    *source* is a query in brackets; *where* is SQL of the lines that can be the same.
    """
    database.run(
        "CREATE OR REPLACE TABLE repeated AS SELECT row_hash, count(*) - 1 AS more "
        f"FROM (SELECT hash(line) AS row_hash FROM {source} AS line WHERE {where}) "
        "GROUP BY row_hash HAVING count(*) > 1",
        "percent of the line items compared",
    )
    more = database.row("SELECT coalesce(sum(more), 0)::BIGINT FROM repeated")[0]
    if not more:
        return source, []
    database.run("CREATE TEMP TABLE IF NOT EXISTS repeated_hashes (row_hash UBIGINT)")
    database.run("INSERT INTO repeated_hashes SELECT row_hash FROM repeated")
    is_repeated = "hash(line) IN (SELECT row_hash FROM repeated_hashes)"
    once = (
        f"(SELECT * FROM {source} AS line WHERE NOT {is_repeated} "
        f"UNION ALL (SELECT DISTINCT * FROM {source} AS line WHERE {is_repeated}))"
    )
    return once, [f"{counted(more, 'row')} the same as another in every column: counted once"]


def repeated_rows(database: Database, sources: Sequence[str], basis: Basis) -> list[str]:
    """A note on rows that are the same as another, where times of a charge overlap and lines have no names.

    *sources*: queries of lines that have no names. *basis*: the cost that is shown first.
    """
    overlapping, rows = database.row(
        "SELECT count(*) FILTER (WHERE row_count > 1 AND format <> 'cur' "
        "AND seconds > epoch(end_time) - epoch(start_time) + 1), coalesce(sum(row_count), 0)::BIGINT FROM raw"
    )
    if not overlapping or rows > _MOST_ROWS or not sources:
        return []
    union = " UNION ALL ".join(f"SELECT * FROM {source}" for source in sources)
    other = Basis.BILLED if basis is Basis.EFFECTIVE else Basis.EFFECTIVE
    more, cost, other_cost = database.row(
        "SELECT coalesce(sum(copies - 1), 0)::BIGINT, sum((copies - 1) * shown), sum((copies - 1) * other) FROM "
        f"(SELECT hash(line) AS row_hash, count(*) AS copies, any_value(coalesce({basis}, {other})) AS shown, "
        f"any_value(coalesce({other}, {basis})) AS other FROM ({union}) AS line GROUP BY row_hash "
        "HAVING count(*) > 1 AND (shown <> 0 OR other <> 0))"
    )
    if not more:
        return []
    unlike = f", {other} cost {other_cost:,.2f}" if other_cost != cost else ""
    return [
        (
            f"{counted(more, 'row')} ({cost:,.2f}{unlike}) the same as another in every column: "
            "if the export was delivered twice, --duplicates once counts them once"
        )
    ]
