"""A model from a GGUF file: its metadata under HuggingFace's names, and exactly the bytes of its tensors."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from advisor.errors import InputError
from advisor.models.config import model_from_config
from advisor.models.files.estimate import estimated_model
from advisor.models.files.gguf import Gguf, read_gguf
from advisor.models.files.tensors import bytes_of, parameters_of, precision_of
from advisor.models.gguf_names import gguf_quantisations
from advisor.models.model import Checkpoint, Model

_MODEL_TYPES = {
    **{
        name: name
        for name in ("llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "phi3", "gpt2", "falcon", "bert")
    },
    **{
        name: name
        for name in ("starcoder2", "stablelm", "cohere2", "olmo2", "internlm2", "granite", "seed_oss", "smollm3")
    },
    "qwen2moe": "qwen2_moe",
    "qwen3moe": "qwen3_moe",
    "gptneox": "gpt_neox",
    "command-r": "cohere",
    "gpt-oss": "gpt_oss",
    "mistral3": "mistral",
    "nomic-bert": "nomic_bert",
}
"""Our builders by ``general.architecture``; others are estimated from their tensors."""
_FIELDS = {
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "max_position_embeddings": "context_length",
    "num_experts": "expert_count",
    "num_experts_per_tok": "expert_used_count",
    "moe_intermediate_size": "expert_feed_forward_length",
    "sliding_window": "attention.sliding_window",
    "vocab_size": "vocab_size",
}
_MIXED = ("Q3_K", "Q4_K", "Q5_K")
"""Types of blocks whose quantisations come in sizes, of which M is the usual one."""
_TOLERANCE = 0.02
"""Largest difference between parameters by metadata and by tensors: rotary tables and the like."""


def gguf_model(path: Path, name: str) -> Model:
    """A model of a GGUF file, or of all parts of a split one.

    Raises:
        InputError: a part is missing, or a file is cut off or contradicts itself.
    """
    file = read_gguf(path)
    total = parameters_of(file.tensors)
    if not total:
        raise InputError(
            "the file holds no weights", where=str(path), hint="give the file of the model, not of its tokeniser"
        )
    config = _config(file)
    described = _described(config, name, str(path))
    fits = described is not None and abs(described.parameters_total - total) <= _TOLERANCE * total
    model = described if described is not None and fits else estimated_model(file.tensors, config, name, str(path))
    around = model.surroundings
    model = replace(model, surroundings=replace(around, other=around.other + total - model.parameters_total))
    checkpoint = Checkpoint(
        precision_of(file.tensors),
        file_bytes=bytes_of(file.tensors),
        quantisation=_quantisation(file),
        architecture=str(file.metadata.get("general.architecture", "")),
    )
    return replace(model, checkpoint=checkpoint)


def _quantisation(file: Gguf) -> str:
    """The quantisation that a file states, else the type of blocks that holds most of its weights."""
    stated = file.metadata.get("general.file_type")
    named = gguf_quantisations().get(stated) if isinstance(stated, int) else None
    counts: Counter[str] = Counter()
    for tensor in file.tensors:
        counts[tensor.storage] += tensor.parameters
    most = counts.most_common(1)[0][0]
    return named or most + ("_M" if most in _MIXED else "")


def _config(file: Gguf) -> dict[str, Any]:
    """Metadata as fields of a ``config.json``."""
    architecture = str(file.metadata.get("general.architecture", ""))
    values: dict[str, Any] = {field: file.number(f"{architecture}.{key}") or None for field, key in _FIELDS.items()}
    values["vocab_size"] = values["vocab_size"] or file.lengths.get("tokenizer.ggml.tokens") or None
    values["num_key_value_heads"] = values["num_key_value_heads"] or values["num_attention_heads"]
    names = {tensor.name for tensor in file.tensors}
    values["tie_word_embeddings"] = "output.weight" not in names
    values["attention_bias"] = "blk.0.attn_q.bias" in names
    values["type_vocab_size"] = next(
        (t.shape[0] for t in file.tensors if t.name == "token_types.weight" and t.shape), 0
    )
    return values | {
        "model_type": _MODEL_TYPES.get(architecture, architecture),
        "architectures": _classes(architecture),
    }


def _classes(architecture: str) -> list[str]:
    """Class that tells the kind of the model: everything but encoders writes token by token."""
    is_encoder = "bert" in architecture or architecture.endswith(("encoder", "embedding"))
    return [] if is_encoder else [f"{architecture}ForCausalLM"]


def _described(config: dict[str, Any], name: str, where: str) -> Model | None:
    """The model as our builders know it; None where none does, or the metadata lacks what it needs."""
    try:
        return model_from_config(config, name=name, where=where)
    except InputError:
        return None
