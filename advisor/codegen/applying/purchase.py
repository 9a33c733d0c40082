"""How the machines of a block are bought, as far as literals say it."""

from advisor.codegen.applying.resolving import KEYS, Place, is_empty, resolve
from advisor.codegen.applying.rules import CALL_SPOT, Resource, with_loops
from advisor.codegen.hcl import Attribute

_EKS_GROUPS = "eks_managed_node_groups"
"""Map of terraform-aws-modules/eks among them, whose entries are bought on demand by default, as EKS buys them."""
_EKS_DEFAULTS = "eks_managed_node_group_defaults"
"""Its argument for all entries, before version 21."""


def buys_spot_at(resource: Resource) -> bool | None:
    """Whether a block buys spot; None where it does not say, or where no literal decides it."""
    if resource.block.kind == "module":
        return _says_spot(resource)
    return any_of(
        [
            _is_spot(resource, attribute, resource.rule.spot[path], loops)
            for path, attribute, loops in with_loops(resource.block)
            if path in resource.rule.spot
        ]
    )


def any_of(answers: list[bool | None]) -> bool | None:
    """Whether one of several answers is yes; None where none is, and one is not known."""
    return True if True in answers else None if None in answers else False


def _is_spot(resource: Resource, attribute: Attribute, spot: object, loops: tuple[Attribute, ...]) -> bool | None:
    """Whether an argument says spot, and the dynamic blocks around it make it at all."""
    empty = [is_empty(resource.document, loop.value.node, resource.scope) for loop in loops]
    if True in empty:
        return False
    place = resolve(resource.document, attribute.value.node, resource.scope)
    if isinstance(place, Place) and str(place.value) != str(spot):
        return False
    return True if isinstance(place, Place) and None not in empty else None


def _mentions_purchase(resource: Resource, argument: str, key: str) -> bool:
    """Whether the entry of a map of node groups, or the defaults of all entries, may say how nodes are bought."""
    attribute = resource.block.attributes.get(argument)
    entry = resolve(resource.document, attribute.value.node, resource.scope, (key, KEYS)) if attribute else None
    if not isinstance(entry, Place) or _EKS_DEFAULTS in resource.block.attributes:
        return True
    return not CALL_SPOT.keys().isdisjoint(entry.value)


def _says_spot(resource: Resource) -> bool | None:
    """Whether a module's call says spot; None where it does not, and the default of the module is not known here."""
    argument, key = resource.inside or ("", "")
    if argument == _EKS_GROUPS and not _mentions_purchase(resource, argument, key):
        return False
    for name, spot in CALL_SPOT.items():
        attribute = resource.block.attributes.get(argument or name)
        path = (key, name) if argument else ()
        place = resolve(resource.document, attribute.value.node, resource.scope, path) if attribute else None
        if isinstance(place, Place):
            return str(place.value) == str(spot)
    return None
