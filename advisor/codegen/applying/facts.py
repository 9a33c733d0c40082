"""Facts that code states of the machines at an address: where they run, how many, for whom, and how they are bought."""

import re
from collections.abc import Iterator, Sequence

from advisor.codegen.applying.addresses import resources_at
from advisor.codegen.applying.purchase import any_of, buys_spot_at
from advisor.codegen.applying.resolving import KEYS, Module, Place, Scope, resolve
from advisor.codegen.applying.rules import CALL_ARGUMENTS, PROVIDERS, Figure, Resource, everything_in
from advisor.codegen.hcl import Attribute, Block, Document, elements, traversal, unwrap
from advisor.records import dataclass

_PLACES = ("region", "location", "availability_zone", "availability_zones", "zone")
"""Arguments that say a region, or zones of one."""
_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-?\d+")
_ZONE = re.compile(r"(?P<region>.*\d)-?[a-z]")
_TAGS = ("tags", "labels", "resource_labels")
_GROUP = "aws_autoscaling_group"
"""Resource that gets no tags of its provider; on its machines, its own win over those of their template."""


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
    """Facts of the block at an address, and of those that belong to it.

    Raises:
        InputError: there is no such address.
    """
    resources = resources_at(root, address)
    return Facts(
        regions=regions_of(resources, provider),
        counts=tuple(count for resource in resources for count in _counts(resource)),
        tags=tuple(_all_tags(resources, _cloud_of(provider))),
        buys_spot=any_of([buys_spot_at(resource) for resource in resources]),
    )


def regions_of(resources: Sequence[Resource], provider: str) -> frozenset[str]:
    """Regions that blocks say by themselves, else those of their Terraform provider; empty where no literal does.

    Args:
        resources: blocks that belong together.
        provider: as the catalog names it.
    """
    own = frozenset(region for resource in resources for region in _own_regions(resource))
    return own or frozenset(filter(None, (_region_of_provider(each, _cloud_of(provider)) for each in resources)))


def _cloud_of(provider: str) -> str:
    """Terraform's name of a provider of the catalog."""
    return next((name for name, catalog_name in PROVIDERS.items() if catalog_name == provider), provider)


def _values(resource: Resource, attribute: Attribute, path: tuple[str, ...] = ()) -> list[object]:
    scope = Scope(resource.module, resource.block, resource.key)
    return _written(resource.document, attribute, scope, path)


def _written(document: Document, attribute: Attribute, scope: Scope, path: tuple[str, ...] = ()) -> list[object]:
    """Values that an argument is written as; none where no literal decides it."""
    place = resolve(document, attribute.value.node, scope, path)
    if not isinstance(place, Place):
        return []
    return place.value if isinstance(place.value, list) else [place.value]


def _counts(resource: Resource) -> Iterator[tuple[Figure, int]]:
    figures = (Figure.INSTANCES, Figure.MIN, Figure.MAX)
    wanted: list[tuple[Attribute, tuple[str, ...], Figure]] = []
    if resource.inside:
        argument, key = resource.inside
        attribute = resource.block.attributes[argument]
        wanted += [(attribute, (key, name), figure) for name, figure in CALL_ARGUMENTS.items()]
    else:
        arguments = resource.rule.arguments
        wanted += [
            (attribute, (), arguments[path]) for path, attribute in everything_in(resource.block) if path in arguments
        ]
    for attribute, path, figure in wanted:
        for value in _values(resource, attribute, path) if figure in figures else ():
            if str(value).isdigit():
                yield figure, int(str(value))


def _all_tags(resources: Sequence[Resource], cloud: str) -> Iterator[tuple[str, str]]:
    groups = [resource for resource in resources if _GROUP in resource.block.labels[:1]]
    others = [resource for resource in resources if resource not in groups]
    for resource in others:
        yield from _default_tags(resource, cloud)
    for resource in (*others, *groups):
        yield from _tags(resource)


def _tags(resource: Resource) -> Iterator[tuple[str, str]]:
    wanted: list[tuple[Attribute, tuple[str, ...]]] = [
        (attribute, ()) for path, attribute in everything_in(resource.block) if path.rpartition(".")[2] in _TAGS
    ]
    if resource.inside:
        argument, key = resource.inside
        wanted += [(resource.block.attributes[argument], (key, name)) for name in _TAGS]
    for attribute, path in wanted:
        for tag in _values(resource, attribute, (*path, KEYS)):
            yield from ((str(tag), str(value)) for value in _values(resource, attribute, (*path, str(tag))))
    for block in resource.block.of("tag"):
        pair = [_values(resource, block.attributes[name]) for name in ("key", "value") if name in block.attributes]
        if len(pair) == 2 and all(pair):
            yield str(pair[0][0]), str(pair[1][0])


def _own_regions(resource: Resource) -> Iterator[str]:
    """Regions that a block says by itself."""
    return (
        _region_of(value)
        for path, attribute in everything_in(resource.block)
        if path.rpartition(".")[2] in _PLACES
        for value in _values(resource, attribute)
        if not str(value).isdigit()
    )


def _region_of_provider(resource: Resource, cloud: str) -> str:
    """Region of a resource's provider; "" where no literal decides it."""
    provider, alias = _provider_of(resource, cloud)
    if provider is None:
        spelled = alias.replace("_", "-")
        return spelled if _REGION.fullmatch(spelled) else ""
    names = [name for name in ("region", "zone") if name in provider.block.attributes]
    values = [value for name in names for value in provider.values(provider.block.attributes[name])]
    return _region_of(values[0]) if values else ""


def _default_tags(resource: Resource, cloud: str) -> Iterator[tuple[str, str]]:
    """Tags and labels that a provider gives all that it makes."""
    provider, _ = _provider_of(resource, cloud)
    if provider is None:
        return
    blocks = [(block, "tags") for block in provider.block.of("default_tags")]
    for block, name in (*blocks, (provider.block, "default_labels")):
        if (attribute := block.attributes.get(name)) is None:
            continue
        for tag in provider.values(attribute, (KEYS,)):
            yield from ((str(tag), str(value)) for value in provider.values(attribute, (str(tag),)))


@dataclass(frozen=True, slots=True)
class _Provider:
    """A ``provider`` block, and the module that it is in."""

    module: Module
    document: Document
    block: Block

    def values(self, attribute: Attribute, path: tuple[str, ...] = ()) -> list[object]:
        """Values that an argument is written as."""
        return _written(self.document, attribute, Scope(self.module), path)


def _provider_of(resource: Resource, cloud: str) -> tuple[_Provider | None, str]:
    """The provider of a resource, None where the code has none; and its alias, "" for the default."""
    module, block = resource.module, resource.block
    if block.kind == "module":
        called = Module(module.directory, module.root, "", module, (resource.document, block))
        return _passed_provider(called, cloud, ""), ""
    chosen = block.attributes.get("provider")
    name, *alias = (chosen and traversal(chosen.value.node)) or (cloud,)
    return _seen_provider(module, name, "".join(alias[:1])), "".join(alias[:1])


def _seen_provider(module: Module, name: str, alias: str) -> _Provider | None:
    """A provider as a module sees it."""
    scope = Scope(module)
    for document, block in module.blocks():
        if block.kind != "provider" or block.labels[0] != name:
            continue
        own_alias = block.attributes.get("alias")
        if (_written(document, own_alias, scope) if own_alias else [""]) == [alias]:
            return _Provider(module, document, block)
    return _passed_provider(module, name, alias)


def _passed_provider(module: Module, name: str, alias: str) -> _Provider | None:
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
    """Region of a region or zone."""
    zone = _ZONE.fullmatch(str(place))
    return zone["region"] if zone else str(place)
