"""Diffusion pipelines: a folder with a ``model_index.json`` and one folder for each network, and what the networks do.

Models of an architecture that no builder knows, from the shapes of their tensors and whatever a configuration says.

Parameters and bytes are exact. Layers, widths and cache follow from names that nearly all implementations share; what
cannot be seen (windows, strides, how often a block runs) is why FLOPs and cache lie within :data:`ESTIMATE_FACTOR`.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from advisor.errors import InputError
from advisor.models.config_fields import MOST_LAYERS, ConfigFields
from advisor.models.files.adapters import stored_tensors
from advisor.models.files.tensors import Tensor, bytes_of, parameters_of, precision_of
from advisor.models.model import Checkpoint, Model
from advisor.models.networks import NETWORKS, read_declared, sizes, whole_model
from advisor.models.values import (
    Attended,
    Network,
    Work,
    attention,
    convolution,
    feed_forward,
    linear,
    norm,
    scores,
    table,
)
from advisor.reading import read_json
from advisor.records import dataclass, replace

_FLUX_TOKENS, _SD3_TOKENS, _PIXART_TOKENS = 512, 333, 300
"""Tokens of a prompt: T5's of FLUX; CLIP's 77 and T5's 256 of Stable Diffusion 3; T5's of PixArt-Sigma."""
_STEP_WIDTH = 256
_PROMPT_TOKENS = 77
_MOST_DEPTH = 100


def _width(fields: ConfigFields) -> int:
    return fields.integer("attention_head_dim") * fields.integer("num_attention_heads")


def _embedded(inputs: int, width: int) -> Work:
    """Two matrices that bring the step, the prompt or a size to the hidden width."""
    return linear(inputs, width) + linear(width, width)


def flux(fields: ConfigFields, side: int) -> Work:
    """FluxTransformer2DModel: blocks that keep image and prompt apart, then blocks over both."""
    width, head = _width(fields), fields.integer("attention_head_dim")
    image, text = (side // 2) ** 2, _FLUX_TOKENS
    channels = fields.integer_or(64, "in_channels", least=1)
    total = linear(channels, width, image) + linear(fields.integer_or(4096, "joint_attention_dim"), width, text)
    total += _embedded(_STEP_WIDTH, width).times(1 + fields.flag("guidance_embeds", default=False))
    total += _embedded(fields.integer_or(768, "pooled_projection_dim"), width)
    both = image + text
    double = linear(width, 6 * width).times(2) + norm(head).times(2) + scores(width, both, both)
    for positions in (image, text):
        double += linear(width, width, positions).times(4) + feed_forward(width, 4 * width, positions)
    single = linear(width, 3 * width) + linear(width, width, both).times(3) + norm(head) + scores(width, both, both)
    single += linear(width, 4 * width, both) + linear(5 * width, width, both)
    total += double.times(_count(fields, "num_layers", 19)) + single.times(_count(fields, "num_single_layers", 38))
    patch = fields.integer_or(1, "patch_size", least=1)
    out = fields.integer_or(channels, "out_channels") * patch * patch
    return total + linear(width, 2 * width) + linear(width, out, image)


def sd3(fields: ConfigFields, side: int) -> Work:
    """SD3Transformer2DModel: blocks that keep image and prompt apart; the last drops the prompt."""
    width, head = _width(fields), fields.integer("attention_head_dim")
    patch = fields.integer_or(2, "patch_size", least=1)
    image, text = (side // patch) ** 2, _SD3_TOKENS
    channels, count = fields.integer_or(16, "in_channels", least=1), _count(fields, "num_layers", 18)
    total = linear(channels * patch * patch, width, image)
    total += linear(fields.integer_or(4096, "joint_attention_dim"), width, text)
    total += _embedded(_STEP_WIDTH, width) + _embedded(fields.integer_or(2048, "pooled_projection_dim"), width)
    normed = norm(head).times(2) if fields.text("", "qk_norm") else Work()
    both = image + text
    ours = linear(width, 6 * width) + linear(width, width, image).times(4) + feed_forward(width, 4 * width, image)
    theirs = linear(width, 6 * width) + linear(width, width, text).times(4) + feed_forward(width, 4 * width, text)
    last = linear(width, 2 * width) + linear(width, width, text).times(3)
    total += (ours + normed + scores(width, both, both)).times(count) + theirs.times(count - 1) + last
    again = linear(width, 3 * width) + attention(width, image) + Work(normed.parameters // 2)
    total += again.times(len(fields.items("dual_attention_layers")[:MOST_LAYERS]))
    return total + linear(width, 2 * width) + linear(width, fields.integer_or(16, "out_channels") * patch**2, image)


def pixart(fields: ConfigFields, side: int) -> Work:
    """PixArtTransformer2DModel: a transformer over patches that looks at the prompt in each layer."""
    width, patch = _width(fields), fields.integer_or(2, "patch_size", least=1)
    image, text = (side // patch) ** 2, _PIXART_TOKENS
    total = linear(fields.integer_or(4, "in_channels", least=1) * patch**2, width, image)
    total += _embedded(_STEP_WIDTH, width) + linear(width, 6 * width)
    if fields.flag("use_additional_conditions", default=fields.integer_or(128, "sample_size") == 128):
        total += _embedded(_STEP_WIDTH, width // 3).times(2)
    total += linear(fields.integer_or(4096, "caption_channels"), width, text) + linear(width, width, text)
    layer = attention(width, image) + attention(width, image, over=Attended(image, text, width))
    layer += feed_forward(width, 4 * width, image) + table(6, width)
    total += layer.times(_count(fields, "num_layers", 28)) + table(2, width)
    return total + linear(width, fields.integer_or(8, "out_channels") * patch**2, image)


def _count(fields: ConfigFields, name: str, default: int) -> int:
    return min(fields.integer_or(default, name), MOST_LAYERS)


@dataclass(frozen=True, slots=True)
class _Stage:
    """Blocks at one resolution."""

    width: int
    layers: int
    depth: int
    """Transformer layers behind each block; 0: none."""
    context: int
    """Width of the prompt's hidden states."""
    positions: float


def unet(fields: ConfigFields, side: int) -> Work:
    """UNet2DConditionModel: one step for one latent image of *side* × *side*."""
    widths = sizes(fields, "block_out_channels")
    kinds = [str(kind) for kind in fields.items("down_block_types")]
    layers = _each(fields, "layers_per_block", 2, len(widths))
    depths = _each(fields, "transformer_layers_per_block", 1, len(widths))
    contexts = _each(fields, "cross_attention_dim", 1280, len(widths))
    stages = []
    for at, width in enumerate(widths):
        attends = "CrossAttn" in kinds[at] if at < len(kinds) else at < len(widths) - 1
        positions = (side / 2**at) ** 2
        stages.append(_Stage(width, layers[at], depths[at] if attends else 0, contexts[at], positions))
    time = 4 * widths[0]
    total = convolution(fields.integer_or(4, "in_channels", least=1), widths[0], 9, side * side)
    total += linear(widths[0], time) + linear(time, time)
    if fields.text("", "addition_embed_type") == "text_time":
        total += linear(fields.integer("projection_class_embeddings_input_dim"), time) + linear(time, time)
    inputs, skips = widths[0], [widths[0]]
    for number, stage in enumerate(stages):
        for _ in range(stage.layers):
            total += _residual(inputs, stage.width, time, stage.positions) + _attending(stage)
            inputs = stage.width
            skips.append(inputs)
        if number < len(stages) - 1:
            total += convolution(inputs, inputs, 9, stage.positions / 4)
            skips.append(inputs)
    last = stages[-1]
    middle = last if last.depth else replace(last, depth=depths[-1])
    total += _residual(inputs, inputs, time, last.positions).times(2) + _attending(middle)
    total += _upwards(stages, skips, time)
    return total + norm(widths[0]) + convolution(widths[0], fields.integer_or(4, "out_channels"), 9, side * side)


def _upwards(stages: Sequence[_Stage], skips: list[int], time: int) -> Work:
    """The way back: one block more at each resolution, each beside what the way down left."""
    total, inputs = Work(), stages[-1].width
    for number, stage in enumerate(reversed(stages)):
        for _ in range(stage.layers + 1):
            total += _residual(inputs + skips.pop(), stage.width, time, stage.positions) + _attending(stage)
            inputs = stage.width
        if number < len(stages) - 1:
            total += convolution(inputs, inputs, 9, stage.positions * 4)
    return total


def _residual(inputs: int, outputs: int, time: int, positions: float) -> Work:
    """Two convolutions, the step's embedding between them (none in an autoencoder), and a shortcut."""
    body = norm(inputs) + convolution(inputs, outputs, 9, positions) + norm(outputs)
    body += convolution(outputs, outputs, 9, positions) + (linear(time, outputs) if time else Work())
    return body + (linear(inputs, outputs, positions) if inputs != outputs else Work())


def _attending(stage: _Stage) -> Work:
    """A transformer over all positions, which also looks at the prompt."""
    if not stage.depth:
        return Work()
    width, positions = stage.width, stage.positions
    layer = attention(width, positions, bias=1) + norm(width).times(3)
    layer += attention(width, positions, bias=1, over=Attended(positions, _PROMPT_TOKENS, stage.context))
    layer += linear(width, 8 * width, positions) + linear(4 * width, width, positions)
    return layer.times(stage.depth) + norm(width) + linear(width, width, positions).times(2)


def _each(fields: ConfigFields, name: str, default: int, count: int) -> list[int]:
    """One number for each stage, however it is written."""
    listed = sizes(fields, name) if fields.items(name) else [fields.integer_or(default, name, least=1)]
    shown = (listed * count if len(listed) == 1 else listed + listed[-1:] * count)[:count]
    return [min(number, _MOST_DEPTH) if name != "cross_attention_dim" else number for number in shown]


def autoencoder(fields: ConfigFields, side: int) -> Work:
    """AutoencoderKL: parameters of both halves, FLOPs of decoding one image of *side* × *side*."""
    widths, layers = sizes(fields, "block_out_channels"), _each(fields, "layers_per_block", 1, 1)[0]
    latent, colours = fields.integer_or(4, "latent_channels", least=1), fields.integer_or(3, "out_channels", least=1)
    lowest = float((side >> (len(widths) - 1)) ** 2)
    encoder = _half(widths, layers, lowest * 4 ** (len(widths) - 1), 0.25)
    encoder += convolution(colours, widths[0], 9, 0) + convolution(widths[-1], 2 * latent, 9, 0) + norm(widths[-1])
    decoder = _half(widths[::-1], layers + 1, lowest, 4.0)
    decoder += convolution(latent, widths[-1], 9, lowest) + norm(widths[0])
    decoder += convolution(widths[0], colours, 9, lowest * 4 ** (len(widths) - 1))
    if fields.flag("use_quant_conv", default=True):
        encoder += linear(2 * latent, 2 * latent)
        decoder += linear(latent, latent, lowest)
    return Work(encoder.parameters) + decoder


def _half(widths: Sequence[int], layers: int, positions: float, growth: float) -> Work:
    """Blocks from one end to the other, resampled between them, with attention at the lowest resolution."""
    deepest = max(widths)
    lowest = positions if growth > 1 else positions * growth ** (len(widths) - 1)
    middle = _residual(deepest, deepest, 0, lowest).times(2) + attention(deepest, lowest) + norm(deepest)
    total, inputs = middle, widths[0]
    for number, width in enumerate(widths):
        for _ in range(layers):
            total += _residual(inputs, width, 0, positions)
            inputs = width
        if number < len(widths) - 1:
            positions *= growth
            total += convolution(width, width, 9, positions)
    return total


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
_NAMES = {
    "num_attention_heads": ("num_attention_heads", "n_head", "num_heads", "n_heads"),
    "max_position_embeddings": ("max_position_embeddings", "n_positions", "seq_length", "max_seq_len"),
    "num_experts_per_tok": ("num_experts_per_tok", "moe_topk", "top_k_experts", "experts_per_token"),
}
"""Names that a field also has."""


def estimated_model(tensors: Sequence[Tensor], config: Mapping[str, Any], name: str, where: str) -> Model:
    """A model with exact totals and estimated structure, by the tensors of all its files."""
    task = _task(tensors, config)
    fields = _declared_fields(tensors, config, caches=task == "llm")
    checkpoint = Checkpoint(precision_of(tensors), file_bytes=bytes_of(tensors))
    family = str(config.get("model_type") or "") or "of unknown architecture"
    model = read_declared(ConfigFields(fields, where), name, checkpoint)
    source = "estimated from tensor shapes"
    model = replace(model, family=family, task=task, estimate_factor=ESTIMATE_FACTOR, source=source)
    if task == "asr":
        return replace(model, sample="not known: strides of audio stand in no tensor")
    if task != "vision":
        return model
    positions = _longest(tensors, _POSITIONS, -2)
    if not positions:
        return replace(model, sample="not known: strides and sizes of images stand in no tensor; give an ONNX file")
    scores = 4.0 * model.hidden * positions**2 * model.n_layers
    matrices = parameters_of(t for t in tensors if len(t.shape) >= 2 and not _POSITIONS.search(t.name))
    flop = 2.0 * matrices * positions + scores
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
        (t for t in tensors if _EMBEDDING.search(t.name) and len(t.shape) == 2),
        key=attrgetter("elements"),
        default=None,
    )
    vocab, hidden = embedding.shape if embedding else (0, _most_common_width(tensors))
    layers = _layers(tensors)
    fields: dict[str, Any] = {
        name: next((config[other] for other in _NAMES.get(name, (name,)) if config.get(other) is not None), None)
        for name in _COPIED
    }
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


def _experts(tensors: Sequence[Tensor], fields: Mapping[str, Any]) -> dict[str, int]:
    """Routed experts, where their number per token is known."""
    routed = [t for t in tensors if _EXPERTS.search(t.name) and len(t.shape) >= 2 and t.elements]
    if not routed or not fields["num_experts_per_tok"]:
        return {}
    largest = max(routed, key=attrgetter("elements"))
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


def _most_common_width(tensors: Sequence[Tensor]) -> int:
    """Width that most vectors have: norms and biases are as wide as the hidden state."""
    widths = Counter(tensor.shape[0] for tensor in tensors if len(tensor.shape) == 1)
    return widths.most_common(1)[0][0] if widths else 0


INDEX = "model_index.json"
Denoiser = Callable[[ConfigFields, int], Work]
DENOISERS: Mapping[str, Denoiser] = {
    "UNet2DConditionModel": unet,
    "FluxTransformer2DModel": flux,
    "SD3Transformer2DModel": sd3,
    "PixArtTransformer2DModel": pixart,
    "Transformer2DModel": pixart,
}
"""Networks that run once for each step, by class."""
_AUTOENCODER = "AutoencoderKL"
_HINT = "give the folder of the pipeline as it was published, with the config.json of each part"
_LATENT_PIXELS = 8
_FOLDER = re.compile(r"\w[\w.-]{0,254}", re.ASCII)
_PASSED_OVER = ("scheduler", "tokenizer", "feature_extractor", "safety_checker", "image_encoder", "processor")
_PRECISION = "fp16"
"""Precision of pipelines whose weights are not there to look at."""
_DEFAULTS = {
    "StableDiffusion3": (28, 2),
    "StableDiffusionXL": (50, 2),
    "StableDiffusion": (50, 2),
    "Flux": (28, 1),
    "PixArt": (20, 2),
}
"""Steps, and passes of each (2: with and without the prompt), by the first words of a pipeline's class: the default
arguments of its call in diffusers 0.42."""
_UNDISTILLED = (50, 2)
_SCHNELL_STEPS = 4


def pipeline_model(folder: Path, name: str) -> Model:
    """A diffusion model: parameters of all networks, FLOPs of one image at the pipeline's defaults.

    Raises InputError if a part lacks its configuration, or is of a class that is not known and has no weights to look
    at.
    """
    where = folder / INDEX
    index = read_json(where, "pipeline's index", _HINT)
    if not isinstance(index, dict) or not isinstance(index.get("_class_name"), str):
        raise InputError("field '_class_name' is missing", where=str(where), hint=_HINT)
    parts = {
        part: entry[1]
        for part, entry in index.items()
        if not part.startswith(("_", *_PASSED_OVER))
        and isinstance(entry, list)
        and list(map(type, entry)) == [str, str]
    }
    wrong = next((part for part in parts if not _FOLDER.fullmatch(part)), None)
    if wrong is not None:
        raise InputError(f"the part {wrong[:60]!r} is not the name of a folder beside it", where=str(where), hint=_HINT)
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
    model = whole_model(
        network, part.kind.lower(), name, Checkpoint(precision_of(part.tensors) if part.tensors else _PRECISION)
    )
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
        return _Part(kind, autoencoder(fields, side * _LATENT_PIXELS), side, tensors)
    reader = NETWORKS.get(fields.text("", "model_type"))
    if reader is not None:
        return _Part(kind, reader(fields).work, 0, tensors)
    if not tensors:
        hint = f"put its safetensors beside it, whose shapes are then counted; known are {', '.join(DENOISERS)}"
        raise InputError(f"networks of class {kind!r} are not known", where=str(path), hint=hint)
    return _estimated(kind, fields, tensors)


def _estimated(kind: str, fields: ConfigFields, tensors: tuple[Tensor, ...]) -> _Part:
    """A network of which only shapes are known: every matrix at each position of the latent image, or of the prompt."""
    side = fields.integer_or(0, "sample_size", "default_sample_size")
    is_denoiser = "Transformer" in kind or "UNet" in kind
    patch = fields.integer_or(2, "patch_size", least=1)
    positions = ((side or 128) // patch) ** 2 if is_denoiser else 512
    parameters = parameters_of(tensors)
    work = Work(parameters, 2.0 * parameters * positions)
    return _Part(kind, work, side, tensors, ESTIMATE_FACTOR, is_denoiser=is_denoiser)


def _together(parts: list[_Part], pipeline: str, name: str, where: str) -> Model:
    denoisers = [part for part in parts if part.is_denoiser]
    if not denoisers:
        raise InputError("no part of the pipeline takes steps", where=where, hint=_HINT)
    main = denoisers[0]
    usual = next((defaults for start, defaults in _DEFAULTS.items() if pipeline.startswith(start)), _UNDISTILLED)
    steps, passes = usual[0] if main.guided else _SCHNELL_STEPS, usual[1]
    total = Work()
    for part in parts:
        if part is main:
            total += part.work.run(steps * passes)
        elif not part.is_denoiser:  # further denoisers do not run; texts do with and without the prompt
            total += part.work.run(1 if part.kind == _AUTOENCODER else passes)
    side = main.side * _LATENT_PIXELS
    sample = f"one image of {side} × {side}, {steps} steps{', guided' if passes == 2 else ''}"
    tensors = tuple(tensor for part in parts for tensor in part.tensors)
    network, family = Network(total, "diffusion", sample), pipeline.removesuffix("Pipeline").lower()
    model = whole_model(network, family, name, Checkpoint(precision_of(tensors) if tensors else _PRECISION))
    factor = max(part.factor for part in parts)
    return replace(model, estimate_factor=factor, sample_size=float(side * side * steps) or None)
