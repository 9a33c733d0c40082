"""What a number of equal instances costs: the only place where prices are multiplied and added."""

from dataclasses import dataclass

from advisor.catalog.values import Price
from advisor.demand.values import Demand
from advisor.units import HOURS_PER_MONTH, SECONDS_PER_MONTH, TOKENS_PER_MILLION

NOT_INCLUDED = ("disks", "load balancers and logs", "data transfer", "taxes and support")
"""What the total of a single type does not hold; said wherever it is printed."""
FLEET_LEAVES_OUT = "alarms, the hours of NAT gateways, taxes and support"
"""What neither the total of a fleet nor its standing charges hold."""

_REQUESTS_PER_THOUSAND = 1000


@dataclass(frozen=True, slots=True)
class Cost:
    """What an option costs; USD without tax."""

    instance_usd_per_hour: float
    usd_per_hour: float
    compute_usd_per_month: float
    total_usd_per_month: float
    """The number that is minimised and the number that is printed, rounded to the cent."""
    usd_per_million_output_tokens: float
    """Total ÷ tokens generated in a month of the mean demand."""
    usd_per_1000_requests: float
    """Total ÷ requests of a month of the mean demand."""
    price_source: str
    price_as_of: str
    price_quality: str


def hourly_to_monthly(usd_per_hour: float, instances: int) -> float:
    """USD per average month of 730 h for *instances* machines, to the cent."""
    return round(usd_per_hour * instances * HOURS_PER_MONTH, 2)


def cost_of(price: Price, instances: int, demand: Demand) -> Cost:
    """Cost of running *instances* machines all month for *demand*."""
    compute_usd_per_month = hourly_to_monthly(price.usd_per_hour, instances)
    requests_per_month = demand.requests_per_second.mean * SECONDS_PER_MONTH
    tokens_per_month = requests_per_month * demand.output_tokens.mean
    return Cost(
        instance_usd_per_hour=price.usd_per_hour,
        usd_per_hour=price.usd_per_hour * instances,
        compute_usd_per_month=compute_usd_per_month,
        total_usd_per_month=compute_usd_per_month,
        usd_per_million_output_tokens=compute_usd_per_month / tokens_per_month * TOKENS_PER_MILLION,
        usd_per_1000_requests=compute_usd_per_month / requests_per_month * _REQUESTS_PER_THOUSAND,
        price_source=price.provenance.source,
        price_as_of=price.provenance.as_of,
        price_quality=price.provenance.quality.value,
    )
