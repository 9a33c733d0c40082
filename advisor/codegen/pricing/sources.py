"""Where the resources come from: a plan as JSON, or a directory with one, or with code that we generated."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from advisor.catalog import Catalog
from advisor.catalog.values import Purchase
from advisor.codegen.pricing import azure
from advisor.codegen.pricing.aws import mixed
from advisor.codegen.pricing.code import (
    BASE,
    CACHE,
    CACHES,
    GROUPS,
    POOLS,
    REGIONS,
    SOURCE,
    Code,
    Started,
    terraform_code,
    terraform_data,
    terraform_documents,
    terraform_inputs,
)
from advisor.codegen.pricing.costs import (
    CODE,
    PROGRAM,
    RULES,
    Breakdown,
    NoHours,
    Project,
    breakdown_of,
    breakdown_of_uses,
    cost_of,
)
from advisor.codegen.pricing.gcp import container, region_of, with_attached
from advisor.codegen.pricing.own import own_uses
from advisor.codegen.pricing.programs import is_program, pulumi_code, stacks_of
from advisor.codegen.pricing.resources import Resource, Resources, Use, first_known, planned, prior, purchase_of, text
from advisor.codegen.pricing.timetable import planned_hours
from advisor.codegen.writing.former import left_roots
from advisor.codegen.writing.record import read_record
from advisor.data_files import facts_beside
from advisor.errors import InputError
from advisor.reading import json_of, read_text
from advisor.records import replace


def misshapen(document: Mapping[str, Any]) -> str:
    """First place of a document whose shape is not that of a plan, in words; "" where there is none."""
    error = next(iter(_validator().iter_errors(document)), None)
    if error is None:
        return ""
    place = ".".join(str(step) for step in error.instance_path)
    return f"{place}: {error.message[:200]}"


@cache
def _validator() -> Any:  # noqa: ANN401 - the validator class depends on the draft
    import jsonschema_rs  # noqa: PLC0415 - only plans that are read take its time to load

    return jsonschema_rs.validator_for(facts_beside(__file__, "plan.schema.json"))


_PLANS = ("plan.json", "tfplan.json")
_FLEETS = ("*/fleet.tf", "*/inference/fleet.py")
"""Data of roots in a directory without a record."""
_HOW = "make one with `terraform plan -out=tfplan && terraform show -json tfplan > plan.json`"
_BY_KARPENTER = "Karpenter starts its machines, which kubernetes/karpenter names"
_ELSEWHERE = "made outside of this code"
_COMPUTED = f"{BASE} is computed"
_TYPES = ("instance_types", "instance_type", "machine_type", "vm_size", "size", "sku")
_MANAGED = "ml."
"""How the types of SageMaker begin, which are those of EC2."""
_PLACES = ("region", "location", "zone")
_MARKETS = ("spot", "capacity_type", "provisioning_model", "priority")
_PURCHASES: Mapping[Any, Purchase] = {
    **dict.fromkeys((None, False, "ON_DEMAND", "STANDARD", "Regular"), Purchase.ON_DEMAND),
    **dict.fromkeys((True, "SPOT", "Spot"), Purchase.SPOT),
}
"""How groups of each cloud say it; any other way has no price in the catalog."""


def read_projects(
    path: Path, given: str | None, catalog: Catalog, *, prefers_code: bool = False
) -> tuple[Project, ...]:
    """The costs of what lies at a path; of a generated directory with several roots, of each, those left behind too.

    Args:
        path: a plan as JSON, or a directory.
        given: the text of the plan, where it was read already.
        catalog: prices.
        prefers_code: generated code counts, and not a plan of Terraform beside it, which may be older.

    Raises:
        InputError: as of :func:`read_project`.
    """
    if given is None and path.is_dir():
        left = {path / root for root in left_roots(path)}
        recorded = [path / root for root in read_record(path).roots]
        roots = [root for root in recorded if (_holds_code(path) if root == path else root.is_dir())]
        if not roots and not any(file for kind in ("*.tf", *_PLANS) for file in path.glob(kind)):
            roots = sorted(
                file.parents[len(file.relative_to(path).parts) - 2] for kind in _FLEETS for file in path.glob(kind)
            )
        if roots and roots != [path]:
            return tuple(
                replace(project, is_left=root in left)
                for root in roots
                for project in _projects_of(root, catalog, prefers_code=prefers_code)
            )
        return tuple(_projects_of(path, catalog, prefers_code=prefers_code))
    return (read_project(path, given, catalog, prefers_code=prefers_code),)


def _holds_code(directory: Path) -> bool:
    return any(directory.glob("*.tf")) or is_program(directory)


def _projects_of(root: Path, catalog: Catalog, *, prefers_code: bool) -> Iterator[Project]:
    """The costs of a directory: of a program of Pulumi, of each of its stacks."""
    if is_program(root):
        yield from _of_program(root, catalog)
    else:
        yield read_project(root, None, catalog, prefers_code=prefers_code)


def read_project(path: Path, given: str | None, catalog: Catalog, *, prefers_code: bool = False) -> Project:
    """The costs of what lies at a path.

    Args:
        path: a plan as JSON, or a directory.
        given: the text of the plan, where it was read already.
        catalog: prices.
        prefers_code: generated code counts, and not a plan of Terraform beside it.

    Raises:
        InputError: there is no plan, or it is not a plan of Terraform.
    """
    if given is None and path.is_dir():
        plan = next((path / name for name in _PLANS if (path / name).is_file()), None)
        if (
            plan is None
            or (prefers_code and _is_generated(path))
            or (any(path.glob("*.tf")) and _is_own(json_of(_read(plan), str(plan), _HOW)))
        ):
            return _of_code(path, catalog)
        path = plan
    document = json_of((_read(path) if given is None else given), str(path), _HOW)
    if _is_own(document):
        raise InputError(
            "this is a plan of advisor, and holds its costs already",
            where=str(path),
            hint=f"give a plan of Terraform; {_HOW}",
        )
    if not isinstance(document, dict) or not isinstance(document.get("planned_values", document.get("values")), dict):
        raise InputError("this is not a plan of Terraform", where=str(path), hint=_HOW)
    if wrong := misshapen(document):
        raise InputError(f"this is not a plan of Terraform: {wrong}", where=str(path), hint=_HOW)
    now = breakdown_of(planned(document), catalog)
    return Project(
        name=path.stem if path.name not in _PLANS else path.resolve().parent.name,
        path=str(path),
        kind="terraform_plan_json" if "planned_values" in document else "terraform_state_json",
        now=now,
        before=breakdown_of(prior(document), catalog),
        hours=NoHours.NO_RECORD
        if given is not None
        else planned_hours(path.parent, now, catalog, terraform_inputs(path.parent)),
    )


def _read(path: Path) -> str:
    return read_text(path, "plan of Terraform", _HOW)


def _is_own(document: object) -> bool:
    """Whether a document is one that this program writes."""
    return isinstance(document, dict) and str(document.get("schema", "")).startswith("advisor.")


def _is_generated(directory: Path) -> bool:
    """Whether a directory holds code with the data of a plan."""
    data = terraform_data(terraform_documents(directory))
    maps = [data[name] for name in (GROUPS, POOLS) if isinstance(data.get(name), dict)]
    entries = [entry for held in maps for entry in held.values()]
    return bool(entries) and all(isinstance(entry, dict) and "region" in entry for entry in entries)


def _of_code(directory: Path, catalog: Catalog) -> Project:
    """A generated root of Terraform: one resource for each group, with the numbers that its data gives."""
    code = terraform_code(directory)
    if code is None:
        raise InputError(
            "there is neither a plan as JSON nor code that advisor generated", where=str(directory), hint=_HOW
        )
    return _project(directory, directory.resolve().name, CODE, code, catalog)


def _of_program(directory: Path, catalog: Catalog) -> Iterator[Project]:
    """A generated program of Pulumi, of each of its stacks."""
    stacks = stacks_of(directory)
    for stack in stacks or ("",):
        name = directory.resolve().name + (f" ({stack})" if len(stacks) > 1 else "")
        yield _project(directory, name, PROGRAM, pulumi_code(directory, stack), catalog)


def _project(directory: Path, name: str, kind: str, code: Code, catalog: Catalog) -> Project:
    own = breakdown_of_uses(own_uses(code), catalog)
    costs = (cost_of(*use, catalog) for use in (*_uses(code), *_pools(code)))
    now = replace(own, costs=(*(cost for cost in costs if cost.components), *own.costs))
    hours = planned_hours(directory, now, catalog, code.given, code.edits.hours)
    return Project(name, str(directory), kind, now, Breakdown((), {}, {}), hours, tuple(_not_read(code, own)))


def _not_read(code: Code, own: Breakdown) -> Iterator[str]:
    """Code that was edited or added and whose cost is not known, each with its file."""
    edits = code.edits
    files = {block.address: Path(document.path).name for document, block in edits.own}
    files |= {added.resource.address: added.file for added in code.added}
    added = {address: files[address] for address in own.unknown}
    for address, file in sorted({**edits.paid, **added, **dict(edits.modules)}.items()):
        yield f"{address} ({file})"


def _pools(code: Code) -> Iterator[tuple[Resource, tuple[Use, ...]]]:
    """Nodes that manifests alone need: the code names them, and somebody makes them beside it."""
    for key, pool in code.entries(POOLS).items():
        provider, region, machine = (text(pool.get(name)) for name in ("provider", "region", "instance_type"))
        bought = purchase_of(_PURCHASES, pool.get("spot"))
        use = Use(provider or "", region, machine, bought, first_known(pool.get("nodes")), remark=_ELSEWHERE)
        yield Resource(f'local.{POOLS}["{key}"]', "local", POOLS, {}), (use,)


def _uses(code: Code) -> Iterator[tuple[Resource, tuple[Use, ...]]]:
    """The machines of each group, under the resource that starts them, or else under the group; and those beside."""
    groups = code.entries(GROUPS)
    starting = [start for start in code.started if start.each == GROUPS and start.kind in RULES]
    for start in starting:
        for key, group in groups.items():
            use = _use(code.cloud, start.kind, group, takes_bucket=code.given[SOURCE].value != "hub")
            yield _resource(start, key), _as_edited(_bought(use, key, code.given[BASE].value), start.edited_in)
    yield from _beside(code)
    if not starting and code.cloud:
        for key, group in groups.items():
            yield Resource(f'local.{GROUPS}["{key}"]', "local", GROUPS, {}), (_use(code.cloud, "", group),)


def _resource(start: Started, key: str, values: Mapping[str, Any] | None = None) -> Resource:
    return Resource(f'{start.address}["{key}"]', start.kind, start.name, values or {})


def _as_edited(uses: tuple[Use, ...], file: str) -> tuple[Use, ...]:
    """Machines of a resource; in a number and of a type that are not known where a person edited its cost in a file."""
    if not file:
        return uses
    return tuple(replace(use, what=None, number=None, unpriced=f"edited in {file}") for use in uses[:1])


def _bought(use: Use, key: str, bases: object) -> tuple[Use, ...]:
    """Instances of a group, of a spot group those apart that ``on_demand_base`` always buys on demand."""
    base = (bases or {}).get(key, 0) if isinstance(bases, dict | None) else bases
    if use.purchase is not Purchase.SPOT or use.number is None or base == 0:
        return (use,)
    number = first_known(base)
    return (replace(use, unpriced=_COMPUTED),) if number is None else mixed(use, use.number, number)


def _beside(code: Code) -> Iterator[tuple[Resource, tuple[Use, ...]]]:
    """Machines and containers of each region beside the groups: entrances; and nodes of a response cache."""
    for start in code.started:
        if start.kind in CACHES:
            values = {**_cache(start.kind, code.data.get(CACHE)), **start.values}
            yield _by_rule(start, Resource(start.address, start.kind, start.name, values))
        for region in code.entries(REGIONS) if start.each == REGIONS and start.kind in RULES else ():
            yield _by_rule(start, _resource(start, region, {**start.values, "location": region}))


def _by_rule(start: Started, resource: Resource) -> tuple[Resource, tuple[Use, ...]]:
    return resource, _as_edited(tuple(RULES[start.kind](resource, Resources())), start.edited_in)


def _cache(kind: str, cache: Any) -> Mapping[str, Any]:  # noqa: ANN401 - a literal of the code
    """Arguments that generated code computes from the data of its cache; an edited resource has literals of its own."""
    nodes = first_known(cache.get("nodes")) if isinstance(cache, dict) else None
    if nodes is None:
        return {}
    node, shards = cache.get("node_type"), int(first_known(cache.get("shards")) or 1)
    replicas = int(nodes) // shards - 1
    if kind.startswith("google_"):
        return {"location": cache.get("region"), "node_type": node, "shard_count": shards, "replica_count": replicas}
    if kind.startswith("azurerm_"):
        return {"location": cache.get("region"), "sku_name": node, "high_availability_enabled": nodes > 1}
    if shards > 1:
        groups = {"num_node_groups": shards, "replicas_per_node_group": replicas}
        return {"region": cache.get("region"), "node_type": node, **groups}
    return {"region": cache.get("region"), "node_type": node, "num_cache_clusters": nodes}


def _use(provider: str, kind: str, group: Mapping[str, Any], *, takes_bucket: bool = True) -> Use:
    place = text(_first(group, _PLACES))
    region = region_of(place) if provider == "gcp" else place
    if kind == "google_cloud_run_v2_service":
        least, redundant = first_known(group.get("min_instances")), group.get("zonal_redundancy") is True
        limits = group.get("mounting" if takes_bucket else "downloading")
        return container(region, str(group.get("accelerator")), least, [limits], redundant=redundant)
    if kind == "azurerm_container_app":
        return azure.container(place, str(group.get("profile")), first_known(group.get("min_replicas")))
    types = _first(group, _TYPES)
    if types is None:
        return Use(provider, region, None, None, None, unpriced=_BY_KARPENTER)
    machine = text(types[0] if isinstance(types, list) and types else types)
    if machine is not None and machine.startswith(_MANAGED):
        return Use(provider, region, machine.removeprefix(_MANAGED), Purchase.MANAGED, _number(group))
    return Use(
        provider=provider,
        region=region,
        what=with_attached(machine, _attached(group)),
        purchase=purchase_of(_PURCHASES, _first(group, _MARKETS)),
        number=_number(group),
    )


def _attached(group: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Accelerators of a machine type: hosts name the ones that they attach, GKE all of them as type → count."""
    counts = group.get("accelerators")
    of_nodes = [{"type": kind, "count": count} for kind, count in counts.items()] if isinstance(counts, dict) else []
    return [group.get("attached") or {}, *of_nodes]


def _number(group: Mapping[str, Any]) -> float | None:
    """Number in the busiest hours; a scale set starts with its first profile's, and pools of GKE have their fewest.

    None where it is computed.
    """
    profiles = group.get("profiles")
    first = profiles[0].get("default") if isinstance(profiles, list) and profiles else profiles
    numbers = (group.get("instances"), group.get("node_count"), first, group.get("min_nodes"))
    return first_known(next((number for number in numbers if number is not None), None))


def _first(group: Mapping[str, Any], names: Iterable[str]) -> Any:  # noqa: ANN401 - a literal of the code
    return next((group[name] for name in names if name in group), None)
