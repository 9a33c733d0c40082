"""Adapters of the PEFT library (LoRA and its kin): weights that are added to those of another model, and no model."""

from pathlib import Path

from advisor.errors import InputError
from advisor.models.files.safetensors import read_safetensors
from advisor.models.files.stored import weight_file
from advisor.models.files.tensors import bytes_of, parameters_of
from advisor.reading import read_json
from advisor.units import BYTES_PER_MB

_CONFIG = "adapter_config.json"
_MODEL = "config.json"
_START = "adapter_model."


def holds_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter."""
    return (folder / _CONFIG).is_file()


def refuse_adapter(path: Path) -> None:
    """Refuse a folder that holds an adapter and no model, and the file of its weights.

    Raises:
        InputError: with the base that it belongs to, and how much memory it takes.
    """
    folder = path if path.is_dir() else path.parent
    is_adapter = path.name.startswith(_START) or (path == folder and not (folder / _MODEL).is_file())
    if not is_adapter or not holds_adapter(folder):
        return
    values = read_json(folder / _CONFIG, "adapter's configuration")
    fields = values if isinstance(values, dict) else {}
    kind, base = (
        " ".join(str(fields.get(name) or "").split())[:100] for name in ("peft_type", "base_model_name_or_path")
    )
    file = path if path != folder else weight_file(folder)
    size = ""
    if file is not None and file.suffix == ".safetensors":
        tensors = read_safetensors(file)
        megabytes = bytes_of(tensors) / BYTES_PER_MB
        size = f"; the adapter's {parameters_of(tensors):,} parameters take {megabytes:,.0f} MB more of each replica"
    raise InputError(
        f"this is an adapter ({kind or 'PEFT'}) of {base or 'another model'}, and no model",
        where=str(path),
        hint=f"plan its base, model: {base or 'the model that it was trained on'}{size}",
    )
