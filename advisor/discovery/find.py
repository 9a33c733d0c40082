"""Everything that runs, from every place that was named, each service once with its best demand, of samples too.

Serving engines that a Prometheus-compatible server saw: whose series are whose, and what latency users get.

Accelerated EC2 instances and SageMaker endpoints of an account; only calls that describe and list are made.

Permissions: ec2:DescribeInstances, sagemaker:ListEndpoints, DescribeEndpoint, DescribeEndpointConfig, DescribeModel.
"""

import datetime as dt
import math
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from advisor.catalog import Catalog
from advisor.demand.monitored import Engine, Monitored, engines_of
from advisor.demand.recorded import Within, grown_histograms, read_fleet
from advisor.demand.services import EngineView
from advisor.demand.services.readings import LengthCounts, added
from advisor.demand.services.service import served_key
from advisor.discovery import ByLoad, Inventory, Latency, Launch, Machine, Observed, Series, Service, window_text
from advisor.discovery.cluster import services_of_cluster
from advisor.discovery.kubernetes_api import KubernetesApi, cluster_access
from advisor.discovery.launches import launch_of, launches_of_lines, stored_model
from advisor.errors import InputError
from advisor.names import first_names
from advisor.records import dataclass, replace
from advisor.samples.agent.host_facts import ENGINES, INSTANCE_TYPE, PROVIDER, PURCHASE, REGION
from advisor.samples.bounded_http import parse_address
from advisor.samples.exporters import Name
from advisor.samples.query.cloudwatch import aws_session, refusal_hint, unreached_hint
from advisor.samples.query.prometheus import PrometheusEndpoint
from advisor.samples.query.prometheus.api import quoted
from advisor.samples.store.hosts import Host, hosts_of
from advisor.samples.store.reading import Store
from advisor.units import MS_PER_SECOND

_NAMESPACE = ("namespace", "exported_namespace", "kubernetes_namespace")
_POD = ("pod", "exported_pod", "kubernetes_pod_name", "pod_name")
_CLUSTER = ("cluster", "cluster_name")
_KEPT = (*_NAMESPACE, *_POD, *_CLUSTER, "job", "instance")
_STRETCH_US = 300_000_000
"""Time of a stretch in which latency is read by itself; more where a window has too many of them."""
_MOST_STRETCHES, _FEWEST_STRETCHES = 4000, 40
_FEWEST_REQUESTS = 100
"""Requests of a stretch whose 95th percentile tells something."""
_BUSIEST_SHARE = 0.05
_PORT = re.compile(r":\d+$")


@dataclass(frozen=True, slots=True)
class Seen:
    """Labels under which an engine has counted requests in the window."""

    engine: Engine
    labels: Mapping[str, str]

    def label(self, names: Sequence[str]) -> tuple[str, str]:
        """The first of some labels that it has, with its value; ("", "") where it has none."""
        return next(((name, self.labels[name]) for name in names if self.labels.get(name)), ("", ""))

    @property
    def model(self) -> str:
        """Name of the model as the engine tells it; "" where it does not."""
        return self.label(self.engine.models)[1]

    @property
    def series(self) -> Series:
        """Labels, by which it is known again."""
        return frozenset(self.labels.items())

    @property
    def host(self) -> str:
        """Address that was scraped, without the port."""
        return _PORT.sub("", self.labels.get("instance", ""))


@dataclass(frozen=True, slots=True)
class Watched:
    """A server, the fields of a workload file that name it, and the engines that it saw."""

    server: Monitored
    fields: Mapping[str, str]
    seen: tuple[Seen, ...]

    @property
    def shown(self) -> str:
        """Address of the server without credentials and query."""
        return parse_address(self.fields["url"], "").shown


def survey(server: Monitored, fields: Mapping[str, str]) -> Watched:
    """All engines that counted requests, or tokens of answers, in the window.

    *fields*: keys and values of ``demand.prometheus`` that reach the server. Raises InputError if it cannot be asked.
    """
    engines = engines_of(server.questions.table)
    seen = [each for engine in engines if not engine.exporter.is_gateway for each in _seen(server, engine)]
    if not seen:
        seen = [each for engine in engines if engine.exporter.is_gateway for each in _seen(server, engine)]
    return Watched(server, fields, tuple(seen))


def _seen(server: Monitored, engine: Engine) -> Iterator[Seen]:
    counter = server.first(engine.requests) or server.first(engine.answer_tokens)
    if counter is None:
        return
    by = ", ".join(dict.fromkeys((*_KEPT, *engine.models)))
    query = f"count by ({by}) (last_over_time({server.questions.select(counter)}{server.whole}))"
    yield from (Seen(engine, dict(labels)) for labels in server.at_moment(query, server.window.end_us))


def observed_of(service: Service, watched: Watched) -> Observed | None:
    """Where the demand of a service is recorded there; None where none of the series is its own.

    Its own are those of its pods, by their names in its namespace; else those that were scraped at its pods' addresses;
    else, where nothing names pods, those of the model that it serves.
    """
    for select in (_of_pods, _at_addresses, _of_model):
        if chosen := select(service, watched.seen):
            own, matchers = chosen
            return _observed(own, matchers, watched, service.launch.served_name)
    return None


Choice = tuple[list[Seen], list[str]]
"""Series, and the matchers that select them."""


def _of_pods(service: Service, every: Sequence[Seen]) -> Choice | None:
    if not service.pods:
        return None
    pattern = re.compile(service.pods)
    here = [seen for seen in every if seen.label(_NAMESPACE)[1] in {"", service.namespace}]
    own = [seen for seen in here if pattern.fullmatch(seen.label(_POD)[1])]
    if not own:
        return None
    pod, namespace = own[0].label(_POD)[0], own[0].label(_NAMESPACE)[0]
    matchers = [f"{namespace}={quoted(service.namespace)}"] if namespace else []
    return own, [*matchers, f"{pod}=~{quoted(service.pods)}", *_in_cluster(own)]


def _at_addresses(service: Service, every: Sequence[Seen]) -> Choice | None:
    own = [seen for seen in every if seen.host and seen.host in service.addresses]
    return (own, [*_by_instance(own), *_in_cluster(own)]) if own else None


def _of_model(service: Service, every: Sequence[Seen]) -> Choice | None:
    launch = service.launch
    names = {launch.served_name} if launch.served_name else {launch.model}
    keys = {served_key(name) for name in names if name}
    own = []
    for seen in every:
        exporter = seen.engine.exporter.name
        is_alike = not launch.engine or launch.engine in exporter or exporter in launch.engine
        if is_alike and served_key(seen.model) in keys and not seen.label(_POD)[1]:
            own.append(seen)
    return (own, _by_labels(own)) if own else None


def _in_cluster(own: Sequence[Seen]) -> list[str]:
    """Matcher of the cluster, where the series name one and the same."""
    clusters = {seen.label(_CLUSTER) for seen in own}
    return [f"{label}={quoted(value)}" for label, value in clusters if label] if len(clusters) == 1 else []


def _by_labels(own: Sequence[Seen]) -> list[str]:
    """Matchers of what all of some series share: namespace, model, cluster."""
    matchers = []
    for names in (_NAMESPACE, own[0].engine.models):
        values = {seen.label(names) for seen in own}
        matchers += [f"{label}={quoted(value)}" for label, value in values if label] if len(values) == 1 else []
    return [*matchers, *_in_cluster(own)]


def unmatched_services(watched: Watched, taken: Sequence[Observed]) -> Iterator[Service]:
    """Services that the server saw and nobody else did, one for each engine, model, namespace and cluster.

    Where it saw no engine at all, its accelerators are one service.
    """
    groups: dict[tuple[str, ...], list[Seen]] = {}
    for seen in watched.seen:
        key = (seen.engine.exporter.name, served_key(seen.model), seen.label(_NAMESPACE)[1], seen.label(_CLUSTER)[1])
        groups.setdefault(key, []).append(seen)
    yield from _series_of_accelerators(watched)
    owned = frozenset[Series]().union(*(observed.series for observed in taken))
    for (engine, _, namespace, _), group in groups.items():
        own = [seen for seen in group if seen.series not in owned]
        if not own:
            continue
        model = own[0].model
        matchers = _by_labels(own) if own == group else _by_instance(own)
        jobs = {seen.labels.get("job", "") for seen in own} - {""}
        if not matchers and jobs:
            matchers = [f"job=~{quoted('|'.join(sorted(map(re.escape, jobs))))}"]
        observed = _observed(own, matchers, watched, "")
        name = model.rpartition("/")[2] or own[0].labels.get("job") or engine
        where = f"{engine} in namespace {namespace}" if namespace else engine
        yield Service(name, f"{where}, seen by {watched.shown}", Launch(""), observed=observed)


def _series_of_accelerators(watched: Watched) -> Iterator[Service]:
    """Service of accelerators whose engines nobody scrapes, where the server saw how busy they were."""
    server = watched.server
    busy = None if watched.seen else server.first(server.questions.table.names["busy_ratio"])
    if busy is not None:
        selector = server.questions.selector
        fields = {**watched.fields, **({"selector": selector} if selector else {})}
        origin = f"accelerators that {busy.exporter.name} shows at {watched.shown}"
        yield Service("accelerators", origin, Launch(""), observed=Observed("prometheus", fields, counts_tokens=False))


def _by_instance(own: Sequence[Seen]) -> list[str]:
    return [f"instance=~{quoted('|'.join(sorted({re.escape(seen.labels.get('instance', '')) for seen in own})))}"]


def _observed(own: Sequence[Seen], matchers: Sequence[str], watched: Watched, served_name: str) -> Observed:
    """Source of demand; the model is selected by name where its engines serve several."""
    names = sorted({seen.model for seen in own} - {""})
    name = served_name if served_name in names else (names[0] if names else "")
    engine = own[0].engine
    every = [part for part in (watched.server.questions.selector, *matchers) if part]
    fields = {**watched.fields, **({"selector": ", ".join(every)} if every else {})}
    if name:
        fields["model"] = name
    has_lengths = any(f"{length}_bucket" in watched.server.names for length in engine.answer_lengths)
    counted = has_lengths or watched.server.first(engine.answer_tokens) is not None
    label = next((seen.label(seen.engine.models)[0] for seen in own if seen.model == name and name), "")
    of_model = [f"{label}={quoted(name)}"] if label else []
    latency, by_load = _latency(engine, [*matchers, *of_model], watched.server)
    series = frozenset(seen.series for seen in own)
    return Observed("prometheus", fields, counted, latency, by_load, name, engine.exporter.name, series)


def _latency(engine: Engine, matchers: Sequence[str], server: Monitored) -> tuple[Latency, ByLoad | None]:
    """95th percentiles of the engine's histograms over the window, and by load."""
    whole, usual, busiest, rate = dict[str, float](), dict[str, float](), dict[str, float](), 0.0
    for target, metric in _LATENCY.items():
        names = [name for name in server.questions.table.names[metric] if name.exporter == engine.exporter]
        there = [name for name in names if f"{name}_bucket" in server.names]
        measured = ((name, value) for name in there if (value := _latency_p95_ms(name, matchers, server)) is not None)
        name, whole[target] = next(measured, (None, math.nan))
        stretches = _by_load_ms(name, matchers, server) if name is not None else None
        if stretches is not None:
            usual[target], busiest[target], rate = stretches
    finite = {target: value for target, value in whole.items() if math.isfinite(value)}
    return Latency(**finite), ByLoad(Latency(**usual), Latency(**busiest), rate) if usual else None


def _latency_p95_ms(name: Name, matchers: Sequence[str], server: Monitored) -> float | None:
    for value in server.at_moment(_p95_query(name, matchers, server, server.whole), server.window.end_us).values():
        if math.isfinite(value) and value > 0:
            return value * name.scale * MS_PER_SECOND
    return None


def _p95_query(name: Name, matchers: Sequence[str], server: Monitored, span: str) -> str:
    selected = server.questions.select(name.part("bucket"), *matchers)
    return f"histogram_quantile(0.95, sum by (le) (increase({selected}{span})))"


def _by_load_ms(name: Name, matchers: Sequence[str], server: Monitored) -> tuple[float, float, float] | None:
    """p95 in ms of the usual and of the busiest stretches, and their rate; None: too few with enough requests."""
    window_us = server.window.end_us - server.window.start_us
    step_us = server.step_us(max(_STRETCH_US, window_us // _MOST_STRETCHES))
    span = f"[{step_us // 1000}ms]"
    counted = server.questions.select(name.part("count"), *matchers)
    p95 = server.over_time(_p95_query(name, matchers, server, span), step_us)
    requests = server.over_time(f"sum(increase({counted}{span}))", step_us)
    enough = np.isfinite(p95) & (p95 > 0) & (requests >= _FEWEST_REQUESTS)
    if np.count_nonzero(enough) < _FEWEST_STRETCHES:
        return None
    p95, requests = p95[enough] * name.scale * MS_PER_SECOND, requests[enough]
    busy = requests >= np.quantile(requests, 1 - _BUSIEST_SHARE)
    return float(np.median(p95)), float(np.median(p95[busy])), float(np.median(requests[busy])) / (step_us / 1e6)


def with_observed(service: Service, watched: Sequence[Watched]) -> Service:
    """A service with its demand from the first server that saw it."""
    for each in watched:
        if service.observed is None and (observed := observed_of(service, each)) is not None:
            return replace(service, observed=observed)
    return service


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
