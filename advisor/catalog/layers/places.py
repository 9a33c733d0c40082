"""Where the layers of the catalog lie on this machine, by the XDG base directory specification."""

import os
from pathlib import Path


def refreshed_dir() -> Path:
    """Snapshots of refreshes: ``$XDG_CACHE_HOME/advisor/catalog``."""
    return _base("XDG_CACHE_HOME", ".cache") / "advisor" / "catalog"


def published_dir() -> Path:
    """Snapshots that others published: ``$XDG_CACHE_HOME/advisor/published``."""
    return _base("XDG_CACHE_HOME", ".cache") / "advisor" / "published"


def imported_dir() -> Path:
    """Snapshots of what was imported from gpuhunt: ``$XDG_CACHE_HOME/advisor/gpuhunt``."""
    return _base("XDG_CACHE_HOME", ".cache") / "advisor" / "gpuhunt"


def overlay_path() -> Path:
    """What the user knows better than any price list: ``$XDG_CONFIG_HOME/advisor/catalog.yaml``."""
    return _base("XDG_CONFIG_HOME", ".config") / "advisor" / "catalog.yaml"


def allowed_signers_path() -> Path:
    """Keys whose signatures a published catalog must bear: ``$XDG_CONFIG_HOME/advisor/allowed_signers``."""
    return _base("XDG_CONFIG_HOME", ".config") / "advisor" / "allowed_signers"


def _base(variable: str, below_home: str) -> Path:
    """A relative path in the variable is ignored, as the specification asks."""
    stated = os.environ.get(variable, "")
    return Path(stated) if stated.startswith("/") else Path.home() / below_home
