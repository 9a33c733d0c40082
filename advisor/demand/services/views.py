"""Readings of one engine by one observer, whether an agent's rows or a server's series hold them."""

from dataclasses import dataclass, fields, replace

from advisor.demand.services.lengths import LengthCounts
from advisor.demand.services.readings import Readings

CLOCK_SKEW_SECONDS = 150.0
"""How far clocks of two hosts may be apart."""
_LOOPBACK = ("127.", "localhost", "[::1]", "::1", "0.0.0.0")  # noqa: S104 - recognised in names, nothing is bound


@dataclass(frozen=True, slots=True)
class Grown:
    """Growth of an engine's counters; None: it has no such counter."""

    requests: float | None = None
    prompt_tokens: float | None = None
    answer_tokens: float | None = None
    cache_hits: float | None = None
    """Prompt tokens found in the prefix cache."""
    cache_queries: float | None = None
    """Prompt tokens looked up in it."""


@dataclass(frozen=True, slots=True, eq=False)
class EngineView:
    """One model on one rank of an engine, as one observer read it."""

    engine: str
    """Such as vLLM."""
    model: str | None
    """As the engine says it; None: it does not."""
    rank: str
    host: str
    """Of the observer, where that is on the engine's host; "" for a server that scrapes."""
    address: str
    """Of the engine's metrics page."""
    observer: str
    """Who read it, in words."""
    readings: Readings
    grown: Grown
    prompts: LengthCounts | None = None
    answers: LengthCounts | None = None
    skew_seconds: float = 0.0
    """How far the observer's clock may be off others'."""
    late_seconds: float = 0.0
    """How much older a reading may be than its time says."""
    is_gateway: bool = False
    """Whether it stands before engines and counts what they count too."""
    counts_requests: bool = True
    """Else tokens of answers stand in the place of requests."""

    def in_requests(self, answer_tokens: float) -> "EngineView":
        """The same with tokens of answers as so many requests of one length."""
        readings = replace(self.readings, requests=self.readings.requests / answer_tokens)
        grown = None if self.grown.requests is None else self.grown.requests / answer_tokens
        return replace(self, readings=readings, grown=Grown(requests=grown), counts_requests=True)

    def thinned(self) -> "EngineView":
        """The same with fewer readings; see :meth:`Readings.thinned`."""
        return replace(self, readings=self.readings.thinned())

    @property
    def is_local(self) -> bool:
        """Whether its address names the observer's own host."""
        return self.address.split("://")[-1].startswith(_LOOPBACK)


def total(parts: list[Grown]) -> Grown:
    """Sums of what is known."""
    sums = {}
    for field in fields(Grown):
        known = [value for part in parts if (value := getattr(part, field.name)) is not None]
        sums[field.name] = sum(known) if known else None
    return Grown(**sums)
