"""Standing charges: what a region that serves takes beside its machines, such as load balancers, gateways and logs."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple
from weakref import WeakKeyDictionary

from advisor.catalog import Catalog
from advisor.catalog.planning import Per, RegionResource, ServicePrice
from advisor.cost.entrances import EntranceLoad, container_entrance_price, machine_price
from advisor.reading import OMITTED_AT_DEFAULT
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
CLOUDS = ("aws", "gcp", "azure")
"""Providers of whom such prices are known."""

_TITLES = {
    "load_balancer": "load balancer",
    "load_balancer_capacity": "its capacity units",
    "load_balancer_data": "its data",
    "load_balancer_proxy": "its proxies",
    "log_ingest": "access logs",
    "log_storage": "kept logs",
    "nat_gateway": "NAT gateway",
    "public_ip": "its address",
    "kms_key": "encryption key",
    "alarm": "alarms",
    "log_alarm": "alarms on logs",
    "entrance": "entrance",
    "entrance_disk": "its disks",
    "container_entrance": "entrance of containers",
    "response_cache": "response cache",
    "private_endpoint": "private endpoint of the response cache",
    "cache_alarm": "alarms of the response cache",
    "cache_log_alarm": "alarms on logs of the response cache",
}
_OF_CACHE = "cache_"
"""Prefix of items that are the same resource as those of the fleet, and come with its response cache."""
CACHE_ITEMS = ("response_cache", "private_endpoint", "cache_alarm", "cache_log_alarm")
"""Items of a response cache: its nodes and what comes with them."""


@dataclass(frozen=True, slots=True)
class StandingCharge:
    """Something that is paid for in each region that serves, whatever machines do; None: its price is not known."""

    provider: str
    region: str
    item: str
    """load_balancer, load_balancer_capacity, load_balancer_data, load_balancer_proxy, log_ingest, log_storage,
    response_cache, private_endpoint, or a resource of region_resources.csv: nat_gateway, public_ip, kms_key, alarm,
    log_alarm, entrance, entrance_disk, container_entrance, and of a response cache cache_alarm, cache_log_alarm."""
    quantity: float
    """Units of an average month."""
    unit: str
    usd_per_unit: float | None
    usd_per_month: float | None
    """To the cent."""
    price_source: str
    price_as_of: str
    price_quality: str
    assumes: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Nature of the units and assumptions on their number; "": they follow from the load."""

    @property
    def title(self) -> str:
        """``load balancer in us-east-1``."""
        return f"{_TITLES[self.item]} in {self.region}"


def cache_usd_per_month(charges: Iterable[StandingCharge]) -> float:
    """USD a month of a response cache among standing charges, as far as prices are known, to the cent."""
    return round(sum(charge.usd_per_month or 0.0 for charge in charges if charge.item in CACHE_ITEMS), 2)


class Further(NamedTuple):
    """Parts of a fleet in a region beyond the first of each kind, or units for each of them."""

    groups: float = 0
    """Groups of hosts, each of one type of machine that is ordered in one way."""
    backends: float = 0
    """Backends: hosts of one kind of replica."""
    endpoints: float = 0
    """Endpoints, containers or apps of services."""

    def units(self, each: "Further") -> float:
        """Units of all, with so many for each."""
        return self.groups * each.groups + self.backends * each.backends + self.endpoints * each.endpoints


NONE_FURTHER = Further()
_Load = tuple[float, float | None, float, Further]
"""Load of a region; see :meth:`ChargeRule.quantity`."""


@dataclass(frozen=True, slots=True)
class ChargeRule:
    """Units of one item in an average month.

    ``anyway + instance hours · each_instance_hour + served · each + further · each_further + max(least, balanced ·
    each_balanced)``, and in place of the last term ``alone`` where no hosts serve. Both rates are means in requests per
    second: those that a region serves, and those that its load balancer passes on.
    """

    item: str
    price: ServicePrice | None
    each: float = 0.0
    """Units for each request per second that is served."""
    each_balanced: float = 0.0
    """Units for each request per second that a load balancer passes on."""
    least: float = 0.0
    """Units of a load balancer that passes on nothing."""
    step: float = 0.0
    """Units of a load balancer come in multiples of it; 0: in any number."""

    anyway: float = 0.0
    """Units of a region in use, whatever serves there."""
    alone: float = 0.0
    """Units of a region in which services alone serve."""
    each_instance_hour: float = 0.0
    """Units for each hour of an instance that is paid for."""
    each_further: Further = NONE_FURTHER
    """Units for each part of the fleet beyond the first."""
    assumes: Mapping[bool, str] = field(default_factory=dict)
    """Nature of the units and assumptions on their number: where hosts serve, and where services alone do."""

    @property
    def usd(self) -> float:
        """Price of a unit; 0 where it is not known."""
        return 0.0 if self.price is None else self.price.usd

    def quantity(
        self, served: float, balanced: float | None, instance_hours: float = 0.0, further: Further = NONE_FURTHER
    ) -> float:  # fmt: skip
        """Units at two mean rates in requests per second (None: no hosts) and hours of instances in a month."""
        used = self.anyway + instance_hours * self.each_instance_hour + served * self.each
        used += further.units(self.each_further)
        if balanced is None:
            return used + self.alone
        units = balanced * self.each_balanced
        if self.step:
            units = math.ceil(units / self.step - _ROUNDING) * self.step
        return used + max(units, self.least)


_ROUNDING = 1e-9
NO_LOAD = EntranceLoad(0.0, 0.0)
"""Load that the smallest entrance carries."""


@dataclass(frozen=True, slots=True)
class RegionCharges:
    """Rules of a region's charges beside machines, disks and answers."""

    provider: str
    region: str
    rules: tuple[ChargeRule, ...]
    by_load: tuple[ChargeRule, ...] = field(init=False, repr=False, compare=False)
    """Those whose units depend on rates or hours."""
    flat_usd: Mapping[bool, float] = field(init=False, repr=False, compare=False)
    """USD a month of the others, each to the cent: where hosts serve, and where services alone do."""
    further_usd: Further = field(init=False, repr=False, compare=False)
    """USD a month of each part of the fleet beyond the first."""
    counts_instance_hours: bool = field(init=False, repr=False, compare=False)
    """Whether any charge depends on the hours of instances."""
    anyway_usd_per_month: float = field(init=False, repr=False, compare=False)
    """Cost of a region in use, as if services alone served there."""
    _usd: dict[_Load, float] = field(default_factory=dict, init=False, repr=False, compare=False)
    """USD a month by load: most fleets that are tried have the load of others."""
    _alone_usd: dict[tuple[float, bool], float] = field(default_factory=dict, init=False, repr=False, compare=False)
    _hosts_usd: float = field(init=False, repr=False, compare=False)
    _request_usd: Mapping[bool, float] = field(init=False, repr=False, compare=False)
    _with_least: tuple[ChargeRule, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Sum up what is the same at any load, which is asked for each fleet that is tried."""
        by_load = tuple(
            rule
            for rule in self.rules
            if rule.each or rule.each_balanced or rule.each_instance_hour or any(rule.each_further)
        )
        further = Further(*(sum(rule.usd * rule.each_further[at] for rule in self.rules) for at in range(3)))
        flat = [rule for rule in self.rules if rule not in by_load]
        sums = {
            on_hosts: sum(round(rule.quantity(0.0, 0.0 if on_hosts else None) * rule.usd, 2) for rule in flat)
            for on_hosts in (True, False)
        }
        anyway, hosts = (
            sum(rule.usd * rule.quantity(0.0, balanced) for rule in self.rules) for balanced in (None, 0.0)
        )
        request = {
            balanced: sum(
                (rule.each + (rule.each_balanced if balanced and not rule.least else 0.0)) * rule.usd
                for rule in self.rules
            )
            / SECONDS_PER_MONTH
            for balanced in (True, False)
        }
        object.__setattr__(self, "anyway_usd_per_month", anyway)
        object.__setattr__(self, "_request_usd", request)
        object.__setattr__(self, "_hosts_usd", hosts - anyway)
        object.__setattr__(self, "_with_least", tuple(rule for rule in by_load if rule.least))
        object.__setattr__(self, "by_load", by_load)
        object.__setattr__(self, "flat_usd", sums)
        object.__setattr__(self, "further_usd", further)
        object.__setattr__(self, "counts_instance_hours", any(rule.each_instance_hour for rule in by_load))

    def charges(
        self, served: float, balanced: float | None, instance_hours: float = 0.0, further: Further = NONE_FURTHER
    ) -> Iterator[StandingCharge]:  # fmt: skip
        """The charges of a region; see :meth:`ChargeRule.quantity`."""
        for rule in self.rules:
            quantity = rule.quantity(served, balanced, instance_hours, further)
            if quantity or (balanced is not None and not rule.alone):
                yield _charge(self, rule, quantity, rule.assumes.get(balanced is not None, ""))

    def usd_per_month(
        self, served: float, balanced: float | None, instance_hours: float = 0.0, further: Further = NONE_FURTHER
    ) -> float:  # fmt: skip
        """The sum of the charges whose price is known, each to the cent."""
        load = served, balanced, instance_hours, further
        if load not in self._usd:
            by_load = sum(round(rule.quantity(*load) * rule.usd, 2) for rule in self.by_load)
            self._usd[load] = self.flat_usd[balanced is not None] + by_load
        return self._usd[load]

    def usd_per_request(self, *, balanced: bool) -> float:
        """USD that each request adds, whether or not a load balancer passes it on; without what has a least amount."""
        return self._request_usd[balanced]

    def usd_alone(self, rate: float, *, on_hosts: bool) -> float:
        """USD a month of the region where it serves a mean rate alone, to fractions of a cent."""
        key = rate, on_hosts
        if key not in self._alone_usd:
            balanced = rate if on_hosts else None
            self._alone_usd[key] = sum(rule.quantity(rate, balanced) * rule.usd for rule in self.rules)
        return self._alone_usd[key]

    def fixed_usd_per_month(self, balanced: float) -> float:
        """Least cost that hosts add; with all that has a least amount where a rate is known to reach it."""
        beyond = sum(rule.usd * (rule.quantity(0.0, balanced) - rule.quantity(0.0, 0.0)) for rule in self._with_least)
        return self._hosts_usd + beyond


def region_charges(
    catalog: Catalog,
    provider: str,
    region: str,
    gb_per_request: float,
    entrance: EntranceLoad = NO_LOAD,
    cache_nodes: int = 0,
) -> RegionCharges | None:
    """Charges of a region of the three clouds; None of others, of whom nothing is known.

    Args:
        catalog: prices of services.
        provider: who runs the region.
        region: where.
        gb_per_request: prompt and answer on the wire.
        entrance: load that an entrance has to carry.
        cache_nodes: nodes of the response cache that stands there; 0: there is none.
    """
    if provider not in CLOUDS:
        return None

    def rule(
        item: str, each: float = 0.0, each_balanced: float = 0.0, least: float = 0.0, step: float = 0.0
    ) -> ChargeRule:  # fmt: skip
        return ChargeRule(item, catalog.service_price(provider, item, region), each, each_balanced, least, step)

    gb_per_month = SECONDS_PER_MONTH / BYTES_PER_GB
    rules = [rule("load_balancer", least=HOURS_PER_MONTH)]
    if provider == "aws":
        units = max(1 / CONNECTIONS_PER_LCU, gb_per_request * SECONDS_PER_HOUR)
        rules.append(rule("load_balancer_capacity", each_balanced=units * HOURS_PER_MONTH))
    if provider == "gcp":
        proxies = max(1 / CONNECTIONS_PER_PROXY, gb_per_request / GB_PER_PROXY_SECOND)
        least, hours = LEAST_PROXIES * HOURS_PER_MONTH, float(HOURS_PER_MONTH)
        rules.append(rule("load_balancer_proxy", each_balanced=proxies * hours, least=least, step=hours))
    if provider != "aws":
        rules.append(rule("load_balancer_data", each_balanced=gb_per_request * SECONDS_PER_MONTH))
    entries = BYTES_PER_BALANCER_ENTRY if provider == "gcp" else 0
    lines = BYTES_PER_LOG_LINE * gb_per_month
    rules.append(rule("log_ingest", each=lines, each_balanced=entries * gb_per_month))
    if provider == "aws":
        rules.append(rule("log_storage", each=lines * LOG_MONTHS * LOG_COMPRESSION))
    resources = {rule.item: rule for rule in _resources(catalog, provider, region, entrance, cache_nodes)}
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
    whole_usd, each_usd = (0.0 if known is None else known.usd_per_request(balanced=True) for known in charges)
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
        sum(rule.usd * rule.anyway for rule in _resources(catalog, provider, region, NO_LOAD, nodes))
        for nodes in (1, 2)
    )
    return pair - single


_Ordered = tuple[str, str, EntranceLoad, int]
_known: WeakKeyDictionary[Catalog, dict[_Ordered, tuple[ChargeRule, ...]]] = WeakKeyDictionary()
"""Rules by catalog: each question asks for those of every region more than once."""


def _resources(
    catalog: Catalog, provider: str, region: str, entrance: EntranceLoad, cache_nodes: int = 0
) -> Sequence[ChargeRule]:
    """Rules of what the generated code orders or needs in a region, one for each item."""
    known, ordered = _known.setdefault(catalog, {}), (provider, region, entrance, cache_nodes)
    if ordered not in known:
        known[ordered] = tuple(_ordered(catalog, *ordered))
    return known[ordered]


def _ordered(
    catalog: Catalog, provider: str, region: str, entrance: EntranceLoad, cache_nodes: int
) -> Iterator[ChargeRule]:  # fmt: skip
    of_cache = {Per.CACHE: min(cache_nodes, 1), Per.CACHE_NODE: cache_nodes}
    items: dict[str, dict[Per, RegionResource]] = {}
    for resource in catalog.region_resources.get(provider, ()):
        if of_cache.get(resource.per, 1):
            own = _OF_CACHE if resource.per in of_cache else ""
            items.setdefault(f"{own}{resource.item}", {})[resource.per] = resource
    for item, resources in sorted(items.items(), key=lambda entry: entry[0].startswith(_OF_CACHE)):
        price = _price(catalog, (provider, region), item.removeprefix(_OF_CACHE), entrance)
        hours = HOURS_PER_MONTH if price is not None and price.unit.endswith("hour") else 1
        counts = {per: resource.quantity for per, resource in resources.items()}
        assumes = {True: _assumed(resources, _OF_SERVICES), False: _assumed(resources, _OF_HOSTS)}
        yield ChargeRule(
            item,
            price,
            anyway=sum(counts.get(per, 0.0) * count for per, count in {Per.REGION: 1, **of_cache}.items()) * hours,
            least=counts.get(Per.HOSTS, 0.0) * hours,
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


_OF_HOSTS, _OF_SERVICES = {Per.HOSTS, Per.GROUP, Per.BACKEND}, {Per.SERVICES, Per.ENDPOINT}


def _assumed(resources: Mapping[Per, RegionResource], left_out: Collection[Per]) -> str:
    ordered = sorted(resources.items(), key=lambda entry: entry[0] in _FURTHER)
    return "; ".join(resource.assumes for per, resource in ordered if per not in left_out)


_FURTHER = {Per.GROUP, Per.BACKEND, Per.ENDPOINT}


def _charge(region: RegionCharges, rule: ChargeRule, quantity: float, assumes: str) -> StandingCharge:
    if rule.price is None:
        unpriced = (quantity, "", None, None, "", "", "unpriced", assumes)
        return StandingCharge(region.provider, region.region, rule.item, *unpriced)
    source = rule.price.provenance
    return StandingCharge(
        region.provider,
        region.region,
        rule.item,
        quantity,
        rule.price.unit,
        rule.price.usd,
        round(quantity * rule.price.usd, 2),
        source.source,
        source.as_of,
        source.quality.value,
        assumes,
    )
