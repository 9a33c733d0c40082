"""Names of the counters and histograms that demand is made of, by serving engine."""

from collections.abc import Sequence

from advisor.records import dataclass, replace
from advisor.samples.exporters import Exporter, Name, NameTable
from advisor.samples.metrics import exposition_name

_PARTS = ("finished_reason", "finish_reason", "reason", "status", "code", "err", "method")
"""Labels that divide the requests of one engine."""
_SCRAPE = ("job", "namespace", "cluster", "prometheus", "prometheus_replica", "le")
"""Labels that are kept of a gateway's series; they have one for each user, team and route, and more from day to day."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine's names, each a list of which the first that is there counts."""

    exporter: Exporter
    requests: tuple[Name, ...]
    """Counters of requests: as they arrive where there is one, else as they end."""
    prompt_lengths: tuple[Name, ...]
    """Histograms of the tokens of prompts."""
    answer_lengths: tuple[Name, ...]
    prompt_tokens: tuple[Name, ...]
    """Counters of the tokens of prompts."""
    answer_tokens: tuple[Name, ...]
    cache_hits: tuple[Name, ...]
    """Counters of prompt tokens found in the prefix cache, and, as many, of those looked up in it."""
    cache_queries: tuple[Name, ...]
    in_flight: tuple[tuple[Name, ...], ...] = ()
    """Requests that run, and requests that wait."""
    counts_requests: bool = True
    """Else tokens of answers stand in the place of requests."""

    def by_tokens(self) -> "Engine":
        """The same where tokens of answers are all that is counted."""
        return replace(self, requests=self.answer_tokens, in_flight=(), counts_requests=False)

    @property
    def models(self) -> tuple[str, ...]:
        """Labels that name the model, the best first; a gateway's tokens may have more of them than its requests."""
        return self.exporter.product[:1] if self.exporter.is_gateway else self.exporter.product

    def summed(self, query: str) -> str:
        """Sums by replica and model, whatever else tells series apart; of ranks that work together the greatest."""
        if self.exporter.is_gateway:
            return f"sum by ({self._kept}) ({query})"
        total = f"sum without ({', '.join(_PARTS)}) ({query})"
        same_work = ", ".join(self.exporter.same_work)
        return f"max without ({same_work}) ({total})" if same_work else total

    def greatest(self, query: str) -> str:
        """The greatest value of each replica and model."""
        if self.exporter.is_gateway:
            return f"max by ({self._kept}) ({query})"
        return f"max without ({', '.join((*self.exporter.same_work, *_PARTS))}) ({query})"

    @property
    def _kept(self) -> str:
        return ", ".join(dict.fromkeys((*self.exporter.replica, *self.models, *_SCRAPE)))


def engines_of(table: NameTable) -> list[Engine]:
    """Serving engines, then those that the agent scrapes, and last what stands before engines."""
    exporters = (*table.engines(), table.exporters["agent_engines"])
    return [_engine(table, exporter) for exporter in sorted(exporters, key=lambda exporter: exporter.is_gateway)]


def _engine(table: NameTable, exporter: Exporter) -> Engine:
    def named(*metrics: str) -> tuple[Name, ...]:
        return tuple(name for metric in metrics for name in table.names[metric] if name.exporter == exporter)

    return Engine(
        exporter,
        requests=named("requests_arrived", "requests_finished"),
        prompt_lengths=named("prompt_length_tokens"),
        answer_lengths=named("answer_length_tokens"),
        prompt_tokens=named("prompt_tokens"),
        answer_tokens=named("generated_tokens"),
        cache_hits=named("prefix_cache_hits"),
        cache_queries=named("prefix_cache_queries"),
        in_flight=tuple(_last(named(metric)) for metric in ("requests_running", "requests_waiting")),
    )


def _last(names: Sequence[Name]) -> tuple[Name, ...]:
    """Names of gauges; of the agent's own those of the last reading, since counters are as it was."""
    return tuple(
        replace(name, name=exposition_name(name.metric, "last")) if name.exporter.is_agent else name for name in names
    )
