"""The calibration that predictions rest on, read from files: constants, learned residual, intervals, what was measured.

All of it is data: CSV tables and one archive of plain arrays, written by ``advisor calibrate --rebuild`` from the
measurements of the catalog. Nothing here needs scikit-learn.

No feature of the residual names a model or an accelerator. None depends on the number of users, which is an axis of its
own, nor on the memory bandwidth: wherever a time would contain it, one in fixed proportion to the arithmetic peak
stands in. The residual is therefore the same at any bandwidth, and predictions keep the physics' monotony in it.

Gaussian-process regression (Rasmussen and Williams 2006, 2.2) with the kernel (a² Matérn-3/2 over features + b² linear)
× (share + (1 - share) Matérn-3/2 over log users), reduced to a few inducing points (subset of regressors, 8.3.1). Far
from every measurement it returns to the mean residual. What is kept are the points and, for each target and each node
of the users axis, one weight a point: evaluating it is one distance matrix and one product.
"""

import hashlib
import io
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.data_files import data_dir
from advisor.errors import InputError
from advisor.performance import Evidence, Scenario
from advisor.performance.constants import ConstantTable, Quantity
from advisor.performance.deployments import SIZES, TRAITS, Packed
from advisor.performance.physics import (
    Floats,
    Replicas,
    decode_parts,
    marginal_prefill_seconds,
    memory_batch,
    prefill_parts,
)
from advisor.performance.regimes import Load, MeasuredCoverage, of_processors
from advisor.reading import RESULT_FILE
from advisor.records import dataclass, replace
from advisor.tables import read_records

Floats32 = npt.NDArray[np.float32]
Reals = npt.NDArray[np.floating[Any]]
"""In whichever precision: single when predicting, double when fitting."""

NODES: Floats = np.array([1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0])
"""Users at which the residual is evaluated; between them it is interpolated in their logarithm."""
CLIP = 4.0
"""Standard deviations beyond which a feature makes no more difference."""
MIN_RISE = 1e-12
"""Difference of two places below which they are taken as one."""
CHUNK_ROWS = 512
"""Rows worked on at a time: their distances stay in the cache of one core."""


@dataclass(frozen=True, slots=True, eq=False)
class Residual:
    """One regression for targets that share features; see the module."""

    targets: tuple[str, ...]
    nodes: Floats
    mean: Floats32
    """Of each feature."""
    deviation: Floats32
    """Standard deviation of each feature."""
    relevance: Floats32
    """Of each feature: √3 ÷ length of the kernel along it."""
    points: Floats32
    """Inducing points, scaled, (m, features)."""
    weights: Floats32
    """(m, targets × nodes)."""
    linear: Floats32
    """(features, targets × nodes)."""
    offset: Floats32
    """(targets × nodes)."""

    def at_nodes(self, features: Floats32) -> Floats:
        """Log factors, shape (n, targets, nodes)."""
        values = np.empty((features.shape[0], self.offset.size), dtype=np.float32)
        for start in range(0, features.shape[0], CHUNK_ROWS):
            scaled = scaled_features(features[start : start + CHUNK_ROWS], self.mean, self.deviation, self.relevance)
            near = matern(scaled, self.points)
            values[start : start + CHUNK_ROWS] = near @ self.weights + scaled @ self.linear + self.offset
        return values.astype(np.float64).reshape(-1, len(self.targets), self.nodes.size)


def scaled_features(features: Reals, mean: Reals, deviation: Reals, relevance: Reals) -> Reals:
    """Features in units of the kernel's length; outliers are drawn in."""
    scaled: Reals = np.clip((features - mean) / deviation, -CLIP, CLIP) * relevance
    return scaled


def matern(a: Reals, b: Reals) -> Reals:
    """Matérn-3/2 of all pairs: (1 + q) exp(-q), with the distance q in units that hold √3 ÷ length."""
    q: Reals = (-2 * a) @ b.T
    q += (a * a).sum(1)[:, None]
    q += (b * b).sum(1)
    np.sqrt(np.maximum(q, 0, out=q), out=q)
    near: Reals = np.negative(q)
    np.exp(near, out=near)
    q += 1
    near *= q
    return near


def monotone(rows: Floats) -> Floats:
    """Each row made non-decreasing: the mean of its running maximum and of its running minimum from the right.

    A row that rises everywhere stays as it is; of two rows the larger one stays the larger.
    """
    upper = np.maximum.accumulate(rows, axis=1)
    lower = np.minimum.accumulate(rows[:, ::-1], axis=1)[:, ::-1]
    result: Floats = (upper + lower) / 2
    return result


def monotone_from(rows: Floats) -> Floats:
    """The same with the first entry of each row left as it is, and no later one below it."""
    rest = np.maximum(monotone(rows[:, 1:]), rows[:, :1])
    return np.concatenate([rows[:, :1], rest], axis=1)


def along(at: Floats, places: Floats, values: Floats) -> Floats:
    """Value of each row at its place, linear between the row's own places, with slope 1 beyond the ends."""
    segment = np.clip((places <= at[:, None]).sum(axis=1) - 1, 0, places.shape[1] - 2)
    row = np.arange(at.size)
    start, width = places[row, segment], places[row, segment + 1] - places[row, segment]
    share = np.clip((at - start) / np.maximum(width, MIN_RISE), 0.0, 1.0)
    inside = values[row, segment] * (1 - share) + values[row, segment + 1] * share
    result: Floats = inside + np.maximum(at - places[:, -1], 0.0) + np.minimum(at - places[:, 0], 0.0)
    return result


FLOP_PER_BYTE = 300.0
"""Stand-in for the bandwidth: 16-bit FLOP per byte of memory traffic, as on an H100-SXM."""
FEW, MANY = 1.0, 64.0
"""Batches at which the parts of a step are compared."""
MOST_SEQUENCES = 2048.0
"""Cache beyond this many sequences makes no difference."""
USUAL_ANSWER = 512.0
"""Output tokens that stand in for a lone user's: its first token is there before its answer is."""
FIRST = "ttft"
"""Name of the target that depends on the length of other users' answers only."""
PARTS = ("weights", "arithmetic", "cache", "messages", "overhead")
NUMBERS = (
    *(f"{part}_share_at_{batch:.0f}" for batch in (FEW, MANY) for part in PARTS),
    "prefill_arithmetic_share", "prefill_messages_share", "prefill_overhead_share", "prefill_share_at_64",
    "log_prefill", "log_step_at_1", "log_step_at_64", "log_input", "log_output", "log_cached_sequences",
)  # fmt: skip
FEATURES = (*NUMBERS, *SIZES, *TRAITS)


def without_bandwidth(r: Replicas) -> Replicas:
    """The same replicas with a bandwidth in fixed proportion to their arithmetic peak, whatever the kernels."""
    return replace(r, bandwidth=r.attention_flops / FLOP_PER_BYTE, few_flops=r.flops)


def without_pictures(r: Replicas) -> Replicas:
    """The same replicas for text alone, which is what factors were learned from."""
    return replace(r, picture_flop=np.zeros_like(r.picture_flop), picture_pixels=np.zeros_like(r.picture_pixels))


def without_adapters(r: Replicas) -> Replicas:
    """The same replicas without LoRA adapters: nothing was learned with any."""
    if not r.adapters.any():
        return r
    none, ones = np.zeros_like(r.adapters), np.ones_like(r.adapters)
    return replace(r, adapters=none, adapter_bytes=none, adapter_step_ratio=ones, adapter_copy_s=none)


def features_of(target: str, packed: Packed, load: Load) -> npt.NDArray[np.float32]:
    """Features that one target is learned from, (n, features): the first token of a lone user ignores its answer."""
    if target != FIRST:
        return features(packed, load)
    answers = np.where(load.concurrency > 1, load.output_tokens, USUAL_ANSWER)
    return features(packed, replace(load, output_tokens=answers))


def features(packed: Packed, load: Load) -> npt.NDArray[np.float32]:
    """Features of each entry, shape (n, features); the load's concurrency is not looked at."""
    r, c = without_pictures(without_adapters(without_bandwidth(packed.replicas))), packed.constants
    context = load.input_tokens + load.output_tokens / 2
    few, many = (decode_parts(r, c, np.full_like(context, batch), context) for batch in (FEW, MANY))
    prefill = prefill_parts(r, c, load.input_tokens, load.cached_tokens)
    alone = sum(prefill.values())
    step_few, step_many = sum(few.values()), sum(many.values())
    busy = MANY * marginal_prefill_seconds(r, c, load.input_tokens, load.cached_tokens)
    columns = [parts[name] / step for parts, step in ((few, step_few), (many, step_many)) for name in PARTS]
    columns += [prefill[name] / alone for name in ("arithmetic", "messages", "overhead")]
    cached = np.minimum(memory_batch(r, context), MOST_SEQUENCES)
    columns.append(busy / (busy + load.output_tokens * step_many))
    columns += map(np.log, (alone, step_few, step_many, load.input_tokens + 1, load.output_tokens + 1, cached))
    table = np.empty((context.size, len(FEATURES)), dtype=np.float32)
    for at, column in enumerate(columns):
        table[:, at] = column
    table[:, len(columns) :] = packed.fixed[packed.origin]
    return table


Strings = npt.NDArray[np.str_]

DIRECTORY = "calibration"
CONSTANTS, INTERVALS, MEASURED, RESIDUAL = "constants.csv", "intervals.csv", "measured.csv", "residual.npz"
OWN, PUBLISHED = "own.npz", "published"
"""Only in a calibration of one's own; and its list of cells that others published."""
BASE = "all"
"""Name of the rows of constants that hold for every engine and stack."""


class Group(StrEnum):
    """Targets that share one residual, because they are measured under loads of one kind."""

    LOOP = "loop"
    """Closed loop: ttft, tpot."""
    BATCH = "batch"
    """All start together: ttft, tpot, and the time of the whole batch."""
    STREAM = "stream"
    """One request at a time: time per token."""
    SATURATED = "saturated"
    """The queue is never empty: time per token of the replica."""


TARGETS: Mapping[Group, tuple[str, ...]] = {
    Group.LOOP: ("ttft", "tpot"),
    Group.BATCH: ("ttft", "tpot", "whole"),
    Group.STREAM: ("token",),
    Group.SATURATED: ("token",),
}


@dataclass(frozen=True, slots=True)
class Spread:
    """Factors from a prediction to the ends of its 80 % interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Own:
    """Additions of the user's own measurements to the residuals."""

    residuals: Mapping[Group, Residual]
    published: Strings
    """Cells that others measured and the user did not: there the published measurements stand."""


SpreadKey = tuple[Evidence, Scenario, Quantity]


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Everything that was fitted."""

    version: str
    constants: ConstantTable
    residuals: Mapping[Group, Residual]
    spreads: Mapping[SpreadKey, Spread]
    reach: MeasuredCoverage
    own: Own | None = None

    def at_nodes(self, group: Group, features: Floats32, cells: Strings) -> Floats:
        """Log factors of a group's targets at the nodes of the users axis, (n, targets, nodes)."""
        values = self._shipped_at_nodes(group, features)
        values[of_processors(cells)] = 0.0
        if self.own is not None and group in self.own.residuals:
            rows = np.flatnonzero(~np.isin(cells, self.own.published))
            values[rows] += self.own.residuals[group].at_nodes(features[rows])
        return values

    def _shipped_at_nodes(self, group: Group, features: Floats32) -> Floats:
        """The same without one's own; the physics stands where nothing was measured under such loads."""
        if group in self.residuals:
            return self.residuals[group].at_nodes(features)
        nodes = NODES.size if len(TARGETS[group]) > 1 else 1
        return np.zeros((features.shape[0], len(TARGETS[group]), nodes))

    def with_own(self, residuals: Mapping[Group, Residual], reach: MeasuredCoverage) -> "Calibration":
        """The same with the user's own measurements, which count wherever nobody published others."""
        published = np.array(sorted(self.reach.cells() - reach.cells()), dtype=np.str_)
        return replace(self, own=Own(residuals, published), reach=self.reach.joined(reach))


@cache
def shipped() -> Calibration:
    """The calibration of the catalog. Raises InputError if a file of it cannot be read."""
    return load_calibration(data_dir("instance_catalog") / DIRECTORY)


def load_calibration(directory: Path) -> Calibration:
    """Read a calibration; its version is a digest of its bytes. Raises InputError if a file cannot be read."""
    own = directory / OWN
    digest = hashlib.sha256()
    for name in (CONSTANTS, INTERVALS, MEASURED, RESIDUAL, *([OWN] if own.is_file() else [])):
        digest.update(_bytes(directory / name))
    spreads = {}
    for row in read_records(directory / INTERVALS):
        key = row.choice("evidence", Evidence), row.choice("scenario", Scenario), row.choice("quantity", Quantity)
        spreads[key] = Spread(row.number("low"), row.number("high"))
    return Calibration(
        version=f"calibrated-{digest.hexdigest()[:12]}",
        constants=_read_constants(directory / CONSTANTS),
        residuals=_read_residuals(_bytes(directory / RESIDUAL), str(directory / RESIDUAL)),
        spreads=spreads,
        reach=MeasuredCoverage.read(directory / MEASURED),
        own=_read_own(own) if own.is_file() else None,
    )


def _read_constants(path: Path) -> ConstantTable:
    """Fitted constants and multipliers."""
    base: dict[str, float] = {}
    multipliers: dict[str, dict[str, float]] = {}
    for row in read_records(path):
        kind = row.text("of")
        target = base if kind == BASE else multipliers.setdefault(kind, {})
        target[row.text("name")] = row.number("value")
    return ConstantTable(base, multipliers)


def _read_residuals(content: bytes, where: str) -> dict[Group, Residual]:
    """The learned residual of each group of targets."""
    residuals: dict[Group, Residual] = {}
    names = ("nodes", "mean", "deviation", "relevance", "points", "weights", "linear", "offset")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            for group in Group:
                if f"{group}.mean" in archive:
                    arrays = (archive[f"{group}.{name}"] for name in names)
                    residuals[group] = Residual(TARGETS[group], *arrays)
    except (ValueError, KeyError, OSError) as error:
        raise InputError(f"this is not a residual: {error}", where=where) from error
    for residual in residuals.values():
        if residual.mean.size != len(FEATURES):
            fault = f"it was made for {residual.mean.size} features, this version has {len(FEATURES)}"
            raise InputError(fault, where=where, hint="run `advisor calibrate` again with this version")
    return residuals


def _read_own(path: Path) -> Own:
    content = _bytes(path)
    residuals = _read_residuals(content, str(path))
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        if PUBLISHED not in archive:
            raise InputError(f"the archive has no '{PUBLISHED}'", where=str(path))
        return Own(residuals, archive[PUBLISHED])


def _bytes(path: Path) -> bytes:
    RESULT_FILE.refuse(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}", where=str(path)) from error
