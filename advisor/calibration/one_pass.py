"""Fit of the models that answer in one pass: effects of labels on the physics, by ridge with Huber weights.

With S = machine.fixed · exp(Σ rest) + b · FLOP / peak · exp(Σ arithmetic) seconds of a batch, log S is fitted to the
measured seconds by Gauss-Newton; each step solves (JᵀWJ + Λ) Δ = JᵀW r - Λ β. Cells (architecture × accelerator) are
weighted 1/sqrt(rows).
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy import sparse

from advisor.calibration.observations import Measurement, resolve_or_abstain
from advisor.catalog import Catalog
from advisor.performance.one_pass import (
    KINDS,
    Labels,
    Machine,
    batch_seconds,
    flop_of_sample,
    labels_of,
    machine_of,
    one_pass,
    samples_of_item,
    servers,
)
from advisor.performance.one_pass.serving import accelerators_of, loads
from advisor.performance.physics import Floats
from advisor.performance.setups import Resolved, Setup
from advisor.records import dataclass

VERSION = "2026.11"
SHRINKAGE = 0.05
"""Penalty of a squared effect in units of the squared log error of one row."""
RELATIVE_SHRINKAGE = {"kind": 0.01, "model|accelerator|width|engine": 3.0}
"""Times :data:`SHRINKAGE`, of combinations that are shrunk less or more than the others."""
HUBER = 0.15
"""Log error beyond which a row counts as less than its square."""
STEPS, TOLERANCE, LONGEST_STEP = 12, 1e-3, 1.0
FOLDS = 16
MACHINE_FOLDS, MODEL_FOLDS = 4, 3
"""Where accelerators and models are left out at once."""
DECIMALS = 5
LEAST_ROWS, LEAST_CELLS = 30, 6
"""Of a group that has an interval of its own."""
COVERAGE = 0.80


@dataclass(frozen=True, slots=True)
class Case:
    """A measurement that the fit can use."""

    measurement: Measurement
    labels: Labels
    machine: Machine
    flop: float
    batch: float
    """Samples."""
    used: float
    """Accelerators at work."""
    seconds: float
    """Measured, of one batch on one accelerator."""

    @property
    def cell(self) -> str:
        """Architecture and accelerator."""
        return f"{self.labels.model}|{self.labels.accelerator}"


def cases_of(measurements: Iterable[Measurement], catalog: Catalog) -> list[Case]:
    """The measurements of models that answer in one pass, without those that are faster than the peak allows."""
    setups: dict[Setup, Resolved | None] = {}
    cases = []
    for measurement in measurements:
        if measurement.setup not in setups:
            setup = resolve_or_abstain(measurement.setup, catalog)
            setups[measurement.setup] = setup if isinstance(setup, Resolved) and one_pass(setup.model) else None
        resolved = setups[measurement.setup]
        case = None if resolved is None else _case(measurement, resolved)
        if case is not None and case.seconds >= case.batch * case.flop / case.machine.flop_per_second:
            cases.append(case)
    return cases


def _case(measurement: Measurement, setup: Resolved) -> Case | None:
    """None where kind, throughput or work are not known."""
    if setup.model.task not in KINDS:
        return None
    rate = measurement.samples_per_second
    if rate is None and measurement.output_tokens_per_second and measurement.output_tokens:
        rate = measurement.output_tokens_per_second / measurement.output_tokens
    tokens = np.array([measurement.input_tokens or np.nan])
    flop = float(flop_of_sample(setup.model, tokens)[0])
    machine = machine_of(setup)
    if not rate or not np.isfinite(flop / machine.flop_per_second):
        return None
    asked = np.array([measurement.concurrency or np.nan])
    batch, used = loads(measurement.scenario, asked, accelerators_of(setup), samples_of_item(setup.model))
    seconds = float(used[0] * batch[0] / rate)
    labels = labels_of(setup, measurement.scenario)
    return Case(measurement, labels, machine, flop, float(batch[0]), float(used[0]), seconds)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A case predicted without its like."""

    case: Case
    novelty: str
    log_error: float
    """Of the throughput: log(measured / predicted)."""


Held = Sequence[HeldOut]
Split = Callable[[Case], str]


MACHINE_SPLITS: tuple[Split, ...] = (lambda case: case.labels.accelerator, lambda case: case.labels.generation)
SPLITS: tuple[Split, ...] = (
    lambda case: case.measurement.source,
    lambda case: case.cell,
    lambda case: case.labels.model,
    *MACHINE_SPLITS,
)
"""What is left out together to learn how wrong predictions of each novelty are."""


def fit_one_pass(measurements: Sequence[Measurement], catalog: Catalog) -> dict[str, object]:
    """The shipped form of the calibration: effects by key, measured set-ups and factors to the ends of intervals."""
    cases = cases_of(measurements, catalog)
    held = [entry for split in SPLITS for entry in hold_out(cases, split, FOLDS)] + _hold_out_pairs(cases)
    return _document(cases, _spreads(held))


def _spreads(held: Held) -> dict[str, tuple[float, float]]:
    """Factors that hold 80 % of the measured throughputs, by group with enough rows and cells."""
    groups: dict[str, list[HeldOut]] = defaultdict(list)
    for entry in held:
        for group in servers.spread_keys(entry.novelty, entry.case.labels):
            groups[group].append(entry)
    tail = (1 - COVERAGE) / 2
    spreads = {}
    for group, entries in sorted(groups.items()):
        cells = len({entry.case.cell for entry in entries})
        if group.endswith("||") or (len(entries) >= LEAST_ROWS and cells >= LEAST_CELLS):
            errors = np.array([entry.log_error for entry in entries])
            weight = _cell_weights([entry.case for entry in entries])
            low, high = (float(np.exp(_quantile(errors, weight, part))) for part in (tail, 1 - tail))
            spreads[group] = (round(min(low, 1.0), DECIMALS), round(max(high, 1.0), DECIMALS))
    return spreads


def document_text(document: Mapping[str, object]) -> str:
    """The calibration as its file holds it."""
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def hold_out(cases: Sequence[Case], split: Split, folds: int) -> list[HeldOut]:
    """Every case predicted by a fit without its fold; what the split names alike is left out together."""
    groups = np.array([fold_of(split(case), folds) for case in cases])
    held: list[HeldOut] = []
    for fold in range(folds):
        left_out = [case for case, group in zip(cases, groups, strict=True) if group == fold]
        if left_out and len(left_out) < len(cases):
            kept = [case for case, group in zip(cases, groups, strict=True) if group != fold]
            held += _predict(left_out, servers.effects_from(_document(kept, {})))
    return held


def fold_of(name: str, folds: int) -> int:
    """A fold that depends on nothing but the name."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") % folds


def _hold_out_pairs(cases: Sequence[Case]) -> list[HeldOut]:
    """Cases predicted without their architecture and without their accelerator's generation or itself."""
    held: list[HeldOut] = []
    for of_machine in MACHINE_SPLITS:
        for fold, part in product(range(MACHINE_FOLDS), range(MODEL_FOLDS)):
            same = [
                (fold_of(of_machine(case), MACHINE_FOLDS) == fold) + (fold_of(case.labels.model, MODEL_FOLDS) == part)
                for case in cases
            ]
            left_out = [case for case, shared in zip(cases, same, strict=True) if shared == 2]
            kept = [case for case, shared in zip(cases, same, strict=True) if not shared]
            if left_out and kept:
                held += _predict(left_out, servers.effects_from(_document(kept, {})))
    return held


def _predict(cases: Sequence[Case], effects: servers.Effects) -> list[HeldOut]:
    held = []
    for case in cases:
        flop, batch = np.array([case.flop]), np.array([case.batch])
        seconds = float(batch_seconds(case.machine, flop, batch, effects.factors(case.labels))[0])
        held.append(HeldOut(case, effects.novelty(case.labels), float(np.log(seconds / case.seconds))))
    return held


def _document(cases: Sequence[Case], spreads: Mapping[str, tuple[float, float]]) -> dict[str, object]:
    arithmetic, rest = _fit(cases)
    return {
        "version": VERSION,
        "arithmetic": arithmetic,
        "rest": rest,
        "measured": sorted({servers.key_of(case.labels, servers.MEASURED_KEY) for case in cases} - {""}),
        "spreads": spreads,
    }


def _fit(cases: Sequence[Case]) -> tuple[dict[str, float], dict[str, float]]:
    """Effects on the arithmetic and on the rest of a batch, by key."""
    arithmetic_keys, arithmetic, arithmetic_penalty = _columns(cases, servers.ARITHMETIC_KEYS)
    rest_keys, rest, rest_penalty = _columns(cases, servers.REST_KEYS)
    penalty = SHRINKAGE * np.concatenate([arithmetic_penalty, rest_penalty])
    split = len(arithmetic_keys)
    unit = (1.0, 1.0)
    whole = np.array([float(batch_seconds(c.machine, np.array([c.flop]), np.array([c.batch]), unit)[0]) for c in cases])
    fixed = np.array([case.machine.fixed_s for case in cases])
    measured = np.log([case.seconds for case in cases])
    weight = _cell_weights(cases)
    effects = np.zeros(penalty.size)
    for _ in range(STEPS):
        work = (whole - fixed) * np.exp(arithmetic @ effects[:split])
        other = fixed * np.exp(rest @ effects[split:])
        share = work / (work + other)
        slope = sparse.hstack([sparse.diags_array(share) @ arithmetic, sparse.diags_array(1 - share) @ rest])
        error = measured - np.log(work + other)
        robust = weight * np.minimum(1.0, HUBER / np.maximum(np.abs(error), HUBER))
        weighted = slope.T @ sparse.diags_array(robust)
        normal = (weighted @ slope).toarray() + np.diag(penalty)
        step = np.linalg.solve(normal, weighted @ error - penalty * effects)
        effects += step * min(1.0, LONGEST_STEP / float(np.abs(step).max()))
        if np.abs(step).max() < TOLERANCE:
            break
    rounded = [round(value, DECIMALS) for value in effects.tolist()]
    return dict(zip(arithmetic_keys, rounded[:split], strict=True)), dict(zip(rest_keys, rounded[split:], strict=True))


def _columns(
    cases: Sequence[Case], combinations: Sequence[tuple[str, ...]]
) -> tuple[list[str], sparse.csr_array, Floats]:  # fmt: skip
    """Keys that occur, a column for each (1 where a case has it), and their penalties."""
    entries = [
        (row, key, "|".join(names))
        for row, case in enumerate(cases)
        for names in combinations
        if (key := servers.key_of(case.labels, names))
    ]
    levels = {key: level for _, key, level in entries}
    keys = sorted(levels)
    place = {key: at for at, key in enumerate(keys)}
    rows, columns = [row for row, _, _ in entries], [place[key] for _, key, _ in entries]
    table = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(cases), len(keys)))
    penalty = np.array([RELATIVE_SHRINKAGE.get(levels[key], 1.0) for key in keys])
    return keys, table, penalty


def _cell_weights(cases: Sequence[Case]) -> Floats:
    """1/sqrt(rows of the case's cell)."""
    _, place, count = np.unique([case.cell for case in cases], return_inverse=True, return_counts=True)
    return np.asarray(1.0 / np.sqrt(count[place]), dtype=np.float64)


def _quantile(values: Floats, weight: Floats, part: float) -> float:
    order: npt.NDArray[np.intp] = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(reached, part * reached[-1])])
