"""The sources by name. Nothing of a vendor is imported before one of them is opened."""

import importlib
from collections.abc import Mapping, Sequence
from typing import cast

from advisor.errors import InputError
from advisor.samples.rows import Source

SOURCES: Mapping[str, str] = {
    "nvml": "advisor.samples.sources.nvml:NvmlSource",
    "neuron": "advisor.samples.sources.neuron:NeuronSource",
    "gaudi": "advisor.samples.sources.gaudi:GaudiSource",
    "amd": "advisor.samples.sources.amd:AmdSource",
    "tpu": "advisor.samples.sources.tpu:TpuSource",
    "engines": "advisor.samples.sources.engines:EngineSource",
}
"""``module:class`` of each; a class takes the name of the host and, where a source has any, a list of addresses."""

WITHOUT_DRIVER = frozenset({"engines"})
"""Sources that load no vendor's library: nothing of theirs can hang or crash a process."""


def open_source(name: str, host: str, addresses: Sequence[str] = ()) -> Source:
    """Import a source and open it.

    Raises:
        InputError: there is no such source, or it cannot be read here.
    """
    if name not in SOURCES:
        raise InputError(f"{name!r} is no source", hint=f"the sources are {', '.join(SOURCES)}")
    module_name, class_name = SOURCES[name].split(":")
    try:
        kind = getattr(importlib.import_module(module_name), class_name)
    except ImportError as error:
        raise InputError(
            f"the source {name} needs the Python package {error.name}, which is not here",
            hint="install it beside advisor, or leave this source out",
        ) from error
    return cast("Source", kind(host, list(addresses)) if addresses else kind(host))
