"""Hours in which machines were billed, and what their samples say of those hours alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from advisor.audit.database import Database
from advisor.audit.values import Utilisation
from advisor.samples.query.values import Window

if TYPE_CHECKING:
    from advisor.audit.telemetry import Telemetry

IS_PAID_USE = "kind = 'compute' AND unused IS NULL AND charge IN ('usage', 'purchase') AND resource IS NOT NULL"
IS_HOST_COST = "kind = 'compute' AND unused IS NULL AND charge IS DISTINCT FROM 'tax'"
"""What a machine cost: its use, less the credits, refunds and discounts that name it."""
MOST_WINDOWS = 200
"""Different times of samples that are asked for: each is a question to their store."""
_US = 1_000_000
_CHUNKS = f"""
WITH paid AS (
  SELECT DISTINCT resource, meter, charge FROM charges SEMI JOIN asked USING (resource) WHERE {IS_PAID_USE}),
hours AS (
  SELECT DISTINCT lines.resource, start_time, end_time FROM lines JOIN paid ON lines.resource = paid.resource
  AND lines.charge = paid.charge AND lines.meter IS NOT DISTINCT FROM paid.meter WHERE start_time < end_time),
begun AS (
  SELECT *, start_time > max(end_time) OVER (
    PARTITION BY resource ORDER BY start_time, end_time ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS is_later
  FROM hours),
numbered AS (
  SELECT *, count(*) FILTER (WHERE is_later) OVER (PARTITION BY resource ORDER BY start_time, end_time
    ROWS UNBOUNDED PRECEDING) AS stretch FROM begun)
SELECT resource, min(start_time), max(end_time) FROM numbered GROUP BY resource, stretch ORDER BY ALL
"""


@dataclass(frozen=True, slots=True)
class Observation:
    """Use of a machine in billed hours that were sampled."""

    use: Utilisation
    billed_ratio: float
    """Share of all of its billed time that was observed and is described by ``use``."""


def billed_windows(database: Database, resources: Sequence[str]) -> dict[str, list[Window]]:
    """Times in which each resource was billed without a gap, in order."""
    database.load("asked", {"resource": "VARCHAR"}, [(resource,) for resource in resources])
    windows: dict[str, list[Window]] = {}
    for resource, start, end in database.rows(_CHUNKS):
        windows.setdefault(resource, []).append(Window(_microseconds(start), _microseconds(end)))
    return windows


def observations(
    telemetry: "Telemetry", machines: Mapping[str, Sequence[Window]]
) -> tuple[dict[str, list[Observation]], int]:
    """Observations of each host, and how many machines were billed in more pieces than are asked for.

    Args:
        telemetry: samples, and the time that they have in common with the bill.
        machines: billed times by host.
    """
    asked = {
        host: [part for each in windows if (part := _common(each, telemetry.window))]
        for host, windows in machines.items()
    }
    distinct = {part: None for parts in asked.values() for part in parts}
    answered = dict.fromkeys(list(distinct)[:MOST_WINDOWS])
    seen: dict[str, list[Observation]] = {host: [] for host in machines}
    for window in answered:
        uses = telemetry.over(window)
        for host, parts in asked.items():
            if window in parts and host in uses:
                billed_seconds = sum(each.seconds for each in machines[host])
                ratio = min(uses[host].observed_ratio, 1.0) * window.seconds / billed_seconds
                seen[host].append(Observation(uses[host], ratio))
    return seen, sum(any(part not in answered for part in parts) for parts in asked.values())


def united(seen: Sequence[Observation]) -> Utilisation:
    """One description of a host's use in several stretches of time: means weighted by the time observed."""
    weights = [observation.billed_ratio for observation in seen]
    uses = [observation.use for observation in seen]
    total = sum(weights)
    if len(uses) == 1 or not total:
        return uses[0]

    def mean(name: str) -> float:
        return sum(weight * float(getattr(use, name)) for weight, use in zip(weights, uses, strict=True)) / total

    caches = [use.kv_max for use in uses if use.kv_max is not None]
    return replace(
        uses[0],
        mean=mean("mean"),
        p95=mean("p95"),
        observed_ratio=mean("observed_ratio"),
        seconds=(uses[0].seconds[0], uses[-1].seconds[1]),
        accelerators=max(use.accelerators for use in uses),
        verdicts=tuple(verdict for use in uses for verdict in use.verdicts),
        kv_max=max(caches, default=None),
    )


def _common(window: Window, sampled: Window | None) -> Window | None:
    if sampled is None:
        return None
    shared = Window(max(window.start_us, sampled.start_us), min(window.end_us, sampled.end_us))
    return shared if shared.start_us < shared.end_us else None


def _microseconds(moment: datetime) -> int:
    return round(moment.replace(tzinfo=UTC).timestamp() * _US)
