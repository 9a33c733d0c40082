"""Checks of a generated Python program: every name that it reads is bound, and what it imports of itself exists."""

import ast
import builtins
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from advisor.codegen.generate import Finding

_KNOWN = frozenset(dir(builtins)) | {"__file__", "__name__", "__doc__"}


@dataclass(frozen=True, slots=True)
class Module:
    """One file of a program."""

    path: str
    tree: ast.Module
    bound: frozenset[str]
    """Every name that it binds anywhere: scopes are not told apart."""


def findings_of_python(files: Mapping[str, str]) -> Iterator[Finding]:
    """What is wrong with the Python programs (each lies beside its ``Pulumi.yaml``)."""
    for project in sorted(path for path in files if PurePosixPath(path).name == "Pulumi.yaml"):
        modules = dict(_modules(PurePosixPath(project).parent, files))
        for module in modules.values():
            yield from _unbound(module)
            yield from _imports(module, modules)


def _modules(root: PurePosixPath, files: Mapping[str, str]) -> Iterator[tuple[str, Module]]:
    """Dotted name → file."""
    for path, text in files.items():
        file = PurePosixPath(path)
        if file.suffix == ".py" and file.is_relative_to(root):
            try:
                tree = ast.parse(text)
            except SyntaxError:
                continue  # found with the syntax of all files
            parts = file.relative_to(root).with_suffix("").parts
            yield ".".join(parts).removesuffix(".__init__"), Module(path, tree, _bound(tree))


def _bound(tree: ast.Module) -> frozenset[str]:
    return frozenset(name for node in ast.walk(tree) for name in _binds(node))


def _binds(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from ((one.asname or one.name).partition(".")[0] for one in node.names)
    elif isinstance(node, ast.ExceptHandler) and node.name:
        yield node.name


def _unbound(module: Module) -> Iterator[Finding]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in module.bound | _KNOWN:
            yield Finding(module.path, node.lineno, f"{node.id} is not defined")


def _imports(module: Module, modules: Mapping[str, Module]) -> Iterator[Finding]:
    """Imports of the program's own packages that find nothing."""
    own = {name.partition(".")[0] for name in modules}
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ImportFrom) or (node.module or "").partition(".")[0] not in own:
            continue
        source = modules.get(node.module or "")
        for one in node.names:
            is_there = source is not None and one.name in source.bound
            if not is_there and f"{node.module}.{one.name}" not in modules:
                yield Finding(module.path, node.lineno, f"{node.module} has no {one.name}")
