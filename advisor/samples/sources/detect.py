"""Which sources a host has: the driver library, the tool or the device file of each. Nothing is opened."""

import os
import shutil
from pathlib import Path

_LINKER_CACHE = Path("/etc/ld.so.cache")
_LIBRARY_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/local/nvidia/lib64")


def detect(root: Path = Path("/")) -> list[str]:
    """Names of the sources that seem to be here, in the order of the table; serving engines have to be named."""
    present = {
        "nvml": (root / "dev/nvidiactl").exists() or has_library("libnvidia-ml.so.1", root),
        "neuron": shutil.which("neuron-monitor") is not None,
        "gaudi": shutil.which("hl-smi") is not None,
        "amd": (root / "dev/kfd").exists(),
        "tpu": (root / "dev/accel0").exists(),
    }
    return [name for name, is_present in present.items() if is_present]


def has_library(name: str, root: Path = Path("/")) -> bool:
    """Whether the dynamic linker would find a library: by LD_LIBRARY_PATH, its cache, or its usual folders."""
    folders = [folder for folder in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if folder]
    if any((Path(folder) / name).exists() for folder in folders):
        return True
    if any((root / folder.lstrip("/") / name).exists() for folder in _LIBRARY_FOLDERS):
        return True
    cache = root / str(_LINKER_CACHE).lstrip("/")
    return cache.is_file() and name.encode() in cache.read_bytes()
