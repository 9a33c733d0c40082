"""Cost of a bill by day: for what has to be seen over time."""

import datetime as dt
from collections.abc import Sequence

from advisor.audit.database import Database
from advisor.audit.ledger import Ledger
from advisor.audit.normalising import converted_amount
from advisor.audit.sql import MONEY, text

_SAME = ("resource", "service", "meter", "charge", "allocated", "unused")
"""Columns by which a line is found among the charges."""
ACCELERATED = "is_accelerated"
_COMMITMENT = "CASE WHEN lines.unused = 'commitment' THEN lines.commitment END"
"""Subject of a commitment that nothing used: the commitment itself, as in the finding."""
_DAYS = f"""
CREATE TABLE IF NOT EXISTS days AS
WITH kept AS (
  SELECT {", ".join(_SAME)}, bool_or({ACCELERATED}) AS {ACCELERATED} FROM charges GROUP BY ALL),
spans AS (
  SELECT coalesce({_COMMITMENT}, kept.resource,
      kept.service || ', ' || coalesce(lines.region, 'no region')) AS resource,
    kept.{ACCELERATED}, {{cost}} AS cost,
    generate_series(date_trunc('day', start_time), greatest(end_time - INTERVAL 1 MICROSECOND, start_time),
      INTERVAL 1 DAY) AS within
  FROM lines JOIN kept ON {" AND ".join(f"lines.{column} IS NOT DISTINCT FROM kept.{column}" for column in _SAME)}
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

    Args:
        ledger: the bill.
        where: charges that count, as an expression over ``resource`` and ``is_accelerated``.
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
