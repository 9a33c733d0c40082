"""LoRA adapters in serving engines, by ``adapter_engines.csv``: support, ranks, slots and the cost of a step."""

from functools import lru_cache

from advisor.data_files import data_dir
from advisor.records import dataclass, replace
from advisor.tables import Row, read_rows

_FALLBACK = "vLLM"
_EVERY_MODULE, _VOCABULARY, _BASE = "every_module", "vocabulary", "base"


@dataclass(frozen=True, slots=True)
class AdapterEngine:
    """An engine with adapters."""

    engine: str
    is_supported: bool
    ranks: tuple[int, ...]
    """Ranks that it can be started for, ascending; empty: any."""
    keeps_every_module: bool
    """Its slots hold every module of the model; otherwise those that the adapters have."""
    keeps_vocabulary: bool
    """They hold embeddings and output head too."""
    counts_base: bool
    """Requests for the base take a slot as those for an adapter do."""
    step_ratio: float
    """Time of a step with adapters ÷ without, beside the bytes and FLOPs of the adapters."""
    reason: str
    """Why no adapters are planned on it; "" where they are."""

    def started_rank(self, rank: int) -> int:
        """Rank that its slots are made for: the smallest that it can be started for and that holds *rank*."""
        return next((allowed for allowed in self.ranks if allowed >= rank), rank)

    def slots_for(self, adapters: int) -> int:
        """Slots in which so many adapters are at a time."""
        return adapters + self.counts_base

    @property
    def most_rank(self) -> int | None:
        """Largest rank; None: any."""
        return self.ranks[-1] if self.ranks else None


@lru_cache(maxsize=64)
def adapter_engine(name: str) -> AdapterEngine:
    """The row of an engine; of one that the table does not name that of vLLM, without support."""
    rows = _rows()
    row = rows.get(name)
    if row is not None:
        return row
    fallback = rows[_FALLBACK]
    reason = f"whether {name} serves LoRA adapters is not known"
    return replace(fallback, engine=name, is_supported=False, reason=reason)


@lru_cache(maxsize=1)
def _rows() -> dict[str, AdapterEngine]:
    return {row["engine"]: _engine(row) for row in read_rows(data_dir("instance_catalog") / "adapter_engines.csv")}


def _engine(row: Row) -> AdapterEngine:
    slots = row["slots"].split(";")
    return AdapterEngine(
        engine=row["engine"],
        is_supported=row["support"] == "yes",
        ranks=tuple(int(rank) for rank in row["ranks"].split(";") if rank),
        keeps_every_module=_EVERY_MODULE in slots,
        keeps_vocabulary=_VOCABULARY in slots,
        counts_base=_BASE in slots,
        step_ratio=float(row["step_ratio"]) if row["step_ratio"] else 1.0,
        reason=row["reason"],
    )
