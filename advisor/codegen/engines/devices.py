"""Devices of the host that a container sees: options of ``docker run``.

On processors vLLM binds threads and memory to cores, for which its guide gives SYS_NICE.
"""

from collections.abc import Mapping

from advisor.codegen.container import Platform, Runtime, Serves

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
