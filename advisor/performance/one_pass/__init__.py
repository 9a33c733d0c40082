"""Models that give their whole answer in one pass: cost of one sample (FLOPs, seconds at the peak), and its size."""

from collections.abc import Mapping
from functools import lru_cache
from typing import assert_never

import numpy as np

from advisor.data_files import data_dir
from advisor.demand.values import Unit
from advisor.models import Model
from advisor.performance import Scenario
from advisor.performance.deployments import peak_flops, widening
from advisor.performance.physics import Floats
from advisor.performance.setups import Resolved
from advisor.records import dataclass, replace
from advisor.tables import read_records
from advisor.units import BYTES_PER_GB

KINDS = {
    **{kind: kind for kind in ("encoder", "encoder-decoder", "vision", "diffusion")},
    "embedding": "encoder", "asr": "speech",
}  # fmt: skip
"""By task of the model; the others abstain."""
WIDTHS = {"fp32": "32", "tf32": "tf32", "bf16": "16", "fp16": "16", "fp8": "8", "int8": "8", "nvfp4": "4", "mxfp4": "4"}
"""Precisions whose kernels are alike."""
SIXTEEN_BIT_KINDS = ("speech", "encoder-decoder")
"""Recurrent and autoregressive networks keep 16-bit arithmetic, whatever their weights are stored in."""
ENGINE_WORDS = (
    ("tensorrt", "tensorrt"), ("eff-ft", "fastertransformer, unpadded"), ("fastertransformer", "fastertransformer"),
    ("qualcomm", "qualcomm"), ("neuron", "neuron"), ("habana", "habana"), ("cuda", "tensorrt"), ("pytorch", "pytorch"),
)  # fmt: skip
"""Engines by a word in their name; MLPerf rows that name only CUDA ran TensorRT."""

LAUNCH_S = 4e-4
"""Seconds to launch one batch, before what is learned."""
WEIGHT_READ = 2.0
"""Times the ideal, reading the weights once for a batch, before what is learned."""
ARITHMETIC = 2.0
"""Times the ideal at the peak, before what is learned."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels that tell one set-up from another beside its physics; "" for what is not known."""

    kind: str
    model: str
    """Architecture: encoders of one depth and width are one."""
    accelerator: str
    generation: str
    engine: str
    width: str
    scenario: str

    def under(self, scenario: Scenario) -> "Labels":
        """The same set-up under another load; users in a closed loop are a batch."""
        batch = scenario in (Scenario.FIXED_BATCH, Scenario.FIXED_CONCURRENCY)
        return replace(self, scenario="batch" if batch else scenario.value)


@dataclass(frozen=True, slots=True)
class Machine:
    """One accelerator with the model on it."""

    flop_per_second: float
    """At the peak of the arithmetic; NaN where it is not known."""
    fixed_s: float
    """Seconds of a batch whatever its size: launch, and reading all weights."""


def one_pass(model: Model) -> bool:
    """Whether the model gives its whole answer at once; an embedding model may have a decoder's architecture."""
    return not model.is_generative or model.task == "embedding"


def labels_of(setup: Resolved, scenario: Scenario) -> Labels:
    """Labels by which the calibration knows a set-up."""
    deployment, model = setup.deployment, setup.model
    kind = KINDS.get(model.task, "")
    shaped = model.hidden and model.n_layers
    blank = Labels(
        kind=kind,
        model=f"{kind} {model.n_layers}x{model.hidden}" if shaped else model.family,
        accelerator=deployment.accelerator.name,
        generation=deployment.accelerator.architecture,
        engine=one_pass_engine(deployment.engine),
        width=WIDTHS.get(arithmetic_of(setup), ""),
        scenario="",
    )
    return blank.under(scenario)


def one_pass_engine(name: str) -> str:
    """Class of an engine as tables and people name it, "" where nothing was measured with it."""
    return next((key for word, key in ENGINE_WORDS if word in name.lower()), "")


def arithmetic_of(setup: Resolved) -> str:
    """Precision that the model's products are computed in."""
    stored = setup.deployment.compute_precision
    narrow = KINDS.get(setup.model.task) in SIXTEEN_BIT_KINDS and WIDTHS.get(stored) in ("4", "8")
    return "bf16" if narrow else stored


def machine_of(setup: Resolved) -> Machine:
    """Rates of one of the set-up's accelerators."""
    deployment, accelerator = setup.deployment, setup.deployment.accelerator
    bandwidth = accelerator.memory_bandwidth_gb_per_second * BYTES_PER_GB
    return Machine(
        flop_per_second=(peak_flops(accelerator, arithmetic_of(setup)) or np.nan) / widening(deployment),
        fixed_s=LAUNCH_S + WEIGHT_READ * deployment.weight_bytes / bandwidth,
    )


def flop_of_sample(model: Model, input_tokens: Floats) -> Floats:
    """FLOPs of one sample; NaN where they are not known.

    With a length, an encoder's are 2 · parameters of the layers · S + 4 · width · S · tokens that a layer looks at: S,
    or its window; and 2 · parameters of the matrices behind them · S, where it answers something for each token. All
    others, those of its usual sample.
    """
    usual = np.nan if model.flop_per_sample is None else model.flop_per_sample
    if KINDS.get(model.task) != "encoder" or not model.hidden:
        return np.full(input_tokens.shape, usual)
    stated = 2.0 * model.answer_matrix_parameters * input_tokens
    for layer, count in model.layers:
        layers = count * model.layer_repeats
        stated += 2 * layer.parameters_active * layers * input_tokens
        if layer.mixer:
            seen = np.minimum(input_tokens, layer.mixer.window_tokens or np.inf)
            stated += 4 * layer.mixer.width * layers * input_tokens * seen
    return np.where(np.isnan(input_tokens), usual, stated)


def batch_seconds(machine: Machine, flop: Floats, batch: Floats, factors: tuple[float, float]) -> Floats:
    """Seconds of a batch of b samples on one accelerator: fixed · f + b · max(2 c, 1) · FLOP / peak.

    *flop* is of one sample; *factors* are c and f, what is learned of the arithmetic and of the rest.
    """
    arithmetic, rest = factors
    return machine.fixed_s * rest + batch * max(ARITHMETIC * arithmetic, 1.0) * flop / machine.flop_per_second


@dataclass(frozen=True, slots=True)
class UsualSample:
    """Sample that the FLOPs of a family are counted for."""

    size: float
    """In the family's unit: ms of audio, pixels × denoising steps."""
    samples: float
    """Samples that an item of that size is."""


@lru_cache(maxsize=1)
def usual_samples() -> Mapping[str, UsualSample]:
    """Usual sample of each family that is known, and of models by name whose sample is not their family's."""
    path = data_dir("instance_catalog") / "usual_samples.csv"
    return {row.text("family"): UsualSample(row.number("size"), row.number("samples")) for row in read_records(path)}


def flop_of_items(model: Model, unit: Unit, sizes: Floats) -> Floats:
    """FLOPs of items of some sizes; NaN where they are not known.

    A text's follow from its tokens (:func:`advisor.performance.one_pass.flop_of_sample`). An image is scaled to
    the model's own input, a row has the model's own columns. A recording is transcribed in windows of its usual length,
    the last one padded; a picture takes more in proportion to pixels × steps.
    """
    per_sample = np.nan if model.flop_per_sample is None else model.flop_per_sample
    usual = _usual_sample(model) or UsualSample(np.nan, np.nan)
    match unit:
        case Unit.TOKENS | Unit.TEXTS:
            return flop_of_sample(model, sizes)
        case Unit.IMAGES | Unit.ROWS:
            return np.full(sizes.shape, per_sample)
        case Unit.AUDIO:
            return np.ceil(sizes / usual.size) * usual.samples * per_sample
        case Unit.PICTURES:
            return sizes / usual.size * usual.samples * per_sample
        case _:
            assert_never(unit)


def samples_of_item(model: Model) -> float:
    """Samples that an item of the usual size is: tokens of a recording's window, 1 of all else."""
    usual = _usual_sample(model)
    return 1.0 if usual is None else usual.samples


def _usual_sample(model: Model) -> UsualSample | None:
    """None where neither the model states it nor the catalog knows it, by name or family."""
    if model.sample_size is not None:
        return UsualSample(model.sample_size, 1.0)
    samples = usual_samples()
    return samples.get(model.name) or samples.get(model.family)
