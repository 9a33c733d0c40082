"""Seconds that a batch of one server takes, of networks by what was learned of them and of trees by their own rule."""

from collections.abc import Mapping

import numpy as np

from advisor.catalog.processors import CPU
from advisor.demand.values import Unit
from advisor.models.formats import ONNX_RADIAL_SVM, ONNX_SVM
from advisor.performance.one_pass.effects import shipped_effects
from advisor.performance.one_pass.forests import (
    forest_evidence,
    forest_seconds,
    launch_s,
    received_s,
    triton_request_s,
    walker_of,
)
from advisor.performance.one_pass.work import ARITHMETIC, labels_of, machine_of
from advisor.performance.physics import Floats
from advisor.performance.setups import Resolved
from advisor.performance.values import Evidence, Scenario
from advisor.records import dataclass
from advisor.units import BYTES_PER_GB
from advisor.workload.kinds import UNITS

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
