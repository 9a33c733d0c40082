"""Accelerators, machines, prices and engines as the catalog's tables state them.

``values`` says what there is, ``readers`` turns tables into values, ``catalog`` finds them by name.
"""

from advisor.catalog.catalog import Catalog, load_catalog

__all__ = ["Catalog", "load_catalog"]
