"""Formulas in a case file, ``= requests_per_day / 86400``: numbers, assumptions, ``+ - * /`` and parentheses."""

import ast
import operator
from collections.abc import Mapping
from dataclasses import replace
from math import isfinite

import yaml

from advisor.names import suggestion
from advisor.yaml_fields import Field

_BEGIN = "="
_MOST_CHARACTERS = 200
_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
_HINT = "write it of numbers, names of assumptions, + - * / and parentheses, such as = requests_per_day / 86400"


def substituted(field: Field, values: Mapping[str, float], used: set[str] | None = None) -> Field:
    """A field with the value of each formula in the formula's place.

    Args:
        field: part of a document.
        values: numbers of the assumptions by name.
        used: takes the names of those that formulas use.

    Raises:
        InputError: a formula cannot be read or has no value, or the document refers to itself.
    """
    return replace(field, node=_substituted(field, values, set() if used is None else used, {}))


def _substituted(
    field: Field, values: Mapping[str, float], used: set[str], done: dict[int, yaml.Node | None]
) -> yaml.Node:
    """The node with its formulas replaced; *done* has the nodes that aliases share, None while one is under way."""
    node = field.node
    if id(node) in done:
        return done[id(node)] or field.fail("it refers to itself", "take the alias out")
    done[id(node)] = None
    new: yaml.Node = node
    if isinstance(node, yaml.MappingNode):
        pairs = [
            (key, _substituted(Field(value, f"{field.name}.{key.value}", field.path), values, used, done))
            for key, value in node.value
        ]
        new = yaml.MappingNode(node.tag, pairs, node.start_mark, node.end_mark)
    elif isinstance(node, yaml.SequenceNode):
        items = [_substituted(item, values, used, done) for item in field.items()]
        new = yaml.SequenceNode(node.tag, items, node.start_mark, node.end_mark)
    elif str(node.value).startswith(_BEGIN):
        tree = _parsed(field)
        used.update(name.id for name in ast.walk(tree) if isinstance(name, ast.Name))
        text = _text(_value(tree, field, values))
        new = yaml.ScalarNode("tag:yaml.org,2002:float", text, node.start_mark, node.end_mark)
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


def _value(tree: ast.expr, field: Field, values: Mapping[str, float]) -> float:
    try:
        value = float(_evaluated(tree, field, values))
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
            hint = suggestion(name, tuple(values)) or "add it to assumptions"
            return field.fail(f"no assumption is named '{name}'", hint)
        case ast.BinOp(op=op) if type(op) in _OPERATORS:
            left, right = (_evaluated(side, field, values) for side in (node.left, node.right))
            return float(_OPERATORS[type(op)](left, right))
        case ast.UnaryOp(op=ast.USub()):
            return -_evaluated(node.operand, field, values)
        case _:
            return field.fail(f"'{ast.unparse(node)}' has no place in a formula", _HINT)
