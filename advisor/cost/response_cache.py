"""Response cache in front of a fleet: the nodes that hold its answers, and their price."""

import math
from collections.abc import Iterator

from advisor.catalog import Catalog
from advisor.catalog.planning import ServicePrice
from advisor.catalog.planning_tables import CacheNode
from advisor.cost.services import cache_node_usd
from advisor.cost.standing import ChargeRule
from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field, replace
from advisor.units import HOURS_PER_MONTH
from advisor.workload.values import Survive, Workload

ITEM = "response_cache"
"""Name among the standing charges of a region."""
ENDPOINT = "private_endpoint"
"""Name of the private endpoint in front of it, which Azure charges for by the hour."""
_WITH_REPLICA = 2
_MOST_NODES = {"aws": 90, "gcp": 250}
"""Nodes of one cache in several shards, as ElastiCache allows unasked and Memorystore at most.

Azure Managed Redis shards inside what it sells as one node.
"""
_ENTRIES_PER_GIB = 1024
"""Number of answers of a MiB each, more than most take: the fewer, the less evenly they spread."""
_SLOTS = 16_384
"""Hash slots of a cluster of Valkey or Redis, which its shards share evenly."""
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
    """Two of each shard: a replica takes over, since a fleet of this size cannot take what a lost cache answered."""
    node_memory_gib: float
    memory_gib: float
    """Memory that the answers take."""
    hit_ratio: float
    ttl_seconds: float | None
    shards: int = field(default=1, metadata=OMITTED_AT_DEFAULT)
    """Parts that share the answers by a hash of their key, each on nodes of its own."""
    similarity: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Cosine similarity of prompts' embeddings from which an answer is given; None: equal requests alone."""

    @property
    def replicas(self) -> int:
        """Replicas of each shard."""
        return self.nodes // self.shards - 1

    @property
    def nodes_words(self) -> str:
        """Number, type and shards of the nodes."""
        return f"{self.nodes} × {self.node}" + (f" in {self.shards} shards" if self.shards > 1 else "")


def priced_cache(
    workload: Workload, catalog: Catalog, provider: str, region: str
) -> tuple[PlannedCache, ServicePrice] | str:
    """The cheapest nodes of a provider that hold a workload's cache, with the price of one; why there are none.

    Nodes hold answers as :func:`held_gib` says; each has a replica unless nothing has to survive a failure.
    """
    cache = workload.response_cache
    if cache is None:
        return "the workload has no response cache"
    copies = copies_of(workload)
    cheapest = cheapest_nodes(cache.memory_gib, catalog, provider, region, copies)
    if isinstance(cheapest, str):
        return cheapest
    shards, node, price = cheapest
    planned = PlannedCache(
        provider, region, node.node, shards * copies, node.memory_gib, cache.memory_gib, cache.hit_ratio,
        cache.ttl_seconds, shards, cache.similarity,
    )  # fmt: skip
    return planned, price


def cache_nodes(workload: Workload, catalog: Catalog, provider: str, region: str) -> int:
    """Nodes of a workload's response cache in a region; 0 where it has none, or none is priced there."""
    priced = priced_cache(workload, catalog, provider, region)
    return 0 if isinstance(priced, str) else priced[0].nodes


def cheapest_nodes(
    memory_gib: float, catalog: Catalog, provider: str, region: str, copies: int = 1
) -> tuple[int, CacheNode, ServicePrice] | str:
    """The cheapest node of a provider that holds so many GiB of answers, with its price an hour; why there is none.

    Where none that holds all is priced in the region, shards of equal nodes are as good, if cheaper together. Each node
    counts with its alarms.
    """
    most = _most_shards(provider, copies)
    enough = []
    for node in (node for node in catalog.cache_nodes if node.provider == provider):
        numbers = range(math.ceil(memory_gib / node.usable_gib), most + 1)
        fewest = next((shards for shards in numbers if held_gib(shards, node.usable_gib) >= memory_gib), None)
        enough += [] if fewest is None else [(fewest, node)]
    if not enough:
        return _too_large(memory_gib, provider, most_held_gib(catalog, provider, copies), most)
    prices = [(shards, node, catalog.service_price(provider, node.item, region)) for shards, node in enough]
    priced = [(shards, node, price) for shards, node, price in prices if price is not None]
    if not priced:
        return f"no price of a node of {provider} for {_gib(memory_gib)} GiB of answers is known ({_STATE_ONE})"
    single = [(shards, node, price) for shards, node, price in priced if shards == 1]
    if any((provider, node.item, region) in catalog.service_prices for _, node, _ in single):
        priced = single
    alarms_usd = cache_node_usd(catalog, provider, region)

    def cost(each: tuple[int, CacheNode, ServicePrice]) -> tuple[float, int, float]:
        shards, node, price = each
        return shards * (price.usd * HOURS_PER_MONTH + alarms_usd), shards, node.memory_gib

    return min(priced, key=cost)


def held_gib(shards: int, usable_gib: float) -> float:
    """GiB of answers that shards hold together, so that the fullest, which gets most keys by their hash, is not over.

    Of N equal entries a shard of n gets N · s ÷ n on average, with s = n · ⌈16,384 ÷ n⌉ ÷ 16,384 for that with most
    slots, and a standard deviation of √(N · (n - 1)) ÷ n (binomial); the largest of n such lies √(2 · ln n) of it
    above (the expected maximum of n normal values is no more). So M GiB take M · s + √(2 · ln n · (n - 1) · M ÷ e) GiB
    of n nodes, with e entries in a GiB: 1,024, as if answers were of a MiB. Most are smaller, and spread more evenly.
    """
    if shards == 1:
        return usable_gib
    slots = shards * math.ceil(_SLOTS / shards) / _SLOTS
    spread = math.sqrt(2 * math.log(shards) * (shards - 1) / _ENTRIES_PER_GIB)
    return ((math.sqrt(spread**2 + 4 * slots * shards * usable_gib) - spread) / (2 * slots)) ** 2


def most_held_gib(catalog: Catalog, provider: str, copies: int) -> float:
    """GiB of answers that the largest cache of a provider holds; 0 where none is known."""
    largest = max((node.usable_gib for node in catalog.cache_nodes if node.provider == provider), default=0.0)
    return held_gib(_most_shards(provider, copies), largest) if largest else 0.0


def _most_shards(provider: str, copies: int) -> int:
    return _MOST_NODES.get(provider, 1) // copies or 1


def _too_large(memory_gib: float, provider: str, held_gib: float, most_shards: int) -> str:
    in_shards = f" in {most_shards} shards" if most_shards > 1 else ""
    held = f"the largest holds {_gib(held_gib)}{in_shards}; {_STATE_ONE}" if held_gib else "none of it is known"
    return f"no node of {provider} in the catalog holds {_gib(memory_gib)} GiB of answers ({held})"


def _gib(memory_gib: float) -> str:
    return f"{memory_gib:,.0f}" if memory_gib >= _WHOLE_GIB else f"{memory_gib:,.3g}"


def copies_of(workload: Workload) -> int:
    """Nodes of each shard."""
    return 1 if workload.limits.survival is Survive.NOTHING else _WITH_REPLICA


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
