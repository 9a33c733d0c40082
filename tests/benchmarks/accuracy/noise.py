"""How far two measurements of one set-up under one load differ: no model can be nearer than that."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from errors import percent, table

from advisor.calibration.fits import weighted_quantile
from advisor.calibration.observations import QUANTITIES, SCENARIO_OF, Observations
from advisor.performance.calibration import Group
from advisor.performance.constants import Quantity
from advisor.performance.regimes import setup_key


class Pair(NamedTuple):
    """Two measurements of one set-up under one load."""

    point: int
    """Which set-up and load."""
    first: int
    second: int


REPEATS = ("same version", "other version", "other source")


def noise_table(observed: Observations) -> str:
    """Median and 90th percentile of the differences, each set-up and load counting alike."""
    pairs = [Pair(at, *two) for at, rows in enumerate(_points(observed)) for two in combinations(rows, 2)]
    kinds = [_kind(observed, pair) for pair in pairs]
    lines = [
        _line(observed, what, kind, [pair for pair, found in zip(pairs, kinds, strict=True) if found == kind])
        for what in product(Group, QUANTITIES)
        for kind in REPEATS
    ]
    header = ("scenario", "quantity", "repeated with", "set-ups under a load", "pairs", "median", "p90")
    return table(header, (line for line in lines if line))


def _points(observed: Observations) -> Iterable[list[int]]:
    """Rows of one set-up under one load; versions, dates and sources may differ."""
    points: dict[object, list[int]] = defaultdict(list)
    load = observed.load
    for at, place in enumerate(observed.place.tolist()):
        one = observed.deployments[place]
        split = (one.tensor_parallel, one.pipeline_parallel, one.attention_data_parallel, one.expert_parallel)
        lengths = (load.concurrency[at], load.input_tokens[at], load.output_tokens[at])
        points[setup_key(one), split, one.kv_bytes_per_element, int(observed.group[at]), lengths].append(at)
    return points.values()


def _kind(observed: Observations, pair: Pair) -> str:
    """What differs between two measurements."""
    if observed.sources[pair.first] != observed.sources[pair.second]:
        return REPEATS[2]
    first, second = (observed.deployments[observed.place[at]].engine_version for at in (pair.first, pair.second))
    return REPEATS[0] if first == second else REPEATS[1]


def _line(observed: Observations, what: tuple[Group, Quantity], kind: str, pairs: list[Pair]) -> list[str]:
    group, quantity = what
    measured = np.log(np.where(observed.group == tuple(Group).index(group), observed.measured(quantity), np.nan))
    differences = np.array([abs(measured[pair.first] - measured[pair.second]) for pair in pairs])
    known = np.flatnonzero(np.isfinite(differences))
    if not known.size:
        return []
    crowds = Counter(pairs[at].point for at in known.tolist())
    weights = np.array([1 / crowds[pairs[at].point] for at in known.tolist()])
    quantiles = [float(np.expm1(weighted_quantile(differences[known], weights, share))) for share in (0.5, 0.9)]
    return [
        SCENARIO_OF[group].value, quantity.value, kind, f"{len(crowds)}", f"{known.size:,}", *map(percent, quantiles)
    ]  # fmt: skip
