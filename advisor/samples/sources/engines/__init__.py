"""Serving engines, through their metrics pages; advisor/samples/exporters says which names are read."""

from advisor.samples.sources.engines.source import EngineSource

__all__ = ["EngineSource"]
