"""Code against the plan that it was made of, with the edits of people."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from advisor.catalog import Catalog
from advisor.codegen.pricing import CACHES, read_projects
from advisor.codegen.pricing.costs import Component
from advisor.codegen.pricing.resources import Resource
from advisor.codegen.writing import read_former
from advisor.errors import InputError
from advisor.plan.values import Plan
from advisor.records import dataclass

RULES = ("CHK301", "CHK302", "CHK303")
_WRITE = "advisor generate terraform PLAN.json --into DIR"
_OVERWRITE = f"{_WRITE} --force"
"""Edits are kept without."""
Machines = Counter[tuple[str, str, str, str]]
"""(provider, region, instance type, spot or "") → instances in the busiest hours."""
_CACHE = "cache"
"""Name of the resource of a response cache in generated code; stores by other names are somebody's own."""


@dataclass(frozen=True, slots=True)
class _Deployed:
    """Machines and caches that the code starts."""

    machines: Machines
    """With accelerators, of every root."""
    unknown: tuple[str, ...]
    """Addresses of which the number of machines is not known."""
    caches: frozenset[str]
    """Response caches in words: number of nodes, their type, and the region."""


def look(plan: Plan, infra: Path | None, catalog: Catalog) -> Iterator[tuple[str, str, str, str]]:
    """Machines and caches of the code that the plan has not, or in another number; and groups that retire."""
    if infra is None or plan.fleet is None:
        return
    if not infra.is_dir():
        raise InputError("there is no such directory", where=str(infra), hint="give the directory of the code")
    retiring = {group.key for rollout in read_former(infra).rollouts.values() for group in rollout.retiring}
    deployed, wanted = _deployed(infra, catalog), _planned(plan)
    for machine in sorted({*wanted, *deployed.machines}):
        if wanted[machine] != deployed.machines[machine] and not (retiring and machine not in wanted):
            told = f"{deployed.machines[machine]} in the code, {wanted[machine]} in the plan"
            instead = _instead(machine, deployed.machines, wanted)
            where = f"on spot in {machine[1]}" if machine[3] else f"in {machine[1]}"
            yield "CHK301", machine[2], f"{where}: {told}{instead}", _OVERWRITE
    for address in deployed.unknown:
        yield "CHK301", address, f"how many machines {address} starts cannot be read from the code", _OVERWRITE
    yield from _caches(plan, deployed.caches)
    for key in sorted(retiring):
        yield "CHK302", key, f"{key} is kept beside the plan", f"{_WRITE} --cut-over finish"


def _instead(machine: tuple[str, str, str, str], deployed: Machines, wanted: Machines) -> str:
    """Machines of the code that the plan has not, in the region where one of the plan is missing."""
    others = [
        f"{deployed[other]} × {' on '.join(filter(None, other[2:]))}"
        for other in sorted(deployed)
        if other[:2] == machine[:2] and other not in wanted
    ]
    missing = wanted[machine] > deployed[machine]
    return f"; the code has {' and '.join(others)} there instead" if missing and others else ""


def _planned(plan: Plan) -> Machines:
    machines: Machines = Counter()
    for group in plan.fleet.groups if plan.fleet else ():
        spot = "spot" if group.purchase == "spot" else ""
        machines[group.provider, group.region, group.instance_type, spot] += max(group.instances)
    return machines


def _deployed(infra: Path, catalog: Catalog) -> _Deployed:
    machines: Machines = Counter()
    unknown: list[str] = []
    caches: set[str] = set()
    for resource, component in _components(infra, catalog):
        provider, machine, region = component.place
        if resource.kind in CACHES:
            caches |= {_cache_words(component.number, machine, region)} if resource.name == _CACHE else set()
        elif component.number is None or component.usd_per_hour is None:
            unknown.append(resource.address)
        elif (provider, machine) in catalog.instance_types:
            machines[provider, region, machine, "spot" if component.is_spot else ""] += int(component.number)
    return _Deployed(machines, tuple(unknown), frozenset(caches))


def _components(infra: Path, catalog: Catalog) -> Iterator[tuple[Resource, Component]]:
    """Everything of every root that is charged for."""
    for project in read_projects(infra, None, catalog):
        for cost in project.now.costs:
            yield from ((cost.resource, component) for component in cost.components)


def _cache_words(nodes: Decimal | int | None, node: str, region: str) -> str:
    number = "an unknown number of" if nodes is None else f"{int(nodes)} ×"
    return f"{number} {node or 'nodes of an unknown type'} in {region or 'an unknown region'}"


def _caches(plan: Plan, deployed: frozenset[str]) -> Iterator[tuple[str, str, str, str]]:
    """The planned response cache against those of the code."""
    cache = plan.fleet.response_cache if plan.fleet else None
    wanted = set() if cache is None else {_cache_words(cache.nodes, cache.node, cache.region)}
    if wanted == deployed:
        return
    in_code, in_plan = (" and ".join(sorted(caches)) or "none" for caches in (deployed, wanted))
    told = f"{in_code} in the code, {in_plan} in the plan"
    if not wanted:
        told += ": code of this plan destroys it"
    elif not deployed:
        told += ", which counts on it: without it the fleet gets more requests than it is sized for"
    yield "CHK303", "response cache", told, _OVERWRITE
