"""Names of the counters and histograms that demand is made of, by serving engine."""

from dataclasses import dataclass

from advisor.samples.exporters import Exporter, Name, NameTable
from advisor.samples.exporters.table import Shows


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine's names, each a list of which the first that is there counts."""

    name: str
    requests: tuple[Name, ...]
    """Counters of requests: as they arrive where there is one, else as they end."""
    replica: tuple[str, ...]
    """Labels that tell replicas apart."""
    model: str
    """Label that names the model; "" where none does."""
    prompt_lengths: tuple[Name, ...]
    """Histograms of the tokens of prompts."""
    answer_lengths: tuple[Name, ...]
    prompt_tokens: tuple[Name, ...]
    """Counters of the tokens of prompts."""
    answer_tokens: tuple[Name, ...]
    cache_hits: tuple[Name, ...]
    """Counters of prompt tokens found in the prefix cache, and, as many, of those looked up in it."""
    cache_queries: tuple[Name, ...]
    is_gateway: bool
    """Whether it stands before engines and counts what they count too."""


def engines_of(table: NameTable) -> list[Engine]:
    """Serving engines, then those that the agent scrapes, and last what stands before engines."""
    exporters = (*table.engines(), table.exporters["agent_engines"])
    return sorted((_engine(table, exporter) for exporter in exporters), key=lambda engine: engine.is_gateway)


def _engine(table: NameTable, exporter: Exporter) -> Engine:
    def named(*metrics: str) -> tuple[Name, ...]:
        return tuple(name for metric in metrics for name in table.names[metric] if name.exporter == exporter)

    return Engine(
        exporter.name,
        requests=named("requests_arrived", "requests_finished"),
        replica=exporter.replica,
        model=next(iter(exporter.product), ""),
        prompt_lengths=named("prompt_length_tokens"),
        answer_lengths=named("answer_length_tokens"),
        prompt_tokens=named("prompt_tokens"),
        answer_tokens=named("generated_tokens"),
        cache_hits=named("prefix_cache_hits"),
        cache_queries=named("prefix_cache_queries"),
        is_gateway=exporter.shows is Shows.GATEWAY,
    )
