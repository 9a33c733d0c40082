"""Several models on shared accelerators: who sits with whom, at what price, and how far that may be from the best.

An accelerator is used in one of two ways.

- Cut into equal slices (MIG): each tenant has a slice to itself, with the slice's memory and speed.
- Whole: one tenant alone, or several that take turns (time-slicing). Nothing isolates their memory, so it adds up:
  Σ memory ≤ usable memory. The driver gives an equal share of the time to all processes that have work, so that of n
  tenants each has at least 1/n of it whatever the others do: each has to keep its targets on (1 - headroom)/n of the
  time, which bounds n, and Σ busy ≤ 1 - headroom. Kinds of models may mix: nothing of the neighbours' requests counts.

The machine has to hold the pods of all: Σ of their processors and memory ≤ an equal part of it for each accelerator.

The price is that of whole machines: Σ over hosts of ⌈accelerators used ÷ accelerators of one⌉ × USD/h. For few tenants
it is proven to be the least, by branch and bound. For many, first-fit decreasing stands beside a lower bound: in
whatever group a tenant is, it takes at least a slice, or max(memory ÷ usable, busy, 1 ÷ most tenants beside it and
itself) of an accelerator.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from advisor.plan.tenants import Group, Host, Need, Obstacle, Packing, Tenant

HEADROOM = 0.15
"""Share of an accelerator's time that is left free where several take turns, for switching and for bursts that meet: an
assumption, nothing measured."""
EXACT_TENANTS = 16
"""Most tenants that the search for the cheapest packing is worth its time for."""
MAX_NODES = 100_000
"""Partial packings that it looks at before it settles for the bound: a second or two."""
_EPSILON = 1e-9


def pack_shared(tenants: Sequence[Tenant], hosts: Sequence[Host], headroom: float = HEADROOM) -> Packing:
    """Seat tenants on as cheap machines as possible.

    Args:
        tenants: models with their needs; names are unique.
        hosts: machines that may be bought, as many of each as it takes; names are unique.
        headroom: share of time that stays free where several take turns.
    """
    packer = _Packer(hosts, headroom)
    seats = {tenant.name: packer.alone(tenant) for tenant in tenants}
    placed = [tenant for tenant in tenants if any(isinstance(one, _Load) for one in seats[tenant.name])]
    loads, bound = packer.pack(placed)
    usd = packer.cost(loads)
    return Packing(
        groups=tuple(load.group() for load in loads),
        instances=packer.instances(loads),
        usd_per_hour=usd,
        bound_usd_per_hour=bound,
        gap_ratio=(usd - bound) / usd if usd > bound else 0.0,
        unplaced=tuple(tenant.name for tenant in tenants if tenant not in placed),
        rejections=tuple(
            outcome for outcomes in seats.values() for outcome in outcomes if isinstance(outcome, Obstacle)
        ),
    )


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to use one accelerator of a host."""

    host: Host
    slice: str
    memory_gib: float
    seats: float

    @property
    def usd_per_hour(self) -> float:
        """Price of one accelerator, when all of the machine are used."""
        return self.host.usd_per_hour / self.host.accelerators


@dataclass(frozen=True, slots=True)
class _Load:
    """One accelerator with its tenants."""

    way: _Way
    tenants: tuple[Tenant, ...] = ()
    memory_gib: float = 0.0
    busy_ratio: float = 0.0
    most_sharers: float = math.inf
    host_gib: float = 0.0
    cores: float = 0.0

    def join(self, tenant: Tenant, headroom: float) -> "_Load | Obstacle":
        """The same with one more tenant, or what stands against it."""
        way = self.way
        need = tenant.needs.get((way.host.name, way.slice))
        if need is None or not self._has_seat(tenant):
            return self._obstacle(tenant, "not_offered", None, None, "")
        joined = self._with(tenant, need)
        for code, needed, available, unit in joined.checks(need, headroom):
            if needed > available + _EPSILON:
                return self._obstacle(tenant, code, needed, available, unit)
        return joined

    def _with(self, tenant: Tenant, need: Need) -> "_Load":
        busy = max(self.busy_ratio, need.busy_ratio) if self.way.slice else self.busy_ratio + need.busy_ratio
        return _Load(
            way=self.way,
            tenants=(*self.tenants, tenant),
            memory_gib=self.memory_gib + need.memory_gib,
            busy_ratio=busy,
            most_sharers=min(self.most_sharers, need.most_sharers),
            host_gib=self.host_gib + need.host_gib,
            cores=self.cores + need.cores,
        )

    def checks(self, last: Need, headroom: float) -> Iterator[tuple[str, float, float, str]]:
        """Needs of the load with its last tenant, and what there is of each."""
        host, memory = self.way.host, self.way.memory_gib
        if self.way.slice:
            yield "memory", last.memory_gib, memory, "GiB"
            yield "busy", last.busy_ratio, 1.0, "share"
        else:
            yield "memory", self.memory_gib, memory, "GiB"
            yield "busy", self.busy_ratio, 1 - headroom if len(self.tenants) > 1 else 1.0, "share"
            yield "sharers", len(self.tenants), self.most_sharers, "tenants"
        yield "host_memory", self.host_gib, host.host_gib / host.accelerators, "GiB"
        yield "processors", self.cores, host.cores / host.accelerators, "cores"

    @property
    def part(self) -> float:
        """Share of the accelerator that it takes in whatever group it is."""
        way, host = self.way, self.way.host
        of_host = max(self.host_gib * host.accelerators / host.host_gib, self.cores * host.accelerators / host.cores)
        if way.slice:
            return max(1 / way.seats, of_host)
        return max(self.memory_gib / way.memory_gib, self.busy_ratio, 1 / self.most_sharers, of_host)

    def _has_seat(self, tenant: Tenant) -> bool:
        apart = any(one.latency_critical for one in (*self.tenants, tenant))
        return len(self.tenants) < (1 if apart and not self.way.slice else self.way.seats)

    def _obstacle(
        self, tenant: Tenant, code: str, needed: float | None, available: float | None, unit: str
    ) -> Obstacle:  # fmt: skip
        return Obstacle(tenant.name, self.way.host.name, self.way.slice, code, needed, available, unit)

    @property
    def sums(self) -> tuple[float, ...]:
        """Sums and limits that decide who may join."""
        return (self.memory_gib, self.busy_ratio, self.most_sharers, self.host_gib, self.cores)

    def group(self) -> Group:
        """Group as it is handed out."""
        names = tuple(tenant.name for tenant in self.tenants)
        return Group(self.way.host.name, self.way.slice, names, self.memory_gib, self.busy_ratio)


Loads = tuple[_Load, ...]


class _Packer:
    """The hosts, the rules, and the search for a cheap packing."""

    def __init__(self, hosts: Sequence[Host], headroom: float) -> None:
        """List the ways to use an accelerator."""
        self._headroom = headroom
        self._ways = [_Way(host, "", host.memory_gib, math.inf) for host in hosts]
        self._ways += [
            _Way(host, slice_.name, slice_.memory_gib, slice_.per_accelerator)
            for host in hosts
            for slice_ in host.slices
        ]

    def alone(self, tenant: Tenant) -> list[_Load | Obstacle]:
        """The tenant as the first one of each way."""
        return [_Load(way).join(tenant, self._headroom) for way in self._ways]

    def instances(self, loads: Loads) -> dict[str, int]:
        """Machines of each host that the groups fill."""
        used: dict[str, int] = {}
        for load in loads:
            used[load.way.host.name] = used.get(load.way.host.name, 0) + 1
        sizes = {way.host.name: way.host.accelerators for way in self._ways}
        return {name: math.ceil(count / sizes[name]) for name, count in used.items()}

    def cost(self, loads: Loads) -> float:
        """USD per hour of whole machines."""
        prices = {way.host.name: way.host.usd_per_hour for way in self._ways}
        return sum(count * prices[name] for name, count in self.instances(loads).items())

    def pack(self, tenants: Sequence[Tenant]) -> tuple[Loads, float]:
        """The cheapest packing found, and a bound that no packing is below."""
        share = {tenant.name: min(self._shares(tenant)) for tenant in tenants}
        order = sorted(tenants, key=lambda tenant: (-share[tenant.name], tenant.name))
        best = min((self._first_fit(order, way) for way in (None, *self._ways)), key=self.cost)
        best = min(best, self._one_each(order), key=self.cost)
        bound = self._whole_machines(sum(share.values()))
        if len(tenants) > EXACT_TENANTS:
            return best, bound
        search = _Search(self, order, best, bound)
        return search.best, self.cost(search.best) if search.complete else bound

    def _shares(self, tenant: Tenant) -> Iterator[float]:
        """USD per hour that the tenant takes at the least, on each way that it can have."""
        for load in self.alone(tenant):
            if isinstance(load, _Load):
                is_alone = tenant.latency_critical and not load.way.slice
                yield load.way.usd_per_hour * (1.0 if is_alone else load.part)

    def _whole_machines(self, usd_per_hour: float) -> float:
        """The least price of whole machines that is not below a sum of shares."""
        prices = {way.host.usd_per_hour for way in self._ways}
        if usd_per_hour <= 0 or not prices:
            return 0.0
        if len(prices) == 1:
            (price,) = prices
            return math.ceil(usd_per_hour / price - _EPSILON) * price
        return max(usd_per_hour, min(prices))

    def _one_each(self, order: Sequence[Tenant]) -> Loads:
        """An accelerator for each tenant, the cheapest."""
        return tuple(self._cheapest(tenant, None) for tenant in order)

    def _first_fit(self, order: Sequence[Tenant], preferred: _Way | None) -> Loads:
        """First-fit decreasing; a tenant that fits into no group opens one the preferred way where it can."""
        loads: list[_Load] = []
        for tenant in order:
            for index, load in enumerate(loads):
                joined = load.join(tenant, self._headroom)
                if isinstance(joined, _Load):
                    loads[index] = joined
                    break
            else:
                loads.append(self._cheapest(tenant, preferred))
        return tuple(loads)

    def _cheapest(self, tenant: Tenant, preferred: _Way | None) -> _Load:
        options = [load for load in self.alone(tenant) if isinstance(load, _Load)]
        return min(options, key=lambda load: (load.way is not preferred, load.way.usd_per_hour, load.way.seats))

    def branches(self, loads: Loads, tenant: Tenant) -> Iterator[Loads]:
        """Every way to seat one more tenant: with a group that is there (of equal ones the first), or apart."""
        tried = set()
        for index, load in enumerate(loads):
            alike = (id(load.way), len(load.tenants), *load.sums)
            joined = load.join(tenant, self._headroom)
            if isinstance(joined, _Load) and alike not in tried:
                tried.add(alike)
                yield (*loads[:index], joined, *loads[index + 1 :])
        for opened in self.alone(tenant):
            if isinstance(opened, _Load):
                yield (*loads, opened)


class _Search:
    """Branch and bound over tenants in a fixed order, depth first."""

    def __init__(self, packer: _Packer, order: Sequence[Tenant], start: Loads, bound: float) -> None:
        """Search from a first packing until the bound is met, nothing is left, or the nodes are used up."""
        self._packer, self._order, self._bound = packer, order, bound
        self._nodes = MAX_NODES
        self.best, self._best_usd = start, packer.cost(start)
        self._descend((), 0)

    @property
    def complete(self) -> bool:
        """Whether the best is proven to be the cheapest."""
        return self._nodes > 0

    def _descend(self, loads: Loads, depth: int) -> None:
        self._nodes -= 1
        usd = max(self._packer.cost(loads), self._bound)
        if self._nodes <= 0 or usd >= self._best_usd - _EPSILON:
            return
        if depth == len(self._order):
            self.best, self._best_usd = loads, usd
            return
        for branch in self._packer.branches(loads, self._order[depth]):
            self._descend(branch, depth + 1)
