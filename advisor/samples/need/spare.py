"""Accelerators that would do for what some of them are used."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from advisor.records import dataclass
from advisor.samples.need.assess import AcceleratorNeed
from advisor.samples.need.limits import WORKING

FEWEST = 2
"""Machines that stay where several run, so that any one may fail."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Oversized:
    """Accelerators of one product, in hosts that have as many each, that are more than their load needs."""

    product: str
    hosts: Sequence[str]
    accelerators: int
    busy_p95: float
    """Mean over them of the use in the busiest twentieth of the time."""
    enough: int
    """Accelerators that would do."""


def enough_accelerators(uses: Iterable[float], hosts: int = 1) -> int:
    """Accelerators that carry some uses, each busy so much that nothing is to spare: ⌈sum of uses / 0.8⌉.

    Args:
        uses: p95 of the time in which each accelerator worked, 0..1; of several together their sum.
        hosts: that they are in; of several two keep an accelerator, so that one may fail.
    """
    return max(1, min(hosts, FEWEST), math.ceil(sum(uses) / WORKING.value - _ROUNDING))


def oversized(needs: Sequence[AcceleratorNeed]) -> list[Oversized]:
    """Products of which fewer accelerators would do, hosts of one size taken together; idle ones are spare too.

    Those whose use is not known, and those that MIG divides, are in none.
    """
    whole = [(need, use) for need in needs if need.who.mig_index is None and (use := need.used_p95) is not None]
    sizes = Counter(need.who.host for need, _ in whole)

    def size_of(entry: tuple[AcceleratorNeed, float]) -> tuple[str, int]:
        who = entry[0].who
        return who.product or "", sizes[who.host]

    answers = []
    for (product, _), group in groupby(sorted(whole, key=size_of), size_of):
        entries = list(group)
        hosts = list(dict.fromkeys(need.who.host for need, _ in entries))
        uses = [min(use, 1.0) for _, use in entries]
        enough = enough_accelerators(uses, len(hosts))
        if enough < len(uses):
            answers.append(Oversized(product, hosts, len(uses), sum(uses) / len(uses), enough))
    return answers
