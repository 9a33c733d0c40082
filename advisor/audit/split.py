"""Purpose of each unit of compute cost: needed, headroom, idle, unused commitment, unattributed.

For a billed machine with telemetry, over the share of its billed time and of its accelerators that was observed::

    needed   = cost × mean use                 the accelerators worked
    headroom = cost × (peak use - mean use)    kept for the busiest twentieth of the time
    idle     = cost × (1 - peak use)           not used even then

where the peak use is the p95, or the mean where rare bursts lift that above it: no part is below nothing.

Times that were billed with gaps between them are split one by one; samples of a gap count nowhere. The
rest of it, and everything without telemetry, is unattributed. Nothing is guessed.

Telemetry is read host by host, from samples of the agent or a Prometheus-compatible server.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from statistics import fmean

from advisor.audit import PARTS, UNKNOWN, ZERO, Bill, ComputeSplit, HostCost, Utilisation, epoch_seconds
from advisor.audit.database import Database
from advisor.audit.ledger import Ledger
from advisor.errors import InputError
from advisor.names import first_names
from advisor.reading import read_text
from advisor.records import dataclass, replace
from advisor.samples.metrics import METRICS, Kind
from advisor.samples.need.fleet import METRICS_NEEDED, AcceleratorNeed, assess_summaries
from advisor.samples.need.limits import Code
from advisor.samples.query import Accelerator, QueryBackend, Summary, Window
from advisor.samples.query.embedded import open_backend
from advisor.units import counted

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
_RATIO = Decimal("1e-12")
_NAME_TAGS = ("name", "aws:eks:node", "kubernetes.io/hostname", "kubernetes_io_hostname", "node", "hostname", "host")
_LAST = r"[^/:]+$"


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
        start_us, end_us = (round(epoch_seconds(moment) * _US) for moment in (start, end))
        windows.setdefault(resource, []).append(Window(start_us, end_us))
    return windows


def observations(
    telemetry: "Telemetry", machines: Mapping[str, Sequence[Window]]
) -> tuple[dict[str, list[Observation]], int]:
    """Observations of each host, from its billed times, and how many machines were billed in more pieces than asked."""
    sampled = telemetry.window
    asked = {
        host: [part for each in windows if sampled is not None and (part := each.common(sampled))]
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


@dataclass(frozen=True, slots=True)
class _Billed:
    """A machine of the bill that has a host's name."""

    host: str
    resource: str
    provider: str
    region: str
    machine: str
    cost: Decimal


def split_compute(
    ledger: Ledger,
    telemetry: "Telemetry | None",
    accelerator_counts: Mapping[tuple[str, str], int],
    names: Mapping[str, str],
    *,
    extrapolates: bool,
) -> ComputeSplit:
    """The cost of compute by part.

    *accelerator_counts*: accelerators of a type of machine, by provider and name. *names*: resource in the bill of a
    host, where their names differ. *extrapolates*: the time that was not sampled is taken to have been like the rest.
    """
    total = ledger.cost_of("kind = 'compute'")
    unused = ledger.cost_of("kind = 'compute' AND unused IS NOT NULL")
    billed, notes = _joined(ledger, telemetry, names)
    if telemetry is None:
        observed: dict[str, list[Observation]] = {}
    elif extrapolates:
        observed = {use.host: [Observation(use, 1.0)] for use in telemetry.hosts}
    else:
        observed, more_notes = _observed(ledger, telemetry, billed)
        notes += more_notes
    hosts = [
        _host_cost(machine, observed[machine.host], accelerator_counts.get((machine.provider, machine.machine)))
        for machine in billed
        if observed[machine.host]
    ]
    parts = {part: sum((host.parts[part] for host in hosts), ZERO) for part in ("needed", "headroom", "idle")}
    parts["unused_commitment"] = unused
    parts["unattributed"] = total - sum(parts.values(), ZERO)
    return ComputeSplit({part: parts[part] for part in PARTS}, hosts, notes)


def _joined(ledger: Ledger, telemetry: "Telemetry | None", names: Mapping[str, str]) -> tuple[list[_Billed], list[str]]:
    """Machines of the bill with the host that each of them is."""
    if telemetry is None or not telemetry.hosts:
        return [], list(telemetry.notes) if telemetry else []
    keys: list[tuple[str, str]] = []  # stated names alone, else the host's own, whole and up to the first point
    for use in telemetry.hosts:
        plain = re.sub(r":\d+$", "", use.host.lower())
        of_host = {names[use.host].lower()} if use.host in names else {plain, plain.split(".")[0]}
        keys += [(key, use.host) for key in sorted(of_host)]
    ledger.database.load("host_keys", {"key": "VARCHAR", "host": "VARCHAR"}, keys)
    tags = ", ".join(f"'{tag}'" for tag in _NAME_TAGS)
    rows = ledger.database.rows(
        "WITH keyed AS ("
        f"SELECT resource, lower(regexp_extract(resource, '{_LAST}')) AS key FROM charges WHERE {IS_PAID_USE} UNION "
        f"SELECT resource, lower(resource) FROM charges WHERE {IS_PAID_USE} UNION "
        f"SELECT resource, lower(resource_name) FROM charges WHERE {IS_PAID_USE} UNION "
        "SELECT resource, lower(value) FROM charges JOIN tags USING (tags_id) "
        f"WHERE lower(key) IN ({tags}) AND {IS_PAID_USE}), "
        "pairs AS (SELECT DISTINCT host, resource FROM keyed JOIN host_keys USING (key)) "
        "SELECT host, resource, any_value(provider), any_value(region), coalesce(max(machine), '(unknown)'), "
        f"sum(cost) FROM pairs JOIN charges USING (resource) WHERE {IS_HOST_COST} "
        "GROUP BY host, resource ORDER BY sum(cost) DESC, resource"
    )
    machines = [
        _Billed(host, resource, provider, region or UNKNOWN, machine, cost)
        for host, resource, provider, region, machine, cost in rows
    ]
    return _unambiguous(machines, telemetry)


def _observed(
    ledger: Ledger, telemetry: "Telemetry", billed: Sequence[_Billed]
) -> tuple[dict[str, list[Observation]], list[str]]:
    """Observations of the billed hours of each host, and notes on what was not asked for or not seen."""
    if not billed:
        return {}, []
    windows = billed_windows(ledger.database, [machine.resource for machine in billed])
    observed, cut = observations(telemetry, {machine.host: windows.get(machine.resource, []) for machine in billed})
    notes = [f"{counted(cut, 'host')} billed in too many pieces: some of their time is unattributed"] if cut else []
    if unseen := sorted(host for host, seen in observed.items() if not seen):
        notes.append(f"no sample of {first_names(unseen)} is of an hour in which it was billed: unattributed")
    return observed, notes


def _unambiguous(machines: Sequence[_Billed], telemetry: "Telemetry") -> tuple[list[_Billed], list[str]]:
    """Machines whose host is theirs alone, and notes on the others."""
    hosts = [machine.host for machine in machines]
    resources = [machine.resource for machine in machines]
    kept = [
        machine for machine in machines if hosts.count(machine.host) == 1 and resources.count(machine.resource) == 1
    ]
    notes = list(telemetry.notes)
    if ambiguous := sorted(set(hosts) - {machine.host for machine in kept}):
        notes.append(
            f"names of {first_names(ambiguous)} fit several resources of the bill: unattributed; say which with --hosts"
        )
    if missing := sorted({use.host for use in telemetry.hosts} - set(hosts)):
        notes.append(f"no resource of the bill is called like {first_names(missing)}: say which they are with --hosts")
    return kept, notes


def _host_cost(machine: _Billed, seen: Sequence[Observation], expected: int | None) -> HostCost:
    """Parts of a machine's cost by its use; what was not observed is in none of them."""
    parts = {"needed": ZERO, "headroom": ZERO, "idle": ZERO}
    observed_ratio = ZERO
    for observation in seen:
        use = observation.use
        observed = _ratio(observation.billed_ratio * min(use.accelerators / (expected or use.accelerators), 1.0))
        observed = min(observed, 1 - observed_ratio)
        observed_ratio += observed
        mean, peak = _ratio(use.mean), _ratio(max(use.p95, use.mean))
        for part, share in {"needed": mean, "headroom": peak - mean, "idle": 1 - peak}.items():
            parts[part] += machine.cost * observed * share
    parts["unattributed"] = machine.cost - sum(parts.values(), ZERO)
    use = united(seen)
    place = machine.resource, machine.machine, machine.provider, machine.region
    return HostCost(*place, machine.cost, parts, use, float(observed_ratio))


def _ratio(share: float) -> Decimal:
    """A share to twelve digits, of which parts of any cost are exact."""
    return Decimal(share).quantize(_RATIO)


def read_host_names(path: Path | None) -> dict[str, str]:
    """Resource of each host, from columns ``host`` and ``resource``. Raises InputError if the file lacks them."""
    if path is None:
        return {}
    try:
        rows = list(csv.DictReader(read_text(path, "table of hosts").splitlines()))
    except csv.Error as error:
        raise InputError(f"the table of hosts is not a CSV table: {error}", where=str(path)) from error
    if not rows or not {"host", "resource"} <= set(rows[0]):
        raise InputError("no columns host and resource", where=str(path), hint="write a header line: host,resource")
    return {row["host"]: row["resource"] for row in rows if row["host"] and row["resource"]}


_ACTIVITY = ("busy_ratio", "sm_active_ratio")
"""Metrics that show use: the first of them that an accelerator has."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Measured use of hosts."""

    hosts: Sequence[Utilisation]
    notes: Sequence[str]
    window: Window | None = None
    """Common time of samples and bill; None: there is none."""
    backend: QueryBackend | None = None

    def over(self, window: Window) -> Mapping[str, Utilisation]:
        """Use of each host within a part of the window, by name."""
        if self.backend is None:
            return {}
        hosts = self.hosts if window == self.window else _hosts(self.backend, window)
        return {use.host: use for use in hosts}


def read_telemetry(places: Sequence[str], bill: Bill, *, extrapolates: bool) -> Telemetry:
    """Use of each host in the part of the bill's period that was sampled.

    *places* are directories of samples, or the address of a server. With *extrapolates* samples from outside the period
    count too; the period is then taken to have been alike. Raises InputError if nothing can be read there.
    """
    backend = open_backend(places)
    whole = backend.window()
    if whole is None:
        return Telemetry((), (f"{', '.join(places)}: no samples there",))
    window: Window | None = whole
    if not extrapolates:
        start, end = bill.start, bill.end
        window = None
        if start is not None and end is not None:
            window = whole.common(Window(round(epoch_seconds(start) * _US), round(epoch_seconds(end) * _US)))
    if window is None:
        note = (
            f"the samples are of {_days(whole.start_us)} to {_days(whole.end_us)}, the bill is of other days: no "
            "compute is attributed; --extrapolate takes the bill's time to have been like the sampled"
        )
        return Telemetry((), (note,))
    hosts = tuple(_hosts(backend, window, extrapolates=extrapolates))
    notes = (*backend.notes(), *(() if hosts else ("no accelerator says how busy it was",)))
    return Telemetry(hosts, notes, window, backend)


def _hosts(backend: QueryBackend, window: Window, *, extrapolates: bool = False) -> Iterator[Utilisation]:
    gauges = [name for name in backend.metrics(window) if name in METRICS_NEEDED and METRICS[name].kind is Kind.GAUGE]
    summaries = list(backend.summaries(gauges, window))
    telemetry = _Answers(
        {(summary.accelerator, summary.metric): summary for summary in summaries},
        {need.who: need for need in assess_summaries(summaries)},
        window,
        extrapolates,
    )
    for host, accelerators in groupby(sorted(telemetry.needs, key=lambda who: who.place), key=lambda who: who.host):
        if (use := _of_host(host, list(accelerators), telemetry)) is not None:
            yield use


@dataclass(frozen=True, slots=True)
class _Answers:
    """Answers of a backend over a window."""

    summaries: Mapping[tuple[Accelerator, str], Summary]
    needs: Mapping[Accelerator, AcceleratorNeed]
    window: Window
    extrapolates: bool
    """Whether what was not observed is taken to have been like the rest."""

    def verdict(self, who: Accelerator) -> str:
        """Verdict on an accelerator by what the audit knows, or takes to be so."""
        verdict = self.needs[who].verdict
        return (verdict.likely if self.extrapolates and verdict.code is Code.UNKNOWN else verdict.code).value


def _of_host(host: str, accelerators: Sequence[Accelerator], telemetry: _Answers) -> Utilisation | None:
    """Mean over the accelerators of a host; of those that MIG divides, over the instances."""
    divided = {who.index for who in accelerators if who.mig_index is not None}
    whole = [who for who in accelerators if who.mig_index is not None or who.index not in divided]
    seen = ([telemetry.summaries.get((who, metric)) for metric in _ACTIVITY] for who in whole)
    activity = [summary for each in seen if (summary := next(filter(None, each), None)) is not None]
    if not activity:
        return None
    uses = [need.memory.kv.max for who in whole if (need := telemetry.needs[who]).memory is not None and need.memory.kv]
    return Utilisation(
        host=host,
        mean=fmean(min(summary.mean, 1.0) for summary in activity),
        p95=fmean(min(summary.p95, 1.0) for summary in activity),
        observed_ratio=sum(min(summary.coverage_ratio, 1.0) for summary in activity) / len(whole),
        seconds=(telemetry.window.start_us / _US, telemetry.window.end_us / _US),
        accelerators=len({who.index for who in accelerators}),
        verdicts=tuple(map(telemetry.verdict, whole)),
        kv_max=max(uses, default=None),
    )


def _days(instant_us: int) -> str:
    return datetime.fromtimestamp(instant_us / _US, tz=UTC).strftime("%Y-%m-%d")
