"""vLLM, with its plugins for Neuron, Gaudi and TPU.

Options: ``vllm serve`` of 0.19.1, 0.30.0 and 0.33.0, read from the wheels (tests/codegen/data/engine_options). Images:
the public registries and release notes, read in November 2026; a tag is only a default, the generated code takes an
image by digest.
"""

import hashlib
from collections.abc import Iterator, Sequence

from advisor.catalog.precisions import is_hub_id
from advisor.codegen.container import Checkpoint, Container, Runtime, Serves
from advisor.codegen.engines.adapters import vllm_arguments
from advisor.codegen.engines.request import (
    Request,
    checkpoint_of,
    precision_arguments,
    refusal,
    served_name,
    version_key,
)
from advisor.codegen.engines.support import computes_in_half, device_arguments, logs_of, release_of, support_of
from advisor.codegen.wanted import Engine
from advisor.plan.estate.seats import Seat
from advisor.units import gib_to_bytes

FIXED_CACHE = "--kv-cache-memory-bytes="
_FIXED_CACHE_SINCE = (0, 19, 1)
"""First release whose parser was read, and has the option."""
_NXDI = "vLLM-NxDI"
_NEURON_REPOSITORY = "public.ecr.aws/neuron/pytorch-inference-vllm-neuronx"
_NXDI_IMAGE = f"{_NEURON_REPOSITORY}:0.16.0-neuronx-py312-sdk2.30.0-ubuntu24.04"
_PLUGIN_IMAGE = f"{_NEURON_REPOSITORY}:0.24.0.1.1.0-neuronx-py313-sdk2.32.0-ubuntu24.04"
_GAUDI_IMAGE = "vault.habana.ai/gaudi-docker/1.24.1/ubuntu24.04/habanalabs/vllm-0.26.0-ptupstream-2.11.0:latest"
_REPOSITORIES = {
    Runtime.CUDA: "vllm/vllm-openai",
    Runtime.ROCM: "vllm/vllm-openai-rocm",
    Runtime.TPU: "vllm/vllm-tpu",
}
_TPU_DEFAULT = "0.27.0"
"""Where the plan names no version."""
_TPU_RELEASES = (
    "0.11.1", "0.12.0", "0.18.0", "0.19.0", "0.21.0", "0.22.0", "0.25.0", "0.26.0", "0.27.0", "0.29.0",
)  # fmt: skip
"""Of the TPU image, which is not made of every release of vLLM: those that public repositories pin, read in November
2026. Ascending."""
_COMPILED_ENVIRONMENT = "NEURON_COMPILED_ARTIFACTS"
"""Of NxD Inference: loaded from there, else compiled and stored there; without it, below the working folder."""
_HASH_DIGITS = 12
_CATALOG_NAMES = {Runtime.GAUDI: "vLLM-Gaudi", Runtime.TPU: "vLLM-TPU"}


def container(request: Request) -> Container:
    """The container of vLLM.

    Raises:
        InputError: vLLM does not serve this precision or layout on this accelerator.
    """
    serves, platform = request.serves, request.platform
    if platform.runtime is Runtime.CPU:
        raise refusal(serves, "language models are not served on processors")
    if platform.runtime is Runtime.NEURON and serves.pipeline_parallel > 1:
        raise refusal(serves, "pipeline parallelism is not available on Neuron")
    half = computes_in_half(support_of(catalog_name(request), request))
    checkpoint = checkpoint_of(request.model, serves.precision, catalog_name(request))
    image = request.image or _image(request)
    arguments = _arguments(request, checkpoint, half=half)
    is_compiled = _is_compiled_ahead(request)
    return Container(
        engine=Engine.VLLM,
        image=image,
        image_caution="" if request.image else _image_caution(request),
        checkpoint=checkpoint,
        entrypoint="vllm",
        command=("serve",),
        model_option="",
        arguments=(*arguments, *_sharing_arguments(serves)),
        sharing_arguments=_sharing_arguments(serves),
        device_arguments=device_arguments(serves, platform),
        environment=logs_of(platform),
        shares_port=serves.replicas_per_instance > 1,
        adapters=request.demand.adapters.named if request.demand.adapters else (),
        adapter_option="--lora-modules" if request.demand.adapters else "",
        compiled_environment=_COMPILED_ENVIRONMENT if is_compiled else "",
        compiled_folder=compiled_folder(checkpoint, image, arguments) if is_compiled else "",
    )


def _is_compiled_ahead(request: Request) -> bool:
    """NxD Inference; the plugin for Trainium2 keeps what it compiles in the cache by itself, by content."""
    return catalog_name(request) == _NXDI


def compiled_folder(checkpoint: Checkpoint, image: str, arguments: Sequence[str]) -> str:
    """Folder beside the weights, where a bucket has both; what is there is loaded whatever the arguments are."""
    model = checkpoint.model_id or ""
    content = "\n".join((model, image, *arguments))
    mark = f"neuron-{hashlib.sha256(content.encode('utf-8', 'replace')).hexdigest()[:_HASH_DIGITS]}"
    return f"models/{model}/{mark}" if is_hub_id(model) else mark


def _is_plugin(request: Request) -> bool:
    """The plugin for Trainium2 does not run on the older chips, which keep the image built on NxD Inference."""
    return request.serves.instance_type.startswith("trn2") and "nxdi" not in request.serves.engine.lower()


def catalog_name(request: Request) -> str:
    """The plugin that serves on the platform, as engine_support.csv names it."""
    if request.platform.runtime is Runtime.NEURON:
        return "vLLM-Neuron" if _is_plugin(request) else _NXDI
    return _CATALOG_NAMES.get(request.platform.runtime, "vLLM")


def _image(request: Request) -> str:
    runtime = request.platform.runtime
    if runtime is Runtime.NEURON:
        return _PLUGIN_IMAGE if _is_plugin(request) else _NXDI_IMAGE
    if runtime is Runtime.GAUDI:
        return _GAUDI_IMAGE
    if runtime is Runtime.TPU:
        return f"{_REPOSITORIES[runtime]}:v{_tpu_release(request.version or _TPU_DEFAULT)}"
    return f"{_REPOSITORIES[runtime]}:v{release_of(catalog_name(request), request)}"


def _tpu_release(version: str) -> str:
    """The release of the TPU image for a version of vLLM: the newest that is not newer, or the oldest."""
    older = [one for one in _TPU_RELEASES if version_key(one) <= version_key(version)]
    return older[-1] if older else _TPU_RELEASES[0]


def _image_caution(request: Request) -> str:
    if request.platform.runtime is not Runtime.TPU or not request.version:
        return ""
    release = _tpu_release(request.version)
    if release == request.version:
        return ""
    return (
        f"No TPU image of vLLM {request.version} is known, which the plan names: this code takes that of {release}. "
        "Measure it, or name another image."
    )


def _arguments(request: Request, checkpoint: Checkpoint, *, half: bool) -> list[str]:
    serves, platform = request.serves, request.platform
    arguments = [
        *served_name(request),
        *precision_arguments(serves.precision, checkpoint, half=half),
        f"--tensor-parallel-size={serves.tensor_parallel * platform.cores_per_accelerator}",
        f"--max-model-len={serves.context_tokens}",
        f"--max-num-seqs={serves.max_concurrency}",
    ]
    if platform.runtime is not Runtime.NEURON:
        arguments += [*_memory_arguments(serves), *_fixed_cache(request)]
    arguments += vllm_arguments(request, catalog_name(request))
    if _is_compiled_ahead(request):
        # It has one range for each sequence; with prefix caching, the default, it asks for blocks and stops.
        arguments.append("--no-enable-prefix-caching")
    elif request.demand.prefix_cached:
        arguments.append("--enable-prefix-caching")  # whatever the default of the image is
    return arguments


def _memory_arguments(serves: Serves) -> list[str]:
    arguments = [
        f"--gpu-memory-utilization={serves.memory_utilization:g}",
        f"--kv-cache-dtype={'fp8' if serves.kv_precision == 'fp8' else 'auto'}",
    ]
    if serves.pipeline_parallel > 1:
        arguments.append(f"--pipeline-parallel-size={serves.pipeline_parallel}")
    return arguments


def _fixed_cache(request: Request) -> Iterator[str]:
    """KV cache in bytes of a seat beside others: engines that start together count each other's memory as their own.

    The share of the memory then only says what has to be free as the engine starts. Source: vLLM issues 55827, 56830.
    """
    serves = request.serves
    is_offered = bool(request.version) and version_key(request.version) >= _FIXED_CACHE_SINCE
    if isinstance(serves, Seat) and serves.kv_cache_gib is not None and is_offered:
        yield f"{FIXED_CACHE}{int(gib_to_bytes(serves.kv_cache_gib))}"


def _sharing_arguments(serves: Serves) -> tuple[str, ...]:
    if serves.replicas_per_instance == 1:
        return ()
    return (f"--data-parallel-size={serves.replicas_per_instance}",)
