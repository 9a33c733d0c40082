"""Charges that were delivered twice: the same file, the same line item, the same row."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from advisor.audit.database import Database
from advisor.audit.values import Basis
from advisor.units import counted

_PIECE_BYTES = 1024 * 1024
_MOST_ROWS = 20_000_000
"""Rows up to which the same rows are looked for where a format does not name its line items."""


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
