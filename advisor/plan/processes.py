"""Processes that serve the tenants of an accelerator: one each, or one for all tenants whose server is the same.

CUDA shares an accelerator's time among processes. Of p processes one with m models gives each of them 1/(p m) of the
time, if its models have equal parts of its own: each is one instance on a stream of its own, with a batch at a time.
"""

import math
from collections.abc import Iterator, Sequence

from advisor.plan.tenants import Need
from advisor.records import dataclass


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
