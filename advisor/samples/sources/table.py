"""The sources by name, and which of them a host has. Nothing of a vendor is imported before one of them is opened."""

import importlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from advisor.errors import InputError
from advisor.samples.rows import Source

_LINKER_CACHE = Path("/etc/ld.so.cache")
_LIBRARY_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/local/nvidia/lib64")
SOURCES: Mapping[str, str] = {
    "nvml": "advisor.samples.sources.nvml:NvmlSource",
    "neuron": "advisor.samples.sources.tools:NeuronSource",
    "gaudi": "advisor.samples.sources.tools:GaudiSource",
    "amd": "advisor.samples.sources.libraries:AmdSource",
    "tpu": "advisor.samples.sources.libraries:TpuSource",
    "engines": "advisor.samples.sources.engines:EngineSource",
}
"""``module:class`` of each; a class takes the name of the host and, where a source has any, a list of addresses."""
WITHOUT_DRIVER = frozenset({"engines"})
"""Sources that load no vendor's library: nothing of theirs can hang or crash a process."""


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


def open_source(name: str, host: str, addresses: Sequence[str] = ()) -> Source:
    """Import a source and open it.

    Raises:
        InputError: there is no such source, or it cannot be read here.
    """
    if name not in SOURCES:
        raise InputError(f"{name!r} is not a source", hint=f"the sources are {', '.join(SOURCES)}")
    module_name, class_name = SOURCES[name].split(":")
    try:
        kind = getattr(importlib.import_module(module_name), class_name)
    except ImportError as error:
        message = f"the source {name} needs the Python package {error.name}, which is not here"
        hint = "install it beside advisor, or leave this source out"
        raise InputError(message, hint=hint) from error
    return cast("Source", kind(host, list(addresses)) if addresses else kind(host))
