"""Purpose of each unit of compute cost: needed, headroom, idle, unused commitment, unattributed.

For a billed machine with telemetry, over the share of its billed time and of its accelerators that was observed::

    needed   = cost × mean use                 the accelerators worked
    headroom = cost × (peak use - mean use)    kept for the busiest twentieth of the time
    idle     = cost × (1 - peak use)           not used even then

where the peak use is the p95, or the mean where rare bursts lift that above it: no part is below nothing.

Times that were billed with gaps between them are split one by one; samples of a gap count nowhere. The
rest of it, and everything without telemetry, is unattributed. Nothing is guessed.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.audit.billed_hours import IS_HOST_COST, IS_PAID_USE, Observation, billed_windows, observations, united
from advisor.audit.ledger import Ledger
from advisor.audit.values import PARTS, UNKNOWN, ZERO, ComputeSplit, HostCost
from advisor.errors import InputError
from advisor.reading import read_text
from advisor.units import counted

if TYPE_CHECKING:
    from advisor.audit.telemetry import Telemetry

_RATIO = Decimal("1e-12")
_NAME_TAGS = ("name", "aws:eks:node", "kubernetes.io/hostname", "kubernetes_io_hostname", "node", "hostname", "host")
_LAST = r"[^/:]+$"


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

    Args:
        ledger: the bill.
        telemetry: use of hosts; None: there is none.
        accelerator_counts: accelerators of a type of machine, by provider and name.
        names: resource in the bill of a host, where their names differ.
        extrapolates: the time that was not sampled is taken to have been like the rest.
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
    keys = [(key, use.host) for use in telemetry.hosts for key in _keys(use.host, names)]
    ledger.database.load("host_keys", {"key": "VARCHAR", "host": "VARCHAR"}, keys)
    tags = ", ".join(f"'{tag}'" for tag in _NAME_TAGS)
    found = ledger.database.rows(
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
        for host, resource, provider, region, machine, cost in found
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
        notes.append(f"no sample of {_some(unseen)} is of an hour in which it was billed: unattributed")
    return observed, notes


def _keys(host: str, names: Mapping[str, str]) -> set[str]:
    """Names that a host may have in the bill: stated ones alone, else its name, whole and up to the first point."""
    if host in names:
        return {names[host].lower()}
    plain = re.sub(r":\d+$", "", host.lower())
    return {plain, plain.split(".")[0]}


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
            f"names of {_some(ambiguous)} fit several resources of the bill: unattributed; say which with --hosts"
        )
    if missing := sorted({use.host for use in telemetry.hosts} - set(hosts)):
        notes.append(f"no resource of the bill is called like {_some(missing)}: say which they are with --hosts")
    return kept, notes


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


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
    """Resource in the bill of each host: a CSV with the columns ``host`` and ``resource``.

    Raises:
        InputError: the file cannot be read or lacks a column.
    """
    if path is None:
        return {}
    rows = list(csv.DictReader(read_text(path, "table of hosts").splitlines()))
    if not rows or not {"host", "resource"} <= set(rows[0]):
        raise InputError("no columns host and resource", where=str(path), hint="write a header line: host,resource")
    return {row["host"]: row["resource"] for row in rows if row["host"] and row["resource"]}
