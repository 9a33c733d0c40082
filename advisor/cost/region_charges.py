"""Charges of a region by the load: rules of its balancer and logs, and of what the generated code orders there."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

from advisor.catalog import Catalog
from advisor.catalog.planning import Per, RegionResource, ServicePrice
from advisor.cost.services import EntranceLoad, container_entrance_price, machine_price
from advisor.cost.standing import CLOUDS, ChargeRule, Further, Machines, RegionCharges
from advisor.records import replace
from advisor.units import BYTES_PER_GB, HOURS_PER_MONTH, SECONDS_PER_HOUR, SECONDS_PER_MONTH

BYTES_PER_LOG_LINE = 200
"""Length of a server's access log line."""
BYTES_PER_BALANCER_ENTRY = 1000
"""Length of an entry of Google's load balancer, about: JSON, for every request as the code orders it."""
CONNECTIONS_PER_LCU = 25
"""New connections per second in a capacity unit of AWS's application load balancers; a GB in an hour is one as well."""
LEAST_PROXIES = 3
"""Proxies of an internal load balancer at Google, in each region; each is charged by the hour."""
CONNECTIONS_PER_PROXY = 150
"""New HTTPS connections per second, of which there are fewer than the 700 requests that it can also log."""
GB_PER_PROXY_SECOND = 0.018
LOG_MONTHS = 12
"""How long the generated code keeps logs at AWS; elsewhere it asks for no more than what comes with taking them in."""
LOG_COMPRESSION = 0.15
"""Share of its length that a line takes in storage, as AWS reckons in its examples of prices."""
_OF_CACHE = "cache_"
"""Prefix of items that are the same resource as those of the fleet, and come with its response cache."""
NO_LOAD = EntranceLoad(0.0, 0.0)


class Deployed(NamedTuple):
    """Parts of what the generated code orders in a region that decide about the others."""

    entrance: EntranceLoad = NO_LOAD
    """Load that an entrance has to carry."""
    cache_nodes: int = 0
    """Nodes of the response cache that stands there; 0: there is none."""
    machines: Machines = Machines.HOSTS
    """Machines that serve there, beside services."""


def region_charges(
    catalog: Catalog,
    provider: str,
    region: str,
    gb_per_request: float,
    deployed: Deployed | None = None,
) -> RegionCharges | None:
    """Charges of a region of the three clouds; None of others, of whom nothing is known.

    Args:
        catalog: prices of services.
        provider: who runs the region.
        region: where.
        gb_per_request: prompt and answer on the wire.
        deployed: what the code orders there; None: hosts without a response cache.
    """
    if provider not in CLOUDS:
        return None
    deployed = deployed or Deployed()
    balanced = deployed.machines is Machines.HOSTS

    def rule(
        item: str, each: float = 0.0, each_balanced: float = 0.0, least: float = 0.0, step: float = 0.0
    ) -> ChargeRule:  # fmt: skip
        return ChargeRule(item, catalog.service_price(provider, item, region), each, each_balanced, least, step)

    gb_per_month = SECONDS_PER_MONTH / BYTES_PER_GB
    rules = [rule("load_balancer", least=HOURS_PER_MONTH)] if balanced else []
    if provider == "aws":
        units = max(1 / CONNECTIONS_PER_LCU, gb_per_request * SECONDS_PER_HOUR)
        rules.append(rule("load_balancer_capacity", each_balanced=units * HOURS_PER_MONTH))
    if provider == "gcp" and balanced:
        proxies = max(1 / CONNECTIONS_PER_PROXY, gb_per_request / GB_PER_PROXY_SECOND)
        least, hours = LEAST_PROXIES * HOURS_PER_MONTH, float(HOURS_PER_MONTH)
        rules.append(rule("load_balancer_proxy", each_balanced=proxies * hours, least=least, step=hours))
    if provider != "aws" and balanced:
        rules.append(rule("load_balancer_data", each_balanced=gb_per_request * SECONDS_PER_MONTH))
    entries = BYTES_PER_BALANCER_ENTRY if provider == "gcp" and balanced else 0
    lines = BYTES_PER_LOG_LINE * gb_per_month
    rules.append(rule("log_ingest", each=lines, each_balanced=entries * gb_per_month))
    if provider == "aws":
        rules.append(rule("log_storage", each=lines * LOG_MONTHS * LOG_COMPRESSION))
    resources = {rule.item: rule for rule in _resources(catalog, provider, region, deployed)}
    rules = [_with_own(rule, resources.pop(rule.item, None)) for rule in rules]
    return RegionCharges(provider, region, (*rules, *resources.values()))


def split_usd_per_call(
    catalog: Catalog, provider: str, region: str, gb_per_call: float, split: tuple[float, float]
) -> float:
    """USD that a call adds to a region's charges where its items are HTTP requests of their own; 0 where unknown.

    Args:
        catalog: prices of services.
        provider: who runs the region.
        region: where.
        gb_per_call: of the call as one HTTP request, with its answer.
        split: HTTP requests of the call, and GB of all of them with their answers.
    """
    count, gb = split
    charges = [region_charges(catalog, provider, region, each_gb) for each_gb in (gb_per_call, gb / count)]
    whole_usd, each_usd = (0.0 if charge is None else charge.usd_per_request(balanced=True) for charge in charges)
    return count * each_usd - whole_usd


def _with_own(rule: ChargeRule, own: ChargeRule | None) -> ChargeRule:
    """A rule of the load with the units that the generated code orders of the same."""
    if own is None:
        return rule
    return replace(rule, least=own.least, alone=own.alone, each_further=own.each_further, assumes=own.assumes)


def instance_hour_usd(catalog: Catalog, provider: str, region: str) -> float:
    """USD for an hour of an instance of what a region charges by it; 0 where no price of such is known."""
    hourly = {
        resource.item: resource.quantity
        for resource in catalog.region_resources.get(provider, ())
        if resource.per is Per.INSTANCE_HOUR
    }
    prices = {item: _price(catalog, (provider, region), item, NO_LOAD) for item in hourly}
    return sum((price.usd * hourly[item] for item, price in prices.items() if price is not None), start=0.0)


def cache_node_usd(catalog: Catalog, provider: str, region: str) -> float:
    """USD a month of what comes with each node of a response cache: its alarms; 0 where no price of such is known."""
    single, pair = (
        sum(rule.usd * rule.anyway for rule in _resources(catalog, provider, region, Deployed(cache_nodes=nodes)))
        for nodes in (1, 2)
    )
    return pair - single


_Ordered = tuple[str, str, Deployed]
_known: WeakKeyDictionary[Catalog, dict[_Ordered, tuple[ChargeRule, ...]]] = WeakKeyDictionary()
"""Rules by catalog: each question asks for those of every region more than once."""


def _resources(catalog: Catalog, provider: str, region: str, deployed: Deployed) -> Sequence[ChargeRule]:
    """Rules of what the generated code orders or needs in a region, one for each item."""
    known, ordered = _known.setdefault(catalog, {}), (provider, region, deployed)
    if ordered not in known:
        known[ordered] = tuple(_ordered(catalog, *ordered))
    return known[ordered]


def _ordered(catalog: Catalog, provider: str, region: str, deployed: Deployed) -> Iterator[ChargeRule]:
    of_cache = {Per.CACHE: min(deployed.cache_nodes, 1), Per.CACHE_NODE: deployed.cache_nodes}
    others = _OF_MACHINES - _ORDERED_WITH[deployed.machines]
    items: dict[str, dict[Per, RegionResource]] = {}
    for resource in catalog.region_resources.get(provider, ()):
        if resource.per not in others and of_cache.get(resource.per, 1):
            own = _OF_CACHE if resource.per in of_cache else ""
            items.setdefault(f"{own}{resource.item}", {})[resource.per] = resource
    for item, resources in sorted(items.items(), key=lambda entry: entry[0].startswith(_OF_CACHE)):
        price = _price(catalog, (provider, region), item.removeprefix(_OF_CACHE), deployed.entrance)
        hours = HOURS_PER_MONTH if price is not None and price.unit.endswith("hour") else 1
        counts = {per: resource.quantity for per, resource in resources.items()}
        assumes = {True: _assumed(resources, _OF_SERVICES), False: _assumed(resources, _OF_MACHINES)}
        yield ChargeRule(
            item,
            price,
            anyway=sum(counts.get(per, 0.0) * count for per, count in {Per.REGION: 1, **of_cache}.items()) * hours,
            least=sum(counts.get(per, 0.0) for per in _WITH_ANY) * hours,
            alone=counts.get(Per.SERVICES, 0.0) * hours,
            each_instance_hour=counts.get(Per.INSTANCE_HOUR, 0.0),
            each_further=Further(*(counts.get(per, 0.0) * hours for per in (Per.GROUP, Per.BACKEND, Per.ENDPOINT))),
            assumes=assumes,
        )


def _price(catalog: Catalog, place: tuple[str, str], item: str, entrance: EntranceLoad) -> ServicePrice | None:
    """Price of a resource: of entrances that of the machine or container which carries the load."""
    provider, region = place
    if item == "entrance":
        return machine_price(catalog, region, entrance)
    if item == "container_entrance":
        return container_entrance_price(catalog, region, entrance)
    return catalog.service_price(provider, item, region)


_WITH_ANY = (Per.HOSTS, Per.NODES, Per.GPU_NODES)
"""Units of a region with machines."""
_ORDERED_WITH = {
    Machines.HOSTS: {Per.HOSTS, Per.GROUP, Per.BACKEND},
    Machines.NODES: {Per.NODES},
    Machines.GPU_NODES: {Per.NODES, Per.GPU_NODES},
}
_OF_MACHINES = set().union(*_ORDERED_WITH.values())
_OF_SERVICES = {Per.SERVICES, Per.ENDPOINT}


def _assumed(resources: Mapping[Per, RegionResource], left_out: Collection[Per]) -> str:
    ordered = sorted(resources.items(), key=lambda entry: entry[0] in _BEYOND)
    return "; ".join(resource.assumes for per, resource in ordered if per not in left_out)


_BEYOND = {Per.GROUP, Per.BACKEND, Per.ENDPOINT, Per.GPU_NODES}
