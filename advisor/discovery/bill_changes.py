"""Changes of a user's Terraform that follow from an audited bill: for the dearest endpoints and for idle machines.

Places in a user's Terraform of the machines that a bill names, and what findings on these machines ask of them.
"""

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from advisor.audit import Bill, Endpoint, HostCost
from advisor.audit.endpoints import ENDPOINT_TAGS, EndpointMachines, machines_of
from advisor.audit.findings.charges import MeasuredFleet, fleets_of
from advisor.audit.run import Opened
from advisor.catalog import Catalog
from advisor.catalog.values import Purchase
from advisor.codegen.applying import Application, Target, apply_all, apply_to, targets_of, united
from advisor.codegen.applying.addresses import GROUP_MAPS, TypedAddress, typed_addresses
from advisor.codegen.applying.facts import Facts, facts_at
from advisor.codegen.applying.resolving import Module, open_projects
from advisor.codegen.applying.rules import RULES, Figure
from advisor.demand.services.service import served_key
from advisor.discovery import Machine, Service
from advisor.discovery.find import Places, Server, find_services
from advisor.discovery.proposal import proposal_of, settled
from advisor.discovery.workload_text import tried, workload_text
from advisor.errors import AdvisorError, InputError
from advisor.names import normalised
from advisor.pipeline import plan_for, prepared
from advisor.plan.values import Plan
from advisor.records import dataclass, replace
from advisor.samples.need.fleet import FEWEST
from advisor.units import HOURS_PER_DAY, usd
from advisor.workload.document import read_workload
from advisor.workload.values import Deployment, Workload

_WAYS = ("on demand", "as spot")
_OTHER_WORK = ("train", "training", "batch", "test", "dev", "staging")
"""Words in an address of machines that serve nobody."""
_TELLS_NOTHING = frozenset(
    re.findall(
        r"\S+",
        "accelerated accelerator accelerators ai asg autoscaling aws azure azurerm cluster compute default ec2 eks gcp "
        "gke google gpu gpus aks group groups host hosts inference instance instances launch llm llms machine machines "
        "main managed ml model models mig node nodegroup nodes nvidia on demand ondemand pool pools prod production "
        "replica replicas server servers serving spot template this vm vms vmss worker workers",
    )
)
"""Words in an address that name no endpoint."""
_STEM = 3
"""Letters from which a word that a name begins with tells that it is meant: ``qwen`` of ``Qwen3-32B``."""
_SIZE_OR_NUMBER = re.compile(r"[a-z]{0,4}\d+[a-z]{0,6}|\d*x?large|x+large")
"""Words such as ``g5``, ``12xlarge``, ``a100``, ``v2``."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Change that an endpoint or a finding asks of the code."""

    subject: str
    """Such as ``endpoint chat``, or the id of a finding with its machines."""
    told: str
    """The change and what it saves; or why there is none."""
    machines: EndpointMachines
    """Machines of the bill that it is about."""
    target: Target | None = None
    """Machines that there should be; None: as today."""
    address: str = ""
    """Address of the code to edit; "": none is."""
    root: str = ""
    """Folder of the root that it is in, with its slash; "": the only one."""
    is_planned: bool = False
    """Whether a plan says how many machines are needed, which findings on them leave alone then."""


def of_findings(kinds: Sequence[EndpointMachines], hosts: Sequence[HostCost]) -> Iterator[Wish]:
    """Fewer machines where some are idle (ADV101), or where fewer accelerators would do (ADV102).

    *kinds* are machines of the bill, the dearest last; *hosts* those with telemetry.
    """
    for fleet in fleets_of(kinds, hosts):
        is_too_much = fleet.enough < fleet.instances and (fleet.idle or fleet.loaded < len(fleet.working))
        if fleet.kind is not None and is_too_much:
            yield _of_fleet(fleet, fleet.kind)


def _of_fleet(fleet: MeasuredFleet, kind: EndpointMachines) -> Wish:
    ids = [*(["ADV101"] if fleet.gone else []), *(["ADV102"] if fleet.spare or not fleet.gone else [])]
    endpoint = f" of {kind.endpoint}" if kind.endpoint else ""
    wish = Wish(f"{' and '.join(ids)} ({kind.instance_type}{endpoint})", "", kind)
    change = f"{kind.instances} → {fleet.needed} × {kind.instance_type} in {kind.region}"
    told = f"{change}, {len(fleet.idle)} of them idle" if fleet.enough else f"{change}: all of them are idle"
    if fleet.enough < fleet.needed:
        told = f"{told}; {fleet.enough} would carry the load, {fleet.needed} stay so that one may fail"
    if fleet.needed >= kind.instances:
        return replace(wish, told=f"{told}; nothing is changed")
    if why := fleet.too_little_known:
        return replace(wish, told=f"{told}; not written: {why}")
    target = Target(
        key=kind.instance_type,
        provider=kind.provider,
        region=kind.region,
        instance_type=kind.instance_type,
        interchangeable_types=(),
        instances=fleet.needed,
        min_instances=fleet.needed,
        max_instances=kind.instances,
        is_spot=kind.is_spot,
        serving="the load of the bill's period, as accelerators were used then",
        keeps_types=True,
        least_maximum=kind.instances,
    )
    return replace(wish, told=told, target=target)


@dataclass(frozen=True, slots=True)
class Code:
    """A Terraform project, and what tells the endpoints of its machines."""

    directory: Path
    project: Module
    addresses: Sequence[TypedAddress]
    endpoint_tags: Sequence[str]
    """Tags that name an endpoint, the most telling first."""
    endpoints: Sequence[str]
    """Normalised names of all endpoints of the bill."""

    def placed(self, wish: Wish) -> Wish:
        """A wish with the one address that can take it and that nothing speaks against, or why there is none."""
        if wish.target is None:
            return wish
        kind = wish.machines.instance_type
        typed = [each.address for each in self.addresses if kind in each.instance_types]
        followed = {each.address: each.not_followed for each in self.addresses if each.not_followed}
        hidden = f"types of these are in expressions that are not followed: {', '.join(followed.values())}"
        if not typed:
            return _unwritten(wish, f"no code says {kind}" + (f"; {hidden}" if followed else ""))
        reasons = {address: self._against(wish, address) for address in typed}
        takes = [address for address in typed if not reasons[address]]
        if not takes:
            return _unwritten(wish, "; ".join(f"{address}: {reason}" for address, reason in reasons.items()))
        named = [address for address in takes if self._is_named(wish, address)]
        chosen = self._distinct(named, wish.target)
        chosen = chosen if len(chosen) == 1 else self._distinct(takes, wish.target)
        if len(chosen) > 1:
            return _unwritten(wish, f"several places say {kind}: {', '.join(chosen)}")
        if followed and not named:
            return _unwritten(wish, f"{chosen[0]} says {kind}, but {hidden}")
        return replace(wish, address=chosen[0])

    def says(self, instance_type: str) -> bool:
        """Whether a type of machine stands anywhere in the code, or may."""
        return any(instance_type in each.instance_types or each.not_followed for each in self.addresses)

    def _distinct(self, addresses: Sequence[str], target: Target) -> list[str]:
        """Addresses without those whose edits are another's: a template and its group say one type."""
        patches = {apply_to(self.directory, address, target, self.project).patch: address for address in addresses}
        return list(patches.values())

    def _facts(self, wish: Wish, address: str) -> Facts:
        return facts_at(self.project, address, wish.machines.provider)

    def _against(self, wish: Wish, address: str) -> str:
        """Reasons why the machines at an address are others than the wish is about, or stay; "": there are none."""
        if wish.target is None:
            return "nothing is asked of it"
        try:
            facts = self._facts(wish, address)
            differences = [*_differences(facts, wish.machines), *self._other_names(wish.machines, facts, address)]
            if differences:
                return "; ".join(differences)
            application = apply_to(self.directory, address, wish.target, self.project)
            keyed = _block(address) != address
            twins = [each.address for each in self.addresses if keyed and _block(each.address) == _block(address)]
            others = [twin for twin in twins if twin != address]
            patches = [apply_to(self.directory, twin, wish.target, self.project).patch for twin in others]
        except InputError as error:
            return error.message
        if application.patch and application.patch in patches:
            return f"its numbers are those of {_block(address)} with every other key too"
        return "; ".join(application.shared)

    def _other_names(self, machines: EndpointMachines, facts: Facts, address: str) -> Iterator[str]:
        """Endpoints that tags and the address name in place of that of the machines."""
        own = normalised(machines.endpoint)
        tagged = self._tagged(facts)
        if own and tagged and normalised(tagged) != own:
            yield f"its tags say {tagged}, the bill says {machines.endpoint}"
        if own and (_carries(address, own) or normalised(tagged) == own):
            return
        others = [name for name in self.endpoints if name != own and _carries(address, name)]
        others += [word for word in _OTHER_WORK if own and _carries(address, word)]
        place = set(re.split(r"[^a-z0-9]+", machines.region.casefold()))
        words = [
            word
            for word in (_words(address) if own else ())
            if len(word) > 1 and word not in _TELLS_NOTHING | place and not _SIZE_OR_NUMBER.fullmatch(word)
        ]
        if not any(len(word) >= _STEM and own.startswith(word) for word in words):
            others += words
        if others:
            yield f"its name says {others[0]}, the bill says {machines.endpoint or 'no endpoint'}"

    def _tagged(self, facts: Facts) -> str:
        """Endpoint that tags name; "": none."""
        tags = {normalised(key): value for key, value in facts.tags}
        return next((tags[normalised(tag)] for tag in self.endpoint_tags if normalised(tag) in tags), "")

    def _is_named(self, wish: Wish, address: str) -> bool:
        """Whether address or tags carry the name of the endpoint."""
        own = normalised(wish.machines.endpoint)
        return bool(own) and (_carries(address, own) or normalised(self._tagged(self._facts(wish, address))) == own)


def placed_in(codes: Mapping[str, Code], wish: Wish) -> Wish:
    """A wish with its place in the one root that can take it, or why none can; by the folder of each."""
    placed = {folder: code.placed(wish) for folder, code in codes.items()}
    if len(placed) == 1 or wish.target is None:
        return next(iter(placed.values()))
    takes = {folder: each for folder, each in placed.items() if each.address}
    if len(takes) == 1:
        folder, each = next(iter(takes.items()))
        return replace(each, root=folder)
    if takes:
        places = ", ".join(f"{folder}{each.address}" for folder, each in takes.items())
        return _unwritten(wish, f"several places say {wish.machines.instance_type}: {places}")
    said = [folder for folder, code in codes.items() if code.says(wish.machines.instance_type)]
    reasons = [f"{folder}: {placed[folder].told.removeprefix(f'{wish.told}; not written: ')}" for folder in said]
    return _unwritten(wish, "; ".join(reasons) or f"no code says {wish.machines.instance_type}")


def _differences(facts: Facts, machines: EndpointMachines) -> Iterator[str]:
    """Region, number and purchase in the code that are not those of the bill."""
    others = sorted(region for region in facts.regions if normalised(region) != normalised(machines.region))
    if others:
        yield f"it is in {', '.join(others)}, the bill's machines are in {machines.region}"
    for figure, count in facts.counts:
        words = {Figure.MIN: "at least ", Figure.MAX: "at most "}.get(figure, "")
        is_other = {Figure.MIN: count > machines.instances, Figure.MAX: count < machines.instances}
        if is_other.get(figure, count != machines.instances):
            yield f"it has {words}{count}, the bill has {machines.instances} on average"
            break
    if facts.buys_spot is not None and facts.buys_spot != machines.is_spot:
        yield f"it buys {_WAYS[facts.buys_spot]}, the bill's machines are bought {_WAYS[machines.is_spot]}"


def _unwritten(wish: Wish, why: str) -> Wish:
    return replace(wish, told=f"{wish.told}; not written: {why}")


def _block(address: str) -> str:
    """An address without the key at its end."""
    return address.rpartition('["')[0] if address.endswith('"]') else address


def _words(address: str) -> list[str]:
    """Words of an address, without types of resources and arguments of modules that hold groups."""
    steps = [step for step in address.split(".") if step not in RULES and step != "module"]
    steps = [step[step.find("[") :] if step.partition("[")[0] in GROUP_MAPS else step for step in steps]
    return re.split(r"[^a-z0-9]+", ".".join(steps).casefold())


def _carries(address: str, name: str) -> bool:
    """Whether some words of an address, one after the other, are a name; types of resources say no name."""
    words = _words(address)
    wanted = re.sub(r"[^a-z0-9]", "", name)
    spans = combinations(range(len(words) + 1), 2)
    return any("".join(words[first:last]) == wanted for first, last in spans)


DEAREST = 3
"""Endpoints that are planned anew."""
_NAMED = "name model, targets and demand in a workload file, and give its folder with --workloads"


@dataclass(frozen=True, slots=True)
class Changes:
    """Every wish, and the edits of those that the code can take."""

    wishes: tuple[Wish, ...]
    application: Application | None
    """None: no wish can be written."""


def telemetry_of(places: Sequence[str], bill: Bill) -> Places | None:
    """Directories of samples, or the address of a server, as sources of demand over a bill's period; None: neither."""
    if not places:
        return None
    days = max(bill.hours, 1.0) / HOURS_PER_DAY
    if places[0].startswith(("http://", "https://")):
        return Places(Path(), servers=(Server(places[0], days),))
    return Places(Path(), samples=tuple(str(Path(place).resolve()) for place in places))


@dataclass(frozen=True, slots=True)
class Sources:
    """Sources of what endpoints serve."""

    telemetry: Places | None = None
    """Places that record demand; None: there are none."""
    workloads: Sequence[Path] = ()
    """Workload files, which name model, targets and demand of the endpoint of their name."""
    endpoint_tag: str | None = None
    """Tag that names the endpoint of a charge; None: the usual ones."""


def changes_of(opened: Opened, directory: Path, catalog: Catalog, sources: Sources) -> Changes:
    """Changes for the three dearest endpoints, and for machines that the findings ADV101 and ADV102 are about.

    An endpoint is planned anew as its workload file says, or from its measured demand and the latency that users get
    today, with machines of one type in its region that are bought as now. Where that costs less, its code gets type and
    numbers of the plan. Raises InputError if there is no Terraform, or telemetry or a workload file cannot be read.
    """
    projects = open_projects(directory)
    kinds = machines_of(opened.ledger, sources.endpoint_tag)
    machines = {normalised(kind.endpoint): kind for kind in kinds if kind.endpoint}
    dearest = [endpoint for endpoint in opened.audit.endpoints if normalised(endpoint.name) in machines][:DEAREST]
    with tempfile.TemporaryDirectory(prefix="advisor-audit-") as folder:
        stated = {normalised(workload.name): workload for workload in map(read_workload, sources.workloads)}
        planner = _Planner(catalog, sources.telemetry, stated, Path(folder))
        services = planner.services() if dearest else ()
        wishes = [planner.wish(each, machines[normalised(each.name)], services) for each in dearest]
    planned = [wish.machines for wish in wishes if wish.is_planned]
    wishes += of_findings([kind for kind in kinds if kind not in planned], opened.audit.split.hosts)
    tags = [sources.endpoint_tag] if sources.endpoint_tag else list(ENDPOINT_TAGS)
    codes = {
        folder: Code(project.directory, project, tuple(typed_addresses(project)), tags, [*machines])
        for folder, project in projects.items()
    }
    placed = [placed_in(codes, wish) for wish in wishes]
    parts = {}
    for folder, code in codes.items():
        pairs = [(wish.address, wish.target) for wish in placed if wish.target and wish.address and wish.root == folder]
        if pairs:
            parts[folder] = apply_all(code.directory, pairs, code.project)
    return Changes(tuple(placed), united(parts) if parts else None)


@dataclass(frozen=True, slots=True)
class _Planner:
    """Plans for endpoints from what telemetry shows of them."""

    catalog: Catalog
    telemetry: Places | None
    stated: Mapping[str, Workload]
    """Workloads of the user, by normalised name."""
    folder: Path
    """Folder of the workload files, which nobody keeps."""

    def services(self) -> Sequence[Service]:
        """Services that telemetry shows."""
        if self.telemetry is None:
            return ()
        return find_services(replace(self.telemetry, out=self.folder), self.catalog).services

    def wish(self, endpoint: Endpoint, machines: EndpointMachines, services: Sequence[Service]) -> Wish:
        """Machines for an endpoint, or why it keeps those that it has."""
        wish = Wish(f"endpoint {endpoint.name}", "", machines)
        try:
            workload = self.stated.get(normalised(endpoint.name)) or self._observed(endpoint, machines, services)
            plan = self._plan(workload, machines)
            targets = targets_of(plan)
        except AdvisorError as error:
            return replace(wish, told=f"no plan: {error.message}")
        current, fleet = plan.current, plan.fleet
        if fleet is None or current is None or len(targets) != 1:
            return replace(wish, told=f"no plan with one type of machine in {machines.region}")
        today, then, target = current.total_usd_per_month, fleet.cost.total_usd_per_month, targets[0]
        wish = replace(wish, is_planned=True)
        words = f"{target.instances} × {target.instance_type}"
        prices = f"{usd(then)} a month, {usd(today)} today, by the catalog's prices"
        if then >= today:
            return replace(wish, told=f"{words} would cost {prices}: nothing is changed")
        told = f"{machines.instances} × {machines.instance_type} → {words}: {prices}"
        return replace(wish, told=told, target=replace(target, least_maximum=target.instances))

    def _observed(self, endpoint: Endpoint, machines: EndpointMachines, services: Sequence[Service]) -> Workload:
        """Workload of an endpoint, where telemetry shows what a plan needs of it."""
        if self.telemetry is None:
            raise InputError(f"its demand is not known: add --prometheus URL or --samples DIR, or {_NAMED}")
        names = {normalised(endpoint.name), served_key(endpoint.name)}
        service = next((each for each in services if names & _names(each)), None)
        if service is None:
            raise InputError(f"no metric knows it; {_NAMED}")
        host = Machine("", machines.provider, machines.region, machines.instance_type, _purchase(machines).value)
        running = replace(service, name=endpoint.name, machines=(host,) * machines.instances)
        proposal = proposal_of(running, self.catalog)
        if proposal.missing:
            raise InputError(f"{'; '.join(missing.why for missing in proposal.missing)}; or {_NAMED}")
        question = tried(workload_text(proposal, ""), self.folder, self.catalog).question
        if question is not None:
            proposal = settled(proposal, question, self.catalog)
        path = self.folder / "endpoint.yaml"
        path.write_text(workload_text(proposal, ""), encoding="utf-8")
        return read_workload(path)

    def _plan(self, workload: Workload, machines: EndpointMachines) -> Plan:
        """Plan for a workload in the region of its machines, with one type of machine that is bought as today."""
        purchase = _purchase(machines)
        fewest = max(workload.limits.min_replicas, min(machines.instances, FEWEST))
        place = machines.provider, machines.region, machines.instance_type
        measured = workload.current.measured if workload.current else None
        workload = replace(
            workload,
            current=Deployment(*place, machines.instances, purchase, measured),
            providers=(machines.provider,),
            regions=(machines.region,),
            purchase=(purchase,),
            limits=replace(workload.limits, max_instance_types=1, min_replicas=fewest),
            near_current=False,
        )
        return plan_for(prepared(workload, self.catalog), self.catalog)


def _purchase(machines: EndpointMachines) -> Purchase:
    return Purchase.SPOT if machines.is_spot else Purchase.ON_DEMAND


def _names(service: Service) -> set[str]:
    """Names that an endpoint of the bill may call a service by."""
    observed = service.observed.model if service.observed else ""
    models = filter(None, (service.launch.served_name, service.model, observed))
    return {normalised(service.name), *(key for model in models for key in (normalised(model), served_key(model)))}
