"""Whether a region sells the type that a group starts there, by the catalog's list of offers."""

from collections.abc import Iterable

from advisor.catalog import Catalog
from advisor.codegen.model import ComputeGroup, Stack
from advisor.errors import InputError
from advisor.records import dataclass

_MOST_REGIONS = 3


@dataclass(frozen=True, slots=True)
class _Place:
    provider: str
    region: str
    instance_type: str


def check_available(stacks: Iterable[Stack], catalog: Catalog) -> tuple[str, ...]:
    """Warnings about what the catalog does not know.

    Raises:
        InputError: the catalog lists the type, and not in that region; the hint names the nearest regions that have it.
    """
    places = {_place(stack, group): None for stack in stacks for group in stack.groups if not group.is_serverless}
    return tuple(warning for place in places if (warning := _warning(place, catalog)))


def _place(stack: Stack, group: ComputeGroup) -> _Place:
    return _Place(stack.provider, group.region, group.instance_type)


def _warning(place: _Place, catalog: Catalog) -> str:
    """Warning of what is unknown about a place; "" when it is on sale there."""
    offers = catalog.offers_in([place.provider])
    if (place.provider, place.instance_type) in catalog.cpu_instances:
        offers = catalog.cpu_offers(place.provider, place.instance_type)
    of_type = {offer.region for offer in offers if offer.instance_type == place.instance_type}
    if place.region in of_type:
        return ""
    if not of_type:
        return f"the catalog does not know where {place.provider} sells {place.instance_type}: check {place.region}"
    if (place.provider, place.region) not in catalog.regions:
        return f"the catalog does not know {place.region} of {place.provider}: check that it has {place.instance_type}"
    raise InputError(
        f"{place.region} does not have {place.instance_type}",
        hint=f"{place.provider} sells it in {', '.join(_nearest(place, of_type, catalog))}; make the plan again with "
        "those regions, or generate another type with --option RANK",
    )


def _nearest(place: _Place, regions: set[str], catalog: Catalog) -> list[str]:
    """The regions with the shortest round trip; those of unknown place last."""

    def distance(region: str) -> tuple[float, str]:
        latency = catalog.rtt_ms(place.provider, place.region, region)
        return (float("inf") if latency is None else latency.rtt_ms, region)

    return sorted(regions, key=distance)[:_MOST_REGIONS]
