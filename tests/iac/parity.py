"""Whether a Pulumi program describes what a Terraform root does: the same resources and data sources, equal inputs.

The classic Pulumi providers are bridged from the Terraform providers, so their inputs are Terraform's arguments in camel
case, with lists in the plural and single nested blocks as objects. Both sides are brought into one form: names in
snake case, one-element lists unpacked, nothing that is empty; number and order of a list's name and items do not count. What Terraform does not
know before an apply is not compared.
"""

import base64
import gzip
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

_TYPES = {
    token: typed
    for path in sorted((Path(__file__).resolve().parent / "parity_types").glob("*.json"))
    for token, typed in json.loads(path.read_text()).items()
}
"""Pulumi token → Terraform type, ``data.`` before that of a data source."""
_OWN = ("pulumi:", "inference:")
"""Tokens of providers, components and the stack."""
_LOCAL = ("terraform_data", "random_", "time_", "local_", "kustomization_resource")
"""Types that Terraform alone has; Pulumi's component applies the objects of a kustomization by itself."""
_PACKED = "H4sI"
"""Start of what gzip makes, in Base64."""
_EMPTY = (None, "", [], {}, False)
_OPTIONS = ("timeouts",)
"""Blocks of Terraform that are options of a resource in Pulumi, which no evaluation shows."""


_RENAMED = {
    "aws_cloudwatch_metric_alarm": {"name": "alarm_name"},
    "aws_sns_topic_subscription": {"topic": "topic_arn"},
    "data.kustomization_build": {"directory": "path"},
}
"""Arguments that the bridge calls otherwise: Terraform type → its name in Pulumi → that in Terraform."""
_OF_COMPONENTS = {"data.kustomization_build": ("skip_await",)}
"""Options of components that stand for a type: Terraform's resources wait for nothing unless they are told to."""
_RENAMED_WITHIN = {"enable_accelerated_networking": "accelerated_networking_enabled"}
"""Arguments of nested blocks that azurerm 5 renamed, and the bridge of azurerm 4 has not."""
ANSWERS = {
    "accountId": "123456789012",
    "cidrBlock": "10.0.0.0/16",
    "dnsSuffix": "amazonaws.com",
    "json": '{"Version": "2012-10-17", "Statement": []}',
    "network": "projects/my-project/global/networks/inference",
    "number": "123456789012",
    "partition": "aws",
    "subnetwork": "projects/my-project/regions/us-central1/subnetworks/inference",
    "subscriptionId": "00000000-0000-0000-0000-000000000000",
    "project": "my-project",
    "vpcConfig": {
        "vpcId": "vpc-0123456789abcdef0",
        "subnetIds": [],
        "clusterSecurityGroupId": "sg-0123456789abcdef0",
    },
}
"""What data sources say to an evaluated program: the same as the simulated Terraform provider says."""
_SECRET = "4dabf18193072939515e22adb298388d"
"""Key by which Pulumi's wire format marks special values, here secrets."""
UNKNOWN = "(known after apply)"


@dataclass(frozen=True)
class Described:
    """A resource or data source, as one of the two describes it."""

    typed: str
    name: str
    inputs: Any
    """Holds :data:`UNKNOWN` where Terraform does not know the value yet."""


def differences(plan: Mapping[str, Any], program: Mapping[str, Any]) -> list[str]:
    """Lines for people, none when both describe the same.

    Args:
        plan: ``terraform show -json`` of a plan.
        program: resources and calls, as ``run_pulumi.py`` prints them.
    """
    terraform, pulumi = list(of_terraform(plan)), list(of_pulumi(program))
    found = []
    for typed in sorted({one.typed for one in terraform + pulumi}):
        ours = [one for one in terraform if one.typed == typed]
        theirs = [one for one in pulumi if one.typed == typed]
        found += _of_type(typed, ours, theirs)
    return found


def of_terraform(plan: Mapping[str, Any]) -> Iterator[Described]:
    """What the root manages, and the data sources that it asks something."""
    for change in plan["resource_changes"]:
        if not change["type"].startswith(_LOCAL):
            yield _described(change["mode"], change["type"], change["address"], change["change"])
    for resource in plan.get("prior_state", {}).get("values", {}).get("root_module", {}).get("resources", []):
        asked = _asked(plan, resource)
        if asked and not resource["type"].startswith(_LOCAL):
            yield _described(resource["mode"], resource["type"], resource["address"], {"after": asked})


def _asked(plan: Mapping[str, Any], resource: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a data source that was read: those that the configuration gives."""
    for declared in plan["configuration"]["root_module"]["resources"]:
        if declared["address"] == resource["address"].partition("[")[0]:
            return {name: resource["values"].get(name) for name in declared.get("expressions", {})}
    return {}


def _described(mode: str, typed: str, address: str, change: Mapping[str, Any]) -> Described:
    kind = f"data.{typed}" if mode == "data" else typed
    marked = _marked(change["after"] or {}, change.get("after_unknown") or {})
    inputs = {name: value for name, value in marked.items() if name not in _OPTIONS}
    return Described(kind, address, normal(_zone_named(inputs)))


def _zone_named(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Azurerm 5 takes the id of a private DNS zone where the bridge of azurerm 4 takes its name and group."""
    words = str(inputs.get("private_dns_zone_id", "")).split("/")
    if len(words) != 9:
        return inputs
    rest = {name: value for name, value in inputs.items() if name != "private_dns_zone_id"}
    return rest | {"resource_group_name": words[4], "zone_name": words[8]}


def _marked(value: Any, unknown: Any) -> Any:
    """*value* with a mark where it is unknown."""
    if unknown is True:
        return UNKNOWN
    if isinstance(unknown, dict) and isinstance(value, dict | None):
        known = value or {}
        return {key: _marked(known.get(key), unknown.get(key)) for key in {**known, **unknown}}
    if isinstance(unknown, list) and isinstance(value, list):
        return [_marked(*pair) for pair in zip_longest(value, unknown)]
    return value


def of_pulumi(program: Mapping[str, Any]) -> Iterator[Described]:
    """What the program registers, and what it asks."""
    for one in (*program["resources"], *program["calls"]):
        if one["type"].startswith(_OWN):
            continue
        if one["type"] not in _TYPES:
            raise KeyError(f"{one['type']} has no Terraform type yet: add it to tests/iac/parity_types")
        typed = _TYPES[one["type"]]
        if one["inputs"] or not typed.startswith("data."):
            yield Described(typed, one["name"] or "call", _renamed(typed, normal(one["inputs"])))


def _renamed(typed: str, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    names, options = _RENAMED.get(typed, {}), _OF_COMPONENTS.get(typed, ())
    given = {name: value for name, value in inputs.items() if name not in options}
    return {names.get(name, name): _renamed_within(value) for name, value in given.items()}


def _renamed_within(value: Any) -> Any:
    if isinstance(value, dict):
        return {_RENAMED_WITHIN.get(name, name): _renamed_within(one) for name, one in value.items()}
    return [_renamed_within(one) for one in value] if isinstance(value, list) else value


def normal(value: Any) -> Any:
    """The form in which both are compared."""
    if isinstance(value, Mapping):
        if _SECRET in value:
            return normal(value["value"])
        named = {_name(key): normal(one) for key, one in value.items()}
        return {key: one for key, one in named.items() if not _is_empty(one)}
    if isinstance(value, list | tuple):
        items = [normal(one) for one in value]
        return items[0] if len(items) == 1 else items
    if isinstance(value, str):
        return _plain(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _plain(text: str) -> Any:
    """A number or truth that one of the two writes as text; JSON and packed text by what they mean."""
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return float(text)
    if text in ("true", "false"):
        return text == "true"
    if text.startswith(_PACKED):
        return gzip.decompress(base64.b64decode(text)).decode()
    if text[:1] in ("{", "["):
        try:
            return normal(json.loads(text))
        except ValueError:
            return text
    return text


def _name(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _stem(name: str) -> str:
    """What singular and plural have in common: ``alias`` and ``aliases``, ``query`` and ``queries``."""
    return (f"{name[:-3]}y" if name.endswith("ies") else name).rstrip("es")


def _of_type(typed: str, terraform: list[Described], pulumi: list[Described]) -> list[str]:
    """Each resource of one side is compared with the most similar one of the other."""
    if len(terraform) != len(pulumi):
        names = [one.name for one in terraform], [one.name for one in pulumi]
        return [f"{typed}: {len(terraform)} in Terraform, {len(pulumi)} in Pulumi: {names[0]} and {names[1]}"]
    left, found = list(pulumi), []
    for one in terraform:
        best = min(left, key=lambda other: len(list(_unequal(one.inputs, other.inputs))))
        left.remove(best)
        found += [f"{one.name} and {best.name}: {line}" for line in _unequal(one.inputs, best.inputs)]
    return found


def _unequal(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """Where two values differ; what Terraform does not know yet equals everything."""
    if ours in (UNKNOWN, theirs) or (_is_empty(ours) and _is_empty(theirs)) or _rounded_alike(ours, theirs):
        return
    if isinstance(ours, dict) and isinstance(theirs, dict | None):
        named = {_stem(name): (name, value) for name, value in ours.items()}
        others = {_stem(name): (name, value) for name, value in (theirs or {}).items()}
        for stem in sorted({**named, **others}):
            name = named.get(stem, others.get(stem))[0]
            yield from _unequal(
                named.get(stem, (name, None))[1], others.get(stem, (name, None))[1], f"{path}.{name}".lstrip(".")
            )
    elif not (isinstance(ours, list) and isinstance(theirs, list) and _match(ours, theirs)):
        yield f"{path} is {ours!r} in Terraform, {theirs!r} in Pulumi"


def _rounded_alike(ours: Any, theirs: Any) -> bool:
    """Both round a product to the cent, one from a decimal number and the other from a binary one."""
    return isinstance(ours, float) and isinstance(theirs, float) and math.isclose(ours, theirs, rel_tol=1e-5)


def _match(ours: list[Any], theirs: list[Any]) -> bool:
    """Both lists hold the same, in any order."""
    left = list(theirs)
    for one in ours:
        equal = next((other for other in left if not any(_unequal(one, other))), None)
        if equal is None:
            return False
        left.remove(equal)
    return not left


def _is_empty(value: Any) -> bool:
    return value in _EMPTY
