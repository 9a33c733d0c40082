"""The plan's instance types and counts, written into Terraform that somebody else wrote.

::

    DIR ─▶ project ─▶ rules (which arguments of an address) ─▶ resolving (where each value is written) ─▶ edits ─▶ patch
"""

from advisor.codegen.applying.addresses import Target, targets_of
from advisor.codegen.applying.apply import Application, apply_all, apply_to, united, write_application

__all__ = ["Application", "Target", "apply_all", "apply_to", "targets_of", "united", "write_application"]
