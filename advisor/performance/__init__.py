"""A deployment and a load in; latency and throughput with an interval and its evidence out: these values.

The load of drafts and adapters is part of a deployment.
"""

from enum import StrEnum

from advisor.catalog.values import Accelerator
from advisor.models.adapters import adapter_engine, slot_bytes
from advisor.models.model import Model
from advisor.models.values import ServingShape
from advisor.records import dataclass, replace


@dataclass(frozen=True, slots=True)
class DraftModel:
    """Source of draft tokens that the model then verifies in one step."""

    tokens: int
    """Drafted in each step."""
    acceptance: float
    """Probability that a drafted token is accepted when those before it were; from 0 to 1. It is a fact of draft,
    model and text together: measure it, or solve 1 + a + a² + … = length of a published length for a."""
    params: float = 0.0
    """Parameters that drafting one token reads; 0 for a look-up in the text (n-gram)."""
    layers: int = 0


def head_draft(shape: ServingShape, tokens: int, acceptance: float) -> DraftModel:
    """A draft head (EAGLE, multi-token prediction): one layer of its model, and the model's output head."""
    head = float(shape.vocab) * shape.hidden
    layer = max(shape.params_active - head, 0.0) / shape.n_layers
    return DraftModel(tokens, acceptance, params=layer + head, layers=1)


def model_draft(shape: ServingShape, tokens: int, acceptance: float) -> DraftModel:
    """A smaller model that drafts."""
    return DraftModel(tokens, acceptance, params=shape.params_active, layers=shape.n_layers)


@dataclass(frozen=True, slots=True)
class Interval:
    """A predicted number and the range that holds the true one in four cases of five."""

    value: float
    low: float
    high: float


class Scenario(StrEnum):
    """Way in which the load is offered."""

    FIXED_CONCURRENCY = "fixed_concurrency"
    """Closed loop: every user asks again as soon as it is answered."""
    FIXED_BATCH = "fixed_batch"
    """All requests start together and none follows."""
    SATURATED = "saturated"
    """The queue is never empty: the largest throughput."""
    SINGLE_STREAM = "single_stream"
    """One request at a time."""


class Evidence(StrEnum):
    """Origin of a predicted number."""

    MEASURED = "measured"
    """The very set-up was measured under the same load, and the prediction is anchored there."""
    CALIBRATED = "calibrated"
    """Accelerator and kind of architecture were measured, not together."""
    ROOFLINE = "roofline"
    """Bytes, FLOPs and messages with constants fitted over all measurements; nothing of this very set-up."""
    NONE = "none"
    """Nothing is predicted; the reason says why."""


@dataclass(frozen=True, slots=True)
class AdapterLoad:
    """LoRA adapters on the model of a deployment, reduced to what decides its speed."""

    count: int
    bytes_per_accelerator: float
    """Of one adapter: what is read of it in a step."""
    step_ratio: float
    """Time of a step with adapters ÷ without, beside their bytes and FLOPs."""
    miss_ratio: float
    """Share of the requests whose adapter has to be copied from host memory first."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One replica of a model on its accelerators, reduced to what decides its speed."""

    shape: ServingShape
    accelerator: Accelerator
    weight_bytes: float
    """The whole model in its weight precision, scales and 16-bit tensors included."""
    compute_precision: str
    """Precision of the arithmetic: bf16 where weights are widened in the kernel."""
    kv_bytes_per_element: float
    kv_cache_bytes: float
    """Memory of the whole replica that is left for KV cache."""
    engine: str
    engine_version: str = ""
    family: str = ""
    """Architecture family of the model, as the models table names it."""
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    attention_data_parallel: int = 1
    """Groups that each hold all of attention and share the experts; they multiply the accelerators."""
    interconnect: str = ""
    """Between the instance's accelerators, as the catalog names it; "" for the accelerator's own link."""
    max_sequences: int | None = None
    """Most requests that run at a time; None for the engine's default."""
    expert_parallel: int = 1
    """Ranks that share the experts; above 1 beside attention data parallelism, tokens travel to them all-to-all."""
    max_batched_tokens: int | None = None
    """Tokens that one step takes in, prompts and decodes together; None for the engine's default of prompt tokens."""
    draft: DraftModel | None = None
    """Speculative decoding; None for none."""
    picture_flop: float = 0.0
    """FLOPs of encoding the pictures of a request."""
    picture_pixels: float = 0.0
    """Pixels of the pictures of a request, which the host decodes and scales."""
    adapters: AdapterLoad | None = None
    """LoRA adapters on the model; None for none."""
    usual: tuple[str, str] | None = None
    """Engine that is preferred there, and its version: an estimate alone makes this one no faster."""

    @property
    def as_usual(self) -> "Deployment":
        """The same with the engine that is preferred there."""
        engine, version = self.usual or (self.engine, self.engine_version)
        return replace(self, engine=engine, engine_version=version, usual=None)


def adapter_load(model: Model, engine: str, tensor_parallel: int) -> AdapterLoad | None:
    """Load of a model's adapters; None where there are none.

    Kernels read a slot of the largest rank of the engine, whatever rank an adapter in it has.
    """
    adapters = model.adapters
    if adapters is None:
        return None
    served = adapter_engine(engine)
    return AdapterLoad(
        count=adapters.count,
        bytes_per_accelerator=slot_bytes(model, served, tensor_parallel),
        step_ratio=served.step_ratio,
        miss_ratio=adapters.miss_ratio,
    )
