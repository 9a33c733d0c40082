"""Estate → code: a folder for each workload or joined base with a fleet of its own, and for each shared machine."""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from advisor.codegen.selection import Place
from advisor.codegen.stack import deployment_name
from advisor.codegen.writing.record import FOLDER
from advisor.errors import InputError
from advisor.plan.document import plan_from_json
from advisor.plan.estate.values import PLAN_SUFFIX, PLANNED, Estate, JoinedBase
from advisor.plan.values import Plan
from advisor.records import dataclass

_PLAN_AGAIN = "plan the directory again with `advisor recommend DIRECTORY -o PLANS`"


@dataclass(frozen=True, slots=True)
class EstateParts:
    """Parts of an estate that are deployed, by the folder that the code of each is for."""

    fleets: Mapping[str, str]
    """Folder → file of the workload or joined base with a fleet of its own."""
    machines: Mapping[str, Place]
    bases: Mapping[str, JoinedBase]
    """Folder → workloads on one base that are deployed together; their folders are among ``fleets``."""
    without: tuple[str, ...]
    """Why workloads have no code, in words."""


def plan_file(directory: Path, workload: str) -> Path:
    """Path of the plan of a workload or joined base beside the estate's document."""
    return directory / f"{folder_of(workload)}{PLAN_SUFFIX}"


def plans_needed(estate: Estate) -> list[str]:
    """Files of the workloads and joined bases that have plans."""
    planned = [row.file for row in estate.workloads if row.status == PLANNED]
    return [*planned, *(base.plan for base in estate.joined)]


def parts_of(estate: Estate, plans: Mapping[str, Plan], name: str = "") -> EstateParts:
    """The parts of an estate that are deployed.

    Args:
        estate: as it was read.
        plans: of its workloads, by file.
        name: of the estate among others; its own without.

    Raises:
        InputError: two parts would have one folder, or one name.
    """
    joined = {file for base in estate.joined for file in base.workloads}
    own = [
        row.file
        for row in estate.workloads
        if row.status == PLANNED and row.shared_machine is None and row.file not in joined
    ]
    bases = {folder_of(base.plan): base for base in estate.joined}
    places = [Place(at, machine, plans, name or estate.name) for at, machine in enumerate(estate.shared_machines)]
    machines = {place.name: place for place in places}
    by_folder = _told_apart(
        ((folder_of(file), file) for file in [*own, *(base.plan for base in estate.joined)]),
        "be generated into one folder",
        "rename one of the workload files",
    )
    both = sorted(by_folder.keys() & machines.keys())
    if both:
        raise InputError(
            f"{by_folder[both[0]]} would be generated into the folder of {both[0]}",
            hint="rename the workload file, and plan the directory again",
        )
    # Names of deployments and namespaces.
    of_machines = {
        name: f"the shared machine {place.name}"
        for place in places
        for name in (place.name, place.deployment, *place.servers)
    }
    files = [*by_folder.values(), *(file for place in places for file in place.machine.workloads)]
    of_workloads = [(deployment_name(plans[file]), file) for file in files if file in plans]
    _told_apart(
        [*of_machines.items(), *of_workloads],
        "both be deployed as {}",
        "set another name in one of the workload files",
    )
    without = tuple(f"{row.file}: {row.message or row.status}" for row in estate.workloads if row.status != PLANNED)
    return EstateParts(by_folder, machines, bases, without)


def _told_apart(owners: Iterable[tuple[str, str]], problem: str, remedy: str) -> Mapping[str, str]:
    """Name → what has it; refuses a name that two have."""
    of_name: dict[str, str] = {}
    for name, owner in owners:
        if name in of_name:
            raise InputError(
                f"{of_name[name]} and {owner} would {problem.format(name)}",
                hint=f"{remedy}, and plan the directory again",
            )
        of_name[name] = owner
    return of_name


def folder_of(workload: str) -> str:
    """Folder of the code of a workload or joined base, told from the directory of all: its file without the suffix."""
    return PurePosixPath(workload.removesuffix(PLAN_SUFFIX)).with_suffix("").as_posix()


def left_behind(directory: Path, parts: EstateParts) -> list[str]:
    """Folders with code of an earlier estate that this one does not deploy any more."""
    # Folders of parts are one or two levels below.
    records = [path for levels in ("*", "*/*") for path in directory.glob(f"{levels}/{FOLDER}") if path.is_dir()]
    generated = {path.parent.relative_to(directory).as_posix() for path in records}
    return sorted(generated - parts.fleets.keys() - parts.machines.keys())


def check_folder(directory: Path, name: str) -> None:
    """The folder of a part is not a link, nor in a linked folder: links lead out of the directory, or to another part.

    Raises:
        InputError: it is.
    """
    folders = [directory / name, *(directory / parent for parent in PurePosixPath(name).parents)]
    link = next((folder for folder in folders if folder != directory and folder.is_symlink()), None)
    if link is not None:
        raise InputError("this is a link, and code is written there", where=str(link), hint="remove the link")


def read_plan(text: str, where: str) -> Plan:
    """Plan of a workload of an estate.

    Raises:
        InputError: no plan of this version.
    """
    try:
        return plan_from_json(text, where)
    except InputError as error:
        raise InputError(error.message, where=where, hint=_PLAN_AGAIN) from error
