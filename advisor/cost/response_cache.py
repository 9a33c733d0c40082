"""Response cache in front of a fleet: the nodes that hold its answers, and their price."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from advisor.catalog import Catalog
from advisor.catalog.levers import CacheNode
from advisor.catalog.planning import ServicePrice
from advisor.cost.standing import ChargeRule
from advisor.units import HOURS_PER_MONTH
from advisor.workload.values import ResponseCache, Survive, Workload

ITEM = "response_cache"
"""Name among the standing charges of a region."""
ENDPOINT = "private_endpoint"
"""Name of the private endpoint in front of it, which Azure charges for by the hour."""
_NODES = {Survive.NOTHING: 1}
_WITH_REPLICA = 2
_WHOLE_GIB = 100
_STATE_ONE = "state another with its price under cache_nodes of the overlay file, as docs/refresh.md shows"


@dataclass(frozen=True, slots=True)
class PlannedCache:
    """Managed in-memory store that answers some of the requests, in the region of the fleet."""

    provider: str
    region: str
    node: str
    """Type that the provider sells."""
    nodes: int
    """2: a replica takes over, since a fleet of this size cannot take the requests that a lost cache answered."""
    node_memory_gib: float
    memory_gib: float
    """Memory that the answers take."""
    hit_ratio: float
    ttl_seconds: float | None


def priced_cache(
    workload: Workload, catalog: Catalog, provider: str, region: str
) -> tuple[PlannedCache, ServicePrice] | str:
    """The cheapest nodes of a provider that hold a workload's cache, with the price of one; why there are none.

    A node holds answers up to ``memory · usable_ratio``; there are two unless nothing has to survive a failure.

    Args:
        workload: with a response cache.
        catalog: nodes and their prices.
        provider: who would run it.
        region: where.
    """
    cache = workload.response_cache
    if cache is None:
        return "the workload has no response cache"
    cheapest = cheapest_node(cache.memory_gib, catalog, provider, region)
    return cheapest if isinstance(cheapest, str) else (_planned(workload, cache, cheapest[0], region), cheapest[1])


def cache_nodes(workload: Workload, catalog: Catalog, provider: str, region: str) -> int:
    """Nodes of a workload's response cache in a region; 0 where it has none, or none is priced there."""
    priced = priced_cache(workload, catalog, provider, region)
    return 0 if isinstance(priced, str) else priced[0].nodes


def cheapest_node(
    memory_gib: float, catalog: Catalog, provider: str, region: str
) -> tuple[CacheNode, ServicePrice] | str:  # fmt: skip
    """The cheapest node of a provider that holds so many GiB of answers, with its price an hour; why there is none."""
    of_provider = [node for node in catalog.cache_nodes if node.provider == provider]
    nodes = [node for node in of_provider if node.usable_gib >= memory_gib]
    if not nodes:
        largest = max((node.usable_gib for node in of_provider), default=0.0)
        held = f"the largest holds {largest:,.3g}; {_STATE_ONE}" if of_provider else "none of it is known"
        return f"no node of {provider} in the catalog holds {_gib(memory_gib)} GiB of answers ({held})"
    prices = [(catalog.service_price(provider, node.item, region), node) for node in nodes]
    priced = [(price.usd, node.memory_gib, node, price) for price, node in prices if price is not None]
    if not priced:
        return f"no price of a node of {provider} for {_gib(memory_gib)} GiB of answers is known ({_STATE_ONE})"
    _, _, node, price = min(priced, key=lambda each: each[:2])
    return node, price


def _gib(memory_gib: float) -> str:
    return f"{memory_gib:,.0f}" if memory_gib >= _WHOLE_GIB else f"{memory_gib:,.3g}"


def _planned(workload: Workload, cache: ResponseCache, node: CacheNode, region: str) -> PlannedCache:
    nodes = _NODES.get(workload.limits.survival, _WITH_REPLICA)
    return PlannedCache(
        node.provider, region, node.node, nodes, node.memory_gib, cache.memory_gib, cache.hit_ratio, cache.ttl_seconds
    )


def cache_rules(workload: Workload, catalog: Catalog, provider: str, region: str) -> Iterator[ChargeRule]:
    """Charges of a region for a workload's cache, whatever is served: ``nodes · 730 h``, and Azure's private endpoint.

    Nothing where there is no cache. Data through the endpoint ($0.01 a GB of answers) is left out.
    """
    priced = priced_cache(workload, catalog, provider, region)
    if isinstance(priced, str):
        return
    cache, price = priced
    hours = float(HOURS_PER_MONTH)
    yield ChargeRule(ITEM, replace(price, unit=f"hour of {cache.node}"), anyway=cache.nodes * hours)
    if provider == "azure":
        yield ChargeRule(ENDPOINT, catalog.service_price(provider, ENDPOINT, region), anyway=hours)
