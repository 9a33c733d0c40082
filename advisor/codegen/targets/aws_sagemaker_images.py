"""Images that answer as SageMaker asks (/ping and /invocations on port 8080), and the hosts that they need.

Sources, read in November 2026: changelogs, configuration and region availability of the AWS Deep Learning Containers;
``InferenceAmiVersion`` of the SageMaker API. The images are in a registry of the region: endpoints pull from no other
registry than ECR, and not from its public gallery.
"""

import re

from advisor.codegen.aws_registries import registry_of
from advisor.codegen.container import Backend, Runtime
from advisor.codegen.wanted import Engine

_ECR = re.compile(r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/.+")
_PUBLIC = {Engine.VLLM: "vllm/vllm-openai:", Engine.SGLANG: "lmsysorg/sglang:"}
"""Repositories whose images have a counterpart for SageMaker."""
_CUDA_12_HOST = "al2-ami-sagemaker-inference-gpu-3-1"
_CUDA_13_HOST = "al2023-ami-sagemaker-inference-gpu-4-1"
_NEURON_HOST = "al2-ami-sagemaker-inference-neuron-2"
_VLLM_TAGS = {"0.19": "v1.1", "0.24": "v2.1", "0.26": "v2.2", "0.27": "v2.4", "0.30": "v2.5"}
"""Release of vLLM → tag of the image."""
_NEWEST_VLLM_TAG = "v2.5"
_SGLANG_TAG = "v1.3"
_CUDA_12_TAGS = ("v1.1",)
_SGLANG_ACCELERATORS = ("H100", "H200", "B200", "B300", "GH200", "GB200", "GB300")
"""The image of SGLang is built for Hopper and Blackwell alone."""


def against(backend: Backend, accelerator: str) -> str:
    """Why no image serves the backend on SageMaker; empty when one does."""
    container = backend.container
    if not registry_of(backend.region):
        return f"no registry of its images is known in {backend.region}"
    if _ECR.fullmatch(container.image):
        return "" if container.engine is not Engine.TENSORRT_LLM else _no_image(container.engine)
    if container.engine not in _PUBLIC or backend.runtime is not Runtime.CUDA:
        return _no_image(container.engine)
    if not container.image.startswith(_PUBLIC[container.engine]):
        return f"it pulls from ECR only; copy {container.image} there, and name the copy with --image"
    if container.engine is Engine.SGLANG and not accelerator.startswith(_SGLANG_ACCELERATORS):
        return f"its image of SGLang is built for Hopper and Blackwell, not for {accelerator}"
    return ""


def _no_image(engine: Engine) -> str:
    return (
        f"no image of {engine.value} for this accelerator answers as it asks; "
        "take --engine custom with --image, an ECR image that serves /ping and /invocations on port 8080"
    )


def image(backend: Backend) -> str:
    """The user's ECR image, or else that of the engine for SageMaker, in the backend's region."""
    if _ECR.fullmatch(backend.container.image):
        return backend.container.image
    repository = "vllm" if backend.container.engine is Engine.VLLM else "sglang"
    return f"{registry_of(backend.region)}/{repository}:server-sagemaker-cuda-{_tag(backend)}"


def caution(backend: Backend) -> str:
    """Caution that the image holds another release of vLLM than the planned one; "" where it does not."""
    planned = _planned_vllm(backend)
    if not planned or planned in _VLLM_TAGS or _ECR.fullmatch(backend.container.image):
        return ""
    held = next(release for release, tag in _VLLM_TAGS.items() if tag == _NEWEST_VLLM_TAG)
    return (
        f"No image for SageMaker is known that holds vLLM {planned}: this code takes "
        f"{_NEWEST_VLLM_TAG}, which holds {held}. Measure it, or name another image."
    )


def _planned_vllm(backend: Backend) -> str:
    """Major and minor version of vLLM in the plan; "" of another engine."""
    planned = re.search(r":v(\d+\.\d+)", backend.container.image)
    return planned[1] if planned and backend.container.engine is Engine.VLLM else ""


def _tag(backend: Backend) -> str:
    if backend.container.engine is Engine.SGLANG:
        return _SGLANG_TAG
    return _VLLM_TAGS.get(_planned_vllm(backend), _NEWEST_VLLM_TAG)


def host_image(backend: Backend) -> str:
    """The image of the host whose driver the container needs; the default ones are too old for any of these."""
    if backend.runtime is Runtime.NEURON:
        return _NEURON_HOST
    is_ours = _ECR.fullmatch(backend.container.image) is None
    return _CUDA_12_HOST if is_ours and _tag(backend) in _CUDA_12_TAGS else _CUDA_13_HOST
