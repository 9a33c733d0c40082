"""Estate → code: a folder for each workload or joined base with a fleet of its own, and for each shared machine.

A shared machine is one stack: nodes for the pods of several workloads, each as its seat is planned.

A workload is a stack of its own within it (a namespace with its Deployment, Service, route and alerts); the nodes, what
they may do, the budget and the alarms of the cloud are of all.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from advisor.catalog import load_catalog
from advisor.codegen import revisions
from advisor.codegen.alarms import alarms_of
from advisor.codegen.container import Language, Wanted
from advisor.codegen.engines.onnx_files import CLIENTS
from advisor.codegen.engines.vllm import FIXED_CACHE
from advisor.codegen.generate import Generated, as_run, check_files, unused_inputs
from advisor.codegen.gpu_sharing import GpuSharing, SharingKind
from advisor.codegen.model import Budget, Component, ComputeGroup, Row, Stack, Summary
from advisor.codegen.quotas import quotas_needed
from advisor.codegen.registries import IMAGES, images_of, pinned
from advisor.codegen.selection import Choice, Member, Place, joined, unique_keys, united
from advisor.codegen.stack import deployment_name, stacks_of
from advisor.codegen.targets import target_of
from advisor.codegen.targets.managed_kubernetes import own_namespace
from advisor.codegen.writing.record import FOLDER
from advisor.deployable import SHARED_ON, SLICES
from advisor.errors import InputError, NotDeployable
from advisor.plan.document import PLAN_SUFFIX, plain, plan_from_json
from advisor.plan.estate.packing import SharedMachine
from advisor.plan.estate.seats import Seat, Way, thread_percent
from advisor.plan.estate.values import PLANNED, Estate, JoinedBase, seat_words
from advisor.plan.fleet.chosen import while_replaced
from advisor.plan.plain_values import digest
from advisor.plan.values import Plan
from advisor.records import dataclass, replace
from advisor.units import HOURS_PER_MONTH, HOURS_PER_WEEK, significant, usd

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

    *name*: of the estate among others; its own without. Raises InputError if two parts would have one folder, or one
    name.
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
    """Refuse links to a part's folder, which lead out of the directory or to another part (InputError)."""
    folders = [directory / name, *(directory / parent for parent in PurePosixPath(name).parents)]
    link = next((folder for folder in folders if folder != directory and folder.is_symlink()), None)
    if link is not None:
        raise InputError("this is a link, and code is written there", where=str(link), hint="remove the link")


def read_plan(text: str, where: str) -> Plan:
    """Plan of a workload of an estate. Raises InputError: no plan of this version."""
    try:
        return plan_from_json(text, where)
    except InputError as error:
        raise InputError(error.message, where=where, hint=_PLAN_AGAIN) from error


_ALONE = "`advisor generate` of the plan file of each workload gives it a fleet of its own"
_BESIDE = (
    "load balancers, data transfer and logs, which the plans of the workloads hold, the clusters and their fees, taxes "
    "and support"
)
_LOST_TOGETHER = (
    "One machine holds all of these workloads: while it is replaced or lost, nobody answers for any of them."
)
_ONE_SERVER = (
    "{workloads}: models of one server, in the namespace {namespace}. A crash of one takes all of them with it, a new "
    "image or model of one starts all anew, and none is ready before all have loaded. CUDA does not say how it divides "
    "an accelerator between the streams of one process: equal parts are an assumption."
)
_NO_ISOLATION = (
    "Pods that take turns share the memory and the faults of an accelerator, which nothing keeps apart: one that takes "
    "more than the plan lets it, or fails there, can end the others."
)
_UNFIXED = (
    "the KV cache is a share of what is free as the engine starts, and no size is given: start these one after "
    "another, when the others answer."
)
_UNFIXED_BY_MPS = (
    "the KV cache is a share of the memory that the engine sees, and no size is given. Whether it sees its part or the "
    "whole accelerator is not known: see that these start within their part before anybody is sent there."
)
_LIMITS_OF_MPS = (
    "MPS keeps each pod to {percent} % of the threads and {gib:.1f} GiB of an accelerator, which holds for each of its "
    "processes. Caches and memory bandwidth are not divided. A fatal GPU fault of one ends all that share the "
    "accelerator, and the MPS server takes new ones only when all of them are gone. It serves one user at a time, so "
    "all run as the same one, see each other's files in /dev/shm and reach the pipe that controls the server: let only "
    "workloads share it that trust each other."
)


def generate_shared(
    place: Place,
    language: Language,
    pins: Mapping[str, str] = MappingProxyType({}),
    *,
    as_module: bool = False,
    last: Mapping[str, str] = MappingProxyType({}),
    inputs: frozenset[str] = frozenset(),
) -> Generated:
    """The code of a shared machine.

    *pins*: image with its tag → digest, and model of the hub → commit, by which the code takes them. *as_module*: in
    Terraform a module that others call; a program in Pulumi is whole in any case. *last*: text of each file as the last
    run generated it in the directory; empty for an empty one. *inputs*: rare inputs that the code takes too, by name.
    Raises InputError if the estate does not say what is needed, and NotDeployable if no code is generated for such a
    machine.
    """
    unpinned = shared_stack(place)

    def at_pins(part: Stack) -> Stack:
        return revisions.at_commits(pinned(part, pins), pins)

    stack = replace(
        unpinned,
        backends=at_pins(unpinned).backends,
        tenants=tuple(at_pins(tenant) for tenant in unpinned.tenants),
        component=Component("", {}) if as_module and language is Language.TERRAFORM else None,
        inputs=inputs,
    )
    target = target_of(stack)
    images, models = images_of(unpinned.tenants), revisions.models_of(unpinned.tenants)
    rendered = target.renderers[language](target.completed(stack))
    files = {**rendered, **IMAGES.written(images, pins), **revisions.MODELS.written(models, pins)}
    check_files(files)
    return Generated(
        files=files,
        roots=("",),
        targets=(stack.target,),
        plan_digest=stack.plan_digest,
        images=images,
        models=models,
        warnings=tuple(_replaced(place, stack, last)),
        notes=(f"{place.name}: {', '.join(tenant.name for tenant in stack.tenants)}",),
        unused_inputs=unused_inputs(inputs, files),
    )


def _replaced(place: Place, stack: Stack, last: Mapping[str, str]) -> Iterator[str]:
    """Warning of nodes that go in the apply that makes others, which hand out their accelerators in another way."""
    (group,) = stack.groups
    if last and not any(group.key in text for text in last.values()):
        yield (
            f"{place.name}: other nodes take the place of those that run, and there is no cut-over between them: apply "
            f"the new node pool ({group.key}) by itself first (-target), then the Kubernetes objects, then everything"
        )


def shared_stack(place: Place) -> Stack:
    """The stack of a shared machine, with those of its tenants.

    Raises InputError if the estate does not say what is needed, and NotDeployable if no code is generated for such a
    machine.
    """
    machine = place.machine
    if not machine.seats or machine.disk_gib is None:
        raise InputError(f"the estate does not say how workloads sit on {place.name}", hint=_PLAN_AGAIN)
    target = SHARED_ON.get(machine.provider)
    if target is None:
        raise NotDeployable(
            f"{place.name}: no code is generated for several workloads on one machine of {machine.provider}",
            hint=f"{_ALONE}; or {_PLAN_AGAIN}",
        )
    workloads = _workloads(place, target)
    tenants = _deployed(place, workloads)
    group = _group(machine, [tenant.groups[0] for tenant in tenants])
    label = f"{place.deployment}-{group.key}"
    left_out = [f"{workload.name}: {why}" for workload in workloads for why in workload.slo_left_out]
    if group.sharing is None:
        left_out.append("no alarms on idle GPUs and their memory, which the models of one server share")
    return replace(
        tenants[0],
        name=place.deployment,
        plan_digest=digest(
            {"machine": plain(machine, "machine"), "tenants": [tenant.plan_digest for tenant in workloads]}
        ),
        groups=(group,),
        backends=tuple(backend for tenant in tenants for backend in tenant.backends),
        regions=(united([region for tenant in tenants for region in tenant.regions]),),
        alarms=alarms_of(max(seat.memory_utilization for seat in machine.seats), group.start_seconds, has_gpu=False),
        slo_alarms=(),
        slo_left_out=tuple(dict.fromkeys(left_out)),
        agent=None,
        budget=Budget(machine.usd_per_month, of="the estate for this machine"),
        owner={},
        summary=_summary(place, workloads, group),
        tenants=tuple(replace(tenant, nodes=label) for tenant in tenants),
    )


def _deployed(place: Place, workloads: Sequence[Stack]) -> list[Stack]:
    """Stacks with pods: of a server that holds several models one for its workloads, in the place of the first."""
    named = dict(zip((seat.workload for seat in place.machine.seats), workloads, strict=True))
    names = {server: own_namespace(name) for name, server in place.servers.items()}
    servers = dict.fromkeys(place.machine.server_of(file) for file in named)
    return [
        joined(names[server], [named[file] for file in server]) if server in names else named[server[0]]
        for server in servers
    ]


def _workloads(place: Place, target: str) -> list[Stack]:
    """A stack for each workload, of pods on the nodes of the machine."""
    sharing = _sharing(place.machine)
    tenants = []
    for seat in place.machine.seats:
        plan = place.plans.get(seat.workload)
        if plan is None:
            raise InputError(f"the plan of {seat.workload} is missing", hint=_PLAN_AGAIN)
        wanted = Wanted(target=target)
        choice = Choice((_member(seat, place.machine.copies),))
        # Without its fleet: what is deployed is the seat.
        (stack,) = stacks_of(replace(plan, fleet=None), choice, wanted)
        groups = tuple(replace(group, sharing=sharing) for group in stack.groups)
        tenants.append(as_run(replace(stack, groups=groups), wanted))
    names = [tenant.name for tenant in tenants]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"two workloads of {place.name} are named {twice}", hint="set name in the workload files, and plan again"
        )
    return tenants


def _member(seat: Seat, copies: int) -> Member:
    return Member(
        serves=seat,
        hours=(copies,) * HOURS_PER_WEEK,
        minutes_ahead=0,
        minutes_after=0,
        cold_start_seconds=None,
        zones=seat.zones,
        request_share=1.0,
        commitments=(),
        committed_instances=0,
        requests_per_second_per_replica=seat.planned_requests_per_second_per_instance,
        usd_per_hour=seat.instance_usd_per_hour,
        compute_usd_per_month=copies * seat.instance_usd_per_hour * HOURS_PER_MONTH,
        peak_usd_per_hour=copies * seat.instance_usd_per_hour,
    )


def _sharing(machine: SharedMachine) -> GpuSharing | None:
    """How the nodes hand out each accelerator: all slices, turns or parts as many as pods; None: to one pod."""
    if not machine.slice:
        way = SharingKind.MPS if machine.by_mps else SharingKind.TURNS
        return GpuSharing(way, machine.most_pods) if machine.most_pods > 1 else None
    profiles = load_catalog().partitions(machine.seats[0].accelerator)
    cut = next((profile.per_accelerator for profile in profiles if profile.name == machine.slice), None)
    if cut is None:
        raise InputError(f"the catalog does not know {machine.slice} of {machine.instance_type}", hint=_PLAN_AGAIN)
    return GpuSharing(SharingKind.SLICES, cut, machine.slice.removeprefix(SLICES))


def _group(machine: SharedMachine, seats: Sequence[ComputeGroup]) -> ComputeGroup:
    """The nodes: one pool of as many as there are copies, each with a pod of every workload."""
    kind = machine.slice or f"{machine.most_pods} {'parts' if machine.by_mps else 'turns'}"
    name = f"{machine.region} {machine.instance_type.removeprefix('Standard_')} shared {kind}"
    usd_per_hour = machine.seats[0].instance_usd_per_hour
    return replace(
        seats[0],
        key=unique_keys([name])[name],
        weight=1000,
        instances=machine.copies,
        min_instances=machine.copies,
        max_instances=while_replaced(machine.copies),
        usd_per_hour=usd_per_hour,
        usd_per_month=machine.copies * usd_per_hour * HOURS_PER_MONTH,
        start_seconds=max(group.start_seconds for group in seats),
        replicas_per_instance=len(seats),
        node_disk_gib=machine.disk_gib,
        priced_disk_gib=machine.disk_gib or seats[0].root_volume_gib,
        zones=max(group.zones for group in seats),
        requests_per_second_per_instance=sum(group.requests_per_second_per_instance for group in seats),
    )


def _summary(place: Place, tenants: Sequence[Stack], group: ComputeGroup) -> Summary:
    machine = place.machine
    named = list(zip(tenants, machine.seats, strict=True))
    sharing = _sharing(machine)
    of_each = f"{sharing.words if sharing else 'one pod'} of each {machine.seats[0].accelerator}"
    return Summary(
        workload=f"{place.name}: {', '.join(tenant.name for tenant in tenants)}",
        model=", ".join(dict.fromkeys(tenant.summary.model for tenant in tenants)),
        headlines=(
            f"{machine.copies} × {machine.instance_type} in {machine.region}: {of_each}",
            *(f"{tenant.name}: {seat_words(place.position, machine, seat)}" for tenant, seat in named),
        ),
        demand=tuple(
            Row(
                tenant.name,
                f"{_figure(seat.planned_requests_per_second_per_instance)} requests/s on each copy, planned",
            )
            for tenant, seat in named
        ),
        prediction=tuple(_predictions(machine, named)),
        cost=tuple(_costs(machine)),
        not_included=_BESIDE,
        quotas=quotas_needed(machine.provider, tenants[0].target, (group,)),
        commitments=(),
        cautions=tuple(_cautions(place, tenants)),
    )


def _figure(value: float) -> str:
    return f"{significant(value):,.10g}"


def _predictions(machine: SharedMachine, named: Sequence[tuple[Stack, Seat]]) -> Iterator[Row]:
    for tenant, seat in named:
        most = seat.requests_per_second_per_replica
        value, low, high = map(_figure, (most.value, most.low, most.high))
        alone = f"{value} requests/s within its SLO alone (from {low} to {high})"
        memory = f"{seat.memory_gib:.1f} of {seat.usable_gib:.1f} GiB"
        among = f"keeps its SLO among {seat.most_sharers} that take turns"
        if seat.way is Way.MPS:
            among = f"keeps its SLO on one of {seat.most_sharers} equal parts by MPS"
        if seat.most_sharers is None:
            among = "a slice of its own"
        elif len(machine.server_of(seat.workload)) > 1:
            memory += f", of which {seat.server_gib:.1f} are the server's"
            among = f"keeps its SLO on one of {seat.most_sharers} equal parts of the time"
        yield Row(tenant.name, f"{seat.engine}, {seat.precision}: {alone}, {memory}, {among}; {seat.evidence}")


def _costs(machine: SharedMachine) -> Iterator[Row]:
    seat = machine.seats[0]
    priced = f"{seat.price_source}, {seat.price_as_of or 'unknown'} ({seat.price_quality})"
    yield Row(
        f"{machine.instance_type}, on demand, {machine.region}",
        f"${seat.instance_usd_per_hour:,.4f} an hour each; {priced}",
    )
    yield Row("Disk of a node", f"{machine.disk_gib} GiB, for the images and weights of all")
    yield Row("Total of the machines and their disks", f"{usd(machine.usd_per_month)} a month")
    yield Row("Fleets of their own", f"{usd(machine.alone_usd_per_month)} a month")


def _caches(machine: SharedMachine, tenants: Sequence[Stack]) -> Iterator[str]:
    """Why KV caches are given in bytes, and which are not."""
    cached = [tenant for tenant, seat in zip(tenants, machine.seats, strict=True) if seat.kv_cache_gib is not None]
    fixed = [tenant.name for tenant in cached if _is_fixed(tenant)]
    if fixed:
        yield (
            f"{', '.join(fixed)}: vLLM is given its KV cache in bytes, since engines that start at the same moment on "
            "one accelerator count each other's memory as their own (vLLM issues 55827 and 56830); its share of the "
            "memory only says what has to be free as it starts."
        )
    others = [
        f"{tenant.name} ({tenant.backends[0].container.engine.value})" for tenant in cached if not _is_fixed(tenant)
    ]
    if others:
        yield f"{', '.join(others)}: {_UNFIXED_BY_MPS if machine.by_mps else _UNFIXED}"


def _is_fixed(tenant: Stack) -> bool:
    return any(word.startswith(FIXED_CACHE) for word in tenant.backends[0].container.arguments)


def _cautions(place: Place, tenants: Sequence[Stack]) -> Iterator[str]:
    machine = place.machine
    if machine.copies == 1:
        yield _LOST_TOGETHER
    for name, server in place.servers.items():
        names = [tenant.name for tenant, seat in zip(tenants, machine.seats, strict=True) if seat.workload in server]
        yield _ONE_SERVER.format(workloads=", ".join(names), namespace=own_namespace(name))
        yield f"{', '.join(names)}: {CLIENTS.format(name='NAME')} kubernetes/README.md has the NAME of each."
    if machine.most_pods > 1 and not machine.slice:
        limits = _LIMITS_OF_MPS.format(
            percent=thread_percent(machine.most_pods), gib=min(seat.usable_gib for seat in machine.seats)
        )
        yield limits if machine.by_mps else _NO_ISOLATION
        yield from _caches(machine, tenants)
    for tenant, seat in zip(tenants, machine.seats, strict=True):
        is_joined = len(machine.server_of(seat.workload)) > 1
        said = tenant.api.clients if is_joined else ""
        yield from (f"{tenant.name}: {caution}" for caution in tenant.summary.cautions if caution != said)
