"""Locations of ``templates/`` and ``instance_catalog/``: inside the installed package, or beside it in a checkout."""

from pathlib import Path

PACKAGE_DIR = Path(__file__).resolve().parent
_INSTALLED = PACKAGE_DIR / "_data"


def data_dir(name: str) -> Path:
    """Directory of shipped data.

    Args:
        name: ``templates`` or ``instance_catalog``.

    Returns:
        The directory inside an installed wheel if there is one, else the one in the checkout.
    """
    root = _INSTALLED if _INSTALLED.is_dir() else PACKAGE_DIR.parent
    return root / name
