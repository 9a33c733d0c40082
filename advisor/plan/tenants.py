"""Tenants of shared accelerators, the machines that they may sit on, their processes, and the load of one accelerator.

CUDA shares an accelerator's time among processes. Of p processes one with m models gives each of them 1/(p m) of the
time, if its models have equal parts of its own: each is one instance on a stream of its own, with a batch at a time.
"""

import math
import operator
from collections.abc import Iterator, Mapping, Sequence

from advisor.records import dataclass, replace
from advisor.units import ROUNDING


@dataclass(frozen=True, slots=True)
class Need:
    """Resources that a tenant takes of one kind of slot."""

    memory_gib: float
    """Weights, workspace, runtime and the KV cache of the requests that run at the planned load."""
    busy_ratio: float
    """Planned rate ÷ the largest rate that keeps the tenant's SLO when it has the seat to itself."""
    most_sharers: float = math.inf
    """Tenants among whom it keeps its targets on an equal part of the time of a whole accelerator; 1: alone only."""
    host_gib: float = 0.0
    """Memory of the machine that its pod asks for."""
    cores: float = 0.0
    """Processors of the machine that its pod asks for."""
    usd_per_hour: float = 0.0
    """Cost of the seat beside the machine, such as the disk for its weights."""
    image: str = ""
    """Image that it runs, which tenants of an accelerator keep once; "" for none."""
    server: str = ""
    """Server whose one process may hold the models of several tenants of an accelerator; "": it is of one."""
    server_gib: float = 0.0
    """Part of its memory that such a process takes once."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A model with its load."""

    name: str
    needs: Mapping[tuple[str, str], Need]
    """By host and slice, "" for the whole accelerator; where there is none, it cannot run."""
    latency_critical: bool = False
    """Takes turns with nobody."""
    own_usd_per_hour: float = math.inf
    """Price of staying on machines of its own; infinite: it has to be seated."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A profile that an accelerator can be cut into."""

    name: str
    memory_gib: float
    """Usable, as the engine may take it."""
    per_accelerator: int


@dataclass(frozen=True, slots=True)
class Host:
    """A machine as it is bought."""

    name: str
    usd_per_hour: float
    memory_gib: float
    """Usable on one accelerator."""
    accelerators: int = 1
    slices: tuple[Slice, ...] = ()
    host_gib: float = math.inf
    """Memory of the machine that pods may ask for together."""
    cores: float = math.inf
    """Processors of the machine that pods may ask for together."""
    image_usd_per_hour: float = 0.0
    """Cost of each image on it, for each accelerator that runs it."""


@dataclass(frozen=True, slots=True)
class Group:
    """Tenants of one accelerator."""

    host: str
    slice: str
    """Slices that it is cut into; "" for none."""
    tenants: tuple[str, ...]
    memory_gib: float
    """Of all tenants."""
    busy_ratio: float
    """Of the time of the accelerator, or of the busiest slice."""
    servers: tuple[tuple[str, ...], ...] = ()
    """Tenants whose models one process holds, process by process; the others have one each."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a tenant cannot have a kind of seat even to itself."""

    tenant: str
    host: str
    slice: str
    code: str
    """not_offered, memory, busy, sharers, host_memory, processors."""
    needed: float | None
    available: float | None
    unit: str


@dataclass(frozen=True, slots=True)
class Packing:
    """Tenants by machine, and how good that packing is."""

    groups: tuple[Group, ...]
    own: tuple[str, ...]
    """Tenants that stay on machines of their own."""
    instances: Mapping[str, int]
    """Machines of each host that is used."""
    usd_per_hour: float
    bound_usd_per_hour: float
    """No packing costs less."""
    gap_ratio: float
    """(price - bound) ÷ price: 0 when proven."""
    unplaced: tuple[str, ...]
    """Tenants that no seat is large or fast enough for; they are in no group and no price."""
    rejections: tuple[Obstacle, ...]


@dataclass(frozen=True, slots=True)
class Processes:
    """Memory, pods and parts of the time of all processes of an accelerator."""

    memory_gib: float = 0.0
    host_gib: float = 0.0
    cores: float = 0.0
    parts: int = 0
    """Equal parts of the time, of which the tenant that is closest to its limit has one."""
    most_parts: float = math.inf
    """Those among which that tenant keeps its targets."""
    servers: tuple[tuple[str, ...], ...] = ()
    """Tenants of each process with several."""

    def beside(self, need: Need) -> "Processes":
        """Processes of one tenant each with one more."""
        return Processes(
            self.memory_gib + need.memory_gib,
            self.host_gib + need.host_gib,
            self.cores + need.cores,
            self.parts + 1,
            min(self.most_parts, need.most_sharers),
        )


NONE = Processes()
Named = tuple[str, Need]
"""Name of a tenant, and its need."""


def in_servers(tenants: Sequence[Named]) -> Processes | None:
    """Processes of tenants of which those of one server are in one; None where no server has several."""
    servers = [need.server for _, need in tenants if need.server]
    if len(set(servers)) == len(servers):
        return None
    by_server: dict[str, list[Named]] = {}
    for name, need in tenants:
        if need.server:
            by_server.setdefault(need.server, []).append((name, need))
    return _together([*by_server.values(), *([tenant] for tenant in tenants if not tenant[1].server)])


def parts_of_time(tenants: Sequence[str], servers: Sequence[Sequence[str]], name: str) -> int:
    """Equal parts of an accelerator's time of which a tenant has one; *servers*: tenants of each process."""
    processes = len(tenants) - sum(len(members) - 1 for members in servers)
    return processes * next((len(members) for members in servers if name in members), 1)


def _together(processes: Sequence[Sequence[Named]]) -> Processes:
    limits = [
        (len(processes) * len(members), min(need.most_sharers for _, need in members)) for members in processes
    ]  # fmt: skip
    parts, most_parts = max(limits, key=lambda limit: limit[0] - limit[1])
    return Processes(
        memory_gib=math.fsum(math.fsum(_parts_of_memory([need for _, need in members])) for members in processes),
        host_gib=sum(max(need.host_gib for _, need in members) for members in processes),
        cores=sum(max(need.cores for _, need in members) for members in processes),
        parts=parts,
        most_parts=most_parts,
        servers=tuple(tuple(name for name, _ in members) for members in processes if len(members) > 1),
    )


def _parts_of_memory(needs: Sequence[Need]) -> Iterator[float]:
    yield max(need.server_gib for need in needs)
    yield from (need.memory_gib - need.server_gib for need in needs)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to use one accelerator of a host."""

    host: Host
    slice: str
    memory_gib: float
    seats: float

    @property
    def usd_per_hour(self) -> float:
        """Price of one accelerator, when all of the machine are used."""
        return self.host.usd_per_hour / self.host.accelerators


OWN = Way(Host("", 0.0, 0.0), "", 0.0, 1.0)
"""Machines of a tenant's own, which nobody joins."""


@dataclass(frozen=True, slots=True)
class Load:
    """One accelerator with its tenants."""

    way: Way
    tenants: tuple[Tenant, ...] = ()
    needs: tuple[Named, ...] = ()
    """Facts of each tenant there, by its name; empty for one on its own."""
    busy_ratio: float = 0.0
    extra_usd_per_hour: float = 0.0
    """Price of what it takes beside the machine: its seats, and the images on it; of a tenant on its own, all of it."""
    images: frozenset[str] = frozenset()
    apart: Processes = NONE
    """Processes of its tenants where each has one."""
    processes: Processes = NONE
    """Those that it has: apart, or with tenants of one server in one."""

    def join(self, tenant: Tenant, headroom: float) -> "Load | Obstacle":
        """The same with one more tenant, or what stands against it."""
        way = self.way
        need = tenant.needs.get((way.host.name, way.slice))
        if need is None or not self._has_seat(tenant):
            return self._obstacle(tenant, "not_offered", None, None, "")
        obstacle = None
        for joined in self._with(tenant, need):
            obstacle = next(joined.obstacles(need, headroom), None)
            if obstacle is None:
                return joined
        return self._obstacle(tenant, *(obstacle or ("not_offered", None, None, "")))

    def obstacles(self, last: Need, headroom: float) -> Iterator[tuple[str, float, float, str]]:
        """Checks that the load with its last tenant does not pass."""
        for code, needed, available, unit in self.checks(last, headroom):
            if needed > available + ROUNDING:
                yield code, needed, available, unit

    def _with(self, tenant: Tenant, need: Need) -> Iterator["Load"]:
        """The load with one more tenant, with those of one server in one process first."""
        busy = max(self.busy_ratio, need.busy_ratio) if self.way.slice else self.busy_ratio + need.busy_ratio
        apart = self.apart.beside(need)
        is_new = bool(need.image) and need.image not in self.images
        extra = self.extra_usd_per_hour + need.usd_per_hour + (self.way.host.image_usd_per_hour if is_new else 0.0)
        joined = Load(
            way=self.way,
            tenants=(*self.tenants, tenant),
            needs=(*self.needs, (tenant.name, need)),
            busy_ratio=busy,
            extra_usd_per_hour=extra,
            images=self.images | {need.image} if is_new else self.images,
            apart=apart,
            processes=apart,
        )
        shared = None if self.way.slice else in_servers(joined.needs)
        if shared is not None:
            yield replace(joined, processes=shared)
        yield joined

    def checks(self, last: Need, headroom: float) -> Iterator[tuple[str, float, float, str]]:
        """Needs of the load with its last tenant, and what there is of each."""
        host, memory, taken = self.way.host, self.way.memory_gib, self.processes
        if self.way.slice:
            yield "memory", last.memory_gib, memory, "GiB"
            yield "busy", last.busy_ratio, 1.0, "share"
        else:
            yield "memory", taken.memory_gib, memory, "GiB"
            yield "busy", self.busy_ratio, 1 - headroom if len(self.tenants) > 1 else 1.0, "share"
            yield "sharers", taken.parts, taken.most_parts, "tenants"
        yield "host_memory", taken.host_gib, host.host_gib / host.accelerators, "GiB"
        yield "processors", taken.cores, host.cores / host.accelerators, "cores"

    @property
    def usd_per_hour(self) -> float:
        """Price of it when all accelerators of the machine are used."""
        return self.way.usd_per_hour + self.extra_usd_per_hour

    def _has_seat(self, tenant: Tenant) -> bool:
        apart = any(seated.latency_critical for seated in (*self.tenants, tenant))
        return len(self.tenants) < (1 if apart and not self.way.slice else self.way.seats)

    def _obstacle(
        self, tenant: Tenant, code: str, needed: float | None, available: float | None, unit: str
    ) -> Obstacle:  # fmt: skip
        return Obstacle(tenant.name, self.way.host.name, self.way.slice, code, needed, available, unit)

    @property
    def sums(self) -> tuple[float | str, ...]:
        """Sums and limits that decide who may join."""
        taken = self.processes
        in_server = sorted(
            (need.server, need.server_gib, need.memory_gib, need.most_sharers) for _, need in self.needs if need.server
        )
        sums = (taken.memory_gib, self.busy_ratio, taken.parts, taken.most_parts, taken.host_gib, taken.cores)
        return (*sums, *sorted(self.images), *(value for values in in_server for value in values))

    def group(self) -> Group:
        """Group as it is handed out."""
        names = tuple(tenant.name for tenant in self.tenants)
        taken = self.processes
        return Group(self.way.host.name, self.way.slice, names, taken.memory_gib, self.busy_ratio, taken.servers)


Loads = tuple[Load, ...]
Parts = tuple[float, ...]
"""USD per hour by resource: memory, time, number of tenants, memory and processors of the machine."""


def parts_of(tenant: Tenant, way: Way) -> Parts:
    """Price of the part of each resource of an accelerator that a tenant takes, whoever sits beside it.

    Parts add up, and those of a group are no more than the price of its accelerator and what its seats cost beside it.
    What a server takes once may be another's part: its memory, and what its pod asks of the machine.
    """
    if way is OWN:
        return (tenant.own_usd_per_hour,) * 5
    need, host = tenant.needs[way.host.name, way.slice], way.host
    of_host = (need.host_gib * host.accelerators / host.host_gib, need.cores * host.accelerators / host.cores)
    is_shared = bool(need.server) and not way.slice
    if way.slice:
        of_accelerator = (1 / way.seats,) * 3
    elif tenant.latency_critical:
        of_accelerator = (1.0,) * 3
    else:
        own_gib = need.memory_gib - need.server_gib if is_shared else need.memory_gib
        of_accelerator = (own_gib / way.memory_gib, need.busy_ratio, 1 / need.most_sharers)
    of_host = (0.0, 0.0) if is_shared else of_host
    return tuple(part * way.usd_per_hour + need.usd_per_hour for part in (*of_accelerator, *of_host))


def group_usd(tenants: Sequence[Tenant], way: Way) -> float:
    """USD per hour of some tenants on one accelerator, as :attr:`Load.usd_per_hour` of them."""
    needs = [tenant.needs[way.host.name, way.slice] for tenant in tenants]
    images = {need.image for need in needs if need.image}
    return way.usd_per_hour + sum(need.usd_per_hour for need in needs) + len(images) * way.host.image_usd_per_hour


def pays_beside(tenant: Tenant) -> bool:
    """Whether something else than whole machines may be paid for it."""
    return tenant.own_usd_per_hour < math.inf or any(need.usd_per_hour for need in tenant.needs.values())


def on_its_own(tenant: Tenant) -> Load:
    """A tenant on machines of its own."""
    return Load(OWN, (tenant,), extra_usd_per_hour=tenant.own_usd_per_hour)


def settled(loads: Loads) -> Loads:
    """The same with whoever is by itself on a machine on its own instead: nobody moves to sit alone."""

    def alone(load: Load) -> Load:
        moves = len(load.tenants) == load.way.host.accelerators == 1 and own_usd(load) < math.inf
        return on_its_own(load.tenants[0]) if moves else load

    return tuple(map(alone, loads))


def own_usd(load: Load) -> float:
    """USD per hour of the machines of its tenants' own."""
    return math.fsum(tenant.own_usd_per_hour for tenant in load.tenants)


def added(parts: Parts, others: Parts) -> Parts:
    """Sum of the parts of each resource."""
    return tuple(map(operator.add, parts, others))
