"""Limits that no accelerator can beat: a faster measurement was of something else than it says."""

from dataclasses import fields, replace

import numpy as np

from advisor.calibration.observations import SCENARIO_OF, Observations, seconds_of
from advisor.calibration.physics_fit import usual_constants
from advisor.calibration.values import LeftOut
from advisor.performance.calibration import TARGETS, Group
from advisor.performance.deployments import Packed
from advisor.performance.model import physics_timing
from advisor.performance.physics import Constants
from advisor.units import MS_PER_SECOND

IDEAL = {"weight_read": 1.0, "kv_read": 1.0, "gemm": 1.0, "moe_gemm": 1.0}
"""Peak bandwidth and peak arithmetic; everything else costs nothing."""
OVERLAP = 2 ** (1 / 3)
"""The physics' combination of memory and arithmetic time exceeds the larger of them by at most this factor."""
TOLERANCE = 0.97
"""Share of the bound that peaks as published may be off."""


def impossible(observed: Observations) -> list[tuple[int, LeftOut]]:
    """Rows that are faster than the hardware, with the bound."""
    ideal = _ideal(observed)
    found: dict[int, LeftOut] = {}
    for group in Group:
        rows = observed.of_group(group)
        if not rows.size:
            continue
        some = observed.take(rows)
        packed = ideal.take(rows)
        timing = physics_timing(SCENARIO_OF[group], packed.replicas, packed.constants, some.load)
        for target in TARGETS[group]:
            bound = seconds_of(target, timing) / OVERLAP * TOLERANCE
            measured = some.measured_seconds(group, target)
            for at in np.flatnonzero(measured < bound).tolist():
                found.setdefault(int(rows[at]), LeftOut(some.where[at], _reason(target, measured[at], bound[at])))
    return sorted(found.items())


def _ideal(observed: Observations) -> Packed:
    """Replicas that read each expert that one token needs and no other, at their peaks."""
    packed = observed.packed(usual_constants())
    r = packed.replicas
    unread = r.moe_layers * np.maximum(r.experts - r.experts_per_token, 0.0) * r.expert_params
    read = np.maximum(r.params_total - unread, 1.0)
    least = replace(r, params_total=read, experts=np.minimum(r.experts, r.experts_per_token))
    zeros = np.zeros(observed.size)
    constants = Constants(**{field.name: zeros + IDEAL.get(field.name, 0.0) for field in fields(Constants)})
    return replace(packed, replicas=least, constants=constants)


def _reason(target: str, measured: float, bound: float) -> str:
    words = {"ttft": "time to first token"}.get(target, "time per token")
    return (
        f"{words} of {measured * MS_PER_SECOND:.4g} ms is below {bound * MS_PER_SECOND:.4g} ms, the bound of memory "
        "bandwidth and peak arithmetic: check accelerator, precision, lengths, speculation and cached prompts"
    )
