"""Headers of GGUF, llama.cpp's format: metadata by name, then name, shape and block type of each tensor.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (2026-11), versions 2 and 3.
"""

import re
import struct
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from advisor.errors import InputError
from advisor.models.config import model_from_config
from advisor.models.files.pipelines import estimated_model
from advisor.models.files.tensors import (
    MOST_ELEMENTS,
    MOST_NAME,
    Cursor,
    CutOff,
    Tensor,
    bytes_of,
    mapped,
    parameters_of,
    precision_of,
)
from advisor.models.model import Checkpoint, Model
from advisor.models.weights import GGUF_BLOCKS, gguf_quantisations
from advisor.records import dataclass, replace

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MOST_ENTRIES, _MOST_TENSORS, _MOST_WALKED, _MOST_DIMENSIONS, _MOST_PARTS = 65_536, 100_000, 3_000_000, 4, 1000
"""Values of lists that are walked in all: the largest vocabularies have 262,000 tokens, and 515,000 merges."""
_MOST_KEY, _MOST_KEPT = 65_535, 4096
_PART = re.compile(r"(.*)-(\d{1,5})-of-(\d{1,5})", re.ASCII | re.DOTALL)
_HINT = "download the file again, or convert the model anew with llama.cpp"
_NUMBERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9

Value = int | float | str | list[int | float]
_MODEL_TYPES = {
    "qwen2moe": "qwen2_moe", "qwen3moe": "qwen3_moe", "gptneox": "gpt_neox", "command-r": "cohere",
    "gpt-oss": "gpt_oss", "mistral3": "mistral", "nomic-bert": "nomic_bert",
    **{name: name for name in (
        "llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "phi3", "gpt2", "falcon", "bert", "starcoder2",
        "stablelm", "cohere2", "olmo2", "internlm2", "granite", "seed_oss", "smollm3",
    )},
}  # fmt: skip
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


@dataclass(frozen=True, slots=True)
class Gguf:
    """Header of a GGUF file."""

    metadata: dict[str, Value]
    """Numbers, and short texts and lists of numbers, by name."""
    lengths: dict[str, int]
    """Lengths of lists, such as the vocabulary's."""
    tensors: tuple[Tensor, ...]

    def number(self, name: str) -> int:
        """A whole number of the metadata; 0 where there is none. The largest, where layers differ."""
        value = self.metadata.get(name, 0)
        if isinstance(value, list):
            value = max(value, default=0)
        return int(value) if isinstance(value, (int, float)) and abs(value) < MOST_ELEMENTS else 0


def _read_gguf(path: Path) -> Gguf:
    """Header of a file, with the tensors of all its parts where it is split."""
    first, *others = _parts(path)
    header = _read(first)
    tensors = list(header.tensors)
    for part in others:
        tensors += _read(part).tensors
        if len(tensors) > _MOST_TENSORS:
            fault = f"{len(tensors):,} tensors; {_MOST_TENSORS:,} are the most that a model may have"
            raise InputError(fault, where=str(part), hint=_HINT)
    return Gguf(header.metadata, header.lengths, tuple(tensors))


def _parts(path: Path) -> list[Path]:
    """``x-00001-of-00003.gguf`` and its siblings, or the file alone."""
    match = _PART.fullmatch(path.stem)
    if match is None or not 1 <= int(match[3]) <= _MOST_PARTS:
        return [path]
    base, number, total = match.groups()
    parts = [path.with_name(f"{base}-{part:0{len(number)}d}-of-{total}.gguf") for part in range(1, int(total) + 1)]
    absent = next((part for part in parts if not part.is_file()), None)
    if absent is not None:
        raise InputError(f"the part {absent.name} is missing", where=str(path), hint="keep all parts in one folder")
    return parts


def _read(path: Path) -> Gguf:
    data = mapped(path, "GGUF file", _HINT)
    try:
        return _Reader(Cursor(data)).header()
    except (CutOff, struct.error) as error:
        raise InputError(f"no sound GGUF header: {error}", where=str(path), hint=_HINT) from error


class _Reader:
    """One pass over a header."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.walked = 0
        self.metadata: dict[str, Value] = {}
        self.lengths: dict[str, int] = {}

    def header(self) -> Gguf:
        cursor = self.cursor
        if bytes(cursor.take(4)) != MAGIC:
            raise CutOff("it does not begin with GGUF")
        version = cursor.number("<I")
        if version not in _VERSIONS:
            raise CutOff(f"version {version} is not known; known are 2 and 3")
        tensors, entries = cursor.number("<Q"), cursor.number("<Q")
        if tensors > _MOST_TENSORS or entries > _MOST_ENTRIES:
            told = f"{tensors:,} tensors and {entries:,} entries"
            raise CutOff(f"{told}; {_MOST_TENSORS:,} and {_MOST_ENTRIES:,} are most")
        for _ in range(entries):
            self._entry()
        listed = [self._tensor() for _ in range(tensors)]
        alignment = self.metadata.get("general.alignment", 32)
        step = alignment if isinstance(alignment, int) and 0 < alignment <= 2**20 else 32
        start = -(-self.cursor.at // step) * step
        needed = start + max((end for _, end in listed), default=0)
        if needed > len(self.cursor.data):
            raise CutOff(f"its tensors need {needed:,} bytes, the file has {len(self.cursor.data):,}")
        return Gguf(self.metadata, self.lengths, tuple(tensor for tensor, _ in listed))

    def _entry(self) -> None:
        name = self.cursor.text(self.cursor.number("<Q"), _MOST_KEY)
        kind = self.cursor.number("<I")
        if kind == _ARRAY:
            self._list(name)
        elif kind == _STRING:
            text = self.cursor.take(self.cursor.number("<Q"))
            if len(text) <= _MOST_KEPT:
                self.metadata[name] = bytes(text).decode("utf-8", "replace")
        else:
            if kind not in _NUMBERS:
                raise CutOff(f"a value of type {kind} before byte {self.cursor.at:,}")
            form = _NUMBERS[kind]
            self.metadata[name] = struct.unpack(form, self.cursor.take(struct.calcsize(form)))[0]

    def _list(self, name: str) -> None:
        """A list: its length is kept, and short ones of numbers whole."""
        kind, count = self.cursor.number("<I"), self.cursor.number("<Q")
        self.lengths[name] = count
        if kind in _NUMBERS and count > _MOST_KEPT:
            self.cursor.take(count * struct.calcsize(_NUMBERS[kind]))
            return
        self.walked += count
        if kind not in (_STRING, *_NUMBERS) or self.walked > _MOST_WALKED:
            raise CutOff(
                f"list {name[:60]!r} of {count:,} values of type {kind}; numbers and texts are read, "
                f"{_MOST_WALKED:,} of them in all lists"
            )
        if kind in _NUMBERS:
            data = self.cursor.take(count * struct.calcsize(_NUMBERS[kind]))
            self.metadata[name] = [value for (value,) in struct.iter_unpack(_NUMBERS[kind], data)]
            return
        for _ in range(count):
            self.cursor.take(self.cursor.number("<Q"))

    def _tensor(self) -> tuple[Tensor, int]:
        """A tensor, and the byte of the data that it ends before."""
        name = self.cursor.text(self.cursor.number("<Q"), MOST_NAME)
        count = self.cursor.number("<I")
        if count > _MOST_DIMENSIONS:
            raise CutOff(f"tensor {name[:60]!r} has {count:,} dimensions; 4 are the most")
        shape = tuple(self.cursor.number("<Q") for _ in range(count))[::-1]  # the format lists the innermost first
        kind, offset = self.cursor.number("<I"), self.cursor.number("<Q")
        storage, block, size = GGUF_BLOCKS.get(kind, ("", 1, 0))
        tensor = Tensor(name, shape, storage, 8 * size / block)
        if not storage or tensor.elements > MOST_ELEMENTS or (shape and shape[-1] % block):
            raise CutOff(f"tensor {name[:60]!r} of type {kind} and shape {list(shape)} is none that blocks can hold")
        return tensor, offset + tensor.bytes


def gguf_model(path: Path, name: str) -> Model:
    """Model of a GGUF file, or all parts of one. Raises InputError if one is missing, cut off or contradictory."""
    file = _read_gguf(path)
    total = parameters_of(file.tensors)
    if not total:
        hint = "give the file of the model, not of its tokeniser"
        raise InputError("the file holds no weights", where=str(path), hint=hint)
    config = _config(file)
    model = None
    with suppress(InputError):  # no builder, or the metadata lacks what it needs
        model = model_from_config(config, name=name, where=str(path))
    if model is None or abs(model.parameters_total - total) > _TOLERANCE * total:
        model = estimated_model(file.tensors, config, name, str(path))
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
    types = (tensor.shape[0] for tensor in file.tensors if tensor.name == "token_types.weight" and tensor.shape)
    values["type_vocab_size"] = next(types, 0)
    values["model_type"] = _MODEL_TYPES.get(architecture, architecture)
    is_encoder = "bert" in architecture or architecture.endswith(("encoder", "embedding"))
    values["architectures"] = [] if is_encoder else [f"{architecture}ForCausalLM"]  # all others write token by token
    return values
