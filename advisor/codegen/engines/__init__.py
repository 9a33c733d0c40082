"""The programs that serve models: a value of ``Engine``, a row of ``engines.csv`` and a module here.

A module has ``container``, with the arguments that the plan decides, and ``catalog_name``, the engine as
engine_support.csv names it, or engines.csv of the catalog ("" for an image of the user's own).

Prefix caching is left to the engines: all of them have it on by default where the model allows it.
"""

from collections.abc import Mapping
from typing import Protocol

from advisor.codegen.container import Container, Engine
from advisor.codegen.engines import (
    custom,
    llama_cpp,
    openvino,
    optimum_neuron,
    sglang,
    tensorrt_llm,
    text_embeddings,
    triton,
    vllm,
)
from advisor.codegen.engines.request import Demanded, Request, demanded, exact_version

__all__ = ["ENGINES", "Demanded", "Request", "demanded", "exact_version"]


class _Serving(Protocol):
    """Parts that a module of an engine has."""

    def container(self, request: Request) -> Container: ...
    def catalog_name(self, request: Request) -> str: ...


ENGINES: Mapping[Engine, _Serving] = {
    Engine.VLLM: vllm,
    Engine.SGLANG: sglang,
    Engine.TENSORRT_LLM: tensorrt_llm,
    Engine.VLLM_POOLING: vllm.POOLING,
    Engine.VLLM_TRANSCRIPTION: vllm.TRANSCRIPTION,
    Engine.VLLM_OMNI: vllm.OMNI,
    Engine.TEXT_EMBEDDINGS_INFERENCE: text_embeddings,
    Engine.TRITON_TENSORRT: triton.TENSORRT,
    Engine.TRITON_ONNX_RUNTIME: triton.ONNX_RUNTIME,
    Engine.TRITON_FIL: triton.FIL,
    Engine.OPENVINO_MODEL_SERVER: openvino.PICTURES,
    Engine.OPENVINO_MODEL_SERVER_ONNX: openvino.ONNX,
    Engine.LLAMA_CPP_SERVER: llama_cpp,
    Engine.OPTIMUM_NEURON: optimum_neuron.TOOLKIT,
    Engine.OPTIMUM_NEURON_VLLM: optimum_neuron.VLLM,
    Engine.CUSTOM: custom,
}
