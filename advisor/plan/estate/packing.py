"""Small workloads on shared machines, where that costs less than their own fleets."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from advisor.cost.compute import hourly_to_monthly
from advisor.cost.services import counted_gib
from advisor.plan.estate.resources import ENOUGH
from advisor.plan.estate.seats import Seat, Seating
from advisor.plan.sharing import pack_shared
from advisor.plan.tenants import Group, Host, Slice, Tenant
from advisor.units import HOURS_PER_MONTH

A_CENT = 0.01
DiskPrice = Callable[[str, float], float]
"""USD per month of the disk of a machine, by its stand and the GiB of all checkpoints on it."""


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
    """What the fleets of these workloads cost, but for data transfer."""
    quotas: tuple[tuple[str, float], ...]
    """Units that all copies take."""

    @property
    def workloads(self) -> tuple[str, ...]:
        """All that sit on it."""
        return tuple(name for group in self.accelerators for name in group)


@dataclass(frozen=True, slots=True)
class Guest:
    """A workload that may sit with others."""

    name: str
    usd_per_month: float
    """Of its own fleet, but for data transfer."""
    seating: Seating


def share_machines(
    guests: Iterable[Guest],
    room: Mapping[str, float],
    freed: Mapping[str, Mapping[str, float]],
    disk_usd_per_month: DiskPrice,
) -> tuple[SharedMachine, ...]:
    """Machines that cost less than the fleets of those who sit on them; what saves most first.

    Args:
        guests: in any order.
        room: units of each quota that nobody takes.
        freed: units that a workload gives back when it leaves its own fleet.
        disk_usd_per_month: what a disk costs.
    """
    by_copies: dict[int, list[Guest]] = {}
    for guest in sorted(guests, key=lambda one: one.name):
        useful = _useful(guest)
        if useful is not None:
            by_copies.setdefault(guest.seating.copies, []).append(useful)
    machines = [
        machine
        for copies, group in by_copies.items()
        for neighbours in _neighbours(group)
        for machine in _machines(copies, neighbours, disk_usd_per_month)
    ]
    return tuple(_within(machines, dict(room), freed))


def _useful(guest: Guest) -> Guest | None:
    """With the seats that cost less than its fleet when they are all taken; None without any."""
    copies = guest.seating.copies
    cheap = [
        seat
        for seat in guest.seating.seats
        if seat.share_usd_per_hour * copies * HOURS_PER_MONTH < guest.usd_per_month - A_CENT
    ]
    seating = Seating(copies, tuple(cheap), guest.seating.tpot_ms)
    return Guest(guest.name, guest.usd_per_month, seating) if cheap else None


def _neighbours(guests: Sequence[Guest]) -> list[list[Guest]]:
    """Guests that could meet on a machine, directly or through others."""
    groups: list[tuple[set[str], list[Guest]]] = []
    for guest in guests:
        stands = {seat.stand for seat in guest.seating.seats}
        joined = [group for group in groups if group[0] & stands]
        groups = [group for group in groups if not group[0] & stands]
        groups.append(
            (stands.union(*(group[0] for group in joined)), [one for _, group in joined for one in group] + [guest])
        )
    return [sorted(group, key=lambda one: one.name) for _, group in groups if len(group) > 1]


def _machines(copies: int, guests: Sequence[Guest], disk_usd_per_month: DiskPrice) -> list[SharedMachine]:
    alone = {guest.name: guest.usd_per_month for guest in guests}
    seats = {seat.stand: seat for guest in guests for seat in guest.seating.seats}
    packing = pack_shared([_tenant(guest) for guest in guests], _hosts(guests))
    by_stand: dict[str, list[Group]] = {}
    for group in packing.groups:
        by_stand.setdefault(group.host, []).append(group)
    found = []
    for stand, groups in sorted(by_stand.items()):
        size = seats[stand].accelerators
        groups.sort(key=lambda group: (group.slice, -sum(alone[name] for name in group.tenants), group.tenants))
        for at in range(0, len(groups), size):
            part = groups[at : at + size]
            disk = disk_usd_per_month(stand, _weights_gib(guests, part))
            machine = _machine(seats[stand], copies, part, alone, disk)
            if machine.usd_per_month < machine.alone_usd_per_month - A_CENT:
                found.append(machine)
    return found


def _weights_gib(guests: Sequence[Guest], groups: Sequence[Group]) -> float:
    """Of all workloads on a machine: what each keeps on its disk, in whole steps."""
    kept = {
        (guest.name, seat.stand, seat.slice): counted_gib(seat.checkpoint_gib)
        for guest in guests
        for seat in guest.seating.seats
    }
    return float(sum(kept[name, group.host, group.slice] for group in groups for name in group.tenants))


def _machine(
    seat: Seat, copies: int, groups: Sequence[Group], alone: Mapping[str, float], disk_usd_per_month: float
) -> SharedMachine:  # fmt: skip
    provider, region, name = seat.stand.split("/", 2)
    return SharedMachine(
        provider=provider,
        region=region,
        instance_type=name,
        slice="+".join(dict.fromkeys(group.slice for group in groups)),
        copies=copies,
        accelerators=tuple(group.tenants for group in groups),
        usd_per_month=round(hourly_to_monthly(seat.usd_per_hour, copies) + disk_usd_per_month * copies, 2),
        alone_usd_per_month=round(math.fsum(alone[name] for group in groups for name in group.tenants), 2),
        quotas=tuple((key, units * copies) for key, units in seat.quotas),
    )


def _tenant(guest: Guest) -> Tenant:
    needs = {(seat.stand, seat.slice): seat.need for seat in guest.seating.seats}
    return Tenant(guest.name, needs, guest.seating.tpot_ms)


def _hosts(guests: Sequence[Guest]) -> list[Host]:
    """Machines with their slices; the memory that the most careful guest would use."""
    by_stand: dict[str, list[Seat]] = {}
    for guest in guests:
        for seat in guest.seating.seats:
            by_stand.setdefault(seat.stand, []).append(seat)
    return [
        Host(
            name=stand,
            usd_per_hour=seats[0].usd_per_hour,
            memory_gib=min((seat.memory_gib for seat in seats if not seat.slice), default=0.0),
            accelerators=seats[0].accelerators,
            slices=tuple(_slices(seats)),
        )
        for stand, seats in sorted(by_stand.items())
    ]


def _slices(seats: Sequence[Seat]) -> list[Slice]:
    """Who needs more of a slice than the most careful guest has been given one that holds it."""
    found: dict[str, Slice] = {}
    for seat in sorted(seats, key=lambda one: one.memory_gib):
        if seat.slice:
            found[seat.slice] = Slice(seat.slice, seat.memory_gib, seat.per_accelerator)
    return list(found.values())


def _within(
    machines: Sequence[SharedMachine], room: dict[str, float], freed: Mapping[str, Mapping[str, float]]
) -> list[SharedMachine]:  # fmt: skip
    """The machines that the quotas have room for, what saves most first."""
    kept: list[SharedMachine] = []
    for machine in sorted(machines, key=lambda one: (one.usd_per_month - one.alone_usd_per_month, one.workloads)):
        after = dict(room)
        for name in machine.workloads:
            for key, units in freed.get(name, {}).items():
                after[key] = after.get(key, 0.0) + units
        for key, units in machine.quotas:
            after[key] -= units
        if min((after[key] for key, _ in machine.quotas), default=0.0) >= -ENOUGH:
            room, kept = after, [*kept, machine]
    return kept
