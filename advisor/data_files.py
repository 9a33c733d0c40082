"""Locations of ``templates/`` and ``instance_catalog/``: inside the installed package, or beside it in a checkout."""

import json
from pathlib import Path
from typing import Any

PACKAGE_DIR = Path(__file__).resolve().parent
_INSTALLED = PACKAGE_DIR / "_data"


def data_dir(name: str) -> Path:
    """Directory of shipped data, such as ``templates``: of an installed wheel if there is one, else the checkout's."""
    root = _INSTALLED if _INSTALLED.is_dir() else PACKAGE_DIR.parent
    return root / name


def facts_beside(module: str, name: str) -> dict[str, Any]:
    """Facts of a module: the TOML or JSON document of that name beside its file."""
    import tomllib  # noqa: PLC0415 - `recommend` and the agent read none

    text = Path(module).with_name(name).read_text(encoding="utf-8")
    return dict(json.loads(text) if name.endswith(".json") else tomllib.loads(text))
