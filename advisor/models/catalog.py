"""Finding a model: by a catalogued name, by another name of it, or by the path of a file or folder that holds it.

A row of ``models.csv`` is a configuration written as a table row: the columns hold the fields that nearly every model
has, ``config`` the others under their HuggingFace names. Both are read by the same code.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from advisor.data_files import data_dir
from advisor.errors import InputError
from advisor.models.config import checkpoint_of_name, class_scores, exported_inputs, model_from_config, read_checkpoint
from advisor.models.config_fields import ConfigFields
from advisor.models.model import ENDINGS, FORMATS, Checkpoint, Model, Scope, TextAnswer
from advisor.models.networks import DECLARED, read_declared
from advisor.models.values import answering
from advisor.records import replace
from advisor.tables import Row, optional_float, read_rows

_FIELD_OF_COLUMN = {
    "layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "attention_heads": "num_attention_heads",
    "key_value_heads": "num_key_value_heads",
    "head_dimension": "head_dim",
    "vocabulary_size": "vocab_size",
    "window_tokens": "sliding_window",
    "experts": "num_experts",
    "experts_per_token": "num_experts_per_tok",
    "expert_intermediate_size": "moe_intermediate_size",
    "max_context_tokens": "max_position_embeddings",
}
_SAME_SIZE = 1e-4
"""Parameters of a network and of its catalogued namesake differ by less."""
_REPACK = re.compile(
    r"[-_.]?(fp8([-_](dynamic|static|kv|per-tensor|block|w8a8))*|nvfp4|mxfp4|fp4|bf16|gguf|awq([-_]?(int4|4bit))?"
    r"|gptq([-_]?(int4|int8|4bit|8bit))?|quantized\.w\d+a\d+|w\d+a\d+|int[48]|autoround|unsloth|bnb|[48]bit"
    r"|marlin|q4_0|qat|ct)$",
)
_VARIANT = re.compile(r"-(instruct|chat|it|base|hf|pt|thinking|\d{4})$")


def find_model(name: str) -> Model:
    """The model of a catalogued name (in any case, with or without its owner), or of a file or folder.

    Raises InputError if the name is not known, or the file cannot be read.
    """
    path = Path(name)
    if path.suffix == ".json" or (name.strip() and _holds_model(path)):
        return _from_file(path.resolve())
    if path.suffix in ENDINGS and _lookup(name.strip().lower()) is None:
        return _model_at(path)
    return _from_catalog(name)


def _holds_model(path: Path) -> bool:
    """Whether there is a file of this path, or a folder with a model in it; a name may be too long for a path."""
    with suppress(OSError):
        if path.exists():
            from advisor.models.files import holds_model  # noqa: PLC0415 - loaded only where there is something to read

            return holds_model(path)
    return False


def _model_at(path: Path) -> Model:
    from advisor.models.files import model_at  # noqa: PLC0415 - as above

    return model_at(path)


def catalogued_name(name: str) -> str:
    """The name that the catalog has for a model, whatever its tuning and storage; "" for one that it does not know."""
    row = _lookup(name.strip().lower())
    return "" if row is None else row["name"]


def model_names() -> tuple[str, ...]:
    """Every catalogued name, other names of the same models not."""
    return tuple(row["name"] for row in _rows().values())


@lru_cache(maxsize=256)
def _from_file(path: Path) -> Model:
    """The model of a file, under its catalogued family where it is one: measurements and FLOPs are then the same."""
    model = _model_at(path)
    return _in_family(model) if model.hidden else _as_catalogued(model)


def _in_family(model: Model) -> Model:
    """A decoder in the catalogued family of the first model that is built alike, whatever its tuning and storage."""
    built = (model.family, model.task, str(model.hidden))
    for row in _rows().values():
        if (row["model_type"], row["task"], row["hidden_size"]) == built:
            catalogued = _from_row(row["name"])
            if (catalogued.layers, catalogued.parameters_total) == (model.layers, model.parameters_total):
                return replace(model, family=catalogued.family)
    return model


def _as_catalogued(model: Model) -> Model:
    """A network of which only totals count, with what is catalogued for one of its kind and size."""
    for row in _rows().values():
        published = int(row["published_parameters_total"] or 0)
        if row["task"] == model.task and published and abs(published / model.parameters_total - 1) < _SAME_SIZE:
            model = replace(model, family=row["family"])
            flop = optional_float(row["flop_per_sample"])
            if flop is None:
                return model
            return replace(model, flop_per_sample=flop, sample="", source=row["source"], estimate_factor=1.0)
    return model


@lru_cache(maxsize=1024)
def _from_catalog(name: str) -> Model:
    key = name.strip().lower()
    row = _lookup(key)
    if row is None:
        raise _unknown(name)
    model = _from_row(row["name"])
    exact = row["name"].lower() == key
    checkpoint = model.checkpoint if exact else checkpoint_of_name(key, model.checkpoint)
    return model if exact else replace(model, checkpoint=checkpoint, name=name.strip())


def _lookup(key: str) -> Row | None:
    """The row of a name: as it stands, by another name, without its owner, without the marks of a repack."""
    bare = key.rpartition("/")[2]
    by_bare = _by_bare_name()
    for candidate in (key, _aliases().get(key, ""), bare, *_without_marks(bare)):
        row = _rows().get(candidate) or _rows().get(_aliases().get(candidate, "")) or by_bare.get(candidate)
        if row is not None:
            return row
    return None


def _without_marks(bare: str) -> list[str]:
    """The name less the marks of quantisation, then less those of tuning: the architecture is the same."""
    names = []
    while (shorter := _REPACK.sub("", bare)) != bare:
        bare = shorter
        names.append(bare)
    stem = bare.removeprefix("meta-")
    names += [stem, f"meta-{stem}"]
    while (shorter := _VARIANT.sub("", stem)) != stem:
        stem = shorter
        names += [stem, f"meta-{stem}"]
    return names + [f"{stem}{variant}" for variant in ("-instruct", "-chat", "-it", "-base", "-hf")]


@lru_cache(maxsize=1)
def _rows() -> Mapping[str, Row]:
    return {row["name"].lower(): row for row in read_rows(data_dir("instance_catalog") / "models.csv")}


@lru_cache(maxsize=1)
def _by_bare_name() -> Mapping[str, Row]:
    """Rows by name without owner, where that is one model only; the first row wins, as the original is listed first."""
    bare: dict[str, Row] = {}
    for name, row in _rows().items():
        bare.setdefault(name.rpartition("/")[2], row)
    for alias, target in _aliases().items():
        bare.setdefault(alias.rpartition("/")[2], _rows()[target])
    return bare


@lru_cache(maxsize=1)
def _aliases() -> Mapping[str, str]:
    path = data_dir("instance_catalog") / "model_aliases.csv"
    return {row["alias"].lower(): row["model"].lower() for row in read_rows(path)}


@lru_cache(maxsize=1024)
def _from_row(name: str) -> Model:
    row = _rows()[name.lower()]
    values: dict[str, Any] = {field: int(row[column]) for column, field in _FIELD_OF_COLUMN.items() if row[column]}
    values["model_type"] = row["model_type"]
    if row["tied_embeddings"]:
        values["tie_word_embeddings"] = row["tied_embeddings"] == "yes"
    if row["model_type"] == DECLARED:
        values["parameters_total"] = int(row["published_parameters_total"])
    values.update(json.loads(row["config"]) if row["config"] else {})
    where = f"models.csv: {name}"
    active = row["published_parameters_active"]
    block = read_checkpoint(ConfigFields(values, where)).block
    checkpoint = Checkpoint(row["checkpoint_precision"], Scope(row["checkpoint_scope"]), block=block)
    if row["model_type"] == DECLARED:
        fields = ConfigFields(values, where)
        model = read_declared(fields, name, checkpoint)
        model = replace(model, inputs=exported_inputs(row["family"], fields), outputs=class_scores(fields))
    else:
        towers = int(row["tower_parameters"] or 0)
        model = model_from_config(values, name=name, where=where, towers=towers)
        answer = TextAnswer(values.get("answer", model.answer))
        model = answering(model, answer, row["model_type"], values.get("colbert_dim"))
    return replace(
        model,
        family=row["family"],
        task=row["task"],
        checkpoint=checkpoint,
        flop_per_sample=optional_float(row["flop_per_sample"]),
        declared_parameters_active=int(active) if active else None,
        source=row["source"],
    )


def _unknown(name: str) -> InputError:
    names = [*model_names(), *_aliases()]
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    if not near:
        bare = {candidate.rpartition("/")[2].lower(): candidate for candidate in names}
        near = [bare[match] for match in get_close_matches(name.lower().rpartition("/")[2], bare, n=3, cutoff=0.5)]
    return InputError(
        f"model {name!r} is not known",
        hint=f"did you mean {', '.join(near)}? Any other model can be given as the path of a file of it"
        if near
        else f"give the path of a file of it instead: {FORMATS}",
    )
