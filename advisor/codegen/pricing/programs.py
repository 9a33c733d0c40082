"""Programs of Pulumi as data: what they start, with the values of a stack's configuration."""

import ast
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from advisor.codegen.hcl import NOT_LITERAL
from advisor.codegen.pricing.code import (
    BASE,
    CACHE,
    CLOUDS,
    GROUPS,
    REGIONS,
    SOURCE,
    Added,
    Code,
    Given,
    Inputs,
    Started,
    value_at,
)
from advisor.codegen.pricing.edits import Edits, generated_texts, is_paid_for_by
from advisor.codegen.pricing.own_calls import added_by, once, own_calls
from advisor.codegen.python_literals import parse_python
from advisor.codegen.short_program import generated_folder, whole_program
from advisor.errors import InputError
from advisor.reading import read_text
from advisor.records import replace

_PROJECT, _MAIN, _PLAN = "Pulumi.yaml", "__main__.py", "plan.json"
_FLEET, _SETTINGS = "inference/fleet.py", "inference/settings.py"
_PACKAGE = "inference/"
_SHORT = "from_plan"
"""Call of a short program."""
_KINDS = {
    "aws.autoscaling.Group": "aws_autoscaling_group",
    "aws.eks.NodeGroup": "aws_eks_node_group",
    "aws.elasticache.ReplicationGroup": "aws_elasticache_replication_group",
    "aws.sagemaker.EndpointConfiguration": "aws_sagemaker_endpoint_configuration",
    "azure.compute.LinuxVirtualMachineScaleSet": "azurerm_linux_virtual_machine_scale_set",
    "azure.containerapp.App": "azurerm_container_app",
    "azure.containerservice.KubernetesClusterNodePool": "azurerm_kubernetes_cluster_node_pool",
    "azure.managedredis.ManagedRedis": "azurerm_managed_redis",
    "gcp.cloudrunv2.Service": "google_cloud_run_v2_service",
    "gcp.compute.RegionInstanceGroupManager": "google_compute_region_instance_group_manager",
    "gcp.container.NodePool": "google_container_node_pool",
    "gcp.memorystore.Instance": "google_memorystore_instance",
}
"""Classes of generated programs → types of resources as Terraform calls them."""
_LOOPS = {"cache": "", "entrance": REGIONS}
"""Modules whose resources there is one of, or one for each region; all others start groups."""
_MACHINES = {
    **_KINDS,
    "aws.ec2.CapacityReservation": "aws_ec2_capacity_reservation",
    "aws.ec2.Instance": "aws_instance",
    "aws.ec2.SpotInstanceRequest": "aws_spot_instance_request",
    "aws.elasticache.Cluster": "aws_elasticache_cluster",
    "aws.sagemaker.NotebookInstance": "aws_sagemaker_notebook_instance",
    "azure.compute.LinuxVirtualMachine": "azurerm_linux_virtual_machine",
    "azure.compute.OrchestratedVirtualMachineScaleSet": "azurerm_orchestrated_virtual_machine_scale_set",
    "azure.compute.WindowsVirtualMachine": "azurerm_windows_virtual_machine",
    "gcp.compute.Instance": "google_compute_instance",
    "gcp.compute.InstanceGroupManager": "google_compute_instance_group_manager",
    "gcp.compute.Reservation": "google_compute_reservation",
    "gcp.tpu.V2Vm": "google_tpu_v2_vm",
    "gcp.workbench.Instance": "google_workbench_instance",
}
"""The same, with those that a person may add."""
_CONTAINERS, _CONTAINER = "containers", "container"
"""Argument with records, and the block that Terraform has for each."""
_CONSTANTS = {"region": "REGION", "node_type": "NODE_TYPE", "nodes": "NODES", "shards": "SHARDS"}
"""Data of a response cache → constants of its module."""


def is_program(directory: Path) -> bool:
    """Whether a directory holds a program that ``advisor generate pulumi`` wrote."""
    is_one = (directory / _PROJECT).is_file() and (directory / _MAIN).is_file()
    return is_one and ((directory / _FLEET).is_file() or _short(directory) is not None)


def stacks_of(directory: Path) -> tuple[str, ...]:
    """Names of the stacks that have a configuration, sorted."""
    return tuple(sorted(path.name[len("Pulumi.") : -len(".yaml")] for path in directory.glob("Pulumi.*.yaml")))


def pulumi_code(directory: Path, stack: str = "") -> Code:
    """A generated program with the configuration of a stack; "": with none.

    Raises:
        InputError: a file cannot be read, or is not valid.
    """
    files, short = _files(directory), _short(directory)
    modules = {path: parse_python(text, str(directory / path)) for path, text in files.items()}
    settings = _configuration(directory, stack)
    defaults = _defaults(modules.get(_SETTINGS))
    given = {name: settings.get(name, Given(defaults.get(name))) for name in (BASE, SOURCE)}
    if short is not None:
        given = {name: _passed(short, name, given[name], settings) for name in given}
    data = fleet_data(modules[_FLEET])
    if (cache := modules.get("inference/cache.py")) is not None:
        constants = _constants(cache)
        data[CACHE] = {name: constants.get(constant, NOT_LITERAL) for name, constant in _CONSTANTS.items()}
    own = _own(directory, modules)
    edited = _edited(directory, modules, own)
    started = [
        replace(each, edited_in=edited.get(path, "") if each.each == GROUPS else "")
        for path, module in modules.items()
        if path.startswith(_PACKAGE)
        for each in _started(PurePosixPath(path).stem, module, data, own.get(path, ()))
    ]
    paid = {each.address: each.edited_in for each in started if each.edited_in}
    cloud = next(_clouds(modules.values()), "")
    added = tuple(_added(own, modules, _region(directory, stack, cloud)))
    return Code(cloud, data, started, given, edits=Edits(paid, (), (), paid), added=added)


_Own = Mapping[str, Sequence[tuple[ast.Call, str]]]
"""Path of a module → calls of a person's own in it that make resources, each with its class."""


def _generated(directory: Path) -> Mapping[str, str]:
    """Path → text of each module as it was generated last."""
    inner = generated_texts(directory, f"{_PACKAGE}*.py")
    return {**{f"{_PACKAGE}{name}": text for name, text in inner.items()}, **generated_texts(directory, "*.py")}


def _own(directory: Path, modules: Mapping[str, ast.Module]) -> _Own:
    """None where no record tells what was generated; modules of a short program are as its plan says."""
    generated = _generated(directory)
    return {
        path: own_calls(module, parse_python(generated[path], path) if path in generated else None)
        for path, module in modules.items()
        if _MAIN in generated and (path in generated or (directory / path).is_file())
    }


def _added(own: _Own, modules: Mapping[str, ast.Module], region: str) -> Iterator[Added]:
    for path, calls in own.items():
        lone = {id(call) for call in once(modules[path])}
        for call, named in calls:
            yield added_by(call, named, file=path, is_once=id(call) in lone, kinds=_MACHINES, region=region)


def _region(directory: Path, stack: str, cloud: str) -> str:
    """Region that the configuration of a stack gives the default provider; "" where it gives none."""
    config = _mapping(directory / f"Pulumi.{stack}.yaml").get("config") if stack else {}
    region = config.get(f"{cloud}:region") if isinstance(config, dict) else None
    return region if isinstance(region, str) else ""


def _edited(directory: Path, modules: Mapping[str, ast.Module], own: _Own) -> Mapping[str, str]:
    """Path of a module → its file, where arguments that decide what is paid for are others than were generated."""
    generated = _generated(directory)
    return {
        path: path
        for path, module in modules.items()
        if path.startswith(_PACKAGE)
        and any(name.startswith(_PACKAGE) for name in generated)
        and _paid(module, own.get(path, ())) != _paid(parse_python(generated.get(path, ""), path))
    }


def _paid(module: ast.Module, own: Sequence[tuple[ast.Call, str]] = ()) -> Counter[tuple[str, str]]:
    """Arguments that decide what is paid for, with their expressions, without those of own resources."""
    apart = {id(node) for call, _ in own for node in ast.walk(call)}
    paid = Counter[tuple[str, str]]()
    for node in ast.walk(module):
        if id(node) in apart:
            continue
        match node:
            case ast.keyword(arg=str(name), value=value):
                paid[name, ast.unparse(value)] += is_paid_for_by(name)
            case ast.Dict(keys=keys, values=values):
                named = ((_literal(key), value) for key, value in zip(keys, values, strict=True))
                paid.update((str(name), ast.unparse(value)) for name, value in named if is_paid_for_by(str(name)))
    return paid


def _files(directory: Path) -> Mapping[str, str]:
    """Modules of a program: those that lie there, or those that a short one stands for."""
    if (directory / _FLEET).is_file():
        paths = sorted((directory / _FLEET).parent.glob("*.py"))
        return {f"inference/{path.name}": read_text(path, "code") for path in paths} | _beside(directory)
    call, plan = _short(directory), (directory / _PLAN).resolve()
    choice = {} if call is None else {str(word.arg): _literal(word.value) for word in call.keywords if word.arg}
    choice = {name: value for name, value in choice.items() if isinstance(value, str | int)}
    files = whole_program(read_text(plan, "plan"), {"directory": str(generated_folder(plan)), **choice})
    inner = {path: text for path, text in files.items() if path.startswith(_PACKAGE) and path.endswith(".py")}
    return inner | _beside(directory)


def _beside(directory: Path) -> dict[str, str]:
    """Modules beside the package: the program's own, and what a person wrote there."""
    return {path.name: read_text(path, "code") for path in sorted(directory.glob("*.py"))}


def _short(directory: Path) -> ast.Call | None:
    """Call by which a short program makes its fleet of a plan; None: it is a whole one."""
    if not (directory / _PLAN).is_file() or (directory / _FLEET).is_file():
        return None
    main = directory / _MAIN
    calls = (node for node in ast.walk(parse_python(read_text(main, "code"), str(main))) if isinstance(node, ast.Call))
    return next((call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == _SHORT), None)


def _passed(call: ast.Call, name: str, default: Given, settings: Inputs) -> Given:
    """Value of an input that a short program passes on: of the configuration, or its own; else the default."""
    args = next((word.value for word in call.keywords if word.arg == "args"), ast.Dict([], []))
    if not isinstance(args, ast.Dict):
        return Given(NOT_LITERAL, _MAIN)
    passed = {_literal(key): value for key, value in zip(args.keys, args.values, strict=True) if key is not None}
    if name not in passed:
        return Given(None) if None not in args.keys else Given(NOT_LITERAL, _MAIN)
    match passed[name]:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="config")), args=[ast.Constant(value=str(key)), *_]):
            return settings.get(key, default)
        case value:
            return Given(_literal(value), _MAIN)


def _configuration(directory: Path, stack: str) -> Inputs:
    """Values that the configuration of a stack gives inputs of the project, secret ones as computed."""
    file = f"Pulumi.{stack}.yaml"
    project = _mapping(directory / _PROJECT).get("name", "")
    config = _mapping(directory / file).get("config") if stack else {}
    return {
        str(key).removeprefix(f"{project}:"): Given(_plain(value), file)
        for key, value in (config if isinstance(config, dict) else {}).items()
        if str(key).startswith(f"{project}:")
    }


def _mapping(path: Path) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(read_text(path, "configuration"))
    except yaml.YAMLError as error:
        hint = "correct it, or remove the file"
        raise InputError("not valid YAML", where=str(path), hint=hint) from error
    return document if isinstance(document, dict) else {}


def _plain(value: object) -> object:
    """A value as the program reads it: `pulumi config set` writes numbers and records as texts."""
    if isinstance(value, dict) and "secure" in value:
        return NOT_LITERAL
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _defaults(settings: ast.Module | None) -> Mapping[str, object]:
    """Defaults of settings that are literals."""
    fields = [node for node in ast.walk(settings) if isinstance(node, ast.AnnAssign)] if settings else []
    return {
        ast.unparse(field.target): _literal(word.value)
        for field in fields
        if isinstance(field.value, ast.Call)
        for word in field.value.keywords
        if word.arg == "default"
    }


def fleet_data(module: ast.Module) -> dict[str, Any]:
    """Data of the plan by name, of the module that holds it."""
    for statement in module.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="FLEET")], value=ast.Call(keywords=keywords)):
                return {str(word.arg): _literal(word.value) for word in keywords}
    return {}


def _constants(module: ast.Module) -> Mapping[str, object]:
    return {
        target.id: _literal(statement.value)
        for statement in module.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }


def _started(
    module: str, tree: ast.Module, data: Mapping[str, Any], own: Sequence[tuple[ast.Call, str]]
) -> Iterator[Started]:  # fmt: skip
    """Resources that a module makes, but for a person's own, with arguments that are literals or data."""
    apart = {id(call) for call, _ in own}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        named = ast.unparse(call.func)
        if named in _KINDS and id(call) not in apart:
            values = {str(word.arg): _argument(word.value, data) for word in call.keywords if word.arg}
            literals = {name: value for name, value in values.items() if value is not NOT_LITERAL}
            yield Started(_KINDS[named], module, named, _LOOPS.get(module, GROUPS), literals)


def _argument(node: ast.expr, data: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a literal of the code
    """An argument as Terraform has it: data of the fleet, records as blocks, which are lists."""
    steps = ast.unparse(node).split(".")
    if steps[:2] == ["context", "fleet"]:
        return value_at(data, steps[2:])
    if isinstance(node, ast.List):
        return [_argument(part, data) for part in node.elts]
    if not isinstance(node, ast.Dict):
        return _literal(node)
    pairs = zip(node.keys, node.values, strict=True)
    values = {str(_literal(key)): _argument(value, data) for key, value in pairs}
    if isinstance(containers := values.pop(_CONTAINERS, None), list):
        values[_CONTAINER] = [block for blocks in containers for block in blocks]
    return [values]


def _literal(node: ast.expr | None) -> Any:  # noqa: ANN401 - a literal of the code
    """Value of a literal, and of a record by its arguments; NOT_LITERAL for what is computed, in its place."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [_literal(part) for part in parts]
        case ast.Dict(keys=keys, values=values):
            return {str(_literal(key)): _literal(value) for key, value in zip(keys, values, strict=True)}
        case ast.Call(args=[], keywords=keywords) if keywords:
            return {str(word.arg): _literal(word.value) for word in keywords}
        case _:
            return NOT_LITERAL


def _clouds(modules: Iterable[ast.Module]) -> Iterator[str]:
    """Providers whose packages are imported."""
    imports = (node for module in modules for node in module.body if isinstance(node, ast.Import))
    names = (name.asname or "" for node in imports for name in node.names)
    return (name for name in names if name in CLOUDS.values())
