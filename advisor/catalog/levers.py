"""Levers as the catalog knows them: what each takes and risks, what others measured of it, and scores of models."""

from collections.abc import Mapping
from statistics import fmean

from advisor.catalog.precisions import weights_key
from advisor.catalog.readers import Sources
from advisor.catalog.values import Provenance
from advisor.records import dataclass
from advisor.tables import OptionalText

FEWEST_BENCHMARKS = 3
"""Benchmarks that two models have to share before one is said to keep a share of the other's scores."""


@dataclass(frozen=True, slots=True)
class LeverFact:
    """Figure of somebody else; none enters a price, whatever its evidence."""

    metric: str
    setting: str
    value: str
    """Number or range as the source has it."""
    unit: OptionalText
    condition: OptionalText
    evidence: str
    """measured, authors, independent, listed, vendor, simulated, vendor_claim, secondary or illustrative."""
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class LeverEntry:
    """Lever as the table has it."""

    lever: str
    title: str
    effort_hours: float
    """Work of an engineer, once: an estimate."""
    lock_in: str
    risk: str
    why_unpriced: OptionalText
    """Why the planner prices it for no workload; "" where it does."""
    code: OptionalText
    """Kind of that reason, as of :class:`advisor.levers.values.ReasonCode`."""
    provenance: Provenance
    facts: tuple[LeverFact, ...]


@dataclass(frozen=True, slots=True)
class CacheNode:
    """Node of a managed in-memory store."""

    provider: str
    node: str
    engine: str
    """valkey or redis."""
    memory_gib: float
    usable_ratio: float
    """Share of the memory that may hold entries, as the service reserves the rest unless told otherwise."""
    provenance: Provenance

    @property
    def usable_gib(self) -> float:
        """Memory for entries: ``memory · usable_ratio``."""
        return self.memory_gib * self.usable_ratio

    @property
    def item(self) -> str:
        """Name of its price in service_prices.csv."""
        return f"{self.node}_{self.engine}"


@dataclass(frozen=True, slots=True)
class ScoresKept:
    """Share of a model's benchmark scores that a smaller one reaches, within one source and setting each."""

    model: str
    """The smaller one, as models.csv names it."""
    mean_ratio: float
    low_ratio: float
    high_ratio: float
    benchmarks: int
    sources: tuple[str, ...]


def read_levers(sources: Sources) -> tuple[LeverEntry, ...]:
    """Every lever with its facts, by name."""
    facts: dict[str, list[LeverFact]] = {}
    for row in sources.rows("lever_facts"):
        facts.setdefault(row.text("lever"), []).append(sources.value(LeverFact, row))
    return tuple(
        sources.value(LeverEntry, row, facts=tuple(facts.get(row.text("lever"), ()))) for row in sources.rows("levers")
    )


_Test = tuple[str, str, str, str]
"""Tuning, benchmark, setting and source: what scores compare within."""


def read_cache_nodes(sources: Sources) -> tuple[CacheNode, ...]:
    """Nodes of in-memory stores, the smallest first."""
    nodes = sources.values(CacheNode, "cache_nodes")
    return tuple(sorted(nodes, key=lambda node: (node.memory_gib, node.node)))


class ModelScores:
    """Benchmark scores of models; those of two models compare within one tuning, source and setting only."""

    def __init__(self, sources: Sources) -> None:
        """Read the table."""
        self._scores: dict[str, dict[_Test, float]] = {}
        for row in sources.rows("model_scores"):
            test = (row.text("kind"), row.text("benchmark"), row.optional_text("setting"), sources.of(row).source)
            self._scores.setdefault(row.text("model"), {})[test] = row.number("score")

    def kept_by_others(self, model: str) -> tuple[ScoresKept, ...]:
        """Models of the same owner with the share of the scores that each reaches, in the order of their names."""
        own = next((scores for name, scores in self._scores.items() if weights_key(name) == weights_key(model)), {})
        owner = model.partition("/")[0].casefold()
        others = (name for name in sorted(self._scores) if name.partition("/")[0].casefold() == owner)
        compared = (_kept(name, own, self._scores[name]) for name in others if weights_key(name) != weights_key(model))
        return tuple(kept for kept in compared if kept is not None)


def _kept(name: str, own: Mapping[_Test, float], other: Mapping[_Test, float]) -> (
    ScoresKept | None
):  # fmt: skip
    """Scores of a model ÷ those of the own one; None where they share too few benchmarks."""
    ratios = {test: other[test] / score for test, score in own.items() if test in other and score > 0}
    if len({benchmark for _, benchmark, _, _ in ratios}) < FEWEST_BENCHMARKS:
        return None
    shares = ratios.values()
    sources = tuple(sorted({source for *_, source in ratios}))
    return ScoresKept(name, fmean(shares), min(shares), max(shares), len(ratios), sources)
