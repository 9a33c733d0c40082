"""Adapters of the PEFT library (LoRA and its kin): weights that are added to those of another model, and no model."""

from pathlib import Path

from advisor.errors import InputError
from advisor.models.files.safetensors import read_safetensors
from advisor.models.files.stored import weight_file
from advisor.models.files.tensors import bytes_of, parameters_of
from advisor.names import printable
from advisor.reading import read_json
from advisor.units import BYTES_PER_MB

_CONFIG = "adapter_config.json"
_MODEL = "config.json"
_START = "adapter_model."
_LONGEST_NAME = 100
_HINT = "download it again; an adapter's configuration names the base, which is what to plan"


def holds_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter."""
    return (folder / _CONFIG).is_file()


def refuse_adapter(path: Path) -> None:
    """Refuse a folder that holds an adapter and no model, and the files of its configuration and its weights.

    Raises:
        InputError: with the base that it belongs to, and how much memory it takes.
    """
    folder = path if path.is_dir() else path.parent
    is_file = path != folder and (path.name == _CONFIG or path.name.startswith(_START))
    is_adapter = is_file or (path == folder and not (folder / _MODEL).is_file())
    if not is_adapter or not holds_adapter(folder):
        return
    values = read_json(folder / _CONFIG, "adapter's configuration", _HINT)
    fields = values if isinstance(values, dict) else {}
    kind, base = (_text(fields.get(name)) for name in ("peft_type", "base_model_name_or_path"))
    of = f"of {base}" if base else "that names no base"
    raise InputError(
        f"this is an adapter ({kind or 'PEFT'}) {of}, and no model",
        where=str(path),
        hint=f"plan its base, model: {base or 'the model that it was trained on'}{_size_words(path, folder)}",
    )


def _text(value: object) -> str:
    """Text of a field on one line that steers no terminal; "" of anything else."""
    words = " ".join(value.split())[:_LONGEST_NAME] if isinstance(value, str) else ""
    return printable(words.replace("\x1b", "?"))


def _size_words(path: Path, folder: Path) -> str:
    """Memory of an adapter's weights; "" where they are no safetensors."""
    file = path if path.name.startswith(_START) else weight_file(folder)
    if file is None or file.suffix != ".safetensors":
        return ""
    tensors = read_safetensors(file)
    megabytes = bytes_of(tensors) / BYTES_PER_MB
    size = f"{megabytes:,.0f} MB" if megabytes >= 1 else "less than 1 MB"
    return f"; the adapter's {parameters_of(tensors):,} parameters take {size} more of each replica"
