"""The shipped calibration, and one's own measurements on top: near them they count, far from them nothing changes.

The shipped one is made from the measurements of the catalog: same measurements, same bytes.

A second regression of the same kernel, of zero mean and shorter reach, over log(measured ÷ shipped prediction). It has
the longest reach that helps on one's own cells and loads that it has not seen. Cells that others published and one has
not measured oneself keep their predictions to the last bit.
"""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.atomic_files import make_directory, write_bytes
from advisor.calibration import fits
from advisor.calibration.observations import (
    GROUPS,
    QUANTITIES,
    SCENARIO_OF,
    LeftOut,
    Measurement,
    Observations,
    Strings,
    seconds_of,
)
from advisor.calibration.one_pass import document_text, fit_one_pass
from advisor.catalog import Catalog
from advisor.performance.calibration import (
    BASE,
    CONSTANTS,
    DIRECTORY,
    INTERVALS,
    MEASURED,
    OWN,
    PUBLISHED,
    RESIDUAL,
    TARGETS,
    Calibration,
    Group,
    Residual,
    Spread,
    SpreadKey,
    features,
    scaled_features,
)
from advisor.performance.constants import TABLE, ConstantTable, Quantity
from advisor.performance.model import physics_timing
from advisor.performance.physics import Constants, Floats
from advisor.performance.regimes import LOAD_COLUMNS, MeasuredCoverage, architecture
from advisor.records import dataclass, fields, replace
from advisor.tables import read_records
from advisor.units import MS_PER_SECOND

ONE_PASS = "one_pass.json"  # noqa: S105 - a file name
ARRAYS = ("nodes", "mean", "deviation", "relevance", "points", "weights", "linear", "offset")


def rebuild(
    observed: Observations, measurements: Sequence[Measurement], catalog: Catalog, tell: Callable[[str], None]
) -> dict[str, bytes]:  # fmt: skip
    """Content of every file of the calibration, by name; *tell* is told what is done, for there are minutes of it.

    Token models rest on *observed*; models that answer in one pass on those of *measurements* that are theirs.
    """
    held: list[fits.HeldOut] = []
    for split in fits.SPLITS:
        tell(f"predicting what was left out, by {split}")
        held.append(fits.hold_out(observed, split))
    tell("fitting on everything")
    files = files_of(fits.fit(observed), fits.spreads_of(fits.Misses.of(held)), families_of(observed))
    return files | {ONE_PASS: document_text(fit_one_pass(measurements, catalog)).encode()}


def own_files(calibration: Calibration, own: Observations, catalog_directory: Path) -> dict[str, bytes]:
    """A calibration of one's own: the shipped files, what was measured, and what was learned."""
    shipped = {name: (catalog_directory / DIRECTORY / name).read_bytes() for name in (CONSTANTS, INTERVALS, RESIDUAL)}
    rows = read_records(catalog_directory / DIRECTORY / MEASURED)
    families = {row.text("architecture"): row.text("family") for row in rows} | families_of(own)
    measured = _table(_MEASURED_COLUMNS, _measured_rows(calibration.reach, families))
    learned = calibration.own
    arrays = {} if learned is None else _arrays(learned.residuals) | {PUBLISHED: learned.published}
    return shipped | {MEASURED: measured, OWN: _archive(arrays)}


def families_of(observed: Observations) -> dict[str, str]:
    """Family of each architecture."""
    return {architecture(deployment): deployment.family for deployment in observed.deployments}


def files_of(
    calibration: Calibration, spreads: dict[SpreadKey, Spread], families: dict[str, str]
) -> dict[str, bytes]:  # fmt: skip
    """A calibration as files."""
    return {
        CONSTANTS: _table(("of", "name", "value"), _constant_rows(calibration.constants)),
        INTERVALS: _table(
            ("evidence", "scenario", "quantity", "low", "high"),
            [(*key, spread.low, spread.high) for key, spread in spreads.items()],
        ),
        MEASURED: _table(_MEASURED_COLUMNS, _measured_rows(calibration.reach, families)),
        RESIDUAL: _archive(_arrays(calibration.residuals)),
    }


def write_files(files: dict[str, bytes], directory: Path) -> None:
    """Write a calibration, each file in one step. Raises InputError if the directory cannot be written."""
    make_directory(directory)
    for name, content in files.items():
        write_bytes(directory / name, content)


def _arrays(residuals: Mapping[Group, Residual]) -> dict[str, npt.NDArray[Any]]:
    return {f"{group}.{name}": getattr(residual, name) for group, residual in residuals.items() for name in ARRAYS}


def _archive(arrays: dict[str, npt.NDArray[Any]]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def _constant_rows(table: ConstantTable) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = [(BASE, constant.name, table.base[constant.name]) for constant in TABLE]
    rows += [(of, name, value) for of, groups in table.multipliers.items() for name, value in groups.items()]
    return rows


_MEASURED_COLUMNS = (
    "architecture", "family", "accelerator", "stack", "shards", "scenario",
    *(f"{name}_{end}" for name in LOAD_COLUMNS for end in ("low", "high")),
)  # fmt: skip


def _measured_rows(reach: MeasuredCoverage, families: dict[str, str]) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = []
    for (setup, scenario), held in sorted(reach.measured.items()):
        ends = [f"{end:.6g}" for pair in zip(held.low, held.high, strict=True) for end in pair]
        rows.append((setup[0], families[setup[0]], *setup[1:], scenario, *ends))
    return rows


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


IDEAL = {"weight_read": 1.0, "kv_read": 1.0, "gemm": 1.0, "moe_gemm": 1.0}
"""Peak bandwidth and peak arithmetic; everything else costs nothing."""
OVERLAP = 2 ** (1 / 3)
"""The physics' combination of memory and arithmetic time exceeds the larger of them by at most this factor."""
TOLERANCE = 0.97
"""Share of the bound that peaks as published may be off."""
REACHES = (4.0, 2.5, 1.5, 1.0, 0.6)
"""Lengths of the kernel that are tried, longest first."""
NOISE = 0.07
"""Standard deviation, in log, of one's own measurements."""
QUANTITY_OF = {"ttft": Quantity.TTFT, "tpot": Quantity.TPOT}
"""Of a target; the others are times of a throughput."""
Key = tuple[str, str]
"""Scenario and quantity."""


def impossible(observed: Observations) -> list[tuple[int, LeftOut]]:
    """Rows that are faster than the hardware, with the bound.

    It is that of replicas which read each expert that one token needs and no other, at their peaks.
    """
    usual = observed.packed(fits.usual_constants())
    r = usual.replicas
    unread = r.moe_layers * np.maximum(r.experts - r.experts_per_token, 0.0) * r.expert_params
    read = np.maximum(r.params_total - unread, 1.0)
    least = replace(r, params_total=read, experts=np.minimum(r.experts, r.experts_per_token))
    constants = {field.name: np.full(observed.size, IDEAL.get(field.name, 0.0)) for field in fields(Constants)}
    ideal = replace(usual, replicas=least, constants=Constants(**constants))
    left_out: dict[int, LeftOut] = {}
    for group in Group:
        rows = observed.of_group(group)
        if not rows.size:
            continue
        some, packed = observed.take(rows), ideal.take(rows)
        timing = physics_timing(SCENARIO_OF[group], packed.replicas, packed.constants, some.load)
        for target in TARGETS[group]:
            bound = seconds_of(target, timing) / OVERLAP * TOLERANCE
            measured = some.measured_seconds(group, target)
            for at in np.flatnonzero(measured < bound).tolist():
                left_out.setdefault(int(rows[at]), LeftOut(some.where[at], _reason(target, measured[at], bound[at])))
    return sorted(left_out.items())


def _reason(target: str, measured: float, bound: float) -> str:
    words = {"ttft": "time to first token"}.get(target, "time per token")
    return (
        f"{words} of {measured * MS_PER_SECOND:.4g} ms is below {bound * MS_PER_SECOND:.4g} ms, the bound of memory "
        "bandwidth and peak arithmetic: check accelerator, precision, lengths, speculation and cached prompts"
    )


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Median error of a quantity on one's own rows."""

    scenario: str
    quantity: str
    rows: int
    cells: int
    before: float
    """By the shipped calibration."""
    unseen_cell: float | None
    """Learned from the other cells only; None where there is one cell."""
    unseen_point: float | None
    """Learned from all rows of another set-up or load; None where there is one."""


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """A calibration with one's own measurements, and what it is worth."""

    calibration: Calibration
    reach: float | None
    """None where nothing was learned, because nothing would have been better."""
    accuracy: tuple[Accuracy, ...]
    published: tuple[tuple[Key, float, float], ...]
    """Median error on published measurements of other cells, before and after."""


def learn(own: Observations, published: Observations, shipped: Calibration) -> Learned:
    """Learn from one's own rows; see the module."""
    others = published.take(np.flatnonzero(~np.isin(published.cells(), own.cells())))
    before = medians(shipped, others)
    measured = fits.reach_of(own)
    reach = next((ratio for ratio in REACHES if _pays(own, shipped, ratio)), None)
    calibration = shipped.with_own(overlay(own, shipped, reach) if reach else {}, measured)
    after = medians(calibration, others)
    compared = tuple((key, before[key], after[key]) for key in before)
    return Learned(calibration, reach, _accuracy(own, shipped, reach), compared)


def _pays(own: Observations, shipped: Calibration, reach: float) -> bool:
    """Whether a reach helps, or does no harm, on one's own cells and loads that it has not seen."""
    groups = [names for names in (own.cells(), fits.points_of(own)) if np.unique(names).size > 1]
    return all(_total(own, shipped, names, reach) <= _total(own, shipped, names, None) for names in groups)


def _total(own: Observations, shipped: Calibration, names: Strings, reach: float | None) -> float:
    """Sum of absolute log misses of rows predicted without what shares their name."""
    misses = held_out_misses(own, shipped, names, reach)
    return float(sum(np.nansum(np.abs(miss)) for miss in misses.values()))


def held_out_misses(
    own: Observations, shipped: Calibration, names: Strings, reach: float | None
) -> dict[Quantity, Floats]:  # fmt: skip
    """log(measured ÷ predicted) of each row, learned without those that share its name; as shipped without a reach."""
    if reach is None:
        held = fits.predict_rows(shipped, own)
        return {quantity: fits.log_misses(held, quantity) for quantity in QUANTITIES}
    misses = {quantity: np.full(own.size, np.nan) for quantity in QUANTITIES}
    measured = fits.reach_of(own)
    for name in np.unique(names):
        left = np.flatnonzero(names == name)
        rest = own.take(np.flatnonzero(names != name))
        calibration = shipped.with_own(overlay(rest, shipped, reach), measured)
        held = fits.predict_rows(calibration, own.take(left))
        for quantity in QUANTITIES:
            misses[quantity][left] = fits.log_misses(held, quantity)
    return misses


def overlay(own: Observations, shipped: Calibration, reach: float) -> dict[Group, Residual]:
    """The second regression, on some rows."""
    held = fits.predict_rows(shipped, own)
    misses = {quantity: fits.log_misses(held, quantity) for quantity in QUANTITIES}
    arrays = {}
    for group in Group:
        rows = own.of_group(group)
        if rows.size:
            logs = [_target_misses(target, misses)[rows] for target in TARGETS[group]]
            arrays[group] = _fit(own.take(rows), shipped, group, (reach, logs))
    return arrays


def _target_misses(target: str, misses: dict[Quantity, Floats]) -> Floats:
    """Log misses of a target in seconds: a throughput too high is a time too short."""
    quantity = QUANTITY_OF.get(target)
    return misses[quantity] if quantity else -misses[Quantity.THROUGHPUT]


def _fit(own: Observations, shipped: Calibration, group: Group, asked: tuple[float, list[Floats]]) -> Residual:
    reach, logs = asked
    base = shipped.residuals[group]
    relevance = base.relevance * np.float32(fits.LENGTH / reach)
    raw = features(own.packed(shipped.constants), own.load)
    points = scaled_features(raw, base.mean, base.deviation, relevance)
    log_users = np.log(np.maximum(own.load.concurrency, 1.0))
    covariance = fits.AMPLITUDE**2 * fits.NEAR(points.astype(np.float64)) * fits.users_kernel(log_users, log_users)
    share = fits.users_kernel(log_users, np.log(base.nodes))
    weights = np.concatenate([share * _weights(covariance, log)[:, None] for log in logs], axis=1)
    return replace(
        base,
        relevance=relevance,
        points=points.astype(np.float32),
        weights=(fits.AMPLITUDE**2 * weights).astype(np.float32),
        linear=np.zeros_like(base.linear),
        offset=np.zeros_like(base.offset),
    )


def _weights(covariance: Floats, logs: Floats) -> Floats:
    """Weight of each row; 0 for those that were not measured."""
    finite = np.flatnonzero(np.isfinite(logs))
    weights = np.zeros(logs.size)
    if finite.size:
        system = covariance[np.ix_(finite, finite)] + NOISE**2 * np.eye(finite.size)
        weights[finite] = np.linalg.solve(system, logs[finite])
    return weights


def medians(calibration: Calibration, observed: Observations) -> dict[Key, float]:
    """Median error of each quantity in each scenario."""
    held = fits.predict_rows(calibration, observed)
    by_key: dict[Key, float] = {}
    for group, scenario in SCENARIO_OF.items():
        rows = observed.of_group(group)
        for quantity in QUANTITIES:
            error = _errors(fits.log_misses(held, quantity)[rows])
            if error.size:
                by_key[scenario.value, quantity.value] = float(np.median(error))
    return by_key


def _errors(misses: Floats) -> Floats:
    """|predicted ÷ measured - 1| of the rows that were measured."""
    error: Floats = np.abs(np.exp(-misses[np.isfinite(misses)]) - 1)
    return error


def _accuracy(own: Observations, shipped: Calibration, reach: float | None) -> tuple[Accuracy, ...]:
    cells, points = own.cells(), fits.points_of(own)
    ways = [
        held_out_misses(own, shipped, cells, None),
        held_out_misses(own, shipped, cells, reach),
        held_out_misses(own, shipped, points, reach),
    ]
    lines = []
    for group, scenario in SCENARIO_OF.items():
        for quantity in QUANTITIES:
            rows = np.flatnonzero((own.group == GROUPS.index(group)) & np.isfinite(ways[0][quantity]))
            if rows.size:
                before, cell, point = (float(np.median(_errors(way[quantity][rows]))) for way in ways)
                several = [np.unique(names[rows]).size > 1 for names in (cells, points)]
                shown = (cell if several[0] else None, point if several[1] else None)
                count = int(np.unique(cells[rows]).size)
                lines.append(Accuracy(scenario.value, quantity.value, int(rows.size), count, before, *shown))
    return tuple(lines)
