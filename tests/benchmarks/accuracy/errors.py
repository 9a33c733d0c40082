"""Errors of held-out predictions, by scenario and quantity, and how often the 80 % interval holds what was measured."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from advisor.calibration.fits import HeldOut, Misses, folds_of, log_misses, spreads_of, weighted_quantile
from advisor.calibration.observations import QUANTITIES, SCENARIO_OF, Indices, Observations
from advisor.performance import Scenario
from advisor.performance.calibration import Group
from advisor.performance.constants import Quantity
from advisor.performance.evidence import CLASSES
from advisor.performance.physics import Floats

SWEEPS = "aiconfigurator"
"""Source of the sweeps over users of one vendor; they are most rows of the closed loop and hardly any of its cells."""
TARGETS = {
    "cell": {
        (Group.LOOP, Quantity.TPOT): "≤ 10 / ≤ 35 %",
        (Group.LOOP, Quantity.TTFT): "≤ 25 %",
        (Group.LOOP, Quantity.THROUGHPUT): "≤ 10 %",
        (Group.SATURATED, Quantity.THROUGHPUT): "≤ 15 %",
    },
    "accelerator": dict.fromkeys(
        (
            *((Group.LOOP, quantity) for quantity in (Quantity.TPOT, Quantity.THROUGHPUT)),
            *((group, Quantity.THROUGHPUT) for group in (Group.BATCH, Group.STREAM, Group.SATURATED)),
        ),
        "≤ 20 %",
    ),
}
"""Median (and 90th percentile) over cells."""
HEADER = (
    "scenario", "quantity", "rows", "cells", "physics, rows", "median, rows", "p90, rows", "median, cells",
    "p90, cells", *(f"held: {one}" for one in CLASSES), "target, cells",
)  # fmt: skip

Inside = Mapping[tuple[str, Quantity], Floats]
"""By split: whether each row is within its interval; NaN where it was not measured."""


@dataclass(frozen=True, slots=True)
class Errors:
    """|predicted ÷ measured - 1|."""

    rows: int
    cells: int
    median_of_rows: float
    p90_of_rows: float
    median_of_cells: float
    p90_of_cells: float

    @classmethod
    def of(cls, relative: Floats, cells: Sequence[str]) -> "Errors":
        """Over rows, and with every cell counting alike however many rows it has."""
        crowds = Counter(cells)
        weights = np.array([1 / crowds[cell] for cell in cells])
        quantiles = [
            weighted_quantile(relative, some, share)
            for some in (np.ones_like(weights), weights)
            for share in (0.5, 0.9)
        ]
        return cls(len(cells), len(crowds), *quantiles)

    def cells_of_table(self) -> list[str]:
        """As the columns of a table."""
        numbers = (self.median_of_rows, self.p90_of_rows, self.median_of_cells, self.p90_of_cells)
        return [f"{self.rows:,}", f"{self.cells}", *map(percent, numbers)]


def percent(share: float) -> str:
    """As a table shows it."""
    return "" if np.isnan(share) else f"{share:.1%}".replace("%", " %")


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table that people and Markdown read."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    lines.insert(1, ["-" * width for width in widths])
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in padded)


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


def inside_intervals(held: Mapping[str, HeldOut], folds: int) -> Inside:
    """Whether rows are within the intervals that other cells give their class of evidence.

    Intervals rest on all splits together, as the shipped ones do: a class is filled by the split that leaves it.
    """
    misses = Misses.of(held.values())
    inside = coverage(misses, folds_of(misses.cells, folds).tolist())
    found, at = {}, 0
    for split, one in held.items():
        for quantity in QUANTITIES:
            rows = np.flatnonzero(np.isfinite(log_misses(one, quantity)))
            found[split, quantity] = np.full(one.observed.size, np.nan)
            found[split, quantity][rows] = inside[at : at + rows.size]
            at += rows.size
    return found


def parts_of(observed: Observations) -> Iterator[tuple[str, Group, Indices]]:
    """Name, group and rows of each part of a table."""
    sweeps = observed.sources == SWEEPS
    for group in Group:
        rows, name = observed.of_group(group), SCENARIO_OF[group].value
        yield name, group, rows
        if group is Group.LOOP:
            yield f"{name}, sweeps", group, rows[sweeps[rows]]
            yield f"{name}, others", group, rows[~sweeps[rows]]


def error_table(split: str, held: HeldOut, inside: Inside) -> str:
    """Errors of one split."""
    lines, cells = [], held.observed.cells()
    for name, group, rows in parts_of(held.observed):
        for quantity in QUANTITIES:
            measured = held.observed.measured(quantity)
            known = rows[np.isfinite(measured[rows] / held.predicted[quantity][rows])]
            if not known.size:
                continue
            by_physics, error = (
                np.abs(some[quantity][known] / measured[known] - 1) for some in (held.physics, held.predicted)
            )
            numbers = Errors.of(error, cells[known].tolist()).cells_of_table()
            numbers.insert(2, percent(float(np.median(by_physics))))
            held_by_class = _by_class(inside[split, quantity][known], held.evidence[known])
            target = TARGETS.get(split, {}).get((group, quantity), "")
            lines.append([name, quantity.value, *numbers, *held_by_class, target])
    return table(HEADER, lines)


def _by_class(inside: Floats, evidence: Indices) -> list[str]:
    """Share that the interval holds, with the rows, by class of evidence."""
    cells = []
    for at in range(len(CLASSES)):
        some = inside[evidence == at]
        cells.append(f"{percent(float(some.mean()))} of {some.size:,}" if some.size else "")
    return cells


def coverage_table(held: Mapping[str, HeldOut], inside: Inside) -> str:
    """Share of the rows of all splits together that the interval holds, by scenario, quantity and class."""
    lines = []
    observed = next(iter(held.values())).observed
    groups = [(SCENARIO_OF[group].value, observed.of_group(group)) for group in Group]
    for name, rows in [*groups, ("all", np.arange(observed.size))]:
        for quantity in QUANTITIES:
            found = np.concatenate([inside[split, quantity][rows] for split in held])
            evidence = np.concatenate([one.evidence[rows] for one in held.values()])
            known = np.isfinite(found)
            if known.any():
                lines.append([name, quantity.value, *_by_class(found[known], evidence[known])])
    return table(("scenario", "quantity", *CLASSES), lines)
