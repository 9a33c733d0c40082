"""Several models on shared accelerators: who sits with whom, at what price, and how far that may be from the best.

An accelerator is used in one of two ways.

- Cut into equal slices (MIG): each tenant has a slice to itself, with the slice's memory and speed.
- Whole: one tenant alone, or several that take turns (time-slicing). Nothing isolates their memory, so it adds up:
  Σ memory ≤ usable memory. The driver gives an equal share of the time to all processes that have work, so that of n
  tenants each has at least 1/n of it whatever the others do: each has to keep its targets on (1 - headroom)/n of the
  time, which bounds n, and Σ busy ≤ 1 - headroom. Kinds of models may mix: nothing of the neighbours' requests counts.
  Tenants that name one server may be models of one process, which takes its own memory once and is one pod: all of
  them, or none where that does not fit.

The machine has to hold the pods of all: Σ of their processors and memory ≤ an equal part of it for each accelerator.

The price is that of whole machines: Σ over hosts of ⌈accelerators used ÷ accelerators of one⌉ × USD/h, with what the
seats cost beside them. A tenant with a price of its own may stay out of all groups at that price, so that one more such
tenant never adds more than it; it does so where it would have a machine of one accelerator to itself. For few tenants
the price is proven to be the least, by branch and bound. For many, and for few where that takes too long, first-fit
decreasing, less the groups that cost more than their tenants' own machines, or what a program chooses among the groups
that first-fit forms of the tenants in many orders, whichever is cheaper, stands beside a lower bound; each group is
offered on the machine of one accelerator that holds it at the least price. The bound: of each resource by itself
(memory, time, number of tenants, memory and processors of the machine) a tenant takes at least its part of an
accelerator in whatever group it is.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from advisor.plan.solve.solver import Program
from advisor.plan.tenants import (
    OWN,
    Host,
    Load,
    Loads,
    Obstacle,
    Packing,
    Parts,
    Tenant,
    Way,
    added,
    group_usd,
    on_its_own,
    own_usd,
    parts_of,
    pays_beside,
    settled,
)
from advisor.units import HOURS_PER_MONTH, ROUNDING

HEADROOM = 0.15
"""Share of an accelerator's time that is left free where several take turns, for switching and for bursts that meet: an
assumption, nothing measured."""
EXACT_TENANTS = 16
"""Most tenants that the search for the cheapest packing is worth its time for."""
ORDERS = 60
"""Orders of many tenants in which first-fit forms groups, at most."""
PAIRS = 400_000
"""Pairs of tenants in all orders, at most: with more than two hundred tenants there are fewer than ten orders."""
BRANCHES = 20
"""Branches of the program that chooses among those groups."""
MAX_NODES = 100_000
"""Partial packings that it looks at before it settles for the bound: a second at most."""


def pack_shared(tenants: Sequence[Tenant], hosts: Sequence[Host], headroom: float = HEADROOM) -> Packing:
    """Seat tenants on as cheap machines as possible.

    *hosts*: machines that may be bought, as many of each as it takes; names are unique. *headroom*: share of time that
    stays free where several take turns.
    """
    packer = _Packer(hosts, headroom)
    seats = {tenant.name: packer.alone(tenant) for tenant in tenants}
    placed = [tenant for tenant in tenants if packer.opened(tenant)]
    loads, bound = packer.pack(placed)
    usd = packer.cost(loads)
    return Packing(
        groups=tuple(load.group() for load in loads if load.way is not OWN),
        own=tuple(name for load in loads if load.way is OWN for name in load.group().tenants),
        instances=packer.instances(loads),
        usd_per_hour=usd,
        bound_usd_per_hour=bound,
        gap_ratio=(usd - bound) / usd if usd > bound else 0.0,
        unplaced=tuple(tenant.name for tenant in tenants if tenant not in placed),
        rejections=tuple(
            outcome for outcomes in seats.values() for outcome in outcomes if isinstance(outcome, Obstacle)
        ),
    )


class _Packer:
    """The hosts, the rules, and the search for a cheap packing."""

    def __init__(self, hosts: Sequence[Host], headroom: float) -> None:
        """List the ways to use an accelerator."""
        self._headroom = headroom
        self._ways = [Way(host, "", host.memory_gib, math.inf) for host in hosts]
        self._ways += [
            Way(host, slice_.name, slice_.memory_gib, slice_.per_accelerator)
            for host in hosts
            for slice_ in host.slices
        ]
        self._sizes = {host.name: host.accelerators for host in hosts}
        self._prices = {host.name: host.usd_per_hour for host in hosts}
        self._opened: dict[str, list[Load]] = {}
        self._seated: dict[str, dict[tuple[str, str], Way]] = {}
        self._singles: dict[frozenset[str], Load | None] = {}
        self._parts: dict[tuple[str, int], Parts] = {}

    def alone(self, tenant: Tenant) -> list[Load | Obstacle]:
        """The tenant as the first one of each way."""
        return [Load(way).join(tenant, self._headroom) for way in self._ways]

    def opened(self, tenant: Tenant) -> list[Load]:
        """The tenant by itself in every way that it can be: as the first of a group, or on machines of its own."""
        if tenant.name not in self._opened:
            own = [on_its_own(tenant)] if tenant.own_usd_per_hour < math.inf else []
            self._opened[tenant.name] = [*(load for load in self.alone(tenant) if isinstance(load, Load)), *own]
        return self._opened[tenant.name]

    def instances(self, loads: Loads) -> dict[str, int]:
        """Machines of each host that the groups fill."""
        used: dict[str, int] = {}
        for load in loads:
            if load.way is not OWN:
                used[load.way.host.name] = used.get(load.way.host.name, 0) + 1
        return {name: -(-count // self._sizes[name]) for name, count in used.items()}

    def cost(self, loads: Loads) -> float:
        """USD per hour of whole machines, and of what is paid beside them."""
        machines = sum([count * self._prices[name] for name, count in self.instances(loads).items()])
        return machines + sum([load.extra_usd_per_hour for load in loads])

    def pack(self, tenants: Sequence[Tenant]) -> tuple[Loads, float]:
        """The cheapest packing found, and a bound that no packing is below."""
        least = {tenant.name: self._least(tenant) for tenant in tenants}
        order = sorted(tenants, key=lambda tenant: (-max(least[tenant.name]), tenant.name))
        starts = [self._first_fit(order, way) for way in (None, *self._ways)]
        starts = [settled(self._repriced(loads)) for loads in (self._one_each(order), *starts)]
        best = min((*starts, *map(self._relieved, starts)), key=self.cost)
        usd = max(map(sum, zip(*least.values(), strict=True)), default=0.0)
        bound = usd if any(map(pays_beside, tenants)) else self._whole_machines(usd)
        if len(tenants) <= EXACT_TENANTS:
            search = _Search(self, [(tenant, least[tenant.name]) for tenant in order], best, bound)
            if search.complete:
                return search.best, self.cost(search.best)
            best = self._repriced(search.best)
        return min(best, settled(self._repriced(self._combined(order))), key=self.cost), bound

    def _combined(self, tenants: Sequence[Tenant]) -> Loads:
        """About the cheapest packing of groups that first-fit forms of the tenants in many orders.

        A covering program chooses among them; whoever is then in two groups leaves the one that is paid for anyway.
        """
        groups = self._groups(tenants)
        program = Program()
        seats: dict[str, list[tuple[int, float]]] = {tenant.name: [] for tenant in tenants}
        used: dict[str, list[tuple[int, float]]] = {}
        for load in groups:
            variable = program.variable(upper=1.0, integer=True)
            program.add_cost(variable, load.extra_usd_per_hour * HOURS_PER_MONTH)
            for tenant in load.tenants:
                seats[tenant.name].append((variable, 1.0))
            if load.way is not OWN:
                used.setdefault(load.way.host.name, []).append((variable, 1.0))
        for name, terms in seats.items():
            program.row(name, terms, lower=1.0)
        for host, terms in used.items():
            machines = program.variable(integer=True)
            program.add_cost(machines, self._prices[host] * HOURS_PER_MONTH)
            program.row(host, [*terms, (machines, -float(self._sizes[host]))], upper=0.0)
        solution = program.solve(roughly=True, branches=BRANCHES)
        values = solution.values if solution.found else np.zeros(len(groups))
        chosen = [load for load, value in zip(groups, values, strict=False) if round(float(value)) == 1]
        return self._each_once(chosen) if solution.found else self._one_each(tenants)

    def _groups(self, tenants: Sequence[Tenant]) -> list[Load]:
        """Distinct groups of first-fit, of tenants in random orders that are the same every time; all alone too.

        Each is offered on the machine of one accelerator that holds it at the least price, wherever it was formed.
        """
        draw, order = np.random.default_rng(0), list(tenants)
        groups = [load for tenant in tenants for load in self.opened(tenant)]
        ways = [None, *self._ways]
        for at in range(min(ORDERS, PAIRS // len(order) ** 2)):
            groups += self._first_fit([order[place] for place in draw.permutation(len(order))], ways[at % len(ways)])
        offered = [offer for load in groups for offer in self._offers(load)]
        by_members = {(id(load.way), frozenset(tenant.name for tenant in load.tenants)): load for load in offered}
        return list(by_members.values())

    def _offers(self, load: Load) -> Iterator[Load]:
        """The group on the cheapest machine of one accelerator, and where it stands if that machine has several."""
        single = self._cheapest_single(load)
        if single is None or load.way.host.accelerators > 1:
            yield load
        if single is not None:
            yield single

    def _repriced(self, loads: Loads) -> Loads:
        """The same with each group on the machine of one accelerator that holds it at the least price."""
        for at, load in enumerate(loads):
            single = self._cheapest_single(load)
            if single is not None and single.usd_per_hour < load.usd_per_hour - ROUNDING:
                loads = min(loads, (*loads[:at], single, *loads[at + 1 :]), key=self.cost)
        return loads

    def _cheapest_single(self, load: Load) -> Load | None:
        """The group on the cheapest machine of one accelerator that holds it; None where none does, or of one alone."""
        if load.way is OWN:
            return None
        members = frozenset(tenant.name for tenant in load.tenants)
        if members not in self._singles:
            first, *others = map(self._seats, load.tenants)
            ways = [way for key, way in first.items() if all(key in seats for seats in others)]
            ways = [way for way in ways if way.host.accelerators == 1]
            ways.sort(key=lambda way: group_usd(load.tenants, way))
            held = (moved for way in ways if (moved := self._on(way, load.tenants)) is not None)
            self._singles[members] = next(held, None)
        return self._singles[members]

    def _seats(self, tenant: Tenant) -> dict[tuple[str, str], Way]:
        """Ways in which a tenant may be the first on an accelerator, by host and slice."""
        if tenant.name not in self._seated:
            ways = (load.way for load in self.opened(tenant) if load.way is not OWN)
            self._seated[tenant.name] = {(way.host.name, way.slice): way for way in ways}
        return self._seated[tenant.name]

    def _on(self, way: Way, tenants: Sequence[Tenant]) -> Load | None:
        """Some tenants on one accelerator; None where they do not fit."""
        load: Load | Obstacle = Load(way)
        for tenant in tenants:
            load = load.join(tenant, self._headroom) if isinstance(load, Load) else load
        return load if isinstance(load, Load) else None

    def _each_once(self, chosen: Sequence[Load]) -> Loads:
        """Groups without the tenants that an earlier one has, each made anew."""
        seated: set[str] = set()
        loads: list[Load] = []
        for load in sorted(chosen, key=lambda load: -len(load.tenants)):
            left = [tenant for tenant in load.tenants if tenant.name not in seated]
            seated |= {tenant.name for tenant in left}
            if load.way is OWN or len(left) == len(load.tenants):
                loads += [load] if left else []
                continue
            again = self._on(load.way, left)
            loads += map(self._alone, left) if again is None or not left else [again]
        return tuple(loads)

    def _alone(self, tenant: Tenant) -> Load:
        return self._cheapest(tenant, None)

    def _least(self, tenant: Tenant) -> Parts:
        """USD per hour that the tenant takes of each resource at the least."""
        return tuple(map(min, zip(*(self.parts(tenant, load.way) for load in self.opened(tenant)), strict=True)))

    def parts(self, tenant: Tenant, way: Way) -> Parts:
        """Price of the part of each resource that the tenant takes, see :func:`parts_of`."""
        key = tenant.name, id(way)
        if key not in self._parts:
            self._parts[key] = parts_of(tenant, way)
        return self._parts[key]

    def _relieved(self, loads: Loads) -> Loads:
        """The same without machines that cost more than those of their tenants' own, what saves least first."""
        for load in sorted(loads, key=own_usd):
            others = tuple(other for other in loads if other is not load)
            without = (*others, *map(on_its_own, load.tenants))
            if own_usd(load) < math.inf and self.cost(without) < self.cost(loads) - ROUNDING:
                loads = without
        return loads

    def _whole_machines(self, usd_per_hour: float) -> float:
        """The least price of whole machines that is not below a sum of shares."""
        prices = set(self._prices.values())
        if usd_per_hour <= 0 or not prices:
            return 0.0
        if len(prices) == 1:
            (price,) = prices
            return math.ceil(usd_per_hour / price - ROUNDING) * price
        return max(usd_per_hour, min(prices))

    def _one_each(self, order: Sequence[Tenant]) -> Loads:
        """An accelerator for each tenant, the cheapest."""
        return tuple(self._cheapest(tenant, None) for tenant in order)

    def _first_fit(self, order: Sequence[Tenant], preferred: Way | None) -> Loads:
        """First-fit decreasing; a tenant that fits into no group opens one the preferred way where it can."""
        loads: list[Load] = []
        for tenant in order:
            for index, load in enumerate(loads):
                joined = load.join(tenant, self._headroom)
                if isinstance(joined, Load):
                    loads[index] = joined
                    break
            else:
                loads.append(self._cheapest(tenant, preferred))
        return tuple(loads)

    def _cheapest(self, tenant: Tenant, preferred: Way | None) -> Load:
        def order(load: Load) -> tuple[bool, float, float]:
            return load.way is not preferred, load.way.usd_per_hour + load.extra_usd_per_hour, load.way.seats

        return min(self.opened(tenant), key=order)

    def branches(self, loads: Loads, tenant: Tenant) -> Iterator[tuple[Loads, Way]]:
        """Every way to seat one more tenant: with a group that is there (of equal ones the first), or apart."""
        tried = set()
        for index, load in enumerate(loads):
            alike = (id(load.way), len(load.tenants), *load.sums)
            joined = load.join(tenant, self._headroom)
            if isinstance(joined, Load) and alike not in tried:
                tried.add(alike)
                yield (*loads[:index], joined, *loads[index + 1 :]), load.way
        for opened in self.opened(tenant):
            yield (*loads, opened), opened.way


class _Search:
    """Branch and bound over tenants in a fixed order, depth first.

    Whatever becomes of a partial packing, it costs at least its machines, and at least the parts of each resource that
    its tenants take there together with the least that those to come take.
    """

    def __init__(self, packer: _Packer, order: Sequence[tuple[Tenant, Parts]], start: Loads, bound: float) -> None:
        """Search from a first packing until the bound is met, nothing is left, or the nodes are used up."""
        self._packer, self._order, self._bound = packer, [tenant for tenant, _ in order], bound
        self._to_come: list[Parts] = [(0.0,) * 5]
        for _, least in reversed(order):
            self._to_come.insert(0, added(least, self._to_come[0]))
        self._nodes = MAX_NODES
        self.best, self._best_usd = start, packer.cost(start)
        self._descend((), (0.0,) * 5, 0)

    @property
    def complete(self) -> bool:
        """Whether the best is proven to be the cheapest."""
        return self._nodes > 0

    def _descend(self, loads: Loads, taken: Parts, depth: int) -> None:
        self._nodes -= 1
        least = max(self._bound, *added(taken, self._to_come[depth]))
        if self._nodes <= 0 or least >= self._best_usd - ROUNDING:
            return
        is_whole = depth == len(self._order)
        loads = settled(loads) if is_whole else loads
        usd = self._packer.cost(loads)
        if usd >= self._best_usd - ROUNDING:
            return
        if is_whole:
            self.best, self._best_usd = loads, usd
            return
        tenant = self._order[depth]
        for branch, way in self._packer.branches(loads, tenant):
            self._descend(branch, added(taken, self._packer.parts(tenant, way)), depth + 1)
