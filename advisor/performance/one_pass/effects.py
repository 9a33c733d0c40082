"""Effects learned of set-ups beside their physics: factors by label, with their evidence and interval.

A factor is the exponential of a sum of effects, one for each combination of labels of the term; a combination that was
never measured adds nothing, so that what is new falls back to its kind, generation and engine. The load is no label of
a factor: a batch takes the same time whoever asks for it. It decides evidence and interval alone.
"""

import json
import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from advisor.catalog.processors import CPU
from advisor.data_files import data_dir
from advisor.demand.values import Unit
from advisor.errors import InputError
from advisor.models.formats import ONNX_RADIAL_SVM, ONNX_SVM
from advisor.performance.one_pass.forests import (
    forest_evidence,
    forest_seconds,
    launch_s,
    received_s,
    triton_request_s,
    walker_of,
)
from advisor.performance.one_pass.work import ARITHMETIC, Labels, labels_of, machine_of
from advisor.performance.physics import Floats
from advisor.performance.setups import Resolved
from advisor.performance.values import Evidence, Scenario
from advisor.records import dataclass
from advisor.units import BYTES_PER_GB
from advisor.workload.kinds import UNITS

ARITHMETIC_KEYS = (
    ("kind",),
    ("kind", "width"),
    ("generation",),
    ("accelerator",),
    ("model",),
    ("engine",),
    ("kind", "generation"),
    ("kind", "engine"),
    ("engine", "width"),
    ("model", "width"),
    ("generation", "width"),
    ("model", "generation"),
    ("model", "accelerator", "width", "engine"),
)
REST_KEYS = (
    ("kind",),
    ("engine",),
    ("generation",),
    ("accelerator",),
    ("model",),
    ("kind", "engine"),
    ("model", "generation"),
    ("width",),
)
MEASURED_KEY = ("model", "accelerator", "width", "engine", "scenario")
"""What must agree for a prediction to rest on a measurement."""
NOVELTIES = ("measured", "known", "new model", "known generation", "new both", "new")
"""How far from what was measured: the very set-up; model and accelerator apart; only the accelerator; the model and the
generation of the accelerator; only the generation; no model of the kind on the generation."""


def key_of(labels: Labels, names: tuple[str, ...]) -> str:
    """A combination of labels as the tables name it, "" where one is not known."""
    values = [getattr(labels, name) for name in names]
    return "|".join(f"{name}={value}" for name, value in zip(names, values, strict=True)) if all(values) else ""


@dataclass(frozen=True, slots=True)
class Effects:
    """The calibration of models that answer in one pass."""

    version: str
    arithmetic: Mapping[str, float]
    rest: Mapping[str, float]
    measured: frozenset[str]
    spreads: Mapping[str, tuple[float, float]]
    """Factors to the ends of the 80 % interval, by ``novelty|kind|scenario`` with "" for any."""

    def factors(self, labels: Labels) -> tuple[float, float]:
        """Times the physics: of the arithmetic, and of the rest of a batch."""
        return _factor(self.arithmetic, labels, ARITHMETIC_KEYS), _factor(self.rest, labels, REST_KEYS)

    def novelty(self, labels: Labels) -> str:
        """One of :data:`NOVELTIES`."""
        if key_of(labels, MEASURED_KEY) in self.measured:
            return "measured"
        model = key_of(labels, ("model",)) in self.arithmetic
        if key_of(labels, ("kind", "generation")) not in self.arithmetic:
            return "new"
        if key_of(labels, ("accelerator",)) in self.arithmetic:
            return "known" if model else "new model"
        return "known generation" if model else "new both"

    def evidence(self, labels: Labels) -> Evidence:
        """Calibrated: the accelerator was measured, and the kind of model on its generation."""
        novelty = self.novelty(labels)
        if novelty == "measured":
            return Evidence.MEASURED
        return Evidence.CALIBRATED if novelty in ("known", "new model") else Evidence.ROOFLINE

    def spread(self, labels: Labels) -> tuple[float, float]:
        """Factors to the ends of the 80 % interval: those of the nearest group that was large enough."""
        novelty = self.novelty(labels)
        groups = spread_keys(novelty, labels)
        found = next((self.spreads[group] for group in groups if group in self.spreads), None)
        return found or self.spreads[f"{NOVELTIES[-1]}||"]


def spread_keys(novelty: str, labels: Labels) -> tuple[str, ...]:
    """Groups that a set-up's interval may come from, the narrowest first."""
    return f"{novelty}|{labels.kind}|{labels.scenario}", f"{novelty}||{labels.scenario}", f"{novelty}||"


def effects_from(document: Mapping[str, Any]) -> Effects:
    """Effects from the shipped form; see :func:`advisor.calibration.one_pass.fit_one_pass`."""
    return Effects(
        version=document["version"],
        arithmetic=document["arithmetic"],
        rest=document["rest"],
        measured=frozenset(document["measured"]),
        spreads={key: (low, high) for key, (low, high) in document["spreads"].items()},
    )


@lru_cache(maxsize=1)
def shipped_effects() -> Effects:
    """The calibration that comes with the program."""
    return read_effects(data_dir("instance_catalog") / "calibration" / "one_pass.json")


def read_effects(path: Path) -> Effects:
    """Effects from a file.

    Raises:
        InputError: the file cannot be read, or is no such calibration.
    """
    try:
        return effects_from(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"cannot read the calibration: {error}", where=str(path)) from error


def _factor(effects: Mapping[str, float], labels: Labels, combinations: tuple[tuple[str, ...], ...]) -> float:
    return math.exp(sum(effects.get(key_of(labels, names), 0.0) for names in combinations))


_SERVERS_OF_TENSORS = ("Triton", "OpenVINO Model Server (ONNX)")
"""Beginnings of the names that engines.csv gives to servers whose requests carry tensors."""
_REACHED, _REACHED_BY_CORES = 0.3, 0.7
"""Share of the peak at which networks of rows are computed in large batches, on accelerators and on processors: ONNX
Runtime 1.32 reached 0.9 on one core of a Genoa, with layers of 30 to 1,024 columns; the rest are assumptions."""
_REACHED_BY_FAMILY: Mapping[str, float] = {ONNX_SVM: 0.3, ONNX_RADIAL_SVM: 0.05}
"""The same of support vector machines on processors: ONNX Runtime 1.32 reached 20 to 84 GFLOP/s with linear and
polynomial kernels on that core, and 4.0 to 5.5 with radial ones, of 2,900 vectors of 30 and 300 columns."""
_FLOP_OF_WEIGHT, _WEIGHT_BYTES = 2.0, 4.0
"""FLOPs of a row that a weight takes part in, and its bytes in fp32."""
_ROWS_SPREAD = (0.5, 2.0)
"""Factor within which such a rate is taken to lie."""


@dataclass(frozen=True, slots=True)
class BatchCost:
    """A batch takes ``fixed_s + FLOPs of its items × seconds_per_flop``; FLOPs of trees are their operations."""

    fixed_s: float
    seconds_per_flop: float
    request_s: float
    """Of a request beside its items; 0: nothing is known beyond the batch."""
    evidence: Evidence
    spread: tuple[float, float]
    """Factors from a rate to the ends of its 80 % interval."""


def item_seconds(
    flop: Floats, seconds_per_flop: Floats | float, request_s: Floats | float, items: Floats | float = 1.0
) -> Floats:
    """Seconds that items of some FLOPs add to their batch, each with its share of a request of so many items."""
    return flop * seconds_per_flop + request_s / items


def batch_cost(setup: Resolved, scenario: Scenario) -> BatchCost:
    """Cost of a batch on one of the set-up's accelerators; the load decides its evidence and interval alone."""
    if setup.model.is_forest:
        seconds = forest_seconds(setup)
        evidence, spread = forest_evidence(setup.deployment.accelerator, walker_of(setup))
        per_flop = seconds.row_s / (setup.model.flop_per_sample or 1.0)
        return BatchCost(seconds.fixed_s, per_flop, seconds.request_s, evidence, spread)
    if UNITS.get(setup.model.task) is Unit.ROWS:
        return _cost_of_rows(setup)
    deployment, accelerator = setup.deployment, setup.deployment.accelerator
    effects, labels, machine = shipped_effects(), labels_of(setup, scenario), machine_of(setup)
    arithmetic, rest = effects.factors(labels)
    return BatchCost(
        fixed_s=machine.fixed_s * rest,
        seconds_per_flop=max(ARITHMETIC * arithmetic, 1.0) / machine.flop_per_second,
        request_s=triton_request_s(accelerator) if deployment.engine.startswith(_SERVERS_OF_TENSORS) else 0.0,
        evidence=effects.evidence(labels),
        spread=effects.spread(labels),
    )


def _cost_of_rows(setup: Resolved) -> BatchCost:
    """Cost of a batch of rows: the server's own time, the weights once, and FLOPs or bytes that move, the slower."""
    deployment, accelerator = setup.deployment, setup.deployment.accelerator
    reached = _REACHED_BY_CORES if accelerator.vendor == CPU else _REACHED
    flop = setup.model.flop_per_sample or np.nan
    reached = _REACHED_BY_FAMILY.get(setup.model.family, reached)
    memory_bytes_per_second = accelerator.memory_bandwidth_gb_per_second * BYTES_PER_GB
    computed_s = flop / (machine_of(setup).flop_per_second * reached)
    row_s = max(computed_s, setup.model.moved_bytes_per_sample / memory_bytes_per_second) + received_s(setup.model)
    multiplied_bytes = min(deployment.weight_bytes, flop / _FLOP_OF_WEIGHT * _WEIGHT_BYTES)  # tables are looked up
    weights_s = multiplied_bytes / memory_bytes_per_second
    return BatchCost(
        fixed_s=launch_s(accelerator) + weights_s,
        seconds_per_flop=row_s / flop,
        request_s=triton_request_s(accelerator),
        evidence=Evidence.ROOFLINE,
        spread=_ROWS_SPREAD,
    )
