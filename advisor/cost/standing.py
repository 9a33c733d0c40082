"""Standing charges: load balancers and logs, which a region that serves takes whatever its machines do."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from advisor.catalog import Catalog
from advisor.catalog.planning import ServicePrice
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
CLOUDS = ("aws", "gcp", "azure")
"""Providers of whom such prices are known."""

_TITLES = {
    "load_balancer": "load balancer",
    "load_balancer_capacity": "its capacity units",
    "load_balancer_data": "its data",
    "load_balancer_proxy": "its proxies",
    "log_ingest": "access logs",
    "response_cache": "response cache",
}


@dataclass(frozen=True, slots=True)
class StandingCharge:
    """Something that is paid for in each region that serves, whatever machines do; None: its price is not known."""

    provider: str
    region: str
    item: str
    """load_balancer, load_balancer_capacity, load_balancer_data, load_balancer_proxy, log_ingest or response_cache."""
    quantity: float
    """Units of an average month."""
    unit: str
    usd_per_unit: float | None
    usd_per_month: float | None
    """To the cent."""
    price_source: str
    price_as_of: str
    price_quality: str

    @property
    def title(self) -> str:
        """``load balancer in us-east-1``."""
        return f"{_TITLES[self.item]} in {self.region}"


@dataclass(frozen=True, slots=True)
class ChargeRule:
    """Units of one item in an average month: ``anyway + served · each + max(least, balanced · each_balanced)``.

    Both rates are means in requests per second: those that a region serves, and those that its load balancer passes on.
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

    @property
    def usd(self) -> float:
        """Price of a unit; 0 where it is not known."""
        return 0.0 if self.price is None else self.price.usd

    def quantity(self, served: float, balanced: float | None) -> float:
        """Units at two mean rates in requests per second; None: there is no load balancer."""
        if balanced is None:
            return self.anyway + served * self.each
        units = balanced * self.each_balanced
        if self.step:
            units = math.ceil(units / self.step - _ROUNDING) * self.step
        return self.anyway + served * self.each + max(units, self.least)


_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class RegionCharges:
    """Rules of a region's charges beside machines, disks and answers."""

    provider: str
    region: str
    rules: tuple[ChargeRule, ...]

    def charges(self, served: float, balanced: float | None) -> Iterator[StandingCharge]:
        """The charges at two mean rates in requests per second; see :meth:`ChargeRule.quantity`."""
        for rule in self.rules:
            if balanced is not None or rule.each or rule.anyway:
                yield _charge(self, rule, rule.quantity(served, balanced))

    def usd_per_month(self, served: float, balanced: float | None) -> float:
        """The sum of the charges whose price is known, each to the cent."""
        return sum(round(rule.quantity(served, balanced) * rule.usd, 2) for rule in self.rules)

    def usd_per_request(self, *, balanced: bool) -> float:
        """USD that each request adds, whether or not a load balancer passes it on; without what has a least amount."""
        units = sum(
            (rule.each + (rule.each_balanced if balanced and not rule.least else 0.0)) * rule.usd for rule in self.rules
        )
        return units / SECONDS_PER_MONTH

    @property
    def anyway_usd_per_month(self) -> float:
        """Cost of a region in use, whatever serves there."""
        return sum(rule.usd * rule.anyway for rule in self.rules)

    def fixed_usd_per_month(self, balanced: float) -> float:
        """The least cost of a load balancer; with all that has a least amount where a rate is known to reach it."""
        return sum(rule.usd * (rule.quantity(0.0, balanced) if rule.least else 0.0) for rule in self.rules)


def region_charges(catalog: Catalog, provider: str, region: str, gb_per_request: float) -> RegionCharges | None:
    """Charges of a region of the three clouds; None of others, of whom nothing is known.

    Args:
        catalog: prices of services.
        provider: who runs the region.
        region: where.
        gb_per_request: prompt and answer on the wire.
    """
    if provider not in CLOUDS:
        return None

    def rule(item: str, **units: float) -> ChargeRule:
        return ChargeRule(item, catalog.service_price(provider, item, region), **units)

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
    rules.append(rule("log_ingest", each=BYTES_PER_LOG_LINE * gb_per_month, each_balanced=entries * gb_per_month))
    return RegionCharges(provider, region, tuple(rules))


def _charge(region: RegionCharges, rule: ChargeRule, quantity: float) -> StandingCharge:
    if rule.price is None:
        return StandingCharge(region.provider, region.region, rule.item, quantity, "", None, None, "", "", "unpriced")
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
    )
