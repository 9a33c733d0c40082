"""Differences of the transformer decoders that their ``config.json`` does not state.

One row per ``model_type``. What a configuration states itself (sizes, heads, ``attention_bias`` ...) is read from it;
what the modelling code of a family fixes (whether the query has a bias, how many norms a layer has) stands here.
"""

from advisor.records import dataclass, replace


@dataclass(frozen=True, slots=True)
class DecoderTraits:
    """Traits fixed by the code of a model family."""

    qkv_bias: bool = False
    """Where the configuration has no ``attention_bias``."""
    output_bias: bool | None = False
    """None: as ``attention_bias`` says."""
    mlp_bias: bool = False
    matrices: int = 3
    """Of the feed-forward network: 3 when gated, else 2."""
    norms: float = 2
    """Norms of a layer, each as wide as the hidden state."""
    norm_vectors: int = 1
    """1: weight only; 2: weight and bias; 0: none is learned."""
    head_norm: str = ""
    """Norms on queries and keys: "" none, "dim" one vector of the head dimension each, "all" one over all heads."""
    tied: bool = False
    """Where the configuration has no ``tie_word_embeddings``."""
    head_bias: bool = False
    positions_offset: int | None = None
    """Learned positions: rows beyond the maximum; None: no learned positions."""
    embedding_norm: bool = False
    alternate_window: int = 0
    """Every n-th layer attends to everything, the others to a window; 0: as the configuration says."""
    router_vectors: int = 0
    """Bias or correction values that the router keeps per expert."""
    expert_bias: bool = False
    sinks: bool = False
    overflows_half: bool = False
    """Its hidden states are beyond the range of fp16: vLLM refuses to start it so (config/model.py)."""


_LLAMA = DecoderTraits(output_bias=None)
_QWEN2 = DecoderTraits(qkv_bias=True)
_QWEN3 = DecoderTraits(head_norm="dim", output_bias=None)
_MOE_LATENT = DecoderTraits(router_vectors=1)
_CLASSIC = DecoderTraits(
    qkv_bias=True, output_bias=True, mlp_bias=True, matrices=2, norm_vectors=2, tied=True, positions_offset=0
)
"""GPT-2 and its kin: layer norms and biases everywhere."""

TRAITS = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "ministral": _LLAMA,
    "ministral3": _LLAMA,
    "aquila": _LLAMA,
    "yi": _LLAMA,
    "internlm": replace(_LLAMA, qkv_bias=True),
    "internlm2": _LLAMA,
    "internlm3": _LLAMA,
    "baichuan": _LLAMA,
    "granite": _LLAMA,
    "granitemoe": _LLAMA,
    "granitemoeshared": _LLAMA,
    "granitemoehybrid": _LLAMA,
    "smollm3": replace(_LLAMA, tied=True),
    "seed_oss": replace(_LLAMA, qkv_bias=True),
    "phi3": DecoderTraits(),
    "mixtral": DecoderTraits(),
    "deci": _LLAMA,
    "nemotron-nas": _LLAMA,
    "llama4": replace(_LLAMA, alternate_window=4),
    "llama4_text": replace(_LLAMA, alternate_window=4),
    "mimo": _QWEN2,
    "qwen": _QWEN2,
    "qwen2": _QWEN2,
    "qwen2_moe": _QWEN2,
    "qwen2_vl": _QWEN2,
    "qwen2_5_vl": _QWEN2,
    "qwen3": _QWEN3,
    "qwen3_vl": _QWEN3,
    "qwen3_moe": _QWEN3,
    "qwen3_vl_moe": _QWEN3,
    "qwen3_next": _QWEN3,
    "qwen3_5": _QWEN3,
    "qwen3_5_moe": _QWEN3,
    "gemma": DecoderTraits(tied=True, output_bias=None),
    "gemma2": DecoderTraits(tied=True, output_bias=None, norms=4, alternate_window=2, overflows_half=True),
    "gemma3": DecoderTraits(
        tied=True, output_bias=None, norms=4, head_norm="dim", alternate_window=6, overflows_half=True
    ),
    "gemma4": DecoderTraits(tied=True, output_bias=None, norms=4, head_norm="dim", alternate_window=6),
    "phi": replace(_CLASSIC, norms=1, tied=False, head_bias=True, positions_offset=None),
    "phimoe": DecoderTraits(qkv_bias=True, output_bias=None, norm_vectors=2),
    "falcon": DecoderTraits(matrices=2, norm_vectors=2, tied=True, output_bias=None),
    "bloom": replace(_CLASSIC, positions_offset=None, embedding_norm=True),
    "opt": replace(_CLASSIC, positions_offset=2),
    "gpt2": _CLASSIC,
    "gpt_bigcode": _CLASSIC,
    "gpt_neo": replace(_CLASSIC, qkv_bias=False),
    "gptj": replace(
        _CLASSIC, qkv_bias=False, output_bias=False, norms=1, tied=False, head_bias=True, positions_offset=None
    ),
    "gpt_neox": replace(_CLASSIC, tied=False, positions_offset=None),
    "xglm": replace(_CLASSIC, positions_offset=None),
    "starcoder2": replace(_CLASSIC, positions_offset=None),
    "persimmon": replace(_CLASSIC, tied=False, positions_offset=None),
    "nemotron": DecoderTraits(matrices=2, norm_vectors=2, output_bias=None),
    "mpt": DecoderTraits(matrices=2, tied=True),
    "cohere": DecoderTraits(norms=1, tied=True, output_bias=None),
    "cohere2": DecoderTraits(norms=1, tied=True, output_bias=None, alternate_window=4),
    "stablelm": DecoderTraits(norm_vectors=2),
    "olmo": DecoderTraits(norm_vectors=0, output_bias=None),
    "olmo2": DecoderTraits(head_norm="all", output_bias=None),
    "olmo3": DecoderTraits(head_norm="all", output_bias=None, alternate_window=4),
    "olmoe": DecoderTraits(head_norm="all", output_bias=None),
    "chatglm": DecoderTraits(qkv_bias=True),
    "glm": DecoderTraits(qkv_bias=True),
    "glm4": DecoderTraits(qkv_bias=True, norms=4, overflows_half=True),
    "glm4_moe": DecoderTraits(qkv_bias=True, router_vectors=1),
    "glm4_moe_lite": _MOE_LATENT,
    "glm_moe_dsa": _MOE_LATENT,
    "deepseek": DecoderTraits(),
    "deepseek_v2": DecoderTraits(),
    "deepseek_v3": _MOE_LATENT,
    "deepseek_v32": _MOE_LATENT,
    "kimi_k2": _MOE_LATENT,
    "minicpm3": DecoderTraits(tied=True),
    "gpt_oss": DecoderTraits(
        qkv_bias=True, output_bias=None, alternate_window=2, router_vectors=1, expert_bias=True, sinks=True
    ),
    "minimax_m2": DecoderTraits(head_norm="all", router_vectors=1),
    "minimax_m3": DecoderTraits(head_norm="dim", router_vectors=1),
    "ernie4_5": _LLAMA,
    "ernie4_5_moe": replace(_LLAMA, router_vectors=1),
    "mimo_v2_flash": replace(_LLAMA, router_vectors=1),
    "step3p5": DecoderTraits(head_norm="dim", router_vectors=1),
    "step3p7": DecoderTraits(head_norm="dim", router_vectors=1),
    "nemotron_h": DecoderTraits(matrices=2, norms=1, router_vectors=1),
    "mamba": DecoderTraits(norms=1, tied=True),
    "mamba2": DecoderTraits(norms=1),
    "falcon_mamba": DecoderTraits(norms=1),
    "lfm2": DecoderTraits(head_norm="dim", tied=True),
    "kimi_linear": _MOE_LATENT,
}
"""Traits by ``model_type``."""

SAME_AS = {
    "gemma3_text": "gemma3",
    "gemma4_text": "gemma4",
    "mistral3": "mistral",
    "qwen3_5_text": "qwen3_5",
    "qwen3_5_moe_text": "qwen3_5_moe",
    "qwen2_vl_text": "qwen2_vl",
    "qwen2_5_vl_text": "qwen2_5_vl",
    "qwen3_vl_text": "qwen3_vl",
    "qwen3_vl_moe_text": "qwen3_vl_moe",
    "RefinedWeb": "falcon",
    "RefinedWebModel": "falcon",
    "Yi": "yi",
    "kimi_k25": "kimi_k2",
    "glm4v_moe_text": "glm4_moe",
    "mimo_v2": "mimo_v2_flash",
    "minimax_m3_vl": "minimax_m3",
    "minimax_m3_vl_text": "minimax_m3",
}
"""Names under which the same family also goes."""
