"""TensorRT-LLM behind ``trtllm-serve``, with its PyTorch backend.

Options: tensorrt_llm/commands/serve.py of NVIDIA/TensorRT-LLM (tests/codegen/data/engine_options). Image: the NGC
release of the same number. The server speaks plain HTTP.
"""

from advisor.codegen.container import Container, Engine, Runtime, Serves
from advisor.codegen.engines.metrics import GENERATION_PATHS
from advisor.codegen.engines.request import (
    Program,
    Request,
    checkpoint_of,
    device_arguments,
    memory_gib,
    refusal,
    release_of,
    support_of,
    without_adapters,
)

NAME = "TensorRT-LLM"
_REPOSITORY = "nvcr.io/nvidia/tensorrt-llm/release"
_STEP_TOKENS = 8192
"""Default of ``--max_num_tokens``: a longer prompt is served in chunks or not at all."""


def container(request: Request) -> Container:
    """The container. Raises InputError for a precision, layout or accelerator that TensorRT-LLM does not serve."""
    serves, runtime = request.serves, request.platform.runtime
    if runtime is not Runtime.CUDA:
        raise refusal(serves, f"TensorRT-LLM runs on NVIDIA only, not on {runtime.value}", "--engine vllm may run here")
    if serves.kv_precision == "fp8" and serves.precision != "fp8":
        raise refusal(serves, "trtllm-serve takes an fp8 KV cache from an fp8 checkpoint only, it has no option for it")
    without_adapters(request, NAME)
    support_of(NAME, request)
    return Container(
        engine=Engine.TENSORRT_LLM,
        image=request.image or f"{_REPOSITORY}:{release_of(NAME, request)}",
        checkpoint=checkpoint_of(request.model, serves.precision, NAME),
        entrypoint="trtllm-serve",
        command=("serve",),
        model_option="",
        arguments=tuple(_arguments(request)),
        tls_options=None,
        device_arguments=device_arguments(serves, request.platform),
        generation_path=GENERATION_PATHS[Engine.TENSORRT_LLM],
    )


def _arguments(request: Request) -> list[str]:
    serves = request.serves
    arguments = [
        # It listens on the loopback interface alone otherwise.
        "--host=0.0.0.0",
        f"--tp_size={serves.tensor_parallel}",
        f"--max_batch_size={serves.max_concurrency}",
        f"--max_seq_len={serves.context_tokens}",
        *_memory_arguments(serves, memory_gib(request)),
    ]
    if serves.pipeline_parallel > 1:
        arguments.append(f"--pp_size={serves.pipeline_parallel}")
    if serves.expert_parallel and serves.tensor_parallel > 1:
        arguments.append(f"--ep_size={serves.tensor_parallel}")
    if serves.context_tokens > _STEP_TOKENS:
        arguments.append("--enable_chunked_prefill")
    return arguments


def _memory_arguments(serves: Serves, accelerator_gib: float | None) -> list[str]:
    """The planned share of all memory, as a share of what the weights leave free."""
    if accelerator_gib is None:
        return []
    weights_gib = serves.weights_gib / (serves.tensor_parallel * serves.pipeline_parallel)
    cache_gib = serves.memory_utilization * accelerator_gib - weights_gib
    if cache_gib <= 0:
        usable = f"{serves.memory_utilization:g} × {accelerator_gib:g} GiB"
        raise refusal(serves, f"weights of {weights_gib:.1f} GiB leave no room for a KV cache in {usable}")
    return [f"--kv_cache_free_gpu_memory_fraction={round(cache_gib / (accelerator_gib - weights_gib), 3):g}"]


PROGRAMS = {Engine.TENSORRT_LLM: Program(NAME, container)}
