"""Sources on a host: one for each vendor, each opened in a process of its own, one for serving engines.

:mod:`advisor.samples.sources.table` names them without importing any.
"""

from collections.abc import Sequence


def counted(names: Sequence[str]) -> str:
    """Counts such as ``7 × HL-225, 1 × Gaudi``, in the order in which the names come first."""
    return ", ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names))
