"""Tenants of shared accelerators, the machines they may sit on, and who sits where."""

import math
from collections.abc import Mapping

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
