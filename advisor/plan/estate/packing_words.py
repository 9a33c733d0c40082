"""Who sits where on shared machines, in words."""

from advisor.plan.estate.bases import JoinedBase
from advisor.plan.estate.packing import SharedMachine
from advisor.plan.estate.seats import Seat


def machine_words(position: int, machine: SharedMachine) -> str:
    """A shared machine by its number, such as ``shared machine 1, 2 × g2-standard-4 in us-central1 (gcp)``."""
    count = f"{machine.copies} × " if machine.copies > 1 else ""
    return f"shared machine {position + 1}, {count}{machine.instance_type} in {machine.region} ({machine.provider})"


def seat_words(position: int, machine: SharedMachine, seat: Seat) -> str:
    """The machine, and what the workload has of it."""
    where = machine_words(position, machine)
    if machine.slice:
        return f"{where}, on a slice {machine.slice.removeprefix('mig-')} of its own"
    mates = len(machine.server_of(seat.workload)) - 1
    others = len(machine.accelerator_of(seat.workload)) - 1 - mates
    ways = (f"on one server with {_others(mates)}",) if mates else ()
    beside = "on an equal part by MPS beside" if machine.by_mps else "in turns with"
    return f"{where}, {', '.join((*ways, f'{beside} {_others(others)}') if others else ways)}"


def _others(count: int) -> str:
    return f"{count} {'other' if count == 1 else 'others'}"


def base_words(base: JoinedBase, workload: str) -> str:
    """The deployment that a workload is part of, such as ``one deployment of org/model with mail.yaml``."""
    others = ", ".join(file for file in base.workloads if file != workload)
    return f"one deployment of {base.model} with {others} (its plan is {base.plan_file})"
