"""Models that answer in one pass: encoders, vision, diffusion. Samples per second from the FLOPs of a sample.

A batch of b samples takes fixed + b · (x · FLOP / peak + sample) seconds on one accelerator, with fixed = launch + the
reading of all weights. The constants were fitted on 1,893 published throughputs (MLPerf Inference Offline and
SingleStream, FasterTransformer, NVIDIA convolution examples, optimum-habana, AWS Neuron).
"""

from dataclasses import dataclass

import numpy as np

from advisor.models import Model, ServingShape
from advisor.performance.constants import Spread
from advisor.performance.physics import Floats

LAUNCH_S = 3.9e-4
"""Seconds to launch one batch."""
WEIGHT_READ = 3.3
"""Times the ideal, reading the weights once for a batch."""
PACKED_SHARE = 0.453
"""Share of a padded encoder sequence that is not padding: SQuAD has 178 tokens of 384 on average, and servers skip
the rest. Applied where no length is given."""
STACK_FACTORS = {"gaudi": 15.0}
"""Times everything: small sentence encoders on Gaudi are bound by the host."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What the models of one kind have in common."""

    compute: float
    """Times the ideal, at the peak of the precision."""
    sample_s: float
    """Seconds per sample beside the arithmetic."""
    spread: Spread


ENCODER = Kind(1.9, 8.8e-6, Spread(0.36, 1.65))
VISION = Kind(2.62, 4.1e-6, Spread(0.35, 1.75))
DIFFUSION = Kind(4.07, 1.1e-3, Spread(0.80, 1.45))
KINDS = {"encoder": ENCODER, "embedding": ENCODER, "vision": VISION, "diffusion": DIFFUSION}
"""By task of the model; the others abstain."""


@dataclass(frozen=True, slots=True, eq=False)
class SampleCost:
    """What one batch costs on one accelerator, an entry per question."""

    fixed_s: Floats
    sample_s: Floats


def one_pass(model: Model) -> bool:
    """Whether the model gives its whole answer at once; an embedding model may have a decoder's architecture."""
    return not model.is_generative or model.task == "embedding"


def flop_of_sample(model: Model, shape: ServingShape, input_tokens: Floats) -> Floats:
    """FLOPs of one sample; NaN where they are not known.

    With a length, an encoder's are 2 · body parameters · S + 4 · width · S² ; without, those of its usual sample.
    """
    usual = np.nan if model.flop_per_sample is None else model.flop_per_sample
    if KINDS.get(model.task) is not ENCODER:
        return np.full(input_tokens.shape, usual)
    body = shape.params_active - float(shape.vocab) * shape.hidden
    stated = 2 * body * input_tokens + 4 * shape.attention_width * input_tokens**2
    return np.where(np.isnan(input_tokens) | (shape.n_layers == 0), PACKED_SHARE * usual, stated)


def cost(kind: Kind, flop: Floats, rates: tuple[float, float], stack: str, weight_bytes: float) -> SampleCost:
    """Seconds of a batch on one accelerator.

    Args:
        kind: what the models of this kind have in common.
        flop: of one sample.
        rates: FLOP/s, and bytes per second of the memory.
        stack: key of the vendor stack.
        weight_bytes: of the whole model.
    """
    flops, bandwidth = rates
    factor = STACK_FACTORS.get(stack, 1.0)
    fixed = np.full(flop.shape, factor * (LAUNCH_S + WEIGHT_READ * weight_bytes / bandwidth))
    return SampleCost(fixed, factor * (kind.compute * flop / flops + kind.sample_s))


def samples_per_second(batch_cost: SampleCost, batch: Floats, accelerators: Floats) -> Floats:
    """Throughput of all accelerators, a batch on each; an infinite batch is the largest throughput."""
    return accelerators / (batch_cost.fixed_s / batch + batch_cost.sample_s)
