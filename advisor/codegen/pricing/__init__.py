"""Cost of Terraform code: the accelerated resources of a plan, priced from the catalog.

::

    plan JSON, or a directory ─▶ sources ─▶ Resources ─▶ rules of each cloud ─▶ Uses ─▶ costs ─▶ infracost | table

A price or a number that is not known is None all the way, and never 0.
"""

from advisor.codegen.pricing.costs import Breakdown, Project, breakdown_of
from advisor.codegen.pricing.infracost import infracost_document, price_table
from advisor.codegen.pricing.sources import CACHES, read_projects

__all__ = ["CACHES", "Breakdown", "Project", "breakdown_of", "infracost_document", "price_table", "read_projects"]
