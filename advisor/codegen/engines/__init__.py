"""The programs that serve models: a value of ``Engine``, a row of ``engines.csv`` and a module here.

Prefix caching is left to the engines: all of them have it on by default where the model allows it.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

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

__all__ = ["ENGINES", "Demanded", "Request", "catalog_name", "demanded", "exact_version"]


class Program(NamedTuple):
    """The program of an engine."""

    name: str
    """As engine_support.csv names it, or engines.csv of the catalog; "": an image of the user's own."""
    container: Callable[[Request], Container]
    """With the arguments that the plan decides."""


_WITH_WAYS = (
    vllm.POOLING, vllm.TRANSCRIPTION, vllm.OMNI, triton.TENSORRT, triton.ONNX_RUNTIME, triton.FIL, openvino.PICTURES,
    openvino.ONNX,
)  # fmt: skip
"""Programs that serve models in several ways, each an engine."""
ENGINES: Mapping[Engine, Program] = {
    Engine.VLLM: Program(vllm.NAME, vllm.container),
    Engine.SGLANG: Program(sglang.NAME, sglang.container),
    Engine.TENSORRT_LLM: Program(tensorrt_llm.NAME, tensorrt_llm.container),
    **{way.engine: Program(way.name, way.container) for way in _WITH_WAYS},
    Engine.TEXT_EMBEDDINGS_INFERENCE: Program(text_embeddings.NAME, text_embeddings.container),
    Engine.LLAMA_CPP_SERVER: Program(llama_cpp.NAME, llama_cpp.container),
    Engine.OPTIMUM_NEURON: Program(optimum_neuron.TOOLKIT, optimum_neuron.toolkit_container),
    Engine.OPTIMUM_NEURON_VLLM: Program(optimum_neuron.VLLM, optimum_neuron.vllm_container),
    Engine.CUSTOM: Program("", custom.container),
}


def catalog_name(engine: Engine, request: Request) -> str:
    """The engine as the catalog names it: of vLLM the plugin of the platform; "" of the user's own image."""
    return vllm.catalog_name(request) if engine is Engine.VLLM else ENGINES[engine].name
