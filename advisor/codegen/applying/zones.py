"""Zones that a pool's counts are multiplied by, and the plan's numbers for each of them."""

import re
from collections.abc import Iterator
from typing import Any

from advisor.codegen.applying.addresses import Target
from advisor.codegen.applying.resolving import Place, Scope, definition_of, steps_of
from advisor.codegen.applying.rules import Figure, Resource, Rule
from advisor.codegen.hcl import Attribute, Document, literal
from advisor.records import dataclass, replace

_CLUSTER = "google_container_cluster"
_ZONE = re.compile(r".*\d-[a-z]")
_MOST_STEPS = 10
"""Names between a pool and its cluster."""


@dataclass(frozen=True, slots=True)
class Zones:
    """Zones of a pool."""

    names: tuple[str, ...]
    """"" alone: the zone of the provider."""
    where: str = ""
    """File and line that state them."""
    is_assumed: bool = False
    """Whether the cluster, which may have further zones, is in none of the files."""

    @property
    def words(self) -> str:
        """The names in words, with their place."""
        names = " and ".join(self.names)
        return f"{names} ({self.where})" if self.where else names


def is_per_zone(resource: Resource, attribute: Attribute) -> bool:
    """Whether an argument counts machines of each zone."""
    return attribute.name in resource.rule.per_zone


def zones_of(resource: Resource) -> Zones | str:
    """Zones that counts of a pool hold for each of, or why no literal says them."""
    own = resource.block.attributes
    if (stated := _locations(resource)) is not None:
        return stated
    cluster = _cluster(resource.document, own["cluster"].value.node, resource.scope) if "cluster" in own else None
    located = [pool for pool in (resource, cluster) if pool is not None and _is_stated(pool, "location")]
    if cluster is not None and (further := _locations(cluster)) is not None:
        return _with_own_zone(further, cluster) if isinstance(further, Zones) else further
    if not located:
        is_elsewhere = "cluster" in own and cluster is None and not _is_text(resource)
        return _ELSEWHERE if is_elsewhere else Zones(("",))
    place = located[0].place(located[0].block.attributes["location"])
    if not isinstance(place, Place):
        return f"no literal says its location ({place.reason}): {_STATE}"
    if not _ZONE.fullmatch(str(place.value)):
        return f"Google chooses the zones of {place.value}, three as a rule: {_STATE}"
    return Zones((str(place.value),), place.document.place(place.start), cluster is None)


_STATE = "state node_locations"
_ELSEWHERE = f"its cluster is in none of these files, and may have several: {_STATE}"


def _is_stated(pool: Resource, argument: str) -> bool:
    attribute = pool.block.attributes.get(argument)
    return attribute is not None and literal(attribute.value.node) not in (None, [])


def _is_text(pool: Resource) -> bool:
    """Whether the cluster is given by its name as a literal, in the zone of the provider."""
    return isinstance(pool.place(pool.block.attributes["cluster"]), Place)


def _locations(pool: Resource) -> Zones | str | None:
    """Zones of ``node_locations``, or why no literal says them; None: it is not there."""
    if not _is_stated(pool, "node_locations"):
        return None
    place = pool.place(pool.block.attributes["node_locations"])
    if not isinstance(place, Place):
        return f"no literal says its zones ({place.reason}): {_STATE} as a list of texts"
    names = place.value if isinstance(place.value, list) else [place.value]
    return Zones(tuple(dict.fromkeys(map(str, names))), place.document.place(place.start))


def _with_own_zone(further: Zones, cluster: Resource) -> Zones | str:
    """Zones of a cluster: those of a zonal one are named beside its own."""
    if not _is_stated(cluster, "location"):
        return f"its cluster has a zone of the provider beside {further.words}: {_STATE} of the pool"
    place = cluster.place(cluster.block.attributes["location"])
    if not isinstance(place, Place):
        return f"no literal says the location of its cluster ({place.reason}): {_STATE} of the pool"
    own = [str(place.value)] if _ZONE.fullmatch(str(place.value)) else []
    return replace(further, names=tuple(dict.fromkeys([*own, *further.names])))


def _cluster(document: Document, node: Any, scope: Scope, left: int = _MOST_STEPS) -> Resource | None:  # noqa: ANN401
    """Cluster that an expression refers to; None: it is in none of the files."""
    steps = steps_of(document, node, scope)
    if steps is None or left == 0:
        return None
    if steps[0] == _CLUSTER and len(steps) > 1:
        place = scope.module.find(".".join(steps[:2]))
        key = steps[2].strip("[]") if len(steps) > 2 and steps[2].startswith("[") else None
        return Resource(scope.module, *place, key or None, Rule({})) if place else None
    definition = definition_of(document, steps, scope)
    return _cluster(*definition, left - 1) if definition is not None and steps[0] != "each" else None


_SHARED = {Figure.INSTANCES: "instances", Figure.MIN: "min_instances", Figure.MAX: "max_instances"}
"""Fields of a target that zones share."""


def in_each_zone(resource: Resource, attribute: Attribute, figure: Figure, target: Target) -> Target | str:
    """The target with the numbers of each zone, or why an argument that counts for each has none.

    A maximum is rounded up: it only has to leave room.
    """
    if figure not in _SHARED or not is_per_zone(resource, attribute):
        return target
    zones = zones_of(resource)
    if isinstance(zones, str):
        return f"it counts for each zone, and {zones}"
    number, wanted = len(zones.names), getattr(target, _SHARED[figure])
    if wanted % number and figure is not Figure.MAX:
        more = -(-wanted // number)
        return (
            f"{wanted} nodes cannot be shared out over {number} zones, {zones.words}: {more} in each are "
            f"{more * number}: name another number of zones in node_locations, or set it by hand"
        )
    return _shared_out(target, number)


def _shared_out(target: Target, zones: int) -> Target:
    return replace(
        target,
        instances=-(-target.instances // zones),
        min_instances=-(-target.min_instances // zones),
        max_instances=-(-target.max_instances // zones),
        least_maximum=None if target.least_maximum is None else -(-target.least_maximum // zones),
    )


def told_of_zones(resource: Resource, target: Target) -> Iterator[str]:
    """Notes on counts for each zone: the zones, and the numbers of all of them."""
    zones = zones_of(resource) if resource.rule.per_zone else Zones(("",))
    counted = [(figure, attribute) for figure, attribute, _ in resource.figures() if is_per_zone(resource, attribute)]
    if isinstance(zones, str) or not counted:
        return
    address, number = resource.block.address, len(zones.names)
    if zones.is_assumed:
        yield f"{address}: its cluster is in none of these files: its nodes are taken to be in {zones.words} alone"
    if number == 1:
        return
    totals = []
    for figure, attribute in counted:
        share = in_each_zone(resource, attribute, figure, target)
        if not isinstance(share, str):
            each, planned = (getattr(numbers, _SHARED[figure]) for numbers in (share, target))
            rounded = f", the plan has {planned}" if each * number != planned else ""
            totals.append(f"{attribute.name} {number} × {each} = {each * number}{rounded}")
    counts = f": {'; '.join(totals)}" if totals else ""
    yield f"{address} counts nodes for each of {number} zones, {zones.words}{counts}"
