"""Seats of workloads on a shared machine: their values, charges beside the machine, and turns or parts by MPS.

Turns: CUDA gives all processes of a GPU that have work an equal share of its time (README of NVIDIA's device plugin,
read in November 2026): of n tenants each has at least an n-th, whatever the others send. On an n-th of the time a
replica is one whose clock runs n times slower: it keeps its targets where one of its own keeps an n-th of them at n
times the rate. Nothing of the neighbours counts but their number, and kinds of models may mix.

Parts: NVIDIA's device plugin limits each of n clients of an MPS server to 100 ÷ n percent of the threads, rounded down
to whole percents, and to an n-th of the memory (``activeThreadPercentage`` and ``perDevicePinnedDeviceMemoryLimits`` of
its MPS daemon, release 0.20). Kernels of all run at once, so nothing is lost to switching; but caches and memory
bandwidth are not divided, and no published figure bounds what neighbours take of them. The same headroom stays for
that, and of the bandwidth each is taken to have no larger part than of the threads. A part is therefore never planned
to be faster than a turn.
"""

from collections.abc import Sequence
from enum import StrEnum

from advisor.candidates import Candidate
from advisor.catalog import Catalog
from advisor.cost.standing import Machines
from advisor.deployable import logs_requests, needs_cluster, speaks_https
from advisor.performance import Interval
from advisor.performance.model import PerformanceModel
from advisor.performance.queueing import bursts_of
from advisor.performance.stage import rates_within
from advisor.plan.fleet.chosen import Layout
from advisor.plan.problem.charges import Place, charges_at, transfer_usd_per_request
from advisor.plan.sharing import HEADROOM
from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field, replace
from advisor.requirements import Requirements
from advisor.units import HOURS_PER_MONTH, SECONDS_PER_MONTH
from advisor.workload.values import Slo

_NVIDIA = "nvidia"
MOST_SHARERS = 8
"""Tenants of one accelerator at most: MPS takes 48 clients, ``most_clients`` in deployment_limits.csv."""


def beside_usd_per_month(
    requirements: Requirements, catalog: Catalog, candidate: Candidate, place: Place, load: tuple[float, int]
) -> float:  # fmt: skip
    """USD a month of a region for a workload there, as of a fleet of its own, to the cent.

    *load*: its mean rate in requests per second, and machines that run all the time.
    """
    rate, copies = load
    peak = requirements.demand.requests_per_second.peak
    charges = charges_at(requirements, catalog, place, _machines(candidate, catalog), peak)
    logged = rate if logs_requests(candidate.engine, catalog) else 0.0
    standing = charges.usd_per_month(logged, rate, float(copies * HOURS_PER_MONTH)) if charges else 0.0
    http_requests = candidate.http_requests(requirements.demand)
    transfer = transfer_usd_per_request(requirements, catalog, place, http_requests) * rate * SECONDS_PER_MONTH
    return round(round(standing, 2) + round(transfer, 2), 2)


def _machines(candidate: Candidate, catalog: Catalog) -> Machines:
    """Machines that code starts for a fleet of such."""
    https = speaks_https(candidate.engine, candidate.engine_version, catalog)
    machine = candidate.instance_type
    if not needs_cluster(machine.provider, machine.name, catalog, https=https):
        return Machines.HOSTS
    return Machines.GPU_NODES if candidate.accelerator.vendor == _NVIDIA else Machines.NODES


class Way(StrEnum):
    """Way in which tenants share an accelerator that is not cut."""

    TURNS = "turns"
    """The whole accelerator, one after another."""
    MPS = "mps"
    """At once, each within an equal part of its threads and memory."""


def most_sharers(
    candidates: Sequence[Candidate],
    rate: float,
    asked: Requirements,
    model: PerformanceModel,
    way: Way = Way.TURNS,
) -> list[int]:
    """The most tenants, itself among them, beside whom a replica of each candidate keeps the targets; 1: alone.

    *candidates*: whole accelerators, on which it keeps them alone. *rate*: requests per second that a replica carries.
    """
    spread = [times_slower(sharers, way) for sharers in range(2, MOST_SHARERS + 1)]
    cases = [(asked.demand.tokens, on_a_part(asked.workload.slo, times)) for times in spread]
    sustained = rates_within(candidates, asked, model, cases, bursts_of(asked.demand))
    sharers_of = []
    for at in range(len(candidates)):
        kept = [bool(sustained[row, at] >= rate * times) for row, times in enumerate(spread)]
        sharers_of.append(1 + next((row for row, is_kept in enumerate(kept) if not is_kept), len(kept)))
    return sharers_of


def times_slower(sharers: int, way: Way = Way.TURNS) -> float:
    """How many times slower the clock of one of several tenants runs; that of one who is alone as ever."""
    if sharers <= 1:
        return 1.0
    parts = sharers if way is Way.TURNS else 100 / thread_percent(sharers)
    return parts / (1 - HEADROOM)


def thread_percent(sharers: int) -> int:
    """Percent of an accelerator's threads that MPS lets each of several clients use."""
    return 100 // sharers


def part_gib(accelerator_gib: float, sharers: int) -> float:
    """GiB that MPS lets each of several clients of an accelerator allocate."""
    return accelerator_gib / sharers


def on_a_part(slo: Slo, times: float) -> Slo:
    """Targets as a clock shows them that runs so many times slower."""

    def part(target: float | None) -> float | None:
        return None if target is None else target / times

    return replace(
        slo,
        ttft_p95_ms=part(slo.ttft_p95_ms),
        tpot_p95_ms=part(slo.tpot_p95_ms),
        e2e_p95_ms=part(slo.e2e_p95_ms),
        latency_ms=part(slo.latency_ms),
        real_time_factor=part(slo.real_time_factor),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat(Layout):
    """A workload's replica on each copy of a shared machine: beside others on an accelerator, or on a slice of one."""

    workload: str
    """File, told from the directory."""
    planned_requests_per_second_per_instance: float
    """Rate that each copy carries where the others that the limits let fail are gone."""
    requests_per_second_per_replica: Interval
    """Largest rate within the SLO when it has the seat to itself."""
    evidence: str
    busy_ratio: float
    """Planned rate ÷ largest rate within the SLO."""
    memory_gib: float
    """Memory that it takes: weights, workspace, runtime and the KV cache of what runs at the load."""
    usable_gib: float
    """Memory of the slice or the part by MPS that it may take, or of the accelerator for all who take turns there."""
    most_sharers: int | None
    """Tenants of an accelerator among whom it keeps its SLO, and by MPS has memory; None: it has a slice to itself."""
    kv_cache_gib: float | None = None
    """KV cache that it is planned with beside others on an accelerator, to be given to the engine as it starts: what
    is free then depends on how far the others are. None: it has a slice to itself, or keeps no cache."""
    within_slo_ratio: float | None = None
    """Of a replay of its requests on its part of the time; None: none was made."""
    instance_usd_per_hour: float
    price_source: str
    price_as_of: str
    price_quality: str
    server: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Image of a server that may hold the models of others on the accelerator with its own; "": it does not."""
    server_gib: float = field(default=0.0, metadata=OMITTED_AT_DEFAULT)
    """Part of its memory that such a server takes once."""
    way: Way = field(default=Way.TURNS, metadata=OMITTED_AT_DEFAULT)
    """Way of sharing an accelerator that is not cut."""

    @property
    def image(self) -> str:
        """Image that it runs: engines of one name, or of one server, share it."""
        return self.server or self.engine
