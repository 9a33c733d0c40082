"""vLLM for models that answer in one pass: pooling, transcription, and pictures by vLLM-Omni.

Pooling runs on Gaudi and TPUs too, by the plugins that serve language models there.

Options: ``vllm serve`` of 0.30.0 and 0.33.0, read from the wheels (tests/codegen/data/engine_options), and
vllm_omni/entrypoints/cli of 0.30.0. Images: engines.csv of the catalog, with sources. The plain image of vLLM has no
decoders of audio; that of vLLM-Omni, which is built on it, and that for processors have them.
"""

import math
from collections.abc import Mapping

from advisor.catalog import load_catalog
from advisor.catalog.one_pass_engines import OnePassEngine
from advisor.codegen.container import Container, Platform, Runtime, Serves
from advisor.codegen.engines.request import Demanded, Request, checkpoint_of, refusal, served_name
from advisor.codegen.engines.support import device_arguments, logs_of
from advisor.codegen.wanted import Engine
from advisor.demand.values import Unit
from advisor.records import dataclass

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
_CUSTOM_CODE: Mapping[str, tuple[str, ...]] = {
    "Alibaba-NLP/gte-base-en-v1.5": ("--trust-remote-code", '--hf-overrides={"architectures":["GteNewModel"]}'),
    "Alibaba-NLP/gte-large-en-v1.5": ("--trust-remote-code", '--hf-overrides={"architectures":["GteNewModel"]}'),
    "nomic-ai/nomic-embed-text-v1.5": ("--trust-remote-code",),
}
"""Options of models whose configuration is code of their repository, by vLLM's tests/models/registry.py and its list of
supported models: GTE's architecture is called NewModel there, by which vLLM does not find it."""
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
        """The container of vLLM.

        Raises:
            InputError: no image of it is known for the accelerator.
        """
        serves = request.serves
        server = server_of(self.name, request)
        sharing = () if self.is_pipeline else _sharing_arguments(serves)
        custom = _CUSTOM_CODE.get(request.model, ()) or request.demand.answer_options(self.name)
        counted = engine_requests(request.demand)
        return Container(
            engine=self.engine,
            image=request.image or _image(server, request.platform),
            checkpoint=checkpoint_of(request.model, serves.precision, self.name),
            entrypoint="vllm",
            command=("serve",),
            model_option="",
            arguments=(*served_name(request), *self.options, *custom, *self._arguments(request, server), *sharing),
            sharing_arguments=sharing,
            device_arguments=device_arguments(serves, request.platform),
            environment={_CACHE_SPACE: "2"} if request.platform.runtime is Runtime.CPU else logs_of(request.platform),
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

    def catalog_name(self, _request: Request) -> str:
        """The server as engines.csv names it."""
        return self.name


def server_of(name: str, request: Request, runtime: Runtime | None = None) -> OnePassEngine:
    """Row of a server on the accelerators of the request, or on those of another runtime.

    Raises:
        InputError: there is none, or no image of it is known there.
    """
    runtime = runtime or request.platform.runtime
    server = load_catalog().one_pass_engine(name, _VENDORS[runtime])
    if server is None or not server.release:
        raise refusal(request.serves, f"no image of {name} is known for {runtime.value}")
    return server


def processor_image(request: Request) -> str:
    """Image of vLLM for the processors of the machine: it has Python and the client of the hub.

    Raises:
        InputError: none is known.
    """
    return _image(server_of(POOLING.name, request, Runtime.CPU), request.platform)


def _image(server: OnePassEngine, platform: Platform) -> str:
    tag_end = _TAGS[platform.cpu_architecture] if server.vendor == _VENDORS[Runtime.CPU] else ""
    tag_start = "" if server.vendor == _VENDORS[Runtime.GAUDI] else "v"  # its version is in the name
    return f"{server.image}:{tag_start}{server.release}{tag_end}"


def engine_requests(demand: Demanded) -> float:
    """Requests that the engine counts for one of the workload: one for each text, and for each window of audio."""
    windows = max(math.ceil(demand.item_size / _WINDOW_MS), 1) if demand.unit is Unit.AUDIO else 1
    return demand.items * windows


def _sharing_arguments(serves: Serves) -> tuple[str, ...]:
    if serves.replicas_per_instance == 1:
        return ()
    return (f"--data-parallel-size={serves.replicas_per_instance}",)


POOLING = VllmOnePass(Engine.VLLM_POOLING, "vLLM (pooling)", ("--runner=pooling",))
TRANSCRIPTION = VllmOnePass(Engine.VLLM_TRANSCRIPTION, "vLLM (transcription)", ())
OMNI = VllmOnePass(Engine.VLLM_OMNI, "vLLM-Omni", ("--omni",), is_pipeline=True)
