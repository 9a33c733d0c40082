"""Hours in which the machines of generated code run by its plan, as the record beside the code holds them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from advisor.catalog import Catalog
from advisor.codegen.hcl import local_map, read_hcl
from advisor.codegen.model import ComputeGroup, Scaling
from advisor.codegen.pricing.costs import Breakdown, GroupHours, NoHours
from advisor.codegen.pricing.edits import record_of
from advisor.codegen.rollout import Rollout
from advisor.codegen.writing.checkout import checkout_of
from advisor.codegen.writing.record import base_text, digest_of, read_record, read_rollouts
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
    edited = _edited(directory, [group.key for group in deployed.groups])
    return tuple(
        _of_group(group, deployed.target, stop_hours, costs, is_edited=group.key in edited)
        for group in sorted(deployed.groups, key=lambda group: group.key)
    )


def _of_group(
    group: ComputeGroup, target: str, stop_hours: float, costs: Breakdown, *, is_edited: bool
) -> GroupHours:  # fmt: skip
    running, billed = group.hours_per_week(stop_hours)
    parts = [
        component
        for cost in costs.costs
        if cost.resource.address.endswith(f'["{group.key}"]')
        for component in cost.components
    ]
    price = parts[0].usd_per_hour if parts else None
    priced = (part for part in parts if part.usd_per_hour is not None and part.number != 0)
    is_bought_otherwise = any(part.is_spot != group.is_spot for part in priced)
    billed *= group.containers(target)
    return GroupHours(group.key, running, billed, price, is_edited=is_edited or is_bought_otherwise)


def _recorded(directory: Path) -> Rollout | None:
    """Content of a root; None where that is not recorded."""
    holder, root = record_of(directory)
    return None if holder is None else read_rollouts(holder).get(root)


def _edited(directory: Path, keys: Sequence[str]) -> set[str]:
    """Groups whose machines or hours a person changed in the code, since what was recorded was generated."""
    holder, root = record_of(directory)
    if holder is None:
        return set()
    edited: set[str] = set()
    record = read_record(holder)
    checkout = checkout_of(holder, record)
    for path in record.files:
        facts_of = _facts_in(Path(path).relative_to(root)) if Path(path).is_relative_to(root) else None
        content = checkout.read(path) if facts_of else None
        base = record.base_of(path, digest_of(content)) if content is not None else None
        generated = base_text(holder, base) if content is not None and base != digest_of(content) and base else None
        if facts_of and content is not None and generated is not None:
            now, then = facts_of(content.decode(errors="replace")), facts_of(generated.decode())
            edited |= {key for key in keys if now(key) != then(key)}
    return edited


_Facts = Callable[[str], object]
"""Key of a group → what a file says of its machines and hours."""


def _facts_in(path: Path) -> Callable[[str], _Facts] | None:
    """How the text of a file of a root says when which machines run; None: it does not."""
    if path.name == "fleet.tf":
        return _of_code
    return _of_objects if path.parts[0] == "kubernetes" and path.suffix == ".yaml" else None


def _of_code(text: str) -> _Facts:
    documents = [read_hcl(text, "fleet.tf")]
    groups, backends = (local_map(documents, name) or {} for name in ("groups", "backends"))
    steps = [step for backend in backends.values() if isinstance(backend, dict) for step in backend.get("steps", ())]
    return lambda key: (groups.get(key), [step for step in steps if key in step.get("groups", ())])


def _of_objects(text: str) -> _Facts:
    import yaml  # noqa: PLC0415 - only where objects were edited

    try:
        objects = [content for content in yaml.safe_load_all(text) if isinstance(content, dict)]
    except yaml.YAMLError:  # says nothing that was generated
        return lambda _key: None
    scaled = [content for content in objects if content.get("kind") == "ScaledObject"]
    return lambda key: [content.get("spec") for content in scaled if (content.get("metadata") or {}).get("name") == key]
