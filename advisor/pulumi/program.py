"""Generated source as a package of the running program, beside those of other plans."""

import atexit
import hashlib
import importlib
import importlib.util
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from advisor.records import dataclass

_PACKAGE = "inference"
"""As generated programs call theirs."""
_IMPORT = re.compile(rf"^from {_PACKAGE}(?=[. ])", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Program:
    """Modules of a generated program that a component is made from."""

    configuration: Any
    """Module that fills settings."""
    deployment: Any
    """Module of ``Deployment`` and ``DeploymentArgs``."""
    settings: Any
    """Module of ``Settings``."""
    fleet: Any
    """The plan as data."""


def load(files: Mapping[str, str]) -> Program:
    """The package ``inference`` of *files* (path → text), imported; the same text is imported once.

    Raises:
        ImportError: a module that it needs, such as the SDK of its cloud, is not installed.
    """
    source = {path: text for path, text in sorted(files.items()) if path.startswith(f"{_PACKAGE}/")}
    name = f"{_PACKAGE}_{hashlib.sha256(json.dumps(source).encode()).hexdigest()[:16]}"
    if name not in sys.modules:
        _package(name, source)
    return Program(
        configuration=importlib.import_module(f"{name}.configuration"),
        deployment=importlib.import_module(f"{name}.deployment"),
        settings=importlib.import_module(f"{name}.settings"),
        fleet=importlib.import_module(f"{name}.fleet").FLEET,
    )


def _package(name: str, source: Mapping[str, str]) -> ModuleType:
    """The package as files of this process: its modules read the host's script from beside them."""
    directory = Path(tempfile.mkdtemp(prefix=f"{_PACKAGE}-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    for path, text in source.items():
        file = directory / Path(path).name
        file.write_text(_IMPORT.sub(f"from {name}", text) if file.suffix == ".py" else text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(
        name, directory / "__init__.py", submodule_search_locations=[str(directory)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{directory} holds no package")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
