"""Resources that a person added to a program of Pulumi, in any of its modules, as far as arguments are literals."""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from advisor.codegen.hcl import NOT_LITERAL
from advisor.codegen.pricing.code import Added
from advisor.codegen.pricing.costs import is_free
from advisor.codegen.pricing.edits import is_paid_for_by
from advisor.codegen.pricing.resources import Resource

_PACKAGES = {"pulumi_aws": "aws", "pulumi_gcp": "gcp", "pulumi_azure": "azure"}
"""Package of a provider → name that generated programs give it."""
_TERRAFORM = {"aws": "aws", "gcp": "google", "azure": "azurerm"}
_OPTIONS = "opts"
_RESOURCE = re.compile(r"(aws|gcp|azure)(\.\w+)+\.(?!Provider$)[A-Z]\w*(?<!Args)(?<!ArgsDict)")
_BEFORE_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
Kinds = Mapping[str, str]
"""Class → type of resource as Terraform calls it."""


def own_calls(module: ast.Module, generated: ast.Module | None) -> tuple[tuple[ast.Call, str], ...]:
    """Calls that make resources and that were not generated, each with its class.

    Those of a class are told apart by their first argument, the name; of several with the same, the last ones are own.
    """
    there = Counter(_key(call, named) for call, named in _calls(generated)) if generated is not None else Counter()
    own = []
    for call, named in _calls(module):
        key = _key(call, named)
        if there[key]:
            there[key] -= 1
        else:
            own.append((call, named))
    return tuple(own)


def added_by(call: ast.Call, named: str, *, file: str, is_once: bool, kinds: Kinds, region: str) -> Added:
    """The resource that a call adds.

    Args:
        call: of its class.
        named: the class.
        file: module that it is in.
        is_once: nothing repeats it, or leaves it out.
        kinds: classes that start machines.
        region: of the provider; "": not known.
    """
    arguments = {str(word.arg): word.value for word in call.keywords}
    values = {name: _value(value) for name, value in arguments.items()}
    literals = {name: value for name, value in values.items() if value is not NOT_LITERAL}
    own_region = "" if _OPTIONS in arguments else region
    resource = Resource(
        address=f"{named}({ast.unparse(call.args[0])})" if call.args else named,
        kind=kinds.get(named) or _free_kind(named) or named,
        name=named,
        values=literals,
        provider={"region": own_region} if own_region else {},
    )
    is_computed = not is_once or None in {word.arg for word in call.keywords} or _is_computed(values)
    return Added(resource, file, is_computed)


def once(module: ast.Module) -> Iterator[ast.Call]:
    """Calls of a module that run once: statements of its own, outside functions, conditions and loops."""
    for statement in module.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr) and isinstance(statement.value, ast.Call):
            yield statement.value


def _calls(module: ast.Module) -> Iterator[tuple[ast.Call, str]]:
    names = dict(_imported(module))
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            first, dot, rest = ast.unparse(node.func).partition(".")
            named = names.get(first, "") + dot + rest
            if _RESOURCE.fullmatch(named):
                yield node, named


def _imported(module: ast.Module) -> Iterator[tuple[str, str]]:
    """Name in a module → what it is in the package of a provider."""
    for node in ast.walk(module):
        match node:
            case ast.Import(names=aliases):
                for alias in aliases:
                    if alias.name in _PACKAGES:
                        yield alias.asname or alias.name, _PACKAGES[alias.name]
            case ast.ImportFrom(module=str(package), names=aliases, level=0):
                root, dot, rest = package.partition(".")
                if root in _PACKAGES:
                    for alias in aliases:
                        yield alias.asname or alias.name, f"{_PACKAGES[root]}{dot}{rest}.{alias.name}"


def _key(call: ast.Call, named: str) -> tuple[str, str]:
    return named, ast.unparse(call.args[0]) if call.args else ""


def _free_kind(named: str) -> str:
    """The type in Terraform of a class that nobody charges for; "" of another."""
    cloud, *parts = named.split(".")
    kind = "_".join((_TERRAFORM[cloud], *(_BEFORE_CAPITAL.sub("_", part).lower() for part in parts)))
    return kind if is_free(kind) else ""


def _value(node: ast.expr) -> Any:  # noqa: ANN401 - a literal of the code
    """A literal; a record, as the block that Terraform has for it."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            values = [_value(part) for part in parts]
            return [block for value in values for block in (value if isinstance(value, list) else [value])]
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            return [{str(key.value): _value(value) for key, value in pairs if isinstance(key, ast.Constant)}]
        case ast.Call(args=[], keywords=keywords) if keywords:
            return [{str(word.arg): _value(word.value) for word in keywords}]
        case _:
            return NOT_LITERAL


def _is_computed(values: Mapping[str, Any], path: str = "") -> bool:
    """Whether an argument that decides what is paid for is no literal."""
    for name, value in values.items():
        parts = value if isinstance(value, list) else [value]
        if is_paid_for_by(path + name) and any(part is NOT_LITERAL for part in parts):
            return True
        if any(isinstance(part, dict) and _is_computed(part, f"{path}{name}.") for part in parts):
            return True
    return False
