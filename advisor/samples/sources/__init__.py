"""Sources on a host by name: one for each vendor, each opened in a process of its own, one for serving engines.

Nothing of a vendor is imported before one of them is opened.
"""

import importlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from advisor.errors import InputError
from advisor.samples.metrics import Source


def counted(names: Sequence[str]) -> str:
    """Counts such as ``7 × HL-225, 1 × Gaudi``, in the order in which the names come first."""
    return ", ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names))


_LINKER_CACHE = Path("/etc/ld.so.cache")
_LIBRARY_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/local/nvidia/lib64")


class SourceKind(NamedTuple):
    """A source before it is opened."""

    target: str
    """``module:class``; a class takes the name of the host and, where a source has any, a list of addresses."""
    is_here: Callable[[Path], bool] | None = None
    """Whether a host, below a root, seems to have what it reads; None: it has to be named."""
    accelerator: str = ""
    """Whose devices it opens, as the installer of the agent names them; "": none."""
    devices: tuple[str, ...] = ()
    """Kinds of devices, named as in ``/proc/devices``, that the vendor's library opens."""
    groups: tuple[str, ...] = ()
    """Groups of the user that may open them, where the kind of device is not enough."""
    loads_driver: bool = True
    """Whether it loads a vendor's library, which can hang or crash a process."""


_PACKAGE = "advisor.samples.sources"
SOURCES: Mapping[str, SourceKind] = {
    "nvml": SourceKind(
        f"{_PACKAGE}.nvml:NvmlSource",
        lambda root: (root / "dev/nvidiactl").exists() or has_library("libnvidia-ml.so.1", root),
        "nvidia",
        ("char-nvidia", "char-nvidiactl", "char-nvidia-frontend", "char-nvidia-caps", "char-nvidia-uvm"),
    ),
    "neuron": SourceKind(
        f"{_PACKAGE}.tools:NeuronSource",
        lambda _: shutil.which("neuron-monitor") is not None,
        "neuron",
        ("char-neuron",),
    ),
    "gaudi": SourceKind(
        f"{_PACKAGE}.tools:GaudiSource",
        lambda _: shutil.which("hl-smi") is not None,
        "gaudi",
        ("char-accel", "char-habanalabs"),
    ),
    "amd": SourceKind(
        f"{_PACKAGE}.libraries:AmdSource",
        lambda root: (root / "dev/kfd").exists(),
        "amd",
        ("char-kfd", "char-drm"),
        ("video", "render"),
    ),
    "tpu": SourceKind(
        f"{_PACKAGE}.libraries:TpuSource",
        lambda root: (root / "dev/accel0").exists(),
        "tpu",
        ("char-accel", "char-vfio"),
    ),
    "engines": SourceKind(f"{_PACKAGE}.engines:EngineSource", loads_driver=False),
}
WITHOUT_DRIVER = frozenset(name for name, kind in SOURCES.items() if not kind.loads_driver)
ACCELERATORS: Mapping[str, SourceKind] = {kind.accelerator: kind for kind in SOURCES.values() if kind.accelerator}
"""Sources by whose devices they open."""


def detect(root: Path = Path("/")) -> list[str]:
    """Names of the sources that seem to be here, in the order of the table; serving engines have to be named."""
    return [name for name, kind in SOURCES.items() if kind.is_here is not None and kind.is_here(root)]


def has_library(name: str, root: Path) -> bool:
    """Whether the dynamic linker would find a library: by LD_LIBRARY_PATH, its cache, or its usual folders."""
    folders = [folder for folder in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if folder]
    if any((Path(folder) / name).exists() for folder in folders):
        return True
    if any((root / folder.lstrip("/") / name).exists() for folder in _LIBRARY_FOLDERS):
        return True
    cache = root / str(_LINKER_CACHE).lstrip("/")
    return cache.is_file() and name.encode() in cache.read_bytes()


def open_source(name: str, host: str, addresses: Sequence[str] = ()) -> Source:
    """Import a source and open it. Raises InputError if there is no such source, or it cannot be read here."""
    if name not in SOURCES:
        raise InputError(f"{name!r} is not a source", hint=f"the sources are {', '.join(SOURCES)}")
    module_name, class_name = SOURCES[name].target.split(":")
    try:
        kind = getattr(importlib.import_module(module_name), class_name)
    except ImportError as error:
        message = f"the source {name} needs the Python package {error.name}, which is not here"
        hint = "install it beside advisor, or leave this source out"
        raise InputError(message, hint=hint) from error
    return cast("Source", kind(host, list(addresses)) if addresses else kind(host))
