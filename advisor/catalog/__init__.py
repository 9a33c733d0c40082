"""Accelerators, machines, prices and engines as the catalog's tables state them.

``values`` says what there is, ``readers`` turns tables into values, ``catalog`` finds them by name, ``refresh`` asks
the providers, and ``layers`` puts what they answered, and what was negotiated, over what was shipped.
"""

import os
from pathlib import Path

from advisor.catalog.catalog import Catalog
from advisor.catalog.layers.layered import LayeredCatalog, layered
from advisor.catalog.layers.snapshot import current_names
from advisor.data_files import data_dir
from advisor.errors import InputError
from advisor.records import replace

GPUHUNT, SKYPILOT = "gpuhunt", "skypilot"
PROGRAMS = (GPUHUNT, SKYPILOT)
"""Programs whose lists can be imported."""
_loaded: dict[tuple[object, ...], LayeredCatalog] = {}


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


def load_catalog(directory: Path | str | None = None) -> Catalog:
    """The catalog of a directory; without one that of this user with all its layers.

    It is read once as long as none of its layers changes. Raises InputError if there is no such directory, or the
    user's overlay is wrong.
    """
    if directory is not None:
        if not Path(directory).is_dir():
            raise InputError("there is no such catalog directory", where=str(directory))
        return Catalog(Path(directory))
    return user_catalog()


def user_catalog() -> LayeredCatalog:
    """The catalog of this user with all its layers."""
    shipped, overlay = data_dir("instance_catalog"), overlay_path()
    refreshed, imported, published = refreshed_dir(), tuple(map(imported_dir, PROGRAMS)), published_dir()
    names = tuple(map(current_names, (refreshed, *imported, published)))
    stamp = (overlay.stat().st_mtime_ns, overlay.stat().st_size) if overlay.is_file() else None
    engines = engines_dir()
    key = (shipped, refreshed, overlay, names, current_names(engines), stamp)
    if key not in _loaded:
        _loaded.clear()
        catalog = layered(shipped, refreshed, overlay, imported=imported, published=published)
        _loaded[key] = replace(catalog, engines_root=engines)
    return _loaded[key]


__all__ = ["Catalog", "load_catalog"]
