"""Formulas in a case file, ``= requests_per_day / 86400``: numbers, names of assumptions, ``+ - * /`` and parentheses."""

import ast
import operator
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import isfinite

import yaml

from advisor.names import suggestion
from advisor.yaml_fields import Field

_BEGIN = "="
_MOST_CHARACTERS = 200
_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
_HINT = "write it of numbers, names of assumptions, + - * / and parentheses, such as = requests_per_day / 86400"


def substituted(field: Field, values: Mapping[str, float]) -> Field:
    """A field with the value of each formula in the formula's place.

    Args:
        field: part of a document.
        values: numbers of the assumptions by name.

    Raises:
        InputError: a formula cannot be read or has no value, or the document refers to itself.
    """
    return replace(field, node=_substituted(field, values, {}))


def names_in(field: Field) -> frozenset[str]:
    """Names that the formulas of a field use."""
    trees = (_parsed(formula) for formula in _formulas(field, set()))
    return frozenset(node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name))


def _is_formula(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and str(node.value).startswith(_BEGIN)


def _children(field: Field) -> list[Field]:
    """Values of a mapping or items of a list."""
    if isinstance(field.node, yaml.MappingNode):
        return [Field(value, f"{field.name}.{key.value}", field.path) for key, value in field.node.value]
    return list(field.items()) if isinstance(field.node, yaml.SequenceNode) else []


def _formulas(field: Field, visited: set[int]) -> Iterator[Field]:
    if id(field.node) in visited:
        return
    visited.add(id(field.node))
    if _is_formula(field.node):
        yield field
    for child in _children(field):
        yield from _formulas(child, visited)


def _substituted(field: Field, values: Mapping[str, float], done: dict[int, yaml.Node | None]) -> yaml.Node:
    """The node with its formulas replaced; *done* has the nodes that aliases share, None while one is under way."""
    node = field.node
    if id(node) in done:
        return done[id(node)] or field.fail("it refers to itself", "take the alias out")
    done[id(node)] = None
    new: yaml.Node = node
    if _is_formula(node):
        new = yaml.ScalarNode("tag:yaml.org,2002:float", _text(_value(field, values)), node.start_mark, node.end_mark)
    elif children := [_substituted(child, values, done) for child in _children(field)]:
        if isinstance(node, yaml.MappingNode):
            children = list(zip((key for key, _ in node.value), children, strict=True))
        new = type(node)(node.tag, children, node.start_mark, node.end_mark)
    done[id(node)] = new
    return new


def _text(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() else repr(value)


def _parsed(field: Field) -> ast.expr:
    text = field.text().removeprefix(_BEGIN).strip()
    if len(text) > _MOST_CHARACTERS:
        field.fail(f"the formula has more than {_MOST_CHARACTERS} characters", "state part of it as an assumption")
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        field.fail(f"'{text}' is no formula", _HINT)


def _value(field: Field, values: Mapping[str, float]) -> float:
    try:
        value = float(_evaluated(_parsed(field), field, values))
    except (ZeroDivisionError, OverflowError):
        field.fail(f"'{field.text()}' has no value", "do not divide by zero")
    return value if isfinite(value) else field.fail(f"'{field.text()}' has no finite value", _HINT)


def _evaluated(node: ast.expr, field: Field, values: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return number
        case ast.Name(id=name) if name in values:
            return values[name]
        case ast.Name(id=name):
            field.fail(f"no assumption is named '{name}'", suggestion(name, tuple(values)) or "add it to assumptions")
        case ast.BinOp(op=op) if type(op) in _OPERATORS:
            left, right = (_evaluated(side, field, values) for side in (node.left, node.right))
            return float(_OPERATORS[type(op)](left, right))
        case ast.UnaryOp(op=ast.USub()):
            return -_evaluated(node.operand, field, values)
    field.fail(f"'{ast.unparse(node)}' has no place in a formula", _HINT)
