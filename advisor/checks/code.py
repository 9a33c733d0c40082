"""Code against the plan that it was made of, with the edits of people."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from advisor.catalog import Catalog
from advisor.codegen.pricing import read_projects
from advisor.codegen.writing import read_former
from advisor.errors import InputError
from advisor.plan.values import Plan

RULES = ("CHK301", "CHK302")
_WRITE = "advisor generate terraform PLAN.json --into DIR"
_OVERWRITE = f"{_WRITE} --force"
"""Edits are kept without."""
Machines = Counter[tuple[str, str, str, str]]
"""(provider, region, instance type, spot or "") → instances in the busiest hours."""


def look(plan: Plan, infra: Path | None, catalog: Catalog) -> Iterator[tuple[str, str, str, str]]:
    """Machines that the code starts and the plan does not, or in another number; and groups that retire."""
    if infra is None or plan.fleet is None:
        return
    if not infra.is_dir():
        raise InputError("there is no such directory", where=str(infra), hint="give the directory of the code")
    retiring = {group.key for rollout in read_former(infra).rollouts.values() for group in rollout.retiring}
    deployed, unknown = _deployed(infra, catalog)
    wanted = _planned(plan)
    for machine in sorted({*wanted, *deployed}):
        if wanted[machine] != deployed[machine] and not (retiring and machine not in wanted):
            told = f"{deployed[machine]} in the code, {wanted[machine]} in the plan"
            words = " on ".join(filter(None, machine[2:]))
            yield "CHK301", machine[2], f"{words} in {machine[1]}: {told}", _OVERWRITE
    for address in unknown:
        yield "CHK301", address, f"how many machines {address} starts cannot be read from the code", _OVERWRITE
    for key in sorted(retiring):
        yield "CHK302", key, f"{key} is kept beside the plan", f"{_WRITE} --cut-over finish"


def _planned(plan: Plan) -> Machines:
    machines: Machines = Counter()
    for group in plan.fleet.groups if plan.fleet else ():
        spot = "spot" if group.purchase == "spot" else ""
        machines[group.provider, group.region, group.instance_type, spot] += max(group.instances)
    return machines


def _deployed(infra: Path, catalog: Catalog) -> tuple[Machines, list[str]]:
    """Machines with accelerators of every root, and addresses of which their number is not known."""
    machines: Machines = Counter()
    unknown: list[str] = []
    for project in read_projects(infra, None, catalog):
        for cost in project.now.costs:
            for component in cost.components:
                provider, machine, region = component.place
                if component.number is None or not machine:
                    unknown.append(cost.resource.address)
                elif (provider, machine) in catalog.instance_types:
                    spot = "spot" if component.is_spot else ""
                    machines[provider, region, machine, spot] += int(component.number)
    return machines, unknown
