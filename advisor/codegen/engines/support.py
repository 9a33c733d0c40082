"""Support of an engine for a precision on an accelerator, by the catalog, and of other devices.

On processors vLLM binds threads and memory to cores, for which its guide gives SYS_NICE.
"""

from collections.abc import Mapping

from advisor.catalog import load_catalog
from advisor.catalog.values import EngineSupport, Support
from advisor.codegen.container import Platform, Runtime, Serves
from advisor.codegen.engines.request import Request, refusal

_DEVICES: Mapping[Runtime, tuple[str, ...]] = {
    Runtime.CUDA: ("--gpus=all",),
    Runtime.ROCM: ("--device=/dev/kfd", "--device=/dev/dri", "--group-add=video"),
    Runtime.GAUDI: ("--runtime=habana", "--env=HABANA_VISIBLE_DEVICES=all", "--cap-add=sys_nice"),
    Runtime.TPU: ("--privileged",),
    Runtime.CPU: ("--cap-add=SYS_NICE",),
}


def device_arguments(serves: Serves, platform: Platform) -> tuple[str, ...]:
    """The accelerators; a container on Neuron names each chip."""
    if platform.runtime is Runtime.NEURON:
        chips = serves.tensor_parallel * serves.replicas_per_instance
        return tuple(f"--device=/dev/neuron{chip}" for chip in range(chips))
    return _DEVICES[platform.runtime]


def logs_of(platform: Platform) -> Mapping[str, str]:
    """Variable by which Gaudi's software writes its logs where a container without rights may; else none."""
    return {"HABANA_LOGS": "/tmp/habana_logs"} if platform.runtime is Runtime.GAUDI else {}  # noqa: S108 - in the container


_HALF = "fp16"
_VENDORS = {Runtime.CUDA: "nvidia", Runtime.ROCM: "amd"}


def support_of(engine: str, request: Request) -> EngineSupport | None:
    """How the engine, by its name in the catalog, serves the planned precision; None where the catalog has no word.

    Raises:
        InputError: the catalog says that it does not.
    """
    serves = request.serves
    catalog = load_catalog()
    if serves.accelerator not in catalog.accelerators:
        return None
    rows = catalog.engine_support_at(serves.accelerator, serves.precision, request.version)
    row = next((row for row in rows if row.engine == engine), None)
    if row is not None and row.support is Support.NO:
        reason = f": {row.detail}" if row.detail else ""
        raise refusal(
            serves, f"{engine} {row.engine_version} does not serve {serves.precision} on {serves.accelerator}{reason}"
        )
    return row


def release_of(engine: str, request: Request) -> str:
    """The planned release, else the newest whose image is known; "" for runtimes whose releases are not listed."""
    vendor = _VENDORS.get(request.platform.runtime)
    if request.version or vendor is None:
        return request.version
    return str(load_catalog().plannable_releases(engine, vendor)[-1])


def computes_in_half(row: EngineSupport | None) -> bool:
    """Weights are widened to fp16, because the accelerator has no bf16 arithmetic."""
    return row is not None and row.compute_precision == _HALF


def memory_gib(request: Request) -> float | None:
    """Memory of one accelerator as software sees it; None for one that the catalog does not know."""
    accelerator = load_catalog().accelerators.get(request.serves.accelerator)
    return None if accelerator is None else accelerator.memory_gib
