"""Idle machines that stop and start again as they were.

A machine stops where it loses nothing and nothing starts another in its place: it is on demand, has no local disk, is
in no group and no cluster, and was idle in a week or more. Members of groups are left alone: a group starts another in
their place, or ends one of its own choice.
"""

import re
from collections.abc import Sequence
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
_MADE_BY_A_GROUP = re.compile(
    r"/gke-|-[a-z0-9]{4}$|/resourceGroups/MC_|/virtualMachineScaleSets/|_[0-9a-f]{8}$|/\d+$", re.IGNORECASE
)
"""Names that groups and clusters of Google and Azure give to machines, and numbers, which tell no name."""


def stopping_commands(context: Context, hosts: Sequence[HostCost]) -> Commands:
    """Commands that show idle machines, and that stop those which start again as they were.

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
    on_demand = on_demand_resources(context)
    look = looking_command(IDLE.id, [Place(host.provider, host.region, host.resource) for host in hosts])
    return Commands(look, acting_command(IDLE.id, [place for place in alone if place.resource in on_demand]))


def _is_well_known(host: HostCost) -> bool:
    """Whether a machine was observed in a week and in most of its billed time."""
    hours = (host.use.seconds[1] - host.use.seconds[0]) / SECONDS_PER_HOUR
    return hours >= LEAST_DAYS * HOURS_PER_DAY and host.observed_billed_ratio >= LEAST_OBSERVED


@dataclass(frozen=True, slots=True)
class _OwnerTags:
    """Tags of a bill that say what starts a machine."""

    owned: frozenset[str]
    """Machines that something else starts, such as a group or a cluster."""
    tell_groups: bool
    """Whether the bill shows any group."""


def _owner_tags(context: Context) -> _OwnerTags:
    rows = context.ledger.database.rows(
        f"SELECT DISTINCT resource, {_IS_GROUP} FROM charges JOIN tags USING (tags_id) "
        f"WHERE resource IS NOT NULL AND kind = 'compute' AND ({_IS_GROUP} OR {_IS_CLUSTER})"
    )
    return _OwnerTags(frozenset(str(resource) for resource, _ in rows), any(is_group for _, is_group in rows))


def _is_alone(host: HostCost, tags: _OwnerTags) -> bool:
    """Whether nothing starts another machine in place of one: AWS has to show the groups of others to say so."""
    if host.resource in tags.owned:
        return False
    return tags.tell_groups if host.provider == "aws" else _MADE_BY_A_GROUP.search(host.resource) is None


def _keeps_its_disks(context: Context, host: HostCost) -> bool:
    """Whether a type of machine has no local disk, which it would lose; False where that is not known."""
    machine = context.catalog.instance_types.get((host.provider, host.instance_type))
    return machine is not None and machine.local_nvme_gb == 0


def on_demand_resources(context: Context) -> frozenset[str]:
    """Machines all of whose use is on demand: spot machines do not stop, and a commitment is paid all the same."""
    rows = context.ledger.database.rows(
        "SELECT resource FROM charges WHERE kind = 'compute' AND charge = 'usage' AND resource IS NOT NULL "
        "GROUP BY resource HAVING bool_and(purchase = 'on_demand')"
    )
    return frozenset(str(resource) for (resource,) in rows)
