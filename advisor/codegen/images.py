"""Container images of the engines by accelerator.

Sources: the public registries and release notes of the engines, read in November 2026. A tag is only a default: the
generated variable takes an image by digest.
"""

import re

from advisor.codegen.model import Engine, Runtime, Serves

_EXACT_VERSION = re.compile(r"\d+\.\d+\.\d+(\.post\d+)?")
_NEURON_REPOSITORY = "public.ecr.aws/neuron/pytorch-inference-vllm-neuronx"
_NXDI_IMAGE = f"{_NEURON_REPOSITORY}:0.16.0-neuronx-py312-sdk2.30.0-ubuntu24.04"
_PLUGIN_IMAGE = f"{_NEURON_REPOSITORY}:0.24.0.1.1.0-neuronx-py313-sdk2.32.0-ubuntu24.04"
_FIXED = {
    (
        Runtime.GAUDI,
        Engine.VLLM,
    ): "vault.habana.ai/gaudi-docker/1.24.1/ubuntu24.04/habanalabs/vllm-0.26.0-ptupstream-2.11.0:latest",
    (Runtime.TPU, Engine.VLLM): "vllm/vllm-tpu:v0.27.0",
    (Runtime.CUDA, Engine.TENSORRT_LLM): "nvcr.io/nvidia/tensorrt-llm/release:1.2.0",
}
_VERSIONED = {
    (Runtime.CUDA, Engine.VLLM): ("vllm/vllm-openai", "0.30.0"),
    (Runtime.ROCM, Engine.VLLM): ("vllm/vllm-openai-rocm", "0.30.0"),
    (Runtime.CUDA, Engine.SGLANG): ("lmsysorg/sglang", "0.5.9"),
}


def image_of(serves: Serves, runtime: Runtime, engine: Engine) -> str:
    """The image that serves with *engine* on *runtime*; "" where none is known."""
    if runtime is Runtime.NEURON and engine is Engine.VLLM:
        # The plugin for Trainium2 does not run on the older chips, which keep the image built on NxD Inference.
        is_plugin = serves.instance_type.startswith("trn2") and "nxdi" not in serves.engine.lower()
        return _PLUGIN_IMAGE if is_plugin else _NXDI_IMAGE
    if (runtime, engine) in _FIXED:
        return _FIXED[runtime, engine]
    if (runtime, engine) not in _VERSIONED:
        return ""
    repository, version = _VERSIONED[runtime, engine]
    exact = _EXACT_VERSION.search(serves.engine_version)
    return f"{repository}:v{exact[0] if exact else version}"
