"""Small workloads on shared machines, where that costs less than their own fleets."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from advisor.cost.services import hourly_to_monthly, shared_disk_gib
from advisor.plan.estate.seats import Seat, Way, part_gib
from advisor.plan.estate.slots import Seating, Slot
from advisor.plan.estate.terms import ENOUGH
from advisor.plan.sharing import pack_shared
from advisor.plan.tenants import Group, Host, Slice, Tenant, parts_of_time
from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field, replace
from advisor.units import A_CENT, HOURS_PER_MONTH

Confirm = Callable[[Seat, int], float | None]
"""Share of a seat's requests within the SLO as a replay finds it, on one of so many equal parts of the time of its
accelerator (1: alone on a slice); None: it does not hold."""
_Place = tuple[str, str, str]
"""Workload, type in a region and slice of a seat."""
DiskPrice = Callable[[str, int], float]
"""USD per month of the disk of a machine, by its type in a region and its GiB."""


@dataclass(frozen=True, slots=True)
class SharedMachine:
    """A machine with the workloads on it, as many times as they need copies."""

    provider: str
    region: str
    instance_type: str
    slice: str
    """What its accelerators are cut into; "" where turns are taken."""
    copies: int
    """Each with all of the workloads, in a zone of its own as far as there are so many."""
    accelerators: tuple[tuple[str, ...], ...]
    """Workloads on each accelerator."""
    usd_per_month: float
    """Of all copies, with their disks."""
    alone_usd_per_month: float
    """Cost of the fleets of these workloads, but for what they pay beside machines."""
    quotas: tuple[tuple[str, float], ...]
    """Units that all copies take."""
    seats: tuple[Seat, ...] = ()
    """Seats of the workloads, in their order."""
    disk_gib: int | None = None
    """Disk of a copy, for the images and weights of all; None: not priced."""
    servers: tuple[tuple[str, ...], ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """Workloads whose models one server holds, server by server; each of the others has one of its own."""

    @property
    def workloads(self) -> tuple[str, ...]:
        """All that sit on it."""
        return tuple(name for group in self.accelerators for name in group)

    def seat_of(self, workload: str) -> Seat:
        """Seat of one of its workloads."""
        return next(seat for seat in self.seats if seat.workload == workload)

    def accelerator_of(self, workload: str) -> tuple[str, ...]:
        """Workloads on the accelerator of one of them."""
        return next(group for group in self.accelerators if workload in group)

    def server_of(self, workload: str) -> tuple[str, ...]:
        """Workloads whose models are on the server of one of them: itself alone, or several."""
        return next((server for server in self.servers if workload in server), (workload,))

    def parts_of(self, workload: str) -> int:
        """Equal parts of the time of an accelerator of which a workload has one; 1: a slice of its own."""
        if self.slice:
            return 1
        tenants = self.accelerator_of(workload)
        return parts_of_time(tenants, [server for server in self.servers if server[0] in tenants], workload)

    @property
    def by_mps(self) -> bool:
        """Whether each has an equal part of an accelerator by MPS, in place of turns."""
        return any(seat.way is Way.MPS for seat in self.seats)

    @property
    def most_pods(self) -> int:
        """Pods of the accelerator that has most of them: one for each server."""
        return max(len({self.server_of(name) for name in group}) for group in self.accelerators)


@dataclass(frozen=True, slots=True)
class SlotTenant:
    """A workload that may sit with others."""

    name: str
    usd_per_month: float
    """Of its own fleet, but for what it pays beside the machines."""
    seating: Seating
    beside_usd_per_month: float = 0.0
    """Charges of the regions of that fleet, and data transfer."""


@dataclass(frozen=True, slots=True)
class SharedPacking:
    """Shared machines, and how far who sits where may be from the cheapest."""

    machines: tuple[SharedMachine, ...]
    gap_ratio: float | None
    """Share of the cost of all workloads that could meet that the cheapest packing would save at most: 0 is proven;
    None: no two could meet."""


@dataclass(frozen=True, slots=True)
class _Costed:
    """A shared machine, and what it saves with all that its workloads pay beside it and beside their own fleets."""

    machine: SharedMachine
    saved_usd_per_month: float


@dataclass(frozen=True, slots=True)
class _Neighbourhood:
    """Machines of workloads that could meet, with the cost of these workloads, and the most that may be too much."""

    costed: tuple[_Costed, ...]
    usd_per_month: float
    gap_usd_per_month: float


def share_machines(
    slot_tenants: Iterable[SlotTenant],
    room: Mapping[str, float],
    freed: Mapping[str, Mapping[str, float]],
    disk_usd_per_month: DiskPrice,
    confirm: Confirm = lambda _seat, _sharers: 1.0,
) -> SharedPacking:
    """Machines that cost less than the fleets of those who sit on them; what saves most first.

    Seats whose replay does not hold are given up, or sit among fewer, and all are packed anew until those taken hold.
    *room*: units of each quota that nobody takes. *freed*: units that a workload gives back when it leaves its own
    fleet. *confirm*: what replays a seat.
    """
    left = list(slot_tenants)
    while True:
        packing = _packed(left, room, freed, disk_usd_per_month)
        confirmed = [_confirmed(machine, confirm) for machine in packing.machines]
        refused = {place: sharers for _, places in confirmed for place, sharers in places.items()}
        if not refused:
            return replace(packing, machines=tuple(machine for machine, _ in confirmed))
        left = [_without(slot_tenant, refused) for slot_tenant in left]


def _confirmed(machine: SharedMachine, confirm: Confirm) -> tuple[SharedMachine, dict[_Place, int]]:
    """The machine with its seats as replays find them, and among how many those do not hold that do not."""
    held, refused = [], {}
    for seat in machine.seats:
        sharers = machine.parts_of(seat.workload)
        ratio = confirm(seat, sharers)
        if ratio is None:
            refused[seat.workload, seat.type_in_region, seat.partition] = sharers
        held.append(replace(seat, within_slo_ratio=ratio))
    return replace(machine, seats=tuple(held)), refused


def _without(slot_tenant: SlotTenant, refused: Mapping[_Place, int]) -> SlotTenant:
    """The tenant with the slots that may hold: those among fewer than were refused, and slices that were not."""
    slots = []
    for slot in slot_tenant.seating.slots:
        sharers = refused.get((slot_tenant.name, slot.type_in_region, slot.slice), 0)
        if sharers == 0:
            slots.append(slot)
        elif sharers > 1:
            fewer = sharers - 1
            need, seat = replace(slot.need, most_sharers=fewer), replace(slot.seat, most_sharers=fewer)
            slots.append(replace(slot, need=need, seat=seat))
    return replace(slot_tenant, seating=replace(slot_tenant.seating, slots=tuple(slots)))


def _packed(
    slot_tenants: Iterable[SlotTenant],
    room: Mapping[str, float],
    freed: Mapping[str, Mapping[str, float]],
    disk_usd_per_month: DiskPrice,
) -> SharedPacking:
    by_copies: dict[int, list[SlotTenant]] = {}
    for slot_tenant in sorted(slot_tenants, key=lambda slot_tenant: slot_tenant.name):
        if slot_tenant.seating.slots:
            by_copies.setdefault(slot_tenant.seating.copies, []).append(slot_tenant)
    packed = [
        _machines(copies, neighbours, disk_usd_per_month)
        for copies, group in by_copies.items()
        for neighbours in _neighbours(group)
    ]
    costed = [each for neighbourhood in packed for each in neighbourhood.costed]
    kept = _within(costed, dict(room), freed)
    lost = math.fsum(each.saved_usd_per_month for each in costed if each not in kept)
    usd = math.fsum(neighbourhood.usd_per_month for neighbourhood in packed) + lost
    gap = math.fsum(neighbourhood.gap_usd_per_month for neighbourhood in packed) + lost
    return SharedPacking(tuple(each.machine for each in kept), gap / usd if usd else None)


def _neighbours(slot_tenants: Sequence[SlotTenant]) -> list[list[SlotTenant]]:
    """Guests that could meet on a machine, directly or through others."""
    groups: list[tuple[set[str], list[SlotTenant]]] = []
    for slot_tenant in slot_tenants:
        types_in_region = {slot.type_in_region for slot in slot_tenant.seating.slots}
        joined = [group for group in groups if group[0] & types_in_region]
        groups = [group for group in groups if not group[0] & types_in_region]
        together = [slot_tenant for _, group in joined for slot_tenant in group]
        groups.append((types_in_region.union(*(group[0] for group in joined)), [*together, slot_tenant]))
    return [sorted(group, key=lambda slot_tenant: slot_tenant.name) for _, group in groups if len(group) > 1]


def _machines(copies: int, slot_tenants: Sequence[SlotTenant], disk_usd_per_month: DiskPrice) -> _Neighbourhood:
    alone = {slot_tenant.name: slot_tenant.usd_per_month for slot_tenant in slot_tenants}
    slots = {slot.type_in_region: slot for slot_tenant in slot_tenants for slot in slot_tenant.seating.slots}
    disks = _Disks(disk_usd_per_month)
    packing = pack_shared([_tenant(slot_tenant, disks) for slot_tenant in slot_tenants], _hosts(slot_tenants, disks))
    by_kind: dict[tuple[str, str], list[Group]] = {}
    for group in packing.groups:
        by_kind.setdefault((group.host, group.slice), []).append(group)
    costed = []
    for (type_in_region, _), groups in sorted(by_kind.items()):
        size = slots[type_in_region].accelerators
        groups.sort(key=lambda group: (-sum(alone[name] for name in group.tenants), group.tenants))
        for at in range(0, len(groups), size):
            part = groups[at : at + size]
            seats = tuple(_taken(slot_tenants, part))
            disk_gib = shared_disk_gib(
                [seat.checkpoint_gib or 0.0 for seat in seats], len({seat.image for seat in seats})
            )
            machine = _machine(slots[type_in_region], copies, part, alone, disk_usd_per_month(type_in_region, disk_gib))
            machine = replace(machine, seats=seats, disk_gib=disk_gib)
            saved = machine.alone_usd_per_month - machine.usd_per_month - _moved_usd(slot_tenants, machine)
            if len(seats) > 1 and saved > A_CENT:
                costed.append(_Costed(machine, saved))
    usd = hourly_to_monthly(packing.usd_per_hour, copies)
    return _Neighbourhood(tuple(costed), usd, usd * packing.gap_ratio)


def _moved_usd(slot_tenants: Sequence[SlotTenant], machine: SharedMachine) -> float:
    """USD a month that the workloads of a machine pay beside it more than beside their own fleets."""
    seated = {slot_tenant.name: slot_tenant for slot_tenant in slot_tenants if slot_tenant.name in machine.workloads}
    there = (
        seated[seat.workload].seating.slot_at(seat.type_in_region, seat.partition).beside_usd_per_month
        for seat in machine.seats
    )
    return math.fsum(there) - math.fsum(slot_tenant.beside_usd_per_month for slot_tenant in seated.values())


def _taken(slot_tenants: Sequence[SlotTenant], groups: Sequence[Group]) -> Iterator[Seat]:
    """Seats of all workloads on a machine, in the order of its accelerators."""
    seats = {
        (slot_tenant.name, slot.type_in_region, slot.slice): slot.seat
        for slot_tenant in slot_tenants
        for slot in slot_tenant.seating.slots
    }
    for group in groups:
        yield from (_placed(seats[name, group.host, group.slice], len(group.tenants)) for name in group.tenants)


def _placed(seat: Seat, tenants: int) -> Seat:
    """The seat with the memory that MPS lets it have among so many; any other as it is."""
    return replace(seat, usable_gib=part_gib(seat.usable_gib, tenants)) if seat.way is Way.MPS else seat


def _machine(
    slot: Slot, copies: int, groups: Sequence[Group], alone: Mapping[str, float], disk_usd_per_month: float
) -> SharedMachine:  # fmt: skip
    provider, region, name = slot.type_in_region.split("/", 2)
    return SharedMachine(
        provider=provider,
        region=region,
        instance_type=name,
        slice=groups[0].slice,
        copies=copies,
        accelerators=tuple(group.tenants for group in groups),
        usd_per_month=round(hourly_to_monthly(slot.usd_per_hour, copies) + disk_usd_per_month * copies, 2),
        alone_usd_per_month=round(math.fsum(alone[name] for group in groups for name in group.tenants), 2),
        quotas=tuple((key, units * copies) for key, units in slot.quotas),
        servers=tuple(server for group in groups for server in group.servers),
    )


@dataclass(frozen=True, slots=True)
class _Disks:
    """USD per hour of the parts of a machine's disk (see :func:`shared_disk_gib`), priced by the GiB."""

    usd_per_month: DiskPrice

    def bare(self, type_in_region: str) -> float:
        """Disk without images and weights."""
        return self.usd_per_month(type_in_region, shared_disk_gib([], 0)) / HOURS_PER_MONTH

    def image(self, type_in_region: str) -> float:
        """Room for an image."""
        return self.usd_per_month(type_in_region, shared_disk_gib([], 1)) / HOURS_PER_MONTH - self.bare(type_in_region)

    def seat(self, seat: Seat, type_in_region: str) -> float:
        """Room for what a workload keeps there."""
        disk_gib = shared_disk_gib([seat.checkpoint_gib or 0.0], 0)
        return self.usd_per_month(type_in_region, disk_gib) / HOURS_PER_MONTH - self.bare(type_in_region)


def _tenant(slot_tenant: SlotTenant, disks: _Disks) -> Tenant:
    """The workload, which may stay on its own fleet, by the hour of one copy."""
    seating = slot_tenant.seating
    needs = {
        (slot.type_in_region, slot.slice): replace(
            slot.need,
            usd_per_hour=disks.seat(slot.seat, slot.type_in_region)
            + _usd_per_hour(slot.beside_usd_per_month, seating.copies),
            image=slot.seat.image,
        )
        for slot in seating.slots
    }
    own = _usd_per_hour(slot_tenant.usd_per_month + slot_tenant.beside_usd_per_month, seating.copies)
    return Tenant(slot_tenant.name, needs, own_usd_per_hour=own)


def _usd_per_hour(usd_per_month: float, copies: int) -> float:
    return usd_per_month / HOURS_PER_MONTH / copies


def _hosts(slot_tenants: Sequence[SlotTenant], disks: _Disks) -> list[Host]:
    """Machines with their slices; the memory that the most careful guest would use."""
    by_type_in_region: dict[str, list[Slot]] = {}
    for slot_tenant in slot_tenants:
        for slot in slot_tenant.seating.slots:
            by_type_in_region.setdefault(slot.type_in_region, []).append(slot)
    return [
        Host(
            name=type_in_region,
            usd_per_hour=slots[0].usd_per_hour + disks.bare(type_in_region),
            memory_gib=min((slot.memory_gib for slot in slots if not slot.slice), default=0.0),
            accelerators=slots[0].accelerators,
            slices=tuple(_slices(slots)),
            host_gib=slots[0].host_gib,
            cores=slots[0].cores,
            image_usd_per_hour=disks.image(type_in_region),
        )
        for type_in_region, slots in sorted(by_type_in_region.items())
    ]


def _slices(slots: Sequence[Slot]) -> list[Slice]:
    """Slices with the largest usable memory of their slots: a tenant that was given a slot fits into it."""
    slices: dict[str, Slice] = {}
    for slot in sorted(slots, key=lambda slot: slot.memory_gib):
        if slot.slice:
            slices[slot.slice] = Slice(slot.slice, slot.memory_gib, slot.per_accelerator)
    return list(slices.values())


def _within(
    costed: Sequence[_Costed], room: dict[str, float], freed: Mapping[str, Mapping[str, float]]
) -> list[_Costed]:  # fmt: skip
    """The machines that the quotas have room for, what saves most first."""
    kept: list[_Costed] = []
    for each in sorted(costed, key=lambda each: (-each.saved_usd_per_month, each.machine.workloads)):
        machine = each.machine
        after = dict(room)
        for name in machine.workloads:
            for key, units in freed.get(name, {}).items():
                after[key] = after.get(key, 0.0) + units
        for key, units in machine.quotas:
            after[key] -= units
        if min((after[key] for key, _ in machine.quotas), default=0.0) >= -ENOUGH:
            room, kept = after, [*kept, each]
    return kept
