"""Hours in which the machines of generated code run by its plan, as the record beside the code holds them."""

from decimal import Decimal
from pathlib import Path

from advisor.catalog import Catalog
from advisor.codegen.model import ComputeGroup, Scaling
from advisor.codegen.pricing.costs import Breakdown, GroupHours, NoHours
from advisor.codegen.rollout import Rollout
from advisor.codegen.writing.record import FOLDER, read_rollouts
from advisor.units import MINUTES_PER_HOUR, whole_minutes


def planned_hours(directory: Path, costs: Breakdown, catalog: Catalog) -> tuple[GroupHours, ...] | NoHours:
    """Instance-hours of each group of a root by its schedule, at the prices that the root has here.

    Args:
        directory: a root, or that of a plan of Terraform.
        costs: of its resources, which name their group.
        catalog: how long machines are billed after their last hour.

    Returns:
        In the order of the groups; or why there are none, as of services whose containers start as requests come.
    """
    rollout = _recorded(directory)
    if rollout is None:
        return NoHours.NO_RECORD
    deployed = rollout.planned
    starting = [cost.resource.address for cost in costs.costs]
    if not all(any(address.endswith(f'["{group.key}"]') for address in starting) for group in deployed.groups):
        return NoHours.OTHER_RESOURCES
    if rollout.before is not None:
        return NoHours.CUT_OVER
    if deployed.scaling is not Scaling.SCHEDULED:
        return NoHours.BY_LOAD if deployed.scaling is Scaling.REACTIVE else NoHours.FIXED
    if any(group.is_serverless for group in deployed.groups):
        return NoHours.BY_REQUEST
    stop_hours = whole_minutes(catalog.scale_ins[deployed.target].value) / MINUTES_PER_HOUR
    return tuple(
        _of_group(group, deployed.target, stop_hours, costs)
        for group in sorted(deployed.groups, key=lambda group: group.key)
    )


def _of_group(group: ComputeGroup, target: str, stop_hours: float, costs: Breakdown) -> GroupHours:
    running, billed = group.hours_per_week(stop_hours)
    return GroupHours(group.key, running, group.containers(target) * billed, _usd_per_hour(costs, group.key))


def _recorded(directory: Path) -> Rollout | None:
    """Content of a root; None where that is not recorded."""
    whole = directory.resolve()
    holder = next((folder for folder in (whole, *whole.parents[:2]) if (folder / FOLDER).is_dir()), None)
    if holder is None:
        return None
    root = "" if holder == whole else whole.relative_to(holder).as_posix()
    return read_rollouts(holder).get(root)


def _usd_per_hour(costs: Breakdown, key: str) -> Decimal | None:
    """Price of an instance of a group; None where no resource of the group has one."""
    priced = (
        component.usd_per_hour
        for cost in costs.costs
        if cost.resource.address.endswith(f'["{key}"]')
        for component in cost.components
    )
    return next(priced, None)
