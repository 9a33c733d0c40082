"""Fills the wheel with the modules that the agent imports, and the data files beside them; there is no list to keep."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = Path(__file__).resolve().parents[2]
PLACE = "inference_advisor_agent"
ROOTS = ("advisor.samples.agent.command", "advisor.samples.agent.__main__")
_NAMED_MODULE = re.compile(r"advisor(?:\.\w+)+(?=:\w+$|$)")
"""A module that is imported by its name when it is used."""


class ModulesOfTheAgent(BuildHookInterface[Any]):
    """Adds them where ``inference_advisor_agent`` looks for ``advisor``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Name every file and its place."""
        build_data["force_include"] |= {
            str(path): f"{PLACE}/{path.relative_to(PACKAGE.parent).as_posix()}" for path in files_of_the_agent()
        }
        build_data["force_include"][str(PACKAGE.parent / "LICENSE")] = f"{PLACE}/LICENSE"


def files_of_the_agent() -> list[Path]:
    """Modules that the roots import, directly or not, with the packages that they are in and the tables of these."""
    waiting, modules = list(ROOTS), set[Path]()
    while waiting:
        name = waiting.pop()
        path = _file_of(name)
        if path is not None and path not in modules:
            modules.add(path)
            if path != PACKAGE / "__init__.py":  # it offers the library, which the agent does not use
                waiting += [name.rpartition(".")[0], *_imports(path.read_text(encoding="utf-8"))]
    tables = [table for path in modules if path.parent != PACKAGE for table in path.parent.glob("*.csv")]
    return sorted({*modules, *tables})


def _file_of(module: str) -> Path | None:
    """File of a module; None for a name that is none."""
    if not module:
        return None
    path = PACKAGE.joinpath(*module.split(".")[1:])
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _imports(text: str) -> Iterator[str]:
    """Modules of this project that a module names."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] == "advisor":
                yield module
                yield from (f"{module}.{alias.name}" for alias in node.names)
            case ast.Import():
                yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "advisor")
            case ast.Constant(value=str(value)) if named := _NAMED_MODULE.match(value):
                yield named[0]
