"""Seats on shared accelerators that a small workload could have."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from advisor.catalog import Catalog
from advisor.catalog.values import InstanceType, Offer, Purchase
from advisor.performance.model import PerformanceModel
from advisor.performance.points import length_points
from advisor.performance.served import Served
from advisor.performance.stage import latencies_at_load
from advisor.plan.estate.terms import Sharing
from advisor.plan.problem.formulas import Part, lost_in_zone, share_without
from advisor.plan.problem.pools import quota_key
from advisor.plan.problem.supply import stand_of
from advisor.plan.tenants import Need
from advisor.requirements import Requirements
from advisor.workload.values import Limits, QuotaLimit

MOST_SEATS = 6
"""Of each kind, the cheapest: a workload is packed on one of few machines, so that many find each other there."""
IN_FLIGHT_DEVIATIONS = 2.0
"""Memory is kept for so many standard deviations more requests than run on average (Poisson)."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A slice of an accelerator, or a place beside others on a whole one."""

    stand: str
    slice: str
    """"" for taking turns."""
    usd_per_hour: float
    """Of the machine."""
    accelerators: int
    per_accelerator: int
    memory_gib: float
    """Usable, of the slice or the accelerator."""
    need: Need
    quotas: tuple[tuple[str, float], ...]
    """Units of the estate's quotas that the machine takes."""
    checkpoint_gib: float
    """What the workload keeps on the machine's disk."""

    @property
    def share_usd_per_hour(self) -> float:
        """Price of the slot when all others are taken."""
        part = max(self.need.busy_ratio, self.need.memory_gib / self.memory_gib)
        return self.usd_per_hour / self.accelerators * (1 / self.per_accelerator if self.slice else part)


@dataclass(frozen=True, slots=True)
class Seating:
    """Seats for a workload: as many copies as keep it alive, each on another machine."""

    copies: int
    slots: tuple[Slot, ...]
    tpot_ms: float | None


@dataclass(frozen=True, slots=True)
class Copies:
    """Copies of a workload, each on another machine."""

    count: int
    zones: int
    """That they are spread over."""
    carrying: float
    """The load is so many times what each copy sustains: whichever fails, the others carry what the limits ask for."""


def copies_of(limits: Limits) -> Copies:
    """Copies that the limits ask for, by the rule of redundancy of fleets (see ``formulas.shares_without``)."""
    machine, zone = share_without(limits, Part.MACHINE), share_without(limits, Part.ZONE)
    zones = max(limits.zones, 2 if zone > 0 else 1)
    count = max(limits.min_replicas, zones, 2 if machine > 0 else 1)
    left = ((machine, count - 1), (zone, count - lost_in_zone(count, zones)))
    return Copies(count, zones, min([float(count), *(others / share for share, others in left if share > 0)]))


@dataclass(frozen=True, slots=True, eq=False)
class SlotSearch:
    """Inputs of a search for slots."""

    requirements: Requirements
    catalog: Catalog
    model: PerformanceModel
    sharing: Sharing
    quotas: tuple[QuotaLimit, ...]
    peak_rate: float
    """Requests per second to plan for."""


def seating(
    search: SlotSearch, served: Sequence[Served], offers: Mapping[tuple[str, str], tuple[Offer, ...]]
) -> Seating | None:  # fmt: skip
    """The cheapest seats of a workload; None where it has to stay alone.

    Whoever names where users are, or where requests may be processed, stays alone: a seat is chosen by its price. So
    does batch work: it takes all that a machine has, and the machine is away between its runs.
    """
    workload, demand = search.requirements.workload, search.requirements.demand
    copies = copies_of(workload.limits)
    alone = search.sharing is Sharing.NONE or workload.users or workload.residency
    if alone or demand.batch is not None or demand.beside is not None or Purchase.ON_DEMAND not in workload.purchase:
        return None
    slices = [one for one in served if one.candidate.partition]
    wholes = [one for one in served if _takes_turns(one)] if search.sharing is Sharing.ALL else []
    found = [_cheapest(list(_seats(search, group, offers, copies))) for group in (slices, wholes)]
    slots = [*(slot for _, slot in found[0]), *_with_steps(search, found[1], copies.carrying)]
    return Seating(copies.count, tuple(slots), workload.slo.tpot_p95_ms) if slots else None


def _takes_turns(served: Served) -> bool:
    candidate = served.candidate
    count = candidate.instance_type.accelerator_count or 0.0
    return not candidate.partition and candidate.tensor_parallel == candidate.pipeline_parallel == 1 and count >= 1


def _seats(
    search: SlotSearch, served: Sequence[Served], offers: Mapping[tuple[str, str], tuple[Offer, ...]], copies: Copies
) -> Iterator[tuple[Served, Slot]]:
    resident = length_points(search.requirements.demand.tokens).resident_tokens
    for one in served:
        busy = search.peak_rate / copies.carrying / one.requests_per_second_per_replica.value
        machine = one.candidate.instance_type
        priced = [
            (price.usd_per_hour, offer)
            for offer in offers.get((machine.provider, machine.name), ())  # a type in service may not be in scope
            if (price := search.catalog.price(offer, Purchase.ON_DEMAND)) is not None
            and search.catalog.zones(offer.provider, offer.region, offer.instance_type).count >= copies.zones
        ]
        if busy > 1 or not priced:
            continue
        usd, offer = min(priced, key=lambda pair: pair[0])
        yield one, _seat(search, one, offer, usd, Need(_memory_gib(one, busy, resident), busy, 0.0))


def _seat(search: SlotSearch, served: Served, offer: Offer, usd_per_hour: float, need: Need) -> Slot:
    candidate = served.candidate
    accelerators = max(int(candidate.instance_type.accelerator_count or 1), 1)
    utilization = search.requirements.workload.limits.memory_utilization
    return Slot(
        stand=stand_of(offer.provider, offer.region, offer.instance_type),
        slice=candidate.partition,
        usd_per_hour=usd_per_hour,
        accelerators=accelerators,
        per_accelerator=candidate.replicas_per_instance // accelerators,
        memory_gib=candidate.accelerator.memory_gib * utilization,
        need=need,
        quotas=tuple(_quotas(search, candidate.instance_type, offer)),
        checkpoint_gib=candidate.memory.checkpoint_gib,
    )


def _memory_gib(served: Served, busy: float, resident_tokens: float) -> float:
    """Weights, workspace, runtime, and the KV cache of what runs at the load; no less than loading takes."""
    memory = served.candidate.memory
    running = served.mean_concurrency * busy
    tokens = (running + IN_FLIGHT_DEVIATIONS * math.sqrt(running) + 1) * resident_tokens
    held = memory.kv_cache_tokens
    cache = 0.0 if held is None else memory.kv_cache_gib_available * min(tokens / max(held, 1.0), 1.0)
    return max(memory.weights_gib + memory.workspace_gib + memory.runtime_gib + cache, memory.loading_gib)


def _quotas(search: SlotSearch, machine: InstanceType, offer: Offer) -> Iterator[tuple[str, float]]:
    quota = search.catalog.quota(machine, Purchase.ON_DEMAND)
    for stated in search.quotas:
        here = (stated.provider, stated.region) == (offer.provider, offer.region)
        if here and quota is not None and quota.code == stated.code:
            yield quota_key(stated), search.catalog.quota_use(machine) or 0.0


def _cheapest(found: list[tuple[Served, Slot]]) -> list[tuple[Served, Slot]]:
    """The cheapest machines, with the cheapest seat of each."""
    by_stand: dict[str, tuple[Served, Slot]] = {}
    for served, slot in sorted(found, key=lambda pair: (pair[1].share_usd_per_hour, pair[1].stand)):
        by_stand.setdefault(slot.stand, (served, slot))
    return list(by_stand.values())[:MOST_SEATS]


def _with_steps(search: SlotSearch, found: list[tuple[Served, Slot]], carrying: float) -> Iterator[Slot]:
    """Slots that take turns, with the time of a token at the load."""
    candidates = [served.candidate for served, _ in found]
    rate = search.requirements.demand.requests_per_second.peak / carrying
    latencies = latencies_at_load(candidates, [rate] * len(found), search.requirements, search.model)
    for (_, slot), latency in zip(found, latencies, strict=True):
        need = Need(slot.need.memory_gib, slot.need.busy_ratio, latency.tpot_p95_ms.value)
        yield replace(slot, need=need)
