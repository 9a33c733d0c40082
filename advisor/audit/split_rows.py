"""Rows of a bill that repeat part of an instance for a pod or a task."""

from collections.abc import Callable
from decimal import Decimal

from advisor.audit.database import Database
from advisor.audit.values import ZERO
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
