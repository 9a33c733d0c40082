"""Questions asked together, the answers to them, and the sieve that says why one is not answered."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from advisor.performance.physics import FloatLike, Floats
from advisor.performance.values import Evidence, Scenario
from advisor.records import dataclass

SCENARIOS = tuple(Scenario)
QUANTITIES = ("ttft_ms", "tpot_ms", "output_tokens_per_second", "total_tokens_per_second", "samples_per_second")

Indices = npt.NDArray[np.intp]
Numbers = tuple[Floats, Floats, Floats]
"""Value, low and high end."""


@dataclass(frozen=True, slots=True, eq=False)
class Questions:
    """One entry per question; NaN where a number is not given."""

    setup: Indices
    """Position of the question's set-up."""
    scenario: Indices
    """Position in :data:`SCENARIOS`."""
    concurrency: Floats
    input_tokens: Floats
    output_tokens: Floats
    prefix_cache_hit_ratio: FloatLike = 0.0

    def take(self, index: Indices) -> "Questions":
        """The questions at the given positions."""
        return Questions(
            self.setup[index],
            self.scenario[index],
            self.concurrency[index],
            self.input_tokens[index],
            self.output_tokens[index],
            np.broadcast_to(self.prefix_cache_hit_ratio, self.setup.shape)[index],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """One entry per question: NaN where there is no such number."""

    value: dict[str, Floats]
    low: dict[str, Floats]
    high: dict[str, Floats]
    evidence: list[str]
    reason: list[str]

    @classmethod
    def empty(cls, size: int) -> "Answers":
        """Nothing answered yet."""

        def blank() -> dict[str, Floats]:
            return {name: np.full(size, np.nan) for name in QUANTITIES}

        return cls(blank(), blank(), blank(), [Evidence.NONE.value] * size, [""] * size)

    def store(self, name: str, rows: Indices, numbers: Numbers) -> None:
        """Set one quantity of some questions."""
        for column, entries in zip((self.value, self.low, self.high), numbers, strict=True):
            column[name][rows] = entries

    def mark(self, rows: Indices, evidence: Sequence[str]) -> None:
        """Say what the numbers of some questions rest on."""
        for at, found in zip(rows.tolist(), evidence, strict=True):
            self.evidence[at] = found

    def silence(self, at: int, reason: str) -> None:
        """Take back whatever was said of a question, and give the reason instead."""
        for part in (self.value, self.low, self.high):
            for column in part.values():
                column[at] = np.nan
        self.evidence[at], self.reason[at] = Evidence.NONE.value, reason


@dataclass(slots=True, eq=False)
class Sieve:
    """Questions still standing; those that fall get their reason."""

    questions: Questions
    answers: Answers
    standing: Indices

    def drop(self, bad: npt.NDArray[np.bool_], reason: Callable[[int], str]) -> None:
        """Drop the standing questions that are bad, with a reason worked out from their position."""
        for at in self.standing[bad].tolist():
            self.answers.reason[at] = reason(at)
        self.standing = self.standing[~bad]
