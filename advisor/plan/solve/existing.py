"""Existing instances before anything is planned: those that run, and those that are paid for."""

from collections.abc import Mapping

from advisor.catalog import Catalog
from advisor.cost.commitments import owned_commitments
from advisor.plan.problem.supply import stand_of
from advisor.plan.solve.stage import ExistingFleet
from advisor.plan.values import Plan
from advisor.requirements import Requirements


def standing_of(requirements: Requirements, catalog: Catalog) -> tuple[ExistingFleet, tuple[str, ...]]:
    """Instances that a workload names as running or owned, and notes on what is left out.

    A previous plan's fleet counts before the one deployment that the workload file names.

    Raises:
        InputError: a commitment names something that the catalog does not know.
    """
    workload = requirements.workload
    current = workload.current
    paid = dict(workload.running)
    if not paid and current is not None:
        stand = stand_of(current.provider, current.region, current.instance_type)
        paid = {(stand, current.purchase.value): current.count}
    running = by_stand(paid)
    if not workload.commitments or workload.as_of is None:
        return ExistingFleet(running, {}, paid), ()
    owned_now = owned_commitments(workload, catalog, workload.as_of)
    owned: dict[str, int] = {}
    for owned_commitment in owned_now.valid:
        stand = stand_of(owned_commitment.provider, owned_commitment.region, owned_commitment.instance_type)
        owned[stand] = owned.get(stand, 0) + owned_commitment.count
    return ExistingFleet(running, owned, paid), owned_now.notes


def running_of(plan: Plan) -> Mapping[tuple[str, str], int]:
    """Instances that a plan runs in its busiest hours, by (stand, way of paying)."""
    running: dict[tuple[str, str], int] = {}
    for group in plan.fleet.groups if plan.fleet else ():
        key = (stand_of(group.provider, group.region, group.instance_type), group.purchase)
        running[key] = running.get(key, 0) + group.instances[-1]
    return running


def by_stand(running: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """Instances of each stand, however they are paid for."""
    counts: dict[str, int] = {}
    for (stand, _), count in running.items():
        counts[stand] = counts.get(stand, 0) + count
    return counts
