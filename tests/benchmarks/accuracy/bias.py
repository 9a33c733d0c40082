"""Where held-out errors come from: how much of them a cell, an engine or a source has in common."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from errors import percent, table

from advisor.calibration.fits import HeldOut, log_misses
from advisor.calibration.observations import SCENARIO_OF, Indices, Strings
from advisor.performance.calibration import Group
from advisor.performance.constants import Quantity
from advisor.performance.physics import Floats

JUDGED = (
    (Group.LOOP, Quantity.TPOT),
    (Group.LOOP, Quantity.TTFT),
    (Group.LOOP, Quantity.THROUGHPUT),
    (Group.BATCH, Quantity.THROUGHPUT),
    (Group.STREAM, Quantity.THROUGHPUT),
    (Group.SATURATED, Quantity.THROUGHPUT),
)
"""What is looked into."""
WORST = 8
"""Parts that are printed of each quantity."""


def common_table(held: HeldOut) -> str:
    """Median error of rows as it is, and with what each part has in common taken away: the rest is shape and noise."""
    cells, engines, sources = _names(held)
    parts = {
        "source": sources,
        "source, engine": _joined(sources, engines),
        "cell, engine": _joined(cells, engines),
        "cell, engine, source": _joined(cells, engines, sources),
    }
    lines = []
    for group, quantity in JUDGED:
        rows, misses = _known(held, group, quantity)
        rests = [_size(misses - _levels(misses, names[rows])) for names in parts.values()]
        lines.append([SCENARIO_OF[group].value, quantity.value, *map(percent, (_size(misses), *rests))])
    return table(("scenario", "quantity", "median, rows", *(f"without its {name}" for name in parts)), lines)


def worst_table(held: HeldOut) -> str:
    """The cells and engines that miss the most, and by how much they miss in common."""
    cells, engines, sources = _names(held)
    names = _joined(cells, engines, sources)
    lines = (line for what in JUDGED for line in _worst(held, what, names))
    return table(("scenario", "quantity", "cell, engine, source", "rows", "median", "in common"), lines)


def _worst(held: HeldOut, what: tuple[Group, Quantity], names: Strings) -> Iterator[list[str]]:
    rows, misses = _known(held, *what)
    parts: dict[str, list[float]] = defaultdict(list)
    for name, miss in zip(names[rows].tolist(), misses.tolist(), strict=True):
        parts[name].append(miss)
    found = sorted(((_size(np.array(some)), name) for name, some in parts.items()), reverse=True)
    for size, name in found[:WORST]:
        common = float(np.expm1(-np.median(parts[name])))
        sizes = f"{len(parts[name])}", percent(size), ("+" if common > 0 else "") + percent(common)
        yield [SCENARIO_OF[what[0]].value, what[1].value, name.replace(" | ", " on "), *sizes]


def _names(held: HeldOut) -> tuple[Strings, Strings, Strings]:
    return held.observed.cells(), held.observed.engines(), held.observed.sources


def _joined(*columns: Strings) -> Strings:
    return np.array([", ".join(filter(None, row)) for row in zip(*(one.tolist() for one in columns), strict=True)])


def _known(held: HeldOut, group: Group, quantity: Quantity) -> tuple[Indices, Floats]:
    """Rows of a group that were measured, and log(measured ÷ predicted) of each."""
    misses, rows = log_misses(held, quantity), held.observed.of_group(group)
    rows = rows[np.isfinite(misses[rows])]
    return rows, misses[rows]


def _levels(misses: Floats, names: Strings) -> Floats:
    """Median miss of each row's part."""
    of_name = {name: float(np.median(misses[names == name])) for name in np.unique(names)}
    return np.array([of_name[name] for name in names])


def _size(misses: Floats | Sequence[float]) -> float:
    """Median of |predicted ÷ measured - 1|."""
    return float(np.median(np.abs(np.expm1(-np.asarray(misses)))))
