"""Facts of a model that sizing and prediction need, as plain numbers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServingShape:
    """A model reduced to the numbers that decide memory traffic, FLOPs and communication.

    For decoder language models every field is set. For encoders, vision, speech and diffusion models the
    fields of the KV cache and of the experts are 0 and ``flop_per_sample`` says what one sample costs
    (None: unknown, and no throughput can be predicted).
    """

    params_total: float
    params_active: float
    """Parameters that take part in the computation of one token."""
    n_layers: int
    hidden: int
    vocab: int
    tied_embeddings: bool
    n_heads: int
    n_kv_heads: int
    n_experts: int
    """Routed experts of one MoE layer; 0 for a dense model."""
    experts_per_token: int
    expert_params: float
    """Parameters of one routed expert in one layer."""
    moe_layers: int
    is_mla: bool
    """The latent KV cache is replicated over tensor-parallel ranks."""
    kv_elements_per_token: float
    """Elements that one token adds to the cache over all layers, windowed layers included."""
    window_tokens: int
    """Length of the sliding window or attention chunk; 0 for none."""
    window_kv_share: float
    """Share of ``kv_elements_per_token`` that belongs to windowed layers (0..1)."""
    attention_width: float
    """Sum over attention layers of heads × head dimension: FLOPs of attention per token pair are 4 × this."""
    max_context_tokens: int | None
    flop_per_sample: float | None
    """FLOPs of one sample (image, utterance second, sequence at its usual length); None when unknown."""
