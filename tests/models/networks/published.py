"""Networks with what transformers and diffusers count in them, and a pipeline made of them."""

import json
from pathlib import Path

HERE = Path(__file__).parent
NETWORKS = json.loads((HERE / "networks.json").read_text(encoding="utf-8"))
DENOISERS = json.loads((HERE / "denoisers.json").read_text(encoding="utf-8"))
_CONFIGS = {entry["name"]: entry["config"] for entry in NETWORKS + DENOISERS}
_TEXT = {"model_type": "clip_text_model", "vocab_size": 49408, "max_position_embeddings": 77, "num_hidden_layers": 12}
PIPELINE = {
    "model_index.json": {
        "_class_name": "StableDiffusionXLPipeline",
        "_diffusers_version": "0.42.1",
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "image_encoder": [None, None],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    },
    "text_encoder/config.json": _TEXT | {"hidden_size": 768, "intermediate_size": 3072},
    "text_encoder_2/config.json": _CONFIGS["clipt"],
    "unet/config.json": _CONFIGS["sdxl"],
    "vae/config.json": _CONFIGS["vae"] | {"sample_size": 1024},
}
"""stabilityai/stable-diffusion-xl-base-1.0, without its weights."""


def write_pipeline(folder: Path, **changes: object) -> Path:
    """The pipeline in a folder; a part of value None is left out."""
    for name, values in (PIPELINE | changes).items():
        if values is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(json.dumps(values), encoding="utf-8")
    return folder
