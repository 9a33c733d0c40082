"""Diffusion pipelines: a folder with a ``model_index.json`` and one folder for each network."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from advisor.errors import InputError
from advisor.models.config_fields import ConfigFields
from advisor.models.files.adapters import stored_tensors
from advisor.models.files.estimate import ESTIMATE_FACTOR
from advisor.models.files.tensors import Tensor, parameters_of, precision_of
from advisor.models.model import Checkpoint, Model
from advisor.models.networks import NETWORKS, unet, whole_model
from advisor.models.values import Network, Work
from advisor.reading import read_json
from advisor.records import dataclass, replace

INDEX = "model_index.json"
Denoiser = Callable[[ConfigFields, int], Work]
DENOISERS: Mapping[str, Denoiser] = {
    "UNet2DConditionModel": unet.unet,
    "FluxTransformer2DModel": unet.flux,
    "SD3Transformer2DModel": unet.sd3,
    "PixArtTransformer2DModel": unet.pixart,
    "Transformer2DModel": unet.pixart,
}
"""Networks that run once for each step, by class."""
_AUTOENCODER = "AutoencoderKL"
_HINT = "give the folder of the pipeline as it was published, with the config.json of each part"
_LATENT_PIXELS = 8
_FOLDER = re.compile(r"\w[\w.-]{0,254}", re.ASCII)
_PASSED_OVER = ("scheduler", "tokenizer", "feature_extractor", "safety_checker", "image_encoder", "processor")
_PRECISION = "fp16"
"""Precision of pipelines whose weights are not there to look at."""


@dataclass(frozen=True, slots=True)
class _Defaults:
    """Steps of a pipeline, and whether each is run with and without the prompt."""

    steps: int
    passes: int


_DEFAULTS = {
    "StableDiffusion3": _Defaults(28, 2),
    "StableDiffusionXL": _Defaults(50, 2),
    "StableDiffusion": _Defaults(50, 2),
    "Flux": _Defaults(28, 1),
    "PixArt": _Defaults(20, 2),
}
"""By the first words of a pipeline's class: the default arguments of its call in diffusers 0.42."""
_UNDISTILLED = _Defaults(50, 2)
_SCHNELL_STEPS = 4


def pipeline_model(folder: Path, name: str) -> Model:
    """A diffusion model: parameters of all networks, FLOPs of one image at the pipeline's defaults.

    Raises:
        InputError: a part lacks its configuration, or is of a class that is not known and has no weights to look at.
    """
    where = folder / INDEX
    index = read_json(where, "pipeline's index", _HINT)
    if not isinstance(index, dict) or not isinstance(index.get("_class_name"), str):
        raise InputError("field '_class_name' is missing", where=str(where), hint=_HINT)
    parts = {part: str(entry[1]) for part, entry in index.items() if _is_network(part, entry)}
    wrong = next((part for part in parts if not _FOLDER.fullmatch(part)), None)
    if wrong is not None:
        raise InputError(f"the part {wrong[:60]!r} is no name of a folder beside it", where=str(where), hint=_HINT)
    if not parts:
        raise InputError("no part of the pipeline is a network", where=str(where), hint=_HINT)
    read = [_read_part(folder / part, kind) for part, kind in parts.items()]
    return _together(read, index["_class_name"], name, str(where))


def denoiser_model(values: Mapping[str, Any], path: Path, name: str) -> Model:
    """A network of a pipeline by itself: FLOPs of one step, or of decoding."""
    part = _read_part(path.parent, str(values["_class_name"]))
    side = part.side * _LATENT_PIXELS
    done = "one step of" if part.is_denoiser else "decoding"
    network = Network(part.work, "diffusion", f"{done} one image of {side} × {side}")
    model = whole_model(network, part.kind.lower(), name, Checkpoint(_precision(part.tensors)))
    return replace(model, estimate_factor=part.factor)


@dataclass(frozen=True, slots=True)
class _Part:
    """A network of a pipeline."""

    kind: str
    work: Work
    side: int
    """Of the latent image that it takes; 0 for those that take none."""
    tensors: tuple[Tensor, ...]
    factor: float = 1.0
    guided: bool = True
    is_denoiser: bool = False


def _is_network(part: str, entry: object) -> bool:
    named = isinstance(entry, list) and len(entry) == 2 and all(isinstance(word, str) for word in entry)
    return named and not part.startswith(("_", *_PASSED_OVER))


def _read_part(folder: Path, kind: str) -> _Part:
    path = folder / "config.json"
    values = read_json(path, f"configuration of {kind}", _HINT)
    if not isinstance(values, dict):
        raise InputError("a JSON object is expected", where=str(path), hint=_HINT)
    tensors = stored_tensors(folder)
    fields = ConfigFields(values | {"architectures": [kind]}, str(path))
    if kind in DENOISERS:
        side = fields.integer_or(fields.integer_or(128, "default_sample_size"), "sample_size", least=1)
        guided = fields.flag("guidance_embeds", default=True)
        return _Part(kind, DENOISERS[kind](fields, side), side, tensors, guided=guided, is_denoiser=True)
    if kind == _AUTOENCODER:
        side = fields.integer_or(512, "sample_size", least=1) // _LATENT_PIXELS
        return _Part(kind, unet.autoencoder(fields, side * _LATENT_PIXELS), side, tensors)
    reader = NETWORKS.get(fields.text("", "model_type"))
    if reader is not None:
        return _Part(kind, reader(fields).work, 0, tensors)
    if not tensors:
        raise InputError(
            f"networks of class {kind!r} are not known",
            where=str(path),
            hint=f"put its safetensors beside it, whose shapes are then counted; known are {', '.join(DENOISERS)}",
        )
    return _estimated(kind, fields, tensors)


def _estimated(kind: str, fields: ConfigFields, tensors: tuple[Tensor, ...]) -> _Part:
    """A network of which only shapes are known: every matrix at each position of the latent image, or of the prompt."""
    side = fields.integer_or(0, "sample_size", "default_sample_size")
    is_denoiser = "Transformer" in kind or "UNet" in kind
    patch = fields.integer_or(2, "patch_size", least=1)
    positions = ((side or 128) // patch) ** 2 if is_denoiser else 512
    parameters = parameters_of(tensors)
    return _Part(
        kind, Work(parameters, 2.0 * parameters * positions), side, tensors, ESTIMATE_FACTOR, is_denoiser=is_denoiser
    )


def _together(parts: list[_Part], pipeline: str, name: str, where: str) -> Model:
    denoisers = [part for part in parts if part.is_denoiser]
    if not denoisers:
        raise InputError("no part of the pipeline takes steps", where=where, hint=_HINT)
    main = denoisers[0]
    usual = next((defaults for start, defaults in _DEFAULTS.items() if pipeline.startswith(start)), _UNDISTILLED)
    steps = usual.steps if main.guided else _SCHNELL_STEPS
    total = sum(
        (
            part.work.run(steps * usual.passes) if part is main else part.work.run(_passes(part, usual))
            for part in parts
        ),
        Work(),
    )
    side = main.side * _LATENT_PIXELS
    guided = ", guided" if usual.passes == 2 else ""
    sample = f"one image of {side} × {side}, {steps} steps{guided}"
    tensors = tuple(tensor for part in parts for tensor in part.tensors)
    model = whole_model(
        Network(total, "diffusion", sample),
        pipeline.removesuffix("Pipeline").lower(),
        name,
        Checkpoint(_precision(tensors)),
    )
    return replace(
        model, estimate_factor=max(part.factor for part in parts), sample_size=float(side * side * steps) or None
    )


def _passes(part: _Part, defaults: _Defaults) -> int:
    """Times that a part runs for one image: texts with and without the prompt, further denoisers not at all."""
    return 0 if part.is_denoiser else 1 if part.kind == _AUTOENCODER else defaults.passes


def _precision(tensors: tuple[Tensor, ...]) -> str:
    return precision_of(tensors) if tensors else _PRECISION
