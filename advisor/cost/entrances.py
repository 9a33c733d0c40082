"""Entrances on Azure: how large HAProxy has to be for the load of a plan, and its price by the hour.

What it takes was measured with HAProxy 3.0 and TLS on both sides (November 2026): 3.1 ms of a processor for each
request on a new connection, and 47 µs for each chunk of a streamed answer, one for each token. Two run in each region,
and one has to carry the whole demand: the region beside it may fail.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from advisor.catalog import Catalog
from advisor.catalog.planning import ServicePrice
from advisor.cost.services import container_price
from advisor.records import dataclass

HOSTS = 2
"""Machines or containers of an entrance."""
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


class EntranceLoad(NamedTuple):
    """Load that an entrance carries."""

    requests_per_second: float
    """In the busiest minute."""
    answer_tokens: float
    """Mean of a request."""

    def carried_by(self, sizes: Sequence[EntranceSize]) -> Sequence[EntranceSize]:
        """Sizes that carry it, smallest first; the largest one where none does.

        Processors that requests keep busy: requests a second in the busiest minute × time of each.
        """
        needed = _ROOM * self.requests_per_second * (_REQUEST_SECONDS + self.answer_tokens * _TOKEN_SECONDS)
        return [size for size in sizes if size.vcpus >= needed] or sizes[-1:]


@lru_cache(maxsize=2 * len(MACHINES))
def machine_prices(catalog: Catalog, size: str) -> Mapping[str, ServicePrice]:
    """USD an hour on demand of a size of machines in each region that sells it."""
    return {
        offer.region: ServicePrice(offer.on_demand.usd_per_hour, f"{size}-hour", offer.on_demand.provenance)
        for offer in catalog.cpu_offers("azure", size)
        if offer.on_demand is not None
    }


def machine_price(catalog: Catalog, region: str, load: EntranceLoad) -> ServicePrice | None:
    """USD an hour of the smallest machine that carries a load and is sold in a region; None: none is."""
    prices = (machine_prices(catalog, size.name).get(region) for size in load.carried_by(MACHINES))
    return next((price for price in prices if price is not None), None)


def container_entrance_price(catalog: Catalog, region: str, load: EntranceLoad) -> ServicePrice | None:
    """USD an hour of the smallest container that carries a load, at work all the time; None: it is not known."""
    size = load.carried_by(CONTAINERS)[0]
    price = container_price(catalog, "azure", region, size.vcpus, size.memory_gib)
    return None if price is None else ServicePrice(price.usd_per_hour, f"{size.vcpus:g}-vCPU-hour", price.provenance)
