"""LoRA adapters as a workload states them, and what follows from their number and shares alone."""

from math import exp

from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field

ALL = "all"
"""Every linear module of the layers, as PEFT's ``all-linear``."""
MOST_RANK = 8192
"""Largest rank that is read: that of a matrix of a large model."""
MOST_ADAPTERS = 10_000
_SEARCH_STEPS = 200
_LONGEST_TIME = 1e12
_MOST_SEQUENCES = 2**14


@dataclass(frozen=True, slots=True)
class NamedAdapter:
    """One adapter: where its weights are, and its part of the requests."""

    id: str
    """Name on the hub, or of the folder below the weights' own; "" where it is not known."""
    rank: int
    target_modules: tuple[str, ...] = (ALL,)
    share: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Share of the requests; None: as many as each other that states none."""
    parameters: int = field(default=0, metadata=OMITTED_AT_DEFAULT)
    """Bytes of its file, as its header counts them; 0: by rank and shapes."""
    base: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Model that it was trained on, as its configuration says; "": not known."""
    on_hub: bool = field(default=True, metadata=OMITTED_AT_DEFAULT)
    """Whether the hub has it by that name."""

    @property
    def served_name(self) -> str:
        """Name that requests give."""
        return self.id.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Adapters:
    """LoRA adapters that are served on one base."""

    count: int
    rank: int
    """The largest."""
    target_modules: tuple[str, ...] = (ALL,)
    """Of all adapters together."""
    active: int | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Most of them on the accelerators at a time, as stated; None: all."""
    named: tuple[NamedAdapter, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """Each of them, where the workload names them."""

    @property
    def slots(self) -> int:
        """Adapters on the accelerators at a time."""
        return self.count if self.active is None else min(self.active, self.count)

    @property
    def shares(self) -> tuple[float, ...]:
        """Part of each adapter in the requests; what none takes goes to the base."""
        stated = [adapter.share for adapter in self.named]
        if not stated:
            return (1.0 / self.count,) * self.count
        rest = max(1.0 - sum(share for share in stated if share is not None), 0.0)
        each = rest / max(stated.count(None), 1)
        return tuple(each if share is None else share for share in stated)

    @property
    def miss_ratio(self) -> float:
        """Share of the requests whose adapter is in host memory when they come, under least-recently-used eviction.

        Che et al. 2002: an adapter of share p is there with probability 1 - exp(-p t), where t makes these sum to the
        slots. Equal shares give 1 - slots ÷ count.
        """
        if self.slots >= self.count:
            return 0.0
        shares = self.shares
        if min(shares) == max(shares):
            return (1 - self.slots / self.count) * sum(shares)
        low, high = 0.0, 1.0
        while sum(1 - exp(-share * high) for share in shares) < self.slots and high < _LONGEST_TIME:
            high *= 2
        for _ in range(_SEARCH_STEPS):
            middle = (low + high) / 2
            held = sum(1 - exp(-share * middle) for share in shares)
            low, high = (middle, high) if held < self.slots else (low, middle)
        return sum(share * exp(-share * high) for share in shares)

    @property
    def most_sequences(self) -> int | None:
        """Requests at a time whose adapters have slots on average; None: every adapter has one.

        n requests are for Σ 1 - (1 - p)ⁿ different adapters of share p. Engines let no request for another adapter into
        a step whose slots are taken.
        """
        if self.slots >= self.count:
            return None
        shares = self.shares
        most = self.slots
        while sum(1 - (1 - share) ** (most + 1) for share in shares) <= self.slots and most < _MOST_SEQUENCES:
            most += 1
        return most
