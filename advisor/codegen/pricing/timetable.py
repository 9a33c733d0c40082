"""Hours in which the machines of generated code run by its plan, as the record beside the code holds them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from advisor.catalog import Catalog
from advisor.codegen.hcl import NOT_LITERAL, read_hcl
from advisor.codegen.model import ComputeGroup, Scaling
from advisor.codegen.pricing.code import BASE, GROUPS, Given, Inputs, terraform_data
from advisor.codegen.pricing.costs import Breakdown, GroupHours, NoHours
from advisor.codegen.pricing.edits import record_of
from advisor.codegen.pricing.programs import fleet_data
from advisor.codegen.python_literals import parse_python
from advisor.codegen.rollout import Rollout
from advisor.codegen.writing.checkout import CRLF, LF, checkout_of
from advisor.codegen.writing.record import read_record, read_rollouts
from advisor.units import MINUTES_PER_HOUR, whole_minutes


def planned_hours(
    directory: Path, costs: Breakdown, catalog: Catalog, given: Inputs, edited: Mapping[str, str] | None = None
) -> tuple[GroupHours, ...] | NoHours:  # fmt: skip
    """Instance-hours of each group of a root by its schedule, at the prices that the root has here.

    Args:
        directory: a root, or that of a plan of Terraform.
        costs: of its resources, which name their group.
        catalog: how long machines are billed after their last hour.
        given: inputs of the root.
        edited: resource whose edit changes the hours of every group → its file.

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
    edits = _edits(directory)
    of_all = [f"{address} ({file})" for address, file in sorted((edited or {}).items())]
    return tuple(
        _of_group(group, deployed.target, stop_hours, costs, (*edits(group.key), *of_all), given)
        for group in sorted(deployed.groups, key=lambda group: group.key)
    )


def _of_group(
    group: ComputeGroup, target: str, stop_hours: float, costs: Breakdown, edits: Sequence[str], given: Inputs
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
    bought = (_bought_words(group.key, given[BASE]),) if is_bought_otherwise and not edits else ()
    return GroupHours(group.key, running, billed, price, (*edits, *bought))


def _bought_words(key: str, base: Given) -> str:
    """Input by which a group is bought otherwise than planned."""
    value = base.value.get(key) if isinstance(base.value, dict) else base.value
    return f"{BASE} is {value} ({base.file})" if base.file else "it is bought otherwise than planned"


def _recorded(directory: Path) -> Rollout | None:
    """Content of a root; None where that is not recorded."""
    holder, root = record_of(directory)
    return None if holder is None else read_rollouts(holder).get(root)


def _edits(directory: Path) -> Callable[[str], Sequence[str]]:
    """Key of a group → what a person changed of its machines or hours since the code was generated."""
    holder, root = record_of(directory)
    if holder is None:
        return lambda _key: ()
    record = read_record(holder)
    checkout = checkout_of(holder, record)
    changes: list[tuple[str, _Facts, _Facts]] = []
    for path in record.files:
        facts_of = _facts_in(Path(path).relative_to(root)) if Path(path).is_relative_to(root) else None
        content = checkout.read(path) if facts_of else None
        content = None if content is None else content.replace(CRLF, LF)
        generated = None if content is None else checkout.base(path, content)
        if facts_of and content is not None and generated not in (None, content):
            name = Path(checkout.place_of(path)).relative_to(root).as_posix()
            changes.append((name, facts_of(content.decode(errors="replace")), facts_of(generated.decode())))
    return lambda key: tuple(words for name, now, then in changes for words in _words(name, now(key), then(key)))


def _words(file: str, now: Mapping[str, object], then: Mapping[str, object]) -> Iterator[str]:
    """Values of a file that were edited, with what was generated."""
    for name in sorted({*now, *then}):
        new, old = now.get(name), then.get(name)
        if new != old:
            is_short = all(
                isinstance(value, str | int | float | list) and len(f"{value}") <= _SHORT for value in (new, old)
            )
            yield f"{name} is {_shown(new)}, generated as {_shown(old)} ({file})" if is_short else f"{name} ({file})"


def _shown(value: object) -> str:
    return (
        ", ".join(map(str, value))
        if isinstance(value, list)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
    )


_SHORT = 30
"""Characters of a value that is repeated."""
_Facts = Callable[[str], Mapping[str, object]]
"""Key of a group → what a file says of its machines and hours, by name."""


def _facts_in(path: Path) -> Callable[[str], _Facts] | None:
    """How the text of a file of a root says when which machines run; None: it does not."""
    if path.as_posix() in _DATA:
        return _DATA[path.as_posix()]
    return _of_objects if path.parts[0] == "kubernetes" and path.suffix == ".yaml" else None


def _of_code(text: str) -> _Facts:
    return _of_data(terraform_data([read_hcl(text, "fleet.tf")]))


def _of_program(text: str) -> _Facts:
    return _of_data(fleet_data(parse_python(text, "fleet.py")))


def _of_data(data: Mapping[str, Any]) -> _Facts:
    """Entry of a group, and the steps of its backend that it is in."""
    groups, backends = ({} if data.get(name) in (None, NOT_LITERAL) else data[name] for name in (GROUPS, "backends"))
    steps = [step for backend in backends.values() if isinstance(backend, dict) for step in backend.get("steps", ())]
    return lambda key: {**groups.get(key, {}), "steps": [step for step in steps if key in step.get("groups", ())]}


def _of_plan(text: str) -> _Facts:
    """A short program's plan as a whole."""
    return lambda _key: {"its plan": text}


_DATA: Mapping[str, Callable[[str], _Facts]] = {
    "fleet.tf": _of_code,
    "inference/fleet.py": _of_program,
    "plan.json": _of_plan,
}
"""Files with the data of a plan, and how they are read."""


def _of_objects(text: str) -> _Facts:
    import yaml  # noqa: PLC0415 - only where objects were edited

    try:
        objects = [content for content in yaml.safe_load_all(text) if isinstance(content, dict)]
    except yaml.YAMLError:  # says nothing that was generated
        return lambda _key: {}
    # Values of a Helm chart hold theirs in a list.
    further = [
        content for values in objects for content in values.get("extraObjects") or () if isinstance(content, dict)
    ]
    scaled = [content for content in (*objects, *further) if content.get("kind") == "ScaledObject"]
    specs = {(content.get("metadata") or {}).get("name"): content.get("spec") for content in scaled}
    return lambda key: specs.get(key) or {}
