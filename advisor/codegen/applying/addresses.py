"""Addresses of a project: the blocks that one names, those that belong to them, and the plan's figures for them."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from advisor.codegen.applying.resolving import (
    KEYS,
    OWN_KEYS,
    Module,
    Place,
    Scope,
    Unresolved,
    is_set,
    keys_of,
    resolve,
)
from advisor.codegen.applying.rules import CALL_ARGUMENTS, RULES, TYPES, Resource, Rule, everything_in
from advisor.codegen.container import Runtime, Serves, Wanted
from advisor.codegen.gpu_sharing import sharing_of
from advisor.codegen.hcl import NO_INDEX, Attribute, Block, Document, elements, indexes_after, key_of, traversal, unwrap
from advisor.codegen.platforms import GCP_FAMILIES
from advisor.codegen.quotas import family_of
from advisor.codegen.selection import Member, choose, group_keys
from advisor.codegen.stack import interchangeable_types, most_instances
from advisor.demand.values import Unit
from advisor.errors import InputError, NotDeployable
from advisor.plan.problem.values import PurchaseOption
from advisor.plan.values import Plan
from advisor.plan.words import unit_of
from advisor.records import dataclass, replace
from advisor.units import HOURS_PER_MONTH, counted, usd


@dataclass(frozen=True, slots=True)
class Target:
    """A group of the plan."""

    key: str
    """As in generated code."""
    provider: str
    region: str
    instance_type: str
    interchangeable_types: tuple[str, ...]
    instances: int
    """In the busiest hours."""
    min_instances: int
    max_instances: int
    is_spot: bool
    serving: str
    """How the containers have to serve for the numbers to hold, in words."""
    accelerator_type: str | None = None
    """As Google names what is attached to its machines; "" where nothing may be; None: not known, or another cloud."""
    accelerator_count: int = 0
    keeps_types: bool = False
    """Whether only counts change: types, and how they are bought, stay as the code says."""
    least_maximum: int | None = None
    """Instances that a group has to be able to grow to: a greater maximum in the code stays, and a number that decides
    it falls no further. None: a maximum becomes ``max_instances``."""
    bought_ahead: str = ""
    """Reservations that the plan's price counts on, and the price without them, in words; "": none."""
    schedule: str = ""
    """Sizes by the clock, and the price of a fixed number in their place; "": the number never changes."""


def targets_of(plan: Plan, rank: int | None = None, *, unconfirmed: bool = False) -> tuple[Target, ...]:
    """The groups of the plan's fleet, or of the single type with *rank*.

    Raises InputError if there is no such option, and NotDeployable if the fleet's replay refused it, which
    *unconfirmed* lets pass.
    """
    members = choose(plan, Wanted(rank=rank, unconfirmed=unconfirmed), lambda _: None).members
    return tuple(_target(plan, member, key) for member, key in zip(members, group_keys(members), strict=True))


def _target(plan: Plan, member: Member, key: str) -> Target:
    serves = member.serves
    return Target(
        key=key,
        provider=serves.provider,
        region=serves.region,
        instance_type=serves.instance_type,
        interchangeable_types=interchangeable_types(plan, member),
        instances=max(member.hours),
        min_instances=min(member.hours),
        max_instances=most_instances(member),
        is_spot=serves.purchase == "spot",
        serving=_serving(serves, unit_of(plan.demand)),
        accelerator_type=_accelerator_type(serves),
        accelerator_count=int(serves.accelerator_count),
        bought_ahead=_bought_ahead(plan, member),
        schedule=_schedule(member),
    )


def _serving(serves: Serves, unit: Unit) -> str:
    """How the containers serve; requests at a time and context only of kinds of models that have them."""
    sharing = sharing_of(serves.partition, serves.replicas_per_instance, serves.accelerator_count)
    parts = [
        f"{serves.engine} with {serves.precision} weights",
        "" if unit.is_one_pass else f"tensor parallel {serves.tensor_parallel}",
        f"{counted(serves.replicas_per_instance, 'replica')} an instance",
        "" if unit.is_one_pass else f"{counted(serves.max_concurrency, 'request')} at a time",
        f"{serves.context_tokens:,} tokens of context" if unit is Unit.TEXTS or not unit.is_one_pass else "",
        "" if sharing is None else f"{sharing.words} of each {serves.accelerator}",
    ]
    return ", ".join(filter(None, parts))


def _bought_ahead(plan: Plan, member: Member) -> str:
    """Purchase beside the code that the planned price needs, with that and the price on demand, in words."""
    instruments = [name for name in dict.fromkeys(member.commitments) if name != PurchaseOption.OWNED]
    if not instruments:
        return ""
    serves = member.serves
    place = (serves.provider, serves.region, serves.instance_type)
    on_demand = (
        option.cost.instance_usd_per_hour
        for option in plan.options
        if (option.provider, option.region, option.instance_type) == place
        and option.purchase == PurchaseOption.ON_DEMAND
    )
    price = next(on_demand, None)
    without = "unknown" if price is None else usd(price * max(member.hours) * HOURS_PER_MONTH)
    return (
        f"{usd(member.peak_usd_per_hour * HOURS_PER_MONTH)} a month with {' and '.join(instruments)} for "
        f"{member.committed_instances} × {serves.instance_type}, {without} on demand"
    )


def _accelerator_type(serves: Serves) -> str | None:
    """Name of the accelerators in a block ``guest_accelerator``; "" of TPUs, which have none; None: not known."""
    if serves.provider != "gcp":
        return None
    try:
        family = GCP_FAMILIES[family_of(serves.provider, serves.instance_type)]
    except NotDeployable:
        return None
    return "" if family.runtime is Runtime.TPU else family.accelerator_type


def _schedule(member: Member) -> str:
    """Hours of the week by number of instances, and what the greatest number costs at all hours, in words."""
    hours = Counter(member.hours)
    if len(hours) == 1:
        return ""
    most = max(hours)
    sizes = ", ".join(f"{size} in {count}" for size, count in sorted(hours.items()))
    planned, fixed = member.compute_usd_per_month, member.peak_usd_per_hour * HOURS_PER_MONTH
    return (
        f"instances by hours of the week: {sizes}. No schedule is written: {most} at all hours cost {usd(fixed)} a "
        f"month in place of {usd(planned)}" + (f" ({fixed / planned - 1:+.0%})" if planned else "")
    )


_STEP = re.compile(r'\.?(?P<name>[A-Za-z_][\w-]*)(?:\[(?:"(?P<text>(?:[^"\\]|\\.)*)"|(?P<number>\d+))\])?')
GROUP_MAPS = ("eks_managed_node_groups", "self_managed_node_groups", "node_groups", "node_pools")
"""Arguments of public modules that hold a group of machines under each key."""
_HINT = "such as aws_launch_template.gpu, module.x.aws_autoscaling_group.gpu or 'aws_instance.gpu[\"a\"]'"


def resources_at(root: Module, address: str) -> tuple[Resource, ...]:
    """The block at an address, and those that belong to it."""
    module, rest, call_key = _descend(root, _steps(address), address)
    if rest[0][0] == "module":
        return (_call(module, rest, call_key),)
    block_address, key = ".".join(name for name, _ in rest), rest[-1][1]
    place = module.find(block_address) if len(rest) == 2 else None
    rule = RULES.get(rest[0][0])
    if len(rest) == 2 and rule is None:
        kinds = sorted(name for name in RULES if name.startswith(rest[0][0].split("_")[0]))
        raise InputError(
            f"{rest[0][0]} holds no instance type or count that is known", hint=f"known: {', '.join(kinds)}"
        )
    if place is None or rule is None:
        raise InputError(f"there is no {address}", where=str(module.directory), hint=_near(module, rest[0][0]))
    return related(Resource(module, *place, key, rule))


def _steps(address: str) -> list[tuple[str, str | None]]:
    """``a.b["k"].c`` → names with the key after each."""
    steps: list[tuple[str, str | None]] = []
    at = 0
    while at < len(address):
        match = _STEP.match(address, at)
        if match is None or (at == 0) == match[0].startswith("."):
            raise InputError(f"{address!r} is not an address", hint=_HINT)
        text = match["text"]
        steps.append((match["name"], text if text is not None else match["number"]))
        at = match.end()
    return steps


def _descend(
    module: Module, steps: list[tuple[str, str | None]], address: str
) -> tuple[Module, list[tuple[str, str | None]], str | None]:
    """Through the modules of an address to the last one that is on this disk."""
    key: str | None = None
    while len(steps) >= 2 and steps[0][0] == "module":
        name, key = steps[1]
        inner = module.inner(name, key)
        if inner is None or len(steps) == 2:
            return module, [("module", name), *steps[2:]], key
        module, steps = inner, steps[2:]
    if len(steps) != 2:
        raise InputError(f"{address!r} is not the address of a resource", hint=_HINT)
    return module, steps, key


def _call(module: Module, steps: list[tuple[str, str | None]], key: str | None) -> Resource:
    """A call of a module from elsewhere: its own arguments are edited, or those of an entry of one that is a map."""
    name = steps[0][1]
    place = module.find(f"module.{name}")
    if place is None:
        raise InputError(f"there is no module {name!r}", where=str(module.directory))
    return Resource(module, *place, key, Rule(CALL_ARGUMENTS), _entry(place[1], steps[1:]))


def _entry(block: Block, steps: list[tuple[str, str | None]]) -> tuple[str, str] | None:
    """The entry that an address names, such as ``eks_managed_node_groups["gpu"]``, or the only one there is."""
    for argument, key in steps:
        if argument in block.attributes and key is not None:
            return argument, key
    if any(name in block.attributes for name in CALL_ARGUMENTS):
        return None
    maps = {name: unwrap(block.attributes[name].value.node) for name in GROUP_MAPS if name in block.attributes}
    entries = [
        (name, key)
        for name, node in maps.items()
        for element in (elements(node) if node.data == "object" else ())
        if (key := key_of(element))
    ]
    if len(entries) > 1:
        names = ", ".join(f"'{block.address}.{argument}[\"{key}\"]'" for argument, key in entries)
        raise InputError(f"{block.address} has several groups", hint=f"name one: {names}")
    return entries[0] if entries else None


@dataclass(frozen=True, slots=True)
class TypedAddress:
    """An address whose code holds instance types, which `resources_at` takes."""

    address: str
    instance_types: tuple[str, ...]
    """Types that it is written with, as the catalog names them."""
    not_followed: str = ""
    """Expression of a type that no literal decides, with its file and line."""


def typed_addresses(module: Module, prefix: str = "") -> Iterator[TypedAddress]:
    """Every address of a project at which instance types are written, an address for each key of a loop.

    *prefix*: address of the module, with a point at its end.
    """
    for document, block in module.blocks():
        for key in loop_keys(module, document, block):
            name = block.address if key is None else f'{block.address}["{key}"]'
            if block.kind == "resource" and (rule := RULES.get(block.labels[0])) is not None:
                yield from _typed(Resource(module, document, block, key, rule), f"{prefix}{name}")
            elif block.kind == "module" and (inner := module.inner(block.labels[0], key)) is not None:
                yield from typed_addresses(inner, f"{prefix}{name}.")
            elif block.kind == "module":
                call = Resource(module, document, block, key, Rule(CALL_ARGUMENTS))
                yield from _typed(call, f"{prefix}{name}")
                yield from _typed_entries(call, f"{prefix}{name}")


def _typed(resource: Resource, address: str) -> Iterator[TypedAddress]:
    arguments = [(attribute, path) for figure, attribute, path in resource.figures() if figure in TYPES]
    yield from _with_types(resource, address, arguments)


def _typed_entries(call: Resource, address: str) -> Iterator[TypedAddress]:
    """The types in the maps of groups that a module from elsewhere is called with."""
    names = {name for name, figure in CALL_ARGUMENTS.items() if figure in TYPES}
    for argument in GROUP_MAPS:
        if (attribute := call.block.attributes.get(argument)) is None:
            continue
        keys = call.place(attribute, (KEYS,))
        if isinstance(keys, Unresolved):
            yield TypedAddress(address, (), f"{call.document.place(attribute.start)}: {address}: {argument}")
            continue
        for key in keys.value:
            entry = call.place(attribute, (key, KEYS))
            there = names.intersection(entry.value) if isinstance(entry, Place) else names
            paths = [(attribute, (key, name)) for name in sorted(there)]
            yield from _with_types(call, f'{address}.{argument}["{key}"]', paths)


def _with_types(
    resource: Resource, address: str, arguments: Sequence[tuple[Attribute, tuple[str, ...]]]
) -> Iterator[TypedAddress]:
    places = [(attribute, resource.place(attribute, path)) for attribute, path in arguments]
    not_followed = [attribute for attribute, place in places if isinstance(place, Unresolved)]
    where = f"{resource.document.place(not_followed[0].start)}: {address}" if not_followed else ""
    types: list[str] = []
    for place in (place for _, place in places if isinstance(place, Place)):
        values = place.value if isinstance(place.value, list) else [place.value]
        types += [str(value).removeprefix(resource.rule.type_prefix) for value in values]
    if arguments:
        yield TypedAddress(address, tuple(types), where)


def _near(module: Module, typed: str) -> str:
    there = sorted((block.labels[0], block.address) for _, block in module.blocks() if block.kind == "resource")
    if alike := [address for kind, address in there if kind == typed]:
        return f"there are {', '.join(alike)}"
    others = sorted(address for kind, address in there if kind in RULES)
    return f"resources that can be edited there: {', '.join(others)}" if others else "no resource there can be edited"


_COMPUTED = "[]"
"""Key that no literal decides."""
_MOST_MODULES = 100
_COUNT = "count"


def related(first: Resource) -> tuple[Resource, ...]:
    """A resource, and those of its module that belong to it.

    What a resource refers to belongs to it. What refers to it belongs to it where that is one alone: of several groups
    on one template, nothing says which one the plan is for.
    """
    resources, waiting = [], [first]
    seen = {(first.block.address, first.key)}
    while waiting:
        resource = waiting.pop(0)
        users = list(_users_of(resource))
        others = [user for user in users if (user.block.address, user.key) not in seen] if len(users) > 1 else []
        resources.append(replace(resource, other_users=tuple(sorted(map(_address, others)))))
        for other in (*_used_by(resource), *(() if others else users)):
            if (other.block.address, other.key) not in seen:
                seen.add((other.block.address, other.key))
                waiting.append(other)
    return tuple(resources)


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance of a block: of its own loop, of the loops around its module, or of another call of that module."""

    resource: Resource
    address: str
    """From the root, with ``[*]`` for keys that no literal decides."""
    is_addressed: bool
    """Whether the address of the resource covers it."""
    users: tuple[str, ...]
    """Addresses of what refers to it, and not to the resource."""


def instances_of(resource: Resource) -> tuple[Instance, ...]:
    """Every instance of a resource's block; one alone where nothing loops, and its module is called once."""
    own_users = {user.block.address for user in _users_of(resource)}
    root = resource.module
    while root.parent is not None:
        root = root.parent
    alike = (module for module in modules_under(root) if module.directory == resource.module.directory)
    instances = []
    for module in islice(alike, _MOST_MODULES):
        for key in _own_keys(resource, module):
            instance = replace(resource, module=module, key=key)
            users = (user for user in _users_of(instance) if user.block.address not in own_users)
            is_addressed = _covers(resource.module, module) and resource.key in (None, key)
            names = tuple(sorted(f"{_prefix(module)}{_address(user)}" for user in users))
            address = f"{_prefix(module)}{_address(instance)}"
            instances.append(Instance(instance, address, is_addressed, () if is_addressed else names))
    return tuple(instances)


def _own_keys(resource: Resource, module: Module) -> Sequence[str | None]:
    """Keys of a resource's block in a module; None for all together where its ``count`` is what is edited."""
    if resource.key is None and _COUNT in resource.rule.arguments:
        return (None,)
    return instance_keys(module, resource.document, resource.block)


def modules_under(module: Module) -> Iterator[Module]:
    """A module, and those on this disk that it calls, one for each key."""
    yield module
    for document, block in module.blocks():
        if block.kind == "module":
            for key in instance_keys(module, document, block):
                inner = module.inner(block.labels[0], key)
                if inner is not None and not _is_within(module, inner.directory):
                    yield from modules_under(inner)


def _is_within(module: Module, directory: Path) -> bool:
    """Whether a module is of that directory, or called from one, which Terraform refuses."""
    return module.directory == directory or (module.parent is not None and _is_within(module.parent, directory))


def _covers(addressed: Module, module: Module) -> bool:
    """Whether the calls of an address, some of them perhaps without a key, lead to a module."""
    if addressed.parent is None or module.parent is None:
        return addressed.parent is module.parent
    return (
        addressed.name == module.name
        and addressed.call_key in (None, module.call_key)
        and _covers(addressed.parent, module.parent)
    )


def _prefix(module: Module) -> str:
    """Address of a module with the keys of its calls, and a point at its end; "" of the root."""
    if module.parent is None or module.call is None:
        return ""
    block = module.call[1]
    return f"{_prefix(module.parent)}{block.address}{_index(block, module.call_key)}."


def _index(block: Block, key: str | None) -> str:
    """Index of an instance of a block, as an address has it."""
    if not _is_looped(block):
        return ""
    return "[*]" if key is None else f"[{key}]" if _COUNT in block.attributes else f'["{key}"]'


def instance_keys(module: Module, document: Document, block: Block) -> Sequence[str | None]:
    """Keys of the instances of a block; None: the block itself, also where no literal decides its keys."""
    name = next((name for name in ("for_each", _COUNT) if name in block.attributes), None)
    if name is None:
        return (None,)
    keys = keys_of(document, block.attributes[name].value.node, Scope(module), counts=name == _COUNT)
    return (None,) if keys is None else keys


def loop_keys(module: Module, document: Document, block: Block) -> Sequence[str | None]:
    """Keys that ``for_each`` gives a block; None: the block itself, also where they are computed."""
    return instance_keys(module, document, block) if "for_each" in block.attributes else (None,)


def _address(resource: Resource) -> str:
    is_counted = resource.key is None and _COUNT in resource.rule.arguments
    return f"{resource.block.address}{'' if is_counted else _index(resource.block, resource.key)}"


def _candidates(resource: Resource) -> Iterator[tuple[Document, Block, str]]:
    """Other blocks that may belong to a resource, with the argument that refers to the other, of whichever refers."""
    for document, block in resource.module.blocks():
        if block.kind == "resource" and block.labels[0] in resource.rule.related:
            yield document, block, resource.rule.related[block.labels[0]]


def _used_by(resource: Resource) -> Iterator[Resource]:
    """Instances of other blocks that a resource refers to."""
    for document, block, argument in _candidates(resource):
        for key in dict.fromkeys(_keys_after(resource, argument, block.address)):
            own = key if _is_looped(block) and key != _COMPUTED else None
            yield Resource(resource.module, document, block, own, RULES[block.labels[0]])


def _users_of(resource: Resource) -> Iterator[Resource]:
    """Instances of other blocks that refer to a resource."""
    for document, block, argument in _candidates(resource):
        for key in _instance_keys(resource, document, block):
            user = Resource(resource.module, document, block, key, RULES[block.labels[0]])
            keys = set(_keys_after(user, argument, resource.block.address))
            is_one_of_several = resource.key is not None and _is_looped(resource.block)
            if resource.key in keys if is_one_of_several else keys:
                yield user


def _is_looped(block: Block) -> bool:
    return "for_each" in block.attributes or "count" in block.attributes


def _instance_keys(resource: Resource, document: Document, block: Block) -> Sequence[str | None]:
    """Keys under which a block may refer to a resource: its own, or that of the resource where they are computed."""
    if resource.key is None or not _is_looped(block):
        return (None,)
    keys = instance_keys(resource.module, document, block)
    return (resource.key,) if keys == (None,) else keys


def _keys_after(resource: Resource, argument: str, address: str) -> Iterator[str | None]:
    """Key of each reference to a block under an argument, or a block, of that name; None where it has none."""
    for path, attribute in everything_in(resource.block):
        if argument in path.split("."):
            for index in indexes_after(attribute.value.node, tuple(address.split("."))):
                yield _key_of(resource, index)


def _key_of(resource: Resource, index: Any) -> str | None:  # noqa: ANN401 - a tree of the parser
    """Key that an index is for an instance of the resource that it stands in."""
    if index is NO_INDEX:
        return None
    if isinstance(index, str):
        return index
    steps, loop = traversal(index), resource.block.attributes.get("for_each")
    if steps in OWN_KEYS or (steps == ("each", "value") and loop is not None and is_set(resource.document, loop)):
        return _COMPUTED if resource.key is None else resource.key
    place = resolve(resource.document, index, resource.scope)
    return str(place.value) if isinstance(place, Place) else _COMPUTED
