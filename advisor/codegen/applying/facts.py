"""Facts that code states of the machines at an address: where they run, how many, for whom, and how they are bought."""

import re
from collections.abc import Iterator, Sequence

from advisor.codegen.applying.addresses import resources_at
from advisor.codegen.applying.resolving import KEYS, Module, Place, is_empty
from advisor.codegen.applying.rules import CALL_SPOT, PROVIDERS, Figure, Resource, Rule, everything_in, with_loops
from advisor.codegen.applying.zones import Zones, is_per_zone, zones_of
from advisor.codegen.hcl import Attribute, elements, traversal, unwrap
from advisor.records import dataclass

_PLACES = ("region", "location", "availability_zone", "availability_zones", "zone")
"""Arguments that say a region, or zones of one."""
_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-?\d+")
_ZONE = re.compile(r"(?P<region>.*\d)-?[a-z]")
_TAGS = ("tags", "labels", "resource_labels")
_GROUP = "aws_autoscaling_group"
"""Resource that gets no tags of its provider; on its machines, its own win over those of their template."""
_EKS_GROUPS = "eks_managed_node_groups"
"""Map of terraform-aws-modules/eks among them, whose entries are bought on demand by default, as EKS buys them."""
_EKS_DEFAULTS = "eks_managed_node_group_defaults"
"""Its argument for all entries, before version 21."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts that are written as literals; what is computed is in none of them."""

    regions: frozenset[str]
    """Regions of its arguments, else that of its provider."""
    counts: tuple[tuple[Figure, int], ...]
    """Numbers of machines: in all, at least, at most."""
    tags: tuple[tuple[str, str], ...]
    """Tags and labels, each after those that it wins over: of the provider, of resources, of a group of machines."""
    buys_spot: bool | None
    """None: it does not say."""


def facts_at(root: Module, address: str, provider: str) -> Facts:
    """Facts of the block at an address, and of those that belong to it. Raises InputError if there is none."""
    resources = resources_at(root, address)
    return Facts(
        regions=regions_of(resources, provider),
        counts=tuple(count for resource in resources for count in _counts(resource)),
        tags=tuple(_all_tags(resources, _cloud_of(provider))),
        buys_spot=buys_spot(resources),
    )


def regions_of(resources: Sequence[Resource], provider: str) -> frozenset[str]:
    """Regions that blocks say by themselves, else those of their Terraform provider; empty where no literal does."""
    own = frozenset(
        _region_of(value)
        for resource in resources
        for path, attribute in everything_in(resource.block)
        if path.rpartition(".")[2] in _PLACES
        for value in resource.values(attribute)
        if not str(value).isdigit()
    )
    return own or frozenset(filter(None, (_region_of_provider(each, _cloud_of(provider)) for each in resources)))


def _cloud_of(provider: str) -> str:
    """Terraform's name of a provider of the catalog."""
    return next((name for name, catalog_name in PROVIDERS.items() if catalog_name == provider), provider)


def _counts(resource: Resource) -> Iterator[tuple[Figure, int]]:
    for figure, attribute, path in resource.figures():
        if figure in (Figure.INSTANCES, Figure.MIN, Figure.MAX):
            zones = zones_of(resource) if is_per_zone(resource, attribute) else None
            numbers = () if isinstance(zones, str) else (str(value) for value in resource.values(attribute, path))
            factor = len(zones.names) if isinstance(zones, Zones) else 1
            yield from ((figure, int(number) * factor) for number in numbers if number.isdigit())


def _all_tags(resources: Sequence[Resource], cloud: str) -> Iterator[tuple[str, str]]:
    groups = [resource for resource in resources if _GROUP in resource.block.labels[:1]]
    others = [resource for resource in resources if resource not in groups]
    for resource in others:
        provider, _ = _provider_of(resource, cloud)
        if provider is None:
            continue
        for block in (*provider.block.of("default_tags"), provider.block):
            defaults = block.attributes.get("default_labels" if block is provider.block else "tags")
            yield from _entries(provider, defaults) if defaults else ()
    for resource in (*others, *groups):
        yield from _tags(resource)


def _tags(resource: Resource) -> Iterator[tuple[str, str]]:
    for path, attribute in everything_in(resource.block):
        if path.rpartition(".")[2] in _TAGS:
            yield from _entries(resource, attribute)
    if resource.inside:
        argument, key = resource.inside
        for name in _TAGS:
            yield from _entries(resource, resource.block.attributes[argument], (key, name))
    for block in resource.block.of("tag"):
        pair = [resource.values(block.attributes[name]) for name in ("key", "value") if name in block.attributes]
        if len(pair) == 2 and all(pair):
            yield str(pair[0][0]), str(pair[1][0])


def _entries(resource: Resource, attribute: Attribute, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Keys and values of a map that is an argument, or lies at a path in it."""
    for key in resource.values(attribute, (*path, KEYS)):
        yield from ((str(key), str(value)) for value in resource.values(attribute, (*path, str(key))))


def _region_of_provider(resource: Resource, cloud: str) -> str:
    """Region of a resource's provider; "" where no literal decides it."""
    provider, alias = _provider_of(resource, cloud)
    if provider is None:
        spelled = alias.replace("_", "-")
        return spelled if _REGION.fullmatch(spelled) else ""
    names = [name for name in ("region", "zone") if name in provider.block.attributes]
    values = [value for name in names for value in provider.values(provider.block.attributes[name])]
    return _region_of(values[0]) if values else ""


def _provider_of(resource: Resource, cloud: str) -> tuple[Resource | None, str]:
    """The provider block of a resource, None where the code has none; and its alias, "" for the default."""
    module, block = resource.module, resource.block
    if block.kind == "module":
        called = Module(module.directory, module.root, "", module, (resource.document, block))
        return _passed_provider(called, cloud, ""), ""
    chosen = block.attributes.get("provider")
    name, *alias = (chosen and traversal(chosen.value.node)) or (cloud,)
    return _seen_provider(module, name, "".join(alias[:1])), "".join(alias[:1])


def _seen_provider(module: Module, name: str, alias: str) -> Resource | None:
    """A provider block as a module sees it."""
    for document, block in module.blocks():
        if block.kind == "provider" and block.labels[0] == name:
            provider = Resource(module, document, block, None, Rule({}))
            own_alias = block.attributes.get("alias")
            if (provider.values(own_alias) if own_alias else [""]) == [alias]:
                return provider
    return _passed_provider(module, name, alias)


def _passed_provider(module: Module, name: str, alias: str) -> Resource | None:
    """The provider that a module is called with: the named one, or the default of its parent."""
    if module.parent is None or module.call is None:
        return None
    document, call = module.call
    own = f"{name}.{alias}".rstrip(".")
    providers = call.attributes.get("providers")
    for element in elements(unwrap(providers.value.node)) if providers else ():
        key, value = element.children[0].meta, traversal(element.children[-1])
        if document.text[key.start_pos : key.end_pos].strip() == own and value:
            return _seen_provider(module.parent, value[0], "".join(value[1:2]))
    return None if alias else _seen_provider(module.parent, name, "")


def _region_of(place: object) -> str:
    zone = _ZONE.fullmatch(str(place))
    return zone["region"] if zone else str(place)


def buys_spot(resources: Sequence[Resource]) -> bool | None:
    """Whether any of several blocks buys spot; None where none does, and one does not say or no literal decides it."""
    answers: list[bool | None] = []
    for resource in resources:
        if resource.block.kind == "module":
            answers.append(_call_buys_spot(resource))
            continue
        for path, attribute, loops in with_loops(resource.block):
            if path in resource.rule.spot:
                answers.append(_is_spot(resource, attribute, resource.rule.spot[path], loops))
    return True if True in answers else None if None in answers else False


def on_demand_percentage(resources: Sequence[Resource]) -> int | None:
    """Percentage above the base that a group buys on demand where it buys both ways; None where it does not."""
    values = (
        str(value)
        for resource in resources
        for path, attribute in everything_in(resource.block)
        if path == resource.rule.mixed
        for value in resource.values(attribute)
    )
    return next((int(value) for value in values if value.isdigit() and 0 < int(value) < 100), None)


def _is_spot(resource: Resource, attribute: Attribute, spot: object, loops: tuple[Attribute, ...]) -> bool | None:
    """Whether an argument says spot, and the dynamic blocks around it make it at all."""
    empty = [is_empty(resource.document, loop.value.node, resource.scope) for loop in loops]
    place = resource.place(attribute)
    if True in empty or (isinstance(place, Place) and str(place.value) != str(spot)):
        return False
    return True if isinstance(place, Place) and None not in empty else None


def _call_buys_spot(resource: Resource) -> bool | None:
    """Whether a module's call says spot; None where it does not, and the default of the module is not known here."""
    attributes, (argument, key) = resource.block.attributes, resource.inside or ("", "")
    if argument == _EKS_GROUPS and argument in attributes and _EKS_DEFAULTS not in attributes:
        entry = resource.place(attributes[argument], (key, KEYS))
        if isinstance(entry, Place) and CALL_SPOT.keys().isdisjoint(entry.value):
            return False
    for name, spot in CALL_SPOT.items():
        attribute = attributes.get(argument or name)
        place = resource.place(attribute, (key, name) if argument else ()) if attribute else None
        if isinstance(place, Place):
            return str(place.value) == str(spot)
    return None
