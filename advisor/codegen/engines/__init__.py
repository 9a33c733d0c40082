"""The programs that serve models: one module each, with a ``container`` of the arguments that the plan decides.

Prefix caching is left to the engines: all of them have it on by default where the model allows it.
"""

from collections.abc import Callable, Mapping

from advisor.codegen.engines import custom, sglang, tensorrt_llm, vllm
from advisor.codegen.engines.request import Request, exact_version
from advisor.codegen.model import Container, Engine

__all__ = ["ENGINES", "Request", "catalog_name", "exact_version"]

ENGINES: Mapping[Engine, Callable[[Request], Container]] = {
    Engine.VLLM: vllm.container,
    Engine.SGLANG: sglang.container,
    Engine.TENSORRT_LLM: tensorrt_llm.container,
    Engine.CUSTOM: custom.container,
}


def catalog_name(engine: Engine, request: Request) -> str:
    """The engine as engine_support.csv names it; "" for an image of the user's own."""
    match engine:
        case Engine.VLLM:
            return vllm.catalog_name(request)
        case Engine.SGLANG:
            return sglang.NAME
        case Engine.TENSORRT_LLM:
            return tensorrt_llm.NAME
        case Engine.CUSTOM:
            return ""
