"""Changes of a user's Terraform that follow from an audited bill: for the dearest endpoints and for idle machines."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from advisor.audit.endpoints import EndpointMachines, machines_of
from advisor.audit.findings.compute import is_idle, pools_of
from advisor.audit.run import Opened
from advisor.audit.values import Bill, Endpoint, HostCost
from advisor.catalog import Catalog
from advisor.catalog.values import Purchase
from advisor.codegen.applying import Application, Target, apply_all, apply_to, targets_of
from advisor.codegen.applying.addresses import addresses_with
from advisor.codegen.applying.project import open_project
from advisor.demand.services.names import served_key
from advisor.discovery.find import Places, Server, find_services
from advisor.discovery.proposal import proposal_of
from advisor.discovery.values import Machine, Service
from advisor.discovery.workload_text import workload_text
from advisor.errors import AdvisorError, InputError
from advisor.names import normalised
from advisor.pipeline import plan_for, prepared
from advisor.plan.values import Plan
from advisor.units import HOURS_PER_DAY
from advisor.workload.document import read_workload
from advisor.workload.values import Deployment, Workload

DEAREST = 3
"""Endpoints that are planned anew."""
_FEWEST = 2
"""Replicas that an endpoint with several machines keeps, so that any one may fail."""

_NAMED = "name model, targets and demand in a workload file, and give its folder with --workloads"


@dataclass(frozen=True, slots=True)
class Wish:
    """Change that an endpoint or a finding asks of the code."""

    subject: str
    """Such as ``endpoint chat``, or the id of a finding with its machines."""
    told: str
    """The change and what it saves; or why there is none."""
    instance_type: str = ""
    """Machine that the code has today."""
    target: Target | None = None
    """Machines that it should have; None: as today."""
    address: str = ""
    """Address of the code to edit; "": none is."""
    is_planned: bool = False
    """Whether a plan says how many machines are needed, which findings on them leave alone then."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Every wish, and the edits of those that the code can take."""

    wishes: tuple[Wish, ...]
    application: Application | None
    """None: no wish can be written."""


def telemetry_of(places: Sequence[str], bill: Bill) -> Places | None:
    """Places of an audit as sources of demand over the bill's period, an hour at least; None where there are none.

    Args:
        places: directories of samples, or the address of a server.
        bill: whose period says how far back demand counts.
    """
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
    numbers of the plan.

    Args:
        opened: an audit, with its charges.
        directory: of the Terraform root.
        catalog: machines and prices.
        sources: what is known of the endpoints.

    Raises:
        InputError: there is no Terraform, or telemetry or a workload file cannot be read.
    """
    project = open_project(directory)
    machines = machines_of(opened.ledger, sources.endpoint_tag)
    dearest = [endpoint for endpoint in opened.audit.endpoints if normalised(endpoint.name) in machines][:DEAREST]
    with tempfile.TemporaryDirectory(prefix="advisor-audit-") as folder:
        stated = {normalised(workload.name): workload for workload in map(read_workload, sources.workloads)}
        planner = _Planner(catalog, sources.telemetry, stated, Path(folder))
        services = planner.services() if dearest else ()
        wishes = [planner.wish(each, machines[normalised(each.name)], services) for each in dearest]
    planned = {wish.instance_type for wish in wishes if wish.is_planned}
    wishes += [wish for wish in _of_findings(opened.audit.split.hosts) if wish.instance_type not in planned]
    placed = tuple(_placed(wish, list(addresses_with(project, wish.instance_type)), directory) for wish in wishes)
    pairs = [(wish.address, wish.target) for wish in placed if wish.target is not None and wish.address]
    return Changes(placed, apply_all(directory, pairs) if pairs else None)


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
        wish = Wish(f"endpoint {endpoint.name}", "", machines.instance_type)
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
        prices = f"${then:,.2f} a month, ${today:,.2f} today, by the catalog's prices"
        if then >= today:
            return replace(wish, told=f"{words} would cost {prices}: nothing is changed")
        told = f"{machines.instances} × {machines.instance_type} → {words}: {prices}"
        return replace(wish, told=told, target=target)

    def _observed(self, endpoint: Endpoint, machines: EndpointMachines, services: Sequence[Service]) -> Workload:
        """Workload of an endpoint from what telemetry shows of it.

        Raises:
            InputError: telemetry does not show what a plan needs.
        """
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
        path = self.folder / "endpoint.yaml"
        path.write_text(workload_text(proposal, ""), encoding="utf-8")
        return read_workload(path)

    def _plan(self, workload: Workload, machines: EndpointMachines) -> Plan:
        """Plan for a workload in the region of its machines, with one type of machine that is bought as today.

        Raises:
            AdvisorError: something that a plan needs is not known.
        """
        purchase = _purchase(machines)
        fewest = max(workload.limits.min_replicas, min(machines.instances, _FEWEST))
        workload = replace(
            workload,
            current=Deployment(
                machines.provider, machines.region, machines.instance_type, machines.instances, purchase
            ),
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


def _of_findings(hosts: Sequence[HostCost]) -> Iterator[Wish]:
    """Fewer machines where some are idle (ADV101), or where fewer accelerators would do (ADV102)."""
    for pool in pools_of(hosts):
        working = [host for host in pool.hosts if not is_idle(host)]
        idle = len(pool.hosts) - len(working)
        needed = replace(pool, hosts=working).needed_hosts if working else 0
        if needed >= len(pool.hosts) or not pool.instance_type:
            continue
        ids = [*(["ADV101"] if idle else []), *(["ADV102"] if needed < len(working) else [])]
        told = f"{len(pool.hosts)} → {needed} × {pool.instance_type} in {pool.region}, {idle} of them idle"
        target = Target(
            key=pool.instance_type,
            provider=pool.provider,
            region=pool.region,
            instance_type=pool.instance_type,
            interchangeable_types=(),
            instances=needed,
            min_instances=needed,
            max_instances=len(pool.hosts),
            is_spot=False,
            serving="the load of the bill's period, as accelerators were used then",
            keeps_types=True,
        )
        yield Wish(f"{' and '.join(ids)} ({pool.instance_type})", told, pool.instance_type, target)


def _placed(wish: Wish, addresses: Sequence[str], directory: Path) -> Wish:
    """A wish with the one address of the code that can take it, or why none can."""
    if wish.target is None:
        return wish
    if not addresses:
        return replace(wish, told=f"{wish.told}; not written: no code says {wish.instance_type}")
    takes, reasons = [], []
    for address in addresses:
        try:
            apply_to(directory, address, wish.target)
        except InputError as error:
            reasons.append(f"{address}: {error.message}")
        else:
            takes.append(address)
    if not takes:
        return replace(wish, told=f"{wish.told}; not written: {'; '.join(reasons)}")
    named = [address for address in takes if normalised(wish.subject.split()[-1]) in normalised(address)]
    chosen = named if len(named) == 1 else takes
    if len(chosen) > 1:
        told = f"{wish.told}; not written: several places say {wish.instance_type}: {', '.join(chosen)}"
        return replace(wish, told=told)
    return replace(wish, address=chosen[0])
