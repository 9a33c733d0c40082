"""Wishes of the user beyond the plan: language, target, engine, form and how far a cut-over goes."""

from collections.abc import Mapping
from enum import StrEnum

from advisor.records import dataclass, field


class Language(StrEnum):
    """Language of the code."""

    TERRAFORM = "terraform"
    PYTHON = "python"
    """Pulumi in Python."""


class Engine(StrEnum):
    """Program that serves the model."""

    VLLM = "vllm"
    SGLANG = "sglang"
    TENSORRT_LLM = "tensorrt-llm"
    """Behind trtllm-serve or Triton."""
    VLLM_POOLING = "vllm-pooling"
    """Embeddings and rerankers."""
    VLLM_TRANSCRIPTION = "vllm-transcription"
    VLLM_OMNI = "vllm-omni"
    """Pictures by diffusion."""
    TEXT_EMBEDDINGS_INFERENCE = "text-embeddings-inference"
    TRITON_TENSORRT = "triton-tensorrt"
    """ONNX files on NVIDIA: Triton's backend of ONNX Runtime, which hands the graph to TensorRT."""
    TRITON_ONNX_RUNTIME = "triton-onnx-runtime"
    """ONNX files on processors."""
    TRITON_FIL = "triton-fil"
    """Trees of XGBoost, LightGBM and treelite, on NVIDIA and on processors."""
    OPENVINO_MODEL_SERVER = "openvino-model-server"
    """Diffusion on processors."""
    OPENVINO_MODEL_SERVER_ONNX = "openvino-model-server-onnx"
    """ONNX files on x86-64 processors."""
    LLAMA_CPP_SERVER = "llama.cpp-server"
    """Language models, embedders and rerankers in GGUF."""
    OPTIMUM_NEURON = "optimum-neuron"
    """Encoders and classifiers on Neuron, behind Hugging Face's inference toolkit."""
    OPTIMUM_NEURON_VLLM = "optimum-neuron-vllm"
    """Embedders with a decoder on Neuron."""
    CUSTOM = "custom"
    """An image of the user's own (such as NIM) with its entrypoint as it is."""


class Stage(StrEnum):
    """How far a cut-over is, from groups that retire to what replaces them."""

    PREPARE = "prepare"
    """Both run, and the requests go where they went before."""
    SHIFT = "shift"
    """Both run, and the requests go where the plan sends them."""
    FINISH = "finish"
    """What retires is left out."""


class Form(StrEnum):
    """Form of the objects in the folder ``kubernetes/`` of a cluster's code."""

    MANIFESTS = "manifests"
    """Deployments and Services, as a kustomization."""
    INFERENCE_POOL = "inference-pool"
    """The manifests, with an InferencePool of the Gateway API for each backend."""
    KSERVE = "kserve"
    PRODUCTION_STACK = "production-stack"
    LLM_D = "llm-d"
    DYNAMO = "dynamo"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Wishes of the user beyond the plan; the defaults take what the plan recommends."""

    target: str = ""
    """Such as ec2, eks, vm-scale-set; "": the default of the provider."""
    rank: int | None = None
    """Single type of the plan, by its rank; None: the fleet."""
    engine: Engine | None = None
    """Another engine than the one that was planned."""
    image: str = ""
    """Container image in place of the default one."""
    form: Form = Form.MANIFESTS
    """For targets on clusters."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Image with its tag → digest that the code takes it by."""
    as_component: bool = False
    """For larger programs: a Terraform module with an example of its call, in place of a root; a Pulumi program that
    takes its resources from ``advisor.pulumi`` and holds the plan, in place of their whole source."""

    unconfirmed: bool = False
    """Go on with a fleet that its replay refused."""

    @property
    def is_as_planned(self) -> bool:
        """Whether target, engine, image and form are those of the plan."""
        return not (self.target or self.engine or self.image or self.form is not Form.MANIFESTS)
