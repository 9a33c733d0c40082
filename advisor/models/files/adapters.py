"""Adapters of the PEFT library (LoRA and its kin): weights that are added to those of another model, and no model."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advisor.errors import InputError
from advisor.models.adapters import with_adapters
from advisor.models.files.tensors import INDEX_ENDING, Tensor, bytes_of, parameters_of, read_safetensors
from advisor.models.model import ALL, MOST_RANK, Adapters, Model, NamedAdapter
from advisor.names import printable
from advisor.reading import read_json
from advisor.records import dataclass
from advisor.units import BYTES_PER_MB

_USUAL = ("model", "diffusion_pytorch_model", "pytorch_model", "consolidated")
"""Names of weights before their ending; others in the same folder are adapters and variants."""


def weight_file(folder: Path) -> Path | None:
    """Index or safetensors file of a folder's weights; None: there is none. Raises InputError if there are several."""
    for pattern in (f"*{INDEX_ENDING}", "*.safetensors"):
        files = sorted(path for path in folder.glob(pattern) if path.is_file())
        usual = [path for name in _USUAL for path in files if path.name.split(".")[0] == name]
        if usual:
            return min(usual, key=lambda path: (len(path.name), path.name))
        if len(files) == 1:
            return files[0]
        if files:
            names = ", ".join(path.name for path in files[:3])
            fault = f"{len(files)} files could hold the weights: {names}"
            raise InputError(fault, where=str(folder), hint="give one of them")
    return None


def stored_tensors(folder: Path) -> tuple[Tensor, ...]:
    """Tensors of a folder's weights; none where it has no safetensors."""
    file = weight_file(folder)
    return () if file is None else read_safetensors(file)


_CONFIG = "adapter_config.json"
_MODEL = "config.json"
_START = "adapter_model."
_LONGEST_NAME = 100
_HINT = "download it again; an adapter's configuration names the base, which is what to plan"
_LORA = "LORA"
_NOT_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class _AdapterFiles:
    """Files of an adapter, and its configuration."""

    path: Path
    folder: Path
    fields: Mapping[str, Any]

    @property
    def base(self) -> str:
        """Model that it was trained on; "": it names none."""
        return _text(self.fields.get("base_model_name_or_path"))

    def refusal(self, reason: str, remedy: str = "") -> InputError:
        """The error of an adapter that is not planned."""
        of = f"of {self.base}" if self.base else "that names no base"
        kind = _text(self.fields.get("peft_type")) or "PEFT"
        base = self.base or "the model that it was trained on"
        hint = remedy or f"plan its base, model: {base}{_size_words(self.path, self.folder)}"
        return InputError(f"this is an adapter ({kind}) {of}, and {reason}", where=str(self.path), hint=hint)


def holds_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter."""
    return (folder / _CONFIG).is_file()


def adapted_model(path: Path) -> Model | None:
    """The base of an adapter with the adapter on it; None where a path is none of an adapter's.

    *path*: a folder that holds an adapter and no model, its configuration, or its weights. Raises InputError if the
    adapter is of a kind that engines do not serve, or its base is not known.
    """
    files = _files_of(path)
    if files is None:
        return None
    adapter = _lora(files)
    if not adapter.base:
        raise files.refusal("what it changes is not known", "name the base: model, with this adapter under adapters")
    from advisor.models.catalog import catalogued_name, find_model  # noqa: PLC0415 - it reads files through this module

    if not catalogued_name(adapter.base):
        hint = "give the base under model, by name or as a file, and this folder under adapters: [{path: …}]"
        raise files.refusal("that base is not known by this name", hint)
    base = find_model(adapter.base)
    return with_adapters(base, Adapters(1, adapter.rank, adapter.target_modules, named=(adapter,)))


def read_adapter(path: Path) -> NamedAdapter:
    """LoRA adapter of a folder. Raises InputError if there is none, or it is of a kind that engines do not serve."""
    files = _files_of(path)
    if files is None:
        hint = f"give a folder that holds {_CONFIG}, as PEFT's save_pretrained writes it"
        raise InputError("there is no adapter", where=str(path), hint=hint)
    return _lora(files)


def _files_of(path: Path) -> _AdapterFiles | None:
    folder = path if path.is_dir() else path.parent
    is_file = path != folder and (path.name == _CONFIG or path.name.startswith(_START))
    is_adapter = is_file or (path == folder and not (folder / _MODEL).is_file())
    if not is_adapter or not holds_adapter(folder):
        return None
    values = read_json(folder / _CONFIG, "adapter's configuration", _HINT)
    return _AdapterFiles(path, folder, values if isinstance(values, dict) else {})


def _lora(files: _AdapterFiles) -> NamedAdapter:
    """The adapter, where engines serve its kind: vLLM and SGLang take plain LoRA on linear modules."""
    fields = files.fields
    if _text(fields.get("peft_type")) != _LORA:
        raise files.refusal("engines serve LoRA alone beside its base")
    merge = "merge it into its base (PEFT's merge_and_unload) and plan the merged model"
    for name, words in (("use_dora", "DoRA"), ("modules_to_save", "modules that it replaces whole (modules_to_save)")):
        if fields.get(name):
            raise files.refusal(f"engines do not serve {words}", merge)
    if fields.get("bias") not in (None, "none"):
        raise files.refusal("engines do not serve adapters with biases", merge)
    folder = files.folder.resolve()
    pattern = files.fields.get("rank_pattern")
    ranks = [files.fields.get("r"), *(pattern.values() if isinstance(pattern, dict) else ())]
    whole = [rank for rank in ranks if isinstance(rank, int) and 1 <= rank <= MOST_RANK]
    if len(whole) < len(ranks):
        raise files.refusal(f"its rank (r) is not a whole number from 1 to {MOST_RANK:,}")
    stated = fields.get("target_modules")
    names = [_text(name) for name in stated] if isinstance(stated, list) else []
    last = sorted({name.rpartition(".")[2] for name in names if name})
    file = weight_file(files.folder)
    parameters = parameters_of(read_safetensors(file)) if file and file.suffix == ".safetensors" else 0
    return NamedAdapter(
        id=_NOT_A_NAME.sub("-", folder.name).strip("-.") or "adapter",
        rank=max(whole),
        target_modules=tuple(last) or (ALL,),
        parameters=parameters,
        base=files.base,
        on_hub=False,
    )


def _text(value: object) -> str:
    """Text of a field on one line that steers no terminal; "" of anything else."""
    words = " ".join(value.split())[:_LONGEST_NAME] if isinstance(value, str) else ""
    return printable(words.replace("\x1b", "?"))


def _size_words(path: Path, folder: Path) -> str:
    """Memory of an adapter's weights; "" where they are not safetensors."""
    file = path if path.name.startswith(_START) else weight_file(folder)
    if file is None or file.suffix != ".safetensors":
        return ""
    tensors = read_safetensors(file)
    megabytes = bytes_of(tensors) / BYTES_PER_MB
    size = f"{megabytes:,.0f} MB" if megabytes >= 1 else "less than 1 MB"
    return f"; the adapter's {parameters_of(tensors):,} parameters take {size} more of each replica"
