"""Everything that runs, from every place that was named, each service once with the best source of its demand."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from advisor.catalog import Catalog
from advisor.demand.monitored import Monitored
from advisor.demand.services.service import served_key
from advisor.discovery.aws import Account, services_of_account
from advisor.discovery.cluster import services_of_cluster
from advisor.discovery.kubeconfig import Access, cluster_access
from advisor.discovery.kubernetes_api import KubernetesApi
from advisor.discovery.monitored import Watched, survey, unmatched_services, with_observed
from advisor.discovery.values import Inventory, Service, window_text
from advisor.errors import InputError
from advisor.records import dataclass, replace
from advisor.samples.bounded_http import parse_address
from advisor.samples.query.prometheus import PrometheusEndpoint


@dataclass(frozen=True, slots=True)
class Server:
    """A Prometheus-compatible server, as it is asked and as workload files name it."""

    url: str
    window_days: float
    selector: str = ""
    token_file: Path | None = None
    ca_file: Path | None = None
    until: dt.datetime | None = None
    """End of the window; None: as :meth:`Monitored.between` has it."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look."""

    out: Path
    """Folder of the workload files."""
    contexts: tuple[str, ...] = ()
    """Clusters by context; "": the current one."""
    kubeconfig: Path | None = None
    namespace: str = ""
    servers: tuple[Server, ...] = ()
    samples: tuple[str, ...] = ()
    accounts: tuple[Account, ...] = ()
    window_days: float | None = None
    """How far back samples count; None: all of them."""


def find_services(places: Places, catalog: Catalog) -> Inventory:
    """Every service that any of the places shows.

    Clusters say what was deployed and on which machines; servers and samples what was served, and add what no cluster
    shows; accounts add endpoints, and instances that no cluster has.

    Raises:
        InputError: a place cannot be asked at all.
    """
    found = sum((_of_context(context, places) for context in places.contexts), Inventory())
    watched = [survey(_monitored(server), _fields(server)) for server in places.servers]
    services = [with_observed(service, watched) for service in found.services]
    for each in watched:
        taken = [service.observed for service in services if service.observed is not None]
        services += list(unmatched_services(each, taken))
    inventory = Inventory(tuple(services), (*found.notes, *_warnings(watched)))
    if places.samples:
        inventory = _with_samples(inventory, places)
    seen = {machine.instance_id for service in inventory.services for machine in service.machines} - {""}
    for account in places.accounts:
        inventory += services_of_account(account, catalog, seen)
    return inventory


def _of_context(context: str, places: Places) -> Inventory:
    access = cluster_access(context, places.kubeconfig)
    unverified = () if access.is_verified else (_unverified(access),)
    return services_of_cluster(KubernetesApi(access, places.namespace)) + Inventory(notes=unverified)


def _unverified(access: Access) -> str:
    return f"kubernetes {access.context}: its kubeconfig says not to verify the server's certificate"


def _monitored(server: Server) -> Monitored:
    access = PrometheusEndpoint.of(server.url, token_file=server.token_file, ca_file=server.ca_file)
    until_seconds = None if server.until is None else server.until.timestamp()
    return Monitored.between(access, server.window_days, None, until_seconds, server.selector)


def _fields(server: Server) -> dict[str, str]:
    """Fields under ``demand.prometheus`` that reach a server."""
    files = {"token_file": server.token_file, "ca_file": server.ca_file}
    named = {key: str(path.resolve()) for key, path in files.items() if path is not None}
    until = {} if server.until is None else {"until": server.until.strftime("%Y-%m-%dT%H:%M:%SZ")}
    return {"url": server.url, "window": window_text(server.window_days), **until, **named}


def _warnings(watched: Sequence[Watched]) -> tuple[str, ...]:
    return tuple(
        f"{each.shown}: no serving engine counted requests there in {each.server.length}"
        for each in watched
        if not each.seen
    )


def _with_samples(inventory: Inventory, places: Places) -> Inventory:
    """The same with what was sampled: the demand of services on sampled hosts, and services that nothing else shows."""
    from advisor.discovery.sampled import services_of_samples  # noqa: PLC0415 - pyarrow loads only for samples

    sampled = services_of_samples(places.samples, places.out, places.window_days)
    services, used = [], set[int]()
    for service in inventory.services:
        match = next((each for each in sampled.services if _is_same(service, each)), None)
        if match is not None:
            used.add(id(match))
            if service.observed is None:
                service = replace(service, observed=match.observed)  # noqa: PLW2901 - the same with its demand
        services.append(service)
    services += [each for each in sampled.services if id(each) not in used]
    return Inventory(tuple(services), (*inventory.notes, *sampled.notes))


def _is_same(service: Service, sampled: Service) -> bool:
    """Whether a model that was sampled on hosts of a service is its own."""
    hosts = {machine.name for machine in service.machines}
    model = served_key(sampled.model)
    names = {served_key(name) for name in (service.launch.served_name, service.model) if name}
    return bool(hosts & {machine.name for machine in sampled.machines}) and model in names


def nothing_found(places: Places) -> InputError:
    """Error where no place shows a service."""
    asked = [*(f"kubernetes {name or '(current context)'}" for name in places.contexts)]
    asked += [parse_address(server.url, "").shown for server in places.servers] + list(places.samples)
    asked += [account.where for account in places.accounts]
    return InputError(
        "no service that serves a model was found",
        where=", ".join(asked),
        hint="name further places: --kubernetes CONTEXT, --prometheus URL, --samples DIR, --aws REGION",
    )
