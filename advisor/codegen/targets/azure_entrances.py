"""Entrances on Azure: their size in the code, and what they cost beside the total of a plan that does not hold them."""

from advisor.catalog import load_catalog
from advisor.codegen.model import Stack
from advisor.codegen.summary import usd
from advisor.cost import services
from advisor.records import dataclass, replace
from advisor.units import HOURS_PER_MONTH


@dataclass(frozen=True, slots=True)
class Entrances:
    """The entrances of all regions."""

    size: services.EntranceSize
    regions: int
    usd_per_month: float | None
    """Of hosts or containers; None where a price is not known."""
    balancers: int = 0
    """Load balancers beyond the one of each region, which the plan prices beside its total."""

    @property
    def in_words(self) -> str:
        """Cost and what it is for."""
        each = self.size.name or f"{self.size.vcpus:g} vCPU and {self.size.memory_gib:g} GiB at work"
        hosts = f"{services.HOSTS * self.regions} × {each}"
        disks = ", with their disks" if self.size.name else ""
        return (
            f"what {hosts} cost (not known)"
            if self.usd_per_month is None
            else f"{usd(self.usd_per_month)} a month ({hosts}{disks})"
        )

    def within(self, stack: Stack) -> Stack:
        """Stack whose budget and cautions hold the entrances too: they may pass the margin of a small fleet."""
        if stack.budget.holds_entrances:
            return stack
        stack = stack.with_cautions(f"The total leaves out the entrances: {self.in_words}{self._behind}.")
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
    """Hosts: the smallest size that carries the whole demand and is sold in each."""
    catalog, regions = load_catalog(), [region.name for region in stack.regions]
    load = _load(stack)
    for size in load.carried_by(services.MACHINES):
        sold = services.machine_prices(catalog, size.name)
        disks = [catalog.service_price("azure", "entrance_disk", region) for region in regions if region in sold]
        prices = [HOURS_PER_MONTH * sold[region].usd for region in regions if region in sold]
        prices += [disk.usd for disk in disks if disk is not None]
        if len(prices) == 2 * len(regions):
            return Entrances(size, len(regions), services.HOSTS * sum(prices), len(stack.backends))
    return Entrances(load.carried_by(services.MACHINES[1:])[0], len(regions), None, len(stack.backends))


def containers(stack: Stack) -> Entrances:
    """Containers: the smallest that carries the whole demand, at the price of one that is at work all the time."""
    catalog, load, regions = load_catalog(), _load(stack), [region.name for region in stack.regions]
    prices = [services.container_entrance_price(catalog, region, load) for region in regions]
    known = [price.usd for price in prices if price is not None]
    cost = services.HOSTS * HOURS_PER_MONTH * sum(known) if len(known) == len(prices) else None
    return Entrances(load.carried_by(services.CONTAINERS)[0], len(regions), cost)


def _load(stack: Stack) -> services.EntranceLoad:
    """The busiest minute of the demand; in a cut-over of the larger one of both plans, in every stage."""
    rates = [region.peak_requests_per_second for region in stack.regions]
    return services.EntranceLoad(max((rate for rate in rates if rate is not None), default=0.0), stack.answer_tokens)
