"""Estate → code: a folder for each workload that keeps its own fleet, and one for each shared machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from advisor.codegen.shared_machine import Place
from advisor.codegen.writing.record import FOLDER
from advisor.errors import InputError
from advisor.plan.document import plan_from_json
from advisor.plan.estate.values import PLANNED, Estate
from advisor.plan.values import Plan

PLAN_SUFFIX = ".plan.json"
_PLAN_AGAIN = "plan the directory again with `advisor recommend DIRECTORY -o PLANS`"


@dataclass(frozen=True, slots=True)
class EstateParts:
    """Parts of an estate that are deployed, by the folder that the code of each is for."""

    fleets: Mapping[str, str]
    """Folder → file of the workload, of those with a fleet of their own."""
    machines: Mapping[str, Place]
    without: tuple[str, ...]
    """Why workloads have no code, in words."""


def plan_file(directory: Path, workload: str) -> Path:
    """Path of a workload's plan beside the estate's document."""
    return (directory / workload).with_suffix(PLAN_SUFFIX)


def parts_of(estate: Estate, plans: Mapping[str, Plan]) -> EstateParts:
    """The parts of an estate that are deployed.

    Args:
        estate: as it was read.
        plans: of its workloads, by file.

    Raises:
        InputError: a workload's folder would be that of a shared machine.
    """
    planned = [row for row in estate.workloads if row.status == PLANNED]
    fleets = {folder_of(row.file): row.file for row in planned if row.shared_machine is None}
    places = [Place(at, machine, plans) for at, machine in enumerate(estate.shared_machines)]
    machines = {place.name: place for place in places}
    both = sorted(fleets.keys() & machines.keys())
    if both:
        raise InputError(
            f"{fleets[both[0]]} would be generated into the folder of {both[0]}",
            hint="rename the workload file, and plan the directory again",
        )
    without = tuple(f"{row.file}: {row.message or row.status}" for row in estate.workloads if row.status != PLANNED)
    return EstateParts(fleets, machines, without)


def folder_of(workload: str) -> str:
    """Folder of a workload's code, told from the directory of all: its file without the suffix."""
    return PurePosixPath(workload).with_suffix("").as_posix()


def left_behind(directory: Path, estate: Estate, parts: EstateParts) -> list[str]:
    """Folders with code of an earlier estate that this one does not deploy any more."""
    kept = parts.fleets.keys() | parts.machines.keys()
    known = {folder_of(row.file) for row in estate.workloads}
    known |= {path.name for path in directory.glob("shared-*")}
    return sorted(name for name in known - kept if (directory / name / FOLDER).is_dir())


def read_plan(text: str, where: str) -> Plan:
    """Plan of a workload of an estate.

    Raises:
        InputError: no plan of this version.
    """
    try:
        return plan_from_json(text, where)
    except InputError as error:
        raise InputError(error.message, where=where, hint=_PLAN_AGAIN) from error
