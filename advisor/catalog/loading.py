"""Which catalog a command works with."""

from dataclasses import replace
from pathlib import Path

from advisor.catalog.catalog import Catalog
from advisor.catalog.layers.layered import LayeredCatalog, layered
from advisor.catalog.layers.places import engines_dir, imported_dirs, overlay_path, published_dir, refreshed_dir
from advisor.catalog.layers.snapshot import current_names
from advisor.data_files import data_dir
from advisor.errors import InputError

_loaded: dict[tuple[object, ...], LayeredCatalog] = {}


def load_catalog(directory: Path | None = None) -> Catalog:
    """The catalog of a directory; without one that of this user with all its layers.

    It is read once as long as none of its layers changes.

    Raises:
        InputError: there is no such directory, or the user's overlay is wrong.
    """
    if directory is not None:
        if not directory.is_dir():
            raise InputError("there is no such catalog directory", where=str(directory))
        return Catalog(directory)
    return user_catalog()


def user_catalog() -> LayeredCatalog:
    """The catalog of this user with all its layers."""
    shipped, overlay = data_dir("instance_catalog"), overlay_path()
    refreshed, imported, published = refreshed_dir(), imported_dirs(), published_dir()
    names = tuple(map(current_names, (refreshed, *imported, published)))
    stamp = (overlay.stat().st_mtime_ns, overlay.stat().st_size) if overlay.is_file() else None
    engines = engines_dir()
    key = (shipped, refreshed, overlay, names, current_names(engines), stamp)
    if key not in _loaded:
        _loaded.clear()
        catalog = layered(shipped, refreshed, overlay, imported=imported, published=published)
        _loaded[key] = replace(catalog, engines_root=engines)
    return _loaded[key]
