"""Charges that are in a bill twice: delivered twice, or repeated for a pod or a task of an instance."""

import hashlib
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

from advisor.audit.database import Database
from advisor.audit.values import ZERO, Basis
from advisor.units import counted

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
_PIECE_BYTES = 1024 * 1024
_MOST_ROWS = 20_000_000
"""Rows up to which the same rows are looked for where a format does not name its line items."""


def without_split_rows(database: Database, summed: Callable[[str], str]) -> list[str]:
    """Take out rows that repeat part of another row for a pod or a task: the instance is counted whole.

    Rows that name their instance are compared by it. Others repeat the instances of their account, region and hour, as
    far as those cost as much; the rows of an hour in which they do not are counted.

    Args:
        database: with the table ``raw``, and the view ``lines`` that it is the sums of.
        summed: SQL of lines summed over time.
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
    """Files without those of the same content, and a note on each that is left out.

    Only files of the same size are read for it.
    """
    sizes: dict[int, list[Path]] = {}
    for path in paths:
        sizes.setdefault(path.stat().st_size if path.exists() else -1, []).append(path)
    alike = {path for paths in sizes.values() if len(paths) > 1 for path in paths}
    first: dict[str, Path] = {}
    kept, notes = [], []
    for path in paths:
        digest = _digest(path) if path in alike else str(path)
        if digest in first:
            notes.append(f"{path} is the same as {first[digest]}: counted once")
            continue
        first[digest] = path
        kept.append(path)
    return kept, notes


def _digest(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE_BYTES):
            total.update(piece)
    return total.hexdigest()


def repeated_lines(database: Database, source: str, where: str) -> tuple[str, list[str]]:
    """A source in which a line that is the same in every column counts once, and a note on what was left out.

    Args:
        database: that reads it.
        source: query in brackets.
        where: SQL of the lines that can be the same.
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

    Args:
        database: with the sums and the lines of the bill.
        sources: queries of lines that have no names.
        basis: the cost that is shown first.
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
