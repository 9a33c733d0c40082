"""80 % intervals from predictions of what was left out: split conformal (Vovk et al. 2005), by class of evidence.

Each held-out row gets the class that it would have had for a user: where its very set-up was measured elsewhere, where
accelerator and family were, or neither. A class is as wide as the rows of its own kind were off.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from advisor.calibration.observations import GROUPS, QUANTITIES, SCENARIO_OF, Indices, Strings
from advisor.calibration.validation import HeldOut, log_misses, weighted_quantile
from advisor.performance.calibration import Spread, SpreadKey
from advisor.performance.constants import Quantity
from advisor.performance.evidence import CLASSES
from advisor.performance.physics import Floats
from advisor.performance.values import Evidence, Scenario

TAIL = 0.1
"""Share of measurements beyond each end."""
FEWEST = 30
"""Rows below which a class borrows the rows of the others; a scenario without any borrows those of all scenarios."""
FEWEST_CELLS = 10
"""Cells below which a split counts less than the others."""
LIKE = {
    (Scenario.SINGLE_STREAM, Quantity.TTFT): (Scenario.FIXED_BATCH, Quantity.TTFT),
    (Scenario.SATURATED, Quantity.TTFT): (Scenario.FIXED_BATCH, Quantity.TTFT),
    (Scenario.SINGLE_STREAM, Quantity.TPOT): (Scenario.SINGLE_STREAM, Quantity.THROUGHPUT),
    (Scenario.SATURATED, Quantity.TPOT): (Scenario.SATURATED, Quantity.THROUGHPUT),
}
"""What was hardly measured under a load errs as its counterpart does; a time as the inverse of a rate."""
DIGITS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Misses:
    """Every held-out row of every split: how far it was off, in log, and in which class."""

    log_miss: Floats
    evidence: Indices
    scenario: Indices
    """Position in the scenarios."""
    quantity: Indices
    cells: Strings
    split: Indices
    """Which split left the row out."""

    @classmethod
    def of(cls, held_outs: Iterable[HeldOut]) -> "Misses":
        """Gather those that were measured."""
        parts = [_part(held, split, quantity) for split, held in enumerate(held_outs) for quantity in QUANTITIES]
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def take(self, chosen: Indices) -> "Misses":
        """Some of the rows."""
        return Misses(*(getattr(self, name)[chosen] for name in self.__slots__))


def _part(
    held: HeldOut, split: int, quantity: Quantity
) -> tuple[Floats, Indices, Indices, Indices, Strings, Indices]:  # fmt: skip
    misses = log_misses(held, quantity)
    rows = np.flatnonzero(np.isfinite(misses))
    observed = held.observed
    scenarios = [list(Scenario).index(SCENARIO_OF[group]) for group in GROUPS]
    scenario = np.array(scenarios, dtype=np.intp)[observed.group[rows]]
    at, split_of = (np.full(rows.size, one, dtype=np.intp) for one in (QUANTITIES.index(quantity), split))
    return misses[rows], held.evidence[rows], scenario, at, observed.cells()[rows], split_of


def spreads_of(misses: Misses) -> dict[SpreadKey, Spread]:
    """Factors for every class, scenario and quantity."""
    return {
        (evidence, scenario, quantity): _spread(misses, evidence, scenario, quantity)
        for evidence in CLASSES
        for scenario in Scenario
        for quantity in QUANTITIES
    }


def _spread(misses: Misses, evidence: Evidence, scenario: Scenario, quantity: Quantity) -> Spread:
    like = LIKE.get((scenario, quantity), (scenario, quantity))
    asked = misses.scenario == list(Scenario).index(like[0])
    alike = misses.quantity == QUANTITIES.index(like[1])
    rows = np.flatnonzero(asked & alike if (asked & alike).any() else alike)
    own = rows[misses.evidence[rows] == CLASSES.index(evidence)]
    low, high = ends(misses, own if own.size >= FEWEST else rows)
    inverted = (quantity is Quantity.THROUGHPUT) != (like[1] is Quantity.THROUGHPUT)
    return Spread(*(float(f"{end:.{DIGITS}g}") for end in ((1 / high, 1 / low) if inverted else (low, high))))


def ends(misses: Misses, rows: Indices) -> tuple[float, float]:
    """Factors between which 80 % of the rows lie; crowded cells are weighted down, and splits count alike.

    What is asked is of another cell, another accelerator or another client, and nobody knows which; the largest split
    must not speak for the others. One of a few cells counts less.
    """
    names = list(zip(misses.split[rows].tolist(), misses.cells[rows].tolist(), strict=True))
    crowds = Counter(names)
    weights = np.array([crowds[name] ** -0.5 for name in names])
    for split in np.unique(misses.split[rows]):
        mine = misses.split[rows] == split
        cells = np.unique(misses.cells[rows[mine]]).size
        weights[mine] *= min(1.0, cells / FEWEST_CELLS) / weights[mine].sum()
    values = misses.log_miss[rows]
    return (
        min(float(np.exp(weighted_quantile(values, weights, TAIL))), 1.0),
        max(float(np.exp(weighted_quantile(values, weights, 1 - TAIL))), 1.0),
    )


def coverage(misses: Misses, folds: Sequence[int]) -> Floats:
    """Whether each row lies within the interval that the rows of the other folds give its class."""
    inside = np.zeros(misses.log_miss.size)
    fold = np.asarray(folds)
    for at in np.unique(fold):
        spreads = spreads_of(misses.take(np.flatnonzero(fold != at)))
        for row in np.flatnonzero(fold == at).tolist():
            key = CLASSES[misses.evidence[row]], list(Scenario)[misses.scenario[row]], QUANTITIES[misses.quantity[row]]
            factor = np.exp(misses.log_miss[row])
            inside[row] = spreads[key].low <= factor <= spreads[key].high
    return inside
