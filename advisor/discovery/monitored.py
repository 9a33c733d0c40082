"""Serving engines that a Prometheus-compatible server saw: whose series are whose, and what latency users get."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from advisor.demand.monitored import Monitored
from advisor.demand.monitored.server import Engine, engines_of
from advisor.demand.services.service import served_key
from advisor.discovery.values import ByLoad, Latency, Launch, Observed, Series, Service
from advisor.records import dataclass, replace
from advisor.samples.bounded_http import parse_address
from advisor.samples.exporters import Name
from advisor.samples.query.prometheus.api import quoted
from advisor.units import MS_PER_SECOND

_NAMESPACE = ("namespace", "exported_namespace", "kubernetes_namespace")
_POD = ("pod", "exported_pod", "kubernetes_pod_name", "pod_name")
_CLUSTER = ("cluster", "cluster_name")
_KEPT = (*_NAMESPACE, *_POD, *_CLUSTER, "job", "instance")
_LATENCY = {"ttft_p95_ms": "ttft_seconds", "tpot_p95_ms": "tpot_seconds", "e2e_p95_ms": "e2e_seconds"}
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
    yield from _of_accelerators(watched)
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


def _of_accelerators(watched: Watched) -> Iterator[Service]:
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
        measured = ((name, value) for name in there if (value := _p95_ms(name, matchers, server)) is not None)
        name, whole[target] = next(measured, (None, math.nan))
        stretches = _by_load_ms(name, matchers, server) if name is not None else None
        if stretches is not None:
            usual[target], busiest[target], rate = stretches
    finite = {target: value for target, value in whole.items() if math.isfinite(value)}
    return Latency(**finite), ByLoad(Latency(**usual), Latency(**busiest), rate) if usual else None


def _p95_ms(name: Name, matchers: Sequence[str], server: Monitored) -> float | None:
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
