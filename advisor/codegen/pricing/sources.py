"""Where the resources come from: a plan as JSON, or a directory with one, or with code that we generated."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from advisor.catalog import Catalog
from advisor.catalog.values import Purchase
from advisor.codegen.applying.resolving import Module
from advisor.codegen.hcl import NOT_LITERAL, Block, Document, literal, local_map, read_hcl, traversal
from advisor.codegen.pricing import azure
from advisor.codegen.pricing.aws import mixed
from advisor.codegen.pricing.costs import (
    CODE,
    RULES,
    Breakdown,
    NoHours,
    Project,
    breakdown_of,
    breakdown_of_uses,
    cost_of,
)
from advisor.codegen.pricing.edits import Edits, edits_of
from advisor.codegen.pricing.gcp import container, region_of, with_attached
from advisor.codegen.pricing.own import own_uses, values_of
from advisor.codegen.pricing.resources import Resource, Resources, Use, first_known, planned, prior, purchase_of, text
from advisor.codegen.pricing.timetable import planned_hours
from advisor.codegen.writing.former import left_roots
from advisor.codegen.writing.record import read_record
from advisor.data_files import facts_beside
from advisor.errors import InputError
from advisor.reading import check_regular, json_of, read_text
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
_HOW = "make one with `terraform plan -out=tfplan && terraform show -json tfplan > plan.json`"
_BY_KARPENTER = "Karpenter starts its machines, which kubernetes/karpenter names"
_ELSEWHERE = "made outside of this code"
_BASE = "on_demand_base"
"""Variable: instances of a spot group that are always bought on demand, by its key."""
_COMPUTED = f"{_BASE} is computed"
_GROUPS, _REGIONS, _POOLS = "groups", "regions", "node_pools"
_PROVIDERS = {"aws": "aws", "google": "gcp", "azurerm": "azure", "ibm": "ibm"}
"""How types of resources begin → provider in the catalog."""
_TYPES = ("instance_types", "instance_type", "machine_type", "vm_size", "size", "sku")
CACHES = ("aws_elasticache_replication_group", "azurerm_managed_redis", "google_memorystore_instance")
"""Resources of response caches, as generated code has them."""
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
        roots = [root for root in recorded if (any(path.glob("*.tf")) if root == path else root.is_dir())]
        if not roots and not any(file for kind in ("*.tf", *_PLANS) for file in path.glob(kind)):
            roots = sorted(file.parent for file in path.glob("*/fleet.tf"))
        if roots and roots != [path]:
            return tuple(
                replace(read_project(root, None, catalog, prefers_code=prefers_code), is_left=root in left)
                for root in roots
            )
    return (read_project(path, given, catalog, prefers_code=prefers_code),)


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
        hours=NoHours.NO_RECORD if given is not None else planned_hours(path.parent, now, catalog),
    )


def _read(path: Path) -> str:
    return read_text(path, "plan of Terraform", _HOW)


def _document(path: Path) -> Document:
    check_regular(path, "code")
    return read_hcl(_read(path), str(path))


def _is_own(document: object) -> bool:
    """Whether a document is one that this program writes."""
    return isinstance(document, dict) and str(document.get("schema", "")).startswith("advisor.")


def _is_generated(directory: Path) -> bool:
    """Whether a directory holds code with the data of a plan."""
    documents = [_document(path) for path in directory.glob("*.tf")]
    entries = [entry for name in (_GROUPS, _POOLS) for entry in (local_map(documents, name) or {}).values()]
    return bool(entries) and all(isinstance(entry, dict) and "region" in entry for entry in entries)


def _of_code(directory: Path, catalog: Catalog) -> Project:
    """A generated root: one resource for each group, with the numbers that its data gives."""
    documents = [_document(path) for path in sorted(directory.glob("*.tf"))]
    groups, pools = (local_map(documents, name) for name in (_GROUPS, _POOLS))
    if groups is None and pools is None:
        raise InputError(
            "there is neither a plan as JSON nor code that advisor generated", where=str(directory), hint=_HOW
        )
    given = {name: _given(directory, documents, name) for name in ("model_source", _BASE)}
    edits = edits_of(directory, documents, RULES.keys() - set(CACHES))
    uses = (*_uses(documents, groups or {}, given, edits), *_pools(pools or {}))
    own = breakdown_of_uses(own_uses(edits, documents, _data(documents)), catalog)
    now = replace(own, costs=(*(cost_of(*use, catalog) for use in uses), *own.costs))
    hours = planned_hours(directory, now, catalog)
    if edits.changes_hours and not isinstance(hours, NoHours):
        hours = tuple(replace(group, is_edited=True) for group in hours)
    before, not_read = Breakdown((), {}, {}), tuple(_not_read(edits, own))
    return Project(directory.resolve().name, str(directory), CODE, now, before, hours, not_read)


def _not_read(edits: Edits, own: Breakdown) -> Iterator[str]:
    """Code that was edited or added and whose cost is not known, each with its file."""
    files = {block.address: Path(document.path).name for document, block in edits.own}
    added = {address: files[address] for address in own.unknown}
    for address, file in sorted({**edits.paid, **added, **dict(edits.modules)}.items()):
        yield f"{address} ({file})"


def _given(directory: Path, documents: Sequence[Document], name: str) -> object:
    """Value of a variable: as a file of variables sets it, else by default; None without either."""
    given = Module(directory, directory).given_value(name)
    declared = [
        block.attributes.get("default")
        for document in documents
        for block in document.body.of("variable")
        if block.labels == (name,)
    ]
    defaults = [literal(attribute.value.node) for attribute in declared if attribute is not None]
    return given if given is not None else defaults[-1] if defaults else None


def _pools(pools: Mapping[str, Any]) -> Iterator[tuple[Resource, tuple[Use, ...]]]:
    """Nodes that manifests alone need: the code names them, and somebody makes them beside it."""
    for key, pool in pools.items():
        provider, region, machine = (text(pool.get(name)) for name in ("provider", "region", "instance_type"))
        bought = purchase_of(_PURCHASES, pool.get("spot"))
        use = Use(provider or "", region, machine, bought, first_known(pool.get("nodes")), remark=_ELSEWHERE)
        yield Resource(f'local.{_POOLS}["{key}"]', "local", _POOLS, {}), (use,)


def _uses(
    documents: list[Document], groups: Mapping[str, Any], given: Mapping[str, object], edits: Edits
) -> Iterator[tuple[Resource, tuple[Use, ...]]]:
    """The machines of each group, under the resource that starts them, or else under the group.

    Args:
        documents: code of a root.
        groups: entry of each by its key.
        given: variables of the root that decide what is paid for.
        edits: what a person changed in the code.
    """
    own = {block.address for _, block in edits.own}
    placed = {
        block.address: (document, block)
        for document in reversed(documents)
        for block in document.body.of("resource")
        if block.address not in own
    }
    resources = [block for _, block in placed.values()]
    starting = [
        block
        for block in resources
        if block.labels[0] in RULES
        and (_is_of(block, _GROUPS) or (block.address in edits.paid and not _is_of(block, _REGIONS)))
    ]
    clouds = [_PROVIDERS[cloud] for block in resources if (cloud := block.labels[0].partition("_")[0]) in _PROVIDERS]
    for block in starting:
        kind, name = block.labels
        for key, group in groups.items():
            use = _use(clouds[0], kind, group, takes_bucket=given["model_source"] != "hub")
            uses = _bought(use, key, given[_BASE])
            yield (
                Resource(f'{kind}.{name}["{key}"]', kind, name, {}),
                _as_edited(uses, edits.file_of(*placed[block.address])),
            )
    for resource, beside in _beside(documents, [block for block in resources if block not in starting]):
        yield resource, _as_edited(beside, edits.file_of(*placed[f"{resource.kind}.{resource.name}"]))
    if not starting and clouds:
        for key, group in groups.items():
            yield Resource(f'local.groups["{key}"]', "local", _GROUPS, {}), (_use(clouds[0], "", group),)


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


def _beside(documents: list[Document], resources: list[Block]) -> Iterator[tuple[Resource, tuple[Use, ...]]]:
    """Machines and containers of each region beside the groups: entrances; and nodes of a response cache."""
    data = _data(documents)
    for block in resources:
        kind, name = block.labels
        if kind in CACHES:
            resource = Resource(
                f"{kind}.{name}", kind, name, {**_cache(kind, data.get("cache")), **values_of(block, data)}
            )
            yield resource, RULES[kind](resource, Resources())
        for region in data.get(_REGIONS, ()) if kind in RULES and _is_of(block, _REGIONS) else ():
            resource = Resource(
                f'{kind}.{name}["{region}"]', kind, name, {**values_of(block, data), "location": region}
            )
            yield resource, RULES[kind](resource, Resources())


def _data(documents: Iterable[Document]) -> Mapping[str, Any]:
    """Local values that are literals."""
    return {
        name: value
        for document in documents
        for block in document.body.of("locals")
        for name, attribute in block.attributes.items()
        if (value := literal(attribute.value.node)) is not NOT_LITERAL
    }


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


def _is_of(block: Block, name: str) -> bool:
    """Whether there is one for each entry of a local value."""
    for_each = block.attributes.get("for_each")
    return for_each is not None and traversal(for_each.value.node) == ("local", name)


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
        what=with_attached(machine, [group.get("attached") or {}]),
        purchase=purchase_of(_PURCHASES, _first(group, _MARKETS)),
        number=_number(group),
    )


def _number(group: Mapping[str, Any]) -> float | None:
    """Number in the busiest hours; a scale set starts with its first profile's, and pools of GKE have their fewest."""
    profiles = group.get("profiles")
    first = profiles[0].get("default") if isinstance(profiles, list) and profiles else None
    return first_known(group.get("instances"), group.get("node_count"), first, group.get("min_nodes"))


def _first(group: Mapping[str, Any], names: Iterable[str]) -> Any:  # noqa: ANN401 - a literal of the code
    return next((group[name] for name in names if name in group), None)
