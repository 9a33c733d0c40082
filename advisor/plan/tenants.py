"""Tenants of shared accelerators, the machines that they may sit on, and the processes that serve them.

CUDA shares an accelerator's time among processes. Of p processes one with m models gives each of them 1/(p m) of the
time, if its models have equal parts of its own: each is one instance on a stream of its own, with a batch at a time.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

from advisor.records import dataclass


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
    """Equal parts of an accelerator's time of which a tenant has one.

    Args:
        tenants: of the accelerator.
        servers: those of them whose models one process holds, process by process.
        name: of the tenant.
    """
    processes = len(tenants) - sum(len(members) - 1 for members in servers)
    return processes * next((len(members) for members in servers if name in members), 1)


def _together(processes: Sequence[Sequence[Named]]) -> Processes:
    limits = [
        (len(processes) * len(members), min(need.most_sharers for _, need in members)) for members in processes
    ]  # fmt: skip
    parts, most_parts = max(limits, key=lambda limit: limit[0] - limit[1])
    return Processes(
        memory_gib=math.fsum(_memory_gib(members) for members in processes),
        host_gib=sum(max(need.host_gib for _, need in members) for members in processes),
        cores=sum(max(need.cores for _, need in members) for members in processes),
        parts=parts,
        most_parts=most_parts,
        servers=tuple(tuple(name for name, _ in members) for members in processes if len(members) > 1),
    )


def _memory_gib(members: Sequence[Named]) -> float:
    """Memory of a process: its own once, and that of each model."""
    return math.fsum(_parts_of_memory([need for _, need in members]))


def _parts_of_memory(needs: Sequence[Need]) -> Iterator[float]:
    yield max(need.server_gib for need in needs)
    yield from (need.memory_gib - need.server_gib for need in needs)
