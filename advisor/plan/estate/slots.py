"""Seats on shared accelerators that a small workload could have."""

import math
from collections.abc import Iterator, Mapping, Sequence

from advisor import deployable
from advisor.catalog import Catalog
from advisor.catalog.values import InstanceType, Offer, Price, Purchase
from advisor.performance.evidence import Served
from advisor.performance.model import PerformanceModel
from advisor.performance.queueing import length_points
from advisor.plan.estate.seats import Seat, Way, beside_usd_per_month, most_sharers, part_gib, times_slower
from advisor.plan.estate.terms import Sharing
from advisor.plan.fleet.describe import layout_fields
from advisor.plan.problem.formulas import Part, lost_in_zone, share_without
from advisor.plan.problem.pools import quota_key
from advisor.plan.problem.supply import type_in_region_of
from advisor.plan.tenants import Need
from advisor.records import dataclass, replace
from advisor.requirements import Requirements
from advisor.workload.values import Limits, QuotaLimit

_NVIDIA = "nvidia"
MOST_SEATS = 3
"""On each kind of accelerator, sliced and in turns, the cheapest: a workload is packed on one of few machines, so that
many find each other there, and what may be had of one kind never takes the place of another."""
MEMORY_MARGIN = 1.1
"""Memory of a seat beside others ÷ what it is taken to need: an engine that finds less than it wants does not start. An
assumption, nothing measured."""
_UTILIZATION_STEPS = 1000
"""Of the share of an accelerator's memory that an engine is told to take."""
IN_FLIGHT_DEVIATIONS = 2.0
"""Memory is kept for so many standard deviations more requests than run on average (Poisson)."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A slice of an accelerator, or a place beside others on a whole one."""

    type_in_region: str
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
    seat: Seat
    """As it is stated once it is taken."""
    host_gib: float = math.inf
    """Memory of the machine that pods may ask for together; not known: infinite."""
    cores: float = math.inf
    """Processors of the machine that pods may ask for together."""
    beside_usd_per_month: float = 0.0
    """Charges of the machine's region for the workload beside all copies, and its data transfer."""

    @property
    def share_usd_per_hour(self) -> float:
        """Price of the slot when all others are taken."""
        part = max(self.need.busy_ratio, self.need.memory_gib / self.memory_gib, 1 / max(self.need.most_sharers, 1))
        return self.usd_per_hour / self.accelerators * (1 / self.per_accelerator if self.slice else part)


@dataclass(frozen=True, slots=True)
class Seating:
    """Seats for a workload: as many copies as keep it alive, each on another machine."""

    copies: int
    slots: tuple[Slot, ...]

    def slot_at(self, type_in_region: str, part: str) -> Slot:
        """Slot of the workload on a machine, in a slice of it or ("") beside others."""
        return next(slot for slot in self.slots if (slot.type_in_region, slot.slice) == (type_in_region, part))


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
    mean_rate: float
    """Requests per second of an average hour."""
    file: str
    """Of the workload."""

    @property
    def way(self) -> Way | None:
        """Way of sharing accelerators that are not cut; None: they are not shared."""
        return {Sharing.ALL: Way.TURNS, Sharing.MPS: Way.MPS}.get(self.sharing)


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
    may_share = [
        of_kind for of_kind in served if _is_allowed(search, of_kind, offers) and _shortfall(search, of_kind) is None
    ]
    slices = [of_kind for of_kind in may_share if of_kind.candidate.partition]
    wholes = [of_kind for of_kind in may_share if _is_single(of_kind)] if search.way else []
    cheapest = [
        [(of_kind, _with_beside(search, of_kind, slot, copies)) for of_kind, slot in _cheapest(list(seats))]
        for seats in (_seats(search, group, offers, copies) for group in (slices, wholes))
    ]
    slots = [*(slot for _, slot in cheapest[0]), *_beside_others(search, cheapest[1], copies)]
    return Seating(copies.count, tuple(slots)) if slots else None


def _with_beside(search: SlotSearch, served: Served, slot: Slot, copies: Copies) -> Slot:
    """The slot with the charges beside its machine."""
    place, load = (slot.seat.provider, slot.seat.region), (search.mean_rate, copies.count)
    usd = beside_usd_per_month(search.requirements, search.catalog, served.candidate, place, load)
    return replace(slot, beside_usd_per_month=usd)


def _is_allowed(
    search: SlotSearch, served: Served, offers: Mapping[tuple[str, str], tuple[Offer, ...]]
) -> bool:  # fmt: skip
    candidate, machine = served.candidate, served.candidate.instance_type
    return candidate.is_in(search.requirements.workload.precisions) and (machine.provider, machine.name) in offers


def _shortfall(search: SlotSearch, served: Served) -> deployable.Shortfall | None:
    by_mps = search.way is Way.MPS and _is_single(served)
    return deployable.seat_shortfall(served.candidate.setup, search.catalog, by_mps=by_mps)


def without_parts(
    search: SlotSearch, served: Sequence[Served], offers: Mapping[tuple[str, str], tuple[Offer, ...]]
) -> tuple[str, ...]:  # fmt: skip
    """Reasons why accelerators that could serve a workload are not divided by MPS, by provider; empty where none is."""
    if search.way is not Way.MPS:
        return ()
    wholes = [of_kind for of_kind in served if _is_single(of_kind) and _is_allowed(search, of_kind, offers)]
    reasons = {
        (of_kind.candidate.instance_type.provider, shortfall.reason)
        for of_kind in wholes
        if (shortfall := _shortfall(search, of_kind)) is not None
    }
    return tuple(f"{provider}: {reason}" for provider, reason in sorted(reasons))


def _is_single(served: Served) -> bool:
    """Whether it serves on a whole GPU of NVIDIA, the only one of its machine: nothing says which one a pod gets."""
    candidate = served.candidate
    if candidate.accelerator.vendor != _NVIDIA:
        return False
    is_one = candidate.tensor_parallel == candidate.pipeline_parallel == candidate.replicas_per_instance == 1
    return not candidate.partition and is_one and candidate.instance_type.accelerator_count == 1


def _seats(
    search: SlotSearch, served: Sequence[Served], offers: Mapping[tuple[str, str], tuple[Offer, ...]], copies: Copies
) -> Iterator[tuple[Served, Slot]]:
    for of_kind in served:
        rate = search.peak_rate / copies.carrying
        machine = of_kind.candidate.instance_type
        priced = [
            (price, offer)
            for offer in offers[machine.provider, machine.name]
            if (price := search.catalog.price(offer, Purchase.ON_DEMAND)) is not None
            and search.catalog.zones(offer.provider, offer.region, offer.instance_type).count >= copies.zones
        ]
        if rate > of_kind.requests_per_second_per_replica.value or not priced:
            continue
        price, offer = min(priced, key=lambda pair: pair[0].usd_per_hour)
        yield of_kind, _slot(search, of_kind, (offer, price), (rate, copies))


def _slot(search: SlotSearch, served: Served, bought: tuple[Offer, Price], load: tuple[float, Copies]) -> Slot:
    candidate, (offer, price) = served.candidate, bought
    machine = candidate.instance_type
    accelerators = max(int(machine.accelerator_count or 1), 1)
    utilization = search.requirements.workload.limits.memory_utilization
    seat = _seat(search, served, bought, load)
    return Slot(
        type_in_region=type_in_region_of(offer.provider, offer.region, offer.instance_type),
        slice=candidate.partition,
        usd_per_hour=price.usd_per_hour,
        accelerators=accelerators,
        per_accelerator=candidate.replicas_per_instance // accelerators,
        memory_gib=candidate.accelerator.memory_gib * utilization,
        need=Need(seat.memory_gib, seat.busy_ratio, host_gib=deployable.POD_MEMORY_GIB, cores=deployable.POD_CORES),
        quotas=tuple(_quotas(search, machine, offer)),
        seat=seat,
        host_gib=math.inf if machine.memory_gib is None else machine.memory_gib * deployable.PODS_SHARE,
        cores=math.inf if machine.vcpus is None else machine.vcpus * deployable.PODS_SHARE,
    )


def _seat(search: SlotSearch, served: Served, bought: tuple[Offer, Price], load: tuple[float, Copies]) -> Seat:
    candidate, asked, (offer, price), (rate, copies) = served.candidate, search.requirements, bought, load
    busy = rate / served.requests_per_second_per_replica.value
    memory_gib, _, _ = _memory(served, busy, asked)
    layout = layout_fields(served, offer, asked, search.catalog) | {
        "replicas_per_instance": 1,
        "tensor_parallel": 1,
        "pipeline_parallel": 1,
        "expert_parallel": False,
    }
    return Seat(
        **layout,
        purchase=Purchase.ON_DEMAND.value,
        zones=copies.zones,
        workload=search.file,
        planned_requests_per_second_per_instance=rate,
        requests_per_second_per_replica=served.requests_per_second_per_replica,
        evidence=served.evidence.value,
        busy_ratio=busy,
        memory_gib=memory_gib,
        usable_gib=candidate.accelerator.memory_gib * asked.workload.limits.memory_utilization,
        most_sharers=None,
        instance_usd_per_hour=price.usd_per_hour,
        price_source=price.provenance.source,
        price_as_of=price.provenance.as_of,
        price_quality=price.provenance.quality.value,
    )


def _memory(served: Served, busy: float, asked: Requirements) -> tuple[float, int, float]:
    """GiB that a replica takes at the load, requests that it has room for at a time, and GiB of their KV cache.

    Weights, workspace, runtime, and the KV cache of what runs at the load, of the longest request at least, which an
    engine does not start without; no less than loading takes. What batches requests runs as many as its batches hold.
    """
    memory = served.candidate.memory
    held = memory.kv_cache_tokens
    cache_gib, room = 0.0, served.max_concurrency
    if held is not None and served.candidate.batcher is None:
        resident = length_points(asked.demand.tokens).resident_tokens
        running = served.mean_concurrency * busy
        room = math.ceil(running + IN_FLIGHT_DEVIATIONS * math.sqrt(running) + 1)
        tokens = max(room * resident, float(asked.context_tokens))
        cache_gib = memory.kv_cache_gib_available * min(tokens / max(held, 1.0), 1.0)
    needed = memory.weights_gib + memory.adapters_gib + memory.workspace_gib + memory.runtime_gib + cache_gib
    return max(needed, memory.loading_gib), max(room, 1), cache_gib


def _quotas(search: SlotSearch, machine: InstanceType, offer: Offer) -> Iterator[tuple[str, float]]:
    quota = search.catalog.quota(machine, Purchase.ON_DEMAND)
    for stated in search.quotas:
        here = (stated.provider, stated.region) == (offer.provider, offer.region)
        if here and quota is not None and quota.code == stated.code:
            yield quota_key(stated), search.catalog.quota_use(machine) or 0.0


def _cheapest(choices: list[tuple[Served, Slot]]) -> list[tuple[Served, Slot]]:
    """The cheapest machines of each kind of accelerator, with the cheapest seat of each."""
    by_accelerator: dict[str, dict[str, tuple[Served, Slot]]] = {}
    for served, slot in sorted(choices, key=lambda pair: (pair[1].share_usd_per_hour, pair[1].type_in_region)):
        by_type_in_region = by_accelerator.setdefault(slot.seat.accelerator, {})
        if slot.type_in_region in by_type_in_region or len(by_type_in_region) < MOST_SEATS:
            by_type_in_region.setdefault(slot.type_in_region, (served, slot))
    return [pair for by_type_in_region in by_accelerator.values() for pair in by_type_in_region.values()]


def _beside_others(search: SlotSearch, taken: list[tuple[Served, Slot]], copies: Copies) -> Iterator[Slot]:
    """Slots beside others, with the most tenants among whom the workload keeps its targets and has its memory."""
    if search.way is None:
        return
    candidates = [served.candidate for served, _ in taken]
    rate = search.peak_rate / copies.carrying
    sharers = most_sharers(candidates, rate, search.requirements, search.model, search.way)
    for (served, slot), most in zip(taken, sharers, strict=True):
        if search.way is Way.TURNS:
            yield _among(search, served, slot, most)
        else:
            yield _in_parts(search, served, slot, most)


def _in_parts(search: SlotSearch, served: Served, slot: Slot, most: int) -> Slot:
    """The slot among the most tenants whose parts by MPS hold it; each is a process of its own."""
    accelerator_gib = served.candidate.accelerator.memory_gib
    among = ((sharers, _among(search, served, slot, sharers)) for sharers in range(most, 1, -1))
    fitting = (part for sharers, part in among if part.seat.memory_gib <= part_gib(accelerator_gib, sharers))
    held = next(fitting, None) or _among(search, served, slot, 1)
    seat = replace(held.seat, way=Way.MPS, usable_gib=accelerator_gib, server="", server_gib=0.0)
    return replace(held, seat=seat, need=replace(held.need, server="", server_gib=0.0))


def _among(search: SlotSearch, served: Served, slot: Slot, most: int) -> Slot:
    """The slot with room for the requests that run at a time where the clock is as slow as among the most tenants."""
    busy = min(slot.seat.busy_ratio * times_slower(most, search.way or Way.TURNS), 1.0)
    needed_gib, running, cache_gib = _memory(served, busy, search.requirements)
    memory_gib = needed_gib * MEMORY_MARGIN
    candidate = served.candidate
    server = deployable.several_models_server(candidate.engine, candidate.accelerator.vendor, search.catalog)
    server_gib = candidate.memory.runtime_gib * MEMORY_MARGIN if server else 0.0
    utilization = search.requirements.workload.limits.memory_utilization
    share = memory_gib / candidate.accelerator.memory_gib
    seat = replace(
        slot.seat,
        most_sharers=most,
        memory_gib=memory_gib,
        memory_utilization=min(math.ceil(round(share * _UTILIZATION_STEPS, 6)) / _UTILIZATION_STEPS, utilization),
        max_concurrency=min(served.max_concurrency, running),
        kv_cache_gib=cache_gib * MEMORY_MARGIN or None,
        server=server,
        server_gib=server_gib,
    )
    need = replace(slot.need, memory_gib=memory_gib, most_sharers=most, server=server, server_gib=server_gib)
    return replace(slot, need=need, seat=seat)
