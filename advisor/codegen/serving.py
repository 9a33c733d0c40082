"""The serving container of a group: engine, image, devices and the arguments that the plan decides."""

import re
from collections.abc import Mapping

from advisor.codegen.images import image_of
from advisor.codegen.model import Checkpoint, Container, Engine, Platform, Runtime, Serves, Wanted
from advisor.errors import InputError

_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "half"}
_QUANTISED_CHECKPOINTS = {
    "int8": "an INT8 (W8A8, compressed-tensors) checkpoint",
    "int4": "a 4-bit (AWQ, GPTQ or compressed-tensors) checkpoint",
    "nvfp4": "an NVFP4 checkpoint",
    "mxfp4": "an MXFP4 checkpoint",
}
_NATIVE_CHECKPOINTS = (("openai/gpt-oss-", "mxfp4"),)
"""Models that are published in a low precision only: (start of the name, precision)."""
_DEVICES: Mapping[Runtime, tuple[str, ...]] = {
    Runtime.CUDA: ("--gpus=all",),
    Runtime.ROCM: ("--device=/dev/kfd", "--device=/dev/dri", "--group-add=video"),
    Runtime.GAUDI: ("--runtime=habana", "--env=HABANA_VISIBLE_DEVICES=all", "--cap-add=sys_nice"),
    Runtime.TPU: ("--privileged",),
}
"""Of ``docker run``; a container on Neuron names each chip."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
_LONGEST_HUB_ID = 200


def container_of(serves: Serves, model: str, platform: Platform, wanted: Wanted) -> Container:
    """The container that serves *model* on *serves*.

    Raises:
        InputError: the engine, precision or parallelism is none that this program can write.
    """
    engine = engine_of(serves, wanted)
    if engine is not Engine.VLLM:
        raise InputError(f"no container is generated for the engine {serves.engine!r}", hint="only vLLM is")
    if platform.runtime is Runtime.NEURON:
        _check_neuron(serves)
    return Container(
        engine=engine,
        image=wanted.image or image_of(serves, platform.runtime, engine),
        checkpoint=checkpoint_of(model, serves.precision),
        entrypoint="vllm",
        command=("serve",),
        model_option="",
        arguments=(*_arguments(serves, platform), *_sharing_arguments(serves)),
        sharing_arguments=_sharing_arguments(serves),
        device_arguments=_device_arguments(serves, platform),
        shares_port=serves.replicas_per_instance > 1,
    )


def engine_of(serves: Serves, wanted: Wanted) -> Engine:
    """The engine that the user wants, or else the planned one.

    Raises:
        InputError: the planned engine is none that this program can write.
    """
    if wanted.engine is not None:
        return wanted.engine
    planned = serves.engine.lower()
    for engine in (Engine.VLLM, Engine.SGLANG, Engine.TENSORRT_LLM):
        if planned.startswith(engine.value):
            return engine
    raise InputError(f"no container is generated for the engine {serves.engine!r}", hint="choose one with --engine")


def checkpoint_of(model: str, precision: str) -> Checkpoint:
    """The weights to download: the planned model where they exist in this precision, else the user names them."""
    is_hub_id = len(model) <= _LONGEST_HUB_ID and _HUB_ID.fullmatch(model) is not None
    native = any(model.startswith(start) and precision == held for start, held in _NATIVE_CHECKPOINTS)
    if precision in _QUANTISED_CHECKPOINTS and not native:
        return Checkpoint(None, f"{_QUANTISED_CHECKPOINTS[precision]} of the planned model")
    if not is_hub_id:
        return Checkpoint(None, "the hub name of the planned model")
    return Checkpoint(model, "the planned model")


def _check_neuron(serves: Serves) -> None:
    """Refuse what vLLM on Neuron has no way to run."""
    if serves.precision not in ("bf16", "fp16"):
        problem = f"{serves.precision} on Neuron needs a checkpoint converted by hand"
    elif serves.pipeline_parallel > 1:
        problem = "pipeline parallelism is not available on Neuron"
    elif serves.replicas_per_instance > 1:
        problem = "several replicas on one Neuron instance cannot share a port"
    else:
        return
    raise InputError(f"{serves.instance_type}: {problem}", hint="generate another option with --option RANK")


def _device_arguments(serves: Serves, platform: Platform) -> tuple[str, ...]:
    if platform.runtime is Runtime.NEURON:
        chips = range(serves.tensor_parallel)
        return tuple(f"--device=/dev/neuron{chip}" for chip in chips)
    return _DEVICES[platform.runtime]


def _arguments(serves: Serves, platform: Platform) -> list[str]:
    arguments = [
        *_precision_arguments(serves.precision),
        f"--tensor-parallel-size={serves.tensor_parallel * platform.cores_per_accelerator}",
        f"--max-model-len={serves.context_tokens}",
        f"--max-num-seqs={serves.max_concurrency}",
    ]
    if platform.runtime is not Runtime.NEURON:
        arguments += _memory_arguments(serves)
    return arguments


def _precision_arguments(precision: str) -> list[str]:
    if precision in _DTYPES:
        return [f"--dtype={_DTYPES[precision]}"]
    if precision == "fp8":
        return ["--dtype=bfloat16", "--quantization=fp8"]
    # A quantised checkpoint says itself how it is quantised.
    return ["--dtype=auto"]


def _memory_arguments(serves: Serves) -> list[str]:
    arguments = [
        f"--gpu-memory-utilization={serves.memory_utilization:g}",
        f"--kv-cache-dtype={'fp8' if serves.kv_precision == 'fp8' else 'auto'}",
    ]
    if serves.pipeline_parallel > 1:
        arguments.append(f"--pipeline-parallel-size={serves.pipeline_parallel}")
    return arguments


def _sharing_arguments(serves: Serves) -> tuple[str, ...]:
    if serves.replicas_per_instance == 1:
        return ()
    return (f"--data-parallel-size={serves.replicas_per_instance}",)
