"""Models whose layers were searched one by one (Llama-Nemotron Super and Ultra, DeciLM): ``block_configs``."""

from collections import Counter
from typing import Any

from advisor.models.config_fields import ConfigFields
from advisor.models.layers import AttentionOptions, FeedForward, Heads, Layer, Mixer, attention, dense

_MULTIPLE = 256


def nas_layers(fields: ConfigFields, hidden: int) -> tuple[tuple[Layer, int], ...]:
    """The layers that ``block_configs`` lists; a part may be skipped (``no_op``) or be one plain matrix."""
    return tuple(Counter(_layer(fields, block, hidden) for block in fields.items("block_configs")).items())


def _layer(fields: ConfigFields, block: dict[str, Any], hidden: int) -> Layer:
    mixer, mixer_matrix = _mixer(fields, block["attention"], hidden)
    network, network_matrix = _network(block["ffn"], hidden)
    norms = (mixer is not None or mixer_matrix > 0) + (network is not None or network_matrix > 0)
    return Layer(mixer, network, norms * hidden, mixer_matrix + network_matrix)


def _mixer(fields: ConfigFields, block: dict[str, Any], hidden: int) -> tuple[Mixer | None, int]:
    if block.get("no_op"):
        return None, 0
    if block.get("replace_with_linear"):
        return None, hidden * hidden
    count = fields.integer("num_attention_heads")
    dim = hidden // count
    heads = Heads(count=count, kv_count=count // int(block["n_heads_in_group"]), dim=dim, value_dim=dim)
    return attention(hidden, heads, AttentionOptions()), 0


def _network(block: dict[str, Any], hidden: int) -> tuple[FeedForward | None, int]:
    if block.get("no_op"):
        return None, 0
    if block.get("replace_with_linear"):
        return None, hidden * hidden
    width = int(2 * float(block["ffn_mult"]) * hidden / 3)
    return dense(hidden, -(-width // _MULTIPLE) * _MULTIPLE, matrices=3), 0
