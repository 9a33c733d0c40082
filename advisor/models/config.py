"""Conversion of a HuggingFace ``config.json`` to a :class:`Model`.

Which builder reads it is decided by ``model_type``. Models that see or hear keep the language model's configuration in
``text_config``; their towers are counted by :mod:`advisor.models.encoders`.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from advisor.data_files import data_dir
from advisor.errors import InputError
from advisor.models.checkpoints import class_scores, exported_inputs, read_checkpoint
from advisor.models.config_fields import ConfigFields
from advisor.models.decoder import read_decoder
from advisor.models.encoders import ENCODER_TYPES, read_encoder, tower_parameters, vision_tower
from advisor.models.model import Model
from advisor.models.networks import NETWORKS, network_model
from advisor.models.traits import SAME_AS, TRAITS
from advisor.reading import read_json
from advisor.records import replace
from advisor.tables import read_records

_TEXT_SECTIONS = ("text_config", "llm_config", "language_config", "thinker_config")


def read_config_values(file: Path) -> dict[str, Any]:
    """Fields of a ``config.json``, with what NVIDIA's quantiser left beside it.

    Raises:
        InputError: it cannot be read, or is no JSON object.
    """
    values = read_json(file, "model's configuration", "give the config.json of a model, or its directory")
    if not isinstance(values, dict):
        raise InputError("a JSON object is expected", where=str(file))
    return _with_quantiser_notes(values, file.with_name("hf_quant_config.json"))


def is_known_type(values: Mapping[str, Any]) -> bool:
    """Whether there is a builder for the architecture that a configuration names."""
    outer = ConfigFields(values, "")
    kind = _text_fields(outer).text("", "model_type")
    return kind in TRAITS or kind in ENCODER_TYPES or outer.text("", "model_type") in NETWORKS


def model_from_config(values: Mapping[str, Any], *, name: str, where: str, towers: int | None = None) -> Model:
    """Build a model from a configuration.

    Args:
        values: the fields of ``config.json``.
        name: how to call the model.
        where: where the fields stand, for error messages.
        towers: parameters of vision and audio parts, where known; else they are counted from the configuration.
    """
    outer = ConfigFields(values, where)
    checkpoint = read_checkpoint(outer)
    if outer.text("", "model_type") in NETWORKS:
        network = network_model(outer, name, checkpoint)
        return replace(network, inputs=exported_inputs(network.family, outer), outputs=class_scores(outer))
    text = _text_fields(outer)
    model_type = text.text("", "model_type")
    if model_type in ENCODER_TYPES:
        return replace(read_encoder(text, name, checkpoint), inputs=exported_inputs(model_type, text))
    if model_type not in TRAITS:
        raise _unknown(model_type, values, where)
    hidden = text.integer("hidden_size", "n_embd", "d_model")
    counted = tower_parameters(outer, hidden) if towers is None else towers
    model = read_decoder(text, name, checkpoint, counted, "vlm" if counted else "llm")
    return replace(model, vision=vision_tower(outer, hidden))


def _with_quantiser_notes(values: dict[str, Any], notes: Path) -> dict[str, Any]:
    """NVIDIA's quantiser writes what it did into a file of its own beside the configuration."""
    if "quantization_config" in values or not notes.is_file():
        return values
    quantised = read_json(notes, "quantiser's notes")
    if not isinstance(quantised, dict) or "quantization" not in quantised:
        raise InputError("there is no field 'quantization'", where=str(notes))
    return {**values, "quantization_config": quantised["quantization"]}


def _text_fields(outer: ConfigFields) -> ConfigFields:
    """Fields of the language model, with its family under one name."""
    nested = next((outer.section(name) for name in _TEXT_SECTIONS if outer.section(name).values), None)
    values = dict(outer.values) if nested is None else {**_left_out(nested), **nested.values}
    if nested is not None and "tie_word_embeddings" in outer.values:
        values.setdefault("tie_word_embeddings", outer.values["tie_word_embeddings"])
    model_type = str(values.get("model_type") or outer.values.get("model_type") or "")
    values["model_type"] = SAME_AS.get(model_type, model_type)
    return ConfigFields(values, (nested or outer).where)


def _left_out(nested: ConfigFields) -> Mapping[str, int]:
    """Fields that a nested configuration leaves out, since its class has the same values."""
    return _defaults().get(nested.text("", "model_type"), {})


@lru_cache(maxsize=1)
def _defaults() -> Mapping[str, Mapping[str, int]]:
    """Values of fields by ``model_type`` of a nested configuration."""
    defaults: dict[str, dict[str, int]] = {}
    for row in read_records(data_dir("instance_catalog") / "config_defaults.csv"):
        defaults.setdefault(row.text("model_type"), {})[row.text("field")] = row.integer("value")
    return defaults


def _unknown(model_type: str, values: Mapping[str, Any], where: str) -> InputError:
    """The error for an architecture without a builder."""
    if not model_type:
        return InputError(
            "field 'model_type' is missing", where=where, hint="use the config.json of the model's repository unchanged"
        )
    near = get_close_matches(model_type, [*TRAITS, *ENCODER_TYPES, *NETWORKS], n=3)
    named = ", ".join(map(str, ConfigFields(values, where).items("architectures"))) or "no class named"
    return InputError(
        f"field 'model_type' names an architecture that is not known: {model_type!r} ({named})",
        where=where,
        hint="put the model's safetensors beside the configuration, and it is estimated from their shapes; "
        + (
            f"nearest known: {', '.join(near)}"
            if near
            else f"known: {', '.join(sorted([*TRAITS, *ENCODER_TYPES, *NETWORKS]))}"
        ),
    )
