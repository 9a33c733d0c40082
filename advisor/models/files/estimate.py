"""Models of an architecture that no builder knows, from the shapes of their tensors and whatever a configuration says.

Parameters and bytes are exact. Layers, widths and cache follow from names that nearly all implementations share; what
cannot be seen (windows, strides, how often a block runs) is why FLOPs and cache lie within :data:`ESTIMATE_FACTOR`.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from advisor.models.config_fields import ConfigFields
from advisor.models.files.tensors import Tensor, bytes_of, parameters_of, precision_of
from advisor.models.model import Checkpoint, Model
from advisor.models.networks import read_declared
from advisor.records import replace

ESTIMATE_FACTOR = 1.3
"""Parameters that a token meets, and cache, come out within 1.05 for the sixteen architectures of
tests/models/files/shapes.json when their configuration is hidden; the rest is room for what no shape shows."""
_LAYER = re.compile(r"^(.*?)[._](\d{1,6})[._]")
_EMBEDDING = re.compile(
    r"(embed_tokens|word_embeddings|token_embd|tok_embeddings|\bwte|embed_in|\bshared|embeddings?)\.weight$"
)
_HEAD = re.compile(r"(lm_head|embed_out|^output|cls\.predictions\.decoder)\.weight$")
_POSITIONS = re.compile(r"pos\w{0,40}emb|wpe")
_QUERIES = re.compile(r"(q_proj|query|attn_q|\bwq|q_lin)\.\w*weight$")
_KEYS = re.compile(r"(k_proj|key|attn_k|\bwk|k_lin)\.\w*weight$")
_VALUES = re.compile(r"(v_proj|value|attn_v|\bwv|v_lin)\.\w*weight$")
_FUSED = re.compile(r"(qkv|qkv_proj|query_key_value|c_attn|attn_qkv|Wqkv)\.\w*weight$")
_EXPERTS = re.compile(r"experts?[._](\d{1,6})[._]|_exps\.|experts\.\w+$")
_SPEECH = ("ForCTC", "RNNT", "TDT", "Transducer", "SpeechSeq2Seq", "Speech2Text")
"""Parts of the names of classes that recognise speech."""
_COPIED = (
    "num_attention_heads", "num_key_value_heads", "max_position_embeddings", "sliding_window", "num_experts_per_tok",
    "tie_word_embeddings",
)  # fmt: skip
_SAME_FIELD = {
    "num_attention_heads": ("n_head", "num_heads", "n_heads"),
    "max_position_embeddings": ("n_positions", "seq_length", "max_seq_len"),
    "num_experts_per_tok": ("moe_topk", "top_k_experts", "experts_per_token"),
}


def estimated_model(tensors: Sequence[Tensor], config: Mapping[str, Any], name: str, where: str) -> Model:
    """A model with exact totals and estimated structure.

    Args:
        tensors: of all files of the model.
        config: fields of its configuration, or of none.
        name: how to call the model.
        where: where they stand, for error messages.
    """
    task = _task(tensors, config)
    fields = _declared_fields(tensors, config, caches=task == "llm")
    checkpoint = Checkpoint(precision_of(tensors), file_bytes=bytes_of(tensors))
    family = str(config.get("model_type") or "") or "of unknown architecture"
    model = read_declared(ConfigFields(fields, where), name, checkpoint)
    model = replace(
        model, family=family, task=task, estimate_factor=ESTIMATE_FACTOR, source="estimated from tensor shapes"
    )
    if task == "asr":
        return replace(model, sample="not known: strides of audio stand in no tensor")
    if task != "vision":
        return model
    positions = _longest(tensors, _POSITIONS, -2)
    if not positions:
        return replace(model, sample="not known: strides and sizes of images stand in no tensor; give an ONNX file")
    scores = 4.0 * model.hidden * positions**2 * model.n_layers
    flop = 2.0 * _matrix_parameters(tensors) * positions + scores
    return replace(model, flop_per_sample=flop, sample=f"one image of {positions} patches", hidden=0)


def _task(tensors: Sequence[Tensor], config: Mapping[str, Any]) -> str:
    """Kind of the model, from the class that the configuration names, else from its tensors."""
    classes = " ".join(map(str, ConfigFields(config, "").items("architectures")))
    if any(word in classes for word in _SPEECH):
        return "asr"
    if any(word in classes for word in ("CausalLM", "LMHead", "ConditionalGeneration")):
        return "llm"
    if "Image" in classes or "Vision" in classes or "ObjectDetection" in classes:
        return "vision"
    if not classes and any(_HEAD.search(tensor.name) for tensor in tensors):
        return "llm"
    filters = parameters_of(tensor for tensor in tensors if len(tensor.shape) == 4)
    vocabulary = any(_EMBEDDING.search(tensor.name) and len(tensor.shape) == 2 for tensor in tensors)
    return "vision" if filters and not vocabulary else "encoder"


def _declared_fields(tensors: Sequence[Tensor], config: Mapping[str, Any], *, caches: bool) -> dict[str, Any]:
    """Fields of a declared model: copied where the configuration has them, else read off the shapes."""
    embedding = max(
        (t for t in tensors if _EMBEDDING.search(t.name) and len(t.shape) == 2), key=_elements, default=None
    )
    vocab, hidden = embedding.shape if embedding else (0, _most_common_width(tensors))
    layers = _layers(tensors)
    fields: dict[str, Any] = {name: _copied(config, name) for name in _COPIED}
    fields |= {
        "parameters_total": max(parameters_of(tensors), 1),
        "hidden_size": hidden,
        "vocab_size": vocab,
        "num_hidden_layers": layers or 1,
        "cache_layers": (layers or 1) if caches else 0,
        "cache_elements_per_layer": _cache_elements(tensors, hidden),
    }
    if fields["tie_word_embeddings"] is None:
        fields["tie_word_embeddings"] = not any(_HEAD.search(tensor.name) for tensor in tensors)
    heads = fields["num_attention_heads"]
    if isinstance(heads, int) and heads > 0:
        fields["head_dim"] = (_longest(tensors, _QUERIES, 0) or hidden) // heads
        fields["num_key_value_heads"] = fields["num_key_value_heads"] or heads
    return fields | _experts(tensors, fields)


def _copied(config: Mapping[str, Any], name: str) -> object:
    return next((config[other] for other in (name, *_SAME_FIELD.get(name, ())) if config.get(other) is not None), None)


def _experts(tensors: Sequence[Tensor], fields: Mapping[str, Any]) -> dict[str, int]:
    """Routed experts, where their number per token is known."""
    routed = [t for t in tensors if _EXPERTS.search(t.name) and len(t.shape) >= 2 and t.elements]
    if not routed or not fields["num_experts_per_tok"]:
        return {}
    largest = max(routed, key=_elements)
    numbers = [int(match[1]) for tensor in routed if (match := _EXPERTS.search(tensor.name)) and match[1]]
    count = max(numbers) + 1 if numbers else largest.shape[0]
    width = parameters_of(routed) // (3 * max(fields["hidden_size"], 1) * count * fields["num_hidden_layers"])
    return {"num_experts": count, "moe_intermediate_size": max(width, 1)}


def _layers(tensors: Sequence[Tensor]) -> int:
    """Length of the list of blocks that holds the most parameters."""
    weights: Counter[str] = Counter()
    length: dict[str, int] = {}
    for tensor in tensors:
        match = _LAYER.match(tensor.name)
        if match:
            weights[match[1]] += tensor.parameters
            length[match[1]] = max(length.get(match[1], 0), min(int(match[2]) + 1, 10_000))
    return length[weights.most_common(1)[0][0]] if weights else 0


def _cache_elements(tensors: Sequence[Tensor], hidden: int) -> int:
    """Elements that a token adds to the cache of one layer: widths of its keys and values."""
    keys, values = _longest(tensors, _KEYS, 0), _longest(tensors, _VALUES, 0)
    fused = max(_longest(tensors, _FUSED, 0), _longest(tensors, _FUSED, 1))  # GPT-2 keeps its matrices transposed
    return keys + values if keys and values else max(fused - hidden, 0)


def _longest(tensors: Sequence[Tensor], pattern: re.Pattern[str], side: int) -> int:
    """Largest extent along *side* of the matrices whose name fits; 0 where there is none."""
    return max((t.shape[side] for t in tensors if len(t.shape) >= 2 and pattern.search(t.name)), default=0)


def _matrix_parameters(tensors: Sequence[Tensor]) -> int:
    matrices = (tensor for tensor in tensors if len(tensor.shape) >= 2 and not _POSITIONS.search(tensor.name))
    return parameters_of(matrices)


def _most_common_width(tensors: Sequence[Tensor]) -> int:
    """Width that most vectors have: norms and biases are as wide as the hidden state."""
    widths = Counter(tensor.shape[0] for tensor in tensors if len(tensor.shape) == 1)
    return widths.most_common(1)[0][0] if widths else 0


def _elements(tensor: Tensor) -> int:
    return tensor.elements
