"""Serving engines, through the metrics page that each of them has: vLLM, SGLang, TGI and Triton."""

from advisor.samples.sources.engines.source import EngineSource

__all__ = ["EngineSource"]
