"""Configurations with the parameter counts that their publishers state, one model of each architecture.

The counts are those of the published weight files, without heads for multi-token prediction; each can be checked by
hand from the sizes beside it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advisor.models.config import model_from_config
from advisor.models.model import Model


@dataclass(frozen=True)
class Published:
    """A configuration and the count stated for it."""

    name: str
    parameters: int
    config: dict[str, Any]


PUBLISHED = [
    Published(**entry) for entry in json.loads((Path(__file__).parent / "published.json").read_text(encoding="utf-8"))
]


def model_of(**fields: Any) -> Model:
    """A small llama; *fields* replace or add to its configuration."""
    config = {
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "vocab_size": 1000,
        "max_position_embeddings": 4096,
    }
    return model_from_config(config | fields, name="small", where="small/config.json")
