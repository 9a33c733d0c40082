"""Where the layers of the catalog lie on this machine, by the XDG base directory specification."""

import os
from pathlib import Path

GPUHUNT, SKYPILOT = "gpuhunt", "skypilot"
PROGRAMS = (GPUHUNT, SKYPILOT)
"""Programs whose lists can be imported."""


def refreshed_dir() -> Path:
    """Snapshots of refreshes: ``$XDG_CACHE_HOME/advisor/catalog``."""
    return _base("XDG_CACHE_HOME", ".cache") / "advisor" / "catalog"


def published_dir() -> Path:
    """Snapshots that others published: ``$XDG_CACHE_HOME/advisor/published``."""
    return _base("XDG_CACHE_HOME", ".cache") / "advisor" / "published"


def published_origin() -> Path:
    """File that says where the last published catalog came from; there is none before the first."""
    return published_dir() / "origin"


def imported_dir(program: str = GPUHUNT) -> Path:
    """Snapshots of what was imported from another program: ``$XDG_CACHE_HOME/advisor/<program>``."""
    return _base("XDG_CACHE_HOME", ".cache") / "advisor" / program


def imported_dirs() -> tuple[Path, ...]:
    """Directories of imports of every program."""
    return tuple(map(imported_dir, PROGRAMS))


def engines_dir() -> Path:
    """Snapshots of engine releases: ``$XDG_CACHE_HOME/advisor/engines``."""
    return _base("XDG_CACHE_HOME", ".cache") / "advisor" / "engines"


def overlay_path() -> Path:
    """Path of the user's own prices and terms: ``$XDG_CONFIG_HOME/advisor/catalog.yaml``."""
    return _base("XDG_CONFIG_HOME", ".config") / "advisor" / "catalog.yaml"


def allowed_signers_path() -> Path:
    """Keys whose signatures a published catalog must bear: ``$XDG_CONFIG_HOME/advisor/allowed_signers``."""
    return _base("XDG_CONFIG_HOME", ".config") / "advisor" / "allowed_signers"


def _base(variable: str, below_home: str) -> Path:
    """A relative path in the variable is ignored, as the specification asks."""
    stated = os.environ.get(variable, "")
    return Path(stated) if stated.startswith("/") else Path.home() / below_home
