"""Mutations of a module: every small change of its arithmetic, comparisons, logic and numbers, one at a time."""

import ast
import copy
import csv
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

_OPERATORS: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or,
    ast.Or: ast.And,
}  # fmt: skip
EQUIVALENT = Path(__file__).with_name("equivalent.csv")
_CALLS = {"min": "max", "max": "min", "ceil": "floor", "floor": "ceil", "any": "all", "all": "any"}
_LEFT_ALONE = (ast.Raise, ast.JoinedStr, ast.Assert, ast.arguments)
"""Messages, defaults and annotations: no code that computes; nor is ``strict`` of a ``zip``."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: a function's code anew, or the value of a constant of the module anew."""

    module: str
    place: str
    """Qualified name of the function, or the constant's name."""
    line: int
    text: str
    """Of the line."""
    change: str
    occurrence: int
    """Of changes that read alike in one line: 1, 2, ..."""
    tree: ast.Module
    constant: bool

    @property
    def key(self) -> str:
        """Name in results: the same until the module is another."""
        return f"{self.module}:{self.place}:{self.line}: {self.numbered_change}"

    @property
    def lasting_key(self) -> tuple[str, str, str]:
        """Function, text and change: the same wherever in the function the line stands."""
        return f"{self.module}:{self.place}", self.text, self.numbered_change

    @property
    def numbered_change(self) -> str:
        """The change, with its number where several in the line read alike."""
        return f"{self.change} ({self.occurrence})" if self.occurrence > 1 else self.change


def equivalents() -> dict[tuple[str, str, str], str]:
    """Reasons why mutants change nothing, by :attr:`Mutant.lasting_key`."""
    with EQUIVALENT.open(newline="", encoding="utf-8") as file:
        return {(row["function"], row["text"], row["change"]): row["reason"] for row in csv.DictReader(file)}


def mutants_of(module: ModuleType) -> Iterator[Mutant]:
    """Every mutant of a module that is loaded."""
    told: Counter[tuple[int, str]] = Counter()
    source = Path(module.__file__).read_text(encoding="utf-8")
    lines = source.splitlines()
    for statement in ast.parse(source).body:
        for index, (place, constant, node) in enumerate(_sites([statement], "", constant=False)):
            for number, (change, _) in enumerate(_changes(node)):
                mutated = copy.deepcopy(statement)
                twin = list(_sites([mutated], "", constant=False))[index][2]
                list(_changes(twin))[number][1]()
                tree = ast.fix_missing_locations(ast.Module([mutated], type_ignores=[]))
                told[node.lineno, change] += 1
                text, again = lines[node.lineno - 1].strip(), told[node.lineno, change]
                yield Mutant(module.__name__, place, node.lineno, text, change, again, tree, constant)


def apply(mutant: Mutant) -> None:
    """Put a mutant into the running program, for every module that holds the function or the constant."""
    module = sys.modules[mutant.module]
    forget_results(module)
    if not mutant.constant:
        code = next(_codes(compile(mutant.tree, module.__file__, "exec"), mutant.place))
        function_at(module, mutant.place).__code__ = code
        return
    _replace(module, mutant.place, _value_of(mutant.tree, mutant.place, module))


def forget_results(module: ModuleType) -> None:
    """Empty the caches of a module's functions."""
    for value in list(vars(module).values()):
        if hasattr(value, "cache_clear") and value.__module__ == module.__name__:
            value.cache_clear()


def _replace(module: ModuleType, name: str, after: Any) -> None:
    """Put another value of a constant wherever it is imported, and into the constants that are made of it there."""
    before = vars(module)[name]
    if isinstance(before, dict):
        before.clear()
        before.update(after)
        return
    for other in [each for each in list(sys.modules.values()) if vars(each).get(name) is before]:
        setattr(other, name, after)
        for statement in _assignments_of(other, name) if other.__name__.startswith("advisor.") else ():
            for made in _names(statement):
                tree = ast.Module([statement], type_ignores=[])
                _replace(other, made, _value_of(tree, made, other))


def _assignments_of(module: ModuleType, name: str) -> Iterator[ast.stmt]:
    """Assignments of a module whose values name a constant."""
    for statement in _assignments(module.__file__):
        if any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(statement.value)):
            yield statement


@cache
def _assignments(file: str) -> tuple[ast.Assign | ast.AnnAssign, ...]:
    """Assignments of numbers and tables at the top of a module."""
    body = ast.parse(Path(file).read_text(encoding="utf-8")).body
    return tuple(
        statement for statement in body if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value
    )


def _value_of(tree: ast.Module, name: str, module: ModuleType) -> Any:
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and name in _names(statement):
            return eval(compile(ast.Expression(statement.value), module.__file__, "eval"), dict(vars(module)))
    raise LookupError(name)


def function_at(module: ModuleType, place: str) -> FunctionType:
    """The function behind a qualified name, out of properties, caches and class methods."""
    found: Any = module
    for name in place.split("."):
        found = vars(found)[name]
    for inner in ("fget", "func", "__func__", "__wrapped__"):
        found = getattr(found, inner, found)
    return found


def _codes(code: CodeType, place: str) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_qualname == place:
                yield constant
            yield from _codes(constant, place)


def _names(statement: ast.stmt) -> list[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _sites(body: list[ast.stmt], prefix: str, *, constant: bool) -> Iterator[tuple[str, bool, ast.AST]]:
    """(place, whether it is a constant, node) of everything that may be changed, in the order of the text."""
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            yield from _sites(statement.body, f"{prefix}{statement.name}.", constant=constant)
        elif isinstance(statement, ast.FunctionDef):
            for inner in statement.body:
                yield from ((f"{prefix}{statement.name}", False, node) for node in _inside(inner))
        elif not prefix and isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value:
            for name in _names(statement):
                yield from ((name, True, node) for node in _inside(statement.value))


def _inside(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, _LEFT_ALONE) or (isinstance(node, ast.keyword) and node.arg == "strict"):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.AnnAssign) and child is node.annotation):
            yield from _inside(child)


def _changes(node: ast.AST) -> Iterator[tuple[str, Any]]:
    """(what changes, the function that changes it) for one node."""
    match node:
        case ast.BinOp() | ast.BoolOp() if type(node.op) in _OPERATORS:
            yield _swapped(node, "op", node.op)
        case ast.Compare() if len(node.ops) == 1:
            yield _swapped(node, "ops", node.ops[0])
        case ast.UnaryOp(op=ast.Not()):
            yield "not left out", lambda: setattr(node, "operand", ast.UnaryOp(ast.Not(), node.operand))
        case ast.UnaryOp(op=ast.USub()):
            yield "minus left out", lambda: setattr(node, "op", ast.UAdd())
        case ast.IfExp() | ast.If():
            yield "if not", lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in _CALLS:
            field = "id" if isinstance(node.func, ast.Name) else "attr"
            yield f"{name} → {_CALLS[name]}", lambda: setattr(node.func, field, _CALLS[name])
        case ast.Constant(value=int() | float() as value):
            other = not value if isinstance(value, bool) else value + 1
            yield f"{value} → {other}", lambda: setattr(node, "value", other)


def _swapped(node: ast.AST, field: str, operator: ast.AST) -> tuple[str, Any]:
    other = _OPERATORS[type(operator)]
    change = f"{type(operator).__name__} → {other.__name__}"
    return change, lambda: setattr(node, field, [other()] if field == "ops" else other())
