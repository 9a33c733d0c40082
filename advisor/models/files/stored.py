"""The weights that lie in a folder: which of its files hold them, and their tensors."""

from pathlib import Path

from advisor.errors import InputError
from advisor.models.files.safetensors import INDEX_ENDING, read_safetensors
from advisor.models.files.tensors import Tensor

_USUAL = ("model", "diffusion_pytorch_model", "pytorch_model", "consolidated")
"""Names of weights before their ending; others in the same folder are adapters and variants."""


def weight_file(folder: Path) -> Path | None:
    """The index of shards, or the safetensors file, that holds a folder's weights; None where there is none.

    Raises:
        InputError: several files could be meant.
    """
    for pattern in (f"*{INDEX_ENDING}", "*.safetensors"):
        files = sorted(path for path in folder.glob(pattern) if path.is_file())
        usual = [path for name in _USUAL for path in files if path.name.split(".")[0] == name]
        if usual:
            return min(usual, key=lambda path: (len(path.name), path.name))
        if len(files) == 1:
            return files[0]
        if files:
            names = ", ".join(path.name for path in files[:3])
            raise InputError(
                f"{len(files)} files could hold the weights: {names}", where=str(folder), hint="give one of them"
            )
    return None


def stored_tensors(folder: Path) -> tuple[Tensor, ...]:
    """Tensors of a folder's weights; none where it has no safetensors."""
    file = weight_file(folder)
    return () if file is None else read_safetensors(file)
