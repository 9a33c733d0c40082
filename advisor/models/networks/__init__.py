"""Networks that give their whole answer in one pass, from their ``config.json``: parameters and FLOPs of a sample."""

from collections.abc import Callable, Mapping

from advisor.models.config_fields import ConfigFields
from advisor.models.declared import read_declared
from advisor.models.model import Checkpoint, Model
from advisor.models.networks import sequences, vision
from advisor.models.values import Network
from advisor.records import replace

NETWORKS: Mapping[str, Callable[[ConfigFields], Network]] = {
    **dict.fromkeys(("vit", "deit", "dinov2", "dinov2_with_registers"), vision.vision_transformer),
    **dict.fromkeys(("convnext", "convnextv2"), vision.convnext),
    **dict.fromkeys(("wav2vec2", "hubert"), sequences.wav2vec),
    **dict.fromkeys(("t5", "mt5", "umt5"), sequences.t5),
    **dict.fromkeys(tuple(sequences.BART_SURROUNDINGS), sequences.bart),
    "swin": vision.swin,
    "resnet": vision.resnet,
    "clip": vision.clip,
    "clip_vision_model": vision.clip_vision,
    "clip_text_model": vision.clip_text,
    "siglip": vision.siglip,
    "siglip_vision_model": vision.siglip_vision,
    "whisper": sequences.whisper,
}
"""Readers by ``model_type``."""


def network_model(fields: ConfigFields, name: str, checkpoint: Checkpoint) -> Model:
    """A model of one of :data:`NETWORKS`.

    Raises:
        InputError: a field that decides a size is missing or makes no sense.
    """
    kind = fields.text("", "model_type")
    return whole_model(NETWORKS[kind](fields), kind, name, checkpoint)


def whole_model(network: Network, family: str, name: str, checkpoint: Checkpoint) -> Model:
    """A model of which totals count and no layer: nothing of it is split or cached."""
    model = read_declared(ConfigFields({"parameters_total": network.work.parameters}, name), name, checkpoint)
    flop = network.work.flop or None
    return replace(model, family=family, task=network.task, flop_per_sample=flop, sample=network.sample)
