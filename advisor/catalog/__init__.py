"""Accelerators, machines, prices and engines as the catalog's tables state them.

``values`` says what there is, ``readers`` turns tables into values, ``catalog`` finds them by name, ``refresh`` asks
the providers, and ``layers`` puts what they answered, and what was negotiated, over what was shipped.
"""

from advisor.catalog.catalog import Catalog
from advisor.catalog.loading import load_catalog

__all__ = ["Catalog", "load_catalog"]
