"""Everything that runs, from every place that was named, each service once with its best demand, of samples too.

Accelerated EC2 instances and SageMaker endpoints of an account; only calls that describe and list are made.

Permissions: ec2:DescribeInstances, sagemaker:ListEndpoints, DescribeEndpoint, DescribeEndpointConfig, DescribeModel.
"""

import datetime as dt
import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from advisor.catalog import Catalog
from advisor.demand.monitored import Monitored
from advisor.demand.recorded import Within, grown_histograms, read_fleet
from advisor.demand.services import EngineView
from advisor.demand.services.readings import LengthCounts, added
from advisor.demand.services.service import served_key
from advisor.discovery.cluster import services_of_cluster
from advisor.discovery.kubernetes_api import KubernetesApi, cluster_access
from advisor.discovery.launches import launch_of, launches_of_lines, stored_model
from advisor.discovery.monitored import survey, unmatched_services, with_observed
from advisor.discovery.values import Inventory, Latency, Launch, Machine, Observed, Service, window_text
from advisor.errors import InputError
from advisor.names import first_names
from advisor.records import dataclass, replace
from advisor.samples.agent.host_facts import ENGINES, INSTANCE_TYPE, PROVIDER, PURCHASE, REGION
from advisor.samples.bounded_http import parse_address
from advisor.samples.query.cloudwatch import aws_session, refusal_hint, unreached_hint
from advisor.samples.query.prometheus import PrometheusEndpoint
from advisor.samples.store.hosts import Host, hosts_of
from advisor.samples.store.reading import Store
from advisor.units import MS_PER_SECOND

_NAME_TAGS = ("aws:autoscaling:groupName", "Name")
_MODEL_TAGS = ("model", "inference:model", "served-model")
_MOST_SHOWN = 5
Fields = dict[str, str | float | tuple[str, ...]]
"""Keys and values of a source of demand."""


@dataclass(frozen=True, slots=True)
class Account:
    """One region of an account."""

    region: str | None = None
    """None: as AWS's own settings say."""
    profile: str | None = None
    window: str = "14d"
    """How far back demand counts, as workload files write it."""

    @property
    def where(self) -> str:
        """The place, for messages."""
        return f"aws {self.region or '(default region)'}"


def services_of_account(account: Account, catalog: Catalog, seen: Collection[str] = ()) -> Inventory:
    """SageMaker's endpoints and accelerated instances but those of *seen* ids, which are nodes of a cluster.

    What the user may not list is a note; the rest is read. Raises InputError if boto3 is missing, or the credentials
    are not accepted.
    """
    session = aws_session(account.region, account.profile, account.where)
    if not session.region_name:
        hint = "name one: --aws us-east-1, or set AWS_DEFAULT_REGION"
        raise InputError("AWS's settings name no region", where=account.where, hint=hint)
    inventory, asker = Inventory(), _Asker(session, account)
    for read in (partial(_endpoints, asker), partial(_instances, asker, catalog, seen)):
        try:
            inventory += read()
        except _RefusedError as error:
            inventory += Inventory(notes=(f"{error.where}: {error.message} ({error.hint})",))
    return inventory


class _RefusedError(InputError):
    """The account may not make a call; others may be allowed."""


@dataclass(slots=True)
class _Asker:
    """Calls to AWS in one region."""

    session: Any
    account: Account

    @property
    def region(self) -> str:
        """Region that is asked; "" where nothing says it."""
        return str(self.session.region_name or "")

    def pages(self, service: str, operation: str, key: str, **arguments: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 - boto3's
        """Entries of every page of a list."""
        with _in_words(self, service, operation):
            for page in self._client(service).get_paginator(operation).paginate(**arguments):
                yield from page.get(key, ())

    def one(self, service: str, operation: str, **arguments: Any) -> Mapping[str, Any]:  # noqa: ANN401 - boto3's
        """Answer of one call."""
        with _in_words(self, service, operation):
            answer: Mapping[str, Any] = getattr(self._client(service), operation)(**arguments)
        return answer

    def _client(self, service: str) -> Any:  # noqa: ANN401 - boto3's
        from botocore.config import Config  # noqa: PLC0415 - boto3 is an extra

        retries = {"mode": "adaptive", "total_max_attempts": 6}
        return self.session.client(service, config=Config(retries=retries, connect_timeout=10, read_timeout=60))


@contextmanager
def _in_words(asker: _Asker, service: str, operation: str) -> Iterator[None]:
    """Errors of a call in the product's words, with the permission that it takes."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - boto3 is an extra

    where = asker.account.where
    action = f"{service}:{''.join(part.capitalize() for part in operation.split('_'))}"
    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        code = str(said.get("Code", "refused"))
        hint = refusal_hint(code, action)
        refused = _RefusedError if hint.startswith("allow") else InputError
        raise refused(f"{action}: {code}: {said.get('Message', '')}", where=where, hint=hint) from error
    except (BotoCoreError, ValueError) as error:
        raise InputError(str(error), where=where, hint=unreached_hint(asker.session, service, asker.region)) from error


def _endpoints(asker: _Asker) -> Inventory:
    listed = asker.pages("sagemaker", "list_endpoints", "Endpoints", StatusEquals="InService")
    services = [service for endpoint in listed for service in _variants(str(endpoint["EndpointName"]), asker)]
    return Inventory(tuple(services))


def _variants(endpoint: str, asker: _Asker) -> Iterator[Service]:
    """Services of an endpoint: one for each of its variants that runs on instances."""
    described = asker.one("sagemaker", "describe_endpoint", EndpointName=endpoint)
    name = described["EndpointConfigName"]
    config = asker.one("sagemaker", "describe_endpoint_config", EndpointConfigName=name)
    counts = {each["VariantName"]: each.get("CurrentInstanceCount") for each in described.get("ProductionVariants", ())}
    variants = [variant for variant in config.get("ProductionVariants", ()) if variant.get("InstanceType")]
    for variant in variants:
        name = variant["VariantName"]
        count = counts.get(name) or variant.get("InitialInstanceCount") or 1
        instance_type = str(variant["InstanceType"]).removeprefix("ml.")
        machines = tuple(
            Machine(f"{endpoint}/{name}/{number}", "aws", asker.region, instance_type, "managed")
            for number in range(min(count, 10_000))
        )
        fields: Fields = {"region": asker.region, "endpoint": endpoint, "window": asker.account.window}
        fields |= {"profile": asker.account.profile} if asker.account.profile else {}
        yield Service(
            name=endpoint if len(variants) == 1 else f"{endpoint}-{name}",
            origin=f"SageMaker endpoint {endpoint} in {asker.region}",
            launch=_launch(variant.get("ModelName"), asker),
            replicas=count,
            machines=machines,
            observed=Observed("cloudwatch", fields, counts_tokens=False),
        )


def _launch(model_name: str | None, asker: _Asker) -> Launch:
    """Launch of the container of a SageMaker model."""
    if not model_name:
        return Launch("")
    model = asker.one("sagemaker", "describe_model", ModelName=model_name)
    containers = [model["PrimaryContainer"]] if "PrimaryContainer" in model else model.get("Containers", [])
    for container in containers:
        variables = {str(key): str(value) for key, value in container.get("Environment", {}).items()}
        launch = launch_of([], str(container.get("Image", "")), variables)
        weights = str(container.get("ModelDataUrl") or "")
        if launch.model.startswith("/opt/ml/") or (not launch.model and weights):
            launch = replace(launch, model=stored_model(weights.removesuffix("/model.tar.gz")))
        if launch.model or launch.engine:
            return launch
    return Launch("")


def _instances(asker: _Asker, catalog: Catalog, seen: Collection[str]) -> Inventory:
    """Running instances with accelerators, by what they are called; the model only where a tag names it."""
    groups: dict[tuple[str, str], list[Machine]] = defaultdict(list)
    running = [{"Name": "instance-state-name", "Values": ["running"]}]
    for reservation in asker.pages("ec2", "describe_instances", "Reservations", Filters=running):
        for instance in reservation.get("Instances", ()):
            instance_type, number = str(instance.get("InstanceType")), str(instance.get("InstanceId"))
            if ("aws", instance_type) not in catalog.instance_types or number in seen:
                continue
            tags = {tag.get("Key"): tag.get("Value", "") for tag in instance.get("Tags", ())}
            purchase = "spot" if instance.get("InstanceLifecycle") == "spot" else "on_demand"
            zone = str(instance.get("Placement", {}).get("AvailabilityZone", ""))
            region = asker.region or zone.rstrip("abcdefghijklmnopqrstuvwxyz")
            name = next((tags[tag] for tag in _NAME_TAGS if tags.get(tag)), number)
            model = next((tags[tag] for tag in _MODEL_TAGS if tags.get(tag)), "")
            groups[name, model].append(Machine(number, "aws", region, instance_type, purchase, instance_id=number))
    services, silent = [], []
    for (name, model), machines in groups.items():
        if model:
            origin = f"{len(machines)} EC2 instances called {name} in {machines[0].region}"
            services.append(Service(name, origin, Launch("", model), machines=tuple(machines)))
        else:
            silent.append(f"{len(machines)} × {machines[0].instance_type} {name}")
    if not silent:
        return Inventory(tuple(services))
    note = (
        f"EC2 does not say what these serve: {first_names(silent, _MOST_SHOWN)}; tag them `model`, sample them "
        "(`advisor agent run`) and give --samples, or give the --prometheus that scrapes their engines"
    )
    return Inventory(tuple(services), (note,))


_LATENCY = {"ttft_p95_ms": "ttft_seconds", "tpot_p95_ms": "tpot_seconds", "e2e_p95_ms": "e2e_seconds"}
_SHARE = 0.95


def services_of_samples(places: Sequence[str], out: Path, window_days: float | None) -> Inventory:
    """One service for each model that sampled engines serve.

    Paths of directories are made relative to *out*, the folder of the workload files. *window_days*: how far back from
    the last sample; None: all of it. Raises InputError if there are no samples.
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
    keys = ((launch, {served_key(launch.served_name), served_key(launch.model)}) for launch in launches_of_lines(lines))
    launch = next((launch for launch, meant in keys if served_key(model) in meant), Launch(own[0].engine))
    fields = {**source, **({"hosts": tuple(names)} if len(names) < len(hosts) else {})}
    fields |= {"model": model} if model else {}
    has_lengths = added([view.answers for view in own if view.answers is not None]) is not None
    counts = has_lengths or any(view.grown.answer_tokens for view in own)
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


def _machine(name: str, host: Host) -> Machine:
    return Machine(name, *(host.facts.get(key, "") for key in (PROVIDER, REGION, INSTANCE_TYPE, PURCHASE)))


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
    shows; accounts add endpoints, and instances that no cluster has. Raises InputError if a place cannot be asked at
    all.
    """
    whole = Inventory()
    for context in places.contexts:
        access = cluster_access(context, places.kubeconfig)
        whole += services_of_cluster(KubernetesApi(access, places.namespace))
        if not access.is_verified:
            unverified = f"kubernetes {access.context}: its kubeconfig says not to verify the server's certificate"
            whole += Inventory(notes=(unverified,))
    watched = [survey(_monitored(server), _fields(server)) for server in places.servers]
    services = [with_observed(service, watched) for service in whole.services]
    for each in watched:
        taken = [service.observed for service in services if service.observed is not None]
        services += list(unmatched_services(each, taken))
    warnings = [
        f"{each.shown}: no serving engine counted requests there in {each.server.length}"
        for each in watched
        if not each.seen
    ]
    inventory = Inventory(tuple(services), (*whole.notes, *warnings))
    if places.samples:
        inventory = _with_samples(inventory, places)
    seen = {machine.instance_id for service in inventory.services for machine in service.machines} - {""}
    for account in places.accounts:
        inventory += services_of_account(account, catalog, seen)
    return inventory


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


def _with_samples(inventory: Inventory, places: Places) -> Inventory:
    """The same with what was sampled: the demand of services on sampled hosts, and services that nothing else shows."""
    sampled = services_of_samples(places.samples, places.out, places.window_days)
    services, used = [], set[int]()
    for service in inventory.services:
        hosts = {machine.name for machine in service.machines}
        names = {served_key(name) for name in (service.launch.served_name, service.model) if name}
        alike = (each for each in sampled.services if served_key(each.model) in names)
        match = next((each for each in alike if hosts & {machine.name for machine in each.machines}), None)
        if match is not None:
            used.add(id(match))
            if service.observed is None:
                service = replace(service, observed=match.observed)  # noqa: PLW2901 - the same with its demand
        services.append(service)
    services += [each for each in sampled.services if id(each) not in used]
    return Inventory(tuple(services), (*inventory.notes, *sampled.notes))


def nothing_found(places: Places) -> InputError:
    """Error where no place shows a service."""
    asked = [*(f"kubernetes {name or '(current context)'}" for name in places.contexts)]
    asked += [parse_address(server.url, "").shown for server in places.servers] + list(places.samples)
    asked += [account.where for account in places.accounts]
    hint = "name further places: --kubernetes CONTEXT, --prometheus URL, --samples DIR, --aws REGION"
    return InputError("no service that serves a model was found", where=", ".join(asked), hint=hint)
