"""Serving engines and hosts that agents sampled."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from advisor.demand.recorded import Within, read_fleet
from advisor.demand.sampled import grown_histograms
from advisor.demand.services import EngineView
from advisor.demand.services.lengths import LengthCounts, added
from advisor.demand.services.service import served_key
from advisor.discovery.launches import launches_of_lines
from advisor.discovery.values import Inventory, Latency, Launch, Machine, Observed, Service, window_text
from advisor.records import replace
from advisor.samples.agent.host_facts import ENGINES, INSTANCE_TYPE, PROVIDER, PURCHASE, REGION
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
