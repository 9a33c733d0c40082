"""Changes of a user's Terraform that follow from an audited bill: for the dearest endpoints and for idle machines."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from advisor.audit.endpoints import ENDPOINT_TAGS, EndpointMachines, machines_of
from advisor.audit.run import Opened
from advisor.audit.values import Bill, Endpoint
from advisor.catalog import Catalog
from advisor.catalog.values import Purchase
from advisor.codegen.applying import Application, apply_all, targets_of, united
from advisor.codegen.applying.addresses import typed_addresses
from advisor.codegen.applying.project import open_projects
from advisor.demand.services.service import served_key
from advisor.discovery.bill_places import Code, Wish, of_findings, placed_in
from advisor.discovery.find import Places, Server, find_services
from advisor.discovery.proposal import proposal_of, settled
from advisor.discovery.values import Machine, Service
from advisor.discovery.workload_text import tried, workload_text
from advisor.errors import AdvisorError, InputError
from advisor.names import normalised
from advisor.pipeline import plan_for, prepared
from advisor.plan.values import Plan
from advisor.records import dataclass, replace
from advisor.samples.need.fleet import FEWEST
from advisor.units import HOURS_PER_DAY
from advisor.workload.document import read_workload
from advisor.workload.values import Deployment, Workload

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

    Raises:
        InputError: there is no Terraform, or telemetry or a workload file cannot be read.
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
        prices = f"${then:,.2f} a month, ${today:,.2f} today, by the catalog's prices"
        if then >= today:
            return replace(wish, told=f"{words} would cost {prices}: nothing is changed")
        told = f"{machines.instances} × {machines.instance_type} → {words}: {prices}"
        return replace(wish, told=told, target=replace(target, least_maximum=target.instances))

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
        question = tried(workload_text(proposal, ""), self.folder, self.catalog).question
        if question is not None:
            proposal = settled(proposal, question, self.catalog)
        path = self.folder / "endpoint.yaml"
        path.write_text(workload_text(proposal, ""), encoding="utf-8")
        return read_workload(path)

    def _plan(self, workload: Workload, machines: EndpointMachines) -> Plan:
        """Plan for a workload in the region of its machines, with one type of machine that is bought as today.

        Raises:
            AdvisorError: something that a plan needs is not known.
        """
        purchase = _purchase(machines)
        fewest = max(workload.limits.min_replicas, min(machines.instances, FEWEST))
        workload = replace(
            workload,
            current=Deployment(
                machines.provider,
                machines.region,
                machines.instance_type,
                machines.instances,
                purchase,
                workload.current.measured if workload.current else None,
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
