"""Entrances on Azure: how large HAProxy has to be for the load of a plan, and what it costs beside the total.

What it takes was measured with HAProxy 3.0 and TLS on both sides (November 2026): 3.1 ms of a processor for each
request on a new connection, and 47 µs for each chunk of a streamed answer, one for each token. Two run, and one has to
carry all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from advisor.catalog import Catalog, load_catalog
from advisor.codegen.model import Stack
from advisor.codegen.summary import usd
from advisor.cost.services import container_price
from advisor.units import HOURS_PER_MONTH

HOSTS = 2
"""Of an entrance."""
_REQUEST_SECONDS, _TOKEN_SECONDS = 0.0031, 0.000047
_ROOM = 2
"""Times the busiest minute that one of the two carries."""


@dataclass(frozen=True, slots=True)
class EntranceSize:
    """Resources of one of the two."""

    name: str
    """Size of a virtual machine; "" for a container."""
    vcpus: float
    """That it may use all the time."""
    memory_gib: float
    connections: int
    """Most at a time: one takes about 100 KiB with its buffers and keys."""


MACHINES = (
    EntranceSize("Standard_B2ats_v2", 0.4, 1, 4_000),
    EntranceSize("Standard_D2s_v5", 2, 8, 20_000),
    EntranceSize("Standard_D4s_v5", 4, 16, 40_000),
    EntranceSize("Standard_D8s_v5", 8, 32, 80_000),
)
"""The first one may use more than a fifth of its two vCPUs by credits alone."""
CONTAINERS = tuple(EntranceSize("", vcpus, 2 * vcpus, round(8_000 * vcpus)) for vcpus in (0.25, 0.5, 1, 2, 4))
"""Processors and memory as the consumption profile has them."""


@dataclass(frozen=True, slots=True)
class Entrances:
    """The entrances of all regions."""

    size: EntranceSize
    regions: int
    usd_per_month: float | None
    """Of hosts or containers; None where a price is not known."""
    balancers: int = 0
    """Load balancers beyond the one of each region, which the plan prices beside its total."""

    @property
    def in_words(self) -> str:
        """Cost and what it is for."""
        each = self.size.name or f"{self.size.vcpus:g} vCPU and {self.size.memory_gib:g} GiB at work"
        hosts = f"{HOSTS * self.regions} × {each}"
        return (
            f"what {hosts} cost (not known)"
            if self.usd_per_month is None
            else f"{usd(self.usd_per_month)} a month ({hosts})"
        )

    def within(self, stack: Stack) -> Stack:
        """Stack whose budget and cautions hold the entrances too: they may pass the margin of a small fleet."""
        said = (*stack.summary.cautions, f"The total leaves out the entrances: {self.in_words}{self._behind}.")
        stack = replace(stack, summary=replace(stack.summary, cautions=said))
        if self.usd_per_month is None:
            return stack
        budget = stack.budget
        spent = round(budget.usd_per_month + self.usd_per_month + self._balancers_usd, 2)
        return replace(stack, budget=replace(budget, usd_per_month=spent, of=f"{budget.of} and of the entrances"))

    @property
    def _balancers_usd(self) -> float:
        price = load_catalog().service_price("azure", "load_balancer", "")
        return 0.0 if price is None else self.balancers * price.usd * HOURS_PER_MONTH

    @property
    def _behind(self) -> str:
        """Load balancers between them and the hosts."""
        behind = f"; and the load balancers of the backends: {usd(self._balancers_usd)} a month ({self.balancers})"
        return behind if self.balancers else ""


def machines(stack: Stack) -> Entrances:
    """Hosts: the smallest size that carries the busiest region and is sold in each."""
    catalog, regions = load_catalog(), [region.name for region in stack.regions]
    for size in _carrying(stack, MACHINES):
        sold = _hourly(catalog, size.name)
        prices = [sold[region] for region in regions if region in sold]
        if len(prices) == len(regions):
            return Entrances(size, len(regions), HOSTS * HOURS_PER_MONTH * sum(prices), len(stack.backends))
    return Entrances(_carrying(stack, MACHINES[1:])[0], len(regions), None, len(stack.backends))


@lru_cache(maxsize=2 * len(MACHINES))
def _hourly(catalog: Catalog, size: str) -> Mapping[str, float]:
    """USD an hour on demand in each region that sells the size."""
    offers = catalog.cpu_offers("azure", size)
    return {offer.region: offer.on_demand.usd_per_hour for offer in offers if offer.on_demand is not None}


def containers(stack: Stack) -> Entrances:
    """Containers: the smallest that carries the busiest region, at the price of one that is at work all the time."""
    size, regions = _carrying(stack, CONTAINERS)[0], [region.name for region in stack.regions]
    prices = [container_price(load_catalog(), "azure", region, size.vcpus, size.memory_gib) for region in regions]
    known = [price.usd_per_hour for price in prices if price is not None]
    cost = HOSTS * HOURS_PER_MONTH * sum(known) if len(known) == len(prices) else None
    return Entrances(size, len(regions), cost)


def _carrying(stack: Stack, sizes: Sequence[EntranceSize]) -> Sequence[EntranceSize]:
    """Sizes that carry the busiest region, smallest first; the largest one where none does.

    Processors that its requests keep busy: requests a second in the busiest minute of the demand × time of each. In a
    cut-over the demand is the larger one of both plans, in every stage.
    """
    rates = [region.peak_requests_per_second for region in stack.regions]
    rate = max((rate for rate in rates if rate is not None), default=0.0)
    needed = _ROOM * rate * (_REQUEST_SECONDS + stack.answer_tokens * _TOKEN_SECONDS)
    return [size for size in sizes if size.vcpus >= needed] or sizes[-1:]
