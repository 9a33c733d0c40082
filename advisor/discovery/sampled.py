"""Serving engines and hosts that agents sampled."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from advisor.demand.recorded import Within, read_fleet
from advisor.demand.services import EngineView
from advisor.demand.services.lengths import added
from advisor.demand.services.names import served_key
from advisor.discovery.launches import launches_of_lines
from advisor.discovery.values import Inventory, Launch, Machine, Observed, Service
from advisor.samples.agent.host_facts import ENGINES, INSTANCE_TYPE, PROVIDER, PURCHASE, REGION
from advisor.samples.store.hosts import Host, hosts_of
from advisor.samples.store.reading import Store


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
    views = read_fleet(store, Within(days=window_days)).views
    hosts = {host.name: host for host in hosts_of(places)}
    written = tuple(place if "://" in place else os.path.relpath(place, out) for place in places)
    by_model: dict[str, list[EngineView]] = {}
    for view in views:
        by_model.setdefault(served_key(view.model or ""), []).append(view)
    services = tuple(_service(own, hosts, written, ", ".join(places)) for own in by_model.values())
    notes = [f"samples left out: {note}" for note in store.notes()]
    if not services:
        notes.append(
            f"{', '.join(places)}: no serving engine was sampled (agent run --engine URL), so no model is known"
        )
    return Inventory(services, tuple(notes))


def _service(own: Sequence[EngineView], hosts: dict[str, Host], places: tuple[str, ...], where: str) -> Service:
    names = sorted({view.host for view in own if view.host})
    model = own[0].model or ""
    lines = [line for name in names if name in hosts for line in hosts[name].facts.get(ENGINES, "").split("; ")]
    launch = next(iter(_launches(lines, model)), Launch(own[0].engine))
    fields: dict[str, str | float | tuple[str, ...]] = {"path": places if len(places) > 1 else places[0]}
    fields |= {"hosts": tuple(names)} if len(names) < len(hosts) else {}
    fields |= {"model": model} if model else {}
    counts = added([view.answers for view in own if view.answers is not None]) is not None
    counts = counts or any(view.grown.answer_tokens for view in own)
    return Service(
        name=model.rpartition("/")[2] or own[0].engine,
        origin=f"{own[0].engine} on {len(names)} hosts sampled in {where}",
        launch=launch,
        replicas=len({(view.host, view.address, view.rank) for view in own}),
        machines=tuple(_machine(name, hosts[name]) for name in names if name in hosts),
        observed=Observed("samples", fields, counts, model=model, engine=own[0].engine),
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
