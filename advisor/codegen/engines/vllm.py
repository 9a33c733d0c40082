"""vLLM, with its plugins for Neuron, Gaudi and TPU: language models, and models that answer in one pass.

Options: ``vllm serve`` of 0.19.1, 0.30.0 and 0.33.0, read from the wheels (tests/codegen/data/engine_options). Images:
the public registries and release notes, read in November 2026; a tag is only a default, the generated code takes an
image by digest.

In one pass: pooling runs on Gaudi and TPUs too, by the plugins that serve language models there; options of vLLM-Omni
are those of vllm_omni/entrypoints/cli of 0.30.0. Images: engines.csv of the catalog, with sources. The plain image of
vLLM has no decoders of audio; that of vLLM-Omni, which is built on it, and that for processors have them.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence

from advisor.catalog import load_catalog
from advisor.catalog.one_pass_engines import OnePassEngine
from advisor.catalog.precisions import is_hub_id
from advisor.codegen.container import Checkpoint, Container, Engine, Platform, Runtime, Serves
from advisor.codegen.engines.request import (
    KEEP_ALIVE_SECONDS,
    Demanded,
    Program,
    Request,
    checkpoint_of,
    computes_in_half,
    device_arguments,
    exact_version,
    logs_of,
    precision_arguments,
    ranks_of,
    refusal,
    release_of,
    served_name,
    support_of,
    version_key,
    vllm_arguments,
)
from advisor.demand.values import Unit
from advisor.plan.estate.seats import Seat
from advisor.records import dataclass
from advisor.units import gib_to_bytes

_VENDORS = {
    Runtime.CUDA: "nvidia",
    Runtime.ROCM: "amd",
    Runtime.NEURON: "aws",
    Runtime.GAUDI: "intel",
    Runtime.TPU: "google",
    Runtime.CPU: "cpu",
}
_TAGS = {"x86_64": "-x86_64", "arm64": "-arm64"}
"""Ends of the tags of the image for processors."""
_DTYPES: Mapping[str, str] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "half"}
_CACHE_SPACE = "VLLM_CPU_KVCACHE_SPACE"
"""GiB of memory for the cache of models with a decoder; encoders take none of it."""
KEEP_ALIVE: Mapping[str, str] = {"VLLM_HTTP_TIMEOUT_KEEP_ALIVE": f"{KEEP_ALIVE_SECONDS}"}
_CUSTOM_CODE: Mapping[str, tuple[str, ...]] = {
    "Alibaba-NLP/gte-base-en-v1.5": ("--trust-remote-code", '--hf-overrides={"architectures":["GteNewModel"]}'),
    "Alibaba-NLP/gte-large-en-v1.5": ("--trust-remote-code", '--hf-overrides={"architectures":["GteNewModel"]}'),
    "nomic-ai/nomic-embed-text-v1.5": ("--trust-remote-code",),
}
"""Options of models whose configuration is code of their repository, by vLLM's tests/models/registry.py and its list of
supported models: GTE's architecture is called NewModel there, by which vLLM does not find it."""
_EXPERT_PARALLEL = "--enable-expert-parallel"
_WINDOW_MS = 30_000
"""Audio of one pass; a longer recording is several requests to the engine."""


@dataclass(frozen=True, slots=True)
class VllmOnePass:
    """One way in which vLLM serves models that answer in one pass."""

    engine: Engine
    name: str
    """As engines.csv of the catalog names it."""
    options: tuple[str, ...]
    is_pipeline: bool = False
    """Components of a pipeline have their own lengths and memory, and no replicas in one server."""

    def container(self, request: Request) -> Container:
        """The container of vLLM. Raises InputError if no image of it is known for the accelerator."""
        serves = request.serves
        server = server_of(self.name, request)
        sharing = () if self.is_pipeline else _sharing_arguments(serves)
        custom = _CUSTOM_CODE.get(request.model, ()) or request.demand.answer_options(self.name)
        counted = engine_requests(request.demand)
        return Container(
            engine=self.engine,
            image=request.image or _one_pass_image(server, request.platform),
            checkpoint=checkpoint_of(request.model, serves.precision, self.name),
            entrypoint="vllm",
            command=("serve",),
            model_option="",
            arguments=(*served_name(request), *self.options, *custom, *self._arguments(request, server), *sharing),
            sharing_arguments=sharing,
            device_arguments=device_arguments(serves, request.platform),
            environment={
                **KEEP_ALIVE,
                **({_CACHE_SPACE: "2"} if request.platform.runtime is Runtime.CPU else logs_of(request.platform)),
            },
            health_path=server.health_path,
            shares_port=serves.replicas_per_instance > 1,
            counted_per_request=counted,
            finished_per_request=counted,
        )

    def _arguments(self, request: Request, server: OnePassEngine) -> list[str]:
        serves = request.serves
        dtype = [f"--dtype={_DTYPES[serves.precision]}"]
        if self.is_pipeline:
            return dtype
        arguments = [*dtype, f"--max-num-seqs={serves.max_concurrency}"]
        if server.max_batch_tokens is not None:
            step = server.batch_tokens(serves.context_tokens)
            arguments += [f"--max-model-len={serves.context_tokens}", f"--max-num-batched-tokens={step}"]
        elif request.platform.runtime is Runtime.GAUDI:
            # It warms up for every length up to this one.
            arguments.append(f"--max-model-len={serves.context_tokens}")
        if request.platform.runtime is not Runtime.CPU:
            arguments.append(f"--gpu-memory-utilization={serves.memory_utilization:g}")
        return arguments


def server_of(name: str, request: Request, runtime: Runtime | None = None) -> OnePassEngine:
    """Row of a server on the request's accelerators, or another runtime's. Raises InputError without it or image."""
    runtime = runtime or request.platform.runtime
    server = load_catalog().one_pass_engine(name, _VENDORS[runtime])
    if server is None or not server.release:
        raise refusal(request.serves, f"no image of {name} is known for {runtime.value}")
    return server


def processor_image(request: Request) -> str:
    """Image of vLLM for processors, with Python and the hub's client. Raises InputError if none is known."""
    return _one_pass_image(server_of(POOLING.name, request, Runtime.CPU), request.platform)


def _one_pass_image(server: OnePassEngine, platform: Platform) -> str:
    tag_end = _TAGS[platform.cpu_architecture] if server.vendor == _VENDORS[Runtime.CPU] else ""
    tag_start = "" if server.vendor == _VENDORS[Runtime.GAUDI] else "v"  # its version is in the name
    return f"{server.image}:{tag_start}{server.release}{tag_end}"


def engine_requests(demand: Demanded) -> float:
    """Requests that the engine counts for one of the workload: one for each text, and for each window of audio."""
    windows = max(math.ceil(demand.item_size / _WINDOW_MS), 1) if demand.unit is Unit.AUDIO else 1
    return demand.items * windows


POOLING = VllmOnePass(Engine.VLLM_POOLING, "vLLM (pooling)", ("--runner=pooling",))
TRANSCRIPTION = VllmOnePass(Engine.VLLM_TRANSCRIPTION, "vLLM (transcription)", ())
OMNI = VllmOnePass(Engine.VLLM_OMNI, "vLLM-Omni", ("--omni",), is_pipeline=True)
_DRAINING = (Engine.VLLM, Engine.VLLM_POOLING, Engine.VLLM_TRANSCRIPTION)
"""vLLM-Omni starts a server of its own, whose options of this kind are not known."""
_DRAINS_SINCE = (0, 18, 0)
"""First release with the option (vllm-project/vllm pull request 34730)."""


def drain_arguments(container: Container, seconds: int) -> tuple[str, ...]:
    """Option by which open requests have some seconds to end after the signal to stop, which else cuts them off.

    None where the tag of the image names no release that is known to have it, and for other engines.
    """
    release = exact_version(container.image.rpartition(":")[2])
    if container.engine not in _DRAINING or not release or version_key(release) < _DRAINS_SINCE:
        return ()
    return (f"--shutdown-timeout={seconds}",)


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
NAME = "vLLM"
_PLUGINS = {Runtime.GAUDI: "vLLM-Gaudi", Runtime.TPU: "vLLM-TPU"}


def container(request: Request) -> Container:
    """The container of vLLM. Raises InputError if vLLM does not serve this precision or layout on this accelerator."""
    serves, platform = request.serves, request.platform
    if platform.runtime is Runtime.CPU:
        raise refusal(serves, "language models are not served on processors")
    if platform.runtime is Runtime.NEURON and serves.pipeline_parallel > 1:
        raise refusal(serves, "pipeline parallelism is not available on Neuron")
    half = computes_in_half(support_of(catalog_name(request), request))
    checkpoint = checkpoint_of(request.model, serves.precision, catalog_name(request))
    image = request.image or _image(request)
    arguments = _arguments(request, checkpoint, half=half)
    # NxD Inference; the plugin for Trainium2 keeps what it compiles in the cache by itself, by content.
    is_compiled = catalog_name(request) == _NXDI
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
        environment={**KEEP_ALIVE, **logs_of(platform)},
        shares_port=serves.replicas_per_instance > 1,
        adapters=request.demand.adapters.named if request.demand.adapters else (),
        adapter_option="--lora-modules" if request.demand.adapters else "",
        compiled_environment=_COMPILED_ENVIRONMENT if is_compiled else "",
        compiled_folder=compiled_folder(checkpoint, image, arguments) if is_compiled else "",
    )


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
    return _PLUGINS.get(request.platform.runtime, NAME)


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
    older = [tpu_release for tpu_release in _TPU_RELEASES if version_key(tpu_release) <= version_key(version)]
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
        f"--tensor-parallel-size={ranks_of(serves)}",
        f"--max-model-len={serves.context_tokens}",
        f"--max-num-seqs={serves.max_concurrency}",
    ]
    if platform.runtime is not Runtime.NEURON:
        arguments += [*_memory_arguments(serves), *_fixed_cache(request)]
    arguments += vllm_arguments(request, catalog_name(request))
    if catalog_name(request) == _NXDI:
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
    if serves.expert_parallel and serves.tensor_parallel > 1:
        arguments.append(_EXPERT_PARALLEL)
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
    # Replicas of one accelerator divide experts only behind one server: each by itself has them whole.
    experts = [_EXPERT_PARALLEL] if serves.expert_parallel and serves.tensor_parallel == 1 else []
    return (f"--data-parallel-size={serves.replicas_per_instance}", *experts)


PROGRAMS = {
    Engine.VLLM: Program(NAME, container),
    **{way.engine: Program(way.name, way.container) for way in (POOLING, TRANSCRIPTION, OMNI)},
}
