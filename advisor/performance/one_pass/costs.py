"""Seconds that a batch of one server takes, of networks by what was learned of them and of trees by their own rule."""

from dataclasses import dataclass

from advisor.performance.one_pass.effects import shipped_effects
from advisor.performance.one_pass.forests import forest_evidence, forest_seconds, triton_request_s
from advisor.performance.one_pass.work import ARITHMETIC, labels_of, machine_of
from advisor.performance.physics import Floats
from advisor.performance.setups import Resolved
from advisor.performance.values import Evidence, Scenario

_SERVERS_OF_TENSORS = ("Triton", "OpenVINO Model Server (ONNX)")
"""Beginnings of the names that engines.csv gives to servers whose requests carry tensors."""


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
        evidence, spread = forest_evidence(setup.deployment.accelerator)
        per_flop = seconds.row_s / (setup.model.flop_per_sample or 1.0)
        return BatchCost(seconds.fixed_s, per_flop, seconds.request_s, evidence, spread)
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
