"""The serving container of an option: image, devices and the arguments of ``vllm serve``."""

import re
from dataclasses import dataclass

from advisor.codegen.aws_platform import Platform, Stack
from advisor.errors import InputError
from advisor.plan.values import Option

_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "half"}
_QUANTISED_CHECKPOINTS = {
    "int8": "an INT8 (W8A8, compressed-tensors) checkpoint",
    "int4": "a 4-bit (AWQ, GPTQ or compressed-tensors) checkpoint",
    "nvfp4": "an NVFP4 checkpoint",
    "mxfp4": "an MXFP4 checkpoint",
}
_NATIVE_CHECKPOINTS = (("openai/gpt-oss-", "mxfp4"),)
"""Models that are published in a low precision only: (start of the name, precision)."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
_LONGEST_HUB_ID = 200


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Which weights the container downloads."""

    model_id: str | None
    """Hub name; None when only the user can name the checkpoint."""
    needed: str
    """What the checkpoint has to be, in words."""


@dataclass(frozen=True, slots=True)
class Container:
    """One container for all replicas of an instance."""

    image: str
    checkpoint: Checkpoint
    device_arguments: tuple[str, ...]
    """Of ``docker run``: which accelerators the container sees."""
    arguments: tuple[str, ...]
    """Of ``vllm serve``, after the model."""
    shares_port: bool
    """Several replicas answer on one port."""


def container_of(option: Option, model: str, platform: Platform) -> Container:
    """The container that serves *option*.

    Raises:
        InputError: the engine, precision or parallelism is none that this program can write.
    """
    if not option.engine.lower().startswith("vllm"):
        raise InputError(f"no container is generated for the engine {option.engine!r}", hint="only vLLM is")
    if platform.stack is Stack.NEURON:
        _check_neuron(option)
    return Container(
        image=platform.serving_image,
        checkpoint=checkpoint_of(model, option.precision),
        device_arguments=_device_arguments(option, platform),
        arguments=tuple(_arguments(option, platform)),
        shares_port=option.replicas_per_instance > 1,
    )


def checkpoint_of(model: str, precision: str) -> Checkpoint:
    """The weights to download: the planned model where they exist in this precision, else the user names them."""
    is_hub_id = len(model) <= _LONGEST_HUB_ID and _HUB_ID.fullmatch(model) is not None
    native = any(model.startswith(start) and precision == held for start, held in _NATIVE_CHECKPOINTS)
    if precision in _QUANTISED_CHECKPOINTS and not native:
        return Checkpoint(None, f"{_QUANTISED_CHECKPOINTS[precision]} of the planned model")
    if not is_hub_id:
        return Checkpoint(None, "the hub name of the planned model")
    return Checkpoint(model, "the planned model")


def _check_neuron(option: Option) -> None:
    """Refuse what vLLM on Neuron has no way to run."""
    if option.precision not in ("bf16", "fp16"):
        problem = f"{option.precision} on Neuron needs a checkpoint converted by hand"
    elif option.pipeline_parallel > 1:
        problem = "pipeline parallelism is not available on Neuron"
    elif option.replicas_per_instance > 1:
        problem = "several replicas on one Neuron instance cannot share a port"
    else:
        return
    raise InputError(f"{option.instance_type}: {problem}", hint="generate another option with --option RANK")


def _device_arguments(option: Option, platform: Platform) -> tuple[str, ...]:
    if platform.stack is Stack.NEURON:
        chips = range(option.tensor_parallel)
        return tuple(f"--device=/dev/neuron{chip}" for chip in chips)
    return ("--gpus=all",)


def _arguments(option: Option, platform: Platform) -> list[str]:
    arguments = [
        *_precision_arguments(option.precision),
        f"--tensor-parallel-size={option.tensor_parallel * platform.cores_per_accelerator}",
        f"--max-model-len={option.context_tokens}",
        f"--max-num-seqs={option.max_concurrency}",
    ]
    if platform.stack is Stack.CUDA:
        arguments += _cuda_arguments(option)
    return arguments


def _precision_arguments(precision: str) -> list[str]:
    if precision in _DTYPES:
        return [f"--dtype={_DTYPES[precision]}"]
    if precision == "fp8":
        return ["--dtype=bfloat16", "--quantization=fp8"]
    # A quantised checkpoint says itself how it is quantised.
    return ["--dtype=auto"]


def _cuda_arguments(option: Option) -> list[str]:
    arguments = [
        f"--gpu-memory-utilization={option.memory_utilization:g}",
        f"--kv-cache-dtype={'fp8' if option.kv_precision == 'fp8' else 'auto'}",
    ]
    if option.pipeline_parallel > 1:
        arguments.append(f"--pipeline-parallel-size={option.pipeline_parallel}")
    if option.replicas_per_instance > 1:
        arguments.append(f"--data-parallel-size={option.replicas_per_instance}")
    return arguments
