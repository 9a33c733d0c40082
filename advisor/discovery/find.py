"""Everything that runs, from every place that was named, each service once with its best demand, of samples too."""

import datetime as dt
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from advisor.catalog import Catalog
from advisor.demand.monitored import Monitored
from advisor.demand.recorded import Within, grown_histograms, read_fleet
from advisor.demand.services import EngineView
from advisor.demand.services.lengths import LengthCounts, added
from advisor.demand.services.service import served_key
from advisor.discovery.aws import Account, services_of_account
from advisor.discovery.cluster import services_of_cluster
from advisor.discovery.kubeconfig import Access, cluster_access
from advisor.discovery.kubernetes_api import KubernetesApi
from advisor.discovery.launches import launches_of_lines
from advisor.discovery.monitored import Watched, survey, unmatched_services, with_observed
from advisor.discovery.values import Inventory, Latency, Launch, Machine, Observed, Service, window_text
from advisor.errors import InputError
from advisor.records import dataclass, replace
from advisor.samples.agent.host_facts import ENGINES, INSTANCE_TYPE, PROVIDER, PURCHASE, REGION
from advisor.samples.bounded_http import parse_address
from advisor.samples.query.prometheus import PrometheusEndpoint
from advisor.samples.store.hosts import Host, hosts_of
from advisor.samples.store.reading import Store
from advisor.units import MS_PER_SECOND

_LATENCY = {"ttft_p95_ms": "ttft_seconds", "tpot_p95_ms": "tpot_seconds", "e2e_p95_ms": "e2e_seconds"}
_SHARE = 0.95
Fields = dict[str, str | float | tuple[str, ...]]
"""Keys and values of a source of demand."""


def services_of_samples(places: Sequence[str], out: Path, window_days: float | None) -> Inventory:
    """One service for each model that sampled engines serve.

    Args:
        places: directories of samples, and addresses in object storage.
        out: folder of the workload files, to which paths of directories are made relative.
        window_days: how far back from the last sample; None: all of it.

    Raises:
        InputError: there are no samples.
    """
    store = Store(places)
    within = Within(days=window_days)
    views = read_fleet(store, within).views
    latencies = _latencies(store, within)
    hosts = {host.name: host for host in hosts_of(places)}
    paths = tuple(place if "://" in place else os.path.relpath(place, out) for place in places)
    source: Fields = {"path": paths if len(paths) > 1 else paths[0]}
    source |= {"window": window_text(window_days)} if window_days is not None else {}
    by_model: dict[str, list[EngineView]] = {}
    for view in views:
        by_model.setdefault(served_key(view.model or ""), []).append(view)
    services = tuple(
        replace(service, observed=replace(service.observed, latency=latencies.get(key, Latency())))
        for key, own in by_model.items()
        if (service := _service(own, hosts, source, ", ".join(places))).observed is not None
    )
    notes = [f"samples left out: {note}" for note in store.notes()]
    if not services:
        notes.append(f"{', '.join(places)}: no serving engine was sampled (`advisor agent run --engine URL`)")
        services = (_of_accelerators(hosts, source, ", ".join(places)),)
    return Inventory(services, tuple(notes))


def _latencies(store: Store, within: Within) -> dict[str, Latency]:
    """95th percentiles by model, over all of its engines."""
    parts: dict[str, dict[str, list[LengthCounts]]] = {}
    for answer in store.answers(within.window(store), lambda hosts: grown_histograms(hosts, tuple(_LATENCY.values()))):
        for key, histograms in answer.items():
            of_model = parts.setdefault(served_key(key.model or ""), {})
            for name, counts in histograms.items():
                of_model.setdefault(name, []).append(counts)
    return {
        model: Latency(**{target: _p95_ms(of_model.get(name, ())) for target, name in _LATENCY.items()})
        for model, of_model in parts.items()
    }


def _p95_ms(parts: Sequence[LengthCounts]) -> float | None:
    """95th percentile, linear within its bucket as Prometheus takes it; beyond the last bound it is that bound."""
    whole = added(parts)
    if whole is None or whole.bounds.size < 2:
        return None
    finite = np.concatenate(([0.0], whole.bounds[:-1]))
    seconds = np.interp(_SHARE * whole.requests, np.concatenate(([0.0], whole.counts[:-1])), finite)
    return float(seconds) * MS_PER_SECOND or None


def _service(own: Sequence[EngineView], hosts: dict[str, Host], source: Fields, where: str) -> Service:
    names = sorted({view.host for view in own if view.host})
    model = own[0].model or ""
    lines = [line for name in names if name in hosts for line in hosts[name].facts.get(ENGINES, "").split("; ")]
    launch = next(iter(_launches(lines, model)), Launch(own[0].engine))
    fields = {**source, **({"hosts": tuple(names)} if len(names) < len(hosts) else {})}
    fields |= {"model": model} if model else {}
    counts = added([view.answers for view in own if view.answers is not None]) is not None
    counts = counts or any(view.grown.answer_tokens for view in own)
    return Service(
        name=model.rpartition("/")[2] or own[0].engine,
        origin=f"{own[0].engine} on {len(names)} host{'' if len(names) == 1 else 's'} sampled in {where}",
        launch=launch,
        replicas=len({(view.host, view.address, view.rank) for view in own}),
        machines=tuple(_machine(name, hosts[name]) for name in names if name in hosts),
        observed=Observed("samples", fields, counts, model=model, engine=own[0].engine),
    )


def _of_accelerators(hosts: Mapping[str, Host], source: Fields, where: str) -> Service:
    """Hosts of which only accelerators were sampled; the model is that of a command line that their agents saw."""
    lines = [line for host in hosts.values() for line in host.facts.get(ENGINES, "").split("; ") if line]
    launch = next((launch for launch in launches_of_lines(lines) if launch.model), Launch(""))
    return Service(
        name=launch.model.rpartition("/")[2] or "sampled",
        origin=f"accelerators of {len(hosts)} host{'' if len(hosts) == 1 else 's'} sampled in {where}",
        launch=launch,
        machines=tuple(_machine(name, host) for name, host in hosts.items()),
        observed=Observed("samples", source, counts_tokens=False),
    )


def _launches(lines: Sequence[str], model: str) -> Iterator[Launch]:
    """Launches whose model or served name is the one that is meant."""
    for launch in launches_of_lines(lines):
        if served_key(model) in {served_key(launch.served_name), served_key(launch.model)}:
            yield launch


def _machine(name: str, host: Host) -> Machine:
    facts = host.facts
    stated = (facts.get(key, "") for key in (PROVIDER, REGION, INSTANCE_TYPE, PURCHASE))
    return Machine(name, *stated)


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
    whole = sum((_of_context(context, places) for context in places.contexts), Inventory())
    watched = [survey(_monitored(server), _fields(server)) for server in places.servers]
    services = [with_observed(service, watched) for service in whole.services]
    for each in watched:
        taken = [service.observed for service in services if service.observed is not None]
        services += list(unmatched_services(each, taken))
    inventory = Inventory(tuple(services), (*whole.notes, *_warnings(watched)))
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
