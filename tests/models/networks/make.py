"""Writes ``networks.json`` and ``denoisers.json``: what transformers and diffusers count in networks of each family.

Run with torch 2.13, transformers 5.24 and diffusers 0.42: ``python tests/models/networks/make.py``. Parameters are those of
the class that a configuration names, on the meta device; FLOPs are torch's own count of one forward pass.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

Inputs = Callable[[], dict[str, torch.Tensor]]
KEPT = [
    "model_type",
    "architectures",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "image_size",
    "patch_size",
    "num_channels",
    "qkv_bias",
    "mlp_ratio",
    "use_swiglu_ffn",
    "num_register_tokens",
    "embed_dim",
    "depths",
    "num_heads",
    "window_size",
    "hidden_sizes",
    "layer_type",
    "embedding_size",
    "projection_dim",
    "max_position_embeddings",
    "vocab_size",
    "d_model",
    "num_mel_bins",
    "max_source_positions",
    "max_target_positions",
    "encoder_layers",
    "decoder_layers",
    "encoder_ffn_dim",
    "decoder_ffn_dim",
    "conv_dim",
    "conv_kernel",
    "conv_stride",
    "conv_bias",
    "feat_extract_norm",
    "num_conv_pos_embeddings",
    "num_conv_pos_embedding_groups",
    "mask_time_prob",
    "d_ff",
    "d_kv",
    "num_layers",
    "num_decoder_layers",
    "feed_forward_proj",
    "tie_word_embeddings",
    "relative_attention_num_buckets",
    "num_labels",
]


def image(side: int) -> Inputs:
    """An image."""
    return lambda: {"pixel_values": torch.empty(1, 3, side, side)}


def text(tokens: int, answer: int = 0) -> Inputs:
    """A text, and the start of an answer to it."""
    ids = {"input_ids": tokens} | ({"decoder_input_ids": answer} if answer else {})
    return lambda: {name: torch.zeros(1, length, dtype=torch.long) for name, length in ids.items()}


def both(tokens: int) -> Inputs:
    """An image and a text."""
    return lambda: image(224)() | text(tokens)()


def speech() -> dict[str, torch.Tensor]:
    """Ten seconds."""
    return {"input_values": torch.empty(1, 160_000)}


LARGE = {
    "d_model": 1280,
    "encoder_layers": 32,
    "decoder_layers": 32,
    "encoder_attention_heads": 20,
    "decoder_attention_heads": 20,
}
NETWORKS: list[tuple[str, str, dict[str, Any], Inputs | None]] = [
    ("vit-b", "ViTForImageClassification", {"num_labels": 1000}, image(224)),
    ("vit-b-base", "ViTModel", {}, image(224)),
    ("deit", "DeiTForImageClassificationWithTeacher", {"num_labels": 1000}, image(224)),
    ("dinov2-b", "Dinov2Model", {"image_size": 518, "patch_size": 14}, image(518)),
    ("dinov2-g", "Dinov2Model", {"image_size": 518, "patch_size": 14, "use_swiglu_ffn": True, "hidden_size": 1536, "num_hidden_layers": 40, "num_attention_heads": 24}, image(518)),
    ("dinov2r", "Dinov2WithRegistersModel", {"image_size": 518, "patch_size": 14}, image(518)),
    ("swin-t", "SwinForImageClassification", {"num_labels": 1000}, image(224)),
    ("convnext-t", "ConvNextForImageClassification", {"num_labels": 1000}, image(224)),
    ("convnextv2", "ConvNextV2ForImageClassification", {"num_labels": 1000}, image(224)),
    ("resnet50", "ResNetForImageClassification", {"num_labels": 1000}, image(224)),
    ("resnet18", "ResNetForImageClassification", {"num_labels": 1000, "hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2], "layer_type": "basic"}, image(224)),
    ("clip-b32", "CLIPModel", {}, both(77)),
    ("clipv", "CLIPVisionModelWithProjection", {}, image(224)),
    ("clipt", "CLIPTextModelWithProjection", {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20, "projection_dim": 1280}, text(77)),
    ("siglip", "SiglipModel", {}, both(64)),
    ("siglipv", "SiglipVisionModel", {}, image(224)),
    ("whisper-l3", "WhisperForConditionalGeneration", {**LARGE, "vocab_size": 51866, "num_mel_bins": 128, "encoder_ffn_dim": 5120, "decoder_ffn_dim": 5120}, None),
    ("wav2vec2", "Wav2Vec2Model", {"mask_time_prob": 0.0}, speech),
    ("wav2vec2l", "Wav2Vec2ForCTC", {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True, "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}, speech),
    ("hubert", "HubertModel", {}, speech),
    ("t5", "T5ForConditionalGeneration", {"tie_word_embeddings": True}, text(128, 84)),
    ("flan-xl", "T5ForConditionalGeneration", {"d_model": 2048, "d_kv": 64, "d_ff": 5120, "num_layers": 24, "num_heads": 32, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}, text(128, 84)),
    ("t5xxl-enc", "T5EncoderModel", {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64, "feed_forward_proj": "gated-gelu"}, text(512)),
    ("mt5", "MT5ForConditionalGeneration", {}, text(128, 84)),
    ("umt5e", "UMT5EncoderModel", {}, text(512)),
    ("bart", "BartForConditionalGeneration", {}, text(128, 84)),
    ("mbart", "MBartForConditionalGeneration", {}, text(128, 84)),
    ("m2m", "M2M100ForConditionalGeneration", {}, text(128, 84)),
    ("pegasus", "PegasusForConditionalGeneration", {}, text(128, 84)),
    ("marian", "MarianMTModel", {}, text(128, 84)),
]  # fmt: skip
SD = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8, "block_out_channels": [320, 640, 1280, 1280], "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"], "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3}  # fmt: skip
SDXL = {"sample_size": 128, "cross_attention_dim": 2048, "attention_head_dim": [5, 10, 20], "block_out_channels": [320, 640, 1280], "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"], "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"], "transformer_layers_per_block": [1, 2, 10], "addition_embed_type": "text_time", "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816, "use_linear_projection": True}  # fmt: skip
VAE = {"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "latent_channels": 4, "sample_size": 512, "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}  # fmt: skip
FLUX = {"patch_size": 1, "in_channels": 64, "num_layers": 19, "num_single_layers": 38, "attention_head_dim": 128, "num_attention_heads": 24, "joint_attention_dim": 4096, "pooled_projection_dim": 768, "guidance_embeds": True}  # fmt: skip
SD3 = {"sample_size": 128, "patch_size": 2, "in_channels": 16, "num_layers": 24, "attention_head_dim": 64, "num_attention_heads": 24, "joint_attention_dim": 4096, "caption_projection_dim": 1536, "pooled_projection_dim": 2048, "out_channels": 16, "pos_embed_max_size": 192}  # fmt: skip
PIXART = {"sample_size": 128, "num_layers": 28, "attention_head_dim": 72, "in_channels": 4, "out_channels": 8, "patch_size": 2, "num_attention_heads": 16, "cross_attention_dim": 1152, "caption_channels": 4096, "use_additional_conditions": True}  # fmt: skip
UNET, KL = "UNet2DConditionModel", "AutoencoderKL"
Shapes = dict[str, tuple[int, ...]]
DENOISERS: list[tuple[str, str, dict[str, Any], int, Shapes]] = [
    ("sd15", UNET, SD, 64, {"sample": (1, 4, 64, 64), "encoder_hidden_states": (1, 77, 768)}),
    ("sdxl", UNET, SDXL, 128, {"sample": (1, 4, 128, 128), "encoder_hidden_states": (1, 77, 2048), "added.text_embeds": (1, 1280), "added.time_ids": (1, 6)}),
    ("vae", KL, VAE, 512, {"z": (1, 4, 64, 64)}),
    ("vae16", KL, VAE | {"latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False}, 1024, {"z": (1, 16, 128, 128)}),
    ("flux-dev", "FluxTransformer2DModel", FLUX, 128, {"hidden_states": (1, 4096, 64), "encoder_hidden_states": (1, 512, 4096), "pooled_projections": (1, 768), "img_ids": (4096, 3), "txt_ids": (512, 3), "guidance": (1,)}),
    ("flux-schnell", "FluxTransformer2DModel", FLUX | {"guidance_embeds": False}, 128, {}),
    ("sd3m", "SD3Transformer2DModel", SD3, 128, {"hidden_states": (1, 16, 128, 128), "encoder_hidden_states": (1, 333, 4096), "pooled_projections": (1, 2048)}),
    ("sd35m", "SD3Transformer2DModel", SD3 | {"dual_attention_layers": list(range(13)), "qk_norm": "rms_norm", "pos_embed_max_size": 384}, 128, {}),
    ("sd35l", "SD3Transformer2DModel", SD3 | {"num_layers": 38, "num_attention_heads": 38, "caption_projection_dim": 2432, "qk_norm": "rms_norm"}, 128, {}),
    ("pixart", "PixArtTransformer2DModel", PIXART, 128, {}),
    ("pixart-s", "PixArtTransformer2DModel", PIXART | {"use_additional_conditions": False}, 128, {}),
]  # fmt: skip


def counted(network: Callable[..., object], inputs: dict[str, Any]) -> int:
    """FLOPs of a forward pass."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(**inputs)
    return counter.get_total_flops()


def kept(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields that sizes follow from."""
    return {name: value for name, value in fields.items() if name in KEPT and value is not None}


def networks() -> Iterator[dict[str, Any]]:
    """Networks of transformers."""
    for name, kind, values, inputs in NETWORKS:
        cls = getattr(transformers, kind)
        config = cls.config_class(**values)
        config.architectures, config._attn_implementation = [kind], "eager"
        with torch.device("meta"):
            model = cls(config).eval()
            flop = counted(model, inputs()) if inputs else None
        fields = json.loads(config.to_json_string(use_diff=False))
        parts = {part: kept(fields[part]) for part in ("text_config", "vision_config") if part in fields}
        labels = {"num_labels": values["num_labels"]} if "num_labels" in values else {}
        total = sum(parameter.numel() for parameter in model.parameters())
        yield {"name": name, "config": kept(fields) | labels | parts, "parameters": total, "flop": flop}


def denoisers() -> Iterator[dict[str, Any]]:
    """Networks of diffusers."""
    for name, kind, values, side, shapes in DENOISERS:
        with torch.device("meta"):
            model = getattr(diffusers, kind)(**values).eval()
            given: dict[str, Any] = {name: torch.empty(shape) for name, shape in shapes.items() if "." not in name}
            added = {name[6:]: torch.empty(shape) for name, shape in shapes.items() if "." in name}
            given |= {"added_cond_kwargs": added} if added else {}
            given |= {"timestep": torch.ones(1)} if shapes and kind != KL else {}
            flop = counted(model.decode if kind == KL else model, given) if shapes else None
        total = sum(parameter.numel() for parameter in model.parameters())
        yield {"name": name, "config": {"_class_name": kind, **values}, "parameters": total, "flop": flop, "side": side}


if __name__ == "__main__":
    for part in (networks, denoisers):
        lines = ",\n".join(map(json.dumps, part()))
        (Path(__file__).parent / f"{part.__name__}.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
