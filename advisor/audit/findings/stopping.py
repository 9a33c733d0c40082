"""Idle machines that stop and start again as they were, and fixed groups of machines that can be smaller.

A machine stops where it loses nothing and nothing starts another in its place: it is on demand, has no local disk, is
in no group and no cluster, and was idle in a week or more. A member of a group of AWS's autoscaling is left to its
group, whose desired size falls where the bill shows that it had the same members all the time.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from advisor.audit.findings.context import Commands, Context
from advisor.audit.findings.provider_commands import Place, acting_command, looking_command
from advisor.audit.findings.rules import IDLE
from advisor.audit.values import HostCost
from advisor.units import HOURS_PER_DAY, SECONDS_PER_HOUR

FEWEST = 2
"""Machines or replicas that stay where several run, so that any one may fail."""
LEAST_OBSERVED = 0.8
"""Share of the billed time of machines that has to be observed before their number changes."""
LEAST_DAYS = 7
"""Days that machines have to be billed before their number changes: nights and weekends are not like other days."""
_PLAIN_KEY = "regexp_replace(lower(key), '[^a-z]', '', 'g')"
_IS_GROUP = f"{_PLAIN_KEY} LIKE '%autoscalinggroupname'"
_IS_CLUSTER = f"regexp_matches({_PLAIN_KEY}, 'eks|kubernetes|karpenter|gke|aks|emr|sagemaker|beanstalk|cluster|batch')"
_MADE_BY_A_GROUP = re.compile(r"/gke-|-[a-z0-9]{4}$|/resourceGroups/MC_", re.IGNORECASE)
"""Names that Google's groups and Azure's clusters give to machines."""
_GROUP_NAME = re.compile(r"[\w./:@+=,-][\w ./:@+=,-]*")


def stopping_commands(context: Context, hosts: Sequence[HostCost]) -> Commands:
    """Commands that show idle machines and groups, and that stop machines and lower the size of groups.

    None acts where that could not be taken back.

    Args:
        context: the audit.
        hosts: idle machines, the dearest first.
    """
    tags = _owner_tags(context)
    observed = [host for host in hosts if _is_well_known(host)]
    alone = [
        Place(host.provider, host.region, host.resource)
        for host in observed
        if _is_alone(host, tags) and _keeps_its_disks(context, host)
    ]
    on_demand = _on_demand(context, alone)
    looks = [looking_command(IDLE.id, [Place(host.provider, host.region, host.resource) for host in hosts])]
    acts = [acting_command(IDLE.id, [place for place in alone if place.resource in on_demand])]
    for group in _smaller_groups(context, observed, tags):
        looks.append(group.look)
        acts.append(group.act)
    return Commands("; ".join(filter(None, looks)) or None, "; ".join(filter(None, acts)) or None)


def _is_well_known(host: HostCost) -> bool:
    """Whether a machine was observed in a week and in most of its billed time."""
    hours = (host.use.seconds[1] - host.use.seconds[0]) / SECONDS_PER_HOUR
    return hours >= LEAST_DAYS * HOURS_PER_DAY and host.observed_billed_ratio >= LEAST_OBSERVED


@dataclass(frozen=True, slots=True)
class _OwnerTags:
    """Tags of a bill that say what starts a machine."""

    groups: Mapping[str, str]
    """Group of autoscaling by machine."""
    in_clusters: frozenset[str]
    """Machines that something else starts, such as a cluster."""


def _owner_tags(context: Context) -> _OwnerTags:
    rows = context.ledger.database.rows(
        f"SELECT DISTINCT resource, CASE WHEN {_IS_GROUP} THEN value END FROM charges JOIN tags USING (tags_id) "
        f"WHERE resource IS NOT NULL AND kind = 'compute' AND ({_IS_GROUP} OR {_IS_CLUSTER})"
    )
    groups = {str(resource): str(group) for resource, group in rows if group}
    return _OwnerTags(groups, frozenset(str(resource) for resource, group in rows if not group))


def _is_alone(host: HostCost, tags: _OwnerTags) -> bool:
    """Whether nothing starts another machine in place of one: AWS has to show the groups of others to say so."""
    if host.resource in tags.groups or host.resource in tags.in_clusters:
        return False
    return bool(tags.groups) if host.provider == "aws" else _MADE_BY_A_GROUP.search(host.resource) is None


def _keeps_its_disks(context: Context, host: HostCost) -> bool:
    """Whether a type of machine has no local disk, which it would lose; False where that is not known."""
    machine = context.catalog.instance_types.get((host.provider, host.instance_type))
    return machine is not None and machine.local_nvme_gb == 0


def _on_demand(context: Context, places: Sequence[Place]) -> frozenset[str]:
    """Machines all of whose use is on demand: spot machines do not stop, and a commitment is paid all the same."""
    if not places:
        return frozenset()
    rows = context.ledger.database.rows(
        "SELECT resource FROM charges WHERE kind = 'compute' AND charge = 'usage' AND resource IS NOT NULL "
        "GROUP BY resource HAVING bool_and(purchase = 'on_demand')"
    )
    return frozenset(str(resource) for (resource,) in rows)


def _smaller_groups(context: Context, hosts: Sequence[HostCost], tags: _OwnerTags) -> Iterator[Commands]:
    """Commands that show AWS's groups, and lower their desired size by the idle machines."""
    end = context.ledger.bill.end
    gone = {
        str(resource)
        for (resource,) in context.ledger.database.rows(
            "SELECT resource FROM charges WHERE kind = 'compute' AND charge = 'usage' AND resource IS NOT NULL "
            f"GROUP BY resource HAVING max(end_time) < TIMESTAMP '{end}'"
        )
    }
    idle = {host.resource: host for host in hosts if host.provider == "aws"}
    for group in dict.fromkeys(tags.groups[resource] for resource in idle if resource in tags.groups):
        members = {resource for resource, name in tags.groups.items() if name == group}
        working = len(members - idle.keys())
        size = max(working, min(len(members), FEWEST)) if working else 0
        is_fixed = not members & (gone | tags.in_clusters)
        if is_fixed and size < len(members) and _GROUP_NAME.fullmatch(group):
            region = shlex.quote(next(idle[resource].region for resource in idle if resource in members))
            yield Commands(
                f"aws autoscaling describe-auto-scaling-groups --region {region} "
                f"--auto-scaling-group-names {shlex.quote(group)}",
                f"aws autoscaling set-desired-capacity --region {region} "
                f"--auto-scaling-group-name {shlex.quote(group)} --desired-capacity {size}",
            )
