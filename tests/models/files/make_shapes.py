"""Writes ``shapes.json``: the tensors of models whose configuration we can also read, as transformers 5.24 makes them.

Run with torch 2.13 and transformers 5.24: ``python tests/models/files/make_shapes.py``. Tensors of layers of one shape are
one entry, with "#" for the number of the layer.
"""

import json
import re
from collections import Counter
from pathlib import Path

import torch
import transformers

CONFIGS = {
    "llama": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256},
    "qwen2": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True},
    "qwen3": {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936},
    "qwen3_moe": {"hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 48, "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128, "vocab_size": 151936, "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768},
    "mixtral": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32000, "num_local_experts": 8, "num_experts_per_tok": 2},
    "gemma2": {"hidden_size": 3584, "intermediate_size": 14336, "num_hidden_layers": 42, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 256, "vocab_size": 256000},
    "phi3": {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 32064, "pad_token_id": 0},
    "gpt2": {"n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "vocab_size": 50257},
    "gpt_neox": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 24, "num_attention_heads": 16, "vocab_size": 50304},
    "opt": {"hidden_size": 2048, "ffn_dim": 8192, "num_hidden_layers": 24, "num_attention_heads": 32, "vocab_size": 50272, "word_embed_proj_dim": 2048},
    "bert": {},
    "xlm-roberta": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16, "vocab_size": 250002, "max_position_embeddings": 8194, "type_vocab_size": 1},
    "distilbert": {},
    "mpnet": {},
    "vit": {},
    "dinov2": {"image_size": 518, "patch_size": 14},
}  # fmt: skip

HEADLESS = ("bert", "xlm-roberta", "distilbert", "mpnet", "vit", "dinov2")


def tensors_of(model: torch.nn.Module) -> list[list[object]]:
    """Name, shape and number of equal tensors."""
    entries: Counter[tuple[str, tuple[int, ...]]] = Counter()
    tied = {name for name in getattr(model, "_tied_weights_keys", None) or {} if model.config.tie_word_embeddings}
    for name, tensor in model.state_dict().items():
        if name not in tied:
            entries[re.sub(r"\.\d+\.", ".#.", name, count=1), tuple(tensor.shape)] += 1
    return [[name, list(shape), count] for (name, shape), count in entries.items()]


def main() -> None:
    """Write the file."""
    made = []
    for kind, values in CONFIGS.items():
        config = transformers.AutoConfig.for_model(kind, **values)
        with torch.device("meta"):
            model = (transformers.AutoModel if kind in HEADLESS else transformers.AutoModelForCausalLM).from_config(
                config
            )
        fields = json.loads(config.to_json_string(use_diff=False)) | {"architectures": [type(model).__name__]}
        kept = {
            name: value
            for name, value in fields.items()
            if isinstance(value, (int, bool, list)) or name in ("model_type", "head_dim")
        }
        made.append(
            {"config": {name: value for name, value in kept.items() if value != []}, "tensors": tensors_of(model)}
        )
    lines = ",\n".join(json.dumps(entry) for entry in made)
    (Path(__file__).parent / "shapes.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
